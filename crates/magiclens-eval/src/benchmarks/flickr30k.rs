//! Flickr30k (Young et al. 2014), the 1K test images of Karpathy's split with five captions each. Protocol: `captions.rs`.
//!
//! Files: `flickr30k_test_karpathy.txt` (lines of `IMAGE.jpg,CAPTION` after a head, as LAION-AI/CLIP_benchmark reads them) or
//! Karpathy's `dataset_flickr30k.json`; images in the folder itself, `flickr30k-images/`, `flickr30k_images/` or `images/`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::captions::{Captioned, HINT, build, from_karpathy};
use super::{Choice, Entry};
use crate::EvalError;
use crate::annotations::{annotation, find, folders, locate};
use crate::benchmark::Benchmark;
use crate::id::Id;

pub(super) const ENTRY: Entry = Entry {
    name: "flickr30k",
    title: "Flickr30k",
    folder: "flickr30k",
    layout: "flickr30k_test_karpathy.txt or dataset_flickr30k.json, flickr30k-images/",
    splits: &["test"],
    templates: &["caption"],
    load,
};

const TXT: &str = "flickr30k_test_karpathy.txt";
const JSON: &str = "dataset_flickr30k.json";

fn load(data: &Path, _choice: &Choice<'_>) -> Result<Benchmark, EvalError> {
    let list = find(data, "list of captions", &[TXT, JSON], HINT)?;
    let roots = folders(
        data,
        &[
            "flickr30k-images",
            "flickr30k_images",
            "flickr30k_images/flickr30k_images",
            "Images",
            "images",
            ".",
        ],
    );
    let images = match list.ends_with(TXT) {
        true => read_lines(&list, &roots)?,
        false => from_karpathy(&list, &roots)?,
    };
    Ok(build(images, &[("all", "1K test", usize::MAX)], (1000, 5000)))
}

fn read_lines(list: &Path, roots: &[PathBuf]) -> Result<Vec<Captioned>, EvalError> {
    let text = fs_err::read_to_string(list)?;
    let mut images: Vec<Captioned> = Vec::new();
    let mut rows = HashMap::new();
    for (number, line) in text.lines().enumerate().skip(1) {
        if line.trim().is_empty() {
            continue;
        }
        // A caption may hold commas, a file name does not.
        let (name, caption) = line.trim().split_once(".jpg,").ok_or_else(|| {
            annotation(
                list,
                format!("line {} is not `IMAGE.jpg,CAPTION`: `{line}`", number + 1),
            )
        })?;
        let name = format!("{name}.jpg");
        let row = *rows.entry(name.clone()).or_insert_with(|| {
            images.push(Captioned {
                id: Id::text(&name),
                path: locate(roots, &[name]),
                captions: Vec::new(),
            });
            images.len() - 1
        });
        images[row].captions.push(caption.to_owned());
    }
    Ok(images)
}
