//! Runs the pairs of a catalogue as criterion benchmarks. Only this file names criterion.
//!
//! Each side of a case becomes one criterion benchmark. Criterion decides how many iterations to run. Inside its
//! calls the [`Interleaver`] also runs the other side, off criterion's clock, and measures the gain. So `--profile-time`,
//! baselines and the time plan are criterion's own. A case is timed only if its proof on its input succeeds.

use std::{collections::BTreeMap, env, process::Command, time::Duration};

use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, PlottingBackend, SamplingMode, Throughput,
    measurement::WallTime,
};
use jiff::Timestamp;

use crate::{
    capacity, checks,
    conclusion::{self, Ended},
    count_causes::{self, CountedCase},
    criterion_output::{CriterionOutput, CriterionPanic},
    flags::{Flags, Mode},
    interleave::Interleaver,
    interrupt,
    load::{Load, LoadProbe, RunDelay},
    measuring::{Findings, NotReady, TrialTimer, at_distance, is_precise, proven, warm},
    numbers,
    printing::say,
    process::{fail, own_executable, serve_gate},
    progress::Progress,
    result_file::{CaseRecord, Record},
    results::{Measured, Outcome, PairResult},
    run::{self, RunFile},
    samples::Sample,
    scaling,
    selection::Selection,
    servers,
    startup::{self, Started},
    statistics::gain_in_one_process,
    study, table,
};
use worthit_machine::{Effort, overhead};
use worthit_pair::{
    case::{CaseKey, group_id},
    cases::{self, NamedCase},
    causes, cores,
    family::{Entry, Family},
    helper, paths,
    trial::{Role, Trial},
};

/// Criterion's warm-up. It is short because [`warm`] has already run the side.
const WARM_UP: Duration = Duration::from_millis(20);
/// Wall time to measure one side, including the interleaved batches of the other side.
const MEASUREMENT: Duration = Duration::from_millis(250);
/// Wall time once the gain is precise: only criterion's estimate of the side still needs it.
const SHORT_MEASUREMENT: Duration = Duration::from_millis(100);
/// Wall time to measure a peer or an alternative beside the optimized side.
const BESIDE_MEASUREMENT: Duration = Duration::from_millis(150);
/// Wall time while the interval of the gain contains 1.
const LONG_MEASUREMENT: Duration = Duration::from_millis(450);
/// Resamples of criterion's own estimates, none of which enters a result of ours. It draws the density of each estimate,
/// which takes as long as a measurement with ten times as many. It warns at 1,000.
const RESAMPLES: usize = 1_500;
/// Warm-up and measurement time of a quick run.
const QUICK: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(40));
/// Maximum total time for repeating batches of a case during which other processes held the CPU.
const REPEAT_TIME: Duration = Duration::from_millis(200);
/// Criterion takes at least this many samples of at least one iteration each, however long they are.
const LEAST_SAMPLES: usize = 10;
/// Minimum number of paired batches for a usable interval of the gain.
const ENOUGH_PAIRS: usize = 8;

/// Runs the benchmarks of one family of the catalogue, with the process's arguments: the `main` of a bench binary.
pub fn run(family: &'static Family, catalogue: &[&'static Family]) {
    if helper::run(catalogue).is_some() {
        return;
    }
    let started = startup::start(family.package)
        .unwrap_or_else(|error| fail(1, &format!("cannot execute this binary again: {error}")));
    let flags = &started.flags;
    if flags.gate_worker {
        return serve_gate(family);
    }
    let selection = Selection::of(&started, family, catalogue).unwrap_or_else(|error| {
        fail(2, &format!("the filter is not a valid regular expression: {error}"));
    });
    if flags.quick && flags.deep {
        fail(
            2,
            "--quick and --deep contradict each other: leave one out (also WORTHIT_QUICK and WORTHIT_DEEP)",
        );
    }
    if let Some(refusal) = selection.refusal() {
        fail(2, &refusal);
    }
    checks::require_baselines(flags, &selection);
    match flags.mode() {
        Mode::List => checks::list(&selection),
        Mode::Test => checks::test(&selection, flags.seed),
        Mode::Unmeasured => unmeasured(flags, &selection),
        Mode::Measure => measure(&started, &selection, catalogue),
    }
    servers::clean_up();
}

