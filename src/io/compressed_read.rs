//! Read a file from a slow device: compressed, not plain.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Write},
    path::PathBuf,
    rc::Rc,
};

use lz4_flex::frame::{BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
use tempfile::TempDir;

use crate::fixtures::log_lines::log_lines;
use worthit_pair::prelude::*;
use worthit_servers::slow_device::SlowDevice;

pub const PAIR: Pair = Pair {
    title: "Read compressed what comes from a slow device",
    review: Review {
        smell: "Logs, events, snapshots or columns of text or numbers, written plain to a disk or a network file system and \
                read front to back.",
        remedy: "Compress the file when it is written, and read it through `FrameDecoder::new(file)` of lz4_flex, which \
                 decompresses block after block.",
        keep_naive_when: "The file is in the page cache, or the device delivers more than one core decompresses, as a \
                          local SSD may. The content does not compress: images, archives, encrypted or random bytes. Or \
                          a program reads here and there: a compressed file has to be read from the start of a block.",
        costs: "CPU time of each read, and more of the write. A dependency, and a format that `grep` does not read. A record \
                has no position of its own any more. A damaged byte spoils its whole block. `zstd` (the alternative) makes \
                files smaller, and takes more time to read them, so it pays on slower devices only, or for the room that \
                it saves.",
        lint: Lint::None,
    },
    naive: Side { summary: "plain", growth: Growth::Other("bytes by bandwidth") },
    optimized: Side {
        summary: "lz4, decompressed block by block",
        growth: Growth::Other(
            "fewer bytes by bandwidth, or the decompressing if that takes longer",
        ),
    },
    input: "Log files of 512 KiB, whose line ends are counted. The device is simulated, as its bandwidth is what varies: a \
            reader hands on the bytes of a file in the page cache no sooner than such a device would have. It has no \
            latency, and reads ahead while a block is decompressed. Its last bandwidth is that of no disk: there the page \
            cache sets the pace. The lines have a random id of 16 digits each, which does not compress.",
    axis: Axis {
        name: "bandwidth",
        unit: "MB/s",
        is_size: false,
        points: Points::Fixed { default: &[60, 125, 500, 2_000, 20_000], deep: &[] },
    },
    unit: "file",
    headline: Headline::At { level: "", point: 125 },
    alternatives: &[SideBeside { name: "zstd", summary: "zstd at its default level (3)" }],
    causes: &[Claim {
        cause: causes::BYTES_READ,
        naive: Count::Exactly(|_| FILE_BYTES),
        optimized: Count::AtMost(|_| FILE_BYTES * 2 / 5),
    }],
    explanation: Explanation {
        why: "The device takes its time for each byte, and there are fewer. Decompressing goes on while the device delivers \
              the next block, so on a slow device it costs nothing but the last block. It takes the same time on any \
              device: one that delivers plain bytes sooner than the decoder makes them is better read plain.",
        share_of_cause: ShareOfCause::Within(0.8, 1.05),
        far_end: FarEnd::Falls("the decoder, which is slower than the page cache"),
        keep_naive: KeepNaive::From(20_000),
    },
    traps: &[
        &Trap {
            name: "the content compresses to next to nothing",
            reason: "lines of a real log differ",
            check: |inputs: &[Log]| {
                let alike = inputs.iter().filter(|log| log.ratio() > 8.0).count();
                ensure(alike == 0, || format!("{alike} files compress too well"))
            },
            sprung: || vec![log(&b"GET /health status=200\n".repeat(20_000))],
        },
        &Trap {
            name: "all logs are the same",
            reason: "the decoder's branches would be known",
            check: |inputs: &[Log]| {
                let plain = inputs.iter().map(|log| fs::read(&log.plain).unwrap_or_default());
                let different: HashSet<Vec<u8>> = plain.collect();
                ensure(different.len() == inputs.len(), || format!("{} differ", different.len()))
            },
            sprung: || vec![log(b"one\n"), log(b"one\n")],
        },
    ],
    // lz4 leaves more than a third of such lines.
    limit: Limit::Work(&[Work::Waiting(|case| FILE_BYTES / 3 * 1_000 / case.point)]),
    proof: Proof { resources: Resources::System, max_size: 50_000 },
    prepare,
    ..Pair::DEFAULTS
};

/// Bytes of a log.
const FILE_BYTES: u64 = 512 * 1024;
/// Logs in the rotation.
const TURNS: u64 = 16;
/// Bytes that are decompressed, or read, at a time.
const BLOCK: usize = 64 * 1024;

/// What a log has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lines {
    count: u64,
    bytes: u64,
}

impl Found for Lines {
    fn found(&self) -> u64 {
        self.count
    }
}

/// Reads a plain log.
fn naive(file: impl Read) -> io::Result<Lines> {
    lines_in(BufReader::with_capacity(BLOCK, file))
}

/// Reads a log that was compressed with lz4.
fn optimized(file: impl Read) -> io::Result<Lines> {
    lines_in(FrameDecoder::new(file))
}

/// Reads a log that was compressed with zstd.
fn zstd(file: impl Read) -> io::Result<Lines> {
    lines_in(BufReader::with_capacity(BLOCK, ::zstd::Decoder::new(file)?))
}

