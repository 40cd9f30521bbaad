//! The gate's test of itself, on this machine: how often it alarms where nothing has changed, and what
//! it catches of what was injected.
//!
//! *Nulls* compare the head with the same build, with one that has a scratch pair and idle functions, and
//! with one whose functions the linker has placed otherwise; each is the full decision, counts and
//! time, and nothing is skipped. *Injected* are: time (computing for a share of each batch), instructions, and one
//! more allocation, write, fsync or statement an iteration.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
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
    revision::{Repository, Revision},
    scratch,
    settings::Settings,
    timing::Program,
    verdict::{CountChange, INSTRUCTIONS, TimeVerdict, Verdict, judge_time},
};
use crate::{machine::Machine, results::write_atomically, run};
use worthit_pair::{
    causes::{self, injected::Injection},
    format, paths,
    trial::Role,
};

/// Injected shares.
const SIZES: [f64; 5] = [0.01, 0.02, 0.05, 0.10, 0.20];
/// An injected share of at least this that is missed is named.
const WORTH_A_NAME: f64 = 0.10;
/// Times after which an injected slowdown is asked about.
const AFTER: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(10)];
/// Steps that are injected to learn how many instructions a step is, at least; more where a side does more, as what
/// its count varies by grows with it.
const TRIAL_STEPS: u64 = 1_000;
/// One step is tried for so many instructions of the side: a fifth more of them.
const PER_TRIAL_STEP: u64 = 20;

/// How much is tried.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Null runs, each over all pairs and every kind of null.
    pub nulls: usize,
    /// How often each size is injected in each pair.
    pub trials: usize,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SelfTest {
    /// When.
    pub when: Timestamp,
    /// Machine key.
    pub machine: String,
    /// The head, as it is shown.
    pub head: String,
    /// Load average at the end.
    pub load_average: f64,
    /// Whether timed workers went before all that others run.
    #[serde(default)]
    pub has_realtime_priority: bool,
    /// Nulls by their kind.
    pub nulls: BTreeMap<String, Nulls>,
    /// Null runs in which any case failed, of how many.
    pub failed_runs: (usize, usize),
    /// Cases that alarmed, and by what.
    pub alarms: Vec<String>,
    /// What was injected and caught.
    pub caught: Vec<Caught>,
    /// Large slowdowns that were missed.
    pub missed: Vec<String>,
    /// What could not be tried.
    pub notes: Vec<String>,
    /// Duration after the builds, s.
    pub seconds: f64,
}

/// Null comparisons of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Nulls {
    /// Full decisions.
    pub comparisons: usize,
    /// Of them regressed, by counts.
    pub alarms_by_counts: usize,
    /// Of them regressed, by time.
    pub alarms_by_time: usize,
    /// Whose times alone say regressed, which layout may explain.
    pub held_back: usize,
    /// Undecided.
    pub undecided: usize,
}

/// What was caught of one size of one injection in one class of pairs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Caught {
    /// The signal: `time after 3 s`, `instructions`, `fsync`.
    pub signal: String,
    /// What was injected: `5 %`, `one more`.
    pub size: String,
    /// Class of the pairs.
    pub class: String,
    /// How often it was injected.
    pub injected: usize,
    /// How often it was called regressed.
    pub caught: usize,
    /// How often it was called undecided.
    pub undecided: usize,
}

