//! Detects other work that held the CPU while a case was measured.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    time::{Duration, Instant},
};

use procfs::{Current, CurrentSI, KernelStats, LoadAverage, process::Process};
use serde::{Deserialize, Serialize};

use worthit_pair::pair::logical_cores;

/// Share of steal or of disturbed batches above which a case is marked; see [`Load::mark`].
pub const MARK_ABOVE: f64 = 0.05;
/// Share of other processes above which a case on several threads is marked. It is higher, because other
/// processes disturb a pair that uses every core less visibly.
pub const MARK_OTHERS_ABOVE: f64 = 0.10;

/// Other load on the machine during a case. Shares are of the CPU time of the whole machine, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Share that the hypervisor gave to other virtual machines.
    pub steal: f64,
    /// Share that other processes used.
    pub others: f64,
    /// Share of the measured batches during which the measuring thread waited for a CPU.
    pub disturbed: f64,
    /// One-minute load average at the end.
    pub load_average: f64,
}

impl Load {
    /// Returns why the case is marked, if it is. `threads` is the thread count of the busiest side.
    pub fn mark(&self, threads: usize) -> Option<String> {
        let percent = |share: f64| (share * 100.0).round();
        if self.steal > MARK_ABOVE {
            Some(format!("{} % of the CPU time was stolen by the hypervisor", percent(self.steal)))
        } else if self.disturbed > MARK_ABOVE {
            Some(format!(
                "other processes held the CPU during {} % of the batches",
                percent(self.disturbed)
            ))
        } else if threads > 1 && self.others > MARK_OTHERS_ABOVE {
            Some(format!("other processes used {} % of the machine", percent(self.others)))
        } else {
            None
        }
    }

    /// The worse value of each kind.
    pub fn worse(self, other: Load) -> Load {
        Load {
            steal: self.steal.max(other.steal),
            others: self.others.max(other.others),
            disturbed: self.disturbed.max(other.disturbed),
            load_average: self.load_average.max(other.load_average),
        }
    }
}

/// Load over several spans of time together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Together {
    span: Duration,
    load: Load,
}

impl Together {
    /// Adds a span. In a short one the system's count of CPU time, which it takes at each tick of its clock, says little.
    pub fn add(&mut self, span: Duration, load: Load) {
        self.span += span;
        let part = span.as_secs_f64() / self.span.as_secs_f64().max(f64::MIN_POSITIVE);
        let mean = |before: f64, now: f64| before + (now - before) * part;
        self.load = Load {
            steal: mean(self.load.steal, load.steal),
            others: mean(self.load.others, load.others),
            disturbed: mean(self.load.disturbed, load.disturbed),
            load_average: self.load.load_average.max(load.load_average),
        };
    }

    /// Returns the load of all spans: shares of their time, and the highest load average.
    pub fn load(&self) -> Load {
        self.load
    }
}

/// CPU time so far, in seconds: busy on the whole machine, stolen by the hypervisor, and used by this
/// process, the children that it has waited for, and the servers that it uses.
#[derive(Clone, Copy, Debug)]
struct Spent {
    busy: f64,
    stolen: f64,
    own: f64,
}

impl Spent {
    fn so_far() -> Option<Spent> {
        let ticks = procfs::ticks_per_second() as f64;
        let all = KernelStats::current().ok()?.total;
        let busy =
            all.user + all.nice + all.system + all.irq.unwrap_or(0) + all.softirq.unwrap_or(0);
        let own = Process::myself().and_then(|process| process.stat()).ok()?;
        let own = own.utime + own.stime + (own.cutime + own.cstime).max(0) as u64;
        let servers = worthit_servers::cpu_time().as_secs_f64();
        Some(Spent {
            busy: busy as f64 / ticks,
            stolen: all.steal.unwrap_or(0) as f64 / ticks,
            own: own as f64 / ticks + servers,
        })
    }
}

