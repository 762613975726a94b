//! From a query to a vector, the space it is searched in, and hits.
//!
//! An image, with or without an instruction, is searched in the space of fused targets; a text alone is searched in the
//! space of image tower outputs.

use image::RgbImage;
use magiclens_data::{Embedding, ImageId};
use magiclens_index::{Hit, Index, IndexError, Query, Space};

use crate::encoder::Encoder;
use crate::error::SearchError;

/// A query as the model takes it.
#[derive(Clone, Copy, Debug)]
pub enum SearchQuery<'a> {
    /// An image, and an instruction that may be empty.
    Image {
        /// The image.
        image: ImageInput<'a>,
        /// The change that is wanted; empty for none.
        instruction: &'a str,
    },
    /// A text alone.
    Text(&'a str),
}

/// An image before or after the image tower.
#[derive(Clone, Copy, Debug)]
pub enum ImageInput<'a> {
    /// Pixels.
    Pixels(&'a RgbImage),
    /// The image tower's output, `[dim]`, not normalized.
    Encoded(&'a [f32]),
}

impl<'a> SearchQuery<'a> {
    /// The space that the query is searched in.
    pub fn space(&self) -> Space {
        match self {
            Self::Image { .. } => Space::Target,
            Self::Text(_) => Space::Image,
        }
    }

    fn text(&self) -> &'a str {
        match self {
            Self::Image { instruction, .. } => instruction,
            Self::Text(text) => text,
        }
    }
}

/// A query, embedded.
#[derive(Clone, Debug)]
pub struct QueryVector {
    /// The vector.
    pub vector: Embedding,
    /// The vectors of images that it is compared with.
    pub space: Space,
    /// The image tower's output for the query image, worth keeping for its next query.
    pub image_output: Option<Vec<f32>>,
}

impl QueryVector {
    /// The `limit` nearest images, best first, without those in `exclude` and those below `min_score`.
    ///
    /// # Errors
    /// See [`Index::search`].
    pub fn search(
        &self,
        index: &Index,
        limit: usize,
        exclude: &[ImageId],
        min_score: Option<f32>,
    ) -> Result<Vec<Hit>, IndexError> {
        index.search(&Query {
            vector: &self.vector,
            space: self.space,
            limit,
            exclude,
            min_score,
        })
    }
}

/// Embeds one query.
///
/// # Errors
/// See [`embed_queries`].
pub fn embed_query(encoder: &impl Encoder, query: SearchQuery<'_>) -> Result<QueryVector, SearchError> {
    let mut vectors = embed_queries(encoder, &[query])?;
    Ok(vectors.remove(0))
}

/// Embeds queries together: all images go through their tower at once, all texts through theirs, and one fusion follows.
///
/// # Errors
/// A model that fails or gives rows of another number; a text without direction.
pub fn embed_queries(encoder: &impl Encoder, queries: &[SearchQuery<'_>]) -> Result<Vec<QueryVector>, SearchError> {
    let images = image_outputs(encoder, queries)?;
    let texts: Vec<&str> = queries.iter().map(SearchQuery::text).collect();
    let texts = encoder.encode_texts(&texts).map_err(SearchError::Model)?;
    let texts = rows("text", texts, queries.len())?;

    let is_image = |query: &SearchQuery<'_>| matches!(query, SearchQuery::Image { .. });
    let (instructions, alone): (Vec<_>, Vec<_>) = queries.iter().zip(texts).partition(|(query, _)| is_image(query));
    let instructions: Vec<Vec<f32>> = instructions.into_iter().map(|(_, text)| text).collect();
    let fused = match images.is_empty() {
        true => Vec::new(),
        false => encoder.fuse(&images, &instructions).map_err(SearchError::Model)?,
    };
    let mut fused = rows("fused", fused, images.len())?.into_iter().zip(images);
    let mut alone = alone.into_iter().map(|(_, text)| text);
    let mut vectors = Vec::with_capacity(queries.len());
    for query in queries {
        let (vector, image_output) = if is_image(query) {
            let (vector, output) = fused.next().expect("a row for each image");
            (vector, Some(output))
        } else {
            let text = alone.next().expect("a row for each text");
            (Embedding::normalize(text)?, None)
        };
        vectors.push(QueryVector {
            vector,
            space: query.space(),
            image_output,
        });
    }
    Ok(vectors)
}

/// The image tower's outputs of the queries that have an image, in their order; the tower runs for new ones only.
fn image_outputs(encoder: &impl Encoder, queries: &[SearchQuery<'_>]) -> Result<Vec<Vec<f32>>, SearchError> {
    let inputs: Vec<ImageInput<'_>> = queries
        .iter()
        .filter_map(|query| match query {
            SearchQuery::Image { image, .. } => Some(*image),
            SearchQuery::Text(_) => None,
        })
        .collect();
    let pixels: Vec<&RgbImage> = inputs
        .iter()
        .filter_map(|input| match input {
            ImageInput::Pixels(pixels) => Some(*pixels),
            ImageInput::Encoded(_) => None,
        })
        .collect();
    let encoded = match pixels.is_empty() {
        true => Vec::new(),
        false => encoder.encode_images(&pixels).map_err(SearchError::Model)?,
    };
    let mut encoded = rows("image", encoded, pixels.len())?.into_iter();
    let output = |input| match input {
        ImageInput::Encoded(output) => output.to_vec(),
        ImageInput::Pixels(_) => encoded.next().expect("an output for each image"),
    };
    Ok(inputs.into_iter().map(output).collect())
}

pub(crate) fn rows<T>(what: &'static str, rows: Vec<T>, expected: usize) -> Result<Vec<T>, SearchError> {
    match rows.len() {
        found if found == expected => Ok(rows),
        found => Err(SearchError::Rows { what, found, expected }),
    }
}
