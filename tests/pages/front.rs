//! The front page: a section a family with its picture, and one row a pair, at its headline.

use std::path::Path;

use worthit::CATALOGUE;
use worthit_harness::{
    report::{Material, pages},
    results::{Headline, PairResult, Run},
};
use worthit_pair::{family::Family, pair::Lint};

use crate::made::{add, empty_run, full_run, material, measured, pair, site, text};

/// The front page of a run, with the cards of these families.
fn front(run: &Run, families: &[&'static Family]) -> String {
    let files = pages(&Material { families, ..material(run, &[], Path::new("reports")) });
    String::from_utf8(files["index.html"].clone()).unwrap()
}

/// A run with four cases of every pair of the catalogue.
fn whole_catalogue() -> Run {
    let mut run = empty_run();
    for (nth, entry) in CATALOGUE.iter().flat_map(|family| family.pairs).enumerate() {
        let gain = 0.5 * 1.07_f64.powi(nth as i32);
        let cases =
            [1, 64, 4_096, 1_048_576].map(|n| (n, measured(gain * (n as f64).sqrt(), None)));
        add(&mut run, entry.id, &pair(entry.title), "", cases.to_vec());
    }
    run
}

/// The row of a pair.
fn row<'a>(front: &'a str, id: &str) -> &'a str {
    let (_, rest) = front.split_once(&format!("<tr data-pair=\"{id}\"")).unwrap();
    rest.split_once("</tr>").unwrap().0
}

#[test]
fn the_whole_catalogue_fits_a_small_page_with_a_row_a_pair() {
    let front = front(&whole_catalogue(), &CATALOGUE);
    let pairs = CATALOGUE.iter().flat_map(|family| family.pairs).count();
    println!("{pairs} pairs in {} bytes", front.len());
    assert!(front.len() <= 500_000, "{} bytes", front.len());
    assert_eq!(front.matches("<tr data-pair=").count(), pairs);
}

#[test]
fn families_are_sections_in_the_order_of_the_catalogue_with_links_and_pictures() {
    let front = front(&whole_catalogue(), &CATALOGUE);
    let families: Vec<_> =
        CATALOGUE.iter().filter(|family| !family.pairs.is_empty()).copied().collect();
    let mut rest = front.as_str();
    for family in &families {
        let link = format!("<a href=\"#family-{0}\">{0}</a>", family.name);
        assert!(front.contains(&link), "{link}");
        let section = format!("<tbody id=\"family-{}\">", family.name);
        let (_, after) =
            rest.split_once(&section).unwrap_or_else(|| panic!("no {section} in order"));
        let (section, _) = after.split_once("</tbody>").unwrap();
        for entry in family.pairs {
            assert!(section.contains(&format!("<tr data-pair=\"{}\"", entry.id)), "{}", entry.id);
        }
        // A pair that measures the suite is no technique: it has a row and no disc.
        let discs = section.matches("tabindex=\"-1\"").count();
        let expected = if family.name == "calibration" { 0 } else { family.pairs.len() };
        assert_eq!(discs, expected, "{}", family.name);
        rest = after;
    }
    let queries = CATALOGUE.iter().find(|family| family.name == "queries").unwrap();
    let count = format!("{} · {} pairs: wins ", queries.title, queries.pairs.len());
    assert!(front.contains(&count), "{count}");
}

#[test]
fn a_disc_leads_to_its_pair_and_names_it_with_its_gain() {
    let front = &site(&full_run())["index.html"];
    let disc = "<a href=\"pairs/made/search.html\" tabindex=\"-1\" class=\"wins\"><title>made/search 90.0×</title><circle";
    assert_eq!(
        front.matches(disc).count(),
        2,
        "in the list of families and in the section: {front}"
    );
    assert!(text(front).contains("made 3 pairs: wins 3"), "{front}");
}

#[test]
fn a_pair_of_several_levels_has_one_row_at_the_level_of_its_headline() {
    let mut run = empty_run();
    let headline = Some(Headline { level: "in-process".to_owned(), point: 9 });
    let levels = PairResult { headline, ..pair("Ask once") };
    add(&mut run, "made/ask", &levels, "in-process", vec![(9, measured(2.0, None))]);
    add(&mut run, "made/ask", &levels, "rtt=1ms", vec![(9, measured(70.0, None))]);
    let front = &site(&run)["index.html"];
    assert_eq!(front.matches("<tr data-pair=").count(), 1);
    let row = row(front, "made/ask");
    for part in [
        "in-process, +1 level<",
        ">2.00×</span> (1.94…2.08)",
        "at 9 items",
        "data-gain=\"2.0000e0\"",
    ] {
        assert!(row.contains(part), "{part}\n{row}");
    }
    assert!(!row.contains("70.0×"), "{row}");
}

#[test]
fn a_row_says_little_and_the_page_of_the_pair_the_rest() {
    let row = row(&site(&full_run())["index.html"], "made/search").to_owned();
    for part in [
        "data-break-even=\"1.8491e0\"",
        "data-label=\"Break-even\">wins from 1.85 (1.79…1.90)</td>",
        "data-label=\"Cause\">1,000 → 10 <span class=\"what\">steps</span>",
        "data-label=\"Limit\">72.1 %<",
        "data-label=\"Beside\">1.20× <span class=\"what\">peer</span>",
        "aria-label=\"Gain from 0.500× to 90.0× (87.3…93.6)\"",
    ] {
        assert!(row.contains(part), "{part}\n{row}");
    }
    let distant = self::row(&site(&full_run())["index.html"], "made/distant").to_owned();
    for part in [">40.0×</span> (computed)", "wins from a round trip of 12.0 µs (computed)"] {
        assert!(distant.contains(part), "{part}\n{distant}");
    }
}

#[test]
fn a_search_finds_a_pair_by_smell_remedy_and_lint() {
    let front = front(&empty_run(), &CATALOGUE);
    let mut lints = 0;
    for entry in CATALOGUE.iter().flat_map(|family| family.pairs) {
        let row = row(&front, entry.id);
        let (_, words) = row.split_once("data-words=\"").unwrap();
        let words = words.split_once('"').unwrap().0;
        let remedy = entry.review.remedy.split(|c: char| !c.is_alphanumeric());
        for word in remedy.filter(|word| word.len() > 4) {
            assert!(words.contains(word), "{}: {word}", entry.id);
        }
        if let Lint::Default(name) | Lint::Switched(name, _) = entry.review.lint {
            assert!(words.ends_with(name), "{}: {name}", entry.id);
            lints += 1;
        }
        let (_, smell) = row.split_once("<span class=\"smell\">").unwrap();
        assert!(smell.len() > 20, "{}", entry.id);
    }
    assert!(lints > 10, "{lints}");
}
