//! The gate's self-test on this machine: how often it raises a false alarm, and which injected changes it catches.
//!
//! *Null (A/A) comparisons* (`nulls`) compare the head with builds in which nothing that is measured has changed. A pair
//! that is called regressed or improved is a false alarm.
//!
//! *Injections* add time (computing for a share of each batch), instructions, or one more allocation, write, fsync or
//! statement per iteration.

mod nulls;

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    build::Builder,
    build_under_test::BuildUnderTest,
    counting,
    counts::{BuildCounts, JUDGED},
    decision::Rule,
    error::GateError,
    instructions,
    paired_timing::PairedTiming,
    pairing::{self, Matched},
    protocol::{GateCase, Injected},
    realtime,
    settings::Settings,
    timing::Program,
    verdict::{INSTRUCTIONS, TimeVerdict, Verdict},
};
use crate::{machine::Machine, result_file::write_atomically, run};
use worthit_pair::{
    causes::{self, injected::Injection},
    format, paths,
    trial::Role,
};

use nulls::Variants;
pub use nulls::{Nulls, SAME_BUILD};

/// Sizes of injections, as shares of time or of instructions.
const SIZES: [f64; 5] = [0.01, 0.02, 0.05, 0.10, 0.20];
/// Size from which a missed injection of time is reported.
const LARGE: f64 = 0.10;
/// Timing durations after which the verdict on an injected slowdown is recorded.
const TIME_LIMITS: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(10)];
/// Minimum number of steps that are injected to measure the instructions per step.
///
/// A side with more instructions gets more steps, because its count varies by more.
const MIN_TRIAL_STEPS: u64 = 1_000;
/// Number of the side's instructions per trial step, so that the steps add about a fifth to its instructions.
const INSTRUCTIONS_PER_TRIAL_STEP: u64 = 20;

/// Extent of a self-test.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Number of null runs, each over all pairs and every kind of null comparison.
    pub nulls: usize,
    /// Number of times that each size of slowdown is injected into each pair; with 0, causes are not injected either.
    pub trials: usize,
}

/// Result of a self-test.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SelfTest {
    /// Start of the self-test.
    pub when: Timestamp,
    /// Machine key.
    pub machine: String,
    /// Display name of the head.
    pub head: String,
    /// Load average at the end of the self-test.
    pub load_average: f64,
    /// Whether workers were timed at real-time priority.
    #[serde(default)]
    pub has_realtime_priority: bool,
    /// Null comparisons by kind.
    pub nulls: BTreeMap<String, Nulls>,
    /// Number of null runs in which any case was called regressed or improved, and number of all null runs.
    pub failed_runs: (usize, usize),
    /// False alarms: the case, and the signal that raised it.
    pub alarms: Vec<String>,
    /// Injections, and how many of them were caught.
    pub caught: Vec<Caught>,
    /// Missed injections of instructions, and missed large injections of time.
    pub missed: Vec<String>,
    /// Notes on what could not be tested.
    pub notes: Vec<String>,
    /// Duration of the self-test after the builds, s.
    pub seconds: f64,
}

/// Injections of one size and signal into one class of pairs, and how many of them were caught.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Caught {
    /// Signal that should catch it: `time after 3 s`, `instructions`, `fsync`.
    pub signal: String,
    /// Size of the injection: `5 %`, `one more`.
    pub size: String,
    /// Class of the pairs.
    pub class: String,
    /// Number of injections.
    pub injected: usize,
    /// Number of injections with the verdict regressed.
    pub caught: usize,
    /// Number of injections with the verdict undecided.
    pub undecided: usize,
}

