//! What a reader must know before trusting figures: of a whole run, or of one pair.
//!
//! The front page, the page of the machine, the page of a pair and its citation all say what stands here.

use crate::results::{CaseResult, Measured, PairResult, Run};
use worthit_pair::format;

/// A reason to doubt figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Nothing was measured.
    NothingMeasured,
    /// Other processes held the CPU during some of the measured cases.
    Marked {
        /// Where, if the warning is about one pair.
        places: Vec<String>,
        /// Number of marked cases.
        marked: usize,
        /// Number of measured cases.
        measured: usize,
    },
    /// Few points were measured, briefly.
    Quick,
    /// Some measured cases come from one process only.
    OneProcess {
        /// How many of them.
        cases: usize,
        /// Number of measured cases.
        measured: usize,
    },
    /// The clock may follow the load; the governor, if the system reports one.
    FrequencyScaling(Option<String>),
    /// The machine is virtual.
    VirtualMachine,
    /// The revision is not what was measured.
    Uncommitted,
}

impl Warning {
    /// Returns the sentence that pages show.
    pub fn in_words(&self) -> String {
        match self {
            Warning::NothingMeasured => "Nothing was measured in this run.".to_owned(),
            Warning::Marked { places, marked, measured } => {
                let measured = format::counted(*measured as u64, "measured cases");
                let places = match places.is_empty() {
                    true => String::new(),
                    false => format!(" ({})", places.join(", ")),
                };
                format!(
                    "Loaded machine: other processes held the CPU during {marked} of {measured}{places}. Marked cases are excluded from headlines and break-evens."
                )
            }
            Warning::Quick => {
                "Quick run: only the near end and the headline of each sweep, measured briefly, without peers."
                    .to_owned()
            }
            Warning::OneProcess { cases, measured } => {
                let which = match cases == measured {
                    true => String::new(),
                    false => format!(
                        " for {cases} of {}",
                        format::counted(*measured as u64, "measured cases")
                    ),
                };
                format!(
                    "One process{which}: the intervals include no more of the variance between processes than identical sides show; run with --rounds 5 to include all of it."
                )
            }
            Warning::FrequencyScaling(Some(governor)) => format!(
                "Frequency scaling: the governor is “{governor}”, so the clock follows the load."
            ),
            Warning::FrequencyScaling(None) => {
                "Frequency scaling: the system reports no governor.".to_owned()
            }
            Warning::VirtualMachine => {
                "Virtual machine: load from its neighbours affects the measurements.".to_owned()
            }
            Warning::Uncommitted => {
                "Uncommitted changes: the working tree was not the revision that is named."
                    .to_owned()
            }
        }
    }

    /// Returns a few words for a citation; `None` if the citation has them elsewhere or needs none.
    pub fn in_citation(&self) -> Option<String> {
        match self {
            Warning::Marked { marked, measured, .. } => {
                Some(format!("{marked} of {} marked", format::counted(*measured as u64, "cases")))
            }
            Warning::Quick => Some("quick run".to_owned()),
            Warning::OneProcess { cases, measured } if cases == measured => {
                Some("one process".to_owned())
            }
            Warning::OneProcess { cases, measured } => Some(format!(
                "one process for {cases} of {}",
                format::counted(*measured as u64, "cases")
            )),
            Warning::VirtualMachine => Some("virtual machine".to_owned()),
            Warning::NothingMeasured | Warning::FrequencyScaling(_) | Warning::Uncommitted => None,
        }
    }
}

/// Returns the warnings about the figures of a run.
pub fn of_run(run: &Run) -> Vec<Warning> {
    let measured: Vec<_> = run.pairs.values().flat_map(measured_cases).collect();
    let nothing = measured.is_empty().then_some(Warning::NothingMeasured);
    let found = measured.iter().map(|(_, found)| *found).collect::<Vec<_>>();
    nothing.into_iter().chain(about(run, &found, vec![])).collect()
}

/// Returns the warnings about the figures of one pair of a run.
pub fn of_pair(run: &Run, pair: &PairResult) -> Vec<Warning> {
    let measured: Vec<_> = measured_cases(pair).collect();
    let marked = measured.iter().filter(|(_, found)| found.mark.is_some());
    let places = marked.map(|(place, _)| place.clone()).collect();
    let found = measured.iter().map(|(_, found)| *found).collect::<Vec<_>>();
    about(run, &found, places)
}

/// Each measured case with its place in words: "loopback, 64 orders".
fn measured_cases(pair: &PairResult) -> impl Iterator<Item = (String, &Measured)> {
    pair.sweeps.iter().flat_map(move |sweep| {
        let level =
            if sweep.level.is_empty() { String::new() } else { format!("{}, ", sweep.level) };
        let named = move |case: &'_ CaseResult| format!("{level}{}", pair.place(case.point));
        sweep.cases.iter().filter_map(move |case| Some((named(case), case.measured()?)))
    })
}

fn about(run: &Run, measured: &[&Measured], places: Vec<String>) -> Vec<Warning> {
    let number =
        |doubtful: fn(&Measured) -> bool| measured.iter().filter(|found| doubtful(found)).count();
    let marked = number(|found| found.mark.is_some());
    let alone = number(|found| found.processes.len() == 1);
    let measured = measured.len();
    let mut warnings = Vec::new();
    if marked > 0 {
        warnings.push(Warning::Marked { places, marked, measured });
    }
    if run.quick {
        warnings.push(Warning::Quick);
    }
    if alone > 0 {
        warnings.push(Warning::OneProcess { cases: alone, measured });
    }
    if run.machine.governor.as_deref() != Some("performance") {
        warnings.push(Warning::FrequencyScaling(run.machine.governor.clone()));
    }
    if run.machine.virtual_machine {
        warnings.push(Warning::VirtualMachine);
    }
    if run.revision.dirty {
        warnings.push(Warning::Uncommitted);
    }
    warnings
}
