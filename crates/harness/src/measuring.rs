//! Proves one case, times batches of it in this process, and assembles its outcome.
//!
//! Criterion decides how many iterations to run; see [`crate::bench`].

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};

use crate::{
    interleave::{Batch, Interleaver},
    load::{Load, MARK_ABOVE, RunDelay},
    results::{
        Computed, Headline, Measured, NamedCause, Objective, Outcome, PairResult, SideResult,
    },
    samples::Sample,
    servers,
    statistics::{Interval, PairedTimes, Summary, beyond_one_process, gain_in_one_process},
};
use worthit_pair::{
    case::CaseKey,
    cases::{self, NamedCase},
    causes::{self, Cause, Counts},
    family::Entry,
    pair::{Metric, Unavailable},
    plans::Plan,
    threads,
    trial::{Role, Trial},
};

/// Reason why a case is not timed.
#[derive(Debug)]
pub enum NotReady {
    /// The case cannot run on this machine. The run continues.
    Unavailable(String),
    /// The proof on its input failed. The text has both answers if the sides disagree. The run should end.
    Unproven(String),
}

/// Prepares a case and proves it.
///
/// # Errors
/// If the case cannot run on this machine, or its proof fails.
pub fn proven(entry: &Entry, case: &NamedCase) -> Result<Trial, NotReady> {
    ready(entry, case, None)
}

/// Prepares these sides of a case that another process of the same build has already proven.
///
/// # Errors
/// If the case cannot run on this machine, or its input does not have the size it claims.
pub fn prepared(entry: &Entry, case: &NamedCase, roles: &[Role]) -> Result<Trial, NotReady> {
    ready(entry, case, Some(roles))
}

/// Prepares the sides of these roles; without roles, prepares all sides and proves them.
fn ready(entry: &Entry, case: &NamedCase, roles: Option<&[Role]>) -> Result<Trial, NotReady> {
    let place = &case.key;
    let unproven = |problem: String| NotReady::Unproven(format!("{place}: {problem}"));
    let made = catch_unwind(AssertUnwindSafe(|| {
        let unavailable = |Unavailable(reason)| NotReady::Unavailable(reason);
        let mut trial = (entry.prepare)(&case.case).map_err(unavailable)?;
        let claimed = case.case.point;
        trial.check_size(claimed).map_err(|error| unproven(error.to_string()))?;
        let all = trial.roles();
        trial.make_ready(roles.unwrap_or(&all)).map_err(unavailable)?;
        if roles.is_none() {
            trial.prove(claimed).map_err(|error| unproven(error.to_string()))?;
        }
        Ok(trial)
    }));
    made.unwrap_or_else(|_| {
        Err(unproven("its preparation or proof panicked (see above)".to_owned()))
    })
}

/// Times batches of a trial and detects disturbances.
#[derive(Debug)]
pub struct TrialTimer<'a> {
    trial: &'a mut Trial,
    delay: &'a RunDelay,
    /// What was observed in each batch, by side and name: what the side itself observed, and for sides that use several
    /// threads the voluntary context switches per iteration.
    pub observations: Observations,
}

impl<'a> TrialTimer<'a> {
    /// Times `trial` on this thread; `delay` reports how long this thread has waited for a CPU.
    pub fn new(trial: &'a mut Trial, delay: &'a RunDelay) -> TrialTimer<'a> {
        TrialTimer { trial, delay, observations: BTreeMap::new() }
    }

    /// Runs a batch and times it.
    pub fn run(&mut self, role: Role, iterations: u64) -> Batch {
        let is_threaded = self.trial.threads(role) > 1;
        let switches = is_threaded.then(voluntary_context_switches);
        let (others, waited) = (cpu_time_of_others_of_ours(), self.delay.so_far());
        let start = Instant::now();
        let elapsed = self.trial.measure(role, iterations);
        let (wall, waited) = (start.elapsed(), self.delay.so_far() - waited);
        // Another thread of this process, or a server, may have held this thread's core. That is no disturbance.
        let waited = waited.saturating_sub(cpu_time_of_others_of_ours().saturating_sub(others));
        if let Some(before) = switches {
            let per_iteration = (voluntary_context_switches() - before) as f64 / iterations as f64;
            self.observe(role, "voluntary_context_switches", per_iteration);
        }
        for (name, value) in self.trial.observations(role) {
            self.observe(role, name, value);
        }
        // The threads of one side wait for each other. That is no disturbance either.
        let disturbed = !is_threaded && waited > wall.mul_f64(MARK_ABOVE);
        Batch { elapsed, wall, disturbed }
    }

    fn observe(&mut self, role: Role, name: &'static str, value: f64) {
        self.observations.entry(role).or_default().entry(name).or_default().push(value);
    }
}

