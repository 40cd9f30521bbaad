//! Raw samples: the paired times behind each gain, in a file next to the result.
//!
//! Results hold only summaries and stay small enough to commit. `<run>.samples.csv` holds the samples behind them and
//! is append-only. A result is complete without that file: its pages then show quartiles instead of single samples.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{lines, result_file::ResultError};

/// Two batches that ran one after the other: the metric of each per unit of work, ns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Id of the pair.
    pub pair: String,
    /// Value of the parameter; empty without one.
    pub level: String,
    /// Value on the axis.
    pub point: u64,
    /// Number of the process in the run, from 1.
    pub process: u64,
    /// The side that the optimized side was interleaved with: `naive`, or the name of the peer.
    pub side: String,
    /// Time of that side, ns per unit.
    pub side_ns: f64,
    /// Time of the optimized side, ns per unit.
    pub optimized_ns: f64,
}

/// Returns the path of the samples of a result.
pub fn path_of(result: &Path) -> PathBuf {
    result.with_extension("samples.csv")
}

/// Appends samples to the file; they are flushed to the device when this returns.
///
/// # Errors
/// If the file cannot be written. Its complete lines are kept.
pub fn append(path: &Path, samples: &[Sample]) -> Result<(), ResultError> {
    let text = to_csv(samples, !lines::starts_with_line(path));
    lines::append(path, &text).map_err(|error| ResultError::Write { path: path.to_owned(), error })
}

/// Returns the samples as CSV, one row each, with a header row if `header`.
pub fn to_csv(samples: &[Sample], header: bool) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().has_headers(header).from_writer(Vec::new());
    for sample in samples {
        writer.serialize(sample).expect("a flat row can be written to memory");
    }
    writer.into_inner().expect("memory can be flushed")
}

/// Reads the samples of a result; none if the file does not exist. Ignores a last line without a newline, which a kill
/// has cut off.
///
/// # Errors
/// If the file cannot be read, or a complete line is not a sample.
pub fn load(path: &Path) -> Result<Vec<Sample>, ResultError> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(ResultError::Read { path: path.to_owned(), error }),
        Ok(_) => parse(&bytes, path),
    }
}

/// Parses `bytes`, the contents of `path`, which may end in the middle of a line.
///
/// # Errors
/// If a complete line is not a sample.
pub fn parse(bytes: &[u8], path: &Path) -> Result<Vec<Sample>, ResultError> {
    let broken = |problem: String, line: u64| ResultError::Broken {
        path: path.to_owned(),
        field: format!("line {line}"),
        problem,
    };
    let mut rows = csv::Reader::from_reader(lines::complete_lines(bytes));
    let samples = rows.deserialize().enumerate().map(|(i, row)| {
        let sample: Sample = row.map_err(|error| broken(error.to_string(), i as u64 + 2))?;
        if !(sample.side_ns.is_finite() && sample.optimized_ns.is_finite()) {
            return Err(broken("a time is not finite".to_owned(), i as u64 + 2));
        }
        Ok(sample)
    });
    samples.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn sample(point: u64, side_ns: f64) -> Sample {
        Sample {
            pair: "f/p".to_owned(),
            level: "a, \"b\"".to_owned(),
            point,
            process: 1,
            side: "naive".to_owned(),
            side_ns,
            optimized_ns: 0.1 + 0.2,
        }
    }

    #[test]
    fn appended_samples_are_read_back_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let path = path_of(&folder.path().join("run.json"));
        assert_eq!(load(&path).unwrap(), []);
        append(&path, &[sample(1, 2.5), sample(1, 1e-300)]).unwrap();
        append(&path, &[sample(u64::MAX, 1.0 / 3.0)]).unwrap();
        let all = [sample(1, 2.5), sample(1, 1e-300), sample(u64::MAX, 1.0 / 3.0)];
        assert_eq!(load(&path).unwrap(), all);
    }

    #[test]
    fn a_cut_off_line_is_ignored_and_a_broken_line_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("samples.csv");
        append(&path, &[sample(1, 2.5), sample(2, 2.5)]).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        for cut in 0..text.len() {
            fs::write(&path, &text[..cut]).unwrap();
            let whole = text[..cut].matches('\n').count().saturating_sub(1);
            assert_eq!(load(&path).unwrap().len(), whole, "{cut}");
        }
        for (good, bad) in [("2.5", "two"), ("2.5", "inf"), (",1,1,", ",-1,1,"), (",1,1,", ",1,")] {
            fs::write(&path, text.replacen(good, bad, 1)).unwrap();
            let message = load(&path).unwrap_err().to_string();
            assert!(message.contains("broken at `line 2`"), "{message}");
        }
    }
}
