//! Tests of machine numbers in results and on pages, based on a committed reference.

use std::{collections::BTreeMap, fs, path::Path};

use worthit_harness::{
    load::Load,
    numbers::{Number, NumberOutcome, Numbers},
    reference,
    report::{Material, pages},
    results::{Outcome, Run},
    statistics::Summary,
};
use worthit_machine::{BANDWIDTH, FSYNC, FSYNC_P99, INDEPENDENT_READ, Unit};
use worthit_pair::{
    limit::{Need, Needed},
    trial::Role,
};

const PAIR: &str = "algorithms/substring";

/// The first reference, without headlines: so the last case of each sweep speaks for it.
fn reference() -> Run {
    let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports");
    let mut run = reference::all(&reports).unwrap().remove(0);
    run.pairs.values_mut().for_each(|pair| pair.headline = None);
    run
}

/// Numbers with a memory bandwidth of 20 bytes per ns and an fsync that was not measured.
fn numbers() -> Numbers {
    let number = |id: &str, what: &str, found| Number {
        id: id.to_owned(),
        what: what.to_owned(),
        unit: Unit::BytesPerNanosecond,
        detail: "sum of <words>".to_owned(),
        holds_bytes: None,
        found,
    };
    let readings = Summary::of(&[18.0, 20.0, 21.0]).unwrap();
    let gone = "not measured: /data is in memory (tmpfs)".to_owned();
    Numbers {
        load: Load { others: 0.25, ..Load::default() },
        times: 1,
        numbers: vec![
            number(
                &format!("{BANDWIDTH}_memory"),
                "streamed, memory",
                NumberOutcome::Readings(readings),
            ),
            number(FSYNC, "durable flush", NumberOutcome::Unavailable(gone)),
        ],
    }
}

/// Makes the last case of the pair stream `share` of what memory could stream in its time.
fn inject_share(run: &mut Run, share: f64) {
    let amount = (share * 2_000.0 * 20.0) as u64;
    inject(run, Needed { kind: Need::BytesStreamed, amount, within_bytes: None });
}

/// Makes the last case of the pair take 2 µs per iteration, and sets what it needs.
fn inject(run: &mut Run, needed: Needed) {
    let case = run.pairs.get_mut(PAIR).unwrap().sweeps[0].cases.last_mut().unwrap();
    let Outcome::Measured(found) = &mut case.outcome else { panic!("{case:?}") };
    found.mark = None;
    let side = found.sides.iter_mut().find(|side| side.role == Role::Optimized).unwrap();
    side.time_ns = Summary::of(&[1_000.0]).unwrap();
    found.units_per_iteration = 2;
    found.needed = vec![needed];
}

/// Text of each page, without tags.
fn site(run: &Run) -> BTreeMap<String, String> {
    let material = Material::of(run, Path::new("reports"));
    let text = |page: Vec<u8>| {
        let page = String::from_utf8(page).unwrap();
        let parts = page.split('<').filter_map(|part| part.split_once('>'));
        let text: Vec<&str> = parts.flat_map(|(_, text)| text.split_whitespace()).collect();
        text.join(" ")
    };
    pages(&material).into_iter().map(|(name, page)| (name, text(page))).collect()
}

#[test]
fn results_with_and_without_numbers_are_saved_and_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    let mut run = reference();
    run.numbers = None;
    run.save(&path).unwrap();
    assert!(!fs::read_to_string(&path).unwrap().contains("\"numbers\""));
    assert_eq!(Run::load(&path).unwrap().numbers, None);
    run.numbers = Some(numbers());
    run.save(&path).unwrap();
    assert_eq!(Run::load(&path).unwrap(), run);
    let text = fs::read_to_string(&path).unwrap();
    let broken = text.replacen("\"median\":20.0", "\"median\":2000.0", 1);
    assert_ne!(broken, text);
    let error = Run::parse(broken.as_bytes(), &path).unwrap_err().to_string();
    assert!(error.contains("broken at `numbers.bandwidth_memory`"), "{error}");
}