/// Returns criterion. Of its lines, only those are printed that `output` passes on.
fn criterion(flags: &Flags, output: &mut CriterionOutput) -> Criterion {
    if flags.plotting_backend.as_deref() == Some("gnuplot")
        && Command::new("gnuplot").arg("--version").output().is_err()
    {
        fail(
            2,
            "gnuplot cannot be run: install it (`apt-get install gnuplot`), or leave out --plotting-backend",
        );
    }
    let configured = output.hold(|| {
        let criterion = Criterion::default()
            .plotting_backend(PlottingBackend::Plotters)
            .warm_up_time(WARM_UP)
            .measurement_time(MEASUREMENT)
            .sample_size(10)
            .nresamples(RESAMPLES)
            .configure_from_args();
        // Plotting takes several times as long as a quick measurement.
        if flags.quick { criterion.without_plots() } else { criterion }
    });
    configured.unwrap_or_else(|panic| fail(1, &panic.to_string()))
}

fn criterion_output(flags: &Flags) -> CriterionOutput {
    CriterionOutput::new(flags.criterion_lines()).unwrap_or_else(|error| {
        fail(1, &format!("cannot hold back what criterion prints: {error}"))
    })
}

/// Leaves `--profile-time` and `--load-baseline` to criterion; records no results.
fn unmeasured(flags: &Flags, selection: &Selection<'_>) {
    let mut output = criterion_output(flags);
    let mut criterion = criterion(flags, &mut output);
    let delay = RunDelay::of_this_thread();
    for entry in selection.entries() {
        for case in selection.cases(entry) {
            let mut trial = match (flags.load_baseline.is_none(), &case) {
                (false, _) => None,
                (true, case) => match checks::prove(entry, case) {
                    Some(trial) => Some(placed(entry, trial)),
                    None => continue,
                },
            };
            let ran = output.hold(|| {
                let mut group = criterion.benchmark_group(case.key.group());
                for role in selection.roles(entry, &case) {
                    let id = BenchmarkId::new(cases::side_name(entry, role), case.case.point);
                    group.bench_function(id, |bencher| {
                        let trial = trial.as_mut().expect("criterion runs nothing if it loads");
                        let mut timer = TrialTimer::new(trial, &delay);
                        bencher.iter_custom(|iterations| timer.run(role, iterations).elapsed);
                    });
                }
                group.finish();
            });
            release(entry);
            ran.unwrap_or_else(|panic| fail(1, &format!("{}: {panic}", case.key)));
        }
    }
}

/// Places the threads of a pair that uses several on cores of their own, as the gate does. Otherwise the scheduler
/// chooses, differently in each process, which of them share a core.
fn placed(entry: &Entry, mut trial: Trial) -> Trial {
    if entry.uses_threads() {
        trial.spread();
    }
    trial
}

/// Lets this process run on all cores again: placing an asynchronous side also pins the thread that runs criterion.
fn release(entry: &Entry) {
    if entry.uses_threads() {
        cores::release_all();
    }
}

/// The state of a measuring process.
struct Bench<'a> {
    flags: &'a Flags,
    selection: &'a Selection<'a>,
    run: &'a mut RunFile,
    counted: BTreeMap<CaseKey, CountedCase>,
    delay: RunDelay,
    progress: Progress,
    output: CriterionOutput,
}

