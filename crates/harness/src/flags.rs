//! The flags of a bench binary: criterion's flags and the suite's own.
//!
//! One parser knows both, so that an unknown flag is refused with a list of all flags. Criterion reads
//! the process's arguments itself and would refuse ours. Hence the binary re-executes itself once
//! without them, and passes them in environment variables (see [`Flags::strip_own`]).

use clap::Parser;
use regex::Regex;

/// Parsed flags.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "cargo bench --",
    about = "Benchmarks pairs of a naive and an optimized implementation; accepts criterion's flags too.",
    disable_version_flag = true,
    after_help = "The report is written to reports/index.html. `cargo run --release -- list` lists the pairs."
)]
pub struct Flags {
    /// Run only benchmarks whose id matches this regular expression.
    pub filter: Option<String>,
    /// Repeat the run in R processes, one after another; use 5 or more, so that the intervals include the
    /// variance between processes.
    #[arg(long, value_name = "R", env = "WORTHIT_ROUNDS", help_heading = "worthit", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: Option<u32>,
    /// Also measure the larger points, which take long.
    #[arg(long, env = "WORTHIT_DEEP", help_heading = "worthit")]
    pub deep: bool,
    /// Seed of all generated inputs.
    #[arg(long, env = "WORTHIT_SEED", help_heading = "worthit", default_value_t = 42)]
    pub seed: u64,
    /// Measure only the two ends and the middle of each sweep, briefly.
    ///
    /// This is not criterion's --quick, which takes two samples of at least 100 ms in total.
    #[arg(long, env = "WORTHIT_QUICK", help_heading = "worthit")]
    pub quick: bool,
    /// Run each benchmark once, at the two ends of its sweep, to check that it works.
    #[arg(long)]
    test: bool,
    #[arg(long, hide = true)]
    bench: bool,
    /// Serve the gate on standard input and output.
    #[arg(long, hide = true)]
    pub gate_worker: bool,
    /// List the benchmarks.
    #[arg(long)]
    pub list: bool,
    /// Format of the list: pretty or terse.
    #[arg(long)]
    format: Option<String>,
    /// Run only the benchmark whose id is the filter.
    #[arg(long)]
    exact: bool,
    #[arg(long, hide = true)]
    ignored: bool,
    #[arg(long, hide = true)]
    include_ignored: bool,
    #[arg(long, hide = true)]
    nocapture: bool,
    #[arg(long, hide = true)]
    show_output: bool,
    /// Color the output: auto, always or never.
    #[arg(short, long, alias = "colour")]
    color: Option<String>,
    /// Print more of criterion's statistics.
    #[arg(short, long)]
    verbose: bool,
    /// Print only criterion's results.
    #[arg(long)]
    quiet: bool,
    /// Skip criterion's plots and pages.
    #[arg(short, long)]
    noplot: bool,
    /// Save criterion's results under a name.
    #[arg(short, long)]
    save_baseline: Option<String>,
    /// Discard criterion's results.
    #[arg(long)]
    discard_baseline: bool,
    /// Compare criterion's results with a saved baseline.
    #[arg(short, long)]
    baseline: Option<String>,
    /// Like --baseline, but benchmarks may lack the baseline.
    #[arg(long)]
    baseline_lenient: Option<String>,
    /// Load criterion's results from a saved baseline instead of measuring.
    #[arg(long)]
    pub load_baseline: Option<String>,
    /// Run each benchmark for SECONDS, for a profiler; runs only the selected side.
    #[arg(long, value_name = "SECONDS")]
    pub profile_time: Option<f64>,
    /// Criterion's number of samples, 10 or more; by default it depends on the duration of an iteration.
    #[arg(long)]
    pub sample_size: Option<usize>,
    /// Duration of the warm-up, in seconds.
    #[arg(long)]
    pub warm_up_time: Option<f64>,
    /// Measurement time of each benchmark, in seconds; by default it depends on the precision reached.
    #[arg(long)]
    pub measurement_time: Option<f64>,
    /// Criterion's number of resamples.
    #[arg(long)]
    nresamples: Option<usize>,
    /// Criterion's noise threshold.
    #[arg(long)]
    noise_threshold: Option<f64>,
    /// Criterion's confidence level.
    #[arg(long)]
    confidence_level: Option<f64>,
    /// Criterion's significance level.
    #[arg(long)]
    significance_level: Option<f64>,
    /// Criterion's plotting backend: gnuplot or plotters.
    #[arg(long)]
    plotting_backend: Option<String>,
    /// Criterion's output format: criterion or bencher.
    #[arg(long)]
    output_format: Option<String>,
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

/// The suite's own flags, and whether each takes a value.
const OWN: [(&str, bool); 4] =
    [("--rounds", true), ("--deep", false), ("--seed", true), ("--quick", false)];

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

