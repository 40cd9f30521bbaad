//! Tests of the report's pages, made from synthetic results and read as text and in a real browser.

mod lines;
#[path = "../crates/harness/tests/verdicts/mod.rs"]
mod verdicts;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use jiff::Timestamp;
use tempfile::TempDir;
use worthit::CATALOGUE;
use worthit_harness::{
    criterion_pages::CriterionPages,
    load::Load,
    machine::Machine,
    report::{Last, Material, pages, write},
    results::{
        CaseResult, Computed, Measured, NamedCause, Outcome, PairResult, Revision, Run, SideResult,
    },
    samples::{self, Sample},
    scaling::Point,
    statistics::{Interval, Summary},
};
use worthit_pair::{
    causes::{Cause, Counts},
    family::{Entry, Family},
    limit::{Need, Needed},
    pair::{Claim, Count, Metric, Pair, Review},
    proof::Tried,
    trial::Role,
};

fn machine() -> Machine {
    Machine {
        key: "made-2c-4g-linux6.1-ext4".to_owned(),
        cpu: "Made".to_owned(),
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

fn empty_run() -> Run {
    let revision = Revision { commit: Some("0123456789abcdef".to_owned()), dirty: true };
    Run::new("20260101T000000Z-1", Timestamp::UNIX_EPOCH, true, 7, machine(), revision)
}

fn pair(title: &str) -> PairResult {
    PairResult {
        title: title.to_owned(),
        naive: "walk".to_owned(),
        optimized: "jump".to_owned(),
        metric: Metric::Time,
        unit: "search".to_owned(),
        axis: "items".to_owned(),
        axis_unit: "items".to_owned(),
        parameter: None,
        causes: vec![NamedCause { id: "steps".to_owned(), label: "steps".to_owned() }],
        sweeps: vec![],
        levels: ["", "in-process", "rtt=1ms"].map(str::to_owned).to_vec(),
    }
}

fn side(role: Role, name: &str, ns: f64, steps: u64) -> SideResult {
    let times: Vec<f64> = (0..5).map(|i| ns * (1.0 + 0.02 * f64::from(i))).collect();
    let mut causes = Counts::default();
    causes.set(Cause::new("steps", "steps"), steps);
    SideResult {
        role,
        name: name.to_owned(),
        time_ns: Summary::of(&times).unwrap(),
        causes,
        observations: BTreeMap::new(),
    }
}

fn measured(gain: f64, mark: Option<&str>) -> Outcome {
    let interval = Interval { low: gain * 0.97, estimate: gain, high: gain * 1.04 };
    Outcome::Measured(Box::new(Measured {
        units_per_iteration: 4,
        sides: vec![
            side(Role::Naive, "naive", 100.0 * gain, 1_000),
            side(Role::Optimized, "optimized", 100.0, 10),
            side(Role::Peer, "peer", 120.0, 12),
        ],
        gain: interval,
        processes: vec![interval],
        against_peer: Some(Interval { low: 1.1, estimate: 1.2, high: 1.3 }),
        needed: Some(Needed { kind: Need::WaitingNs, amount: 300, within_bytes: None }),
        load: Load::default(),
        marked_processes: u64::from(mark.is_some()),
        mark: mark.map(str::to_owned),
    }))
}

fn computed(gain: f64) -> Outcome {
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

fn unavailable(reason: &str) -> Outcome {
    Outcome::Unavailable { reason: reason.to_owned() }
}

fn add(run: &mut Run, id: &str, pair: &PairResult, level: &str, cases: Vec<(u64, Outcome)>) {
    let pair = run.pairs.entry(id.to_owned()).or_insert_with(|| pair.clone());
    for (point, outcome) in cases {
        pair.add(level, CaseResult { point, outcome });
    }
}

fn sample(pair: &str, point: u64, i: u64) -> Sample {
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
fn full_run() -> Run {
    let mut run = empty_run();
    let cases = vec![
        (1, measured(0.5, None)),
        (10, measured(3.0, Some("other processes held the CPU"))),
        (100, measured(90.0, None)),
        (1_000, unavailable("not measured: no \"server\" on PATH")),
    ];
    add(&mut run, "made/search", &pair("Search"), "", cases);
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
    run
}

fn material<'a>(run: &'a Run, samples: &'a [Sample], folder: &'a Path) -> Material<'a> {
    Material { samples, ..Material::of(run, folder) }
}

fn site(run: &Run) -> BTreeMap<String, String> {
    let files = pages(&material(run, &[], Path::new("reports")));
    files.into_iter().map(|(name, bytes)| (name, String::from_utf8(bytes).unwrap())).collect()
}

/// Text of a page's main element without tags. Resolves only the entities that these tests need.
fn text(page: &str) -> String {
    let (_, body) = page.split_once("<main").unwrap();
    let (main, _) = body.split_once("</main>").unwrap();
    let outside = main.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text);
    let text = outside.collect::<Vec<_>>().join(" ");
    let text = text.replace("&#39;", "'").replace("&#34;", "\"").replace("&#38;", "&");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_finding_quotes_the_figures_of_the_run() {
    let site = site(&full_run());
    let page = text(&site["pairs/made/search.html"]);
    for sentence in [
        "At 100 items, “jump” is 90.0× (87.3…93.6) as fast as “walk”; over the sweep: wins from about 1.85 on (1.79…1.90; between 1 and 100); marked points excluded: 1; 1,000 steps became 10.",
        "Loaded machine: other processes held the CPU during 1 of 3 measured cases (10 items).",
        "not measured: no \"server\" on PATH",
        "against the peer: 1.20× (1.10…1.30) peer",
        "72.1 % of the limit set by 300 ns of waiting",
        "cargo bench -- '^made/search/' --quick --seed 7",
        "The build that made this page does not know this pair. Open the report with the",
    ] {
        assert!(page.contains(sentence), "{sentence}\n{page}");
    }
    let distant = text(&site["pairs/made/distant.html"]);
    let computed =
        "“jump” is 40.0× as fast as “walk” (computed from loopback with a round trip of 1.00 ms)";
    assert!(distant.contains(computed), "{distant}");
    assert!(distant.contains("wins from a round trip of 12.0 µs on"), "{distant}");
}

#[test]
fn a_marked_case_is_never_the_headline() {
    let mut run = empty_run();
    let cases = vec![(1, measured(2.0, None)), (9, measured(50.0, Some("stolen")))];
    add(&mut run, "made/search", &pair("Search"), "", cases);
    let page = text(&site(&run)["pairs/made/search.html"]);
    assert!(page.contains("At 1 item, “jump” is 2.00×"), "{page}");
    let mut run = empty_run();
    add(&mut run, "made/search", &pair("Search"), "", vec![(9, measured(50.0, Some("stolen")))]);
    let front = &site(&run)["index.html"];
    assert!(front.contains("no headline") && !front.contains("data-gain="), "{front}");
}

#[test]
fn the_finding_says_if_a_side_loses_or_is_undecided() {
    let finding = |gain| {
        let mut run = empty_run();
        add(&mut run, "made/search", &pair("Search"), "", vec![(9, measured(gain, None))]);
        text(&site(&run)["pairs/made/search.html"])
    };
    assert!(finding(0.5).contains("“jump” is slower than “walk”: a gain of 0.500×"));
    assert!(finding(1.0).contains("“jump” is indistinguishable from “walk”"));
}

#[test]
fn scaling_shows_speedups_the_ceiling_and_why_there_is_no_fit() {
    let page = text(&site(&full_run())["scaling.html"]);
    assert!(page.contains("made/threads") && !page.contains("made/search"), "{page}");
    for part in
        ["1.90× (1.80…2.00)", "Amdahl's law needs at least 4 thread counts", "2 logical cores"]
    {
        assert!(page.contains(part), "{part}\n{page}");
    }
}

#[test]
fn laws_are_fitted_if_there_are_enough_thread_counts() {
    let mut run = empty_run();
    run.machine.logical_cores = 64;
    let threads = PairResult { axis: "threads".to_owned(), ..pair("Use all cores") };
    // Amdahl's law with a tenth of the work serial.
    let time = |n: f64| 1_000.0 * (0.1 + 0.9 / n);
    for n in [1, 2, 4, 8, 16, 32, 64] {
        let Outcome::Measured(mut found) = measured(1.0, None) else { unreachable!() };
        found.sides[1] = side(Role::Optimized, "optimized", time(n as f64), 10);
        found.needed.as_mut().unwrap().kind = Need::BytesStreamed;
        add(&mut run, "made/threads", &threads, "", vec![(n, Outcome::Measured(found))]);
    }
    let page = text(&site(&run)["scaling.html"]);
    for part in ["serial fraction 0.100", "contention σ 0.100", "The fitted law", "GB/s"] {
        assert!(page.contains(part), "{part}\n{page}");
    }
}

#[test]
fn the_front_page_warns_of_doubtful_figures() {
    let front = text(&site(&full_run())["index.html"]);
    for part in [
        "Loaded machine: other processes held the CPU during 1 of 6 measured cases",
        "Quick run",
        "One process: the intervals do not include",
        "the governor is “powersave”",
        "Uncommitted changes",
    ] {
        assert!(front.contains(part), "{part}\n{front}");
    }
    assert!(text(&site(&empty_run())["index.html"]).contains("Nothing was measured in this run."));
}

#[test]
fn the_page_of_a_pair_warns_of_its_own_figures_and_so_does_its_citation() {
    let mut run = full_run();
    let Outcome::Measured(mut several) = measured(2.0, None) else { unreachable!() };
    several.processes = vec![several.gain; 5];
    add(&mut run, "made/several", &pair("Several"), "", vec![(1, Outcome::Measured(several))]);
    let site = site(&run);
    let page = text(&site["pairs/made/search.html"]);
    let warnings = ["Loaded machine", "Quick run", "One process:", "powersave", "Uncommitted"];
    for warning in warnings {
        let place = page.find(warning).unwrap_or_else(|| panic!("{warning}\n{page}"));
        assert!(place < page.find("Review card").unwrap(), "{warning} stands with the finding");
    }
    let cited = "revision 0123456789ab with uncommitted changes; 1 of 3 cases marked, quick run, one process)";
    assert!(page.contains(cited), "{page}");
    // The other pairs of the run have one process, this one has five.
    let page = text(&site["pairs/made/several.html"]);
    assert!(!page.contains("One process") && !page.contains("Loaded machine"), "{page}");
    assert!(page.contains("with uncommitted changes; quick run)"), "{page}");
    let some = text(&site["index.html"]);
    assert!(some.contains("One process for 6 of 7 measured cases:"), "{some}");
    (run.quick, run.revision.dirty) = (false, false);
    run.pairs.retain(|id, _| id == "made/several");
    let page = text(&self::site(&run)["pairs/made/several.html"]);
    assert!(page.contains("revision 0123456789ab)"), "{page}");
}

#[test]
fn the_page_of_a_pair_has_the_order_of_a_review() {
    let page = &site(&full_run())["pairs/made/search.html"];
    let sections = page.match_indices("<section id=\"").map(|(at, tag)| &page[at + tag.len()..]);
    let ids: Vec<&str> = sections.map(|rest| rest.split('"').next().unwrap()).collect();
    let order = "finding gain review input code metric causes limit reproduce samples";
    assert_eq!(ids.join(" "), order);
}

#[test]
fn the_column_of_the_peer_is_there_if_there_is_a_peer() {
    let page = |with_peer| {
        let Outcome::Measured(mut found) = measured(2.0, None) else { unreachable!() };
        found.sides.retain(|side| with_peer || side.role != Role::Peer);
        let mut run = empty_run();
        add(&mut run, "made/search", &pair("Search"), "", vec![(9, Outcome::Measured(found))]);
        site(&run)["pairs/made/search.html"].clone()
    };
    let heading = "<th scope=\"col\" class=\"number\">peer</th>";
    assert!(page(true).contains(heading) && !page(false).contains(heading));
}

#[test]
fn one_of_a_kind_is_written_in_the_singular() {
    let mut run = empty_run();
    let Outcome::Measured(mut found) = measured(2.0, None) else { unreachable!() };
    found.sides[0] = side(Role::Naive, "naive", 200.0, 1);
    found.needed = Some(Needed { kind: Need::Fsyncs, amount: 1, within_bytes: None });
    add(&mut run, "made/search", &pair("Search"), "", vec![(1, Outcome::Measured(found))]);
    let site = site(&run);
    let front = text(&site["index.html"]);
    assert!(front.contains("1 pair in this run. At the far end of 1 sweep the"), "{front}");
    let page = text(&site["pairs/made/search.html"]);
    for words in ["At 1 item,", "1 step became 10", "1 durable flush;"] {
        assert!(page.contains(words), "{words}\n{page}");
    }
}

/// Pages of a run with one measured case of `pair`, which this build knows.
fn page_of_known(pair: Pair, cause: Cause) -> String {
    let pair = &*Box::leak(Box::new(pair));
    let source = "fn naive() { shared() }\nfn optimized() {}\nfn shared() {}\n\
                  fn input() {}\nfn prepare() { input(); naive(); }\n";
    let entries = Box::leak(Box::new([Entry::new("made/known", source, pair)]));
    let family = Family { name: "made", package: "made", title: "Made", pairs: entries };
    let Outcome::Measured(mut found) = measured(2.0, None) else { unreachable!() };
    found.sides.iter_mut().for_each(|side| side.causes.set(cause, 7));
    let named = NamedCause { id: cause.id.to_owned(), label: cause.label.to_owned() };
    let result = PairResult { causes: vec![named], ..self::pair("Known") };
    let mut run = empty_run();
    add(&mut run, "made/known", &result, "", vec![(9, Outcome::Measured(found))]);
    let families: [&Family; 1] = [Box::leak(Box::new(family))];
    let material = Material { families: &families, ..material(&run, &[], Path::new("reports")) };
    String::from_utf8(pages(&material)["pairs/made/known.html"].clone()).unwrap()
}

/// The causes of a pair that claims nothing of `cause` but that it is counted.
fn claiming(cause: Cause) -> &'static [Claim] {
    let any = Count::AtLeast(|_| 0);
    Box::leak(Box::new([Claim { cause, naive: any, optimized: any }]))
}

#[test]
fn prose_of_a_pair_is_rendered_and_stays_text() {
    let page = page_of_known(
        Pair {
            input: "A `Vec<u8>` of *random* bytes. `<script>alert(1)</script>`",
            explanation: "Not <b>`</b>.",
            review: Review { smell: "`a < b`", lint: Some("clippy::all"), ..Pair::DEFAULTS.review },
            ..Pair::DEFAULTS
        },
        Cause::new("moves", "moves"),
    );
    for html in [
        "A <code>Vec&#60;u8&#62;</code> of <em>random</em> bytes. <code>&#60;script&#62;alert(1)",
        "Not &#60;b&#62;`&#60;/b&#62;.",
        "<dd><code>a &#60; b</code></dd>",
    ] {
        assert!(page.contains(html), "{html}");
    }
    assert_eq!(page.matches("<script>").count(), 1);
}

#[test]
fn the_code_of_the_input_is_listed_apart() {
    let page = page_of_known(Pair::DEFAULTS, Cause::new("moves", "moves"));
    let (_, input) = page.split_once("<section id=\"input\">").unwrap();
    let (input, code) = input.split_once("</section>").unwrap();
    let lines = |html: &str| html.matches("<li class=\"indent-").count();
    // `input` and `prepare`; then `naive`, an empty line, `shared` and `optimized`.
    assert_eq!((lines(input), lines(code)), (2, 4), "{input}");
}

#[test]
fn each_cause_says_how_it_is_counted_and_a_model_says_so_wherever_it_is_shown() {
    let observed = Cause::new("moves", "moves").counted("with a counting list");
    let pair = Pair { causes: claiming(observed), ..Pair::DEFAULTS };
    let page = text(&page_of_known(pair, observed));
    let how = "counted by the pair, which runs the side once more with a counting list";
    assert!(page.contains(how) && !page.contains("modelled"), "{page}");
    assert!(page.contains("; 7 moves on both sides."), "{page}");

    let modelled = Cause::new("misses", "misses").modelled("from addresses");
    let pair = Pair { causes: claiming(modelled), ..Pair::DEFAULTS };
    let html = page_of_known(pair, modelled);
    let page = text(&html);
    assert!(
        page.contains("misses at 9 items modelled from addresses naive 7 (modelled)"),
        "{page}"
    );
    assert!(html.contains("aria-label=\"7 misses (modelled)\""));
    // The finding, and the citation that repeats it.
    assert_eq!(page.matches("; 7 misses on both sides (modelled).").count(), 2, "{page}");
}

/// HTML pages of a run in which nothing was measured.
fn pages_of_the_catalogue() -> BTreeMap<String, String> {
    let run = empty_run();
    let material = Material { families: &CATALOGUE, ..material(&run, &[], Path::new("reports")) };
    let html = pages(&material).into_iter().filter(|(name, _)| name.ends_with(".html"));
    html.map(|(name, page)| (name, String::from_utf8(page).unwrap())).collect()
}

#[test]
fn unmeasured_pairs_of_the_catalogue_have_rows_and_pages() {
    let files = pages_of_the_catalogue();
    let front = &files["index.html"];
    for entry in CATALOGUE.iter().flat_map(|family| family.pairs) {
        assert!(front.contains(&format!("data-pair=\"{}\"", entry.id)), "{}", entry.id);
        let page = &files[&format!("pairs/{}.html", entry.id)];
        assert!(page.contains("This pair is not in this run."), "{}", entry.id);
    }
    assert!(front.contains("not in this run"));
}

#[test]
fn the_review_card_says_how_answers_may_differ_and_how_that_is_proven() {
    let files = pages_of_the_catalogue();
    for entry in CATALOGUE.iter().flat_map(|family| family.pairs) {
        let page = &files[&format!("pairs/{}.html", entry.id)];
        let answers = format!("Answers {} Clippy", entry.contract.unwrap_or("must be equal"));
        let card = text(page).replace('`', "");
        let card = card.replace(" ,", ",").replace(" .", ".");
        assert!(card.contains(&answers), "{}: no `{answers}` in {card}", entry.id);
        let tried = Tried::by(entry);
        let proven = format!(
            "{} inputs in every run of the tests ({}), and each case's own input before it was timed.",
            tried.count(),
            tried.in_words()
        );
        assert!(card.contains(&proven), "{}: no `{proven}`", entry.id);
        assert!(!entry.input.is_empty() && card.contains("Input"), "{}", entry.id);
    }
}

#[test]
fn every_side_of_a_pair_has_its_code() {
    let files = pages_of_the_catalogue();
    for entry in CATALOGUE.iter().flat_map(|family| family.pairs) {
        let page = &files[&format!("pairs/{}.html", entry.id)];
        let sides = worthit_pair::cases::roles(entry).len();
        let headings = page.matches("<h3>naive: ").count()
            + page.matches("<h3>optimized: ").count()
            + page.matches(&format!("<h3>{}: ", entry.peer.unwrap_or("no peer"))).count();
        // The naive side of this pair is a loop in the harness itself.
        let expected = if entry.id == "calibration/harness_overhead" { 0 } else { sides };
        assert_eq!(headings, expected, "{}", entry.id);
    }
}

#[test]
fn the_same_results_give_the_same_bytes() {
    let (run, folder) = (full_run(), Path::new("reports"));
    let samples: Vec<Sample> = (0..300).map(|i| sample("made/search", 100, i)).collect();
    let files = || pages(&Material { families: &CATALOGUE, ..material(&run, &samples, folder) });
    let first = files();
    assert!(first.contains_key("samples/made/search.csv"));
    for _ in 0..5 {
        assert!(files() == first);
    }
}

/// Names that would break out of an attribute, an element, a script, a path or a table.
const HOSTILE: [&str; 8] = [
    "<script>alert(1)</script>",
    "\" onload=\"alert(1)",
    "'><img src=x onerror=alert(1)>",
    "../../../etc/passwd",
    "{{ run }} {% raw %}",
    "a\u{202e}b\u{0}c",
    "]]></svg><svg onload=alert(1)>",
    "javascript:alert(1)",
];

fn hostile_run() -> Run {
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
    }
    run
}

