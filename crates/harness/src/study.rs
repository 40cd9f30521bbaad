//! Runs studies: measures a request of an application as it grew, and with one fix more at each step.

mod waterfall;

use std::time::Duration;

use crate::{
    flags::{Flags, Mode},
    interrupt,
    printing::{print, say},
    process::fail,
    result_file::Record,
    run::RunFile,
    servers, startup, terminal,
};
use worthit_pair::{
    case::{Case, Shape},
    pair::Unavailable,
    paths,
    study::{self, Applied, Fix, Study},
    trial::{Role, Trial},
};

pub use waterfall::{Bought, Latency, NamedFix, StepResult, StudyResult};

/// A study and its id.
pub type Named = (&'static str, &'static Study);

/// Requests of a step are measured until they have taken this long together, in a quick run the second time…
const MEASURE: [Duration; 2] = [Duration::from_secs(5), Duration::from_millis(500)];
/// …but no fewer requests than this, in a quick run the second number…
const LEAST_REQUESTS: [usize; 2] = [2, 1];
/// …and no more than this.
const MOST_REQUESTS: usize = 200;
/// Requests that warm up a step whose requests are short.
const WARM_UP: u64 = 5;
/// A request is short if it takes less than this.
const SHORT: Duration = Duration::from_millis(100);
/// The size of the proof before a study is measured: of a request, and of what the application holds.
const PROOF: (u64, u64) = (8, 50);

/// Runs the studies of a package, with the process's arguments: the `main` of their bench binary.
pub fn run(package: &str, studies: &[Named]) {
    let started = startup::start(package)
        .unwrap_or_else(|error| fail(1, &format!("cannot execute this binary again: {error}")));
    let flags = &started.flags;
    let selector = flags.selector().unwrap_or_else(|error| {
        fail(2, &format!("the filter is not a valid regular expression: {error}"));
    });
    let selected: Vec<Named> =
        studies.iter().filter(|(id, _)| selector.selects(id)).copied().collect();
    let orders = selected.iter().map(|(id, study)| {
        order(study, flags.order.as_deref()).unwrap_or_else(|problem| {
            fail(2, &format!("{id}: {problem}"));
        })
    });
    let orders: Vec<Vec<&'static Fix>> = orders.collect();
    match flags.mode() {
        Mode::List => selected.iter().for_each(|(id, _)| print(&format!("{id}: benchmark\n"))),
        Mode::Test => {
            for (named, order) in selected.iter().zip(&orders) {
                if let Err(unavailable) = prove(*named, order, flags.seed) {
                    say(&format!("{} cannot run here: {unavailable}", named.0));
                }
            }
        }
        // Criterion's profiles and baselines are not for studies.
        Mode::Unmeasured => {}
        Mode::Measure if selected.is_empty() => {}
        Mode::Measure => measure(package, &selected, &orders, flags),
    }
    servers::clean_up();
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
fn prove((id, study): Named, order: &[&'static Fix], seed: u64) -> Result<(), Unavailable> {
    let (size, holds) = PROOF;
    let case =
        Case { shape: Shape::Realistic, proof_size: Some(holds), ..Case::realistic(size, 0, seed) };
    let mut trial = (study.prepare)(&case, &Applied::steps(order))?;
    if let Err(problem) = trial.prove(size) {
        fail(1, &format!("{id}: {problem}\nThe study was not measured; the run ends here."));
    }
    Ok(())
}

fn measure(package: &str, studies: &[Named], orders: &[Vec<&'static Fix>], flags: &Flags) {
    if let Err(error) = interrupt::handle() {
        fail(1, &format!("cannot handle interrupts: {error}"));
    }
    paths::remove_abandoned();
    let mut run = RunFile::join(package, flags.quick, flags.seed)
        .unwrap_or_else(|error| fail(1, &error.to_string()));
    interrupt::say_when_interrupted(format!(
        "interrupted; what was finished is in {}",
        run.path().display()
    ));
    worthit_servers::start_all(studies.iter().flat_map(|(_, study)| study.servers).copied());
    for ((id, study), order) in studies.iter().zip(orders) {
        let proven = prove((id, study), order, flags.seed);
        let result = match proven.and_then(|()| steps(id, study, order, flags)) {
            Ok(steps) => result(study, steps, None),
            Err(unavailable) => result(study, Vec::new(), Some(unavailable.to_string())),
        };
        print(&result.in_text(id, terminal::width()));
        let record = Record::Study { id: (*id).to_owned(), study: Box::new(result) };
        if let Err(error) = run.append(vec![record]) {
            fail(1, &error.to_string());
        }
    }
}

fn result(study: &Study, steps: Vec<StepResult>, unavailable: Option<String>) -> StudyResult {
    StudyResult { title: study.title.to_owned(), unit: study.unit.to_owned(), steps, unavailable }
}

/// Measures each step of a study.
fn steps(
    id: &str,
    study: &Study,
    order: &[&'static Fix],
    flags: &Flags,
) -> Result<Vec<StepResult>, Unavailable> {
    let applied = Applied::steps(order);
    let case = Case::realistic(study.size, 0, flags.seed);
    let mut trial = (study.prepare)(&case, &applied)?;
    let fixes = [None].into_iter().chain(order.iter().copied().map(Some));
    let steps = applied.iter().zip(fixes).enumerate().filter_map(|(place, (step, fix))| {
        let latency = latency(&mut trial, study::role(place, applied.len()), flags.quick)?;
        if !flags.quiet {
            let name = fix.map_or("as it grew", |fix| fix.name);
            let p50 = worthit_pair::format::duration(latency.p50_ns);
            say(&format!("{id} [{} of {}] {name}: {p50}", place + 1, applied.len()));
        }
        let waits = study.waits.iter().filter(|wait| !step.has(wait.until));
        Some(StepResult {
            fix: fix.map(|fix| NamedFix { name: fix.name.to_owned(), title: fix.title.to_owned() }),
            latency,
            simulated_ns: waits.map(|wait| wait.ms as f64 * 1e6).sum(),
        })
    });
    Ok(steps.collect())
}

/// Measures requests of one step, one after another.
fn latency(trial: &mut Trial, role: Role, is_quick: bool) -> Option<Latency> {
    let (time, least) = (MEASURE[usize::from(is_quick)], LEAST_REQUESTS[usize::from(is_quick)]);
    let mut latencies = vec![trial.measure(role, 1)];
    if latencies[0] < SHORT {
        trial.warm_up(role, WARM_UP);
        latencies.clear();
    }
    while latencies.len() < least
        || latencies.len() < MOST_REQUESTS && latencies.iter().sum::<Duration>() < time
    {
        latencies.push(trial.measure(role, 1));
    }
    Latency::of(latencies.into_iter().map(|latency| latency.as_nanos() as f64).collect())
}

#[cfg(test)]
mod tests {
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
}
