//! Budgets: limits that apply whatever the base is, in a file that is committed and reviewed like code.
//!
//! A budget on a count applies everywhere. A budget on a gain names a machine key and applies only there.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    counts::{BuildCounts, CaseCounts},
    package::Package,
    protocol::GateCase,
    revision::RevisionError,
    verdict::Breach,
};
use crate::{
    count_causes::HeadlineCounts,
    result_file::{ResultError, write_atomically},
    results::Run,
    statistics::Interval,
};
use worthit_pair::{case::CaseKey, format, trial::Role};

/// Name of the budgets file, which is beside `Cargo.toml`.
pub const FILE: &str = "budgets.toml";
/// Version of the file's format.
const VERSION: u64 = 1;
/// Comment at the top of the file.
const HEAD: &str = "\
# Budgets of the gate: limits that apply whatever a change is compared with. Written by `worthit budgets`;
# review changes to this file like changes to code.

";

/// Contents of the budgets file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budgets {
    /// Version of the file's format.
    pub version: u64,
    /// Budgets on counts.
    #[serde(default)]
    pub count: Vec<CountBudget>,
    /// Budgets on gains.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gain: Vec<GainBudget>,
}

/// Maximum count of a cause on the optimized side.
// The fields of the case's key are written out, because an error in a flattened field lacks its line number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CountBudget {
    /// Id of the pair.
    pub pair: String,
    /// Label of the level; empty if the pair has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub level: String,
    /// Value on the axis.
    pub point: u64,
    /// Seed of the input.
    pub seed: u64,
    /// Id of the cause.
    pub cause: String,
    /// Maximum count in one iteration, as the mean over the inputs.
    pub at_most: f64,
}

/// Minimum gain of a pair on one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GainBudget {
    /// Machine key.
    pub machine: String,
    /// Id of the pair.
    pub pair: String,
    /// Label of the level; empty if the pair has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub level: String,
    /// Value on the axis.
    pub point: u64,
    /// Seed of the input.
    pub seed: u64,
    /// Minimum gain.
    pub at_least: f64,
}

/// Budgets that a gate enforces.
#[derive(Clone, Debug)]
pub struct Enforced {
    /// All budgets.
    pub budgets: Budgets,
    /// Pairs whose budgets on counts are not those of the base.
    ///
    /// Of the other pairs, those that depend on nothing that has changed met their budgets with the base.
    pub changed: BTreeSet<String>,
}

impl Enforced {
    /// Enforces the budgets on counts of all pairs, because those of the base may have been met with other files.
    pub fn enforce_all(&mut self) {
        self.changed = self.budgets.changed_pairs(None);
    }
}

/// Reason why the budgets file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BudgetsError {
    /// The file that was asked for does not exist.
    #[error("there is no file {}; `worthit budgets --file {}` writes it", _0.display(), _0.display())]
    Missing(PathBuf),
    /// The package whose budgets to use cannot be determined.
    #[error("{0}; or name the budgets file (`--file FILE`)")]
    NoPackage(RevisionError),
    /// The file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// The file is malformed.
    #[error("{} is broken: {problem}Fix it, or rewrite it with `worthit budgets`", path.display())]
    Broken {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong, and where.
        problem: String,
    },
    /// The file has the name that an older version gave it.
    #[error("{} is now called {}: rename it", old.display(), path.display())]
    OldName {
        /// Path of the existing file.
        old: PathBuf,
        /// Its new path.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] ResultError),
}

impl Budgets {
    /// Reads the file that was asked for, by default the one beside the manifest in `package`. Returns the budgets and
    /// the file's path, or `None` if there is no such file beside the manifest.
    ///
    /// # Errors
    /// If the file cannot be read or is malformed, or the one that was asked for does not exist.
    pub fn of_package(
        package: &Path,
        asked: Option<&Path>,
    ) -> Result<Option<(PathBuf, Budgets)>, BudgetsError> {
        let file = asked.map_or_else(|| package.join(FILE), Path::to_owned);
        let budgets = Budgets::load(&file)?;
        match (budgets, asked) {
            (None, Some(asked)) => Err(BudgetsError::Missing(asked.to_owned())),
            (budgets, _) => Ok(budgets.map(|budgets| (file, budgets))),
        }
    }

