//! Measures studies: a request of an application as it grew, and with one fix more at each step.

mod gain;
mod loads;
#[cfg(test)]
pub mod made;
mod measured;
mod result;
mod standard;
mod text;

use crate::{
    count_causes::HeadlineCounts, flags::Flags, printing::say, process::fail, selection::Selection,
    servers,
};
use measured::Requests;
use worthit_pair::{
    case::{Case, Shape, fnv1a},
    causes::Counts,
    format,
    pair::Unavailable,
    study::{Application, Applied, Fix, Pace, SimulatedWait, Study, StudyEntry, UserLoads},
    trial::Role,
};

pub use result::{AtUsers, Latency, NamedFix, StepResult, StudyResult, Wait};
pub use standard::{Bought, Standard, Whole};

/// The size of the proof before a study is measured: of a request, and of what the application holds.
pub(crate) const PROOF: (u64, u64) = (8, 50);
/// Requests that are counted for the gate.
const COUNTED: u64 = 16;

/// Studies, each with the orders in which its fixes are measured.
pub type Orders = Vec<(&'static StudyEntry, Vec<Vec<&'static Fix>>)>;

/// Returns the selected studies. Ends the process if what is asked for is not an order of the fixes of one.
pub fn selected(selection: &Selection<'_>, flags: &Flags) -> Orders {
    let of = |entry: &'static StudyEntry| match orders(entry, flags) {
        Ok(orders) => (entry, orders),
        Err(problem) => fail(2, &format!("{}: {problem}", entry.id)),
    };
    selection.studies().into_iter().map(of).collect()
}

/// Returns the orders in which a run measures the fixes of a study: the one that is asked for, and in a deep run, where
/// none is, also its other order.
///
/// # Errors
/// If what is asked for is not an order of its fixes.
fn orders(study: &Study, flags: &Flags) -> Result<Vec<Vec<&'static Fix>>, String> {
    let mut orders = vec![order(study, flags.order.as_deref())?];
    if flags.deep && flags.order.is_none() && study.loads.is_none() {
        orders.push(study.other_order.to_vec());
    }
    Ok(orders)
}

/// Returns the fixes of a study in the order that `asked` names, separated by commas; in its other order for `other`; or
/// in its own.
fn order(study: &Study, asked: Option<&str>) -> Result<Vec<&'static Fix>, String> {
    let Some(asked) = asked else { return Ok(study.fixes.to_vec()) };
    let names: Vec<&str> = study.fixes.iter().map(|fix| fix.name).collect();
    let named = |name: &str| study.fixes.iter().find(|fix| fix.name == name).copied();
    let fixes: Option<Vec<&'static Fix>> = match asked {
        "other" => Some(study.other_order.to_vec()),
        names => names.split(',').map(|name| named(name.trim())).collect(),
    };
    let is_order = |fixes: &Vec<&'static Fix>| {
        fixes.len() == names.len()
            && names.iter().all(|name| fixes.iter().any(|fix| fix.name == *name))
    };
    fixes.filter(is_order).ok_or_else(|| {
        format!(
            "--order must be `other`, or name each of its fixes once, separated by commas: {}",
            names.join(",")
        )
    })
}

