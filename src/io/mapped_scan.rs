//! Scan a whole file: mapped into memory, not read into a `Vec` first.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use memmap2::Mmap;
use tempfile::TempDir;

use crate::fixtures::log_lines::log_lines;
use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Map a file to scan it",
    review: Review {
        smell: "`let bytes = fs::read(path)?;`, then one pass over `bytes` and nothing more.",
        remedy: "`let map = unsafe { Mmap::map(&file)? };` (memmap2) and the same pass over the map.",
        keep_naive_when: "The file is small: setting up and tearing down a map costs more than copying a few pages. \
                          It is a log of moderate size that was appended to line by line. The bytes are needed after \
                          the file has gone or changed. It is not a plain file (a pipe cannot be mapped, some network \
                          file systems should not be). Or `unsafe` is: reading through one buffer of 64 KiB, again \
                          and again, needs none, and holds no more however large the file is.",
        costs: "`unsafe`: if anyone *truncates* the file while it is mapped, touching the lost pages kills \
                the process with SIGBUS, and if anyone writes to it, the `&[u8]` changes under the \
                compiler's feet, which is undefined behaviour. Only map files that nobody else changes. \
                An I/O error is a SIGBUS too, not an `Err`. Figures are for a warm page cache; with a \
                cold one the device sets the pace and the sides are closer.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "read the file into a Vec, then scan it",
        growth: Growth::Until(&Growth::Linear, "file and Vec outgrow the caches"),
    },
    optimized: Side {
        summary: "map the file and scan the page cache",
        growth: Growth::Until(
            &Growth::Linear,
            "the file has pieces that are mapped 2 MiB at a time",
        ),
    },
    input: "Log files with lines of 90 to 250 bytes, whose line ends are counted front to back, one file after the \
            other. They were written just before, so they are in the page cache: line by line, as a log is, which \
            leaves them in pages of 4 KiB, or in one call, which leaves them in large pieces where the file system \
            has such.",
    axis: Axis {
        name: "file size",
        unit: "B",
        is_size: true,
        points: Points::Fixed {
            default: &[4_096, 65_536, 1_048_576, 4_194_304, 16_777_216],
            deep: &[67_108_864],
        },
    },
    parameter: Some(Parameter {
        name: "written",
        levels: Levels::Fixed(&[
            Level { label: "appended", value: APPENDED, origin: Origin::Measured },
            Level { label: "one-call", value: ONE_CALL, origin: Origin::Measured },
        ]),
    }),
    unit: "byte",
    headline: Headline::At { level: "appended", point: 16_777_216 },
    alternatives: &[SideBeside { name: "read_64k", summary: "read through one buffer of 64 KiB" }],
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
    explanation: Explanation {
        why: "Reading the file moves every byte three times: out of the page cache, into the Vec, and into the scan. \
              With a map the scan reads each byte once, where the kernel has it. But a map has to be set up and torn \
              down, and needs an entry in the page table for each piece of the page cache. A log that was appended to \
              line by line lies in the smallest pieces: filling the page table then costs what the copy did. A file \
              that was written in one call lies in large ones. A Vec too large for the nearest caches costs more, as \
              does one for which the kernel has to zero pages anew. The page table also keeps the scan far below its \
              limit, the bandwidth of memory.",
        share_of_cause: ShareOfCause::NoRatio("a map makes no call that reads"),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(1_048_576),
    },
    traps: &[
        &Trap {
            name: "a side may stop early",
            reason: "a scan that misses the tail of a file, or a map of which only a part is paged in, would agree",
            check: |inputs: &[Log]| {
                let tail =
                    |log: &Log| fs::read(&log.path).is_ok_and(|bytes| bytes.ends_with(b"\n"));
                ensure(inputs.iter().all(tail), || "a file does not end with a line end".to_owned())
            },
            sprung: || vec![log(APPENDED, &[b"one\n".to_vec(), vec![b'x'; 8_192]])],
        },
        &Trap {
            name: "one file that stays in the nearest caches",
            reason: "a log is read after other files, and only the map would profit",
            check: |inputs: &[Log]| {
                let bytes: u64 = inputs.iter().map(Log::size).sum();
                ensure(bytes >= ALL_BYTES || inputs.len() as u64 >= MOST_FILES, || {
                    format!("{bytes} bytes in {} files", inputs.len())
                })
            },
            sprung: || vec![log(APPENDED, &[vec![b'x'; 4_096]])],
        },
    ],
    limit: Limit::Work(&[Work::BytesStreamed(|case| case.point)]),
    proof: Proof { resources: Resources::System, max_size: 100_000 },
    prepare,
    ..Pair::DEFAULTS
};

