//! Work through a long input line by line: hold one line at a time, do not read all of it first.

use std::{
    collections::HashSet,
    io::{self, BufRead, BufReader, Read},
};

use memchr::memmem;

use crate::fixtures::log_lines::log_lines;
use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Stream an input, do not hold it",
    review: Review {
        smell: "`read_to_end` or `read_to_string`, then one pass over the lines, and the text is dropped.",
        remedy: "`BufReader::new(log)`, and `reader.read_until(b'\\n', &mut line)` into one `line` that is cleared \
                 for each turn.",
        keep_naive_when: "The input is smaller than the buffer, or is needed as a whole: to be sorted, to be passed \
                          over again, to look back. Or it holds no line ends: then a streaming side holds all of it, \
                          too, unless it limits the length of a line.",
        costs: "State that has to live from one line to the next, and an error that may come in the middle, after \
                part of the work is done. Each line is copied out of the buffer. A caller that reads large pieces \
                and finds the lines in them itself saves that copy.",
        lint: Lint::None,
    },
    naive: Side { summary: "read_to_end, then pass over the lines", growth: Growth::Linear },
    optimized: Side { summary: "BufReader, one line at a time", growth: Growth::Linear },
    input: "A log that comes through a reader of unknown length, as from a socket or a decompressor, in pieces of up \
            to 16 KiB. Lines have 90 to 250 bytes. The sides count lines and failed requests, and find the longest \
            line. Beyond 64 KiB the same lines come again, so that the input itself is not held.",
    axis: Axis {
        name: "input",
        unit: "B",
        is_size: true,
        points: Points::Fixed {
            default: &[300, 3_000, 30_000, 300_000, 3_000_000],
            deep: &[100_000_000],
        },
    },
    unit: "byte",
    headline: Headline::At { level: "", point: 300_000 },
    metric: Metric::BytesHeld,
    causes: &[Claim {
        cause: causes::PEAK_BYTES,
        naive: Count::AtLeast(|case| case.point),
        // The buffer, and room for the longest line.
        optimized: Count::AtMost(|_| 8_192 + 512),
    }],
    explanation: Explanation {
        why: "The gain is the ratio of bytes held, which are counted. The naive side holds the whole input, and up to \
              as much again, because its Vec grows in large steps. The optimized side holds a buffer of 8 KiB and the \
              longest line, however long the input is, so the gain grows with the input. Both times are measured, \
              too: the naive side moves its bytes again when the Vec grows, and reads them from farther away.",
        share_of_cause: ShareOfCause::Within(0.999, 1.001),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(3_000),
    },
    traps: &[
        &Trap {
            name: "the input has few lines",
            reason: "to hold a line is then to hold much of the input",
            check: |inputs: &[Log]| {
                let long = inputs.iter().map(longest_line).max().unwrap_or(0);
                ensure(long <= 300, || format!("a line has {long} bytes"))
            },
            sprung: || vec![Log { part: vec![b'x'; 4_096], bytes: 300_000, most: 4_096 }],
        },
        &Trap {
            name: "no request failed",
            reason: "a side that reads nothing could answer",
            check: |inputs: &[Log]| {
                let distinct: HashSet<&[u8]> = inputs.iter().map(|log| &log.part[..]).collect();
                let failed = |log: &&Log| memmem::find(&log.part, FAILED).is_some();
                let failing = inputs.iter().filter(failed).count();
                ensure(failing > 0 && distinct.len() > 1, || {
                    format!("{failing} logs with failures, {} different", distinct.len())
                })
            },
            sprung: || {
                let part = b"a line\n".repeat(40);
                vec![Log { part, bytes: 280, most: 16_384 }]
            },
        },
    ],
    limit: Limit::None("the metric is bytes, which are counted: no machine number bounds them"),
    proof: Proof { resources: Resources::Memory, max_size: 100_000 },
    prepare,
    ..Pair::DEFAULTS
};

/// What a failed request says of itself.
const FAILED: &[u8] = b" status=503";

/// Number of lines, number of failed requests, and bytes of the longest line.
type Summary = (u64, u64, u64);

fn add(summary: &mut Summary, line: &[u8]) {
    summary.0 += 1;
    summary.1 += u64::from(memmem::find(line, FAILED).is_some());
    summary.2 = summary.2.max(line.len() as u64);
}

