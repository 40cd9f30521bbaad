//! The flags of a bench binary: criterion's, libtest's and the suite's own.
//!
//! One parser knows them all, so that an unknown flag or value is refused with a list of all flags, and what `cargo
//! test` and its relatives hand on is accepted. Criterion reads the process's arguments itself and knows only its own
//! flags, so the binary executes itself again with [`Flags::for_criterion`] (see `startup.rs`).

use std::fmt;

use clap::{ArgAction, Parser, builder::FalseyValueParser};
use regex::Regex;

use worthit_pair::threads;

/// The seed of all inputs unless another one is asked for.
const SEED: u64 = 42;

/// Numbers of threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Threads(pub Vec<u64>);

/// Prints them as they are asked for: `1,2,4`.
impl fmt::Display for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<String> = self.0.iter().map(u64::to_string).collect();
        f.write_str(&counts.join(","))
    }
}

/// Parsed flags.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "cargo bench --",
    about = "Benchmarks pairs of a naive and an optimized implementation; accepts criterion's flags too.",
    disable_version_flag = true,
    after_help = "The report is written to reports/index.html. `cargo run --release -- list` lists the pairs."
)]
pub struct Flags {
    /// Run only benchmarks whose id matches one of these regular expressions.
    #[arg(value_name = "FILTER")]
    pub filters: Vec<String>,
    /// Repeat the run in R processes, one after another; use 5 or more, so that the intervals include the
    /// variance between processes.
    #[arg(long, value_name = "R", env = "WORTHIT_ROUNDS", help_heading = "worthit", value_parser = rounds)]
    pub rounds: Option<u32>,
    /// Also measure the larger points, which take long.
    #[arg(long, env = "WORTHIT_DEEP", help_heading = "worthit", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub deep: bool,
    /// Seed of all generated inputs.
    #[arg(long, env = "WORTHIT_SEED", help_heading = "worthit", default_value_t = SEED, value_parser = seed)]
    pub seed: u64,
    /// Measure only the near end and the headline of each sweep, briefly, and no peers and alternatives.
    ///
    /// This is not criterion's --quick, which takes two samples of at least 100 ms in total.
    #[arg(long, env = "WORTHIT_QUICK", help_heading = "worthit", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub quick: bool,
    /// Measure pairs that vary their number of threads on these: ascending, separated by commas.
    #[arg(long, value_name = "LIST", env = threads::VARIABLE, help_heading = "worthit", value_parser = threads_of)]
    pub threads: Option<Threads>,
    /// Apply the fixes of a study in this order: their names, separated by commas, or `other` for another order of its own.
    #[arg(long, value_name = "FIXES", help_heading = "worthit")]
    pub order: Option<String>,
    /// Serve the gate on standard input and output.
    #[arg(long, hide = true)]
    pub gate_worker: bool,
    /// Run each benchmark once, at the two ends of its sweep, to check that it works.
    #[arg(long, conflicts_with_all = ["list", "profile_time"])]
    test: bool,
    #[arg(long, hide = true)]
    bench: bool,
    /// List the benchmarks.
    #[arg(long, conflicts_with = "profile_time")]
    list: bool,
    /// Format of the list.
    #[arg(long, value_parser = ["pretty", "terse", "json", "junit"], hide_possible_values = true)]
    format: Option<String>,
    /// Run only the benchmarks whose id is a filter.
    #[arg(long)]
    exact: bool,
    /// Leave out benchmarks whose id matches this regular expression; may be repeated.
    #[arg(long, value_name = "FILTER")]
    skip: Vec<String>,
    #[arg(long, hide = true)]
    ignored: bool,
    /// Color criterion's output.
    #[arg(short, long, alias = "colour", value_parser = ["auto", "always", "never"])]
    color: Option<String>,
    /// Print criterion's own lines and statistics too.
    #[arg(short, long)]
    pub verbose: bool,
    /// Do not print a line for each case.
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Skip criterion's plots and pages.
    #[arg(short, long)]
    noplot: bool,
    /// Save criterion's results under a name.
    #[arg(short, long, value_parser = baseline)]
    save_baseline: Option<String>,
    /// Discard criterion's results.
    #[arg(long, conflicts_with_all = ["save_baseline", "baseline", "baseline_lenient"])]
    discard_baseline: bool,
    /// Compare criterion's results with a saved baseline.
    #[arg(short, long, value_parser = baseline, conflicts_with_all = ["save_baseline", "baseline_lenient"])]
    pub baseline: Option<String>,
    /// Like --baseline, but benchmarks may lack the baseline.
    #[arg(long, value_parser = baseline, conflicts_with = "save_baseline")]
    baseline_lenient: Option<String>,
    /// Load criterion's results from a saved baseline instead of measuring.
    #[arg(long, value_parser = baseline, requires = "baseline", conflicts_with = "profile_time")]
    pub load_baseline: Option<String>,
    /// Run each benchmark for SECONDS, for a profiler; runs only the selected side.
    #[arg(long, value_name = "SECONDS", value_parser = profile_seconds)]
    pub profile_time: Option<f64>,
    /// Criterion's number of samples, 10 or more; by default it depends on the duration of an iteration.
    #[arg(long, value_parser = clap::value_parser!(u32).range(10..))]
    pub sample_size: Option<u32>,
    /// Duration of the warm-up, in seconds.
    #[arg(long, value_parser = seconds)]
    pub warm_up_time: Option<f64>,
    /// Measurement time of each benchmark, in seconds; by default it depends on the precision reached.
    #[arg(long, value_parser = seconds)]
    pub measurement_time: Option<f64>,
    /// Criterion's number of resamples.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    nresamples: Option<u32>,
    /// Criterion's noise threshold.
    #[arg(long, value_parser = positive)]
    noise_threshold: Option<f64>,
    /// Criterion's confidence level.
    #[arg(long, value_parser = between_0_and_1)]
    confidence_level: Option<f64>,
    /// Criterion's significance level.
    #[arg(long, value_parser = between_0_and_1)]
    significance_level: Option<f64>,
    /// Criterion's plotting backend.
    #[arg(long, value_parser = ["gnuplot", "plotters"])]
    pub plotting_backend: Option<String>,
    /// Output format: criterion's, or lines as `cargo bench` of libtest prints them, which other tools read.
    #[arg(long, value_parser = ["criterion", "bencher"])]
    output_format: Option<String>,
    // What libtest accepts, and what test runners hand on. Each is accepted and has no effect here: benchmarks run one
    // after another and print what they print.
    #[arg(long, hide = true)]
    test_threads: Option<String>,
    #[arg(long, hide = true, alias = "no-capture")]
    nocapture: bool,
    #[arg(long, hide = true)]
    show_output: bool,
    #[arg(long, hide = true)]
    include_ignored: bool,
    #[arg(long, hide = true)]
    report_time: bool,
    #[arg(long, hide = true)]
    shuffle: bool,
    #[arg(long, hide = true)]
    shuffle_seed: Option<String>,
    #[arg(long, hide = true)]
    logfile: Option<String>,
    #[arg(short = 'Z', hide = true)]
    unstable: Vec<String>,
}