#[test]
fn hostile_text_stays_text_and_inside_the_folder() {
    let run = hostile_run();
    let outer = TempDir::new().unwrap();
    let folder = outer.path().join("reports");
    write(&material(&run, &[], &folder)).unwrap();
    let beside: Vec<_> = fs::read_dir(outer.path()).unwrap().collect();
    assert_eq!(beside.len(), 1, "nothing is written beside the folder");
    for (name, page) in site(&run) {
        assert_eq!(page.matches("<script>").count(), 1, "{name}");
        for word in ["<img", "onload=\"", "onerror=alert(1)>", "<script>alert", "href=\"javascript"]
        {
            assert!(!page.contains(word), "{name} has {word}");
        }
    }
}

#[test]
fn figures_that_are_not_finite_never_reach_a_page() {
    let mut run = hostile_run();
    let mut impossible = pair("Impossible");
    add(&mut run, "made/impossible", &impossible, "", vec![(1, measured(2.0, None))]);
    impossible = run.pairs.remove("made/impossible").unwrap();
    let case = &mut impossible.sweeps[0].cases[0];
    let Outcome::Measured(found) = &mut case.outcome else { unreachable!() };
    found.gain = Interval { low: f64::NAN, estimate: f64::INFINITY, high: f64::INFINITY };
    found.sides[0].time_ns.median = f64::NEG_INFINITY;
    found.sides[1].time_ns.max = f64::NAN;
    run.pairs.insert("made/impossible".to_owned(), impossible);
    for (name, page) in site(&run) {
        for word in ["NaN", ">inf", "-inf", "\"inf", "2147483647", "-2147483648"] {
            assert!(!page.contains(word), "{name} has {word}");
        }
    }
}