    /// Returns the pairs whose budgets on counts are not those of the base.
    pub fn changed_pairs(&self, base: Option<&Budgets>) -> BTreeSet<String> {
        let of_pair = |budgets: &Budgets, pair: &str| {
            let own = budgets.count.iter().filter(|budget| budget.pair == pair);
            own.cloned().collect::<Vec<CountBudget>>()
        };
        let is_changed =
            |pair: &&String| base.is_none_or(|base| of_pair(self, pair) != of_pair(base, pair));
        self.count.iter().map(|budget| &budget.pair).filter(is_changed).cloned().collect()
    }

    /// Returns the path of the file beside the manifest of the running command's package.
    ///
    /// # Errors
    /// If that package is not known.
    pub fn default_path() -> Result<PathBuf, BudgetsError> {
        let package = Package::of_this_command().map_err(BudgetsError::NoPackage)?;
        Ok(package.folder.join(FILE))
    }

    /// Reads the file; returns `None` if there is none.
    ///
    /// # Errors
    /// If the file cannot be read or is malformed.
    pub fn load(path: &Path) -> Result<Option<Budgets>, BudgetsError> {
        match fs::read(path) {
            Ok(bytes) => Budgets::parse(&bytes, path).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let old = path.with_file_name("floors.toml");
                if old.exists() {
                    Err(BudgetsError::OldName { old, path: path.to_owned() })
                } else {
                    Ok(None)
                }
            }
            Err(error) => Err(BudgetsError::Read { path: path.to_owned(), error }),
        }
    }

    /// Parses the contents of the file at `path`.
    ///
    /// # Errors
    /// If they are malformed.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Budgets, BudgetsError> {
        let broken = |problem: String| BudgetsError::Broken { path: path.to_owned(), problem };
        let budgets: Budgets =
            toml::from_slice(bytes).map_err(|error| broken(error.to_string()))?;
        if budgets.version != VERSION {
            return Err(broken(format!(
                "it has version {}, but this worthit reads version {VERSION}. ",
                budgets.version
            )));
        }
        match budgets.gain.iter().find(|gain| !(gain.at_least > 0.0 && gain.at_least.is_finite())) {
            Some(gain) => {
                Err(broken(format!("gain of {}: {} is not a gain. ", gain.pair, gain.at_least)))
            }
            None => Ok(budgets),
        }
    }

    /// Writes the file atomically.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), BudgetsError> {
        let text = HEAD.to_owned() + &toml::to_string(self).unwrap_or_default();
        let write = |error| ResultError::Write { path: path.to_owned(), error };
        Ok(write_atomically(path, text.as_bytes()).map_err(write)?)
    }

    /// Returns budgets that equal the current counts of the causes that the pairs name; keeps the gains of `known`.
    pub fn of_counts(
        known: Option<Budgets>,
        cases: &[GateCase],
        found: &[HeadlineCounts],
    ) -> Budgets {
        let count = cases.iter().flat_map(|case| {
            let end = found.iter().find(|end| end.id == case.key.pair);
            let optimized =
                end.and_then(|end| end.sides.iter().find(|(r, _)| *r == Role::Optimized));
            case.causes.iter().filter_map(move |cause| {
                let CaseKey { pair, level, point } = case.key.clone();
                let (seed, cause) = (case.seed, cause.clone());
                let at_most = mean(optimized?.1.get_by_id(&cause)?, end?.inputs);
                Some(CountBudget { pair, level, point, seed, cause, at_most })
            })
        });
        let gain = known.map(|budgets| budgets.gain).unwrap_or_default();
        Budgets { version: VERSION, count: count.collect(), gain }
    }

    /// Sets budgets on the gains of a run at the pairs' headlines.
    ///
    /// Each is the lower end of the gain's confidence interval, reduced by the share `margin`. The budgets of other
    /// machines stay.
    pub fn set_gains(&mut self, run: &Run, cases: &[GateCase], margin: f64) {
        self.gain.retain(|gain| gain.machine != run.machine.key);
        for case in cases {
            let pair = run.pairs.get(&case.key.pair);
            let headline = pair.and_then(|pair| pair.case(&case.key.level, case.key.point));
            let measured =
                headline.and_then(|case| case.measured()).filter(|found| found.mark.is_none());
            let Some(measured) = measured.filter(|_| run.seed == case.seed) else { continue };
            let CaseKey { pair, level, point } = case.key.clone();
            self.gain.push(GainBudget {
                machine: run.machine.key.clone(),
                pair,
                level,
                point,
                seed: case.seed,
                at_least: two_digits(measured.gain.low * (1.0 - margin)),
            });
        }
    }

    /// Returns the counts of a case that exceed their budgets, and notes on budgets for another case.
    ///
    /// The counts are sums over `inputs`.
    pub fn judge_counts(
        &self,
        case: &GateCase,
        counts: &CaseCounts,
        inputs: u64,
    ) -> (Vec<Breach>, Vec<String>) {
        let (mut breaches, mut notes) = (Vec::new(), Vec::new());
        for budget in self.count.iter().filter(|budget| budget.pair == case.key.pair) {
            let set_for = (budget.level.as_str(), budget.point, budget.seed);
            if set_for != (case.key.level.as_str(), case.key.point, case.seed) {
                let CountBudget { pair, point, .. } = budget;
                notes.push(format!(
                    "the budgets of {pair} are for {}, which is no longer the headline; \
                     rewrite them with `worthit budgets`",
                    format::count(*point)
                ));
                continue;
            }
            let counted = counts.get(&(Role::Optimized, budget.cause.clone()));
            let counted = counted.map(|counted| mean(counted.least, inputs));
            if let Some(counted) = counted.filter(|counted| *counted > budget.at_most) {
                breaches.push(Breach {
                    what: format!(
                        "budget: at most {} {}, but {}",
                        format::number(budget.at_most),
                        budget.cause.replace('_', " "),
                        format::number(counted)
                    ),
                });
            }
        }
        notes.dedup();
        (breaches, notes)
    }

    /// Returns the budgets on the gain of a case on this machine.
    pub fn gains_here<'a>(
        &'a self,
        machine: &'a str,
        case: &'a GateCase,
    ) -> impl Iterator<Item = &'a GainBudget> {
        self.gain.iter().filter(move |budget| {
            budget.machine == machine
                && budget.pair == case.key.pair
                && budget.level == case.key.level
                && budget.point == case.key.point
                && budget.seed == case.seed
        })
    }
}