/// Sums up a log.
fn naive(mut log: impl Read) -> io::Result<Summary> {
    let mut text = Vec::new();
    log.read_to_end(&mut text)?;
    let mut summary = Summary::default();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        add(&mut summary, line);
    }
    Ok(summary)
}

/// Sums up a log.
fn optimized(log: impl Read) -> io::Result<Summary> {
    let mut reader = BufReader::new(log);
    let (mut line, mut summary) = (Vec::new(), Summary::default());
    while reader.read_until(b'\n', &mut line)? > 0 {
        add(&mut summary, &line);
        line.clear();
    }
    Ok(summary)
}

/// A log that is made while it is read: `part` again and again.
#[derive(Debug)]
struct Log {
    part: Vec<u8>,
    bytes: u64,
    /// The most bytes that one read gives.
    most: usize,
}

impl Log {
    fn reader(&self) -> LogReader<'_> {
        LogReader { log: self, left: self.bytes, rest: &[] }
    }
}

/// Reads a [`Log`].
struct LogReader<'a> {
    log: &'a Log,
    /// Bytes of the log that were not read.
    left: u64,
    /// What was not read of this turn of the part.
    rest: &'a [u8],
}

impl Read for LogReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            let turn = self.left.min(self.log.part.len() as u64) as usize;
            self.rest = &self.log.part[..turn];
        }
        let length = self.rest.len().min(buffer.len()).min(self.log.most);
        let (given, rest) = self.rest.split_at(length);
        buffer[..length].copy_from_slice(given);
        self.rest = rest;
        self.left -= length as u64;
        Ok(length)
    }
}

fn longest_line(log: &Log) -> usize {
    log.part.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::len).max().unwrap_or(0)
}

fn input(case: &Case) -> Log {
    const PART: u64 = 64 * 1024;
    let part = log_lines(case, case.point.min(PART) as usize).concat();
    let most = match case.shape {
        Shape::Adversarial => 1 + case.turn as usize,
        Shape::Random => 8_192,
        _ => 16_384,
    };
    Log { part, bytes: case.point, most }
}

/// The bytes that a reader of the log gives.
fn size(log: &Log) -> u64 {
    io::copy(&mut log.reader(), &mut io::sink()).expect("the reader never fails")
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate((262_144 / case.point.max(1)).clamp(4, 512), input);
    Ok(Trial::new(
        inputs.measured(size),
        by_ref(&inputs, |log: &Log| naive(log.reader()).expect("the reader never fails")),
        by_ref(&inputs, |log: &Log| optimized(log.reader()).expect("the reader never fails")),
    )
    .units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let long = "x".repeat(20_000) + "\n\n status=503";
        for (text, expected) in [
            ("", (0, 0, 0)),
            ("\n", (1, 0, 1)),
            ("a status=503\nb status=200\n c status=503", (3, 2, 13)),
            (&long, (3, 1, 20_001)),
            ("a status=5\n03\r\n", (2, 0, 11)),
        ] {
            for most in [1, 3, 16_384] {
                let bytes = text.len() as u64;
                let log = Log { part: text.as_bytes().to_vec(), bytes, most };
                assert_eq!(naive(log.reader()).unwrap(), expected);
                assert_eq!(optimized(log.reader()).unwrap(), expected);
            }
        }
    }

    /// Gives a line, and then fails.
    struct Broken(bool);

    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if std::mem::replace(&mut self.0, true) {
                return Err(io::Error::from(io::ErrorKind::ConnectionReset));
            }
            buffer[..2].copy_from_slice(b"a\n");
            Ok(2)
        }
    }

    #[test]
    fn an_error_in_the_middle_is_handed_on() {
        let kind = io::ErrorKind::ConnectionReset;
        assert_eq!(naive(Broken(false)).unwrap_err().kind(), kind);
        assert_eq!(optimized(Broken(false)).unwrap_err().kind(), kind);
    }

    #[test]
    fn a_log_gives_its_part_again_and_again() {
        let log = Log { part: b"ab\n".to_vec(), bytes: 7, most: 2 };
        let mut text = Vec::new();
        log.reader().read_to_end(&mut text).unwrap();
        assert_eq!(text, b"ab\nab\na");
    }
}
