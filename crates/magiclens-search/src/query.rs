//! From a query to a vector, the space it is searched in, and hits.
//!
//! An image, with or without an instruction, is searched in the space of fused targets; a text alone is searched in the
//! space of image tower outputs, and so are image and instruction where a model asks them by BASIC.

use std::sync::Arc;

use image::RgbImage;
use magiclens_data::Embedding;
use magiclens_index::{Hit, Index, Query, Selection, Space};

use crate::basic::BasicSearch;
use crate::encoder::Encoder;
use crate::error::SearchError;

/// A query as the model takes it.
#[derive(Clone, Copy, Debug)]
pub enum SearchQuery<'a> {
    /// An image, and an instruction that may be empty.
    Image {
        /// The image.
        image: ImageInput<'a>,
        /// Another image that the instruction is about: "the first in the style of the second". Models without a place for it are asked by
        /// the mean of both images' vectors.
        second: Option<ImageInput<'a>>,
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
    /// The image tower's output, not normalized.
    Encoded(&'a [f32]),
}

impl<'a> SearchQuery<'a> {
    fn text(&self) -> &'a str {
        match self {
            Self::Image { instruction, .. } => instruction,
            Self::Text(text) => text,
        }
    }
}

/// A query, embedded.
#[derive(Clone, Debug)]
pub struct EmbeddedQuery {
    /// The side of the query in the comparison with an image.
    pub comparison: Comparison,
    /// The image tower's output for the query image, worth keeping for its next query.
    pub image_output: Option<Vec<f32>>,
}

/// The way in which images are compared with a query.
#[derive(Clone, Debug)]
pub enum Comparison {
    /// By the dot product.
    Vector {
        /// The vector.
        vector: Embedding,
        /// The vectors of images that it is compared with.
        space: Space,
    },
    /// By BASIC, with [`Space::Image`].
    Basic {
        /// BASIC of the model.
        basic: Arc<BasicSearch>,
        /// The image tower's output.
        image: Vec<f32>,
        /// The text tower's output.
        text: Vec<f32>,
    },
}

impl EmbeddedQuery {
    /// A query by a vector alone.
    pub fn by_vector(vector: Embedding, space: Space) -> Self {
        Self {
            comparison: Comparison::Vector { vector, space },
            image_output: None,
        }
    }

    /// The nearest images, best first.
    ///
    /// # Errors
    /// An index that cannot be read or belongs to a model of another width.
    pub fn search(&self, index: &Index, selection: &Selection<'_>) -> Result<Vec<Hit>, SearchError> {
        match &self.comparison {
            Comparison::Vector { vector, space } => Ok(index.search(&Query {
                vector,
                space: *space,
                selection: *selection,
            })?),
            Comparison::Basic { basic, image, text } => basic.search(index, image, text, selection),
        }
    }
}

/// Embeds one query.
///
/// # Errors
/// See [`embed_queries`].
pub fn embed_query(encoder: &impl Encoder, query: SearchQuery<'_>) -> Result<EmbeddedQuery, SearchError> {
    let mut embedded = embed_queries(encoder, &[query])?;
    Ok(embedded.remove(0))
}

