//! Tests of comparisons, on made results.

use super::*;
use crate::{
    made::{
        HEADLINE, add, assert_follows, between, computed, counting, gain, marked, run_of,
        unavailable,
    },
    results::Outcome,
};

fn compare(before: Vec<(&str, Outcome)>, after: Vec<(&str, Outcome)>) -> String {
    Comparison::of(&run_of(before), &run_of(after)).to_string()
}

#[test]
fn a_pair_is_better_or_worse_only_where_the_intervals_do_not_overlap() {
    let change = |after| compare(vec![("f/p", between(2.0, 3.0))], vec![("f/p", after)]);
    assert_eq!(change(between(3.01, 4.0)), "comparison: 1 of 1 pair better");
    assert_eq!(change(between(1.0, 1.99)), "comparison: 0 of 1 pair better, 1 worse (f/p)");
    for touching in [between(3.0, 4.0), between(1.0, 2.0), between(2.2, 2.3)] {
        assert_eq!(change(touching), "comparison: 0 of 1 pair better, 1 cannot be told apart");
    }
}

#[test]
fn the_line_has_a_clause_for_each_change_that_occurs() {
    let before = vec![
        ("f/a", gain(2.0)),
        ("f/b", gain(2.0)),
        ("f/c", gain(2.0)),
        ("f/d", gain(2.0)),
        ("f/e", gain(2.0)),
    ];
    let after = vec![
        ("f/a", gain(3.0)),
        ("f/b", gain(1.0)),
        ("f/c", counting(gain(2.0), Role::Optimized, 2)),
        ("f/d", counting(gain(1.0), Role::Naive, 99)),
        ("f/g", gain(2.0)),
    ];
    assert_eq!(
        compare(before, after),
        "comparison: 1 of 6 pairs better, 2 worse (f/b, f/d), 1 cannot be told apart, \
         2 not comparable (f/e, f/g); counts differ in 2 pairs (f/c, f/d); \
         counts of the optimized side rose in 1 pair (f/c)"
    );
    assert_eq!(compare(vec![], vec![]), "comparison: 0 of 0 pairs better");
}

#[test]
fn a_pair_that_is_better_at_one_case_and_worse_at_another_is_worse() {
    let (mut before, mut after) = (run_of(vec![]), run_of(vec![]));
    for (level, earlier, later) in [("near", 2.0, 3.0), ("far", 2.0, 1.0)] {
        add(&mut before, "f/p", level, HEADLINE, gain(earlier));
        add(&mut after, "f/p", level, HEADLINE, gain(later));
    }
    let comparison = Comparison::of(&before, &after);
    assert_eq!(comparison.ids(Change::Worse), ["f/p"]);
    assert_eq!(
        comparison.worse_cases(),
        "worse: f/p/far at 1000: gain 2.00× (1.98…2.02) → 1.00× (0.990…1.01)\n"
    );
    assert!(comparison.is_worse() && comparison.is_comparable());
}

#[test]
fn marked_computed_and_unavailable_cases_decide_nothing() {
    let measured = || gain(4.0);
    for (before, after) in [
        (measured(), marked(gain(2.0))),
        (marked(gain(2.0)), measured()),
        (computed(4.0), computed(2.0)),
        (measured(), unavailable("no server")),
    ] {
        let (before, after) = (run_of(vec![("f/p", before)]), run_of(vec![("f/p", after)]));
        let comparison = Comparison::of(&before, &after);
        let pair = &comparison.pairs[0];
        assert_eq!(pair.change, Change::NotComparable);
        assert_eq!(pair.reason, Some("no case is measured and unmarked in both results"));
        assert!(!pair.cases[0].decides && !comparison.is_worse() && !comparison.is_comparable());
        assert_eq!(comparison.worse_cases(), "");
    }
}

#[test]
fn computed_gains_have_a_ratio_but_no_interval() {
    let (before, after) =
        (run_of(vec![("f/p", computed(4.0))]), run_of(vec![("f/p", computed(2.0))]));
    let comparison = Comparison::of(&before, &after);
    let case = &comparison.pairs[0].cases[0];
    assert_eq!((case.ratio, case.intervals), (Some(0.5), None));
}