/// Reads a number of rounds. An empty variable counts as unset.
fn rounds(text: &str) -> Result<u32, String> {
    match text.parse() {
        _ if text.is_empty() => Ok(1),
        Ok(rounds @ 1..=1000) => Ok(rounds),
        _ => Err("expected a number from 1 to 1000".to_owned()),
    }
}

/// Reads numbers of threads. An empty variable counts as unset.
fn threads_of(text: &str) -> Result<Threads, String> {
    if text.is_empty() { Ok(Threads(Vec::new())) } else { threads::parse(text).map(Threads) }
}

/// Reads a seed. An empty variable counts as unset.
fn seed(text: &str) -> Result<u64, String> {
    if text.is_empty() {
        return Ok(SEED);
    }
    text.parse().map_err(|_| "expected a whole number from 0 to 2^64 − 1".to_owned())
}

/// Reads the name of a baseline, which becomes the name of a folder.
fn baseline(text: &str) -> Result<String, String> {
    let is_name =
        !text.is_empty() && text != "." && text != ".." && !text.contains(['/', '\\', '\0']);
    is_name.then(|| text.to_owned()).ok_or_else(|| "expected a name without slashes".to_owned())
}

fn number(text: &str, is_allowed: fn(f64) -> bool, expected: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| is_allowed(*number));
    number.ok_or_else(|| format!("expected {expected}"))
}

fn seconds(text: &str) -> Result<f64, String> {
    // Criterion refuses less than a nanosecond. A day is an arbitrary upper limit.
    number(text, |s| (1e-9..=86_400.0).contains(&s), "a number of seconds above 0, such as 0.5")
}

fn profile_seconds(text: &str) -> Result<f64, String> {
    number(text, |s| (1.0..=86_400.0).contains(&s), "a number of seconds, 1 or more")
}

