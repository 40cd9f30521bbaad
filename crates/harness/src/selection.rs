//! What a bench process is asked for: the benches that cargo runs, and the cases that the filters select in them.

use crate::{
    cargo::Invocation,
    flags::{Flags, Mode, Selector},
    nearest::nearest_id,
    startup::Started,
};
use worthit_pair::{
    cases::{self, Extent, NamedCase},
    family::{Entry, Family},
    pair::Metric,
    study::StudyEntry,
    trial::Role,
};

/// The cases that one cargo command selects.
#[derive(Clone, Debug)]
pub struct Selection<'a> {
    /// The family of this process.
    pub family: &'static Family,
    catalogue: &'a [&'static Family],
    flags: &'a Flags,
    selector: Selector,
    /// The families whose benches cargo runs, in cargo's order.
    asked: Vec<&'static Family>,
    /// Whether `asked` is certain. The words of an alias, for example, are not visible.
    is_certain: bool,
    /// Whether a filter may be meant for other tests than benches.
    is_among_other_tests: bool,
    /// The part of each sweep.
    extent: Extent,
}

impl<'a> Selection<'a> {
    /// Finds what `started`, a process of `family`, is asked for.
    ///
    /// # Errors
    /// If a filter is not a regular expression.
    pub fn of(
        started: &'a Started,
        family: &'static Family,
        catalogue: &'a [&'static Family],
    ) -> Result<Selection<'a>, regex::Error> {
        let flags = &started.flags;
        let invocation = started.invocation.as_ref();
        let (asked, is_certain) =
            asked(family, catalogue, invocation, started.benches.as_deref(), flags.mode());
        let mut selection = Selection {
            family,
            catalogue,
            flags,
            selector: flags.selector()?,
            asked,
            is_certain,
            is_among_other_tests: invocation.is_some_and(Invocation::tests_more_than_benches),
            extent: extent(flags),
        };
        if flags.is_for_tests() && flags.is_filtered() {
            // A test runs the ends of each sweep, but a point that is asked for by its id is run.
            let extents = [Extent::Ends, Extent::Default, Extent::Deep];
            let selects =
                |extent: &Extent| Selection { extent: *extent, ..selection.clone() }.total() > 0;
            selection.extent = extents.into_iter().find(selects).unwrap_or(Extent::Ends);
        }
        Ok(selection)
    }

    /// Returns the part of each sweep.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// Returns the selected cases of a pair.
    pub fn cases(&self, entry: &Entry) -> Vec<NamedCase> {
        let mut cases = cases::measured(entry, self.extent, self.flags.seed);
        cases.retain(|case| !self.roles(entry, case).is_empty());
        cases
    }

    /// Returns the selected sides of a case.
    pub fn roles(&self, entry: &Entry, case: &NamedCase) -> Vec<Role> {
        let mut roles = cases::roles(entry);
        let is_headline = case.key == cases::headline(entry, self.flags.seed).key;
        let are_beside_measured = measures_beside(self.extent, entry.metric, is_headline);
        roles.retain(|role| role.is_judged() || are_beside_measured);
        roles.retain(|role| self.selector.selects(&cases::benchmark_id(entry, case, *role)));
        roles
    }

    /// Returns the pairs of this process with selected cases.
    pub fn entries(&self) -> Vec<&'static Entry> {
        self.family.pairs.iter().filter(|entry| !self.cases(entry).is_empty()).collect()
    }

    /// Returns the studies of this process that are selected.
    pub fn studies(&self) -> Vec<&'static StudyEntry> {
        self.studies_of(self.family).collect()
    }

    fn studies_of(&self, family: &Family) -> impl Iterator<Item = &'static StudyEntry> {
        family.studies.iter().filter(|study| self.selector.selects(study.id))
    }

    /// Returns whether anything of this process is selected.
    pub fn is_empty(&self) -> bool {
        self.total_of(self.family) == 0
    }

    /// Returns the number of cases and studies that all processes of this cargo command are asked for.
    pub fn total(&self) -> usize {
        self.asked.iter().map(|family| self.total_of(family)).sum()
    }

    /// Returns the number of cases among them.
    pub fn total_cases(&self) -> usize {
        self.asked.iter().map(|family| self.cases_of(family)).sum()
    }

    fn total_of(&self, family: &Family) -> usize {
        self.cases_of(family) + self.studies_of(family).count()
    }

    fn cases_of(&self, family: &Family) -> usize {
        family.pairs.iter().map(|entry| self.cases(entry).len()).sum()
    }

    /// Returns whether no later process of this cargo command has anything selected, as far as can be known.
    pub fn is_last(&self) -> bool {
        let later = self.asked.iter().skip_while(|family| family.name != self.family.name).skip(1);
        !self.is_certain || later.into_iter().all(|family| self.total_of(family) == 0)
    }

    /// Returns why nothing is selected, and what to do; `None` if something is, or if a filter may be meant for other
    /// tests.
    pub fn refusal(&self) -> Option<String> {
        if !self.flags.is_filtered() || self.is_among_other_tests || self.total() > 0 {
            return None;
        }
        let asked = self.flags.filters.join(" ");
        let everywhere = Selection { asked: self.catalogue.to_vec(), ..self.clone() };
        if let Some(family) = self.catalogue.iter().find(|family| everywhere.total_of(family) > 0) {
            return Some(format!(
                "`{asked}` is in the family `{name}`, which this command does not run: \
                 `cargo bench --bench {name} -- {asked}`",
                name = family.name
            ));
        }
        let deep = Selection { extent: Extent::Deep, ..everywhere };
        if deep.total() > 0 {
            return Some(format!(
                "`{asked}` is measured only in a longer run{}",
                if self.flags.quick {
                    ": leave out --quick, or add --deep instead"
                } else {
                    ": add --deep"
                }
            ));
        }
        let nearest =
            self.flags.filters.first().and_then(|filter| nearest_id(filter, self.catalogue));
        let hint = nearest.map_or(";".to_owned(), |id| format!("; did you mean `{id}`?"));
        let what = match asked.is_empty() {
            true => "the filters leave nothing".to_owned(),
            false => format!("no benchmark matches `{asked}`"),
        };
        Some(format!("{what}{hint} `cargo bench -- --list` lists all of them"))
    }
}

