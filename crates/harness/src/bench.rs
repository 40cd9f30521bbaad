//! Runs the pairs of a catalogue as criterion benchmarks. Only this file names criterion.
//!
//! Each side of a case becomes one criterion benchmark. Criterion decides how many iterations to run. Inside its
//! calls the [`Interleaver`] also runs the other side, off criterion's clock, and measures the gain. So filters,
//! `--test`, `--list`, baselines and the time plan are criterion's own. A case is timed only if its proof on its
//! input succeeds.

use std::{
    collections::BTreeMap,
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, exit},
    time::Duration,
};

use clap::Parser;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, PlottingBackend, SamplingMode, Throughput,
    measurement::WallTime,
};
use jiff::Timestamp;

use crate::{
    calibration,
    count_causes::{self, CountedCase},
    criterion_pages::CriterionPages,
    flags::{Flags, Mode, Selector},
    gate::worker,
    interleave::Interleaver,
    interrupt,
    load::{Load, LoadProbe, RunDelay},
    measuring::{Findings, NotReady, TrialTimer, at_distance, is_precise, proven, warm},
    nearest::nearest_id,
    numbers, progress, report,
    result_file::{CaseRecord, Record},
    results::{Measured, Outcome, PairResult},
    run::{self, RunFile},
    samples::{self, Sample},
    scaling,
    statistics::gain_in_one_process,
    table,
};
use worthit_machine::Effort;
use worthit_pair::{
    case::{CaseKey, group_id},
    cases::{self, Extent, NamedCase},
    causes::{self, Counts},
    family::{Entry, Family},
    paths,
    trial::Role,
};

/// Criterion's warm-up. It is short because [`warm`] has already run the side.
const WARM_UP: Duration = Duration::from_millis(40);
/// Wall time to measure one side, including the interleaved batches of the other side.
const MEASUREMENT: Duration = Duration::from_millis(300);
/// Wall time once the gain is precise: only criterion's estimate of the side still needs it.
const SHORT_MEASUREMENT: Duration = Duration::from_millis(120);
/// Wall time while the interval of the gain contains 1.
const LONG_MEASUREMENT: Duration = Duration::from_millis(600);
/// Warm-up and measurement time of a quick run.
const QUICK: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(60));
/// Maximum total time for repeating batches of a case during which other processes held the CPU.
const REPEAT_TIME: Duration = Duration::from_millis(200);
/// Minimum number of paired batches for a usable interval of the gain.
const ENOUGH_PAIRS: usize = 8;

/// Runs the benchmarks of one family of the catalogue, with the process's arguments: the `main` of a bench binary.
pub fn run(family: &'static Family, catalogue: &[&'static Family]) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let flags = Flags::parse();
    if flags.gate_worker {
        return serve_gate(family);
    }
    if let Some(kept) = Flags::strip_own(&arguments) {
        let error = own_executable().args(kept).envs(flags.environment()).exec();
        fail(1, &format!("cannot re-execute this binary: {error}"));
    }
    let selector = flags.selector().unwrap_or_else(|error| {
        fail(2, &format!("the filter is not a valid regular expression: {error}"));
    });
    match flags.mode() {
        Mode::Measure => {
            refuse_empty_selection(catalogue, &flags, &selector);
            measure(family, catalogue, &flags, &selector);
        }
        mode => unmeasured(family, &flags, &selector, mode),
    }
}

/// Serves a gate until its requests end.
fn serve_gate(family: &Family) {
    if let Err(error) = interrupt::handle() {
        fail(1, &format!("cannot handle interrupts: {error}"));
    }
    paths::remove_abandoned();
    let served = worker::serve(family, io::stdin().lock(), io::stdout().lock());
    if let Err(error) = served {
        fail(1, &format!("cannot serve the gate: {error}"));
    }
    paths::remove_own();
}

fn fail(status: i32, message: &str) -> ! {
    eprintln!("worthit: {message}");
    paths::remove_own();
    exit(status)
}

