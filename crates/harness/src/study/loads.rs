//! Loads of a study: each step with several numbers of users.

use super::AtUsers;
use crate::{
    capacity::{self, Effort},
    load::LoadProbe,
};
use worthit_pair::{
    pair::{Rates, Unavailable, UnderLoad},
    study::{self, Application, UserLoads},
};

/// Users who think are watched for this long, s; in a quick run for the second time.
const WATCHED_S: [f64; 2] = [2.0, 1.0];
/// Before that they ask for this long, s, again and again until the application is warm…
const WARM_UP_S: f64 = 0.5;
/// …which it is when the medians of two such loads, of a few requests each, differ by less than this share.
const AGREE: f64 = 0.25;
/// A load of users who think has at least this many requests, in a quick run the second number. The 99th percentile of the first
/// is not only the slowest one.
const LEAST_REQUESTS: [f64; 2] = [100.0, 50.0];
/// How a capacity is searched for: less precisely than that of a pair, as steps differ by more. In a quick run as the second
/// says.
const SEARCH: [Effort; 2] = [
    Effort { resolution: 1.15, objectives: 20.0, least_requests: 200.0, most_s: 2.0, warm_up: 10 },
    Effort { resolution: 2.0, objectives: 4.0, least_requests: 50.0, most_s: 0.5, warm_up: 5 },
];

/// Puts a step of an application with `users` users under the loads of its study. `served` is what the step served in a closed
/// loop, requests a second.
///
/// # Errors
/// If the step cannot be connected to.
pub fn of_step(
    application: &mut Application,
    (step, steps): (usize, usize),
    loads: &UserLoads,
    users: u64,
    served: f64,
    (seed, is_quick): (u64, bool),
) -> Result<AtUsers, Unavailable> {
    let role = study::role(step, steps);
    let (trial, rate) = (&mut application.trial, loads.rate(users));
    let mut warm_ups = 0;
    let warm = rate.map_or(Ok(()), |rate| {
        let mut warm_up = || {
            warm_ups += 1;
            let requests = (rate * WARM_UP_S).ceil() as u64;
            trial.send(role, rate, requests, seed.wrapping_add(warm_ups))
        };
        capacity::warm_up(&mut warm_up, AGREE)
    });
    // The processes of the step before have ended by now; their CPU time would be nobody's.
    let probe = LoadProbe::start();
    let sent = warm.and_then(|()| match rate {
        Some(rate) => {
            let kind = usize::from(is_quick);
            let requests = (rate * WATCHED_S[kind]).max(LEAST_REQUESTS[kind]).ceil();
            let load = trial.send(role, rate, requests as u64, seed)?;
            Ok(load.into_iter().collect())
        }
        None => {
            let under_load = UnderLoad { p99: loads.p99, rates: Rates::Capacity };
            let effort = SEARCH[usize::from(is_quick)];
            capacity::loads(trial, role, &under_load, served, effort, seed)
        }
    });
    let memory_bytes = application.memory.as_ref().map(|memory| memory(step));
    // Before processes that send loads end, as well.
    let mark = probe.load().mark(2);
    // The connections of one step are as many as the system has for a process.
    application.trial.end_loads(role);
    Ok(AtUsers { users, loads: sent?, memory_bytes, mark })
}
