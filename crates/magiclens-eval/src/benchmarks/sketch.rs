//! The common part of the three sketch benchmarks: lists of sketches and photographs of unseen classes, as ZSE-SBIR (Lin et al.
//! 2023) publishes them.
//!
//! - Query text: `find a natural image of it` (MagicLens, Table 4). A photograph of the sketch's class is right.
//! - Gallery: all photographs of the unseen classes.
//! - Metrics, mean over sketches (`utils/ap.py`): `mAP` and `mAP@200` are interpolated (VOC), as published; beside each stands
//!   the plain one (`other_map1`). `P@k` looks at the first `min(k, right images)`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::EvalError;
use crate::annotations::{Images, find_in, folders, locate, read_labeled_paths, unique};
use crate::benchmark::{Benchmark, Column, Count, Measure, Metric, Query, Task, Truth, Variant};
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

/// A benchmark of 30 unseen classes, with the measures that are published of it.
pub(super) fn load_one(
    data: &Path,
    name: &str,
    lists: &Lists<'_>,
    published: [&str; 2],
) -> Result<Benchmark, EvalError> {
    const FLAG: &str = "zeroshot";
    let mut images = Images::default();
    let (variant, counts) = load(data, FLAG, "30 unseen classes", lists, &mut images)?;
    Ok(Benchmark {
        name: name.to_owned(),
        images: images.entries,
        variants: vec![variant],
        counts: counts.into(),
        columns: published.map(|label| Column::of_mean(label, FLAG, label)).into(),
        remarks: remarks(),
        ..Benchmark::default()
    })
}

/// The variant of these lists with its counts; images are added to `images`.
pub(super) fn load(
    data: &Path,
    flag: &str,
    name: &str,
    lists: &Lists<'_>,
    images: &mut Images,
) -> Result<(Variant, [Count; 2]), EvalError> {
    let read = |what: &str, file: &str| {
        let path = find_in(
            data,
            what,
            &["", &format!("{}/", lists.folder)],
            &format!("{}/{file}", lists.lists),
            HINT,
        )?;
        let list = read_labeled_paths(&path)?;
        Ok::<_, EvalError>((path, list))
    };
    let (_, sketches) = read("list of sketches", lists.sketches)?;
    let (photo_list, photos) = read("list of photographs", lists.photos)?;
    let (_, class_names) = read("list of classes", "cname_cid_zero.txt")?;
    unique(&photo_list, &photos)?;
    let roots: Vec<PathBuf> = folders(data, &[lists.folder, "."]);
    let mut add = |path: &String| images.add(Id::text(path), || locate(&roots, std::slice::from_ref(path)));
    let task = Task {
        name: name.to_owned(),
        gallery: photos.iter().map(|(path, _)| add(path)).collect(),
        classes: photos.iter().map(|(_, class)| *class).collect(),
        queries: queries(&sketches, class_names, add),
        measures: measures(),
        ..Task::default()
    };
    let counts = [
        Count::new(format!("{flag} sketches"), sketches.len(), lists.published.0),
        Count::new(format!("{flag} photographs"), photos.len(), lists.published.1),
    ];
    Ok((Variant::new(flag, name, vec![task]), counts))
}

/// A query for each line of the list, since the official code scores every line.
fn queries(
    sketches: &[(String, u32)],
    class_names: Vec<(String, u32)>,
    mut add: impl FnMut(&String) -> usize,
) -> Vec<Query> {
    let class_names: HashMap<u32, String> = class_names.into_iter().map(|(name, class)| (class, name)).collect();
    let mut repeats: HashMap<&str, usize> = HashMap::new();
    let mut query = |(path, class): &(String, u32), times: usize| {
        let sketch = add(path);
        Query {
            id: if times == 1 {
                path.clone()
            } else {
                format!("{path}#{times}")
            },
            images: vec![sketch],
            text: "find a natural image of it".to_owned(),
            caption: "is a natural image".to_owned(),
            prompt: Some("a natural image of *".to_owned()),
            truth: Truth::Class(*class),
            groups: class_names.get(class).into_iter().cloned().collect(),
            cluster: sketch,
            ..Query::default()
        }
    };
    let mut queries = Vec::with_capacity(sketches.len());
    for sketch in sketches {
        let times = repeats.entry(&sketch.0).or_insert(0);
        *times += 1;
        queries.push(query(sketch, *times));
    }
    queries
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

/// Remarks about all three.
pub(super) fn remarks() -> Vec<String> {
    vec![
        "Published mAP is the interpolated (VOC) average precision of ZSE-SBIR's code, which is higher than the plain one."
            .to_owned(),
    ]
}
