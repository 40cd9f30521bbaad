//! Tests of what several machines found, on made results.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::*;
use crate::{
    made,
    numbers::{self, Number, NumberOutcome, Numbers},
    statistics::Summary,
};
use worthit_pair::{
    limit::{Need, Needed},
    pair::Metric,
    trial::Role,
};

const PAIR: &str = "f/p";

/// A run of this machine key, started on this day after the epoch.
fn run_on(key: &str, day: i64, pairs: Vec<(&str, Outcome)>) -> Run {
    let mut run = made::run_of(pairs);
    run.machine.key = key.to_owned();
    run.started = Timestamp::from_second(day * 86_400).unwrap();
    run.key = format!("{key}-{day}");
    run
}

fn older(mut run: Run) -> Run {
    run.machine.processor = None;
    run
}

fn quick(mut run: Run) -> Run {
    run.quick = true;
    run
}

/// A run without results, of the machine "own", which adds nothing.
fn without_results() -> Run {
    run_on("own", 99, vec![])
}

/// The gains of a pair on each machine; 0 for none.
fn gains(all: &Portability<'_>, id: &str) -> Vec<f64> {
    let pair = all.pairs.iter().find(|pair| pair.id == id).unwrap();
    let gain = |found: &Result<AtHeadline<'_>, _>| {
        found.as_ref().map_or(0.0, |found| (found.gain.estimate * 100.0).round() / 100.0)
    };
    pair.found.iter().map(gain).collect()
}

fn keys<'a>(all: &Portability<'a>) -> Vec<&'a str> {
    all.machines.iter().map(|machine| machine.machine.key.as_str()).collect()
}

#[test]
fn the_latest_result_of_a_machine_that_has_a_pair_speaks_for_it() {
    let references = [
        run_on("b", 3, vec![(PAIR, made::gain(5.0))]),
        run_on("b", 1, vec![(PAIR, made::gain(2.0)), ("f/q", made::gain(3.0))]),
        run_on("a", 2, vec![(PAIR, made::gain(4.0))]),
    ];
    let own = without_results();
    let all = Portability::of(&own, &references);
    assert_eq!(keys(&all), ["a", "b"]);
    assert_eq!(gains(&all, PAIR), [4.0, 5.0]);
    assert_eq!(gains(&all, "f/q"), [0.0, 3.0]);
}

#[test]
fn the_run_speaks_for_its_machine_if_it_is_later_and_not_quick() {
    let references = ["a", "b"].map(|key| run_on(key, 5, vec![(PAIR, made::gain(2.0))]));
    let own = |day| run_on("b", day, vec![(PAIR, made::gain(7.0))]);
    let gains_with = |own: &Run| gains(&Portability::of(own, &references), PAIR);
    assert_eq!(gains_with(&own(6)), [7.0, 2.0], "its own machine comes first");
    assert_eq!(gains_with(&own(4)), [2.0, 2.0]);
    assert_eq!(gains_with(&quick(own(6))), [2.0, 2.0]);
    let committed = Portability::of(&references[1], &references);
    assert_eq!(committed.machines[0].runs.len(), 1, "the run is one of the references");
    assert!(has_figures(&own(6), &[]) && has_figures(&quick(own(6)), &references));
    assert!(!has_figures(&quick(own(6)), &[]) && !has_figures(&without_results(), &[]));
}

#[test]
fn a_key_of_the_older_kind_is_a_machine_of_its_own() {
    let pairs = || vec![(PAIR, made::gain(2.0))];
    let references =
        [older(run_on("a", 9, pairs())), run_on("a", 1, pairs()), run_on("b", 1, pairs())];
    let own = without_results();
    let all = Portability::of(&own, &references);
    assert_eq!(keys(&all), ["a", "b", "a"]);
    let is_older = all.machines.iter().map(|machine| machine.machine.has_older_key());
    assert_eq!(is_older.collect::<Vec<_>>(), [false, false, true]);
}

