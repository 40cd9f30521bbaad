//! Real-time priority of the gate's workers.

use std::thread;

use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// Gives real-time priority to the calling thread and to threads that it starts later.
///
/// Returns whether the system permits it. It does so for root, with `CAP_SYS_NICE`, or with a nonzero `RLIMIT_RTPRIO`
/// (sched(7)).
///
/// Without real-time priority, a thread that wakes up after waiting for a disk must wait again until the time slice of
/// the thread on its core ends: 3 ms here, however low that thread's priority is. The policy is round-robin
/// (`SCHED_RR`), so that a thread that spin-waits for another on its core does not starve it.
pub fn set_realtime_priority() -> bool {
    let lowest = ThreadPriorityValue::try_from(1_u8).map(ThreadPriority::Crossplatform);
    let round_robin = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin);
    lowest.is_ok_and(|priority| {
        set_thread_priority_and_policy(thread_native_id(), priority, round_robin).is_ok()
    })
}

/// Returns whether the system permits [real-time priority](set_realtime_priority).
pub fn may_set_realtime_priority() -> bool {
    thread::spawn(set_realtime_priority).join().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_new_thread_inherits_real_time_priority() {
        // Fields 40 and 41 (proc(5)): the real-time priority and the policy, where 2 is SCHED_RR.
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
        assert_eq!(scheduled(), (0, 0), "other threads keep theirs");
    }
}
