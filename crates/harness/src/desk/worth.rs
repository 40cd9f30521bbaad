//! What the findings of clippy are worth: each with the pair that measures its technique, the largest gain first.

use std::collections::{BTreeMap, BTreeSet};

use super::{Desk, Figures, citation::figure};
use crate::{
    clippy::Reported,
    report::{gain, speaking_case},
    result_file::ResultError,
    statistics::Interval,
};
use worthit_pair::{
    family::{Entry, Family},
    pair::{Lint, Metric},
};

/// The findings of a project.
#[derive(Debug)]
pub struct Worth {
    /// Those of which the catalogue has a pair: by time, the largest gain first, then by another metric, then what was not
    /// measured.
    pub known: Vec<Valued>,
    /// The number of others by lint.
    pub unknown: BTreeMap<String, usize>,
}

/// A finding and the pair that measures its technique.
#[derive(Debug)]
pub struct Valued {
    /// The finding.
    pub reported: Reported,
    /// The pair.
    pub entry: &'static Entry,
    /// Its figures, if anybody measured it.
    pub figures: Option<Figures>,
}

/// The gain of a pair at its headline.
#[derive(Debug)]
pub struct AtHeadline {
    /// Naive ÷ optimized.
    pub gain: Interval,
    /// Whether it is computed, so that the interval has no width.
    pub is_computed: bool,
    /// What is compared.
    pub metric: Metric,
    /// Where: "1,000 rows".
    pub place: String,
}

impl Valued {
    /// Returns the gain at the headline.
    pub fn gain(&self) -> Option<AtHeadline> {
        let pair = self.figures.as_ref()?.pair();
        let (sweep, case) = speaking_case(pair)?;
        let level = match sweep.level.as_str() {
            "" => String::new(),
            level => format!(" ({level})"),
        };
        Some(AtHeadline {
            gain: gain(case)?,
            is_computed: case.measured().is_none(),
            metric: pair.metric,
            place: format!("{}{level}", pair.place(case.point)),
        })
    }
}

impl AtHeadline {
    /// Returns the gain in words: "12.3× (11.9…12.8)", "5.00× (4.80…5.20) by p99 latency".
    fn in_words(&self) -> String {
        let metric = match self.metric {
            Metric::Time => String::new(),
            other => format!(" by {}", other.heading()),
        };
        figure(&self.gain, self.is_computed) + &metric
    }
}

/// The lints that the catalogue knows, with their pairs.
fn known_lints(
    catalogue: &[&'static Family],
) -> BTreeMap<&'static str, (&'static str, &'static Entry)> {
    let mut known = BTreeMap::new();
    for family in catalogue {
        for entry in family.pairs {
            if let Lint::Default(lint) | Lint::Switched(lint, _) = entry.review.lint {
                // The first pair of several speaks for a lint: the catalogue begins with what is met most.
                known.entry(lint).or_insert((family.package, entry));
            }
        }
    }
    known
}

/// Returns the lints that the catalogue knows and clippy does not switch on by itself, sorted.
pub fn lints_to_switch_on(catalogue: &[&'static Family]) -> BTreeSet<&'static str> {
    let entries = catalogue.iter().flat_map(|family| family.pairs);
    let switched = entries.filter_map(|entry| match entry.review.lint {
        Lint::Switched(lint, _) => Some(lint),
        _ => None,
    });
    switched.collect()
}

/// Values findings by the figures on the desk. A place that was reported several times, as for a library and its tests, counts
/// once.
///
/// # Errors
/// If a result cannot be read.
pub fn of_findings(
    findings: Vec<Reported>,
    catalogue: &[&'static Family],
    desk: &Desk,
) -> Result<Worth, ResultError> {
    let lints = known_lints(catalogue);
    let (mut known, mut unknown) = (Vec::new(), BTreeMap::new());
    for reported in BTreeSet::from_iter(findings) {
        match lints.get(reported.lint.as_str()) {
            Some((package, entry)) => {
                let figures = desk.figures(package, entry)?;
                known.push(Valued { reported, entry, figures });
            }
            None => *unknown.entry(reported.lint).or_default() += 1,
        }
    }
    // Gains of another kind, which do not compare with those of time, follow these.
    let rank = |valued: &Valued| {
        let found = valued.gain();
        let is_of_time = found.as_ref().is_some_and(|found| found.metric == Metric::Time);
        (!is_of_time, found.map_or(0.0, |found| found.gain.estimate))
    };
    known.sort_by(|left, right| {
        let ((left_kind, left_gain), (right_kind, right_gain)) = (rank(left), rank(right));
        let by_gain = left_kind.cmp(&right_kind).then(right_gain.total_cmp(&left_gain));
        by_gain.then(left.entry.id.cmp(right.entry.id))
    });
    Ok(Worth { known, unknown })
}

/// Says what a finding is worth: "12.3× (11.9…12.8) at 1,000 rows in computation/map_entry, by a run on this machine, …".
pub fn in_words(valued: &Valued) -> String {
    let id = valued.entry.id;
    match (valued.gain(), &valued.figures) {
        (Some(found), Some(figures)) => {
            let (gain, place, source) = (found.in_words(), &found.place, figures.source_in_words());
            format!("{gain} at {place} in {id}, by {source}")
        }
        _ => format!("{id} measures it, and nobody has yet: `cargo bench -- '^{id}/'`"),
    }
}

/// Writes what findings are worth as a document.
pub fn json(found: &Worth) -> serde_json::Value {
    let valued = |valued: &Valued| {
        let Reported { file, line, column, lint, message } = &valued.reported;
        let gain = valued.gain();
        serde_json::json!({
            "pair": valued.entry.id,
            "file": file,
            "line": line,
            "column": column,
            "lint": lint,
            "message": message,
            "gain": gain.as_ref().map(|found| found.gain),
            "is_computed": gain.as_ref().map(|found| found.is_computed),
            "metric": gain.as_ref().map(|found| found.metric.heading()),
            "at": gain.as_ref().map(|found| &found.place),
            "by": valued.figures.as_ref().map(Figures::source_in_words),
        })
    };
    serde_json::json!({
        "known": found.known.iter().map(valued).collect::<Vec<_>>(),
        "unknown": found.unknown,
    })
}
