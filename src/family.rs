//! Families of pairs, and the macro that lists one.

use std::ops::Deref;

use crate::{causes::Cause, pair::Pair};

/// A family of pairs: one bench binary, one chapter of the report.
#[derive(Debug)]
pub struct Family {
    /// Name, the first half of the ids: `queries`.
    pub name: &'static str,
    /// What its techniques have in common, in the imperative: "Let the database find it".
    pub title: &'static str,
    /// Its pairs, in the order of the list.
    pub pairs: &'static [Entry],
}

/// A pair in its family.
#[derive(Debug)]
pub struct Entry {
    /// The pair's id, `family/name`: stable, a link in reviews.
    pub id: &'static str,
    /// The text of the pair's file.
    pub source: &'static str,
    pair: &'static Pair,
}

impl Entry {
    #[doc(hidden)]
    pub const fn new(id: &'static str, source: &'static str, pair: &'static Pair) -> Entry {
        Entry { id, source, pair }
    }

    /// The second half of the id: `n_plus_one`.
    pub fn name(&self) -> &'static str {
        self.id.split_once('/').map_or(self.id, |(_, name)| name)
    }

    /// The causes that the pair names.
    pub fn named_causes(&self) -> Vec<Cause> {
        self.causes.iter().map(|claim| claim.cause).collect()
    }
}

impl Deref for Entry {
    type Target = Pair;
    fn deref(&self) -> &Pair {
        self.pair
    }
}

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

/// Lists a family, in `src/<family>.rs`: one line a pair, the name of its file in `src/<family>/`. Each file has a `pub const PAIR: Pair`;
/// the id is made of the names of family and file, so they cannot differ.
#[macro_export]
macro_rules! family {
    ($family:literal: $title:literal; $($pair:ident,)*) => {
        $(mod $pair;)*
        #[doc = concat!("The family `", $family, "`: ", $title, ".")]
        pub static FAMILY: $crate::family::Family = $crate::family::Family {
            name: $family,
            title: $title,
            pairs: &[$($crate::family::Entry::new(
                concat!($family, "/", stringify!($pair)),
                include_str!(concat!($family, "/", stringify!($pair), ".rs")),
                &$pair::PAIR,
            )),*],
        };
    };
}