#[test]
fn pages_of_an_earlier_site_are_removed_and_other_files_are_not() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir_all(path("pairs/made")).unwrap();
    fs::write(path("pairs/made/own.html"), "not ours").unwrap();
    let run = full_run();
    let samples = [sample("made/search", 100, 1)];
    write(&material(&run, &samples, folder.path())).unwrap();
    assert!(path("pairs/made/search.html").exists() && path("samples/made/search.csv").exists());
    // A manifest must not cause files outside of the folder to be deleted.
    let outside = TempDir::new().unwrap();
    let precious = outside.path().join("precious.html");
    fs::write(&precious, "").unwrap();
    let manifest = fs::read_to_string(path("site.txt")).unwrap();
    let stray = format!("{manifest}../precious.html\n{}\n", precious.display());
    fs::write(path("site.txt"), stray).unwrap();
    write(&material(&empty_run(), &[], folder.path())).unwrap();
    assert!(!path("pairs/made/search.html").exists() && !path("samples/made/search.csv").exists());
    assert!(path("pairs/made/own.html").exists() && precious.exists());
}

#[test]
fn samples_are_offered_unchanged() {
    let run = full_run();
    let kept: Vec<Sample> = (0..500).map(|i| sample("made/search", 100, i)).collect();
    let files = pages(&material(&run, &kept, Path::new("reports")));
    assert_eq!(files["samples/made/search.csv"], samples::to_csv(&kept, true));
    let page = String::from_utf8(files["pairs/made/search.html"].clone()).unwrap();
    assert!(page.contains("href=\"../../samples/made/search.csv\" download"));
    assert!(text(&page).contains("500 paired batches at 100 items, one in 5 drawn"));
}

