//! The cost of the smallest services of the kernel, the allocator and the standard library.
//!
//! *System call* and *context switch* follow lmbench's `lat_syscall null` and `lat_ctx` (McVoy and Staelin 1996): a
//! call that the kernel answers at once, and two threads on one CPU that pass a byte back and forth. Unlike in
//! lmbench, a context switch includes the cost of the pipe.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    hint::black_box,
    io::{self, PipeReader, PipeWriter},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use rustix::{process::getppid, thread::sched_getcpu};

use crate::{ATOMIC, CONTENDED_ATOMIC, Effort, Reading, SYSTEM_CALL, THREAD, Unit, echo};
use worthit_pair::{
    cores,
    pair::{Unavailable, logical_cores},
};

pub(crate) fn numbers(effort: &Effort) -> Vec<Reading> {
    let number =
        |id, what, detail, readings| Reading::of((id, what, Unit::Nanoseconds), detail, readings);
    let switches = context_switches(effort).map_err(|error| {
        Unavailable(format!("cannot pin two threads to one CPU: {error}; allow sched_setaffinity"))
    });
    let spawns = spawns(effort)
        .map_err(|error| Unavailable(format!("cannot start a thread: {error}; raise ulimit -u")));
    vec![
        number(
            "allocation",
            "allocate and free",
            "64 bytes, system allocator",
            Ok(allocations(effort)),
        ),
        number(SYSTEM_CALL, "system call", "getppid", Ok(calls(effort))),
        number(
            "context_switch",
            "context switch",
            "half a round trip of a byte through pipes, one CPU",
            switches,
        ),
        number(THREAD, "thread", "spawn and join", spawns),
        number("mutex", "lock and unlock", "std's Mutex, uncontended", Ok(locks(effort))),
        number(ATOMIC, "atomic addition", "fetch_add, uncontended", Ok(additions(effort))),
        number(
            CONTENDED_ATOMIC,
            "contended addition",
            "fetch_add on one word by a thread on each core, per addition of all",
            Ok(contended_additions(effort)),
        ),
        number(
            "channel_hop",
            "channel hop",
            "half a round trip through std's channels, two threads",
            Ok(hops(effort)),
        ),
    ]
}

/// Allocates and frees 64 bytes `count` times, bypassing a counting allocator.
fn allocate_and_free(count: u64) {
    let layout = Layout::new::<[u64; 8]>();
    for _ in 0..count {
        // SAFETY: the layout is not empty.
        let block = black_box(unsafe { System.alloc(layout) });
        assert!(!block.is_null(), "out of memory");
        // SAFETY: it was allocated just before with this layout.
        unsafe { System.dealloc(block, layout) };
    }
}

fn allocations(effort: &Effort) -> Vec<f64> {
    effort.ns_per_operation(allocate_and_free)
}

fn calls(effort: &Effort) -> Vec<f64> {
    effort.ns_per_operation(|count| {
        for _ in 0..count {
            black_box(getppid());
        }
    })
}

/// Returns half the round-trip time of a byte between two threads on one CPU, ns.
fn context_switches(effort: &Effort) -> io::Result<Vec<f64>> {
    let cpu = sched_getcpu();
    let (there_end, there) = io::pipe()?;
    let (back_end, back) = io::pipe()?;
    let trips = thread::scope(|scope| {
        scope.spawn(move || echo_on(cpu, there_end, back));
        let asking = scope.spawn(move || {
            cores::keep_on(cpu)?;
            effort.try_ns_per_operation(|count| echo::round_trips(&there, &back_end, count))
        });
        asking.join().expect("it does not panic")
    })?;
    Ok(trips.into_iter().map(|ns| ns / 2.0).collect())
}

/// Sends bytes back from a CPU. An error here closes the pipes, so that the other thread's reads fail too.
fn echo_on(cpu: usize, from: PipeReader, to: PipeWriter) -> io::Result<u64> {
    cores::keep_on(cpu)?;
    echo::send_back(from, to)
}

fn spawns(effort: &Effort) -> io::Result<Vec<f64>> {
    effort.try_ns_per_operation(|count| {
        for _ in 0..count {
            let thread = thread::Builder::new().spawn(|| ())?;
            thread.join().expect("it does nothing");
        }
        Ok(())
    })
}

/// Adds 1 under the lock `count` times.
fn add_locked(sum: &Mutex<u64>, count: u64) {
    for _ in 0..count {
        *black_box(sum).lock().expect("no thread panics while it holds the lock") += 1;
    }
}

fn locks(effort: &Effort) -> Vec<f64> {
    let sum = Mutex::new(0);
    effort.ns_per_operation(|count| add_locked(&sum, count))
}

fn add_atomically(sum: &AtomicU64, count: u64) {
    for _ in 0..count {
        black_box(sum).fetch_add(1, Relaxed);
    }
}

fn additions(effort: &Effort) -> Vec<f64> {
    let sum = AtomicU64::new(0);
    effort.ns_per_operation(|count| add_atomically(&sum, count))
}

/// Adds 1 about `count` times in all, on `threads` threads.
fn contend(sum: &AtomicU64, threads: u64, count: u64) {
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| add_atomically(sum, count.div_ceil(threads)));
        }
    });
}

fn contended_additions(effort: &Effort) -> Vec<f64> {
    let sum = AtomicU64::new(0);
    let threads = logical_cores();
    effort.ns_per_operation(|count| contend(&sum, threads, count))
}

/// Returns half the round-trip time of a message between two threads, ns.
fn hops(effort: &Effort) -> Vec<f64> {
    let (there, there_end) = channel();
    let (back, back_end) = channel();
    let trips = thread::scope(|scope| {
        scope.spawn(move || send_back(&there_end, &back));
        let trips = effort.ns_per_operation(|count| round_trips(&there, &back_end, count));
        // Ends the other thread.
        drop(there);
        trips
    });
    trips.into_iter().map(|ns| ns / 2.0).collect()
}

/// Sends each message back until the other end is closed. Returns the number of messages.
fn send_back(from: &Receiver<u64>, to: &Sender<u64>) -> u64 {
    from.iter().take_while(|message| to.send(*message).is_ok()).count() as u64
}

fn round_trips(to: &Sender<u64>, from: &Receiver<u64>, count: u64) {
    for nth in 0..count {
        to.send(nth).expect("the other thread listens");
        assert_eq!(from.recv(), Ok(nth), "a different message came back");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lock_is_taken_and_every_message_comes_back() {
        let sum = Mutex::new(0);
        add_locked(&sum, 1_000);
        assert_eq!(*sum.lock().unwrap(), 1_000);
        let sum = AtomicU64::new(0);
        contend(&sum, 3, 900);
        assert_eq!(sum.into_inner(), 900);

        let ((there, there_end), (back, back_end)) = (channel(), channel());
        let echo = thread::spawn(move || send_back(&there_end, &back));
        round_trips(&there, &back_end, 500);
        drop(there);
        assert_eq!(echo.join().unwrap(), 500);
    }

    #[test]
    fn a_pinned_thread_stays_on_its_cpu_and_other_threads_are_not_pinned() {
        let cpu = sched_getcpu();
        let allowed = rustix::thread::sched_getaffinity(None).unwrap();
        let pinned = thread::spawn(move || {
            cores::keep_on(cpu).unwrap();
            sched_getcpu()
        });
        assert_eq!(pinned.join().unwrap(), cpu);
        assert_eq!(rustix::thread::sched_getaffinity(None).unwrap(), allowed);
        assert!(
            cores::keep_on(rustix::thread::CpuSet::MAX_CPU - 1).is_err(),
            "there is no such CPU"
        );
    }
}
