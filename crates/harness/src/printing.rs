//! Prints to the terminal, a pipe or a file. If the reader of a pipe goes away (`| head`), the run continues.

use std::io::{self, Write};

/// Prints to standard output. Ignores errors: a closed pipe must not stop a run whose results are recorded.
pub fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
}

/// Prints to standard error, as [`print`] does to standard output.
pub fn print_aside(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Prints a message of the suite to standard error.
pub fn say(message: &str) {
    print_aside(&format!("worthit: {message}\n"));
}
