//! The cases of a pair that a run measures, and their names.

use crate::{
    case::{Case, CaseKey},
    family::Entry,
    pair::{Headline, Level, Levels, Origin, Pair, Parameter, Points, SideBeside},
    threads,
    trial::Role,
};

/// How much of each sweep to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The near end and the headline's point, of which the table speaks; the far end if these are the same.
    Quick,
    /// Both ends, and the headline's point.
    Ends,
    /// Every default point.
    Default,
    /// Every default point and the larger ones.
    Deep,
}

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
    let headline = headline_point(entry);
    let last = match entry.axis.points {
        Points::Threads => headline,
        Points::Fixed { .. } => points[points.len() - 1],
    };
    let near = points[0];
    let kept = match extent {
        Extent::Quick if headline == near => [near, last, last],
        Extent::Quick => [near, headline, headline],
        Extent::Ends => [near, headline, last],
        Extent::Default => return points,
        Extent::Deep => {
            points.extend(entry.axis.points.deep_points());
            return points;
        }
    };
    points.retain(|point| kept.contains(point));
    points
}

/// Returns the point of the case that a pair speaks of where it may name only one.
fn headline_point(pair: &Pair) -> u64 {
    match pair.headline {
        Headline::At { point, .. } | Headline::AllCoresOf(point) => point,
        Headline::AllCoresAt(_) => threads::all_cores(&pair.axis.points.default_points()),
    }
}

/// Returns all levels of a pair on this machine, measured and computed. Without a parameter, this is a single level
/// with an empty label.
pub fn levels(pair: &Pair) -> Vec<ResolvedLevel> {
    match pair.parameter.as_ref() {
        None => vec![ResolvedLevel {
            label: String::new(),
            value: 0,
            level: None,
            measured_only_at: None,
        }],
        Some(Parameter { levels: Levels::Fixed(levels), .. }) => levels
            .iter()
            .map(|level| ResolvedLevel {
                label: level.label.to_owned(),
                value: level.value,
                level: Some(level),
                measured_only_at: None,
            })
            .collect(),
        Some(Parameter { name, levels: Levels::Threads }) => {
            let level = |count| ResolvedLevel {
                label: format!("{name}={count}"),
                value: count,
                level: None,
                measured_only_at: threads::is_oversubscribed(count).then(|| headline_point(pair)),
            };
            threads::levels().into_iter().map(level).collect()
        }
    }
}

/// One value of the parameter, resolved for this machine.
#[derive(Debug)]
pub struct ResolvedLevel {
    /// The label in ids; empty if there is no parameter.
    pub label: String,
    /// The value that `prepare` reads.
    pub value: u64,
    level: Option<&'static Level>,
    /// The one point that is measured, if the level is oversubscribed.
    measured_only_at: Option<u64>,
}

impl ResolvedLevel {
    /// Returns whether this level is measured at `point`.
    pub fn is_measured_at(&self, point: u64) -> bool {
        if let Some(only) = self.measured_only_at {
            return point == only;
        }
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
    let spoken_of = headline(entry, seed).key.level;
    let mut cases = Vec::new();
    let is_left_out =
        |level: &ResolvedLevel| extent == Extent::Quick && level.measured_only_at.is_some();
    for level in levels(entry).into_iter().filter(|level| !is_left_out(level)) {
        let is_measured = |point: &&u64| {
            // More threads than cores are shown once.
            let is_beside =
                matches!(entry.axis.points, Points::Threads) && level.label != spoken_of;
            level.is_measured_at(**point) && !(is_beside && threads::is_oversubscribed(**point))
        };
        for point in points.iter().filter(is_measured) {
            cases.push(NamedCase::new(entry, &level, *point, seed));
        }
    }
    cases
}

/// Returns the case that a pair speaks of where it may name only one.
pub fn headline(entry: &Entry, seed: u64) -> NamedCase {
    let levels = levels(entry);
    let labelled = |label| levels.iter().find(|level| level.label == label);
    let missing = |label| panic!("{}: the headline's level `{label}` does not exist", entry.id);
    let level = match entry.headline {
        Headline::At { level, .. } | Headline::AllCoresAt(level) => {
            labelled(level).unwrap_or_else(|| missing(level))
        }
        Headline::AllCoresOf(_) => {
            let counts: Vec<u64> = levels.iter().map(|level| level.value).collect();
            let all = threads::all_cores(&counts);
            levels.iter().find(|level| level.value == all).expect("it is one of them")
        }
    };
    NamedCase::new(entry, level, headline_point(entry), seed)
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
