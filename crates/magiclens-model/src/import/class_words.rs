//! The words for ImageNet's 1000 classes: names, other names and glosses, as WordNet has them and PyPI's timm brings them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::error::{ImportError, WordsError};

/// The synsets in the order of the classifier, a line each.
const ORDER: &str = "imagenet_synsets.txt";
/// `synset<tab>name, other name, ..`
const NAMES: &str = "imagenet_synset_to_lemma.txt";
/// `synset<tab>gloss`
const GLOSSES: &str = "imagenet_synset_to_definition.txt";

/// For each class its sentences: all names, the gloss, the first name.
pub(super) fn read_class_words(folder: &Path) -> Result<Vec<[String; 3]>, ImportError> {
    let (order, names, glosses) = (read(folder, ORDER)?, read(folder, NAMES)?, read(folder, GLOSSES)?);
    let (names, glosses) = (table(&names), table(&glosses));
    let words = |synset: &str| {
        let word = |table: &HashMap<&str, &str>, file: &str| {
            let missing = || WordsError {
                synset: synset.to_owned(),
            };
            let found = table.get(synset).map(|text| (*text).to_owned());
            found.ok_or_else(missing).map_err(ImportError::at(&folder.join(file)))
        };
        let (names, gloss) = (word(&names, NAMES)?, word(&glosses, GLOSSES)?);
        let first = names.split(", ").next().unwrap_or_default().to_owned();
        Ok([names, gloss, first])
    };
    order
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(words)
        .collect()
}

fn read(folder: &Path, file: &str) -> Result<String, ImportError> {
    let path: PathBuf = folder.join(file);
    Ok(fs_err::read_to_string(path)?)
}

fn table(text: &str) -> HashMap<&str, &str> {
    text.lines().filter_map(|line| line.split_once('\t')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_come_in_their_order_with_all_their_words() {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| std::fs::write(folder.path().join(file), text).unwrap();
        write(ORDER, "n02\nn01\n");
        write(NAMES, "n01\ttench, Tinca tinca\nn02\tgoldfish\n");
        write(GLOSSES, "n01\ta game fish\nn02\ta small golden fish\n");
        let words = read_class_words(folder.path()).unwrap();
        assert_eq!(words[0], ["goldfish", "a small golden fish", "goldfish"]);
        assert_eq!(words[1], ["tench, Tinca tinca", "a game fish", "tench"]);
        write(GLOSSES, "n01\ta game fish\n");
        let told = read_class_words(folder.path()).unwrap_err().to_string();
        assert!(told.contains("n02") && told.contains(GLOSSES), "{told}");
    }
}
