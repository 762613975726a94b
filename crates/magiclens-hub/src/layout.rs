//! The files of a repository that make a model: which of them are needed, and whether they are all there.

/// Files beside the weights that are taken where they are there; the README states the license.
const DESCRIPTIONS: [&str; 5] = [
    "README.md",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
];
/// Configuration of transformers.
const TRANSFORMERS: &str = "config.json";
/// Weights of transformers in one file, best first.
const TRANSFORMERS_WEIGHTS: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];
/// List of the files that large weights of transformers are divided into.
const TRANSFORMERS_INDEX: &str = "model.safetensors.index.json";
/// Configuration of open_clip.
const OPEN_CLIP: &str = "open_clip_config.json";
/// Weights of open_clip, best first.
const OPEN_CLIP_WEIGHTS: [&str; 3] = [
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
];

/// The files that make a model, weights last; `None` if weights or their configuration are missing.
///
/// transformers' files win over open_clip's, safetensors over pickles.
pub(crate) fn model_files<'a>(listing: &[&'a str]) -> Option<Vec<&'a str>> {
    let mut files = descriptions(listing);
    let (config, weights) = transformers(listing).or_else(|| open_clip(listing))?;
    files.push(config);
    files.extend(weights);
    Some(files)
}

fn transformers<'a>(listing: &[&'a str]) -> Option<(&'a str, Vec<&'a str>)> {
    let config = find(listing, TRANSFORMERS)?;
    let [safe, pickled] = TRANSFORMERS_WEIGHTS;
    let one = |name| find(listing, name).map(|file| vec![file]);
    Some((config, one(safe).or_else(|| shards(listing)).or_else(|| one(pickled))?))
}

fn open_clip<'a>(listing: &[&'a str]) -> Option<(&'a str, Vec<&'a str>)> {
    let config = find(listing, OPEN_CLIP)?;
    let weights = OPEN_CLIP_WEIGHTS.iter().find_map(|name| find(listing, name))?;
    Some((config, vec![weights]))
}

/// The index and every one of `model-00001-of-0000N.safetensors`.
fn shards<'a>(listing: &[&'a str]) -> Option<Vec<&'a str>> {
    let index = find(listing, TRANSFORMERS_INDEX)?;
    let part = |file: &&'a str| file.strip_prefix("model-")?.strip_suffix(".safetensors");
    let parts: Vec<&str> = listing.iter().filter(|file| part(file).is_some()).copied().collect();
    let (_, total) = part(parts.first()?)?.split_once("-of-")?;
    let complete = total.parse() == Ok(parts.len());
    complete.then(|| std::iter::once(index).chain(parts).collect())
}

fn descriptions<'a>(listing: &[&'a str]) -> Vec<&'a str> {
    DESCRIPTIONS.iter().filter_map(|name| find(listing, name)).collect()
}

fn find<'a>(listing: &[&'a str], name: &str) -> Option<&'a str> {
    listing.iter().find(|file| **file == name).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(listing: &str, expected: Option<&str>) {
        let listing: Vec<&str> = listing.split_whitespace().collect();
        let expected = expected.map(|files| files.split_whitespace().collect::<Vec<_>>());
        assert_eq!(model_files(&listing), expected, "{listing:?}");
    }

    #[test]
    fn each_layout_is_found_with_its_best_weights() {
        check(
            "model.safetensors pytorch_model.bin flax_model.msgpack config.json README.md tokenizer.json",
            Some("README.md tokenizer.json config.json model.safetensors"),
        );
        check("config.json pytorch_model.bin", Some("config.json pytorch_model.bin"));
        check(
            "config.json model-00001-of-00002.safetensors model-00002-of-00002.safetensors model.safetensors.index.json",
            Some(
                "config.json model.safetensors.index.json model-00001-of-00002.safetensors model-00002-of-00002.safetensors",
            ),
        );
        // open_clip's repositories may have a `config.json` without weights of its names.
        check(
            "config.json open_clip_config.json open_clip_pytorch_model.bin open_clip_model.safetensors",
            Some("open_clip_config.json open_clip_model.safetensors"),
        );
        check(
            "open_clip_config.json open_clip_pytorch_model.bin",
            Some("open_clip_config.json open_clip_pytorch_model.bin"),
        );
    }

    #[test]
    fn a_part_is_no_model() {
        check("", None);
        check("config.json tokenizer.json", None);
        check("model.safetensors", None);
        check("open_clip_config.json model.safetensors", None);
        check(
            "config.json model.safetensors.index.json model-00001-of-00002.safetensors",
            None,
        );
        check("config.json sub/model.safetensors", None);
    }
}
