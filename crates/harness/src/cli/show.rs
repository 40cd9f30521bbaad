//! `worthit show`: the card of a pair with its code and figures, or what a study does and fixes.

use clap::Args;

use super::{
    CliError, find_study, find_with_family,
    format::{Format, json},
};
use crate::{
    cards,
    desk::{Desk, Figures, sweep_point::Asked},
    report::{code_of_side, speaking_case},
    table,
};
use worthit_pair::{
    causes::Cause,
    contract,
    family::{Entry, Family},
    pair::Count,
    proof::Tried,
    study::{Fix, SimulatedWait, StudyEntry},
};

/// Show the review card of a pair with the code of both sides and the newest figures, or what a study does and fixes.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  worthit show queries/n_plus_one\n  worthit show n_plus_one --format json\n  worthit show bank"
)]
pub(super) struct ShowArguments {
    /// Id of a pair or a study, in full or only its name: `queries/n_plus_one` or `n_plus_one`.
    id: String,
    /// What to print: `text`, or `json` for programs (of a pair).
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Returns the text to print.
///
/// # Errors
/// If there is no such pair or study, or its figures cannot be read.
pub(super) fn run(
    arguments: &ShowArguments,
    catalogue: &[&'static Family],
) -> Result<String, CliError> {
    let study = find_study(catalogue, &arguments.id).filter(|_| arguments.format == Format::Text);
    if let Some(study) = study {
        return Ok(card_of_study(study));
    }
    let (family, entry) = find_with_family(catalogue, &arguments.id)?;
    if arguments.format == Format::Json {
        return Ok(json(&cards::card(entry, true))?);
    }
    let figures = Desk::figures_at(family, entry, &Asked::default())?;
    let tried = match &figures {
        Some(_) => None,
        None => Desk::why_silent(family, entry)?,
    };
    Ok(card(entry, figures.as_ref(), tried.as_deref()))
}

/// Review card of a pair, as text. `tried` is why nobody's figures can be used.
fn card(entry: &Entry, figures: Option<&Figures>, tried: Option<&str>) -> String {
    let review = &entry.review;
    let kind = |count: &Count| match count {
        Count::Exactly(_) => "exact",
        Count::AtMost(_) => "an upper bound",
        Count::AtLeast(_) => "a lower bound",
    };
    let causes: Vec<String> = entry
        .causes
        .iter()
        .map(|claimed| {
            let (naive, optimized) = (kind(&claimed.naive), kind(&claimed.optimized));
            let Cause { label, counting, .. } = claimed.cause;
            let counted = counting.in_words();
            format!("{label}, {counted} (claims: naive {naive}, optimized {optimized})")
        })
        .collect();
    let lines = [
        ("naive", entry.naive.summary.to_owned()),
        ("optimized", entry.optimized.summary.to_owned()),
        ("smell", review.smell.to_owned()),
        ("remedy", review.remedy.to_owned()),
        ("keep the naive side when", review.keep_naive_when.to_owned()),
        ("costs", review.costs.to_owned()),
        ("input", entry.input.to_owned()),
        ("proven equal", Tried::by(entry).in_words()),
        ("answers", entry.contract.unwrap_or(contract::EQUAL).to_owned()),
        ("clippy lint", review.lint.to_string()),
        ("sweep", format!("{} ({} per {})", entry.axis.name, entry.metric.heading(), entry.unit)),
        ("causes", causes.join("; ")),
        ("why", entry.explanation.why.to_owned()),
    ];
    let body: String =
        lines.iter().map(|(name, text)| format!("\n{name}:\n    {text}\n")).collect();
    let code: String = ["naive", "optimized"].map(|side| code_of(entry, side)).concat();
    let figures = figures.map_or_else(
        || {
            let tried = tried.map_or(String::new(), |why| format!(" ({why})"));
            format!(
                "\nfigures:\n    nobody has measured it{tried}: cargo bench -- '^{}/'\n",
                entry.id
            )
        },
        figures_in_words,
    );
    format!(
        "{id}: {}\n{body}{code}{figures}\nreproduce: cargo bench -- '^{id}/'\n",
        entry.title,
        id = entry.id
    )
}

/// The code of a side, indented.
fn code_of(entry: &Entry, side: &str) -> String {
    let Some(code) = code_of_side(entry.source, side) else { return String::new() };
    let lines = code.lines().map(|line| format!("    {line}").trim_end().to_owned() + "\n");
    format!("\ncode of the {side} side:\n{}", lines.collect::<String>())
}

/// The gain at each point of each sweep, and where the figures are from.
fn figures_in_words(figures: &Figures) -> String {
    let pair = figures.pair();
    let headline = speaking_case(pair).map(|(sweep, case)| (&sweep.level, case.point));
    let mut text = format!("\nfigures, by {}:\n", figures.source_in_words());
    for sweep in &pair.sweeps {
        for case in &sweep.cases {
            let level = match sweep.level.as_str() {
                "" => String::new(),
                level => format!("{level}, "),
            };
            let is_headline = headline == Some((&sweep.level, case.point));
            let mark = if is_headline { "  (the headline)" } else { "" };
            let (place, outcome) = (pair.place(case.point), table::one_line(&case.outcome));
            text += &format!("    {level}{place}: {outcome}{mark}\n");
        }
        text += &format!("    over the sweep: {}\n", table::break_even_of(sweep));
    }
    text
}

/// What a study does, simulates and fixes, as text.
fn card_of_study(study: &StudyEntry) -> String {
    let wait = |wait: &SimulatedWait| {
        let request = if wait.only.is_empty() { study.unit } else { wait.only };
        format!("{} ({} ms a {request}, until the fix {})", wait.on, wait.ms, wait.until.name)
    };
    let waits: Vec<String> = study.waits.iter().map(wait).collect();
    let causes: Vec<String> = study
        .counters()
        .map(|cause| format!("{}, {}", cause.label, cause.counting.while_serving()))
        .collect();
    let servers: Vec<String> = study.servers.iter().map(|program| program.to_string()).collect();
    let instead = study.instead.map_or(String::new(), |instead| {
        format!("; {} {} where that is not installed", instead.name, (instead.version)())
    });
    let lines = [
        ("story", study.story.to_owned()),
        ("workload", study.workload.to_owned()),
        ("every step keeps", study.contract.to_owned()),
        ("runs on", servers.join(", ") + &instead),
        ("simulated", waits.join("; ")),
        ("causes", causes.join("; ")),
    ];
    let lines = lines.into_iter().filter(|(_, text)| !text.is_empty());
    let fixes = study.fixes.iter().zip(1..).map(|(fix, place)| {
        let Fix { name, title, why, costs, .. } = fix;
        (format!("fix {place}, {name}"), format!("{title}.\n    Why: {why}\n    Costs: {costs}"))
    });
    let body: String = lines
        .map(|(name, text)| (name.to_owned(), text))
        .chain(fixes)
        .map(|(name, text)| format!("\n{name}:\n    {text}\n"))
        .collect();
    format!("{id}: {}\n{body}\nmeasure: cargo bench -- {id}\n", study.title, id = study.id)
}