#[test]
fn numbers_are_shown_with_their_spread_or_as_missing() {
    let mut run = reference();
    run.numbers = None;
    let without = &site(&run)["machine.html"];
    assert!(without.contains("machine numbers were not measured in this run"), "{without}");
    run.numbers = Some(numbers());
    run.ceiling.clear();
    let page = &site(&run)["machine.html"];
    for part in [
        "streamed, memory 20.0 GB/s 19.0 GB/s … 20.5 GB/s 18.0 GB/s … 21.0 GB/s 3 sum of &#60;words&#62;",
        "durable flush – – – 0 not measured: /data is in memory (tmpfs)",
        "other processes used 25 % of the machine",
        "ceiling of threads was not measured",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
}

#[test]
fn a_limit_names_its_machine_number_and_says_if_it_is_beaten() {
    let mut run = reference();
    run.numbers = None;
    inject_share(&mut run, 0.25);
    let page_of = |run: &Run| site(run)[&format!("pairs/{PAIR}.html")].clone();
    let unknown = page_of(&run);
    assert!(unknown.contains("how long that takes on this machine was not measured"), "{unknown}");
    run.numbers = Some(numbers());
    let within = page_of(&run);
    let expected =
        "25.0 % of the limit set by 10,000 bytes streamed at 20.0 GB/s (streamed, memory)";
    assert!(within.contains(expected) && !within.contains("is beaten"), "{within}");
    inject_share(&mut run, 10.0);
    let beyond = page_of(&run);
    assert!(beyond.contains("1,000 % of the limit set by 400,000 bytes"), "{beyond}");
    assert!(beyond.contains("The limit is beaten, so it does not bound this work"), "{beyond}");
    let front = &site(&run)["index.html"];
    assert!(front.contains("1,000 % (beaten)"), "{front}");
}

#[test]
fn a_limit_set_by_flushes_also_names_their_99th_percentile() {
    let number = |id: &str, what: &str, us: f64| Number {
        id: id.to_owned(),
        what: what.to_owned(),
        unit: Unit::Nanoseconds,
        detail: "made".to_owned(),
        holds_bytes: None,
        found: NumberOutcome::Readings(Summary::of(&[us * 1_000.0]).unwrap()),
    };
    let mut run = reference();
    inject(&mut run, Needed { kind: Need::Fsyncs, amount: 1, within_bytes: None });
    for (numbers, expected) in [
        (vec![number(FSYNC, "durable flush", 1.0)], "at 1.00 µs (durable flush)"),
        (
            vec![
                number(FSYNC, "durable flush", 1.0),
                number(FSYNC_P99, "durable flush, 99th percentile", 7.0),
            ],
            "at 1.00 µs (durable flush; 99th percentile 7.00 µs)",
        ),
    ] {
        run.numbers = Some(Numbers { load: Load::default(), times: 1, numbers });
        let page = &site(&run)[&format!("pairs/{PAIR}.html")];
        assert!(page.contains(expected), "{expected}\n{page}");
    }
}

#[test]
fn independent_reads_are_limited_by_the_memory_level_of_the_working_set() {
    let level = |name: &str, holds_bytes, ns| Number {
        id: format!("{INDEPENDENT_READ}_{}", name.to_lowercase()),
        what: format!("independent read, {name}"),
        unit: Unit::Nanoseconds,
        detail: "shuffled".to_owned(),
        holds_bytes,
        found: NumberOutcome::Readings(Summary::of(&[ns]).unwrap()),
    };
    let mut run = reference();
    let numbers = vec![level("L2", Some(1 << 20), 2.0), level("memory", None, 10.0)];
    run.numbers = Some(Numbers { load: Load::default(), times: 1, numbers });
    for (within_bytes, expected) in [
        (
            1 << 20,
            "50.0 % of the limit set by 500 independent random reads at 2.00 ns (independent read, L2)",
        ),
        (
            2 << 20,
            "250 % of the limit set by 500 independent random reads at 10.0 ns (independent read, memory)",
        ),
    ] {
        let needed =
            Needed { kind: Need::IndependentReads, amount: 500, within_bytes: Some(within_bytes) };
        inject(&mut run, needed);
        let page = &site(&run)[&format!("pairs/{PAIR}.html")];
        assert!(page.contains(expected), "{expected}\n{page}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    run.save(&path).unwrap();
    assert_eq!(Run::load(&path).unwrap(), run);
}
