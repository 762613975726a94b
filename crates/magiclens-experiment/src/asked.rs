//! A trained head that is asked: by the tasks of the test part, and by the probes of robustness.

use burn::tensor::{Device, Tensor};
use magiclens_eval::EvalError;
use magiclens_eval::benchmark::{Task, TaskKind};
use magiclens_eval::robustness::{Answered, Ranker, RobustQuery, RobustnessReport, measure};
use magiclens_eval::run::run_vectors;
use magiclens_metrics::{Matrix, rank, score_all};
use magiclens_model::checkpoint::tensors_of;
use magiclens_model::fusion::unit;
use magiclens_model::rows::to_rows;
use magiclens_train::dev::embed_pairs;
use magiclens_train::feature_table::FeatureTable;
use magiclens_train::head::Head;
use rayon::prelude::*;

use crate::ExperimentError;
use crate::features::TextFeatures;
use crate::measure::{RunValues, TaskValues, TestPart, with_query_kept};

/// Rows projected in one go.
const CHUNK: usize = 256;

/// A head over the test part.
pub(crate) struct Asked<'a> {
    head: &'a Head,
    test: &'a TestPart,
    texts: &'a mut TextFeatures,
    /// Every image of the part, fused with the empty text.
    targets: Matrix,
}

impl<'a> Asked<'a> {
    pub(crate) fn new(
        head: &'a Head,
        test: &'a TestPart,
        texts: &'a mut TextFeatures,
    ) -> Result<Self, ExperimentError> {
        let empty = texts.rows(&[""], &mut |_| ())?[0];
        let pairs: Vec<(usize, usize)> = (0..test.images.len()).map(|row| (row, empty)).collect();
        Ok(Self {
            targets: embed_pairs(head, &test.images, texts.table(), &pairs),
            head,
            test,
            texts,
        })
    }

    /// The values of every task.
    pub(crate) fn values(&mut self) -> Result<RunValues, ExperimentError> {
        let mut tasks = Vec::new();
        for task in &self.test.tasks {
            tasks.extend(self.task(task)?);
        }
        Ok(RunValues {
            parameters: tensors_of(self.head).values().map(|tensor| tensor.values.len()).sum(),
            tasks,
        })
    }

    /// The answers to requests in other words, with "not", without sense.
    pub(crate) fn robustness(&mut self) -> Result<RobustnessReport, ExperimentError> {
        let collection = &self.test.collection;
        Ok(measure(collection, self)?)
    }

    /// A relation gives a second task, with the query image kept.
    fn task(&mut self, task: &Task) -> Result<Vec<TaskValues>, ExperimentError> {
        let texts: Vec<&str> = task.queries.iter().map(|query| query.text.as_str()).collect();
        let rows: Vec<usize> = (0..self.test.images.len()).collect();
        let values = |task: &Task, queries: &Matrix, gallery: &Matrix| {
            TaskValues::of(task, &run_vectors(task, queries.clone(), rows.clone(), gallery))
        };
        if task.kind == TaskKind::TextToImage {
            let known = self.texts.of(&texts, &mut |_| ())?;
            let gallery = projected(&self.test.images, |rows| self.head.project_images(rows));
            let queries = projected(&known, |rows| self.head.project_texts(rows));
            return Ok(vec![values(task, &queries, &gallery)]);
        }
        let images = task.queries.iter().map(|query| query.images[0]);
        let pairs: Vec<(usize, usize)> = images.zip(self.texts.rows(&texts, &mut |_| ())?).collect();
        let queries = self.embed(&pairs);
        let mut found = vec![values(task, &queries, &self.targets)];
        if !task.gallery.is_empty() {
            found.push(values(&with_query_kept(task), &queries, &self.targets));
        }
        Ok(found)
    }

    fn embed(&self, pairs: &[(usize, usize)]) -> Matrix {
        embed_pairs(self.head, &self.test.images, self.texts.table(), pairs)
    }

    /// The vector of each query; of several images the mean direction.
    fn vectors(&mut self, queries: &[RobustQuery]) -> Result<Matrix, ExperimentError> {
        let texts: Vec<&str> = queries.iter().map(|query| query.text.as_str()).collect();
        let texts = self.texts.rows(&texts, &mut |_| ())?;
        let pairs = queries.iter().zip(texts);
        let pairs = pairs.flat_map(|(query, text)| query.images.iter().map(move |image| (*image, text)));
        let embedded = self.embed(&pairs.collect::<Vec<_>>());
        let mut rows = embedded.rows();
        let mut vectors = Matrix::with_capacity(embedded.dim(), queries.len());
        for query in queries {
            let mut sum = vec![0.0; embedded.dim()];
            for row in rows.by_ref().take(query.images.len()) {
                sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            }
            let norm = sum.iter().map(|value| value * value).sum::<f32>().sqrt();
            sum.iter_mut().for_each(|value| *value /= norm.max(f32::MIN_POSITIVE));
            vectors.push(&sum);
        }
        Ok(vectors)
    }
}

