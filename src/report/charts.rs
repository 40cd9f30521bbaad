//! Charts: SVG text made of numbers, drawn with plotters.
//!
//! Colours are written as those of the light theme, which are also right on paper; the style sheet
//! maps each of them to the theme. Axes are transformed here (a logarithm where one fits) and given
//! to plotters as plain ranges, so that ticks stand where points are. What is not finite, or not positive
//! on a logarithmic axis, is left out. Every marker has a shape of its own: colour is never
//! the only sign.

use std::ops::Range;

use plotters::{
    coord::{
        Shift,
        ranged1d::{DefaultFormatting, KeyPointHint, Ranged},
    },
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

/// Charts are drawn at twice the size at which they are usually shown, as plotters rounds to whole
/// units.
const SIZE: (u32, u32) = (800, 500);
/// Size of the small charts inside tables.
const ROW: (u32, u32) = (440, 44);
const TEXT_SIZE: u32 = 30;
const TEXT: RGBColor = RGBColor(0x44, 0x44, 0x44);
const PAPER: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);
const GRID: RGBColor = RGBColor(0xD9, 0xD9, 0xD9);
const RULE: RGBColor = RGBColor(0x6E, 0x6E, 0x6E);

/// What something drawn stands for, which gives its colour and its marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// The naive side; a disc.
    Naive,
    /// The optimized side; a square.
    Optimized,
    /// The reference; a triangle.
    Reference,
    /// Another level of a parameter; a diamond.
    Fourth,
    /// What nothing here can exceed; a line without markers.
    Bound,
}

impl Ink {
    /// Inks for the levels of a parameter (at most four), in their order.
    pub const LEVELS: [Ink; 4] = [Ink::Optimized, Ink::Naive, Ink::Reference, Ink::Fourth];

    fn color(self) -> RGBColor {
        match self {
            Ink::Naive => RGBColor(0xB8, 0x48, 0x0B),
            Ink::Optimized => RGBColor(0x0B, 0x62, 0xA8),
            Ink::Reference => RGBColor(0x8B, 0x3A, 0x8F),
            Ink::Fourth => RGBColor(0x1B, 0x7B, 0x57),
            Ink::Bound => RULE,
        }
    }

    /// The marker as a character, and the name of its colour in the style sheet: for legends.
    pub fn key(self) -> (&'static str, &'static str) {
        match self {
            Ink::Naive => ("●", "naive"),
            Ink::Optimized => ("■", "optimized"),
            Ink::Reference => ("▲", "reference"),
            Ink::Fourth => ("◆", "fourth"),
            Ink::Bound => ("–", "bound"),
        }
    }
}

/// How sure a point is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Measured: a filled marker.
    Measured,
    /// Measured while others held the CPU: a cross.
    Marked,
    /// Computed, or the first of two: a hollow marker.
    Hollow,
}

/// A value with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Place on the horizontal axis.
    pub x: f64,
    /// The value.
    pub y: f64,
    /// Lower end of its interval.
    pub low: f64,
    /// Upper end of its interval.
    pub high: f64,
    /// How sure it is.
    pub standing: Standing,
}

/// Points joined by a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Colour and marker.
    pub ink: Ink,
    /// Whether the line is dashed: computed, or a bound.
    pub is_dashed: bool,
    /// Whether points are joined at all.
    pub is_joined: bool,
    /// The points, ascending in `x`.
    pub points: Vec<Point>,
}

/// How an axis is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Division {
    /// Logarithmic where all values are positive and span a decade, else linear.
    Fitting,
    /// Logarithmic where all values are positive.
    Logarithmic,
    /// Linear.
    Linear,
}

/// An axis of a chart.
pub struct Axis<'a> {
    /// Written beside it.
    pub name: &'a str,
    /// How it is divided.
    pub division: Division,
    /// Where its ticks stand, if not at round numbers.
    pub ticks: &'a [f64],
    /// A value that must lie on it.
    pub includes: Option<f64>,
    /// How a tick is written.
    pub format: &'a dyn Fn(f64) -> String,
}

/// A vertical line with a label: a break-even.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Place on the horizontal axis.
    pub at: f64,
    /// Written at its top.
    pub label: String,
}

/// The transformed extent of an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Scale {
    is_log: bool,
    low: f64,
    high: f64,
}