fn positive(text: &str) -> Result<f64, String> {
    number(text, |n| n > 0.0 && n.is_finite(), "a number above 0")
}

fn between_0_and_1(text: &str) -> Result<f64, String> {
    number(text, |n| n > 0.0 && n < 1.0, "a number between 0 and 1")
}

/// Purpose of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Measure.
    Measure,
    /// Run each side once.
    Test,
    /// List the benchmarks.
    List,
    /// Run the selected side for a profiler, or load earlier results; measure nothing.
    Unmeasured,
}

/// Which of criterion's own lines a reader asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CriterionLines {
    /// None: the suite prints a line for each case.
    Errors,
    /// Criterion's results, such as its comparison with a baseline.
    Results,
    /// Everything, including its progress.
    All,
}

impl Flags {
    /// Purpose of the process, by criterion's rules.
    pub fn mode(&self) -> Mode {
        if self.list {
            Mode::List
        } else if self.test || !self.bench {
            Mode::Test
        } else if self.profile_time.is_some() || self.load_baseline.is_some() || self.ignored {
            Mode::Unmeasured
        } else {
            Mode::Measure
        }
    }

    /// Returns whether this is a test run (`cargo test --benches`, `--test`), which runs the ends of each sweep, or
    /// lists the benchmarks of one.
    pub fn is_for_tests(&self) -> bool {
        self.test || !self.bench
    }

    /// Returns which benchmarks the filters select.
    ///
    /// # Errors
    /// If a filter is not a regular expression.
    pub fn selector(&self) -> Result<Selector, regex::Error> {
        let patterns = |texts: &[String]| -> Result<Vec<Regex>, regex::Error> {
            let exactly = |text: &String| format!("^(?:{})$", regex::escape(text));
            let pattern = |text| if self.exact { exactly(text) } else { text.clone() };
            texts.iter().map(|text| Regex::new(&pattern(text))).collect()
        };
        Ok(Selector {
            ignored_only: self.ignored,
            filters: patterns(&self.filters)?,
            skipped: patterns(&self.skip)?,
        })
    }

    /// Returns whether a filter was given.
    pub fn is_filtered(&self) -> bool {
        !self.filters.is_empty() || !self.skip.is_empty()
    }

    /// Returns which of criterion's own lines are printed. Its comparison with a baseline is always one of them.
    pub fn criterion_lines(&self) -> CriterionLines {
        let compares = self.baseline.is_some() || self.baseline_lenient.is_some();
        if self.verbose || self.profile_time.is_some() {
            CriterionLines::All
        } else if compares || self.is_for_bencher() {
            CriterionLines::Results
        } else {
            CriterionLines::Errors
        }
    }

    /// Returns whether standard output is for a program that reads libtest's benchmark lines.
    pub fn is_for_bencher(&self) -> bool {
        self.output_format.as_deref() == Some("bencher")
    }

    /// Returns the arguments for criterion, which selects nothing by itself: it is called only for what is selected.
    pub fn for_criterion(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        for (flag, is_set) in [
            ("--bench", self.bench),
            ("--test", self.test),
            ("--list", self.list),
            ("--verbose", self.verbose),
            ("--noplot", self.noplot),
            ("--discard-baseline", self.discard_baseline),
        ] {
            arguments.extend(is_set.then(|| flag.to_owned()));
        }
        let text = |value: Option<f64>| value.map(|value| value.to_string());
        let count = |value: Option<u32>| value.map(|value| value.to_string());
        for (flag, value) in [
            ("--color", self.color.clone()),
            ("--save-baseline", self.save_baseline.clone()),
            ("--baseline", self.baseline.clone()),
            ("--baseline-lenient", self.baseline_lenient.clone()),
            ("--load-baseline", self.load_baseline.clone()),
            ("--profile-time", text(self.profile_time)),
            ("--sample-size", count(self.sample_size)),
            ("--warm-up-time", text(self.warm_up_time)),
            ("--measurement-time", text(self.measurement_time)),
            ("--nresamples", count(self.nresamples)),
            ("--noise-threshold", text(self.noise_threshold)),
            ("--confidence-level", text(self.confidence_level)),
            ("--significance-level", text(self.significance_level)),
            ("--plotting-backend", self.plotting_backend.clone()),
            ("--output-format", self.output_format.clone()),
        ] {
            arguments.extend(value.map(|value| format!("{flag}={value}")));
        }
        arguments
    }
}

/// Which benchmarks are selected.
#[derive(Clone, Debug)]
pub struct Selector {
    /// Select only ignored benchmarks. There are none.
    ignored_only: bool,
    filters: Vec<Regex>,
    skipped: Vec<Regex>,
}

