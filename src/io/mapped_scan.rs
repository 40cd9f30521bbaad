//! Scan a whole file: mapped into memory, not read into a `Vec` first.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use memmap2::Mmap;
use tempfile::TempDir;

use crate::fixtures::log_lines::log_lines;
use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Map a file to scan it",
    review: Review {
        smell: "`let bytes = fs::read(path)?;`, then one pass over `bytes` and nothing more.",
        remedy: "`let map = unsafe { Mmap::map(&file)? };` (memmap2) and the same pass over `&map[..]`. For a \
                 single pass front to back, first try the way that needs no `unsafe`: `read` into one buffer of 64 \
                 KiB again and again (the peer here). It is about as fast up to a MiB. Beyond that its copy costs \
                 more than the scan, but it still holds only 64 KiB however large the file is. \
                 `map.advise(Advice::HugePage)` makes the kernel read a cold file in pieces that are mapped 2 MiB \
                 at once, where the file system has such pieces.",
        keep_naive_when: "The file is small (setting up and tearing down a map costs more than copying a few \
                          pages), the bytes are needed after the file has gone or changed, or it is not a \
                          plain file (a pipe cannot be mapped, some network file systems should not be).",
        costs: "`unsafe`: if anyone *truncates* the file while it is mapped, touching the lost pages kills \
                the process with SIGBUS, and if anyone writes to it, the `&[u8]` changes under the \
                compiler's feet, which is undefined behaviour. Only map files that nobody else changes. \
                An I/O error is a SIGBUS too, not an `Err`. Figures are for a warm page cache; with a \
                cold one the device sets the pace and the sides are closer.",
        lint: None,
    },
    naive: Side { summary: "read the file into a Vec, then scan it", growth: Growth::Linear },
    optimized: Side {
        summary: "map the file and scan the page cache",
        growth: Growth::Until(
            &Growth::Linear,
            "the file has pieces that are mapped 2 MiB at a time",
        ),
    },
    input: "A log file with lines of 90 to 250 bytes, whose line ends are counted front to back. It was written \
            at once just before, so it is in the page cache and lies there in large pieces.",
    axis: Axis {
        name: "file size",
        unit: "B",
        is_size: true,
        points: Points::Fixed {
            default: &[4_096, 65_536, 262_144, 1_048_576, 16_777_216],
            deep: &[67_108_864],
        },
    },
    unit: "byte",
    peer: Some("read_64k"),
    causes: &[
        Claim {
            cause: causes::BYTES_READ,
            naive: Count::Exactly(|case| case.point),
            optimized: Count::Exactly(|_| 0),
        },
        Claim {
            cause: causes::READ_CALLS,
            // One for the content, one that finds the end.
            naive: Count::Exactly(|_| 2),
            optimized: Count::Exactly(|_| 0),
        },
    ],
    explanation: "Reading the file moves every byte three times: out of the page cache, into the Vec, and into the \
                  scan. With a map the scan reads each byte once, where the kernel has it. So the gain nears three \
                  while one level of memory holds everything. It exceeds three where file and Vec together outgrow \
                  the last-level cache, which still holds the file alone. A Vec too large for the allocator to \
                  keep costs even more, because the kernel zeroes its pages anew each time. A map costs some \
                  microseconds, and a page-table entry for each piece of the page cache, which is why small files \
                  lose. The file here was written at once and lies in large pieces. One that was written bit by \
                  bit, or read by readahead, lies in small ones: filling the page table then takes longer than the \
                  scan, and most of the gain is gone.",
    limit: Limit::BytesStreamed(|case| case.point),
    proof: Proof { resources: Resources::System, max_size: 100_000 },
    prepare,
    ..Pair::DEFAULTS
};

/// The number of lines in the file at `path`.
fn naive(path: &Path) -> io::Result<u64> {
    Ok(lines(&fs::read(path)?))
}

/// The number of lines in the file at `path`, which nobody may change meanwhile.
fn optimized(path: &Path) -> io::Result<u64> {
    let file = File::open(path)?;
    // SAFETY: the file belongs to this process alone, in a folder made for it, and is neither
    // written nor truncated once it is built.
    let map = unsafe { Mmap::map(&file)? };
    Ok(lines(&map))
}