fn fail_unproven(problem: &str) -> ! {
    fail(1, &format!("{problem}\nThe case was not timed; the run ends here."))
}

fn own_executable() -> Command {
    let exe = std::env::current_exe();
    Command::new(exe.unwrap_or_else(|error| fail(1, &format!("cannot find this binary: {error}"))))
}

fn extent(flags: &Flags) -> Extent {
    match (flags.mode(), flags.quick, flags.deep) {
        (Mode::Test, ..) => Extent::Ends,
        (_, true, _) => Extent::Quick,
        (_, _, true) => Extent::Deep,
        _ => Extent::Default,
    }
}

/// Returns the ids of the benchmarks of a family.
fn ids<'a>(family: &'a Family, flags: &Flags) -> impl Iterator<Item = String> + 'a {
    let (extent, seed) = (extent(flags), flags.seed);
    family.pairs.iter().flat_map(move |entry| {
        cases::measured(entry, extent, seed).into_iter().flat_map(move |case| {
            cases::roles(entry).into_iter().map(move |role| cases::benchmark_id(entry, &case, role))
        })
    })
}

/// Ends the process if the filter selects nothing in the whole catalogue, which must be a mistake. Selecting nothing
/// in this family alone is fine.
fn refuse_empty_selection(catalogue: &[&'static Family], flags: &Flags, selector: &Selector) {
    let Some(filter) = &flags.filter else { return };
    if catalogue.iter().any(|family| ids(family, flags).any(|id| selector.selects(&id))) {
        return;
    }
    let nearest = nearest_id(filter, catalogue);
    let hint = nearest.map_or(";".to_owned(), |id| format!("; did you mean `{id}`?"));
    fail(
        2,
        &format!("no benchmark matches `{filter}`{hint} `cargo bench -- --list` lists all of them"),
    );
}

fn criterion() -> Criterion {
    Criterion::default()
        .plotting_backend(PlottingBackend::Plotters)
        .warm_up_time(WARM_UP)
        .measurement_time(MEASUREMENT)
        .sample_size(10)
        .nresamples(10_000)
        .configure_from_args()
}

/// Leaves `--test`, `--list`, `--profile-time` and `--load-baseline` to criterion; records no results.
fn unmeasured(family: &'static Family, flags: &Flags, selector: &Selector, mode: Mode) {
    let mut criterion = criterion();
    let delay = RunDelay::of_this_thread();
    for entry in family.pairs {
        for case in cases::measured(entry, extent(flags), flags.seed) {
            let selected = |role| selector.selects(&cases::benchmark_id(entry, &case, role));
            let runs =
                matches!(mode, Mode::Test | Mode::Unmeasured) && flags.load_baseline.is_none();
            let mut trial = None;
            if runs && cases::roles(entry).into_iter().any(selected) {
                match proven(entry, &case) {
                    Ok(proven) => trial = Some(proven),
                    Err(NotReady::Unproven(problem)) => fail_unproven(&problem),
                    Err(NotReady::Unavailable(reason)) => {
                        eprintln!("{} {}: {reason}", case.key.group(), case.case.point);
                        continue;
                    }
                }
            }
            let mut group = criterion.benchmark_group(case.key.group());
            for role in cases::roles(entry) {
                let id = BenchmarkId::new(cases::side_name(entry, role), case.case.point);
                group.bench_function(id, |bencher| {
                    let trial = trial.as_mut().expect("it was prepared because its id is selected");
                    let mut timer = TrialTimer::new(trial, &delay);
                    bencher.iter_custom(|iterations| timer.run(role, iterations).elapsed);
                });
            }
            group.finish();
        }
    }
    paths::remove_own();
}

/// The state of a measuring process.
struct Bench<'a> {
    flags: &'a Flags,
    selector: &'a Selector,
    run: &'a mut RunFile,
    counted: BTreeMap<CaseKey, Vec<(Role, Counts)>>,
    delay: RunDelay,
    progress: progress::Progress,
}

