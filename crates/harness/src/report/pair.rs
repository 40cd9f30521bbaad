//! The page of a pair: finding, gain, metric, code, causes, limit, samples, review card and the
//! command to reproduce it.

use askama::Template;

use super::{
    Material, charts,
    code::{self, CodeLine, Listing},
    figures::{
        Figure, axis_name, gain_figure, ink_of, metric_figure, metric_of, samples_figure, written,
    },
    finding,
    shell::{Shell, page_of, samples_of},
};
use crate::{
    growth,
    limit::{self, Share},
    numbers::{Number, Numbers},
    results::{CaseResult, Measured, Outcome, PairResult, SideResult, Sweep},
    samples::Sample,
    table,
};
use worthit_pair::{
    cases,
    causes::Counts,
    family::Entry,
    format,
    limit::Needed,
    pair::{Growth, Metric},
    trial::Role,
};

#[derive(Template)]
#[template(path = "pair.html")]
struct PairPage<'a> {
    shell: Shell,
    id: &'a str,
    title: &'a str,
    findings: Vec<(String, String)>,
    marks: Vec<String>,
    metric: &'static str,
    unit: String,
    axis: String,
    gain: Option<Figure>,
    sweeps: Vec<SweepPart>,
    causes: Vec<CauseRow>,
    entry: Option<&'a Entry>,
    code: Option<CodePart>,
    limits: Vec<(String, String)>,
    samples_file: Option<String>,
    reproduce: String,
    citation: String,
    criterion: Vec<(String, String)>,
    previous: Option<(String, String)>,
    next: Option<(String, String)>,
}

/// Remark on a share above 1.
const BEATEN: &str = ". The limit is beaten, so it does not bound this work: operations overlap, \
                      or a nearer level of memory holds the data";

struct SweepPart {
    level: String,
    break_even: String,
    metric: Option<Figure>,
    cases: Vec<CaseRow>,
    samples: Option<Figure>,
    quartiles: Vec<QuartileRow>,
    growth: Vec<GrowthRow>,
}

struct GrowthRow {
    side: &'static str,
    claim: String,
    fit: String,
    far_end: String,
}

struct CaseRow {
    place: String,
    gain: String,
    naive: String,
    optimized: String,
    peer: String,
    note: String,
}

struct QuartileRow {
    place: String,
    side: String,
    values: Vec<String>,
    count: u64,
}

struct CauseRow {
    level: String,
    cause: String,
    side: String,
    count: String,
    bar: String,
    bar_label: String,
}

struct CodePart {
    sides: Vec<(String, String, Vec<CodeLine>)>,
    shared: Vec<CodeLine>,
}

/// Renders the page of a pair; `neighbours` are the ids before and after it. The pair may be in the
/// run, in the catalogue or in both.
pub fn page(material: &Material<'_>, id: &str, neighbours: [Option<&str>; 2]) -> String {
    let entry = material.entry(id);
    let found = material.run.pairs.get(id);
    let title = found.map(|pair| pair.title.as_str()).or(entry.map(|entry| entry.title));
    let own: Vec<&Sample> = material.samples.iter().filter(|sample| sample.pair == id).collect();
    let link = |id: &str| (format!("../../{}", page_of(id)), id.to_owned());
    let sweeps: &[Sweep] = found.map_or(&[], |pair| &pair.sweeps);
    let findings = found.map_or(Vec::new(), |pair| {
        sweeps.iter().map(|s| (s.level.clone(), finding::sentence(pair, s))).collect()
    });
    let page = PairPage {
        shell: Shell { root: "../../", ..Shell::at_root(id, "", material) },
        id,
        title: title.unwrap_or(id),
        marks: sweeps.iter().filter_map(marked).collect(),
        metric: found.map_or(Metric::Time, |pair| pair.metric).heading(),
        unit: found.map_or(String::new(), |pair| pair.unit.clone()),
        axis: found.map_or(String::new(), axis_name),
        gain: found.and_then(gain_figure),
        sweeps: found.map_or(Vec::new(), |pair| {
            sweeps.iter().map(|sweep| sweep_part(pair, sweep, &own, entry)).collect()
        }),
        causes: found.map_or(Vec::new(), cause_rows),
        entry,
        code: entry.map(code_part),
        limits: found.map_or(Vec::new(), |pair| limits(pair, material.run.numbers.as_ref())),
        samples_file: (!own.is_empty()).then(|| format!("../../{}", samples_of(id))),
        reproduce: reproduce(material, id),
        citation: citation(material, id, &findings),
        criterion: criterion(material, id, sweeps),
        findings,
        previous: neighbours[0].map(link),
        next: neighbours[1].map(link),
    };
    page.render().expect("rendering into memory cannot fail")
}

