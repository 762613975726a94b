//! The blinded comparison of two retrieval systems by people.
//!
//! A study is a folder. [`Preparation`] finds both systems and lets a [`Draft`] compute their rankings once; [`Study`] is the
//! result; [`router`] shows it to raters, who see neither which side is which system nor which question is a check;
//! [`Ratings`] keeps their judgments; [`StudyReport`] sums them up. The protocol is in `docs/comparison.md`.
//!
//! | file | matter |
//! |---|---|
//! | `study.rs` | the study folder: settings, items, images |
//! | `queries.rs` | the query file, checked line by line |
//! | `preparation.rs` | from two systems as they are named to a study |
//! | `ranking.rs`, `checks.rs` | both systems' rankings, resumable; questions with a known answer |
//! | `assignment.rs`, `random.rs` | order and sides for a rater |
//! | `judgment.rs`, `ratings.rs` | judgments, and their log, durable before it is acknowledged |
//! | `session.rs` | what a rater sees and may do next |
//! | `app.rs`, `page.rs`, `page/` | the service and its page |
//! | `report.rs`, `print.rs` | the results, and their printed forms |
//! | `error.rs` | everything that can go wrong, and the way out |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod app;
mod assignment;
mod checks;
mod error;
mod judgment;
mod page;
mod preparation;
mod print;
mod queries;
mod random;
mod ranking;
mod ratings;
mod report;
mod session;
mod study;

pub use app::{AppState, router};
pub use assignment::{Turn, turns};
pub use error::{CompareError, LineProblem, Refusal};
pub use judgment::{Choice, Judgment, Preference, RaterName, Side};
pub use preparation::{Host, Preparation, SystemSource};
pub use print::to_csv;
pub use queries::{Check, NamedImage, QueryFile, StudyQuery};
pub use ranking::Draft;
pub use ratings::{Judgments, Ratings, read_judgments};
pub use report::{ClassResults, MAX_FAILED_CHECKS, Position, RaterCounts, Results, Share, SignTest, StudyReport};
pub use session::{ItemView, View};
pub use study::{ComparedSystem, Intent, Item, Kind, Method, Settings, Study, check_galleries, image_path};
