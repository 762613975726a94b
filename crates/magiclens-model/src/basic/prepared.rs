//! BASIC for one model: what is computed once of its texts, and the way from a query and a gallery to scores.

use super::corpus;
use super::error::BasicError;
use super::projection::{Basis, centered, contrastive_basis};
use super::query::{BasicQuery, BegunQuery, GalleryStatistics, Minima, mean_and_sample, nearest};
use super::settings::BasicSettings;
use super::vectors::{mean, subtracted, unit};
use crate::ModelError;
use crate::embedder::Embedder;

/// Images of a gallery, at most, that the minima of similarities are taken from.
const SAMPLE: usize = 256;

/// BASIC, prepared for the tower outputs of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Basic {
    pub(super) settings: BasicSettings,
    /// Taken off texts, `[dim]`.
    pub(super) text_mean: Vec<f32>,
    /// `None` where query images are not projected.
    pub(super) basis: Option<Basis>,
    /// Centered unit vectors of texts that belong to no image in particular.
    pub(super) unrelated_texts: Vec<Vec<f32>>,
}

/// Text tower outputs of the word lists, a row each; they need not be normalized.
#[derive(Clone, Copy, Debug)]
pub struct Corpora<'a> {
    /// Names of objects.
    pub objects: &'a [Vec<f32>],
    /// Styles and contexts.
    pub styles: &'a [Vec<f32>],
    /// Texts for the minima, the reference's texts of its generated images.
    pub unrelated: &'a [Vec<f32>],
}

impl Basic {
    /// BASIC with the built-in word lists and the authors' settings: some hundred texts go through the text tower, then an
    /// eigenproblem is solved. [`Basic::load_or_prepare`] does so once.
    ///
    /// # Errors
    /// A text that the tokenizer refuses, or a text tower that gives numbers without direction.
    pub fn prepare(embedder: &Embedder) -> Result<Self, ModelError> {
        let encode = |texts: &[&str]| -> Result<Vec<Vec<f32>>, ModelError> {
            let rows = embedder.encode_texts(texts)?;
            Ok(rows.iter().map(|row| embedder.shared(row).to_vec()).collect())
        };
        let objects = encode(&corpus::objects())?;
        let styles = encode(&corpus::styles())?;
        let unrelated = corpus::unrelated();
        let unrelated: Vec<&str> = unrelated.iter().map(String::as_str).collect();
        let corpora = Corpora {
            objects: &objects,
            styles: &styles,
            unrelated: &encode(&unrelated)?,
        };
        Ok(Self::of_corpora(corpora, BasicSettings::default())?)
    }

    /// BASIC from the text tower's outputs of word lists.
    ///
    /// # Errors
    /// Lists of fewer than two rows, of several widths, or with a row without direction.
    pub fn of_corpora(corpora: Corpora<'_>, settings: BasicSettings) -> Result<Self, BasicError> {
        let dim = corpora.objects.first().map_or(0, Vec::len);
        let objects = unit_rows("object names", corpora.objects, dim)?;
        let styles = unit_rows("styles", corpora.styles, dim)?;
        let unrelated = unit_rows("texts", corpora.unrelated, dim)?;
        let text_mean = match settings.center {
            true => mean(&objects, dim),
            false => vec![0.0; dim],
        };
        let [objects, styles, unrelated] = [objects, styles, unrelated].map(|rows| centered(&rows, &text_mean));
        let basis = settings.projection.map(|contrast| {
            let found = contrastive_basis(&objects, &styles, contrast.styles, contrast.components);
            found.ok_or(BasicError::NoProjection)
        });
        Ok(Self {
            settings,
            text_mean,
            basis: basis.transpose()?,
            unrelated_texts: unrelated,
        })
    }

    /// Width of the tower outputs that it is for.
    pub fn dim(&self) -> usize {
        self.text_mean.len()
    }

    /// The settings that it was prepared with.
    pub fn settings(&self) -> &BasicSettings {
        &self.settings
    }

    /// The numbers of a gallery of unit rows of `dim` numbers. The minima are those among some of its images, and among these and
    /// texts of the word lists.
    pub fn statistics<R: AsRef<[f32]>>(&self, gallery: impl ExactSizeIterator<Item = R>) -> GalleryStatistics {
        let (mean, sample) = mean_and_sample(gallery, self.dim(), SAMPLE);
        self.statistics_of(mean, &sample)
    }

