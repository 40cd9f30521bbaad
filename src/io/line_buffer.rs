//! Read a text line by line: into one buffer, not into a new `String` for each line.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader},
    iter,
    path::PathBuf,
    rc::Rc,
};

use ::bstr::io::BufReadExt;
use memchr::memchr_iter;
use rand::RngExt;
use tempfile::TempDir;

use crate::fixtures::log_lines::log_lines;
use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Read lines into one buffer",
    review: Review {
        smell: "`for line in reader.lines()`, where the loop looks at each line and drops it.",
        remedy: "`let mut line = String::new();` before the loop, then `while reader.read_line(&mut line)? > 0`, and \
                 `line.clear()` at its end. The line comes with its end: strip `\\n`, and the `\\r` before it.",
        keep_naive_when: "The loop keeps the lines, each of which needs a `String` of its own then. Or there are few of \
                          them: a configuration file is easier to read with `lines`.",
        costs: "A line lives only until the next one is read. The end of a line is not stripped for you, and a forgotten \
                `clear` appends the next line to the one before. The buffer keeps the room of the longest line. A line \
                has no bound on either side: a file without line ends is read into memory whole. Where a line need not be \
                UTF-8, `read_until` into a `Vec<u8>` saves the check, too. The peer `bstr` hands out lines where they lie \
                in the reader's buffer, which saves the copy; it takes a closure in place of the loop.",
        lint: Lint::None,
    },
    naive: Side { summary: "BufRead::lines, a String for each line", growth: Growth::Linear },
    optimized: Side { summary: "read_line into one String", growth: Growth::Linear },
    input: "Log files in the page cache with lines of 90 to 250 bytes, most of them near 110, all ASCII. Both sides read \
            through a buffer of 8 KiB, check that lines are UTF-8, look at the second field of each and add up the \
            lengths. Opening the file is part of the work.",
    axis: Axis {
        name: "lines",
        unit: "lines",
        is_size: true,
        points: Points::Fixed { default: &[1, 10, 100, 1_000, 10_000], deep: &[100_000] },
    },
    unit: "line",
    headline: Headline::At { level: "", point: 1_000 },
    peers: &[SideBeside { name: "bstr", summary: "for_byte_line, without a copy of most lines" }],
    causes: &[Claim {
        cause: causes::ALLOCATIONS,
        naive: Count::AtLeast(|case| case.point),
        // The reader's buffer, and a line that doubles its room until the longest fits.
        optimized: Count::AtMost(|_| 8),
    }],
    explanation: Explanation {
        why: "An allocation for each line, and its return, became none once the buffer has room for the longest line. The \
              allocator hands the same block out again and again, which is as cheap as it gets. The rest is the same on \
              both sides: to copy the bytes out of the page cache and out of the reader's buffer, to search the line end, \
              to check the UTF-8 and to look at the line. So the gain is a small part of the ratio of allocations.",
        share_of_cause: ShareOfCause::Within(0.001, 0.02),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(10),
    },
    traps: &[
        &Trap {
            name: "lines are empty",
            reason: "an empty String allocates nothing, so there would be nothing to save",
            check: |inputs: &[Log]| {
                let shortest = inputs.iter().flat_map(Log::lengths).min();
                ensure(shortest >= Some(90), || format!("a line of {shortest:?} bytes"))
            },
            sprung: || vec![log(&b"\n".repeat(1_000))],
        },
        &Trap {
            name: "lines are long",
            reason: "to copy and check their bytes would hide what an allocation costs",
            check: |inputs: &[Log]| {
                let longest = inputs.iter().flat_map(Log::lengths).max();
                ensure(longest <= Some(251), || format!("a line of {longest:?} bytes"))
            },
            sprung: || vec![log(&[vec![b'x'; 10_000], b"\n".to_vec()].concat())],
        },
    ],
    limit: Limit::Work(&[
        Work::BytesRead(|case| case.point * USUAL_LINE),
        Work::SystemCalls(|case| case.point * USUAL_LINE / BUFFER + 4),
    ]),
    proof: Proof { resources: Resources::System, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

/// Bytes of most lines, at least.
const USUAL_LINE: u64 = 100;
/// Size of the buffer of `BufReader::new`, bytes.
const BUFFER: u64 = 8 * 1024;

/// Logs in the rotation.
fn turns(lines: u64) -> u64 {
    if lines <= 100 { 128 } else { 16 }
}

/// What a log says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Report {
    lines: u64,
    /// Bytes of all lines without their ends.
    bytes: u64,
    warnings: u64,
}

impl Report {
    fn add(&mut self, line: &str) {
        self.lines += 1;
        self.bytes += line.len() as u64;
        self.warnings += u64::from(line.split(' ').nth(1) == Some("WARN"));
    }
}

/// Reads the log to its end.
fn naive(log: impl BufRead) -> io::Result<Report> {
    let mut report = Report::default();
    for line in log.lines() {
        report.add(&line?);
    }
    Ok(report)
}

/// Reads the log to its end.
fn optimized(mut log: impl BufRead) -> io::Result<Report> {
    let (mut report, mut line) = (Report::default(), String::new());
    while log.read_line(&mut line)? > 0 {
        report.add(without_end(&line));
        line.clear();
    }
    Ok(report)
}

/// The line without `\n` or `\r\n`, as `lines` strips it.
fn without_end(line: &str) -> &str {
    match line.strip_suffix('\n') {
        Some(line) => line.strip_suffix('\r').unwrap_or(line),
        None => line,
    }
}

/// Reads the log to its end. Only a line that crosses the end of the reader's buffer is copied.
fn bstr(mut log: impl BufRead) -> io::Result<Report> {
    let mut report = Report::default();
    log.for_byte_line(|line| {
        let line = str::from_utf8(line);
        report.add(line.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?);
        Ok(true)
    })?;
    Ok(report)
}

