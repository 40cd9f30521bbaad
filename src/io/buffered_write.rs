//! Write a file line by line: through a buffer, not with a system call for each line.

use std::{
    fs::File,
    io::{self, BufWriter, Seek, Write},
    os::unix::fs::FileExt,
    rc::Rc,
};

use tempfile::TempDir;

use crate::fixtures::log_lines::log_lines;
use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Write lines through a buffer",
    review: Review {
        smell: "`file.write_all(line)` or `writeln!(file, …)` in a loop, where `file` is a bare `File`, socket or \
                pipe. `writeln!` with arguments is worse than the timed code: each piece of its format string is a \
                write call of its own.",
        remedy: "`let mut out = BufWriter::with_capacity(BUFFER, file);`, write to `out` in the loop, then \
                 `out.flush()?`.",
        keep_naive_when: "Each line must reach the kernel before the next step (a log that must survive the \
                          process's crash, a prompt, a line that another process waits for). Or there is only a \
                          single write: then the buffer just adds a copy.",
        costs: "64 KiB (the 8 KiB of `BufWriter::new` are timed beside it), one more copy, and lines that are lost if \
                the process dies. A `BufWriter` that is dropped flushes but *swallows the error* of a full disk: \
                always end with `flush()?` or `into_inner()?`.",
        lint: Lint::None,
    },
    naive: Side { summary: "write_all to the File for each line", growth: Growth::Linear },
    optimized: Side {
        summary: "BufWriter of 64 KiB, flushed at the end",
        growth: Growth::Until(&Growth::Linear, "the file's pages outgrow the nearest caches"),
    },
    input: "Log lines of 90 to 250 bytes, most of them near 110, formatted beforehand and cut to the stated \
            total. They go to an empty file in the page cache and are not flushed to the device. The length of \
            the lines decides how many calls a buffer saves.",
    axis: Axis {
        name: "bytes written",
        unit: "B",
        is_size: true,
        points: Points::Fixed {
            default: &[64, 512, 8_192, 65_536, 1_048_576],
            deep: &[16_777_216],
        },
    },
    unit: "byte",
    headline: Headline::At { level: "", point: 1_048_576 },
    alternatives: &[SideBeside {
        name: "bufwriter_8k",
        summary: "BufWriter with its default 8 KiB",
    }],
    causes: &[Claim {
        cause: causes::WRITE_CALLS,
        naive: Count::AtLeast(|case| case.point.div_ceil(LONGEST_LINE)),
        // A buffer is emptied when the next line does not fit, and at the end.
        optimized: Count::AtMost(|case| case.point / (BUFFER as u64 - LONGEST_LINE) + 1),
    }],
    explanation: Explanation {
        why: "One write call for each line became one for each buffer of 64 KiB. The gain is far smaller than that \
              ratio, because only the fixed cost of a call is saved. Both sides still copy the bytes into the same \
              pages of the page cache (and one side into its buffer first), which sets the floor.",
        share_of_cause: ShareOfCause::Within(0.02, 0.15),
        far_end: FarEnd::Falls(
            "the copy into fresh pages of the page cache, which no buffer saves",
        ),
        keep_naive: KeepNaive::UpTo(64),
    },
    traps: &[&Trap {
        name: "lines as long as a buffer",
        reason: "a call would carry as many bytes without a buffer, and the copy into it would be in vain",
        check: |inputs: &[Vec<Vec<u8>>]| {
            let longest = inputs.iter().flatten().map(Vec::len).max();
            ensure(longest <= Some(LONGEST_LINE as usize), || {
                format!("a line of {longest:?} bytes")
            })
        },
        sprung: || vec![vec![vec![b'x'; BUFFER]; 16]],
    }],
    limit: Limit::Work(&[Work::BytesWritten(|case| case.point)]),
    proof: Proof { resources: Resources::System, max_size: 100_000 },
    prepare,
    ..Pair::DEFAULTS
};

/// Longest line in bytes, with its end.
const LONGEST_LINE: u64 = 250;