/// The number of lines in the file at `path`, holding only a part of it at any time.
fn read_64k(path: &Path) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 64 * 1024];
    let mut count = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(count),
            length => count += lines(&buffer[..length]),
        }
    }
}

fn lines(bytes: &[u8]) -> u64 {
    bytecount::count(bytes, b'\n') as u64
}

struct Input {
    file: PathBuf,
    size: u64,
    _folder: TempDir,
}

/// Each process writes its own file at once, so that it lies in the page cache in large pieces. A file kept
/// between processes would lose them bit by bit to memory pressure and come back in small ones. The file is
/// deleted before the kernel would write it to the device, so no write-back runs while the pair is timed.
fn input(case: &Case) -> Result<Input, Unavailable> {
    let folder = paths::scratch()?;
    let path = folder.path().join("log");
    let content = content(case)?;
    fs::write(&path, &content).map_err(|error| failed(&path, error))?;
    let size = fs::metadata(&path).map_err(|error| failed(&path, error))?.len();
    Ok(Input { file: path, size, _folder: folder })
}

/// Timed content is built once for all processes. Proofs use a new seed each time, so theirs is not kept.
fn content(case: &Case) -> Result<Vec<u8>, Unavailable> {
    let built = || log_lines(case, case.point as usize).concat();
    if case.proof_size.is_some() || case.shape != Shape::Realistic {
        return Ok(built());
    }
    let fixture = Fixture {
        name: "log",
        recipe: include_str!("../fixtures/log_lines.rs"),
        seed: case.seed,
        size: case.point,
    };
    let file =
        fixture.file(|path| fs::write(path, built()).map_err(|error| failed(path, error)))?;
    fs::read(&file).map_err(|error| failed(&file, error))
}

fn failed(path: &Path, error: io::Error) -> Unavailable {
    Unavailable(format!("cannot write or read {}: {error}", path.display()))
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let input = Arc::new(input(case)?);
    let over = |count: fn(&Path) -> io::Result<u64>| {
        by_ref(&input, move |input: &Input| count(&input.file).expect("the file is there"))
    };
    let trial = Trial::new(input.size, over(naive), over(optimized));
    Ok(trial.peer(over(read_64k)).units(input.size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let folder = paths::scratch().unwrap();
        let path = folder.path().join("file");
        let large = "x".repeat(64 * 1024 - 1) + "\n\ny";
        for (text, expected) in [("", 0), ("\n", 1), ("one\ntwo\nthe rest", 2), (&large, 2)] {
            fs::write(&path, text).unwrap();
            for count in [naive, optimized, read_64k] {
                assert_eq!(count(&path).unwrap(), expected);
            }
        }
    }

    #[test]
    fn a_missing_file_is_an_error() {
        for count in [naive, optimized, read_64k] {
            assert_eq!(count(Path::new("/no/such")).unwrap_err().kind(), io::ErrorKind::NotFound);
        }
    }

    #[test]
    fn trap_the_whole_file_is_touched_not_only_mapped() {
        // The only newline is the last byte: a side that stops early, or counts only what it
        // happened to page in, misses it.
        let folder = paths::scratch().unwrap();
        let path = folder.path().join("file");
        let mut bytes = vec![b'x'; 3 * 1024 * 1024 + 5];
        *bytes.last_mut().unwrap() = b'\n';
        fs::write(&path, &bytes).unwrap();
        for count in [naive, optimized, read_64k] {
            assert_eq!(count(&path).unwrap(), 1);
        }
    }

    #[test]
    fn trap_processes_share_the_content_but_not_the_file() {
        let case = Case::realistic(4_096, 0, 1);
        let [first, second] = [(), ()].map(|()| input(&case).unwrap());
        assert_ne!(first.file, second.file, "another process may change its file");
        for file in [&first.file, &second.file] {
            assert_eq!(fs::read(file).unwrap(), log_lines(&case, 4_096).concat());
        }
    }

    #[test]
    fn trap_the_sweep_has_files_too_small_for_a_map() {
        let points = PAIR.axis.points.default_points();
        assert!(points[0] <= 4_096, "one page: the copy is cheaper than the map");
        assert!(points[points.len() - 1] >= 8 << 20, "larger than the caches of a core");
    }
}
