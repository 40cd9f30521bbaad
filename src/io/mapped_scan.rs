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
        remedy: "`let map = unsafe { Mmap::map(&file)? };` (memmap2) and the same pass over `&map[..]`. \
                 For a single pass front to back, first try what needs no `unsafe`: `read` into one \
                 buffer of 64 KiB again and again (the peer here): it is about as good up to a MiB, \
                 and beyond, where its copy costs more than the scan, it still holds 64 KiB however \
                 large the file is. `map.advise(Advice::HugePage)` has a cold file read in pieces that \
                 are mapped 2 MiB at once, where the file system has such.",
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
        growth: Growth::Until(&Growth::Linear, "the file has pieces that are mapped 2 MiB at once"),
    },
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
    explanation: "Reading in moves every byte three times: out of the page cache, into the Vec, and into \
                  the scan. Mapped, the scan reads it where the kernel has it, once. So the gain nears \
                  three while one memory holds all, and passes it where file and Vec together outgrow the \
                  last cache, which still holds the file alone. A Vec too large for the \
                  allocator to keep costs more still, as the kernel zeroes its pages anew each time. A \
                  map costs some microseconds, and an entry in the page table for each piece of the page \
                  cache, which is why small files lose. The file here was written at once and lies in \
                  large pieces. One that was written bit by bit, or read in by readahead, lies in \
                  small ones: filling the page table then takes longer than the scan, and most of the gain \
                  is gone.",
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
    // SAFETY: the file is this process's own, in a folder made for it, and is neither written nor
    // truncated after it has been built.
    let map = unsafe { Mmap::map(&file)? };
    Ok(lines(&map))
}

/// The number of lines in the file at `path`, of which only a part is held at any time.
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

/// Each process has a file of its own, written at once: so it lies in the page cache, in large
/// pieces. A file that is kept loses them bit by bit to whatever needs memory, and comes back in
/// small ones. It is gone before the kernel would write it to the device, so that no write-back
/// runs while the pair is timed.
fn input(case: &Case) -> Result<Input, Unavailable> {
    let folder = paths::scratch()?;
    let path = folder.path().join("log");
    let content = content(case)?;
    fs::write(&path, &content).map_err(|error| failed(&path, error))?;
    let size = fs::metadata(&path).map_err(|error| failed(&path, error))?.len();
    Ok(Input { file: path, size, _folder: folder })
}

/// What is timed is built once for all processes; proofs take another seed each time, so theirs is
/// not kept.
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
    fn trap_what_is_kept_is_the_content_and_not_the_file() {
        let case = Case::realistic(4_096, 0, 1);
        let [first, second] = [(), ()].map(|()| input(&case).unwrap());
        assert_ne!(first.file, second.file, "a file of another process may be changed");
        for file in [&first.file, &second.file] {
            assert_eq!(fs::read(file).unwrap(), log_lines(&case, 4_096).concat());
        }
    }

    #[test]
    fn trap_the_sweep_has_files_for_which_a_map_is_too_much() {
        let points = PAIR.axis.points.default_points();
        assert!(points[0] <= 4_096, "one page: the copy is cheaper than the map");
        assert!(points[points.len() - 1] >= 8 << 20, "larger than the caches of a core");
    }
}