fn extent(flags: &Flags) -> Extent {
    match (flags.is_for_tests(), flags.quick, flags.deep) {
        (true, ..) => Extent::Ends,
        (_, true, _) => Extent::Quick,
        (_, _, true) => Extent::Deep,
        _ => Extent::Default,
    }
}

/// Returns whether peers and alternatives of a case are measured. A quick run leaves them out. Where each side takes seconds of
/// load, as a 99th percentile does, a default run measures them at the headline.
fn measures_beside(extent: Extent, metric: Metric, is_headline: bool) -> bool {
    match extent {
        Extent::Quick => false,
        Extent::Default => metric != Metric::P99Latency || is_headline,
        Extent::Ends | Extent::Deep => true,
    }
}

/// Returns the families whose benches a cargo command runs, in cargo's order (by name), and whether that is certain.
fn asked(
    family: &'static Family,
    catalogue: &[&'static Family],
    invocation: Option<&Invocation>,
    benches: Option<&[String]>,
    mode: Mode,
) -> (Vec<&'static Family>, bool) {
    let Some(invocation) = invocation else { return (vec![family], true) };
    let has_bench = |name: &str| benches.is_none_or(|all| all.iter().any(|bench| bench == name));
    let is_asked = |other: &&&'static Family| {
        other.name == family.name
            || has_bench(other.name) && invocation.runs_bench(other.name) != Some(false)
    };
    let mut asked: Vec<&'static Family> = catalogue.iter().filter(is_asked).copied().collect();
    asked.sort_by_key(|family| family.name);
    let is_certain = invocation.runs_bench(family.name).is_some() || mode != Mode::Measure;
    (asked, is_certain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_of_percentiles_are_measured_at_the_headline_and_none_in_a_quick_run() {
        for (extent, metric, is_headline, expected) in [
            (Extent::Default, Metric::Time, false, true),
            (Extent::Default, Metric::P99Latency, false, false),
            (Extent::Default, Metric::P99Latency, true, true),
            (Extent::Deep, Metric::P99Latency, false, true),
            (Extent::Quick, Metric::Time, true, false),
        ] {
            let asked = (extent, metric, is_headline);
            assert_eq!(measures_beside(extent, metric, is_headline), expected, "{asked:?}");
        }
    }
}
