//! Append records durably: one flush for all that wait, not one for each.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt,
};

use tempfile::TempDir;

use crate::fixtures::log_lines::log_lines;
use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Flush once for all records that wait",
    review: Review {
        smell: "`file.write_all(record)?; file.sync_data()?` for each record of a log, although more records wait \
                meanwhile.",
        remedy: "Append the records that wait with `write_all`, flush once with `sync_data()`, and only then acknowledge \
                 all of them (group commit).",
        keep_naive_when: "Each record must be acknowledged before the next one exists, as with a single client that \
                          waits. Then there is nothing to share a flush with.",
        costs: "A record waits for the others of its batch, and one failed flush fails them all. Something must \
                collect the records: usually a thread of its own, which flushes what has arrived while the last flush \
                ran, so that no timer is needed. After a crash a batch may be there in part: each record needs a \
                length and a checksum, as without batches.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "a flush for each record",
        growth: Growth::Other(
            "a flush a record, which takes as long as the device takes at the moment",
        ),
    },
    optimized: Side { summary: "a flush for all records", growth: Growth::Constant },
    input: "Batches of log lines of 90 to 250 bytes, most of them near 110, appended to a file on the device of the \
            data folder. Each flush is an `fdatasync`, and the file has grown since the last one, so that the file \
            system commits its new length too. Both sides write each record with a call of its own.",
    axis: Axis {
        name: "records that wait",
        unit: "records",
        is_size: true,
        // A record of the naive side costs a flush, which takes milliseconds on many disks.
        points: Points::Fixed { default: &[1, 2, 4, 8], deep: &[32, 128] },
    },
    unit: "record",
    headline: Headline::At { level: "", point: 8 },
    causes: &[Claim {
        cause: causes::FSYNCS,
        naive: Count::Exactly(|case| case.point),
        optimized: Count::Exactly(|_| 1),
    }],
    explanation: Explanation {
        why: "n flushes became one. A flush waits for the device, for far longer than a record takes to reach the page \
              cache, and takes nearly as long for a batch as for one record. So the gain is the ratio of flushes, and \
              a log takes as many more records as wait together.",
        share_of_cause: ShareOfCause::Within(0.5, 1.2),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[&Trap {
        name: "the records are empty",
        reason: "the file would not grow, and a flush of a file that has not changed writes nothing",
        check: |inputs: &[Vec<Vec<u8>>]| {
            let shortest = inputs.iter().flatten().map(Vec::len).min();
            ensure(shortest >= Some(90), || format!("a record of {shortest:?} bytes"))
        },
        sprung: || vec![vec![b"\n".to_vec(); 8]],
    }],
    // The least that a device does for a flush: an append also changes the length of the file, and now and then needs
    // a new block.
    limit: Limit::Work(&[Work::OverwritingFsyncs(|_| 1)]),
    proof: Proof { resources: Resources::System, max_size: 8 },
    prepare,
    ..Pair::DEFAULTS
};

/// Batches in the rotation. They differ only in their content, which does not change the time of a flush.
const TURNS: u64 = 64;
/// Length at which the log starts anew, bytes.
const LONGEST_LOG: u64 = 16 << 20;

/// A log whose flushes are calls of `sync_data`.
trait Log: Write {
    fn sync_data(&mut self) -> io::Result<()>;
}

impl Log for File {
    fn sync_data(&mut self) -> io::Result<()> {
        File::sync_data(self)
    }
}

/// Appends the records. Each is durable before the next is written.
fn naive(log: &mut impl Log, records: &[Vec<u8>]) -> io::Result<()> {
    for record in records {
        log.write_all(record)?;
        log.sync_data()?;
    }
    Ok(())
}

/// Appends the records. All are durable at the end.
fn optimized(log: &mut impl Log, records: &[Vec<u8>]) -> io::Result<()> {
    for record in records {
        log.write_all(record)?;
    }
    log.sync_data()
}

/// A log in use.
struct State {
    log: File,
    /// Its length before the batch.
    before: u64,
    _folder: TempDir,
}

impl State {
    fn new() -> Result<State, Unavailable> {
        let folder = paths::durable_scratch()?;
        let path = folder.path().join("log");
        let log = File::options().create_new(true).read(true).append(true).open(&path);
        let log = log.map_err(|e| Unavailable(format!("cannot write {}: {e}", path.display())))?;
        Ok(State { log, before: 0, _folder: folder })
    }

