//! The preprocessing that a folder of transformers asks for beside SigLIP.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::clip_folder::{PREPROCESSOR, bad_json, read_json, unknown};
use super::error::{ClipError, ImportError};
use crate::preprocess::{PillowFilter, PreprocessConfig};

/// The file of newer folders, which holds the image processor as a part.
const PROCESSOR: &str = "processor_config.json";

/// `preprocessor_config.json`, as far as it changes numbers.
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
}

/// The preprocessing of a folder: `SiglipImageProcessor`'s own where it says nothing.
pub(super) fn read_preprocess(folder: &Path, image_px: u32) -> Result<PreprocessConfig, ImportError> {
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
    let found = found.unwrap_or_default();
    found.to_config(file, image_px).map_err(ImportError::at(folder))
}

impl HfPreprocessor {
    fn to_config(&self, file: &'static str, image_px: u32) -> Result<PreprocessConfig, ClipError> {
        self.check_steps(file)?;
        self.check_size(file, image_px)?;
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

    fn check_steps(&self, file: &'static str) -> Result<(), ClipError> {
        for (field, found, expected) in [
            ("do_resize", self.do_resize, true),
            ("do_center_crop", self.do_center_crop, false),
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

    /// `size` names height and width, in older folders a single number.
    fn check_size(&self, file: &'static str, image_px: u32) -> Result<(), ClipError> {
        let side = Value::from(image_px);
        let fits = match &self.size {
            Value::Null => true,
            Value::Object(size) => size.get("height") == Some(&side) && size.get("width") == Some(&side),
            single => *single == side,
        };
        match fits {
            true => Ok(()),
            false => Err(unknown(
                file,
                "size",
                &self.size.to_string(),
                &format!("a square of {image_px} px"),
            )),
        }
    }
}