fn measure(started: &Started, selection: &Selection<'_>, catalogue: &[&'static Family]) {
    if selection.is_empty() {
        return;
    }
    let flags = &started.flags;
    let orders = study::selected(selection, flags);
    if let Err(error) = interrupt::handle() {
        fail(1, &format!("cannot handle interrupts: {error}"));
    }
    paths::remove_abandoned();
    let mut run = RunFile::join(selection.family.package, flags.quick, flags.seed)
        .unwrap_or_else(|error| fail(1, &error.to_string()));
    interrupt::say_when_interrupted(format!(
        "interrupted; the cases that were finished are in {}",
        run.path().display()
    ));
    let is_round = env::var_os("WORTHIT_ROUND").is_some();
    let ended = match flags.rounds {
        Some(rounds) if rounds > 1 && !is_round => in_rounds(rounds, started),
        _ => measure_here(flags, selection, &orders, &mut run),
    };
    if is_round {
        if let Err(panic) = ended {
            fail(1, &panic.to_string());
        }
        return;
    }
    let status = conclusion::conclude(&Ended {
        run: &run,
        selection,
        catalogue,
        flags,
        problem: ended.err().map(|panic| panic.to_string()),
    });
    if status != 0 {
        servers::clean_up();
        std::process::exit(status);
    }
}

/// Returns the number of this process in the run, from 1.
fn round() -> u64 {
    env::var("WORTHIT_ROUND").ok().and_then(|round| round.parse().ok()).unwrap_or(1)
}

/// Runs this binary once per round, in a process of its own.
fn in_rounds(rounds: u32, started: &Started) -> Result<(), CriterionPanic> {
    for round in 1..=rounds {
        say(&format!("round {round} of {rounds}"));
        let mut child = own_executable();
        child.args(&started.arguments);
        child.env("WORTHIT_ROUND", round.to_string());
        child.env("WORTHIT_LEADER", run::leader_pid().to_string());
        match interrupt::run_child(&mut child) {
            Ok(status) if status.success() => {}
            Ok(status) => fail(
                status.code().unwrap_or(1),
                &format!("round {round} failed ({status}); the results of earlier rounds are kept"),
            ),
            Err(error) => fail(1, &format!("cannot start round {round}: {error}")),
        }
    }
    Ok(())
}

fn measure_here(
    flags: &Flags,
    selection: &Selection<'_>,
    orders: &study::Orders,
    run: &mut RunFile,
) -> Result<(), CriterionPanic> {
    measure_pairs(flags, selection, run)?;
    // A study takes minutes, and its waterfall needs no interval between processes.
    if round() > 1 {
        return Ok(());
    }
    for (entry, orders) in orders {
        let mut progress = Progress::new(selection.total(), run, flags.quiet);
        study::measure(entry, orders, flags, &mut |result| {
            let study = Box::new(result.clone());
            append_or_fail(run, Record::Study { id: entry.id.to_owned(), study });
            if !result.is_unfinished {
                progress.finished(entry.id, &result.headline());
            }
        });
    }
    Ok(())
}

fn measure_pairs(
    flags: &Flags,
    selection: &Selection<'_>,
    run: &mut RunFile,
) -> Result<(), CriterionPanic> {
    let selected = selection.entries();
    if selected.is_empty() {
        return Ok(());
    }
    servers::start_for(selected.iter().copied());
    let counted = selected.iter().filter(|entry| !entry.causes.is_empty());
    let names: Vec<&str> = counted.map(|entry| entry.id).collect();
    let counted =
        count_causes::by_command(selection.family, &names, selection.extent(), flags.seed)
            .unwrap_or_else(|error| {
                say(&format!("causes are not counted: {error}"));
                Vec::new()
            });
    refuse_broken_claims(selection, &counted);
    let by_case = |case: CountedCase| (case.key.clone(), case);
    // Only the first round measures studies.
    let total = if round() > 1 { selection.total_cases() } else { selection.total() };
    if selected.iter().any(|entry| entry.uses_threads()) {
        measure_ceiling(run);
    }
    if selected.iter().any(|entry| entry.limit.needs_numbers()) {
        measure_numbers(run, flags);
    }
    measure_overhead(run);
    let mut output = criterion_output(flags);
    let mut criterion = criterion(flags, &mut output);
    let mut bench = Bench {
        flags,
        selection,
        counted: counted.into_iter().map(by_case).collect(),
        delay: RunDelay::of_this_thread(),
        progress: Progress::new(total, run, flags.quiet),
        run,
        output,
    };
    for entry in selected {
        bench.pair(&mut criterion, entry)?;
    }
    bench.output.hold(|| criterion.final_summary())
}

