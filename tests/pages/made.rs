//! Made runs and the sites of them: a run with a case of every kind, one with hostile names, one of a hundred pairs.

use std::{collections::BTreeMap, path::Path};

use jiff::Timestamp;
use worthit::CATALOGUE;
use worthit_harness::{
    load::Load,
    machine::{Machine, Processor},
    report::{Material, pages},
    results::{
        CaseResult, Computed, Measured, NamedCause, Objective, Outcome, PairResult, Revision, Run,
        SideResult,
    },
    samples::Sample,
    scaling::Point,
    statistics::{Interval, Summary},
    study::{AtUsers, Latency, NamedFix, StepResult, StudyResult, Wait},
};
use worthit_pair::{
    causes::{Cause, Counts},
    family::{Entry, Family},
    limit::{Need, Needed},
    pair::Metric,
    plans::Plan,
    trial::{LoadAtRate, Role},
};

pub fn machine() -> Machine {
    Machine {
        key: "made-2c-4g-linux6.1-ext4".to_owned(),
        cpu: "Made".to_owned(),
        processor: Some(Processor { vendor: Some("made".to_owned()), ..Processor::default() }),
        logical_cores: 2,
        topology: "1 socket(s), 2 core(s), 2 hardware thread(s)".to_owned(),
        caches: "L1d 32K".to_owned(),
        memory_bytes: 4 << 30,
        kernel: "6.1.0".to_owned(),
        filesystem: "ext4".to_owned(),
        governor: Some("powersave".to_owned()),
        virtual_machine: false,
    }
}

pub fn empty_run() -> Run {
    let revision = Revision { commit: Some("0123456789abcdef".to_owned()), dirty: true };
    Run::new("20260101T000000Z-1", Timestamp::UNIX_EPOCH, true, 7, machine(), revision)
}

pub fn pair(title: &str) -> PairResult {
    PairResult {
        title: title.to_owned(),
        naive: "walk".to_owned(),
        optimized: "jump".to_owned(),
        metric: Metric::Time,
        unit: "search".to_owned(),
        axis: "items".to_owned(),
        axis_unit: "items".to_owned(),
        parameter: None,
        headline: None,
        causes: vec![NamedCause { id: "steps".to_owned(), label: "steps".to_owned() }],
        objective: None,
        servers: Vec::new(),
        sweeps: vec![],
        levels: ["", "in-process", "rtt=1ms"].map(str::to_owned).to_vec(),
    }
}

pub fn side(role: Role, name: &str, ns: f64, steps: u64) -> SideResult {
    let times: Vec<f64> = (0..5).map(|i| ns * (1.0 + 0.02 * f64::from(i))).collect();
    let mut causes = Counts::default();
    causes.set(Cause::new("steps", "steps"), steps);
    let time_ns = Summary::of(&times).unwrap();
    SideResult {
        plans: vec![Plan {
            statement: "SELECT id, note FROM orders\n     WHERE customer_id = ?1 AND note <> '<b>'"
                .to_owned(),
            steps: vec!["SEARCH orders USING INDEX orders_by_customer (customer_id=?)".to_owned()],
        }],
        ..SideResult::new(role, name, time_ns, causes)
    }
}

pub fn measured(gain: f64, mark: Option<&str>) -> Outcome {
    let mut peer = side(Role::Peer(0), "peer", 120.0, 12);
    peer.against_optimized = Some(Interval { low: 1.1, estimate: 1.2, high: 1.3 });
    let interval = Interval { low: gain * 0.97, estimate: gain, high: gain * 1.04 };
    Outcome::Measured(Box::new(Measured {
        units_per_iteration: 4,
        inputs: 1,
        sides: vec![
            side(Role::Naive, "naive", 100.0 * gain, 1_000),
            side(Role::Optimized, "optimized", 100.0, 10),
            peer,
        ],
        gain: interval,
        processes: vec![interval],
        needed: vec![Needed { kind: Need::WaitingNs, amount: 300, within_bytes: None }],
        are_threads_placed: false,
        load: Load::default(),
        marked_processes: u64::from(mark.is_some()),
        mark: mark.map(str::to_owned),
    }))
}

