//! Bars inside tables; all rows of a table share one scale.

use plotters::prelude::*;

use super::{Ink, RULE, drawn, line};

/// Size of the chart in a row.
const ROW: (u32, u32) = (440, 44);

/// Draws a bar whose length is the logarithm of `count`; `greatest` gets the full width.
pub fn count_bar(count: u64, greatest: u64, ink: Ink) -> String {
    let length = (1.0 + count as f64).ln() / (1.0 + greatest.max(1) as f64).ln();
    let end = (f64::from(ROW.0 - 4) * length).round() as i32;
    let chart = drawn(ROW, |area| {
        area.draw(&Rectangle::new([(0, 8), (end, 36)], ink.color().filled())).ok()
    });
    chart.unwrap_or_default()
}

/// What a row of a waterfall shows, all in one unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WaterfallBar {
    /// The figure of this step: a time, or what it holds…
    pub figure: f64,
    /// …of which this much is simulated.
    pub simulated: f64,
    /// The figure of the step before; `None` at the first.
    pub before: Option<f64>,
}

/// Draws a row of a waterfall: the figure of the step, simulated waits first, then what the step took off, or within the
/// figure what it added. `greatest` gets the full width.
pub fn waterfall_bar(bar: &WaterfallBar, greatest: f64) -> String {
    let WaterfallBar { figure, simulated, before } = *bar;
    let end = |figure: f64| {
        let share = (figure / greatest).clamp(0.0, 1.0);
        share.is_finite().then(|| (f64::from(ROW.0 - 4) * share).round() as i32)
    };
    let chart = drawn(ROW, |area| {
        let piece = |from: f64, to: f64, ink: Ink| {
            let corners = [(end(from)?, 8), (end(to)?.max(end(from)?), 36)];
            area.draw(&Rectangle::new(corners, ink.color().filled())).ok()
        };
        piece(0.0, figure.min(before.unwrap_or(figure)), Ink::Optimized)?;
        match before {
            Some(before) if before > figure => piece(figure, before, Ink::Naive)?,
            Some(before) => piece(before, figure, Ink::Peer)?,
            None => {}
        }
        piece(0.0, simulated.min(figure), Ink::Bound)?;
        // What is too short to be drawn still has its place.
        line(area, (0, 4), (0, 40), RULE.stroke_width(2))
    });
    chart.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waterfall_shows_what_is_left_simulated_taken_off_and_added() {
        let widths = |figure, simulated, before| {
            let svg = waterfall_bar(&WaterfallBar { figure, simulated, before }, 436.0);
            let rectangles = svg.split("<rect ").skip(1).map(|rectangle| {
                let field = |name: &str| {
                    let (_, rest) = rectangle.split_once(&format!("{name}=\"")).unwrap();
                    rest.split_once('"').unwrap().0.to_owned()
                };
                (field("fill"), field("x"), field("width"))
            });
            rectangles.map(|(fill, x, width)| format!("{fill} {x} {width}")).collect::<Vec<_>>()
        };
        assert_eq!(widths(436.0, 0.0, None), ["#0B62A8 0 436", "#6E6E6E 0 0"]);
        let taken_off = ["#0B62A8 0 100", "#B8480B 100 200", "#6E6E6E 0 40"];
        assert_eq!(widths(100.0, 40.0, Some(300.0)), taken_off);
        let added = ["#0B62A8 0 100", "#8B3A8F 100 50", "#6E6E6E 0 0"];
        assert_eq!(widths(150.0, 0.0, Some(100.0)), added);
        let hostile =
            WaterfallBar { figure: f64::NAN, simulated: -1.0, before: Some(f64::INFINITY) };
        assert!(!waterfall_bar(&hostile, 0.0).contains("NaN"));
    }

    #[test]
    fn bars_grow_with_counts() {
        let width = |count| {
            let svg = count_bar(count, 1_000, Ink::Naive);
            let (_, rest) = svg.split_once("width=\"").unwrap();
            rest.split_once('"').unwrap().0.parse::<u32>().unwrap()
        };
        assert_eq!(width(0), 0);
        assert!(width(1) > 0 && width(1) < width(100) && width(100) < width(1_000));
    }
}
