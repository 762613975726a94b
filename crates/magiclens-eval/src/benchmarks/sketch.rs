//! What the three sketch benchmarks share: lists of sketches and photographs of unseen classes, as ZSE-SBIR (Lin et al.
//! 2023) publishes them.
//!
//! - Query text: `find a natural image of it` (MagicLens, Table 4). A photograph of the sketch's class is right.
//! - Gallery: all photographs of the unseen classes.
//! - Figures, mean over sketches (`utils/ap.py`): `mAP` and `mAP@200` are interpolated (VOC), as published; beside each stands
//!   the plain one (`other_map1`). `P@k` looks at the first `min(k, right images)`.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::EvalError;
use crate::annotations::{Images, annotation, find, folders, locate, read_labeled_paths};
use crate::benchmark::{Benchmark, Column, Count, Measure, Metric, Query, Task, TaskKind, Truth, Variant};
use crate::id::Id;

const HINT: &str = "take `datasets` of github.com/buptLinfy/ZSE-SBIR";

/// The lists of one benchmark or variant of it.
pub(super) struct Lists<'a> {
    /// Folder of the benchmark in the official layout, e.g. "Sketchy".
    pub(super) folder: &'a str,
    /// Folder of the lists in it.
    pub(super) lists: &'a str,
    pub(super) sketches: &'a str,
    pub(super) photos: &'a str,
    /// Published numbers of sketches and photographs.
    pub(super) published: (usize, usize),
}

/// A benchmark of 30 unseen classes, with the figures that are published of it.
pub(super) fn load_one(
    data: &Path,
    name: &str,
    lists: &Lists<'_>,
    published: [&str; 2],
) -> Result<Benchmark, EvalError> {
    const FLAG: &str = "zeroshot";
    let (mut images, mut counts) = (Images::default(), Vec::new());
    let variant = load(data, FLAG, "30 unseen classes", lists, &mut images, &mut counts)?;
    Ok(Benchmark {
        name: name.to_owned(),
        images: images.entries,
        texts: Vec::new(),
        variants: vec![variant],
        counts,
        image_folders: Vec::new(),
        open_gallery: false,
        columns: published.map(|label| Column::of_mean(label, FLAG, label)).into(),
        remarks: remarks(),
    })
}

/// The variant of these lists; images are added to `images`.
pub(super) fn load(
    data: &Path,
    flag: &str,
    name: &str,
    lists: &Lists<'_>,
    images: &mut Images,
    counts: &mut Vec<Count>,
) -> Result<Variant, EvalError> {
    let read = |file: &str, what: &str| {
        let places = [
            format!("{}/{file}", lists.lists),
            format!("{}/{}/{file}", lists.folder, lists.lists),
        ];
        let path = find(data, what, &places.each_ref().map(String::as_str), HINT)?;
        let list = read_labeled_paths(&path)?;
        Ok::<_, EvalError>((path, list))
    };
    let (_, sketches) = read(lists.sketches, "list of sketches")?;
    let (photo_list, photos) = read(lists.photos, "list of photographs")?;
    let (_, class_names) = read("cname_cid_zero.txt", "list of classes")?;
    let class_names: HashMap<u32, String> = class_names.into_iter().map(|(name, class)| (class, name)).collect();
    let roots: Vec<PathBuf> = folders(data, &[lists.folder, "."]);
    let mut add = |path: &String| images.add(Id::text(path), || locate(&roots, std::slice::from_ref(path)));

    let mut seen = HashSet::new();
    if let Some((path, _)) = photos.iter().find(|(path, _)| !seen.insert(path)) {
        return Err(annotation(&photo_list, format!("`{path}` is listed twice")));
    }
    let gallery: Vec<usize> = photos.iter().map(|(path, _)| add(path)).collect();
    let classes = photos.iter().map(|(_, class)| *class).collect();
    let mut repeats: HashMap<&str, usize> = HashMap::new();
    let queries = sketches
        .iter()
        .map(|(path, class)| {
            let sketch = add(path);
            // The official code scores every line of the list.
            let times = repeats.entry(path).or_insert(0);
            *times += 1;
            let id = if *times == 1 {
                path.clone()
            } else {
                format!("{path}#{times}")
            };
            Query {
                id,
                images: vec![sketch],
                text: "find a natural image of it".to_owned(),
                caption: "is a natural image".to_owned(),
                prompt: Some("a natural image of *".to_owned()),
                truth: Truth::Class(*class),
                groups: class_names.get(class).into_iter().cloned().collect(),
                cluster: sketch,
                ..Query::default()
            }
        })
        .collect();
    counts.push(Count::new(
        format!("{flag} sketches"),
        sketches.len(),
        lists.published.0,
    ));
    counts.push(Count::new(
        format!("{flag} photographs"),
        photos.len(),
        lists.published.1,
    ));
    Ok(Variant {
        name: name.to_owned(),
        flag: flag.to_owned(),
        tasks: vec![Task {
            name: name.to_owned(),
            kind: TaskKind::Composed,
            gallery,
            classes,
            queries,
            measures: measures(),
        }],
    })
}

fn measures() -> Vec<Measure> {
    vec![
        Measure::new("mAP", Metric::InterpolatedAveragePrecision(None)),
        Measure::new("mAP plain", Metric::PlainAveragePrecision(None)),
        Measure::new("mAP@200", Metric::InterpolatedAveragePrecision(Some(200))),
        Measure::new("mAP@200 plain", Metric::PlainAveragePrecision(Some(200))),
        Measure::new("P@100", Metric::CappedPrecision(100)),
        Measure::new("P@200", Metric::CappedPrecision(200)),
    ]
}

/// What readers of all three should know.
pub(super) fn remarks() -> Vec<String> {
    vec![
        "Published mAP is the interpolated (VOC) average precision of ZSE-SBIR's code, which is higher than the plain one."
            .to_owned(),
    ]
}
