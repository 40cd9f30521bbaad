//! Finds the pairs and studies that words are about: a smell, a symptom, a lint, the name of a function.
//!
//! A word counts more the fewer cards have it, and more in a title than in the small print. It need not be spelt as on the
//! card.

use std::collections::BTreeSet;

use serde::Serialize;

use worthit_pair::{
    family::{Entry, Family},
    pair::Lint,
    study::StudyEntry,
};

/// A pair or study that the words are about.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    /// Its id.
    pub id: &'static str,
    /// Its title.
    pub title: &'static str,
    /// What the naive side looks like in a diff; of a study, its story.
    pub smell: &'static str,
    /// The lint that reports the naive side, with the flag that it needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lint: Option<String>,
    /// How well it fits, from 0 to 1.
    pub score: f64,
}

/// What scores less than this share of the best one is left out.
const LEAST_SHARE: f64 = 0.5;
/// Most that are returned.
const MOST: usize = 10;
/// Likeness (Jaro-Winkler, 0 to 1) from which on two words are the same one, spelt differently.
const LEAST_LIKENESS: f64 = 0.88;
/// Shorter words are the same only if they are equal.
const SHORT: usize = 4;
/// Words that say nothing about a technique.
const EMPTY_WORDS: [&str; 24] = [
    "a", "an", "and", "are", "as", "at", "by", "clippy", "for", "from", "in", "into", "is", "it",
    "my", "of", "on", "or", "that", "the", "to", "too", "when", "with",
];

/// Returns the pairs and studies of `catalogue` that `asked` is about: the one of this id or name, then the best first; none if
/// no word of it is on any card.
pub fn search(catalogue: &[&'static Family], asked: &str) -> Vec<Found> {
    let cards: Vec<Card> = catalogue.iter().flat_map(|family| cards_of(family)).collect();
    let named = asked.trim();
    let asked: BTreeSet<String> = words(asked).into_iter().collect();
    let likeness: Vec<Vec<f64>> =
        asked.iter().map(|word| cards.iter().map(|card| card.likeness(word)).collect()).collect();
    // A word on few cards tells more (inverse document frequency); one on no card tells nothing but that it is missing.
    let weights: Vec<f64> = likeness
        .iter()
        .map(|of_cards| {
            let having = of_cards.iter().filter(|likeness| **likeness > 0.0).count();
            (1.0 + cards.len() as f64 / having.max(1) as f64).ln()
        })
        .collect();
    let total: f64 = weights.iter().sum();
    let mut found: Vec<Found> = (0..cards.len())
        .map(|nth| {
            let parts =
                weights.iter().zip(&likeness).map(|(weight, of_cards)| weight * of_cards[nth]);
            Found { score: parts.sum::<f64>() / total, ..cards[nth].found.clone() }
        })
        .collect();
    let is_named = |found: &Found| {
        let name = found.id.split_once('/').map_or(found.id, |(_, name)| name);
        [found.id, name].contains(&named)
    };
    found.sort_by(|left, right| {
        let by_name = is_named(right).cmp(&is_named(left));
        by_name.then(right.score.total_cmp(&left.score))
    });
    let best = found.first().map_or(0.0, |found| found.score);
    found.retain(|found| found.score > 0.0 && found.score >= best * LEAST_SHARE);
    found.truncate(MOST);
    found
}

/// The words of a card, and how much they say about it.
struct Card {
    found: Found,
    words: Vec<(f64, BTreeSet<String>)>,
}

impl Card {
    fn new(found: Found, fields: &[(f64, &str)]) -> Card {
        let words =
            fields.iter().map(|(weight, text)| (*weight, words(text).into_iter().collect()));
        Card { found, words: words.collect() }
    }

    /// Returns how much this word says about the card, from 0 to 1.
    fn likeness(&self, word: &str) -> f64 {
        let of_field = |(weight, words): &(f64, BTreeSet<String>)| {
            let best = words.iter().map(|other| alike(word, other)).fold(0.0, f64::max);
            weight * best
        };
        self.words.iter().map(of_field).fold(0.0, f64::max)
    }
}

fn cards_of(family: &'static Family) -> Vec<Card> {
    let pairs = family.pairs.iter().map(card_of_pair);
    pairs.chain(family.studies.iter().map(card_of_study)).collect()
}

fn card_of_pair(entry: &'static Entry) -> Card {
    let review = &entry.review;
    let lint = match review.lint {
        Lint::None => "",
        Lint::Default(name) | Lint::Switched(name, _) => name,
    };
    let found = Found {
        id: entry.id,
        title: entry.title,
        smell: review.smell,
        lint: (!lint.is_empty()).then(|| review.lint.to_string()),
        score: 0.0,
    };
    let causes: Vec<&str> = entry.causes.iter().map(|claim| claim.cause.label).collect();
    Card::new(
        found,
        &[
            (1.0, entry.id),
            (1.0, lint),
            (0.9, entry.title),
            (0.9, review.smell),
            (0.7, entry.naive.summary),
            (0.6, review.remedy),
            (0.6, entry.optimized.summary),
            (0.5, &causes.join(" ")),
            (0.3, review.keep_naive_when),
            (0.3, review.costs),
            (0.3, entry.explanation.why),
            (0.2, entry.input),
        ],
    )
}

fn card_of_study(study: &'static StudyEntry) -> Card {
    let found =
        Found { id: study.id, title: study.title, smell: study.story, lint: None, score: 0.0 };
    let fixes: Vec<&str> = study.fixes.iter().flat_map(|fix| [fix.name, fix.title]).collect();
    Card::new(
        found,
        &[
            (1.0, study.id),
            (0.9, study.title),
            (0.7, study.story),
            (0.6, &fixes.join(" ")),
            (0.3, study.workload),
        ],
    )
}

/// Returns the words of a text that say something, in lower case: `Vec::contains` has two, `n_plus_one` and `n+1` three.
fn words(text: &str) -> Vec<String> {
    let text = text.to_lowercase().replace("+1", " plus one");
    let all = text.split(|c: char| !c.is_alphanumeric());
    let telling = all.filter(|word| !word.is_empty() && !EMPTY_WORDS.contains(word));
    telling.map(str::to_owned).collect()
}

/// Returns how alike two words are, from 0 to 1.
fn alike(left: &str, right: &str) -> f64 {
    if left == right {
        return 1.0;
    }
    // Few misspell the first letter, and most words differ in it, which is quickly seen.
    if left.len().min(right.len()) < SHORT || left.chars().next() != right.chars().next() {
        return 0.0;
    }
    let likeness = strsim::jaro_winkler(left, right);
    if likeness < LEAST_LIKENESS { 0.0 } else { likeness.powi(4) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_that_say_something() {
        assert_eq!(words("A query in a loop: n+1!"), ["query", "loop", "n", "plus", "one"]);
        assert_eq!(words("clippy::map_entry, Vec::contains"), ["map", "entry", "vec", "contains"]);
        assert!(words("of the, -- in").is_empty());
    }

    #[test]
    fn words_are_alike_if_they_are_spelt_or_bent_a_little_differently() {
        for (left, right) in
            [("query", "qurey"), ("collect", "colect"), ("allocations", "allocation")]
        {
            assert!((0.5..1.0).contains(&alike(left, right)), "{left} {right}");
        }
        for (left, right) in
            [("map", "mop"), ("cache", "batch"), ("thread", "read"), ("lock", "loop")]
        {
            assert_eq!(alike(left, right), 0.0, "{left} {right}");
        }
        assert_eq!(alike("map", "map"), 1.0);
    }
}
