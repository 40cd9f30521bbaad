//! Catalogue → criterion. The only file that names criterion.
//!
//! Each case becomes one criterion benchmark a side. Criterion decides how many iterations are
//! run; inside its calls the [`Interleaver`] runs the other side in between, off criterion's clock,
//! and gathers the gain. So filters, `--test`, `--list`, baselines and the time plan are criterion's
//! own. A case that is not proven on its input is not timed.

use std::{
    collections::BTreeMap,
    os::unix::process::CommandExt,
    panic::{AssertUnwindSafe, catch_unwind},
    process::{Command, exit},
    time::{Duration, Instant},
};

use clap::Parser;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, PlottingBackend, SamplingMode, Throughput,
    measurement::WallTime,
};

use crate::{
    calibration,
    cases::{self, Extent, NamedCase},
    causes::{self, Cause, Counts},
    family::{Entry, Family, nearest_id},
    flags::{Flags, Mode, Selector},
    interleave::{Batch, Interleaver},
    interrupt,
    load::{Load, LoadProbe, MARK_ABOVE, RunDelay},
    pair::{Metric, Unavailable},
    places, progress, report,
    results::{CaseResult, Computed, Measured, NamedCause, Outcome, PairResult, SideResult},
    run::{self, RunFile},
    statistics::{Interval, Summary, gain_in_one_process},
    table,
    tally::{self, Tally},
    trial::{Role, Trial},
};

/// Criterion's warm-up; the sides were warmed when they were paced.
const WARM_UP: Duration = Duration::from_millis(40);
/// Wall time to measure one side, both sides' batches together.
const MEASUREMENT: Duration = Duration::from_millis(300);
/// The same once the gain is known precisely: for criterion's estimate of the side.
const SHORT_MEASUREMENT: Duration = Duration::from_millis(120);
/// The same while the interval of the gain contains 1.
const LONG_MEASUREMENT: Duration = Duration::from_millis(600);
/// Warm-up and measuring time of a quick run.
const QUICK: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(60));
/// Time for which batches of a case are repeated because others held the CPU.
const REPEAT_TIME: Duration = Duration::from_millis(200);
/// Paired batches below which a case has no interval worth the name.
const ENOUGH_PAIRS: usize = 8;

/// Runs the benchmarks of a family with the process's arguments: the `main` of a bench binary.
pub fn run(family: &'static Family) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let flags = Flags::parse();
    if let Some(kept) = Flags::strip_own(&arguments) {
        let error = own_executable().args(kept).envs(flags.environment()).exec();
        fail(1, &format!("cannot execute itself again: {error}"));
    }
    let selector = flags.selector().unwrap_or_else(|error| {
        fail(2, &format!("the filter is no regular expression: {error}"));
    });
    match flags.mode() {
        Mode::Measure => {
            refuse_empty_selection(family, &flags, &selector);
            measure(family, &flags, &selector);
        }
        mode => unmeasured(family, &flags, &selector, mode),
    }
}

fn fail(status: i32, message: &str) -> ! {
    eprintln!("worthit: {message}");
    places::remove_own();
    exit(status)
}

fn own_executable() -> Command {
    let exe = std::env::current_exe();
    Command::new(exe.unwrap_or_else(|error| fail(1, &format!("cannot find itself: {error}"))))
}

fn extent(flags: &Flags) -> Extent {
    match (flags.mode(), flags.quick, flags.deep) {
        (Mode::Test, ..) => Extent::Ends,
        (_, true, _) => Extent::Quick,
        (_, _, true) => Extent::Deep,
        _ => Extent::Default,
    }
}

/// Ids of the benchmarks of a family.
fn ids<'a>(family: &'a Family, flags: &Flags) -> impl Iterator<Item = String> + 'a {
    let (extent, seed) = (extent(flags), flags.seed);
    family.pairs.iter().flat_map(move |entry| {
        cases::measured(entry, extent, seed).into_iter().flat_map(move |case| {
            cases::roles(entry).into_iter().map(move |role| cases::benchmark_id(entry, &case, role))
        })
    })
}

