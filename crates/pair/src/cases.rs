//! The cases of a pair that a run measures, and their names.

use crate::{
    case::{Case, CaseKey},
    family::Entry,
    pair::{
        Headline, Level, Levels, Origin, Pair, Parameter, SideBeside, logical_cores, thread_counts,
    },
    trial::Role,
};

/// How much of each sweep to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The two ends, and the headline's point.
    Ends,
    /// The two ends, the middle and the headline's point.
    Quick,
    /// Every default point.
    Default,
    /// Every default point and the larger ones.
    Deep,
}

/// Number of levels at which a sweep over threads is measured, at most.
const MAX_LEVELS: usize = 4;

/// A case and its name.
#[derive(Clone, Debug)]
pub struct NamedCase {
    /// The argument of `prepare`.
    pub case: Case,
    /// Its name.
    pub key: CaseKey,
}

impl NamedCase {
    /// Makes the case of `entry` that is timed at `point` of a level.
    fn new(entry: &Entry, level: &ResolvedLevel, point: u64, seed: u64) -> NamedCase {
        let case = Case::realistic(point, level.value, seed);
        let key = CaseKey { pair: entry.id.to_owned(), level: level.label.clone(), point };
        NamedCase { case, key }
    }
}

/// Returns the points of the axis within `extent`, ascending.
pub fn points(entry: &Entry, extent: Extent) -> Vec<u64> {
    let mut points = entry.axis.points.default_points();
    let (last, middle) = (points[points.len() - 1], points[points.len() / 2]);
    let headline = match entry.headline {
        Headline::At { point, .. } | Headline::AllCoresOf(point) => point,
        Headline::AllCoresAt(_) => last,
    };
    match extent {
        Extent::Deep => points.extend(entry.axis.points.deep_points()),
        Extent::Default => {}
        Extent::Quick => points = thinned(&points, &[points[0], middle, last, headline]),
        Extent::Ends => points = thinned(&points, &[points[0], last, headline]),
    }
    points
}

fn thinned(points: &[u64], kept: &[u64]) -> Vec<u64> {
    points.iter().copied().filter(|point| kept.contains(point)).collect()
}

/// Returns all levels of a pair on this machine, measured and computed. Without a parameter, this is a single level
/// with an empty label.
pub fn levels(pair: &Pair) -> Vec<ResolvedLevel> {
    match pair.parameter.as_ref() {
        None => vec![ResolvedLevel { label: String::new(), value: 0, level: None }],
        Some(Parameter { levels: Levels::Fixed(levels), .. }) => levels
            .iter()
            .map(|level| ResolvedLevel {
                label: level.label.to_owned(),
                value: level.value,
                level: Some(level),
            })
            .collect(),
        Some(Parameter { name, levels: Levels::Threads }) => {
            let level = |count| ResolvedLevel {
                label: format!("{name}={count}"),
                value: count,
                level: None,
            };
            thread_levels(logical_cores()).into_iter().map(level).collect()
        }
    }
}

/// Returns the thread counts at which a whole sweep is measured: one thread, without which there is no speedup, and
/// about a quarter, half and all of `cores`.
fn thread_levels(cores: u64) -> Vec<u64> {
    let counts = thread_counts(cores);
    if counts.len() <= MAX_LEVELS {
        return counts;
    }
    let at_least = |share: f64| {
        let wanted = cores as f64 * share;
        counts.iter().copied().find(|count| *count as f64 >= wanted).unwrap_or(cores)
    };
    vec![1, at_least(0.25), at_least(0.5), cores]
}

/// One value of the parameter, resolved for this machine.
#[derive(Debug)]
pub struct ResolvedLevel {
    /// The label in ids; empty if there is no parameter.
    pub label: String,
    /// The value that `prepare` reads.
    pub value: u64,
    level: Option<&'static Level>,
}

