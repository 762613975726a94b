//! The side of queries in a comparison with a gallery: vectors, or the two comparisons of BASIC.

use magiclens_metrics::{Matrix, score_all};
use magiclens_model::basic::BasicQuery;
use rayon::prelude::*;

/// Queries that are ready to score a gallery.
pub(crate) enum Probes {
    /// A row each; the score is the dot product.
    Vectors(Matrix),
    /// Made for one gallery; the score is the product of two similarities.
    Basic(Vec<BasicQuery>),
}

impl Probes {
    /// The scores of every gallery row for each of the queries, handed to `each` with the number of the query. As many lists of
    /// scores lie in memory as there are cores, or blocks of [`score_all`].
    pub(crate) fn score_all<T: Send>(
        &self,
        gallery: &Matrix,
        each: impl Fn(usize, &mut Vec<f32>) -> T + Sync,
    ) -> Vec<T> {
        match self {
            Self::Vectors(vectors) => score_all(vectors, gallery, each),
            Self::Basic(queries) => {
                let queries = queries.par_iter().enumerate();
                let score = |(at, query): (usize, &BasicQuery)| {
                    let mut scores = gallery.rows().map(|row| query.score(row)).collect();
                    each(at, &mut scores)
                };
                queries.map(score).collect()
            }
        }
    }
}
