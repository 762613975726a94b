//! Image + instruction over an index by BASIC, for weights without a fusion.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use magiclens_index::{Found, Hit, Index, IndexError, Rows, Selection, Space};
use magiclens_model::basic::{Basic, BasicError, GalleryStatistics};

use crate::error::SearchError;

/// A way to ask image + instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The model's own fusion, or the sum of both tower outputs where it has none.
    Fusion,
    /// BASIC, [`magiclens_model::basic`].
    Basic,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fusion => "fusion",
            Self::Basic => "basic",
        })
    }
}

/// A text that names no [`Method`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a method\nhint: it is `fusion` or `basic`")]
pub struct ParseMethodError(String);

impl FromStr for Method {
    type Err = ParseMethodError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "fusion" => Ok(Self::Fusion),
            "basic" => Ok(Self::Basic),
            _ => Err(ParseMethodError(text.to_owned())),
        }
    }
}

/// BASIC of one model over its index. What it needs of all images is computed anew after the index has changed.
#[derive(Debug)]
pub struct BasicSearch {
    basic: Basic,
    statistics: Mutex<Option<Counted>>,
}

/// The numbers of a gallery, and its state that they belong to.
#[derive(Clone, Debug)]
struct Counted {
    version: (u64, usize),
    statistics: Arc<GalleryStatistics>,
}

impl BasicSearch {
    /// Searches by a BASIC that is prepared for the model of the index.
    pub fn new(basic: Basic) -> Self {
        Self {
            basic,
            statistics: Mutex::new(None),
        }
    }

    /// Width of the vectors that it compares.
    pub(crate) fn dim(&self) -> usize {
        self.basic.dim()
    }

    /// The images with the highest scores. `image` and `text` are tower outputs; an image that is dropped from the hits is
    /// no neighbor of the query image either.
    pub(crate) fn search(
        &self,
        index: &Index,
        image: &[f32],
        text: &[f32],
        selection: &Selection<'_>,
    ) -> Result<Vec<Hit>, SearchError> {
        let (found, expected) = (self.basic.dim(), index.stamp().dim);
        if found != expected {
            return Err(IndexError::WrongDim { found, expected }.into());
        }
        index.rank(Space::Image, |rows| Ok(self.rank(rows, image, text, selection)?))
    }

    fn rank(
        &self,
        rows: &Rows,
        image: &[f32],
        text: &[f32],
        selection: &Selection<'_>,
    ) -> Result<Vec<Found>, BasicError> {
        let statistics = self.statistics(rows);
        let begun = self.basic.begin(image, text, &statistics)?;
        let neighbors = Selection::first(self.basic.settings().neighbors).without(selection.exclude);
        let neighborhood = begun.neighborhood();
        let neighbors = rows.best(&neighbors, |row| neighborhood.similarity(row));
        let neighbors = neighbors.iter().map(|found| (found.score, rows.row(found.row)));
        let query = begun.expand(&neighbors.collect::<Vec<_>>());
        Ok(rows.best(selection, |row| query.score(row)))
    }

    fn statistics(&self, rows: &Rows) -> Arc<GalleryStatistics> {
        let mut kept = self.statistics.lock().unwrap_or_else(PoisonError::into_inner);
        let version = rows.version();
        if let Some(counted) = kept.as_ref().filter(|counted| counted.version == version) {
            return Arc::clone(&counted.statistics);
        }
        let statistics = Arc::new(self.basic.statistics(rows.iter()));
        *kept = Some(Counted {
            version,
            statistics: Arc::clone(&statistics),
        });
        statistics
    }
}
