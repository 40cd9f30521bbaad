//! Capacity: the highest rate of open-loop load at which a side meets its objective.
//!
//! [`loads`] sends them, [`Capacity::of`] is a pure function of what they showed. Loads near the limit contradict each
//! other now and then, so the capacity divides them where the fewest do.

use std::time::Duration;

use worthit_pair::{
    pair::{Rates, Unavailable, UnderLoad},
    trial::{LoadAtRate, Role, Trial},
};

/// A load lasts at least this long…
const DURATION_S: f64 = 0.5;
/// …and has at most this many requests.
const MOST_REQUESTS: f64 = 20_000.0;
/// The search begins with these shares of the rate that the side served in a closed loop.
const BEGIN: [f64; 3] = [0.5, 0.8, 1.25];
/// If the first rates all meet the objective, or all miss it, the next one is this many times higher or lower.
const STEP: f64 = 1.6;
/// The search ends if no load met the objective and one of them was this share of the rate that the side served in a closed
/// loop: it meets it at no rate to speak of.
const HOPELESS: f64 = 0.1;
/// The search ends after this many loads in any case.
const MOST_LOADS: usize = 16;
/// The search ends after this many void loads: a machine that is busy with something else stays so for a while.
const MOST_VOID: usize = 4;
/// The most loads that warm up.
const MOST_WARM_UPS: usize = 5;
/// Warming up ends when the medians of two loads differ by less than this share.
const AGREE: f64 = 0.1;

/// How precisely a capacity is searched for.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// The search ends when the lowest rate that missed the objective is at most this many times the highest that met it.
    pub resolution: f64,
    /// A load lasts this many times the objective: a queue that grows by the inverse part of the load is then seen to miss it.
    pub objectives: f64,
    /// A load has at least this many requests…
    pub least_requests: f64,
    /// …unless it would last longer than this for them, s.
    pub most_s: f64,
    /// Requests of a load that warms up.
    pub warm_up: u64,
}

impl Effort {
    /// For the sides of a pair, whose capacities may be near each other. Ten of a thousand requests are above the 99th
    /// percentile.
    pub const OF_PAIR: Effort = Effort {
        resolution: 1.03,
        objectives: 40.0,
        least_requests: 1_000.0,
        most_s: 60.0,
        warm_up: 100,
    };
}

/// The rates of open-loop load that a side can serve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Capacity {
    /// The highest rate that met the objective, requests a second; `None` if none did.
    pub held: Option<f64>,
    /// The lowest rate above it that missed the objective; `None` if none did, so that the capacity may be higher.
    pub missed: Option<f64>,
}

impl Capacity {
    /// Returns the capacity that loads at several rates show, where the 99th percentile of latency may be at most `p99`.
    ///
    /// It lies where the fewest loads contradict it: those below that missed the objective, and those above that met it. If
    /// several places are as good, it is the lowest.
    pub fn of(loads: &[LoadAtRate], p99: Duration) -> Capacity {
        let mut judged: Vec<(f64, bool)> =
            loads.iter().filter_map(|load| Some((load.rate, load.meets(p99)?))).collect();
        judged.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let contradictions = |place: usize| {
            let (below, above) = judged.split_at(place);
            below.iter().filter(|(_, meets)| !meets).count()
                + above.iter().filter(|(_, meets)| *meets).count()
        };
        // Loads at one rate are on one side of the capacity.
        let is_between = |place: &usize| {
            *place == 0 || *place == judged.len() || judged[*place - 1].0 < judged[*place].0
        };
        let place =
            (0..=judged.len()).filter(is_between).min_by_key(|place| contradictions(*place));
        let (below, above) = judged.split_at(place.unwrap_or(0));
        Capacity {
            held: below.iter().rev().find(|(_, meets)| *meets).map(|(rate, _)| *rate),
            missed: above.iter().find(|(_, meets)| !meets).map(|(rate, _)| *rate),
        }
    }
}

/// Sends loads to a side, `seed` says when, and returns what they showed, in the order in which they were sent. `served` is the
/// rate that the side served in a closed loop, in requests a second. Empty if the trial has nothing that sends loads.
///
/// # Errors
/// If the side cannot be connected to.
pub fn loads(
    trial: &mut Trial,
    role: Role,
    under_load: &UnderLoad,
    served: f64,
    effort: Effort,
    seed: u64,
) -> Result<Vec<LoadAtRate>, Unavailable> {
    let mut sent = 0;
    let mut send = |rate: f64, requests: u64| {
        sent += 1;
        trial.send(role, rate, requests, seed.wrapping_add(sent))
    };
    let first = match under_load.rates {
        Rates::Stated(rates) => rates.first().map_or(served, |rate| *rate as f64),
        Rates::Capacity => served * BEGIN[0],
    };
    if under_load.rates != Rates::Capacity || !is_hopeless(served, under_load.p99) {
        warm_up(&mut || send(first, effort.warm_up), AGREE)?;
    }
    let least_s = DURATION_S.max(effort.objectives * under_load.p99.as_secs_f64());
    let mut at = |rate: f64| {
        let rate = whole(rate);
        let least = effort.least_requests.min(rate * effort.most_s.max(least_s));
        let requests = (rate * least_s).clamp(least.max(1.0), MOST_REQUESTS);
        send(rate, requests.ceil() as u64)
    };
    match under_load.rates {
        Rates::Stated(rates) => {
            rates.iter().filter_map(|rate| at(*rate as f64).transpose()).collect()
        }
        Rates::Capacity => search(served, under_load.p99, effort.resolution, &mut at),
    }
}

