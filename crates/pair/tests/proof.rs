//! The proof of a pair catches each kind of fault: every check is run on a pair that must fail it.

use std::{
    any::Any,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::Duration,
};

use worthit_pair::{
    family::{Entry, Family},
    prelude::*,
    proof,
};

/// A whole card over sides that are equal; each fault below replaces a part of it.
const SOUND: Pair = Pair {
    title: "Add one",
    review: Review {
        smell: "None.",
        remedy: "None.",
        keep_naive_when: "Always.",
        costs: "Nothing.",
        lint: Lint::None,
    },
    naive: Side { summary: "add one", growth: Growth::Constant },
    optimized: Side { summary: "add one", growth: Growth::Constant },
    input: "A number.",
    axis: Axis {
        name: "n",
        unit: "",
        is_size: true,
        points: Points::Fixed { default: &[1, 10], deep: &[20] },
    },
    unit: "sum",
    headline: Headline::At { level: "", point: 10 },
    causes: &[claim(Count::Exactly(|_| 0), Count::Exactly(|_| 0))],
    explanation: Explanation {
        why: "Made for this test.",
        share_of_cause: ShareOfCause::NoRatio("nothing is counted"),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::Everywhere,
    },
    limit: Limit::None("made for this test"),
    prepare: |case| Ok(trial(case, |n| n + 1)),
    ..Pair::DEFAULTS
};

const fn claim(naive: Count, optimized: Count) -> Claim {
    Claim { cause: causes::ALLOCATIONS, naive, optimized }
}

fn trial(case: &Case, optimized: fn(&u64) -> u64) -> Trial {
    over(&case.rotate(3, |case| case.point), optimized)
}

fn over(inputs: &Inputs<u64>, optimized: fn(&u64) -> u64) -> Trial {
    let naive = by_ref(inputs, |n: &u64| n + 1);
    Trial::new(inputs.measured(|n| *n), naive, by_ref(inputs, optimized))
}

/// A trial whose second input is one too large.
fn second_is_larger(case: &Case) -> Trial {
    over(&case.rotate(3, |case| case.point + u64::from(case.turn == 1)), |n| n + 1)
}

/// A trial whose peer rotates through one input more in a proof.
fn other_inputs(case: &Case) -> Trial {
    let more = Inputs::rotating([case.point; 3]);
    trial(case, |n| n + 1).peer(by_ref(&more, |n| n + 1))
}

/// A trial whose sides differ at 17 and at 250 only.
fn wrong_at_17_and_250(case: &Case) -> Trial {
    trial(case, |n| n + 1 + u64::from([17, 250].contains(n)))
}

const LOAD: UnderLoad = UnderLoad { p99: Duration::from_millis(10), rates: Rates::Capacity };

/// A trial whose optimized side answers two requests of a load wrongly.
fn failing_under_load(case: &Case) -> Trial {
    let right = at_rates(async || Ok(|_| async { true }));
    let wrong = at_rates(async || Ok(|i| async move { i > 1 }));
    trial(case, |n| n + 1).under_load(right, wrong)
}

const PEER: SideBeside = SideBeside { name: "someone", summary: "add one" };

static PAIRS: &[Pair] = &[
    SOUND,
    Pair { prepare: |case| Ok(wrong_at_17_and_250(case)), ..SOUND },
    Pair { prepare: |_| Ok(over(&Inputs::one(5), |n| n + 1)), ..SOUND },
    Pair { prepare: |case| Ok(second_is_larger(case)), ..SOUND },
    Pair { peers: &[PEER], prepare: |case| Ok(other_inputs(case)), ..SOUND },
    Pair { prepare: |case| Ok(trial(case, |n| [1, 2][*n as usize])), ..SOUND },
    Pair { prepare: |_| Err(Unavailable("no such server".to_owned())), ..SOUND },
    Pair { contract: Some("They may differ."), ..SOUND },
    Pair {
        input: "",
        explanation: Pair::DEFAULTS.explanation,
        limit: Pair::DEFAULTS.limit,
        ..SOUND
    },
    Pair { headline: Headline::At { level: "", point: 20 }, ..SOUND },
    Pair { headline: Headline::At { level: "remote", point: 10 }, ..SOUND },
    Pair { headline: Headline::AllCoresOf(10), ..SOUND },
    Pair { peers: &[PEER], alternatives: &[PEER], ..SOUND },
    Pair { alternatives: &[SideBeside { name: "naive", summary: "add one" }], ..SOUND },
    Pair {
        exempt: &[
            Exempt { from: Check::Lint, reason: "one" },
            Exempt { from: Check::Rotation, reason: "two" },
            Exempt { from: Check::Lint, reason: "three" },
        ],
        ..SOUND
    },
    Pair { under_load: Some(LOAD), ..SOUND },
    Pair { under_load: Some(LOAD), prepare: |case| Ok(failing_under_load(case)), ..SOUND },
];