/// Values of each batch, by side and name.
pub type Observations = BTreeMap<Role, BTreeMap<&'static str, Vec<f64>>>;

/// Runs a side for a few milliseconds and returns the time per iteration of its last batch.
pub fn warm(timer: &mut TrialTimer<'_>, role: Role) -> Duration {
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

/// Returns whether the gain in one process is precise enough to stop: ± 3 %, or ± 10 % beyond a factor of 2 either way. If the
/// interval contains 1, only ± 1 % is enough.
pub fn is_precise(gain: &Interval) -> bool {
    let settled = !(0.5..=2.0).contains(&gain.estimate);
    !gain.contains(1.0) && gain.relative_half_width() <= if settled { 0.10 } else { 0.03 }
        || gain.relative_half_width() <= 0.01
}

/// Everything measured for one case in this process.
#[derive(Debug)]
pub struct Findings<'a> {
    /// The pair.
    pub entry: &'a Entry,
    /// The case.
    pub case: &'a NamedCase,
    /// Units of work in one iteration.
    pub units: u64,
    /// Inputs that the sides rotate through.
    pub inputs: u64,
    /// Threads of the busiest side.
    pub threads: usize,
    /// Other load on the machine meanwhile.
    pub load: Load,
    /// Paired times of the naive and the optimized side.
    pub gain: Interleaver,
    /// Paired times of each peer and alternative and the optimized side.
    pub beside: Vec<(Role, Interleaver)>,
    /// What was observed in each batch.
    pub observations: Observations,
    /// Counts of each side, summed over one iteration on each input; empty if nothing was counted.
    pub counts: Vec<(Role, Counts)>,
    /// Query plans of each side that asks a database which says how it runs a statement.
    pub plans: Vec<(Role, Vec<Plan>)>,
}

impl Findings<'_> {
    /// Returns the paired times as rows for the file next to the result.
    pub fn samples(&self, process: u64) -> Vec<Sample> {
        let units = self.units as f64;
        let samples_of_role = |interleaver: &Interleaver, role| -> Vec<Sample> {
            let sample = |times: &PairedTimes| Sample {
                pair: self.entry.id.to_owned(),
                level: self.case.key.level.clone(),
                point: self.case.key.point,
                process,
                side: cases::side_name(self.entry, role).to_owned(),
                side_ns: rounded(times.naive / units),
                optimized_ns: rounded(times.optimized / units),
            };
            interleaver.pairs().iter().map(sample).collect()
        };
        let mut samples = samples_of_role(&self.gain, Role::Naive);
        for (role, paired) in &self.beside {
            samples.extend(samples_of_role(paired, *role));
        }
        samples
    }

    /// Returns the paired times of a peer or alternative.
    fn paired_with(&self, role: Role) -> Option<&Interleaver> {
        self.beside.iter().find(|(other, _)| *other == role).map(|(_, paired)| paired)
    }

    /// Returns the outcome of the case, as results record it.
    pub fn outcome(self) -> Outcome {
        let times = |role| -> Vec<f64> {
            let times_per_unit = |interleaver: &Interleaver, first| {
                let pairs = interleaver.pairs().iter();
                let per_iteration =
                    pairs.map(|pair| if first { pair.naive } else { pair.optimized });
                per_iteration.map(|ns| ns / self.units as f64).collect()
            };
            match role {
                Role::Naive => times_per_unit(&self.gain, true),
                Role::Optimized => times_per_unit(&self.gain, false),
                beside => {
                    self.paired_with(beside).map_or(vec![], |paired| times_per_unit(paired, true))
                }
            }
        };
        let side = |role| {
            let counts = self.counts.iter().find(|(counted, _)| *counted == role);
            let plans = self.plans.iter().find(|(planned, _)| *planned == role);
            let observed = self.observations.get(&role).into_iter().flatten();
            let summary = |(name, values): (&&str, &Vec<f64>)| {
                Some(((*name).to_owned(), Summary::of(values)?))
            };
            Some(SideResult {
                role,
                name: cases::side_name(self.entry, role).to_owned(),
                time_ns: Summary::of(&times(role))?,
                causes: counts.map(|(_, counts)| counts.clone()).unwrap_or_default(),
                plans: plans.map(|(_, plans)| plans.clone()).unwrap_or_default(),
                against_optimized: self
                    .paired_with(role)
                    .and_then(|paired| gain_in_one_process(paired.pairs()))
                    .map(beyond_one_process),
                processes: Vec::new(),
                observations: observed.filter_map(summary).collect(),
                loads: Vec::new(),
            })
        };
        let mut sides: Vec<SideResult> =
            cases::roles(self.entry).into_iter().filter_map(side).collect();
        let is_counted = self.entry.metric == Metric::BytesHeld;
        let gain = if is_counted {
            compare_bytes(&mut sides)
        } else {
            gain_in_one_process(self.gain.pairs()).map(beyond_one_process)
        };
        let Some(gain) = gain else {
            let reason = "not measured: too few paired batches (only one side was selected, or the measurement time was too short)";
            return Outcome::Unavailable { reason: reason.to_owned() };
        };
        let cores_in_use = self.threads.min(threads::logical_cores() as usize);
        // Other work disturbs times, and no count.
        let mark = self.load.mark(self.threads).filter(|_| !is_counted);
        Outcome::Measured(Box::new(Measured {
            units_per_iteration: self.units,
            inputs: self.inputs,
            sides,
            gain,
            processes: vec![gain],
            needed: self.entry.limit.needed(&self.case.case, cores_in_use),
            are_threads_placed: self.entry.uses_threads(),
            load: self.load,
            marked_processes: u64::from(mark.is_some()),
            mark,
        }))
    }
}

