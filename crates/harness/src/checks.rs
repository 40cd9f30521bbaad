//! Lists benchmarks, and runs them once to check that they work. Neither measures, and neither needs criterion.

use crate::{
    criterion_pages::CriterionPages,
    flags::Flags,
    load::RunDelay,
    measuring::{NotReady, TrialTimer, proven},
    printing::{print, say},
    process::fail,
    selection::Selection,
    study,
};
use worthit_pair::{
    cases::{self, NamedCase},
    family::Entry,
    proof,
    trial::Trial,
};

/// Lists the selected benchmarks, one a line, as libtest and criterion do and test runners expect.
pub fn list(selection: &Selection<'_>) {
    let mut text = String::new();
    for entry in selection.entries() {
        for case in selection.cases(entry) {
            for role in selection.roles(entry, &case) {
                text += &format!("{}: benchmark\n", cases::benchmark_id(entry, &case, role));
            }
        }
    }
    for study in selection.studies() {
        text += &format!("{}: benchmark\n", study.id);
    }
    print(&text);
}

/// Proves each selected case and runs its selected sides once; proves the selected studies.
pub fn test(selection: &Selection<'_>, seed: u64) {
    let delay = RunDelay::of_this_thread();
    for entry in selection.entries() {
        for case in selection.cases(entry) {
            let Some(mut trial) = prove(entry, &case) else { continue };
            let mut timer = TrialTimer::new(&mut trial, &delay);
            for role in selection.roles(entry, &case) {
                timer.run(role, 1);
                print(&format!("test {} ... ok\n", cases::benchmark_id(entry, &case, role)));
            }
            if let Err(problem) = proof::loads_are_answered(entry, &case.case, &mut trial) {
                fail_unproven(&format!("{}: {problem}", case.key));
            }
        }
    }
    for study in selection.studies() {
        match study::prove(study, study.fixes, seed) {
            Ok(()) => print(&format!("test {} ... ok\n", study.id)),
            Err(unavailable) => say(&format!("{}: not run: {unavailable}", study.id)),
        }
    }
}

/// Ends the process before it measures if criterion would miss a baseline only later.
pub fn require_baselines(flags: &Flags, selection: &Selection<'_>) {
    let baselines = [(&flags.baseline, "estimates.json"), (&flags.load_baseline, "sample.json")];
    let pages = CriterionPages::here();
    for (name, file) in
        baselines.into_iter().filter_map(|(name, file)| Some((name.as_ref()?, file)))
    {
        let mut lacking = Vec::new();
        for entry in selection.entries() {
            for case in selection.cases(entry) {
                for role in selection.roles(entry, &case) {
                    let side = cases::side_name(entry, role);
                    if !pages.has_baseline(&case.key, side, name, file) {
                        lacking.push(cases::benchmark_id(entry, &case, role));
                    }
                }
            }
        }
        if let Some(first) = lacking.first() {
            let others = match lacking.len() {
                1 => String::new(),
                count => format!(" and {} more", count - 1),
            };
            fail(
                2,
                &format!(
                    "there is no baseline `{name}` of `{first}`{others}: save it with --save-baseline {name}, \
                     or compare only what has it with --baseline-lenient {name}"
                ),
            );
        }
    }
}

/// Prepares and proves a case; `None`, with a line that says why, if it cannot run on this machine.
pub fn prove(entry: &Entry, case: &NamedCase) -> Option<Trial> {
    match proven(entry, case) {
        Ok(trial) => Some(trial),
        Err(NotReady::Unproven(problem)) => fail_unproven(&problem),
        Err(NotReady::Unavailable(reason)) => {
            say(&format!("{} {}: not run: {reason}", case.key.group(), case.case.point));
            None
        }
    }
}

/// Ends the process because a proof failed.
pub fn fail_unproven(problem: &str) -> ! {
    fail(1, &format!("{problem}\nThe case was not timed; the run ends here."))
}
