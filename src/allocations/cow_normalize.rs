//! Normalize texts that mostly need it not: return those as they are, and make a new one only for the others.

use std::borrow::Cow;

use rand::{Rng, RngExt, seq::SliceRandom};

use crate::fixtures::share;
use worthit_pair::prelude::*;

/// Paths in one iteration; a multiple of 100, so that each share is exact.
const PATHS: u64 = 1_000;

/// Inputs in the rotation.
const TURNS: u64 = 8;

/// Mean length of a path in bytes.
const MEAN_LENGTH: u64 = 45;

pub const PAIR: Pair = Pair {
    title: "Return a Cow where most texts stay as they are",
    review: Review {
        smell: "A function that cleans a text up and returns `String`, as `fn normalized(path: &str) -> String`, where \
                most of what it is given is clean.",
        remedy: "Return `Cow<'_, str>`: `Cow::Borrowed(path)` unless `path.contains('\\\\')`, else \
                 `Cow::Owned(path.replace('\\\\', \"/\"))`. Callers that only read go on as before.",
        keep_naive_when: "Many texts change: each of those is then looked at once to decide and once more to be copied. \
                          Or the caller keeps the text anyway, and needs a `String`.",
        costs: "A lifetime in the type that the function returns, and two cases for whoever takes it apart. The test \
                must be cheap and must never overlook a text that needs the change. Where the crate memchr is at hand, \
                its search makes the test quicker; that is the alternative.",
        lint: Lint::None,
    },
    naive: Side { summary: "replace, which makes a String of each path", growth: Growth::Constant },
    optimized: Side {
        summary: "a Cow that borrows what has nothing to replace",
        growth: Growth::Other("rises with the share of paths that change"),
    },
    input: "1,000 paths of about 20 to 80 bytes from the list of an archive, in which exactly the stated share was packed \
            with backslashes. They are shuffled, and lists alternate. Each path is made to have slashes and is then \
            appended to a listing.",
    axis: Axis {
        name: "share changed",
        unit: "%",
        is_size: false,
        points: Points::Fixed { default: &[0, 1, 10, 30, 60, 100], deep: &[] },
    },
    unit: "path",
    headline: Headline::At { level: "", point: 1 },
    alternatives: &[SideBeside { name: "memchr", summary: "the same with memchr as the test" }],
    causes: &[Claim {
        cause: causes::ALLOCATIONS,
        // The listing is one more.
        naive: Count::Exactly(|_| 1 + PATHS),
        optimized: Count::Exactly(|case| 1 + PATHS * case.point / 100),
    }],
    explanation: Explanation {
        why: "`replace` makes a new String even if there is nothing to replace: an allocation, a copy and a free. The Cow \
              pays for a search instead, which reads the path once. Both sides also append to the listing, which keeps the \
              gain far below the ratio of allocations. A path that changes costs the search on top, and where both kinds \
              are frequent the processor cannot predict which one comes. The optimized side is far from its limit, because \
              each short path is a search and a copy of its own.",
        share_of_cause: ShareOfCause::Within(0.008, 0.04),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::From(30),
    },
    traps: &[
        &Trap {
            name: "the paths are a few bytes",
            reason: "copying them costs nothing, and the search ends before it has begun",
            check: |inputs: &[Vec<String>]| {
                let bytes: usize = inputs.iter().flatten().map(String::len).sum();
                let paths: usize = inputs.iter().map(Vec::len).sum();
                ensure(bytes >= 30 * paths, || format!("{bytes} bytes in {paths} paths"))
            },
            sprung: || vec![vec!["a\\b".to_owned(); 100]],
        },
        &Trap {
            name: "a predictor knows which paths change",
            reason: "they would come sorted, or the same paths again and again",
            check: |inputs: &[Vec<String>]| {
                let kinds = |paths: &Vec<String>| paths.iter().map(|path| is_clean(path)).collect();
                share::unpredictable(inputs.iter().map(kinds))
            },
            sprung: || {
                let sorted = |turn| {
                    let mut paths = input(&Case { turn, ..Case::realistic(30, 0, 1) });
                    paths.sort_by_key(|path| is_clean(path));
                    paths
                };
                (0..8).map(sorted).collect()
            },
        },
    ],
    limit: Limit::Work(&[Work::StreamedInTurn {
        // Read and written.
        bytes: |_| 2 * PATHS * MEAN_LENGTH,
        within_bytes: |_| TURNS * PATHS * 2 * MEAN_LENGTH,
    }]),
    prepare,
    ..Pair::DEFAULTS
};

