//! Queries and indexing over a fake model that sees mean colors.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use image::{Rgb, RgbImage};
use magiclens_data::{Embedding, ImageId};
use magiclens_index::{Index, Selection, Space};
use magiclens_model::basic::{Basic, BasicSettings, Corpora};
use magiclens_search::{
    BasicSearch, Comparison, EmbeddedQuery, EncodeError, Encoder, ImageInput, IndexOptions, IndexProgress,
    IndexSummary, QueryImage, SearchError, SearchQuery, embed_queries, embed_query, index_images,
};
use tempfile::TempDir;

/// Image tower: the mean color. Text tower: the colors that are named. Fusion: the sum. Fails once it is out of patience.
struct FakeModel {
    patience: AtomicUsize,
    basic: Option<Arc<BasicSearch>>,
    /// Sizes of the images that it has seen.
    seen: Mutex<Vec<(u32, u32)>>,
}

impl FakeModel {
    fn new() -> Self {
        Self {
            patience: AtomicUsize::new(usize::MAX),
            basic: None,
            seen: Mutex::default(),
        }
    }

    /// One that is asked by BASIC.
    fn by_basic() -> Self {
        let basic = Some(Arc::new(BasicSearch::new(basic())));
        Self { basic, ..Self::new() }
    }
}

impl Encoder for FakeModel {
    fn model_id(&self) -> &str {
        "fake"
    }

    fn dim(&self) -> usize {
        3
    }

    fn image_px(&self) -> Option<u32> {
        Some(300)
    }

