//! The preprocessing that a folder of transformers asks for beside CLIP or SigLIP.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::error::{ClipError, ImportError};
use super::folder_json::{bad_json, read_json, unknown};
use crate::preprocess::{CLIP_MEAN, CLIP_STD, PillowFilter, PreprocessConfig};

const PREPROCESSOR: &str = "preprocessor_config.json";
/// The file of newer folders, which holds the image processor as a part.
const PROCESSOR: &str = "processor_config.json";

/// An image processor, as far as it changes numbers.
#[derive(Default, Deserialize)]
#[serde(default)]
struct HfPreprocessor {
    do_resize: Option<bool>,
    do_center_crop: Option<bool>,
    do_rescale: Option<bool>,
    do_normalize: Option<bool>,
    image_mean: Option<[f32; 3]>,
    image_std: Option<[f32; 3]>,
    /// Pillow's number of a filter.
    resample: Option<u32>,
    rescale_factor: Option<f64>,
    size: Value,
    crop_size: Value,
}

/// The preprocessing of a folder with CLIP: `CLIPImageProcessor`'s own, of which nothing but the size may differ.
pub(super) fn clip_preprocess(folder: &Path, image_px: u32) -> Result<PreprocessConfig, ImportError> {
    let (file, found) = read(folder)?;
    found.to_clip(file, image_px).map_err(ImportError::at(folder))
}

/// The preprocessing of a folder with SigLIP: `SiglipImageProcessor`'s own where it says nothing.
pub(super) fn siglip_preprocess(folder: &Path, image_px: u32) -> Result<PreprocessConfig, ImportError> {
    let (file, found) = read(folder)?;
    found.to_siglip(file, image_px).map_err(ImportError::at(folder))
}

fn read(folder: &Path) -> Result<(&'static str, HfPreprocessor), ImportError> {
    let (file, values) = if folder.join(PREPROCESSOR).is_file() {
        (PREPROCESSOR, read_json(folder, PREPROCESSOR)?)
    } else if folder.join(PROCESSOR).is_file() {
        let mut values: Value = read_json(folder, PROCESSOR)?;
        (
            PROCESSOR,
            values.get_mut("image_processor").map(Value::take).unwrap_or_default(),
        )
    } else {
        (PREPROCESSOR, Value::Null)
    };
    let found: Option<HfPreprocessor> =
        serde_json::from_value(values).map_err(|error| bad_json(folder, file, &error))?;
    Ok((file, found.unwrap_or_default()))
}

impl HfPreprocessor {
    fn to_clip(&self, file: &'static str, image_px: u32) -> Result<PreprocessConfig, ClipError> {
        const BICUBIC: u32 = 3;
        self.check_steps(file, true)?;
        check_size(file, "size", &self.size, &["shortest_edge"], image_px)?;
        check_size(file, "crop_size", &self.crop_size, &["height", "width"], image_px)?;
        for (field, found, expected) in [
            ("image_mean", self.image_mean, CLIP_MEAN),
            ("image_std", self.image_std, CLIP_STD),
        ] {
            if let Some(found) = found.filter(|found| *found != expected) {
                return Err(unknown(file, field, &found, &format!("{expected:?}")));
            }
        }
        match self.resample {
            Some(filter) if filter != BICUBIC => {
                Err(unknown(file, "resample", &filter, &format!("{BICUBIC}, bicubic")))
            }
            _ => Ok(PreprocessConfig::Clip { size_px: image_px }),
        }
    }

    fn to_siglip(&self, file: &'static str, image_px: u32) -> Result<PreprocessConfig, ClipError> {
        self.check_steps(file, false)?;
        check_size(file, "size", &self.size, &["height", "width"], image_px)?;
        let filter = match self.resample {
            Some(2) => PillowFilter::Bilinear,
            Some(3) | None => PillowFilter::Bicubic,
            Some(other) => return Err(unknown(file, "resample", &other, &"2, bilinear, or 3, bicubic")),
        };
        let in_bytes = |values: Option<[f32; 3]>| values.unwrap_or([0.5; 3]).map(|value| value * 255.0);
        Ok(PreprocessConfig::PillowSquash {
            size_px: image_px,
            filter,
            mean: in_bytes(self.image_mean),
            std: in_bytes(self.image_std),
        })
    }

    fn check_steps(&self, file: &'static str, center_crop: bool) -> Result<(), ClipError> {
        for (field, found, expected) in [
            ("do_resize", self.do_resize, true),
            ("do_center_crop", self.do_center_crop, center_crop),
            ("do_rescale", self.do_rescale, true),
            ("do_normalize", self.do_normalize, true),
        ] {
            if found.is_some_and(|found| found != expected) {
                return Err(unknown(file, field, &!expected, &expected));
            }
        }
        const FACTOR: f64 = 1.0 / 255.0;
        match self.rescale_factor {
            Some(factor) if (factor - FACTOR).abs() > 1e-9 => Err(unknown(file, "rescale_factor", &factor, &FACTOR)),
            _ => Ok(()),
        }
    }
}

/// Refuses another size than `image_px`, which newer folders give for each of `sides` and older ones as a single number.
fn check_size(
    file: &'static str,
    field: &'static str,
    found: &Value,
    sides: &[&str],
    image_px: u32,
) -> Result<(), ClipError> {
    let wanted = Value::from(image_px);
    let fits = match found {
        Value::Null => true,
        Value::Object(size) => sides.iter().all(|side| size.get(*side) == Some(&wanted)),
        single => *single == wanted,
    };
    match fits {
        true => Ok(()),
        false => {
            let expected = format!("{image_px} px as {}", sides.join(" and "));
            Err(unknown(file, field, &found.to_string(), &expected))
        }
    }
}
