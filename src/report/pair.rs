//! The page of a pair: finding, gain, metric, code, causes, limit, samples, review card, how to
//! reproduce.

use askama::Template;

use super::{
    Material,
    charts::{self, Axis, Division, Ink, Point, Rule, Series, Standing},
    code::{self, Line, Listing},
    finding,
    shell::{Shell, page_of, samples_of},
};
use crate::{
    cases,
    causes::{self, Counts},
    family::Entry,
    format,
    limit::{self, Share},
    pair::Metric,
    results::{CaseResult, Measured, Outcome, PairResult, SideResult, Sweep},
    samples::Sample,
    statistics::{Crossing, Summary},
    table,
    trial::Role,
};

/// Samples of one sweep that are drawn; more could not be told apart.
const DRAWN_SAMPLES: usize = 120;

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

/// A chart with what is said instead of it, and the keys of its markers.
struct Figure {
    svg: String,
    label: String,
    caption: String,
    keys: Vec<(&'static str, &'static str, String)>,
}

struct SweepPart {
    level: String,
    break_even: String,
    metric: Option<Figure>,
    cases: Vec<CaseRow>,
    samples: Option<Figure>,
    quartiles: Vec<QuartileRow>,
}

struct CaseRow {
    place: String,
    gain: String,
    naive: String,
    optimized: String,
    reference: String,
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
    sides: Vec<(String, String, Vec<Line>)>,
    shared: Vec<Line>,
}

/// The page of one pair, `neighbours` being the ids before and after it. The pair may be in the run
/// or in the catalogue or in both.
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
        shell: Shell {
            title: id.to_owned(),
            root: "../../",
            here: "",
            has_comparison: material.has_comparison(),
        },
        id,
        title: title.unwrap_or(id),
        marks: sweeps.iter().filter_map(marked).collect(),
        metric: format::metric(found.map_or(Metric::Time, |pair| pair.metric)),
        unit: found.map_or(String::new(), |pair| pair.unit.clone()),
        axis: found.map_or(String::new(), axis_name),
        gain: found.and_then(gain_figure),
        sweeps: found.map_or(Vec::new(), |pair| {
            sweeps.iter().map(|sweep| sweep_part(pair, sweep, &own)).collect()
        }),
        causes: found.map_or(Vec::new(), cause_rows),
        entry,
        code: entry.map(code_part),
        limits: found.map_or(Vec::new(), limits),
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

fn axis_name(pair: &PairResult) -> String {
    if pair.axis_unit.is_empty() || pair.axis_unit == pair.axis {
        pair.axis.clone()
    } else {
        format!("{}, {}", pair.axis, pair.axis_unit)
    }
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
    (!marks.is_empty())
        .then(|| format!("{level}marked, as others held the CPU: {}", marks.join("; ")))
}

fn standing(case: &CaseResult) -> Standing {
    match &case.outcome {
        Outcome::Measured(found) if found.mark.is_some() => Standing::Marked,
        Outcome::Measured(_) => Standing::Measured,
        _ => Standing::Hollow,
    }
}

fn is_computed(sweep: &Sweep) -> bool {
    sweep.cases.iter().any(|case| matches!(case.outcome, Outcome::Computed(_)))
}

fn points_of(pair: &PairResult) -> Vec<f64> {
    let cases = pair.sweeps.iter().flat_map(|sweep| &sweep.cases);
    let mut points: Vec<f64> = cases.map(|case| case.point as f64).collect();
    points.sort_unstable_by(f64::total_cmp);
    points.dedup();
    points
}

