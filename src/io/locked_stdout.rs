//! Print many lines: through a buffer over the locked standard output, not with a system call for each line.

use std::{
    cell::RefCell,
    fs,
    io::{self, BufRead, BufReader, BufWriter, PipeReader, Write},
    os::fd::AsRawFd,
    process,
    rc::Rc,
};

use tempfile::TempDir;

use crate::fixtures::log_lines::log_lines;
use worthit_pair::{
    helper::{self, Control, Helper},
    prelude::*,
};

/// Write calls of the process that prints.
const WRITES: Cause = Cause::new("stdout_writes", "write calls of the process that prints")
    .counted("in a process that asks the kernel how many write calls it has made");

pub const PAIR: Pair = Pair {
    title: "Print through a buffer",
    review: Review {
        smell: "`println!` in a loop over results, in a program whose output goes into a pipe or a file.",
        remedy: "`let mut out = BufWriter::with_capacity(BUFFER, io::stdout().lock());`, then `writeln!(out, …)?` in the \
                 loop and `out.flush()?` after it.",
        keep_naive_when: "Somebody waits for each line: a person, a progress display, a program that answers line by line. \
                          Or there are a few lines. Or the program may end at any moment, and its last line says why.",
        costs: "Lines appear when the buffer is full or flushed, so they come later, and out of order with what \
                `eprintln!` and `println!` print meanwhile. Another thread that prints waits for the lock. What is still in \
                the buffer is lost if the process is killed or aborts, as well as with `process::exit`. On the other \
                hand a closed pipe is now an error that the program can handle, as `head` closes it, where `println!` \
                panics.",
        lint: Lint::Switched("clippy::print_stdout", "clippy::restriction"),
    },
    naive: Side { summary: "println! for each line", growth: Growth::Linear },
    optimized: Side {
        summary: "BufWriter of 64 KiB over the locked stdout",
        growth: Growth::Linear,
    },
    input: "Log lines of 90 to 250 bytes, most of them near 110, that a process of its own prints into a pipe. The process \
            runs beforehand, and has the lines. An iteration tells it over loopback to print them, and reads the pipe until \
            a mark that the process prints last. Lists of lines alternate.",
    axis: Axis {
        name: "lines",
        unit: "lines",
        is_size: true,
        points: Points::Fixed { default: &[1, 10, 100, 1_000, 4_000], deep: &[] },
    },
    unit: "line",
    headline: Headline::At { level: "", point: 1_000 },
    alternatives: &[
        SideBeside { name: "bufwriter_8k", summary: "BufWriter with its default 8 KiB" },
        SideBeside {
            name: "lock_alone",
            summary: "stdout locked once, without a buffer of one's own",
        },
    ],
    causes: &[Claim {
        cause: WRITES,
        naive: Count::Exactly(|case| case.point),
        // A buffer is written up to its last line end, and what is behind that before the next one.
        optimized: Count::AtMost(|case| {
            2 * (case.point * LONGEST_LINE / (BUFFER as u64 - LONGEST_LINE) + 1)
        }),
    }],
    explanation: Explanation {
        why: "Rust's standard output writes at the end of each line, wherever it goes: into a pipe or a file, too, where \
              other languages fill a buffer first. So each `println!` is a system call, and the reader of the pipe is \
              woken for a line or a few. It also takes and gives back a lock, which costs next to nothing: to lock once and \
              print without a buffer, the alternative, makes as many calls. With the buffer a call carries many \
              lines. What stays is to format each line, to copy it into the buffer and through the pipe, and to tell the \
              process and wake the reader, once each.",
        share_of_cause: ShareOfCause::Within(0.004, 0.04),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[
        &Trap {
            name: "lines as long as a buffer",
            reason: "a call would carry as many bytes without a buffer, and the copy into it would be in vain",
            check: |inputs: &[Vec<String>]| {
                let longest = inputs.iter().flatten().map(String::len).max();
                ensure(longest <= Some(LONGEST_LINE as usize), || {
                    format!("a line of {longest:?} bytes")
                })
            },
            sprung: || vec![vec!["x".repeat(BUFFER); 4]],
        },
        &Trap {
            name: "texts of several lines",
            reason: "one call would print many lines without a buffer, too",
            check: |inputs: &[Vec<String>]| {
                let texts = inputs.iter().flatten().filter(|line| line.contains('\n')).count();
                ensure(texts == 0, || format!("{texts} texts"))
            },
            sprung: || vec![vec!["one\ntwo".to_owned()]],
        },
    ],
    limit: Limit::Work(&[
        Work::RoundTrips(|_| 1),
        Work::BytesStreamed(|case| case.point * SHORTEST_LINE),
    ]),
    proof: Proof { resources: Resources::System, max_size: 16 },
    helper: Some(print_as_told),
    prepare,
    ..Pair::DEFAULTS
};

/// Lengths of lines in bytes, with their ends.
const SHORTEST_LINE: u64 = 90;
const LONGEST_LINE: u64 = 250;

/// Size of the buffer in bytes: what a pipe holds.
const BUFFER: usize = 64 * 1024;

/// Lists of lines in the rotation.
fn turns(lines: u64) -> u64 {
    (4_096 / lines.max(1)).clamp(4, 64)
}

/// Prints each line.
#[expect(clippy::print_stdout, reason = "the smell")]
fn naive(lines: &[String]) {
    for line in lines {
        println!("{line}");
    }
}

/// Prints each line.
fn optimized(lines: &[String]) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(BUFFER, io::stdout().lock());
    for line in lines {
        writeln!(out, "{line}")?;
    }
    out.flush()
}

