//! The blinded comparison of two retrieval systems by people.
//!
//! A study is a folder. [`Draft`] computes both systems' rankings once; [`Study`] is what it makes of them; [`router`] shows
//! the study to raters, who see neither which side is which system nor which question is a check; [`Ratings`] keeps what
//! they say; [`Report`] is what it says about the systems. The protocol is in `docs/comparison.md`.
//!
//! | file | matter |
//! |---|---|
//! | `queries.rs` | the query file, checked line by line |
//! | `ranking.rs` | both systems' rankings, resumable |
//! | `study.rs` | the study folder: settings, items, images |
//! | `assignment.rs` | order and sides for a rater |
//! | `judgment.rs` | what a rater says of an item |
//! | `ratings.rs` | the log of judgments, durable before it is acknowledged |
//! | `session.rs` | what a rater sees and may do next |
//! | `app.rs`, `page.rs`, `page/` | the service and its page |
//! | `report.rs`, `print.rs` | the figures, and their printed forms |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod app;
mod assignment;
mod error;
mod judgment;
mod page;
mod print;
mod queries;
mod random;
mod ranking;
mod ratings;
mod report;
mod session;
mod study;

pub use app::{AppState, Refusal, router};
pub use assignment::{Turn, turns};
pub use error::CompareError;
pub use judgment::{Choice, Judgment, RaterName, Side, Verdict};
pub use print::{to_csv, to_markdown};
pub use queries::{Check, Intent, LineProblem, Query, QueryFile, QueryImage};
pub use ranking::{Draft, Method};
pub use ratings::{Judgments, Ratings, read_judgments};
pub use report::{ClassFigures, Figures, Position, RaterFigures, Report, ReportOptions, Share, SignTest};
pub use session::{ItemView, View};
pub use study::{Item, Kind, Settings, Study, System, check_galleries, image_path};
