//! Prints to the terminal, or to what stands in for it. The reader of a pipe may go away (`| head`); that stops nothing.

use std::io::{self, Write};

/// Prints to standard output. Whoever closes it reads no more; what is measured is still recorded.
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
