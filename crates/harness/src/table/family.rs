//! The table of a family: two lines a sweep where the terminal is wide enough, else a short block.

use super::{break_even_of, cause_of, layout, one_line};
use crate::{
    report,
    results::{CaseResult, Outcome, PairResult, Run, Sweep},
    terminal,
};
use worthit_pair::{family::Family, format};

/// Width from which on each figure has a column of its own.
const FIVE_COLUMNS: usize = 160;
/// Width from which on a table is easier to read than blocks.
const THREE_COLUMNS: usize = 96;

/// A sweep of a pair of the family.
struct SweepOf<'a> {
    id: &'a str,
    pair: &'a PairResult,
    sweep: &'a Sweep,
}

/// Formats the pairs of a family that a run has, for output of this width.
pub fn of_family(run: &Run, family: &Family, width: usize) -> String {
    let pairs = family.pairs.iter().filter_map(|entry| Some((entry.id, run.pairs.get(entry.id)?)));
    let sweeps: Vec<SweepOf> = pairs
        .flat_map(|(id, pair)| pair.sweeps.iter().map(move |sweep| SweepOf { id, pair, sweep }))
        .collect();
    let heading = terminal::wrapped(&format!("{}: {}", family.name, family.title), width, 2);
    if family.pairs.is_empty() {
        return heading + "\n";
    }
    let table = match width {
        FIVE_COLUMNS.. => five_columns(&sweeps, width),
        THREE_COLUMNS.. => three_columns(&sweeps, width),
        _ => None,
    };
    format!("{heading}\n{}\n", table.unwrap_or_else(|| blocks(&sweeps, width)))
}

fn five_columns(sweeps: &[SweepOf<'_>], width: usize) -> Option<String> {
    let rows: Vec<[String; 5]> = sweeps
        .iter()
        .map(|sweep| {
            let [near, headline] = sweep.gains(with_interval);
            let [break_even, cause] = sweep.explanation(Uncertainty::Full);
            [sweep.name(), near, headline, break_even, cause]
        })
        .collect();
    let header =
        ["pair", "gain at one end", "at the headline", "break-even", "cause at the headline"];
    layout::in_columns(header, &rows, width)
}

fn three_columns(sweeps: &[SweepOf<'_>], width: usize) -> Option<String> {
    let rows: Vec<[String; 3]> = sweeps
        .iter()
        .map(|sweep| {
            let gains = joined(sweep.gains(with_interval), "\n");
            let explanation = joined(sweep.explanation(Uncertainty::Interval), "\n");
            [sweep.name(), gains, explanation]
        })
        .collect();
    layout::in_columns(
        ["pair", "gain at one end and the headline", "break-even; cause at the headline"],
        &rows,
        width,
    )
}

/// A block for each pair: its id, and below it the sweeps, indented.
fn blocks(sweeps: &[SweepOf<'_>], width: usize) -> String {
    let mut text = Vec::new();
    for of_pair in sweeps.chunk_by(|sweep, next| sweep.id == next.id) {
        text.push(of_pair[0].id.to_owned());
        text.extend(of_pair.iter().flat_map(|sweep| sweep.block(width)));
    }
    text.join("\n")
}

/// Joins those parts that are not empty.
fn joined(parts: [String; 2], by: &str) -> String {
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(by)
}

impl SweepOf<'_> {
    /// The id, and the level below it.
    fn name(&self) -> String {
        match self.sweep.level.as_str() {
            "" => self.id.to_owned(),
            level => format!("{}\n  {}", self.id, terminal::printable(level)),
        }
    }

    /// Gains at the near end and at the headline. A reason that the whole sweep was not measured stands there once.
    fn gains(&self, words: fn(&Outcome) -> String) -> [String; 2] {
        let cases = &self.sweep.cases;
        let (Some(near), Some(last)) = (cases.first(), cases.last()) else {
            return ["not measured".to_owned(), String::new()];
        };
        if matches!(near.outcome, Outcome::Unavailable { .. }) && near.outcome == last.outcome {
            return [words(&near.outcome), String::new()];
        }
        // Where only the near end can speak for the sweep, the last case shows why: it is marked, or was not measured.
        let headline = report::headline(self.pair, self.sweep);
        let headline = headline.filter(|case| case.point != near.point).unwrap_or(last);
        let ends = [Some(near), Some(headline).filter(|case| case.point != near.point)];
        ends.map(|end| {
            end.map_or(String::new(), |case| {
                format!("{}: {}", self.pair.place(case.point), words(&case.outcome))
            })
        })
    }

    /// Break-even, and the cause at the headline.
    fn explanation(&self, uncertainty: Uncertainty) -> [String; 2] {
        let is_unavailable =
            |case: &CaseResult| matches!(case.outcome, Outcome::Unavailable { .. });
        if self.sweep.cases.iter().all(is_unavailable) {
            // The gains say so already.
            return [String::new(), String::new()];
        }
        let break_even = uncertainty.of(&break_even_of(self.sweep));
        [break_even, cause_of(self.pair, self.sweep)].map(|text| terminal::printable(&text))
    }

    /// Gains, and what explains them, below each other. Each leaves out its intervals if it then fits on one line.
    fn block(&self, width: usize) -> Vec<String> {
        let level = match self.sweep.level.as_str() {
            "" => String::new(),
            level => format!("{level}: "),
        };
        let gains = [with_interval, estimate]
            .map(|words| format!("{level}{}", joined(self.gains(words), " → ")));
        let explanations = [Uncertainty::Full, Uncertainty::Interval, Uncertainty::None]
            .map(|uncertainty| joined(self.explanation(uncertainty), "; "));
        let parts = [shortest_needed(&gains, width), shortest_needed(&explanations, width)];
        parts.into_iter().filter(|part| !part.trim().is_empty()).collect()
    }
}

/// Returns the first of these texts that fits on one indented line, else the last one, wrapped.
fn shortest_needed(texts: &[String], width: usize) -> String {
    let indented = texts.iter().map(|text| terminal::wrapped(&format!("  {text}"), width, 4));
    let mut last = String::new();
    for text in indented {
        last = text;
        if !last.contains('\n') {
            break;
        }
    }
    last
}

/// How much is said about the uncertainty of a break-even.
#[derive(Clone, Copy)]
enum Uncertainty {
    /// `wins from about 23 on (21…26; between 16 and 32)`
    Full,
    /// `wins from about 23 on (21…26)`
    Interval,
    /// `wins from about 23 on`
    None,
}

impl Uncertainty {
    fn of(self, break_even: &str) -> String {
        let mut parts = break_even.split(" (");
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (inside, rest) = part.split_once(')').unwrap_or((part, ""));
            let interval = inside.split(';').next().unwrap_or_default();
            text += &match self {
                Uncertainty::Full => format!(" ({inside})"),
                Uncertainty::Interval => format!(" ({interval})"),
                Uncertainty::None => String::new(),
            };
            text += rest;
        }
        text
    }
}

/// `2.00× (1.98…2.02)`; why a case is marked is on its page.
fn with_interval(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Measured(found) => {
            format!("{}{}", found.gain.as_gain(), marked(found.mark.is_some()))
        }
        other => terminal::printable(&one_line(other)),
    }
}

/// `2.00×`
fn estimate(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Measured(found) => {
            format!("{}{}", format::times(found.gain.estimate), marked(found.mark.is_some()))
        }
        Outcome::Computed(found) => format!("{} (computed)", format::times(found.gain)),
        Outcome::Unavailable { .. } => with_interval(outcome),
    }
}

fn marked(is_marked: bool) -> &'static str {
    if is_marked { " [marked]" } else { "" }
}
