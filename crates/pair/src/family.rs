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

/// Lists a family, in `src/<family>.rs`: one line a pair, the name of its file in `src/<family>/`. Each file
/// has a `pub const PAIR: Pair`; the id is made of the names of family and file, so they cannot differ.
///
/// Each pair gets two tests (`cargo test -- PAIR`): its sides agree, and its claims about counts hold. See
/// [`crate::proof`].
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

        #[cfg(test)]
        mod proofs {
            $(mod $pair {
                const ID: &str = concat!($family, "/", stringify!($pair));

                #[test]
                fn sides_agree() {
                    $crate::proof::sides_agree(&super::super::FAMILY, ID);
                }

                #[test]
                fn claims_hold() {
                    let test = concat!(module_path!(), "::claims_hold");
                    $crate::proof::claims_hold(&super::super::FAMILY, ID, test);
                }
            })*

            #[test]
            fn every_file_of_the_family_is_listed() {
                let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/", $family);
                $crate::proof::every_file_is_listed(&super::FAMILY, folder.as_ref());
            }
        }
    };
}

/// Lists the families, in `src/lib.rs`: one line each, the name of its file in `src/`, in the order of the
/// report. They become modules and the static `CATALOGUE`. Its unit tests count causes.
#[macro_export]
macro_rules! catalogue {
    ($($family:ident,)*) => {
        $(pub mod $family;)*

        /// All families, in the order of the report.
        pub static CATALOGUE: [&$crate::family::Family; [$(stringify!($family)),*].len()] =
            [$(&$family::FAMILY),*];

        #[cfg(test)]
        $crate::counting_binary!();
    };
}