fn measure(
    family: &'static Family,
    catalogue: &[&'static Family],
    flags: &Flags,
    selector: &Selector,
) {
    let selected: Vec<&Entry> = family
        .pairs
        .iter()
        .filter(|entry| {
            let cases = cases::measured(entry, extent(flags), flags.seed);
            cases.iter().any(|case| is_selected(entry, case, selector))
        })
        .collect();
    if selected.is_empty() {
        return;
    }
    if let Err(error) = interrupt::handle() {
        fail(1, &format!("cannot handle interrupts: {error}"));
    }
    paths::remove_abandoned();
    let mut run =
        RunFile::join(flags.quick, flags.seed).unwrap_or_else(|error| fail(1, &error.to_string()));
    match flags.rounds {
        Some(rounds) if rounds > 1 => in_rounds(rounds, flags),
        _ => measure_here(family, catalogue, flags, selector, &selected, &mut run),
    }
    if std::env::var_os("WORTHIT_ROUND").is_some() {
        return;
    }
    let recorded = run.load().unwrap_or_else(|error| fail(1, &error.to_string()));
    println!("\n{}", table::of_family(&recorded, family));
    if let Some(verdict) = calibration::verdict(&recorded) {
        println!("{verdict}\n");
    }
    let samples = samples::load(&samples::path_of(run.path()));
    let last = report::Last::here(&recorded.machine.key);
    let written = samples.and_then(|samples| {
        report::write(&report::Material {
            run: &recorded,
            samples: &samples,
            other: None,
            gate: (!last.is_empty()).then_some(&last),
            trends: None,
            families: catalogue,
            criterion: Some(&CriterionPages::here()),
            folder: Path::new("reports"),
        })
    });
    match written {
        Ok(page) => println!("report: {}\nresult: {}", page.display(), run.path().display()),
        Err(error) => {
            fail(
                1,
                &format!(
                    "{error}\nThe result is in {}; `cargo run --release -- report` generates the pages from it.",
                    run.path().display()
                ),
            );
        }
    }
    paths::remove_own();
}

fn is_selected(entry: &Entry, case: &NamedCase, selector: &Selector) -> bool {
    cases::roles(entry)
        .into_iter()
        .any(|role| selector.selects(&cases::benchmark_id(entry, case, role)))
}

/// Returns the number of this process in the run, from 1.
fn round() -> u64 {
    std::env::var("WORTHIT_ROUND").ok().and_then(|round| round.parse().ok()).unwrap_or(1)
}

/// Runs this binary once per round, in a process of its own.
fn in_rounds(rounds: u32, flags: &Flags) {
    for round in 1..=rounds {
        eprintln!("worthit: round {round} of {rounds}");
        let mut child = own_executable();
        child.args(std::env::args().skip(1)).envs(flags.environment()).env_remove("WORTHIT_ROUNDS");
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
}

fn measure_here(
    family: &'static Family,
    catalogue: &[&'static Family],
    flags: &Flags,
    selector: &Selector,
    selected: &[&Entry],
    run: &mut RunFile,
) {
    let counted = selected.iter().filter(|entry| !entry.causes.is_empty());
    let names: Vec<&str> = counted.map(|entry| entry.id).collect();
    let counted = count_causes::by_command(family, &names, extent(flags), flags.seed)
        .unwrap_or_else(|error| {
            eprintln!("worthit: causes are not counted: {error}");
            Vec::new()
        });
    let by_case = |case: CountedCase| (case.key, case.sides);
    if selected.iter().any(|entry| entry.uses_threads()) {
        measure_ceiling(run);
    }
    if selected.iter().any(|entry| entry.limit.needs_numbers()) {
        measure_numbers(run, flags);
    }
    let total = total_cases(family, catalogue, flags, selector);
    let mut bench = Bench {
        flags,
        selector,
        counted: counted.into_iter().map(by_case).collect(),
        delay: RunDelay::of_this_thread(),
        progress: progress::Progress::new(total, run),
        run,
    };
    let mut criterion = criterion();
    if flags.quick {
        // Plotting takes several times as long as a quick measurement.
        criterion = criterion.without_plots();
    }
    for entry in selected {
        bench.pair(&mut criterion, entry);
    }
    criterion.final_summary();
}

/// Measures the thread ceiling of the machine, once per run.
fn measure_ceiling(run: &mut RunFile) {
    if run.run().ceiling.is_empty() {
        append_or_fail(run, Record::Ceiling(scaling::ceiling()));
    }
}

/// Measures the machine numbers, once per run.
fn measure_numbers(run: &mut RunFile, flags: &Flags) {
    let effort = if flags.quick { Effort::QUICK } else { Effort::FULL };
    if run.run().numbers.is_none() {
        eprintln!("worthit: measuring the machine");
        append_or_fail(run, Record::Numbers(numbers::measure(&effort)));
    }
}

fn append_or_fail(run: &mut RunFile, record: Record) {
    if let Err(error) = run.append(vec![record]) {
        fail(1, &error.to_string());
    }
}

/// Returns how many cases all processes of this run will measure, as far as cargo's arguments show.
fn total_cases(
    family: &'static Family,
    catalogue: &[&'static Family],
    flags: &Flags,
    selector: &Selector,
) -> usize {
    let requested = run::asked_benches();
    let families = catalogue.iter().filter(|other| {
        other.name == family.name
            || requested.as_ref().is_none_or(|names| names.iter().any(|name| name == other.name))
    });
    let entries = families.flat_map(|family| family.pairs);
    entries
        .flat_map(|entry| {
            let cases = cases::measured(entry, extent(flags), flags.seed);
            cases.into_iter().filter(|case| is_selected(entry, case, selector))
        })
        .count()
}

impl Bench<'_> {
    /// Measures the selected cases of a pair, level by level.
    fn pair(&mut self, criterion: &mut Criterion, entry: &Entry) {
        let header = PairResult::of(entry);
        for level in cases::levels(entry) {
            let mut cases = cases::measured(entry, extent(self.flags), self.flags.seed);
            cases.retain(|case| {
                case.key.level == level.label && is_selected(entry, case, self.selector)
            });
            let mut group = criterion.benchmark_group(group_id(entry.id, &level.label));
            for case in &cases {
                let (outcome, samples) = self.case(&mut group, entry, case);
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
            group.finish();
            let Some(rtt_us) = level.distance_us() else { continue };
            for point in cases::points(entry, extent(self.flags)) {
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
            self.progress.finished(self.run.run().started, &name, &line);
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
        let sweeps = &run.pairs.get(&key.pair)?.sweeps;
        let nearer: Vec<&String> =
            header.levels.iter().take_while(|label| **label != key.level).collect();
        let (from, base) = nearer.iter().rev().find_map(|label| {
            let sweep = sweeps.iter().find(|sweep| sweep.level == **label)?;
            let case = sweep.cases.iter().find(|case| case.point == key.point)?;
            Some(((*label).clone(), case.measured()?))
        })?;
        let time_and_trips = |role| {
            let side = base.side(role)?;
            let trips = side.causes.get(causes::ROUND_TRIPS)?;
            Some((side.time_ns.median * base.units_per_iteration as f64, trips))
        };
        let mut computed =
            at_distance(time_and_trips(Role::Naive)?, time_and_trips(Role::Optimized)?, rtt_us);
        (computed.from, computed.confirmation) = (from, confirmation);
        Some(Outcome::Computed(computed))
    }

    /// Measures one case and returns its outcome and raw samples.
    fn case(
        &self,
        group: &mut BenchmarkGroup<'_, WallTime>,
        entry: &Entry,
        case: &NamedCase,
    ) -> (Outcome, Vec<Sample>) {
        let mut trial = match proven(entry, case) {
            Ok(trial) => trial,
            Err(NotReady::Unavailable(reason)) => {
                return (Outcome::Unavailable { reason }, Vec::new());
            }
            Err(NotReady::Unproven(problem)) => fail_unproven(&problem),
        };
        let roles: Vec<Role> = cases::roles(entry)
            .into_iter()
            .filter(|role| self.selector.selects(&cases::benchmark_id(entry, case, *role)))
            .collect();
        let last_side = roles.iter().copied().rfind(|role| *role != Role::Peer);
        let units = trial.units_per_iteration();
        group.throughput(Throughput::Elements(units)).sampling_mode(SamplingMode::Flat);
        let probe = LoadProbe::start();
        let mut timer = TrialTimer::new(&mut trial, &self.delay);
        let mut gain = Interleaver::new(Role::Naive, Role::Optimized, REPEAT_TIME);
        let mut against_peer = Interleaver::new(Role::Peer, Role::Optimized, REPEAT_TIME);
        for role in roles {
            let interleaver = if role == Role::Peer { &mut against_peer } else { &mut gain };
            let pace = warm(&mut timer, role);
            self.plan(group, interleaver, pace);
            let id = BenchmarkId::new(cases::side_name(entry, role), case.case.point);
            let fills_up = role == Role::Peer || Some(role) == last_side;
            group.bench_function(id, |bencher| {
                bencher.iter_custom(|iterations| {
                    let mut timer = |role, n| timer.run(role, n);
                    let elapsed = interleaver.run(role, iterations, &mut timer);
                    if fills_up && interleaver.pairs().len() < ENOUGH_PAIRS {
                        interleaver.top_up(ENOUGH_PAIRS, &mut timer);
                    }
                    elapsed
                });
            });
        }
        let load = Load { disturbed: gain.disturbed_share(), ..probe.load() };
        let observations = std::mem::take(&mut timer.observations);
        let threads = trial.threads(Role::Naive).max(trial.threads(Role::Optimized));
        let counts = self.counted.get(&case.key).cloned().unwrap_or_default();
        let findings = Findings {
            entry,
            case,
            units,
            threads,
            load,
            gain,
            against_peer,
            observations,
            counts,
        };
        let samples = findings.samples(round());
        (findings.outcome(), samples)
    }

    /// Appends raw samples to the file next to the result.
    fn save_samples(&self, samples: &[Sample]) {
        if let Err(error) = self.run.save_samples(samples) {
            fail(1, &error.to_string());
        }
    }

    /// Sets criterion's sample size, measurement time and warm-up for a side that takes `pace` per iteration, except
    /// where the user has set them.
    fn plan(
        &self,
        group: &mut BenchmarkGroup<'_, WallTime>,
        interleaver: &mut Interleaver,
        pace: Duration,
    ) {
        let gain = gain_in_one_process(interleaver.pairs());
        let precise = gain.as_ref().is_some_and(is_precise);
        interleaver.pair_up(!precise);
        let time = match gain {
            _ if self.flags.quick => QUICK.1,
            _ if precise => SHORT_MEASUREMENT,
            Some(gain) if gain.contains(1.0) => LONG_MEASUREMENT,
            _ => MEASUREMENT,
        };
        let wall = if precise { pace } else { pace * 2 };
        if self.flags.measurement_time.is_none() {
            // Criterion takes ten samples of at least one iteration each, and warns if they do not fit.
            group.measurement_time(time.max(wall * 13));
        }
        if self.flags.sample_size.is_none() {
            let fitting = time.as_nanos() / wall.as_nanos().max(1) / 2;
            group.sample_size(fitting.clamp(10, 30) as usize);
        }
        if self.flags.warm_up_time.is_none() {
            group.warm_up_time(if self.flags.quick { QUICK.0 } else { WARM_UP });
        }
    }
}
