//! Read a record at a position: in one call, not with a seek before the read.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
    rc::Rc,
};

use memmap2::Mmap;
use rand::Rng;
use tempfile::TempDir;

use crate::fixtures::zipf::Zipf;
use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Read at a position in one call",
    review: Review {
        smell: "`file.seek(SeekFrom::Start(offset))?` and then `file.read_exact(…)?`, for each record of a table, an \
                index or an archive. A `BufReader` around it makes this worse: its `seek` drops the buffer, so that each \
                record costs a buffer full of bytes.",
        remedy: "`file.read_exact_at(&mut record, offset)?`, a method of the trait FileExt that std has for Unix.",
        keep_naive_when: "The records are read in order: then a `BufReader` without a seek reads many with one call. They \
                          are so large that copying them is the work. Or the code must run on Windows, too, where \
                          `FileExt` has `seek_read` instead, which moves the position.",
        costs: "Nothing but the trait, which is of Unix. The position of the file is neither used nor moved. That is the \
                larger benefit: threads can read one `File` at once. With seek and read they share one position, and a \
                thread that seeks between the two calls of another makes it read the wrong record, unless a lock makes \
                them take turns. A map of the file (the alternative) makes no call at all, at the price of `unsafe` and \
                of a signal where a read returns an error.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "seek, then read_exact",
        growth: Growth::Until(&Growth::Linear, "pages lie in large pieces of the page cache"),
    },
    optimized: Side {
        summary: "read_exact_at",
        growth: Growth::Until(&Growth::Linear, "pages lie in large pieces of the page cache"),
    },
    input: "A table of 16 MiB in the page cache: records of the stated width, one after another. 200 lookups; a few \
            records are asked for far more often than most (Zipf's law) and lie anywhere in the file. Each record is read \
            whole into one buffer, of which the sides use the first and last bytes.",
    axis: Axis {
        name: "record",
        unit: "B",
        is_size: true,
        points: Points::Fixed { default: &[16, 128, 1_024, 4_096, 16_384], deep: &[] },
    },
    unit: "lookup",
    headline: Headline::At { level: "", point: 128 },
    alternatives: &[SideBeside {
        name: "mapped",
        summary: "copy the record from a map of the file",
    }],
    causes: &[
        Claim {
            cause: causes::SYSTEM_CALLS,
            naive: Count::Exactly(|_| 2 * LOOKUPS),
            optimized: Count::Exactly(|_| LOOKUPS),
        },
        Claim {
            cause: causes::SEEK_CALLS,
            naive: Count::Exactly(|_| LOOKUPS),
            optimized: Count::Exactly(|_| 0),
        },
    ],
    explanation: Explanation {
        why: "Two calls for each record became one. The call that is saved is the cheaper one: a seek only sets a number, \
              while the read also finds the page and copies. So the gain is below the ratio of calls, and the wider the \
              record, the smaller the part of the seek is.",
        share_of_cause: ShareOfCause::Within(0.5, 0.95),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[
        &Trap {
            name: "the same few records again and again",
            reason: "their pages would be in the nearest cache, and a read would cost less than it does",
            check: |inputs: &[Lookups]| {
                let records: HashSet<u64> = inputs.iter().flat_map(|l| l.records.clone()).collect();
                ensure(records.len() >= 100, || format!("{} different records", records.len()))
            },
            sprung: || vec![lookups(16, vec![7; LOOKUPS as usize])],
        },
        &Trap {
            name: "the records are asked for in order",
            reason: "then a buffer that is filled now and then would be the technique",
            check: |inputs: &[Lookups]| {
                let in_order = inputs.iter().filter(|lookups| lookups.records.is_sorted()).count();
                ensure(in_order == 0, || format!("{in_order} sets of lookups are in order"))
            },
            sprung: || vec![lookups(16, (0..LOOKUPS).collect())],
        },
    ],
    limit: Limit::Work(&[
        Work::BytesRead(|case| LOOKUPS * case.point),
        Work::SystemCalls(|_| LOOKUPS),
    ]),
    proof: Proof { resources: Resources::System, max_size: 10_000 },
    prepare,
    ..Pair::DEFAULTS
};