/// Watches the load of the machine, from [`LoadProbe::start`] to [`LoadProbe::load`].
#[derive(Debug)]
pub struct LoadProbe {
    start: Instant,
    spent: Option<Spent>,
}

impl LoadProbe {
    /// Starts watching.
    pub fn start() -> LoadProbe {
        LoadProbe { start: Instant::now(), spent: Spent::so_far() }
    }

    /// Time since the start.
    pub fn span(&self) -> Duration {
        self.start.elapsed()
    }

    /// Load since the start; `disturbed` stays 0, as do values that the system does not report.
    pub fn load(&self) -> Load {
        let load_average = LoadAverage::current().map_or(0.0, |load| f64::from(load.one));
        let capacity = self.start.elapsed().as_secs_f64() * logical_cores() as f64;
        let (Some(before), Some(now)) = (self.spent, Spent::so_far()) else {
            return Load { load_average, ..Load::default() };
        };
        let share = |seconds: f64| (seconds / capacity).clamp(0.0, 1.0);
        Load {
            steal: share(now.stolen - before.stolen),
            others: share((now.busy - before.busy) - (now.own - before.own)),
            disturbed: 0.0,
            load_average,
        }
    }
}

/// Reads from `/proc/thread-self/schedstat` how long the calling thread has waited for a CPU.
#[derive(Debug)]
pub struct RunDelay {
    schedstat: Option<File>,
}

impl RunDelay {
    /// Opens the file of the calling thread.
    pub fn of_this_thread() -> RunDelay {
        RunDelay { schedstat: File::open("/proc/thread-self/schedstat").ok() }
    }

    /// Time that the thread has waited since it started; zero if the system does not report it.
    pub fn so_far(&self) -> Duration {
        let mut text = [0; 96];
        let length = self.schedstat.as_ref().and_then(|file| file.read_at(&mut text, 0).ok());
        Duration::from_nanos(length.and_then(|length| second_number(&text[..length])).unwrap_or(0))
    }
}

/// Parses the waiting time: schedstat is "time on CPU, time waiting, time slices".
fn second_number(schedstat: &[u8]) -> Option<u64> {
    std::str::from_utf8(schedstat).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedstat_is_read() {
        assert_eq!(second_number(b"123 456 7\n"), Some(456));
        assert_eq!(second_number(b""), None);
        assert_eq!(second_number(b"1 x 2"), None);
    }

    #[test]
    fn marks_name_the_kind_of_load() {
        assert_eq!(Load::default().mark(8), None);
        let steal = Load { steal: 0.2, ..Load::default() };
        assert!(steal.mark(1).unwrap().starts_with("20 % of the CPU time was stolen"));
        let disturbed = Load { disturbed: 0.5, ..Load::default() };
        assert!(disturbed.mark(1).unwrap().contains("50 % of the batches"));
        let others = Load { others: 0.5, ..Load::default() };
        assert_eq!(others.mark(1), None, "one thread has a core to itself");
        assert!(others.mark(2).unwrap().contains("50 % of the machine"));
        assert_eq!(steal.worse(others).mark(2), steal.mark(2));
    }

    #[test]
    fn a_short_span_adds_little() {
        let mut together = Together::default();
        let busy = Load { others: 0.5, load_average: 3.0, ..Load::default() };
        together.add(Duration::from_millis(100), busy);
        assert_eq!(together.load(), busy);
        let idle = Load { load_average: 1.0, ..Load::default() };
        together.add(Duration::from_millis(900), idle);
        let load = together.load();
        assert!((load.others - 0.05).abs() < 1e-9 && load.load_average == 3.0, "{load:?}");
    }

    #[test]
    fn own_work_is_not_counted_as_others() {
        let spent = Spent::so_far().expect("procfs is mounted");
        assert!(spent.own <= spent.busy + 1.0, "{spent:?}");
        let load = LoadProbe::start().load();
        assert!((0.0..=1.0).contains(&load.others) && load.disturbed == 0.0, "{load:?}");
    }
}
