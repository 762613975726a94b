//! A system that answers queries: weights, and the way in which they make one vector of a query. MagicLens is one way; its
//! rivals use the same weights, or any other CLIP-shaped ones.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use magiclens_data::{Embedding, EmbeddingError};
use magiclens_metrics::Matrix;
use magiclens_model::Embedder;
use magiclens_model::inversion::TextualInversion;

use crate::EvalError;
use crate::benchmark::{Benchmark, Query, TaskKind};
use crate::cache::{Cache, Key};
use crate::images::{Embedded, tower_key};

/// Rows fused or encoded in one go.
const CHUNK: usize = 1024;

/// How a query becomes a vector, and what it is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Method {
    /// Image and instruction, fused, against targets (images fused with the empty text).
    MagicLens,
    /// The image with the empty instruction, against targets.
    EmptyInstruction,
    /// The image's tower against image towers.
    Image,
    /// The instruction's tower against image towers.
    Text,
    /// The weighted sum of both unit vectors against image towers.
    Sum {
        /// The image's part, in 0..=1; the text's is the rest.
        image_weight: f32,
    },
    /// The image as a word in a text, against image towers.
    Inversion(Inversion),
}

/// A textual inversion with the name of its numbers.
#[derive(Clone, Debug)]
pub struct Inversion {
    /// The name of its file.
    name: String,
    network: Arc<TextualInversion>,
    /// Hash of its file: vectors made with it are kept under this name.
    digest: blake3::Hash,
}

impl PartialEq for Inversion {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Inversion {
    /// Loads what `magiclens import inversion` wrote.
    ///
    /// # Errors
    /// A missing or broken file.
    pub fn load(path: &Path) -> Result<Self, EvalError> {
        Ok(Self {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            network: Arc::new(TextualInversion::load(path)?),
            digest: blake3::hash(&fs_err::read(path)?),
        })
    }

    /// The prompt of a query: the benchmark's own, else the authors' template around the caption.
    fn prompt(&self, query: &Query) -> String {
        match &query.prompt {
            Some(prompt) => prompt.replace('*', &self.network.kind().placeholder().to_string()),
            None => self.network.prompt(&query.caption),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MagicLens => f.write_str("magiclens"),
            Self::EmptyInstruction => f.write_str("empty"),
            Self::Image => f.write_str("image"),
            Self::Text => f.write_str("text"),
            Self::Sum { image_weight } => write!(f, "sum:{image_weight}"),
            Self::Inversion(inversion) => write!(f, "inversion by {}", inversion.name),
        }
    }
}

/// A text that names no [`Method`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a method\nhint: it is `magiclens`, `empty`, `image`, `text`, `sum` or `sum:WEIGHT` with the picture's weight from 0 to 1"
)]
pub struct ParseMethodError(String);

impl FromStr for Method {
    type Err = ParseMethodError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseMethodError(text.to_owned());
        match text {
            "magiclens" => Ok(Self::MagicLens),
            "empty" => Ok(Self::EmptyInstruction),
            "image" => Ok(Self::Image),
            "text" => Ok(Self::Text),
            "sum" => Ok(Self::Sum { image_weight: 0.5 }),
            _ => {
                let weight = text.strip_prefix("sum:").ok_or_else(error)?;
                let image_weight: f32 = weight.parse().map_err(|_| error())?;
                let in_range = (0.0..=1.0).contains(&image_weight);
                in_range.then_some(Self::Sum { image_weight }).ok_or_else(error)
            }
        }
    }
}

/// The vectors that gallery items are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    /// Images fused with the empty text.
    Targets,
    /// Image towers, as unit vectors.
    Images,
    /// Text towers, as unit vectors.
    Texts,
}

/// Weights and a method over the images of one benchmark, which are all in the cache.
pub struct System<'a> {
    embedder: &'a Embedder,
    method: &'a Method,
    cache: &'a Cache,
    benchmark: &'a Benchmark,
    keys: &'a [Option<Key>],
    /// The last gallery, which the next task or variant often needs again.
    last: Option<(Space, Vec<usize>, Arc<Matrix>)>,
}

impl<'a> System<'a> {
    /// `embedded` is of the same benchmark and model.
    pub fn new(
        embedder: &'a Embedder,
        method: &'a Method,
        cache: &'a Cache,
        benchmark: &'a Benchmark,
        embedded: &'a Embedded,
    ) -> Self {
        Self {
            embedder,
            method,
            cache,
            benchmark,
            keys: &embedded.keys,
            last: None,
        }
    }

    /// The space in which a task's gallery is searched.
    pub(crate) fn space(&self, kind: TaskKind) -> Space {
        match (kind, self.method) {
            (TaskKind::ImageToText, _) => Space::Texts,
            (TaskKind::TextToImage, _) => Space::Images,
            (TaskKind::Composed, Method::MagicLens | Method::EmptyInstruction) => Space::Targets,
            (TaskKind::Composed, _) => Space::Images,
        }
    }