fn marked(sweep: &Sweep) -> Option<String> {
    let marks: Vec<String> = sweep
        .cases
        .iter()
        .filter_map(|case| {
            let mark = case.measured()?.mark.as_ref()?;
            Some(format!("{} ({mark})", format::count(case.point)))
        })
        .collect();
    let level = if sweep.level.is_empty() { String::new() } else { format!("{}: ", sweep.level) };
    (!marks.is_empty()).then(|| {
        format!("{level}marked, because other processes held the CPU: {}", marks.join("; "))
    })
}

fn sweep_part(
    pair: &PairResult,
    sweep: &Sweep,
    samples: &[&Sample],
    entry: Option<&Entry>,
) -> SweepPart {
    let own: Vec<&Sample> =
        samples.iter().copied().filter(|sample| sample.level == sweep.level).collect();
    SweepPart {
        level: sweep.level.clone(),
        break_even: table::row_of("", pair, sweep).break_even,
        metric: metric_figure(pair, sweep),
        cases: sweep.cases.iter().map(|case| case_row(pair, case)).collect(),
        samples: samples_figure(pair, sweep, &own),
        quartiles: sweep.cases.iter().flat_map(|case| quartile_rows(pair, case)).collect(),
        growth: entry.map_or(Vec::new(), |entry| growth_rows(entry, pair, sweep)),
    }
}

/// The growth that each side claims, and how the sweep compares.
fn growth_rows(entry: &Entry, pair: &PairResult, sweep: &Sweep) -> Vec<GrowthRow> {
    let row = |(role, claim): (Role, Growth)| {
        let (fit, far_end) = match growth::check(claim, sweep, role) {
            Ok(check) => (
                format!(
                    "{} (± {} %)",
                    check.fit.in_words(claim),
                    format::significant(check.fit.error * 100.0)
                ),
                format!("{}: {}", pair.place(check.point), check.in_words()),
            ),
            Err(reason) => (format::NONE.to_owned(), reason.to_string()),
        };
        GrowthRow { side: cases::side_name(entry, role), claim: claim.to_string(), fit, far_end }
    };
    let is_computed = sweep.cases.iter().all(|case| case.measured().is_none());
    let claims = [(Role::Naive, entry.naive.growth), (Role::Optimized, entry.optimized.growth)];
    if is_computed { Vec::new() } else { claims.into_iter().map(row).collect() }
}

fn case_row(pair: &PairResult, case: &CaseResult) -> CaseRow {
    let figure = |role| {
        let median = metric_of(pair, case, role).map(|(median, ..)| median);
        median.map_or("–".to_owned(), |median| written(pair.metric, median))
    };
    let mut notes = Vec::new();
    match &case.outcome {
        Outcome::Measured(found) => {
            notes.extend(found.mark.as_ref().map(|mark| format!("marked: {mark}")));
            if found.processes.len() > 1 {
                notes.push(format!("{} processes", found.processes.len()));
            }
            notes.extend(
                finding::against_peer(found).map(|peer| format!("against the peer: {peer}")),
            );
        }
        Outcome::Computed(found) => {
            notes.push(format!("computed from {}, per iteration", found.from));
            notes.extend(
                found
                    .confirmation
                    .as_ref()
                    .map(|real| format!("measured at a real delay: {}", real.gain.as_gain())),
            );
        }
        Outcome::Unavailable { reason } => {
            notes.push(format!("not measured: {}", reason.trim_start_matches("not measured: ")));
        }
    }
    let gain = match &case.outcome {
        Outcome::Measured(found) => found.gain.as_gain(),
        Outcome::Computed(found) => format::times(found.gain),
        Outcome::Unavailable { .. } => "–".to_owned(),
    };
    CaseRow {
        place: pair.place(case.point),
        gain,
        naive: figure(Role::Naive),
        optimized: figure(Role::Optimized),
        peer: figure(Role::Peer),
        note: notes.join("; "),
    }
}

fn quartile_rows(pair: &PairResult, case: &CaseResult) -> Vec<QuartileRow> {
    let sides = case.measured().map_or(&[][..], |found| &found.sides);
    let row = |side: &SideResult| {
        let s = side.time_ns;
        let values = [s.min, s.lower_quartile, s.median, s.upper_quartile, s.max];
        QuartileRow {
            place: pair.place(case.point),
            side: side.name.clone(),
            values: values.map(format::duration).to_vec(),
            count: s.count,
        }
    };
    sides.iter().map(row).collect()
}

