//! Write a file line by line: through a buffer, not with a system call for each line.

use std::{
    fmt,
    fs::File,
    io::{self, BufWriter, Seek, Write},
    os::unix::fs::FileExt,
    rc::Rc,
};

use crate::fixtures::log_lines::log_lines;
use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Write lines through a buffer",
    review: Review {
        smell: "`file.write_all(line)` or `writeln!(file, …)` in a loop, where `file` is a bare `File`, socket or \
                pipe. `writeln!` with arguments is worse than the timed code: each piece of its format string is a \
                write call of its own.",
        remedy: "`let mut out = BufWriter::with_capacity(64 * 1024, file);`, write to `out` in the loop, then \
                 `out.flush()?`. The 8 KiB of `BufWriter::new` (the peer here) get most of the gain.",
        keep_naive_when: "Each line must reach the kernel before the next step (a log that must survive the \
                          process's crash, a prompt, a line that another process waits for). Or there is only a \
                          single write: then the buffer just adds a copy.",
        costs: "64 KiB, one more copy, and lines that are lost if the process dies. A `BufWriter` that is \
                dropped flushes but *swallows the error* of a full disk: always end with `flush()?` or \
                `into_inner()?`.",
        lint: None,
    },
    naive: Side { summary: "write_all to the File for each line", growth: Growth::Linear },
    optimized: Side { summary: "BufWriter of 64 KiB, flushed at the end", growth: Growth::Linear },
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
    peer: Some("bufwriter_8k"),
    causes: &[
        Claim {
            cause: causes::WRITE_CALLS,
            naive: Count::Exactly(|case| lines(case).len() as u64),
            optimized: Count::Exactly(|case| full_buffers(&lines(case), BUFFER) + 1),
        },
        Claim {
            cause: causes::BYTES_WRITTEN,
            naive: Count::Exactly(|case| case.point),
            optimized: Count::Exactly(|case| case.point),
        },
    ],
    explanation: "At the far end one write call for each line became one for each 64 KiB, some six hundred lines. \
                  The gain is far smaller than that ratio, because only the fixed cost of a call is saved. Both \
                  sides still copy the bytes into the same pages of the page cache (and one side into its buffer \
                  first), which sets the floor.",
    limit: Limit::BytesWritten(|case| case.point),
    proof: Proof { resources: Resources::System, max_size: 100_000 },
    prepare,
    ..Pair::DEFAULTS
};

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

/// The lines are formatted beforehand: the pair is about writing them.
fn lines(case: &Case) -> Vec<Vec<u8>> {
    log_lines(case, case.point as usize)
}

/// Times that a buffer of `capacity` bytes is emptied because the next line does not fit. No line may be
/// longer than the buffer.
fn full_buffers(lines: &[Vec<u8>], capacity: usize) -> u64 {
    let mut held = 0;
    let mut emptied = 0;
    for line in lines {
        if held + line.len() > capacity {
            held = 0;
            emptied += 1;
        }
        held += line.len();
    }
    emptied
}

/// The file that a side has written. It is read back, off the clock, only when it is compared or shown.
struct Written(Rc<File>);

impl Written {
    fn bytes(&self) -> Vec<u8> {
        let length = self.0.metadata().expect("the file is open").len();
        let mut bytes = vec![0; length as usize];
        self.0.read_exact_at(&mut bytes, 0).expect("it is as long as it says");
        bytes
    }
}

impl PartialEq for Written {
    fn eq(&self, other: &Written) -> bool {
        self.bytes() == other.bytes()
    }
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes();
        write!(f, "{} bytes: {:?}", bytes.len(), String::from_utf8_lossy(&bytes))
    }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let lines = Rc::new(lines(case));
    let size = lines.iter().map(Vec::len).sum::<usize>() as u64;
    let folder = Rc::new(paths::scratch()?);
    let file = |name| {
        let path = folder.path().join(name);
        let file = File::options().create_new(true).read(true).write(true).open(&path);
        file.map(Rc::new).map_err(|e| Unavailable(format!("cannot write {}: {e}", path.display())))
    };
    // Each side keeps the folder. Dropping the last side removes it.
    let state = |file| (file, Rc::clone(&lines), Rc::clone(&folder));
    type State<F> = (Rc<File>, Rc<Vec<Vec<u8>>>, F);
    fn empty<F>((file, ..): &mut State<F>) {
        file.set_len(0).and_then(|()| (&**file).rewind()).expect("the file is open for writing");
    }
    Ok(Trial::new(
        size,
        resetting(state(file("naive")?), empty, |(file, lines, _)| {
            naive(lines, &**file).expect("the data folder takes the file");
            Written(Rc::clone(file))
        }),
        resetting(state(file("optimized")?), empty, |(file, lines, _)| {
            optimized(lines, &**file).expect("the data folder takes the file");
            Written(Rc::clone(file))
        }),
    )
    .peer(resetting(state(file("peer")?), empty, |(file, lines, _)| {
        bufwriter_8k(lines, &**file).expect("the data folder takes the file");
        Written(Rc::clone(file))
    }))
    .units(size))
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

    #[test]
    fn trap_the_comparison_sees_the_written_bytes() {
        let folder = paths::scratch().unwrap();
        let written = |name: &str, content: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            Written(Rc::new(File::open(path).unwrap()))
        };
        assert_eq!(written("a", "same"), written("b", "same"));
        assert_ne!(written("a", "same"), written("b", "sane"));
        assert_ne!(written("a", "short"), written("b", "short and a tail never flushed"));
    }
}
