//! Tests of verdicts, on made results.

use super::*;
use crate::{
    made::{
        FAMILY, HEADLINE, INSTRUMENTS, add, assert_follows, between, computed, gain, marked, run,
        run_of, unavailable,
    },
    study::{Latency, StepResult, StudyResult, made},
};

const LONG: &str = "f/a_name_of_thirty_one_characters";

fn line(pairs: Vec<(&str, Outcome)>) -> String {
    RunVerdict::of(&run_of(pairs), &[&FAMILY, &INSTRUMENTS]).to_string()
}

#[test]
fn the_line_has_a_clause_for_each_verdict_that_occurs() {
    assert_eq!(
        line(vec![
            ("f/p", between(1.01, 1.03)),
            (LONG, between(0.97, 0.99)),
            ("f/q", between(0.99, 1.01)),
            ("f/r", unavailable("no server")),
        ]),
        format!(
            "verdict: 1 of 4 pairs wins, 1 loses ({LONG}), 1 cannot be told (f/q), 1 not measured (f/r)"
        )
    );
    assert_eq!(
        line(vec![("f/p", gain(0.5)), (LONG, gain(0.5)), ("f/q", gain(3.0)), ("f/r", gain(3.0))]),
        format!("verdict: 2 of 4 pairs win, 2 lose (f/p, {LONG})")
    );
    assert_eq!(
        line(vec![("f/p", gain(1.0)), ("f/q", gain(1.0)), ("f/r", gain(2.0))]),
        "verdict: 1 of 3 pairs wins, 2 cannot be told (f/p, f/q), 1 not in this run"
    );
    assert_eq!(line(vec![("f/p", gain(2.0))]), "verdict: 1 of 1 pair wins, 3 not in this run");
    assert_eq!(line(vec![]), "verdict: 0 of 0 pairs win, 4 not in this run");
}

#[test]
fn an_interval_that_touches_1_cannot_be_told() {
    for interval in [between(1.0, 1.2), between(0.8, 1.0)] {
        assert!(line(vec![("f/p", interval)]).contains("1 cannot be told (f/p)"));
    }
}

#[test]
fn instruments_are_not_counted_and_pairs_of_another_catalogue_are() {
    let pairs = vec![("calibration/identical_sides", gain(0.5)), ("g/other", gain(0.5))];
    assert_eq!(line(pairs), "verdict: 0 of 1 pair win, 1 loses (g/other), 4 not in this run");
}

#[test]
fn the_headline_speaks_and_the_last_other_case_where_it_cannot() {
    let speaking = |outcomes: Vec<(&str, u64, Outcome)>| {
        let mut run = run();
        for (level, point, outcome) in outcomes {
            add(&mut run, "f/p", level, point, outcome);
        }
        let mut verdict = RunVerdict::of(&run, &[&FAMILY]);
        verdict.pairs.remove(0)
    };
    let at = |pair: &PairVerdict| {
        let case = pair.case.as_ref().unwrap();
        (case.level.clone(), case.point, case.gain.estimate)
    };
    // A deep run goes beyond it.
    let deep = speaking(vec![("", HEADLINE, gain(2.0)), ("", 1_000_000, gain(9.0))]);
    assert_eq!(at(&deep), (String::new(), HEADLINE, 2.0));
    let not_there = speaking(vec![("", 1, gain(0.5)), ("", 10, gain(3.0))]);
    assert_eq!(at(&not_there), (String::new(), 10, 3.0));
    let disturbed = speaking(vec![("", 1, gain(0.5)), ("", HEADLINE, marked(gain(3.0)))]);
    // It may lose there, as its card says; that is not its verdict.
    assert_eq!(
        (at(&disturbed), disturbed.verdict),
        ((String::new(), 1, 0.5), Standing::CannotTell)
    );
    assert_eq!(disturbed.reason.as_deref(), Some("marked: other processes held the CPU"));
    let levels = speaking(vec![
        ("near", 1, gain(0.5)),
        ("far", 1, computed(7.0)),
        ("far", 10, unavailable("no")),
    ]);
    assert_eq!(at(&levels), ("far".to_owned(), 1, 7.0));
    assert!(levels.case.unwrap().is_computed);
}

#[test]
fn a_pair_that_is_not_measured_says_why() {
    let reason = |outcome| {
        let run = run_of(vec![("f/p", outcome)]);
        let verdict = RunVerdict::of(&run, &[&FAMILY]);
        assert_eq!(verdict.ids(Standing::NotMeasured), ["f/p"]);
        verdict.pairs[0].reason.clone().unwrap()
    };
    assert_eq!(reason(unavailable("not measured: no server")), "no server");
    assert_eq!(reason(marked(gain(2.0))), "marked: other processes held the CPU");
    let mut run = run_of(vec![("f/p", gain(2.0))]);
    run.pairs.get_mut("f/p").unwrap().sweeps.clear();
    let verdict = RunVerdict::of(&run, &[&FAMILY]);
    assert_eq!(verdict.pairs[0].reason.as_deref(), Some("the run recorded no case of it"));
}

#[test]
fn the_document_follows_its_schema_and_says_what_the_line_says() {
    let mut run = run_of(vec![
        ("f/p", between(1.5, 2.5)),
        (LONG, gain(0.5)),
        ("f/q", unavailable("no server")),
        ("calibration/identical_sides", gain(1.0)),
    ]);
    let step = |ns: f64, simulated_ns: f64| StepResult {
        fix: None,
        latency: Latency::of(vec![ns]).unwrap(),
        gain: None,
        simulated_ns,
        counts: BTreeMap::new(),
        mark: None,
        at_users: Vec::new(),
    };
    let study =
        StudyResult { steps: vec![step(900.0, 100.0), step(10.0, 0.0)], ..StudyResult::default() };
    let cut = StudyResult { is_unfinished: true, ..study.clone() };
    let unmeasured = StudyResult::default();
    let (of_capacity, of_users) = (made::of_capacity(), made::of_users());
    run.studies = [
        ("s/one", study),
        ("s/two", unmeasured),
        ("s/three", cut),
        ("s/four", of_capacity),
        ("s/five", of_users),
    ]
    .map(|(id, study)| (id.to_owned(), study))
    .into();
    let verdict = RunVerdict::of(&run, &[&FAMILY]);
    let document = assert_follows(&verdict.json(), SCHEMA);
    let studies = serde_json::json!({
        "s/four": {
            "judged_by": "capacity", "users": 20, "first_per_s": 10.0, "last_per_s": 400.0, "gain": 40.0
        },
        "s/five": { "judged_by": "users", "first": 10, "last": 1_000, "gain": 100.0 },
        "s/one": {
            "judged_by": "latency",
            "first_ns": 900.0, "last_ns": 10.0, "simulated_ns": 100.0, "gain": 90.0, "own_gain": 80.0
        }
    });
    assert_eq!(document["studies"], studies);
    let counts = serde_json::json!({
        "wins": 1, "loses": 1, "cannot_tell": 0, "not_measured": 1, "not_in_run": 1
    });
    assert_eq!(document["counts"], counts);
    let first = &document["pairs"][0];
    assert_eq!((&first["pair"], &first["verdict"]), (&"f/p".into(), &"wins".into()));
    assert_eq!(first["case"]["gain"]["high"], 2.5);
    assert_eq!(document["pairs"][2]["reason"], "no server");
    assert_eq!(document["pairs"].as_array().unwrap().len(), 3);
}