fn lines_in(mut log: impl BufRead) -> io::Result<Lines> {
    let mut lines = Lines::default();
    loop {
        let bytes = match log.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            bytes => bytes?,
        };
        if bytes.is_empty() {
            return Ok(lines);
        }
        lines.count += bytecount::count(bytes, b'\n') as u64;
        lines.bytes += bytes.len() as u64;
        let length = bytes.len();
        log.consume(length);
    }
}

/// A log as each side reads it, and the device that it is on.
struct Log {
    megabytes_per_second: u64,
    plain: PathBuf,
    lz4: PathBuf,
    zstd: PathBuf,
    _folder: Rc<TempDir>,
}

impl Log {
    /// Size of the plain file by that of the other.
    fn ratio(&self) -> f64 {
        let size = |path| fs::metadata(path).expect("it was written").len() as f64;
        size(&self.plain) / size(&self.lz4)
    }
}

/// Compresses with lz4, in blocks that are decompressed one by one, with a checksum of the whole.
fn compressed(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let blocks = FrameInfo::new().block_size(BlockSize::Max64KB).content_checksum(true);
    let mut encoder = FrameEncoder::with_frame_info(blocks, Vec::new());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

fn write(
    folder: &Rc<TempDir>,
    number: usize,
    megabytes_per_second: u64,
    bytes: &[u8],
) -> io::Result<Log> {
    let path = |name| folder.path().join(format!("{number}.{name}"));
    let (plain, lz4, zstd) = (path("log"), path("lz4"), path("zst"));
    fs::write(&plain, bytes)?;
    fs::write(&lz4, compressed(bytes)?)?;
    fs::write(&zstd, ::zstd::encode_all(bytes, ::zstd::DEFAULT_COMPRESSION_LEVEL)?)?;
    Ok(Log { megabytes_per_second, plain, lz4, zstd, _folder: Rc::clone(folder) })
}

/// A log of these bytes, for the traps.
fn log(bytes: &[u8]) -> Log {
    let folder = paths::scratch().unwrap_or_else(|Unavailable(reason)| panic!("{reason}"));
    write(&Rc::new(folder), 0, 1_000, bytes).expect("the data folder takes the file")
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let folder = Rc::new(paths::scratch()?);
    let texts = case.rotate(TURNS, |case| log_lines(case, case.items(FILE_BYTES)).concat());
    let logs = texts.iter().enumerate().map(|(n, text)| write(&folder, n, case.point, text));
    let logs = logs.collect::<io::Result<Vec<Log>>>().map_err(|error| {
        Unavailable(format!("cannot write to {}: {error}", folder.path().display()))
    })?;
    let logs = Inputs::rotating(logs);
    let over = |path: fn(&Log) -> &PathBuf, side: fn(SlowDevice<File>) -> io::Result<Lines>| {
        by_ref(&logs, move |log: &Log| {
            let file = File::open(path(log)).expect("it was written");
            side(SlowDevice::new(file, log.megabytes_per_second)).expect("it is whole")
        })
    };
    let trial = Trial::new(
        logs.measured(|log| log.megabytes_per_second),
        over(|log| &log.plain, naive),
        over(|log| &log.lz4, optimized),
    );
    Ok(trial.alternative(over(|log| &log.zstd, zstd)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let large = "x".repeat(3 * BLOCK) + "\n\ny";
        for (text, count) in [("", 0), ("\n", 1), ("one\ntwo\nthe rest", 2), (&large, 2)] {
            let expected = Lines { count, bytes: text.len() as u64 };
            assert_eq!(naive(text.as_bytes()).unwrap(), expected);
            assert_eq!(optimized(&compressed(text.as_bytes()).unwrap()[..]).unwrap(), expected);
            let zstd_text = ::zstd::encode_all(text.as_bytes(), 3).unwrap();
            assert_eq!(zstd(&zstd_text[..]).unwrap(), expected);
        }
    }

    #[test]
    fn a_compressed_file_that_is_cut_or_damaged_is_an_error() {
        let text: Vec<u8> = log_lines(&Case::realistic(0, 0, 1), 3 * BLOCK).concat();
        let [lz4, zst] =
            [compressed(&text), ::zstd::encode_all(&text[..], 3)].map(io::Result::unwrap);
        assert_eq!(optimized(&lz4[..]).unwrap(), naive(&text[..]).unwrap());
        for length in [1, lz4.len() / 2, lz4.len() - 1] {
            assert!(optimized(&lz4[..length]).is_err(), "cut to {length}");
            assert!(zstd(&zst[..length.min(zst.len() - 1)]).is_err(), "cut to {length}");
        }
        let mut damaged = lz4;
        damaged[1_000] ^= 1;
        assert!(optimized(&damaged[..]).is_err());
    }

    #[test]
    fn trap_what_is_read_is_what_was_written() {
        let text: Vec<u8> = log_lines(&Case::realistic(0, 0, 1), 3 * BLOCK + 5).concat();
        let mut read = Vec::new();
        FrameDecoder::new(&compressed(&text).unwrap()[..]).read_to_end(&mut read).unwrap();
        assert_eq!(read, text);
    }
}