    /// Lets the log grow, as a log does: to empty it each time would be one more change of its length to flush.
    fn reset(&mut self) {
        let reset = || -> io::Result<u64> {
            if self.log.metadata()?.len() > LONGEST_LOG {
                self.log.set_len(0)?;
                self.log.sync_data()?;
            }
            Ok(self.log.metadata()?.len())
        };
        self.before = reset().expect("the log is open for writing");
    }

    /// What was appended since.
    fn appended(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; (self.log.metadata()?.len() - self.before) as usize];
        self.log.read_exact_at(&mut bytes, self.before)?;
        Ok(bytes)
    }
}

fn records(case: &Case) -> Vec<Vec<u8>> {
    let count = case.point as usize;
    // The last line is cut.
    let enough = |bytes: &usize| log_lines(case, *bytes).len() > count;
    let bytes = std::iter::successors(Some(1_024), |bytes| Some(bytes * 2)).find(enough);
    let mut records = bytes.map(|bytes| log_lines(case, bytes)).unwrap_or_default();
    records.truncate(count);
    records
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let batches = case.rotate(TURNS, records);
    let over = |state, side: fn(&mut File, &[Vec<u8>]) -> io::Result<()>| {
        let append = move |state: &mut State, records: &Vec<Vec<u8>>| {
            side(&mut state.log, records).expect("the data folder takes the log");
        };
        let summary = |state: &mut State| state.appended().expect("the log is readable");
        changing(&batches, state, State::reset, append, summary)
    };
    let trial = Trial::new(
        batches.measured(|records| records.len() as u64),
        over(State::new()?, naive),
        over(State::new()?, optimized),
    );
    Ok(trial.units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log that fails once it has `left` bytes more, and remembers how long it was at each flush.
    struct Disk {
        bytes: Vec<u8>,
        flushed: Vec<usize>,
        left: usize,
    }

    impl Disk {
        fn new(left: usize) -> Disk {
            Disk { bytes: Vec::new(), flushed: Vec::new(), left }
        }
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.left - self.bytes.len());
            self.bytes.extend(&bytes[..taken]);
            Ok(taken)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Log for Disk {
        fn sync_data(&mut self) -> io::Result<()> {
            self.flushed.push(self.bytes.len());
            Ok(())
        }
    }

    #[test]
    fn known_answers() {
        let records = [b"one\n".to_vec(), vec![], b"three\n".to_vec()];
        let (mut each, mut all) = (Disk::new(100), Disk::new(100));
        naive(&mut each, &records).unwrap();
        optimized(&mut all, &records).unwrap();
        assert_eq!((&each.bytes[..], &each.flushed[..]), (&b"one\nthree\n"[..], &[4, 4, 10][..]));
        assert_eq!((&all.bytes[..], &all.flushed[..]), (&b"one\nthree\n"[..], &[10][..]));
    }

    /// What was acknowledged must be on the device: a batch that does not fit is an error, and nothing is flushed.
    #[test]
    fn a_full_disk_is_an_error_of_the_whole_batch() {
        let records = [b"one\n".to_vec(), b"two\n".to_vec()];
        let (mut each, mut all) = (Disk::new(7), Disk::new(7));
        assert!(naive(&mut each, &records).is_err() && optimized(&mut all, &records).is_err());
        assert_eq!((&each.flushed[..], &all.flushed[..]), (&[4][..], &[][..]));
    }

    /// A toy benchmark flushes a file in memory.
    #[test]
    fn trap_the_log_is_on_a_device_and_grows() {
        // On a file system in memory the pair only reports that, and there is nothing to test.
        let Ok(mut state) = State::new() else { return };
        let kind = paths::filesystem(&paths::data()).unwrap();
        assert!(!["tmpfs", "ramfs"].contains(&kind.as_str()), "{kind}");
        for batch in 1..=3 {
            state.reset();
            optimized(&mut state.log, &[vec![b'x'; 100], vec![b'\n']]).unwrap();
            assert_eq!(state.log.metadata().unwrap().len(), batch * 101);
            assert_eq!(state.appended().unwrap().len(), 101);
        }
    }
}
