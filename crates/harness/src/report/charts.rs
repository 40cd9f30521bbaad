//! Charts as SVG text, drawn with plotters; those of [`gains`] by hand.
//!
//! The SVG has the colours of the light theme, which also suit paper; the style sheet maps each of
//! them to the current theme. Axes are transformed here (to a logarithm where one fits), and
//! plotters sees plain ranges, so that ticks can stand at the points. Charts omit values that are
//! not finite, and non-positive ones on a logarithmic axis. Every ink has its own marker shape, so
//! colour is never the only sign.

mod gains;
mod rows;
mod scale;

use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

pub use gains::{GainAxis, StripMark, gain_lanes, gain_row, gain_strip};
pub use rows::{WaterfallBar, count_bar, waterfall_bar};
pub use scale::{Axis, Division};

use scale::{Scale, Ticked};

/// Size of a chart: twice its usual size on a page, because plotters rounds to whole units.
const SIZE: (u32, u32) = (800, 500);
const TEXT_SIZE: u32 = 30;
const TEXT: RGBColor = RGBColor(0x44, 0x44, 0x44);
const PAPER: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);
const GRID: RGBColor = RGBColor(0xD9, 0xD9, 0xD9);
const RULE: RGBColor = RGBColor(0x6E, 0x6E, 0x6E);

/// What a mark in a chart stands for; determines its colour and marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// The naive side; a disc.
    Naive,
    /// The optimized side; a square.
    Optimized,
    /// The peer; a triangle.
    Peer,
    /// A fourth series, such as another level of a parameter; a diamond.
    Fourth,
    /// A bound that no measurement can exceed; a line without markers.
    Bound,
}

impl Ink {
    /// Inks of the levels of a parameter (at most four), in order.
    pub const LEVELS: [Ink; 4] = [Ink::Optimized, Ink::Naive, Ink::Peer, Ink::Fourth];

    fn color(self) -> RGBColor {
        match self {
            Ink::Naive => RGBColor(0xB8, 0x48, 0x0B),
            Ink::Optimized => RGBColor(0x0B, 0x62, 0xA8),
            Ink::Peer => RGBColor(0x8B, 0x3A, 0x8F),
            Ink::Fourth => RGBColor(0x1B, 0x7B, 0x57),
            Ink::Bound => RULE,
        }
    }

    /// For legends: the marker as a character, and the name of its colour in the style sheet.
    pub fn key(self) -> (&'static str, &'static str) {
        match self {
            Ink::Naive => ("●", "naive"),
            Ink::Optimized => ("■", "optimized"),
            Ink::Peer => ("▲", "peer"),
            Ink::Fourth => ("◆", "fourth"),
            Ink::Bound => ("–", "bound"),
        }
    }
}

/// Status of a point, which selects its marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Measured: a filled marker.
    Measured,
    /// Measured while other processes held the CPU: a cross.
    Marked,
    /// Computed, the near end of a sweep, or a change of level: a hollow marker.
    Hollow,
}

/// A value and its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Position on the horizontal axis.
    pub x: f64,
    /// The value.
    pub y: f64,
    /// Lower end of its interval.
    pub low: f64,
    /// Upper end of its interval.
    pub high: f64,
    /// Its status.
    pub standing: Standing,
}

/// A series of points, usually joined by a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Colour and marker.
    pub ink: Ink,
    /// Whether the line is dashed: for computed values and bounds.
    pub is_dashed: bool,
    /// Whether a line joins the points.
    pub is_joined: bool,
    /// The points, ascending in `x`.
    pub points: Vec<Point>,
}

/// A vertical line at a break-even or a change of level.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Position on the horizontal axis.
    pub at: f64,
    /// Label at its top; empty for none.
    pub label: String,
}

/// Position in a chart, in its units from the upper left.
type Place = (i32, i32);
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws `series` as a chart; `None` if there is nothing to draw.
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
            if !rule.label.is_empty() {
                area.draw(&Text::new(rule.label.as_str(), (column, 8), style)).ok()?;
            }
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

/// Draws the marker of an ink, centred at `at`.
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
        Ink::Peer => vec![(0, -1), (1, 1), (-1, 1)],
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

/// Returns the SVG that `draw` draws; `None` if it draws nothing.
fn drawn(size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> Option<()>) -> Option<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        draw(&area)?;
        area.present().ok()?;
    }
    // The style sheet sets size and font.
    let fixed = format!("width=\"{}\" height=\"{}\" ", size.0, size.1);
    Some(svg.replacen(&fixed, "", 1).replace("font-family=\"sans-serif\" ", ""))
}

fn text<'a>() -> TextStyle<'a> {
    ("sans-serif", TEXT_SIZE).into_font().color(&TEXT)
}

fn line(area: &Area<'_>, from: Place, to: Place, style: ShapeStyle) -> Option<()> {
    area.draw(&PathElement::new([from, to], style)).ok()
}

/// Draws a line of dashes, each 12 units long.
fn dashed(area: &Area<'_>, from: Place, to: Place, style: ShapeStyle) -> Option<()> {
    let (dx, dy) = (f64::from(to.0 - from.0), f64::from(to.1 - from.1));
    let pieces = (dx.hypot(dy) / 12.0).ceil().max(1.0) as i32;
    let start_of = |piece: i32| {
        let share = f64::from(piece.min(pieces)) / f64::from(pieces);
        (from.0 + (dx * share).round() as i32, from.1 + (dy * share).round() as i32)
    };
    (0..pieces)
        .step_by(2)
        .try_for_each(|piece| line(area, start_of(piece), start_of(piece + 1), style))
}

#[cfg(test)]
mod tests {
    use super::{scale::axis, *};

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
    fn values_without_a_logarithm_never_reach_a_logarithmic_chart() {
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
    fn text_is_escaped() {
        let x = Axis { name: "<b>&", ..axis(Division::Fitting) };
        let rule = Rule { at: 2.0, label: "</svg>".to_owned() };
        let svg = plot(&x, &axis(Division::Linear), &[series(&[(1.0, 1.0)])], &[rule]).unwrap();
        assert!(!svg.contains("<b>") && svg.matches("</svg>").count() == 1, "{svg}");
    }

    #[test]
    fn dashes_leave_gaps() {
        let svg =
            drawn((440, 44), |area| dashed(area, (0, 0), (120, 0), TEXT.stroke_width(1))).unwrap();
        assert_eq!(svg.matches("<polyline").count(), 5);
    }
}