#[test]
fn criterions_pages_are_linked_if_they_exist() {
    let root = TempDir::new().unwrap();
    let group = root.path().join("criterion/made_search/report");
    fs::create_dir_all(&group).unwrap();
    fs::write(group.join("index.html"), "").unwrap();
    let (run, folder) = (full_run(), root.path().join("reports"));
    let criterion = CriterionPages::in_folder(&root.path().join("criterion"));
    fs::create_dir_all(folder.join("pairs/made")).unwrap();
    let files = pages(&Material { criterion: Some(&criterion), ..material(&run, &[], &folder) });
    let page = |name: &str| String::from_utf8(files[name].clone()).unwrap();
    let address = "class=\"outside\" href=\"../../../criterion/made_search/report/index.html\"";
    assert!(page("pairs/made/search.html").contains(address));
    assert!(!page("pairs/made/threads.html").contains("class=\"outside\""));
}

#[test]
fn two_results_get_ratios_only_if_they_are_of_the_same_machine() {
    let (run, mut other) = (full_run(), full_run());
    let found = other.pairs.get_mut("made/search").unwrap().sweeps[0].cases.last_mut().unwrap();
    found.outcome = measured(2.0, None);
    let Outcome::Measured(case) =
        &mut other.pairs.get_mut("made/search").unwrap().sweeps[0].cases[0].outcome
    else {
        unreachable!()
    };
    case.sides[1].causes.set(Cause::new("steps", "steps"), 11);
    let compared = |other: &Run| {
        let material = Material { other: Some(other), ..material(&run, &[], Path::new("reports")) };
        let files = pages(&material);
        let page = String::from_utf8(files["compare.html"].clone()).unwrap();
        assert!(!page.to_lowercase().contains("regress"), "no verdict without a gate");
        let front = String::from_utf8(files["index.html"].clone()).unwrap();
        assert!(front.contains("href=\"compare.html\""));
        text(&page)
    };
    let same = compared(&other);
    assert!(same.contains("B ÷ A") && same.contains("intervals overlap"), "{same}");
    assert!(same.contains("made/search, 1 item, optimized 11 → 10 steps"), "{same}");
    other.machine.key = "another".to_owned();
    let different = compared(&other);
    assert!(different.contains("The machines differ.") && !different.contains("B ÷ A"));
    assert!(!different.contains("intervals"), "{different}");
}

