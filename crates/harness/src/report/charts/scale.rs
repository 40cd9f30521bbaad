//! Axes: the mapping of values to positions, and the ticks.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};

/// Division of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Division {
    /// Logarithmic if all values are positive and span a decade, else linear.
    Fitting,
    /// Logarithmic if any value is positive; charts omit the non-positive ones.
    Logarithmic,
    /// Linear.
    Linear,
}

/// An axis of a chart.
pub struct Axis<'a> {
    /// Name, written beside the axis.
    pub name: &'a str,
    /// Its division.
    pub division: Division,
    /// Positions of the ticks; empty for round numbers.
    pub ticks: &'a [f64],
    /// A value that the axis must include.
    pub includes: Option<f64>,
    /// Values in other charts that are to have the same axis.
    pub alike: &'a [f64],
    /// Formats the label of a tick.
    pub format: &'a dyn Fn(f64) -> String,
}

/// Extent of an axis after the transformation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    pub is_log: bool,
    pub low: f64,
    pub high: f64,
}

impl Scale {
    /// Returns the scale that covers all finite `values`; `None` if there are none.
    pub fn of(values: impl Iterator<Item = f64>, axis: &Axis<'_>) -> Option<Scale> {
        let values: Vec<f64> = values
            .chain(axis.includes)
            .chain(axis.alike.iter().copied())
            .filter(|value| value.is_finite())
            .collect();
        let positive = || values.iter().copied().filter(|value| *value > 0.0);
        let (least, greatest) =
            (positive().fold(f64::MAX, f64::min), positive().fold(0.0, f64::max));
        let is_log = match axis.division {
            Division::Fitting => {
                greatest / least >= 10.0 && values.iter().all(|value| *value > 0.0)
            }
            Division::Logarithmic => greatest > 0.0,
            Division::Linear => false,
        };
        let all: Vec<f64> =
            if is_log { positive().map(f64::log10).collect() } else { values.clone() };
        let (low, high) = (
            all.iter().copied().fold(f64::INFINITY, f64::min),
            all.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        );
        // The span overflows if values are too far apart.
        let span = high - low;
        if !span.is_finite() {
            return None;
        }
        let least_span = if is_log { 0.3 } else { high.abs().max(1e-9) * 0.05 };
        let padding = (span * 0.06).max((least_span - span) / 2.0);
        Some(Scale { is_log, low: low - padding, high: high + padding })
    }

    /// Transforms a value; `None` if the result is not finite.
    fn transformed(&self, value: f64) -> Option<f64> {
        Some(if self.is_log { value.log10() } else { value }).filter(|placed| placed.is_finite())
    }

    /// Returns the transformed value, clamped to the extent; `None` if it cannot be drawn.
    pub fn place(&self, value: f64) -> Option<f64> {
        Some(self.transformed(value)?.clamp(self.low, self.high))
    }

    /// Round numbers inside the extent, transformed.
    fn round_ticks(&self) -> Vec<f64> {
        let span = self.high - self.low;
        if !self.is_log {
            let rough = span / 4.0;
            let magnitude = 10.0_f64.powf(rough.log10().floor());
            let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * magnitude);
            let step = step.into_iter().find(|step| *step >= rough).unwrap_or(rough);
            let first = (self.low / step).ceil();
            return (0..12)
                .map(|i| (first + f64::from(i)) * step)
                .take_while(|tick| *tick <= self.high)
                .collect();
        }
        let factors: &[f64] = if span < 1.2 {
            &[1.0, 2.0, 5.0]
        } else if span < 2.2 {
            &[1.0, 3.0]
        } else {
            &[1.0]
        };
        let step = (span / 6.0).ceil().max(1.0) as i32;
        let decades = (self.low.floor() as i32..=self.high.ceil() as i32)
            .filter(|decade| decade.rem_euclid(step) == 0);
        let ticks = decades.flat_map(|decade| {
            factors.iter().map(move |factor| f64::from(decade) + factor.log10())
        });
        ticks.filter(|tick| (self.low..=self.high).contains(tick)).collect()
    }

    /// Ticks of an axis: those that it asks for, except where two are too close; else round numbers.
    pub fn ticks(&self, axis: &Axis<'_>, least_gap: f64) -> Vec<f64> {
        let wanted = axis.ticks.iter().filter_map(|tick| self.transformed(*tick));
        let is_inside = |tick: &f64| (self.low..=self.high).contains(tick);
        let mut wanted: Vec<f64> = wanted.filter(is_inside).rev().collect();
        if wanted.is_empty() {
            return self.round_ticks();
        }
        let gap = (self.high - self.low) * least_gap;
        let mut last = f64::INFINITY;
        wanted.retain(|tick| {
            let is_free = last - tick >= gap;
            if is_free {
                last = *tick;
            }
            is_free
        });
        wanted
    }

    /// Inverts the transformation.
    pub fn value(&self, place: f64) -> f64 {
        if self.is_log { 10.0_f64.powf(place) } else { place }
    }
}

/// A scale with its ticks, as plotters sees it.
pub(super) struct Ticked {
    pub scale: Scale,
    pub ticks: Vec<f64>,
}

impl Ranged for Ticked {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let share = (value - self.scale.low) / (self.scale.high - self.scale.low);
        from + (share * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.scale.low..self.scale.high
    }
}

/// An axis for tests.
#[cfg(test)]
pub(super) fn axis(division: Division) -> Axis<'static> {
    let format = &|value: f64| value.to_string();
    Axis { name: "n", division, ticks: &[], includes: None, alike: &[], format }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_is_logarithmic_where_its_values_are_positive_and_span_a_decade() {
        let fitting = axis(Division::Fitting);
        let is_log = |values: &[f64]| Scale::of(values.iter().copied(), &fitting).unwrap().is_log;
        assert!(is_log(&[1.0, 10.0]));
        assert!(!is_log(&[0.0, 100.0]) && !is_log(&[50.0, 99.0]));
    }

    #[test]
    fn ticks_stand_at_round_numbers_or_where_the_axis_asks_for_them() {
        let decades = Scale { is_log: true, low: -0.1, high: 3.1 }.round_ticks();
        assert_eq!(decades, [0.0, 1.0, 2.0, 3.0]);
        let linear = Scale { is_log: false, low: -2.0, high: 105.0 }.round_ticks();
        assert_eq!(linear, [0.0, 50.0, 100.0]);
        let asked = Axis { ticks: &[0.1, 1.0, 10.0, 11.0, 1_000.0], ..axis(Division::Fitting) };
        let scale = Scale { is_log: true, low: 0.0, high: 3.0 };
        // The tick at 10 is too close to the one at 11, and 0.1 is outside.
        let places: Vec<f64> =
            scale.ticks(&asked, 0.1).iter().map(|place| scale.value(*place).round()).collect();
        assert_eq!(places, [1_000.0, 11.0, 1.0]);
    }
}