/// The counts of the last measured case of each sweep.
fn cause_rows(pair: &PairResult) -> Vec<CauseRow> {
    let mut rows = Vec::new();
    for sweep in &pair.sweeps {
        let Some((point, found)) =
            sweep.cases.iter().rev().find_map(|case| Some((case.point, case.measured()?)))
        else {
            continue;
        };
        let place = pair.place(point);
        let level =
            if sweep.level.is_empty() { place } else { format!("{}, {place}", sweep.level) };
        for cause in &pair.causes {
            let count = |counts: &Counts| counts.get_by_id(&cause.id);
            let greatest = found.sides.iter().filter_map(|side| count(&side.causes)).max();
            for side in &found.sides {
                let Some(counted) = count(&side.causes) else { continue };
                rows.push(CauseRow {
                    level: level.clone(),
                    cause: cause.label.clone(),
                    side: side.name.clone(),
                    count: format::count(counted),
                    bar: charts::count_bar(counted, greatest.unwrap_or(1), ink_of(side.role)),
                    bar_label: format!("{} {}", format::count(counted), cause.label),
                });
            }
        }
    }
    rows
}

fn code_part(entry: &Entry) -> CodePart {
    let roots: Vec<&str> =
        cases::roles(entry).into_iter().map(|role| cases::side_name(entry, role)).collect();
    let Listing { sides, shared } = code::listing(entry.source, &roots);
    let summary = |name: &str| match name {
        "naive" => entry.naive.summary.to_owned(),
        "optimized" => entry.optimized.summary.to_owned(),
        _ => "the peer".to_owned(),
    };
    CodePart {
        sides: sides.into_iter().map(|side| (summary(&side.name), side.name, side.lines)).collect(),
        shared: shared.unwrap_or_default(),
    }
}

fn limits(pair: &PairResult, numbers: Option<&Numbers>) -> Vec<(String, String)> {
    let limit_of_sweep = |sweep: &Sweep| {
        let case = finding::headline(sweep)?;
        let measured: &Measured = case.measured()?;
        let needed = measured.needed.map(Needed::in_words);
        let number =
            measured.needed.zip(numbers).and_then(|(needed, all)| limit::number(needed, all));
        let text = match (measured.share_of_limit(numbers), needed) {
            (Share::Known(share), Some(needed)) => format!(
                "{} % of the limit set by {needed}{}{}",
                format::significant(share * 100.0),
                number.map_or(String::new(), at_rate),
                if share > 1.0 { BEATEN } else { "" }
            ),
            (Share::Unmeasured(_), Some(needed)) => format!(
                "needs at least {needed}; how long that takes on this machine was not measured"
            ),
            _ => return None,
        };
        let level =
            if sweep.level.is_empty() { String::new() } else { format!("{}, ", sweep.level) };
        Some((format!("{level}{}", pair.place(case.point)), text))
    };
    pair.sweeps.iter().filter_map(limit_of_sweep).collect()
}

/// " at 43.0 GB/s (streamed on one core, L3)"
fn at_rate(number: &Number) -> String {
    let median = number.median().map_or(format::NONE.to_owned(), |median| number.written(median));
    format!(" at {median} ({})", number.what)
}

fn reproduce(material: &Material<'_>, id: &str) -> String {
    let run = material.run;
    let mut command = format!("cargo bench -- '^{id}/'");
    if run.quick {
        command += " --quick";
    }
    if run.seed != 42 {
        command += &format!(" --seed {}", run.seed);
    }
    command
}

/// Markdown citation for a pull request.
fn citation(material: &Material<'_>, id: &str, findings: &[(String, String)]) -> String {
    let run = material.run;
    let commit = run.revision.commit.as_deref().map_or("unknown", |id| &id[..id.len().min(12)]);
    let findings = findings.iter().map(|(level, sentence)| {
        if level.is_empty() { sentence.clone() } else { format!("{level}: {sentence}") }
    });
    format!(
        "worthit `{id}`: {} (machine `{}`, run {}, revision {commit})",
        findings.collect::<Vec<_>>().join(" "),
        run.machine.key,
        run.key
    )
}

fn criterion(material: &Material<'_>, id: &str, sweeps: &[Sweep]) -> Vec<(String, String)> {
    let Some(pages) = material.criterion else { return Vec::new() };
    let page = material.folder.join(page_of(id));
    let folder = page.parent().unwrap_or(material.folder);
    let link = |sweep: &Sweep| {
        let group =
            if sweep.level.is_empty() { id.to_owned() } else { format!("{id}/{}", sweep.level) };
        Some((pages.of_group(&group, folder)?, group))
    };
    sweeps.iter().filter_map(link).collect()
}
