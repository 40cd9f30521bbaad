//! Tests of the page of a pair: the finding and its warnings, the card, the input, the code, the causes.

use std::{collections::BTreeMap, path::Path};

use worthit::CATALOGUE;
use worthit_harness::{
    report::{Material, pages},
    results::{Headline, NamedCause, Objective, Outcome, PairResult},
    statistics::Summary,
};
use worthit_pair::{
    cases,
    causes::Cause,
    family::{Entry, Family},
    limit::{Need, Needed},
    pair::{Claim, Count, Explanation, Lint, Pair, Review},
    proof::Tried,
    trial::Role,
};

use crate::made::{add, empty_run, full_run, load, material, measured, pair, side, site, text};

#[test]
fn the_finding_quotes_the_figures_of_the_run() {
    let site = site(&full_run());
    let page = text(&site["pairs/made/search.html"]);
    for sentence in [
        "At 100 items, “jump” is 90.0× (87.3…93.6) as fast as “walk”; over the sweep: wins from about 1.85 on (1.79…1.90; between 1 and 100); marked points excluded: 1; 1,000 steps became 10.",
        "Loaded machine: other processes held the CPU during 1 of 3 measured cases (10 items).",
        "not measured: no \"server\" on PATH",
        "optimized against: 1.20× (1.10…1.30) peer",
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
fn the_headline_is_the_case_that_the_pair_chose() {
    let chosen = Headline { level: String::new(), point: 9 };
    let mut run = empty_run();
    let cases =
        vec![(1, measured(2.0, None)), (9, measured(5.0, None)), (99, measured(50.0, None))];
    let pair = PairResult { headline: Some(chosen), ..pair("Search") };
    add(&mut run, "made/search", &pair, "", cases);
    let page = text(&site(&run)["pairs/made/search.html"]);
    assert!(page.contains("At 9 items, “jump” is 5.00×"), "{page}");
}

#[test]
fn counts_are_the_mean_over_the_inputs() {
    let Outcome::Measured(mut found) = measured(2.0, None) else { unreachable!() };
    found.inputs = 4;
    let mut run = empty_run();
    add(&mut run, "made/search", &pair("Search"), "", vec![(9, Outcome::Measured(found))]);
    let page = text(&site(&run)["pairs/made/search.html"]);
    assert!(page.contains("250 steps became 2.50"), "{page}");
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
fn loads_are_shown_with_the_capacity_that_they_prove() {
    let run = full_run();
    let page = &site(&run)["pairs/made/search.html"];
    let text = text(page);
    for shown in [
        "The objective is a 99th percentile of at most 10.0 ms and no failed request",
        "The naive side holds 1,000 requests/s, and misses the objective at 1,050 requests/s.",
        "The optimized side holds 3,950 requests/s, and misses the objective at 4,148 requests/s.",
        "At the objective, the optimized side has 3.95× the capacity.",
        "12 late, p99 8.00 µs",
        "The line is the objective.",
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    assert_eq!(page.matches("of latency from when a request was due, against").count(), 3);
    assert!(!site(&run)["pairs/made/threads.html"].contains("Latency under load"));
}

#[test]
fn loads_at_stated_rates_have_latencies_and_no_capacity() {
    let mut run = empty_run();
    let mut outcome = measured(2.0, None);
    if let Outcome::Measured(measured) = &mut outcome {
        measured.sides[0].loads = vec![load(300.0, false)];
        measured.sides[1].loads = vec![load(300.0, true)];
    }
    let objective = Some(Objective { p99_us: 10_000, is_searched: false });
    let loaded = PairResult { objective, ..pair("Wait less") };
    add(&mut run, "made/queue", &loaded, "", vec![(1, outcome)]);
    let text = text(&site(&run)["pairs/made/queue.html"]);
    assert!(
        text.contains("At 300 requests/s the naive side's p50 is 1.10 ms and its p99 64.0 ms."),
        "{text}"
    );
    assert!(
        text.contains("At 300 requests/s the optimized side's p50 is 1.10 ms and its p99 2.50 ms."),
        "{text}"
    );
    assert!(!text.contains("capacity."), "{text}");
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
    let order = "finding gain review input code metric load causes limit reproduce samples";
    assert_eq!(ids.join(" "), order);
}

#[test]
fn the_column_of_the_peer_is_there_if_there_is_a_peer() {
    let page = |with_peer| {
        let Outcome::Measured(mut found) = measured(2.0, None) else { unreachable!() };
        found.sides.retain(|side| with_peer || side.role != Role::Peer(0));
        let mut run = empty_run();
        add(&mut run, "made/search", &pair("Search"), "", vec![(9, Outcome::Measured(found))]);
        site(&run)["pairs/made/search.html"].clone()
    };
    let heading = "<th scope=\"col\" class=\"number\">peer</th>";
    assert!(page(true).contains(heading) && !page(false).contains(heading));
}

#[test]
fn what_was_observed_is_shown_with_its_unit_if_anything_was() {
    let page = |names: &[&str]| {
        let Outcome::Measured(mut found) = measured(2.0, None) else { unreachable!() };
        for name in names {
            let values = Summary::of(&[1.0, 2.5, 1_234.0]).unwrap();
            found.sides[1].observations.insert((*name).to_owned(), values);
        }
        let mut run = empty_run();
        add(&mut run, "made/search", &pair("Search"), "", vec![(9, Outcome::Measured(found))]);
        text(&site(&run)["pairs/made/search.html"])
    };
    let some = page(&["generator_lag_max_us", "late_requests_percent", "void_loads"]);
    for row in [
        "9 items optimized generator lag max 2.50 µs 1.23 ms",
        "9 items optimized late requests 2.50 % 1,234 %",
        "9 items optimized void loads 2.50 1,234",
    ] {
        assert!(some.contains(row), "{row}\n{some}");
    }
    assert!(some.contains("Observed meanwhile") && !page(&[]).contains("Observed meanwhile"));
}

#[test]
fn one_of_a_kind_is_written_in_the_singular() {
    let mut run = empty_run();
    let Outcome::Measured(mut found) = measured(2.0, None) else { unreachable!() };
    found.sides[0] = side(Role::Naive, "naive", 200.0, 1);
    found.needed = vec![Needed { kind: Need::Fsyncs, amount: 1, within_bytes: None }];
    add(&mut run, "made/search", &pair("Search"), "", vec![(1, Outcome::Measured(found))]);
    let site = site(&run);
    let front = text(&site["index.html"]);
    assert!(front.contains("1 pair in this run. At the headlines of 1 technique the"), "{front}");
    let page = text(&site["pairs/made/search.html"]);
    for words in ["At 1 item,", "1 step became 10", "1 durable flush after an append;"] {
        assert!(page.contains(words), "{words}\n{page}");
    }
}

/// Pages of a run with one measured case of `pair`, which this build knows.
fn page_of_known(pair: Pair, cause: Cause) -> String {
    let pair = &*Box::leak(Box::new(pair));
    let source = "fn naive() { shared() }\nfn optimized() {}\nfn shared() {}\n\
                  fn input() {}\nfn prepare() { input(); naive(); }\n";
    let entries = Box::leak(Box::new([Entry::new("made/known", source, pair)]));
    let family =
        Family { name: "made", package: "made", title: "Made", pairs: entries, ..Family::EMPTY };
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
            explanation: Explanation { why: "Not <b>`</b>.", ..Pair::DEFAULTS.explanation },
            review: Review {
                smell: "`a < b`",
                lint: Lint::Switched("clippy::map_entry", "clippy::perf"),
                ..Pair::DEFAULTS.review
            },
            ..Pair::DEFAULTS
        },
        Cause::new("moves", "moves"),
    );
    for html in [
        "A <code>Vec&#60;u8&#62;</code> of <em>random</em> bytes. <code>&#60;script&#62;alert(1)",
        "Not &#60;b&#62;`&#60;/b&#62;.",
        "<dd><code>a &#60; b</code></dd>",
        "<dd><code>clippy::map_entry</code> (with <code>-W clippy::perf</code>)</dd>",
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
        for role in cases::roles(entry) {
            let name = cases::side_name(entry, role);
            let heading = format!("<h3>{name}: ");
            assert_eq!(page.matches(&heading).count(), 1, "{}: {name}", entry.id);
        }
    }
}
