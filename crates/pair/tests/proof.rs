//! The proof of a pair catches each kind of fault: every check is run on a pair that must fail it.

use std::{
    any::Any,
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use worthit_pair::{
    causes,
    family::{Entry, Family},
    prelude::*,
    proof,
};

worthit_pair::counting_binary!();

/// A whole card over sides that are equal; each fault below replaces a part of it.
const SOUND: Pair = Pair {
    title: "Add one",
    review: Review {
        smell: "None.",
        remedy: "None.",
        keep_naive_when: "Always.",
        costs: "Nothing.",
        lint: None,
    },
    naive: Side { summary: "add one", growth: Growth::Constant },
    optimized: Side { summary: "add one", growth: Growth::Constant },
    input: "A number.",
    axis: Axis {
        name: "n",
        unit: "",
        is_size: true,
        points: Points::Fixed { default: &[1, 10], deep: &[] },
    },
    unit: "sum",
    causes: &[Claim {
        cause: causes::ALLOCATIONS,
        naive: Count::Exactly(|_| 0),
        optimized: Count::Exactly(|_| 0),
    }],
    explanation: "Made for this test.",
    limit: Limit::None("made for this test"),
    prepare: |case| Ok(trial(case.point, |n| n + 1)),
    ..Pair::DEFAULTS
};

fn trial(n: u64, optimized: fn(&u64) -> u64) -> Trial {
    let input = Arc::new(n);
    Trial::new(n, by_ref(&input, |n: &u64| n + 1), by_ref(&input, optimized))
}

static PAIRS: [Pair; 10] = [
    SOUND,
    Pair { prepare: |case| Ok(trial(case.point, |n| n + 1 + u64::from(*n == 17))), ..SOUND },
    Pair { prepare: |_| Ok(trial(5, |n| n + 1)), ..SOUND },
    Pair { prepare: |case| Ok(trial(case.point, |n| [1, 2][*n as usize])), ..SOUND },
    Pair { prepare: |_| Err(Unavailable("no such server".to_owned())), ..SOUND },
    Pair { contract: Some("They may differ."), ..SOUND },
    Pair { input: "", explanation: "", limit: Pair::DEFAULTS.limit, ..SOUND },
    // Claims.
    Pair {
        causes: &[Claim {
            cause: causes::ALLOCATIONS,
            naive: Count::Exactly(|_| 0),
            optimized: Count::AtLeast(|_| 1),
        }],
        ..SOUND
    },
    Pair { prepare: |case| Ok(counting_up(case)), ..SOUND },
    Pair {
        causes: &[Claim {
            cause: Cause::new("unknown", "of nothing"),
            naive: Count::AtMost(|_| 1),
            optimized: Count::AtMost(|_| 1),
        }],
        ..SOUND
    },
];

/// A pair whose count grows each time that it is prepared.
fn counting_up(case: &Case) -> Trial {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    static PREPARED: AtomicU64 = AtomicU64::new(0);
    let count = PREPARED.fetch_add(1, Relaxed);
    trial(case.point, |n| n + 1).counting(move |_, counts| counts.set(causes::ALLOCATIONS, count))
}

static ENTRIES: [Entry; 10] = [
    Entry::new("made/sound", "", &PAIRS[0]),
    Entry::new("made/wrong_at_17", "", &PAIRS[1]),
    Entry::new("made/wrong_size", "", &PAIRS[2]),
    Entry::new("made/panics", "", &PAIRS[3]),
    Entry::new("made/unavailable", "", &PAIRS[4]),
    Entry::new("made/contract", "", &PAIRS[5]),
    Entry::new("made/incomplete", "", &PAIRS[6]),
    Entry::new("made/false_claim", "", &PAIRS[7]),
    Entry::new("made/does_not_repeat", "", &PAIRS[8]),
    Entry::new("made/not_counted", "", &PAIRS[9]),
];

static FAMILY: Family = Family { name: "made", package: "made", title: "Fail", pairs: &ENTRIES };

/// What a check panics with.
fn panic_of(check: impl FnOnce()) -> String {
    let panic: Box<dyn Any + Send> =
        catch_unwind(AssertUnwindSafe(check)).expect_err("the fault was not found");
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap()
}

fn problem_of(id: &str) -> String {
    panic_of(|| proof::sides_agree(&FAMILY, id))
}

#[test]
fn a_sound_pair_is_proven() {
    proof::sides_agree(&FAMILY, "made/sound");
}

#[test]
fn a_side_that_is_wrong_at_one_size_is_found_every_time() {
    let problem = problem_of("made/wrong_at_17");
    assert!(problem.contains("point: 17,") && problem.contains("disagree"), "{problem}");
}

#[test]
fn an_input_of_another_size_is_found() {
    let problem = problem_of("made/wrong_size");
    assert!(problem.contains("the input measures 5"), "{problem}");
}

#[test]
fn a_panic_is_reported_with_the_smallest_case() {
    let problem = problem_of("made/panics");
    assert!(problem.contains("point: 2,") && problem.contains("panicked"), "{problem}");
}

#[test]
fn a_pair_that_cannot_run_is_not_proven() {
    let problem = problem_of("made/unavailable");
    assert!(problem.contains("cannot run here: no such server"), "{problem}");
}

#[test]
fn a_contract_in_words_alone_is_found() {
    let problem = problem_of("made/contract");
    assert!(problem.contains("contract"), "{problem}");
}

#[test]
fn fields_left_at_their_defaults_are_named() {
    let problem = problem_of("made/incomplete");
    assert!(problem.contains(r#"does not set ["input", "explanation", "limit"]"#), "{problem}");
}

/// Checks the claims of a pair; the process in which they are counted runs the calling test again.
fn problem_of_claims(id: &str, test: &str) -> Option<String> {
    let check = || proof::claims_hold(&FAMILY, id, test);
    if env::var_os("WORTHIT_COUNTS_ALONE").is_some() {
        check();
        return None;
    }
    Some(panic_of(check))
}

#[test]
fn claims_that_hold_are_accepted() {
    let test = concat!(module_path!(), "::claims_that_hold_are_accepted");
    proof::claims_hold(&FAMILY, "made/sound", test);
}

#[test]
fn a_false_claim_is_found() {
    let test = concat!(module_path!(), "::a_false_claim_is_found");
    if let Some(problem) = problem_of_claims("made/false_claim", test) {
        assert!(problem.contains("optimized allocations: counted 0, claimed 1"), "{problem}");
    }
}

#[test]
fn a_count_that_does_not_repeat_is_found() {
    let test = concat!(module_path!(), "::a_count_that_does_not_repeat_is_found");
    if let Some(problem) = problem_of_claims("made/does_not_repeat", test) {
        assert!(problem.contains("does not repeat"), "{problem}");
    }
}

#[test]
fn a_claim_about_what_nobody_counts_is_found() {
    let test = concat!(module_path!(), "::a_claim_about_what_nobody_counts_is_found");
    if let Some(problem) = problem_of_claims("made/not_counted", test) {
        assert!(problem.contains("not counted"), "{problem}");
    }
}