static ENTRIES: &[Entry] = &[
    Entry::new("made/sound", "", &PAIRS[0]),
    Entry::new("made/wrong_at_17", "", &PAIRS[1]),
    Entry::new("made/wrong_size", "", &PAIRS[2]),
    Entry::new("made/wrong_size_of_the_second", "", &PAIRS[3]),
    Entry::new("made/other_inputs", "", &PAIRS[4]),
    Entry::new("made/panics", "", &PAIRS[5]),
    Entry::new("made/unavailable", "", &PAIRS[6]),
    Entry::new("made/contract", "", &PAIRS[7]),
    Entry::new("made/incomplete", "", &PAIRS[8]),
    Entry::new("made/headline_is_deep", "", &PAIRS[9]),
    Entry::new("made/headline_has_no_level", "", &PAIRS[10]),
    Entry::new("made/headline_has_no_threads", "", &PAIRS[11]),
    Entry::new("made/two_sides_of_one_name", "", &PAIRS[12]),
    Entry::new("made/a_second_naive_side", "", &PAIRS[13]),
    Entry::new("made/exempt_twice", "", &PAIRS[14]),
    Entry::new("made/without_load", "", &PAIRS[15]),
    Entry::new("made/fails_under_load", "", &PAIRS[16]),
];

static FAMILY: Family =
    Family { name: "made", package: "made", title: "Fail", pairs: ENTRIES, ..Family::EMPTY };

/// What a check panics with.
fn panic_of(check: impl FnOnce()) -> String {
    let panic: Box<dyn Any + Send> =
        catch_unwind(AssertUnwindSafe(check)).expect_err("the fault was not found");
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap()
}

/// The problem that the proof of a pair finds, where its package is a folder for this test alone.
fn problem_of(id: &str) -> String {
    let package = tempfile::tempdir().unwrap();
    problem_in(package.path(), id)
}

fn problem_in(package: &Path, id: &str) -> String {
    panic_of(|| proof::sides_agree(&FAMILY, id, package.to_str().unwrap()))
}

#[test]
fn a_sound_pair_is_proven_and_leaves_nothing() {
    let package = tempfile::tempdir().unwrap();
    proof::sides_agree(&FAMILY, "made/sound", package.path().to_str().unwrap());
    assert_eq!(fs::read_dir(package.path()).unwrap().count(), 0);
}

#[test]
fn a_side_that_is_wrong_at_one_size_is_found_every_time() {
    let problem = problem_of("made/wrong_at_17");
    assert!(problem.contains("at n 17,") && problem.contains("disagree"), "{problem}");
}