/// A filter that selects nothing in the whole catalogue is a mistake; one that selects nothing in
/// this family is not.
fn refuse_empty_selection(family: &'static Family, flags: &Flags, selector: &Selector) {
    let Some(filter) = &flags.filter else { return };
    let families = known_families(family);
    if families.iter().any(|family| ids(family, flags).any(|id| selector.selects(&id))) {
        return;
    }
    let nearest = nearest_id(filter, &families);
    let hint = nearest.map_or(String::new(), |id| format!("; did you mean `{id}`?"));
    fail(2, &format!("no benchmark matches `{filter}`{hint} `cargo bench -- --list` names all"));
}

/// The families among which a filter is looked up.
fn known_families(family: &'static Family) -> Vec<&'static Family> {
    #[cfg(feature = "catalogue")]
    if crate::CATALOGUE.iter().any(|known| known.name == family.name) {
        return crate::CATALOGUE.to_vec();
    }
    vec![family]
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

/// `--test`, `--list`, `--profile-time`, `--load-baseline`: criterion's own work, no results.
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
                    Err(Unavailable(reason)) => {
                        eprintln!(
                            "{} {}: {reason}",
                            cases::group_id(entry, &case.level),
                            case.case.point
                        );
                        continue;
                    }
                }
            }
            let mut group = criterion.benchmark_group(cases::group_id(entry, &case.level));
            for role in cases::roles(entry) {
                let id = BenchmarkId::new(cases::side_name(entry, role), case.case.point);
                group.bench_function(id, |bencher| {
                    let trial = trial.as_mut().expect("prepared, as its id is selected");
                    let mut timer = TrialTimer::new(trial, &delay);
                    bencher.iter_custom(|iterations| timer.run(role, iterations).elapsed);
                });
            }
            group.finish();
        }
    }
    places::remove_own();
}

/// Makes a case ready and proves it; the run ends if the sides disagree.
fn proven(entry: &Entry, case: &NamedCase) -> Result<Trial, Unavailable> {
    let place = format!("{} at {} {}", entry.id, case.case.point, case.level);
    let made = catch_unwind(AssertUnwindSafe(|| {
        let mut trial = (entry.prepare)(&case.case)?;
        if let Err(error) = trial.check_size(case.case.point) {
            fail(1, &format!("{place}: {error}; it was not timed"));
        }
        if let Err(error) = trial.verify() {
            fail(1, &format!("{place}: {error}\nIt was not timed; the run ends here."));
        }
        Ok(trial)
    }));
    made.unwrap_or_else(|_| {
        fail(1, &format!("{place}: preparing or proving it panicked (see above)"))
    })
}

/// A measuring process.
struct Bench<'a> {
    flags: &'a Flags,
    selector: &'a Selector,
    run: RunFile,
    tallies: BTreeMap<(String, String, u64), Vec<(Role, Counts)>>,
    delay: RunDelay,
    progress: progress::Progress,
}

fn measure(family: &'static Family, flags: &Flags, selector: &Selector) {
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
    places::remove_abandoned();
    let run =
        RunFile::join(flags.quick, flags.seed).unwrap_or_else(|error| fail(1, &error.to_string()));
    match flags.rounds {
        Some(rounds) if rounds > 1 => in_rounds(rounds, flags),
        _ => measure_here(family, flags, selector, &selected, &run),
    }
    if std::env::var_os("WORTHIT_ROUND").is_some() {
        return;
    }
    let found = run.load().unwrap_or_else(|error| fail(1, &error.to_string()));
    println!("\n{}", table::of_family(&found, family));
    if let Some(verdict) = calibration::verdict(&found) {
        println!("{verdict}\n");
    }
    match report::write(&found, &known_families(family), std::path::Path::new("reports")) {
        Ok(page) => println!("report: {}\nresult: {}", page.display(), run.path().display()),
        Err(error) => {
            fail(
                1,
                &format!(
                    "{error}\nThe result is in {}; `cargo run --release -- report` makes the pages from it.",
                    run.path().display()
                ),
            );
        }
    }
    places::remove_own();
}

