//! Lines over a value as SVG that fits any width: places along the axis are in percent, and the curves are stretched.
//!
//! Pointing at a place shows the numbers of all lines there, without a script.

use maud::{Markup, html};

use crate::chart::{figure, percent, px};
use crate::scale::{Axis, Scale};
use crate::text::clean;

/// Height of the curves.
const PLOT_PX: f64 = 200.0;
/// Room above them.
const TOP_PX: f64 = 8.0;
/// Room below them, for ticks and the name of the axis.
const BOTTOM_PX: f64 = 38.0;
/// Lines with more points are drawn by the lowest and the highest of so many stretches.
const STRETCHES: usize = 300;
/// Lines with at most so many points have dots.
const DOTTED: usize = 24;
/// Places that show their numbers, at most; the last place is one of them.
const PLACES: usize = 60;
/// Different colors of lines.
const COLORS: usize = 8;

/// Lines over a value, e.g. losses over steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LineChart {
    /// Title: the quantity shown.
    pub title: String,
    /// Words below the title; may be empty.
    pub note: String,
    /// The axis to the right.
    pub x: Axis,
    /// The axis upwards.
    pub y: Axis,
    /// The lines.
    pub lines: Vec<Line>,
    /// A value of the axis to the right, to mark.
    pub marker: Option<f64>,
}

/// One line of a chart. Numbers that are not finite are gaps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    /// Its name in the legend; empty for a line that is told together with the one before.
    pub name: String,
    /// Where it passes, from left to right.
    pub points: Vec<(f64, f64)>,
    /// The single values that it is a mean of, drawn thin; may be empty.
    pub singles: Vec<(f64, f64)>,
    /// Number of its color, of which there are eight; `None` for that of its place among the lines.
    pub color: Option<usize>,
    /// True for a second line in the same color.
    pub dashed: bool,
    /// A point that stands out, e.g. the best.
    pub ring: Option<(f64, f64)>,
}

/// The scales of both axes.
#[derive(Clone, Copy)]
struct Scales {
    x: Scale,
    y: Scale,
}

impl LineChart {
    /// The chart; `None` without a point to draw.
    pub fn unless_empty(self) -> Option<Self> {
        let drawn = self.lines.iter().any(|line| line.last().is_some());
        drawn.then_some(self)
    }

    pub(crate) fn html(&self) -> Markup {
        let scales = self.scales();
        let label = format!("{}: {}", clean(&self.title), self.alternative(scales));
        figure(
            &self.title,
            html! {
                (self.legend(scales))
                @if !self.note.is_empty() { p.note { (clean(&self.note)) } }
                svg.plot width="100%" height=(TOP_PX + PLOT_PX + BOTTOM_PX) role="img" aria-label=(label) {
                    (scales.grid(&self.x))
                    (self.curves(scales))
                    @for (at, line) in self.lines.iter().enumerate() { (line.dots(at, scales)) }
                    (self.places(scales))
                }
            },
        )
    }

    fn scales(&self) -> Scales {
        let points = || {
            let all = self
                .lines
                .iter()
                .flat_map(|line| line.points.iter().chain(&line.singles));
            all.filter(|(_, y)| y.is_finite())
        };
        Scales {
            x: Scale::tight(&self.x, points().map(|(x, _)| *x)),
            y: Scale::round(&self.y, points().map(|(_, y)| *y)),
        }
    }

    /// The name of each line that is drawn, and its last value.
    fn legend(&self, scales: Scales) -> Markup {
        let drawn = self.groups().filter(|(_, lines)| lines[0].last().is_some());
        html! { p.note { @for (at, lines) in drawn {
            @let values: Vec<String> = lines.iter().filter_map(|line| Some(scales.y.label(line.last()?.1))).collect();
            span class={ "key " (lines[0].class(at)) } { (clean(&lines[0].name)) " " b { (values.join(" / ")) } }
            " "
        } } }
    }

    /// Each line with those that are told together with it, and its place.
    fn groups(&self) -> impl Iterator<Item = (usize, &[Line])> {
        let groups = self.lines.chunk_by(|_, next| next.name.is_empty());
        groups.scan(0, |at, group| Some((std::mem::replace(at, *at + group.len()), group)))
    }

