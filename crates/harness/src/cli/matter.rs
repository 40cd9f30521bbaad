//! `worthit matter`: whether a gain matters for a whole program.

use std::{fs, io, path::PathBuf};

use clap::{ArgGroup, Args};
use serde_json::json;

use super::{CliError, find_with_family, format::Format};
use crate::{
    desk::{
        Desk, Figures,
        amdahl::{self, Share, Whole},
        profile,
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
    /// Units of work per second that the program does, to say how many cores the gain frees.
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
    let share = share(arguments)?;
    let figures = Desk::figures_of(family, entry)?;
    let figures = figures.ok_or(CliError::NotMeasured(entry.id))?;
    let point = sweep_point::find(figures.pair(), &arguments.asked, entry.axis.is_size)
        .map_err(|error| CliError::NothingKnown(entry.id, error))?;
    let whole = amdahl::whole(point.gain, share);
    let cores = arguments.rate.zip(point.times_ns);
    let cores = cores.map(|(rate, times)| amdahl::saved_cores(times, rate));
    match arguments.format {
        Format::Text => {
            Ok(in_words(entry, &figures, &point, share, &whole, arguments.rate.zip(cores)))
        }
        Format::Json => {
            let document = json!({
                "pair": entry.id,
                "point": point.point,
                "level": point.level,
                "gain": point.gain,
                "share": share,
                "whole": whole,
                "saved_cores": cores,
                "by": figures.source_in_words(),
            });
            Ok(super::format::json(&document)?)
        }
    }
}

fn share(arguments: &MatterArguments) -> Result<Share, CliError> {
    let (Some(path), Some(function)) = (&arguments.profile, &arguments.function) else {
        return Ok(arguments.share.expect("clap asks for it or a profile"));
    };
    let folded = fs::read_to_string(path).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot read the profile {}: {error}", path.display()))
    })?;
    profile::share_of(&folded, function)
        .map_err(|error| CliError::Profile { path: path.clone(), error })
}

fn in_words(
    entry: &Entry,
    figures: &Figures,
    point: &SweepPoint<'_>,
    share: Share,
    whole: &Whole,
    rate_and_cores: Option<(f64, f64)>,
) -> String {
    let percent = |share: f64| format!("{} %", format::significant(share * 100.0));
    let per_thousand = |share: f64| format::significant(share * 1_000.0);
    let pair = figures.pair();
    let mut text = format!(
        "{id} at {place}: {gain}, by {source}\n",
        id = entry.id,
        place = point.place(pair),
        gain = point.gain.as_gain(),
        source = figures.source_in_words(),
    );
    let at_most = match whole.at_most.is_finite() {
        true => format!("at most {} however fast the part gets", format::times(whole.at_most)),
        false => "as the part is the whole".to_owned(),
    };
    text += &format!(
        "with {} of the time spent there, the whole becomes {} as fast (Amdahl's law; {at_most})\n",
        percent(share.get()),
        whole.speedup.as_gain(),
    );
    text += &format!(
        "of 1,000 core-hours, {} are saved ({}…{})\n",
        per_thousand(whole.saved.estimate),
        per_thousand(whole.saved.low),
        per_thousand(whole.saved.high),
    );
    if let Some((rate, cores)) = rate_and_cores {
        text += &format!(
            "at {} a second, {} cores are freed: {} core-hours a day\n",
            format::counted(rate as u64, &format!("{}s", pair.unit)),
            format::significant(cores),
            format::significant(cores * 24.0),
        );
    }
    let noise = percent(noise_between_processes());
    text += &match (whole.is_above_noise, whole.speedup.estimate > 1.0) {
        (false, _) => format!(
            "verdict: leave it alone: the difference is under the noise, as two processes of one program differ by up to {noise}\n"
        ),
        (true, true) => {
            format!("verdict: weigh it against what it costs: {}\n", entry.review.costs)
        }
        (true, false) => "verdict: leave it alone: the whole gets slower\n".to_owned(),
    };
    text
}