impl GainBudget {
    /// Returns a breach if the whole confidence interval of a gain is below the budget.
    pub fn judge(&self, gain: &Interval) -> Option<Breach> {
        (gain.high < self.at_least).then(|| Breach {
            what: format!(
                "budget: a gain of at least {}, but {}",
                format::times(self.at_least),
                gain.as_gain()
            ),
        })
    }
}

/// Mean count of an iteration, of a sum over `inputs`. Equal sums over as many inputs have equal means.
fn mean(sum: u64, inputs: u64) -> f64 {
    sum as f64 / inputs.max(1) as f64
}

/// Rounds down to two significant digits.
fn two_digits(value: f64) -> f64 {
    let unit = 10_f64.powi(value.log10().floor() as i32 - 1);
    let cut = (value / unit).floor() * unit;
    format!("{cut:.6}").parse().unwrap_or(cut)
}

/// Returns the head's counts that exceed their budgets, by pair id, and notes for the reader.
pub fn judge(
    budgets: &Budgets,
    cases: &[GateCase],
    counts: &BuildCounts,
) -> (Vec<(String, Breach)>, Vec<String>) {
    let (mut breaches, mut notes) = (Vec::new(), Vec::new());
    for case in cases {
        let Some(found) = counts.by_pair.get(&case.key.pair) else { continue };
        let inputs = counts.iterations(&case.key.pair, "");
        let (case_breaches, case_notes) = budgets.judge_counts(case, found, inputs);
        breaches.extend(case_breaches.into_iter().map(|breach| (case.key.pair.clone(), breach)));
        notes.extend(case_notes);
    }
    (breaches, notes)
}

