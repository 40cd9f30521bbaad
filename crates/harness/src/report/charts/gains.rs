//! Charts of gains on one logarithmic axis: a row for a pair, a lane for each machine, a strip for a family.
//!
//! A page has hundreds of them, so they are written by hand: the style sheet colours their shapes by class, and the grid
//! stands in the page once, in the axis. What wins is a square or a disc in the colour of the optimized side, what loses a
//! disc in that of the naive side, and what cannot be told is hollow.

use std::ops::Range;

use super::{Ink, Point, Standing};
use crate::{portability::Answer, report::prose, statistics::Interval};

/// Width of the chart of a row, and of its grid.
const ROW_WIDTH: f64 = 220.0;
/// Height of a row, or of a lane of several.
const ROW_HEIGHT: usize = 20;
const LANE_HEIGHT: usize = 13;
/// Size of a strip. It has three lanes, so that discs of gains that are alike stand beside each other.
const STRIP_WIDTH: f64 = 400.0;
const STRIP_HEIGHT: f64 = 26.0;
const STRIP_LANES: [f64; 3] = [13.0, 5.0, 21.0];
const DISC_RADIUS: f64 = 3.4;
/// Least distance of two labels of an axis.
const LABEL_DISTANCE: f64 = 44.0;
/// Room beside the outermost gains.
const MARGIN: f64 = 8.0;

/// The shared axis of the gains of a page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GainAxis {
    /// Decimal logarithm of its lower end.
    low: f64,
    /// Decimal logarithm of its upper end.
    high: f64,
}

/// A gain of a strip.
#[derive(Clone, Debug, PartialEq)]
pub struct StripMark {
    /// The gain.
    pub gain: Interval,
    /// Address that the mark leads to.
    pub page: String,
    /// What it says when one points at it.
    pub title: String,
}

impl GainAxis {
    /// Returns the axis that covers 0.5 to 2 and all `gains`.
    pub fn of(gains: impl Iterator<Item = f64>) -> GainAxis {
        let logs = gains.map(f64::log10).filter(|log| log.is_finite());
        let (low, high) =
            logs.fold((-0.3, 0.3), |(low, high): (f64, f64), log| (low.min(log), high.max(log)));
        GainAxis { low, high }
    }

    fn decades(self) -> Range<i32> {
        self.low.ceil() as i32..self.high.floor() as i32 + 1
    }

    /// Position of a gain in a chart of this width; `None` if it has none.
    fn x(self, gain: f64, width: f64) -> Option<f64> {
        Some(gain.log10()).filter(|log| log.is_finite()).map(|log| self.x_of_log(log, width))
    }

