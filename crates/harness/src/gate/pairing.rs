//! Matches the pairs of base and head, and finds out whether they can be compared. Pure functions.

use std::collections::BTreeMap;

use super::protocol::GateCase;
use crate::nearest::nearest;

/// A pair in one or both builds.
#[derive(Clone, Debug, PartialEq)]
pub struct Matched {
    /// Its case in the base.
    pub base: Option<GateCase>,
    /// Its case in the head.
    pub head: Option<GateCase>,
}

impl Matched {
    /// Returns the reason why base and head cannot be compared, if both have the pair.
    pub fn difference(&self) -> Option<String> {
        let (base, head) = (self.base.as_ref()?, self.head.as_ref()?);
        let differs = |what: &str, base: &dyn std::fmt::Display, head: &dyn std::fmt::Display| {
            let (base, head) = (base.to_string(), head.to_string());
            (base != head).then(|| format!("its {what} was `{base}` and is now `{head}`"))
        };
        let (old, new) = (&base.key, &head.key);
        differs("axis", &base.axis, &head.axis)
            .or_else(|| differs("unit of the axis", &base.axis_unit, &head.axis_unit))
            .or_else(|| differs("headline", &old.point, &new.point))
            .or_else(|| differs("level", &old.level, &new.level))
            .or_else(|| differs("seed", &base.seed, &head.seed))
            .or_else(|| differs("unit of work", &base.unit, &head.unit))
            .or_else(|| (base.metric != head.metric).then(|| "its metric has changed".to_owned()))
    }

    /// Returns whether both builds have the pair and measure the same thing.
    pub fn is_comparable(&self) -> bool {
        self.base.is_some() && self.head.is_some() && self.difference().is_none()
    }

    /// Returns whether its counts alone judge it, in either build: it is a study, or uses a server, whose scheduling moves the
    /// time of a request by more than the gate looks for, and whose own work the client's counts and the server's show.
    pub fn is_judged_by_counts(&self) -> bool {
        let is_counted = |case: &GateCase| case.is_study || !case.servers.is_empty();
        self.base.iter().chain(&self.head).any(is_counted)
    }

    /// Returns the id in the base; empty if the base lacks the pair.
    pub fn base_id(&self) -> &str {
        self.base.as_ref().map_or("", |case| &case.key.pair)
    }

    /// Returns the id in the head; empty if the head lacks the pair.
    pub fn head_id(&self) -> &str {
        self.head.as_ref().map_or("", |case| &case.key.pair)
    }

    /// Returns whether `name` is its id in either build, or the part of the id after the family.
    fn is_called(&self, name: &str) -> bool {
        [self.base_id(), self.head_id()]
            .into_iter()
            .any(|id| id == name || id.split_once('/').is_some_and(|(_, short)| short == name))
    }

    /// Returns the id in the base, if it differs.
    pub fn renamed_from(&self) -> Option<&str> {
        let (base, head) = (self.base.as_ref()?, self.head.as_ref()?);
        (base.key.pair != head.key.pair).then_some(base.key.pair.as_str())
    }
}

/// Request for a pair that neither build has.
#[derive(Debug, thiserror::Error)]
#[error("neither revision has a pair called `{asked}`{hint}; `worthit list` lists all pairs")]
pub struct UnknownPair {
    asked: String,
    hint: String,
}

/// Selects the pairs in `asked`, by their whole ids or the part after the family; all pairs if it is empty.
///
/// # Errors
/// If neither build has one of them.
pub fn select(pairs: Vec<Matched>, asked: &[String]) -> Result<Vec<Matched>, UnknownPair> {
    if let Some(unknown) = asked.iter().find(|name| !pairs.iter().any(|pair| pair.is_called(name)))
    {
        let cases = pairs.iter().filter_map(|pair| pair.head.as_ref().or(pair.base.as_ref()));
        let hint = nearest(unknown, cases.map(|case| case.key.pair.as_str()));
        let hint = hint.map_or(String::new(), |id| format!(" (did you mean `{id}`?)"));
        return Err(UnknownPair { asked: unknown.clone(), hint });
    }
    let is_asked =
        |pair: &Matched| asked.is_empty() || asked.iter().any(|name| pair.is_called(name));
    Ok(pairs.into_iter().filter(is_asked).collect())
}