fn is_selected(entry: &Entry, case: &NamedCase, selector: &Selector) -> bool {
    cases::roles(entry)
        .into_iter()
        .any(|role| selector.selects(&cases::benchmark_id(entry, case, role)))
}

/// Executes this binary once a round.
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
                &format!("round {round} failed ({status}); earlier rounds are kept"),
            ),
            Err(error) => fail(1, &format!("round {round} cannot be started: {error}")),
        }
    }
}

fn measure_here(
    family: &'static Family,
    flags: &Flags,
    selector: &Selector,
    selected: &[&Entry],
    run: &RunFile,
) {
    let counted = selected.iter().filter(|entry| !entry.causes.is_empty());
    let names: Vec<&str> = counted.map(|entry| entry.id).collect();
    let tallies =
        tally::by_command(family, &names, extent(flags), flags.seed).unwrap_or_else(|error| {
            eprintln!("worthit: causes are not counted: {error}");
            Vec::new()
        });
    let by_case = |tally: Tally| ((tally.id, tally.level, tally.point), tally.sides);
    let mut bench = Bench {
        flags,
        selector,
        run: RunFile::join(flags.quick, flags.seed)
            .unwrap_or_else(|error| fail(1, &error.to_string())),
        tallies: tallies.into_iter().map(by_case).collect(),
        delay: RunDelay::of_this_thread(),
        progress: progress::Progress::new(total_cases(family, flags, selector), run),
    };
    let mut criterion = criterion();
    if flags.quick {
        // Plots cost several times what a quick measurement does.
        criterion = criterion.without_plots();
    }
    for entry in selected {
        bench.pair(&mut criterion, entry);
    }
    criterion.final_summary();
}