fn gain_figure(pair: &PairResult) -> Option<Figure> {
    let name = axis_name(pair);
    let ticks = points_of(pair);
    let x = Axis {
        name: &name,
        division: Division::Fitting,
        ticks: &ticks,
        includes: None,
        format: &format::tick,
    };
    let y = Axis {
        name: "gain",
        division: Division::Logarithmic,
        ticks: &[],
        includes: Some(1.0),
        format: &|gain| format!("{}×", format::tick(gain)),
    };
    let inks = || Ink::LEVELS.into_iter().cycle();
    let series: Vec<Series> = pair
        .sweeps
        .iter()
        .zip(inks())
        .map(|(sweep, ink)| Series {
            ink,
            is_dashed: is_computed(sweep),
            is_joined: true,
            points: sweep
                .cases
                .iter()
                .filter_map(|case| {
                    let gain = finding::gain(case)?;
                    let (y, low, high) = (gain.estimate, gain.low, gain.high);
                    Some(Point { x: case.point as f64, y, low, high, standing: standing(case) })
                })
                .collect(),
        })
        .collect();
    let rules: Vec<Rule> = match pair.sweeps.as_slice() {
        [sweep] => break_evens(sweep),
        _ => vec![],
    };
    let svg = charts::plot(&x, &y, &series, &rules)?;
    let label = pair.sweeps.iter().map(|sweep| {
        let gains = sweep.cases.iter().filter_map(|case| {
            let gain = format::times(finding::gain(case)?.estimate);
            Some(format!("{gain} at {}", format::count(case.point)))
        });
        let gains: Vec<String> = gains.collect();
        format!("{} {}", sweep.level, gains.join(", "))
    });
    let label = format!("Gain against {name}. {}", label.collect::<Vec<_>>().join(". "));
    let keys = pair.sweeps.iter().zip(inks()).map(|(sweep, ink)| {
        let computed = if is_computed(sweep) { " (computed: dashed, hollow)" } else { "" };
        let name = if sweep.level.is_empty() { "gain" } else { &sweep.level };
        (ink.key().0, ink.key().1, format!("{name}{computed}"))
    });
    Some(Figure {
        svg,
        label,
        caption: "Gain (naive ÷ optimized) with its 95 % interval; above the rule of 1× the optimized side wins. A cross is a marked case.".to_owned(),
        keys: keys.collect(),
    })
}

fn break_evens(sweep: &Sweep) -> Vec<Rule> {
    let crossings = sweep.break_even.crossings.iter().filter(|crossing| crossing.at.is_finite());
    let rule = |crossing: &Crossing| Rule {
        at: crossing.at,
        label: format!("break-even {}", format::tick(crossing.at)),
    };
    crossings.map(rule).collect()
}

/// What is compared of a side: a time per unit of work, or bytes held.
fn value(metric: Metric, side: &SideResult) -> Option<Summary> {
    match metric {
        Metric::Time | Metric::P99Latency => Some(side.time_ns),
        Metric::BytesHeld => {
            let bytes = side.causes.get(causes::PEAK_BYTES)? as f64;
            Summary::of(&[bytes])
        }
    }
}

fn written(metric: Metric, value: f64) -> String {
    match metric {
        Metric::Time | Metric::P99Latency => format::duration(value),
        Metric::BytesHeld => format::bytes(value),
    }
}

fn sweep_part(pair: &PairResult, sweep: &Sweep, samples: &[&Sample]) -> SweepPart {
    let own: Vec<&Sample> =
        samples.iter().copied().filter(|sample| sample.level == sweep.level).collect();
    SweepPart {
        level: sweep.level.clone(),
        break_even: table::row_of("", pair, sweep).break_even,
        metric: metric_figure(pair, sweep),
        cases: sweep.cases.iter().map(|case| case_row(pair, case)).collect(),
        samples: samples_figure(pair, sweep, &own),
        quartiles: sweep.cases.iter().flat_map(|case| quartile_rows(pair, case)).collect(),
    }
}

fn ink_of(role: Role) -> Ink {
    match role {
        Role::Naive => Ink::Naive,
        Role::Optimized => Ink::Optimized,
        Role::Reference => Ink::Reference,
    }
}

