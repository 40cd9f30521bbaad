//! Real-time priority of the gate's workers.

use std::thread;

use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// Lets the calling thread, and those that it starts from now on, run before all that is not in real time; whether
/// the system allows it, as it does root, who has `CAP_SYS_NICE`, and who has an `RLIMIT_RTPRIO` (sched(7)).
///
/// Else a thread that wakes, whenever it has waited for a disk, waits again, until the time slice of what
/// runs on its core is over: 3 ms here, however low the priority of that. In turns with its equals
/// (`SCHED_RR`), so that threads that wait for each other on one core do not wait for ever.
pub fn set_realtime_priority() -> bool {
    let lowest = ThreadPriorityValue::try_from(1_u8).map(ThreadPriority::Crossplatform);
    let in_turns = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin);
    lowest.is_ok_and(|priority| {
        set_thread_priority_and_policy(thread_native_id(), priority, in_turns).is_ok()
    })
}

/// Whether the system would let a thread [go first](set_realtime_priority).
pub fn may_set_realtime_priority() -> bool {
    thread::spawn(set_realtime_priority).join().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_thread_that_goes_first_does_so_with_all_that_it_starts() {
        // Fields 40 and 41 (proc(5)): the real-time priority, and the policy, of which 2 is SCHED_RR.
        let scheduled = || {
            let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
            let (_, fields) = stat.rsplit_once(')').unwrap();
            let fields: Vec<u32> =
                fields.split_whitespace().skip(37).take(2).map(|n| n.parse().unwrap()).collect();
            (fields[0], fields[1])
        };
        thread::spawn(move || {
            let expected = if set_realtime_priority() { (1, 2) } else { (0, 0) };
            assert_eq!(scheduled(), expected);
            assert_eq!(thread::spawn(scheduled).join().unwrap(), expected);
        })
        .join()
        .unwrap();
        assert_eq!(scheduled(), (0, 0), "others do not");
    }
}
