//! `worthit history`: adds runs to a history and prints its trends.

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    path::{Path, PathBuf},
};

use comfy_table::{ContentArrangement, Table, presets};

use super::{CliError, find};
use crate::{
    history::{ChangePoint, GAIN, History, HistoryError, Origin, Reading, Recorded, TrendLine},
    nearest::nearest,
    result_file::ResultError,
    results::Run,
};
use worthit_pair::{cases, family::Family, format};

/// Width of a table that is not printed to a terminal.
const WIDTH: u16 = 140;

/// Flags of `worthit history`.
#[derive(Debug, clap::Args)]
pub(super) struct HistoryArguments {
    /// Pair to show run by run, by its id or name (default: a summary of all pairs).
    pair: Option<String>,
    /// History file; the first import creates it.
    #[arg(long, value_name = "FILE", env = "WORTHIT_HISTORY")]
    history: Option<PathBuf>,
    /// Result files to add (`cargo bench` prints their paths); a run that was added before is replaced.
    #[arg(long, value_name = "RESULT", num_args = 1..)]
    import: Vec<PathBuf>,
    /// Write all readings to a CSV file.
    #[arg(long, value_name = "FILE")]
    export_csv: Option<PathBuf>,
}

/// Runs the command and returns the text to print.
pub(super) fn run(
    asked: &HistoryArguments,
    catalogue: &[&'static Family],
) -> Result<String, CliError> {
    let path = asked.history.as_deref().ok_or(CliError::NoHistoryNamed)?;
    // Load all results before adding any: a malformed one leaves the history unchanged.
    let runs: Vec<Run> =
        asked.import.iter().map(|path| Run::load(path)).collect::<Result<_, ResultError>>()?;
    let mut history =
        if runs.is_empty() { History::open_existing(path)? } else { History::open(path)? };
    let mut text = String::new();
    for (run, from) in runs.iter().zip(&asked.import) {
        let recorded = Recorded::of(run);
        history.append(&recorded)?;
        let readings = format::count(recorded.readings.len() as u64);
        text += &format!("added {} from {}: {readings} readings\n", run.key, from.display());
    }
    if let Some(file) = &asked.export_csv {
        let failed = |error: io::Error| ResultError::Write { path: file.clone(), error };
        match history.export_csv(File::create(file).map_err(failed)?) {
            Err(HistoryError::Export(error)) => {
                // Unwrap the I/O error, so that a full disk is reported as such.
                let error = match error.into_kind() {
                    csv::ErrorKind::Io(error) => error,
                    kind => io::Error::other(format!("{kind:?}")),
                };
                return Err(failed(error).into());
            }
            exported => exported?,
        }
        text += &format!("{}\n", file.display());
    }
    match &asked.pair {
        Some(pair) => {
            let id = id_of(&history, path, pair, catalogue)?;
            text += &tables_of_pair(&history.trend(&id)?);
        }
        None if text.is_empty() => text += &overview(&history, catalogue)?,
        None => {}
    }
    Ok(text)
}

/// Returns the lines of all pairs of the history in `path`, for the trends page.
pub(super) fn all_lines(path: &Path) -> Result<Vec<TrendLine>, CliError> {
    let history = History::open_existing(path)?;
    let mut lines = Vec::new();
    for pair in history.pairs()? {
        lines.extend(history.trend(&pair)?);
    }
    Ok(lines)
}

/// Resolves a pair's id or name among the pairs of the history. A pair that only the catalogue knows has nothing to
/// show, which is an error of its own.
fn id_of(
    history: &History,
    path: &Path,
    asked: &str,
    catalogue: &[&'static Family],
) -> Result<String, CliError> {
    let ids = history.pairs()?;
    let is_asked =
        |id: &&String| *id == asked || id.split_once('/').is_some_and(|id| id.1 == asked);
    if let Some(id) = ids.iter().find(is_asked) {
        return Ok(id.clone());
    }
    if let Ok(entry) = find(catalogue, asked) {
        return Err(CliError::NotInHistory { id: entry.id.to_owned(), path: path.to_owned() });
    }
    let known = catalogue.iter().flat_map(|family| family.pairs).map(|entry| entry.id);
    let hint = nearest(asked, known.chain(ids.iter().map(String::as_str)));
    let hint = hint.map_or(String::new(), |id| format!("; did you mean `{id}`?"));
    Err(CliError::UnknownPair { asked: asked.to_owned(), hint })
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    *table.style_mut() = presets::UTF8_HORIZONTAL_ONLY;
    table.set_content_arrangement(ContentArrangement::Dynamic);
    if !table.is_tty() {
        table.set_width(WIDTH);
    }
    table.set_header(header);
    table
}

/// Summary of all pairs: for each sweep on each machine key the number of runs, the latest gain at the headline, and
/// the last change of a gain or a count.
fn overview(history: &History, catalogue: &[&Family]) -> Result<String, CliError> {
    let mut table = table(["pair", "machine key", "runs", "latest gain", "last change"]);
    for pair in history.pairs()? {
        let lines = history.trend(&pair)?;
        let entry = catalogue.iter().flat_map(|family| family.pairs).find(|entry| entry.id == pair);
        let headline = entry.map(|entry| cases::headline(entry, 0).key.point);
        for sweep in lines.chunk_by(|a, b| a.place.case.level == b.place.case.level) {
            let machines: BTreeSet<&str> =
                sweep.iter().map(|line| line.machine_key.as_str()).collect();
            for machine in machines {
                let lines: Vec<&TrendLine> =
                    sweep.iter().filter(|line| line.machine_key == machine).collect();
                table.add_row(overview_row(&pair, machine, headline, &lines));
            }
        }
    }
    if table.is_empty() {
        return Ok("this history has no readings yet\n".to_owned());
    }
    Ok(format!("{table}\n"))
}

/// The row of a sweep on a machine. Without a headline in the sweep, its last point speaks for it.
fn overview_row(
    pair: &str,
    machine: &str,
    headline: Option<u64>,
    lines: &[&TrendLine],
) -> [String; 5] {
    let level = lines.first().map_or("", |line| line.place.case.level.as_str());
    let runs: BTreeSet<&str> = lines
        .iter()
        .flat_map(|line| &line.readings)
        .map(|(origin, _)| origin.key.as_str())
        .collect();
    let is_gain = |line: &&&TrendLine| line.place.quantity == GAIN && line.place.side == "naive";
    let is_at_headline = |line: &&&TrendLine| Some(line.place.case.point) == headline;
    let gains = || lines.iter().filter(is_gain);
    let spoken_of = gains().find(is_at_headline).or(gains().next_back());
    let latest = spoken_of.and_then(|line| Some((line, line.readings.last()?)));
    let latest = latest.map_or(format::NONE.to_owned(), |(line, (_, reading))| {
        format!("{}: {}", format::count(line.place.case.point), written(line, reading))
    });
    let changes = lines
        .iter()
        .filter(|line| line.place.quantity == GAIN || line.place.is_counted())
        .flat_map(|line| line.changes().into_iter().map(move |change| (line, change)));
    let last = changes.max_by_key(|(line, change)| line.readings[change.at].0.started);
    let last = last.map_or(format::NONE.to_owned(), |(line, change)| {
        let origin = &line.readings[change.at].0;
        let (date, point) = (origin.date(), format::count(line.place.case.point));
        let quantity = quantity_name(line);
        format!("{date}, {}: {quantity} at {point}: {}", origin.revision(), levels(line, &change))
    });
    let pair = if level.is_empty() { pair.to_owned() } else { format!("{pair}\n  {level}") };
    [pair, machine.to_owned(), format::count(runs.len() as u64), latest, last]
}

/// `gain`, `time_ns optimized`
fn quantity_name(line: &TrendLine) -> String {
    match (line.place.quantity.as_str(), line.place.side.as_str()) {
        (GAIN, "naive") => GAIN.to_owned(),
        (quantity, side) => format!("{quantity} {side}"),
    }
}

fn levels(line: &TrendLine, change: &ChangePoint) -> String {
    format!("{} → {}", line.place.written(change.before), line.place.written(change.after))
}

/// `11.3× (11.1…11.4) [marked]`: the interval only for a gain.
fn written(line: &TrendLine, reading: &Reading) -> String {
    let value = line.place.written(reading.value);
    let mark = if reading.mark.is_some() { " [marked]" } else { "" };
    if line.place.quantity == GAIN {
        let (low, high) = (format::significant(reading.low), format::significant(reading.high));
        return format!("{value} ({low}…{high}){mark}");
    }
    format!("{value}{mark}")
}

/// All lines of one pair: one table per case and machine key, one row per run.
fn tables_of_pair(lines: &[TrendLine]) -> String {
    let mut text = String::new();
    for case in lines.chunk_by(|a, b| {
        (&a.place.case.level, a.place.case.point) == (&b.place.case.level, b.place.case.point)
    }) {
        let machines: BTreeSet<&str> = case.iter().map(|line| line.machine_key.as_str()).collect();
        for machine in machines {
            let lines: Vec<&TrendLine> =
                case.iter().filter(|line| line.machine_key == machine).collect();
            let place = &lines[0].place;
            let level = if place.case.level.is_empty() {
                String::new()
            } else {
                format!("/{}", place.case.level)
            };
            let point = format::count(place.case.point);
            text += &format!(
                "{}{level} at {point} on {machine}\n{}\n",
                place.case.pair,
                table_of_runs(&lines)
            );
        }
    }
    text
}

/// The runs of some lines as a table; a count that never changed is listed once below it.
fn table_of_runs(lines: &[&TrendLine]) -> String {
    let is_constant = |line: &&TrendLine| {
        line.readings.iter().all(|(_, reading)| reading.value == line.readings[0].1.value)
    };
    let (constant, shown): (Vec<&TrendLine>, Vec<&TrendLine>) =
        lines.iter().partition(|line| line.place.is_counted() && is_constant(line));
    let changes: Vec<Vec<ChangePoint>> = shown.iter().map(|line| line.changes()).collect();
    let mut runs: Vec<&Origin> =
        lines.iter().flat_map(|line| &line.readings).map(|(origin, _)| &**origin).collect();
    runs.sort_by(|a, b| (a.started, &a.key).cmp(&(b.started, &b.key)));
    runs.dedup_by(|a, b| a.key == b.key);
    let mut table = table(["began (UTC)", "revision"]);
    let names = shown.iter().map(|line| quantity_name(line));
    table.set_header(["began (UTC)", "revision"].map(str::to_owned).into_iter().chain(names));
    for run in runs {
        let mut cells = vec![run.date(), run.revision()];
        for (line, changes) in shown.iter().zip(&changes) {
            let index = line.readings.iter().position(|(origin, _)| origin.key == run.key);
            cells.push(index.map_or(format::NONE.to_owned(), |index| {
                let change = changes.iter().find(|change| change.at == index);
                let change = change.map(|change| format!("\n◆ level {}", levels(line, change)));
                written(line, &line.readings[index].1) + &change.unwrap_or_default()
            }));
        }
        table.add_row(cells);
    }
    let constant: Vec<String> = constant
        .iter()
        .map(|line| {
            format!("{} {}", line.place.written(line.readings[0].1.value), quantity_name(line))
        })
        .collect();
    let constant = if constant.is_empty() {
        String::new()
    } else {
        format!("in all runs: {}\n", constant.join(", "))
    };
    format!("{table}\n{constant}")
}
