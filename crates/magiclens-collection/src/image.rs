//! An image of the demo collection with its labels, and the files that hold them.

use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::str::FromStr;

use magiclens_data::table::{self, Columns};
use magiclens_data::{Image, TableError, image_columns, images_of_columns};
use serde::{Deserialize, Serialize};

/// An image and its labels: a row of the demo collection's `pictures.parquet`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabeledImage {
    /// Everything that an image without labels has, too.
    pub image: Image,
    /// Drawn or photographed.
    pub kind: ImageKind,
    /// The thing shown, tone and gender included: "woman astronaut: dark skin tone".
    pub concept: String,
    /// The concept without color, gender, tone and direction: the split goes by it.
    pub root: String,
    /// Other concepts whose image is identical.
    pub also: Vec<String>,
    /// The drawing style, e.g. "openmoji-black"; "photo" for photographs.
    pub style: String,
    /// The design family: styles of one family share their shapes.
    pub family: String,
    /// The large group, e.g. "animals-nature"; empty if unknown.
    pub group: String,
    /// The small group, e.g. "animal-mammal"; empty if unknown.
    pub subgroup: String,
    /// "light", "medium-light", "medium", "medium-dark" or "dark".
    pub skin_tone: Option<String>,
    /// "man", "woman" or "person".
    pub gender: Option<String>,
    /// The color word of the concept.
    pub color: Option<String>,
    /// The part of the data it belongs to.
    pub split: Split,
}

impl Deref for LabeledImage {
    type Target = Image;

    fn deref(&self) -> &Image {
        &self.image
    }
}

impl LabeledImage {
    /// All concepts of the image: several where a style draws them alike.
    pub fn concepts(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.concept).chain(&self.also).map(String::as_str)
    }

    /// True if both images show one concept.
    pub fn shows_same_concept(&self, other: &Self) -> bool {
        self.concepts()
            .any(|concept| other.concepts().any(|same| same == concept))
    }
}

/// Writes `images` to the Parquet file `path`, whole or not at all.
pub fn write_labeled_images(path: impl AsRef<Path>, images: &[LabeledImage]) -> Result<(), TableError> {
    let path = path.as_ref();
    let text = |of: fn(&LabeledImage) -> &str| table::text_column(images.iter().map(of));
    let optional = |of: fn(&LabeledImage) -> Option<&str>| table::optional_text_column(images.iter().map(of));
    let plain = images.iter().map(|labeled| &labeled.image);
    let [id, file, width, height, caption, tags, source, license] = image_columns(plain);
    let columns = vec![
        id,
        file,
        width,
        height,
        ("kind", text(|image| image.kind.name())),
        ("concept", text(|image| &image.concept)),
        ("root", text(|image| &image.root)),
        ("also", table::list_column(images.iter().map(|image| &image.also))),
        ("style", text(|image| &image.style)),
        ("family", text(|image| &image.family)),
        caption,
        tags,
        ("group", text(|image| &image.group)),
        ("subgroup", text(|image| &image.subgroup)),
        ("skin_tone", optional(|image| image.skin_tone.as_deref())),
        ("gender", optional(|image| image.gender.as_deref())),
        ("colour", optional(|image| image.color.as_deref())),
        source,
        license,
        ("split", text(|image| image.split.name())),
    ];
    table::write(path, &[table::batch(path, columns)?])
}

/// All images of the Parquet file `path`, in its order. A missing or mistyped column is an error that names it.
pub fn read_labeled_images(path: impl AsRef<Path>) -> Result<Vec<LabeledImage>, TableError> {
    table::read_rows(path.as_ref(), labeled_images)
}

/// The images of a `pictures.parquet` that may be trained on: those of the train part, or all if it has no column `split`,
/// as that of a mined collection.
pub fn read_training_images(path: impl AsRef<Path>) -> Result<Vec<Image>, TableError> {
    table::read_rows(path.as_ref(), |columns| {
        let mut images = images_of_columns(columns)?;
        let mut splits = match columns.parsed::<Split>("split") {
            Err(TableError::MissingColumn { .. }) => return Ok(images),
            splits => splits?.into_iter(),
        };
        images.retain(|_| splits.next() == Some(Split::Train));
        Ok(images)
    })
}

fn labeled_images(columns: Columns<'_>) -> Result<Vec<LabeledImage>, TableError> {
    let (kinds, splits) = (columns.parsed("kind")?, columns.parsed("split")?);
    let (concepts, roots) = (columns.texts("concept")?, columns.texts("root")?);
    let mut also = columns.parsed_lists("also")?;
    let (styles, families) = (columns.texts("style")?, columns.texts("family")?);
    let (groups, subgroups) = (columns.texts("group")?, columns.texts("subgroup")?);
    let (skin_tones, genders) = (columns.optional_texts("skin_tone")?, columns.optional_texts("gender")?);
    let colors = columns.optional_texts("colour")?;
    let labeled = |(row, image): (usize, Image)| LabeledImage {
        image,
        kind: kinds[row],
        concept: concepts[row].to_owned(),
        root: roots[row].to_owned(),
        also: std::mem::take(&mut also[row]),
        style: styles[row].to_owned(),
        family: families[row].to_owned(),
        group: groups[row].to_owned(),
        subgroup: subgroups[row].to_owned(),
        skin_tone: skin_tones[row].map(str::to_owned),
        gender: genders[row].map(str::to_owned),
        color: colors[row].map(str::to_owned),
        split: splits[row],
    };
    let images = images_of_columns(columns)?.into_iter().enumerate();
    Ok(images.map(labeled).collect())
}

/// Drawing or photograph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageKind {
    /// Drawn, painted or rendered.
    Drawing,
    /// Photographed.
    Photo,
}

/// The part of the data an image belongs to. No root concept is in two parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// For training.
    Train,
    /// For choosing among trained models.
    Dev,
    /// For the reported metrics only.
    Test,
}

/// A text that names no variant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not one of {expected}")]
pub struct ParseVariantError {
    found: String,
    expected: &'static str,
}

impl Split {
    /// All parts, in the order of use.
    pub const ALL: [Self; 3] = [Self::Train, Self::Dev, Self::Test];

    /// The name in columns and file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Dev => "dev",
            Self::Test => "test",
        }
    }
}

impl ImageKind {
    /// The name in columns.
    pub fn name(self) -> &'static str {
        match self {
            Self::Drawing => "drawing",
            Self::Photo => "photo",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Split {
    type Err = ParseVariantError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text, Self::ALL, Self::name, "`train`, `dev`, `test`")
    }
}

impl FromStr for ImageKind {
    type Err = ParseVariantError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text, [Self::Drawing, Self::Photo], Self::name, "`drawing`, `photo`")
    }
}

/// The variant with the name `text`.
fn parse<T: Copy, const N: usize>(
    text: &str,
    all: [T; N],
    name: fn(T) -> &'static str,
    expected: &'static str,
) -> Result<T, ParseVariantError> {
    let found = all.into_iter().find(|variant| name(*variant) == text);
    found.ok_or_else(|| ParseVariantError {
        found: text.to_owned(),
        expected,
    })
}