#[test]
fn a_case_that_failed_is_kept_and_tried_first() {
    let package = tempfile::tempdir().unwrap();
    let file = package.path().join("regressions/made/wrong_at_17.txt");
    problem_in(package.path(), "made/wrong_at_17");
    let kept = fs::read_to_string(&file).unwrap();
    assert!(kept.starts_with("point=17 level=0 ") && kept.lines().count() == 1, "{kept}");

    // It is tried again before all others: of two that fail, the first line is the one that is reported.
    let problem = problem_in(package.path(), "made/wrong_at_17");
    assert!(problem.contains("one of the kept cases"), "{problem}");
    let larger = "point=250 level=0 shape=Random size=250 seed=7";
    fs::write(&file, format!("# A comment.\n{larger}\n{kept}")).unwrap();
    let problem = problem_in(package.path(), "made/wrong_at_17");
    assert!(problem.contains("Random input, seed 7"), "{problem}");

    // A pair that is sound again passes with its kept cases.
    fs::rename(&file, file.with_file_name("sound.txt")).unwrap();
    proof::sides_agree(&FAMILY, "made/sound", package.path().to_str().unwrap());
}

#[test]
fn a_kept_line_that_is_no_case_is_named() {
    let package = tempfile::tempdir().unwrap();
    let folder = package.path().join("regressions/made");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("sound.txt"), "point=many").unwrap();
    let problem = problem_in(package.path(), "made/sound");
    assert!(problem.contains("sound.txt:1: `point=many` is not a case"), "{problem}");
}

#[test]
fn an_input_of_another_size_is_found() {
    let problem = problem_of("made/wrong_size");
    assert!(problem.contains("input 1 of 1 measures 5"), "{problem}");
    let problem = problem_of("made/wrong_size_of_the_second");
    let message = "the case claims 0 on its axis, but input 2 of 2 measures 1";
    assert!(problem.contains(message), "{problem}");
}

#[test]
fn a_side_with_inputs_of_its_own_is_found() {
    let problem = problem_of("made/other_inputs");
    let message = "the peer rotates through 3 inputs, but the trial measured 2";
    assert!(problem.contains(message), "{problem}");
}

#[test]
fn a_panic_is_reported_with_the_smallest_case() {
    let problem = problem_of("made/panics");
    assert!(problem.contains("at n 2,") && problem.contains("panicked"), "{problem}");
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
    for field in ["input", "explanation.why", "explanation.share_of_cause", "limit"] {
        assert!(problem.contains(&format!("{field} is not set")), "{field}: {problem}");
    }
    assert_eq!(problem.matches("is not set").count(), 4, "{problem}");
}

#[test]
fn a_headline_that_is_no_case_of_a_default_run_is_found() {
    for id in ["headline_is_deep", "headline_has_no_level", "headline_has_no_threads"] {
        let problem = problem_of(&format!("made/{id}"));
        assert!(problem.contains("its headline, "), "{id}: {problem}");
        assert!(problem.contains("is none of the cases of a default run"), "{id}: {problem}");
    }
}

#[test]
fn two_sides_of_one_name_are_found() {
    for (id, name) in [("two_sides_of_one_name", "someone"), ("a_second_naive_side", "naive")] {
        let problem = problem_of(&format!("made/{id}"));
        assert!(problem.contains(&format!("two of its sides are called `{name}`")), "{problem}");
    }
}

#[test]
fn an_exception_that_is_made_twice_is_found() {
    let problem = problem_of("made/exempt_twice");
    assert!(problem.contains("it is exempt twice from `lint`"), "{problem}");
    assert!(!problem.contains("`rotation`"), "{problem}");
}

/// The problem that a few requests of a load find at the headline of a pair.
fn problem_of_loads(id: &str) -> Option<String> {
    let entry = ENTRIES.iter().find(|entry| entry.id == id).unwrap();
    let case = Case::realistic(10, 0, 42);
    let mut trial = (entry.prepare)(&case).unwrap();
    proof::loads_are_answered(entry, &case, &mut trial).err()
}

#[test]
fn a_pair_that_is_put_under_load_but_sends_none_is_found() {
    let problem = problem_of_loads("made/without_load").unwrap();
    assert!(problem.contains("the naive side has no open-loop load"), "{problem}");
    assert_eq!(problem_of_loads("made/sound"), None);
}

#[test]
fn requests_that_fail_under_load_are_found() {
    let problem = problem_of_loads("made/fails_under_load").unwrap();
    let message = "the optimized side: 2 of 20 requests of a load fail";
    assert!(problem.contains(message), "{problem}");
}
