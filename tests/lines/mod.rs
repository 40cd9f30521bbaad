//! Lines of a synthetic history, for tests of the trends page.

use std::sync::Arc;

use jiff::Timestamp;
use worthit_harness::history::{GAIN, Origin, Place, Reading, TrendLine};
use worthit_pair::case::CaseKey;

/// Run of one day on a machine.
pub fn origin(machine_key: &str, day: usize) -> Arc<Origin> {
    let compiler = if day < 12 { "rustc 1.90.0" } else { "rustc 1.91.0" };
    Arc::new(Origin {
        key: format!("{machine_key}-{day}"),
        started: Timestamp::from_second(1_767_225_600 + day as i64 * 86_400).unwrap(),
        machine_key: machine_key.to_owned(),
        rustc: compiler.to_owned(),
        rustflags: String::new(),
        commit: Some(format!("{day:02}23456789abcdef")),
        dirty: day % 5 == 4,
        seed: 42,
        source: "run".to_owned(),
    })
}

/// TrendLine with one value per day, from the first day on.
pub fn line(
    pair: &str,
    point: u64,
    quantity: &str,
    machine_key: &str,
    values: &[f64],
) -> TrendLine {
    let reading = |(day, value): (usize, &f64)| {
        let value = *value;
        let mark = (day == 5).then(|| "other processes held the CPU".to_owned());
        let reading = Reading { value, low: value * 0.97, high: value * 1.03, mark };
        (origin(machine_key, day), reading)
    };
    TrendLine {
        machine_key: machine_key.to_owned(),
        place: Place {
            case: CaseKey { pair: pair.to_owned(), level: String::new(), point },
            side: "naive".to_owned(),
            quantity: quantity.to_owned(),
        },
        readings: values.iter().enumerate().map(reading).collect(),
    }
}

/// Twenty gains of about 90, and a tenth less from `day_of_step` on.
pub fn step(day_of_step: usize) -> Vec<f64> {
    let level = |day: usize| if day < day_of_step { 90.0 } else { 81.0 };
    (0..20).map(|day| level(day) * (1.0 + 0.005 * (day % 3) as f64)).collect()
}

/// Lines of two machines, one of which lost a tenth of a gain on the thirteenth day.
pub fn lines() -> Vec<TrendLine> {
    let counts: Vec<f64> = (0..20).map(|day| if day < 19 { 257.0 } else { 300.0 }).collect();
    vec![
        line("made/search", 1, GAIN, "made-2c-4g-linux6.1-ext4", &step(99)),
        line("made/search", 100, GAIN, "made-2c-4g-linux6.1-ext4", &step(12)),
        line("made/search", 100, GAIN, "other-8c-16g-linux6.1-xfs", &step(99)[..7]),
        line("made/search", 100, "steps", "made-2c-4g-linux6.1-ext4", &counts),
    ]
}
