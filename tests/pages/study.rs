//! The page of a study, and what the front page says of it.

use std::path::Path;

use worthit::CATALOGUE;
use worthit_harness::{
    report::{Material, pages},
    servers::UsedServer,
    study::StudyResult,
};

use crate::made::{empty_run, full_run, material, of_capacity, of_users, site, step, study, text};

fn page_of(study: StudyResult) -> String {
    let mut run = full_run();
    run.studies.insert("studies/made".to_owned(), study);
    text(&site(&run)["studies/made.html"])
}

#[test]
fn the_page_says_what_stands_in_for_a_server() {
    let stand_in = UsedServer {
        program: "SQLite".to_owned(),
        version: "3.50.2".to_owned(),
        is_own: false,
        instead_of: Some("PostgreSQL".to_owned()),
    };
    let page = page_of(StudyResult { servers: vec![stand_in], ..study("Order at once") });
    // In the finding, and in what one cites.
    assert_eq!(page.matches("It ran on SQLite 3.50.2, as PostgreSQL is not installed.").count(), 2);
    assert!(page.contains("Instead of a server: SQLite 3.50.2, in the process."), "{page}");
}

#[test]
fn the_page_has_what_each_fix_bought_and_what_did_not_pay() {
    let page = page_of(study("Order at once"));
    for part in [
        "Order at once",
        "One order takes 2.00 ms instead of 1.00 s: 500×. Simulated waits are 50.0 ms of that; without them it is 475×.",
        "+ cache Keep it 7 orders",
        "5.00× (4.50…5.50)",
        "0.980×",
        "the mail: a server on loopback that answers after 50 ms",
        "batch : 0.980× at its place",
        "queue , in the other order: 1.01× at its place",
        "marked: busy",
        "Loaded machine: other work held the CPU during 1 of 8 steps.",
        "worthit `studies/made`: One order takes",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    let unpaid = page.split_once("What did not pay").unwrap().1;
    assert!(!unpaid.contains("cache"), "{unpaid}");
}

#[test]
fn the_page_of_a_study_under_load_has_a_curve_a_step_and_what_became_of_the_requests() {
    let page = page_of(of_capacity(study("Read at once")));
    for part in [
        "With 20 users it answers 800 orders/s instead of 100: 8.00×. With 200 users, 400 instead of none.",
        "The objective is a p99 of at most 10.0 ms and no failed request.",
        "Keep it 7 orders",
        "100/s none",
        "800/s 400/s 2.00×",
        "+ queue. The line is the objective",
        "20 users",
        "missed",
    ] {
        // A step that was put under load says nothing of few requests.
        assert_eq!(page.contains(part), part != "Keep it 7 orders", "{part}\n{page}");
    }
    let page = page_of(of_users(study("Hold a crowd")));
    for part in [
        "It holds ≥ 100 users instead of 10: 10.0×.",
        "each user thinks for 30.0 s between requests",
        "25.0 % fail",
        "250 of 1,000 (no answer 200, refused 50)",
        "64.0 MiB",
        "marked: busy",
        "users that it holds",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
}

#[test]
fn a_page_without_a_wait_another_order_or_an_unpaid_fix_says_so() {
    let steps = vec![step(None, 90.0), step(Some(("cache", "Keep it")), 2.0)];
    let page = page_of(StudyResult {
        steps,
        other_order: Vec::new(),
        waits: Vec::new(),
        causes: Vec::new(),
        ..study("Order at once")
    });
    for part in [
        "One order takes 2.00 ms instead of 90.0 ms: 45.0×.",
        "This run did not measure another order.",
        "Nothing.",
        "Each fix gained at least 1.05×,",
        "No cause was counted in this run.",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    let page = page_of(StudyResult { is_unfinished: true, ..study("Order at once") });
    assert!(page.contains("The run was interrupted before the last step."), "{page}");
    let cut =
        StudyResult { is_unfinished: true, other_order: Vec::new(), ..study("Order at once") };
    let steps = vec![step(None, 90.0), step(Some(("cache", "Keep it")), 2.0)];
    let page = page_of(StudyResult { steps, ..cut });
    assert!(page.contains("Not all steps were measured."), "{page}");
    let reason = Some("PostgreSQL is not installed".to_owned());
    let page = page_of(StudyResult {
        steps: Vec::new(),
        other_order: Vec::new(),
        unavailable: reason,
        ..study("")
    });
    assert!(page.contains("cannot run here: PostgreSQL is not installed"), "{page}");
    assert!(page.contains("Nothing was measured."), "{page}");
}

#[test]
fn studies_of_the_catalogue_have_pages_with_the_code_of_each_fix_measured_or_not() {
    let run = empty_run();
    let files =
        pages(&Material { families: &CATALOGUE, ..material(&run, &[], Path::new("reports")) });
    let studies = CATALOGUE.iter().flat_map(|family| family.studies);
    let mut count = 0;
    for study in studies {
        let page = text(&String::from_utf8(files[&format!("{}.html", study.id)].clone()).unwrap());
        assert!(page.contains("This study is not in this run."), "{page}");
        for fix in study.fixes {
            for part in [fix.title, fix.costs] {
                assert!(page.contains(&part.replace('`', "")), "{}: {part}", study.id);
            }
        }
        assert_eq!(page.matches("before: as it grew").count(), study.fixes.len());
        count += 1;
    }
    assert!(count > 0);
    let front = text(&String::from_utf8(files["index.html"].clone()).unwrap());
    assert!(
        front.contains("studies/bank Book a transfer in milliseconds not in this run"),
        "{front}"
    );
}

#[test]
fn the_front_page_has_the_headline_of_each_study() {
    let front = text(&site(&full_run())["index.html"]);
    let row =
        "studies/made Order at once 1.00 s → 2.00 ms per order: 500× cache 5.00×, batch 0.980×";
    assert!(front.contains(row), "{front}");
}
