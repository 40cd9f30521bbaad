//! Verdicts on made numbers.

use super::*;
use crate::statistics::Interval;
use worthit_pair::{case::CaseKey, pair::Metric};

pub(crate) fn case(id: &str, causes: &[&str]) -> GateCase {
    GateCase {
        key: CaseKey { pair: id.to_owned(), level: String::new(), point: 100 },
        seed: 42,
        title: format!("Title of {id}"),
        axis: "items".to_owned(),
        axis_unit: "items".to_owned(),
        unit: "item".to_owned(),
        metric: Metric::Time,
        causes: causes.iter().map(|cause| (*cause).to_owned()).collect(),
        is_study: false,
        servers: Vec::new(),
    }
}

fn judged(cause: &str, base: (u64, u64), head: (u64, u64)) -> Verdict {
    let range = |(least, most)| Counted { least, most };
    let case = case("a/b", &["peak_bytes"]);
    let tolerances = Tolerances::default();
    judge_count(&case, Role::Optimized, cause, range(base), range(head), 1, &tolerances).verdict
}

#[test]
fn one_more_of_anything_but_instructions_and_unnamed_bytes_is_a_regression() {
    for cause in ["statements", "fsyncs", "allocations", "round_trips", "write_calls", "peak_bytes"]
    {
        assert_eq!(judged(cause, (1_000, 1_000), (1_001, 1_001)), Verdict::Regressed, "{cause}");
        assert_eq!(judged(cause, (1_000, 1_000), (1_000, 1_000)), Verdict::Unchanged);
        assert_eq!(judged(cause, (1_000, 1_000), (999, 999)), Verdict::Improved);
    }
    assert_eq!(judged("fsyncs", (0, 0), (1, 1)), Verdict::Regressed);
    assert_eq!(judged("allocated_bytes", (1_000, 1_000), (1_004, 1_004)), Verdict::Unchanged);
    assert_eq!(judged("allocated_bytes", (1_000, 1_000), (1_006, 1_006)), Verdict::Regressed);
}

#[test]
fn instructions_may_grow_by_half_a_percent() {
    assert_eq!(judged(INSTRUCTIONS, (10_000, 10_000), (10_050, 10_050)), Verdict::Unchanged);
    assert_eq!(judged(INSTRUCTIONS, (10_000, 10_000), (10_051, 10_051)), Verdict::Regressed);
    assert_eq!(judged(INSTRUCTIONS, (10_100, 10_100), (10_000, 10_000)), Verdict::Improved);
}

#[test]
fn counts_that_vary_between_processes_are_observations() {
    assert_eq!(judged("allocations", (90, 110), (300, 300)), Verdict::Unchanged);
    assert_eq!(judged("allocations", (90, 90), (91, 92)), Verdict::Unchanged);
    assert_eq!(judged("peak_bytes", (90, 110), (111, 120)), Verdict::Regressed, "named");
    let close = (10_000, 10_020);
    assert_eq!(judged(INSTRUCTIONS, close, (10_100, 10_110)), Verdict::Regressed);
    assert_eq!(judged(INSTRUCTIONS, close, (10_060, 10_080)), Verdict::Unchanged);
    // They vary by 2 %, so they may grow by 2 %.
    assert_eq!(judged(INSTRUCTIONS, (10_000, 10_200), (10_400, 10_400)), Verdict::Unchanged);
    assert_eq!(judged(INSTRUCTIONS, (10_000, 10_200), (10_410, 10_410)), Verdict::Regressed);
}