/// A load that meets an objective of 10 ms, or misses it.
pub fn load(rate: f64, meets: bool) -> LoadAtRate {
    let p99_us = if meets { 2_500.0 } else { 64_000.0 };
    LoadAtRate {
        rate,
        requests: 1_000,
        p50_us: 1_100.0,
        p99_us,
        p999_us: p99_us * 1.5,
        max_us: p99_us * 2.0,
        failed: 0,
        failures: BTreeMap::new(),
        late: 12,
        lag_p99_us: 8.0,
        is_void: false,
    }
}

/// The same outcome, whose two sides held these rates, and 5 % more not.
pub fn under_load(mut outcome: Outcome, held: [f64; 2]) -> Outcome {
    let Outcome::Measured(measured) = &mut outcome else { return outcome };
    for (side, held) in measured.sides.iter_mut().zip(held) {
        let shares = [(0.5, true), (1.3, false), (1.0, true), (1.05, false)];
        side.loads = shares.map(|(share, meets)| load(held * share, meets)).to_vec();
    }
    outcome
}

pub fn computed(gain: f64) -> Outcome {
    Outcome::Computed(Computed {
        from: "loopback".to_owned(),
        rtt_us: 1_000,
        naive_ns: 1e6 * gain,
        optimized_ns: 1e6,
        gain,
        break_even_rtt_us: Some(12.0),
        confirmation: None,
    })
}

pub fn unavailable(reason: &str) -> Outcome {
    Outcome::Unavailable { reason: reason.to_owned() }
}

pub fn add(run: &mut Run, id: &str, pair: &PairResult, level: &str, cases: Vec<(u64, Outcome)>) {
    let pair = run.pairs.entry(id.to_owned()).or_insert_with(|| pair.clone());
    for (point, outcome) in cases {
        pair.add(level, CaseResult { point, outcome });
    }
}

pub fn sample(pair: &str, point: u64, i: u64) -> Sample {
    let wander = 1.0 + (i % 7) as f64 / 50.0;
    Sample {
        pair: pair.to_owned(),
        level: String::new(),
        point,
        process: 1,
        side: "naive".to_owned(),
        side_ns: 123.456_789 * wander,
        optimized_ns: 12.345_678_9 * wander,
    }
}

/// Run with a case of every kind.
pub fn full_run() -> Run {
    let mut run = empty_run();
    let cases = vec![
        (1, measured(0.5, None)),
        (10, measured(3.0, Some("other processes held the CPU"))),
        (100, under_load(measured(90.0, None), [1_000.0, 3_950.0])),
        (1_000, unavailable("not measured: no \"server\" on PATH")),
    ];
    let searched = PairResult {
        objective: Some(Objective { p99_us: 10_000, is_searched: true }),
        ..pair("Search")
    };
    add(&mut run, "made/search", &searched, "", cases);
    let distant = PairResult { parameter: Some("round-trip time".to_owned()), ..pair("Ask once") };
    add(&mut run, "made/distant", &distant, "in-process", vec![(1, measured(1.5, None))]);
    add(&mut run, "made/distant", &distant, "rtt=1ms", vec![(1, computed(40.0))]);
    let threads = PairResult {
        axis: "threads".to_owned(),
        axis_unit: "threads".to_owned(),
        ..pair("Use all cores")
    };
    let cases = vec![(1, measured(0.9, None)), (2, measured(1.7, None))];
    add(&mut run, "made/threads", &threads, "", cases);
    run.ceiling = vec![
        Point { threads: 1, speedup: Interval::exact(1.0) },
        Point { threads: 2, speedup: Interval { low: 1.8, estimate: 1.9, high: 2.0 } },
    ];
    run.studies.insert("studies/made".to_owned(), study("Order at once"));
    run.studies.insert("studies/feed".to_owned(), of_capacity(study("Read at once")));
    run.studies.insert("studies/crowd".to_owned(), of_users(study("Hold a crowd")));
    run
}

