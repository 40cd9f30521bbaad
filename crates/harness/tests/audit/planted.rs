//! A sound pair, and pairs that differ from it by one fault each.

mod source;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use jiff::Timestamp;

use worthit_harness::{
    load::Load,
    machine::Machine,
    results::{CaseResult, Measured, Outcome, PairResult, Revision, Run, SideResult},
    statistics::{Interval, Summary},
};
use worthit_pair::{
    audited::Check,
    causes::Counts,
    family::Entry,
    limit::{Need, Needed},
    prelude::*,
    trial::Role,
};

/// A pair with one fault.
pub struct Fault {
    /// The fault, as it was found or made.
    pub what: &'static str,
    /// The check that must find it.
    pub check: Check,
    /// What the check must say.
    pub says: &'static str,
    /// The pair.
    pub entry: Entry,
    /// The committed reference.
    pub reference: fn() -> Run,
    /// What clippy reports on its file: line and lint.
    pub lints: &'static [(&'static str, usize, &'static str)],
}

use source::{naive, optimized};

const SOURCE: &str = include_str!("planted/source.rs");

const VISITS: Cause = Cause::new("visits", "visits").counted("with a closure that counts");

/// How often the case was prepared, which differs each time.
const PREPARED: Cause = Cause::new("prepared", "prepared");
static TIMES_PREPARED: AtomicU64 = AtomicU64::new(0);

/// Ten thousand numbers; the naive side visits each ten times.
#[derive(Debug)]
struct Input {
    numbers: Vec<u64>,
}

fn input(case: &Case) -> Input {
    let values = case.values(case.point as usize);
    Input { numbers: values.into_iter().map(|value| value >> 32).collect() }
}

type Runners = (Box<dyn Runner>, Box<dyn Runner>);

/// The runners of both sides, whose counts are their own.
fn runners(inputs: &Inputs<Input>) -> Runners {
    let visits = |inputs: &Inputs<Input>, side: fn(&Input, &mut u64)| {
        let inputs = inputs.clone();
        move |place: usize| {
            let mut visits = 0;
            side(&inputs[place], &mut visits);
            visits
        }
    };
    let count_naive = visits(inputs, |input, visits| {
        naive(input, || *visits += 1);
    });
    let count_optimized = visits(inputs, |input, visits| {
        optimized(input, || *visits += 1);
    });
    (
        Box::new(by_ref(inputs, |input| naive(input, || ())).counting(VISITS, count_naive)),
        Box::new(by_ref(inputs, |input| optimized(input, || ())).counting(VISITS, count_optimized)),
    )
}

fn trial(inputs: &Inputs<Input>, size: fn(&Input) -> u64) -> Trial {
    let (naive, optimized) = runners(inputs);
    Trial::new(inputs.measured(size), Erased(naive), Erased(optimized)).units(4_096)
}

/// A runner behind a pointer.
struct Erased(Box<dyn Runner>);

impl Runner for Erased {
    fn measure(&mut self, iterations: u64) -> std::time::Duration {
        self.0.measure(iterations)
    }
    fn inputs(&self) -> usize {
        self.0.inputs()
    }
    fn answer(
        &mut self,
        input: usize,
        window: &worthit_pair::trial::Window,
    ) -> Box<dyn worthit_pair::answer::ErasedAnswer> {
        self.0.answer(input, window)
    }
    fn count(&mut self, input: usize, counts: &mut Counts) {
        self.0.count(input, counts);
    }
}

fn size(input: &Input) -> u64 {
    input.numbers.len() as u64
}

fn rotating(case: &Case) -> Inputs<Input> {
    case.rotate(2, input)
}

const TRAP: Trap<Input> = Trap {
    name: "there are no numbers",
    reason: "there is nothing to visit",
    check: |inputs| {
        ensure(inputs.iter().all(|input| !input.numbers.is_empty()), || "there are none".to_owned())
    },
    sprung: || vec![Input { numbers: vec![] }],
};

