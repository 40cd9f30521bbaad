//! The servers of the pairs in a process: started before they are needed, handed on, ended with it, named in results.

use std::process::Command;

use serde::{Deserialize, Serialize};

use worthit_pair::{family::Entry, paths, study::Study};
use worthit_servers::{Origin, Program};

/// Starts the servers that pairs use. Where one is missing, preparing the pair says why.
pub fn start_for<'a>(entries: impl IntoIterator<Item = &'a Entry>) {
    worthit_servers::start_all(entries.into_iter().flat_map(|entry| entry.servers).copied());
}

/// Starts the servers with these names in the gate's protocol.
pub fn start_named<'a>(names: impl IntoIterator<Item = &'a str>) {
    worthit_servers::start_all(names.into_iter().filter_map(Program::named));
}

/// Lets a process that is about to be started use the servers of this one.
pub fn hand_on(command: &mut Command) -> &mut Command {
    command.envs(worthit_servers::handed_on())
}

/// Ends the servers of this process and removes its temporary folders.
pub fn clean_up() {
    worthit_servers::end_all();
    paths::remove_own();
}

/// A server that was used, as results name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedServer {
    /// What it is: "Redis".
    pub program: String,
    /// Its version, as it says.
    pub version: String,
    /// Whether it was one of the user's own, named by its address, and not started by the suite.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_own: bool,
    /// The server that is not installed, for which this stands in, in the process: "PostgreSQL".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<String>,
}

impl UsedServer {
    /// Returns a sentence: "Server: Redis 7.0.15, started for the run on loopback."
    pub fn in_words(&self) -> String {
        let whose = match self.is_own {
            true => "one of your own",
            false => "started for the run on loopback",
        };
        // A server that is the user's own may tell its version only to clients.
        let name = format!("{} {}", self.program, self.version);
        match self.instead_of {
            Some(_) => format!("Instead of a server: {name}, in the process."),
            None => format!("Server: {}, {whose}.", name.trim_end()),
        }
    }

    /// Returns a sentence if it stands in for a server: "It ran on SQLite 3.50.2, as PostgreSQL is not installed."
    pub fn as_stand_in(&self) -> Option<String> {
        let UsedServer { program, version, instead_of, .. } = self;
        let missing = instead_of.as_ref()?;
        Some(format!("It ran on {program} {version}, as {missing} is not installed."))
    }
}

/// Returns those of these servers that there are.
pub fn used(programs: &[Program]) -> Vec<UsedServer> {
    let found = programs.iter().filter_map(|program| worthit_servers::server(*program).ok());
    let used = found.map(|server| UsedServer {
        program: server.program.to_string(),
        version: server.version.clone(),
        is_own: server.origin == Origin::Given,
        instead_of: None,
    });
    used.collect()
}

/// Returns the servers that a study uses here, or what stands in for them.
pub fn used_by_study(study: &Study) -> Vec<UsedServer> {
    let Some((stand_in, missing)) = study.stand_in() else { return used(study.servers) };
    vec![UsedServer {
        program: stand_in.name.to_owned(),
        version: (stand_in.version)().to_owned(),
        is_own: false,
        instead_of: Some(missing.to_string()),
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_reads_well() {
        let words = |program: &str, version: &str, is_own| {
            let (program, version) = (program.to_owned(), version.to_owned());
            UsedServer { program, version, is_own, instead_of: None }.in_words()
        };
        assert_eq!(
            words("sharded PostgreSQL", "15.18", false),
            "Server: sharded PostgreSQL 15.18, started for the run on loopback."
        );
        assert_eq!(words("PostgreSQL", "", true), "Server: PostgreSQL, one of your own.");
        let stand_in = UsedServer {
            program: "SQLite".to_owned(),
            version: "3.50.2".to_owned(),
            is_own: false,
            instead_of: Some("PostgreSQL".to_owned()),
        };
        let sentence = "It ran on SQLite 3.50.2, as PostgreSQL is not installed.";
        assert_eq!(stand_in.as_stand_in().as_deref(), Some(sentence));
        assert_eq!(stand_in.in_words(), "Instead of a server: SQLite 3.50.2, in the process.");
    }
}
