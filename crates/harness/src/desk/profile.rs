//! The share of a function in a profile, from folded stacks: a line for each stack, its frames from the outermost to the
//! innermost with semicolons between them, then a space and the number of samples. `perf script | inferno-collapse-perf`
//! writes them, and most profilers can.

use std::collections::BTreeSet;

use super::amdahl::Share;

/// Why a profile says nothing about a function.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// A line is no folded stack.
    #[error(
        "line {line} of the profile is no folded stack (`main;parse;next 42`): make one with `perf script | inferno-collapse-perf`"
    )]
    NotFolded {
        /// Its number, from 1.
        line: usize,
    },
    /// There is no sample.
    #[error(
        "the profile has no sample: record one with `perf record -g`, then `perf script | inferno-collapse-perf`"
    )]
    Empty,
    /// No frame has the name.
    #[error("no stack of the profile has a function like `{0}`{1}")]
    Unknown(String, String),
    /// Several functions have the name.
    #[error("`{asked}` may be {}: name one in full", functions.join(", "))]
    Ambiguous {
        /// The name that was asked for.
        asked: String,
        /// The functions that have it.
        functions: Vec<String>,
    },
}

/// Samples of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Within {
    /// Number of samples in which it was running or had called what was.
    pub samples: u64,
    /// Number of all samples.
    pub of: u64,
}

impl Within {
    /// Returns the share of the samples.
    ///
    /// # Panics
    /// Never: they are a part of all, of which there is one at least.
    pub fn share(self) -> Share {
        Share::of(self.samples as f64 / self.of as f64).expect("they are a part of all")
    }
}

/// Returns the samples in which a function was running or had called what was.
///
/// A frame belongs to the function if it has its name, or ends with it after `::`: `parse` is `json::parse`. Generic arguments,
/// hashes and `{{closure}}` at a frame's end do not matter.
///
/// # Errors
/// If the profile is not folded, or has no such function, or several.
pub fn samples_of(folded: &str, function: &str) -> Result<Within, ProfileError> {
    let mut stacks = Vec::new();
    for (number, line) in folded.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let not_folded = ProfileError::NotFolded { line: number + 1 };
        let (stack, samples) = line.trim().rsplit_once(' ').ok_or(not_folded.clone())?;
        let samples: u64 = samples.parse().map_err(|_| not_folded)?;
        stacks.push((stack, samples));
    }
    let is_exact = |frame: &str| frame == function || without_arguments(frame) == function;
    let all_frames = || stacks.iter().flat_map(|(stack, _)| frames(stack));
    let has_exact = all_frames().any(is_exact);
    let is_wanted = |frame: &&str| if has_exact { is_exact(frame) } else { is_of(frame, function) };
    let (mut of, mut samples) = (0_u64, 0_u64);
    let mut functions: BTreeSet<&str> = BTreeSet::new();
    for (stack, count) in &stacks {
        of = of.saturating_add(*count);
        let own: Vec<&str> = frames(stack).filter(is_wanted).collect();
        if !own.is_empty() {
            samples = samples.saturating_add(*count);
            functions.extend(own.into_iter().map(without_arguments));
        }
    }
    if of == 0 {
        return Err(ProfileError::Empty);
    }
    if functions.len() > 1 {
        let functions = functions.into_iter().map(str::to_owned).collect();
        return Err(ProfileError::Ambiguous { asked: function.to_owned(), functions });
    }
    if functions.is_empty() {
        let alike = |frame: &str| strsim::jaro_winkler(last_of(frame), last_of(function));
        let nearest = all_frames().max_by(|left, right| alike(left).total_cmp(&alike(right)));
        let hint = nearest.map_or(String::new(), |frame| format!("; did you mean `{frame}`?"));
        return Err(ProfileError::Unknown(function.to_owned(), hint));
    }
    Ok(Within { samples, of })
}

/// The frames of a stack, from the outermost.
fn frames(stack: &str) -> impl Iterator<Item = &str> {
    stack.split(';').map(name_of)
}

/// Returns a frame without what compilers and profilers add: `parse::{{closure}}`, `parse::h0123456789abcdef` and `parse_[k]`.
fn name_of(frame: &str) -> &str {
    let frame = frame.trim().trim_end_matches("_[k]").trim_end_matches("_[j]");
    let frame = match frame.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 && hash.chars().all(|c| c.is_ascii_hexdigit()) => {
            name
        }
        _ => frame,
    };
    frame.trim_end_matches("::{{closure}}")
}