/// Matches pairs by id, and the remaining ones by title.
///
/// Pairs with different ids were renamed if their title is the same and unique in each build. The result is in the
/// order of the head, followed by pairs that only the base has.
pub fn pair_up(base: &[GateCase], head: &[GateCase]) -> Vec<Matched> {
    let mut left: BTreeMap<&str, &GateCase> =
        base.iter().map(|case| (case.key.pair.as_str(), case)).collect();
    let by_id: Vec<(Option<&GateCase>, &GateCase)> =
        head.iter().map(|case| (left.remove(case.key.pair.as_str()), case)).collect();
    let title_is_unique = |title: &str| {
        let only_once = |cases: &[GateCase]| cases.iter().filter(|c| c.title == title).count() == 1;
        only_once(base) && only_once(head)
    };
    let mut found: Vec<Matched> = by_id
        .into_iter()
        .map(|(known, case)| {
            let renamed = || {
                let same = left.values().find(|other| other.title == case.title)?;
                let id = title_is_unique(&case.title).then(|| same.key.pair.clone())?;
                left.remove(id.as_str())
            };
            let base = known.or_else(renamed).cloned();
            Matched { base, head: Some(case.clone()) }
        })
        .collect();
    let gone = base.iter().filter(|case| left.contains_key(case.key.pair.as_str()));
    found.extend(gone.map(|case| Matched { base: Some(case.clone()), head: None }));
    found
}

#[cfg(test)]
mod tests {
    use super::{super::verdict::tests::case, *};

    fn ids(found: &[Matched]) -> Vec<(Option<&str>, Option<&str>)> {
        let id = |case: &Option<GateCase>| {
            case.as_ref().map(|case| case.key.pair.clone().leak() as &str)
        };
        found.iter().map(|matched| (id(&matched.base), id(&matched.head))).collect()
    }

    #[test]
    fn pairs_are_matched_by_id_and_then_by_a_unique_title() {
        let titled = |id: &str, title: &str| GateCase { title: title.to_owned(), ..case(id, &[]) };
        let base = [titled("a/one", "One"), titled("a/two", "Two"), titled("a/gone", "Gone")];
        let head = [titled("a/two", "Two"), titled("b/uno", "One"), titled("b/three", "Three")];
        let found = pair_up(&base, &head);
        assert_eq!(
            ids(&found),
            [
                (Some("a/two"), Some("a/two")),
                (Some("a/one"), Some("b/uno")),
                (None, Some("b/three")),
                (Some("a/gone"), None)
            ]
        );
        assert_eq!(found[1].renamed_from(), Some("a/one"));
        assert_eq!(found[0].renamed_from(), None);
        let twice = [titled("b/x", "One"), titled("b/y", "One")];
        let found = pair_up(&base[..1], &twice);
        assert_eq!(ids(&found).iter().filter(|(base, _)| base.is_some()).count(), 1);
        assert!(found.iter().all(|matched| matched.renamed_from().is_none()), "{found:?}");
    }

    #[test]
    fn counts_alone_judge_a_study_and_a_pair_that_uses_a_server_in_either_build() {
        let alone = case("a/b", &[]);
        let study = GateCase { is_study: true, ..alone.clone() };
        let with_server = GateCase { servers: vec!["redis".to_owned()], ..alone.clone() };
        for (base, head, expected) in [
            (&alone, &alone, false),
            (&with_server, &alone, true),
            (&alone, &with_server, true),
            (&study, &study, true),
        ] {
            let matched = Matched { base: Some(base.clone()), head: Some(head.clone()) };
            assert_eq!(matched.is_judged_by_counts(), expected);
        }
    }

    #[test]
    fn cases_that_measure_different_things_are_not_compared() {
        let base = case("a/b", &[]);
        let difference = |change: &dyn Fn(&mut GateCase)| {
            let mut head = base.clone();
            change(&mut head);
            Matched { base: Some(base.clone()), head: Some(head) }.difference()
        };
        assert_eq!(difference(&|_| ()), None);
        assert_eq!(
            difference(&|head| head.key.point = 200).as_deref(),
            Some("its headline was `100` and is now `200`")
        );
        assert!(difference(&|head| head.key.level = "zipf".to_owned()).is_some());
        assert!(difference(&|head| head.seed = 7).is_some());
        assert!(difference(&|head| head.axis = "rows".to_owned()).is_some());
        assert!(difference(&|head| head.unit = "row".to_owned()).is_some());
        assert!(difference(&|head| head.metric = worthit_pair::pair::Metric::P99Latency).is_some());
        assert_eq!(difference(&|head| head.title = "Other words".to_owned()), None);
    }
}