/// The same with the default buffer.
fn bufwriter_8k(lines: &[String]) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    for line in lines {
        writeln!(out, "{line}")?;
    }
    out.flush()
}

/// The same with the lock and without the buffer.
fn lock_alone(lines: &[String]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

type Print = fn(&[String]) -> io::Result<()>;

/// What a process can be told to print with.
const SIDES: [(&str, Print); 4] = [
    ("naive", |lines| {
        naive(lines);
        Ok(())
    }),
    ("optimized", optimized),
    ("bufwriter_8k", bufwriter_8k),
    ("lock_alone", lock_alone),
];

/// What the process prints after all lines. No line holds it.
const MARK: u8 = 0;

/// What the process does that prints. It is told where its output goes and where the lines are. Then each command names a
/// side and a list of lines, and whether to tell the number of its write calls.
fn print_as_told(mut control: Control) {
    let (Some(pipe), Some(lines)) = (control.hear(), control.hear()) else { return };
    let lists = redirect(&pipe).and_then(|()| fs::read(lines));
    let lists = lists.and_then(|json| Ok(serde_json::from_slice::<Vec<Vec<String>>>(&json)?));
    let lists = match lists {
        Ok(lists) => lists,
        Err(error) => return control.tell(&error.to_string()),
    };
    control.tell(READY);
    while let Some(command) = control.hear() {
        let mut words = command.split(' ');
        let side = words.next().and_then(|name| SIDES.iter().find(|(side, _)| *side == name));
        let lines = words.next().and_then(|place| lists.get(place.parse::<usize>().ok()?));
        let (Some((_, side)), Some(lines)) = (side, lines) else {
            return control.tell("no such side or list");
        };
        let before = words.next().map(|_| write_calls());
        let printed = side(lines);
        if let Some(before) = before {
            control.tell(&(write_calls() - before).to_string());
        }
        let marked = printed.and_then(|()| {
            let mut out = io::stdout();
            out.write_all(&[MARK])?;
            out.flush()
        });
        if let Err(error) = marked {
            return control.tell(&error.to_string());
        }
    }
}

const READY: &str = "ready";

/// Makes the pipe at this path the standard output of this process.
fn redirect(pipe: &str) -> io::Result<()> {
    let pipe = fs::File::options().write(true).open(pipe)?;
    // What was printed before goes to where it was printed.
    io::stdout().flush()?;
    Ok(rustix::stdio::dup2_stdout(&pipe)?)
}

/// Write calls that this process has made so far, as the kernel counts them.
fn write_calls() -> u64 {
    let counts = fs::read_to_string("/proc/self/io").unwrap_or_default();
    let calls = counts.lines().find_map(|line| line.strip_prefix("syscw: "));
    calls.and_then(|calls| calls.parse().ok()).expect("the kernel counts calls in /proc/self/io")
}

/// A process that prints, and the pipe that it prints into.
struct Printer {
    helper: Helper,
    pipe: BufReader<PipeReader>,
    /// Holds the lines.
    _folder: TempDir,
}

impl Printer {
    fn start(lists: &[Vec<String>]) -> Result<Printer, Unavailable> {
        let failed = |error: io::Error| Unavailable(format!("cannot print into a pipe: {error}"));
        let folder = paths::scratch()?;
        let lines = folder.path().join("lines");
        let json = serde_json::to_vec(lists).expect("lines are text");
        fs::write(&lines, json).map_err(failed)?;
        let (pipe, end) = io::pipe().map_err(failed)?;
        let mut helper = start_helper()?;
        let tell = |helper: &mut Helper, line: &str| helper.tell(line).map_err(failed);
        tell(&mut helper, &format!("/proc/{}/fd/{}", process::id(), end.as_raw_fd()))?;
        tell(&mut helper, &lines.display().to_string())?;
        let said = helper.hear().map_err(failed)?;
        if said != READY {
            return Err(Unavailable(format!("a process cannot print into a pipe: {said}")));
        }
        // From now on only the process can write, so that its end is the end of the pipe.
        drop(end);
        let pipe = BufReader::with_capacity(BUFFER, pipe);
        Ok(Printer { helper, pipe, _folder: folder })
    }

    /// Has a side print a list, and returns what it prints.
    fn print(&mut self, side: &str, list: usize) -> io::Result<Vec<u8>> {
        self.helper.tell(&format!("{side} {list}"))?;
        self.printed()
    }

    /// Has a side print a list, and returns the number of its write calls.
    fn count(&mut self, side: &str, list: usize) -> io::Result<u64> {
        self.helper.tell(&format!("{side} {list} counted"))?;
        self.printed()?;
        self.helper.hear()?.parse().map_err(io::Error::other)
    }

    fn printed(&mut self) -> io::Result<Vec<u8>> {
        let mut printed = Vec::new();
        self.pipe.read_until(MARK, &mut printed)?;
        match printed.pop() {
            Some(MARK) => Ok(printed),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Starts this program once more. The `main` of a test is libtest's, which runs one test there.
fn start_helper() -> Result<Helper, Unavailable> {
    const ID: &str = "io/locked_stdout";
    if cfg!(test) {
        helper::start_in_test(ID, "io::locked_stdout::tests::as_a_process_of_its_own")
    } else {
        helper::start(ID)
    }
}

/// Lines without their ends.
fn lines(case: &Case) -> Vec<String> {
    let count = case.point as usize;
    let mut lines = log_lines(case, count * LONGEST_LINE as usize);
    // Those of some shapes are longer.
    lines.resize(count, b"\n".to_vec());
    let text = |line: Vec<u8>| {
        let text = String::from_utf8_lossy(&line).replace(char::from(MARK), " ");
        text.trim_end_matches('\n').to_owned()
    };
    lines.into_iter().map(text).collect()
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(turns(case.point), lines);
    let printer = Rc::new(RefCell::new(Printer::start(&inputs)?));
    // The process has the lists by their places.
    let places = Inputs::rotating(0..inputs.len());
    let over = |side: &'static str| {
        let printer = Rc::clone(&printer);
        by_ref(&places, move |list: &usize| {
            printer.borrow_mut().print(side, *list).expect("it prints")
        })
    };
    let writes = |side: &'static str| {
        let printer = Rc::clone(&printer);
        move |list: usize| printer.borrow_mut().count(side, list).expect("it prints")
    };
    Ok(Trial::new(
        inputs.measured(|lines| lines.len() as u64),
        over("naive").counting(WRITES, writes("naive")),
        over("optimized").counting(WRITES, writes("optimized")),
    )
    .alternative(over("bufwriter_8k"))
    .alternative(over("lock_alone"))
    .units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where it is started by another test: see [`start_helper`].
    #[test]
    fn as_a_process_of_its_own() {
        if let Ok(control) = Control::connect() {
            print_as_told(control);
        }
    }

    fn list(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn known_answers() {
        let lists = [list(&["one", "", "§"]), list(&[]), vec!["x".repeat(100_000); 3]];
        let mut printer = Printer::start(&lists).unwrap();
        for (side, _) in SIDES {
            assert_eq!(printer.print(side, 0).unwrap(), "one\n\n§\n".as_bytes());
            assert_eq!(printer.print(side, 1).unwrap(), b"");
            assert_eq!(printer.print(side, 2).unwrap().len(), 300_003);
        }
    }

    #[test]
    fn trap_a_lock_is_no_buffer() {
        let mut printer = Printer::start(&[list(&["one", "", "three"])]).unwrap();
        let writes = SIDES.map(|(side, _)| printer.count(side, 0).unwrap());
        assert_eq!(writes, [3, 1, 1, 3]);
    }

    /// `head` closes a pipe when it has enough.
    #[test]
    fn a_closed_pipe_is_an_error_of_the_buffer_and_a_panic_of_println() {
        for (side, _) in SIDES {
            let Printer { mut helper, pipe, .. } = Printer::start(&[list(&["one"])]).unwrap();
            drop(pipe);
            helper.tell(&format!("{side} 0")).unwrap();
            let said = helper.hear();
            match side {
                "naive" => assert!(said.is_err(), "{said:?}"),
                _ => assert!(said.unwrap().contains("Broken pipe"), "{side}"),
            }
        }
    }
}
