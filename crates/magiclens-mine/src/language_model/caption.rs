//! Captions and labels of images by a vision model: the paper's metadata of labels (Google's annotations) and captions
//! (PaLI), from one prompt.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, resize};
use image::{ExtendedColorType, RgbImage};
use magiclens_web::DropReason;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Borrow;

use super::ask::ask;
use super::config::{check_counts, check_language};
use super::message::{Content, ImageUrl, Message, Part, Role};
use super::model::{Completion, LanguageModel, Prompt};
use super::reply;
use crate::clean::size_within;

/// The prompt and its version. Another text needs another number, since runs record it.
pub(super) const VERSION: &str = "caption/1";
const SYSTEM: &str = include_str!("../../prompts/caption-1.txt");
const QUESTION: &str = "Describe this picture.";

/// An image that has no pixel, or more a side than a JPEG can have.
const NOT_SHOWN: DropReason = DropReason("image cannot be shown to a model");

/// Settings of images for a vision model, and limits of its answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DescriberConfig {
    /// The longer side of what is sent. 512 px are about 330 tokens for Qwen2.5-VL (one for 28 x 28 px), and show what a caption says.
    #[serde(rename = "picture_size_px")]
    pub image_size_px: u32,
    /// Quality of the JPEG that is sent: above 80 its traces cannot be seen, and each step costs bytes.
    pub jpeg_quality: u8,
    /// Longer captions are refused: the prompt asks for one sentence.
    pub max_caption_chars: usize,
    /// Labels that are kept; the paper's annotations show about as many an image.
    pub max_labels: usize,
    /// Longer labels are skipped: the prompt asks for one to three words.
    pub max_label_chars: usize,
    /// The language of captions, as an ISO 639-3 code; empty for any. The metadata prompt is English.
    pub language: String,
    /// Most times that an image is shown until the answer is useful. A second time mends most; a third seldom anything.
    pub max_asks: u32,
}

impl Default for DescriberConfig {
    fn default() -> Self {
        Self {
            image_size_px: 512,
            jpeg_quality: 85,
            max_caption_chars: 300,
            max_labels: 10,
            max_label_chars: 40,
            language: "eng".to_owned(),
            max_asks: 2,
        }
    }
}

/// The answer of a vision model about an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// One sentence.
    pub caption: String,
    /// Things in the image, most important first; in lower case, each once.
    pub labels: Vec<String>,
}

/// Captions and labels, in the order of the images. Some thousand images a call are fine: each is held as the JPEG that
/// is sent, some 50 kB.
///
/// # Errors
/// Those that stop the whole run, see [`LanguageModel::complete`].
pub fn describe(
    model: &dyn LanguageModel,
    images: &[impl Borrow<RgbImage> + Sync],
    config: &DescriberConfig,
) -> anyhow::Result<Vec<Result<Description, DropReason>>> {
    config.check()?;
    let prompts = images.par_iter().map(|image| prompt(image.borrow(), config)).collect();
    ask(model, prompts, config.max_asks, &|_, completion| {
        read(completion, config)
    })
}

impl DescriberConfig {
    /// Refuses settings that cannot be.
    ///
    /// # Errors
    /// A setting and what to write instead.
    pub fn check(&self) -> anyhow::Result<()> {
        check_counts(&[
            ("picture_size_px", self.image_size_px.into()),
            ("jpeg_quality", self.jpeg_quality.into()),
            ("max_caption_chars", self.max_caption_chars as u64),
            ("max_asks", self.max_asks.into()),
        ])?;
        check_language(&self.language)
    }
}

fn prompt(image: &RgbImage, config: &DescriberConfig) -> Result<Prompt, DropReason> {
    let text = QUESTION.to_owned();
    let url = data_url(image, config).ok_or(NOT_SHOWN)?;
    let image_url = ImageUrl { url };
    let question = Message {
        role: Role::User,
        content: Content::Parts(vec![Part::Text { text }, Part::ImageUrl { image_url }]),
    };
    Ok(Prompt {
        version: VERSION,
        messages: vec![Message::system(SYSTEM), question],
        ask: 0,
    })
}

/// A smaller copy as a JPEG: what is sent has bounded size, and nothing of the file but its look.
fn data_url(image: &RgbImage, config: &DescriberConfig) -> Option<String> {
    if image.is_empty() {
        return None;
    }
    let smaller = size_within(image, config.image_size_px);
    let smaller = smaller.map(|(width, height)| resize(image, width, height, FilterType::Triangle));
    let image = smaller.as_ref().unwrap_or(image);
    let mut jpeg = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, config.jpeg_quality.min(100));
    encoder
        .encode(image, image.width(), image.height(), ExtendedColorType::Rgb8)
        .ok()?;
    Some(format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg)))
}

fn read(completion: &Completion, config: &DescriberConfig) -> Result<Description, DropReason> {
    let object = reply::find_object(completion, &["caption"])?.object;
    let caption = match object.get("caption") {
        Some(Value::String(caption)) => reply::sentence(caption),
        Some(Value::Null) | None => return Err(reply::FIELD_MISSING),
        Some(_) => return Err(reply::WRONG_TYPE),
    };
    reply::check_sentence(&caption, config.max_caption_chars)?;
    if reply::is_other_language(&caption, &config.language) {
        return Err(reply::OTHER_LANGUAGE);
    }
    let mut labels = Vec::new();
    for label in label_texts(object.get("labels").unwrap_or(&Value::Null)) {
        let label = reply::sentence(label).to_lowercase();
        if labels.len() < config.max_labels
            && reply::check_sentence(&label, config.max_label_chars).is_ok()
            && !labels.contains(&label)
        {
            labels.push(label);
        }
    }
    Ok(Description { caption, labels })
}

