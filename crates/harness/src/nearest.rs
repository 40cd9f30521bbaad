//! "Did you mean …?": finds the id most similar to the one asked for.

use worthit_pair::family::Family;

/// Returns the id of a pair or a study in `families` most similar to `asked`, as a whole or by its name.
pub fn nearest_id(asked: &str, families: &[&'static Family]) -> Option<&'static str> {
    let pairs = families.iter().flat_map(|family| family.pairs).map(|entry| entry.id);
    let studies = families.iter().flat_map(|family| family.studies).map(|study| study.id);
    nearest(asked, pairs.chain(studies))
}

/// Returns the id in `ids` most similar to `asked`, as a whole or by the part after its slash.
pub fn nearest<'a>(asked: &str, ids: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // People write "N+1".
    let asked = &asked.to_lowercase().replace('+', "_plus_");
    let likeness = |id: &str| {
        let name = id.split_once('/').map_or(id, |(_, name)| name);
        strsim::jaro_winkler(asked, id).max(strsim::jaro_winkler(asked, name))
    };
    ids.max_by(|left, right| likeness(left).total_cmp(&likeness(right)))
}
