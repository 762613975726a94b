//! Queries and indexing over a fake model that sees mean colors.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use image::{Rgb, RgbImage};
use magiclens_data::Embedding;
use magiclens_index::{Index, Space};
use magiclens_search::{
    EncodeError, Encoder, ImageInput, IndexOptions, IndexProgress, IndexSummary, QueryImage, SearchError, SearchQuery,
    embed_queries, embed_query, index_images,
};
use tempfile::TempDir;

/// Image tower: the mean color. Text tower: the colors that are named. Fusion: the sum. Fails once it is out of patience.
struct FakeModel {
    patience: AtomicUsize,
}

impl FakeModel {
    fn new() -> Self {
        let patience = AtomicUsize::new(usize::MAX);
        Self { patience }
    }
}

impl Encoder for FakeModel {
    fn model_id(&self) -> &str {
        "fake"
    }

    fn dim(&self) -> usize {
        3
    }

    fn encode_images(&self, images: &[&RgbImage]) -> Result<Vec<Vec<f32>>, EncodeError> {
        let left = self.patience.load(Ordering::SeqCst).checked_sub(1);
        self.patience.store(left.ok_or("out of patience")?, Ordering::SeqCst);
        let color = |image: &&RgbImage| image.get_pixel(0, 0).0.map(|value| f32::from(value) / 255.0).to_vec();
        Ok(images.iter().map(color).collect())
    }

    fn encode_texts(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EncodeError> {
        let named = |text: &&str| {
            ["red", "green", "blue"]
                .map(|name| f32::from(u8::from(text.contains(name))))
                .to_vec()
        };
        Ok(texts.iter().map(named).collect())
    }

    fn fuse(&self, images: &[Vec<f32>], texts: &[Vec<f32>]) -> Result<Vec<Embedding>, EncodeError> {
        assert_eq!(images.len(), texts.len());
        let sum = |(image, text): (&Vec<f32>, &Vec<f32>)| image.iter().zip(text).map(|(i, t)| i + t).collect();
        let fused = images.iter().zip(texts).map(sum);
        fused.map(|sum| Ok(Embedding::normalize(sum)?)).collect()
    }
}

/// Remembers what it heard, and stops a run once `stop_at` contents are indexed.
struct Progress {
    heard: Mutex<Vec<(usize, usize)>>,
    stop_at: usize,
}

impl Progress {
    fn until(stop_at: usize) -> Self {
        let heard = Mutex::default();
        Self { heard, stop_at }
    }
}

impl IndexProgress for Progress {
    fn hashed(&self, done: usize, total: usize) {
        assert!(done <= total);
    }

    fn indexed(&self, done: usize, total: usize) {
        self.heard.lock().unwrap().push((done, total));
    }