    fn encode_images(&self, images: &[&RgbImage]) -> Result<Vec<Vec<f32>>, EncodeError> {
        let left = self.patience.load(Ordering::SeqCst).checked_sub(1);
        self.patience.store(left.ok_or("out of patience")?, Ordering::SeqCst);
        self.seen
            .lock()
            .unwrap()
            .extend(images.iter().map(|image| image.dimensions()));
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

    fn basic(&self) -> Option<Arc<BasicSearch>> {
        self.basic.clone()
    }

    fn fuse(&self, images: &[Vec<f32>], texts: &[Vec<f32>]) -> Result<Vec<Embedding>, EncodeError> {
        assert_eq!(images.len(), texts.len());
        let sum = |(image, text): (&Vec<f32>, &Vec<f32>)| image.iter().zip(text).map(|(i, t)| i + t).collect();
        let fused = images.iter().zip(texts).map(sum);
        fused.map(|sum| Ok(Embedding::normalize(sum)?)).collect()
    }
}

/// BASIC over the colors as objects.
fn basic() -> Basic {
    let texts = |texts: &[&str]| FakeModel::new().encode_texts(texts).unwrap();
    let corpora = Corpora {
        objects: &texts(&["red", "green", "blue", "red green"]),
        styles: &texts(&["green blue", "red blue"]),
        unrelated: &texts(&["blue", "red", "green"]),
    };
    Basic::of_corpora(corpora, BasicSettings::default()).unwrap()
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

fn vector(query: &EmbeddedQuery) -> (&Embedding, Space) {
    match &query.comparison {
        Comparison::Vector { vector, space } => (vector, *space),
        Comparison::Basic { .. } => panic!("asked by BASIC"),
    }
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
            second: None,
            instruction: "in blue",
        },
        SearchQuery::Image {
            image: ImageInput::Encoded(&[0.0, 1.0, 0.0]),
            second: None,
            instruction: "",
        },
        SearchQuery::Text("red and blue"),
        SearchQuery::Image {
            image: ImageInput::Pixels(&light),
            second: None,
            instruction: "in red",
        },
    ];
    let together = embed_queries(&model, &queries).unwrap();
    for (query, together) in queries.iter().zip(&together) {
        let alone = embed_query(&model, *query).unwrap();
        assert_eq!(vector(&alone), vector(together));
        assert_eq!(alone.image_output, together.image_output);
    }
    let spaces: Vec<Space> = together.iter().map(|one| vector(one).1).collect();
    assert_eq!(
        spaces,
        [Space::Image, Space::Target, Space::Target, Space::Image, Space::Target]
    );
    // The output of the image tower stands for the image in the next query.
    let again = SearchQuery::Image {
        image: ImageInput::Encoded(together[1].image_output.as_deref().unwrap()),
        second: None,
        instruction: "in blue",
    };
    assert_eq!(vector(&embed_query(&model, again).unwrap()), vector(&together[1]));
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
    let embedded = embed_query(
        &model,
        SearchQuery::Image {
            image: ImageInput::Pixels(&query.rgb),
            second: None,
            instruction: "",
        },
    );
    let exclude = [query.id];
    let selection = Selection::first(3).without(&exclude);
    let hits = embedded.unwrap().search(&index_made, &selection).unwrap();
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

/// Scores of a search by BASIC, held against [`Basic::scores`] over the vectors of the index. Gives the best less the worst.
fn check_basic(index: &Index, model: &FakeModel) -> f32 {
    let (image, text) = (vec![0.8, 0.1, 0.1], "in green");
    let query = SearchQuery::Image {
        image: ImageInput::Encoded(&image),
        second: None,
        instruction: text,
    };
    let embedded = embed_query(model, query).unwrap();
    assert_eq!(embedded.image_output.as_ref(), Some(&image));
    let ids = index.ids().unwrap();
    let hits = embedded.search(index, &Selection::first(ids.len())).unwrap();
    assert!(hits.len() == ids.len() && hits.is_sorted_by(|a, b| a.score >= b.score));

    let in_order = |id: &ImageId| index.vector(*id, Space::Image).unwrap().unwrap().as_slice().to_vec();
    let gallery: Vec<Vec<f32>> = ids.iter().map(in_order).collect();
    let texts = model.encode_texts(&[text]).unwrap();
    let expected = basic().scores(&[image], &texts, &gallery).unwrap().remove(0);
    // Stored vectors have 11 bits a number, and are of unit length only so far.
    for hit in &hits {
        let row = ids.iter().position(|id| *id == hit.image.id).unwrap();
        assert!(
            (hit.score - expected[row]).abs() < 2e-3,
            "{} {}",
            hit.score,
            expected[row]
        );
    }
    hits[0].score - hits[ids.len() - 1].score
}

#[test]
fn image_and_instruction_are_asked_by_basic_where_the_model_says_so() {
    let (folder, model) = (folder(9), FakeModel::by_basic());
    let (mut index_made, summary) = index(folder.path(), &model, &Progress::until(usize::MAX));
    summary.unwrap();
    assert!(check_basic(&index_made, &model) < 1e-4, "all have one hue");
    // Images that come later count at once.
    for (name, color) in [("green", [9, 200, 0]), ("blue", [0, 9, 200])] {
        let path = folder.path().join(format!("{name}.png"));
        RgbImage::from_pixel(4, 4, Rgb(color)).save(path).unwrap();
    }
    let options = IndexOptions::default();
    let progress = Progress::until(usize::MAX);
    index_images(
        &mut index_made,
        &model,
        &[folder.path().to_owned()],
        &options,
        &progress,
    )
    .unwrap();
    assert_eq!(index_made.len().unwrap(), 11);
    assert!(check_basic(&index_made, &model) > 0.01);

    // An image alone and a text alone are asked as ever.
    let image = SearchQuery::Image {
        image: ImageInput::Encoded(&[1.0, 0.0, 0.0]),
        second: None,
        instruction: "",
    };
    assert_eq!(vector(&embed_query(&model, image).unwrap()).1, Space::Target);
    assert_eq!(
        vector(&embed_query(&model, SearchQuery::Text("red")).unwrap()).1,
        Space::Image
    );
    // A tower's output of no direction is refused, and so is an index of another width.
    let nothing = SearchQuery::Image {
        image: ImageInput::Encoded(&[0.0; 3]),
        second: None,
        instruction: "red",
    };
    let error = embed_query(&model, nothing)
        .unwrap()
        .search(&index_made, &Selection::first(1));
    assert!(matches!(error, Err(SearchError::Basic(_))), "{error:?}");
}

#[test]
fn a_large_photograph_is_decoded_smaller_unless_its_pixels_must_be_exact() {
    let folder = TempDir::new().unwrap();
    let (width, height) = (1280, 1200);
    RgbImage::from_fn(width, height, |x, y| Rgb([200, (x / 8) as u8, (y / 8) as u8]))
        .save(folder.path().join("photograph.jpg"))
        .unwrap();
    let mut found = Vec::new();
    for exact_pixels in [false, true] {
        let model = FakeModel::new();
        let dir = folder.path().join(format!("index-{exact_pixels}"));
        let mut index = Index::create_or_open(&dir, &model.stamp()).unwrap();
        let options = IndexOptions {
            exact_pixels,
            ..IndexOptions::default()
        };
        let photograph = folder.path().join("photograph.jpg");
        index_images(&mut index, &model, &[photograph], &options, &Progress::until(9)).unwrap();
        let image = index.get(index.ids().unwrap()[0]).unwrap().unwrap();
        found.push((model.seen.into_inner().unwrap(), (image.width, image.height)));
    }
    let whole = (width, height);
    assert_eq!(found, [(vec![(640, 600)], whole), (vec![whole], whole)]);
}

#[test]
fn a_model_without_a_place_for_a_second_image_is_asked_by_the_mean() {
    let model = FakeModel::new();
    let image = |image| SearchQuery::Image {
        image: ImageInput::Encoded(image),
        second: None,
        instruction: "in red",
    };
    let (first, second) = ([0.0, 1.0, 0.0], [0.0, 0.0, 1.0]);
    let both = SearchQuery::Image {
        image: ImageInput::Encoded(&first),
        second: Some(ImageInput::Encoded(&second)),
        instruction: "in red",
    };
    let vector = |embedded: &EmbeddedQuery| match &embedded.comparison {
        Comparison::Vector { vector, .. } => vector.as_slice().to_vec(),
        Comparison::Basic { .. } => panic!("asked by BASIC"),
    };
    // Beside other queries, whose answers must not change.
    let embedded = embed_queries(&model, &[image(&second), both, image(&first)]).unwrap();
    let [second_alone, found, first_alone] = [0, 1, 2].map(|at| vector(&embedded[at]));
    let sum: Vec<f32> = first_alone.iter().zip(&second_alone).map(|(a, b)| a + b).collect();
    let expected = Embedding::normalize(sum).unwrap();
    assert_eq!(found, expected.as_slice());
    assert_eq!(
        vector(&embed_queries(&model, &[image(&first)]).unwrap()[0]),
        first_alone
    );
    assert_eq!(embedded[1].image_output.as_deref(), Some(&first[..]));
}