#[cfg(test)]
mod tests {
    use super::{
        super::verdict::{Counted, tests::case},
        *,
    };
    use worthit_pair::causes::{Cause, Counts};

    fn counted(statements: u64) -> CaseCounts {
        let key = (Role::Optimized, "statements".to_owned());
        CaseCounts::from([(key, Counted::once(statements))])
    }

    fn budgets() -> Budgets {
        let mut counts = Counts::default();
        counts.set(Cause::new("statements", "statements"), 3);
        counts.set(Cause::new("allocations", "allocations"), 9);
        let sides = vec![(Role::Optimized, counts)];
        let id = "a/b".to_owned();
        let end = HeadlineCounts { id, inputs: 2, sides, threads: 1, answer: None, problem: None };
        Budgets::of_counts(None, &[case("a/b", &["statements"])], &[end])
    }

    #[test]
    fn budgets_are_written_for_named_causes_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        assert_eq!(Budgets::load(&path).unwrap(), None);
        let mut budgets = budgets();
        assert_eq!((budgets.count.len(), budgets.count[0].at_most), (1, 1.5));
        budgets.gain.push(GainBudget {
            machine: "some-cpu".to_owned(),
            pair: "a/b".to_owned(),
            level: "zipf".to_owned(),
            point: 100,
            seed: 42,
            at_least: 1.5,
        });
        budgets.save(&path).unwrap();
        assert_eq!(Budgets::load(&path).unwrap(), Some(budgets));
        assert!(fs::read_to_string(&path).unwrap().starts_with("# Budgets of the gate"));
    }

    #[test]
    fn a_count_above_its_budget_is_a_breach() {
        let budgets = budgets();
        let headline = case("a/b", &[]);
        assert_eq!(budgets.judge_counts(&headline, &counted(3), 2), (vec![], vec![]));
        let (breaches, _) = budgets.judge_counts(&headline, &counted(4), 2);
        assert_eq!(breaches[0].what, "budget: at most 1.50 statements, but 2");
        let mut other = headline.clone();
        other.key.point = 200;
        let (breaches, notes) = budgets.judge_counts(&other, &counted(4), 2);
        assert!(breaches.is_empty() && notes[0].contains("no longer the headline"), "{notes:?}");
    }

    #[test]
    fn a_gain_is_a_breach_if_its_whole_interval_is_below_the_budget() {
        let budget = GainBudget {
            machine: "here".to_owned(),
            pair: "a/b".to_owned(),
            level: String::new(),
            point: 100,
            seed: 42,
            at_least: 2.0,
        };
        let gain = |high| Interval { low: 1.0, estimate: 1.5, high };
        assert_eq!(budget.judge(&gain(2.0)), None);
        assert!(budget.judge(&gain(1.9)).is_some());
        let budgets = Budgets { version: VERSION, count: vec![], gain: vec![budget] };
        let headline = case("a/b", &[]);
        assert_eq!(budgets.gains_here("here", &headline).count(), 1);
        assert_eq!(budgets.gains_here("elsewhere", &headline).count(), 0);
    }

    #[test]
    fn a_malformed_file_is_reported_with_the_line() {
        let parse = |text: &str| {
            Budgets::parse(text.as_bytes(), Path::new("budgets.toml")).unwrap_err().to_string()
        };
        let message = parse("version = 1\n[[count]]\npair = 7\n");
        assert!(
            message.contains("budgets.toml is broken") && message.contains("line 3"),
            "{message}"
        );
        assert!(parse("version = 2\n").contains("version 2"));
        assert!(parse("version = 1\nfloor = 3\n").contains("unknown field"));
        let gain =
            "version = 1\n[[gain]]\nmachine='x'\npair='a/b'\npoint=1\nseed=1\nat_least=-1.0\n";
        assert!(parse(gain).contains("-1 is not a gain"), "{}", parse(gain));
    }

    #[test]
    fn budgets_have_two_digits_rounded_down() {
        assert_eq!([312.9, 1.999, 0.0456].map(two_digits), [310.0, 1.9, 0.045]);
    }
}