/// Proves the steps of a study on a small case; ends the process if one disagrees.
///
/// # Errors
/// If it cannot run on this machine.
pub fn prove(study: &StudyEntry, order: &[&'static Fix], seed: u64) -> Result<(), Unavailable> {
    let mut application = prepared_small(study, &Applied::steps(order), seed)?;
    if let Err(problem) = application.prove(PROOF.0) {
        fail(
            1,
            &format!("{}: {problem}\nThe study was not measured; the run ends here.", study.id),
        );
    }
    Ok(())
}

/// Counts requests at the last step of a study, for the gate. The application is as small as in a proof.
pub fn counts_of_last_step(study: &StudyEntry, seed: u64) -> HeadlineCounts {
    let mut found = HeadlineCounts::uncounted(study.id);
    // What stands in for a server costs other statements than budgets and the base were counted with.
    if study.stand_in().is_some() {
        return found;
    }
    let mut steps = Applied::steps(study.fixes);
    let ends = [Applied::default(), steps.pop().unwrap_or_default()];
    // One that cannot run here has no counts.
    let Ok(mut application) = prepared_small(study, &ends, seed) else { return found };
    if let Err(problem) = application.prove(PROOF.0) {
        found.problem = Some(problem.to_string());
        return found;
    }
    let before = (application.count)();
    for _ in 0..COUNTED {
        application.trial.measure(Role::Optimized, 1);
    }
    let after = (application.count)();
    let mut counts = Counts::default();
    for ((cause, before), after) in study.causes.iter().zip(&before).zip(&after) {
        counts.set(*cause, after.checked_sub(*before).expect("an exact counter only grows"));
    }
    found.inputs = COUNTED;
    found.sides.push((Role::Optimized, counts));
    found.answer = Some(fnv1a(application.trial.printed_answers().bytes()));
    found
}

/// Prepares a small case of a study. One whose server is missing is not prepared: it may need the server only later, where
/// it cannot say so.
fn prepared_small(
    study: &StudyEntry,
    sets: &[Applied],
    seed: u64,
) -> Result<Application, Unavailable> {
    match study.missing_server() {
        Some(missing) => Err(Unavailable(missing.to_string())),
        None => (study.prepare)(&small(seed), sets),
    }
}

/// A small case, as in a proof.
fn small(seed: u64) -> Case {
    let (size, holds) = PROOF;
    Case { shape: Shape::Realistic, proof_size: Some(holds), ..Case::realistic(size, 0, seed) }
}

/// Proves and measures a study in these orders of its fixes. Calls `record` whenever there is more, so that an interrupted run
/// keeps what it has measured, and once more at the end. Loads are sent in the first order only.
pub fn measure(
    study: &StudyEntry,
    orders: &[Vec<&'static Fix>],
    flags: &Flags,
    record: &mut dyn FnMut(&StudyResult),
) {
    let mut result = StudyResult { is_unfinished: true, ..StudyResult::of(study) };
    for (nth, order) in orders.iter().enumerate() {
        let measured = prove(study, order, flags.seed).and_then(|()| {
            result.servers = servers::used_by_study(study);
            let measuring = Measuring { study, applied: Applied::steps(order), order, flags };
            match (nth, study.loads) {
                (0, Some(loads)) => measuring.under_load(&loads, &mut result, record),
                (0, None) => measuring.without_load(&mut |steps| {
                    result.steps = steps;
                    record(&result);
                }),
                _ => measuring.without_load(&mut |steps| {
                    result.other_order = steps;
                    record(&result);
                }),
            }
        });
        match measured {
            // What was measured before stays; the steps that are missing are seen to be.
            Err(unavailable) if nth == 0 && !result.steps.is_empty() => {
                say(&format!("{}: not measured to its end: {unavailable}", study.id));
                record(&result);
                return;
            }
            Err(unavailable) if nth == 0 => {
                result.unavailable = Some(unavailable.to_string());
                break;
            }
            Err(unavailable) => say(&format!("{}: the other order: {unavailable}", study.id)),
            Ok(()) => {}
        }
    }
    result.is_unfinished = false;
    record(&result);
}

/// A study that is measured in one order of its fixes.
struct Measuring<'a> {
    study: &'a StudyEntry,
    applied: Vec<Applied>,
    order: &'a [&'static Fix],
    flags: &'a Flags,
}

