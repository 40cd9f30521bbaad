//! Tests that the committed references agree with the cards about growth and streams; the audit checks the rest. Nothing
//! is timed here.

use std::{collections::BTreeMap, path::Path};

use worthit::CATALOGUE;
use worthit_harness::{
    growth,
    limit::Share,
    reference,
    report::{Material, pages},
    results::{Measured, Run, Sweep},
};
use worthit_pair::{
    case::Case,
    family::Entry,
    pair::{Limit, Work},
    trial::Role,
};

/// Minimum share of its limit that a pure stream reaches, unless its card says why it does not.
const MIN_OF_STREAM: f64 = 0.5;

fn references() -> Vec<Run> {
    let runs = reference::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("reports")).unwrap();
    assert!(!runs.is_empty(), "there is no committed reference to check");
    runs
}

/// Sweeps of a reference whose pairs are in the catalogue.
fn sweeps(run: &Run) -> impl Iterator<Item = (&'static Entry, &Sweep)> {
    let entries = CATALOGUE.iter().flat_map(|family| family.pairs);
    entries.flat_map(|entry| {
        let sweeps = run.pairs.get(entry.id).map_or(&[][..], |pair| &pair.sweeps);
        sweeps.iter().map(move |sweep| (entry, sweep))
    })
}

/// All that a reviewer reads about a pair.
fn card(entry: &Entry) -> String {
    let review = &entry.review;
    [review.remedy, review.keep_naive_when, review.costs, entry.explanation.why].join("\n")
}

/// The last unmarked measurement of a sweep, with its point.
fn far_end(sweep: &Sweep) -> Option<(u64, &Measured)> {
    let mut measured =
        sweep.cases.iter().rev().filter_map(|case| Some((case.point, case.measured()?)));
    measured.find(|(_, found)| found.mark.is_none())
}

/// Times, unlike gains, show what else a machine did during one case, so a claim is wrong only if most references
/// contradict it.
#[test]
fn sides_grow_as_claimed_or_the_claim_says_where_that_ends() {
    let mut checks: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
    for run in references() {
        for (entry, sweep) in sweeps(&run) {
            let sides =
                [(Role::Naive, entry.naive.growth), (Role::Optimized, entry.optimized.growth)];
            for (role, claim) in sides {
                let Ok(check) = growth::check(claim, sweep, role) else { continue };
                let wrong = (!check.is_explained()).then(|| check.in_words());
                let claim = format!("{} {} {role:?}: {claim}", entry.id, sweep.level);
                checks.entry(claim).or_default().push(wrong);
            }
        }
    }
    checks.retain(|_, found| 2 * found.iter().flatten().count() > found.len());
    assert!(checks.is_empty(), "{checks:#?}");
}

#[test]
fn pure_streams_come_near_their_limit_or_the_card_says_why_not() {
    let mut wrong = Vec::new();
    for run in references() {
        for (entry, sweep) in sweeps(&run) {
            let is_stream = matches!(
                entry.limit,
                Limit::Work([Work::BytesStreamed(_) | Work::StreamedInTurn { .. }])
            );
            let Some((point, found)) = far_end(sweep).filter(|_| is_stream) else { continue };
            // An older result may have another limit, which the pair had then.
            let case = Case::realistic(point, 0, run.seed);
            if found.needed != entry.limit.needed(&case, 1) {
                continue;
            }
            let Share::Known(share) = found.share_of_limit(run.numbers.as_ref()) else { continue };
            if share < MIN_OF_STREAM && !card(entry).contains("its limit") {
                wrong.push(format!("{} {}: {share} of its limit", entry.id, sweep.level));
            }
        }
    }
    assert!(wrong.is_empty(), "the card does not say why:\n{}", wrong.join("\n"));
}

#[test]
fn pages_show_the_claimed_and_the_measured_growth() {
    let mut checked = 0;
    for run in references() {
        let material =
            Material { families: &CATALOGUE, ..Material::of(&run, Path::new("reports")) };
        let files = pages(&material);
        for (entry, sweep) in sweeps(&run).filter(|(_, sweep)| far_end(sweep).is_some()) {
            let page = String::from_utf8_lossy(&files[&format!("pairs/{}.html", entry.id)]);
            for (role, side) in [(Role::Naive, &entry.naive), (Role::Optimized, &entry.optimized)] {
                let finding = match growth::check(side.growth, sweep, role) {
                    Ok(check) => check.in_words(),
                    Err(reason) => reason.to_string(),
                };
                checked += usize::from(finding.contains("predicted"));
                assert!(page.contains(&finding), "{}: {finding}", entry.id);
                let claim = side.growth.to_string().replace('\'', "&#39;");
                assert!(page.contains(&claim), "{}: {claim}", entry.id);
            }
        }
    }
    assert!(checked > 60, "{checked} claims were checked");
}