/// A list of strings, or strings with commas between. A caption without labels is still of use.
fn label_texts(labels: &Value) -> Vec<&str> {
    match labels {
        Value::Array(labels) => labels.iter().filter_map(Value::as_str).collect(),
        Value::String(labels) => labels.split(',').collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use magiclens_data::Digest;

    use super::super::scripted::Scripted;
    use super::*;

    fn say(text: &str) -> Result<Description, DropReason> {
        let text = text.to_owned();
        let model = Scripted::new(move |_| Ok(text.clone()));
        describe(&model, &[RgbImage::new(4, 4)], &DescriberConfig::default())
            .unwrap()
            .remove(0)
    }

    #[test]
    fn captions_and_labels_are_read_and_mended() {
        let description = |caption: &str, labels: &[&str]| {
            Ok(Description {
                caption: caption.to_owned(),
                labels: labels.iter().map(|&label| label.to_owned()).collect(),
            })
        };
        let dog = "A dog on a red sofa.";
        for (reply, expected) in [
            (
                r#"{"caption":"A dog on a red sofa.","labels":["Dog","sofa","dog"," red "]}"#,
                description(dog, &["dog", "sofa", "red"]),
            ),
            (
                r#"{"caption":"A dog on a red sofa.","labels":"dog, sofa"}"#,
                description(dog, &["dog", "sofa"]),
            ),
            (r#"{"caption":"A dog on a red sofa."}"#, description(dog, &[])),
            (
                r#"{"caption":"A dog on a red sofa.","labels":[1,null,"","https://x.y","dog"]}"#,
                description(dog, &["dog"]),
            ),
            (r#"{"caption":["A dog"],"labels":[]}"#, Err(reply::WRONG_TYPE)),
            (r#"{"caption":null}"#, Err(reply::FIELD_MISSING)),
            (r#"{"labels":["dog"]}"#, Err(reply::FIELD_MISSING)),
            (r#"{"caption":" "}"#, Err(reply::NO_WORDS)),
            ("A dog on a red sofa.", Err(reply::NO_JSON)),
            (
                r#"{"caption":"Ein Hund liegt auf einem roten Sofa und schläft neben der Katze"}"#,
                Err(reply::OTHER_LANGUAGE),
            ),
        ] {
            assert_eq!(say(reply), expected, "{reply}");
        }
        assert_eq!(
            say(&format!("{{\"caption\":\"a {}\"}}", "dog ".repeat(100))),
            Err(reply::TOO_LONG)
        );
        let labels: Vec<_> = (0..30).map(|n| format!("dog {n}")).collect();
        let many = say(&serde_json::json!({"caption": dog, "labels": labels}).to_string()).unwrap();
        assert_eq!(many.labels, labels[..10]);
    }

    fn shown(image: RgbImage) -> RgbImage {
        let model = Scripted::new(|_| Ok(String::new()));
        let config = DescriberConfig {
            max_asks: 1,
            ..DescriberConfig::default()
        };
        describe(&model, &[image], &config).unwrap();
        let Content::Parts(parts) = &model.asked()[0].messages[1].content else {
            panic!("parts")
        };
        let Part::ImageUrl { image_url } = &parts[1] else {
            panic!("an image")
        };
        let jpeg = STANDARD
            .decode(image_url.url.strip_prefix("data:image/jpeg;base64,").unwrap())
            .unwrap();
        image::load_from_memory_with_format(&jpeg, image::ImageFormat::Jpeg)
            .unwrap()
            .into_rgb8()
    }

    #[test]
    fn images_are_shown_small_and_whole() {
        for (size, expected) in [
            ((2048, 1024), (512, 256)),
            ((512, 100), (512, 100)),
            ((30, 20), (30, 20)),
            ((3000, 1), (512, 1)),
        ] {
            assert_eq!(shown(RgbImage::new(size.0, size.1)).dimensions(), expected);
        }
        let mut halves = RgbImage::from_pixel(1024, 512, Rgb([200, 30, 30]));
        for (x, _, pixel) in halves.enumerate_pixels_mut() {
            if 512 <= x {
                *pixel = Rgb([30, 30, 200]);
            }
        }
        let shown = shown(halves);
        let near = |x, y, color: [u8; 3]| {
            shown
                .get_pixel(x, y)
                .0
                .iter()
                .zip(color)
                .all(|(a, b)| a.abs_diff(b) < 12)
        };
        assert!(near(64, 128, [200, 30, 30]) && near(448, 128, [30, 30, 200]));
    }

    #[test]
    fn an_image_without_pixels_is_not_asked_about() {
        let model = Scripted::new(|_| Ok(String::new()));
        let answers = describe(&model, &[RgbImage::new(0, 0)], &DescriberConfig::default()).unwrap();
        assert_eq!(answers, [Err(NOT_SHOWN)]);
        assert!(model.asked().is_empty());
    }

    #[test]
    fn impossible_settings_are_named() {
        let wrong = |toml: &str| {
            toml::from_str::<DescriberConfig>(toml)
                .unwrap()
                .check()
                .unwrap_err()
                .to_string()
        };
        assert!(wrong("picture_size_px = 0").starts_with("`picture_size_px` is 0\nhint: "));
        assert!(wrong("language = 'en'").starts_with("`language` is `en`, which is no language"));
        assert!(toml::from_str::<DescriberConfig>("picture_size = 0").is_err());
    }

    #[test]
    fn the_version_names_the_text() {
        let hash = Digest::of(format!("{SYSTEM}\0{QUESTION}")).to_string();
        assert_eq!(
            (VERSION, &hash[..16]),
            ("caption/1", "ff91e15aee1f3526"),
            "another text needs another version"
        );
    }
}
