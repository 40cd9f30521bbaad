//! Measures studies: a request of an application as it grew, and with one fix more at each step.

mod waterfall;

use std::time::Duration;

use crate::{
    count_causes::HeadlineCounts, flags::Flags, load::LoadProbe, printing::say, process::fail,
    selection::Selection, servers,
};
use worthit_pair::{
    case::{Case, Shape, fnv1a},
    causes::Counts,
    format,
    pair::Unavailable,
    study::{self, Application, Applied, Fix, Study, StudyEntry},
    trial::Role,
};

pub use waterfall::{
    Bought, Latency, NamedFix, StepResult, StudyResult, Wait, Whole, bought, whole,
};

/// Requests of a step are measured until they have taken this long together, in a quick run the second time…
const MEASURE: [Duration; 2] = [Duration::from_secs(5), Duration::from_millis(500)];
/// …but no fewer requests than this, in a quick run the second number…
const LEAST_REQUESTS: [usize; 2] = [2, 1];
/// …and no more than this.
const MOST_REQUESTS: usize = 200;
/// Requests that warm up a step: one, and this many if they are short.
const WARM_UP: u64 = 5;
/// A request is short if it takes less than this.
const SHORT: Duration = Duration::from_millis(100);
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
    if flags.deep && flags.order.is_none() {
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
    let mut application = (study.prepare)(&small(seed), &Applied::steps(order))?;
    if let Err(problem) = application.trial.prove(PROOF.0) {
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
    let mut steps = Applied::steps(study.fixes);
    let ends = [Applied::default(), steps.pop().unwrap_or_default()];
    // One that cannot run here has no counts.
    let Ok(mut application) = (study.prepare)(&small(seed), &ends) else { return found };
    if let Err(problem) = application.trial.prove(PROOF.0) {
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

/// A small case, as in a proof.
fn small(seed: u64) -> Case {
    let (size, holds) = PROOF;
    Case { shape: Shape::Realistic, proof_size: Some(holds), ..Case::realistic(size, 0, seed) }
}

/// Proves and measures a study in these orders of its fixes. Calls `record` after each step, so that an interrupted run keeps
/// the finished steps, and once more at the end.
pub fn measure(
    study: &StudyEntry,
    orders: &[Vec<&'static Fix>],
    flags: &Flags,
    record: &mut dyn FnMut(&StudyResult),
) {
    let mut result = StudyResult { is_unfinished: true, ..StudyResult::of(study) };
    for (nth, order) in orders.iter().enumerate() {
        let measured = prove(study, order, flags.seed).and_then(|()| {
            result.servers = servers::used(study.servers);
            steps(study, order, flags, &mut |step| {
                let steps = if nth == 0 { &mut result.steps } else { &mut result.other_order };
                steps.push(step);
                record(&result);
            })
        });
        match measured {
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

/// Measures each step of a study, and calls `finished` with each.
fn steps(
    study: &StudyEntry,
    order: &[&'static Fix],
    flags: &Flags,
    finished: &mut dyn FnMut(StepResult),
) -> Result<(), Unavailable> {
    let applied = Applied::steps(order);
    let case = Case::realistic(study.size, 0, flags.seed);
    let mut application = (study.prepare)(&case, &applied)?;
    let fixes = [None].into_iter().chain(order.iter().copied().map(Some));
    for (place, (step, fix)) in applied.iter().zip(fixes).enumerate() {
        let role = study::role(place, applied.len());
        let measured = measured(&mut application, role, flags.quick);
        if !flags.quiet {
            let name = fix.map_or("as it grew", |fix| fix.name);
            let p50 = format::duration(measured.latency.p50_ns);
            say(&format!("{} [{} of {}] {name}: {p50}", study.id, place + 1, applied.len()));
        }
        let waits = study.waits.iter().filter(|wait| !step.has(wait.until));
        let causes = study.counters().map(|cause| cause.id.to_owned());
        finished(StepResult {
            fix: fix.map(|fix| NamedFix { name: fix.name.to_owned(), title: fix.title.to_owned() }),
            latency: measured.latency,
            simulated_ns: waits.map(|wait| wait.ms as f64 * 1e6).sum(),
            counts: causes.zip(measured.counts).filter_map(|(id, n)| Some((id, n?))).collect(),
            mark: measured.mark,
        });
    }
    Ok(())
}

/// What requests of one step took.
struct OfStep {
    latency: Latency,
    /// Counts of a request, in the order of the study's counters; `None` if a server has forgotten what it counted.
    counts: Vec<Option<f64>>,
    mark: Option<String>,
}

/// Measures requests of one step, one after another. The first request is not measured, because the step before may have left
/// other tables and plans in the caches.
fn measured(application: &mut Application, role: Role, is_quick: bool) -> OfStep {
    let (time, least) = (MEASURE[usize::from(is_quick)], LEAST_REQUESTS[usize::from(is_quick)]);
    let trial = &mut application.trial;
    if trial.measure(role, 1) < SHORT {
        trial.warm_up(role, WARM_UP);
    }
    let (before, probe) = ((application.count)(), LoadProbe::start());
    let mut latencies: Vec<Duration> = Vec::new();
    while latencies.len() < least
        || latencies.len() < MOST_REQUESTS && latencies.iter().sum::<Duration>() < time
    {
        latencies.push(application.trial.measure(role, 1));
    }
    // A server computes beside the program.
    let mark = probe.load().mark(2);
    let after = (application.count)();
    let requests = latencies.len() as f64;
    let counts = before
        .iter()
        .zip(&after)
        .map(|(before, after)| after.checked_sub(*before).map(|counted| counted as f64 / requests));
    let latencies = latencies.into_iter().map(|latency| latency.as_nanos() as f64).collect();
    let latency = Latency::of(latencies).expect("at least one request was measured");
    OfStep { latency, counts: counts.collect(), mark }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc};

    use clap::Parser;

    use worthit_pair::{causes::Cause, inputs::Inputs, trial::by_ref};

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
        causes: &[],
        observations: &[],
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
        Ok(Application { trial, count: Box::new(move || vec![executed.get()]) })
    }

    const COUNTING: Study =
        Study { fixes: &[&ONE], other_order: &[&ONE], causes: &[STATEMENTS], prepare, ..STUDY };
    static COUNTING_ENTRY: StudyEntry = StudyEntry::new("f/s", &COUNTING);
    static MISSING: StudyEntry = StudyEntry::new("f/s", &STUDY);

    #[test]
    fn counts_are_those_of_one_measured_request() {
        let case = Case::realistic(7, 0, 42);
        let mut application = prepare(&case, &Applied::steps(COUNTING.fixes)).unwrap();
        for (role, statements) in [(Role::Naive, 2.0), (Role::Optimized, 1.0)] {
            let found = measured(&mut application, role, true);
            assert_eq!(found.counts, [Some(statements)]);
            assert!((1..=MOST_REQUESTS as u64).contains(&found.latency.requests));
        }
    }

    fn flags(words: &[&str]) -> Flags {
        Flags::try_parse_from(["bench", "--quiet"].iter().chain(words)).unwrap()
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
    fn each_step_is_recorded_when_it_is_finished() {
        let flags = flags(&["--quick"]);
        let mut recorded = Vec::new();
        measure(&COUNTING_ENTRY, &orders(&COUNTING, &flags).unwrap(), &flags, &mut |result| {
            recorded.push((result.steps.len(), result.is_unfinished));
        });
        assert_eq!(recorded, [(1, true), (2, true), (2, false)]);
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
