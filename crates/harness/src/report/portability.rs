//! The page that lays the results of several machines side by side, made from [`crate::portability`].

use askama::Template;

use super::{
    Material,
    charts::{self, GainAxis, Ink, Point, Standing},
    prose,
    shell::{Shell, page_of},
};
use crate::{
    machine::OLDER_KEY,
    portability::{
        self, Answer, AtHeadline, Difference, MachineResults, NEAR, NumberChange, PairOnMachines,
        Portability, Unexplained,
    },
    results::{Outcome, Run},
    table,
};
use worthit_pair::{format, trial::Role};

/// Most machines whose figures stand side by side without a scroll bar.
const EVEN_COLUMNS: usize = 4;

/// Headings of the groups of pairs, in their order.
const GROUPS: [&str; 3] = [
    "The answer differs between machines",
    "The answer is the same on each machine that measured the pair",
    "At most one machine measured the pair",
];

#[derive(Template)]
#[template(path = "portability.html")]
struct PortabilityPage<'a> {
    shell: Shell,
    summary: String,
    machines: Vec<MachineRow<'a>>,
    axis: String,
    groups: Vec<(&'static str, Vec<PairRow<'a>>)>,
    /// Whether the machines are few enough for columns of even width; more scroll.
    has_even_columns: bool,
    near: f64,
}

/// A machine, and the results that speak for it.
struct MachineRow<'a> {
    letter: String,
    /// Marker and name of its ink.
    ink: (&'static str, &'static str),
    key: &'a str,
    older_key: &'static str,
    cpu: &'a str,
    results: Vec<String>,
    figures: String,
}

/// A pair on the machines.
struct PairRow<'a> {
    id: &'a str,
    title: &'a str,
    /// Its page, if this site has one.
    page: Option<String>,
    answer: String,
    chart: String,
    chart_label: String,
    cells: Vec<FigureCell>,
    difference: String,
}

/// What one machine found for a pair.
struct FigureCell {
    /// The gain with its interval; a dash without one.
    gain: String,
    /// The break-even; without a gain, the reason.
    remark: String,
}

/// Renders the page of the machines.
pub fn page(material: &Material<'_>) -> String {
    let all = Portability::of(material.run, material.references);
    let figures = || all.pairs.iter().flat_map(PairOnMachines::figures);
    let ends = figures().flat_map(|(_, found)| [found.gain.low, found.gain.high]);
    let axis = GainAxis::of(ends);
    let known = material.pairs();
    let row = |pair| {
        let row = row(pair, axis);
        let is_known = known.iter().any(|(id, _)| *id == row.id);
        PairRow { page: is_known.then(|| page_of(row.id)), ..row }
    };
    let groups = GROUPS.map(|group| {
        let members = all.pairs.iter().filter(|pair| group_of(pair) == group);
        (group, members.map(row).collect::<Vec<_>>())
    });
    let page = PortabilityPage {
        shell: Shell::at_root("Portability", "Portability", material),
        summary: summary(&all),
        machines: all
            .machines
            .iter()
            .enumerate()
            .map(|(nth, machine)| {
                let count = figures().filter(|(machine, _)| *machine == nth).count();
                machine_row(nth, machine, material.run, count)
            })
            .collect(),
        axis: axis.of_rows(),
        has_even_columns: all.machines.len() <= EVEN_COLUMNS,
        groups: groups.into_iter().filter(|(_, rows)| !rows.is_empty()).collect(),
        near: NEAR,
    };
    page.render().expect("rendering into memory cannot fail")
}

/// Returns the group in which a pair stands.
fn group_of(pair: &PairOnMachines<'_>) -> &'static str {
    let [differing, same, single] = GROUPS;
    if pair.has_several_answers() {
        differing
    } else if pair.figures().nth(1).is_some() {
        same
    } else {
        single
    }
}

/// "145 pairs on 3 machines. Measured on several of them: 140. The gain holds on each for 120; …"
fn summary(all: &Portability<'_>) -> String {
    let machines = format::counted(all.machines.len() as u64, "machines");
    let pairs = format::counted(all.pairs.len() as u64, "pairs");
    let shared: Vec<_> = all.pairs.iter().filter(|pair| pair.figures().nth(1).is_some()).collect();
    if shared.is_empty() {
        return format!("{pairs} on {machines}. No pair was measured on several machines.");
    }
    let differing = shared.iter().filter(|pair| pair.has_several_answers()).count();
    let holds = |pair: &&&PairOnMachines<'_>| {
        pair.figures().all(|(_, found)| Answer::of(&found.gain) == Answer::Holds)
    };
    let holding = shared.iter().filter(holds).count();
    let shared = format::count(shared.len() as u64);
    format!(
        "{pairs} on {machines}. Measured on several of them: {shared}. The gain holds on each for {holding}; the answer differs for {differing}."
    )
}