/// Ends the process if the counts of a selected case are not as its pair claims.
fn refuse_broken_claims(selection: &Selection<'_>, counted: &[CountedCase]) {
    for entry in selection.entries() {
        for case in selection.cases(entry) {
            let counts = counted.iter().find(|counts| counts.key == case.key);
            if let Some(Err(broken)) = counts.map(|counts| counts.check(entry, &case)) {
                checks::fail_unproven(&format!("{}: {broken}", case.key));
            }
        }
    }
}

/// Measures what the timing loops of this process add to an iteration.
fn measure_overhead(run: &mut RunFile) {
    append_or_fail(run, Record::Overhead(overhead::readings(&Effort::BRIEF)));
}

/// Measures the thread ceiling of the machine, once per run.
fn measure_ceiling(run: &mut RunFile) {
    if run.run().ceiling.is_empty() {
        append_or_fail(run, Record::Ceiling(scaling::ceiling()));
    }
}

/// Measures the machine numbers, as often as the run has rounds: in the first round of that many families, so that the
/// measurements lie far apart.
fn measure_numbers(run: &mut RunFile, flags: &Flags) {
    let effort = if flags.quick { Effort::QUICK } else { Effort::FULL };
    let measured = run.run().numbers.as_ref().map_or(0, |numbers| numbers.times);
    if round() == 1 && measured < u64::from(flags.rounds.unwrap_or(1)) {
        say("measuring the machine");
        append_or_fail(run, Record::Numbers(numbers::measure(&effort)));
    }
}

fn append_or_fail(run: &mut RunFile, record: Record) {
    if let Err(error) = run.append(vec![record]) {
        fail(1, &error.to_string());
    }
}

