//! How figures are written, on the terminal and on pages.

use crate::{pair::Metric, statistics::Interval};

/// `38.2× (37.1…39.0)`: a gain with its interval.
pub fn gain(gain: &Interval) -> String {
    format!("{} ({}…{})", times(gain.estimate), significant(gain.low), significant(gain.high))
}

/// `38.2×`
pub fn times(gain: f64) -> String {
    format!("{}×", significant(gain))
}

/// Three significant digits, without an exponent: `0.0123`, `1.23`, `12.3`, `12,345`.
pub fn significant(value: f64) -> String {
    if !value.is_finite() {
        return "?".to_owned();
    }
    if value.abs() >= 99.95 {
        return whole(value.round().abs() as u64, value < 0.0);
    }
    let magnitude = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    let decimals = (2 - magnitude).clamp(0, 6) as usize;
    format!("{value:.decimals$}")
}

fn whole(value: u64, negative: bool) -> String {
    let sign = if negative { "-" } else { "" };
    format!("{sign}{}", count(value))
}

/// `10,001`
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1.23 µs`, from nanoseconds.
pub fn duration(ns: f64) -> String {
    let (value, unit) = match ns.abs() {
        ns if ns >= 1e9 => (ns / 1e9, "s"),
        ns if ns >= 1e6 => (ns / 1e6, "ms"),
        ns if ns >= 1e3 => (ns / 1e3, "µs"),
        ns => (ns, "ns"),
    };
    format!("{} {unit}", significant(if ns < 0.0 { -value } else { value }))
}

/// What a metric is called in the heading of a column.
pub fn metric(metric: Metric) -> &'static str {
    match metric {
        Metric::Time => "time",
        Metric::P99Latency => "p99 latency",
        Metric::BytesHeld => "bytes held",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_significant_digits() {
        for (value, text) in [
            (0.0, "0.00"),
            (0.012_345, "0.0123"),
            (1.0, "1.00"),
            (12.345, "12.3"),
            (99.94, "99.9"),
            (99.96, "100"),
            (12_345.6, "12,346"),
            (-3.5, "-3.50"),
            (f64::NAN, "?"),
            (f64::INFINITY, "?"),
        ] {
            assert_eq!(significant(value), text);
        }
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!(
            [0, 999, 1_000, 10_001, 1_234_567].map(count),
            ["0", "999", "1,000", "10,001", "1,234,567"]
        );
    }

    #[test]
    fn durations_have_the_unit_that_fits() {
        assert_eq!(
            [0.5, 999.0, 1_500.0, 2.5e6, 3e9].map(duration),
            ["0.500 ns", "999 ns", "1.50 µs", "2.50 ms", "3.00 s"]
        );
    }

    #[test]
    fn gains_come_with_their_interval() {
        assert_eq!(gain(&Interval { low: 37.1, estimate: 38.2, high: 39.0 }), "38.2× (37.1…39.0)");
    }
}
