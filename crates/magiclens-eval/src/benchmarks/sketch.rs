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
const INTERPOLATED: &str = "Published mAP is the interpolated (VOC) average precision of ZSE-SBIR's code, which is higher \
                            than the plain one.";

/// The lists of a benchmark, as its authors lay them out.
pub(super) struct Lists {
    /// Folder of the benchmark in the official layout, e.g. "Sketchy".
    pub(super) folder: &'static str,
    pub(super) sketches: &'static str,
    pub(super) photos: &'static str,
    pub(super) splits: &'static [Split],
    /// The measures that are published.
    pub(super) published: [&'static str; 2],
}

/// A split: flag, name, folder of its lists, published numbers of sketches and photographs.
pub(super) type Split = (&'static str, &'static str, &'static str, (usize, usize));

/// The benchmark of these lists, a variant a split; of several splits some may be missing.
pub(super) fn load(data: &Path, lists: &Lists) -> Result<Benchmark, EvalError> {
    let mut images = Images::default();
    let mut benchmark = Benchmark::default();
    benchmark.remarks.push(INTERPOLATED.to_owned());
    let mut missing = None;
    for &split in lists.splits {
        match load_split(data, lists, split, &mut images) {
            Ok((variant, counts)) => {
                benchmark.variants.push(variant);
                benchmark.counts.extend(counts);
            }
            Err(error @ EvalError::NoAnnotations { .. }) => {
                let (flag, name, folder, (sketches, _)) = split;
                let remark = format!("the lists of `{folder}` are not there: {name} are not reported.");
                benchmark.remarks.push(remark);
                let count = Count::new(format!("{flag} sketches"), 0, sketches);
                benchmark.counts.push(count);
                missing = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    if let (true, Some(error)) = (benchmark.variants.is_empty(), missing) {
        return Err(error);
    }
    let columns = |variant: &Variant| {
        lists.published.map(|measure| match lists.splits {
            [_] => Column::of_mean(measure, &variant.flag, measure),
            _ => Column::of_mean(&format!("{measure} ({})", variant.flag), &variant.flag, measure),
        })
    };
    benchmark.columns = benchmark.variants.iter().flat_map(columns).collect();
    benchmark.images = images.entries;
    Ok(benchmark)
}

/// The variant of a split with its counts; images are added to `images`.
fn load_split(
    data: &Path,
    lists: &Lists,
    (flag, name, folder, published): Split,
    images: &mut Images,
) -> Result<(Variant, [Count; 2]), EvalError> {
    let read = |what: &str, file: &str| {
        let path = find_in(
            data,
            what,
            &["", &format!("{}/", lists.folder)],
            &format!("{folder}/{file}"),
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
        Count::new(format!("{flag} sketches"), sketches.len(), published.0),
        Count::new(format!("{flag} photographs"), photos.len(), published.1),
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
