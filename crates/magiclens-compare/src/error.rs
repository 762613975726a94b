//! What can go wrong with a study, and the way out.

use std::fmt::Write;
use std::path::PathBuf;

use magiclens_index::IndexError;

use crate::judgment::Side;
use crate::queries::LineProblem;

/// Bad lines of a query file that a message names; the rest is counted.
const LINES_NAMED: usize = 20;

/// Why a study could not be made, opened or written.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// Lines of the query file cannot be used.
    #[error("`{}` has {} bad lines{}\nhint: each line is one JSON object; see `docs/comparison.md`", path.display(), problems.len(), listed(problems))]
    BadQueries {
        /// The query file.
        path: PathBuf,
        /// All of them, in the order of the file.
        problems: Vec<LineProblem>,
    },
    /// The query file holds no query.
    #[error("`{}` holds no query\nhint: a line is `{{\"image\": .., \"instruction\": .., \"intent\": ..}}`", path.display())]
    NoQueries {
        /// The query file.
        path: PathBuf,
    },
    /// The two systems search among different images.
    #[error(
        "the systems search among different pictures: A has {a}, B has {b}, {only_a} only in A and {only_b} only in B\n\
         hint: index the same pictures for both, or compare all the same with `--allow-different-galleries`"
    )]
    DifferentGalleries {
        /// Images of A.
        a: usize,
        /// Images of B.
        b: usize,
        /// Images that B lacks.
        only_a: usize,
        /// Images that A lacks.
        only_b: usize,
    },
    /// Both sides are one and the same.
    #[error(
        "A and B are the same: one model, one method, one gallery\nhint: choose another model, or another way to ask with `--a-method` or `--b-method`"
    )]
    SameSystem,
    /// A gallery has no image to show.
    #[error("the gallery of {side:?} is empty\nhint: index some pictures first")]
    EmptyGallery {
        /// Whose gallery.
        side: Side,
    },
    /// The folder belongs to another study.
    #[error("`{}` holds a study with other settings: {}\nhint: choose another folder with `--out`, or use the settings of before", dir.display(), differences.join(", "))]
    OtherStudy {
        /// The study folder.
        dir: PathBuf,
        /// What differs, in words.
        differences: Vec<String>,
    },
    /// The folder holds no study.
    #[error("`{}` holds no study\nhint: make one with `magiclens compare --a .. --b .. --queries ..`", dir.display())]
    NoStudy {
        /// The folder.
        dir: PathBuf,
    },
    /// The judgments lie there, but not the study that they belong to.
    #[error("`{}` holds judgements, but no study\nhint: bring its `study.json` back, or choose another folder with `--out`", dir.display())]
    StudyGone {
        /// The study folder.
        dir: PathBuf,
    },
    /// A file of the study says what it cannot say.
    #[error("`{}` is damaged: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found, with its line where it has one.
        problem: String,
    },
    /// Another process has the study open.
    #[error("another `magiclens compare` has the study in `{}` open\nhint: raters share one server; stop the other one first", dir.display())]
    Busy {
        /// The study folder.
        dir: PathBuf,
    },
    /// An image of a ranking has no file any more.
    #[error(
        "the file of picture `{id}` is gone\nhint: run `magiclens index` again, and begin the study in another folder"
    )]
    ImageGone {
        /// Its id.
        id: magiclens_data::ImageId,
    },
    /// An image could be read before, but not now.
    #[error("`{}` cannot be used: {cause}", path.display())]
    BadImage {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        cause: magiclens_data::decode::DecodeError,
    },
    /// An earlier write failed and could not be undone, so nothing more is written.
    #[error("`{}` could not be written\nhint: make room on the disk, then start again; what was acknowledged is there", path.display())]
    Broken {
        /// The log of judgments.
        path: PathBuf,
    },
    /// A model failed.
    #[error("the model failed on the queries `{queries}`: {cause}")]
    Model {
        /// Ids of the queries that it was given together.
        queries: String,
        /// The model's reason.
        cause: magiclens_search::SearchError,
    },
    /// An index cannot be read.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A file could not be read or written; the message names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

fn listed(problems: &[LineProblem]) -> String {
    let mut text = String::new();
    for LineProblem { line, problem } in problems.iter().take(LINES_NAMED) {
        _ = write!(text, "\n  line {line}: {problem}");
    }
    if LINES_NAMED < problems.len() {
        _ = write!(text, "\n  and {} more", problems.len() - LINES_NAMED);
    }
    text
}