    /// Returns which benchmarks the filter selects, by criterion's rules.
    ///
    /// # Errors
    /// If the filter is not a regular expression.
    pub fn selector(&self) -> Result<Selector, regex::Error> {
        Ok(match &self.filter {
            _ if self.ignored => Selector::Nothing,
            None => Selector::Everything,
            Some(filter) if self.exact => Selector::Exactly(filter.clone()),
            Some(filter) => Selector::Matching(Regex::new(filter)?),
        })
    }

    /// Removes the suite's own flags from `arguments` (without the program); `None` if there are none.
    pub fn strip_own(arguments: &[String]) -> Option<Vec<String>> {
        let mut kept = Vec::new();
        let mut arguments_left = arguments.iter();
        while let Some(argument) = arguments_left.next() {
            let name = argument.split('=').next().unwrap_or_default();
            match OWN.iter().find(|(own, _)| *own == name) {
                Some((own, true)) if own == argument => drop(arguments_left.next()),
                Some(_) => {}
                None => kept.push(argument.clone()),
            }
        }
        (kept.len() < arguments.len()).then_some(kept)
    }

    /// The suite's own flags as environment variables.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let rounds = self.rounds.map(|rounds| ("WORTHIT_ROUNDS", rounds.to_string()));
        let deep = self.deep.then(|| ("WORTHIT_DEEP", "true".to_owned()));
        let quick = self.quick.then(|| ("WORTHIT_QUICK", "true".to_owned()));
        rounds
            .into_iter()
            .chain(deep)
            .chain(quick)
            .chain([("WORTHIT_SEED", self.seed.to_string())])
            .collect()
    }
}

/// Which benchmarks are selected.
#[derive(Clone, Debug)]
pub enum Selector {
    /// All.
    Everything,
    /// None.
    Nothing,
    /// The one with this id.
    Exactly(String),
    /// Those whose id matches.
    Matching(Regex),
}

impl Selector {
    /// Whether the benchmark `id` is selected.
    pub fn selects(&self, id: &str) -> bool {
        match self {
            Selector::Everything => true,
            Selector::Nothing => false,
            Selector::Exactly(exact) => exact == id,
            Selector::Matching(regex) => regex.is_match(id),
        }
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
    fn selections_are_criterions() {
        let selects =
            |arguments: &[&str], id| parse(arguments).unwrap().selector().unwrap().selects(id);
        assert!(selects(&[], "a/b/naive/1"));
        assert!(selects(&["b/.*/1"], "a/b/naive/1"));
        assert!(!selects(&["c"], "a/b/naive/1"));
        assert!(!selects(&["--exact", "a/b"], "a/b/naive/1"));
        assert!(selects(&["--exact", "a/b/naive/1"], "a/b/naive/1"));
        assert!(parse(&["("]).unwrap().selector().is_err());
    }

    #[test]
    fn own_flags_are_removed_and_criterions_kept() {
        let strip = |text: &str| {
            let arguments: Vec<String> = text.split(' ').map(str::to_owned).collect();
            Flags::strip_own(&arguments).map(|kept| kept.join(" "))
        };
        assert_eq!(strip("--bench n_plus_one --noplot"), None);
        assert_eq!(strip("--rounds 5 --bench x").as_deref(), Some("--bench x"));
        assert_eq!(
            strip("x --rounds=5 --deep --quick --seed 7 --bench").as_deref(),
            Some("x --bench")
        );
    }

    #[test]
    fn unknown_flags_are_refused() {
        let error = parse(&["--qick"]).unwrap_err().to_string();
        assert!(error.contains("--quick"), "{error}");
        assert!(parse(&["--rounds", "0"]).is_err());
    }
}