impl ResolvedLevel {
    /// Returns whether this level is measured at `point`.
    pub fn is_measured_at(&self, point: u64) -> bool {
        self.level.is_none_or(|level| match level.origin {
            Origin::Measured => true,
            Origin::Distance { confirmed_at, .. } => confirmed_at.contains(&point),
        })
    }

    /// Returns the distance in µs, if the figures of this level are computed.
    pub fn distance_us(&self) -> Option<u64> {
        match self.level?.origin {
            Origin::Distance { rtt_us, .. } => Some(rtt_us),
            _ => None,
        }
    }
}

/// Returns the measured cases of a pair within `extent`, by level and then ascending along the axis.
pub fn measured(entry: &Entry, extent: Extent, seed: u64) -> Vec<NamedCase> {
    let points = points(entry, extent);
    let mut cases = Vec::new();
    for level in levels(entry) {
        for point in points.iter().filter(|point| level.is_measured_at(**point)) {
            cases.push(NamedCase::new(entry, &level, *point, seed));
        }
    }
    cases
}

/// Returns the case that a pair speaks of where it may name only one.
pub fn headline(entry: &Entry, seed: u64) -> NamedCase {
    let levels = levels(entry);
    let points = entry.axis.points.default_points();
    let last = "a pair has levels and points";
    let labelled = |label| levels.iter().find(|level| level.label == label);
    let missing = |label| panic!("{}: the headline's level `{label}` does not exist", entry.id);
    let (level, point) = match entry.headline {
        Headline::At { level, point } => (labelled(level).unwrap_or_else(|| missing(level)), point),
        Headline::AllCoresAt(level) => {
            (labelled(level).unwrap_or_else(|| missing(level)), *points.last().expect(last))
        }
        Headline::AllCoresOf(point) => (levels.last().expect(last), point),
    };
    NamedCase::new(entry, level, point, seed)
}

/// Returns the name of a side in ids: `naive`, `optimized`, or the name of the peer or alternative.
pub fn side_name(entry: &Entry, role: Role) -> &'static str {
    let name_in = |sides: &'static [SideBeside], place: u8| {
        sides.get(usize::from(place)).map_or("unnamed", |side| side.name)
    };
    match role {
        Role::Naive => "naive",
        Role::Optimized => "optimized",
        Role::Peer(place) => name_in(entry.peers, place),
        Role::Alternative(place) => name_in(entry.alternatives, place),
    }
}

/// Returns the roles of a pair's sides.
pub fn roles(entry: &Entry) -> Vec<Role> {
    let peers = (0..entry.peers.len() as u8).map(Role::Peer);
    let alternatives = (0..entry.alternatives.len() as u8).map(Role::Alternative);
    [Role::Naive, Role::Optimized].into_iter().chain(peers).chain(alternatives).collect()
}

/// Returns criterion's id of one benchmark: `queries/n_plus_one/loopback/naive/256`.
pub fn benchmark_id(entry: &Entry, case: &NamedCase, role: Role) -> String {
    format!("{}/{}/{}", case.key.group(), side_name(entry, role), case.key.point)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_and_all_cores_are_always_among_the_levels() {
        assert_eq!(thread_levels(1), [1]);
        assert_eq!(thread_levels(2), [1, 2]);
        assert_eq!(thread_levels(4), [1, 2, 3, 4]);
        assert_eq!(thread_levels(6), [1, 2, 3, 6]);
        assert_eq!(thread_levels(8), [1, 2, 4, 8]);
        assert_eq!(thread_levels(16), [1, 4, 8, 16]);
        assert_eq!(thread_levels(96), [1, 24, 48, 96]);
        for cores in 1..=1_024 {
            let levels = thread_levels(cores);
            assert!(levels.len() <= MAX_LEVELS && levels.is_sorted_by(|one, next| one < next));
            assert_eq!((levels[0], levels.last()), (1, Some(&cores)));
            assert!(levels.iter().all(|level| thread_counts(cores).contains(level)));
        }
    }
}