/// A trap that the inputs are in.
const SMALL: Trap<Input> = Trap {
    name: "the numbers are small",
    reason: "large ones take longer to add",
    check: |inputs| {
        let all = inputs.iter().flat_map(|input| &input.numbers);
        ensure(all.max() > Some(&(1 << 40)), || "no number has more than 40 bits".to_owned())
    },
    sprung: || vec![Input { numbers: vec![1] }],
};

/// A trap whose check cannot fail.
const BLIND: Trap<Input> = Trap { check: |_| Ok(()), ..TRAP };

/// A trap that looks at another type than the inputs'.
const ELSEWHERE: Trap<u64> = Trap {
    name: "it is zero",
    reason: "nothing to visit",
    check: |inputs| ensure(inputs.iter().all(|n| *n > 0), || "it is".to_owned()),
    sprung: || vec![0],
};

const VISITED: Claim = Claim {
    cause: VISITS,
    naive: Count::Exactly(|case| case.point * 10),
    optimized: Count::Exactly(|case| case.point),
};

const PAIR: Pair = Pair {
    title: "Visit once",
    review: REVIEWED,
    naive: Side { summary: "visit ten times", growth: Growth::Linear },
    optimized: Side { summary: "visit once", growth: Growth::Linear },
    input: "Random numbers.",
    axis: Axis {
        name: "numbers",
        unit: "numbers",
        is_size: true,
        points: Points::Fixed { default: &[10, 100, 1_000], deep: &[] },
    },
    unit: "number",
    headline: Headline::At { level: "", point: 1_000 },
    causes: &[VISITED],
    explanation: EXPLAINED,
    traps: &[&TRAP],
    limit: Limit::Work(&[Work::Waiting(|_| 500)]),
    prepare: |case| Ok(trial(&rotating(case), size)),
    ..Pair::DEFAULTS
};

const ID: &str = "planted/sound";

const fn entry(pair: &'static Pair) -> Entry {
    Entry::new(ID, SOURCE, pair)
}

/// A pair without a fault.
pub static SOUND: Entry = entry(&PAIR);

/// A pair with an exception that it needs, and one that it does not.
pub static EXEMPT: Entry = entry(&Pair {
    exempt: &[
        Exempt { from: Check::Rotation, reason: "There is one input in reality, too." },
        Exempt { from: Check::Limit, reason: "It does not need this one." },
    ],
    prepare: |case| Ok(trial(&Inputs::one(input(case)), size)),
    ..PAIR
});

/// Makes a reference with these gains at its three points. An optimized iteration takes 1,000 ns, of which its limit is
/// `limit_ns`; the peer takes `against_peer` times as long.
pub fn reference(gains: [f64; 3], limit_ns: u64, against_peer: f64) -> Run {
    let revision = Revision { commit: Some("abc".to_owned()), dirty: false };
    let mut run = Run::new("made", Timestamp::UNIX_EPOCH, false, 42, Machine::current(), revision);
    let mut pair = PairResult::of(&entry(&PAIR));
    for (point, estimate) in [10, 100, 1_000].into_iter().zip(gains) {
        let found = measured(point, estimate, limit_ns, against_peer);
        pair.add("", CaseResult { point, outcome: Outcome::Measured(Box::new(found)) });
    }
    run.pairs.insert(ID.to_owned(), pair);
    run
}

fn measured(point: u64, estimate: f64, limit_ns: u64, against_peer: f64) -> Measured {
    let around = |estimate: f64| Interval { low: estimate * 0.99, estimate, high: estimate * 1.01 };
    let side = |role, name: &str, visits, ns: f64, against_optimized| {
        let mut causes = Counts::default();
        causes.set(VISITS, visits);
        let time_ns = Summary::of(&[ns]).expect("it is finite");
        SideResult { against_optimized, ..SideResult::new(role, name, time_ns, causes) }
    };
    Measured {
        units_per_iteration: 1,
        inputs: 2,
        sides: vec![
            side(Role::Naive, "naive", point * 20, 1_000.0 * estimate, None),
            side(Role::Optimized, "optimized", point * 2, 1_000.0, None),
            side(Role::Peer(0), "folder", point * 2, 1_000.0, Some(around(against_peer))),
        ],
        gain: around(estimate),
        processes: vec![around(estimate)],
        needed: vec![Needed { kind: Need::WaitingNs, amount: limit_ns, within_bytes: None }],
        load: Load::default(),
        marked_processes: 0,
        mark: None,
        are_threads_placed: false,
    }
}