#[test]
fn pairs_whose_answer_differs_come_first_and_then_those_that_lie_farther_apart() {
    let on = |key: &str, gains: [f64; 4]| {
        let ids = [PAIR, "f/q", "f/r", "f/s"];
        run_on(key, 1, ids.into_iter().zip(gains.map(made::gain)).collect())
    };
    let mut references = [on("a", [3.0, 8.0, 2.0, 1.0]), on("b", [2.0, 2.0, 0.9, 1.2])];
    references[1].pairs.insert("f/alone".to_owned(), references[1].pairs[PAIR].clone());
    let own = without_results();
    let all = Portability::of(&own, &references);
    let ids: Vec<&str> = all.pairs.iter().map(|pair| pair.id).collect();
    assert_eq!(ids, ["f/r", "f/s", "f/q", PAIR, "f/alone"]);
    let machines = |nth: usize, answer| all.pairs[nth].machines_of(answer);
    assert_eq!((machines(0, Answer::Holds), machines(0, Answer::Loses)), (vec![0], vec![1]));
    assert_eq!((machines(1, Answer::Holds), machines(1, Answer::CannotTell)), (vec![1], vec![0]));
    assert_eq!(all.pairs[2].spread(), Some(4.0));
    assert_eq!(all.pairs[4].spread(), None);
}

#[test]
fn a_machine_without_a_figure_says_why() {
    let mut elsewhere = run_on("d", 1, vec![]);
    made::add(&mut elsewhere, PAIR, "", 1, made::gain(9.0));
    let references = [
        run_on("a", 1, vec![(PAIR, made::marked(made::gain(2.0)))]),
        run_on("b", 1, vec![(PAIR, made::unavailable("no server"))]),
        run_on("c", 1, vec![("f/q", made::gain(2.0))]),
        elsewhere,
    ];
    let own = without_results();
    let all = Portability::of(&own, &references);
    let pair = all.pairs.iter().find(|pair| pair.id == PAIR).unwrap();
    let reasons: Vec<String> =
        pair.found.iter().map(|found| found.unwrap_err().to_string()).collect();
    let expected = [
        "marked: other processes held the CPU",
        "not measured: no server",
        "not in its results",
        "its result lacks the headline",
    ];
    assert_eq!(reasons, expected);
    assert!(pair.spread().is_none() && !pair.has_several_answers());
}

#[test]
fn a_result_that_names_no_headline_is_read_where_the_latest_has_it() {
    let mut unnamed = run_on("a", 1, vec![(PAIR, made::gain(2.0))]);
    made::add(&mut unnamed, PAIR, "", 1, made::gain(50.0));
    unnamed.pairs.get_mut(PAIR).unwrap().headline = None;
    let mut moved = run_on("b", 2, vec![(PAIR, made::gain(3.0))]);
    moved.pairs.get_mut(PAIR).unwrap().headline = Some(Headline { level: String::new(), point: 7 });
    made::add(&mut moved, PAIR, "", 7, made::gain(6.0));
    let latest = quick(run_on("c", 3, vec![(PAIR, made::gain(4.0))]));
    let references = [unnamed, moved];
    assert_eq!(gains(&Portability::of(&latest, &references), PAIR), [2.0, 6.0]);
}

#[test]
fn pairs_that_measure_the_suite_are_left_out() {
    let nulls = || vec![("calibration/identical_sides", made::gain(1.0))];
    let own = without_results();
    let references = [run_on("a", 1, nulls())];
    assert!(!has_figures(&own, &references));
    assert!(Portability::of(&own, &references).machines.is_empty());
}

#[test]
fn machines_have_letters_and_then_numbers() {
    assert_eq!([0, 1, 25, 26].map(letter), ["A", "B", "Z", "27"]);
}

