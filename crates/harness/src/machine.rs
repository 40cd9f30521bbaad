//! Identifies the machine, and the machine key under which results are comparable.

use std::{fs, path::Path};

use procfs::Current;
use serde::{Deserialize, Serialize};

use worthit_pair::{build, pair::logical_cores, paths};

/// The machine, as results describe it. Never contains the host name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// CPU model, logical cores, memory, kernel major.minor and file system of the data folder.
    /// Results with different keys are never treated as results of one machine.
    pub key: String,
    /// CPU model.
    pub cpu: String,
    /// Logical cores that this process may use.
    pub logical_cores: u64,
    /// Sockets, cores and hardware threads, as the system reports them.
    pub topology: String,
    /// Caches of core 0: "L1d 48K, L2 2048K, L3 105M".
    pub caches: String,
    /// Memory, bytes.
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

impl Machine {
    /// Describes this machine; values that the system does not report are "unknown".
    pub fn current() -> Machine {
        let unknown = || "unknown".to_owned();
        let cpu_info = procfs::CpuInfo::current().ok();
        let field = |name| cpu_info.as_ref().and_then(|info| info.get_field(0, name));
        let cpu = field("model name").map_or_else(unknown, str::to_owned);
        let virtual_machine =
            field("flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor"));
        let memory_bytes = procfs::Meminfo::current().map_or(0, |memory| memory.mem_total);
        let kernel = read("/proc/sys/kernel/osrelease").unwrap_or_else(unknown);
        let data = paths::data();
        let existing = data.ancestors().find(|folder| folder.exists());
        let filesystem = existing.and_then(|folder| paths::filesystem(folder).ok());
        let filesystem = filesystem.unwrap_or_else(unknown);
        let logical_cores = logical_cores();
        Machine {
            key: key(&cpu, logical_cores, memory_bytes, &kernel, &filesystem),
            cpu,
            logical_cores,
            topology: topology(Path::new("/sys/devices/system/cpu")),
            caches: caches(Path::new("/sys/devices/system/cpu/cpu0/cache")),
            memory_bytes,
            kernel,
            filesystem,
            governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            virtual_machine,
        }
    }
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// `intel-r-xeon-r-processor-2c-24g-linux6.18-ext4`
fn key(cpu: &str, cores: u64, memory_bytes: u64, kernel: &str, filesystem: &str) -> String {
    let words: Vec<String> = cpu
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let memory_gib = (memory_bytes as f64 / f64::from(1 << 30)).round();
    let release: Vec<&str> = kernel.split(['.', '-']).take(2).collect();
    format!("{}-{cores}c-{memory_gib}g-linux{}-{filesystem}", words.join("-"), release.join("."))
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
        return "unknown".to_owned();
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
    if found.is_empty() { "unknown".to_owned() } else { found.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_model_cores_memory_kernel_and_file_system() {
        assert_eq!(
            key(
                "AMD Ryzen 9 7950X 16-Core Processor",
                32,
                66_300_000_000,
                "6.8.0-45-generic",
                "btrfs"
            ),
            "amd-ryzen-9-7950x-16-core-processor-32c-62g-linux6.8-btrfs"
        );
    }

    #[test]
    fn this_machine_is_known() {
        let machine = Machine::current();
        assert!(machine.logical_cores >= 1 && machine.memory_bytes > 1 << 20, "{machine:?}");
        // On Arm, /proc/cpuinfo has no model name.
        assert!(
            cfg!(not(target_arch = "x86_64")) || !machine.key.contains("unknown"),
            "{machine:?}"
        );
        assert!(!machine.key.contains(['/', ' ', '(']), "{machine:?}");
    }

    #[test]
    fn values_that_the_system_does_not_report_are_unknown() {
        assert_eq!(topology(Path::new("/no/such/folder")), "unknown");
        assert_eq!(caches(Path::new("/no/such/folder")), "unknown");
    }
}
