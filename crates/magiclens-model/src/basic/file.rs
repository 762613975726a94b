//! The file that keeps BASIC of one model: tensors, and in the metadata the key of what they were made from.

use std::path::{Path, PathBuf};

use magiclens_data::Digest;

use super::corpus;
use super::prepared::Basic;
use super::settings::BasicSettings;
use crate::ModelError;
use crate::array::{NamedWeights, Weights};
use crate::embedder::Embedder;
use crate::tensors_file::{StoredFloat, TensorsFile, write_tensors};

/// The entry of the metadata that holds the key.
const KEY: &str = "magiclens.basic";
/// Another computation is another version.
const VERSION: u32 = 1;
const TEXT_MEAN: &str = "text_mean";
const BASIS: &str = "basis";
const UNRELATED_TEXTS: &str = "unrelated_texts";

impl Basic {
    /// BASIC of a model with the built-in word lists and settings: from its file in `folder`, else prepared and written there.
    /// A file that was made from other weights, lists or settings, or that cannot be read, is replaced.
    ///
    /// # Errors
    /// As [`Basic::prepare`]; a folder that cannot be written.
    pub fn load_or_prepare(folder: &Path, embedder: &Embedder) -> Result<Self, ModelError> {
        let settings = BasicSettings::default();
        let key = key(embedder.model_id(), &settings);
        let path = file(folder, &key);
        if let Some(kept) = read(&path, &key, settings, embedder.dim()) {
            return Ok(kept);
        }
        let basic = Self::prepare(embedder)?;
        fs_err::create_dir_all(folder)?;
        basic.write(&path, &key)?;
        Ok(basic)
    }

    /// True if [`Basic::load_or_prepare`] has a file of this model to read.
    pub fn is_prepared(folder: &Path, embedder: &Embedder) -> bool {
        file(folder, &key(embedder.model_id(), &BasicSettings::default())).is_file()
    }

    /// Writes the file whole or not at all.
    fn write(&self, path: &Path, key: &str) -> Result<(), ModelError> {
        let dim = self.dim();
        let matrix = |rows: &[Vec<f32>]| Weights {
            shape: vec![rows.len(), dim],
            values: rows.concat(),
        };
        let mean = std::slice::from_ref(&self.text_mean);
        let mut tensors = NamedWeights::from([
            (TEXT_MEAN.to_owned(), matrix(mean)),
            (UNRELATED_TEXTS.to_owned(), matrix(&self.unrelated_texts)),
        ]);
        if let Some(basis) = &self.basis {
            tensors.insert(BASIS.to_owned(), matrix(basis));
        }
        write_tensors(path, &tensors, StoredFloat::F32, Some((KEY, key.to_owned())))
    }
}

/// The digest of everything that BASIC is computed from.
fn key(model_id: &str, settings: &BasicSettings) -> String {
    let settings = format!("{VERSION} {settings:?}");
    let parts = [model_id, corpus::OBJECTS, corpus::STYLES, &settings];
    Digest::of(parts.join("\0")).to_string()
}

fn file(folder: &Path, key: &str) -> PathBuf {
    folder.join(format!("basic-{}.safetensors", &key[..32]))
}

/// The file's content; `None` where it is missing, broken or of another key.
fn read(path: &Path, key: &str, settings: BasicSettings, dim: usize) -> Option<Basic> {
    let file = TensorsFile::open(path).ok()?;
    if file.metadata(KEY) != Some(key) {
        return None;
    }
    let (mut tensors, _) = file.read_weights(&[]).ok()?;
    let mut rows = |name: &str| {
        let Weights { shape, values } = tensors.remove(name)?;
        let fits = matches!(shape[..], [_, width] if width == dim) && values.iter().all(|value| value.is_finite());
        fits.then(|| values.chunks_exact(dim.max(1)).map(<[f32]>::to_vec).collect::<Vec<_>>())
    };
    let mut mean = rows(TEXT_MEAN)?;
    let basis = match settings.projection {
        Some(_) => Some(rows(BASIS)?),
        None => None,
    };
    let unrelated_texts = rows(UNRELATED_TEXTS)?;
    let text_mean = mean.pop().filter(|_| mean.is_empty())?;
    Some(Basic {
        settings,
        text_mean,
        basis,
        unrelated_texts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::basic::prepared::Corpora;

    fn basic() -> Basic {
        let rows = |seed: usize, count: usize| -> Vec<Vec<f32>> {
            (0..count)
                .map(|row| {
                    (0..5)
                        .map(|at| ((row * 13 + at * 7 + seed) % 17) as f32 - 8.0)
                        .collect()
                })
                .collect()
        };
        let (objects, styles, unrelated) = (rows(1, 12), rows(5, 6), rows(9, 4));
        let corpora = Corpora {
            objects: &objects,
            styles: &styles,
            unrelated: &unrelated,
        };
        Basic::of_corpora(corpora, BasicSettings::default()).unwrap()
    }

    #[test]
    fn a_file_gives_back_what_was_written_for_its_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let settings = BasicSettings::default();
        let key = key("model", &settings);
        let path = file(folder.path(), &key);
        assert_eq!(read(&path, &key, settings, 5), None, "there is no file");
        let written = basic();
        written.write(&path, &key).unwrap();
        assert_eq!(read(&path, &key, settings, 5), Some(written));
        assert_eq!(read(&path, "another", settings, 5), None);
        assert_eq!(read(&path, &key, settings, 6), None);
        let bytes = fs_err::read(&path).unwrap();
        for end in [0, 5, 20, bytes.len() - 1] {
            fs_err::write(&path, &bytes[..end]).unwrap();
            assert_eq!(read(&path, &key, settings, 5), None, "cut off at {end}");
        }
    }

    #[test]
    fn keys_differ_by_model_and_settings() {
        let settings = BasicSettings::default();
        let other = BasicSettings {
            penalty: 0.2,
            ..settings
        };
        assert_ne!(key("a", &settings), key("b", &settings));
        assert_ne!(key("a", &settings), key("a", &other));
    }
}