/// Tests the gate with the working tree.
///
/// # Errors
/// If the tree cannot be built or counted.
pub fn run(
    settings: &Settings,
    extent: Extent,
    injections: &[Injection],
    progress: &mut dyn FnMut(&str),
) -> Result<SelfTest, GateError> {
    let builder = Builder::here(&settings.cargo_arguments)?;
    run::take_turn_here()?;
    let head = builder.repository.working_tree()?;
    progress(&format!("building {}", head.name));
    let build = builder.build(&head)?;
    let tested = BuildUnderTest::new(head.clone(), build, settings.seed);
    // Matches each pair with itself.
    let pairs = pairing::pair_up(&tested.cases, &tested.cases);
    let mut pairs = pairing::select(pairs, &settings.ids)?;
    let mut notes = builder.notes();
    let variants = match extent.nulls {
        0 => Vec::new(),
        runs => nulls::variants(&builder, &tested, runs, settings, &mut notes, progress),
    };
    let start = Instant::now();
    progress("counting");
    let (counts, count_notes) = counting::count_one(&tested, settings.seed)?;
    notes.extend(count_notes);
    let runs = |id: &str| counts.by_pair.contains_key(id);
    pairs.retain(|pair| pair.head.as_ref().is_some_and(|case| runs(&case.key.pair)));
    let test = Test { tested: &tested, counts, settings, injections, pairs };
    let mut found = SelfTest {
        when: Timestamp::now(),
        machine: Machine::current().key,
        head: head.name,
        has_realtime_priority: realtime::may_set_realtime_priority(),
        ..SelfTest::default()
    };
    if extent.trials > 0 {
        test.causes(&mut found, progress)?;
    }
    if extent.trials > 0 && instructions::is_available() {
        test.instructions(&mut found, progress);
    }
    for trial in 1..=extent.trials {
        progress(&format!("injecting time, {trial} of {}", extent.trials));
        // Sizes too small to be relevant are tried only once.
        let smallest = if trial == 1 { 0.0 } else { settings.relevant };
        test.times(SIZES.into_iter().filter(|size| *size >= smallest), &mut found, &mut notes);
        found.seconds = start.elapsed().as_secs_f64();
        found.save();
    }
    for nth in 1..=extent.nulls {
        progress(&format!(
            "null run {nth} of {}: {} false alarms so far",
            extent.nulls,
            found.alarms.len()
        ));
        for Variants { kind, builds } in &variants {
            let failed = test.null_run(kind, &builds[(nth - 1) % builds.len()], &mut found)?;
            found.failed_runs.0 += usize::from(failed);
            found.failed_runs.1 += 1;
            found.seconds = start.elapsed().as_secs_f64();
            found.save();
        }
    }
    found.load_average = crate::load::LoadProbe::start().load().load_average;
    found.seconds = start.elapsed().as_secs_f64();
    found.notes.extend(notes);
    found.notes.dedup();
    found.save();
    Ok(found)
}

/// Returns the path of the last self-test.
fn path() -> PathBuf {
    paths::home().join("gate/self-test.json")
}

/// Returns the last self-test on this machine, if there is one.
pub fn last(machine: &str) -> Option<SelfTest> {
    let found: SelfTest = serde_json::from_slice(&fs::read(path()).ok()?).ok()?;
    (found.machine == machine).then_some(found)
}

/// A self-test in progress.
struct Test<'a> {
    tested: &'a BuildUnderTest,
    counts: BuildCounts,
    settings: &'a Settings,
    injections: &'a [Injection],
    pairs: Vec<Matched>,
}

