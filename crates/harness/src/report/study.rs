//! The page of a study: the waterfall, what was counted at each step, each fix with its code before and after, what was
//! simulated, what did not pay, and how to reproduce it.

use askama::Template;

use super::{
    Material, charts,
    code::{self, CodeLine},
    prose,
    shell::{Shell, page_of_study},
};
use crate::{
    results::Run,
    study::{Bought, StepResult, StudyResult, bought},
};
use worthit_pair::{
    format,
    study::{Fix, StudyEntry},
};

/// A fix whose gain is smaller does not pay at its place: few requests cannot tell it from none.
const PAYS: f64 = 1.05;

#[derive(Template)]
#[template(path = "study.html")]
struct StudyPage<'a> {
    shell: Shell,
    id: &'a str,
    title: &'a str,
    finding: String,
    warnings: Vec<String>,
    entry: Option<&'a StudyEntry>,
    found: Option<&'a StudyResult>,
    steps: Vec<StepRow>,
    other_order: Vec<StepRow>,
    fixes: Vec<FixPart<'a>>,
    unpaid: Vec<String>,
    is_whole: bool,
    reproduce: String,
    other_command: String,
    citation: Option<String>,
}

/// A step as a row of the waterfall.
struct StepRow {
    /// Name of its fix; empty at the first step.
    fix: String,
    /// What it is.
    what: String,
    p50: String,
    p99: String,
    gain: String,
    share: String,
    chart: String,
    chart_label: String,
    remarks: String,
    /// Counts of a request, in the order of the study's causes.
    counts: Vec<String>,
}

/// A fix with its code.
struct FixPart<'a> {
    fix: &'a Fix,
    /// "4.47× at its place, 69.4 % of what all fixes took off"; empty if it was not measured.
    bought: String,
    /// Summary, name and lines of each side.
    sides: Vec<(&'static str, String, Vec<CodeLine>)>,
    shared: Vec<CodeLine>,
    others: Vec<CodeLine>,
}

/// Renders the page of a study, which may be in the run, in the catalogue or in both.
pub fn page(material: &Material<'_>, id: &str) -> String {
    let entry = material.study(id);
    let found = material.run.studies.get(id);
    let title = found.map(|study| study.title.as_str()).or(entry.map(|entry| entry.title));
    let steps = found.map_or(Vec::new(), |study| rows(study, &study.steps));
    let sentence = found.map(|study| study.in_words().unwrap_or_else(|| study.headline()));
    let warnings = found.map_or(Vec::new(), |study| warnings(material.run, study));
    let citation = found.filter(|study| !study.steps.is_empty()).zip(sentence.as_ref());
    let page = StudyPage {
        shell: Shell { root: "../", ..Shell::at_root(id, "", material) },
        id,
        title: title.unwrap_or(id),
        fixes: entry.map_or(Vec::new(), |entry| {
            entry.fixes.iter().map(|fix| fix_part(fix, found)).collect()
        }),
        unpaid: found.map_or(Vec::new(), unpaid),
        is_whole: found.is_some_and(|study| study.steps.len() > 1 && !study.lacks_steps()),
        reproduce: format!("{}{}", command(material.run, id), order(entry, found)),
        other_command: format!("{} --deep", command(material.run, id)),
        citation: citation.map(|(_, sentence)| cited(material.run, id, sentence)),
        finding: sentence.unwrap_or_else(|| "This study is not in this run.".to_owned()),
        other_order: found.map_or(Vec::new(), |study| rows(study, &study.other_order)),
        entry,
        found,
        steps,
        warnings,
    };
    page.render().expect("rendering into memory cannot fail")
}

/// The command that measures a study as this run did.
fn command(run: &Run, id: &str) -> String {
    let bench = id.split_once('/').map_or(id, |(family, _)| family);
    let seed = if run.seed == 42 { String::new() } else { format!(" --seed {}", run.seed) };
    format!("cargo bench --bench {bench} -- '^{id}$'{seed}")
}

/// The flag for the order of the steps, if it is not the study's own.
fn order(entry: Option<&StudyEntry>, found: Option<&StudyResult>) -> String {
    let Some((entry, found)) = entry.zip(found) else { return String::new() };
    let fixes = found.steps.iter().filter_map(|step| step.fix.as_ref());
    let names: Vec<&str> = fixes.map(|fix| fix.name.as_str()).collect();
    let is_own = entry.fixes.iter().map(|fix| fix.name).take(names.len()).eq(names.iter().copied());
    if is_own { String::new() } else { format!(" --order {}", names.join(",")) }
}

fn rows(study: &StudyResult, steps: &[StepResult]) -> Vec<StepRow> {
    let greatest = steps.iter().map(|step| step.latency.p50_ns).fold(0.0, f64::max);
    let bought = bought(steps);
    let before = [None].into_iter().chain(steps.iter().map(|step| Some(step.latency.p50_ns)));
    let bought = [None].into_iter().chain(bought.into_iter().map(Some));
    steps
        .iter()
        .zip(before)
        .zip(bought)
        .map(|((step, before), bought)| {
            let p50 = format::duration(step.latency.p50_ns);
            let was = before.map_or(String::new(), |before| {
                format!(", {} at the step before", format::duration(before))
            });
            let bar = charts::WaterfallBar {
                time: step.latency.p50_ns,
                simulated: step.simulated_ns,
                before,
            };
            StepRow {
                fix: step.fix.as_ref().map_or(String::new(), |fix| fix.name.clone()),
                what: step
                    .fix
                    .as_ref()
                    .map_or("The application as it grew".to_owned(), |fix| fix.title.clone()),
                chart: charts::waterfall_bar(&bar, greatest),
                chart_label: format!("{p50}{was}"),
                p50,
                p99: format::duration(step.latency.p99_ns),
                gain: bought.map_or(format::NONE.to_owned(), |bought| format::times(bought.gain)),
                share: bought.map_or(format::NONE.to_owned(), Bought::share_in_words),
                remarks: study.remarks(step).join("; "),
                counts: counts(study, step),
            }
        })
        .collect()
}