/// What reading a log ends with.
#[derive(Debug, PartialEq, Eq)]
struct Outcome(Result<Report, io::ErrorKind>);

impl Found for Outcome {
    fn found(&self) -> u64 {
        self.0.map_or(0, |report| report.lines)
    }
}

/// A log in a file, in a folder that goes with it.
struct Log {
    path: PathBuf,
    _folder: Rc<TempDir>,
}

impl Log {
    fn open(&self) -> BufReader<File> {
        BufReader::new(File::open(&self.path).expect("it was written"))
    }

    /// Lengths of its lines, with their ends.
    fn lengths(&self) -> Vec<usize> {
        let bytes = fs::read(&self.path).expect("it was written");
        bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::len).collect()
    }
}

/// A log of these bytes, for the traps.
fn log(bytes: &[u8]) -> Log {
    let log = paths::scratch().and_then(|folder| write(&Rc::new(folder), 0, bytes));
    log.unwrap_or_else(|Unavailable(reason)| panic!("{reason}"))
}

fn write(folder: &Rc<TempDir>, number: usize, bytes: &[u8]) -> Result<Log, Unavailable> {
    let path = folder.path().join(number.to_string());
    let written = fs::write(&path, bytes);
    written.map_err(|e| Unavailable(format!("cannot write {}: {e}", path.display())))?;
    Ok(Log { path, _folder: Rc::clone(folder) })
}

/// The lines of a case. Only realistic ones all end in `\n`: of others, some end in `\r\n`, and the last may have no end.
fn text(case: &Case) -> Vec<u8> {
    let Some(last) = case.point.checked_sub(1) else { return Vec::new() };
    // A random line may hold more line ends.
    let end_of_last = |text: &Vec<u8>| memchr_iter(b'\n', text).nth(last as usize);
    let texts = iter::successors(Some(1_024), |bytes| Some(bytes * 2))
        .map(|bytes| log_lines(case, bytes).concat());
    let long_enough = texts.map(|text| (end_of_last(&text), text));
    // The last line that was generated is cut to fit, so the one that is wanted comes before it.
    let found = long_enough.filter_map(|(end, text)| Some((end?, text)));
    let (end, mut text) = found
        .into_iter()
        .find(|(end, text)| end + 1 < text.len())
        .expect("a text that doubles has enough lines at last");
    text.truncate(end + 1);
    if case.shape == Shape::Realistic {
        return text;
    }
    let mut rng = case.rng("line ends");
    let mut mixed = Vec::with_capacity(text.len() * 2);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        mixed.extend_from_slice(&line[..line.len() - 1]);
        mixed.extend_from_slice(if rng.random() { b"\n" } else { b"\r\n" });
    }
    // A last line that would be empty without its end would be none.
    let is_empty = mixed.len() < 2 || mixed[mixed.len() - 2] == b'\n';
    if rng.random() && !is_empty {
        mixed.pop();
    }
    mixed
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let folder = Rc::new(paths::scratch()?);
    let texts = case.rotate(turns(case.point), text);
    let logs = texts.iter().enumerate().map(|(number, text)| write(&folder, number, text));
    let logs = Inputs::rotating(logs.collect::<Result<Vec<Log>, Unavailable>>()?);
    let over = |side: fn(BufReader<File>) -> io::Result<Report>| {
        by_ref(&logs, move |log: &Log| Outcome(side(log.open()).map_err(|error| error.kind())))
    };
    let measured = logs.measured(|log| log.lengths().len() as u64);
    let trial = Trial::new(measured, over(naive), over(optimized));
    Ok(trial.peer(over(bstr)).units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Side = fn(&[u8]) -> io::Result<Report>;
    /// With a buffer of three bytes, so that nearly all lines cross its end.
    const SIDES: [Side; 3] = [
        |text| naive(BufReader::with_capacity(3, text)),
        |text| optimized(BufReader::with_capacity(3, text)),
        |text| bstr(BufReader::with_capacity(3, text)),
    ];

    #[test]
    fn known_answers() {
        for (text, lines, bytes, warnings) in [
            ("", 0, 0, 0),
            ("\n", 1, 0, 0),
            ("09:26 WARN café\r\n\r\n09:27 INFO WARN\n", 3, 16 + 15, 1),
            // The last line has no end; a lone `\r` is part of its line.
            ("a WARN\nb\rc\n\r", 3, 6 + 3 + 1, 1),
        ] {
            for side in SIDES {
                assert_eq!(side(text.as_bytes()).unwrap(), Report { lines, bytes, warnings });
            }
        }
    }

    #[test]
    fn a_line_that_is_not_utf_8_is_an_error() {
        for text in [&b"one\n\xff\nthree\n"[..], b"caf\xc3", b"caf\xc3\n\xa9\n"] {
            for side in SIDES {
                assert_eq!(side(text).unwrap_err().kind(), io::ErrorKind::InvalidData);
            }
        }
    }

    #[test]
    fn trap_a_shorter_line_after_a_longer_one_holds_nothing_of_it() {
        let text = format!("{} WARN x\nb\n", "a".repeat(500));
        for side in SIDES {
            let report = side(text.as_bytes()).unwrap();
            assert_eq!(report, Report { lines: 2, bytes: 508, warnings: 1 });
        }
    }

    #[test]
    fn texts_have_as_many_lines_as_their_case_says() {
        for shape in Shape::ALL {
            for point in [0, 1, 2, 63, 200] {
                let text = text(&Case { shape, ..Case::realistic(point, 0, 1) });
                assert_eq!(text.split_inclusive(|b| *b == b'\n').count() as u64, point);
            }
        }
    }
}