    /// The inner drawing is stretched; its lines keep their width.
    fn curves(&self, scales: Scales) -> Markup {
        let lines = || self.lines.iter().enumerate();
        html! {
            svg y=(px(TOP_PX)) width="100%" height=(px(PLOT_PX)) viewBox="0 0 1 1" preserveAspectRatio="none" {
                @if let Some(marker) = self.marker { path.marker d=(format!("M{:.4} 0V1", scales.x.share(marker))) {} }
                @for (at, line) in lines() { (polylines(&line.singles, &format!("single {}", line.class(at)), scales)) }
                @for (at, line) in lines() { (polylines(&line.points, &line.class(at), scales)) }
            }
        }
    }

    /// Bands from top to bottom, each with the numbers of its place.
    fn places(&self, scales: Scales) -> Markup {
        let places = self.named_places();
        let middle = |left: f64, right: f64| scales.x.share((left + right) / 2.0);
        html! { @for (at, &x) in places.iter().enumerate() {
            @let from = if at == 0 { 0.0 } else { middle(places[at - 1], x) };
            @let to = places.get(at + 1).map_or(1.0, |next| middle(x, *next));
            g.band {
                title { (self.told_at(x, scales)) }
                rect x=(percent(from)) y="0" width=(percent(to - from)) height=(TOP_PX + PLOT_PX) {}
                line x1=(percent(scales.x.share(x))) x2=(percent(scales.x.share(x))) y1=(TOP_PX) y2=(TOP_PX + PLOT_PX) {}
                @for (number, line) in self.lines.iter().enumerate() { @if let Some(y) = value_at(&line.points, x) {
                    (dot(&line.class(number), 3.5, (x, y), scales))
                } }
            }
        } }
    }

    /// The places whose numbers are shown: all, or evenly chosen ones.
    fn named_places(&self) -> Vec<f64> {
        let points = self.lines.iter().flat_map(|line| &line.points);
        let mut places: Vec<f64> = points.filter(|(_, y)| y.is_finite()).map(|(x, _)| *x).collect();
        places.sort_by(f64::total_cmp);
        places.dedup();
        let every = places.len().div_ceil(PLACES).max(1);
        // Counted from the end, so that the last one is there.
        let mut chosen: Vec<f64> = places.into_iter().rev().step_by(every).collect();
        chosen.reverse();
        chosen
    }

    /// The numbers of all lines at a place, a line of text for each name.
    fn told_at(&self, x: f64, scales: Scales) -> String {
        let place = format!("{} {}", clean(&self.x.name), scales.x.label(x));
        let names = self.groups().filter_map(|(_, lines)| {
            let told: Vec<String> = lines.iter().filter_map(|line| line.told_at(x, scales)).collect();
            (!told.is_empty()).then(|| format!("\n{} {}", clean(&lines[0].name), told.join(" / ")))
        });
        place.trim().to_owned() + &names.collect::<String>()
    }

    fn alternative(&self, scales: Scales) -> String {
        let names = self.groups().filter_map(|(_, lines)| {
            let told: Vec<String> = lines.iter().filter_map(|line| line.ends(scales)).collect();
            (!told.is_empty()).then(|| format!("{} {}", clean(&lines[0].name), told.join(" and ")))
        });
        names.collect::<Vec<_>>().join(", ")
    }
}

impl Line {
    fn finite(&self) -> impl DoubleEndedIterator<Item = (f64, f64)> + '_ {
        self.points.iter().copied().filter(|(_, y)| y.is_finite())
    }

    fn last(&self) -> Option<(f64, f64)> {
        self.finite().next_back()
    }

    /// The single value at a place and the mean there, or the value.
    fn told_at(&self, x: f64, scales: Scales) -> Option<String> {
        let value = scales.y.label(value_at(&self.points, x)?);
        Some(match value_at(&self.singles, x) {
            Some(single) => format!("{}, mean {value}", scales.y.label(single)),
            None => value,
        })
    }

    /// The first and the last value.
    fn ends(&self, scales: Scales) -> Option<String> {
        let (first, last) = (self.finite().next()?, self.last()?);
        Some(format!(
            "from {} to {}",
            scales.y.label(first.1),
            scales.y.label(last.1)
        ))
    }

    fn class(&self, at: usize) -> String {
        let color = self.color.unwrap_or(at) % COLORS;
        format!("line-{color}{}", if self.dashed { " dashed" } else { "" })
    }

    /// Dots on few points and on points without neighbors, which no line shows, and the ring.
    fn dots(&self, at: usize, scales: Scales) -> Markup {
        let (class, few) = (self.class(at), self.points.len() <= DOTTED);
        let alone = segments(&self.points).filter(|segment| few || segment.len() == 1);
        html! {
            @for point in alone.flatten() { (dot(&class, 3.0, *point, scales)) }
            @if let Some(point) = self.ring { (dot(&format!("ring {class}"), 6.0, point, scales)) }
        }
    }
}