/// Rounds to seven significant digits. That is finer than the clock's resolution and halves the file.
fn rounded(ns: f64) -> f64 {
    format!("{ns:.6e}").parse().unwrap_or(ns)
}

/// Computes a case at a distance from the time (ns) and the round trips per iteration of each side.
pub fn at_distance(naive: (f64, f64), optimized: (f64, f64), rtt_us: u64) -> Computed {
    let time_at_distance = |(ns, trips): (f64, f64)| ns + trips * rtt_us as f64 * 1_000.0;
    let saved_trips = Some(naive.1 - optimized.1).filter(|saved| *saved > 0.0);
    Computed {
        from: String::new(),
        rtt_us,
        naive_ns: time_at_distance(naive),
        optimized_ns: time_at_distance(optimized),
        gain: time_at_distance(naive) / time_at_distance(optimized),
        break_even_rtt_us: saved_trips
            .map(|saved| ((optimized.0 - naive.0) / saved / 1_000.0).max(0.0)),
        confirmation: None,
    }
}

/// Returns the gain in bytes held: a ratio of two counts, which is exact. Compares peers and alternatives by their bytes,
/// too.
fn compare_bytes(sides: &mut [SideResult]) -> Option<Interval> {
    let held = |side: &SideResult| Some(side.causes.get(causes::PEAK_BYTES)?.max(1) as f64);
    let of = |role| sides.iter().find(|side| side.role == role).and_then(held);
    let (naive, optimized) = (of(Role::Naive)?, of(Role::Optimized)?);
    for side in sides.iter_mut().filter(|side| !side.role.is_judged()) {
        side.against_optimized = held(side).map(|bytes| Interval::exact(bytes / optimized));
    }
    Some(Interval::exact(naive / optimized))
}

/// Number of voluntary context switches of all threads of this process so far.
fn voluntary_context_switches() -> i64 {
    usage().ru_nvcsw
}

/// CPU time of all threads of this process so far, including kernel time on their behalf.
pub(crate) fn cpu_time() -> Duration {
    clock(ClockId::ProcessCPUTime)
}

/// CPU time of all other threads of this process and of the servers that it uses so far.
fn cpu_time_of_others_of_ours() -> Duration {
    // Read this thread's time first: the time of the process includes it.
    let own = clock(ClockId::ThreadCPUTime);
    cpu_time().saturating_sub(own) + worthit_servers::cpu_time()
}