#[test]
fn the_effect_of_a_random_seed_is_not_a_change_of_the_code() {
    let change = |cause: &str, head| CountChange {
        role: Role::Naive,
        cause: cause.to_owned(),
        base: Counted { least: 100_000, most: 100_010 },
        head: Counted::once(head),
        iterations: 1,
        verdict: Verdict::Unchanged,
    };
    assert!(
        change(INSTRUCTIONS, 100_005).is_within_noise()
            && change(INSTRUCTIONS, 100_090).is_within_noise()
    );
    assert!(
        !change(INSTRUCTIONS, 100_120).is_within_noise()
            && !change(INSTRUCTIONS, 99_890).is_within_noise()
    );
    assert!(!change("allocations", 100_011).is_within_noise(), "each one counts");
    // These ranges miss each other by five instructions, and one of them is a thousand wide.
    let (base, head) = ((871_652, 871_665), (870_681, 871_647));
    let range = |(least, most)| Counted { least, most };
    let ranges = |base, head| CountChange {
        base: range(base),
        head: range(head),
        ..change(INSTRUCTIONS, 0)
    };
    assert!(ranges(base, head).is_within_noise() && ranges(head, base).is_within_noise());
    assert!(!ranges(base, (868_681, 869_647)).is_within_noise());
}

#[test]
fn instructions_are_recounted_while_they_would_be_reported_as_changed() {
    let is_open = |base: (u64, u64), head: (u64, u64)| {
        let range = |(least, most)| Counted { least, most };
        let (base, head) = (range(base), range(head));
        let (case, tolerances) = (case("a/b", &[]), Tolerances::default());
        judge_count(&case, Role::Naive, INSTRUCTIONS, base, head, 1, &tolerances).is_open()
    };
    assert!(is_open((10_000, 10_000), (10_001, 10_001)), "both repeat so far");
    assert!(is_open((10_000, 10_010), (10_100, 10_110)), "it would be a regression");
    assert!(!is_open((10_000, 10_010), (10_011, 10_020)), "no relevant change");
    assert!(!is_open((10_000, 10_010), (10_010, 10_200)), "they overlap");
}

#[test]
fn an_open_loop_is_judged_only_by_the_causes_that_its_pair_names() {
    let case = GateCase { metric: Metric::P99Latency, ..case("a/b", &["round_trips"]) };
    let judged = |cause| {
        let (base, head) = (Counted::once(1), Counted::once(9));
        judge_count(&case, Role::Optimized, cause, base, head, 1, &Tolerances::default()).verdict
    };
    assert_eq!(judged("round_trips"), Verdict::Regressed);
    assert_eq!(judged("allocations"), Verdict::Unchanged);
    assert_eq!(judged(INSTRUCTIONS), Verdict::Unchanged);
}

fn times(verdict: Verdict) -> TimeVerdict {
    let change = Some(Interval { low: 1.04, estimate: 1.05, high: 1.06 });
    TimeVerdict { verdict, change, is_no_longer: false, restarts: 30, confirming: 24 }
}

/// Times whose interval is `low` to `high`, in percent.
fn timed(verdict: Verdict, low: f64, high: f64) -> TimeVerdict {
    let ratio = |percent: f64| 1.0 + percent / 100.0;
    let estimate = ratio((low + high) / 2.0);
    let change = Some(Interval { low: ratio(low), estimate, high: ratio(high) });
    TimeVerdict { verdict, change, is_no_longer: high <= 3.0, restarts: 30, confirming: 24 }
}

pub(crate) fn count(cause: &str, base: u64, head: u64) -> CountChange {
    let (base, head) = (Counted::once(base), Counted::once(head));
    judge_count(&case("a/b", &[]), Role::Optimized, cause, base, head, 1, &Tolerances::default())
}

#[test]
fn time_alone_does_not_fail_code_that_layout_can_shift() {
    let same = [count(INSTRUCTIONS, 10_000, 10_000), count("allocations", 3, 3)];
    let verdict = |counts: &[CountChange], threads, user, disturbed| {
        judge_time(times(Verdict::Regressed), counts, threads, user, disturbed).verdict()
    };
    assert_eq!(verdict(&same, 1, 0.9, 0), Verdict::Undecided, "layout?");
    assert_eq!(verdict(&[], 1, 0.9, 0), Verdict::Undecided, "nothing counted");
    assert_eq!(verdict(&same, 1, 0.1, 0), Verdict::Regressed, "it waits");
    assert_eq!(verdict(&same, 2, 1.9, 0), Verdict::Undecided, "layout? (two threads)");
    assert_eq!(verdict(&same, 2, 0.3, 0), Verdict::Regressed, "threads that wait");
    let far = Some(Interval { low: 1.09, estimate: 1.20, high: 1.31 });
    let far = TimeVerdict { change: far, ..times(Verdict::Regressed) };
    let verdict_of_far = |threads| judge_time(far.clone(), &same, threads, 1.9, 0).verdict();
    assert_eq!(verdict_of_far(2), Verdict::Regressed, "beyond layout");
    assert_eq!(verdict_of_far(1), Verdict::Undecided, "one thread needs other counts");
    let changed = [count(INSTRUCTIONS, 10_000, 10_020)];
    assert_eq!(verdict(&changed, 1, 0.9, 0), Verdict::Regressed, "other code");
    assert_eq!(verdict(&changed, 1, 0.9, 11), Verdict::Undecided, "disturbed");
    let fewer = [count(INSTRUCTIONS, 10_000, 10_000), count("allocations", 3, 2)];
    assert_eq!(verdict(&fewer, 1, 0.9, 0), Verdict::Regressed);
}

