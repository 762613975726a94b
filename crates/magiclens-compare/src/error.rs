//! Everything that can go wrong with a study or a request to its page, and the way out.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::anyhow;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use magiclens_data::ImageId;
use magiclens_data::decode::DecodeError;
use magiclens_data::files::ReadCappedError;
use magiclens_http::{HttpError, refusal};
use magiclens_index::IndexError;
use magiclens_search::SearchError;

use crate::judgment::{Choice, Side};

/// Bad lines of a query file that a message names; the rest is counted.
const LINES_NAMED: usize = 20;

/// A line of the query file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineProblem {
    /// From 1.
    pub line: usize,
    /// The problem.
    pub problem: String,
}

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
        "the systems search among different images: A has {a}, B has {b}, {only_a} only in A and {only_b} only in B\n\
         hint: index the same images for both, or compare all the same with `--allow-different-galleries`"
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
    #[error("the gallery of {side:?} is empty\nhint: index some images first")]
    EmptyGallery {
        /// Whose gallery.
        side: Side,
    },
    /// The folder belongs to another study.
    #[error("`{}` holds a study with other settings: {}\nhint: choose another folder with `--out`, or use the settings of before", dir.display(), differences.join(", "))]
    OtherStudy {
        /// The study folder.
        dir: PathBuf,
        /// Differences, in words.
        differences: Vec<String>,
    },
    /// The folder holds no study.
    #[error("`{}` holds no study\nhint: make one with `magiclens compare --a .. --b .. --queries ..`", dir.display())]
    NoStudy {
        /// The folder.
        dir: PathBuf,
    },
    /// The judgments lie there, but not the study that they belong to.
    #[error("`{}` holds judgments, but no study\nhint: bring its `study.json` back, or choose another folder with `--out`", dir.display())]
    StudyGone {
        /// The study folder.
        dir: PathBuf,
    },
    /// A file of the study says what it cannot say.
    #[error("`{}` is damaged: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The problem, with its line where it has one.
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
        "the file of image `{id}` is gone\nhint: run `magiclens index` again, and begin the study in another folder"
    )]
    ImageGone {
        /// Its id.
        id: ImageId,
    },
    /// An image could be read before, but not now.
    #[error("`{}` cannot be used: {cause}", path.display())]
    BadImage {
        /// The file.
        path: PathBuf,
        /// The decoder's error.
        cause: DecodeError,
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
        cause: SearchError,
    },
    /// Neither an index nor weights.
    #[error("`{}` does not exist\nhint: name a folder made by `magiclens index`, or weights", path.display())]
    NoSystem {
        /// The path as it was named.
        path: PathBuf,
    },
    /// Weights without images to search among.
    #[error("`{}` is no index but weights, and there are no images to search among\nhint: name their folder with `--images DIR`, or give an index instead", path.display())]
    NoImages {
        /// The weights.
        path: PathBuf,
    },
    /// No known weights made the index.
    #[error("the index `{}` was made with the model {stamp}, which is none of {tried}\nhint: name its weights with `--weights FILE`", path.display())]
    UnknownModel {
        /// The index.
        path: PathBuf,
        /// Its model.
        stamp: magiclens_index::ModelStamp,
        /// The weights that were tried.
        tried: String,
    },
    /// The program around failed, e.g. to load a model.
    #[error(transparent)]
    Host(#[from] anyhow::Error),
    /// A file could not be read, or is too large.
    #[error(transparent)]
    Read(#[from] ReadCappedError),
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

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// As in every service of ours.
    #[error(transparent)]
    Common(#[from] HttpError),
    /// No image of the study has this id.
    #[error("image `{0}` is not known here")]
    UnknownImage(ImageId),
    /// The rater has no such item.
    #[error("there is no such question for this name")]
    UnknownItem,
    /// The item was judged already, and not like this.
    #[error("this question was answered already, with `{}`", .0.word())]
    JudgedOtherwise(Choice),
    /// Another item comes first.
    #[error("this question is not the next one")]
    NotAtHand,
    /// Only the last judgment can be taken back.
    #[error("only the last answer can be taken back")]
    NotTheLast,
}

impl From<CompareError> for Refusal {
    fn from(error: CompareError) -> Self {
        Self::Common(HttpError::Internal(anyhow!(error)))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = self.to_string();
        let (status, hint) = match self {
            Self::Common(error) => return error.into_response(),
            Self::UnknownImage(_) | Self::UnknownItem => (StatusCode::NOT_FOUND, "reload the page"),
            Self::JudgedOtherwise(_) => (StatusCode::CONFLICT, "take it back with “Undo” to answer anew"),
            Self::NotAtHand | Self::NotTheLast => {
                (StatusCode::CONFLICT, "the page was open twice; here is where you are")
            }
        };
        refusal(status, &error, Some(hint))
    }
}