impl Scale {
    /// The scale that holds all finite `values`; `None` if there are none.
    fn of(values: impl Iterator<Item = f64>, axis: &Axis<'_>) -> Option<Scale> {
        let values: Vec<f64> =
            values.chain(axis.includes).filter(|value| value.is_finite()).collect();
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
        // A range that is wider than any number cannot be divided.
        let span = high - low;
        if !span.is_finite() {
            return None;
        }
        let least_span = if is_log { 0.3 } else { high.abs().max(1e-9) * 0.05 };
        let padding = (span * 0.06).max((least_span - span) / 2.0);
        Some(Scale { is_log, low: low - padding, high: high + padding })
    }

    /// A value as transformed; `None` if that is no number.
    fn transformed(&self, value: f64) -> Option<f64> {
        Some(if self.is_log { value.log10() } else { value }).filter(|placed| placed.is_finite())
    }

    /// Where a value lies in the transformed extent, or at its nearer end; `None` if it cannot be
    /// drawn.
    fn place(&self, value: f64) -> Option<f64> {
        Some(self.transformed(value)?.clamp(self.low, self.high))
    }

    /// Round numbers inside, as transformed.
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

    /// The ticks of an axis: where it says, but for those too close to the next, or round numbers.
    fn ticks(&self, axis: &Axis<'_>, least_gap: f64) -> Vec<f64> {
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

    /// The value at a transformed place.
    fn value(&self, place: f64) -> f64 {
        if self.is_log { 10.0_f64.powf(place) } else { place }
    }
}

/// A scale with its ticks, as plotters sees it.
struct Ticked {
    scale: Scale,
    ticks: Vec<f64>,
}

impl Ranged for Ticked {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): Place) -> i32 {
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

/// A place in a chart, in its units from the upper left.
type Place = (i32, i32);
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A chart of `series`; `None` if there is nothing to draw.
pub fn plot(x: &Axis<'_>, y: &Axis<'_>, series: &[Series], rules: &[Rule]) -> Option<String> {
    let points = || series.iter().flat_map(|series| &series.points);
    points().next()?;
    let x_scale = Scale::of(points().map(|p| p.x).chain(rules.iter().map(|rule| rule.at)), x)?;
    let y_scale = Scale::of(points().flat_map(|p| [p.y, p.low, p.high]), y)?;
    drawn(SIZE, |area| {
        let x_range = Ticked { scale: x_scale, ticks: x_scale.ticks(x, 0.14) };
        let y_range = Ticked { scale: y_scale, ticks: y_scale.ticks(y, 0.08) };
        let mut chart = ChartBuilder::on(area)
            .margin_top(if rules.is_empty() { 14 } else { 46 })
            .margin_right(40)
            .x_label_area_size(88)
            .y_label_area_size(130)
            .build_cartesian_2d(x_range, y_range)
            .ok()?;
        chart
            .configure_mesh()
            .axis_style(GRID.stroke_width(2))
            .bold_line_style(GRID.stroke_width(2))
            .light_line_style(TRANSPARENT)
            .label_style(text())
            .x_desc(x.name)
            .x_label_formatter(&|place| (x.format)(x_scale.value(*place)))
            .y_label_formatter(&|place| (y.format)(y_scale.value(*place)))
            .draw()
            .ok()?;
        let plane = chart.plotting_area();
        let place = |x: f64, y: f64| -> Option<Place> {
            Some(plane.map_coordinate(&(x_scale.place(x)?, y_scale.place(y)?)))
        };
        let (columns, rows) = plane.get_pixel_range();
        if let Some(one) = y.includes.and_then(|value| y_scale.place(value)) {
            let (_, row) = plane.map_coordinate(&(x_scale.low, one));
            line(area, (columns.start, row), (columns.end, row), RULE.stroke_width(3))?;
        }
        for rule in rules {
            let Some(at) = x_scale.place(rule.at) else { continue };
            let (column, _) = plane.map_coordinate(&(at, y_scale.low));
            dashed(area, (column, rows.start), (column, rows.end), RULE.stroke_width(3))?;
            let side = if column > SIZE.0 as i32 / 2 { HPos::Right } else { HPos::Left };
            let style = text().pos(Pos::new(side, VPos::Top));
            area.draw(&Text::new(rule.label.as_str(), (column, 8), style)).ok()?;
        }
        series.iter().try_for_each(|series| draw_series(area, series, &place))
    })
}

fn draw_series(
    area: &Area<'_>,
    series: &Series,
    place: &dyn Fn(f64, f64) -> Option<Place>,
) -> Option<()> {
    let (ink, style) = (series.ink, series.ink.color().stroke_width(4));
    let placed: Vec<(Place, &Point)> =
        series.points.iter().filter_map(|point| Some((place(point.x, point.y)?, point))).collect();
    for two in placed.windows(2).filter(|_| series.is_joined) {
        if series.is_dashed {
            dashed(area, two[0].0, two[1].0, style)?;
        } else {
            line(area, two[0].0, two[1].0, style)?;
        }
    }
    for (at, point) in placed {
        if let (Some(low), Some(high)) = (place(point.x, point.low), place(point.x, point.high))
            && low.1 - high.1 > 2
        {
            line(area, low, high, style)?;
            for end in [low, high] {
                line(area, (end.0 - 9, end.1), (end.0 + 9, end.1), style)?;
            }
        }
        if ink != Ink::Bound {
            marker(area, at, ink, point.standing, if series.is_joined { 9 } else { 5 })?;
        }
    }
    Some(())
}

/// Draws a marker of an ink around a place.
fn marker(area: &Area<'_>, at: Place, ink: Ink, standing: Standing, radius: i32) -> Option<()> {
    let (x, y) = at;
    if standing == Standing::Marked {
        let style = ink.color().stroke_width(4);
        line(area, (x - radius, y - radius), (x + radius, y + radius), style)?;
        return line(area, (x - radius, y + radius), (x + radius, y - radius), style);
    }
    let corners = match ink {
        Ink::Naive | Ink::Bound => vec![],
        Ink::Optimized => vec![(-1, -1), (1, -1), (1, 1), (-1, 1)],
        Ink::Reference => vec![(0, -1), (1, 1), (-1, 1)],
        Ink::Fourth => vec![(0, -1), (1, 0), (0, 1), (-1, 0)],
    };
    let mut outline: Vec<Place> =
        corners.iter().map(|(dx, dy)| (x + dx * radius, y + dy * radius)).collect();
    let paper = PAPER.filled();
    let style = ink.color().stroke_width(3);
    match (outline.first().copied(), standing == Standing::Hollow) {
        (None, hollow) => {
            let fill = if hollow { paper } else { ink.color().filled() };
            area.draw(&Circle::new(at, radius, fill)).ok()?;
            area.draw(&Circle::new(at, radius, style)).ok()
        }
        (Some(first), true) => {
            area.draw(&Polygon::new(outline.clone(), paper)).ok()?;
            outline.push(first);
            area.draw(&PathElement::new(outline, style)).ok()
        }
        (Some(_), false) => area.draw(&Polygon::new(outline, ink.color().filled())).ok(),
    }
}

/// The extent of the gain charts in a table, so that all rows share it: whole decades around 1 and
/// all `gains`.
pub fn gain_extent(gains: impl Iterator<Item = f64>) -> (f64, f64) {
    let logs = gains.map(f64::log10).filter(|log| log.is_finite());
    let (low, high) =
        logs.fold((-0.3, 0.3), |(low, high): (f64, f64), log| (low.min(log), high.max(log)));
    (low - 0.1, high + 0.1)
}

/// A row of the gain chart: the gain at the near end of a sweep (hollow), at its far end with its
/// interval, and the line of 1×.
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
        let at =
            |gain: f64| Some((column(Some(gain.log10()).filter(|log| log.is_finite())?), middle));
        let (end, style) = (at(far.y)?, ink.color().stroke_width(2));
        if let Some(near) = near.and_then(at) {
            if is_computed {
                dashed(area, near, end, style)?;
            } else {
                line(area, near, end, style)?;
            }
            marker(area, near, Ink::Bound, Standing::Hollow, 7)?;
        }
        line(area, at(far.low)?, at(far.high)?, ink.color().stroke_width(8))?;
        let ink = if ink == Ink::Bound { Ink::Fourth } else { ink };
        marker(area, end, ink, far.standing, 9)
    });
    chart.unwrap_or_default()
}