/// Logs in the rotation.
fn turns(bytes: u64) -> u64 {
    if bytes <= 8_192 { 256 } else { 16 }
}

/// Size of the buffer in bytes. A larger one saves next to nothing.
const BUFFER: usize = 64 * 1024;

/// Writes `lines` one after another.
fn naive<L: AsRef<[u8]>>(lines: &[L], mut file: impl Write) -> io::Result<()> {
    for line in lines {
        file.write_all(line.as_ref())?;
    }
    Ok(())
}

/// Writes `lines` one after another.
fn optimized<L: AsRef<[u8]>>(lines: &[L], file: impl Write) -> io::Result<()> {
    through(BufWriter::with_capacity(BUFFER, file), lines)
}

/// The same with the default buffer.
fn bufwriter_8k<L: AsRef<[u8]>>(lines: &[L], file: impl Write) -> io::Result<()> {
    through(BufWriter::new(file), lines)
}

fn through<L: AsRef<[u8]>>(mut out: BufWriter<impl Write>, lines: &[L]) -> io::Result<()> {
    for line in lines {
        out.write_all(line.as_ref())?;
    }
    out.flush()
}

/// A file to write, in a folder that goes with it.
struct Target {
    file: File,
    _folder: Rc<TempDir>,
}

impl Target {
    fn empty(&mut self) {
        self.file.set_len(0).and_then(|()| self.file.rewind()).expect("it is open for writing");
    }

    /// What was written.
    fn bytes(&self) -> Vec<u8> {
        let length = self.file.metadata().expect("the file is open").len();
        let mut bytes = vec![0; length as usize];
        self.file.read_exact_at(&mut bytes, 0).expect("it is as long as it says");
        bytes
    }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    // The lines are formatted beforehand: the pair is about writing them.
    let inputs = case.rotate(turns(case.point), |case| log_lines(case, case.point as usize));
    let folder = Rc::new(paths::scratch()?);
    let target = |name| {
        let path = folder.path().join(name);
        let file = File::options().create_new(true).read(true).write(true).open(&path);
        let file =
            file.map_err(|e| Unavailable(format!("cannot write {}: {e}", path.display())))?;
        Ok(Target { file, _folder: Rc::clone(&folder) })
    };
    let over = |target, side: fn(&[Vec<u8>], &File) -> io::Result<()>| {
        let write = move |target: &mut Target, lines: &Vec<Vec<u8>>| {
            side(lines, &target.file).expect("the data folder takes the file");
        };
        changing(&inputs, target, Target::empty, write, |target| target.bytes())
    };
    let bytes = |lines: &Vec<Vec<u8>>| lines.iter().map(Vec::len).sum::<usize>() as u64;
    Ok(Trial::new(
        inputs.measured(bytes),
        over(target("naive")?, |lines, file| naive(lines, file)),
        over(target("optimized")?, |lines, file| optimized(lines, file)),
    )
    .alternative(over(target("bufwriter_8k")?, |lines, file| bufwriter_8k(lines, file)))
    .units(bytes(&inputs[0])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let lines = ["one\n", "", "three, no newline"];
        let (mut written, mut buffered) = (Vec::new(), Vec::new());
        naive(&lines, &mut written).unwrap();
        optimized(&lines, &mut buffered).unwrap();
        assert_eq!(written, b"one\nthree, no newline");
        assert_eq!(buffered, b"one\nthree, no newline");
    }

    /// A disk that takes `left` bytes and is then full.
    struct Disk {
        left: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.left == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let taken = bytes.len().min(self.left);
            self.left -= taken;
            Ok(taken)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn trap_a_buffer_that_is_not_flushed_swallows_the_last_error() {
        // The lines fit into the buffer, so only the flush at the end meets the full disk. Left to
        // the drop, the error would be lost.
        let lines = ["a line\n"; 10];
        for left in [0, 5, 69] {
            assert!(naive(&lines, Disk { left }).is_err());
            assert!(optimized(&lines, Disk { left }).is_err());
        }
        assert!(optimized(&lines, Disk { left: 70 }).is_ok());
    }
}
