//! A chart as an SVG file of its own, which carries its style: a Markdown page shows it as an image, by day and by night.

use maud::{Markup, PreEscaped, html};

use crate::text::clean;

/// Width of the file in pixels.
pub(crate) const WIDTH_PX: f64 = 720.0;
/// Space around the chart.
const MARGIN_PX: f64 = 16.0;
/// Space of the title.
const TITLE_PX: f64 = 34.0;

/// A file with a title above a chart of this height.
pub(crate) fn svg_file(title: &str, height: f64, chart: &Markup) -> String {
    let (width, whole) = (WIDTH_PX - 2.0 * MARGIN_PX, TITLE_PX + height + MARGIN_PX);
    let file = html! {
        svg.chart xmlns="http://www.w3.org/2000/svg" width=(WIDTH_PX) height=(whole) viewBox={ "0 0 " (WIDTH_PX) " " (whole) } {
            style {
                (PreEscaped(include_str!("palette.css")))
                (PreEscaped(include_str!("chart.css")))
                (PreEscaped(".chart { font-family: ui-sans-serif, system-ui, Arial, sans-serif; }\n"))
            }
            rect width="100%" height="100%" fill="var(--paper)" {}
            text.heading x=(MARGIN_PX) y="22" { (clean(title)) }
            svg x=(MARGIN_PX) y=(TITLE_PX) width=(width) height=(height) { (chart) }
        }
    };
    file.into_string() + "\n"
}
