//! Golden files and comparisons. A missing fixture fails.
#![allow(clippy::unwrap_used, dead_code)]

use std::path::{Path, PathBuf};

use image::RgbImage;
use magiclens_model::Embedder;
use magiclens_model::checkpoint::{NamedWeights, StoredFloat, Weights, write_checkpoint};
use magiclens_model::import::RawClip;
use magiclens_model::import::clip::read_clip;
use magiclens_model::tokenizer::clip::{CONTEXT_LENGTH, TokenIds};
use safetensors::{Dtype, SafeTensors};

/// A file of the repository's `fixtures`.
pub(crate) fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures")
        .join(name)
}

/// A fixture as JSON.
pub(crate) fn json(name: &str) -> serde_json::Value {
    let path = fixture(name);
    serde_json::from_slice(&std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))).unwrap()
}

/// A safetensors file of recorded numbers.
pub(crate) struct Golden(Vec<u8>);

impl Golden {
    pub(crate) fn read(name: &str) -> Self {
        let path = fixture(name);
        Self(std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    fn file(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.0).unwrap()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.file().names().into_iter().map(String::from).collect()
    }

    /// A recorded f32 tensor.
    pub(crate) fn tensor(&self, name: &str) -> Weights {
        let file = self.file();
        let view = file.tensor(name).unwrap_or_else(|error| panic!("`{name}`: {error}"));
        assert_eq!(view.dtype(), Dtype::F32, "`{name}`");
        let values = view
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect();
        Weights {
            shape: view.shape().to_vec(),
            values,
        }
    }

    /// The recorded token ids, a row a text.
    pub(crate) fn ids(&self) -> Vec<TokenIds> {
        let file = self.file();
        let view = file.tensor("ids").unwrap();
        assert_eq!((view.dtype(), view.shape()[1]), (Dtype::I32, CONTEXT_LENGTH));
        let flat: Vec<u32> = view
            .data()
            .chunks_exact(4)
            .map(|b| i32::from_le_bytes(b.try_into().unwrap()) as u32)
            .collect();
        flat.chunks_exact(CONTEXT_LENGTH)
            .map(|row| row.try_into().unwrap())
            .collect()
    }

    /// The bytes of a recorded u8 tensor.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        let file = self.file();
        let view = file.tensor(name).unwrap_or_else(|error| panic!("`{name}`: {error}"));
        assert_eq!(view.dtype(), Dtype::U8);
        view.data().to_vec()
    }

    /// A recorded i32 tensor of numbers that are not below zero.
    pub(crate) fn integers(&self, name: &str) -> Vec<u32> {
        let file = self.file();
        let view = file.tensor(name).unwrap_or_else(|error| panic!("`{name}`: {error}"));
        assert_eq!(view.dtype(), Dtype::I32);
        view.data()
            .chunks_exact(4)
            .map(|b| i32::from_le_bytes(b.try_into().unwrap()) as u32)
            .collect()
    }

    /// An entry of the file's metadata.
    pub(crate) fn metadata(&self, key: &str) -> String {
        let (_, metadata) = SafeTensors::read_metadata(&self.0).unwrap();
        metadata.metadata().as_ref().unwrap()[key].clone()
    }

    /// A recorded image.
    pub(crate) fn image(&self, name: &str) -> RgbImage {
        let file = self.file();
        let view = file.tensor(name).unwrap_or_else(|error| panic!("`{name}`: {error}"));
        assert_eq!(view.dtype(), Dtype::U8);
        let &[height, width, 3] = view.shape() else {
            panic!("`{name}` is no image")
        };
        RgbImage::from_raw(width as u32, height as u32, view.data().to_vec()).unwrap()
    }

    /// The images `prefix0`, `prefix1`, ..
    pub(crate) fn images(&self, prefix: &str) -> Vec<RgbImage> {
        let count = self.names().iter().filter(|name| name.starts_with(prefix)).count();
        assert!(count > 0, "no `{prefix}*`");
        (0..count).map(|at| self.image(&format!("{prefix}{at}"))).collect()
    }
}

/// CLIP, imported, written, and loaded from the file.
pub(crate) fn imported_clip(source: &Path, raw: &RawClip) -> Embedder {
    let (config, tensors) = read_clip(source, raw).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.safetensors");
    write_checkpoint(&path, &config, &tensors, StoredFloat::F32, &[]).unwrap();
    let embedder = Embedder::load(&path).unwrap();
    // Inversions read the modules, and the file goes with this function.
    embedder.model().unwrap();
    embedder
}

/// A small generator with a fixed seed (xorshift).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// The largest absolute difference.
pub(crate) fn max_difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    // A NaN is a difference, not something to skip.
    differences.fold(
        0.0,
        |worst, each| if each > worst || each.is_nan() { each } else { worst },
    )
}

/// Fails where any number is further off than `limit`.
pub(crate) fn assert_close(what: &str, found: &[f32], expected: &[f32], limit: f32) {
    let worst = max_difference(found, expected);
    assert!(worst <= limit, "{what}: {worst:e} off, limit {limit:e}");
}

/// Cosine of two vectors.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// The weight formula of the golden README: numbers of tensor `index`.
pub(crate) fn formula(index: u64, count: usize, offset: f64, width: f64) -> Vec<f32> {
    let value = |element: u64| {
        let mut z = (index << 32).wrapping_add(element).wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        let u = (z >> 40) as f64 / 16_777_216.0 - 0.5;
        (offset + width * u) as f32
    };
    (0..count as u64).map(value).collect()
}

/// Rows of `weights` with the leading axes joined: `[rows, last axis]`.
pub(crate) fn row(weights: &Weights, row: usize) -> &[f32] {
    let width = *weights.shape.last().unwrap();
    &weights.values[row * width..(row + 1) * width]
}

/// One tensor of a model.
pub(crate) fn named<'a>(weights: &'a NamedWeights, name: &str) -> &'a Weights {
    weights.get(name).unwrap_or_else(|| panic!("no tensor `{name}`"))
}
