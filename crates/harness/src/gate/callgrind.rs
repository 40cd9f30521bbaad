//! Counts instructions with valgrind's callgrind, in the same bench binary that is timed.
//!
//! Through valgrind's client requests, the worker makes callgrind count only while a side runs. It zeroes the counters
//! when the side's [`Window`](worthit_pair::trial::Window) opens and dumps them when the window closes. The count
//! includes all threads, but neither the harness nor the preparation.

use std::{ffi::OsString, fs, io, path::Path};

/// Callgrind's client requests (valgrind manual, "Callgrind specific client requests").
///
/// The code of a request is the letters `CT` followed by one of these numbers.
#[derive(Clone, Copy)]
enum Request {
    DumpStats = 0,
    ZeroStats = 1,
    StartInstrumentation = 4,
    StopInstrumentation = 5,
}

/// Sends a request, which does nothing unless the process runs under callgrind.
fn request(request: Request) {
    let code = (u64::from(b'C') << 24) | (u64::from(b'T') << 16) | request as u64;
    let arguments: [u64; 6] = [code, 0, 0, 0, 0, 0];
    #[cfg(target_arch = "x86_64")]
    // SAFETY: valgrind's magic sequence (valgrind manual, "The client request mechanism"): four
    // rotations that together turn `rdi` by 128 bits, and an exchange of a register with itself.
    // Run natively, the sequence changes only the flags. Valgrind reads the six words at `rax`, which
    // outlive the sequence, and writes its answer to `rdx`.
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

/// Starts counting, which makes the process about fifty times slower.
pub fn start() {
    request(Request::StartInstrumentation);
}

/// Stops counting.
pub fn stop() {
    request(Request::StopInstrumentation);
}

/// Sets all counters to zero.
pub fn zero() {
    request(Request::ZeroStats);
}

/// Dumps the counters to the next file.
pub fn dump() {
    request(Request::DumpStats);
}

/// Functions of the C allocator, which are not counted.
///
/// How many instructions they execute depends on everything that was allocated and freed before. The difference is
/// up to 5 % of a side's instructions, so no two iterations would agree. Allocations are counted as a cause instead.
const ALLOCATOR: [&str; 7] =
    ["malloc", "free", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign"];

/// Returns valgrind's arguments, up to the path of the program.
///
/// Callgrind writes its dumps to `folder`. It counts all instructions except the allocator's.
pub fn arguments(folder: &Path) -> Vec<OsString> {
    let mut file = OsString::from("--callgrind-out-file=");
    file.push(folder.join("counts"));
    let fixed = ["--quiet", "--tool=callgrind", "--instr-atstart=no", "--dump-line=no"];
    // `--toggle-collect` stops collection while a function runs. It also turns collection off at the start, which
    // `--collect-atstart=yes` must undo at the end of the list.
    let uncounted = ALLOCATOR.map(|function| format!("--toggle-collect={function}"));
    let fixed = fixed.into_iter().map(OsString::from);
    let uncounted = uncounted.into_iter().map(OsString::from);
    fixed.chain([file]).chain(uncounted).chain(["--collect-atstart=yes".into()]).collect()
}

/// Returns the totals of the dumps in a folder, in order, after skipping the first `skipped`.
///
/// # Errors
/// If a dump cannot be read or has no total.
pub fn totals(folder: &Path, skipped: usize) -> io::Result<Vec<u64>> {
    let mut totals = Vec::new();
    loop {
        let path = folder.join(format!("counts.{}", skipped + totals.len() + 1));
        match fs::read_to_string(&path) {
            Ok(text) => totals.push(total(&text).ok_or_else(|| no_total(&path))?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(totals),
            Err(error) => return Err(error),
        }
    }
}

fn no_total(path: &Path) -> io::Error {
    io::Error::other(format!(
        "{} has no `totals:` line with a number of instructions",
        path.display()
    ))
}

/// Returns the total of a dump for its first event, which must be `Ir`, instructions read.
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
    fn requests_do_nothing_outside_valgrind() {
        start();
        zero();
        dump();
        stop();
    }

    #[test]
    fn a_dump_without_an_instruction_total_is_rejected() {
        let dump = "version: 1\nevents: Ir\nsummary: 7\nfn=(1) f\n1 7\n\ntotals: 123\n";
        assert_eq!(total(dump), Some(123));
        assert_eq!(total("events: Ir\ntotals: 12x\n"), None);
        assert_eq!(total("events: Dr\ntotals: 12\n"), None);
        assert_eq!(total(""), None);
    }
}
