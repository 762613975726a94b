//! What the tests share: a gallery of colored squares, models that see colors, and studies made by hand.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use magiclens_compare::{
    ComparedSystem, Intent, Item, Kind, Method, QueryFile, RaterName, Settings, Study, image_path, turns,
};
use magiclens_data::decode::Limits;
use magiclens_data::{Embedding, ImageId};
use magiclens_index::{FileStamp, Index, ModelStamp, NewImage, Payload, make_thumbnail};
use magiclens_search::{EncodeError, Encoder};
use serde_json::{Value, json};
use tempfile::TempDir;

const DIM: usize = 4;

/// Image tower: the mean color. Text tower: the colors that are named. Fusion: text counts `text_weight` times.
pub struct FakeModel {
    pub name: &'static str,
    pub text_weight: f32,
    /// Calls to the fusion that succeed before one fails.
    pub patience: Cell<usize>,
}

impl FakeModel {
    pub fn new(name: &'static str, text_weight: f32) -> Self {
        let patience = Cell::new(usize::MAX);
        Self {
            name,
            text_weight,
            patience,
        }
    }
}

impl Encoder for FakeModel {
    fn model_id(&self) -> &str {
        self.name
    }

    fn dim(&self) -> usize {
        DIM
    }

    fn encode_images(&self, images: &[&RgbImage]) -> Result<Vec<Vec<f32>>, EncodeError> {
        Ok(images.iter().copied().map(mean_color).collect())
    }