    /// The vectors of gallery items, a row each.
    pub(crate) fn gallery(&mut self, space: Space, rows: &[usize]) -> Result<Arc<Matrix>, EvalError> {
        if let Some((last_space, last_rows, matrix)) = &self.last
            && (*last_space, last_rows.as_slice()) == (space, rows)
        {
            return Ok(Arc::clone(matrix));
        }
        self.last = None;
        let mut matrix = Matrix::with_capacity(self.embedder.dim(), rows.len());
        for chunk in rows.chunks(CHUNK) {
            let vectors = match space {
                Space::Targets => self.targets(chunk)?,
                Space::Images => normalize(self.towers(chunk)?)?,
                Space::Texts => {
                    let texts: Vec<&str> = chunk
                        .iter()
                        .map(|row| self.benchmark.texts[*row].text.as_str())
                        .collect();
                    normalize(self.texts(&texts)?)?
                }
            };
            vectors.iter().for_each(|vector| matrix.push(vector));
        }
        let matrix = Arc::new(matrix);
        self.last = Some((space, rows.to_vec(), Arc::clone(&matrix)));
        Ok(matrix)
    }

    /// The vectors of queries, a row each.
    pub(crate) fn queries(&self, kind: TaskKind, queries: &[Query]) -> Result<Matrix, EvalError> {
        let mut matrix = Matrix::with_capacity(self.embedder.dim(), queries.len());
        for chunk in queries.chunks(CHUNK) {
            let vectors = match kind {
                TaskKind::Composed => self.composed(chunk)?,
                TaskKind::ImageToText => self.pooled(chunk, |images| normalize(self.towers(images)?))?,
                TaskKind::TextToImage => normalize(self.texts(&texts_of(chunk))?)?,
            };
            vectors.iter().for_each(|vector| matrix.push(vector));
        }
        Ok(matrix)
    }

    fn composed(&self, queries: &[Query]) -> Result<Vec<Vec<f32>>, EvalError> {
        match self.method {
            Method::MagicLens => self.fused(queries),
            Method::EmptyInstruction => self.pooled(queries, |images| self.targets(images)),
            Method::Image => self.pooled(queries, |images| normalize(self.towers(images)?)),
            Method::Text => normalize(self.texts(&texts_of(queries))?),
            Method::Sum { image_weight } => {
                let images = self.pooled(queries, |images| normalize(self.towers(images)?))?;
                let texts = normalize(self.texts(&texts_of(queries))?)?;
                let sums = images.iter().zip(&texts).map(|(image, text)| {
                    let both = image.iter().zip(text);
                    both.map(|(image, text)| image_weight * image + (1.0 - image_weight) * text)
                        .collect()
                });
                normalize(sums.collect())
            }
            Method::Inversion(inversion) => self.inverted(inversion, queries),
        }
    }

    /// Each query's image as a word in its prompt; of several images the mean direction.
    fn inverted(&self, inversion: &Inversion, queries: &[Query]) -> Result<Vec<Vec<f32>>, EvalError> {
        let prompts: Vec<String> = queries.iter().map(|query| inversion.prompt(query)).collect();
        let pairs: Vec<(usize, &str)> = queries
            .iter()
            .zip(&prompts)
            .flat_map(|(query, prompt)| query.images.iter().map(move |row| (*row, prompt.as_str())))
            .collect();
        let digest = inversion.digest.as_bytes();
        let keys = pairs
            .iter()
            .map(|(row, prompt)| {
                Ok(Key::of(&[
                    b"inversion",
                    digest,
                    self.key(*row)?.bytes(),
                    prompt.as_bytes(),
                ]))
            })
            .collect::<Result<Vec<_>, EvalError>>()?;
        let texts = self.cache.get_or(&keys, self.embedder.dim(), |rows| {
            let images: Vec<usize> = rows.iter().map(|row| pairs[*row].0).collect();
            let prompts: Vec<&str> = rows.iter().map(|row| pairs[*row].1).collect();
            let towers = self.towers(&images)?;
            Ok(self
                .embedder
                .encode_texts_with_pseudo(&inversion.network, &towers, &prompts)?)
        })?;
        mean_directions(queries, normalize(texts)?)
    }

    /// Every image of a query fused with its instruction; of several the mean direction.
    fn fused(&self, queries: &[Query]) -> Result<Vec<Vec<f32>>, EvalError> {
        let pairs: Vec<(usize, &str)> = queries
            .iter()
            .flat_map(|query| query.images.iter().map(|row| (*row, query.text.as_str())))
            .collect();
        let keys = pairs
            .iter()
            .map(|(row, text)| Ok(Key::of(&[b"query", self.key(*row)?.bytes(), text.as_bytes()])))
            .collect::<Result<Vec<_>, EvalError>>()?;
        let fused = self.cache.get_or(&keys, self.embedder.dim(), |rows| {
            let images: Vec<usize> = rows.iter().map(|row| pairs[*row].0).collect();
            let texts: Vec<&str> = rows.iter().map(|row| pairs[*row].1).collect();
            let fused = self.embedder.fuse(&self.towers(&images)?, &self.texts(&texts)?)?;
            Ok(fused.into_iter().map(|vector| vector.as_slice().to_vec()).collect())
        })?;
        mean_directions(queries, fused)
    }