/// Embeds queries together: all images go through their tower at once, all texts through theirs, and one fusion follows.
///
/// # Errors
/// A model that fails or gives rows of another number; a text without direction.
pub fn embed_queries(encoder: &impl Encoder, queries: &[SearchQuery<'_>]) -> Result<Vec<EmbeddedQuery>, SearchError> {
    let images = image_outputs(encoder, queries)?;
    let texts: Vec<&str> = queries.iter().map(SearchQuery::text).collect();
    let texts = encoder.encode_texts(&texts).map_err(SearchError::Model)?;
    let texts = rows("text", texts, queries.len())?;
    let basic = encoder.basic();

    let (mut waiting, mut images) = (Waiting::default(), images.into_iter());
    let mut begun = Vec::with_capacity(queries.len());
    for (query, text) in queries.iter().zip(texts) {
        begun.push(match (query, &basic) {
            (SearchQuery::Text(_), _) => Begun::Alone(Embedding::normalize(encoder.shared(&text).to_vec())?),
            (
                SearchQuery::Image {
                    instruction, second, ..
                },
                basic,
            ) => {
                let mut next = || images.next().expect("an output for each image");
                let (image, second) = (next(), second.map(|_| next()));
                match (basic, second) {
                    (_, Some(second)) => waiting.push_both(encoder, image, second, text)?,
                    (Some(basic), None) if !instruction.is_empty() => {
                        Begun::Basic(Arc::clone(basic), image, encoder.shared(&text).to_vec())
                    }
                    _ => waiting.push(image, text),
                }
            }
        });
    }
    let mut fused = waiting.fuse(encoder)?.into_iter();
    begun.into_iter().map(|query| query.finish(&mut fused)).collect()
}

/// Images and texts that wait for the fusion.
#[derive(Default)]
struct Waiting {
    images: Vec<Vec<f32>>,
    texts: Vec<Vec<f32>>,
}

impl Waiting {
    fn push(&mut self, image: Vec<f32>, text: Vec<f32>) -> Begun {
        self.images.push(image);
        self.texts.push(text);
        Begun::Fused
    }

    /// An image with a text about a second one, or both images with the text where the model has no place for a second.
    fn push_both(
        &mut self,
        encoder: &impl Encoder,
        image: Vec<f32>,
        second: Vec<f32>,
        text: Vec<f32>,
    ) -> Result<Begun, SearchError> {
        let (texts, seconds) = ([text], [second]);
        let beside = encoder.texts_beside(&texts, &seconds).map_err(SearchError::Model)?;
        let ([text], [second]) = (texts, seconds);
        Ok(match beside.map(|mut rows| rows.remove(0)) {
            Some(beside) => self.push(image, beside),
            None => {
                self.push(image, text.clone());
                self.push(second, text);
                Begun::Mean
            }
        })
    }

    /// A vector for each, with the image's tower output.
    fn fuse(self, encoder: &impl Encoder) -> Result<Vec<(Embedding, Vec<f32>)>, SearchError> {
        let Self { images, texts } = self;
        if images.is_empty() {
            return Ok(Vec::new());
        }
        let fused = encoder.fuse(&images, &texts).map_err(SearchError::Model)?;
        let fused = rows("fused", fused, images.len())?;
        Ok(fused.into_iter().zip(images).collect())
    }
}

/// A query after the towers.
enum Begun {
    /// A text alone.
    Alone(Embedding),
    /// The next one of those that were fused.
    Fused,
    /// The mean of the next two.
    Mean,
    /// Asked by BASIC.
    Basic(Arc<BasicSearch>, Vec<f32>, Vec<f32>),
}

impl Begun {
    fn finish(self, fused: &mut impl Iterator<Item = (Embedding, Vec<f32>)>) -> Result<EmbeddedQuery, SearchError> {
        let mut next = || fused.next().expect("a row for each image");
        let of_image = |vector, output| EmbeddedQuery {
            image_output: Some(output),
            ..EmbeddedQuery::by_vector(vector, Space::Target)
        };
        Ok(match self {
            Self::Alone(vector) => EmbeddedQuery::by_vector(vector, Space::Image),
            Self::Fused => {
                let (vector, output) = next();
                of_image(vector, output)
            }
            Self::Mean => {
                let ((first, output), (second, _)) = (next(), next());
                let sum = first.as_slice().iter().zip(second.as_slice()).map(|(a, b)| a + b);
                of_image(Embedding::normalize(sum.collect())?, output)
            }
            Self::Basic(basic, output, text) => EmbeddedQuery {
                comparison: Comparison::Basic {
                    image: output[..basic.dim().min(output.len())].to_vec(),
                    basic,
                    text,
                },
                image_output: Some(output),
            },
        })
    }
}

/// The image tower's outputs of the queries' images, in their order, the second one behind the first; the tower runs for new ones only.
fn image_outputs(encoder: &impl Encoder, queries: &[SearchQuery<'_>]) -> Result<Vec<Vec<f32>>, SearchError> {
    let inputs: Vec<ImageInput<'_>> = queries
        .iter()
        .flat_map(|query| match query {
            SearchQuery::Image { image, second, .. } => [Some(*image), *second],
            SearchQuery::Text(_) => [None, None],
        })
        .flatten()
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