impl Selector {
    /// Whether the benchmark `id` is selected.
    pub fn selects(&self, id: &str) -> bool {
        let is_match = |patterns: &[Regex]| patterns.iter().any(|pattern| pattern.is_match(id));
        !self.ignored_only
            && (self.filters.is_empty() || is_match(&self.filters))
            && !is_match(&self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(arguments: &[&str]) -> Result<Flags, clap::Error> {
        Flags::try_parse_from(["bench"].iter().chain(arguments))
    }

    #[test]
    fn the_parser_is_sound() {
        Flags::command().debug_assert();
    }

    #[test]
    fn modes_are_criterions() {
        let mode = |arguments: &[&str]| parse(arguments).unwrap().mode();
        assert_eq!(mode(&["--bench"]), Mode::Measure);
        assert_eq!(mode(&["--bench", "--quick", "n_plus_one"]), Mode::Measure);
        assert_eq!(mode(&["--bench", "--test"]), Mode::Test);
        assert_eq!(mode(&[]), Mode::Test, "cargo test --benches");
        assert_eq!(mode(&["--list"]), Mode::List);
        assert_eq!(mode(&["--bench", "--profile-time", "5"]), Mode::Unmeasured);
    }

    #[test]
    fn filters_select_and_skips_leave_out() {
        let selects =
            |arguments: &[&str], id| parse(arguments).unwrap().selector().unwrap().selects(id);
        assert!(selects(&[], "a/b/naive/1"));
        assert!(selects(&["b/.*/1"], "a/b/naive/1"));
        assert!(!selects(&["c"], "a/b/naive/1"));
        assert!(
            selects(&["c", "b"], "a/b/naive/1"),
            "several filters select what any of them does"
        );
        assert!(!selects(&["b", "--skip", "naive"], "a/b/naive/1"));
        assert!(!selects(&["--exact", "a/b"], "a/b/naive/1"));
        assert!(selects(&["--exact", "x", "a/b/naive/1"], "a/b/naive/1"));
        assert!(!selects(&["--ignored"], "a/b/naive/1"));
        assert!(parse(&["("]).unwrap().selector().is_err());
        assert!(parse(&["--skip", "("]).unwrap().selector().is_err());
    }

    #[test]
    fn what_test_runners_hand_on_is_accepted() {
        for line in [
            "--test-threads=1",
            "--test-threads 4 --nocapture -q",
            "--no-capture --show-output --include-ignored",
            "--exact a/b --nocapture",
            "--list --format terse --ignored",
            "-Z unstable-options --report-time --format json",
            "--shuffle --shuffle-seed 7 --logfile x --color always",
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            assert!(parse(&words).is_ok(), "{line}");
        }
    }

    #[test]
    fn criterion_gets_its_own_flags_only() {
        let line = "--bench x y --skip z --quick --seed 7 --rounds 3 --test-threads 1 -q --noplot -s before";
        let words: Vec<&str> = line.split(' ').collect();
        let given = parse(&words).unwrap().for_criterion();
        assert_eq!(given, ["--bench", "--noplot", "--save-baseline=before"]);
        let given = parse(&["--bench", "--measurement-time", "0.5"]).unwrap().for_criterion();
        assert_eq!(given, ["--bench", "--measurement-time=0.5"]);
    }

    #[test]
    fn values_that_criterion_would_panic_at_are_refused() {
        for line in [
            "--sample-size 9",
            "--measurement-time 0",
            "--measurement-time -1",
            "--measurement-time nan",
            "--warm-up-time 0",
            "--nresamples 0",
            "--noise-threshold 0",
            "--confidence-level 1",
            "--significance-level 0",
            "--profile-time 0.5",
            "--plotting-backend excel",
            "--output-format xml",
            "--color red",
            "--save-baseline a/b",
            "--baseline a --save-baseline b",
            "--load-baseline a",
            "--verbose --quiet",
            "--test --list",
            "--rounds 0",
            "--seed x",
        ] {
            let words: Vec<&str> = ["--bench"].into_iter().chain(line.split(' ')).collect();
            assert!(parse(&words).is_err(), "{line}");
        }
        let error = parse(&["--qick"]).unwrap_err().to_string();
        assert!(error.contains("--quick"), "{error}");
    }

    #[test]
    fn an_empty_number_is_the_default() {
        assert_eq!((rounds(""), rounds("7"), seed(""), seed("7")), (Ok(1), Ok(7), Ok(42), Ok(7)));
    }
}
