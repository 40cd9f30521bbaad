//! The gate's worker: a bench binary that runs timed batches on request.
//!
//! A worker ends when its input ends, so it does not outlive its gate.

use std::{
    env,
    hint::black_box,
    io::{self, BufRead, Write},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use super::{
    callgrind,
    protocol::{GateCase, Hello, Injected, Reply, Request, Times, VERSION},
    realtime,
};
use crate::{
    interleave::Batch,
    load::RunDelay,
    measuring::{NotReady, TrialTimer, cpu_time, prepared, proven},
    study,
};
use worthit_pair::{
    case::CaseKey,
    cases::{self, NamedCase},
    cores,
    family::{Entry, Family},
    pair::Metric,
    study::StudyEntry,
    trial::{Role, Trial, Window},
};

/// Variable of the environment with the number of 16-byte units by which a worker moves its heap.
pub const HEAP_SHIFT: &str = "WORTHIT_HEAP_SHIFT";

/// Moves what is allocated from now on by as many units as [`HEAP_SHIFT`] asks for.
fn shift_heap() {
    let units = env::var(HEAP_SHIFT).ok().and_then(|units| units.parse().ok());
    if let Some(units @ 1..) = units {
        // The smallest allocation takes two units, each further unit another one.
        let length: usize = 16 * units + 8;
        black_box(Box::leak(vec![0_u8; length].into_boxed_slice()));
    }
}

/// Serves the pairs of a family until the input ends.
///
/// # Errors
/// If a request cannot be read or a reply cannot be written.
pub fn serve(family: &Family, input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    let mut write_line = |line: Result<String, serde_json::Error>| {
        writeln!(output, "{}", line?)?;
        output.flush()
    };
    write_line(serde_json::to_string(&Hello { worthit_gate_worker: VERSION }))?;
    shift_heap();
    let mut worker = Worker { family, ready: None, delay: RunDelay::of_this_thread() };
    for line in input.lines() {
        let reply = match serde_json::from_str(&line?) {
            Ok(request) => worker.reply(&request),
            Err(error) => Reply::Unproven(format!("cannot parse the request: {error}")),
        };
        write_line(serde_json::to_string(&reply))?;
    }
    Ok(())
}

struct Worker<'a> {
    family: &'a Family,
    ready: Option<Trial>,
    delay: RunDelay,
}

impl Worker<'_> {
    fn reply(&mut self, request: &Request) -> Reply {
        match request {
            Request::Cases { seed } => Reply::Cases(gate_cases(self.family, *seed)),
            Request::SetRealtimePriority => {
                Reply::HasRealtimePriority(realtime::set_realtime_priority())
            }
            Request::Prepare { case, seed, roles } => self.prepare(case, *seed, roles.as_deref()),
            Request::Pin { core } => pin(*core),
            Request::Spread => match &mut self.ready {
                Some(trial) => {
                    trial.spread();
                    Reply::Pinned
                }
                None => Reply::Unproven("no case is ready".to_owned()),
            },
            Request::Batch { role, untimed, iterations, injected } => {
                let injected = *injected;
                self.with_trial(*role, |trial, delay| {
                    if *untimed > 0 {
                        trial.warm_up(*role, *untimed);
                    }
                    Reply::Batch(batch(trial, delay, *role, *iterations, injected))
                })
            }
            Request::Count { role, iterations, injected } => self.with_trial(*role, |trial, _| {
                count(trial, *role, *iterations, *injected);
                Reply::Counted
            }),
        }
    }

    fn with_trial(
        &mut self,
        role: Role,
        run: impl FnOnce(&mut Trial, &RunDelay) -> Reply,
    ) -> Reply {
        match &mut self.ready {
            Some(trial) if trial.roles().contains(&role) => run(trial, &self.delay),
            Some(_) => Reply::Unproven(format!("the case has no {role:?} side")),
            None => Reply::Unproven("no case is ready".to_owned()),
        }
    }

    fn prepare(&mut self, case: &CaseKey, seed: u64, roles: Option<&[Role]>) -> Reply {
        self.ready = None;
        let Some((entry, named)) = find(self.family, case, seed) else {
            return Reply::Unavailable(format!("this build has no case {case}"));
        };
        let made = match roles {
            None => proven(entry, &named),
            Some(roles) => prepared(entry, &named, roles),
        };
        match made {
            Err(NotReady::Unavailable(reason)) => Reply::Unavailable(reason),
            Err(NotReady::Unproven(problem)) => Reply::Unproven(problem),
            Ok(trial) => {
                let threads = trial.roles().into_iter().map(|role| (role, trial.threads(role)));
                let threads = threads.collect();
                self.ready = Some(trial);
                Reply::Ready { threads }
            }
        }
    }
}

