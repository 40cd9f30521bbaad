//! Measures studies: a request of an application as it grew, and with one fix more at each step.

mod waterfall;

use std::time::Duration;

use crate::{flags::Flags, load::LoadProbe, printing::say, process::fail, servers};
use worthit_pair::{
    case::{Case, Shape},
    format,
    pair::Unavailable,
    study::{self, Application, Applied, Fix, Study, StudyEntry},
    trial::Role,
};

pub use waterfall::{Bought, Latency, NamedFix, StepResult, StudyResult, Wait, bought, whole};

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
const PROOF: (u64, u64) = (8, 50);

/// Returns the orders in which a run measures the fixes of a study: the one that is asked for, and in a deep run, where
/// none is, also its other order.
///
/// # Errors
/// If what is asked for is not an order of its fixes.
pub fn orders(study: &Study, flags: &Flags) -> Result<Vec<Vec<&'static Fix>>, String> {
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
    let (size, holds) = PROOF;
    let case =
        Case { shape: Shape::Realistic, proof_size: Some(holds), ..Case::realistic(size, 0, seed) };
    let mut application = (study.prepare)(&case, &Applied::steps(order))?;
    if let Err(problem) = application.trial.prove(size) {
        fail(
            1,
            &format!("{}: {problem}\nThe study was not measured; the run ends here.", study.id),
        );
    }
    Ok(())
}

/// Proves and measures a study in these orders of its fixes.
pub fn measure(study: &StudyEntry, orders: &[Vec<&'static Fix>], flags: &Flags) -> StudyResult {
    let mut result = StudyResult::of(study);
    let in_order = |order: &Vec<&'static Fix>| {
        prove(study, order, flags.seed)?;
        steps(study, order, flags)
    };
    match orders.iter().map(in_order).collect::<Result<Vec<_>, Unavailable>>() {
        Ok(orders) => {
            let mut orders = orders.into_iter();
            result.servers = servers::used(study.servers);
            (result.steps, result.other_order) =
                (orders.next().unwrap_or_default(), orders.next().unwrap_or_default());
        }
        Err(unavailable) => result.unavailable = Some(unavailable.to_string()),
    }
    result
}

/// Measures each step of a study.
fn steps(
    study: &StudyEntry,
    order: &[&'static Fix],
    flags: &Flags,
) -> Result<Vec<StepResult>, Unavailable> {
    let applied = Applied::steps(order);
    let case = Case::realistic(study.size, 0, flags.seed);
    let mut application = (study.prepare)(&case, &applied)?;
    let fixes = [None].into_iter().chain(order.iter().copied().map(Some));
    let steps = applied.iter().zip(fixes).enumerate().filter_map(|(place, (step, fix))| {
        let role = study::role(place, applied.len());
        let measured = measured(&mut application, role, flags.quick)?;
        if !flags.quiet {
            let name = fix.map_or("as it grew", |fix| fix.name);
            let p50 = format::duration(measured.latency.p50_ns);
            say(&format!("{} [{} of {}] {name}: {p50}", study.id, place + 1, applied.len()));
        }
        let waits = study.waits.iter().filter(|wait| !step.has(wait.until));
        let causes = study.counters().map(|cause| cause.id.to_owned());
        Some(StepResult {
            fix: fix.map(|fix| NamedFix { name: fix.name.to_owned(), title: fix.title.to_owned() }),
            latency: measured.latency,
            simulated_ns: waits.map(|wait| wait.ms as f64 * 1e6).sum(),
            counts: causes.zip(measured.counts).collect(),
            mark: measured.mark,
        })
    });
    Ok(steps.collect())
}

/// What requests of one step took.
struct OfStep {
    latency: Latency,
    /// Counts of a request, in the order of the study's counters.
    counts: Vec<f64>,
    mark: Option<String>,
}

/// Measures requests of one step, one after another. One that is not measured goes ahead, as the step before may have left
/// other tables and plans in the caches.
fn measured(application: &mut Application, role: Role, is_quick: bool) -> Option<OfStep> {
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
    let counts =
        before.iter().zip(&after).map(|(before, after)| (after - before) as f64 / requests);
    Some(OfStep {
        counts: counts.collect(),
        mark,
        latency: Latency::of(latencies.into_iter().map(|it| it.as_nanos() as f64).collect())?,
    })
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
}
