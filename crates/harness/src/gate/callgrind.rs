//! Instructions under valgrind's callgrind, on the timed bench binary itself.
//!
//! The worker asks callgrind, through valgrind's client requests, to count exactly while a side
//! runs: counters are zeroed when its [`Window`](worthit_pair::trial::Window) opens and dumped when it
//! closes, so neither the harness nor the preparation is in the count, and all threads are.

use std::{ffi::OsString, fs, io, path::Path};

/// Client requests of callgrind (valgrind manual, "Callgrind specific client requests"): the
/// letters `CT`, then a number.
#[derive(Clone, Copy)]
enum Request {
    DumpStats = 0,
    ZeroStats = 1,
    StartInstrumentation = 4,
    StopInstrumentation = 5,
}

/// Sends a request; nothing happens in a process that is not run by callgrind.
fn request(request: Request) {
    let code = (u64::from(b'C') << 24) | (u64::from(b'T') << 16) | request as u64;
    let arguments: [u64; 6] = [code, 0, 0, 0, 0, 0];
    #[cfg(target_arch = "x86_64")]
    // SAFETY: valgrind's magic sequence (valgrind manual, "The client request mechanism"): four
    // rotations that together turn `rdi` by 128 bits, and an exchange of a register with itself.
    // Run natively it changes nothing but the flags. Valgrind reads the six words at `rax`, which
    // outlive it, and writes its answer to `rdx`.
    unsafe {
        std::arch::asm!(
            "rol rdi, 3", "rol rdi, 13", "rol rdi, 61", "rol rdi, 51", "xchg rbx, rbx",
            in("rax") arguments.as_ptr(), inout("rdx") 0_u64 => _, options(nostack),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above, in the registers of this architecture.
    unsafe {
        std::arch::asm!(
            "ror x12, x12, #3", "ror x12, x12, #13", "ror x12, x12, #51", "ror x12, x12, #61",
            "orr x10, x10, x10",
            in("x4") arguments.as_ptr(), inout("x3") 0_u64 => _, options(nostack),
        );
    }
    std::hint::black_box(&arguments);
}

/// Counts from now on, at fifty times the usual duration.
pub fn start() {
    request(Request::StartInstrumentation);
}

/// Counts no more.
pub fn stop() {
    request(Request::StopInstrumentation);
}

/// Sets all counters to zero.
pub fn zero() {
    request(Request::ZeroStats);
}

/// Writes the counters to the next file.
pub fn dump() {
    request(Request::DumpStats);
}

/// The C allocator. What it executes depends on all that was allocated and freed before, by up to 5 % of
/// a whole side, so that no two iterations are alike; allocations themselves are counted as causes.
const ALLOCATOR: [&str; 7] =
    ["malloc", "free", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign"];

/// Arguments of valgrind before the program that it runs; its files are written to `folder`. All
/// instructions are counted but the allocator's.
pub fn arguments(folder: &Path) -> Vec<OsString> {
    let mut file = OsString::from("--callgrind-out-file=");
    file.push(folder.join("counts"));
    let fixed = ["--quiet", "--tool=callgrind", "--instr-atstart=no", "--dump-line=no"];
    // Nothing is collected from when a function is entered until it is left; naming one means that
    // nothing is collected before either, so that is taken back last.
    let uncounted = ALLOCATOR.map(|function| format!("--toggle-collect={function}"));
    let fixed = fixed.into_iter().map(OsString::from);
    let uncounted = uncounted.into_iter().map(OsString::from);
    fixed.chain([file]).chain(uncounted).chain(["--collect-atstart=yes".into()]).collect()
}

/// What the dumps in a folder count, in their order, without the first `known`.
///
/// # Errors
/// If a file cannot be read, or names no total.
pub fn totals(folder: &Path, known: usize) -> io::Result<Vec<u64>> {
    let mut totals = Vec::new();
    loop {
        let path = folder.join(format!("counts.{}", known + totals.len() + 1));
        match fs::read_to_string(&path) {
            Ok(text) => totals.push(total(&text).ok_or_else(|| no_total(&path))?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(totals),
            Err(error) => return Err(error),
        }
    }
}

fn no_total(path: &Path) -> io::Error {
    io::Error::other(format!("{} has no line `totals:` with a number", path.display()))
}

/// The total of a dump: its first event, which is `Ir`, instructions read.
fn total(dump: &str) -> Option<u64> {
    let events = dump.lines().find_map(|line| line.strip_prefix("events:"))?;
    let is_instructions = events.split_whitespace().next() == Some("Ir");
    let totals = dump.lines().rev().find_map(|line| line.strip_prefix("totals:"))?;
    is_instructions.then(|| totals.split_whitespace().next()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_do_nothing_outside_of_valgrind() {
        start();
        zero();
        dump();
        stop();
    }

    #[test]
    fn totals_are_read_and_anything_else_is_not() {
        let dump = "version: 1\nevents: Ir\nsummary: 7\nfn=(1) f\n1 7\n\ntotals: 123\n";
        assert_eq!(total(dump), Some(123));
        assert_eq!(total("events: Ir\ntotals: 12x\n"), None);
        assert_eq!(total("events: Dr\ntotals: 12\n"), None);
        assert_eq!(total(""), None);
    }
}
