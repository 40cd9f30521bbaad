//! Each check of the audit finds a pair that must fail it, by its own name. The faults are those that pairs of this suite
//! once had, put back one by one into a sound pair, and mistakes made on purpose.

mod planted;

use std::time::Duration;

use worthit_harness::{
    audit::{self, Evidence, Standing, lints::Lints},
    results::{Headline, Outcome, Run},
};
use worthit_pair::{audited::Check, case::CaseKey, family::Entry};

use planted::{FAULTS, SOUND, as_explained};

worthit_pair::counting_binary!();

fn standings(
    entry: &Entry,
    references: &[Run],
    lints: Result<Lints, String>,
) -> Vec<(String, Standing)> {
    let evidence = Evidence { seed: 42, references, lints };
    let mut audit = audit::audit(&[entry], &evidence).expect("this binary counts");
    let checks = audit.pairs.remove(0).checks;
    checks.into_iter().map(|checked| (checked.check.into_owned(), checked.standing)).collect()
}

/// What clippy would print if it reported these lints, as (file, line, lint).
fn lints(reported: &[(&str, usize, &str)]) -> Result<Lints, String> {
    let message = |(file, line, lint): &(&str, usize, &str)| {
        let span = serde_json::json!({ "file_name": file, "line_start": line, "is_primary": true });
        let found = serde_json::json!({ "code": { "code": lint }, "spans": [span] });
        serde_json::json!({ "reason": "compiler-message", "message": found }).to_string()
    };
    let messages: Vec<String> = reported.iter().map(message).collect();
    Ok(Lints::read(&messages.join("\n"), "  clippy::nursery  clippy::needless-collect"))
}

#[test]
fn a_sound_pair_passes_every_check() {
    for (check, standing) in standings(&SOUND, &[as_explained()], lints(&[])) {
        assert_eq!(standing, Standing::Passed, "{check}");
    }
}

#[test]
fn each_fault_is_found_by_its_own_check() {
    for fault in FAULTS {
        let references = [(fault.reference)()];
        let found = standings(&fault.entry, &references, lints(fault.lints));
        for (check, standing) in &found {
            let is_own = *check == fault.check.name();
            match standing {
                Standing::Failed { problems } => {
                    assert!(is_own, "{}: {check} fails, too: {problems:?}", fault.what);
                    let said = problems.join("; ");
                    assert!(said.contains(fault.says), "{}: {said}", fault.what);
                }
                Standing::Passed => assert!(!is_own, "{}: {check} passes", fault.what),
                other => panic!("{}: {check}: {other:?}", fault.what),
            }
        }
    }
}

#[test]
fn every_check_has_a_fault() {
    for check in Check::ALL {
        assert!(FAULTS.iter().any(|fault| fault.check == check), "{}", check.name());
    }
}

#[test]
fn an_exception_needs_a_reason_to_be_one() {
    let found = standings(&planted::EXEMPT, &[as_explained()], lints(&[]));
    let of = |name| found.iter().find(|(check, _)| *check == name).map(|(_, standing)| standing);
    let Some(Standing::Exempt { reason, problems }) = of("rotation") else { panic!("{found:?}") };
    assert_eq!(reason, "There is one input in reality, too.");
    assert!(problems[0].contains("the same input"), "{problems:?}");
    let Some(Standing::Failed { problems }) = of("limit") else { panic!("{found:?}") };
    assert!(problems[0].contains("remove the exception from `limit`"), "{problems:?}");
}

#[test]
fn a_check_that_cannot_look_says_why() {
    let found = standings(&SOUND, &[], Err("clippy is not installed".to_owned()));
    let unchecked = |name: &str| {
        let standing = found.iter().find(|(check, _)| *check == name).map(|(_, found)| found);
        match standing {
            Some(Standing::NotChecked { why }) => why.clone(),
            other => panic!("{name}: {other:?}"),
        }
    };
    assert!(unchecked("explanation").contains("there is no reference: record one"));
    assert_eq!(unchecked("lint"), "clippy is not installed");
    let mut elsewhere = as_explained();
    elsewhere.pairs.clear();
    let found = standings(&SOUND, &[elsewhere], lints(&[]));
    let why = &found.iter().find(|(check, _)| *check == "limit").unwrap().1;
    assert!(matches!(why, Standing::NotChecked { why } if why.contains("no case at the headline")));
}

#[test]
fn a_marked_headline_of_a_reference_is_no_evidence() {
    let mut run = as_explained();
    let pair = run.pairs.get_mut(SOUND.id).unwrap();
    assert_eq!(pair.headline, Some(Headline { level: String::new(), point: 1_000 }));
    for case in &mut pair.sweeps[0].cases {
        if let Outcome::Measured(found) = &mut case.outcome {
            found.mark = Some("other processes held the CPU".to_owned());
        }
    }
    let found = standings(&SOUND, &[run], lints(&[]));
    assert!(found.iter().any(|(_, standing)| matches!(standing, Standing::NotChecked { .. })));
}

#[test]
fn of_the_references_of_a_machine_the_latest_is_evidence() {
    let beaten = FAULTS.iter().find(|fault| fault.what == "a limit that is beaten").unwrap();
    let of_limit = |[earlier, mut later]: [Run; 2]| {
        later.started += Duration::from_secs(1);
        // Whatever their files are called.
        let found = standings(&beaten.entry, &[later, earlier], lints(&[]));
        found.into_iter().find(|(check, _)| *check == beaten.check.name()).unwrap().1
    };
    let [sound, faulty] = [as_explained(), (beaten.reference)()];
    assert_eq!(of_limit([faulty.clone(), sound.clone()]), Standing::Passed);
    assert!(matches!(of_limit([sound, faulty]), Standing::Failed { .. }));
}

#[test]
fn the_table_names_what_failed_and_counts_what_is_exempt() {
    let key = CaseKey { pair: planted::EXEMPT.id.to_owned(), level: String::new(), point: 10 };
    let evidence = Evidence { seed: 42, references: &[as_explained()], lints: lints(&[]) };
    let audit = audit::audit(&[&SOUND, &planted::EXEMPT], &evidence).unwrap();
    let text = audit.to_string();
    assert!(!audit.passes() && audit.is_whole());
    let header = "pair           answers  rotation  traps  claims";
    assert!(text.starts_with(header), "{text}");
    assert!(text.contains("planted/sound  ok       ok        ok     ok"), "{text}");
    assert!(text.contains(&format!("\nfailed:\n  {}, limit: ", key.pair)), "{text}");
    assert!(text.contains("\nexempt:\n  planted/sound, rotation: There is one"), "{text}");
    assert!(text.ends_with("2 pairs: 18 passed, 1 failed, 1 exempt, 0 not checked\n"), "{text}");
}