/// Size of the table, bytes: more than a core's own caches hold.
const TABLE: u64 = 16 << 20;
/// Lookups in one iteration.
const LOOKUPS: u64 = 200;
/// Sets of lookups in the rotation.
const TURNS: u64 = 64;

/// A digest of these records in order.
fn naive(mut table: impl Read + Seek, width: usize, records: &[u64]) -> io::Result<u64> {
    let (mut digest, mut record) = (0, vec![0; width]);
    for number in records {
        table.seek(SeekFrom::Start(number * width as u64))?;
        table.read_exact(&mut record)?;
        digest = with(digest, &record);
    }
    Ok(digest)
}

/// A digest of these records in order.
fn optimized(table: &File, width: usize, records: &[u64]) -> io::Result<u64> {
    let (mut digest, mut record) = (0, vec![0; width]);
    for number in records {
        table.read_exact_at(&mut record, number * width as u64)?;
        digest = with(digest, &record);
    }
    Ok(digest)
}

/// The same from a map of the table.
fn mapped(table: &[u8], width: usize, records: &[u64]) -> io::Result<u64> {
    let (mut digest, mut record) = (0, vec![0; width]);
    for number in records {
        let start = *number as usize * width;
        let bytes = table.get(start..start + width).ok_or(io::ErrorKind::UnexpectedEof)?;
        record.copy_from_slice(bytes);
        digest = with(digest, &record);
    }
    Ok(digest)
}

/// Adds a record to a digest: its first and last bytes, so that a record that was read in part is noticed.
fn with(digest: u64, record: &[u8]) -> u64 {
    let ends = match (record.first_chunk(), record.last_chunk()) {
        (Some(first), Some(last)) => u64::from_le_bytes(*first) ^ u64::from_be_bytes(*last),
        _ => record.iter().fold(1, |bytes, byte| bytes << 8 | u64::from(*byte)),
    };
    digest.rotate_left(5) ^ ends
}

/// A table in a file, in a folder that goes with it.
struct Table {
    file: File,
    map: Mmap,
    records: u64,
    _folder: TempDir,
}

/// Makes a table of random records.
fn table(width: u64, records: u64, mut rng: impl Rng) -> Result<Rc<Table>, Unavailable> {
    let folder = paths::scratch()?;
    let path = folder.path().join("table");
    let mut bytes = vec![0; (width * records) as usize];
    rng.fill_bytes(&mut bytes);
    let file = fs::write(&path, bytes).and_then(|()| File::open(&path));
    // SAFETY: the file belongs to this process alone, in a folder made for it, and is neither written nor truncated
    // once it is built.
    let mapped = file.and_then(|file| Ok((unsafe { Mmap::map(&file)? }, file)));
    let (map, file) =
        mapped.map_err(|e| Unavailable(format!("cannot make {}: {e}", path.display())))?;
    Ok(Rc::new(Table { file, map, records, _folder: folder }))
}

/// Records of a table to look up.
struct Lookups {
    table: Rc<Table>,
    records: Vec<u64>,
}

impl Lookups {
    /// The width of a record, bytes.
    fn width(&self) -> u64 {
        self.table.file.metadata().expect("the file is open").len() / self.table.records
    }
}

/// Lookups in a table of their own, for the traps.
fn lookups(width: u64, records: Vec<u64>) -> Lookups {
    let case = Case::realistic(width, 0, 1);
    let table = table(width, LOOKUPS, case.rng("table"));
    Lookups { table: table.unwrap_or_else(|Unavailable(reason)| panic!("{reason}")), records }
}

