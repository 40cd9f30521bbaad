//! Compile a regular expression once, not in the loop that uses it.

use std::{collections::HashSet, sync::LazyLock};

use rand::RngExt;
use regex::{Captures, Regex};

use crate::fixtures::log_lines::log_lines;
use worthit_pair::{causes::Event, prelude::*};

pub const PAIR: Pair = Pair {
    title: "Compile a regular expression once",
    review: Review {
        smell: "`Regex::new(\"…\")` in a loop, or in a function that is called for each line, row or request.",
        remedy: "`static REQUEST: LazyLock<Regex> = LazyLock::new(…)`, and `REQUEST.captures(line)` in the loop.",
        keep_naive_when: "The pattern is not known before the program runs, because a user enters it: then compile it \
                          before the loop, as the alternative does. A program that searches one line and ends gains \
                          nothing either way.",
        costs: "The compiled pattern, and the scratch space of each thread that searches with it, stay in memory \
                until the process ends. An invalid pattern panics at the first search and not where the program \
                starts, so a test has to search with each static.",
        lint: Lint::Default("clippy::regex_creation_in_loops"),
    },
    naive: Side { summary: "Regex::new for each line", growth: Growth::Linear },
    optimized: Side { summary: "Regex in a LazyLock", growth: Growth::Linear },
    input: "Lines of a service's log, of about 110 bytes, from which the status and the duration of the request are \
            taken. Nearly every line has both, so the search does not end early. The process has compiled the static \
            pattern before it is timed, as a service has after its first request.",
    axis: Axis {
        name: "lines",
        unit: "lines",
        is_size: true,
        points: Points::Fixed { default: &[1, 4, 12, 40], deep: &[400] },
    },
    unit: "line",
    headline: Headline::At { level: "", point: 12 },
    alternatives: &[SideBeside {
        name: "before_the_loop",
        summary: "Regex::new once in each call, before the loop",
    }],
    causes: &[Claim {
        cause: causes::COMPUTATIONS,
        naive: Count::Exactly(|case| case.point),
        optimized: Count::Exactly(|_| 0),
    }],
    explanation: Explanation {
        why: "A compilation parses the pattern and builds automata from it. `\\d` alone stands for the digits of all \
              scripts of Unicode, each of which becomes states. That takes far longer than a search in one line, and \
              the static pays for it once in the life of the process, so the gain is the same for one line as for \
              many. Where the pattern is compiled before the loop, each call still pays once, so its gain begins at \
              none and grows with the lines.",
        share_of_cause: ShareOfCause::NoRatio(
            "the static was compiled before the first call that is counted",
        ),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[
        &Trap {
            name: "no line matches",
            reason: "the search would look for the literal before the digits and find none, which is the cheapest search",
            check: |inputs: &[Vec<String>]| {
                let matching: usize =
                    inputs.iter().map(|lines| optimized(lines).iter().flatten().count()).sum();
                let lines: usize = inputs.iter().map(Vec::len).sum();
                ensure(matching * 10 >= lines * 9, || format!("{matching} of {lines} lines match"))
            },
            sprung: || vec![vec!["GET /health".to_owned(); 100]],
        },
        &Trap {
            name: "the same lines come again",
            reason: "a predictor would learn where the match is in each of them",
            check: |inputs: &[Vec<String>]| {
                let distinct: HashSet<&String> = inputs.iter().flatten().collect();
                ensure(distinct.len() >= 4_000, || format!("{} distinct lines", distinct.len()))
            },
            sprung: || vec![input(&Case::realistic(12, 0, 1)); 500],
        },
    ],
    limit: Limit::None("the searches take all of the time, and no machine number bounds those"),
    // Unoptimized, as in tests, a compilation takes milliseconds.
    proof: Proof { resources: Resources::Memory, max_size: 12 },
    prepare,
    ..Pair::DEFAULTS
};

/// Status and duration in µs, if a line has both and they fit.
type Request = Option<(u64, u64)>;

/// The request of each line.
#[expect(clippy::regex_creation_in_loops, reason = "the smell that the card describes")]
fn naive(lines: &[String]) -> Vec<Request> {
    let mut requests = Vec::with_capacity(lines.len());
    for line in lines {
        causes::count(Event::Computation, 1);
        let request = Regex::new(r"status=(\d{3}) took_us=(\d+)").expect("a valid pattern");
        requests.push(request.captures(line).and_then(parsed));
    }
    requests
}

static REQUEST: LazyLock<Regex> = LazyLock::new(|| {
    causes::count(Event::Computation, 1);
    Regex::new(r"status=(\d{3}) took_us=(\d+)").expect("a valid pattern")
});

/// The request of each line.
fn optimized(lines: &[String]) -> Vec<Request> {
    let mut requests = Vec::with_capacity(lines.len());
    for line in lines {
        requests.push(REQUEST.captures(line).and_then(parsed));
    }
    requests
}

/// The request of each line.
fn before_the_loop(lines: &[String]) -> Vec<Request> {
    causes::count(Event::Computation, 1);
    let request = Regex::new(r"status=(\d{3}) took_us=(\d+)").expect("a valid pattern");
    let mut requests = Vec::with_capacity(lines.len());
    for line in lines {
        requests.push(request.captures(line).and_then(parsed));
    }
    requests
}

/// Digits of other scripts match `\d` but are no number to `parse`.
fn parsed(found: Captures<'_>) -> Request {
    Some((found[1].parse().ok()?, found[2].parse().ok()?))
}

fn input(case: &Case) -> Vec<String> {
    // A line of a realistic log has at most 251 bytes with its end. Other shapes may have longer ones and so too few
    // lines; the rest is empty.
    let count = case.point as usize;
    let text = |line: Vec<u8>| String::from_utf8_lossy(&line).into_owned();
    let mut lines: Vec<String> = log_lines(case, count * 256).into_iter().map(text).collect();
    lines.resize(count, String::new());
    if case.shape == Shape::Adversarial {
        let hostile = [
            "status=200 took_us=99999999999999999999",
            "status=٢٠٠ took_us=٣",
            "status=200 took_us=",
            "status=20 took_us=1 status=503 took_us=٧",
            "äöüstatus=503 took_us=18446744073709551615äöü",
        ];
        let mut rng = case.rng("hostile");
        lines.fill_with(|| hostile[rng.random_range(0..hostile.len())].to_owned());
    }
    lines
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    // A service compiles it at its first request; later requests are timed.
    LazyLock::force(&REQUEST);
    let inputs = case.rotate((4_096 / case.point.max(1)).max(4) + 1, input);
    Ok(Trial::new(
        inputs.measured(|lines| lines.len() as u64),
        by_ref(&inputs, |lines: &Vec<String>| naive(lines)),
        by_ref(&inputs, |lines: &Vec<String>| optimized(lines)),
    )
    .alternative(by_ref(&inputs, |lines: &Vec<String>| before_the_loop(lines)))
    .units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        for requests in [naive, optimized, before_the_loop] {
            let lines = [
                "INFO GET /orders/7 status=200 took_us=815 cache=miss\n",
                "WARN GET /search/1 status=503 took_us=40000\n",
                "INFO status=200",
                "",
                "status=2000 took_us=1",
                "status=200 took_us=99999999999999999999",
                "status=٢٠٠ took_us=٣",
                "status=404 took_us=1 status=200 took_us=2",
            ];
            let expected = [
                Some((200, 815)),
                Some((503, 40_000)),
                None,
                None,
                None,
                None,
                None,
                Some((404, 1)),
            ];
            assert_eq!(requests(&lines.map(str::to_owned)), expected);
            assert!(requests(&[]).is_empty());
        }
    }
}
