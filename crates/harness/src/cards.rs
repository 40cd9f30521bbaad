//! The cards of the catalogue: as data for editors, bots and agents (`reports/catalogue.json`, `worthit show --format json`)
//! and as Markdown for people (`reports/cards/`, `cargo doc`). The schema of the data is `cards/catalogue.schema.json`.

use serde::Serialize;

use crate::report;
use worthit_pair::{
    contract,
    family::{Entry, Family},
    pair::{Headline, Lint, SideBeside},
    study::StudyEntry,
};

/// The JSON Schema of [`catalogue`].
pub const SCHEMA: &str = include_str!("cards/catalogue.schema.json");

/// The whole catalogue.
#[derive(Debug, Serialize)]
pub struct Catalogue {
    schema: &'static str,
    version: u64,
    families: Vec<FamilyCards>,
}

/// A family.
#[derive(Debug, Serialize)]
struct FamilyCards {
    name: &'static str,
    title: &'static str,
    pairs: Vec<Card>,
    studies: Vec<StudyCard>,
}

/// The card of a pair.
#[derive(Debug, Serialize)]
pub struct Card {
    id: &'static str,
    title: &'static str,
    smell: &'static str,
    remedy: &'static str,
    keep_naive_when: &'static str,
    costs: &'static str,
    lint: Option<LintOfCard>,
    naive: SideOfCard,
    optimized: SideOfCard,
    peers: Vec<SideBesideOfCard>,
    alternatives: Vec<SideBesideOfCard>,
    answers: &'static str,
    input: &'static str,
    axis: AxisOfCard,
    parameter: Option<&'static str>,
    unit: &'static str,
    metric: &'static str,
    causes: Vec<CauseOfCard>,
    why: &'static str,
    file: String,
    reproduce: String,
}

#[derive(Debug, Serialize)]
struct LintOfCard {
    name: &'static str,
    /// The group that has it, if clippy does not switch it on by itself.
    group: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct SideOfCard {
    summary: &'static str,
    growth: String,
    code: Option<String>,
}

#[derive(Debug, Serialize)]
struct SideBesideOfCard {
    name: &'static str,
    summary: &'static str,
}

#[derive(Debug, Serialize)]
struct AxisOfCard {
    name: &'static str,
    unit: &'static str,
    is_size: bool,
    /// `None` where the machine decides: all its cores.
    headline: Option<u64>,
}

#[derive(Debug, Serialize)]
struct CauseOfCard {
    id: &'static str,
    label: &'static str,
    counted: String,
}

/// A study.
#[derive(Debug, Serialize)]
struct StudyCard {
    id: &'static str,
    title: &'static str,
    story: &'static str,
    fixes: Vec<FixOfCard>,
}

#[derive(Debug, Serialize)]
struct FixOfCard {
    name: &'static str,
    title: &'static str,
    why: &'static str,
    costs: &'static str,
}

/// Returns all cards. Code is left to the card of one pair, as it would be most of the document.
pub fn catalogue(families: &[&'static Family]) -> Catalogue {
    let of_family = |family: &&'static Family| FamilyCards {
        name: family.name,
        title: family.title,
        pairs: family.pairs.iter().map(|entry| card(entry, false)).collect(),
        studies: family.studies.iter().map(of_study).collect(),
    };
    Catalogue {
        schema: "worthit-catalogue",
        version: 1,
        families: families.iter().map(of_family).collect(),
    }
}

/// Returns the card of a pair, with the code of its sides or without.
pub fn card(entry: &Entry, with_code: bool) -> Card {
    let review = &entry.review;
    let code = |side| report::code_of_side(entry.source, side).filter(|_| with_code);
    let beside = |sides: &'static [SideBeside]| {
        let of = |side: &SideBeside| SideBesideOfCard { name: side.name, summary: side.summary };
        sides.iter().map(of).collect()
    };
    let lint = match review.lint {
        Lint::None => None,
        Lint::Default(name) => Some(LintOfCard { name, group: None }),
        Lint::Switched(name, group) => Some(LintOfCard { name, group: Some(group) }),
    };
    Card {
        id: entry.id,
        title: entry.title,
        smell: review.smell,
        remedy: review.remedy,
        keep_naive_when: review.keep_naive_when,
        costs: review.costs,
        lint,
        naive: SideOfCard {
            summary: entry.naive.summary,
            growth: entry.naive.growth.to_string(),
            code: code("naive"),
        },
        optimized: SideOfCard {
            summary: entry.optimized.summary,
            growth: entry.optimized.growth.to_string(),
            code: code("optimized"),
        },
        peers: beside(entry.peers),
        alternatives: beside(entry.alternatives),
        answers: entry.contract.unwrap_or(contract::EQUAL),
        input: entry.input,
        axis: AxisOfCard {
            name: entry.axis.name,
            unit: entry.axis.unit,
            is_size: entry.axis.is_size,
            headline: match entry.headline {
                Headline::At { point, .. } | Headline::AllCoresOf(point) => Some(point),
                Headline::AllCoresAt(_) => None,
            },
        },
        parameter: entry.parameter.as_ref().map(|parameter| parameter.name),
        unit: entry.unit,
        metric: entry.metric.heading(),
        causes: entry
            .causes
            .iter()
            .map(|claim| CauseOfCard {
                id: claim.cause.id,
                label: claim.cause.label,
                counted: claim.cause.counting.in_words(),
            })
            .collect(),
        why: entry.explanation.why,
        file: format!("src/{}.rs", entry.id),
        reproduce: format!("cargo bench -- '^{}/'", entry.id),
    }
}

