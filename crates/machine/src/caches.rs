//! The caches of this machine, as the kernel reports them under `/sys`.

use std::{fs, path::Path};

use worthit_pair::pair::Unavailable;

/// Folder in which the kernel describes CPUs.
pub(crate) const CPUS: &str = "/sys/devices/system/cpu";

/// Data caches, as seen from CPU 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caches {
    /// Level and size in bytes, nearest first.
    sizes: Vec<(u64, u64)>,
    /// Number of last-level caches in the machine.
    last_level_count: u64,
}

impl Caches {
    /// Reads the caches below `cpus`; there are none if the kernel reports none.
    pub(crate) fn read(cpus: &Path) -> Caches {
        let mut sizes: Vec<(u64, u64)> = indexes(&cpus.join("cpu0")).filter_map(sized).collect();
        sizes.sort_unstable();
        let last = sizes.last().map(|(level, _)| *level);
        // CPUs that share a cache have the same list.
        let mut shared: Vec<String> = numbered(cpus)
            .flat_map(|cpu| indexes(&cpu).collect::<Vec<_>>())
            .filter(|index| sized(index.clone()).map(|(level, _)| level) == last)
            .filter_map(|index| text(&index.join("shared_cpu_list")))
            .collect();
        shared.sort_unstable();
        shared.dedup();
        Caches { sizes, last_level_count: shared.len().max(1) as u64 }
    }

    /// Returns the size of the cache of a level, bytes.
    ///
    /// # Errors
    /// If the kernel reports no such cache.
    pub(crate) fn size(&self, level: u64) -> Result<u64, Unavailable> {
        let cache = self.sizes.iter().find(|(cache_level, _)| *cache_level == level);
        cache.map(|(_, bytes)| *bytes).ok_or_else(|| {
            Unavailable(format!("the kernel reports no cache of level {level} ({CPUS}/cpu0/cache)"))
        })
    }

    /// Returns the size of a last-level cache, bytes; 0 if there is none.
    pub(crate) fn last_level(&self) -> u64 {
        self.sizes.last().map_or(0, |(_, bytes)| *bytes)
    }

    /// Returns the total size of all last-level caches, bytes.
    pub(crate) fn all_last_levels(&self) -> u64 {
        self.last_level() * self.last_level_count
    }
}

fn numbered(cpus: &Path) -> impl Iterator<Item = std::path::PathBuf> {
    let entries = fs::read_dir(cpus).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.strip_prefix("cpu").is_some_and(|n| n.parse::<u64>().is_ok())
    })
}

fn indexes(cpu: &Path) -> impl Iterator<Item = std::path::PathBuf> {
    fs::read_dir(cpu.join("cache")).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// Returns level and size of the cache at `index`, if it holds data.
fn sized(index: std::path::PathBuf) -> Option<(u64, u64)> {
    let holds_data = text(&index.join("type"))? != "Instruction";
    let level = text(&index.join("level"))?.parse().ok()?;
    let size = bytes(&text(&index.join("size"))?)?;
    holds_data.then_some((level, size))
}

fn text(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// Parses a size such as `32K`, `2M` or `512` into bytes.
fn bytes(size: &str) -> Option<u64> {
    let (digits, unit) = match size.as_bytes().last()? {
        b'K' => (&size[..size.len() - 1], 1 << 10),
        b'M' => (&size[..size.len() - 1], 1 << 20),
        b'G' => (&size[..size.len() - 1], 1 << 30),
        _ => (size, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(cpus: &Path, cpu: u64, index: u64, [level, kind, size, shared]: [&str; 4]) {
        let folder = cpus.join(format!("cpu{cpu}/cache/index{index}"));
        fs::create_dir_all(&folder).unwrap();
        for (name, value) in
            [("level", level), ("type", kind), ("size", size), ("shared_cpu_list", shared)]
        {
            fs::write(folder.join(name), format!("{value}\n")).unwrap();
        }
    }

    #[test]
    fn data_caches_are_read_and_last_level_caches_are_counted() {
        let cpus = tempfile::tempdir().unwrap();
        for (cpu, shared) in [(0, "0-1"), (1, "0-1"), (2, "2-3"), (3, "2-3")] {
            let own = cpu.to_string();
            cache(cpus.path(), cpu, 0, ["1", "Data", "48K", &own]);
            cache(cpus.path(), cpu, 1, ["1", "Instruction", "64K", &own]);
            cache(cpus.path(), cpu, 2, ["2", "Unified", "2M", &own]);
            cache(cpus.path(), cpu, 3, ["3", "Unified", "32768K", shared]);
        }
        fs::create_dir(cpus.path().join("cpufreq")).unwrap();
        let caches = Caches::read(cpus.path());
        assert_eq!(
            [1, 2, 3].map(|level| caches.size(level).unwrap()),
            [48 << 10, 2 << 20, 32 << 20]
        );
        assert_eq!((caches.last_level(), caches.all_last_levels()), (32 << 20, 64 << 20));
        assert!(caches.size(4).unwrap_err().0.contains("no cache of level 4"));
    }

    #[test]
    fn there_is_no_cache_if_the_kernel_reports_none() {
        let caches = Caches::read(Path::new("/no/such/folder"));
        assert!(caches.size(1).is_err());
        assert_eq!(caches.all_last_levels(), 0);
        assert_eq!(["", "K", "x", "99999999999999999999G"].map(bytes), [None; 4]);
    }
}