    /// One vector a query from one vector an image.
    fn pooled(
        &self,
        queries: &[Query],
        vectors: impl Fn(&[usize]) -> Result<Vec<Vec<f32>>, EvalError>,
    ) -> Result<Vec<Vec<f32>>, EvalError> {
        let rows: Vec<usize> = queries.iter().flat_map(|query| query.images.iter().copied()).collect();
        mean_directions(queries, vectors(&rows)?)
    }

    /// Images fused with the empty text, as unit vectors.
    fn targets(&self, rows: &[usize]) -> Result<Vec<Vec<f32>>, EvalError> {
        let keys = rows
            .iter()
            .map(|row| Ok(Key::of(&[b"target", self.key(*row)?.bytes()])))
            .collect::<Result<Vec<_>, EvalError>>()?;
        self.cache.get_or(&keys, self.embedder.dim(), |missing| {
            let images: Vec<usize> = missing.iter().map(|at| rows[*at]).collect();
            let targets = self.embedder.embed_targets(&self.towers(&images)?)?;
            Ok(targets.into_iter().map(|vector| vector.as_slice().to_vec()).collect())
        })
    }

    /// The image tower's outputs, which the cache has.
    fn towers(&self, rows: &[usize]) -> Result<Vec<Vec<f32>>, EvalError> {
        let keys = rows
            .iter()
            .map(|row| Ok(tower_key(self.key(*row)?)))
            .collect::<Result<Vec<_>, EvalError>>()?;
        let found = self.cache.get(&keys, self.embedder.dim())?;
        let images = rows.iter().map(|row| &self.benchmark.images[*row].path);
        found
            .into_iter()
            .zip(images)
            .map(|(vector, path)| {
                vector.ok_or_else(|| EvalError::Method {
                    method: self.method.to_string(),
                    reason: format!("the cache lost the vector of `{}` while it was used", path.display()),
                })
            })
            .collect()
    }

    /// The text tower's outputs.
    fn texts(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EvalError> {
        let keys: Vec<Key> = texts
            .iter()
            .map(|text| Key::of(&[b"text tower", text.as_bytes()]))
            .collect();
        self.cache.get_or(&keys, self.embedder.dim(), |missing| {
            let missing: Vec<&str> = missing.iter().map(|at| texts[*at]).collect();
            Ok(self.embedder.encode_texts(&missing)?)
        })
    }

    fn key(&self, row: usize) -> Result<&Key, EvalError> {
        self.keys[row].as_ref().ok_or_else(|| EvalError::Method {
            method: self.method.to_string(),
            reason: format!("`{}` has no vector", self.benchmark.images[row].path.display()),
        })
    }
}

fn texts_of(queries: &[Query]) -> Vec<&str> {
    queries.iter().map(|query| query.text.as_str()).collect()
}

/// For each query the normalized mean of the vectors of its images, which stand one after another.
fn mean_directions(queries: &[Query], vectors: Vec<Vec<f32>>) -> Result<Vec<Vec<f32>>, EvalError> {
    let mut vectors = vectors.into_iter();
    let means = queries.iter().map(|query| {
        let mut own = vectors.by_ref().take(query.images.len());
        let Some(mut sum) = own.next() else {
            return Err(EvalError::Method {
                method: "a query by picture".to_owned(),
                reason: format!("query `{}` has no picture", query.id),
            });
        };
        let mut alone = true;
        for vector in own {
            alone = false;
            sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
        }
        // A single unit vector stays as it is, to the last bit.
        if alone { Ok(sum) } else { unit(sum) }
    });
    means.collect()
}

fn normalize(rows: Vec<Vec<f32>>) -> Result<Vec<Vec<f32>>, EvalError> {
    rows.into_iter().map(unit).collect()
}

fn unit(row: Vec<f32>) -> Result<Vec<f32>, EvalError> {
    let normalized = Embedding::normalize(row).map_err(|error: EmbeddingError| EvalError::Method {
        method: "a unit vector".to_owned(),
        reason: error.to_string(),
    })?;
    Ok(normalized.as_slice().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_read_as_they_are_written() {
        for text in ["magiclens", "empty", "image", "text", "sum:0.25"] {
            assert_eq!(text.parse::<Method>().unwrap().to_string(), text);
        }
        assert_eq!("sum".parse(), Ok(Method::Sum { image_weight: 0.5 }));
        for refused in ["", "sum:", "sum:2", "sum:-0.1", "sum:nan", "Image"] {
            let error = refused.parse::<Method>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{refused}`")), "{error}");
        }
    }

    #[test]
    fn several_images_give_their_mean_direction() {
        let query = |images: &[usize]| Query {
            images: images.to_vec(),
            ..Query::default()
        };
        let vectors = vec![vec![1.0, 0.0], vec![1.0, 0.0], vec![0.0, 1.0]];
        let found = mean_directions(&[query(&[0]), query(&[1, 2])], vectors).unwrap();
        assert_eq!(found[0], [1.0, 0.0]);
        assert!(found[1].iter().all(|value| (value - 0.5_f32.sqrt()).abs() < 1e-6));
        assert!(mean_directions(&[query(&[])], vec![]).is_err());
    }
}
