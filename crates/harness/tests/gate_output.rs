//! Tests of the gate's output formats, each parsed by an independent reader of the format.

mod verdicts;

use std::{collections::BTreeSet, path::Path};

use jiff::Timestamp;
use verdicts::report;
use worthit_harness::{
    gate::{
        output::{Format, json},
        report::GateReport,
    },
    machine::Machine,
    report::{Last, Material, pages},
    results::{Revision, Run},
};

#[test]
fn the_terminal_output_lists_changes_worst_first() {
    let text = Format::Terminal.write(&report());
    let position_of =
        |words: &str| text.find(words).unwrap_or_else(|| panic!("`{words}` in:\n{text}"));
    assert!(position_of("queries/regressed") < position_of("queries/layout"));
    assert!(position_of("queries/layout") < position_of("queries/better"));
    for words in [
        "optimized: 1 → 2 statements (+100.0 %)",
        "optimized: 10,000 → 10,020 instructions (+0.2 %)",
        "optimized: time +5.2 % (+4.1…+6.3), 32 restarts",
        "possibly a layout effect",
        "time not measured: the time limit was reached",
        "not comparable: its axis differs",
        "renamed from queries/old",
        "budget: at most 3 statements, but 4",
        "new: the base does not have it",
        "gone: only the base has it",
        "optimized: 100,000 → 92,800 instructions (-7.2 %)",
        "fewer instructions without a shorter time are no improvement",
        "unchanged: queries/quiet, queries/unaffected",
        "regressed: 3 regressed, 3 undecided, 1 improved, 8 unchanged of 15 pairs",
        "1 of 15 pairs were neither counted nor timed",
        "self-test of 2026-11-25: 0 false alarms",
        "12.3 s after the builds",
    ] {
        position_of(words);
    }
    assert!(!text.contains('\u{1b}'), "no escape sequence from a problem reaches the terminal");
}

#[test]
fn markdown_is_a_heading_and_a_table_even_with_hostile_names() {
    use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

    let text = Format::Markdown.write(&report());
    let events: Vec<Event> =
        Parser::new_ext(&text, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH).collect();
    let count =
        |wanted: &dyn Fn(&Event) -> bool| events.iter().filter(|event| wanted(event)).count();
    let headings =
        count(&|event| matches!(event, Event::Start(Tag::Heading { level: HeadingLevel::H3, .. })));
    assert_eq!(headings, 1, "{text}");
    // A header and a row for each pair except the two quiet ones, with three cells each.
    assert_eq!(count(&|event| matches!(event, Event::Start(Tag::TableRow))), 13, "{text}");
    assert_eq!(count(&|event| matches!(event, Event::Start(Tag::TableCell))), 14 * 3, "{text}");
    assert_eq!(count(&|event| matches!(event, Event::End(TagEnd::Table))), 1);
    let is_markup = |event: &Event| {
        matches!(
            event,
            Event::Start(
                Tag::Link { .. }
                    | Tag::Emphasis
                    | Tag::Strong
                    | Tag::Strikethrough
                    | Tag::CodeBlock(_)
            ) | Event::Code(_)
        )
    };
    assert_eq!(count(&is_markup), 0, "{text}");
    let html: BTreeSet<String> = events
        .iter()
        .filter_map(|event| match event {
            Event::InlineHtml(html) | Event::Html(html) => Some(html.trim().to_owned()),
            _ => None,
        })
        .collect();
    let own = ["<br>", "<sub>", "</sub>", "<details><summary>2 unchanged</summary>", "</details>"];
    assert!(html.iter().all(|tag| own.contains(&tag.as_str())), "{html:?}");
    let words: String = events
        .iter()
        .filter_map(|event| if let Event::Text(text) = event { Some(text.as_ref()) } else { None })
        .collect();
    assert!(words.contains("<script>alert(1)</script>&amp; *x* _y_"), "{words}");
}

#[test]
fn json_conforms_to_its_schema() {
    let schema: serde_json::Value = serde_json::from_str(json::SCHEMA).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let text = Format::Json.write(&report());
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let problems: Vec<String> = validator
        .iter_errors(&document)
        .map(|error| format!("{error} at {}", error.instance_path()))
        .collect();
    assert!(problems.is_empty(), "{problems:#?}");
    assert_eq!(document["verdict"], "regressed");
    assert_eq!(document["cases"][1]["verdict"], "regressed");
    assert_eq!(document["cases"][1]["outcome"]["counts"][0]["head"]["least"], 2);
    for broken in ["version", "verdict", "cases"] {
        let mut document = document.clone();
        document[broken] = serde_json::json!("x");
        assert!(!validator.is_valid(&document), "{broken}");
    }
    let again: GateReport = serde_json::from_str(&text).unwrap();
    assert_eq!(again, report());
}

#[test]
fn junit_reports_failures_and_skipped_cases() {
    let text = Format::Junit.write(&report());
    let suites = junit_parser::from_reader(text.as_bytes()).unwrap();
    let suite = &suites.suites[0];
    assert_eq!((suite.tests, suite.failures, suite.skipped), (15, 3, 3), "{text}");
    let case = |name: &str| {
        let case = suite.cases.iter().find(|case| case.original_name.starts_with(name)).unwrap();
        format!("{:?}", case.status)
    };
    assert!(
        case("queries/regressed").contains("1 → 2 statements"),
        "{}",
        case("queries/regressed")
    );
    assert!(case("queries/regressed").contains("Failure"));
    assert!(
        case("queries/layout").contains("Skipped")
            && case("queries/layout").contains("layout effect")
    );
    assert!(case("queries/better").contains("Success"));
}

#[test]
fn the_site_shows_the_last_verdicts_and_the_last_self_test() {
    let revision = Revision { commit: None, dirty: false };
    let run = Run::new("made-1", Timestamp::UNIX_EPOCH, false, 42, Machine::current(), revision);
    let page_of = |gate: Option<&Last>| {
        let mut files = pages(&Material { gate, ..Material::of(&run, Path::new("reports")) });
        files.remove("gate.html").map(|page| String::from_utf8(page).unwrap())
    };
    let both = Last { report: Some(report()), self_test: Some(verdicts::self_test()) };
    let page = page_of(Some(&both)).unwrap();
    for words in [
        "3 regressed, 3 undecided, 1 improved, 8 unchanged of 15 pairs",
        "optimized: 1 → 2 statements (+100.0 %)",
        "0 false alarms in 1,056 null (A/A) comparisons",
        "0 of 48 null runs failed",
    ] {
        assert!(page.contains(words), "`{words}` in {page}");
    }
    let neither = page_of(Some(&Last::default())).unwrap();
    assert!(neither.contains("worthit gate --against main"), "{neither}");
    assert!(neither.contains("worthit gate --self-test"), "{neither}");
    assert_eq!(page_of(None), None, "no page without a gate");
}
