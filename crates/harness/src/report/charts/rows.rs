//! Small charts inside tables; all rows of a table share one axis.

use std::ops::Range;

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::{GRID, Ink, Point, RULE, Standing, dashed, drawn, line, marker, text};

/// Size of the chart in a row.
const ROW: (u32, u32) = (440, 44);

/// Height of a lane of a chart with several.
const LANE: u32 = 26;

/// Returns the shared extent of the gain charts in a table, as log₁₀: it covers 0.5 to 2 and all
/// `gains`, with a margin.
pub fn gain_extent(gains: impl Iterator<Item = f64>) -> (f64, f64) {
    let logs = gains.map(f64::log10).filter(|log| log.is_finite());
    let (low, high) =
        logs.fold((-0.3, 0.3), |(low, high): (f64, f64), log| (low.min(log), high.max(log)));
    (low - 0.1, high + 0.1)
}

/// Draws a row of the gain chart: the gain at the near end of a sweep (hollow), the gain at its far
/// end with its interval, and the 1× line.
pub fn gain_row(extent: (f64, f64), near: Option<f64>, far: &Point, is_computed: bool) -> String {
    let column = row_columns(extent);
    let middle = ROW.1 as i32 / 2;
    let chart = drawn(ROW, |area| {
        for decade in decades(extent) {
            let x = column(f64::from(decade));
            let style = if decade == 0 { RULE } else { GRID }.stroke_width(2);
            line(area, (x, 0), (x, ROW.1 as i32), style)?;
        }
        let ink = if far.low > 1.0 {
            Ink::Optimized
        } else if far.high < 1.0 {
            Ink::Naive
        } else {
            Ink::Bound
        };
        let place_of =
            |gain: f64| Some((column(Some(gain.log10()).filter(|log| log.is_finite())?), middle));
        let (end, style) = (place_of(far.y)?, ink.color().stroke_width(2));
        if let Some(near) = near.and_then(place_of) {
            if is_computed {
                dashed(area, near, end, style)?;
            } else {
                line(area, near, end, style)?;
            }
            marker(area, near, Ink::Bound, Standing::Hollow, 7)?;
        }
        line(area, place_of(far.low)?, place_of(far.high)?, ink.color().stroke_width(8))?;
        let ink = if ink == Ink::Bound { Ink::Fourth } else { ink };
        marker(area, end, ink, far.standing, 9)
    });
    chart.unwrap_or_default()
}

/// Draws gains below each other, a lane for each: the marker of its ink, and its interval. A lane may be empty.
pub fn gain_lanes(extent: (f64, f64), lanes: &[Option<(Ink, Point)>]) -> String {
    let column = row_columns(extent);
    let height = LANE * lanes.len().max(1) as u32;
    let chart = drawn((ROW.0, height), |area| {
        for decade in decades(extent) {
            let x = column(f64::from(decade));
            let style = if decade == 0 { RULE } else { GRID }.stroke_width(2);
            line(area, (x, 0), (x, height as i32), style)?;
        }
        for (middle, lane) in (LANE as i32 / 2..).step_by(LANE as usize).zip(lanes) {
            let Some((ink, gain)) = lane else { continue };
            let place_of = |gain: f64| {
                Some((column(Some(gain.log10()).filter(|log| log.is_finite())?), middle))
            };
            // A gain that is not finite is no mark, and hides no other.
            let places = [gain.low, gain.y, gain.high].map(place_of);
            let [Some(low), Some(at), Some(high)] = places else { continue };
            line(area, low, high, ink.color().stroke_width(6))?;
            marker(area, at, *ink, gain.standing, 8)?;
        }
        Some(())
    });
    chart.unwrap_or_default()
}

/// Draws the axis above the rows of the gain chart.
pub fn gain_axis(extent: (f64, f64)) -> String {
    let column = row_columns(extent);
    let all: Vec<i32> = decades(extent).collect();
    let step = (all.len() as i32 / 5 + 1).max(1);
    let chart = drawn(ROW, |area| {
        for decade in all.iter().filter(|decade| *decade % step == 0) {
            let label = match decade {
                -3..=5 => format!("{}×", 10.0_f64.powi(*decade)),
                _ => format!("1e{decade}×"),
            };
            let style = text().pos(Pos::new(HPos::Center, VPos::Center));
            area.draw(&Text::new(label, (column(f64::from(*decade)), 22), style)).ok()?;
        }
        Some(())
    });
    chart.unwrap_or_default()
}

fn decades(extent: (f64, f64)) -> Range<i32> {
    extent.0.ceil() as i32..extent.1.floor() as i32 + 1
}

fn row_columns(extent: (f64, f64)) -> impl Fn(f64) -> i32 {
    let width = f64::from(ROW.0 - 80);
    move |log| (40.0 + (log - extent.0) / (extent.1 - extent.0) * width).round() as i32
}

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
    fn a_row_of_the_gain_chart_survives_impossible_gains() {
        let extent = gain_extent([0.5, f64::NAN, 1e12].into_iter());
        assert!(extent.0 < -0.3 && extent.1 > 12.0);
        let far = |y| Point { x: 0.0, y, low: y, high: y, standing: Standing::Measured };
        assert!(gain_row(extent, Some(2.0), &far(100.0), false).contains("<polygon"));
        assert_eq!(gain_row(extent, Some(2.0), &far(f64::NAN), false), "");
        assert!(gain_axis(extent).contains("1×"));
    }

    #[test]
    fn gains_have_a_lane_each_and_impossible_ones_none() {
        let extent = gain_extent([0.5, 100.0].into_iter());
        let point =
            |y| Point { x: 0.0, y, low: y * 0.9, high: y * 1.1, standing: Standing::Measured };
        let lanes = [
            Some((Ink::Optimized, point(2.0))),
            None,
            Some((Ink::Naive, point(f64::NAN))),
            Some((Ink::Naive, point(50.0))),
        ];
        let svg = gain_lanes(extent, &lanes);
        assert!(svg.contains("viewBox=\"0 0 440 104\""), "{svg}");
        assert_eq!((svg.matches("<polygon").count(), svg.matches("<circle").count()), (1, 2));
        assert!(!svg.contains("NaN") && svg.contains("cy=\"91\""), "{svg}");
    }

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
