//! One kit for reports: tables, HTML, Markdown, SVG charts, thumbnails, and the style sheet that all pages share.
//!
//! A report is built once as a [`Document`] and rendered as Markdown ([`Document::to_markdown`]) and as one self-contained HTML
//! page ([`Document::to_html`]). The page has no scripts and may load nothing: styles, charts and thumbnails are in it. Texts need
//! no escaping by the caller: every [`Text`] is cleaned, cut to [`MAX_TEXT`] characters a span, and escaped by the renderer.
//!
//! | file | content |
//! |---|---|
//! | `document.rs` | [`Document`], [`Section`], [`Block`] |
//! | `text.rs` | [`Text`]: spans of running text, the cells of tables |
//! | `table.rs` | [`Table`] |
//! | `chart.rs` | [`BarChart`], [`Histogram`] as SVG |
//! | `lines.rs`, `scale.rs` | [`LineChart`] as SVG, the ticks and numbers of its axes |
//! | `points.rs`, `svg_file.rs` | [`PointChart`]; charts as SVG files of their own |
//! | `gallery.rs`, `thumbnail.rs` | [`Gallery`] of cards with images |
//! | `numbers.rs` | numbers as people read them |
//! | `palette.css`, `style.css`, `chart.css`, `report.css` | [`STYLE`] for all pages, and the rest of a report's style |
//!
//! ```
//! use magiclens_report::{Bar, BarChart, Document, Table, cells, numbers::points};
//!
//! let mut table = Table::new("Results").words(["system"]).numbers(["R@1", "queries"]);
//! table.row(cells!["baseline", points(0.3), 120_u64]);
//! table.strong_row(cells!["ours", points(0.5), 120_u64]);
//! table.note("Mean over queries, in %.");
//!
//! let mut chart = BarChart::new("R@1").legend("measured here", "published");
//! chart.bar(Bar { label: "ours".into(), text: points(0.5), value: 50.0, strong: true, ..Bar::default() });
//!
//! let mut document = Document::new("Evaluation");
//! document.push("Scores in %.");
//! document.section("CIRCO").push(table).push(chart);
//!
//! assert!(document.to_markdown().contains("| **ours** | 50.0 |     120 |"));
//! assert!(document.to_html().contains("<td class=\"number\">50.0</td>"));
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod chart;
mod document;
mod gallery;
mod lines;
pub mod numbers;
mod points;
mod scale;
mod svg_file;
mod table;
mod text;
mod thumbnail;

pub use chart::{Bar, BarChart, Histogram};
pub use document::{Block, Document, Section};
pub use gallery::{Card, Figure, Gallery, Group};
pub use lines::{Line, LineChart};
pub use maud;
pub use points::{Point, PointChart, Series};
pub use scale::{Axis, Numbers};
pub use table::Table;
pub use text::{MAX_TEXT, Text};
pub use thumbnail::{Thumbnail, ThumbnailResult, Thumbnails};

/// The style sheet that every page starts from, served ones included: colors of light and dark, resets, common parts.
pub const STYLE: &str = concat!(include_str!("palette.css"), include_str!("style.css"));
