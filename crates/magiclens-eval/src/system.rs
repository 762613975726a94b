//! A system that answers queries: weights and a method over the images of a benchmark.

use std::sync::Arc;

use magiclens_data::{Embedding, EmbeddingError};
use magiclens_metrics::Matrix;
use magiclens_model::basic::BasicQuery;
use magiclens_model::{Basic, Embedder, ModelError};
use rayon::prelude::*;

use crate::benchmark::{ImageEntry, Query, TaskKind, TextEntry};
use crate::cache::{Cache, Key};
use crate::images::{Embedded, tower_key};
use crate::method::{Inversion, Method};
use crate::probes::Probes;
use crate::{BrokenImage, EvalError};

/// Rows fused or encoded in one go.
const CHUNK: usize = 1024;

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

/// Weights with a way to ask them, and the cache of their vectors.
#[derive(Clone, Copy)]
pub struct AskedModel<'a> {
    /// The weights.
    pub embedder: &'a Embedder,
    /// The way.
    pub method: &'a Method,
    /// The place of its vectors.
    pub cache: &'a Cache,
}

/// A model over the images of one benchmark, whose tower outputs are all in the cache.
pub struct EvalSystem<'a> {
    model: AskedModel<'a>,
    images: &'a [ImageEntry],
    texts: &'a [TextEntry],
    embedded: &'a Embedded,
    /// The last gallery, which the next task or variant often needs again.
    last: Option<(Space, Vec<usize>, Arc<Matrix>)>,
    /// Prepared by the first query that needs it.
    basic: Option<Arc<Basic>>,
}

impl<'a> EvalSystem<'a> {
    /// `embedded` is of the same images and model.
    pub fn new(
        model: AskedModel<'a>,
        images: &'a [ImageEntry],
        texts: &'a [TextEntry],
        embedded: &'a Embedded,
    ) -> Self {
        Self {
            model,
            images,
            texts,
            embedded,
            last: None,
            basic: None,
        }
    }

