//! "Did you mean": the id that is most like what was asked for.

use worthit_pair::family::Family;

/// The id among `families` that is most like what was asked for, in whole or by its name.
pub fn nearest_id(asked: &str, families: &[&'static Family]) -> Option<&'static str> {
    nearest(asked, families.iter().flat_map(|family| family.pairs).map(|entry| entry.id))
}

/// The id among `ids` that is most like what was asked for, in whole or by its second half.
pub fn nearest<'a>(asked: &str, ids: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // "N+1" is how people say it.
    let asked = &asked.to_lowercase().replace('+', "_plus_");
    let likeness = |id: &str| {
        let name = id.split_once('/').map_or(id, |(_, name)| name);
        strsim::jaro_winkler(asked, id).max(strsim::jaro_winkler(asked, name))
    };
    ids.max_by(|left, right| likeness(left).total_cmp(&likeness(right)))
}