pub fn material<'a>(run: &'a Run, samples: &'a [Sample], folder: &'a Path) -> Material<'a> {
    Material { samples, ..Material::of(run, folder) }
}

pub fn site(run: &Run) -> BTreeMap<String, String> {
    let files = pages(&material(run, &[], Path::new("reports")));
    files.into_iter().map(|(name, bytes)| (name, String::from_utf8(bytes).unwrap())).collect()
}

/// Text of a page's main element without tags. Resolves only the entities that these tests need.
pub fn text(page: &str) -> String {
    let (_, body) = page.split_once("<main").unwrap();
    let (main, _) = body.split_once("</main>").unwrap();
    let outside = main.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text);
    let text = outside.collect::<Vec<_>>().join(" ");
    let text = text.replace("&#39;", "'").replace("&#34;", "\"").replace("&#38;", "&");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A step of a study that adds this fix, of this median.
pub fn step(fix: Option<(&str, &str)>, p50_ms: f64) -> StepResult {
    let [p50_ns, p99_ns, max_ns] = [1.0, 1.5, 2.0].map(|times| times * p50_ms * 1e6);
    StepResult {
        fix: fix.map(|(name, title)| NamedFix { name: name.to_owned(), title: title.to_owned() }),
        latency: Latency { requests: 7, p50_ns, p99_ns, max_ns },
        gain: None,
        simulated_ns: if p50_ms > 100.0 { 50e6 } else { 0.0 },
        counts: BTreeMap::from([("steps".to_owned(), p50_ms / 8.0)]),
        mark: None,
        at_users: Vec::new(),
    }
}

/// A study in which one fix makes requests slower, and one more where they are in another order.
pub fn study(title: &str) -> StudyResult {
    let (cache, batch, queue) =
        (Some(("cache", "Keep it")), Some(("batch", "Ask once")), Some(("queue", "Do it later")));
    let gain = Some(Interval { low: 4.5, estimate: 5.0, high: 5.5 });
    StudyResult {
        title: title.to_owned(),
        unit: "order".to_owned(),
        causes: pair("").causes,
        waits: vec![Wait {
            on: "the mail".to_owned(),
            ms: 50,
            only: String::new(),
            until: "queue".to_owned(),
        }],
        steps: vec![
            step(None, 1_000.0),
            StepResult { gain, ..step(cache, 200.0) },
            step(batch, 204.0),
            step(queue, 2.0),
        ],
        other_order: vec![
            step(None, 1_000.0),
            step(queue, 990.0),
            StepResult { mark: Some("busy".to_owned()), ..step(batch, 300.0) },
            step(cache, 2.0),
        ],
        ..StudyResult::default()
    }
}

/// The same study, whose steps hold 100, 200, 400 and 800 requests a second with 20 users, and half with 200; the first step then
/// holds none.
pub fn of_capacity(mut study: StudyResult) -> StudyResult {
    study.objective = Some(Objective { p99_us: 10_000, is_searched: true });
    for (step, held) in study.steps.iter_mut().zip([100.0, 200.0, 400.0, 800.0]) {
        let at_users = |users, loads| AtUsers { users, loads, memory_bytes: None, mark: None };
        let around = |held: f64| vec![load(held, true), load(1.1 * held, false)];
        let many = if held == 100.0 { vec![load(1.0, false)] } else { around(held / 2.0) };
        step.at_users = vec![at_users(20, around(held)), at_users(200, many)];
    }
    study
}

