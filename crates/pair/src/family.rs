//! Families of pairs and of studies, and the macros that list pairs, studies and families.

use std::ops::Deref;

use crate::{causes::Cause, pair::Pair, study::StudyEntry};

/// A family of pairs or of studies: one bench binary, one chapter of the report.
#[derive(Debug)]
pub struct Family {
    /// Its name, the first half of the ids of its pairs and studies: `queries`.
    pub name: &'static str,
    /// The cargo package that lists it.
    pub package: &'static str,
    /// The folder of that package, where this was built.
    pub folder: &'static str,
    /// What its techniques have in common, in the imperative: "Let the database find it".
    pub title: &'static str,
    /// Its pairs, in the order of the list.
    pub pairs: &'static [Entry],
    /// Its studies, in the order of the list.
    pub studies: &'static [StudyEntry],
}

impl Family {
    /// A family without pairs and studies.
    pub const EMPTY: Family =
        Family { name: "", package: "", folder: "", title: "", pairs: &[], studies: &[] };
}

/// A pair in its family, with its id and its source.
#[derive(Debug)]
pub struct Entry {
    /// The pair's id, `family/name`. It stays the same, as reviews link to it.
    pub id: &'static str,
    /// Source text of the pair's file.
    pub source: &'static str,
    pair: &'static Pair,
}

impl Entry {
    #[doc(hidden)]
    pub const fn new(id: &'static str, source: &'static str, pair: &'static Pair) -> Entry {
        Entry { id, source, pair }
    }

    /// Returns the second half of the id: `n_plus_one`.
    pub fn name(&self) -> &'static str {
        self.id.split_once('/').map_or(self.id, |(_, name)| name)
    }

    /// Returns whether `asked` is its id, its name or an id that it had.
    pub fn is_named(&self, asked: &str) -> bool {
        self.id == asked || self.name() == asked || self.earlier_ids.contains(&asked)
    }

    /// Returns the causes that the pair makes claims about.
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

/// Lists the pairs of a family, in `src/<family>.rs`. Each line is the name of a pair's file in `src/<family>/`.
///
/// Each file has a `pub const PAIR: Pair`. The macro builds the pair's id from the names of family and file, so
/// the two always match. It also defines a test per pair (`cargo test -- PAIR`): the sides agree. See [`crate::proof`].
#[macro_export]
macro_rules! family {
    ($family:literal: $title:literal; $($pair:ident,)*) => {
        $(mod $pair;)*
        #[doc = concat!("The family `", $family, "`: ", $title, ".")]
        pub static FAMILY: $crate::family::Family = $crate::family::Family {
            name: $family,
            package: env!("CARGO_PKG_NAME"),
            folder: env!("CARGO_MANIFEST_DIR"),
            title: $title,
            pairs: &[$($crate::family::Entry::new(
                concat!($family, "/", stringify!($pair)),
                include_str!(concat!($family, "/", stringify!($pair), ".rs")),
                &$pair::PAIR,
            )),*],
            ..$crate::family::Family::EMPTY
        };

        #[cfg(test)]
        mod proofs {
            $(mod $pair {
                #[test]
                fn sides_agree() {
                    $crate::proof::sides_agree(
                        &super::super::FAMILY,
                        concat!($family, "/", stringify!($pair)),
                        env!("CARGO_MANIFEST_DIR"),
                    );
                }
            })*

            #[test]
            fn every_file_of_the_family_is_listed() {
                $crate::proof::every_file_is_listed(env!("CARGO_MANIFEST_DIR"), file!());
            }
        }
    };
}

/// Lists the studies of a family, in `src/<family>.rs`. Each line is the name of a study's file in `src/<family>/`, which
/// has a `pub const STUDY: Study`.
///
/// The macro also defines a test per study (`cargo test -- STUDY`): every set of its fixes serves alike. See
/// [`crate::proof`].
#[macro_export]
macro_rules! studies {
    ($family:literal: $title:literal; $($study:ident,)*) => {
        $(mod $study;)*
        #[doc = concat!("The family `", $family, "`: ", $title, ".")]
        pub static FAMILY: $crate::family::Family = $crate::family::Family {
            name: $family,
            package: env!("CARGO_PKG_NAME"),
            folder: env!("CARGO_MANIFEST_DIR"),
            title: $title,
            studies: &[$($crate::study::StudyEntry::new(
                concat!($family, "/", stringify!($study)),
                &$study::STUDY,
            )),*],
            ..$crate::family::Family::EMPTY
        };

        #[cfg(test)]
        mod proofs {
            $(mod $study {
                #[test]
                fn any_set_of_fixes_serves_alike() {
                    let id = concat!($family, "/", stringify!($study));
                    $crate::proof::any_fixes_serve_alike(&super::super::FAMILY, id);
                }
            })*

            #[test]
            fn every_file_of_the_family_is_listed() {
                $crate::proof::every_file_is_listed(env!("CARGO_MANIFEST_DIR"), file!());
            }
        }
    };
}

/// Lists the families, in `src/lib.rs`, in the order of the report. Each line is the name of a family's file in
/// `src/`.
///
/// The macro declares the families as modules and defines the static `CATALOGUE`.
#[macro_export]
macro_rules! catalogue {
    ($($family:ident,)*) => {
        $(pub mod $family;)*

        /// All families, in the order of the report.
        pub static CATALOGUE: [&$crate::family::Family; [$(stringify!($family)),*].len()] =
            [$(&$family::FAMILY),*];
    };
}
