//! Tests of the trends page as text; `tests/pages/` opens it in a browser.

mod lines;

use std::{collections::BTreeMap, path::Path};

use jiff::Timestamp;
use lines::{line, lines, step};
use worthit_harness::{
    history::{GAIN, TrendLine},
    machine::Machine,
    report::{Material, pages},
    results::{Revision, Run},
};

fn site(trends: Option<&[TrendLine]>) -> BTreeMap<String, String> {
    let revision = Revision { commit: None, dirty: false };
    let run = Run::new("made-1", Timestamp::UNIX_EPOCH, false, 42, Machine::current(), revision);
    let material = Material { trends, ..Material::of(&run, Path::new("reports")) };
    let text = |bytes| String::from_utf8(bytes).unwrap();
    pages(&material).into_iter().map(|(name, bytes)| (name, text(bytes))).collect()
}

fn page(lines: &[TrendLine]) -> String {
    site(Some(lines)).remove("trends.html").unwrap()
}

#[test]
fn there_is_a_trends_page_only_if_there_is_a_history() {
    let without = site(None);
    assert!(!without.contains_key("trends.html"));
    assert!(without.values().all(|page| !page.contains("trends.html")));
    for (name, page) in site(Some(&lines())) {
        assert!(page.contains("href=\"trends.html\""), "{name}");
    }
    assert!(page(&[]).contains("This history has no gains yet."));
}

#[test]
fn changes_are_listed_and_drawn_and_each_machine_has_its_own_line() {
    let page = page(&lines());
    for part in [
        "2026-01-13 00:00, 1223456789 on made-2c-4g-linux6.1-ext4: gain at 100: 90.4× → 81.4×",
        "2026-01-20 00:00, 1923456789+ on made-2c-4g-linux6.1-ext4: steps of naive at 100: 257 → 300",
        "made-2c-4g-linux6.1-ext4: from 90.0× to 81.4×, 1 change of level",
        "other-8c-16g-linux6.1-xfs: from 90.0× to 90.0×, 0 changes of level",
        "level 90.4× → 81.4×; rustc 1.91.0",
        "marked: other processes held the CPU",
        "7 earlier ones are in the history",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    assert_eq!(
        page.matches("<svg").count(),
        1,
        "no chart for point 1, which is not the headline and did not change"
    );
    // Strokes join twenty readings of one machine and seven of the other. Each interval takes three strokes, and the
    // cross of a marked case takes two.
    let strokes = |ink: &str| page.matches(&format!("stroke=\"{ink}\" stroke-width=\"4\"")).count();
    assert_eq!((strokes("#0B62A8"), strokes("#B8480B")), (19 + 20 * 3 + 2, 6 + 7 * 3 + 2));
}

#[test]
fn more_machines_than_inks_get_a_second_chart() {
    let machines: Vec<TrendLine> = (0..6)
        .map(|machine| line("made/search", 9, GAIN, &format!("machine{machine}"), &step(99)))
        .collect();
    let page = page(&machines);
    assert_eq!(page.matches("<svg").count(), 2);
    for machine in 0..6 {
        assert!(page.contains(&format!("</span> machine{machine}</li>")));
    }
}

#[test]
fn hostile_names_stay_text_and_broken_figures_reach_no_chart() {
    let mut hostile = lines();
    for line in &mut hostile {
        line.machine_key = "\"><script>alert(1)</script>".to_owned();
        line.place.case.pair = "</svg><img src=x onerror=alert(1)>/x".to_owned();
        line.place.case.level = "' onload='alert(1)".to_owned();
        line.readings[3].1.mark = Some("<b>".to_owned());
        line.readings[4].1.value = f64::NAN;
        line.readings[6].1.high = f64::INFINITY;
    }
    let page = page(&hostile);
    assert_eq!(page.matches("<script>").count(), 1);
    for word in ["<img", "<b>", "NaN", ">inf", "2147483647"] {
        assert!(!page.contains(word), "{word}");
    }
}

#[test]
fn a_long_history_makes_a_page_of_bounded_size() {
    let values: Vec<f64> = (0..2_000).map(|i| 10.0 + f64::from(i % 5) / 50.0).collect();
    let page = page(&[line("made/search", 9, GAIN, "made", &values)]);
    assert!(page.contains("1,980 earlier ones") && page.contains("over 200 runs"), "{page}");
    assert!(page.len() < 300_000, "{}", page.len());
}
