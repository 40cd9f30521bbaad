//! The causes of a pair on its page: what each side did, and how that was counted.

use super::{charts, figures::ink_of, finding};
use crate::results::{CaseResult, Measured, PairResult, Sweep};
use worthit_pair::{
    causes::{Cause, Counting, Counts},
    family::Entry,
    format,
};

/// The counts of one cause in one case.
pub struct CauseRow {
    /// The case.
    pub place: String,
    /// The noun of the cause.
    pub label: String,
    /// How it is counted; empty if this build does not know the cause.
    pub how: String,
    /// Whether the count is a model.
    pub is_modelled: bool,
    /// The counts of the sides.
    pub sides: Vec<SideCount>,
}

/// The count of one side.
pub struct SideCount {
    /// Name of the side.
    pub side: String,
    /// The count.
    pub count: String,
    /// Its bar.
    pub bar: String,
    /// Text alternative of the bar.
    pub bar_label: String,
}

/// Returns the counts of the headline case of each sweep.
pub fn rows(pair: &PairResult, entry: Option<&Entry>) -> Vec<CauseRow> {
    pair.sweeps.iter().flat_map(|sweep| rows_of_sweep(pair, sweep, entry)).collect()
}

/// Returns how the first cause of a pair is counted, if this build knows the pair.
pub fn counting(entry: Option<&Entry>, pair: &PairResult) -> Option<Counting> {
    known(entry?, &pair.causes.first()?.id).map(|cause| cause.counting)
}

fn known(entry: &Entry, id: &str) -> Option<Cause> {
    entry.named_causes().into_iter().find(|cause| cause.id == id)
}

/// Returns the case of a sweep whose counts and plans are shown: the one that speaks for it, or else the last.
pub fn shown<'a>(pair: &PairResult, sweep: &'a Sweep) -> Option<(&'a CaseResult, &'a Measured)> {
    let measured = |case: &'a CaseResult| Some((case, case.measured()?));
    let at_headline = finding::headline(pair, sweep).and_then(measured);
    at_headline.or_else(|| sweep.cases.iter().rev().find_map(measured))
}

fn rows_of_sweep(pair: &PairResult, sweep: &Sweep, entry: Option<&Entry>) -> Vec<CauseRow> {
    let Some((case, found)) = shown(pair, sweep) else {
        return Vec::new();
    };
    let level = if sweep.level.is_empty() { String::new() } else { format!("{}, ", sweep.level) };
    let place = format!("{level}{}", pair.place(case.point));
    let rows = pair.causes.iter().map(|cause| {
        let count = |counts: &Counts| counts.get_by_id(&cause.id);
        let greatest = found.sides.iter().filter_map(|side| count(&side.causes)).max();
        let sides = found.sides.iter().filter_map(|side| {
            let counted = count(&side.causes)?;
            Some(SideCount {
                side: side.name.clone(),
                count: format::mean(counted, found.inputs),
                bar: charts::count_bar(counted, greatest.unwrap_or(1), ink_of(side.role)),
                bar_label: format::mean_counted(counted, found.inputs, &cause.label),
            })
        });
        let counting = entry.and_then(|entry| known(entry, &cause.id)).map(|cause| cause.counting);
        CauseRow {
            place: place.clone(),
            label: cause.label.clone(),
            how: counting.map_or(String::new(), Counting::in_words),
            is_modelled: counting.is_some_and(Counting::is_modelled),
            sides: sides.collect(),
        }
    });
    rows.filter(|row| !row.sides.is_empty()).collect()
}