/// Realistic records are popular by Zipf's law, and the popular ones lie anywhere.
fn records(case: &Case, popularity: &Zipf, all: u64) -> Vec<u64> {
    /// Odd: no two ranks fall on one of 2^n records.
    const SPREAD: u64 = 2_654_435_761;
    let count = case.items(LOOKUPS);
    let mut rng = case.rng("lookups");
    match case.shape {
        Shape::Realistic => {
            let rank = |_| popularity.sample(&mut rng) as u64 * SPREAD % all;
            (0..count).map(rank).collect()
        }
        _ => case.values(count).into_iter().map(|value| value % all).collect(),
    }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let all = case.proof_size.map_or_else(|| TABLE / case.point, |size| 1 + size % 7);
    let table = table(case.point, all, case.rng("table"))?;
    let popularity = Zipf::new(all as usize, 4);
    let inputs = case.rotate(TURNS, |case| Lookups {
        table: Rc::clone(&table),
        records: records(case, &popularity, all),
    });
    let over = |side: fn(&Table, usize, &[u64]) -> io::Result<u64>| {
        let width = case.point as usize;
        by_ref(&inputs, move |lookups: &Lookups| {
            side(&lookups.table, width, &lookups.records).expect("all records are in the table")
        })
    };
    let trial = Trial::new(
        inputs.measured(Lookups::width),
        over(|table, width, records| naive(&table.file, width, records)),
        over(|table, width, records| optimized(&table.file, width, records)),
    );
    let mapped = over(|table, width, records| mapped(&table.map, width, records));
    Ok(trial.alternative(mapped).units(inputs[0].records.len() as u64))
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, io::BufReader, io::Write, thread};

    use super::*;

    type Side = fn(&File, usize, &[u64]) -> io::Result<u64>;
    const SIDES: [Side; 3] = [
        |table, width, records| naive(table, width, records),
        optimized,
        |table, width, records| mapped(&fs::read(path_of(table))?, width, records),
    ];

    fn path_of(file: &File) -> String {
        use std::os::fd::AsRawFd;
        format!("/proc/self/fd/{}", file.as_raw_fd())
    }

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile_in(paths::scratch().unwrap().path()).unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn known_answers() {
        let table = file(b"aaabbbccc");
        let of = |records: &[&[u8]]| records.iter().fold(0, |digest, record| with(digest, record));
        for side in SIDES {
            assert_eq!(side(&table, 3, &[]).unwrap(), 0);
            assert_eq!(side(&table, 3, &[2, 0, 2]).unwrap(), of(&[b"ccc", b"aaa", b"ccc"]));
            assert_eq!(side(&table, 9, &[0]).unwrap(), of(&[b"aaabbbccc"]));
        }
        assert_ne!(of(&[b"aaa", b"bbb"]), of(&[b"bbb", b"aaa"]));
        assert_ne!(of(&[b"aaabbbccc"]), of(&[b"aaabbbccd"]));
    }

    #[test]
    fn a_record_beyond_the_end_or_cut_by_it_is_an_error() {
        let table = file(b"aaabbbc");
        for side in SIDES {
            for record in [2, 3] {
                let error = side(&table, 3, &[0, record]).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
            }
        }
    }

    #[test]
    fn threads_read_one_file_at_once() {
        let bytes: Vec<u8> = (0..=255).flat_map(|byte| [byte; 64]).collect();
        let table = file(&bytes);
        thread::scope(|scope| {
            for start in 0..4_u64 {
                let table = &table;
                scope.spawn(move || {
                    for number in (start..256).step_by(4).cycle().take(5_000) {
                        let expected = with(0, &[number as u8; 64]);
                        assert_eq!(optimized(table, 64, &[number]).unwrap(), expected);
                    }
                });
            }
        });
    }

    /// A table that counts the bytes that are read from it.
    struct Counted<'a>(&'a File, &'a Cell<u64>);

    impl Read for Counted<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.0.read(buffer)?;
            self.1.set(self.1.get() + length as u64);
            Ok(length)
        }
    }

    impl Seek for Counted<'_> {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }

    #[test]
    fn trap_a_buffer_is_dropped_at_each_seek() {
        let (table, records) = (file(&[7; 64 * 1_024]), [3, 2, 1, 3]);
        let (bare, buffered) = (Cell::new(0), Cell::new(0));
        naive(Counted(&table, &bare), 16, &records).unwrap();
        naive(BufReader::new(Counted(&table, &buffered)), 16, &records).unwrap();
        assert_eq!((bare.get(), buffered.get()), (4 * 16, 4 * 8 * 1_024));
    }
}