/// Returns a name without generic arguments at its end: `sort<u64>` and `sort::<u64>` are `sort`.
fn without_arguments(frame: &str) -> &str {
    if !frame.ends_with('>') {
        return frame;
    }
    let mut depth = 0_usize;
    for (place, byte) in frame.bytes().enumerate().rev() {
        match byte {
            // An arrow ends no list.
            b'>' if place == 0 || frame.as_bytes()[place - 1] != b'-' => depth += 1,
            b'<' if depth == 1 && place > 0 => return frame[..place].trim_end_matches("::"),
            b'<' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    frame
}

/// Whether a frame is the function: with or without its path and generic arguments.
fn is_of(frame: &str, function: &str) -> bool {
    let matches = |frame: &str| {
        frame == function || frame.strip_suffix(function).is_some_and(|path| path.ends_with("::"))
    };
    matches(frame) || matches(without_arguments(frame))
}

fn last_of(path: &str) -> &str {
    path.rsplit("::").next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDED: &str = "main;app::serve;json::parse::h0123456789abcdef;memcpy 30\n\
        main;app::serve;json::parse::h0123456789abcdef;json::parse::h0123456789abcdef 10\n\
        main;app::serve;sort<u64> 20\n\nmain;do_syscall_64_[k] 40\n";

    fn share(function: &str) -> Option<f64> {
        samples_of(FOLDED, function).ok().map(|within| within.share().get())
    }

    #[test]
    fn a_function_has_the_samples_of_what_it_calls_once_for_each_stack() {
        for (function, expected) in [
            ("json::parse", 0.4),
            ("parse", 0.4),
            ("main", 1.0),
            ("sort", 0.2),
            ("sort<u64>", 0.2),
            ("do_syscall_64", 0.4),
            ("memcpy", 0.3),
        ] {
            assert_eq!(share(function), Some(expected), "{function}");
        }
        assert_eq!(share("arse"), None);
        assert_eq!(samples_of(FOLDED, "parse"), Ok(Within { samples: 40, of: 100 }));
    }

    #[test]
    fn the_code_of_an_async_function_is_its_closure() {
        let folded = "main;orders::load::{{closure}}::{{closure}}::h0123456789abcdef 3\nmain 1\n";
        assert_eq!(samples_of(folded, "load"), Ok(Within { samples: 3, of: 4 }));
    }

    #[test]
    fn several_functions_of_one_name_are_told_apart() {
        let folded = "main;orders::load 1\nmain;config::load 2\nmain;load 4\n";
        let said = samples_of("main;orders::load 1\nmain;config::load 2\n", "load").unwrap_err();
        assert_eq!(said.to_string(), "`load` may be config::load, orders::load: name one in full");
        assert_eq!(samples_of(folded, "orders::load"), Ok(Within { samples: 1, of: 7 }));
        // One that is called just that is meant alone.
        assert_eq!(samples_of(folded, "load"), Ok(Within { samples: 4, of: 7 }));
    }

    #[test]
    fn generic_arguments_within_a_path_are_no_end_of_it() {
        let folded =
            "main;alloc::vec::Vec<T,A>::push 1\nmain;f<fn(u8)->u8> 2\nmain;<A as B>::f 4\n";
        for (function, samples) in [("push", 1), ("f<fn(u8)->u8>", 2), ("<A as B>::f", 4)] {
            assert_eq!(samples_of(folded, function), Ok(Within { samples, of: 7 }), "{function}");
        }
        assert!(samples_of(folded, "Vec").is_err(), "a type is no function");
    }

    #[test]
    fn counts_beyond_all_bounds_are_no_panic() {
        let folded = "a 18446744073709551615\nb 2\n";
        assert_eq!(samples_of(folded, "a").unwrap().share().get(), 1.0);
        assert!(samples_of("a 18446744073709551616\n", "a").is_err());
        assert_eq!(samples_of("a 0\n", "a"), Err(ProfileError::Empty));
    }

    #[test]
    fn what_is_no_profile_and_what_is_not_in_it_are_errors_that_help() {
        let said = |folded: &str, function| samples_of(folded, function).unwrap_err().to_string();
        assert!(said("main;x 3\nmain;y\n", "x").contains("line 2"));
        assert!(said("{\"traceEvents\": []}", "x").contains("line 1"));
        assert!(said("", "x").contains("no sample"));
        assert!(said(FOLDED, "prase").contains("did you mean `json::parse`?"));
    }
}
