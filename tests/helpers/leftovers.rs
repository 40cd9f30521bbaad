//! A pair leaves nothing behind: once its case is dropped, its descriptors, threads, child processes and files are gone.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use procfs::process::Process;

use worthit::CATALOGUE;
use worthit_pair::{
    cases::{self, Extent},
    family::Entry,
    paths,
    proof::has_servers,
};

/// What this process holds.
#[derive(Debug)]
struct Holdings {
    descriptors: usize,
    threads: usize,
    children: BTreeSet<u32>,
    files: BTreeSet<String>,
}

impl Holdings {
    fn now() -> Holdings {
        let this = Process::myself().expect("it runs");
        let tasks = this.tasks().expect("it has threads").flatten();
        let own = format!("-{}-", std::process::id());
        let files = fs::read_dir(paths::data()).into_iter().flatten().flatten();
        let names = files.map(|entry| entry.file_name().to_string_lossy().into_owned());
        Holdings {
            descriptors: this.fd_count().expect("it may look at its descriptors"),
            threads: this.stat().expect("it has a state").num_threads as usize,
            children: tasks.flat_map(|task| task.children().unwrap_or_default()).collect(),
            files: names.filter(|name| name.contains(&own)).collect(),
        }
    }

    fn exceed(&self, before: &Holdings) -> bool {
        self.descriptors > before.descriptors
            || self.threads > before.threads
            || !self.children.is_subset(&before.children)
            || !self.files.is_subset(&before.files)
    }
}

/// Runs the ends of a pair's sweep, each side once on each input.
fn run(entry: &Entry) {
    for case in cases::measured(entry, Extent::Ends, 42) {
        match (entry.prepare)(&case.case) {
            Ok(mut trial) => trial.prove(case.case.point).unwrap_or_else(|e| panic!("{e}")),
            Err(unavailable) => eprintln!("{}: {unavailable}", case.key),
        }
    }
}

pub fn pairs_leave_nothing_behind() {
    let families = ["io", "parallelism", "hardware", "batching"];
    let chosen = CATALOGUE.iter().filter(|family| families.contains(&family.name));
    for entry in chosen.flat_map(|family| family.pairs) {
        if !has_servers(entry.servers, entry.id) {
            continue;
        }
        // What is made once for a process stays.
        run(entry);
        let before = Holdings::now();
        run(entry);
        // A pool lets its threads go without waiting for them.
        let patience = Instant::now() + Duration::from_secs(60);
        loop {
            let after = Holdings::now();
            if !after.exceed(&before) {
                break;
            }
            assert!(Instant::now() < patience, "{}: {before:?} became {after:?}", entry.id);
            std::thread::yield_now();
        }
    }
}
