//! Identifies the machine, and the machine key under which results are comparable.
//!
//! Only [`Machine::current`] reads the system. What it reads is put together by pure functions: [`Processor::of`] of
//! the text of `/proc/cpuinfo`, and [`key()`] of a [`Description`].

mod key;
mod processor;

use std::{fs, path::Path};

use procfs::Current;
use serde::{Deserialize, Serialize};

use worthit_pair::{build, format, pair::logical_cores, paths};

pub use key::{Description, key};
pub use processor::Processor;

/// What a value is called that the system does not report.
pub const UNKNOWN: &str = "unknown";

/// What is said of results whose [`Machine::processor`] is missing.
pub const OLDER_KEY: &str =
    "recorded under an older kind of machine key, which different machines share; not compared";

/// The machine, as results describe it. Never contains the host name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// What decides the speed of the machine; see [`key()`]. Results with different keys are never treated as results
    /// of one machine. It stays as it was recorded, whatever kind of key it is.
    pub key: String,
    /// CPU model, as it is sold.
    pub cpu: String,
    /// What decides the speed of the processor. `None` in results of older versions, whose key was made of the name
    /// under which the CPU is sold: clouds give the same name to several generations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<Processor>,
    /// Logical cores that this process may use.
    pub logical_cores: u64,
    /// Sockets, cores and hardware threads, as the system reports them.
    pub topology: String,
    /// Caches of core 0: "L1d 48K, L2 2048K, L3 105M".
    pub caches: String,
    /// Memory, bytes; 0 if the system does not report it.
    pub memory_bytes: u64,
    /// Kernel release.
    pub kernel: String,
    /// File system of the data folder.
    pub filesystem: String,
    /// Frequency governor of core 0; `None` if the system reports none (most virtual machines).
    pub governor: Option<String>,
    /// Whether the CPU reports a hypervisor.
    pub virtual_machine: bool,
}

/// Compiler and flags of the timed binary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toolchain {
    /// `rustc --version`.
    pub rustc: String,
    /// `RUSTFLAGS`, as cargo resolved them.
    pub rustflags: String,
    /// Optimization level.
    pub opt_level: String,
    /// Target triple.
    pub target: String,
}

impl Toolchain {
    /// The toolchain that built the pairs and their timing loops.
    pub fn current() -> Toolchain {
        Toolchain {
            rustc: build::RUSTC.to_owned(),
            rustflags: build::RUSTFLAGS.to_owned(),
            opt_level: build::OPT_LEVEL.to_owned(),
            target: build::TARGET.to_owned(),
        }
    }
}

/// How the machines of two results relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The results have the same key, so they are comparable.
    Same,
    /// The results have different keys.
    DifferentKeys,
    /// The results have the same key, but it is of the older kind, which different machines share.
    OlderKey,
}

impl Machine {
    /// Describes this machine; values that the system does not report are "unknown".
    pub fn current() -> Machine {
        let unknown = || UNKNOWN.to_owned();
        let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = Processor::of(&cpu_info);
        let memory_bytes = procfs::Meminfo::current().map_or(0, |memory| memory.mem_total);
        let kernel = read("/proc/sys/kernel/osrelease").unwrap_or_else(unknown);
        let data = paths::data();
        let existing = data.ancestors().find(|folder| folder.exists());
        let filesystem = existing.and_then(|folder| paths::filesystem(folder).ok());
        let filesystem = filesystem.unwrap_or_else(unknown);
        let caches = caches(Path::new("/sys/devices/system/cpu/cpu0/cache"));
        let logical_cores = logical_cores();
        let key = key(&Description {
            processor: &processor,
            caches: &caches,
            logical_cores,
            memory_bytes,
            kernel: &kernel,
            filesystem: &filesystem,
        });
        Machine {
            key,
            cpu: processor::value(&cpu_info, "model name").map_or_else(unknown, str::to_owned),
            processor: Some(processor),
            logical_cores,
            topology: topology(Path::new("/sys/devices/system/cpu")),
            caches,
            memory_bytes,
            kernel,
            filesystem,
            governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            virtual_machine: processor::has_flag(&cpu_info, "hypervisor"),
        }
    }

    /// Returns how this machine relates to the machine of another result.
    pub fn relation_to(&self, other: &Machine) -> Relation {
        if self.key != other.key {
            Relation::DifferentKeys
        } else if self.has_older_key() || other.has_older_key() {
            Relation::OlderKey
        } else {
            Relation::Same
        }
    }