#[test]
fn results_of_two_machines_get_neither_ratio_nor_verdict_but_their_counts_are_compared() {
    let before = run_of(vec![("f/p", gain(2.0)), ("f/q", gain(2.0))]);
    let mut after =
        run_of(vec![("f/p", counting(gain(1.0), Role::Optimized, 7)), ("f/q", gain(9.0))]);
    after.machine.key = "elsewhere".to_owned();
    let comparison = Comparison::of(&before, &after);
    assert_eq!(
        comparison.to_string(),
        format!(
            "comparison: 0 of 2 pairs better, 2 not comparable (different machine keys: {}, elsewhere); \
             counts differ in 1 pair (f/p); counts of the optimized side rose in 1 pair (f/p)",
            before.machine.key
        )
    );
    let case = &comparison.pairs[0].cases[0];
    assert_eq!((case.ratio, case.intervals, case.decides), (None, None, false));
    assert_eq!(comparison.worse_cases(), "count rose: f/p at 1000: 1 → 7 statements\n");
    assert!(comparison.has_common_case() && comparison.is_worse() && !comparison.is_comparable());
}

#[test]
fn results_of_an_older_key_are_not_compared_even_if_nothing_tells_their_machines_apart() {
    let before = run_of(vec![("f/p", gain(2.0))]);
    let mut after = run_of(vec![("f/p", counting(gain(1.0), Role::Optimized, 7))]);
    assert_eq!(Comparison::of(&before, &after).ids(Change::Worse), ["f/p"]);
    after.machine.processor = None;
    let older = Run { machine: after.machine.clone(), ..before.clone() };
    for before in [&before, &older] {
        let comparison = Comparison::of(before, &after);
        assert_eq!(
            comparison.to_string(),
            format!(
                "comparison: 0 of 1 pair better, 1 not comparable (an older kind of machine key, which \
                 different machines share: {}); counts differ in 1 pair (f/p); counts of the optimized \
                 side rose in 1 pair (f/p)",
                after.machine.key
            )
        );
        let case = &comparison.pairs[0].cases[0];
        assert_eq!((case.ratio, case.intervals, case.decides), (None, None, false));
        assert_eq!(assert_follows(&comparison.json(), SCHEMA)["same_machine"], false);
    }
}

#[test]
fn a_count_that_rises_with_another_seed_is_no_change_for_the_worse() {
    let before = run_of(vec![("f/p", gain(2.0))]);
    let mut after = run_of(vec![("f/p", counting(gain(2.0), Role::Optimized, 7))]);
    assert!(Comparison::of(&before, &after).is_worse());
    after.seed += 1;
    let comparison = Comparison::of(&before, &after);
    assert_eq!(comparison.ids_with_changed_counts(), ["f/p"]);
    assert!(!comparison.is_worse());
    let fewer = run_of(vec![("f/p", counting(gain(2.0), Role::Optimized, 0))]);
    assert!(!Comparison::of(&before, &fewer).is_worse(), "fewer statements are no worse");
}

#[test]
fn cases_of_either_result_are_listed_and_none_may_be_common() {
    let (mut before, mut after) = (run_of(vec![]), run_of(vec![]));
    add(&mut before, "f/p", "", 1, gain(2.0));
    add(&mut after, "f/p", "", HEADLINE, gain(2.0));
    let comparison = Comparison::of(&before, &after);
    let points: Vec<u64> = comparison.pairs[0].cases.iter().map(|case| case.key.point).collect();
    assert_eq!(points, [1, HEADLINE]);
    assert!(!comparison.has_common_case());
}

#[test]
fn the_document_follows_its_schema_and_says_what_the_line_says() {
    let before =
        run_of(vec![("f/p", gain(2.0)), ("f/q", marked(gain(2.0))), ("f/r", unavailable("no"))]);
    let after = run_of(vec![
        ("f/p", counting(gain(1.0), Role::Optimized, 2)),
        ("f/q", gain(4.0)),
        ("f/s", computed(2.0)),
    ]);
    let document = assert_follows(&Comparison::of(&before, &after).json(), SCHEMA);
    let counts = serde_json::json!({
        "better": 0, "worse": 1, "cannot_tell": 0, "not_comparable": 3,
        "changed_counts": 1, "risen_counts": 1
    });
    assert_eq!(document["counts"], counts);
    let case = &document["pairs"][0]["cases"][0];
    assert_eq!((&case["ratio"], &case["intervals"]), (&0.5.into(), &"below".into()));
    assert_eq!(case["changed_counts"][0]["role"], "optimized");
    assert_eq!(document["pairs"][1]["cases"][0]["ratio"], 2.0);
    assert_eq!(document["pairs"][2]["cases"][0]["before"]["reason"], "no");
    assert_eq!(document["pairs"][3]["reason"], "only the second result has it");
}