    fn x_of_log(self, log: f64, width: f64) -> f64 {
        let share = ((log - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        ((MARGIN + share * (width - 2.0 * MARGIN)) * 10.0).round() / 10.0
    }

    /// Draws the axis of rows and lanes. It holds their grid, so a page has it once.
    pub fn of_rows(self) -> String {
        self.labelled(ROW_WIDTH, "gain-grid")
    }

    /// Draws the axis of strips. It holds their grid, so a page has it once.
    pub fn of_strips(self) -> String {
        self.labelled(STRIP_WIDTH, "strip-grid")
    }

    fn labelled(self, width: f64, grid: &str) -> String {
        let per_decade = (width - 2.0 * MARGIN) / (self.high - self.low);
        let step = ((LABEL_DISTANCE / per_decade).ceil() as i32).max(1);
        let labels = self.decades().filter(|decade| decade % step == 0).map(|decade| {
            let label = match decade {
                -3..=2 => format!("{}×", 10.0_f64.powi(decade)),
                3..=5 => format!("{}k×", 10_i32.pow(decade as u32 - 3)),
                _ => format!("1e{decade}×"),
            };
            let x = self.x_of_log(f64::from(decade), width);
            // Labels at the ends stay inside.
            let anchor = match x {
                x if x < 16.0 => " text-anchor=\"start\"",
                x if x > width - 13.0 => " text-anchor=\"end\"",
                _ => "",
            };
            format!("<text x=\"{x}\" y=\"13\"{anchor}>{label}</text>")
        });
        let lines = self.decades().filter(|decade| *decade != 0);
        let line = |decade: i32| format!("M{} 0v400", self.x_of_log(f64::from(decade), width));
        let (labels, lines): (String, String) = (labels.collect(), lines.map(line).collect());
        format!(
            "<svg viewBox=\"0 0 {width} 18\" class=\"axis\" text-anchor=\"middle\"><defs><g id=\"{grid}\"><path class=\"decades\" d=\"{lines}\"/><path class=\"unity\" d=\"{}\"/></g></defs>{labels}</svg>",
            line(0)
        )
    }
}

/// Draws the gain of a pair with its interval, and the gain at the near end of its sweep, from which a line leads to it.
pub fn gain_row(axis: GainAxis, near: Option<f64>, far: &Point) -> String {
    let middle = ROW_HEIGHT / 2;
    let x = |gain| axis.x(gain, ROW_WIDTH);
    let [Some(low), Some(at), Some(high)] = [far.low, far.y, far.high].map(x) else {
        return String::new();
    };
    let computed = if far.standing == Standing::Hollow { " computed" } else { "" };
    let near = near.and_then(x).map_or(String::new(), |near| {
        format!(
            "<path class=\"lead-in{computed}\" d=\"M{near} {middle}H{at}\"/><circle class=\"near\" cx=\"{near}\" cy=\"{middle}\" r=\"3.5\"/>"
        )
    });
    let class = class_of(&Interval { low: far.low, estimate: far.y, high: far.high });
    let mark = marker(mark_of(class), at, middle as f64, 4.5);
    framed(
        ROW_WIDTH,
        ROW_HEIGHT as f64,
        "gain-grid",
        &format!(
            "<g class=\"{class}{computed}\">{near}<path class=\"interval\" d=\"M{low} {middle}H{high}\"/>{mark}</g>"
        ),
    )
}

/// Draws gains below each other, a lane for each: the marker of its ink, and its interval. A lane may be empty.
pub fn gain_lanes(axis: GainAxis, lanes: &[Option<(Ink, Point)>]) -> String {
    let mut shapes = String::new();
    for (nth, lane) in lanes.iter().enumerate() {
        let Some((ink, gain)) = lane else { continue };
        let places = [gain.low, gain.y, gain.high].map(|gain| axis.x(gain, ROW_WIDTH));
        // A gain that is not finite is no mark, and hides no other.
        let [Some(low), Some(at), Some(high)] = places else { continue };
        let y = (nth * LANE_HEIGHT) as f64 + LANE_HEIGHT as f64 / 2.0;
        let computed = if gain.standing == Standing::Hollow { " computed" } else { "" };
        let (shape, name) = ink.key();
        shapes += &format!(
            "<g class=\"lane-{name}{computed}\"><path class=\"interval\" d=\"M{low} {y}H{high}\"/>{}</g>",
            marker(shape, at, y, 4.0)
        );
    }
    let height = (LANE_HEIGHT * lanes.len().max(1)) as f64;
    framed(ROW_WIDTH, height, "gain-grid", &shapes)
}

/// Draws the gains of a family, each a disc that leads to its pair. Keyboards and screen readers use the rows of the table,
/// which have the same links.
pub fn gain_strip(axis: GainAxis, marks: &[StripMark]) -> String {
    let place = |mark: &'_ StripMark| axis.x(mark.gain.estimate, STRIP_WIDTH);
    let mut placed: Vec<(f64, &StripMark)> =
        marks.iter().filter_map(|mark| Some((place(mark)?, mark))).collect();
    placed.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut ends = [f64::NEG_INFINITY; STRIP_LANES.len()];
    let mut discs = String::new();
    for (x, mark) in placed {
        let is_free = |lane: &usize| ends[*lane] <= x - DISC_RADIUS;
        let emptiest = |one: &usize, other: &usize| ends[*one].total_cmp(&ends[*other]);
        let lanes = 0..STRIP_LANES.len();
        let lane = lanes.clone().find(is_free).or_else(|| lanes.min_by(emptiest)).unwrap_or(0);
        ends[lane] = x + DISC_RADIUS;
        discs += &format!(
            "<a href=\"{}\" tabindex=\"-1\" class=\"{}\"><title>{}</title><circle cx=\"{x}\" cy=\"{}\" r=\"{DISC_RADIUS}\"/></a>",
            prose::escaped(&mark.page),
            class_of(&mark.gain),
            prose::escaped(&mark.title),
            STRIP_LANES[lane]
        );
    }
    let strip = framed(STRIP_WIDTH, STRIP_HEIGHT, "strip-grid", &discs);
    strip.replacen("<svg ", "<svg aria-hidden=\"true\" ", 1)
}

/// The class of a gain.
fn class_of(gain: &Interval) -> &'static str {
    match Answer::of(gain) {
        Answer::Holds => "wins",
        Answer::Loses => "loses",
        Answer::CannotTell => "undecided",
    }
}

/// The shape of a class, so that colour is not the only sign.
fn mark_of(class: &str) -> &'static str {
    match class {
        "wins" => "■",
        "loses" => "●",
        _ => "◆",
    }
}

