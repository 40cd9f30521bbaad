//! Copy from file to file: let the kernel do it, not through a small buffer of one's own.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, Write},
    os::unix::fs::FileExt,
    rc::Rc,
};

use rand::Rng;
use tempfile::TempDir;

use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Let the kernel copy a file",
    review: Review {
        smell: "`read` and `write_all` in a loop over a buffer of a few KiB, between two files that nobody looks into on \
                the way.",
        remedy: "`io::copy(&mut from, &mut to)?`: between two files it asks the kernel to copy (copy_file_range on Linux), \
                 and falls back to a loop where that is not possible.",
        keep_naive_when: "The bytes are looked at or changed on the way (a checksum, progress, encryption). Or the files are \
                          tiny. A buffer of 64 KiB (the alternative) is nearly as good and works with all readers and \
                          writers.",
        costs: "Progress cannot be shown, and a long copy cannot be stopped from within. Where one end is not std's (a reader \
                that counts or decompresses) or the target is open for appending, `io::copy` is a loop of its own, over \
                8 KiB. On file systems with reflinks (Btrfs, XFS) the kernel may share the blocks instead of copying them: \
                that takes next to no time, but the copy is then on the same blocks as the original, and a later write to \
                either has to copy them after all. This pair is not timed there. Whoever has paths and not open files \
                calls `fs::copy`, which copies permissions, too.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "read and write_all, 4 KiB at a time",
        growth: Growth::Until(&Growth::Linear, "the files outgrow the caches"),
    },
    optimized: Side {
        summary: "io::copy, which calls copy_file_range",
        growth: Growth::Until(&Growth::Linear, "the files outgrow the caches"),
    },
    input: "Files of random bytes in the page cache, one after the other, copied to an empty file that is open already. \
            Nothing is flushed to the device. The file system copies; it cannot share blocks.",
    axis: Axis {
        name: "file size",
        unit: "B",
        is_size: true,
        points: Points::Fixed {
            default: &[1_000, 16_000, 100_000, 1_000_000, 4_000_000],
            deep: &[],
        },
    },
    unit: "byte",
    headline: Headline::At { level: "", point: 1_000_000 },
    alternatives: &[
        SideBeside { name: "buffer_64k", summary: "the same loop, 64 KiB at a time" },
        SideBeside { name: "buffer_1m", summary: "the same loop, 1 MiB at a time" },
    ],
    causes: &[
        Claim {
            cause: causes::SYSTEM_CALLS,
            // A read and a write for each buffer, and a read that finds the end.
            naive: Count::Exactly(|case| 2 * case.point.div_ceil(BUFFER as u64) + 1),
            // One that copies and one that finds the end, unless the kernel stops on the way.
            optimized: Count::AtMost(|case| 2 + case.point / (1 << 20)),
        },
        Claim {
            cause: causes::BYTES_READ,
            naive: Count::Exactly(|case| case.point),
            optimized: Count::Exactly(|_| 0),
        },
    ],
    explanation: Explanation {
        why: "Two calls for each 4 KiB became two for the whole file, and the bytes no longer pass through a buffer of the \
              process: the kernel copies them once, from page to page, instead of out and in again. The calls are most of \
              the gain: a larger buffer saves nearly all of them, and then the second copy is cheap, as the buffer stays \
              in a near cache. What remains is to make fresh pages for the new file and to fill them, which no side can \
              save, and which keeps a copy far from its limit.",
        share_of_cause: ShareOfCause::Within(0.004, 0.04),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(1_000),
    },
    traps: &[
        &Trap {
            name: "the file is a hole",
            reason: "a hole has no pages of its own: all its bytes would be read from one page of zeros",
            check: |inputs: &[Source]| {
                let is_hole = |page: &[u8]| page.len() > 64 && page.iter().all(|byte| *byte == 0);
                let holes = inputs.iter().filter(|s| s.bytes().chunks(4_096).any(is_hole)).count();
                ensure(holes == 0, || format!("{holes} files have pages of zeros"))
            },
            sprung: || vec![hole(100_000)],
        },
        &Trap {
            name: "one file that stays in the nearest cache",
            reason: "files are copied after others, and reading one costs more than reading it again",
            check: |inputs: &[Source]| {
                let bytes: u64 = inputs.iter().map(Source::size).sum();
                ensure(bytes >= ALL_BYTES || inputs.len() as u64 >= MOST_FILES, || {
                    format!("{bytes} bytes in {} files", inputs.len())
                })
            },
            sprung: || vec![hole(100_000)],
        },
    ],
    // The kernel reads each byte once. That it makes fresh pages for them is in no machine number.
    limit: Limit::Work(&[Work::StreamedInTurn {
        bytes: |case| case.point,
        within_bytes: |case| turns(case.point) * case.point,
    }]),
    proof: Proof { resources: Resources::System, max_size: 100_000 },
    prepare,
    ..Pair::DEFAULTS
};