/// A hundred pairs with code and cards from the catalogue, each with six cases of a hundred samples.
fn hundred() -> (Run, Vec<Sample>, Vec<&'static Family>) {
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
        })));
    }
    (run, kept, families)
}

#[test]
fn a_site_of_a_hundred_pairs_is_small() {
    let (run, kept, families) = hundred();
    let folder = TempDir::new().unwrap();
    let start = std::time::Instant::now();
    let material = Material { families: &families, ..material(&run, &kept, folder.path()) };
    write(&material).unwrap();
    // Printed but not asserted: time belongs in benchmarks.
    println!("a site of {} pairs in {:?}", run.pairs.len(), start.elapsed());
    let files = pages(&material);
    let bytes: usize = files.values().map(Vec::len).sum();
    println!(
        "{} files, {bytes} bytes; front page {} bytes",
        files.len(),
        files["index.html"].len()
    );
    assert!(files.keys().filter(|name| name.starts_with("pairs/")).count() >= 100);
    assert!(files["index.html"].len() <= 500_000 && bytes <= 15_000_000);
}

/// Runs the checks of `tests/browser` over a site in headless Chromium.
///
/// `visit` is part of the paths of the pair pages to load.
fn check_in_browser(folder: &Path, visit: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/check.mjs");
    let output = Command::new("node")
        .arg(script)
        .arg(folder)
        .args(["--visit", visit])
        .output()
        .expect("node on PATH");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}");
    println!("{printed}");
}

