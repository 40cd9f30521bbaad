//! The scaling page: speedups and laws, of made results and of one that a machine of sixteen cores made.

use std::path::Path;

use worthit_harness::results::{Measured, Outcome, PairResult, Run};
use worthit_pair::{limit::Need, trial::Role};

use crate::made::{add, empty_run, full_run, measured, pair, side, site, text};

/// The family parallelism on sixteen cores, cut down: without peers, and with two of the points of `parallel_map`,
/// which was measured on 2, 4, 8 and 16 threads, but not on one.
const SIXTEEN_CORES: &str =
    include_str!("../../crates/harness/tests/machines/xeon16_parallelism.json");

pub fn sixteen_cores() -> Run {
    Run::parse(SIXTEEN_CORES.as_bytes(), Path::new("xeon16_parallelism.json")).unwrap()
}

/// A pair on twelve thread counts that streams, with a marked case: the most columns and rows that a table has.
pub fn widest() -> Run {
    let mut run = sixteen_cores();
    run.machine.logical_cores = 64;
    let threads = PairResult { axis: "threads".to_owned(), ..pair("Use all cores") };
    for n in [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64] {
        let mark = (n == 48).then_some("other processes held the CPU");
        let found = streaming(measured(1.0, mark), 1_000.0 * (0.1 + 0.9 / n as f64));
        add(&mut run, "made/threads", &threads, "", vec![(n, found)]);
    }
    run
}

/// The same outcome with this time of the optimized side, and bytes that it must stream.
fn streaming(outcome: Outcome, ns: f64) -> Outcome {
    changed(outcome, |found| {
        found.sides[1] = side(Role::Optimized, "optimized", ns, 10);
        found.needed[0].kind = Need::BytesStreamed;
    })
}

fn changed(outcome: Outcome, change: impl FnOnce(&mut Measured)) -> Outcome {
    let Outcome::Measured(mut found) = outcome else { panic!("it is not measured: {outcome:?}") };
    change(&mut found);
    Outcome::Measured(found)
}

/// The text of the section of the scaling page that begins with this heading.
fn section(run: &Run, heading: &str) -> String {
    let page = text(&site(run)["scaling.html"]);
    let (_, rest) = page.split_once(heading).unwrap_or_else(|| panic!("no {heading}: {page}"));
    let end = ["parallelism/", "made/"].iter().filter_map(|family| rest.find(family)).min();
    rest[..end.unwrap_or(rest.len())].to_owned()
}

#[test]
fn scaling_shows_speedups_the_ceiling_and_why_there_is_no_fit() {
    let page = text(&site(&full_run())["scaling.html"]);
    assert!(page.contains("made/threads") && !page.contains("made/search"), "{page}");
    for part in
        ["1.90× (1.80…2.00)", "Amdahl's law needs at least 4 thread counts", "2 logical cores"]
    {
        assert!(page.contains(part), "{part}\n{page}");
    }
}

#[test]
fn laws_are_fitted_if_there_are_enough_thread_counts() {
    let mut run = empty_run();
    run.machine.logical_cores = 64;
    let threads = PairResult { axis: "threads".to_owned(), ..pair("Use all cores") };
    // Amdahl's law with a tenth of the work serial.
    let time = |n: f64| 1_000.0 * (0.1 + 0.9 / n);
    for n in [1, 2, 4, 8, 16, 32, 64] {
        let Outcome::Measured(mut found) = measured(1.0, None) else { unreachable!() };
        found.sides[1] = side(Role::Optimized, "optimized", time(n as f64), 10);
        found.needed[0].kind = Need::BytesStreamed;
        add(&mut run, "made/threads", &threads, "", vec![(n, Outcome::Measured(found))]);
    }
    let page = text(&site(&run)["scaling.html"]);
    for part in ["serial fraction 0.100", "contention σ 0.100", "The fitted law", "GB/s"] {
        assert!(page.contains(part), "{part}\n{page}");
    }
}

#[test]
fn a_pair_that_was_not_measured_on_one_thread_shows_its_gains_and_says_so() {
    let part = section(&sixteen_cores(), "parallelism/parallel_map · 4,096 items");
    for shown in
        ["One thread was not measured in this run", "threads gain ceiling 2 ", "10.8× (9.44…12.3)"]
    {
        assert!(part.contains(shown), "{shown}\n{part}");
    }
    for absent in ["over one thread 1", "efficiency 1", "law:", "no law describes"] {
        assert!(!part.contains(absent), "{absent}\n{part}");
    }
}

#[test]
fn a_law_is_shown_only_where_it_describes_what_was_measured() {
    let run = sixteen_cores();
    let padded = section(&run, "parallelism/padded_counters");
    assert!(padded.contains("Amdahl's law: serial fraction 0."), "{padded}");
    assert!(padded.contains("R² 0.916") && !padded.contains("no law"), "{padded}");
    let sharded = section(&run, "parallelism/sharded_map · 50%-zipf");
    for shown in [
        "no law describes this: a fit needs an R² of at least 0.8",
        "Amdahl's law does not describe this: R² -1.687",
        "the Universal Scalability Law needs at least 6 thread counts",
    ] {
        assert!(sharded.contains(shown), "{shown}\n{sharded}");
    }
    assert!(
        !sharded.contains("serial fraction") && !sharded.contains("The fitted law"),
        "{sharded}"
    );
}

#[test]
fn a_pair_that_was_measured_on_one_thread_only_does_not_scale() {
    let mut run = sixteen_cores();
    for pair in run.pairs.values_mut() {
        pair.sweeps.iter_mut().for_each(|sweep| sweep.cases.retain(|case| case.point == 1));
    }
    let page = text(&site(&run)["scaling.html"]);
    assert!(page.contains("No pair of this run was measured on several threads."), "{page}");
}

#[test]
fn a_level_that_could_not_run_hides_only_itself() {
    let mut run = sixteen_cores();
    let reason = "cannot start a pool".to_owned();
    let map = run.pairs.get_mut("parallelism/parallel_map").unwrap();
    for case in &mut map.sweeps.last_mut().unwrap().cases {
        case.outcome = Outcome::Unavailable { reason: reason.clone() };
    }
    let part = section(&run, "parallelism/parallel_map · 4,096 items");
    assert!(part.contains("threads gain ceiling 2 ") && !part.contains(" 16 "), "{part}");
}

#[test]
fn it_is_said_where_the_scheduler_chose_the_cores() {
    let chosen = "The scheduler chose the cores";
    let mut run = sixteen_cores();
    assert!(section(&run, "parallelism/padded_counters").contains(chosen));
    let padded = run.pairs.get_mut("parallelism/padded_counters").unwrap();
    for case in padded.sweeps.iter_mut().flat_map(|sweep| &mut sweep.cases) {
        let Outcome::Measured(found) = &mut case.outcome else { panic!("{case:?}") };
        found.are_threads_placed = true;
    }
    assert!(!section(&run, "parallelism/padded_counters").contains(chosen));
}