/// Writes [`catalogue`] as text.
pub fn document(families: &[&'static Family]) -> String {
    let text = serde_json::to_string_pretty(&catalogue(families));
    text.expect("it holds nothing that JSON lacks") + "\n"
}

/// Writes the cards of a family as Markdown.
pub fn markdown(family: &Family) -> String {
    let mut text = format!("# {}: {}\n", family.name, family.title);
    for entry in family.pairs {
        let review = &entry.review;
        let causes: Vec<&str> = entry.causes.iter().map(|claim| claim.cause.label).collect();
        text += &format!("\n## {}: {}\n\n", entry.name(), entry.title);
        for (name, said) in [
            ("Smell", review.smell.to_owned()),
            ("Instead", review.remedy.to_owned()),
            ("Leave it alone when", review.keep_naive_when.to_owned()),
            ("Costs", review.costs.to_owned()),
            ("Why", entry.explanation.why.to_owned()),
            ("Input", format!("{} Counted: {}.", entry.input, causes.join(", "))),
            ("Lint", format!("{}.", review.lint)),
        ] {
            text += &format!("**{name}:** {said}\n\n");
        }
        text += &format!("```sh\nworthit show {id}\ncargo bench -- '^{id}/'\n```\n", id = entry.id);
    }
    for study in family.studies {
        text += &format!("\n## {}: {}\n\n{}\n\n", study.name(), study.title, study.story);
        for (place, fix) in (1..).zip(study.fixes) {
            text += &format!(
                "{place}. **{}**: {}. {} Costs: {}\n",
                fix.name, fix.title, fix.why, fix.costs
            );
        }
        text += &format!("\n```sh\nworthit show {id}\ncargo bench -- {id}\n```\n", id = study.id);
    }
    text
}

fn of_study(study: &'static StudyEntry) -> StudyCard {
    let fixes = study.fixes.iter().map(|fix| FixOfCard {
        name: fix.name,
        title: fix.title,
        why: fix.why,
        costs: fix.costs,
    });
    StudyCard { id: study.id, title: study.title, story: study.story, fixes: fixes.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made;

    #[test]
    fn the_document_follows_its_schema_and_has_every_pair() {
        let read = made::assert_follows(&document(&[&made::FAMILY]), SCHEMA);
        let ids: Vec<&str> = read["families"][0]["pairs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|card| card["id"].as_str().unwrap())
            .collect();
        assert_eq!(ids, made::FAMILY.pairs.iter().map(|entry| entry.id).collect::<Vec<_>>());
        let text = markdown(&made::FAMILY);
        assert!(text.contains("\n## q: Do less work\n\n**Smell:** "), "{text}");
    }
}
