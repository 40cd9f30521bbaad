//! The flags of a bench binary: criterion's, as everyone knows them, and the suite's own.
//!
//! One parser knows both, so that an unknown flag is refused with one list of all. Criterion reads
//! the process's arguments itself and would refuse ours; they travel in environment variables
//! through one re-execution of the binary without them (see [`Flags::strip_own`]).

use clap::Parser;
use regex::Regex;

/// Parsed flags.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "cargo bench --",
    about = "Benchmarks of naive and optimized pairs, with criterion's flags.",
    disable_version_flag = true,
    after_help = "The report is reports/index.html. `cargo run --release -- list` lists the pairs."
)]
pub struct Flags {
    /// Run only benchmarks whose id matches this regular expression.
    pub filter: Option<String>,
    /// Repeat the whole in this many processes, one after the other (5 or more for an interval that
    /// means something).
    #[arg(long, value_name = "R", env = "WORTHIT_ROUNDS", help_heading = "worthit", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: Option<u32>,
    /// Measure the larger points too, that take long.
    #[arg(long, env = "WORTHIT_DEEP", help_heading = "worthit")]
    pub deep: bool,
    /// Seed of all inputs.
    #[arg(long, env = "WORTHIT_SEED", help_heading = "worthit", default_value_t = 42)]
    pub seed: u64,
    /// The two ends and the middle of each sweep only, measured shortly.
    ///
    /// Not criterion's --quick, which takes two samples of at least 100 ms in all.
    #[arg(long, env = "WORTHIT_QUICK", help_heading = "worthit")]
    pub quick: bool,
    /// Run each benchmark once, at the two ends of its sweep, to see that it works.
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
    /// Format of the list: pretty, terse.
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
    /// auto, always, never.
    #[arg(short, long, alias = "colour")]
    color: Option<String>,
    /// Print more of criterion's statistics.
    #[arg(short, long)]
    verbose: bool,
    /// Print criterion's results only.
    #[arg(long)]
    quiet: bool,
    /// Criterion makes no plots and pages.
    #[arg(short, long)]
    noplot: bool,
    /// Save criterion's results under a name.
    #[arg(short, long)]
    save_baseline: Option<String>,
    /// Throw criterion's results away.
    #[arg(long)]
    discard_baseline: bool,
    /// Compare criterion's results to named ones.
    #[arg(short, long)]
    baseline: Option<String>,
    /// As --baseline, but benchmarks may lack it.
    #[arg(long)]
    baseline_lenient: Option<String>,
    /// Load criterion's results rather than measure.
    #[arg(long)]
    pub load_baseline: Option<String>,
    /// Run each benchmark for so many seconds, for a profiler; only the side asked for.
    #[arg(long, value_name = "SECONDS")]
    pub profile_time: Option<f64>,
    /// Criterion's number of samples (10 or more); else chosen by the duration of an iteration.
    #[arg(long)]
    pub sample_size: Option<usize>,
    /// Seconds to warm up.
    #[arg(long)]
    pub warm_up_time: Option<f64>,
    /// Seconds to measure each benchmark; else chosen by the precision reached.
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
    /// gnuplot or plotters.
    #[arg(long)]
    plotting_backend: Option<String>,
    /// criterion or bencher.
    #[arg(long)]
    output_format: Option<String>,
}

/// What the process was started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Measure.
    Measure,
    /// Run each side once.
    Test,
    /// Name the benchmarks.
    List,
    /// Run the asked side for a profiler, or load earlier results: nothing is measured.
    Unmeasured,
}

/// The suite's own flags, and whether a value follows.
const OWN: [(&str, bool); 4] =
    [("--rounds", true), ("--deep", false), ("--seed", true), ("--quick", false)];

impl Flags {
    /// What the process was started for, as criterion decides it.
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

    /// Whether the id of a benchmark matches the filter, as criterion decides it.
    ///
    /// # Errors
    /// If the filter is no regular expression.
    pub fn selector(&self) -> Result<Selector, regex::Error> {
        Ok(match &self.filter {
            _ if self.ignored => Selector::Nothing,
            None => Selector::Everything,
            Some(filter) if self.exact => Selector::Exactly(filter.clone()),
            Some(filter) => Selector::Matching(Regex::new(filter)?),
        })
    }

    /// `arguments` (without the program) free of the suite's own flags; `None` if there were none.
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
    fn own_flags_are_taken_out_and_criterions_kept() {
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