#[test]
fn a_shorter_time_needs_the_same_proof_as_a_longer_one() {
    let same = [count(INSTRUCTIONS, 10_000, 10_000), count("allocations", 3, 3)];
    let verdict = |found: TimeVerdict, counts: &[CountChange], threads, user, disturbed| {
        judge_time(found, counts, threads, user, disturbed).verdict()
    };
    let shorter = || timed(Verdict::Improved, -6.0, -4.0);
    assert_eq!(verdict(shorter(), &same, 1, 0.9, 0), Verdict::Undecided, "layout?");
    assert_eq!(verdict(shorter(), &[], 1, 0.9, 0), Verdict::Undecided, "nothing counted");
    assert_eq!(verdict(shorter(), &same, 1, 0.1, 0), Verdict::Improved, "it waits");
    assert_eq!(verdict(shorter(), &same, 2, 1.9, 0), Verdict::Undecided, "layout? (threads)");
    let far = || timed(Verdict::Improved, -30.0, -10.0);
    assert_eq!(verdict(far(), &same, 2, 1.9, 0), Verdict::Improved, "beyond layout");
    assert_eq!(verdict(far(), &same, 1, 0.9, 0), Verdict::Undecided, "one thread");
    let fewer = [count(INSTRUCTIONS, 10_000, 9_900)];
    assert_eq!(verdict(shorter(), &fewer, 1, 0.9, 0), Verdict::Improved, "other code");
    assert_eq!(verdict(shorter(), &fewer, 1, 0.9, 11), Verdict::Undecided, "disturbed");
}

#[test]
fn a_caveat_changes_only_changes() {
    for kept in [Verdict::Unchanged, Verdict::Undecided] {
        assert_eq!(judge_time(times(kept), &[], 1, 1.0, 30).verdict(), kept);
    }
}

/// The verdict on counts and a time, as the gate makes it of one thread that is CPU-bound.
fn judged_together(counts: &[CountChange], found: TimeVerdict) -> (Verdict, String) {
    let Judgement { verdict, reason } = judge(counts, &judge_time(found, counts, 1, 0.99, 0));
    (verdict, reason.unwrap_or_default())
}

fn unchanged(low: f64, high: f64) -> TimeVerdict {
    timed(Verdict::Unchanged, low, high)
}

#[test]
fn fewer_instructions_with_a_longer_time_are_no_improvement() {
    // `DashMap::get_mut` in place of `get`, which fails no test of relevance by itself.
    let fewer = [count(INSTRUCTIONS, 1_000_000, 928_000)];
    let (verdict, reason) = judged_together(&fewer, unchanged(0.1, 2.4));
    assert_eq!(verdict, Verdict::Unchanged);
    assert_eq!(reason, "fewer instructions without a shorter time are no improvement");
    let (verdict, reason) = judged_together(&fewer, timed(Verdict::Undecided, -2.0, 9.0));
    assert_eq!(verdict, Verdict::Undecided);
    assert_eq!(reason, "fewer instructions, but whether its time is longer is undecided");
    let (verdict, _) = judged_together(&fewer, timed(Verdict::Regressed, 4.0, 6.0));
    assert_eq!(verdict, Verdict::Regressed, "confirmed");
}

