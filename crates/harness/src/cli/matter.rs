//! `worthit matter`: whether a gain matters for a whole program.

use std::{fs, io, path::PathBuf};

use clap::{ArgGroup, Args};
use serde_json::json;

use super::{CliError, figures_at, find_with_family, format::Format};
use crate::{
    desk::{
        Figures,
        amdahl::{self, Share, Verdict, Whole},
        citation::figure,
        profile::{self, Within},
        sweep_point::{self, Asked, SweepPoint},
    },
    statistics::noise_between_processes,
};
use worthit_pair::{
    family::{Entry, Family},
    format,
    pair::Metric,
};

/// Say what a pair's gain means for a whole program: Amdahl's law over the measured gain.
///
/// The share of the time that the program spends in the naive code comes from `--share`, or from a profile as folded stacks
/// (`perf script | inferno-collapse-perf`) and the name of the function.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("part").required(true).args(["share", "profile"]),
    after_help = "Examples:\n  worthit matter hash_dedup --share 12% --rate 50000\n  worthit matter n_plus_one --size 200 --profile stacks.folded --function orders::load"
)]
pub(super) struct MatterArguments {
    /// Id of a pair, in full or only its name.
    pair: String,
    /// Share of the program's time that the naive code takes: `0.12` or `12%`.
    #[arg(long)]
    share: Option<Share>,
    /// Profile as folded stacks.
    #[arg(long, requires = "function", value_name = "FILE")]
    profile: Option<PathBuf>,
    /// The function in the profile that is the naive code.
    #[arg(long, requires = "profile", value_name = "NAME")]
    function: Option<String>,
    #[command(flatten)]
    asked: Asked,
    /// Units of work per second that the program does, to say how many fewer are in progress at any moment.
    #[arg(long, value_parser = positive)]
    rate: Option<f64>,
    /// What to print: `text`, or `json` for programs.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

fn positive(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| *rate > 0.0 && rate.is_finite());
    rate.ok_or_else(|| "a rate is a positive number of units per second".to_owned())
}

/// Returns the text to print.
///
/// # Errors
/// If the pair or the profile says nothing, or the gain is none of time.
pub(super) fn run(
    arguments: &MatterArguments,
    catalogue: &[&'static Family],
) -> Result<String, CliError> {
    let (family, entry) = find_with_family(catalogue, &arguments.pair)?;
    if entry.metric != Metric::Time {
        return Err(CliError::NotOfTime(entry.id, entry.metric.heading()));
    }
    let part = part(arguments)?;
    let figures = figures_at(family, entry, &arguments.asked)?;
    let point = sweep_point::find(figures.pair(), &arguments.asked, entry.axis.is_size)
        .map_err(|error| CliError::NothingKnown(entry.id, error))?;
    let whole = amdahl::whole(point.gain, part.share());
    let fewer = match (arguments.rate, point.times_ns) {
        (Some(rate), Some(times)) => Some((rate, amdahl::fewer_in_progress(times, rate))),
        (Some(_), None) => return Err(CliError::NoTimes(entry.id)),
        (None, _) => None,
    };
    match arguments.format {
        Format::Text => Ok(in_words(entry, &figures, &point, part, &whole, fewer)),
        Format::Json => {
            let document = json!({
                "pair": entry.id,
                "point": point.point,
                "level": point.level,
                "gain": point.gain,
                "is_computed": point.nearest.measured().is_none(),
                "share": part.share(),
                "whole": whole,
                "fewer_in_progress": fewer.map(|(_, fewer)| fewer),
                "by": figures.source_in_words(),
            });
            Ok(super::format::json(&document)?)
        }
    }
}

/// The part of the program that is the naive code.
#[derive(Clone, Copy)]
enum Part {
    /// As it was stated.
    Stated(Share),
    /// By a profile.
    Profiled(Within),
}

impl Part {
    fn share(self) -> Share {
        match self {
            Part::Stated(share) => share,
            Part::Profiled(within) => within.share(),
        }
    }
}

fn part(arguments: &MatterArguments) -> Result<Part, CliError> {
    let (Some(path), Some(function)) = (&arguments.profile, &arguments.function) else {
        return Ok(Part::Stated(arguments.share.expect("clap asks for it or a profile")));
    };
    let folded = fs::read(path).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot read the profile {}: {error}", path.display()))
    })?;
    // Names of functions are as the compiler of any language wrote them.
    profile::samples_of(&String::from_utf8_lossy(&folded), function)
        .map(Part::Profiled)
        .map_err(|error| CliError::Profile { path: path.clone(), error })
}

fn in_words(
    entry: &Entry,
    figures: &Figures,
    point: &SweepPoint<'_>,
    part: Part,
    whole: &Whole,
    fewer: Option<(f64, f64)>,
) -> String {
    let percent = |share: f64| format!("{} %", format::significant(share * 100.0));
    let pair = figures.pair();
    let mut text = format!(
        "{id} at {place}: {gain}, by {source}\n",
        id = entry.id,
        place = point.place(pair),
        gain = figure(&point.gain, point.nearest.measured().is_none()),
        source = figures.source_in_words(),
    );
    let at_most = match whole.at_most.is_finite() {
        true => format!("at most {} however fast the part gets", format::times(whole.at_most)),
        false => "as the part is the whole".to_owned(),
    };
    let samples = match part {
        Part::Stated(_) => String::new(),
        Part::Profiled(Within { samples, of }) => {
            format!(" ({} of {})", format::count(samples), format::counted(of, "samples"))
        }
    };
    text += &format!(
        "with {}{samples} of the time spent there, the whole becomes {} as fast (Amdahl's law; {at_most})\n",
        percent(part.share().get()),
        whole.speedup.as_gain(),
    );
    let hours = |left: f64| format::significant(left * 1_000.0);
    text += &format!(
        "1,000 hours of running become {} ({}…{})\n",
        hours(whole.left.estimate),
        hours(whole.left.low),
        hours(whole.left.high),
    );
    if let Some((rate, fewer)) = fewer {
        let number = format::significant(fewer.abs());
        let (more, cores) = match fewer < 0.0 {
            true => ("more", "that many more cores are busy"),
            false => ("fewer", "that many cores are freed"),
        };
        text += &format!(
            "at {} {} a second, {number} {more} are in progress at any moment (Little's law); if each would keep one \
             core busy, {cores}: {} core-hours a day\n",
            format::number(rate),
            format::plural(&pair.unit),
            format::significant(fewer.abs() * 24.0),
        );
    }
    let noise = percent(noise_between_processes());
    text += &match whole.verdict {
        Verdict::UnderNoise => format!(
            "verdict: leave it alone: the difference is under the noise, as two processes of one program differ by up to {noise} \
             in 95 of 100 cases\n"
        ),
        Verdict::CannotTell => format!(
            "verdict: cannot be told by these figures: measure with `cargo bench -- '^{}/' --rounds 5`\n",
            entry.id
        ),
        Verdict::Faster => {
            format!("verdict: weigh it against what it costs: {}\n", entry.review.costs)
        }
        Verdict::Slower => "verdict: leave it alone: the whole gets slower\n".to_owned(),
    };
    text
}