/// The same study, whose first step holds 10 users who think, and whose others hold 100.
pub fn of_users(mut study: StudyResult) -> StudyResult {
    study.objective = Some(Objective { p99_us: 10_000, is_searched: false });
    study.thinking_s = Some(30.0);
    for (nth, step) in study.steps.iter_mut().enumerate() {
        let mut many = load(3.0, nth > 0);
        if nth == 0 {
            many.failed = 250;
            many.failures = [("refused", 50), ("no answer", 200)]
                .map(|(kind, count)| (kind.to_owned(), count))
                .into();
        }
        let at_users = |users, load| AtUsers {
            users,
            loads: vec![load],
            memory_bytes: Some(64 << 20),
            mark: (nth == 3).then(|| "busy".to_owned()),
        };
        step.at_users = vec![at_users(10, load(0.3, true)), at_users(100, many)];
    }
    study
}

/// Names that would break out of an attribute, an element, a script, a path or a table.
pub const HOSTILE: [&str; 8] = [
    "<script>alert(1)</script>",
    "\" onload=\"alert(1)",
    "'><img src=x onerror=alert(1)>",
    "../../../etc/passwd",
    "{{ run }} {% raw %}",
    "a\u{202e}b\u{0}c",
    "]]></svg><svg onload=alert(1)>",
    "javascript:alert(1)",
];

pub fn hostile_run() -> Run {
    let mut run = full_run();
    for name in HOSTILE {
        run.machine.cpu += name;
        run.machine.governor = Some(name.to_owned());
        run.revision.commit = Some(name.to_owned());
        let named = PairResult {
            title: name.to_owned(),
            naive: name.to_owned(),
            optimized: name.to_owned(),
            unit: name.to_owned(),
            axis: name.to_owned(),
            axis_unit: name.to_owned(),
            causes: vec![NamedCause { id: "steps".to_owned(), label: name.to_owned() }],
            ..pair("")
        };
        let cases = vec![
            (0, measured(0.5, Some(name))),
            (1, measured(1e-300, None)),
            (u64::MAX, measured(1e300, None)),
            (7, unavailable(name)),
        ];
        add(&mut run, &format!("{name}/{name}"), &named, name, cases);
        let mut steps = vec![step(None, 1e300), step(Some((name, name)), 1e-300)];
        steps[1].mark = Some(name.to_owned());
        let hostile = StudyResult {
            unit: name.to_owned(),
            causes: named.causes,
            waits: vec![Wait {
                on: name.to_owned(),
                ms: u64::MAX,
                only: String::new(),
                until: name.to_owned(),
            }],
            steps,
            ..study(name)
        };
        let mut hostile = of_users(hostile);
        hostile.steps[0].at_users[1].loads[0].failures = [(name.to_owned(), u64::MAX)].into();
        hostile.steps[1].at_users[1].mark = Some(name.to_owned());
        run.studies.insert(format!("{name}/{name}"), hostile);
    }
    run
}

/// A hundred pairs with code and cards from the catalogue, each with six cases of a hundred samples.
pub fn hundred() -> (Run, Vec<Sample>, Vec<&'static Family>) {
    let originals: Vec<&'static Entry> = CATALOGUE.iter().flat_map(|family| family.pairs).collect();
    let mut run = full_run();
    let mut kept = Vec::new();
    let mut families: Vec<&'static Family> = Vec::new();
    for family in 0..5 {
        let name: &'static str = Box::leak(format!("family{family}").into_boxed_str());
        let entries: Vec<Entry> = (0..20)
            .map(|i| {
                let original = originals[i];
                let id = format!("{name}/{}", original.name());
                let cases = [1, 8, 64, 512, 4_096, 65_536];
                let cases =
                    cases.map(|n| (n, measured(0.5 + (n as f64).sqrt() * (i + 1) as f64, None)));
                kept.extend(
                    (0..600)
                        .map(|k| sample(&id, [1, 8, 64, 512, 4_096, 65_536][k / 100], k as u64)),
                );
                add(&mut run, &id, &pair(original.title), "", cases.to_vec());
                Entry::new(Box::leak(id.into_boxed_str()), original.source, original)
            })
            .collect();
        families.push(Box::leak(Box::new(Family {
            name,
            package: "many",
            title: "Many pairs",
            pairs: Box::leak(entries.into_boxed_slice()),
            ..Family::EMPTY
        })));
    }
    (run, kept, families)
}
