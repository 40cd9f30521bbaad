//! One of the two builds: its cases, and the bench binary that has each.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    client::{Worker, WorkerError},
    protocol::GateCase,
    revision::{Build, Revision},
    timing::Program,
};
use worthit_pair::trial::Role;

/// A build, and what is known of it.
#[derive(Debug)]
pub struct BuildUnderTest {
    /// The revision.
    pub revision: Revision,
    /// Its binaries.
    pub build: Build,
    /// Its cases, in the order of its bench binaries.
    pub cases: Vec<GateCase>,
    programs: BTreeMap<String, PathBuf>,
    /// Bench binaries that do not serve the gate, and why.
    pub silent: Vec<(String, WorkerError)>,
}

impl BuildUnderTest {
    /// Asks every bench binary of a build for its cases.
    pub fn new(revision: Revision, build: Build, seed: u64) -> BuildUnderTest {
        let (mut cases, mut programs, mut silent) = (Vec::new(), BTreeMap::new(), Vec::new());
        for (name, path) in &build.benches {
            match Worker::start(path).and_then(|mut worker| worker.cases(seed)) {
                Ok(found) => {
                    let ids = found.iter().map(|case| (case.key.pair.clone(), path.clone()));
                    programs.extend(ids);
                    cases.extend(found);
                }
                Err(error) => silent.push((name.clone(), error)),
            }
        }
        BuildUnderTest { revision, build, cases, programs, silent }
    }

    /// The optimized side of a case, to be timed.
    pub fn optimized<'a>(&'a self, case: &'a GateCase) -> Program<'a> {
        Program::new(self.program(&case.key.pair), case, Role::Optimized)
    }

    /// The bench binary that has a pair.
    ///
    /// # Panics
    /// If none of this build's cases has the id.
    pub fn program(&self, id: &str) -> &PathBuf {
        &self.programs[id]
    }
}
