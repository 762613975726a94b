//! GeneCIS (Vaze et al. 2023): an image and one word, which keeps or changes an attribute or an object; a short list of
//! candidates for each query.
//!
//! - Files: `{focus,change}_{attribute,object}.json` (in the folder or in `genecis/`); images of COCO val2017 for objects
//!   (`val2017/`, `coco/val2017/`), of Visual Genome for attributes (`VG_100K_all/`, `VG_100K/`, `VG_100K_2/`).
//! - Query text: the condition as it is (facebookresearch/genecis; the template of MagicLens is not published).
//! - Gallery: the target and the query's own distractors, 10 or 15 images. Attribute images are the object's box, widened
//!   by 0.7 and padded to a black square (`datasets/vaw_dataset.py`). Lists of unusual length are dropped, as there.
//! - Metrics: R@1, 2, 3 a task; the headline is the mean R@1 of the four. Noise of the benchmark itself: 0.2 (its README).
//!   Counts: 2,000 / 2,112 / 1,960 / 1,960 queries.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Choice, Entry};
use crate::EvalError;
use crate::annotations::{Images, annotation, find_in, folders, locate, read_json};
use crate::benchmark::{Benchmark, Column, Count, Crop, Measure, Metric, Query, Scope, Task, Truth, Variant};
use crate::id::Id;

pub(super) const ENTRY: Entry = Entry {
    name: "genecis",
    title: "GeneCIS",
    folder: "genecis",
    layout: "genecis/{focus,change}_{attribute,object}.json, coco/val2017/, VG_100K_all/",
    splits: &["test"],
    templates: &["condition"],
    load,
};

/// Tasks in the order of published tables, with their number of queries.
const TASKS: [(&str, usize); 4] = [
    ("focus_attribute", 2000),
    ("change_attribute", 2112),
    ("focus_object", 1960),
    ("change_object", 1960),
];

/// The flag of the only variant.
const FLAG: &str = "official";
const HINT: &str = "take the folder `genecis` of github.com/facebookresearch/genecis";
/// Folders that COCO's images may lie in.
const COCO: [&str; 6] = [
    "val2017",
    "coco/val2017",
    "COCO/val2017",
    "coco/images/val2017",
    "coco",
    "images",
];
/// Folders that the images of Visual Genome may lie in.
const GENOME: [&str; 11] = [
    "VG_100K_all",
    "VG_100K",
    "VG_100K_2",
    "visual_genome",
    "visual_genome/VG_100K_all",
    "visual_genome/VG_100K",
    "visual_genome/VG_100K_2",
    "vg",
    "vg/VG_100K_all",
    "vg/VG_100K",
    "vg/VG_100K_2",
];

#[derive(Deserialize)]
struct Template {
    condition: String,
    reference: Shown,
    target: Shown,
    gallery: Vec<Shown>,
}

/// An image of COCO, or an object in an image of Visual Genome.
#[derive(Deserialize)]
struct Shown {
    val_image_id: Option<i64>,
    image_id: Option<i64>,
    instance_bbox: Option<[f64; 4]>,
}

fn load(data: &Path, _choice: &Choice<'_>) -> Result<Benchmark, EvalError> {
    let mut loading = Loading::new(data);
    for (name, published) in TASKS {
        let file = format!("{name}.json");
        let queries = match find_in(data, "query templates", &["", "genecis/"], &file, HINT) {
            Ok(path) => loading.queries(name, &path)?,
            Err(_) => {
                let remark = format!("`{name}.json` is not there: the mean is over the other tasks.");
                loading.benchmark.remarks.push(remark);
                Vec::new()
            }
        };
        let count = Count::new(format!("{name} queries"), queries.len(), published);
        loading.benchmark.counts.push(count);
        if !queries.is_empty() {
            loading.tasks.push(task(name, queries));
        }
    }
    if loading.tasks.is_empty() {
        return Err(EvalError::NoAnnotations {
            data: data.to_owned(),
            what: "query templates".to_owned(),
            tried: TASKS.map(|(name, _)| format!("genecis/{name}.json")).into(),
            hint: HINT.to_owned(),
        });
    }
    Ok(loading.finish())
}

fn task(name: &str, queries: Vec<Query>) -> Task {
    let measures = Measure::at("R", [1, 2, 3], Metric::Hit);
    Task {
        name: name.to_owned(),
        queries,
        measures: measures.map(|measure| measure.within(Scope::Subset)).into(),
        ..Task::default()
    }
}

