//! The page of a study: the waterfall, what was counted at each step, each fix with its code before and after, what was
//! simulated, what did not pay, and how to reproduce it.

mod load;

use askama::Template;

use super::{
    Material, charts,
    code::{self, CodeLine},
    prose,
    shell::{Shell, page_of_study},
    under_load::LATENCIES,
};
use crate::{
    results::Run,
    study::{Bought, Standard, StepResult, StudyResult},
};
use load::LoadPart;
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
    /// What the waterfall shows.
    shown: Shown,
    steps: Vec<StepRow>,
    other_order: Vec<StepRow>,
    load: Option<LoadPart>,
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
    /// One text a column.
    cells: Vec<String>,
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
        other_command: format!("{} --order other", command(material.run, id)),
        citation: citation.map(|(_, sentence)| cited(material.run, id, sentence)),
        finding: sentence.unwrap_or_else(|| "This study is not in this run.".to_owned()),
        other_order: found.map_or(Vec::new(), |study| rows(study, &study.other_order)),
        shown: shown(found),
        load: found.and_then(load::part),
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
    let figures: Vec<f64> = steps.iter().map(|step| study.figure(step)).collect();
    let greatest = figures.iter().copied().fold(0.0, f64::max);
    let is_latency = study.standard() == Standard::Latency;
    let before = [None].into_iter().chain(figures.iter().copied().map(Some));
    let bought = [None].into_iter().chain(study.bought(steps).into_iter().map(Some));
    let rows = steps.iter().zip(figures.iter().zip(before)).zip(bought);
    rows.map(|((step, (figure, before)), bought)| {
        let in_words = |figure: f64| match is_latency {
            true => format::duration(figure),
            false => format::count(figure.round() as u64),
        };
        let was = before
            .map_or(String::new(), |before| format!(", {} at the step before", in_words(before)));
        let simulated = if is_latency { step.simulated_ns } else { 0.0 };
        let bar = charts::WaterfallBar { figure: *figure, simulated, before };
        StepRow {
            fix: step.fix.as_ref().map_or(String::new(), |fix| fix.name.clone()),
            what: step
                .fix
                .as_ref()
                .map_or("The application as it grew".to_owned(), |fix| fix.title.clone()),
            chart: charts::waterfall_bar(&bar, greatest),
            chart_label: format!("{}{was}", in_words(*figure)),
            cells: study.cells(step),
            gain: bought.map_or(format::NONE.to_owned(), Bought::gain_with_interval),
            share: bought.map_or(format::NONE.to_owned(), Bought::share_in_words),
            remarks: study.remarks(step).join("; "),
            counts: counts(study, step),
        }
    })
    .collect()
}

/// Says what the waterfall shows.
fn shown(study: Option<&StudyResult>) -> Shown {
    let columns = study.map_or(Vec::new(), StudyResult::columns);
    let latency = Shown {
        columns: columns.clone(),
        bar: "what is left, and what the fix took off",
        caption: "Requests one after another (closed loop). Gain: the median of the step before ÷ this one, with a \
                  95 % interval where both steps had requests enough. Share: of all that the fixes took off together."
            .to_owned(),
        keys: vec![
            ("optimized", "own time of a request"),
            ("bound", "simulated waits"),
            ("naive", "taken off by the fix"),
            ("peer", "added by the fix"),
        ],
    };
    let better = vec![
        ("optimized", "held, as at the step before"),
        ("peer", "more than at the step before"),
        ("naive", "lost by the fix"),
    ];
    match study.map(StudyResult::standard) {
        Some(Standard::Capacity { users }) => Shown {
            columns,
            bar: "what it holds",
            caption: format!(
                "Open loop. The columns are the highest rates that met the objective; bar, gain and share are those with {} users. \
                 Gain: this step ÷ the one before. Share: of all that the fixes added together.",
                format::count(users)
            ),
            keys: better,
        },
        Some(Standard::Users) => Shown {
            columns,
            bar: "users that it holds",
            caption: "Open loop. The columns are the p99 with that many users, or what became of their requests. Gain: the most users \
                      that are held, this step ÷ the one before. Share: of all that the fixes added together."
                .to_owned(),
            keys: better,
        },
        _ => latency,
    }
}

/// What the waterfall of a study shows.
struct Shown {
    /// Headings of [`StepRow::cells`].
    columns: Vec<String>,
    /// Heading of the bars.
    bar: &'static str,
    caption: String,
    /// Colours of the bars, as the style sheet names them, each with what it stands for.
    keys: Vec<(&'static str, &'static str)>,
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

fn fix_part<'a>(fix: &'a Fix, found: Option<&StudyResult>) -> FixPart<'a> {
    let listing = code::of_fix(fix.source);
    let summary = |name: &str| if name == "before" { "as it grew" } else { "with the fix" };
    let bought = |steps: fn(&StudyResult) -> &[StepResult]| {
        let study = found?;
        let (_, bought) = study.fixes_bought(steps(study)).find(|(name, _)| *name == fix.name)?;
        Some(format!("{}, {}", bought.gain_with_interval(), bought.share_in_words()))
    };
    let (here, there) = (bought(|study| &study.steps), bought(|study| &study.other_order));
    let here = here.map(|here| format!("{here} of what all fixes bought"));
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

/// Whether a gain pays; nothing gained of nothing does not.
fn pays(gain: f64) -> bool {
    gain >= PAYS
}

/// The fixes that did not pay, each with where.
fn unpaid(study: &StudyResult) -> Vec<String> {
    let of = |steps: &[StepResult], place: &str| -> Vec<String> {
        let pairs = study.fixes_bought(steps).zip(steps.windows(2));
        // Where everything that was tried was held before, nothing could be gained.
        let unpaid = pairs.filter(|((_, bought), pair)| {
            !pays(bought.gain) && !pair.iter().all(|step| study.holds_all(step))
        });
        let words = unpaid.map(|((name, bought), _)| {
            format!("`{name}`{place}: {} at its place", bought.gain_in_words())
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
            "Quick run: one request of each slow step, and briefly of the others; short loads with the fewest users.".to_owned(),
        );
    }
    let steps = || study.steps.iter().chain(&study.other_order);
    let is_marked = |step: &&StepResult| {
        step.mark.is_some() || step.at_users.iter().any(|at_users| at_users.mark.is_some())
    };
    let marked = steps().filter(is_marked).count();
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
            let gains = study.fixes_bought(&study.steps).map(|(name, bought)| {
                // A line does not end between a name and its gain.
                format!("{name}\u{a0}{}", bought.gain_in_words())
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