/// The listing of these paths with slashes, one a line.
fn naive(paths: &[String]) -> String {
    fn normalized(path: &str) -> String {
        path.replace('\\', "/")
    }
    let mut listing = String::with_capacity(length(paths));
    for path in paths {
        listing.push_str(&normalized(path));
        listing.push('\n');
    }
    listing
}

/// The listing of these paths with slashes, one a line.
fn optimized(paths: &[String]) -> String {
    fn normalized(path: &str) -> Cow<'_, str> {
        if path.contains('\\') { Cow::Owned(path.replace('\\', "/")) } else { Cow::Borrowed(path) }
    }
    let mut listing = String::with_capacity(length(paths));
    for path in paths {
        listing.push_str(&normalized(path));
        listing.push('\n');
    }
    listing
}

/// The listing of these paths with slashes, one a line.
fn memchr(paths: &[String]) -> String {
    fn normalized(path: &str) -> Cow<'_, str> {
        match memchr::memchr(b'\\', path.as_bytes()) {
            Some(_) => Cow::Owned(path.replace('\\', "/")),
            None => Cow::Borrowed(path),
        }
    }
    let mut listing = String::with_capacity(length(paths));
    for path in paths {
        listing.push_str(&normalized(path));
        listing.push('\n');
    }
    listing
}

/// Bytes of a listing.
fn length(paths: &[String]) -> usize {
    paths.iter().map(|path| path.len() + 1).sum()
}

fn is_clean(path: &str) -> bool {
    !path.contains('\\')
}

/// A path with `separator` between its names.
fn path(case: &Case, separator: char, rng: &mut impl Rng) -> String {
    const NAMES: [&str; 12] = [
        "src",
        "assets",
        "node_modules",
        "tests",
        "images",
        "de",
        "build-2026",
        "vendor",
        "utils",
        "components",
        "index",
        "fixtures",
    ];
    const HOSTILE: [&str; 6] = ["", "für", "日本", "🙂", "C:", "\u{0}"];
    let names: &[&str] = if case.shape == Shape::Adversarial { &HOSTILE } else { &NAMES };
    let mut path = String::new();
    for _ in 0..rng.random_range(2..=6) {
        path.push_str(names[rng.random_range(0..names.len())]);
        path.push(separator);
    }
    if case.shape == Shape::Realistic {
        path.push_str(&format!("{:08x}-{}.rs", rng.random::<u32>(), rng.random_range(1..2_000)));
    }
    path
}

fn input(case: &Case) -> Vec<String> {
    let mut rng = case.rng("paths");
    let (count, changed) = share::exact(case, PATHS);
    let separator = |i| if i < changed { '\\' } else { '/' };
    let mut paths: Vec<String> = (0..count).map(|i| path(case, separator(i), &mut rng)).collect();
    if case.shape != Shape::Sorted {
        paths.shuffle(&mut rng);
    }
    paths
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(TURNS, input);
    let units = inputs[0].len() as u64;
    let over =
        |side: fn(&[String]) -> String| by_ref(&inputs, move |paths: &Vec<String>| side(paths));
    let measured = inputs.measured(|paths| share::percent(paths, |path| !is_clean(path)));
    Ok(Trial::new(measured, over(naive), over(optimized)).alternative(over(memchr)).units(units))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let listed = |paths: &[&str]| {
            let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
            [naive(&paths), optimized(&paths), memchr(&paths)]
        };
        assert_eq!(listed(&[]), [""; 3]);
        assert_eq!(listed(&["", "\\", "a/b"]), ["\n/\na/b\n"; 3]);
        assert_eq!(listed(&["C:\\tmp/x\\", "日本\\🙂"]), ["C:/tmp/x/\n日本/🙂\n"; 3]);
        // The last byte of a long path, beyond any vector.
        let long = "x".repeat(100);
        assert_eq!(listed(&[&format!("{long}\\")]), [&*format!("{long}/\n"); 3]);
    }
}