/// The axis above the rows of the gain chart.
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

/// A bar as long as the logarithm of `count`, the longest standing for `greatest`.
pub fn count_bar(count: u64, greatest: u64, ink: Ink) -> String {
    let length = (1.0 + count as f64).ln() / (1.0 + greatest.max(1) as f64).ln();
    let end = (f64::from(ROW.0 - 4) * length).round() as i32;
    let chart = drawn(ROW, |area| {
        area.draw(&Rectangle::new([(0, 8), (end, 36)], ink.color().filled())).ok()
    });
    chart.unwrap_or_default()
}

/// The SVG of what `draw` draws; `None` if it draws nothing.
fn drawn(size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> Option<()>) -> Option<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        draw(&area)?;
        area.present().ok()?;
    }
    // The pages set the size, and a chart is named by what stands around it.
    let fixed = format!("width=\"{}\" height=\"{}\" ", size.0, size.1);
    Some(svg.replacen(&fixed, "", 1).replace("font-family=\"sans-serif\" ", ""))
}

fn text<'a>() -> TextStyle<'a> {
    ("sans-serif", TEXT_SIZE).into_font().color(&TEXT)
}

fn line(area: &Area<'_>, from: Place, to: Place, style: ShapeStyle) -> Option<()> {
    area.draw(&PathElement::new([from, to], style)).ok()
}

