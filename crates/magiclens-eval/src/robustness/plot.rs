//! The curve of accepts as an SVG image that stands in a page.

use super::calibration::{Calibration, Point};

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 50.0;
const BOTTOM: f64 = 40.0;
const MARGIN: f64 = 12.0;

/// What is drawn: its name, its color, and its value at a point.
type Line = (&'static str, &'static str, fn(&Point) -> f64);

const LINES: [Line; 3] = [
    ("accepted, something fits", "#1b7837", |point| point.true_accepts),
    ("accepted and right first", "#2166ac", |point| point.right_accepts),
    ("accepted, nothing fits", "#b2182b", |point| point.false_accepts),
];

/// Shares that are accepted, over the threshold; nothing if there is no curve.
pub(super) fn accepts(calibration: &Calibration) -> String {
    let (Some(first), Some(last)) = (calibration.curve.first(), calibration.curve.last()) else {
        return String::new();
    };
    let range = f64::from(last.threshold - first.threshold).max(f64::MIN_POSITIVE);
    let x = |score: f32| LEFT + f64::from(score - first.threshold) / range * (WIDTH - LEFT - MARGIN);
    let y = |share: f64| MARGIN + (1.0 - share) * (HEIGHT - MARGIN - BOTTOM);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\" font-size=\"12\" \
         font-family=\"sans-serif\">\n<title>Share of requests whose first answer is accepted, over the threshold</title>\n"
    );
    for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let (at, label, end) = (y(share), 100.0 * share, WIDTH - MARGIN);
        svg += &format!("<path d=\"M{LEFT} {at:.1}H{end}\" stroke=\"#ddd\"/>");
        svg += &format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label:.0} %</text>\n",
            LEFT - 6.0,
            at + 4.0
        );
    }
    let end = HEIGHT - BOTTOM;
    for (score, anchor) in [(first.threshold, "start"), (last.threshold, "end")] {
        let (at, under) = (x(score), end + 16.0);
        svg += &format!("<text x=\"{at:.1}\" y=\"{under}\" text-anchor=\"{anchor}\">{score:.2}</text>\n");
    }
    if let Some(point) = calibration.threshold {
        let at = x(point.threshold);
        svg += &format!("<path d=\"M{at:.1} {MARGIN}V{end}\" stroke=\"#888\" stroke-dasharray=\"4 3\"/>\n");
    }
    for (number, (name, color, value)) in LINES.into_iter().enumerate() {
        let points = calibration
            .curve
            .iter()
            .map(|point| format!("{:.1},{:.1}", x(point.threshold), y(value(point))));
        let points = points.collect::<Vec<_>>().join(" ");
        let at = LEFT + 170.0 * number as f64;
        svg += &format!("<polyline points=\"{points}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>\n");
        svg += &format!(
            "<text x=\"{at}\" y=\"{}\" fill=\"{color}\">{name}</text>\n",
            HEIGHT - 6.0
        );
    }
    svg + "</svg>\n"
}