/// Tests the gate on the working tree.
///
/// # Errors
/// If the tree cannot be built or counted.
pub fn run(
    settings: &Settings,
    extent: Extent,
    injections: &[Injection],
    progress: &mut dyn FnMut(&str),
) -> Result<SelfTest, GateError> {
    let repository = Repository::here(&settings.cargo_arguments)?;
    run::take_turn_here()?;
    let head = repository.working_tree()?;
    progress(&format!("building {}", head.name));
    let build = repository.build(&head)?;
    let tested = BuildUnderTest::new(head.clone(), build, settings.seed);
    // Each pair is matched with itself.
    let pairs = pairing::pair_up(&tested.cases, &tested.cases);
    let mut pairs = pairing::select(pairs, &settings.ids)?;
    let mut notes = Vec::new();
    let variants = match extent.nulls {
        0 => Vec::new(),
        _ => variants(&repository, &head, &tested, settings, &mut notes, progress),
    };
    let start = Instant::now();
    progress("counting");
    let (counts, said) = counting::count_one(&tested, settings.seed)?;
    notes.extend(said);
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
    test.causes(&mut found, progress)?;
    if instructions::is_available() {
        test.instructions(&mut found, progress);
    }
    for trial in 1..=extent.trials {
        progress(&format!("injecting time, {trial} of {}", extent.trials));
        // What is too small to be relevant is tried once.
        let from = if trial == 1 { 0.0 } else { settings.relevant };
        test.times(SIZES.into_iter().filter(|size| *size >= from), &mut found, &mut notes);
        found.seconds = start.elapsed().as_secs_f64();
        found.save();
    }
    for nth in 1..=extent.nulls {
        progress(&format!(
            "null run {nth} of {}: {} alarms so far",
            extent.nulls,
            found.alarms.len()
        ));
        for (name, variant) in &variants {
            let failed = test.null_run(name, variant, &mut found)?;
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

/// Where the last self-test is kept.
fn path() -> PathBuf {
    paths::home().join("gate/self-test.json")
}

/// The last self-test on this machine.
pub fn last(machine: &str) -> Option<SelfTest> {
    let found: SelfTest = serde_json::from_slice(&fs::read(path()).ok()?).ok()?;
    (found.machine == machine).then_some(found)
}

/// A change to an exported package.
type Change<'a> = &'a dyn Fn(&Path) -> io::Result<()>;

/// Builds that nothing tells from the head.
fn variants(
    repository: &Repository,
    head: &Revision,
    tested: &BuildUnderTest,
    settings: &Settings,
    notes: &mut Vec<String>,
    progress: &mut dyn FnMut(&str),
) -> Vec<(String, BuildUnderTest)> {
    let first = tested.cases.first().map(|case| case.key.pair.clone()).unwrap_or_default();
    let with_pair = |package: &Path| scratch::add_pair(package, &first);
    let kinds: [(&str, Change<'_>); 3] = [
        ("the same build", &|_| Ok(())),
        ("a scratch pair added", &with_pair),
        ("functions placed differently", &scratch::place_differently),
    ];
    let mut built = Vec::new();
    for (name, change) in kinds {
        progress(&format!("building {name}"));
        let what = if name == "the same build" { "" } else { name };
        match repository.build_changed(head, what, change) {
            Ok(build) => {
                let variant = BuildUnderTest::new(head.clone(), build, settings.seed);
                built.push((name.to_owned(), variant));
            }
            Err(error) => notes.push(format!("not tried: {name}: {error}")),
        }
    }
    built
}

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

    /// What bounds a pair, as its counts and threads tell.
    fn class(&self, case: &GateCase) -> &'static str {
        let id = &case.key.pair;
        let counts = self.counts.by_pair.get(id);
        let does = |cause: causes::Cause| {
            let of = |role| counts.and_then(|counts| counts.get(&(role, cause.id.to_owned())));
            JUDGED.into_iter().any(|role| of(role).is_some_and(|count| count.least > 0))
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

    /// One more of each kind of cause, in every pair.
    fn causes(
        &self,
        found: &mut SelfTest,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(), GateError> {
        for Injection { name, cause, .. } in self.injections {
            progress(&format!("injecting one more {name}"));
            let mut counts = BuildCounts::default();
            let (build, seed) = (&self.tested.build, self.settings.seed);
            // As the gate does: what differs is counted again before it is judged.
            for _ in 0..3 {
                counts.add_causes(build, &self.ids(), seed, Some(name))?;
            }
            for pair in &self.pairs {
                let Some(case) = pair.head.as_ref().filter(|case| !case.is_open_loop()) else {
                    continue;
                };
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

    /// Each share of instructions, in every pair.
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
                    counts.add_instructions(program, case, &[Role::Optimized], injected).ok()
                };
                let key = (Role::Optimized, INSTRUCTIONS.to_owned());
                let least = |steps| {
                    let mut counts = BuildCounts::default();
                    count(steps, &mut counts)?;
                    Some(counts.by_pair[id][&key].least)
                };
                let Some(none) = least(0) else { return Vec::new() };
                let tried = TRIAL_STEPS.max(none / PER_TRIAL_STEP);
                let Some(some) = least(tried) else { return Vec::new() };
                let per_step = some.saturating_sub(none) as f64 / tried as f64;
                let class = self.class(case);
                let verdict = |size: f64| {
                    let steps = (none as f64 * size / per_step.max(0.1)).ceil() as u64;
                    let (mut base, mut head) = (self.counts.clone(), BuildCounts::default());
                    let mut again = 0;
                    loop {
                        count(steps, &mut head)?;
                        let changes =
                            counting::changes(pair, &base, &head, &self.settings.tolerances);
                        let change = changes.into_iter().find(|of| of.cause == INSTRUCTIONS)?;
                        if !counting::is_counted_again(&change, again, &self.settings.tolerances) {
                            return Some((id, class, size, change.verdict));
                        }
                        count(0, &mut base)?;
                        again += 1;
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

    /// Each share of time, once in every pair; the times alone are judged.
    fn times(
        &self,
        sizes: impl Iterator<Item = f64> + Clone,
        found: &mut SelfTest,
        notes: &mut Vec<String>,
    ) {
        for pair in &self.pairs {
            let Some(case) = &pair.head else { continue };
            for size in sizes.clone() {
                let base = self.tested.optimized(case);
                let head = Program { injected: Some(Injected::Time(size)), ..base };
                let mut timing = match PairedTiming::new(base, head) {
                    Ok(timing) => timing,
                    Err(error) => {
                        notes.push(format!("{} is not timed: {error}", case.key.pair));
                        break;
                    }
                };
                let class = self.class(case);
                let start = Instant::now();
                for after in AFTER {
                    timing.decide(&self.rule(), start + after);
                    let verdict = match &timing.found {
                        Some(Ok(TimeVerdict { verdict, .. })) => *verdict,
                        _ => Verdict::Undecided,
                    };
                    let signal = format!("time after {} s", after.as_secs());
                    found.add(&signal, &percent(size), class, verdict);
                    if verdict != Verdict::Regressed && size >= WORTH_A_NAME {
                        let (id, size) = (&case.key.pair, percent(size));
                        found.missed.push(format!("{id}, {size}, {signal}: {:?}", timing.found));
                    }
                    timing.resume();
                }
            }
        }
    }

    /// The full decision on every pair where nothing has changed; whether any fails.
    fn null_run(
        &self,
        kind: &str,
        variant: &BuildUnderTest,
        found: &mut SelfTest,
    ) -> Result<bool, GateError> {
        let ids = self.ids();
        let (mut counts, _) = counting::count_instructions(variant, &ids);
        counts.add_causes(&variant.build, &ids, self.settings.seed, None)?;
        let mut base = self.counts.clone();
        let pairs: Vec<&Matched> = self.pairs.iter().collect();
        let sides = ((self.tested, &mut base), (variant, &mut counts));
        let (tolerances, seed) = (&self.settings.tolerances, self.settings.seed);
        counting::recount(sides.0, sides.1, &pairs, tolerances, seed)?;
        let nulls = found.nulls.entry(kind.to_owned()).or_default();
        let mut failed = false;
        for pair in &self.pairs {
            let Some(case) = &pair.head else { continue };
            let changes = counting::changes(pair, &base, &counts, &self.settings.tolerances);
            let mut timing =
                match PairedTiming::new(self.tested.optimized(case), variant.optimized(case)) {
                    Ok(timing) => timing,
                    Err(error) => {
                        found.notes.push(format!("{} is not timed: {error}", case.key.pair));
                        continue;
                    }
                };
            timing.decide(&self.rule(), Instant::now() + AFTER[1]);
            let (threads, share, disturbed) =
                (timing.threads(), timing.cpu_share(), timing.disturbed);
            let times = match timing.found {
                Some(Ok(times)) => times,
                failed => {
                    found.notes.push(format!("{} is not timed: {failed:?}", case.key.pair));
                    continue;
                }
            };
            let alone = times.verdict;
            let change = times.change;
            let time = judge_time(times, &changes, threads, share, disturbed);
            let by_counts: Vec<&CountChange> =
                changes.iter().filter(|change| change.verdict == Verdict::Regressed).collect();
            nulls.comparisons += 1;
            nulls.alarms_by_counts += usize::from(!by_counts.is_empty());
            nulls.alarms_by_time += usize::from(time.verdict() == Verdict::Regressed);
            nulls.held_back +=
                usize::from(alone == Verdict::Regressed && time.verdict() != Verdict::Regressed);
            nulls.undecided += usize::from(time.verdict() == Verdict::Undecided);
            for count in &by_counts {
                found.alarms.push(format!("{} ({kind}): {count:?}", case.key.pair));
            }
            if time.verdict() == Verdict::Regressed {
                found.alarms.push(format!("{} ({kind}): time {change:?}", case.key.pair));
            }
            failed |= !by_counts.is_empty() || time.verdict() == Verdict::Regressed;
        }
        Ok(failed)
    }
}

fn percent(size: f64) -> String {
    format!("{} %", (size * 100.0).round())
}

impl SelfTest {
    fn add(&mut self, signal: &str, size: &str, class: &str, verdict: Verdict) {
        let is_it =
            |row: &&mut Caught| row.signal == signal && row.size == size && row.class == class;
        if self.caught.iter_mut().find(is_it).is_none() {
            self.caught.push(Caught {
                signal: signal.to_owned(),
                size: size.to_owned(),
                class: class.to_owned(),
                injected: 0,
                caught: 0,
                undecided: 0,
            });
        }
        if let Some(row) = self.caught.iter_mut().find(is_it) {
            row.injected += 1;
            row.caught += usize::from(verdict == Verdict::Regressed);
            row.undecided += usize::from(verdict == Verdict::Undecided);
        }
    }

    /// Keeps what is found so far.
    fn save(&self) {
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        // It is printed all the same.
        let _ = write_atomically(&path(), &text);
    }

    /// The whole in a sentence, for those who read a verdict.
    pub fn in_words(&self) -> String {
        let alarms = self.nulls.values().map(|n| n.alarms_by_counts + n.alarms_by_time);
        let of = |signal: &str, size: &str| {
            let rows = self.caught.iter().filter(|row| row.signal == signal && row.size == size);
            let (caught, injected) =
                rows.fold((0, 0), |sum, row| (sum.0 + row.caught, sum.1 + row.injected));
            format!("{caught} of {injected}")
        };
        format!(
            "self-test of {} on this machine: {} alarms in {} comparisons without a change; caught {} injected 1 % of \
             instructions, {} injected 5 % and {} injected 10 % of time",
            self.when.strftime("%Y-%m-%d"),
            alarms.sum::<usize>(),
            format::count(self.null_comparisons() as u64),
            of("instructions", "1 %"),
            of("time after 10 s", "5 %"),
            of("time after 3 s", "10 %")
        )
    }

    /// Comparisons without any change, of all kinds.
    pub fn null_comparisons(&self) -> usize {
        self.nulls.values().map(|nulls| nulls.comparisons).sum()
    }
}