/// A line of dashes of 12 units.
fn dashed(area: &Area<'_>, from: Place, to: Place, style: ShapeStyle) -> Option<()> {
    let (dx, dy) = (f64::from(to.0 - from.0), f64::from(to.1 - from.1));
    let pieces = (dx.hypot(dy) / 12.0).ceil().max(1.0) as i32;
    let at = |piece: i32| {
        let share = f64::from(piece.min(pieces)) / f64::from(pieces);
        (from.0 + (dx * share).round() as i32, from.1 + (dy * share).round() as i32)
    };
    (0..pieces).step_by(2).try_for_each(|piece| line(area, at(piece), at(piece + 1), style))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(division: Division) -> Axis<'static> {
        Axis { name: "n", division, ticks: &[], includes: None, format: &|value| value.to_string() }
    }

    fn series(points: &[(f64, f64)]) -> Series {
        let point = |(x, y): &(f64, f64)| Point {
            x: *x,
            y: *y,
            low: *y,
            high: *y,
            standing: Standing::Measured,
        };
        Series {
            ink: Ink::Optimized,
            is_dashed: false,
            is_joined: true,
            points: points.iter().map(point).collect(),
        }
    }

    fn markers(svg: &str) -> usize {
        svg.matches("<polygon").count()
    }

    #[test]
    fn what_is_not_finite_or_not_positive_never_reaches_a_logarithmic_chart() {
        let (x, y) = (axis(Division::Fitting), axis(Division::Logarithmic));
        let hostile = [(1.0, 2.0), (2.0, f64::NAN), (4.0, f64::INFINITY), (8.0, 0.0), (9.0, -1.0)];
        let svg = plot(&x, &y, &[series(&hostile)], &[]).unwrap();
        assert_eq!(markers(&svg), 1, "{svg}");
        for word in ["NaN", "inf", "-2147483648", "2147483647"] {
            assert!(!svg.contains(word), "{word}: {svg}");
        }
        assert_eq!(plot(&x, &y, &[series(&[(f64::NAN, 1.0)])], &[]), None);
        assert_eq!(plot(&x, &y, &[], &[]), None);
    }

    #[test]
    fn huge_and_tiny_values_make_a_chart() {
        let y = axis(Division::Logarithmic);
        let points = [(1.0, 1e-300), (1e19, 1e300)];
        let svg = plot(&axis(Division::Fitting), &y, &[series(&points)], &[]).unwrap();
        assert_eq!(markers(&svg), 2);
        let one = plot(&axis(Division::Linear), &y, &[series(&[(0.0, 1.0)])], &[]).unwrap();
        assert_eq!(markers(&one), 1);
        let linear = axis(Division::Linear);
        assert_eq!(plot(&linear, &linear, &[series(&[(0.0, -1e308), (1.0, 1e308)])], &[]), None);
    }

    #[test]
    fn an_axis_is_logarithmic_where_its_values_are_positive_and_span_a_decade() {
        let fitting = axis(Division::Fitting);
        let is_log = |values: &[f64]| Scale::of(values.iter().copied(), &fitting).unwrap().is_log;
        assert!(is_log(&[1.0, 10.0]));
        assert!(!is_log(&[0.0, 100.0]) && !is_log(&[50.0, 99.0]));
    }

    #[test]
    fn ticks_stand_at_decades_or_where_they_are_asked_for() {
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

    #[test]
    fn text_is_escaped() {
        let x = Axis { name: "<b>&", ..axis(Division::Fitting) };
        let rule = Rule { at: 2.0, label: "</svg>".to_owned() };
        let svg = plot(&x, &axis(Division::Linear), &[series(&[(1.0, 1.0)])], &[rule]).unwrap();
        assert!(!svg.contains("<b>") && svg.matches("</svg>").count() == 1, "{svg}");
    }

    #[test]
    fn dashes_leave_gaps() {
        let svg = drawn(ROW, |area| dashed(area, (0, 0), (120, 0), TEXT.stroke_width(1))).unwrap();
        assert_eq!(svg.matches("<polyline").count(), 5);
    }

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
