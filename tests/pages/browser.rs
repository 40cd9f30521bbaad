//! Every kind of page in headless Chromium.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;
use worthit::CATALOGUE;
use worthit_harness::{
    criterion_pages::CriterionPages,
    report::{Last, Material, write},
};

use crate::{
    lines,
    made::{HOSTILE, empty_run, full_run, hostile_run, hundred},
    portability::three_machines,
    scaling::{sixteen_cores, widest},
    verdicts,
};

/// Runs the checks of `tests/browser` over a site in headless Chromium.
///
/// `visit` is a pattern of the paths of the pair pages to load.
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

/// The pattern of pages of pairs that are not of the catalogue, or of its first family.
fn few_of_the_catalogue() -> String {
    let others: Vec<&str> = CATALOGUE[1..].iter().map(|family| family.name).collect();
    format!("^pairs/(?!({})/)", others.join("|"))
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
    let references = three_machines();
    let (many, few) = (hundred(), few_of_the_catalogue());
    // The families of the hundred have the same twenty pairs, so that one family shows all of their pages.
    let sites = [
        (hostile_run(), vec![], CATALOGUE.to_vec(), few.as_str()),
        // Each card of the catalogue is seen once.
        (empty_run(), vec![], CATALOGUE.to_vec(), ""),
        (sixteen_cores(), vec![], CATALOGUE.to_vec(), &few),
        (widest(), vec![], CATALOGUE.to_vec(), &few),
        (many.0, many.1, many.2, "family0/"),
    ];
    for (run, kept, families, visit) in &sites {
        let folder = TempDir::new().unwrap();
        let folder: PathBuf = folder.path().join("reports");
        write(&Material {
            run,
            samples: kept,
            other: Some(&other),
            references: &references,
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