/// The reference in which everything is as the sound pair explains it.
pub fn as_explained() -> Run {
    reference([2.0, 8.0, 8.0], 500, 1.2)
}

const SOUND_FAULT: Fault = Fault {
    what: "none",
    check: Check::Answers,
    says: "",
    entry: entry(&PAIR),
    reference: as_explained,
    lints: &[],
};

const EXPLAINED: Explanation = Explanation {
    why: "Each visit takes as long as the others.",
    share_of_cause: ShareOfCause::Within(0.5, 1.1),
    far_end: FarEnd::Settled,
    keep_naive: KeepNaive::Nowhere,
};

const REVIEWED: Review = Review {
    smell: "A loop around a loop.",
    remedy: "`numbers.iter().fold(0, wrapping_add)`",
    keep_naive_when: "The numbers change meanwhile.",
    costs: "Nothing.",
    lint: Lint::None,
};

/// The faults, each with the check that must find it.
pub static FAULTS: &[Fault] = &[
    Fault {
        what: "both sides find nothing (customers without orders)",
        check: Check::Answers,
        says: "the answer to every input is empty",
        entry: entry(&Pair {
            prepare: |case| {
                let zeros = |case: &Case| Input { numbers: vec![0; case.point as usize] };
                Ok(trial(&case.rotate(2, zeros), size))
            },
            ..PAIR
        }),
        ..SOUND_FAULT
    },
    Fault {
        what: "the inputs of the rotation are the same",
        check: Check::Answers,
        says: "the answer to all 2 inputs is the same",
        entry: entry(&Pair {
            prepare: |case| Ok(trial(&Inputs::rotating([input(case), input(case)]), size)),
            ..PAIR
        }),
        ..SOUND_FAULT
    },
    Fault {
        what: "one input for ever",
        check: Check::Rotation,
        says: "every iteration runs on the same input",
        entry: entry(&Pair { prepare: |case| Ok(trial(&Inputs::one(input(case)), size)), ..PAIR }),
        ..SOUND_FAULT
    },
    Fault {
        what: "256 keys, which a branch predictor learns",
        check: Check::Rotation,
        says: "512 units of work in a rotation of 2 inputs",
        entry: entry(&Pair { prepare: |case| Ok(trial(&rotating(case), size).units(256)), ..PAIR }),
        ..SOUND_FAULT
    },
    Fault {
        what: "the timed inputs are in a trap",
        check: Check::Traps,
        says: "at 1000: `the numbers are small`: no number has more than 40 bits",
        entry: entry(&Pair { traps: &[&SMALL], ..PAIR }),
        ..SOUND_FAULT
    },
    Fault {
        what: "a trap whose sprung input passes",
        check: Check::Traps,
        says: "its check passes on the sprung inputs",
        entry: entry(&Pair { traps: &[&BLIND], ..PAIR }),
        ..SOUND_FAULT
    },
    Fault {
        what: "a trap that looks elsewhere",
        check: Check::Traps,
        says: "another type than the inputs",
        entry: entry(&Pair { traps: &[&ELSEWHERE], ..PAIR }),
        ..SOUND_FAULT
    },
    Fault {
        what: "no trap",
        check: Check::Traps,
        says: "it names no trap",
        entry: entry(&Pair { traps: &[], ..PAIR }),
        ..SOUND_FAULT
    },
    Fault {
        what: "the sides are swapped in `prepare`",
        check: Check::Claims,
        says: "the naive side: 2,000 visits in 2 iterations, where exactly 20,000 are claimed",
        entry: entry(&Pair {
            prepare: |case| {
                let inputs = rotating(case);
                let (naive, optimized) = runners(&inputs);
                let (naive, optimized) = (Erased(naive), Erased(optimized));
                Ok(Trial::new(inputs.measured(size), optimized, naive).units(4_096))
            },
            ..PAIR
        }),
        ..SOUND_FAULT
    },
    Fault {
        what: "a claim that holds with the sides swapped (at most all operations)",
        check: Check::Claims,
        says: "the claim about visits also holds with the sides swapped",
        entry: entry(&Pair {
            causes: &[Claim {
                cause: VISITS,
                naive: Count::AtMost(|case| case.point * 10),
                optimized: Count::AtMost(|case| case.point * 10),
            }],
            ..PAIR
        }),
        ..SOUND_FAULT
    },
    Fault {
        what: "a count that breaks its claim",
        check: Check::Claims,
        says: "where exactly 22,000 are claimed",
        entry: entry(&Pair {
            causes: &[Claim {
                cause: VISITS,
                naive: Count::Exactly(|case| case.point * 11),
                optimized: Count::Exactly(|case| case.point),
            }],
            ..PAIR
        }),
        ..SOUND_FAULT
    },
    Fault {
        what: "a claim that holds at the headline only",
        check: Check::Claims,
        says: "at 10: the naive side: 200 visits in 2 iterations, where exactly 20,000 are claimed",
        entry: entry(&Pair {
            causes: &[Claim {
                cause: VISITS,
                naive: Count::Exactly(|_| 10_000),
                optimized: Count::Exactly(|case| case.point),
            }],
            ..PAIR
        }),
        ..SOUND_FAULT
    },
    Fault {
        what: "a claim about what nobody counts",
        check: Check::Claims,
        says: "of nothing are claimed but not counted",
        entry: entry(&Pair {
            causes: &[
                VISITED,
                Claim {
                    cause: Cause::new("unknown", "of nothing"),
                    naive: Count::AtMost(|_| 1),
                    optimized: Count::AtMost(|_| 0),
                },
            ],
            ..PAIR
        }),
        ..SOUND_FAULT
    },
    Fault {
        what: "a count that does not repeat",
        check: Check::Claims,
        says: "prepared do not repeat",
        entry: entry(&Pair {
            causes: &[
                VISITED,
                Claim {
                    cause: PREPARED,
                    naive: Count::AtLeast(|_| 1),
                    optimized: Count::AtMost(|_| 0),
                },
            ],
            prepare: |case| {
                let inputs = rotating(case);
                let (naive, optimized) = runners(&inputs);
                let prepared = TIMES_PREPARED.fetch_add(1, Relaxed) + 1;
                let naive = Erased(naive).counting(PREPARED, move |_| prepared);
                let optimized = Erased(optimized).counting(PREPARED, |_| 0);
                Ok(Trial::new(inputs.measured(size), naive, optimized).units(4_096))
            },
            ..PAIR
        }),
        ..SOUND_FAULT
    },
    Fault {
        what: "an input of half the size that the case claims",
        check: Check::Claims,
        says: "the case claims 1000 on its axis, but input 1 of 2 measures 500",
        entry: entry(&Pair {
            prepare: |case| {
                let half = |case: &Case| input(&Case { point: case.point / 2, ..case.clone() });
                Ok(trial(&case.rotate(2, half), size))
            },
            ..PAIR
        }),
        ..SOUND_FAULT
    },
    Fault {
        what: "a gain that is less than the cause is said to explain",
        check: Check::Explanation,
        says: "the gain is 0.800 of the ratio of counts, where 0.9 to 1.1 is claimed",
        entry: entry(&Pair {
            explanation: Explanation {
                share_of_cause: ShareOfCause::Within(0.9, 1.1),
                ..EXPLAINED
            },
            ..PAIR
        }),
        ..SOUND_FAULT
    },
    Fault {
        what: "a far end that is a peak",
        check: Check::Explanation,
        says: "Settled is claimed of the far end, but the gain goes from 20.0× to 8.00×",
        entry: entry(&PAIR),
        reference: || reference([2.0, 20.0, 8.0], 500, 1.2),
        ..SOUND_FAULT
    },
    Fault {
        what: "a gain that is said to rise still",
        check: Check::Explanation,
        says: "Rises is claimed of the far end, but the gain goes from",
        entry: entry(&Pair {
            explanation: Explanation { far_end: FarEnd::Rises, ..EXPLAINED },
            ..PAIR
        }),
        ..SOUND_FAULT
    },
    Fault {
        what: "keep the naive side where it loses",
        check: Check::Explanation,
        says: "UpTo(100) is claimed, but the gain at 100 numbers is 8.00×",
        entry: entry(&Pair {
            explanation: Explanation { keep_naive: KeepNaive::UpTo(100), ..EXPLAINED },
            ..PAIR
        }),
        ..SOUND_FAULT
    },
    Fault {
        what: "a pair in which nothing happens",
        check: Check::Explanation,
        says: "Nowhere is claimed, but the gain at 1,000 numbers is 1.00×",
        reference: || reference([1.0, 1.0, 1.0], 500, 1.2),
        ..SOUND_FAULT
    },
    Fault {
        what: "prose with a magnitude",
        check: Check::Explanation,
        says: "`why` states a magnitude (`a tenth`)",
        entry: entry(&Pair {
            explanation: Explanation { why: "It gains a tenth of the ratio.", ..EXPLAINED },
            ..PAIR
        }),
        ..SOUND_FAULT
    },
    Fault {
        what: "a remedy that names other code than the optimized side uses",
        check: Check::Remedy,
        says: "`HashSet` is prescribed, but the optimized side does not use it",
        entry: entry(&Pair {
            review: Review { remedy: "`HashSet::from_iter(numbers)`", ..REVIEWED },
            ..PAIR
        }),
        ..SOUND_FAULT
    },
    Fault {
        what: "a gain of two techniques",
        check: Check::Technique,
        says: "the gain is 3.00 times what the first cause explains",
        entry: entry(&Pair {
            explanation: Explanation {
                share_of_cause: ShareOfCause::Within(0.5, 4.0),
                ..EXPLAINED
            },
            ..PAIR
        }),
        reference: || reference([2.0, 30.0, 30.0], 500, 1.2),
        ..SOUND_FAULT
    },
    Fault {
        what: "a named lint that the naive side does not expect",
        check: Check::Lint,
        says: "the naive side lacks `#[expect(clippy::needless_collect",
        entry: entry(&Pair {
            review: Review {
                lint: Lint::Switched("clippy::needless_collect", "clippy::nursery"),
                ..REVIEWED
            },
            ..PAIR
        }),
        ..SOUND_FAULT
    },
    Fault {
        what: "a lint in another group than the card names",
        check: Check::Lint,
        says: "`clippy::needless_collect` is not in the group `clippy::all`",
        entry: entry(&Pair {
            review: Review { lint: Lint::Default("clippy::needless_collect"), ..REVIEWED },
            ..PAIR
        }),
        ..SOUND_FAULT
    },
    Fault {
        what: "a lint that finds the smell, and that the card does not name",
        check: Check::Lint,
        says: "`clippy::explicit_counter_loop` reports the naive side alone",
        lints: &[("src/planted/sound.rs", 6, "clippy::explicit_counter_loop")],
        ..SOUND_FAULT
    },
    Fault {
        what: "a limit that says nothing",
        check: Check::Limit,
        says: "the limit says little: a share of 0.500 %",
        reference: || reference([2.0, 8.0, 8.0], 5, 1.2),
        ..SOUND_FAULT
    },
    Fault {
        what: "a limit that is beaten",
        check: Check::Limit,
        says: "the limit is beaten: a share of 200 %",
        reference: || reference([2.0, 8.0, 8.0], 2_000, 1.2),
        ..SOUND_FAULT
    },
    Fault {
        what: "a peer that is better, and that the card does not name",
        check: Check::Peers,
        says: "`folder` has 0.500 of its time",
        entry: entry(&Pair {
            peers: &[SideBeside { name: "folder", summary: "a crate" }],
            prepare: |case| {
                let inputs = rotating(case);
                Ok(trial(&inputs, size).peer(by_ref(&inputs, |input| optimized(input, || ()))))
            },
            ..PAIR
        }),
        reference: || reference([2.0, 8.0, 8.0], 500, 0.5),
        ..SOUND_FAULT
    },
];