    fn is_stopped(&self) -> bool {
        self.heard.lock().unwrap().iter().any(|(done, _)| self.stop_at <= *done)
    }
}

/// A folder of `count` images from dark red to red, an all-black one and a file that is no image.
fn folder(count: u8) -> TempDir {
    let folder = TempDir::new().unwrap();
    for number in 0..=count {
        let color = Rgb([number * 10, number, 0]);
        let path = folder.path().join(format!("{number:02}.png"));
        RgbImage::from_pixel(4, 4, color).save(path).unwrap();
    }
    fs_err::write(folder.path().join("text.png"), "I am a text").unwrap();
    folder
}

fn index(folder: &Path, model: &FakeModel, progress: &Progress) -> (Index, Result<IndexSummary, SearchError>) {
    let mut index = Index::create_or_open(&folder.join("index"), &model.stamp()).unwrap();
    let options = IndexOptions {
        batch: 2,
        ..IndexOptions::default()
    };
    let summary = index_images(&mut index, model, &[folder.to_owned()], &options, progress);
    (index, summary)
}

#[test]
fn a_batch_of_queries_gives_what_each_gives_alone() {
    let model = FakeModel::new();
    let (dark, light) = (
        RgbImage::from_pixel(2, 2, Rgb([90, 0, 9])),
        RgbImage::from_pixel(2, 2, Rgb([0, 200, 9])),
    );
    let queries = [
        SearchQuery::Text("green"),
        SearchQuery::Image {
            image: ImageInput::Pixels(&dark),
            instruction: "in blue",
        },
        SearchQuery::Image {
            image: ImageInput::Encoded(&[0.0, 1.0, 0.0]),
            instruction: "",
        },
        SearchQuery::Text("red and blue"),
        SearchQuery::Image {
            image: ImageInput::Pixels(&light),
            instruction: "in red",
        },
    ];
    let together = embed_queries(&model, &queries).unwrap();
    for (query, together) in queries.iter().zip(&together) {
        let alone = embed_query(&model, *query).unwrap();
        assert_eq!((&alone.vector, alone.space), (&together.vector, together.space));
        assert_eq!(alone.image_output, together.image_output);
    }
    let spaces: Vec<Space> = together.iter().map(|one| one.space).collect();
    assert_eq!(
        spaces,
        [Space::Image, Space::Target, Space::Target, Space::Image, Space::Target]
    );
    // The output of the image tower stands for the image in the next query.
    let again = SearchQuery::Image {
        image: ImageInput::Encoded(together[1].image_output.as_deref().unwrap()),
        instruction: "in blue",
    };
    assert_eq!(embed_query(&model, again).unwrap().vector, together[1].vector);
    assert!(matches!(
        embed_query(&model, SearchQuery::Text("x")),
        Err(SearchError::NoVector(_))
    ));
}

#[test]
fn images_are_indexed_and_found() {
    let (folder, model) = (folder(7), FakeModel::new());
    let progress = Progress::until(usize::MAX);
    let (index_made, summary) = index(folder.path(), &model, &progress);
    let summary = summary.unwrap();
    assert_eq!((summary.counts.added, summary.embedded, summary.images), (7, 7, 7));
    let skipped: Vec<_> = summary
        .skipped
        .iter()
        .map(|one| one.path.file_name().unwrap())
        .collect();
    assert_eq!(skipped, ["00.png", "text.png"], "the black one has no direction");
    let heard = progress.heard.lock().unwrap();
    assert_eq!((heard.first(), heard.last()), (Some(&(0, 9)), Some(&(9, 9))));

    let query = QueryImage::find(&folder.path().join("03.png"), &index_made).unwrap();
    let vector = embed_query(
        &model,
        SearchQuery::Image {
            image: ImageInput::Pixels(&query.rgb),
            instruction: "",
        },
    );
    let hits = vector.unwrap().search(&index_made, 3, &[query.id], None).unwrap();
    assert_eq!(hits.len(), 3);
    assert!(hits.iter().all(|hit| hit.image.id != query.id));
    drop(index_made);

    let (_, again) = index(folder.path(), &model, &Progress::until(usize::MAX));
    let again = again.unwrap();
    assert_eq!((again.counts.unchanged, again.embedded, again.skipped.len()), (7, 0, 2));
}

#[test]
fn a_run_that_is_stopped_or_fails_keeps_what_is_done() {
    let (folder, model) = (folder(9), FakeModel::new());
    let (stopped, summary) = index(folder.path(), &model, &Progress::until(2));
    let summary = summary.unwrap();
    assert!(summary.interrupted);
    let first = stopped.len().unwrap();
    assert!(0 < first && first < 9, "{first}");
    drop(stopped);

    model.patience.store(1, Ordering::SeqCst);
    let (failed, summary) = index(folder.path(), &model, &Progress::until(usize::MAX));
    assert_eq!(summary.unwrap_err().to_string(), "out of patience");
    let second = failed.len().unwrap();
    assert!(first < second && second < 9, "{first}, then {second}");
    drop(failed);

    model.patience.store(usize::MAX, Ordering::SeqCst);
    let (done, summary) = index(folder.path(), &model, &Progress::until(usize::MAX));
    assert_eq!((done.len().unwrap(), summary.unwrap().embedded), (9, 9 - second));
}

#[test]
fn an_index_of_another_model_is_left_alone() {
    let (folder, model) = (folder(1), FakeModel::new());
    let mut stamp = model.stamp();
    stamp.model_id = "another".to_owned();
    let mut other = Index::create_or_open(&folder.path().join("index"), &stamp).unwrap();
    let paths = [folder.path().to_owned()];
    let refused = index_images(
        &mut other,
        &model,
        &paths,
        &IndexOptions::default(),
        &Progress::until(0),
    );
    assert!(matches!(refused, Err(SearchError::Index(_))));
}
