//! The page that lays the results of several machines side by side.

use std::{collections::BTreeMap, path::Path};

use jiff::Timestamp;
use worthit_harness::{
    load::Load,
    numbers::Numbers,
    report::{Material, pages},
    results::{Headline, Outcome, PairResult, Run},
    statistics::{Interval, Summary},
};
use worthit_pair::{
    limit::{Need, Needed},
    trial::Role,
};

use crate::made::{
    HOSTILE, add, computed, empty_run, full_run, hostile_run, material, measured, pair, side, text,
    unavailable,
};

/// Machine numbers with a hash that takes so long.
fn hashing(ns: f64) -> Numbers {
    let number = serde_json::json!({
        "id": "foldhash",
        "what": "hash of a word",
        "unit": "nanoseconds",
        "detail": "",
        "found": { "readings": Summary::of(&[ns]).unwrap() },
    });
    let number = serde_json::from_value(number).unwrap();
    Numbers { load: Load::default(), times: 1, numbers: vec![number] }
}

/// A case whose naive side takes so long, the optimized side 100 ns, and whose limit is a hash.
fn hashes(naive_ns: f64) -> Outcome {
    let Outcome::Measured(mut found) = measured(naive_ns / 100.0, None) else { unreachable!() };
    found.sides[0] = side(Role::Naive, "naive", naive_ns, 1_000);
    found.needed = vec![Needed { kind: Need::Hashes, amount: 4, within_bytes: None }];
    Outcome::Measured(found)
}

fn reference(key: &str, hash_ns: f64, cases: Vec<(&str, Outcome)>) -> Run {
    let mut run = empty_run();
    run.key = format!("19700101T000000Z-{key}");
    run.machine.key = key.to_owned();
    run.quick = false;
    run.started = Timestamp::UNIX_EPOCH;
    run.numbers = Some(hashing(hash_ns));
    let headline = Some(Headline { level: String::new(), point: 9 });
    let headed = PairResult { headline, ..pair("Hash less") };
    for (id, outcome) in cases {
        add(&mut run, id, &headed, "", vec![(9, outcome)]);
    }
    run
}

/// References of three machines, one of them with a key of the older kind.
pub fn three_machines() -> Vec<Run> {
    let mut older = reference(
        "old-2c-linux6.1-ext4",
        1.0,
        vec![("made/hash", hashes(500.0)), ("made/lost", measured(0.9, None))],
    );
    older.machine.processor = None;
    let marked = measured(2.0, Some("other processes held the CPU"));
    vec![
        reference(
            "amd-25.17.1-avx512-32k.1m.32m-2c-24g-linux6.18-ext4",
            2.0,
            vec![
                ("made/hash", hashes(200.0)),
                ("made/lost", measured(3.0, None)),
                ("made/asked", unavailable("no \"server\" on PATH")),
                ("made/distant", computed(40.0)),
            ],
        ),
        reference(
            "intel-6.143.8-avx512-48k.2m.105m-16c-126g-linux6.18-ext4",
            3.9,
            vec![
                ("made/hash", hashes(390.0)),
                ("made/lost", measured(1.0, None)),
                ("made/asked", marked),
            ],
        ),
        older,
    ]
}

fn files(run: &Run, references: &[Run]) -> BTreeMap<String, String> {
    let files = pages(&Material { references, ..material(run, &[], Path::new("reports")) });
    files.into_iter().map(|(name, bytes)| (name, String::from_utf8(bytes).unwrap())).collect()
}

#[test]
fn there_is_a_page_and_an_entry_for_it_if_a_machine_has_figures() {
    let entry = "<a href=\"portability.html\"";
    let quick = full_run();
    let without = files(&quick, &[]);
    assert!(!without.contains_key("portability.html") && !without["index.html"].contains(entry));
    let with = files(&quick, &three_machines());
    assert!(with.contains_key("portability.html") && with["index.html"].contains(entry));
    let alone = files(&Run { quick: false, ..full_run() }, &[]);
    let page = text(&alone["portability.html"]);
    assert!(page.contains("No pair was measured on several machines."), "{page}");
}

#[test]
fn each_pair_says_on_how_many_machines_it_holds_and_what_goes_with_a_difference() {
    let page = text(&files(&full_run(), &three_machines())["portability.html"]);
    for part in [
        "4 pairs on 3 machines. Measured on several of them: 2. The gain holds on each for 1; the answer differs for 1.",
        "■ A amd-25.17.1-avx512-32k.1m.32m-2c-24g-linux6.18-ext4",
        "▲ C old-2c-linux6.1-ext4, recorded under an older kind of machine key",
        "The answer differs between machines: 1 made/lost Hash less holds on 1 of 3; loses on C; cannot be told on B 3.00× (2.91…3.12) wins from 9 on",
        "measured the pair: 1 made/hash Hash less holds on 3 of 3 2.00× (1.94…2.08) wins from 9 on 3.90× (3.78…4.06) wins from 9 on 5.00× (4.85…5.20) wins from 9 on",
        "A → C: naive takes 2.50× as long, optimized 1.00×. No measured number explains it (nearest: hash of a word, 0.500×).",
        "made/asked Hash less – – not measured: no \"server\" on PATH – marked: other processes held the CPU – not in its results",
        "made/ distant Hash less holds on 1 of 1 40.0× (computed)",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    let two = &three_machines()[..2];
    let page = text(&files(&full_run(), two)["portability.html"]);
    let named = "A → B: naive takes 1.95× as long, optimized 1.00×. The naive side goes with: hash of a word, 1.95× (2.00 ns → 3.90 ns).";
    assert!(page.contains(named), "{page}");
    assert!(!page.contains("because"), "{page}");
}

#[test]
fn only_pairs_of_the_site_are_linked() {
    let page = &files(&full_run(), &three_machines())["portability.html"];
    assert!(page.contains("<a href=\"pairs/made/distant.html\">made/<wbr>distant</a>"), "{page}");
    assert!(!page.contains("pairs/made/hash.html"), "{page}");
}

#[test]
fn the_run_stands_first_and_a_headline_of_other_threads_says_where() {
    let mut own = reference("made-16c", 2.0, vec![("made/hash", hashes(200.0))]);
    own.started = Timestamp::now();
    own.key = "20260102T000000Z-2".to_owned();
    let pair = own.pairs.get_mut("made/hash").unwrap();
    pair.headline = Some(Headline { level: String::new(), point: 16 });
    pair.sweeps[0].cases[0].point = 16;
    let page = text(&files(&own, &three_machines()[..1])["portability.html"]);
    for part in [
        "■ A made-16c Made",
        "revision 0123456789ab, this run",
        "2.00× (1.94…2.08) at 16 items; wins from",
        "2.00× (1.94…2.08) at 9 items; wins from",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
}

#[test]
fn hostile_and_impossible_results_of_other_machines_stay_text() {
    let mut references = three_machines();
    for name in HOSTILE {
        let mut hostile = hostile_run();
        hostile.quick = false;
        hostile.machine.key = name.to_owned();
        references.push(hostile);
    }
    let pair = references[0].pairs.get_mut("made/hash").unwrap();
    let Outcome::Measured(found) = &mut pair.sweeps[0].cases[0].outcome else { unreachable!() };
    found.gain = Interval { low: f64::NAN, estimate: f64::INFINITY, high: f64::INFINITY };
    found.sides[0].time_ns.median = f64::NAN;
    let page = &files(&full_run(), &references)["portability.html"];
    for word in ["<img", "onload=\"", "<script>alert", "NaN", ">inf", "\"inf", "2147483647"] {
        assert!(!page.contains(word), "{word}");
    }
}