impl Scales {
    fn grid(&self, x: &Axis) -> Markup {
        let below = TOP_PX + PLOT_PX;
        html! {
            @for tick in self.y.ticks() {
                @let y = px(TOP_PX + PLOT_PX * (1.0 - self.y.share(tick)));
                line.grid x1="0" x2="100%" y1=(y) y2=(y) {}
                text.tick.value x="-8" y=(y) dy="4" { (self.y.tick_label(tick)) }
            }
            @for tick in self.x.ticks() {
                @let share = self.x.share(tick);
                line.grid x1=(percent(share)) x2=(percent(share)) y1=(below) y2=(below + 4.0) {}
                text.tick x=(percent(share)) y=(below + 17.0) text-anchor=(anchor(share)) { (self.x.tick_label(tick)) }
            }
            @if !x.name.is_empty() { text.tick x="50%" y=(below + 33.0) text-anchor="middle" { (clean(&x.name)) } }
        }
    }
}

/// Letters at the ends stay inside.
fn anchor(share: f64) -> &'static str {
    match share {
        ..0.02 => "start",
        0.98.. => "end",
        _ => "middle",
    }
}

fn dot(class: &str, radius: f64, (x, y): (f64, f64), scales: Scales) -> Markup {
    let height = px(TOP_PX + PLOT_PX * (1.0 - scales.y.share(y)));
    html! { circle class={ "dot " (class) } cx=(percent(scales.x.share(x))) cy=(height) r=(radius) {} }
}

/// The parts of a line between gaps, in a square of side 1.
fn polylines(points: &[(f64, f64)], class: &str, scales: Scales) -> Markup {
    let place = |(x, y): (f64, f64)| format!("{:.4},{:.4} ", scales.x.share(x), 1.0 - scales.y.share(y));
    let stretch = points.len().div_ceil(STRETCHES);
    html! { @for segment in segments(points).filter(|segment| segment.len() > 1) {
        polyline class=(class) points=(thinned(segment, stretch).map(place).collect::<String>()) {}
    } }
}

fn segments(points: &[(f64, f64)]) -> impl Iterator<Item = &[(f64, f64)]> {
    let segments = points.split(|(_, y)| !y.is_finite());
    segments.filter(|segment| !segment.is_empty())
}

/// All points; or the lowest and the highest of each `stretch` of them, so that no peak is lost.
fn thinned(segment: &[(f64, f64)], stretch: usize) -> impl Iterator<Item = (f64, f64)> + '_ {
    let stretch = if stretch > 2 { stretch } else { 1 };
    segment.chunks(stretch).flat_map(|chunk| {
        let (mut low, mut high) = (chunk[0], chunk[0]);
        for point in chunk {
            low = if point.1 < low.1 { *point } else { low };
            high = if point.1 > high.1 { *point } else { high };
        }
        let (left, right) = if low.0 <= high.0 { (low, high) } else { (high, low) };
        std::iter::once(left).chain((left.0 < right.0).then_some(right))
    })
}