#[test]
fn fewer_instructions_in_a_null_comparison_are_no_improvement() {
    let fewer = [count(INSTRUCTIONS, 1_000_000, 967_000), count("round_trips", 1, 1)];
    let (verdict, reason) = judged_together(&fewer, unchanged(-1.2, 0.9));
    assert_eq!(verdict, Verdict::Unchanged);
    assert!(reason.contains("fewer instructions"), "{reason}");
}

#[test]
fn a_confirmed_shorter_time_is_an_improvement_unless_a_count_is_worse() {
    let shorter = || timed(Verdict::Improved, -12.0, -8.0);
    let fewer = count(INSTRUCTIONS, 10_000, 9_000);
    let more = count("allocations", 3, 4);
    assert_eq!(judged_together(std::slice::from_ref(&fewer), shorter()).0, Verdict::Improved);
    assert_eq!(judged_together(&[fewer, more], shorter()).0, Verdict::Regressed);
    let more_instructions = count(INSTRUCTIONS, 10_000, 10_100);
    assert_eq!(judged_together(&[more_instructions], shorter()).0, Verdict::Regressed);
    let barely_more = count(INSTRUCTIONS, 10_000, 10_040);
    assert_eq!(judged_together(&[barely_more], shorter()).0, Verdict::Improved, "tolerated");
}

#[test]
fn less_work_is_an_improvement_if_its_time_is_not_longer() {
    let fewer = [count("statements", 9, 1), count(INSTRUCTIONS, 10_000, 10_000)];
    assert_eq!(judged_together(&fewer, unchanged(-1.0, 1.0)).0, Verdict::Improved);
    // It is undecided whether its time is shorter, but it is not longer.
    let wide = timed(Verdict::Undecided, -20.0, 2.0);
    assert_eq!(judged_together(&fewer, wide).0, Verdict::Improved);
    let (verdict, reason) = judged_together(&fewer, timed(Verdict::Undecided, -20.0, 9.0));
    assert_eq!(verdict, Verdict::Undecided);
    assert_eq!(reason, "fewer statements, but whether its time is longer is undecided");
    let (verdict, reason) = judged_together(&fewer, unchanged(1.0, 3.5));
    assert_eq!(verdict, Verdict::Unchanged);
    assert_eq!(reason, "fewer statements, but its time may be longer");
    assert_eq!(judged_together(&fewer, timed(Verdict::Regressed, 4.0, 6.0)).0, Verdict::Regressed);
    let missing = Time::Missing { reason: "time limit".to_owned() };
    let Judgement { verdict, reason } = judge(&fewer, &missing);
    assert_eq!(verdict, Verdict::Undecided);
    assert_eq!(reason.unwrap(), "fewer statements, but its time was not measured");
    let disturbed = judge_time(unchanged(-1.0, 1.0), &fewer, 1, 0.9, 11);
    assert_eq!(judge(&fewer, &disturbed).verdict, Verdict::Unchanged, "times prove nothing");
}

#[test]
fn less_work_on_the_naive_side_is_no_improvement() {
    let naive = CountChange { role: Role::Naive, ..count("statements", 9, 1) };
    let (verdict, reason) = judged_together(&[naive], unchanged(-1.0, 1.0));
    assert_eq!(verdict, Verdict::Unchanged);
    assert!(reason.contains("on the naive side"), "{reason}");
}

#[test]
fn without_a_changed_count_the_time_decides() {
    let same = [count("statements", 9, 9), count(INSTRUCTIONS, 10_000, 10_001)];
    for (found, verdict) in [
        (unchanged(-1.0, 1.0), Verdict::Unchanged),
        (timed(Verdict::Undecided, -9.0, 9.0), Verdict::Undecided),
        (timed(Verdict::Regressed, 4.0, 6.0), Verdict::Undecided),
        (timed(Verdict::Improved, -6.0, -4.0), Verdict::Undecided),
    ] {
        assert_eq!(judged_together(&same, found), (verdict, String::new()));
    }
    let skipped = Time::Skipped { reason: "…".to_owned() };
    assert_eq!(judge(&same, &skipped).verdict, Verdict::Unchanged);
}