    fn encode_texts(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EncodeError> {
        let named = |text: &str, word| if text.contains(word) { 1.0 } else { 0.0 };
        let encode = |text: &&str| vec![named(text, "red"), named(text, "green"), named(text, "blue"), 0.01];
        Ok(texts.iter().map(encode).collect())
    }

    fn fuse(&self, images: &[Vec<f32>], texts: &[Vec<f32>]) -> Result<Vec<Embedding>, EncodeError> {
        let Some(left) = self.patience.get().checked_sub(1) else {
            return Err("out of patience".into());
        };
        self.patience.set(left);
        let fuse = |(image, text): (&Vec<f32>, &Vec<f32>)| {
            let sum = image
                .iter()
                .zip(text)
                .map(|(image, text)| image + self.text_weight * text);
            Ok(Embedding::normalize(sum.collect())?)
        };
        images.iter().zip(texts).map(fuse).collect()
    }
}

fn mean_color(image: &RgbImage) -> Vec<f32> {
    let mut sums = [0.0; 3];
    for pixel in image.pixels() {
        for (sum, value) in sums.iter_mut().zip(pixel.0) {
            *sum += f32::from(value) / 255.0;
        }
    }
    let count = (image.width() * image.height()) as f32;
    sums.iter().map(|sum| sum / count).chain([0.01]).collect()
}

/// A folder with a gallery of colors, an index of it for each model, and a query file.
pub struct Gallery {
    pub folder: TempDir,
    pub ids: Vec<(String, ImageId)>,
}

impl Gallery {
    /// Squares from red over green to blue: `color-00.png` is the reddest.
    pub fn new(count: u8) -> Self {
        let folder = TempDir::new().unwrap();
        let ids = (0..count).map(|number| {
            let hue = f32::from(number) / f32::from(count - 1) * 2.0;
            let part = |peak: f32| (255.0 * (1.0 - (hue - peak).abs()).max(0.0)) as u8;
            let name = format!("colour-{number:02}.png");
            let path = folder.path().join(&name);
            RgbImage::from_pixel(6, 6, Rgb([part(0.0), part(1.0), part(2.0)]))
                .save(&path)
                .unwrap();
            (name, ImageId::of_bytes(&fs_err::read(path).unwrap()))
        });
        let ids = ids.collect();
        Self { folder, ids }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn id(&self, number: usize) -> ImageId {
        self.ids[number].1
    }

    /// The index of the images from `first` on, as this model sees them.
    pub fn index(&self, model: &FakeModel, first: usize) -> Index {
        let stamp = ModelStamp {
            name: String::new(),
            model_id: model.name.to_owned(),
            dim: DIM,
        };
        let mut index = Index::create_or_open(&self.path(&format!("{}-{first}.index", model.name)), &stamp).unwrap();
        let images = self.ids[first..].iter().map(|(name, id)| {
            let path = self.path(name);
            let bytes = fs_err::read(&path).unwrap();
            let rgb = image::load_from_memory(&bytes).unwrap().into_rgb8();
            let vector = Embedding::normalize(mean_color(&rgb)).unwrap();
            NewImage {
                id: *id,
                files: vec![FileStamp {
                    path: path.clone(),
                    size: bytes.len() as u64,
                    mtime_ns: 0,
                }],
                width: 6,
                height: 6,
                payload: Payload::default(),
                thumbnail: make_thumbnail(&bytes, &Limits::default()).unwrap().jpeg,
                target: vector.clone(),
                image: vector,
            }
        });
        index.add(&images.collect::<Vec<_>>()).unwrap();
        index
    }

    pub fn queries(&self, lines: &[Value]) -> QueryFile {
        let path = self.path("queries.jsonl");
        let text: Vec<String> = lines.iter().map(Value::to_string).collect();
        fs_err::write(&path, text.join("\n")).unwrap();
        QueryFile::read(&path).unwrap()
    }
}

/// Settings of a study of these queries and systems.
pub fn settings_of(
    queries: &QueryFile,
    a: (&Index, Method),
    b: (&Index, Method),
    k: usize,
    automatic_checks: usize,
) -> Settings {
    Settings {
        queries: queries.digest.clone(),
        a: ComparedSystem::of(a.0, a.1).unwrap(),
        b: ComparedSystem::of(b.0, b.1).unwrap(),
        k,
        seed: 1,
        automatic_checks,
        question: Settings::QUESTION.to_owned(),
    }
}

/// Names of the systems.
pub fn names() -> [String; 2] {
    ["one", "two"].map(str::to_owned)
}

pub fn query(id: &str, image: &str, instruction: &str) -> Value {
    json!({ "id": id, "image": image, "instruction": instruction, "intent": "simple visual" })
}

pub fn rater(name: &str) -> RaterName {
    RaterName::parse(name).unwrap()
}

/// The settings of a study made by hand; its models exist nowhere.
pub fn settings() -> Settings {
    let system = |model: &str| ComparedSystem {
        model: model.to_owned(),
        method: Method::ImageText,
        gallery: "a digest".to_owned(),
        images: 100,
    };
    Settings {
        queries: "a digest".to_owned(),
        a: system("secret-model-one"),
        b: system("secret-model-two"),
        k: 3,
        seed: 7,
        automatic_checks: 0,
        question: Settings::QUESTION.to_owned(),
    }
}

pub fn item(id: &str, kind: Kind) -> Item {
    let ranking = |side: &str| {
        (0..3)
            .map(|rank| ImageId::of_bytes(format!("{id} {side} {rank}").as_bytes()))
            .collect()
    };
    Item {
        id: id.to_owned(),
        kind,
        image: ImageId::of_bytes(id.as_bytes()),
        instruction: format!("instruction {}", ImageId::of_bytes(id.as_bytes())),
        a: ranking("one"),
        b: ranking("two"),
    }
}

/// A study of six queries, two of each class, and two checks, with the images of its rankings.
pub fn study(dir: &Path) -> Study {
    let queries = Intent::ALL.into_iter().flat_map(|intent| [Kind::Query { intent }; 2]);
    let queries = queries
        .enumerate()
        .map(|(number, kind)| item(&format!("secret query {number}"), kind));
    let checks = (0..2).map(|number| item(&format!("secret check {number}"), Kind::Check { real: None }));
    let names = ["secret name one", "secret name two"].map(str::to_owned);
    let study = Study::new(settings(), names, queries.chain(checks).collect());
    study.write(dir).unwrap();
    for id in study
        .items
        .iter()
        .flat_map(|item| item.a.iter().chain(&item.b).chain([&item.image]))
    {
        let path = image_path(dir, *id);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, format!("image {id}")).unwrap();
    }
    study
}

/// The items in the order in which the rater meets them.
pub fn order<'a>(study: &'a Study, name: &str) -> Vec<&'a Item> {
    let turns = turns(&study.items, study.settings.seed, &rater(name));
    turns.iter().map(|turn| &study.items[turn.item]).collect()
}