fn value_at(points: &[(f64, f64)], x: f64) -> Option<f64> {
    let at = points.binary_search_by(|(found, _)| found.total_cmp(&x)).ok()?;
    Some(points[at].1).filter(|y| y.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale::Numbers;

    #[track_caller]
    fn check(html: &Markup, parts: &[&str]) {
        for part in parts {
            assert!(html.0.contains(part), "{part} is not in {}", html.0);
        }
        assert!(!html.0.contains("NaN") && !html.0.contains("inf"), "{}", html.0);
    }

    fn line(name: &str, points: &[(f64, f64)]) -> Line {
        Line {
            name: name.into(),
            points: points.to_vec(),
            ..Line::default()
        }
    }

    fn steps() -> Axis {
        Axis {
            name: "step".into(),
            numbers: Numbers::Whole,
            holds: vec![0.0],
        }
    }

    #[test]
    fn lines_pass_through_their_points() {
        let shares = Axis {
            numbers: Numbers::Percent,
            holds: vec![0.0, 1.0],
            ..Axis::default()
        };
        let chart = LineChart {
            title: "Accepted".into(),
            y: shares,
            lines: vec![line("right", &[(0.2, 1.0), (0.4, 0.25)])],
            marker: Some(0.3),
            ..LineChart::default()
        };
        let parts = [
            "aria-label=\"Accepted: right from 100.0 % to 25.0 %\"",
            "points=\"0.0000,0.0000 1.0000,0.7500 \"",
            "text-anchor=\"end\">0.40</text>",
            ">100 %</text>",
            "<span class=\"key line-0\">right <b>25.0 %</b></span>",
            "d=\"M0.5",
        ];
        check(&chart.html(), &parts);
        check(&LineChart::default().html(), &["<figure"]);
        assert_eq!(LineChart::default().unless_empty(), None);
    }

    #[test]
    fn every_place_tells_the_numbers_of_all_lines() {
        let mut smooth = line("a<b", &[(1.0, 6.0), (2.0, 4.0), (3.0, f64::NAN)]);
        smooth.singles = vec![(1.0, 6.5), (2.0, 3.5), (3.0, f64::NAN)];
        let mut other = line("other", &[(2.0, 5.0), (1200.0, 2.0)]);
        other.color = Some(9);
        other.ring = Some((1200.0, 2.0));
        let mut dashed = line("", &[(2.0, 3.0), (1200.0, 2.5)]);
        dashed.dashed = true;
        dashed.color = Some(9);
        let chart = LineChart {
            title: "Loss".into(),
            x: steps(),
            lines: vec![smooth, other, dashed],
            ..LineChart::default()
        };
        let html = chart.html();
        let parts = [
            "<title>step 1\na&lt;b 6.5, mean 6</title>",
            "<title>step 2\na&lt;b 3.5, mean 4\nother 5 / 3</title>",
            "<title>step 1,200\nother 2 / 2.5</title>",
            "aria-label=\"Loss: a&lt;b from 6 to 4, other from 5 to 2 and from 3 to 2.5\"",
            "class=\"key line-0\">a&lt;b <b>4</b>",
            "class=\"key line-1\">other <b>2 / 2.5</b>",
            "class=\"dot ring line-1\" cx=\"100.000%\"",
            "class=\"line-1 dashed\" points=",
            ">1,000</text>",
            ">step</text>",
        ];
        check(&html, &parts);
        assert!(!html.0.contains("step 3"), "a gap has no numbers");
        // The bands fill the width without a gap.
        assert_eq!(html.0.matches("class=\"band\"").count(), 3);
        let widths = html.0.split("<rect ").skip(1).map(|rect| {
            let width = rect.split("width=\"").nth(1).unwrap();
            width.split('%').next().unwrap().parse::<f64>().unwrap()
        });
        assert!((widths.sum::<f64>() - 100.0).abs() < 0.01);
    }

    #[test]
    fn gaps_part_a_line_and_lone_points_are_dots() {
        let mut points: Vec<(f64, f64)> = (0..100).map(|x| (f64::from(x), 1.0)).collect();
        points[50].1 = f64::NAN;
        points[52].1 = f64::INFINITY;
        let chart = LineChart {
            lines: vec![line("gaps", &points)],
            ..LineChart::default()
        };
        let html = chart.html();
        assert_eq!(html.0.matches("<polyline").count(), 2);
        let drawn = html.0.split("<g class=\"band\">").next().unwrap();
        assert_eq!(drawn.matches("<circle").count(), 1, "{drawn}");
    }

    #[test]
    fn long_lines_are_thinned_and_keep_their_peaks() {
        let mut points: Vec<(f64, f64)> = (0..30_000).map(|x| (f64::from(x), 2.0)).collect();
        points[12_345].1 = 9.0;
        let thin: Vec<_> = thinned(&points, points.len().div_ceil(STRETCHES)).collect();
        assert!(thin.len() <= 2 * STRETCHES && thin.contains(&(12_345.0, 9.0)));
        assert!(thin.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(thinned(&points[..500], 2).count(), 500);
        let chart = LineChart {
            x: steps(),
            lines: vec![line("long", &points)],
            ..LineChart::default()
        };
        let html = chart.html();
        let bands = html.0.matches("class=\"band\"").count();
        assert!(bands <= PLACES && html.0.contains("<title>step 29,999\n"), "{bands}");
        assert!(html.0.len() < 60_000, "{}", html.0.len());
    }
}
