//! Which cases of a pair a run measures, and what they are called.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    family::Entry,
    pair::{Case, Level, Levels, Origin, Pair, Parameter, logical_cores, thread_counts},
    trial::Role,
};

/// How much of each sweep is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The two ends.
    Ends,
    /// The two ends and the middle.
    Quick,
    /// Every default point.
    Default,
    /// The larger points too.
    Deep,
}

/// The name of a case, in results, protocols and files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CaseKey {
    /// Id of the pair.
    pub pair: String,
    /// Label of the parameter's value; empty if the pair has no parameter.
    #[serde(default)]
    pub level: String,
    /// Value on the axis.
    pub point: u64,
}

impl CaseKey {
    /// Criterion's group of the case: `queries/n_plus_one/loopback`.
    pub fn group(&self) -> String {
        group_id(&self.pair, &self.level)
    }
}

/// `queries/n_plus_one/loopback at 256`.
impl fmt::Display for CaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.group(), self.point)
    }
}

/// A case with its name.
#[derive(Clone, Debug)]
pub struct NamedCase {
    /// What `prepare` gets.
    pub case: Case,
    /// Its name.
    pub key: CaseKey,
}

impl NamedCase {
    /// The case of `entry` that is timed at `point` of a level.
    fn new(entry: &Entry, level: &LevelOf, point: u64, seed: u64) -> NamedCase {
        let case = Case::realistic(point, level.value, seed);
        let key = CaseKey { pair: entry.id.to_owned(), level: level.label.clone(), point };
        NamedCase { case, key }
    }
}

/// Points of the axis within `extent`, ascending.
pub fn points(entry: &Entry, extent: Extent) -> Vec<u64> {
    let mut points = entry.axis.points.default_points();
    match extent {
        Extent::Deep => points.extend(entry.axis.points.deep_points()),
        Extent::Default => {}
        Extent::Quick => points = thin(&points, &[0, points.len() / 2, points.len() - 1]),
        Extent::Ends => points = thin(&points, &[0, points.len() - 1]),
    }
    points
}

fn thin(points: &[u64], kept: &[usize]) -> Vec<u64> {
    let mut thinned: Vec<u64> = kept.iter().map(|place| points[*place]).collect();
    thinned.dedup();
    thinned
}

/// Values of the parameter with their labels, all origins; one without a label if there is no
/// parameter.
pub fn levels(pair: &Pair) -> Vec<LevelOf> {
    match pair.parameter.as_ref() {
        None => vec![LevelOf { label: String::new(), value: 0, level: None }],
        Some(Parameter { levels: Levels::Fixed(levels), .. }) => levels
            .iter()
            .map(|level| LevelOf {
                label: level.label.to_owned(),
                value: level.value,
                level: Some(level),
            })
            .collect(),
        Some(Parameter { name, levels: Levels::Threads }) => {
            let counts = thread_counts(logical_cores());
            counts[counts.len().saturating_sub(4)..]
                .iter()
                .map(|count| LevelOf {
                    label: format!("{name}={count}"),
                    value: *count,
                    level: None,
                })
                .collect()
        }
    }
}

/// One value of a parameter on this machine.
#[derive(Debug)]
pub struct LevelOf {
    /// As written in ids; empty without a parameter.
    pub label: String,
    /// What `prepare` reads.
    pub value: u64,
    level: Option<&'static Level>,
}

impl LevelOf {
    /// Whether it is measured at `point`.
    pub fn is_measured_at(&self, point: u64) -> bool {
        self.level.is_none_or(|level| match level.origin {
            Origin::Measured => true,
            Origin::Distance { confirmed_at, .. } => confirmed_at.contains(&point),
        })
    }

    /// The distance in µs, if its figures are computed.
    pub fn distance_us(&self) -> Option<u64> {
        match self.level?.origin {
            Origin::Distance { rtt_us, .. } => Some(rtt_us),
            _ => None,
        }
    }
}

/// The measured cases of a pair within `extent`: by level, then ascending in the axis.
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

/// The case at the far end of a pair: the last point of its last level whose figures are measured.
pub fn far_end(entry: &Entry, seed: u64) -> Option<NamedCase> {
    let levels = levels(entry);
    let level = levels.iter().rfind(|level| level.distance_us().is_none())?;
    let point = *points(entry, Extent::Default).last()?;
    Some(NamedCase::new(entry, level, point, seed))
}

/// Criterion's group of a level: `queries/n_plus_one/loopback`.
pub fn group_id(pair: &str, level: &str) -> String {
    if level.is_empty() { pair.to_owned() } else { format!("{pair}/{level}") }
}

/// What a side is called in ids: `naive`, `optimized`, or the name of the peer crate.
pub fn side_name(entry: &Entry, role: Role) -> &'static str {
    match role {
        Role::Naive => "naive",
        Role::Optimized => "optimized",
        Role::Peer => entry.peer.unwrap_or("peer"),
    }
}

/// The sides of a pair.
pub fn roles(entry: &Entry) -> Vec<Role> {
    let peer = entry.peer.map(|_| Role::Peer);
    [Role::Naive, Role::Optimized].into_iter().chain(peer).collect()
}

/// Criterion's id of one benchmark: `queries/n_plus_one/loopback/naive/256`.
pub fn benchmark_id(entry: &Entry, case: &NamedCase, role: Role) -> String {
    format!("{}/{}/{}", case.key.group(), side_name(entry, role), case.key.point)
}