/// Bytes of the naive side's buffer.
const BUFFER: usize = 4 * 1024;

/// Bytes of all files that are copied in turn, more than the near caches hold…
const ALL_BYTES: u64 = 16 << 20;
/// …unless these are as many files.
const MOST_FILES: u64 = 64;

/// Files in the rotation.
fn turns(bytes: u64) -> u64 {
    ALL_BYTES.div_ceil(bytes.max(1)).clamp(4, MOST_FILES)
}

/// Copies what is left of `from`, and returns how many bytes that is.
fn naive(from: impl Read, to: impl Write) -> io::Result<u64> {
    through(&mut [0; BUFFER], from, to)
}

/// Copies what is left of `from`, and returns how many bytes that is.
fn optimized(mut from: impl Read, mut to: impl Write) -> io::Result<u64> {
    io::copy(&mut from, &mut to)
}

/// The same through a larger buffer.
fn buffer_64k(from: impl Read, to: impl Write) -> io::Result<u64> {
    through(&mut vec![0; 64 * 1024], from, to)
}

/// The same through one that is larger still.
fn buffer_1m(from: impl Read, to: impl Write) -> io::Result<u64> {
    through(&mut vec![0; 1024 * 1024], from, to)
}

fn through(buffer: &mut [u8], mut from: impl Read, mut to: impl Write) -> io::Result<u64> {
    let mut copied = 0;
    loop {
        match from.read(buffer) {
            Ok(0) => return Ok(copied),
            Ok(length) => {
                to.write_all(&buffer[..length])?;
                copied += length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A file to copy, in a folder that goes with it.
struct Source {
    file: File,
    _folder: Rc<TempDir>,
}

impl Source {
    fn size(&self) -> u64 {
        self.file.metadata().expect("the file is open").len()
    }

    fn bytes(&self) -> Vec<u8> {
        bytes_of(&self.file)
    }
}

/// A file to copy to, and the files that are copied.
struct Target {
    file: File,
    sources: Inputs<Source>,
    /// What the side says that it has copied.
    copied: u64,
}

impl Target {
    fn reset(&mut self) {
        let sources = self.sources.iter().map(|source| (&source.file).rewind());
        let rewound = sources.collect::<io::Result<()>>();
        let emptied = self.file.set_len(0).and_then(|()| self.file.rewind());
        rewound.and(emptied).expect("the files are open");
        self.copied = 0;
    }
}

/// What a copy is like.
#[derive(Debug, PartialEq, Eq)]
struct Copied {
    /// What the side says.
    bytes: u64,
    /// What is there.
    length: u64,
    digest: u32,
}

impl Found for Copied {
    fn found(&self) -> u64 {
        self.length
    }
}

fn bytes_of(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; file.metadata().expect("the file is open").len() as usize];
    file.read_exact_at(&mut bytes, 0).expect("it is as long as it says");
    bytes
}

/// A file with no bytes but a length, for the traps.
fn hole(length: u64) -> Source {
    let folder = Rc::new(paths::scratch().unwrap_or_else(|Unavailable(reason)| panic!("{reason}")));
    let file = make(&folder, "hole").and_then(|file| file.set_len(length).map(|()| file));
    Source { file: file.expect("the data folder takes the file"), _folder: folder }
}

fn make(folder: &TempDir, name: &str) -> io::Result<File> {
    File::options().create_new(true).read(true).write(true).open(folder.path().join(name))
}

/// Refuses file systems that let two files share blocks: they would, and nothing would be copied.
fn refuse_shared_blocks(folder: &TempDir) -> io::Result<Result<(), Unavailable>> {
    let (mut from, to) = (make(folder, "original")?, make(folder, "clone")?);
    from.write_all(&[7; 64 * 1024])?;
    let shares = rustix::fs::ioctl_ficlone(&to, &from).is_ok();
    fs::remove_file(folder.path().join("original"))?;
    fs::remove_file(folder.path().join("clone"))?;
    Ok(if shares {
        Err(Unavailable(format!(
            "not measured: the file system of {} shares blocks instead of copying them; set WORTHIT_DATA to a folder on \
             ext4 or tmpfs",
            folder.path().display()
        )))
    } else {
        Ok(())
    })
}

fn contents(case: &Case) -> Vec<u8> {
    let mut bytes = vec![0; case.point as usize];
    match case.shape {
        Shape::Realistic | Shape::Random => case.rng("contents").fill_bytes(&mut bytes),
        Shape::DuplicateHeavy => bytes.fill(7),
        Shape::Sorted => (0..).zip(&mut bytes).for_each(|(n, byte)| *byte = (n >> 9) as u8),
        // Zeros, as in a hole.
        Shape::Adversarial => {}
    }
    bytes
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let folder = Rc::new(paths::scratch()?);
    let failed = |error: io::Error| {
        Unavailable(format!("cannot write to {}: {error}", folder.path().display()))
    };
    if case.proof_size.is_none() {
        refuse_shared_blocks(&folder).map_err(failed)??;
    }
    let contents = case.rotate(turns(case.point), contents);
    let sources = contents.iter().enumerate().map(|(number, bytes)| {
        let mut file = make(&folder, &number.to_string())?;
        file.write_all(bytes)?;
        Ok(Source { file, _folder: Rc::clone(&folder) })
    });
    let sources = sources.collect::<io::Result<Vec<Source>>>().map_err(failed)?;
    let sources = Inputs::rotating(sources);
    let over = |name, side: fn(&File, &File) -> io::Result<u64>| {
        let file = make(&folder, name).map_err(failed)?;
        let target = Target { file, sources: sources.clone(), copied: 0 };
        let copy = move |target: &mut Target, source: &Source| {
            target.copied = side(&source.file, &target.file).expect("the data folder takes it");
        };
        let summary = |target: &mut Target| {
            let bytes = bytes_of(&target.file);
            let digest = crc32fast::hash(&bytes);
            Copied { bytes: target.copied, length: bytes.len() as u64, digest }
        };
        Ok::<_, Unavailable>(changing(&sources, target, Target::reset, copy, summary))
    };
    let trial = Trial::new(
        sources.measured(Source::size),
        over("naive", |from, to| naive(from, to))?,
        over("optimized", |from, to| optimized(from, to))?,
    );
    Ok(trial
        .alternative(over("buffer_64k", |from, to| buffer_64k(from, to))?)
        .alternative(over("buffer_1m", |from, to| buffer_1m(from, to))?)
        .units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Side = fn(&File, &File) -> io::Result<u64>;
    const SIDES: [Side; 4] = [
        |from, to| naive(from, to),
        |from, to| optimized(from, to),
        |from, to| buffer_64k(from, to),
        |from, to| buffer_1m(from, to),
    ];

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile_in(paths::scratch().unwrap().path()).unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file
    }

    #[test]
    fn known_answers() {
        let large: Vec<u8> = (0..300_000).map(|n| (n % 251) as u8).collect();
        for side in SIDES {
            for bytes in [&b""[..], b"x", &large[..BUFFER], &large] {
                let (from, to) = (file(bytes), file(b""));
                assert_eq!(side(&from, &to).unwrap(), bytes.len() as u64);
                assert_eq!(bytes_of(&to), bytes);
                assert_eq!(side(&from, &to).unwrap(), 0, "nothing is left");
            }
        }
    }

    /// Both files have a position, and neither side trusts a length that it has seen before.
    #[test]
    fn a_file_that_grows_or_shrinks_is_copied_as_it_is() {
        for side in SIDES {
            let (mut from, mut to) = (file(b"skipped"), file(b"before "));
            from.seek(io::SeekFrom::Start(7)).unwrap();
            to.seek(io::SeekFrom::Start(7)).unwrap();
            assert_eq!(side(&from, &to).unwrap(), 0);
            from.write_all_at(b" more", 7).unwrap();
            assert_eq!(side(&from, &to).unwrap(), 5);
            from.set_len(3).unwrap();
            assert_eq!(side(&from, &to).unwrap(), 0);
            assert_eq!(bytes_of(&to), b"before  more");
        }
    }

    #[test]
    fn what_has_no_length_is_copied_too() {
        let expected = fs::read("/proc/version").unwrap();
        for side in SIDES {
            let to = file(b"");
            side(&File::open("/proc/version").unwrap(), &to).unwrap();
            assert_eq!(bytes_of(&to), expected);
        }
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        for side in SIDES {
            let error = side(&file(&[7; 100_000]), &full).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        }
    }

    /// A reader and a writer that take one byte with each call and are interrupted before each.
    #[derive(Default)]
    struct Trickle {
        bytes: Vec<u8>,
        is_ready: bool,
    }

    impl Trickle {
        fn interrupt(&mut self) -> io::Result<()> {
            self.is_ready = !self.is_ready;
            if self.is_ready { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
        }
    }

    impl Read for Trickle {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.interrupt()?;
            let Some(byte) = self.bytes.pop() else { return Ok(0) };
            buffer[0] = byte;
            Ok(1)
        }
    }

    impl Write for Trickle {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.interrupt()?;
            self.bytes.extend(bytes.first());
            Ok(bytes.len().min(1))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn calls_that_are_interrupted_or_take_a_part_go_on() {
        const GENERIC: [fn(Trickle, &mut Trickle) -> io::Result<u64>; 2] =
            [|from, to| naive(from, to), |from, to| optimized(from, to)];
        for side in GENERIC {
            let from = Trickle { bytes: b"cba".to_vec(), is_ready: false };
            let mut to = Trickle::default();
            assert_eq!(side(from, &mut to).unwrap(), 3);
            assert_eq!(to.bytes, b"abc");
        }
    }
}
