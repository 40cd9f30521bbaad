//! Made results of studies, for tests.

use std::collections::BTreeMap;

use super::{AtUsers, Latency, NamedFix, StepResult, StudyResult, Wait};
use crate::results::{NamedCause, Objective};
use worthit_pair::trial::LoadAtRate;

/// A step of this median, with a fix or none.
pub fn step(fix: Option<&str>, p50_ms: f64, simulated_ms: f64) -> StepResult {
    StepResult {
        fix: fix.map(|name| NamedFix { name: name.to_owned(), title: "Do it".to_owned() }),
        latency: Latency::of(vec![p50_ms * 1e6; 3]).unwrap(),
        gain: None,
        simulated_ns: simulated_ms * 1e6,
        counts: BTreeMap::from([("statements".to_owned(), p50_ms)]),
        mark: None,
        at_users: Vec::new(),
    }
}

/// A study of three fixes, one of which makes requests slower.
pub fn study() -> StudyResult {
    StudyResult {
        title: "Be quick".to_owned(),
        unit: "transfer".to_owned(),
        causes: vec![NamedCause { id: "statements".to_owned(), label: "statements".to_owned() }],
        waits: vec![Wait {
            on: "mail".to_owned(),
            ms: 200,
            only: String::new(),
            until: "three".to_owned(),
        }],
        steps: vec![
            step(None, 1_000.0, 200.0),
            step(Some("one"), 500.0, 200.0),
            step(Some("two"), 510.0, 200.0),
            step(Some("three"), 10.0, 0.0),
        ],
        ..StudyResult::default()
    }
}

/// A load at this rate with a 99th percentile of this many milliseconds.
pub fn load(rate: f64, p99_ms: f64, failed: u64) -> LoadAtRate {
    LoadAtRate {
        rate,
        requests: 1_000,
        p50_us: 500.0 * p99_ms,
        p99_us: 1_000.0 * p99_ms,
        p999_us: 1_000.0 * p99_ms,
        max_us: 1_000.0 * p99_ms,
        failed,
        failures: BTreeMap::from([("refused".to_owned(), failed)]),
        late: 0,
        lag_p99_us: 1.0,
        is_void: false,
    }
}

/// Three steps whose capacities are searched for, with 20 and 200 users: 10, 40 and 400 requests a second, and with ten
/// times the users none, 40 and 200.
pub fn of_capacity() -> StudyResult {
    let at_users = |users, held: Option<f64>| AtUsers {
        users,
        loads: match held {
            Some(held) => vec![load(held, 9.0, 0), load(2.0 * held, 90.0, 0)],
            None => vec![load(1.0, 90.0, 0)],
        },
        memory_bytes: None,
        mark: None,
    };
    let step = |fix, few: f64, many: Option<f64>| StepResult {
        at_users: vec![at_users(20, Some(few)), at_users(200, many)],
        ..step(fix, 5.0, 0.0)
    };
    StudyResult {
        unit: "timeline".to_owned(),
        objective: Some(Objective { p99_us: 10_000, is_searched: true }),
        steps: vec![
            step(None, 10.0, None),
            step(Some("one"), 40.0, Some(40.0)),
            step(Some("two"), 400.0, Some(200.0)),
        ],
        waits: Vec::new(),
        ..study()
    }
}

/// Three steps that hold 10, 100 and 1,000 users who think.
pub fn of_users() -> StudyResult {
    let step = |fix, held: u64| StepResult {
        at_users: [10, 100, 1_000]
            .map(|users| AtUsers {
                users,
                loads: vec![match users {
                    users if users <= held => load(users as f64, 2.0, 0),
                    users if users == 10 * held => load(users as f64, 20.0, 0),
                    users => load(users as f64, 20.0, 370),
                }],
                memory_bytes: Some(users << 20),
                mark: None,
            })
            .to_vec(),
        ..step(fix, 5.0, 0.0)
    };
    StudyResult {
        objective: Some(Objective { p99_us: 10_000, is_searched: false }),
        thinking_s: Some(1.0),
        steps: vec![step(None, 10), step(Some("one"), 100), step(Some("two"), 1_000)],
        waits: Vec::new(),
        ..study()
    }
}