/// Level of a file that grew line by line.
const APPENDED: u64 = 0;
/// Level of a file that was written in one call.
const ONE_CALL: u64 = 1;

/// Bytes of all files that are read in turn, more than the caches of most processors hold…
const ALL_BYTES: u64 = 64 << 20;
/// …unless these are as many files.
const MOST_FILES: u64 = 100;

/// Bytes of lines that a log repeats, if its size is a multiple of it.
const PART: u64 = 64 * 1024;

/// Files in the rotation.
fn turns(bytes: u64) -> u64 {
    (ALL_BYTES / bytes.max(1)).clamp(4, MOST_FILES)
}

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

struct Log {
    path: PathBuf,
    _folder: TempDir,
}

impl Log {
    fn size(&self) -> u64 {
        fs::metadata(&self.path).expect("it was written").len()
    }
}

/// Writes a log. It is deleted before the kernel would write it to the device, so no write-back runs while the pair is
/// timed.
///
/// Each process writes its own: a file kept between processes would lose its pieces bit by bit to memory pressure, and
/// come back in others.
fn write(level: u64, lines: &[Vec<u8>], times: u64) -> Result<Log, Unavailable> {
    let folder = paths::scratch()?;
    let path = folder.path().join("log");
    let written = File::create(&path).and_then(|file| write_lines(level, lines, times, file));
    let failed = |error| Unavailable(format!("cannot write {}: {error}", path.display()));
    written.map_err(failed)?;
    Ok(Log { path, _folder: folder })
}

/// Writes the lines over and over.
fn write_lines(level: u64, lines: &[Vec<u8>], times: u64, mut file: impl Write) -> io::Result<()> {
    match level {
        ONE_CALL => file.write_all(&lines.concat().repeat(times as usize)),
        _ => (0..times).flat_map(|_| lines).try_for_each(|line| file.write_all(line)),
    }
}

/// A log of these lines, for the traps.
fn log(level: u64, lines: &[Vec<u8>]) -> Log {
    write(level, lines, 1).unwrap_or_else(|Unavailable(reason)| panic!("{reason}"))
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    // Large logs repeat the lines of a small one: generating them takes long, and counting them is the same work.
    let part = if case.point.is_multiple_of(PART) { PART.min(case.point) } else { case.point };
    let times = case.point.checked_div(part).unwrap_or(0);
    let lines = case.rotate(turns(case.point), |case| log_lines(case, part as usize));
    let logs = lines.iter().map(|lines| write(case.level, lines, times));
    let logs = Inputs::rotating(logs.collect::<Result<Vec<Log>, Unavailable>>()?);
    let over = |count: fn(&Path) -> io::Result<u64>| {
        by_ref(&logs, move |log: &Log| count(&log.path).expect("the file is there"))
    };
    let trial = Trial::new(logs.measured(Log::size), over(naive), over(optimized));
    Ok(trial.alternative(over(read_64k)).units(logs[0].size()))
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

    /// A file that notes the length of each write.
    struct Writes(Vec<usize>);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(bytes.len());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn trap_each_level_is_written_as_it_says() {
        let lines = [b"one\n".to_vec(), b"three\n".to_vec()];
        for (level, lengths) in [(APPENDED, &[4, 6, 4, 6][..]), (ONE_CALL, &[20])] {
            let mut writes = Writes(Vec::new());
            write_lines(level, &lines, 2, &mut writes).unwrap();
            assert_eq!(writes.0, lengths);
        }
    }
}
