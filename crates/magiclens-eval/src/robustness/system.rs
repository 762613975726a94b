//! A model as the ranker that is asked.

use magiclens_collection::Collection;
use magiclens_metrics::rank;

use super::{Answered, Ranker, RobustQuery, RobustnessReport, measure};
use crate::EvalError;
use crate::benchmark::{Query, TaskKind, image_entries};
use crate::images::{Step, embed_images};
use crate::run::{QUERIES, excluded, positions};
use crate::system::{AskedModel, EvalSystem};

/// [`measure`] of a model.
///
/// # Errors
/// An image of the collection that cannot be used; the model or the cache.
pub fn measure_model(
    collection: &Collection,
    model: AskedModel<'_>,
    progress: &dyn Fn(Step<'_>),
) -> Result<RobustnessReport, EvalError> {
    let images = image_entries(collection);
    let embedded = embed_images(&images, model.embedder, model.cache, progress)?;
    if let Some((_, broken)) = embedded.broken().next() {
        return Err(EvalError::CollectionImage(broken.clone()));
    }
    measure(collection, &mut EvalSystem::new(model, &images, &[], &embedded))
}

impl Ranker for EvalSystem<'_> {
    fn rank(&mut self, queries: &[RobustQuery], gallery: &[usize], depth: usize) -> Result<Vec<Answered>, EvalError> {
        let vectors = self.gallery(self.space(TaskKind::Composed), gallery)?;
        let positions = positions(gallery);
        let mut answers = Vec::with_capacity(queries.len());
        for chunk in queries.chunks(QUERIES) {
            let asked: Vec<Query> = chunk.iter().map(as_query).collect();
            let probes = self.probes(TaskKind::Composed, &asked, &vectors)?;
            answers.extend(probes.score_all(&vectors, |at, scores| {
                let ranked = rank(scores, Some(depth), &excluded(&chunk[at].exclude, &positions));
                Answered {
                    scores: ranked.iter().map(|position| scores[*position as usize]).collect(),
                    items: ranked.iter().map(|position| gallery[*position as usize]).collect(),
                }
            }));
        }
        Ok(answers)
    }
}

fn as_query(query: &RobustQuery) -> Query {
    Query {
        images: query.images.clone(),
        text: query.text.clone(),
        ..Query::default()
    }
}