/// What was sent; `None` if the trial has nothing that sends loads.
pub type Sent = Result<Option<LoadAtRate>, Unavailable>;

/// Sends loads until the medians of two of them differ by less than the share `agree`, or requests fail, which more of them would
/// not change.
pub fn warm_up(send: &mut dyn FnMut() -> Sent, agree: f64) -> Result<(), Unavailable> {
    let mut before = f64::INFINITY;
    for _ in 0..MOST_WARM_UPS {
        let Some(load) = send()? else { break };
        if load.failed > 0 || (load.p50_us / before - 1.0).abs() < agree {
            break;
        }
        before = load.p50_us;
    }
    Ok(())
}

/// Whole rates are easier to read, and to compare between processes.
fn whole(rate: f64) -> f64 {
    rate.round().max(1.0)
}

/// Returns whether requests that waited for nobody took longer than the objective: `served` of them a second.
fn is_hopeless(served: f64, p99: Duration) -> bool {
    1.0 / served > p99.as_secs_f64()
}

/// Sends loads until the capacity is known well enough.
fn search(
    served: f64,
    p99: Duration,
    resolution: f64,
    at: &mut dyn FnMut(f64) -> Sent,
) -> Result<Vec<LoadAtRate>, Unavailable> {
    if is_hopeless(served, p99) {
        // One load shows it.
        return Ok(at(BEGIN[0] * served)?.into_iter().collect());
    }
    let mut found = Vec::new();
    for share in BEGIN {
        found.extend(at(served * share)?);
    }
    let is_void = |load: &&LoadAtRate| load.meets(p99).is_none();
    while found.len() < MOST_LOADS && found.iter().filter(is_void).count() < MOST_VOID {
        let next = match Capacity::of(&found, p99) {
            Capacity { held: Some(held), missed: Some(missed) } if missed > held * resolution => {
                (held * missed).sqrt()
            }
            Capacity { held: Some(held), missed: None } => held * STEP,
            Capacity { held: None, missed: Some(missed) } if missed > HOPELESS * served => {
                missed / STEP
            }
            // It is known or nothing, or all loads were void, or none was sent.
            _ => break,
        };
        if found.iter().any(|load| load.rate == whole(next) && !is_void(&load)) {
            break;
        }
        found.extend(at(next)?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECTIVE: Duration = Duration::from_millis(10);
    const FINE: f64 = Effort::OF_PAIR.resolution;

    /// A load whose 99th percentile is 1 ms, or 100 ms if the objective is missed.
    fn load(rate: f64, meets: bool) -> LoadAtRate {
        let p99_us = if meets { 1e3 } else { 1e5 };
        LoadAtRate {
            rate,
            requests: 1_000,
            p50_us: 500.0,
            p99_us,
            p999_us: p99_us,
            max_us: p99_us,
            failed: 0,
            failures: std::collections::BTreeMap::new(),
            late: 0,
            lag_p99_us: 1.0,
            is_void: false,
        }
    }

    fn capacity(loads: &[(f64, bool)]) -> (Option<f64>, Option<f64>) {
        let loads: Vec<LoadAtRate> =
            loads.iter().map(|(rate, meets)| load(*rate, *meets)).collect();
        let Capacity { held, missed } = Capacity::of(&loads, OBJECTIVE);
        (held, missed)
    }

    #[test]
    fn it_lies_between_the_rates_that_meet_the_objective_and_those_that_miss_it() {
        let known = [(800.0, true), (500.0, true), (1_250.0, false), (1_000.0, true)];
        assert_eq!(capacity(&known), (Some(1_000.0), Some(1_250.0)));
        assert_eq!(capacity(&[(5.0, true), (6.0, true)]), (Some(6.0), None));
        assert_eq!(capacity(&[(5.0, false), (6.0, false)]), (None, Some(5.0)));
        assert_eq!(capacity(&[]), (None, None));
    }

    #[test]
    fn a_load_that_contradicts_the_others_does_not_move_it() {
        let with_a_hiccup =
            [(500.0, false), (600.0, true), (800.0, true), (1_000.0, true), (1_250.0, false)];
        assert_eq!(capacity(&with_a_hiccup), (Some(1_000.0), Some(1_250.0)));
        let with_luck = [(500.0, true), (800.0, false), (1_000.0, false), (1_250.0, true)];
        assert_eq!(capacity(&with_luck), (Some(500.0), Some(800.0)));
        // Two loads at one rate disagree: it is not above itself.
        let (held, missed) = capacity(&[(500.0, true), (800.0, true), (800.0, false)]);
        assert_eq!((held, missed), (Some(500.0), Some(800.0)));
    }

    #[test]
    fn void_loads_and_failed_requests_are_no_capacity() {
        let void = LoadAtRate { is_void: true, lag_p99_us: 1e6, ..load(900.0, true) };
        let failing = LoadAtRate { failed: 1, ..load(700.0, true) };
        let found = Capacity::of(&[load(500.0, true), failing, void], OBJECTIVE);
        assert_eq!(found, Capacity { held: Some(500.0), missed: Some(700.0) });
    }

    #[test]
    fn the_search_finds_a_known_limit_from_wherever_it_begins() {
        for limit in [90.0, 700.0, 1_000.0, 1_190.0, 9_000.0] {
            let found =
                search(1_000.0, OBJECTIVE, FINE, &mut |rate| Ok(Some(load(rate, rate <= limit))));
            let found = found.unwrap();
            let Capacity { held, missed } = Capacity::of(&found, OBJECTIVE);
            let (held, missed) = (held.unwrap(), missed.unwrap());
            assert!(held <= limit && limit < missed && missed <= held * FINE, "{found:?}");
            assert!(found.len() <= MOST_LOADS);
        }
    }

    #[test]
    fn the_search_ends_by_itself() {
        // No whole rate is between the one that meets the objective and the one that misses it.
        let few = search(100.0, OBJECTIVE, FINE, &mut |rate| {
            let rate = whole(rate);
            Ok(Some(load(rate, rate <= 20.0)))
        });
        let few: Vec<f64> = few.unwrap().iter().map(|load| load.rate).collect();
        assert_eq!(few, [50.0, 80.0, 125.0, 31.0, 19.0, 24.0, 21.0, 20.0]);
        let all = search(1_000.0, OBJECTIVE, FINE, &mut |rate| Ok(Some(load(rate, true))));
        assert_eq!(all.unwrap().len(), MOST_LOADS);
        let none = search(1_000.0, OBJECTIVE, FINE, &mut |rate| Ok(Some(load(rate, false))));
        // 500 requests a second, then 312, 195, 122 and 76.
        assert_eq!(none.unwrap().len(), BEGIN.len() + 4);
        // A request alone takes 20 ms, and 10 ms are the objective.
        let slow = search(50.0, OBJECTIVE, FINE, &mut |rate| Ok(Some(load(rate, false))));
        assert_eq!(slow.unwrap().iter().map(|load| load.rate).collect::<Vec<_>>(), [25.0]);
        let void =
            |rate| Ok(Some(LoadAtRate { is_void: true, lag_p99_us: 1e6, ..load(rate, true) }));
        assert_eq!(search(1_000.0, OBJECTIVE, FINE, &mut { void }).unwrap().len(), BEGIN.len());
        let void_above = |rate| {
            Ok(Some(LoadAtRate { is_void: rate > 900.0, lag_p99_us: 1e6, ..load(rate, true) }))
        };
        let found = search(1_000.0, OBJECTIVE, FINE, &mut { void_above }).unwrap();
        assert_eq!(found.iter().filter(|load| load.is_void).count(), MOST_VOID);
        assert!(search(1_000.0, OBJECTIVE, FINE, &mut |_| Ok(None)).unwrap().is_empty());
        let gone = |_| Err(Unavailable("no server".to_owned()));
        assert!(search(1_000.0, OBJECTIVE, FINE, &mut { gone }).is_err());
    }

    #[test]
    fn warming_up_ends_when_two_medians_agree_or_requests_fail_or_after_some_loads() {
        let mut medians = [900.0, 600.0, 590.0, 100.0].into_iter();
        let mut next = || medians.next().map(|p50_us| LoadAtRate { p50_us, ..load(1.0, true) });
        warm_up(&mut || Ok(next()), AGREE).unwrap();
        assert_eq!(medians.next(), Some(100.0));
        let mut failures = [(900.0, 0), (600.0, 1), (300.0, 0)].into_iter();
        let mut next = || {
            let (p50_us, failed) = failures.next()?;
            Some(LoadAtRate { p50_us, failed, ..load(1.0, true) })
        };
        warm_up(&mut || Ok(next()), AGREE).unwrap();
        assert_eq!(failures.next(), Some((300.0, 0)));
        let (mut median, mut loads) = (1.0, 0);
        warm_up(
            &mut || {
                (median, loads) = (median * 2.0, loads + 1);
                Ok(Some(LoadAtRate { p50_us: median, ..load(1.0, true) }))
            },
            AGREE,
        )
        .unwrap();
        assert_eq!(loads, MOST_WARM_UPS);
    }
}