/// Draws a marker, given as its character in legends.
fn marker(shape: &str, x: f64, y: f64, radius: f64) -> String {
    let (side, r) = (2.0 * radius, radius);
    match shape {
        "■" => format!("<path d=\"M{} {}h{side}v{side}h-{side}z\"/>", x - r, y - r),
        "▲" => format!("<path d=\"M{x} {}l{r} {side}h-{side}z\"/>", y - r),
        "◆" => format!("<path d=\"M{x} {}l{r} {r}l-{r} {r}l-{r} -{r}z\"/>", y - r),
        _ => format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\"/>"),
    }
}

fn framed(width: f64, height: f64, grid: &str, shapes: &str) -> String {
    format!("<svg viewBox=\"0 0 {width} {height}\"><use href=\"#{grid}\"/>{shapes}</svg>")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis() -> GainAxis {
        GainAxis::of([0.5, 100.0].into_iter())
    }

    fn point(y: f64) -> Point {
        Point { x: 0.0, y, low: y * 0.9, high: y * 1.1, standing: Standing::Measured }
    }

    fn mark(gain: f64) -> StripMark {
        let gain = Interval { low: gain * 0.9, estimate: gain, high: gain * 1.1 };
        StripMark { gain, page: "pairs/f/p.html".to_owned(), title: "f/p \"<b>\"".to_owned() }
    }

    fn count(svg: &str, part: &str) -> usize {
        svg.matches(part).count()
    }

    #[test]
    fn an_axis_covers_all_gains_and_labels_as_many_decades_as_there_is_room_for() {
        let wide = GainAxis::of([0.5, f64::NAN, 1e12].into_iter()).of_rows();
        assert!(count(&wide, "<text") <= 5 && wide.contains(">1×<"), "{wide}");
        let labels = GainAxis::of([0.5, 20_000.0].into_iter()).of_strips();
        for label in [">1×<", ">10×<", ">1k×<", ">10k×<"] {
            assert!(labels.contains(label), "{label}: {labels}");
        }
        assert_eq!(
            axis().x(1e9, ROW_WIDTH),
            axis().x(1e3, ROW_WIDTH),
            "what is outside is at the end"
        );
    }

    #[test]
    fn a_row_has_the_shape_of_its_answer_and_survives_impossible_gains() {
        let row = gain_row(axis(), Some(2.0), &point(50.0));
        assert!(row.contains("class=\"wins\"") && row.contains("class=\"near\""), "{row}");
        assert!(!gain_row(axis(), None, &point(50.0)).contains("near"));
        assert!(gain_row(axis(), None, &point(0.5)).contains("class=\"loses\""));
        assert!(gain_row(axis(), None, &point(1.0)).contains("class=\"undecided\""));
        let computed = Point { standing: Standing::Hollow, ..point(50.0) };
        assert!(gain_row(axis(), None, &computed).contains("class=\"wins computed\""));
        assert_eq!(gain_row(axis(), Some(2.0), &point(f64::NAN)), "");
    }

    #[test]
    fn gains_have_a_lane_each_and_impossible_ones_none() {
        let lanes = [
            Some((Ink::Optimized, point(2.0))),
            None,
            Some((Ink::Naive, point(f64::NAN))),
            Some((Ink::Naive, point(50.0))),
        ];
        let svg = gain_lanes(axis(), &lanes);
        assert!(svg.contains("viewBox=\"0 0 220 52\""), "{svg}");
        assert_eq!((count(&svg, "lane-optimized"), count(&svg, "lane-naive")), (1, 1));
        assert!(!svg.contains("NaN") && svg.contains("cy=\"45.5\""), "{svg}");
    }

    #[test]
    fn gains_that_are_alike_stand_beside_each_other_in_a_strip() {
        let svg = gain_strip(axis(), &[2.0, 2.0, 2.0, 2.0, 90.0, f64::INFINITY].map(mark));
        assert_eq!(count(&svg, "<circle"), 5);
        let middle = STRIP_LANES[0];
        assert_eq!(
            count(&svg, &format!("cy=\"{middle}\"")),
            3,
            "no lane is free for the fourth: {svg}"
        );
        assert_eq!(count(&svg, "tabindex=\"-1\""), 5);
        assert!(svg.contains("<title>f/p &#34;&#60;b&#62;&#34;</title>"), "{svg}");
    }
}