impl Bench<'_> {
    /// Measures the selected cases of a pair, level by level.
    fn pair(&mut self, criterion: &mut Criterion, entry: &Entry) -> Result<(), CriterionPanic> {
        let header = PairResult::of(entry);
        for level in cases::levels(entry) {
            let mut cases = self.selection.cases(entry);
            cases.retain(|case| case.key.level == level.label);
            let mut group = criterion.benchmark_group(group_id(entry.id, &level.label));
            for case in &cases {
                let (outcome, samples) = self.case(&mut group, entry, case)?;
                self.save_samples(&samples);
                // The measurement at a real delay is the confirmation of the computed case.
                let computed = match (level.distance_us(), &outcome) {
                    (Some(rtt_us), Outcome::Measured(measured)) => {
                        self.computed(&case.key, &header, rtt_us, Some(measured.clone()))
                    }
                    _ => None,
                };
                self.record(&case.key, &header, computed.unwrap_or(outcome));
            }
            self.output.hold(|| group.finish())?;
            let Some(rtt_us) = level.distance_us() else { continue };
            for point in cases::points(entry, self.selection.extent()) {
                let (pair, level) = (entry.id.to_owned(), level.label.clone());
                let key = CaseKey { pair, level, point };
                if cases.iter().any(|case| case.key == key) {
                    continue;
                }
                if let Some(computed) = self.computed(&key, &header, rtt_us, None) {
                    self.record(&key, &header, computed);
                }
            }
        }
        Ok(())
    }

    /// Adds a case to the run and reports progress.
    fn record(&mut self, key: &CaseKey, header: &PairResult, outcome: Outcome) {
        let is_only_computed =
            matches!(&outcome, Outcome::Computed(computed) if computed.confirmation.is_none());
        let line = table::one_line(&outcome);
        let case = CaseRecord { when: Timestamp::now(), key: key.clone(), outcome };
        if let Err(error) = self.run.add(header, case) {
            fail(1, &error.to_string());
        }
        if !is_only_computed {
            let name = format!("{} {}", key.group(), key.point);
            self.progress.finished(&name, &line);
        }
    }

    /// Computes a case at a distance: time at the nearest preceding level that was measured + counted round
    /// trips × RTT. `None` if this run has measured no such level, or has not counted round trips.
    fn computed(
        &self,
        key: &CaseKey,
        header: &PairResult,
        rtt_us: u64,
        confirmation: Option<Box<Measured>>,
    ) -> Option<Outcome> {
        let run = self.run.run();
        let pair = run.pairs.get(&key.pair)?;
        let nearer: Vec<&String> =
            header.levels.iter().take_while(|label| **label != key.level).collect();
        let (from, base) = nearer
            .iter()
            .rev()
            .find_map(|label| Some(((*label).clone(), pair.case(label, key.point)?.measured()?)))?;
        let time_and_trips = |role| {
            let side = base.side(role)?;
            let trips = base.count(role, causes::ROUND_TRIPS.id)?;
            Some((side.time_ns.median * base.units_per_iteration as f64, trips))
        };
        let mut computed =
            at_distance(time_and_trips(Role::Naive)?, time_and_trips(Role::Optimized)?, rtt_us);
        (computed.from, computed.confirmation) = (from, confirmation);
        Some(Outcome::Computed(computed))
    }

    /// Measures one case and returns its outcome and raw samples.
    fn case(
        &mut self,
        group: &mut BenchmarkGroup<'_, WallTime>,
        entry: &Entry,
        case: &NamedCase,
    ) -> Result<(Outcome, Vec<Sample>), CriterionPanic> {
        let mut trial = match proven(entry, case) {
            Ok(trial) => placed(entry, trial),
            Err(NotReady::Unavailable(reason)) => {
                return Ok((Outcome::Unavailable { reason }, Vec::new()));
            }
            Err(NotReady::Unproven(problem)) => checks::fail_unproven(&problem),
        };
        let roles = self.selection.roles(entry, case);
        let last_side = roles.iter().copied().rfind(|role| role.is_judged());
        let units = trial.units_per_iteration();
        group.throughput(Throughput::Elements(units)).sampling_mode(SamplingMode::Flat);
        let probe = LoadProbe::start();
        let mut timer = TrialTimer::new(&mut trial, &self.delay);
        let mut gain = Interleaver::new(Role::Naive, Role::Optimized, REPEAT_TIME);
        let beside = roles.iter().filter(|role| !role.is_judged());
        let mut beside: Vec<(Role, Interleaver)> = beside
            .map(|role| (*role, Interleaver::new(*role, Role::Optimized, REPEAT_TIME)))
            .collect();
        for role in roles {
            let own = beside.iter_mut().find(|(other, _)| *other == role);
            let interleaver = own.map_or(&mut gain, |(_, paired)| paired);
            let pace = warm(&mut timer, role);
            self.plan(group, interleaver, role, pace);
            let id = BenchmarkId::new(cases::side_name(entry, role), case.case.point);
            let fills_up = !role.is_judged() || Some(role) == last_side;
            let mut calls = 0;
            self.output.hold(|| {
                group.bench_function(id, |bencher| {
                    bencher.iter_custom(|iterations| {
                        calls += 1;
                        let mut timer = |role, n| timer.run(role, n);
                        let elapsed = interleaver.run(role, iterations, &mut timer);
                        // There is a call to warm up, and one for each sample.
                        let is_late = calls > LEAST_SAMPLES;
                        if fills_up && is_late && interleaver.pairs().len() < ENOUGH_PAIRS {
                            interleaver.top_up(ENOUGH_PAIRS, &mut timer);
                        }
                        elapsed
                    });
                });
            })?;
        }
        let load = Load { disturbed: gain.disturbed_share(), ..probe.load() };
        let observations = std::mem::take(&mut timer.observations);
        let (threads, inputs) = (trial.most_threads(), trial.inputs() as u64);
        release(entry);
        let (counts, plans) = match self.counted.get(&case.key) {
            Some(counted) => (counted.sides.clone(), counted.plans.clone()),
            None => Default::default(),
        };
        let findings = Findings {
            entry,
            case,
            units,
            inputs,
            threads,
            load,
            gain,
            beside,
            observations,
            counts,
            plans,
        };
        let samples = findings.samples(round());
        let mut outcome = findings.outcome();
        if let Outcome::Measured(measured) = &mut outcome {
            self.put_under_load(&mut trial, entry, case, measured);
        }
        Ok((outcome, samples))
    }

    /// Puts both sides of a headline case under the open-loop loads that the pair asks for, unless the run is quick.
    fn put_under_load(
        &self,
        trial: &mut Trial,
        entry: &Entry,
        case: &NamedCase,
        measured: &mut Measured,
    ) {
        let is_headline = case.key == cases::headline(entry, self.flags.seed).key;
        let Some(under_load) = entry.under_load.filter(|_| is_headline && !self.flags.quick) else {
            return;
        };
        for side in measured.sides.iter_mut().filter(|side| side.role.is_judged()) {
            let served = 1e9 / side.time_ns.median;
            // Each process of a run sends at other moments.
            let seed = self.flags.seed.wrapping_add(round() << 32);
            match capacity::loads(
                trial,
                side.role,
                &under_load,
                served,
                capacity::Effort::OF_PAIR,
                seed,
            ) {
                Ok(loads) => side.loads = loads,
                Err(unavailable) => {
                    say(&format!("{}: put under no load: {unavailable}", case.key.group()))
                }
            }
        }
    }

    /// Appends raw samples to the file next to the result.
    fn save_samples(&self, samples: &[Sample]) {
        if let Err(error) = self.run.save_samples(samples) {
            fail(1, &error.to_string());
        }
    }

    /// Decides whether a side that takes `pace` per iteration is still interleaved with the other one, and sets
    /// criterion's sample size, measurement time and warm-up, except where the user has set them.
    fn plan(
        &self,
        group: &mut BenchmarkGroup<'_, WallTime>,
        interleaver: &mut Interleaver,
        role: Role,
        pace: Duration,
    ) {
        let gain = gain_in_one_process(interleaver.pairs());
        let is_long = pace * 2 * LEAST_SAMPLES as u32 > QUICK.1;
        let has_enough = self.flags.quick && is_long && interleaver.pairs().len() >= ENOUGH_PAIRS;
        let alone = has_enough || gain.as_ref().is_some_and(is_precise);
        interleaver.pair_up(!alone);
        let time = match gain {
            _ if self.flags.quick => QUICK.1,
            _ if alone => SHORT_MEASUREMENT,
            _ if !role.is_judged() => BESIDE_MEASUREMENT,
            Some(gain) if gain.contains(1.0) => LONG_MEASUREMENT,
            _ => MEASUREMENT,
        };
        let wall = if alone { pace } else { pace * 2 };
        if self.flags.measurement_time.is_none() {
            group.measurement_time(time);
        }
        if self.flags.sample_size.is_none() {
            let fitting = time.as_nanos() / wall.as_nanos().max(1) / 2;
            group.sample_size((fitting as usize).clamp(LEAST_SAMPLES, 30));
        }
        if self.flags.warm_up_time.is_none() {
            group.warm_up_time(if self.flags.quick { QUICK.0 } else { WARM_UP });
        }
    }
}