/// Medians and quartiles of a side of a case; of an iteration if they are computed.
fn metric_of(pair: &PairResult, case: &CaseResult, role: Role) -> Option<(f64, f64, f64)> {
    match &case.outcome {
        Outcome::Measured(found) => {
            let summary = value(pair.metric, found.side(role)?)?;
            Some((summary.median, summary.lower_quartile, summary.upper_quartile))
        }
        Outcome::Computed(found) => match role {
            Role::Naive => Some((found.naive_ns, found.naive_ns, found.naive_ns)),
            Role::Optimized => Some((found.optimized_ns, found.optimized_ns, found.optimized_ns)),
            Role::Reference => None,
        },
        Outcome::Unavailable { .. } => None,
    }
}

fn metric_figure(pair: &PairResult, sweep: &Sweep) -> Option<Figure> {
    let name = axis_name(pair);
    let ticks = points_of(pair);
    let x = Axis {
        name: &name,
        division: Division::Fitting,
        ticks: &ticks,
        includes: None,
        format: &format::tick,
    };
    let metric = pair.metric;
    let y = Axis {
        name: "",
        division: Division::Logarithmic,
        ticks: &[],
        includes: None,
        format: &|value| written(metric, value),
    };
    let mut keys = Vec::new();
    let mut series = Vec::new();
    for role in [Role::Naive, Role::Optimized, Role::Reference] {
        let points: Vec<Point> = sweep
            .cases
            .iter()
            .filter_map(|case| {
                let (y, low, high) = metric_of(pair, case, role)?;
                Some(Point { x: case.point as f64, y, low, high, standing: standing(case) })
            })
            .collect();
        if points.is_empty() {
            continue;
        }
        let (marker, class) = ink_of(role).key();
        keys.push((marker, class, side_name(sweep, role)));
        let is_dashed = is_computed(sweep);
        series.push(Series { ink: ink_of(role), is_dashed, is_joined: true, points });
    }
    let rules: Vec<Rule> = break_evens(sweep);
    let svg = charts::plot(&x, &y, &series, &rules)?;
    let per = if is_computed(sweep) {
        "per iteration, computed: measured time + counted round trips × distance".to_owned()
    } else if metric == Metric::BytesHeld {
        "per iteration, counted".to_owned()
    } else {
        format!("per {} with quartiles", pair.unit)
    };
    let caption = format!("Median {} {per}.", format::metric(metric));
    Some(Figure {
        svg,
        label: format!("{caption} Against {name}; the table has the figures."),
        caption,
        keys,
    })
}

fn side_name(sweep: &Sweep, role: Role) -> String {
    let measured = sweep.cases.iter().find_map(CaseResult::measured);
    let side = measured.and_then(|found| found.side(role));
    side.map_or_else(|| format!("{role:?}").to_lowercase(), |side| side.name.clone())
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
            notes.extend(found.against_reference.map(|gain| {
                let name = found.side(Role::Reference).map_or("reference", |side| &side.name);
                format!("against {name}: {}", format::gain(&gain))
            }));
        }
        Outcome::Computed(found) => {
            notes.push(format!("computed from {}, of an iteration", found.from));
            notes.extend(
                found
                    .confirmation
                    .as_ref()
                    .map(|real| format!("measured at a real delay: {}", format::gain(&real.gain))),
            );
        }
        Outcome::Unavailable { reason } => {
            notes.push(format!("not measured: {}", reason.trim_start_matches("not measured: ")));
        }
    }
    let gain = match &case.outcome {
        Outcome::Measured(found) => format::gain(&found.gain),
        Outcome::Computed(found) => format::times(found.gain),
        Outcome::Unavailable { .. } => "–".to_owned(),
    };
    CaseRow {
        place: finding::place(pair, case.point),
        gain,
        naive: figure(Role::Naive),
        optimized: figure(Role::Optimized),
        reference: figure(Role::Reference),
        note: notes.join("; "),
    }
}