impl Measuring<'_> {
    /// Measures requests one after another, and calls `record` with the steps so far, again and again.
    fn without_load(&self, record: &mut dyn FnMut(Vec<StepResult>)) -> Result<(), Unavailable> {
        let case = Case::realistic(self.study.size, 0, self.flags.seed);
        let mut application = (self.study.prepare)(&case, &self.applied)?;
        let (steps, mut first_turns) = (self.applied.len(), 0);
        measured::in_turn(&mut application, steps, self.flags.quick, &mut |step, all| {
            let results = self.results(all);
            if step == first_turns {
                first_turns += 1;
                self.say(step, &format::duration(results[step].latency.p50_ns));
            }
            record(results);
        });
        Ok(())
    }

    /// Measures the same, and then each step under load, with each number of users.
    fn under_load(
        &self,
        loads: &UserLoads,
        result: &mut StudyResult,
        record: &mut dyn FnMut(&StudyResult),
    ) -> Result<(), Unavailable> {
        let (flags, steps) = (self.flags, self.applied.len());
        let deep = if flags.deep { loads.deep } else { &[] };
        let shallow = if flags.quick { &loads.users[..1] } else { loads.users };
        for (nth, users) in shallow.iter().chain(deep).enumerate() {
            let case = Case { level: *users, ..Case::realistic(self.study.size, 0, flags.seed) };
            let mut application = (self.study.prepare)(&case, &self.applied)?;
            for step in 0..steps {
                let mut served = 1.0;
                // It says what a request costs, and at which rates a search begins.
                if nth == 0 || loads.pace == Pace::Capacity {
                    let found = measured::alone(&mut application, step, steps);
                    let closed = self.result(step, &found).expect("a request was measured");
                    served = 1e9 / closed.latency.p50_ns;
                    if nth == 0 {
                        result.steps.push(closed);
                    }
                }
                let how = (flags.seed, flags.quick);
                let at_users =
                    loads::of_step(&mut application, (step, steps), loads, *users, served, how)?;
                result.steps[step].at_users.push(at_users);
                if let Some(cell) = result.cells(&result.steps[step]).get(nth) {
                    self.say(step, &format!("{cell} with {} users", format::count(*users)));
                }
                record(result);
            }
        }
        Ok(())
    }

    /// Says what was found of a step.
    fn say(&self, step: usize, what: &str) {
        if !self.flags.quiet {
            let name = step.checked_sub(1).map_or("as it grew", |fix| self.order[fix].name);
            let steps = self.applied.len();
            say(&format!("{} [{} of {steps}] {name}: {what}", self.study.id, step + 1));
        }
    }

    /// Returns the steps of which a request was measured, up to the first of which none was.
    fn results(&self, all: &[Requests]) -> Vec<StepResult> {
        let result = |(step, found): (usize, &Requests)| {
            let before = step.checked_sub(1).map(|before| &all[before]);
            let gain = before.and_then(|before| found.gain_over(before));
            Some(StepResult { gain, ..self.result(step, found)? })
        };
        all.iter().enumerate().map_while(result).collect()
    }

    /// Returns what requests of a step took; `None` if there was none.
    fn result(&self, step: usize, found: &Requests) -> Option<StepResult> {
        let fix = step.checked_sub(1).map(|fix| self.order[fix]);
        let applied = &self.applied[step];
        let is_of_each = |wait: &&SimulatedWait| wait.only.is_empty() && !applied.has(wait.until);
        let waits = self.study.waits.iter().filter(is_of_each);
        let causes = self.study.counters().map(|cause| cause.id.to_owned());
        Some(StepResult {
            fix: fix.map(|fix| NamedFix { name: fix.name.to_owned(), title: fix.title.to_owned() }),
            latency: found.latency()?,
            gain: None,
            simulated_ns: waits.map(|wait| wait.ms as f64 * 1e6).sum(),
            counts: causes.zip(found.counts()).filter_map(|(id, n)| Some((id, n?))).collect(),
            mark: found.mark(),
            at_users: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc};

    use clap::Parser;

    use worthit_pair::{causes::Cause, inputs::Inputs, study, trial::by_ref};

    use super::*;

    const ONE: Fix = Fix { name: "one", title: "", why: "", costs: "", source: "" };
    const TWO: Fix = Fix { name: "two", ..ONE };
    const STUDY: Study = Study {
        title: "",
        story: "",
        workload: "",
        contract: "",
        unit: "",
        size: 0,
        fixes: &[&ONE, &TWO],
        other_order: &[&TWO, &ONE],
        waits: &[],
        servers: &[],
        instead: None,
        causes: &[],
        observations: &[],
        loads: None,
        helper: None,
        prepare: |_, _| Err(Unavailable(String::new())),
    };

    #[test]
    fn an_order_names_each_fix_once() {
        let names = |asked| {
            order(&STUDY, asked).map(|fixes| fixes.iter().map(|fix| fix.name).collect::<Vec<_>>())
        };
        assert_eq!(names(None), Ok(vec!["one", "two"]));
        assert_eq!(names(Some("two, one")), Ok(vec!["two", "one"]));
        assert_eq!(names(Some("other")), Ok(vec!["two", "one"]));
        for wrong in ["", "one", "one,one", "one,two,one", "one,three"] {
            assert!(names(Some(wrong)).unwrap_err().ends_with(": one,two"), "{wrong}");
        }
    }

    const STATEMENTS: Cause = Cause::new("statements", "statements");

    /// An application whose requests need two statements, and one with the fix.
    fn prepare(case: &Case, sets: &[Applied]) -> Result<Application, Unavailable> {
        let inputs = Inputs::one(case.point);
        let executed = Rc::new(Cell::new(0));
        let step = |applied: &Applied| {
            let (executed, statements) =
                (Rc::clone(&executed), if applied.has(&ONE) { 1 } else { 2 });
            by_ref(&inputs, move |input| {
                executed.set(executed.get() + statements);
                *input
            })
        };
        let trial = study::trial(inputs.measured(|input| *input), sets.iter().map(step).collect());
        Ok(Application { trial, count: Box::new(move || vec![executed.get()]), memory: None })
    }

    const COUNTING: Study =
        Study { fixes: &[&ONE], other_order: &[&ONE], causes: &[STATEMENTS], prepare, ..STUDY };
    static COUNTING_ENTRY: StudyEntry = StudyEntry::new("f/s", &COUNTING);
    static MISSING: StudyEntry = StudyEntry::new("f/s", &STUDY);

    fn flags(words: &[&str]) -> Flags {
        Flags::try_parse_from(["bench", "--quiet"].iter().chain(words)).unwrap()
    }

    /// Runs in a separate process, as the address of a server is in an environment variable.
    #[test]
    fn a_study_without_its_server_is_a_row_with_the_reason_and_is_not_prepared() {
        const ADDRESS: (&str, &str) = ("WORTHIT_REDIS", "redis://127.0.0.1:1");
        if std::env::var(ADDRESS.0).as_deref() != Ok(ADDRESS.1) {
            let name = "study::tests::a_study_without_its_server_is_a_row_with_the_reason_and_is_not_prepared";
            let this = std::env::current_exe().unwrap();
            let mut child = std::process::Command::new(this);
            let child = child.args(["--exact", name]).env(ADDRESS.0, ADDRESS.1).output().unwrap();
            let printed = String::from_utf8_lossy(&child.stdout);
            assert!(child.status.success() && printed.contains("1 passed"), "{printed}");
            return;
        }
        static NEEDS_REDIS: Study = Study {
            servers: &[worthit_servers::Program::Redis],
            prepare: |_, _| panic!("prepared without its server"),
            ..STUDY
        };
        static ENTRY: StudyEntry = StudyEntry::new("f/s", &NEEDS_REDIS);
        let mut results = Vec::new();
        measure(&ENTRY, &[vec![&ONE, &TWO]], &flags(&[]), &mut |result| {
            results.push(result.clone());
        });
        let [result] = &results[..] else { panic!("{results:?}") };
        assert!(result.unavailable.as_ref().unwrap().contains("127.0.0.1:1"), "{result:?}");
        assert_eq!(counts_of_last_step(&ENTRY, 42).sides, []);
    }

    #[test]
    fn a_deep_run_has_the_other_order_too_unless_one_is_asked_for() {
        let count = |words: &[&str]| orders(&STUDY, &flags(words)).unwrap().len();
        assert_eq!(
            [count(&[]), count(&["--deep"]), count(&["--deep", "--order=two,one"])],
            [1, 2, 1]
        );
    }

    #[test]
    fn what_is_measured_is_recorded_at_once() {
        let flags = flags(&["--quick"]);
        let mut recorded = Vec::new();
        measure(&COUNTING_ENTRY, &orders(&COUNTING, &flags).unwrap(), &flags, &mut |result| {
            recorded.push((result.steps.len(), result.is_unfinished));
        });
        let (end, before) = recorded.split_last().unwrap();
        assert_eq!((before[0], *before.last().unwrap(), *end), ((1, true), (2, true), (2, false)));
        measure(&MISSING, &[vec![&ONE]], &flags, &mut |result| {
            assert!(result.unavailable.is_some() && !result.is_unfinished);
        });
    }

    #[test]
    fn the_gate_gets_the_counts_of_the_last_step() {
        let found = counts_of_last_step(&COUNTING_ENTRY, 42);
        assert_eq!((found.inputs, found.problem), (COUNTED, None));
        let (role, counts) = &found.sides[0];
        assert_eq!((*role, counts.get(STATEMENTS)), (Role::Optimized, Some(COUNTED)));
        assert!(found.answer.is_some());
        assert!(counts_of_last_step(&MISSING, 42).sides.is_empty());
    }
}