    /// The numbers of a gallery with this mean, the minima from these unit images: the reference's generated ones, where a
    /// model has some.
    pub fn statistics_of(&self, mean: Vec<f32>, unrelated_images: &[Vec<f32>]) -> GalleryStatistics {
        let image_mean = match self.settings.center {
            true => mean,
            false => vec![0.0; self.dim()],
        };
        let minima = self.settings.normalize.then(|| {
            let images = centered(unrelated_images, &image_mean);
            Minima::of(&images, &self.unrelated_texts)
        });
        GalleryStatistics { image_mean, minima }
    }

    /// A query, ready to score the rows of a gallery. `image` and `text` are tower outputs; the gallery's rows, as in
    /// [`Basic::statistics`], are read once for the neighbors of the image.
    ///
    /// # Errors
    /// As [`Basic::begin`].
    pub fn query<R: AsRef<[f32]>>(
        &self,
        image: &[f32],
        text: &[f32],
        gallery: impl IntoIterator<Item = R>,
        statistics: &GalleryStatistics,
    ) -> Result<BasicQuery, BasicError> {
        let begun = self.begin(image, text, statistics)?;
        let neighbors = nearest(&begun.neighborhood().0, gallery, self.settings.neighbors);
        Ok(begun.expand(&neighbors))
    }

    /// A query of tower outputs that still lacks the neighbors of its image in the gallery: the
    /// [`neighbors`](BasicSettings::neighbors) rows that are most similar by [`BegunQuery::neighborhood`].
    ///
    /// # Errors
    /// An image or a text of another width, or without direction.
    pub fn begin<'a>(
        &'a self,
        image: &[f32],
        text: &[f32],
        statistics: &'a GalleryStatistics,
    ) -> Result<BegunQuery<'a>, BasicError> {
        Ok(BegunQuery {
            basis: self.basis.as_ref(),
            penalty: self.settings.penalty,
            statistics,
            image: subtracted(&self.unit("a query image", image)?, &statistics.image_mean),
            text: subtracted(&self.unit("a query text", text)?, &self.text_mean),
        })
    }

    /// The score of every gallery row for each query: `images`, `texts` and `gallery` are tower outputs, a row each, of which
    /// row `i` of `images` and `texts` is query `i`.
    ///
    /// # Errors
    /// As [`Basic::query`]; a gallery row of another width, or without direction.
    pub fn scores(
        &self,
        images: &[Vec<f32>],
        texts: &[Vec<f32>],
        gallery: &[Vec<f32>],
    ) -> Result<Vec<Vec<f32>>, BasicError> {
        let gallery = normalized("gallery image", gallery, self.dim())?;
        let statistics = self.statistics(gallery.iter());
        let queries = images.iter().zip(texts);
        let scores = queries.map(|(image, text)| {
            let query = self.query(image, text, &gallery, &statistics)?;
            Ok(gallery.iter().map(|row| query.score(row)).collect())
        });
        scores.collect()
    }

    fn unit(&self, what: &'static str, row: &[f32]) -> Result<Vec<f32>, BasicError> {
        let mut rows = normalized(what, &[row.to_vec()], self.dim())?;
        Ok(rows.remove(0))
    }
}

/// The unit vectors of a list of at least two rows.
fn unit_rows(what: &'static str, rows: &[Vec<f32>], dim: usize) -> Result<Vec<Vec<f32>>, BasicError> {
    match rows.len() {
        found @ (0 | 1) => Err(BasicError::TooFew { what, found }),
        _ => normalized(what, rows, dim),
    }
}

/// The unit vectors of rows of `dim` numbers.
fn normalized(what: &'static str, rows: &[Vec<f32>], dim: usize) -> Result<Vec<Vec<f32>>, BasicError> {
    let rows = rows.iter().enumerate();
    let of = |(row, values): (usize, &Vec<f32>)| match values.len() == dim {
        true => unit(values).ok_or(BasicError::NoDirection { what, row }),
        false => Err(BasicError::Width {
            what,
            found: values.len(),
            expected: dim,
        }),
    };
    rows.map(of).collect()
}