fn quartile_rows(pair: &PairResult, case: &CaseResult) -> Vec<QuartileRow> {
    let sides = case.measured().map_or(&[][..], |found| &found.sides);
    let row = |side: &SideResult| {
        let s = side.time_ns;
        let values = [s.min, s.lower_quartile, s.median, s.upper_quartile, s.max];
        QuartileRow {
            place: finding::place(pair, case.point),
            side: side.name.clone(),
            values: values.map(format::duration).to_vec(),
            count: s.count,
        }
    };
    sides.iter().map(row).collect()
}

/// The samples of the case that speaks for a sweep, in the order in which they were taken.
fn samples_figure(pair: &PairResult, sweep: &Sweep, samples: &[&Sample]) -> Option<Figure> {
    let point = finding::headline(sweep)?.point;
    let own: Vec<&&Sample> =
        samples.iter().filter(|sample| sample.point == point && sample.side == "naive").collect();
    let step = own.len().div_ceil(DRAWN_SAMPLES).max(1);
    let drawn = || own.iter().enumerate().step_by(step);
    let point_at = |(i, y): (usize, f64)| Point {
        x: i as f64 + 1.0,
        y,
        low: y,
        high: y,
        standing: Standing::Measured,
    };
    let strip = |ink, of: &dyn Fn(&Sample) -> f64| Series {
        ink,
        is_dashed: false,
        is_joined: false,
        points: drawn().map(|(i, sample)| point_at((i, of(sample)))).collect(),
    };
    let series = [
        strip(Ink::Naive, &|sample| sample.side_ns),
        strip(Ink::Optimized, &|sample| sample.optimized_ns),
    ];
    let x = Axis {
        name: "paired batches, in the order in which they ran",
        division: Division::Linear,
        ticks: &[],
        includes: None,
        format: &format::tick,
    };
    let y = Axis {
        name: "",
        division: Division::Fitting,
        ticks: &[],
        includes: None,
        format: &format::duration,
    };
    let svg = charts::plot(&x, &y, &series, &[])?;
    let shown = if step > 1 { format!(", one in {step} drawn") } else { String::new() };
    let caption = format!(
        "{} paired batches at {}{shown}: a batch is a few milliseconds, and both sides of a pair met the same machine.",
        format::count(own.len() as u64),
        finding::place(pair, point)
    );
    let key = |ink: Ink, name: &str| (ink.key().0, ink.key().1, name.to_owned());
    Some(Figure {
        svg,
        label: format!("Time per {} of each batch. {caption}", pair.unit),
        caption,
        keys: vec![key(Ink::Naive, "naive"), key(Ink::Optimized, "optimized")],
    })
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
        let place = finding::place(pair, point);
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
        _ => "the reference".to_owned(),
    };
    CodePart {
        sides: sides.into_iter().map(|side| (summary(&side.name), side.name, side.lines)).collect(),
        shared: shared.unwrap_or_default(),
    }
}

fn limits(pair: &PairResult) -> Vec<(String, String)> {
    let of = |sweep: &Sweep| {
        let case = finding::headline(sweep)?;
        let measured: &Measured = case.measured()?;
        let needed = measured.needed.map(limit::Needed::in_words);
        let text = match (limit::share(measured), needed) {
            (Share::Known(share), Some(needed)) => {
                format!("{} % of what {needed} allows", format::significant(share * 100.0))
            }
            (Share::Unmeasured(_), Some(needed)) => format!(
                "needs at least {needed}; how long that takes on this machine was not measured"
            ),
            _ => return None,
        };
        let level =
            if sweep.level.is_empty() { String::new() } else { format!("{}, ", sweep.level) };
        Some((format!("{level}{}", finding::place(pair, case.point)), text))
    };
    pair.sweeps.iter().filter_map(of).collect()
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

/// Markdown to paste into a pull request.
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
