//! The share of a function in a profile, from folded stacks: a line for each stack, its frames from the outermost to the
//! innermost with semicolons between them, then a space and the number of samples. `perf script | inferno-collapse-perf`
//! writes them, and most profilers can.

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
    #[error("the profile has no sample")]
    Empty,
    /// No frame has the name.
    #[error("no stack of the profile has a function like `{0}`{1}")]
    Unknown(String, String),
}

/// Returns the share of the samples in which a function was running or had called what was.
///
/// A frame belongs to the function if it has its name, or ends with it after `::`: `parse` is the share of
/// `json::parse`. Generic arguments and hashes at a frame's end do not matter.
///
/// # Errors
/// If the profile is not folded, or has no such function.
pub fn share_of(folded: &str, function: &str) -> Result<Share, ProfileError> {
    let (mut total, mut within) = (0_u64, 0_u64);
    let mut nearest: Option<(f64, &str)> = None;
    for (number, line) in folded.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let not_folded = ProfileError::NotFolded { line: number + 1 };
        let (stack, samples) = line.trim().rsplit_once(' ').ok_or(not_folded.clone())?;
        let samples: u64 = samples.parse().map_err(|_| not_folded)?;
        total += samples;
        if stack.split(';').any(|frame| is_of(name_of(frame), function)) {
            within += samples;
        } else if within == 0 {
            let frames = stack.split(';').map(name_of);
            let alike = frames
                .map(|frame| (strsim::jaro_winkler(last_of(frame), last_of(function)), frame));
            let best = alike.max_by(|(left, _), (right, _)| left.total_cmp(right));
            nearest = nearest
                .into_iter()
                .chain(best)
                .max_by(|(left, _), (right, _)| left.total_cmp(right));
        }
    }
    match (total, within) {
        (0, _) => Err(ProfileError::Empty),
        (_, 0) => {
            let hint =
                nearest.map_or(String::new(), |(_, frame)| format!("; did you mean `{frame}`?"));
            Err(ProfileError::Unknown(function.to_owned(), hint))
        }
        _ => Ok(Share::of(within as f64 / total as f64).expect("it is a part of the total")),
    }
}

/// Returns a frame without what profilers add: `parse::h0123456789abcdef` and `parse_[k]`.
fn name_of(frame: &str) -> &str {
    let frame = frame.trim().trim_end_matches("_[k]").trim_end_matches("_[j]");
    match frame.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 && hash.chars().all(|c| c.is_ascii_hexdigit()) => {
            name
        }
        _ => frame,
    }
}

/// Whether a frame is the function: with or without its path and generic arguments.
fn is_of(frame: &str, function: &str) -> bool {
    let matches = |frame: &str| {
        frame == function || frame.strip_suffix(function).is_some_and(|path| path.ends_with("::"))
    };
    matches(frame)
        || frame
            .find('<')
            .filter(|place| *place > 0)
            .is_some_and(|place| matches(frame[..place].trim_end_matches("::")))
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
        share_of(FOLDED, function).ok().map(Share::get)
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
    }

    #[test]
    fn what_is_no_profile_and_what_is_not_in_it_are_errors_that_help() {
        let said = |folded: &str, function| share_of(folded, function).unwrap_err().to_string();
        assert!(said("main;x 3\nmain;y\n", "x").contains("line 2"));
        assert!(said("{\"traceEvents\": []}", "x").contains("line 1"));
        assert!(said("", "x").contains("no sample"));
        assert!(said(FOLDED, "prase").contains("did you mean `json::parse`?"));
    }
}
