//! Tests of what needs processes of its own, which only a `main` like this one can start: that of other tests is libtest's.

use std::{env, process::ExitCode};

use worthit::CATALOGUE;
use worthit_pair::helper;

mod leftovers;
mod sale;

const TESTS: [(&str, fn()); 2] = [
    ("a_sale_in_processes", sale::a_sale_in_processes),
    ("pairs_leave_nothing_behind", leftovers::pairs_leave_nothing_behind),
];

fn main() -> ExitCode {
    if let Some(status) = helper::run(&CATALOGUE) {
        return status;
    }
    // As libtest does: a word chooses tests, and a list names them.
    let words = || env::args().skip(1).filter(|word| !word.starts_with('-'));
    let is_list = env::args().any(|word| word == "--list");
    for (name, test) in TESTS {
        match words().all(|word| name.contains(&word)) {
            true if is_list => println!("{name}: test"),
            true => test(),
            false => {}
        }
    }
    ExitCode::SUCCESS
}
