//! A family and results of it, made for tests of what is said about a run.

use jiff::Timestamp;

use crate::{
    load::Load,
    machine::Machine,
    results::{
        CaseResult, Computed, Headline, Measured, NamedCause, Outcome, PairResult, Revision, Run,
        SideResult,
    },
    statistics::{Interval, Summary},
};
use worthit_pair::{
    causes::{Counts, STATEMENTS},
    family::{Entry, Family},
    pair::{Axis, Pair, Points},
    trial::Role,
};

const PAIR: Pair = Pair {
    title: "Do less work",
    axis: Axis {
        name: "rows",
        unit: "rows",
        is_size: true,
        points: Points::Fixed { default: &[1, 1_000], deep: &[1_000_000] },
    },
    unit: "row",
    ..Pair::DEFAULTS
};

/// Point of the headline of each of its pairs, the last of a default run.
pub const HEADLINE: u64 = 1_000;

/// A family of four pairs, the second of which has a long id.
pub static FAMILY: Family = Family {
    name: "f",
    package: "made",
    title: "Do less work",
    pairs: &[
        Entry::new("f/p", "", &PAIR),
        Entry::new("f/a_name_of_thirty_one_characters", "", &PAIR),
        Entry::new("f/q", "", &PAIR),
        Entry::new("f/r", "", &PAIR),
    ],
    ..Family::EMPTY
};

/// A family that measures the suite itself.
pub static INSTRUMENTS: Family = Family {
    name: "calibration",
    package: "made",
    title: "Measure the measure",
    pairs: &[Entry::new("calibration/identical_sides", "", &PAIR)],
    ..Family::EMPTY
};

/// A run without results.
pub fn run() -> Run {
    let revision = Revision { commit: Some("abc".to_owned()), dirty: false };
    Run::new("made", Timestamp::UNIX_EPOCH, false, 42, Machine::current(), revision)
}

/// A gain of a case that is measured, ± 1 %.
pub fn gain(estimate: f64) -> Outcome {
    between(estimate * 0.99, estimate * 1.01)
}

/// A gain with this interval, from 100 statements on the naive side and one on the optimized side.
pub fn between(low: f64, high: f64) -> Outcome {
    let gain = Interval { low, estimate: f64::midpoint(low, high), high };
    let side = |role, name: &str, statements| {
        let mut causes = Counts::default();
        causes.set(STATEMENTS, statements);
        let time_ns = Summary::of(&[1.0]).expect("it is finite");
        SideResult::new(role, name, time_ns, causes)
    };
    Outcome::Measured(Box::new(Measured {
        units_per_iteration: 1,
        inputs: 1,
        sides: vec![side(Role::Naive, "naive", 100), side(Role::Optimized, "optimized", 1)],
        gain,
        processes: vec![gain],
        needed: vec![],
        are_threads_placed: false,
        load: Load::default(),
        marked_processes: 0,
        mark: None,
    }))
}

/// The same outcome, marked.
pub fn marked(outcome: Outcome) -> Outcome {
    changed(outcome, |found| found.mark = Some("other processes held the CPU".to_owned()))
}

/// The same outcome with another count of statements on one side.
pub fn counting(outcome: Outcome, role: Role, statements: u64) -> Outcome {
    changed(outcome, |found| {
        let side = found.sides.iter_mut().find(|side| side.role == role);
        side.expect("both sides are made").causes.set(STATEMENTS, statements);
    })
}

/// The same outcome with these times of the sides, ns.
pub fn timed(outcome: Outcome, naive_ns: f64, optimized_ns: f64) -> Outcome {
    changed(outcome, |found| {
        for (side, ns) in found.sides.iter_mut().zip([naive_ns, optimized_ns]) {
            side.time_ns = Summary::of(&[ns]).expect("it is finite");
        }
    })
}

/// The same outcome, as if `processes` processes had found it, all with the same gain.
pub fn of_processes(outcome: Outcome, processes: usize) -> Outcome {
    changed(outcome, |found| found.processes = vec![found.gain; processes])
}

fn changed(outcome: Outcome, change: impl FnOnce(&mut Measured)) -> Outcome {
    let Outcome::Measured(mut found) = outcome else { panic!("it is not measured: {outcome:?}") };
    change(&mut found);
    Outcome::Measured(found)
}

/// A gain that is computed from the level "near".
pub fn computed(gain: f64) -> Outcome {
    Outcome::Computed(Computed {
        from: "near".to_owned(),
        rtt_us: 1,
        naive_ns: gain,
        optimized_ns: 1.0,
        gain,
        break_even_rtt_us: Some(0.0),
        confirmation: None,
    })
}

/// A case that cannot run.
pub fn unavailable(reason: &str) -> Outcome {
    Outcome::Unavailable { reason: reason.to_owned() }
}

/// Adds a case to a run.
pub fn add(run: &mut Run, id: &str, level: &str, point: u64, outcome: Outcome) {
    let causes =
        vec![NamedCause { id: STATEMENTS.id.to_owned(), label: STATEMENTS.label.to_owned() }];
    let pair = run.pairs.entry(id.to_owned()).or_insert_with(|| PairResult {
        title: PAIR.title.to_owned(),
        naive: "naive".to_owned(),
        optimized: "optimized".to_owned(),
        metric: PAIR.metric,
        unit: PAIR.unit.to_owned(),
        axis: PAIR.axis.name.to_owned(),
        axis_unit: PAIR.axis.unit.to_owned(),
        parameter: None,
        headline: Some(Headline { level: String::new(), point: HEADLINE }),
        causes,
        objective: None,
        servers: Vec::new(),
        sweeps: Vec::new(),
        levels: ["", "near", "far"].map(str::to_owned).to_vec(),
    });
    pair.add(level, CaseResult { point, outcome });
}

/// A run of these pairs: their ids, and their outcomes at the headline.
pub fn run_of(pairs: Vec<(&str, Outcome)>) -> Run {
    let mut run = run();
    for (id, outcome) in pairs {
        add(&mut run, id, "", HEADLINE, outcome);
    }
    run
}

/// Asserts that a document follows a JSON Schema.
pub fn assert_follows(document: &str, schema: &str) -> serde_json::Value {
    let document = serde_json::from_str(document).expect("it is JSON");
    let schema = serde_json::from_str(schema).expect("the schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("the schema is sound");
    let errors: Vec<String> = validator
        .iter_errors(&document)
        .map(|error| format!("{error} at {}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:?}\n{document:#}");
    document
}