    /// Returns whether the key is of the older kind, which different machines share.
    pub fn has_older_key(&self) -> bool {
        self.processor.is_none()
    }

    /// Returns the parts of the key, each with its name.
    pub fn parts(&self) -> Vec<(&'static str, String)> {
        let mut parts = self.processor.as_ref().map_or(Vec::new(), Processor::parts);
        let memory = match self.memory_bytes {
            0 => UNKNOWN.to_owned(),
            bytes => format::bytes(bytes as f64),
        };
        parts.extend([
            ("Caches", self.caches.clone()),
            ("Logical cores", self.logical_cores.to_string()),
            ("Memory", memory),
            ("Kernel", self.kernel.clone()),
            ("Data file system", self.filesystem.clone()),
        ]);
        parts
    }
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn topology(cpus: &Path) -> String {
    let mut sockets = Vec::new();
    let mut cores = Vec::new();
    let mut threads = 0;
    for cpu in fs::read_dir(cpus).into_iter().flatten().flatten() {
        let folder = cpu.path().join("topology");
        let Some(socket) = read(folder.join("physical_package_id")) else { continue };
        let Some(core) = read(folder.join("core_id")) else { continue };
        threads += 1;
        cores.push((socket.clone(), core));
        sockets.push(socket);
    }
    sockets.sort_unstable();
    sockets.dedup();
    cores.sort_unstable();
    cores.dedup();
    if threads == 0 {
        return UNKNOWN.to_owned();
    }
    format!("{} socket(s), {} core(s), {threads} hardware thread(s)", sockets.len(), cores.len())
}

fn caches(folder: &Path) -> String {
    let mut found: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|cache| {
            let kind = read(cache.path().join("type"))?;
            let suffix = if kind == "Data" { "d" } else { "" };
            let level = read(cache.path().join("level"))?;
            let size = read(cache.path().join("size"))?;
            (kind != "Instruction").then(|| format!("L{level}{suffix} {size}"))
        })
        .collect();
    found.sort_unstable();
    if found.is_empty() { UNKNOWN.to_owned() } else { found.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known() {
        let machine = Machine::current();
        assert!(machine.logical_cores >= 1 && machine.memory_bytes > 1 << 20, "{machine:?}");
        let is_safe = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._+".contains(c);
        assert!(machine.key.chars().all(is_safe), "{machine:?}");
        if cfg!(target_arch = "x86_64") {
            let processor = machine.processor.as_ref().unwrap();
            for part in [&processor.vendor, &processor.model, &processor.vectors] {
                assert!(part.is_some(), "{machine:?}");
            }
        }
        assert_eq!(machine.parts().len(), 7, "{machine:?}");
        assert_eq!(machine.relation_to(&machine), Relation::Same);
    }

    #[test]
    fn results_are_of_one_machine_only_under_one_key_of_the_present_kind() {
        let here = Machine::current();
        let elsewhere = Machine { key: "elsewhere".to_owned(), ..here.clone() };
        assert_eq!(here.relation_to(&elsewhere), Relation::DifferentKeys);
        // Nothing else tells the two apart, and still they may be two machines.
        let older = Machine { processor: None, ..here.clone() };
        assert!(older.has_older_key() && !here.has_older_key());
        assert_eq!(older.relation_to(&older), Relation::OlderKey);
        assert_eq!(here.relation_to(&older), Relation::OlderKey);
        assert_eq!(older.relation_to(&here), Relation::OlderKey);
    }

    #[test]
    fn a_machine_of_an_older_result_keeps_its_key() {
        let text = r#"{"key":"amd-epyc-2c-24g-linux6.18-ext4","cpu":"AMD EPYC","logical_cores":2,
            "topology":"unknown","caches":"L1d 32K","memory_bytes":1,"kernel":"6.18.44",
            "filesystem":"ext4","governor":null,"virtual_machine":true}"#;
        let older: Machine = serde_json::from_str(text).unwrap();
        assert_eq!(older.key, "amd-epyc-2c-24g-linux6.18-ext4");
        assert!(older.has_older_key());
        let again = serde_json::to_string(&older).unwrap();
        assert_eq!(serde_json::from_str::<Machine>(&again).unwrap(), older);
        assert!(!again.contains("processor"), "{again}");
    }

    #[test]
    fn values_that_the_system_does_not_report_are_unknown() {
        assert_eq!(topology(Path::new("/no/such/folder")), "unknown");
        assert_eq!(caches(Path::new("/no/such/folder")), "unknown");
    }
}
