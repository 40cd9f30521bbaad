//! The page of a pair, in the order in which a reviewer needs it: finding and warnings, charts, review card, input, code,
//! figures, causes, limit, how to reproduce and cite it, and the samples.

use askama::Template;

use super::{
    Material,
    causes::{self, CauseRow},
    code::{self, CodeLine, Listing},
    figures::{Figure, axis_name, gain_figure},
    finding,
    plans::{self, PlansPart},
    prose,
    shell::{Shell, page_of, samples_of},
    sweep::{QUARTILES, SweepPart},
    under_load::{self, LATENCIES, UnderLoadPart},
    warnings::{self, Warning},
};
use crate::{
    limit::{self, Share},
    numbers::{Number, Numbers},
    results::{Measured, PairResult, Sweep},
    samples::Sample,
    servers::UsedServer,
};
use worthit_pair::{cases, family::Entry, format, pair::Metric, proof::Tried};

#[derive(Template)]
#[template(path = "pair.html")]
struct PairPage<'a> {
    shell: Shell,
    id: &'a str,
    title: &'a str,
    findings: Vec<(String, String)>,
    warnings: Vec<Warning>,
    metric: &'static str,
    unit: String,
    axis: String,
    gain: Option<Figure>,
    sweeps: Vec<SweepPart>,
    under_load: Option<UnderLoadPart>,
    causes: Vec<CauseRow>,
    has_model: bool,
    plans: Option<PlansPart>,
    has_observations: bool,
    entry: Option<&'a Entry>,
    tried: Option<Tried>,
    servers: &'a [UsedServer],
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

struct CodePart {
    sides: Vec<(String, String, Vec<CodeLine>)>,
    shared: Vec<CodeLine>,
    input: Vec<CodeLine>,
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
        let sentence = |sweep| finding::sentence(pair, sweep, causes::counting(entry, pair));
        sweeps.iter().map(|sweep| (sweep.level.clone(), sentence(sweep))).collect()
    });
    let warnings = found.map_or(Vec::new(), |pair| warnings::of_pair(material.run, pair));
    let causes = found.map_or(Vec::new(), |pair| causes::rows(pair, entry));
    let parts = found.map_or(Vec::new(), |pair| {
        sweeps.iter().map(|sweep| SweepPart::new(pair, sweep, &own, entry)).collect()
    });
    let page = PairPage {
        shell: Shell { root: "../../", ..Shell::at_root(id, "", material) },
        id,
        title: title.unwrap_or(id),
        metric: found.map_or(Metric::Time, |pair| pair.metric).heading(),
        unit: found.map_or(String::new(), |pair| pair.unit.clone()),
        axis: found.map_or(String::new(), axis_name),
        gain: found.and_then(gain_figure),
        has_observations: parts.iter().any(|part: &SweepPart| !part.observations.is_empty()),
        sweeps: parts,
        under_load: found.and_then(under_load::part),
        has_model: causes.iter().any(|row| row.is_modelled),
        plans: found.and_then(plans::part),
        causes,
        entry,
        tried: entry.map(|entry| Tried::by(entry)),
        servers: found.map_or(&[], |pair| &pair.servers),
        code: entry.map(code_part),
        limits: found.map_or(Vec::new(), |pair| limits(pair, material.run.numbers.as_ref())),
        samples_file: (!own.is_empty()).then(|| format!("../../{}", samples_of(id))),
        reproduce: reproduce(material, id),
        citation: citation(material, id, &findings, &warnings),
        warnings,
        criterion: criterion(material, id, sweeps),
        findings,
        previous: neighbours[0].map(link),
        next: neighbours[1].map(link),
    };
    page.render().expect("rendering into memory cannot fail")
}

fn code_part(entry: &Entry) -> CodePart {
    let roots: Vec<&str> =
        cases::roles(entry).into_iter().map(|role| cases::side_name(entry, role)).collect();
    let Listing { sides, shared, input } = code::listing(entry.source, &roots);
    let summary = |name: &str| match name {
        "naive" => entry.naive.summary.to_owned(),
        "optimized" => entry.optimized.summary.to_owned(),
        _ => entry
            .peers
            .iter()
            .chain(entry.alternatives)
            .find(|side| side.name == name)
            .map_or(String::new(), |side| side.summary.to_owned()),
    };
    CodePart {
        sides: sides.into_iter().map(|side| (summary(&side.name), side.name, side.lines)).collect(),
        shared: shared.unwrap_or_default(),
        input,
    }
}

fn limits(pair: &PairResult, numbers: Option<&Numbers>) -> Vec<(String, String)> {
    let limit_of_sweep = |sweep: &Sweep| {
        let case = finding::headline(pair, sweep)?;
        let measured: &Measured = case.measured()?;
        let pieces = measured.needed.iter().map(|needed| {
            let number = numbers.and_then(|all| Some((limit::number(*needed, all)?, all)));
            let rate = number.map_or(String::new(), |(number, all)| at_rate(number, all));
            format!("{}{rate}", needed.in_words())
        });
        let needed = pieces.collect::<Vec<_>>().join(", and ");
        let text = match measured.share_of_limit(numbers) {
            Share::Known(share) => format!(
                "{} % of the limit set by {needed}{}",
                format::significant(share * 100.0),
                if share > 1.0 { BEATEN } else { "" }
            ),
            Share::Unmeasured(_) => format!(
                "needs at least {needed}; how long that takes on this machine was not measured"
            ),
            Share::Unbounded => return None,
        };
        let level =
            if sweep.level.is_empty() { String::new() } else { format!("{}, ", sweep.level) };
        Some((format!("{level}{}", pair.place(case.point)), text))
    };
    pair.sweeps.iter().filter_map(limit_of_sweep).collect()
}

/// " at 43.0 GB/s (streamed on one core, L3)", " at 192 µs (durable flush; 99th percentile 640 µs)"
fn at_rate(number: &Number, all: &Numbers) -> String {
    let median = number.median().map_or(format::NONE.to_owned(), |median| number.written(median));
    let tail = all.get(&format!("{}_p99", number.id)).and_then(Number::median);
    let tail = tail.map_or(String::new(), |ns| format!("; 99th percentile {}", number.written(ns)));
    format!(" at {median} ({}{tail})", number.what)
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
fn citation(
    material: &Material<'_>,
    id: &str,
    findings: &[(String, String)],
    warnings: &[Warning],
) -> String {
    let run = material.run;
    let commit = run.revision.commit.as_deref();
    let mut revision: String =
        commit.map_or("unknown".to_owned(), |id| id.chars().take(12).collect());
    if run.revision.dirty {
        revision += " with uncommitted changes";
    }
    let doubts: Vec<String> = warnings.iter().filter_map(Warning::in_citation).collect();
    let doubts = if doubts.is_empty() { String::new() } else { format!("; {}", doubts.join(", ")) };
    let findings = findings.iter().map(|(level, sentence)| {
        if level.is_empty() { sentence.clone() } else { format!("{level}: {sentence}") }
    });
    format!(
        "worthit `{id}`: {} (machine `{}`, run {}, revision {revision}{doubts})",
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