/// Cases that all processes of this run will measure, as far as can be told.
fn total_cases(family: &'static Family, flags: &Flags, selector: &Selector) -> usize {
    let asked = run::asked_benches();
    let families = known_families(family).into_iter().filter(|known| {
        known.name == family.name
            || asked.as_ref().is_none_or(|asked| asked.iter().any(|name| name == known.name))
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
    fn pair(&mut self, criterion: &mut Criterion, entry: &Entry) {
        let header = PairResult::of(entry);
        let order: Vec<String> =
            cases::levels(entry).into_iter().map(|level| level.label).collect();
        for level in cases::levels(entry) {
            let all = cases::measured(entry, extent(self.flags), self.flags.seed);
            let of_level = all.into_iter().filter(|case| case.level == level.label);
            let selected: Vec<_> =
                of_level.filter(|case| is_selected(entry, case, self.selector)).collect();
            let mut group = criterion.benchmark_group(cases::group_id(entry, &level.label));
            for case in &selected {
                let outcome = self.case(&mut group, entry, case);
                // A confirmation belongs to the computed case, which is added below.
                let point = case.case.point;
                if let (Some(rtt_us), Outcome::Measured(measured)) = (level.distance_us(), &outcome)
                {
                    let confirmation = Some(measured.clone());
                    if let Some(computed) =
                        self.computed(entry, &order, &level.label, point, rtt_us, confirmation)
                    {
                        self.record(entry, &header, &level.label, &order, point, computed);
                        continue;
                    }
                }
                self.record(entry, &header, &level.label, &order, point, outcome);
            }
            group.finish();
            if let Some(rtt_us) = level.distance_us() {
                for point in cases::points(entry, extent(self.flags)) {
                    if selected.iter().any(|case| case.case.point == point) {
                        continue;
                    }
                    if let Some(computed) =
                        self.computed(entry, &order, &level.label, point, rtt_us, None)
                    {
                        self.record(entry, &header, &level.label, &order, point, computed);
                    }
                }
            }
        }
    }

    fn record(
        &mut self,
        entry: &Entry,
        header: &PairResult,
        level: &str,
        order: &[String],
        point: u64,
        outcome: Outcome,
    ) {
        let name = format!("{} {point}", cases::group_id(entry, level));
        let is_only_computed =
            matches!(&outcome, Outcome::Computed(computed) if computed.confirmation.is_none());
        let line = table::one_line(&outcome);
        let case = CaseResult { point, outcome };
        match self.run.add(entry.id, header, level, order, case) {
            Ok(run) if !is_only_computed => self.progress.finished(&run, &name, &line),
            Ok(_) => {}
            Err(error) => fail(1, &error.to_string()),
        }
    }

    /// The case at a distance: the nearest measured level before it + counted round trips × RTT.
    /// `None` if that was not measured in this run, or round trips were not counted.
    fn computed(
        &self,
        entry: &Entry,
        order: &[String],
        level: &str,
        point: u64,
        rtt_us: u64,
        confirmation: Option<Box<Measured>>,
    ) -> Option<Outcome> {
        let run = self.run.load().ok()?;
        let sweeps = &run.pairs.get(entry.id)?.sweeps;
        let before = order.iter().take_while(|label| *label != level).collect::<Vec<_>>();
        let (from, base) = before.iter().rev().find_map(|label| {
            let sweep = sweeps.iter().find(|sweep| sweep.level == **label)?;
            let case = sweep.cases.iter().find(|case| case.point == point)?;
            Some(((*label).clone(), case.measured()?))
        })?;
        let side = |role| {
            let side = base.side(role)?;
            let trips = side.causes.get(causes::ROUND_TRIPS)?;
            Some((side.time_ns.median * base.units_per_iteration as f64, trips))
        };
        let mut computed = at_distance(side(Role::Naive)?, side(Role::Optimized)?, rtt_us);
        (computed.from, computed.confirmation) = (from, confirmation);
        Some(Outcome::Computed(computed))
    }

    /// Measures one case.
    fn case(
        &self,
        group: &mut BenchmarkGroup<'_, WallTime>,
        entry: &Entry,
        case: &NamedCase,
    ) -> Outcome {
        let mut trial = match proven(entry, case) {
            Ok(trial) => trial,
            Err(Unavailable(reason)) => return Outcome::Unavailable { reason },
        };
        let roles: Vec<Role> = cases::roles(entry)
            .into_iter()
            .filter(|role| self.selector.selects(&cases::benchmark_id(entry, case, *role)))
            .collect();
        let units = trial.units_per_iteration();
        group.throughput(Throughput::Elements(units)).sampling_mode(SamplingMode::Flat);
        let probe = LoadProbe::start();
        let mut timer = TrialTimer::new(&mut trial, &self.delay);
        let mut gain = Interleaver::new(Role::Naive, Role::Optimized, REPEAT_TIME);
        let mut against_reference = Interleaver::new(Role::Reference, Role::Optimized, REPEAT_TIME);
        for role in roles {
            let interleaver =
                if role == Role::Reference { &mut against_reference } else { &mut gain };
            let pace = warm(&mut timer, role);
            self.plan(group, interleaver, pace);
            let id = BenchmarkId::new(cases::side_name(entry, role), case.case.point);
            let fills_up = role != Role::Naive;
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
        self.outcome(entry, case, units, threads, load, &gain, &against_reference, &observations)
    }

    /// Chooses criterion's sample size and measuring time for a side that takes `pace` an
    /// iteration, unless the user did.
    fn plan(
        &self,
        group: &mut BenchmarkGroup<'_, WallTime>,
        interleaver: &mut Interleaver,
        pace: Duration,
    ) {
        let known = gain_in_one_process(interleaver.pairs());
        let precise = known.as_ref().is_some_and(is_precise);
        interleaver.pair_up(!precise);
        let time = match known {
            _ if self.flags.quick => QUICK.1,
            _ if precise => SHORT_MEASUREMENT,
            Some(gain) if gain.contains(1.0) => LONG_MEASUREMENT,
            _ => MEASUREMENT,
        };
        let wall = if precise { pace } else { pace * 2 };
        if self.flags.measurement_time.is_none() {
            // Criterion takes ten samples of at least one iteration and warns if they do not fit.
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

    #[expect(clippy::too_many_arguments, reason = "everything that was found of one case, once")]
    fn outcome(
        &self,
        entry: &Entry,
        case: &NamedCase,
        units: u64,
        threads: usize,
        load: Load,
        gain: &Interleaver,
        against_reference: &Interleaver,
        observations: &BTreeMap<Role, Vec<f64>>,
    ) -> Outcome {
        let key = (entry.id.to_owned(), case.level.clone(), case.case.point);
        let tallies = self.tallies.get(&key);
        let times = |role| -> Vec<f64> {
            let own = |interleaver: &Interleaver, first| {
                let pairs = interleaver.pairs().iter();
                let per_iteration =
                    pairs.map(|pair| if first { pair.naive } else { pair.optimized });
                per_iteration.map(|ns| ns / units as f64).collect()
            };
            match role {
                Role::Naive => own(gain, true),
                Role::Optimized => own(gain, false),
                Role::Reference => own(against_reference, true),
            }
        };
        let side = |role| {
            let counts = tallies.and_then(|sides| sides.iter().find(|(of, _)| *of == role));
            let switches = observations.get(&role).and_then(|values| Summary::of(values));
            Some(SideResult {
                role,
                name: cases::side_name(entry, role).to_owned(),
                time_ns: Summary::of(&times(role))?,
                causes: counts.map(|(_, counts)| counts.clone()).unwrap_or_default(),
                observations: switches
                    .map(|s| ("voluntary_context_switches".to_owned(), s))
                    .into_iter()
                    .collect(),
            })
        };
        let sides: Vec<SideResult> = cases::roles(entry).into_iter().filter_map(side).collect();
        let timed = gain_in_one_process(gain.pairs());
        let found = match entry.metric {
            Metric::Time | Metric::P99Latency => timed,
            Metric::BytesHeld => bytes_gain(&sides),
        };
        let Some(found) = found else {
            let reason = "not measured: too few paired batches (only one side was selected, or the time was too short)";
            return Outcome::Unavailable { reason: reason.to_owned() };
        };
        Outcome::Measured(Box::new(Measured {
            units_per_iteration: units,
            sides,
            gain: found,
            processes: vec![found],
            against_reference: gain_in_one_process(against_reference.pairs()),
            load,
            mark: load.mark(threads),
        }))
    }
}

/// A case at a distance, from the time (ns) and round trips of an iteration of both sides.
fn at_distance(naive: (f64, u64), optimized: (f64, u64), rtt_us: u64) -> Computed {
    let at = |(ns, trips): (f64, u64)| ns + (trips * rtt_us * 1_000) as f64;
    let saved_trips = naive.1.checked_sub(optimized.1).filter(|saved| *saved > 0);
    Computed {
        from: String::new(),
        rtt_us,
        naive_ns: at(naive),
        optimized_ns: at(optimized),
        gain: at(naive) / at(optimized),
        break_even_rtt_us: saved_trips
            .map(|saved| ((optimized.0 - naive.0) / saved as f64 / 1_000.0).max(0.0)),
        confirmation: None,
    }
}

/// Gain in bytes held: a ratio of two counts.
fn bytes_gain(sides: &[SideResult]) -> Option<Interval> {
    let held = |role| {
        let side = sides.iter().find(|side| side.role == role)?;
        side.causes.get(causes::PEAK_BYTES).map(|bytes| bytes.max(1) as f64)
    };
    Some(Interval::exact(held(Role::Naive)? / held(Role::Optimized)?))
}

/// Precise enough to stop: ± 3 %, or ± 10 % where the gain exceeds 2 either way.
fn is_precise(gain: &Interval) -> bool {
    let settled = !(0.5..=2.0).contains(&gain.estimate);
    !gain.contains(1.0) && gain.relative_half_width() <= if settled { 0.10 } else { 0.03 }
        || gain.relative_half_width() <= 0.01
}

/// Runs a side until it has had a few milliseconds, and returns the time of its last iterations.
fn warm(timer: &mut TrialTimer<'_>, role: Role) -> Duration {
    let start = Instant::now();
    let mut iterations = 1;
    loop {
        let batch = timer.run(role, iterations);
        if start.elapsed() > Duration::from_millis(5) || iterations > 1 << 24 {
            return batch.wall / u32::try_from(iterations).unwrap_or(u32::MAX);
        }
        iterations *= 2;
    }
}

/// Times batches of a trial and watches for disturbances.
struct TrialTimer<'a> {
    trial: &'a mut Trial,
    delay: &'a RunDelay,
    /// Voluntary context switches an iteration, of sides that use several threads.
    observations: BTreeMap<Role, Vec<f64>>,
}

impl<'a> TrialTimer<'a> {
    fn new(trial: &'a mut Trial, delay: &'a RunDelay) -> TrialTimer<'a> {
        TrialTimer { trial, delay, observations: BTreeMap::new() }
    }

    fn run(&mut self, role: Role, iterations: u64) -> Batch {
        let is_threaded = self.trial.threads(role) > 1;
        let switches = is_threaded.then(voluntary_context_switches);
        let (waited, start) = (self.delay.so_far(), Instant::now());
        let elapsed = self.trial.measure(role, iterations);
        let (wall, waited) = (start.elapsed(), self.delay.so_far() - waited);
        if let Some(before) = switches {
            let per_iteration = (voluntary_context_switches() - before) as f64 / iterations as f64;
            self.observations.entry(role).or_default().push(per_iteration);
        }
        // Threads of one side wait for each other, which is no disturbance.
        let disturbed = !is_threaded && waited > wall.mul_f64(MARK_ABOVE);
        Batch { elapsed, wall, disturbed }
    }
}

/// Voluntary context switches of all threads of this process so far.
fn voluntary_context_switches() -> i64 {
    // SAFETY: an all-zero `rusage` is a valid value of plain integers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is valid for writes for the duration of the call.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    usage.ru_nvcsw
}

impl From<&Cause> for NamedCause {
    fn from(cause: &Cause) -> NamedCause {
        NamedCause { id: cause.id.to_owned(), label: cause.label.to_owned() }
    }
}

impl PairResult {
    /// What is said of a pair in results, without sweeps.
    fn of(entry: &Entry) -> PairResult {
        PairResult {
            title: entry.title.to_owned(),
            metric: entry.metric,
            unit: entry.unit.to_owned(),
            axis: entry.axis.name.to_owned(),
            axis_unit: entry.axis.unit.to_owned(),
            parameter: entry.parameter.as_ref().map(|parameter| parameter.name.to_owned()),
            causes: entry.named_causes().iter().map(NamedCause::from).collect(),
            sweeps: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gain(low: f64, high: f64) -> Interval {
        Interval { low, estimate: (low * high).sqrt(), high }
    }

    #[test]
    fn distance_adds_round_trips_to_time() {
        // 101 trips and 1 ms against 1 trip and 2 ms, 1 ms apart.
        let computed = at_distance((1e6, 101), (2e6, 1), 1_000);
        assert_eq!((computed.naive_ns, computed.optimized_ns, computed.gain), (102e6, 3e6, 34.0));
        assert_eq!(computed.break_even_rtt_us, Some(10.0));
        assert_eq!(at_distance((2e6, 9), (1e6, 1), 5).break_even_rtt_us, Some(0.0));
        assert_eq!(at_distance((1e6, 1), (2e6, 1), 5).break_even_rtt_us, None);
    }

    #[test]
    fn precision_is_enough_at_three_percent_or_ten_beyond_two() {
        assert!(is_precise(&gain(1.10, 1.15)));
        assert!(!is_precise(&gain(1.10, 1.30)));
        assert!(is_precise(&gain(9.2, 10.9)));
        assert!(is_precise(&gain(0.092, 0.109)));
        assert!(!is_precise(&gain(0.98, 1.02)), "still contains 1");
        assert!(is_precise(&gain(0.995, 1.005)), "as good as 1");
    }
}