impl Test<'_> {
    fn ids(&self) -> Vec<&str> {
        self.pairs.iter().filter_map(|pair| Some(pair.head.as_ref()?.key.pair.as_str())).collect()
    }

    /// Returns the class of a pair: what limits its speed, judging by its counts and threads.
    fn class(&self, case: &GateCase) -> &'static str {
        let id = &case.key.pair;
        let counts = self.counts.by_pair.get(id);
        let does = |cause: causes::Cause| {
            let count_of_role =
                |role| counts.and_then(|counts| counts.get(&(role, cause.id.to_owned())));
            JUDGED.into_iter().any(|role| count_of_role(role).is_some_and(|count| count.least > 0))
        };
        if case.is_open_loop() {
            "open loop"
        } else if self.counts.threads.get(id).is_some_and(|threads| *threads > 1) {
            "threads"
        } else if does(causes::STATEMENTS) {
            "SQLite"
        } else if does(causes::FSYNCS) || does(causes::WRITE_CALLS) || does(causes::READ_CALLS) {
            "file"
        } else {
            "CPU"
        }
    }

    fn rule(&self) -> Rule {
        self.settings.rule(self.pairs.len())
    }

    /// Injects one more operation of each kind into every pair.
    fn causes(
        &self,
        found: &mut SelfTest,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(), GateError> {
        for Injection { name, cause, .. } in self.injections {
            progress(&format!("injecting one more {name}"));
            let mut counts = BuildCounts::default();
            let (build, seed) = (&self.tested.build, self.settings.seed);
            // Counts repeatedly, as the gate recounts what differs before it judges.
            for _ in 0..3 {
                counts.add_causes(build, &self.ids(), seed, Some(name))?;
            }
            for pair in &self.pairs {
                let Some(case) = pair.head.as_ref().filter(|case| !case.is_open_loop()) else {
                    continue;
                };
                let counted = self.counts.by_pair.get(&case.key.pair);
                let key = (Role::Optimized, cause.id.to_owned());
                // A study counts only the causes that it names.
                if counted.is_some_and(|counts| !counts.contains_key(&key)) {
                    continue;
                }
                let changes =
                    counting::changes(pair, &self.counts, &counts, &self.settings.tolerances);
                let verdict = changes
                    .iter()
                    .filter(|change| change.role == Role::Optimized && change.cause == cause.id)
                    .map(|change| change.verdict)
                    .max();
                let class = self.class(case);
                found.add(name, "one more", class, verdict.unwrap_or(Verdict::Unchanged));
            }
        }
        Ok(())
    }

    /// Injects each share of instructions into every pair.
    fn instructions(&self, found: &mut SelfTest, progress: &mut dyn FnMut(&str)) {
        progress("injecting instructions");
        let injected: Vec<(&String, &'static str, f64, Verdict)> = self
            .pairs
            .par_iter()
            .flat_map_iter(|pair| {
                let Some(case) = pair.head.as_ref().filter(|case| !case.is_open_loop()) else {
                    return Vec::new();
                };
                let (id, program) = (&case.key.pair, self.tested.program(&case.key.pair));
                let count = |steps, counts: &mut BuildCounts| {
                    let injected = Some(Injected::Steps(steps));
                    counts.add_instructions(program, case, &[Role::Optimized], injected, 0).ok()
                };
                let key = (Role::Optimized, INSTRUCTIONS.to_owned());
                let least = |steps| {
                    let mut counts = BuildCounts::default();
                    count(steps, &mut counts)?;
                    Some(counts.by_pair[id][&key].least)
                };
                let Some(none) = least(0) else { return Vec::new() };
                let tried = MIN_TRIAL_STEPS.max(none / INSTRUCTIONS_PER_TRIAL_STEP);
                let Some(some) = least(tried) else { return Vec::new() };
                let per_step = some.saturating_sub(none) as f64 / tried as f64;
                let class = self.class(case);
                let verdict = |size: f64| {
                    let steps = (none as f64 * size / per_step.max(0.1)).ceil() as u64;
                    let (mut base, mut head) = (self.counts.clone(), BuildCounts::default());
                    let mut recounts = 0;
                    loop {
                        count(steps, &mut head)?;
                        let changes =
                            counting::changes(pair, &base, &head, &self.settings.tolerances);
                        let change =
                            changes.into_iter().find(|change| change.cause == INSTRUCTIONS)?;
                        if !counting::is_counted_again(&change, recounts, &self.settings.tolerances)
                        {
                            return Some((id, class, size, change.verdict));
                        }
                        count(0, &mut base)?;
                        recounts += 1;
                    }
                };
                SIZES.into_iter().filter_map(verdict).collect()
            })
            .collect();
        for (id, class, size, verdict) in injected {
            found.add("instructions", &percent(size), class, verdict);
            if verdict != Verdict::Regressed {
                found.missed.push(format!("{id}, {}, instructions", percent(size)));
            }
        }
    }

    /// Injects each share of time once into every pair, and judges by the times alone.
    fn times(
        &self,
        sizes: impl Iterator<Item = f64> + Clone,
        found: &mut SelfTest,
        notes: &mut Vec<String>,
    ) {
        for pair in &self.pairs {
            let Some(case) = pair.head.as_ref().filter(|_| !pair.is_judged_by_counts()) else {
                continue;
            };
            for size in sizes.clone() {
                let base = self.tested.optimized(case);
                let head = Program { injected: Some(Injected::Time(size)), ..base };
                let mut timing = match PairedTiming::new(base, head) {
                    Ok(timing) => timing,
                    Err(error) => {
                        notes.push(format!("{} was not timed: {error}", case.key.pair));
                        break;
                    }
                };
                let class = self.class(case);
                let start = Instant::now();
                for limit in TIME_LIMITS {
                    timing.decide(&self.rule(), start + limit);
                    let verdict = match &timing.found {
                        Some(Ok(TimeVerdict { verdict, .. })) => *verdict,
                        _ => Verdict::Undecided,
                    };
                    let signal = format!("time after {} s", limit.as_secs());
                    found.add(&signal, &percent(size), class, verdict);
                    if verdict != Verdict::Regressed && size >= LARGE {
                        let (id, size) = (&case.key.pair, percent(size));
                        found.missed.push(format!("{id}, {size}, {signal}: {:?}", timing.found));
                    }
                    timing.resume();
                }
            }
        }
    }
}

fn percent(size: f64) -> String {
    format!("{} %", (size * 100.0).round())
}

impl SelfTest {
    /// Adds the verdict on one injection.
    fn add(&mut self, signal: &str, size: &str, class: &str, verdict: Verdict) {
        let is_same =
            |row: &&mut Caught| row.signal == signal && row.size == size && row.class == class;
        if self.caught.iter_mut().find(is_same).is_none() {
            self.caught.push(Caught {
                signal: signal.to_owned(),
                size: size.to_owned(),
                class: class.to_owned(),
                injected: 0,
                caught: 0,
                undecided: 0,
            });
        }
        if let Some(row) = self.caught.iter_mut().find(is_same) {
            row.injected += 1;
            row.caught += usize::from(verdict == Verdict::Regressed);
            row.undecided += usize::from(verdict == Verdict::Undecided);
        }
    }

    /// Stores what has been found so far.
    fn save(&self) {
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        // An error does no harm here: the result is printed anyway.
        let _ = write_atomically(&path(), &text);
    }

    /// Returns the result in one sentence, for readers of a verdict.
    pub fn in_words(&self) -> String {
        let alarms = self.nulls.values().map(Nulls::alarms);
        let caught_of = |signal: &str, size: &str| {
            let rows = self.caught.iter().filter(|row| row.signal == signal && row.size == size);
            let (caught, injected) =
                rows.fold((0, 0), |sum, row| (sum.0 + row.caught, sum.1 + row.injected));
            format!("{caught} of {injected}")
        };
        format!(
            "self-test of {} on this machine: {} false alarms in {} null (A/A) comparisons, false improvements \
             included; caught 1 % more \
             instructions in {} injections, 5 % more time in {} and 10 % more time in {}",
            self.when.strftime("%Y-%m-%d"),
            alarms.sum::<usize>(),
            format::count(self.null_comparisons() as u64),
            caught_of("instructions", "1 %"),
            caught_of("time after 10 s", "5 %"),
            caught_of("time after 3 s", "10 %")
        )
    }

    /// Returns the number of null comparisons of all kinds.
    pub fn null_comparisons(&self) -> usize {
        self.nulls.values().map(|nulls| nulls.comparisons).sum()
    }
}