    /// The space in which a task's gallery is searched.
    pub(crate) fn space(&self, kind: TaskKind) -> Space {
        match (kind, self.model.method) {
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
        let mut matrix = Matrix::with_capacity(self.model.embedder.dim(), rows.len());
        for chunk in rows.chunks(CHUNK) {
            let vectors = match space {
                Space::Targets => self.targets(chunk)?,
                Space::Images => normalize(self.shared_images(chunk)?)?,
                Space::Texts => {
                    let texts: Vec<&str> = chunk.iter().map(|row| self.texts[*row].text.as_str()).collect();
                    normalize(self.shared_texts(&texts)?)?
                }
            };
            vectors.iter().for_each(|vector| matrix.push(vector));
        }
        let matrix = Arc::new(matrix);
        self.last = Some((space, rows.to_vec(), Arc::clone(&matrix)));
        Ok(matrix)
    }

    /// Queries, ready to score this gallery.
    pub(crate) fn probes(&mut self, kind: TaskKind, queries: &[Query], gallery: &Matrix) -> Result<Probes, EvalError> {
        match (kind, self.model.method) {
            (TaskKind::Composed, Method::Basic) => Ok(Probes::Basic(self.basic_queries(queries, gallery)?)),
            _ => Ok(Probes::Vectors(self.queries(kind, queries)?)),
        }
    }

    /// Both comparisons of each query by BASIC.
    fn basic_queries(&mut self, queries: &[Query], gallery: &Matrix) -> Result<Vec<BasicQuery>, EvalError> {
        let basic = self.basic()?;
        let statistics = basic.statistics(gallery.rows());
        let images = self.composed(queries)?;
        let texts = self.shared_texts(&texts_of(queries))?;
        let pairs = images.par_iter().zip(&texts);
        let query = |(image, text): (&Vec<f32>, &Vec<f32>)| {
            let query = basic.query(image, text, gallery.rows(), &statistics);
            Ok(query.map_err(ModelError::from)?)
        };
        pairs.map(query).collect()
    }

    /// BASIC of these weights, kept beside the vectors.
    fn basic(&mut self) -> Result<Arc<Basic>, EvalError> {
        if let Some(basic) = &self.basic {
            return Ok(Arc::clone(basic));
        }
        let basic = Basic::load_or_prepare(self.model.cache.folder(), self.model.embedder)?;
        Ok(Arc::clone(self.basic.insert(Arc::new(basic))))
    }

    /// The vectors of queries, a row each.
    fn queries(&self, kind: TaskKind, queries: &[Query]) -> Result<Matrix, EvalError> {
        let mut matrix = Matrix::with_capacity(self.model.embedder.dim(), queries.len());
        for chunk in queries.chunks(CHUNK) {
            let vectors = match kind {
                TaskKind::Composed => self.composed(chunk)?,
                TaskKind::ImageToText => self.pooled(chunk, |images| normalize(self.shared_images(images)?))?,
                TaskKind::TextToImage => normalize(self.shared_texts(&texts_of(chunk))?)?,
            };
            vectors.iter().for_each(|vector| matrix.push(vector));
        }
        Ok(matrix)
    }

    fn composed(&self, queries: &[Query]) -> Result<Vec<Vec<f32>>, EvalError> {
        match self.model.method {
            Method::MagicLens => self.fused(queries),
            Method::EmptyInstruction => self.pooled(queries, |images| self.targets(images)),
            // The text of BASIC is compared apart.
            Method::Image | Method::Basic => self.pooled(queries, |images| normalize(self.shared_images(images)?)),
            Method::Text => normalize(self.shared_texts(&texts_of(queries))?),
            Method::Sum { image_weight } => {
                let images = self.pooled(queries, |images| normalize(self.shared_images(images)?))?;
                let texts = normalize(self.shared_texts(&texts_of(queries))?)?;
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
        let prompts: Vec<&str> = prompts.iter().map(String::as_str).collect();
        let digest = inversion.digest().to_bytes();
        let key = |image: &Key, prompt: &str| Key::of(&[b"inversion", &digest, image.bytes(), prompt.as_bytes()]);
        let texts = self.combined(queries, &prompts, key, |images, prompts| {
            let embedder = self.model.embedder;
            Ok(embedder.encode_texts_with_pseudo(inversion.network(), images, prompts)?)
        })?;
        mean_directions(queries, normalize(texts)?)
    }

    /// Every image of a query fused with its instruction; of several the mean direction, unless the model has a place for a second image.
    fn fused(&self, queries: &[Query]) -> Result<Vec<Vec<f32>>, EvalError> {
        let key = |image: &Key, text: &str| Key::of(&[b"query", image.bytes(), text.as_bytes()]);
        let takes_second = self.model.embedder.config().fusion.takes_second_image();
        let pairs = queries.iter().filter(|query| takes_second && query.images.len() == 2);
        let mut of_two = self.fused_beside(&pairs.collect::<Vec<_>>())?.into_iter();
        let is_mean = |query: &&Query| !takes_second || query.images.len() != 2;
        let others: Vec<Query> = queries.iter().filter(is_mean).cloned().collect();
        let fused = self.combined(&others, &texts_of(&others), key, |images, texts| {
            let fused = self.model.embedder.fuse(images, &self.texts(texts)?)?;
            Ok(fused.into_iter().map(|vector| vector.as_slice().to_vec()).collect())
        })?;
        let mut means = mean_directions(&others, fused)?.into_iter();
        let next = |query: &Query| match is_mean(&query) {
            true => means.next(),
            false => of_two.next(),
        };
        Ok(queries.iter().filter_map(next).collect())
    }

    /// Queries of two images, by a model that has a place for the second.
    fn fused_beside(&self, queries: &[&Query]) -> Result<Vec<Vec<f32>>, EvalError> {
        let images = |at: usize| -> Vec<usize> { queries.iter().map(|query| query.images[at]).collect() };
        let embedder = self.model.embedder;
        let texts: Vec<&str> = queries.iter().map(|query| query.text.as_str()).collect();
        let (firsts, seconds) = (self.towers(&images(0))?, self.towers(&images(1))?);
        let beside = embedder
            .texts_beside(&self.texts(&texts)?, &seconds)?
            .unwrap_or_default();
        let fused = embedder.fuse(&firsts, &beside)?;
        Ok(fused.into_iter().map(|vector| vector.as_slice().to_vec()).collect())
    }

    /// Every image of every query, combined with the text of its query.
    fn combined(
        &self,
        queries: &[Query],
        texts: &[&str],
        key: impl Fn(&Key, &str) -> Key,
        combine: impl Fn(&[Vec<f32>], &[&str]) -> Result<Vec<Vec<f32>>, EvalError>,
    ) -> Result<Vec<Vec<f32>>, EvalError> {
        let pairs = queries.iter().zip(texts);
        let pairs = pairs.flat_map(|(query, text)| query.images.iter().map(move |row| (*row, *text)));
        let pairs: Vec<(usize, &str)> = pairs.collect();
        let keys = self.keys(&pairs, |(row, _)| *row, |image, (_, text)| key(image, text))?;
        self.cached(&keys, |places| {
            let (images, texts): (Vec<usize>, Vec<&str>) = places.iter().map(|at| pairs[*at]).unzip();
            combine(&self.towers(&images)?, &texts)
        })
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
        let keys = self.keys(rows, |row| *row, |image, _| Key::of(&[b"target", image.bytes()]))?;
        self.cached(&keys, |missing| {
            let images: Vec<usize> = missing.iter().map(|at| rows[*at]).collect();
            let targets = self.model.embedder.embed_targets(&self.towers(&images)?)?;
            Ok(targets.into_iter().map(|vector| vector.as_slice().to_vec()).collect())
        })
    }

    /// The parts of image tower outputs that are compared with texts.
    fn shared_images(&self, rows: &[usize]) -> Result<Vec<Vec<f32>>, EvalError> {
        Ok(self.shared(self.towers(rows)?))
    }

    /// The parts of text tower outputs that are compared with images.
    fn shared_texts(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EvalError> {
        Ok(self.shared(self.texts(texts)?))
    }

    fn shared(&self, mut rows: Vec<Vec<f32>>) -> Vec<Vec<f32>> {
        rows.iter_mut().for_each(|row| row.truncate(self.model.embedder.dim()));
        rows
    }

    /// The image tower's outputs, which the cache has.
    fn towers(&self, rows: &[usize]) -> Result<Vec<Vec<f32>>, EvalError> {
        let keys = self.keys(rows, |row| *row, |image, _| tower_key(image))?;
        let found = self.model.cache.get(&keys, self.model.embedder.row_width())?;
        let images = rows.iter().map(|row| &self.images[*row].path);
        found
            .into_iter()
            .zip(images)
            .map(|(vector, path)| {
                let lost = || format!("the cache lost the vector of `{}` while it was used", path.display());
                vector.ok_or_else(|| self.refuse(lost()))
            })
            .collect()
    }

    /// The text tower's outputs.
    fn texts(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EvalError> {
        let keys: Vec<Key> = texts
            .iter()
            .map(|text| Key::of(&[b"text tower", text.as_bytes()]))
            .collect();
        let encode = |missing: &[usize]| {
            let missing: Vec<&str> = missing.iter().map(|at| texts[*at]).collect();
            Ok(self.model.embedder.encode_texts(&missing)?)
        };
        self.model.cache.get_or(&keys, self.model.embedder.row_width(), encode)
    }

    /// The cache key of each item, made from the key of its image.
    fn keys<T>(
        &self,
        items: &[T],
        image: impl Fn(&T) -> usize,
        key: impl Fn(&Key, &T) -> Key,
    ) -> Result<Vec<Key>, EvalError> {
        let of = |item| {
            let broken = |broken: &BrokenImage| self.refuse(format!("`{}` {}", broken.path.display(), broken.reason));
            let image = self.embedded.images[image(item)].as_ref().map_err(broken)?;
            Ok(key(image, item))
        };
        items.iter().map(of).collect()
    }

    fn cached(
        &self,
        keys: &[Key],
        compute: impl FnMut(&[usize]) -> Result<Vec<Vec<f32>>, EvalError>,
    ) -> Result<Vec<Vec<f32>>, EvalError> {
        self.model.cache.get_or(keys, self.model.embedder.dim(), compute)
    }

    fn refuse(&self, reason: String) -> EvalError {
        EvalError::Method {
            method: self.model.method.to_string(),
            reason,
        }
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
                method: "a query by image".to_owned(),
                reason: format!("query `{}` has no image", query.id),
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