/// Runs on machines of the made numbers, each with other times of an iteration of a unit: naive and optimized, in ns.
fn timed(times: &[[f64; 2]], needed: &[(Need, u64)], numbers: &[Option<Numbers>]) -> Vec<Run> {
    let runs = times.iter().zip(numbers).enumerate().map(|(nth, ([naive, optimized], numbers))| {
        let Outcome::Measured(mut found) = made::gain(naive / optimized) else { unreachable!() };
        found.sides[0].time_ns = Summary::of(&[*naive]).unwrap();
        found.sides[1].time_ns = Summary::of(&[*optimized]).unwrap();
        let needed = needed.iter().map(|(kind, amount)| Needed {
            kind: *kind,
            amount: *amount,
            within_bytes: Some(5_000),
        });
        found.needed = needed.collect();
        let run = run_on(&letter(nth), 1, vec![(PAIR, Outcome::Measured(found))]);
        Run { numbers: numbers.clone(), ..run }
    });
    runs.collect()
}

/// The made numbers, of which those named are this many times as high.
fn with(factors: &[(&str, f64)]) -> Option<Numbers> {
    let mut numbers = numbers::made();
    let factors: BTreeMap<&str, f64> = factors.iter().copied().collect();
    for Number { id, found, .. } in &mut numbers.numbers {
        let NumberOutcome::Readings(summary) = found else { continue };
        summary.median *= factors.get(id.as_str()).copied().unwrap_or(1.0);
    }
    Some(numbers)
}

fn difference(runs: &[Run]) -> Option<Difference> {
    let own = without_results();
    Portability::of(&own, runs).pairs.remove(0).difference
}

/// The name and ratio of the number that goes with the difference, or the reason why none does.
fn goes_with(runs: &[Run]) -> Result<(String, f64), String> {
    let number = difference(runs).unwrap().number;
    let number = number.map(|number| (number.what, (number.ratio * 1e6).round() / 1e6));
    number.map_err(|reason| reason.to_string())
}

#[test]
fn the_number_is_named_whose_change_is_that_of_the_side_that_changed_most() {
    // Naive takes 1.9 times as long, optimized hardly longer, and a read from the second level 1.85 times.
    let times = [[100.0, 10.0], [190.0, 10.5]];
    let needed = [(Need::RandomReads, 3), (Need::Hashes, 2), (Need::WaitingNs, 9)];
    let runs =
        timed(&times, &needed, &[with(&[]), with(&[("latency_l2", 1.85), ("foldhash", 1.6)])]);
    assert_eq!(goes_with(&runs), Ok(("latency_l2".to_owned(), 1.85)));
    let found = difference(&runs).unwrap();
    assert_eq!((found.from, found.to), (0, 1));
    let times = found.times.unwrap();
    assert!((times.naive - 1.9).abs() < 1e-9 && (times.optimized - 1.05).abs() < 1e-9);
    assert_eq!(times.most(), Role::Naive);
    let number = found.number.unwrap();
    assert_eq!(number.values, ["4.00 ns", "7.40 ns"]);
    // The slower machine is named last, whichever stands first.
    let reversed = [runs[1].clone(), runs[0].clone()];
    assert_eq!(goes_with(&reversed), Ok(("latency_l2".to_owned(), 1.85)));
}

#[test]
fn a_rate_that_halves_costs_twice_as_much() {
    let times = [[100.0, 10.0], [100.0, 20.0]];
    let runs =
        timed(&times, &[(Need::BytesStreamed, 9)], &[with(&[]), with(&[("bandwidth_l2", 0.5)])]);
    assert_eq!(goes_with(&runs), Ok(("bandwidth_l2".to_owned(), 2.0)));
    assert_eq!(difference(&runs).unwrap().times.unwrap().most(), Role::Optimized);
}