fn machine_row<'a>(
    nth: usize,
    machine: &MachineResults<'a>,
    run: &Run,
    figures: usize,
) -> MachineRow<'a> {
    let result = |result: &&Run| {
        let commit = result.revision.commit.as_deref().unwrap_or("unknown");
        let revision: String = commit.chars().take(12).collect();
        let day = result.started.strftime("%Y-%m-%d");
        let own = if result.key == run.key { ", this run" } else { "" };
        format!("{day}, revision {revision}{own}")
    };
    MachineRow {
        letter: portability::letter(nth),
        ink: ink_of(nth).key(),
        key: &machine.machine.key,
        older_key: if machine.machine.has_older_key() { OLDER_KEY } else { "" },
        cpu: &machine.machine.cpu,
        results: machine.runs.iter().map(result).collect(),
        figures: format::count(figures as u64),
    }
}

/// The ink of a machine in the charts. From the fifth on they repeat; the charts have a lane for each machine.
fn ink_of(nth: usize) -> Ink {
    Ink::LEVELS[nth % Ink::LEVELS.len()]
}

fn row<'a>(pair: &PairOnMachines<'a>, axis: GainAxis) -> PairRow<'a> {
    let point = |found: &AtHeadline<'_>| {
        let is_computed = matches!(found.case.outcome, Outcome::Computed(_));
        let standing = if is_computed { Standing::Hollow } else { Standing::Measured };
        Point {
            x: 0.0,
            y: found.gain.estimate,
            low: found.gain.low,
            high: found.gain.high,
            standing,
        }
    };
    let lanes = pair.found.iter().enumerate();
    let lanes: Vec<_> = lanes
        .map(|(nth, found)| found.as_ref().ok().map(|found| (ink_of(nth), point(found))))
        .collect();
    let gains = pair.figures().map(|(machine, found)| {
        format!("{} on {}", format::times(found.gain.estimate), portability::letter(machine))
    });
    let gains = gains.collect::<Vec<_>>().join(", ");
    PairRow {
        id: pair.id,
        title: pair.title,
        page: None,
        answer: answer(pair),
        chart: if gains.is_empty() { String::new() } else { charts::gain_lanes(axis, &lanes) },
        chart_label: format!("Gain {gains}"),
        cells: pair.found.iter().map(|found| cell(found.as_ref(), pair)).collect(),
        difference: pair.difference.as_ref().map_or(String::new(), in_words),
    }
}

/// "holds on 1 of 3; loses on B; cannot be told on C"
fn answer(pair: &PairOnMachines<'_>) -> String {
    let figures = pair.figures().count();
    if figures == 0 {
        return format::NONE.to_owned();
    }
    let mut words = format!("holds on {} of {figures}", pair.machines_of(Answer::Holds).len());
    for (answer, verb) in [(Answer::Loses, "loses"), (Answer::CannotTell, "cannot be told")] {
        let machines = pair.machines_of(answer);
        if !machines.is_empty() {
            let letters: Vec<String> = machines.into_iter().map(portability::letter).collect();
            words += &format!("; {verb} on {}", letters.join(", "));
        }
    }
    words
}

fn cell(
    found: Result<&AtHeadline<'_>, &portability::NoFigure<'_>>,
    pair: &PairOnMachines<'_>,
) -> FigureCell {
    let found = match found {
        Ok(found) => found,
        Err(reason) => {
            return FigureCell { gain: format::NONE.to_owned(), remark: reason.to_string() };
        }
    };
    let gain = match found.case.outcome {
        Outcome::Computed(_) => format!("{} (computed)", format::times(found.gain.estimate)),
        _ => found.gain.as_gain(),
    };
    // Machines differ in their headlines where the axis is the number of threads.
    let is_elsewhere = pair.figures().any(|(_, other)| !found.is_case_of(other));
    let place = if is_elsewhere { format!("at {}; ", place(found)) } else { String::new() };
    FigureCell { gain, remark: format!("{place}{}", table::break_even_of(found.sweep)) }
}

fn place(found: &AtHeadline<'_>) -> String {
    let place = found.pair.place(found.case.point);
    match found.sweep.level.as_str() {
        "" => place,
        level => format!("{level}, {place}"),
    }
}

/// "On B, naive takes 1.90× the time on A and optimized 1.04×. That goes with …"
fn in_words(difference: &Difference) -> String {
    let [from, to] = [difference.from, difference.to].map(portability::letter);
    let Some(times) = difference.times else {
        let reason = difference.number.as_ref().err().map(Unexplained::to_string);
        return format!("{from}, {to}: {}", reason.unwrap_or_default());
    };
    let [naive, optimized] = [times.naive, times.optimized].map(format::times);
    let number = match &difference.number {
        Ok(NumberChange { what, values: [before, after], ratio }) => {
            let side = if times.most() == Role::Naive { "naive side" } else { "optimized side" };
            let ratio = format::times(*ratio);
            format!("The {side} goes with: {what}, {ratio} ({before} → {after}).")
        }
        Err(reason) => reason.to_string(),
    };
    format!("{from} → {to}: naive takes {naive} as long, optimized {optimized}. {number}")
}