/// A benchmark that is being put together.
struct Loading {
    coco: Vec<PathBuf>,
    genome: Vec<PathBuf>,
    images: Images,
    tasks: Vec<Task>,
    benchmark: Benchmark,
}

impl Loading {
    fn new(data: &Path) -> Self {
        Self {
            coco: folders(data, &COCO),
            genome: folders(data, &GENOME),
            images: Images::default(),
            tasks: Vec::new(),
            benchmark: Benchmark::default(),
        }
    }

    /// The queries of a file with the usual number of candidates.
    fn queries(&mut self, task: &str, path: &Path) -> Result<Vec<Query>, EvalError> {
        let templates: Vec<Template> = read_json(path)?;
        let usual = usual_length(&templates);
        let is_usual = |template: &Template| template.gallery.len() == usual;
        let dropped = templates.iter().filter(|template| !is_usual(template)).count();
        if dropped > 0 {
            let (all, candidates) = (templates.len(), usual + 1);
            self.benchmark.remarks.push(format!(
                "{task}: {dropped} of {all} queries have another number of candidates than {candidates}, and are dropped, as in \
                 the official code."
            ));
        }
        let kept = templates.iter().enumerate().filter(|(_, template)| is_usual(template));
        let queries: Vec<Query> = kept
            .map(|(number, template)| {
                let query = self.query(number, template);
                query.map_err(|reason| annotation(path, format!("query {number}: {reason}")))
            })
            .collect::<Result<_, _>>()?;
        if queries.is_empty() {
            return Err(annotation(path, "there is no query in it"));
        }
        Ok(queries)
    }

    fn query(&mut self, number: usize, template: &Template) -> Result<Query, &'static str> {
        let reference = self.add(&template.reference, 1)?;
        let target = self.add(&template.target, 1)?;
        let mut subset = vec![target];
        for shown in &template.gallery {
            // Some lists hold an image twice, even the target, and only the first place is right.
            let mut copy = 1;
            let row = loop {
                let row = self.add(shown, copy)?;
                if !subset.contains(&row) {
                    break row;
                }
                copy += 1;
            };
            subset.push(row);
        }
        Ok(Query {
            id: number.to_string(),
            images: vec![reference],
            text: template.condition.clone(),
            caption: template.condition.clone(),
            truth: Truth::Items(vec![target]),
            subset,
            cluster: reference,
            ..Query::default()
        })
    }

    /// The row of an image or an object; its second copy in a list has `#2` behind its name.
    fn add(&mut self, shown: &Shown, copy: usize) -> Result<usize, &'static str> {
        let (name, folders, file, crop) = match (shown.val_image_id, shown.image_id, shown.instance_bbox) {
            (Some(id), _, _) => (Id::from(id), &self.coco, format!("{id:012}.jpg"), None),
            (None, Some(id), Some([left, top, width, height])) => {
                let name = Id::text(format!("{id}:{left},{top},{width},{height}"));
                let crop = Crop {
                    left,
                    top,
                    width,
                    height,
                };
                (name, &self.genome, format!("{id}.jpg"), Some(crop))
            }
            _ => return Err("an image has neither `val_image_id` nor `image_id` with `instance_bbox`"),
        };
        let name = match copy {
            1 => name,
            _ => Id::text(format!("{name}#{copy}")),
        };
        Ok(self.images.add_cropped(name, || locate(folders, &[file]), crop))
    }

    fn finish(mut self) -> Benchmark {
        let noise = "Differences below 0.2 are noise of the benchmark (README of facebookresearch/genecis).";
        self.benchmark.remarks.push(noise.to_owned());
        let mut columns = vec![Column::of_mean("mean R@1", FLAG, "R@1")];
        columns.extend(Column::of_tasks(
            FLAG,
            TASKS.map(|(name, _)| name),
            &["R@1", "R@2", "R@3"],
        ));
        Benchmark {
            images: self.images.entries,
            variants: vec![Variant::new(FLAG, "candidates of each query", self.tasks)],
            columns,
            ..self.benchmark
        }
    }
}

/// The most frequent number of distractors; the smallest of several.
fn usual_length(templates: &[Template]) -> usize {
    let mut lengths: BTreeMap<usize, usize> = BTreeMap::new();
    for template in templates {
        *lengths.entry(template.gallery.len()).or_default() += 1;
    }
    let most = lengths
        .into_iter()
        .max_by_key(|(length, count)| (*count, Reverse(*length)));
    most.map_or(0, |(length, _)| length)
}