#[test]
fn a_number_is_not_named_unless_it_changes_about_as_much() {
    let named = |change: f64, ratio: f64| {
        let times = [[100.0, 10.0], [100.0 * change, 10.0]];
        let numbers = [with(&[]), with(&[("foldhash", ratio)])];
        goes_with(&timed(&times, &[(Need::Hashes, 2)], &numbers))
    };
    let foldhash = |ratio| Ok(("foldhash".to_owned(), ratio));
    let none_near =
        |ratio: &str| Err(format!("No measured number explains it (nearest: foldhash, {ratio}×)."));
    assert_eq!(named(2.0, 1.61), foldhash(1.61), "2 ÷ 1.25 is 1.6");
    assert_eq!(named(2.0, 1.59), none_near("1.59"));
    assert_eq!(named(2.0, 2.49), foldhash(2.49));
    assert_eq!(named(2.0, 2.51), none_near("2.51"));
    // The same number on both machines is within 1.25 of a change of 1.2, and says nothing about it.
    assert_eq!(named(1.2, 1.0), none_near("1.00"));
    assert_eq!(named(1.2, 1.09), none_near("1.09"));
    assert_eq!(named(1.2, 1.1), foldhash(1.1));
}

#[test]
fn another_level_of_memory_on_each_machine_is_named_with_both() {
    let mut small = numbers::made();
    small.numbers.iter_mut().find(|number| number.id == "latency_l2").unwrap().holds_bytes =
        Some(4_000);
    let times = [[100.0, 10.0], [100.0, 250.0]];
    let runs = timed(&times, &[(Need::RandomReads, 3)], &[with(&[]), Some(small)]);
    assert_eq!(goes_with(&runs), Ok(("latency_l2 → latency_memory".to_owned(), 25.0)));
}

#[test]
fn without_a_number_of_both_machines_the_reason_is_given() {
    let times = [[100.0, 10.0], [190.0, 10.0]];
    let reason = |needed: &[(Need, u64)], other| {
        goes_with(&timed(&times, needed, &[with(&[]), other])).unwrap_err()
    };
    let unbounded = "Its limit needs no machine number.";
    assert_eq!(reason(&[], with(&[])), unbounded);
    assert_eq!(reason(&[(Need::Cores, 2), (Need::Hashes, 0)], with(&[])), unbounded);
    let unmeasured = "The numbers that its limit needs were not measured on both.";
    assert_eq!(reason(&[(Need::Hashes, 2)], None), unmeasured);
    assert_eq!(reason(&[(Need::DeviceReads, 2)], with(&[])), unmeasured);
    let needed = [(Need::Hashes, 2)];
    let mut runs = timed(&times, &needed, &[with(&[]), with(&[])]);
    runs[1].pairs.get_mut(PAIR).unwrap().metric = Metric::BytesHeld;
    runs[0].pairs.get_mut(PAIR).unwrap().metric = Metric::BytesHeld;
    assert_eq!(goes_with(&runs), Err("The pair does not compare times.".to_owned()));
    let mut runs = timed(&times, &needed, &[with(&[]), with(&[])]);
    let pair = runs[1].pairs.get_mut(PAIR).unwrap();
    pair.headline = Some(Headline { level: String::new(), point: 7 });
    pair.sweeps[0].cases[0].point = 7;
    assert_eq!(goes_with(&runs), Err("The headlines are different cases.".to_owned()));
    assert_eq!(difference(&runs).unwrap().times, None);
}

#[test]
fn gains_differ_if_their_intervals_do_not_overlap_and_the_farthest_two_are_compared() {
    let none = [const { None }; 3];
    let of_gains = |gains: [f64; 3]| timed(&gains.map(|gain| [gain, 1.0]), &[], &none);
    assert_eq!(difference(&of_gains([2.0, 2.01, 2.02])), None);
    let found = difference(&of_gains([3.0, 9.0, 2.0])).unwrap();
    assert_eq!((found.from, found.to), (2, 1));
    let computed = [1.0, 9.0].map(|gain| vec![(PAIR, made::computed(gain))]);
    let computed = computed.into_iter().enumerate();
    let runs: Vec<Run> = computed.map(|(nth, pairs)| run_on(&letter(nth), 1, pairs)).collect();
    assert_eq!(difference(&runs), None, "a computed gain has no interval");
}