fn pin(core: usize) -> Reply {
    match cores::keep_all_on(core) {
        Ok(()) => Reply::Pinned,
        Err(error) => Reply::Unavailable(format!("cannot be pinned to core {core}: {error}")),
    }
}

/// Returns the cases that represent the pairs and studies of a family in the gate.
pub fn gate_cases(family: &Family, seed: u64) -> Vec<GateCase> {
    let pairs = family.pairs.iter().map(|entry| gate_case(entry, seed));
    pairs.chain(family.studies.iter().map(|entry| gate_case_of_study(entry, seed))).collect()
}

/// Returns the case that represents a study in the gate: its last step. It is counted and not timed.
fn gate_case_of_study(entry: &StudyEntry, seed: u64) -> GateCase {
    let (pair, level) = (entry.id.to_owned(), String::new());
    GateCase {
        key: CaseKey { pair, level, point: study::PROOF.0 },
        seed,
        title: entry.title.to_owned(),
        axis: "size of a request".to_owned(),
        axis_unit: String::new(),
        unit: entry.unit.to_owned(),
        metric: Metric::Time,
        causes: entry.causes.iter().map(|cause| cause.id.to_owned()).collect(),
        is_study: true,
        servers: entry.servers.iter().map(|program| program.name().to_owned()).collect(),
    }
}

/// Returns the case that represents a pair in the gate: its headline.
fn gate_case(entry: &Entry, seed: u64) -> GateCase {
    GateCase {
        key: cases::headline(entry, seed).key,
        seed,
        title: entry.title.to_owned(),
        axis: entry.axis.name.to_owned(),
        axis_unit: entry.axis.unit.to_owned(),
        unit: entry.unit.to_owned(),
        metric: entry.metric,
        causes: entry.named_causes().iter().map(|cause| cause.id.to_owned()).collect(),
        is_study: false,
        servers: entry.servers.iter().map(|program| program.name().to_owned()).collect(),
    }
}

fn find(family: &Family, key: &CaseKey, seed: u64) -> Option<(&'static Entry, NamedCase)> {
    let entry = family.pairs.iter().find(|entry| entry.id == key.pair)?;
    let cases = cases::measured(entry, cases::Extent::Deep, seed);
    let named = cases.into_iter().find(|named| named.key == *key)?;
    Some((entry, named))
}

fn batch(
    trial: &mut Trial,
    delay: &RunDelay,
    role: Role,
    iterations: u64,
    injected: Option<Injected>,
) -> Times {
    let cpu = cpu_time();
    let Batch { mut elapsed, mut wall, disturbed } =
        TrialTimer::new(trial, delay).run(role, iterations);
    if let Some(Injected::Time(share)) = injected {
        let extra = busy_for(elapsed.mul_f64(share));
        (elapsed, wall) = (elapsed + extra, wall + extra);
    }
    let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    Times { elapsed: ns(elapsed), wall: ns(wall), cpu: ns(cpu_time() - cpu), disturbed }
}

/// Keeps the CPU busy for `time` and returns the actual duration.
fn busy_for(time: Duration) -> Duration {
    let start = Instant::now();
    loop {
        let elapsed = start.elapsed();
        if elapsed >= time {
            return elapsed;
        }
        black_box(steps(10));
    }
}

/// Number of steps injected into each counted iteration.
static INJECTED_STEPS: AtomicU64 = AtomicU64::new(0);

/// Window in which callgrind counts instructions.
const COUNTED: Window = Window::new(callgrind::zero, || {
    black_box(steps(INJECTED_STEPS.load(Relaxed)));
    callgrind::dump();
});

/// Runs one uncounted iteration at native speed, then counts the instructions of `iterations`.
fn count(trial: &mut Trial, role: Role, iterations: u64, injected: Option<Injected>) {
    let steps = if let Some(Injected::Steps(steps)) = injected { steps } else { 0 };
    INJECTED_STEPS.store(steps, Relaxed);
    trial.run_in(role, &Window::UNOBSERVED);
    callgrind::start();
    for _ in 0..iterations {
        trial.run_in(role, &COUNTED);
    }
    callgrind::stop();
}

/// Runs `count` dependent multiplications of a few instructions each.
#[inline(never)]
fn steps(count: u64) -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..count {
        state = black_box(state.wrapping_mul(0x5851_f42d_4c95_7f2d).rotate_left(17));
    }
    state
}
