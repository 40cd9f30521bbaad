//! Tests of the report's pages, made from synthetic results and read as text and in a real browser.

mod browser;
mod front;
#[path = "../lines/mod.rs"]
mod lines;
mod made;
mod pair;
mod portability;
mod scaling;
mod study;
#[path = "../../crates/harness/tests/verdicts/mod.rs"]
mod verdicts;

use std::{collections::BTreeSet, fs, path::Path};

use tempfile::TempDir;
use worthit::CATALOGUE;
use worthit_harness::{
    criterion_pages::CriterionPages,
    machine::Processor,
    report::{Material, pages, write},
    results::{Outcome, Run},
    samples::{self, Sample},
    statistics::Interval,
};
use worthit_pair::causes::Cause;

use made::{
    add, empty_run, full_run, hostile_run, hundred, material, measured, pair, sample, site, text,
};

#[test]
fn the_front_page_warns_of_doubtful_figures() {
    let front = text(&site(&full_run())["index.html"]);
    for part in [
        "Loaded machine: other processes held the CPU during 1 of 6 measured cases",
        "Quick run",
        "One process: the intervals include no more of the variance between processes",
        "the governor is “powersave”",
        "Uncommitted changes",
    ] {
        assert!(front.contains(part), "{part}\n{front}");
    }
    assert!(text(&site(&empty_run())["index.html"]).contains("Nothing was measured in this run."));
}

#[test]
fn a_result_of_an_older_machine_key_is_shown_under_it_and_a_present_one_with_its_parts() {
    let older = text(&site(&scaling::sixteen_cores())["machine.html"]);
    let key = "intel-r-xeon-r-processor-16c-126g-linux6.18-ext4";
    let shown = format!("{key} , recorded under an older kind of machine key");
    assert!(older.contains(&shown) && !older.contains("Vector extension"), "{older}");
    let mut run = empty_run();
    let cpu_info = "vendor_id : AuthenticAMD\ncpu family : 25\nmodel : 17\nflags : avx2 avx512f\n";
    run.machine.processor = Some(Processor::of(cpu_info));
    let present = text(&site(&run)["machine.html"]);
    for part in ["Processor amd, family 25, model 17", "Vector extension avx512"] {
        assert!(present.contains(part), "{part}\n{present}");
    }
    assert!(!present.contains("older kind"), "{present}");
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
fn the_plans_of_each_side_stand_below_its_counts() {
    let mut run = made::empty_run();
    add(&mut run, "made/planned", &pair("Planned"), "", vec![(1, measured(2.0, None))]);
    let page = &site(&run)["pairs/made/planned.html"];
    let (_, plans) = page.split_once("Query plans").unwrap();
    for side in ["naive", "optimized", "peer"] {
        let label = format!("aria-label=\"Statement and plan, {side}\"");
        let (_, plan) = plans.split_once(label.as_str()).unwrap();
        let step =
            "&#60;b&#62;&#39;\n  SEARCH orders USING INDEX orders_by_customer (customer_id=?)";
        assert!(plan.contains(step), "{plan}");
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
    let mut study = made::study("Impossible");
    study.steps[1].latency.p50_ns = f64::NAN;
    study.steps[2].latency.p99_ns = f64::INFINITY;
    study.steps[3].counts = [("steps".to_owned(), f64::NAN)].into();
    run.studies.insert("studies/impossible".to_owned(), study.clone());
    let mut searched = made::of_capacity(study);
    searched.steps[1].at_users[0].loads[0].rate = f64::NAN;
    searched.steps[2].at_users[1].loads[0].p99_us = f64::INFINITY;
    searched.steps[3].at_users.clear();
    run.studies.insert("studies/unsearched".to_owned(), searched);
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

#[test]
fn names_of_pages_are_distinct() {
    let run = hostile_run();
    let files = pages(&material(&run, &[], Path::new("reports")));
    let names: BTreeSet<&String> = files.keys().collect();
    assert_eq!(names.iter().filter(|name| name.starts_with("pairs/")).count(), run.pairs.len());
}
