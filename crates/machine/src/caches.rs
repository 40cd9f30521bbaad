//! The caches of this machine, as the kernel tells them under `/sys`.

use std::{fs, path::Path};

use worthit_pair::pair::Unavailable;

/// Where the kernel tells of CPUs.
pub(crate) const CPUS: &str = "/sys/devices/system/cpu";

/// Data caches, from the point of view of CPU 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caches {
    /// Level and size in bytes, nearest first.
    sizes: Vec<(u64, u64)>,
    /// How many caches of the last level there are in the machine.
    last_level_count: u64,
}

impl Caches {
    /// Read below `cpus`; none where nothing is told.
    pub(crate) fn read(cpus: &Path) -> Caches {
        let mut sizes: Vec<(u64, u64)> = indexes(&cpus.join("cpu0")).filter_map(sized).collect();
        sizes.sort_unstable();
        let last = sizes.last().map(|(level, _)| *level);
        // CPUs that share a cache name the same list.
        let mut shared: Vec<String> = numbered(cpus)
            .flat_map(|cpu| indexes(&cpu).collect::<Vec<_>>())
            .filter(|index| sized(index.clone()).map(|(level, _)| level) == last)
            .filter_map(|index| text(&index.join("shared_cpu_list")))
            .collect();
        shared.sort_unstable();
        shared.dedup();
        Caches { sizes, last_level_count: shared.len().max(1) as u64 }
    }

    /// Size of the cache of a level, bytes.
    pub(crate) fn size(&self, level: u64) -> Result<u64, Unavailable> {
        let found = self.sizes.iter().find(|(of, _)| *of == level);
        found.map(|(_, bytes)| *bytes).ok_or_else(|| {
            Unavailable(format!(
                "the kernel tells of no cache of level {level} ({CPUS}/cpu0/cache)"
            ))
        })
    }

    /// Size of the last level, bytes; 0 if none is told.
    pub(crate) fn last_level(&self) -> u64 {
        self.sizes.last().map_or(0, |(_, bytes)| *bytes)
    }

    /// Bytes in all caches of the last level together.
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

/// Level and size of the cache at `index`, if it holds data.
fn sized(index: std::path::PathBuf) -> Option<(u64, u64)> {
    let holds_data = text(&index.join("type"))? != "Instruction";
    let level = text(&index.join("level"))?.parse().ok()?;
    let size = bytes(&text(&index.join("size"))?)?;
    holds_data.then_some((level, size))
}

fn text(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// `32K`, `2M`, `512` in bytes.
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
    fn data_caches_are_read_and_those_of_the_last_level_counted() {
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
    fn where_nothing_is_told_there_is_no_cache() {
        let caches = Caches::read(Path::new("/no/such/folder"));
        assert!(caches.size(1).is_err());
        assert_eq!(caches.all_last_levels(), 0);
        assert_eq!(["", "K", "x", "99999999999999999999G"].map(bytes), [None; 4]);
    }
}