impl Ranker for Asked<'_> {
    fn rank(&mut self, queries: &[RobustQuery], gallery: &[usize], depth: usize) -> Result<Vec<Answered>, EvalError> {
        let vectors = self.vectors(queries).map_err(|error| EvalError::Method {
            method: "a trained head".to_owned(),
            reason: error.to_string(),
        })?;
        let mut items = Matrix::with_capacity(self.targets.dim(), gallery.len());
        gallery.iter().for_each(|row| items.push(self.targets.row(*row)));
        let answers = score_all(&vectors, &items, |at, scores| {
            let excluded = (0..gallery.len()).filter(|place| queries[at].exclude.contains(&gallery[*place]));
            let ranked = rank(scores, Some(depth), &excluded.collect::<Vec<_>>());
            Answered {
                items: ranked.iter().map(|place| gallery[*place as usize]).collect(),
                scores: ranked.iter().map(|place| scores[*place as usize]).collect(),
            }
        });
        Ok(answers)
    }
}

/// Projected rows as unit vectors, on all cores.
fn projected(table: &FeatureTable, project: impl Fn(Tensor<2>) -> Tensor<2> + Sync) -> Matrix {
    let device = Device::flex();
    let rows: Vec<usize> = (0..table.len()).collect();
    let pieces: Vec<Vec<Vec<f32>>> = rows
        .par_chunks(CHUNK)
        .map(|rows| to_rows(unit(project(table.tensor(rows.iter().copied(), &device)))))
        .collect();
    let rows: Vec<Vec<f32>> = pieces.into_iter().flatten().collect();
    let mut matrix = Matrix::with_capacity(rows.first().map_or(0, Vec::len), rows.len());
    rows.iter().for_each(|row| matrix.push(row));
    matrix
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use magiclens_data::decode::{Limits, read_rgb};
    use magiclens_model::Embedder;
    use magiclens_model::checkpoint::{StoredFloat, write_checkpoint};
    use magiclens_train::run::StepMetrics;

    use super::*;
    use crate::bench::Bench;
    use crate::condition::Condition;
    use crate::measure::QUERY_KEPT;
    use crate::settings::Settings;
    use crate::setup::{Listener, Setup};
    use crate::toy;

    struct Silent;

    impl Listener for Silent {
        fn begin(&mut self, _what: &str, _count: usize) {}
        fn advance(&mut self, _count: usize) {}
        fn step(&mut self, _metrics: &StepMetrics) {}
    }

    fn bench(folder: &Path) -> Bench {
        toy::collection(folder);
        let setup = Setup {
            settings: Settings::read(None).unwrap(),
            data: folder.to_owned(),
            start: toy::start(),
            out: folder.join("out"),
            cache: None,
        };
        Bench::open(&setup, &mut Silent).unwrap()
    }

    /// The same head in a checkpoint, as `magiclens eval` asks it.
    fn embedder(bench: &Bench, head: &Head, folder: &Path) -> Embedder {
        let start = bench.texts.embedder();
        let model = head.clone().into_model(start.model().unwrap().clone()).unwrap();
        let config = Condition::BASE.model(start.config()).unwrap();
        let weights = folder.join("head.safetensors");
        write_checkpoint(&weights, &config, &tensors_of(&model), StoredFloat::F32, &[]).unwrap();
        Embedder::load(&weights).unwrap()
    }

    #[test]
    fn vectors_are_those_of_the_whole_model() {
        let folder = tempfile::tempdir().unwrap();
        let mut bench = bench(folder.path());
        let head = bench.head(&Condition::BASE, 3).unwrap();
        let embedder = embedder(&bench, &head, folder.path());
        let Bench { texts, test, .. } = &mut bench;
        let read = |path: &str| read_rgb(&folder.path().join(path), &Limits::default()).unwrap();
        let images: Vec<_> = test.collection.images.iter().map(|image| read(&image.path)).collect();
        let towers = embedder.encode_images(&images).unwrap();
        let mut asked = Asked::new(&head, test, texts).unwrap();
        for (own, expected) in asked.targets.rows().zip(embedder.embed_targets(&towers).unwrap()) {
            assert_close(own, expected.as_slice());
        }
        let query = RobustQuery {
            images: vec![7],
            text: "a shade 9 one".to_owned(),
            exclude: Vec::new(),
        };
        let expected = embedder.embed_query(&towers[7], &query.text).unwrap();
        assert_close(asked.vectors(&[query]).unwrap().row(0), expected.as_slice());
    }

    #[track_caller]
    fn assert_close(own: &[f32], expected: &[f32]) {
        let furthest = own.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(
            furthest < 1e-4 && own.len() == expected.len(),
            "{furthest}: {own:?} {expected:?}"
        );
    }

    #[test]
    fn where_the_query_image_may_come_no_answer_comes_sooner() {
        let folder = tempfile::tempdir().unwrap();
        let mut bench = bench(folder.path());
        let head = bench.head(&Condition::BASE, 3).unwrap();
        let Bench { texts, test, .. } = &mut bench;
        let values = Asked::new(&head, test, texts).unwrap().values().unwrap();
        let names: Vec<&str> = values.tasks.iter().map(|task| task.task.as_str()).collect();
        assert_eq!(names.len(), 5, "{names:?}");
        for pair in values.tasks[..4].chunks(2) {
            assert_eq!(pair[1].task, format!("{}{QUERY_KEPT}", pair[0].task));
            for (label, own) in &pair[0].values {
                let mut both = pair[1].values[label].iter().zip(own);
                assert!(both.all(|(kept, own)| kept <= own), "{label}");
            }
        }
        assert_eq!((names[4], values.tasks[4].clusters.len()), ("text_to_image", 26));
    }
}