fn clock(id: ClockId) -> Duration {
    let time = clock_gettime(id);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Resource usage of this process so far.
fn usage() -> libc::rusage {
    // SAFETY: an all-zero `rusage` is a valid value of plain integers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is valid for writes for the duration of the call.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    usage
}

impl From<&Cause> for NamedCause {
    fn from(cause: &Cause) -> NamedCause {
        NamedCause { id: cause.id.to_owned(), label: cause.label.to_owned() }
    }
}

impl PairResult {
    /// Describes a pair for results, without sweeps.
    pub fn of(entry: &Entry) -> PairResult {
        let CaseKey { level, point, .. } = cases::headline(entry, 0).key;
        PairResult {
            title: entry.title.to_owned(),
            naive: entry.naive.summary.to_owned(),
            optimized: entry.optimized.summary.to_owned(),
            metric: entry.metric,
            unit: entry.unit.to_owned(),
            axis: entry.axis.name.to_owned(),
            axis_unit: entry.axis.unit.to_owned(),
            parameter: entry.parameter.as_ref().map(|parameter| parameter.name.to_owned()),
            headline: Some(Headline { level, point }),
            causes: entry.named_causes().iter().map(NamedCause::from).collect(),
            objective: entry.under_load.map(Objective::from),
            servers: servers::used(entry.servers),
            sweeps: Vec::new(),
            levels: cases::levels(entry).into_iter().map(|level| level.label).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use worthit_pair::{
        inputs::Inputs,
        trial::{OpenLoop, open_loop},
    };

    fn gain(low: f64, high: f64) -> Interval {
        Interval { low, estimate: (low * high).sqrt(), high }
    }

    #[test]
    fn distance_adds_round_trips_to_time() {
        // 101 round trips and 1 ms, compared with 1 round trip and 2 ms, at a distance of 1 ms.
        let computed = at_distance((1e6, 101.0), (2e6, 1.0), 1_000);
        assert_eq!((computed.naive_ns, computed.optimized_ns, computed.gain), (102e6, 3e6, 34.0));
        assert_eq!(computed.break_even_rtt_us, Some(10.0));
        assert_eq!(at_distance((2e6, 9.0), (1e6, 1.0), 5).break_even_rtt_us, Some(0.0));
        assert_eq!(at_distance((1e6, 1.0), (2e6, 1.0), 5).break_even_rtt_us, None);
    }

    #[test]
    fn what_a_side_observes_is_kept_for_each_batch() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let (runtime, inputs) = (Arc::new(runtime), Inputs::one(Arc::new(())));
        let load = OpenLoop { interval: Duration::from_micros(1), requests: 1_000, seed: 1 };
        let side = || open_loop(&runtime, &inputs, load, |_: &Arc<()>, i| (true, async move { i }));
        let mut trial = Trial::new(inputs.measured(|_| 1), side(), side());
        let delay = RunDelay::of_this_thread();
        let mut timer = TrialTimer::new(&mut trial, &delay);
        timer.run(Role::Naive, 1);
        timer.run(Role::Naive, 2);
        let observed = &timer.observations[&Role::Naive];
        for name in ["late_requests_percent", "latency_max_us", "voluntary_context_switches"] {
            assert_eq!(observed[name].len(), 2, "{name} of {observed:?}");
        }
        assert!(!timer.observations.contains_key(&Role::Optimized), "it was not run");
    }

    #[test]
    fn samples_have_seven_digits() {
        assert_eq!([1.0 / 3.0, 123_456_789.0, 0.0].map(rounded), [0.333_333_3, 123_456_800.0, 0.0]);
    }

    #[test]
    fn a_gain_in_bytes_held_is_the_ratio_of_the_peaks() {
        let side = |role, peak| {
            let mut causes = Counts::default();
            causes.set(causes::PEAK_BYTES, peak);
            let time_ns = Summary::of(&[1.0]).expect("a sample");
            SideResult::new(role, "", time_ns, causes)
        };
        let mut sides =
            [side(Role::Naive, 4_000), side(Role::Optimized, 1_000), side(Role::Peer(0), 1_500)];
        assert_eq!(compare_bytes(&mut sides), Some(Interval::exact(4.0)));
        let against = sides.each_ref().map(|side| side.against_optimized);
        assert_eq!(against, [None, None, Some(Interval::exact(1.5))]);
        assert_eq!(compare_bytes(&mut sides[..1]), None, "there is no gain without both counts");
    }

    #[test]
    fn three_percent_is_precise_and_so_is_ten_percent_beyond_a_factor_of_two() {
        assert!(is_precise(&gain(1.10, 1.15)));
        assert!(!is_precise(&gain(1.10, 1.30)));
        assert!(is_precise(&gain(9.2, 10.9)));
        assert!(is_precise(&gain(0.092, 0.109)));
        assert!(!is_precise(&gain(0.98, 1.02)), "still contains 1");
        assert!(is_precise(&gain(0.995, 1.005)), "indistinguishable from 1");
    }
}
