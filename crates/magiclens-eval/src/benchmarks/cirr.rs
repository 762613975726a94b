//! CIRR (Liu et al. 2021): a photograph and a change find another photograph.
//!
//! - Files: `captions/cap.rc2.{val,test1}.json`, `image_splits/split.rc2.{val,test1}.json` (in the folder or in `cirr/`),
//!   images at the paths of the split file, in `img_raw/` or beside the annotations, as Cuberick-Orion/CIRR has them.
//! - Query text: the caption as it is.
//! - Gallery: all images of the split, the query image removed (CIRR's evaluation; SEARLE `validate.py`); the subset is
//!   the other five members of `img_set`.
//! - Metrics: R@1, 5, 10, 50 and Rs@1, 2, 3 against `target_hard`. Truth of test1 is hidden: server files only.
//!   Counts: val 4,181 queries (its README), test1 4,148 queries and 2,315 images.

use std::path::Path;

use serde::Deserialize;

use super::{Choice, Entry};
use crate::EvalError;
use crate::annotations::{Entries, Images, annotation, find_in, folders, locate, read_json};
use crate::benchmark::{Benchmark, Column, Count, Measure, Metric, OwnImage, Query, Scope, Task, Truth, Variant};
use crate::id::Id;

pub(super) const ENTRY: Entry = Entry {
    name: "cirr",
    title: "CIRR",
    folder: "cirr",
    layout: "captions/cap.rc2.{val,test1}.json, image_splits/split.rc2.{val,test1}.json, img_raw/{dev,test1}/",
    splits: &["val", "test1"],
    templates: &["magiclens"],
    load,
};

const HINT: &str = "take the branch `cirr_dataset` of github.com/Cuberick-Orion/CIRR";

#[derive(Deserialize)]
struct Pair {
    pairid: u64,
    reference: String,
    target_hard: Option<String>,
    caption: String,
    img_set: ImageSet,
}

#[derive(Deserialize)]
struct ImageSet {
    members: Vec<String>,
}

fn load(data: &Path, choice: &Choice<'_>) -> Result<Benchmark, EvalError> {
    let split = choice.split;
    let file = |what, name: String| find_in(data, what, &["", "cirr/"], &name, HINT);
    let captions = file("captions", format!("captions/cap.rc2.{split}.json"))?;
    let names = file("split", format!("image_splits/split.rc2.{split}.json"))?;
    let pairs: Vec<Pair> = read_json(&captions)?;
    let (images, gallery) = gallery(data, &names)?;
    let row = |name: &str, pair: &Pair| {
        images.row(&Id::text(name)).ok_or_else(|| {
            let reason = format!("`{name}` of pair {} is not in `{}`", pair.pairid, names.display());
            annotation(&captions, reason)
        })
    };
    let queries: Vec<Query> = pairs.iter().map(|pair| query(pair, &row)).collect::<Result<_, _>>()?;
    let (published_queries, published_images) = if split == "val" { (4181, 2297) } else { (4148, 2315) };
    let counts = vec![
        Count::new(format!("{split} queries"), queries.len(), published_queries),
        Count::new(format!("{split} images"), gallery.len(), published_images),
    ];
    Ok(Benchmark {
        images: images.entries,
        variants: Variant::by_own_image([OwnImage::Removed, OwnImage::Kept], |own| {
            vec![task(split, &gallery, own.of(&queries))]
        }),
        counts,
        columns: ["R@1", "R@5", "R@10", "R@50", "Rs@1", "Rs@2", "Rs@3"]
            .map(|label| Column::of_task(label, "removed", split, label))
            .into(),
        remarks: vec![
            "Published scores are those of the test1 server; scores on val are for choosing, not for comparing."
                .to_owned(),
        ],
        ..Benchmark::default()
    })
}

/// All images of the split, in the order of its file.
fn gallery(data: &Path, names: &Path) -> Result<(Images, Vec<usize>), EvalError> {
    let Entries(files) = read_json::<Entries<String>>(names)?;
    let roots = folders(data, &["img_raw", "cirr/img_raw", "images", "."]);
    let mut images = Images::default();
    let rows = files.iter().map(|(name, path)| {
        let path = path.trim_start_matches("./").to_owned();
        images.add(Id::text(name), || locate(&roots, &[path]))
    });
    let rows = rows.collect();
    Ok((images, rows))
}

fn query(pair: &Pair, row: &impl Fn(&str, &Pair) -> Result<usize, EvalError>) -> Result<Query, EvalError> {
    let reference = row(&pair.reference, pair)?;
    let members = pair.img_set.members.iter().filter(|name| **name != pair.reference);
    Ok(Query {
        id: pair.pairid.to_string(),
        images: vec![reference],
        text: pair.caption.clone(),
        caption: pair.caption.clone(),
        truth: match &pair.target_hard {
            Some(target) => Truth::Items(vec![row(target, pair)?]),
            None => Truth::Hidden,
        },
        subset: members.map(|name| row(name, pair)).collect::<Result<_, _>>()?,
        cluster: reference,
        ..Query::default()
    })
}

fn task(split: &str, gallery: &[usize], queries: Vec<Query>) -> Task {
    let recall = Measure::at("R", [1, 5, 10, 50], Metric::Hit);
    let subset = Measure::at("Rs", [1, 2, 3], Metric::Hit).map(|measure| measure.within(Scope::Subset));
    Task {
        name: split.to_owned(),
        gallery: gallery.to_vec(),
        queries,
        measures: recall.into_iter().chain(subset).collect(),
        ..Task::default()
    }
}