#[test]
#[ignore = "needs Chromium and node: scripts/check installs them and runs it"]
fn every_kind_of_page_passes_the_checks_in_a_browser() {
    let criterion: Option<&CriterionPages> = None;
    let other = full_run();
    let mut lines = lines::lines();
    for name in HOSTILE {
        lines.push(lines::line(&format!("{name}/{name}"), u64::MAX, "gain", name, &lines::step(9)));
    }
    let last = Last { report: Some(verdicts::report()), self_test: Some(verdicts::self_test()) };
    let many = hundred();
    // The families of the hundred have the same twenty pairs, so that one family shows all of their pages.
    let sites = [
        (hostile_run(), vec![], CATALOGUE.to_vec(), ""),
        (empty_run(), vec![], CATALOGUE.to_vec(), ""),
        (many.0, many.1, many.2, "family0/"),
    ];
    for (run, kept, families, visit) in &sites {
        let folder = TempDir::new().unwrap();
        let folder: PathBuf = folder.path().join("reports");
        write(&Material {
            run,
            samples: kept,
            other: Some(&other),
            gate: Some(&last),
            trends: Some(&lines),
            families,
            criterion,
            folder: &folder,
        })
        .unwrap();
        check_in_browser(&folder, visit);
    }
}

#[test]
fn names_of_pages_are_distinct() {
    let run = hostile_run();
    let files = pages(&material(&run, &[], Path::new("reports")));
    let names: BTreeSet<&String> = files.keys().collect();
    assert_eq!(names.iter().filter(|name| name.starts_with("pairs/")).count(), run.pairs.len());
}
