//! One of the two builds: its cases, and the bench binary of each case.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    build::Build,
    client::{Worker, WorkerError},
    protocol::GateCase,
    revision::Revision,
    timing::Program,
};
use worthit_pair::trial::Role;

/// A build and its cases.
#[derive(Debug)]
pub struct BuildUnderTest {
    /// Revision that was built.
    pub revision: Revision,
    /// Binaries of the build.
    pub build: Build,
    /// Cases, in the order of the bench binaries.
    pub cases: Vec<GateCase>,
    /// Name of the bench that has each pair.
    benches: BTreeMap<String, String>,
    /// Names of bench binaries that do not serve the gate, each with the reason.
    pub silent: Vec<(String, WorkerError)>,
}

impl BuildUnderTest {
    /// Asks every bench binary of a build for its cases.
    pub fn new(revision: Revision, build: Build, seed: u64) -> BuildUnderTest {
        let (mut cases, mut benches, mut silent) = (Vec::new(), BTreeMap::new(), Vec::new());
        for (name, path) in &build.benches {
            match Worker::start(path).and_then(|mut worker| worker.cases(seed)) {
                Ok(found) => {
                    let ids = found.iter().map(|case| (case.key.pair.clone(), name.clone()));
                    benches.extend(ids);
                    cases.extend(found);
                }
                Err(error) => silent.push((name.clone(), error)),
            }
        }
        BuildUnderTest { revision, build, cases, benches, silent }
    }

    /// Returns the same build as if it had no pairs, in place of that of a revision without any.
    pub fn without_pairs(&self, revision: Revision) -> BuildUnderTest {
        let (cases, benches, silent) = (Vec::new(), BTreeMap::new(), Vec::new());
        BuildUnderTest { revision, build: self.build.clone(), cases, benches, silent }
    }

    /// Returns the optimized side of a case, for timing.
    pub fn optimized<'a>(&'a self, case: &'a GateCase) -> Program<'a> {
        Program::new(self.program(&case.key.pair), case, Role::Optimized)
    }

    /// Returns the path of the bench binary that has a pair.
    ///
    /// # Panics
    /// If this build does not have the pair.
    pub fn program(&self, id: &str) -> &PathBuf {
        &self.build.benches[&self.benches[id]]
    }

    /// Returns the first thing that a pair depends on and that differs in another build; `None` if nothing does.
    ///
    /// # Panics
    /// If either build does not have the pair.
    pub fn difference(&self, other: &BuildUnderTest, id: &str) -> Option<String> {
        let (bench, other_bench) = (&self.benches[id], &other.benches[id]);
        if bench != other_bench {
            return Some(format!("the bench {other_bench}"));
        }
        self.build.dependencies.difference(&other.build.dependencies, id, bench)
    }
}