fn counts(study: &StudyResult, step: &StepResult) -> Vec<String> {
    let count = |id: &String| step.counts.get(id).filter(|count| count.is_finite());
    let causes = study.causes.iter().map(|cause| count(&cause.id));
    let in_words = |count: &f64| match count.fract() == 0.0 {
        true => format::count(*count as u64),
        false => format::significant(*count),
    };
    causes.map(|count| count.map_or(format::NONE.to_owned(), in_words)).collect()
}

/// What the fix of this name bought in some steps.
fn bought_by(name: &str, steps: &[StepResult]) -> Option<Bought> {
    let is_it = |step: &StepResult| step.fix.as_ref().is_some_and(|fix| fix.name == name);
    let place = steps.iter().position(is_it)?;
    bought(steps).get(place.checked_sub(1)?).copied()
}

fn fix_part<'a>(fix: &'a Fix, found: Option<&StudyResult>) -> FixPart<'a> {
    let listing = code::of_fix(fix.source);
    let summary = |name: &str| if name == "before" { "as it grew" } else { "with the fix" };
    let bought = |steps: &[StepResult]| {
        let bought = bought_by(fix.name, steps)?;
        Some(format!("{}, {}", format::times(bought.gain), bought.share_in_words()))
    };
    let here = found.and_then(|study| bought(&study.steps));
    let there = found.and_then(|study| bought(&study.other_order));
    let here = here.map(|here| format!("{here} of what all fixes took off"));
    let there = there.map(|there| format!("in the other order {there}"));
    FixPart {
        fix,
        bought: here.into_iter().chain(there).collect::<Vec<_>>().join("; "),
        sides: listing
            .sides
            .into_iter()
            .map(|side| (summary(&side.name), side.name, side.lines))
            .collect(),
        shared: listing.shared.unwrap_or_default(),
        others: listing.input,
    }
}

/// The fixes that did not pay, each with where.
fn unpaid(study: &StudyResult) -> Vec<String> {
    let of = |steps: &[StepResult], place: &str| -> Vec<String> {
        let fixes = steps.iter().filter_map(|step| step.fix.as_ref());
        let unpaid = fixes.zip(bought(steps)).filter(|(_, bought)| bought.gain < PAYS);
        let words = unpaid.map(|(fix, bought)| {
            format!("`{}`{place}: {} at its place", fix.name, format::times(bought.gain))
        });
        words.collect()
    };
    let mut all = of(&study.steps, "");
    all.extend(of(&study.other_order, ", in the other order"));
    all
}

fn warnings(run: &Run, study: &StudyResult) -> Vec<String> {
    let mut warnings = Vec::new();
    if study.is_unfinished {
        warnings.push("The run was interrupted before the last step.".to_owned());
    }
    if run.quick {
        warnings.push(
            "Quick run: one request of each slow step, and briefly of the others.".to_owned(),
        );
    }
    let steps = || study.steps.iter().chain(&study.other_order);
    let marked = steps().filter(|step| step.mark.is_some()).count();
    if marked > 0 {
        let all = format::counted(steps().count() as u64, "steps");
        warnings.push(format!("Loaded machine: other work held the CPU during {marked} of {all}."));
    }
    warnings
}

/// Markdown citation for a pull request.
fn cited(run: &Run, id: &str, sentence: &str) -> String {
    let commit = run.revision.commit.as_deref();
    let commit: String = commit.map_or("unknown".to_owned(), |id| id.chars().take(12).collect());
    format!(
        "worthit `{id}`: {sentence} (machine `{}`, run {}, revision {commit})",
        run.machine.key, run.key
    )
}

/// A study as the front page names it.
pub struct StudyRow {
    /// Its id.
    pub id: String,
    /// Path of its page.
    pub page: String,
    /// The study in a few words.
    pub title: String,
    /// "8.70 s → 6.30 ms per transfer: 1,381×"
    pub headline: String,
    /// Its fixes in their order, each with what it gained: "pool 1.02×, indexes 5.41×".
    pub fixes: String,
}

/// Returns the studies of a site as its front page names them.
pub fn front_rows(material: &Material<'_>) -> Vec<StudyRow> {
    let row = |(id, title): (String, String)| {
        let found = material.run.studies.get(&id);
        let fixes = found.map_or(String::new(), |study| {
            let fixes = study.steps.iter().filter_map(|step| step.fix.as_ref());
            let gains = fixes.zip(bought(&study.steps)).map(|(fix, bought)| {
                // A line does not end between a name and its gain.
                format!("{}\u{a0}{}", fix.name, format::times(bought.gain))
            });
            gains.collect::<Vec<_>>().join(", ")
        });
        StudyRow {
            page: page_of_study(&id),
            headline: found.map_or("not in this run".to_owned(), StudyResult::headline),
            id,
            title,
            fixes,
        }
    };
    material.studies().into_iter().map(row).collect()
}
