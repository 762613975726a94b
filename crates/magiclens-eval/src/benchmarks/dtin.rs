//! Domain transfer on ImageNet (Saito et al. 2023, Pic2Word): a photograph finds its object in another domain.
//!
//! - Files: `imgnet_real_query.txt` and `imgnet_targets.txt` (in the folder or in `imgnet/`), lines of an image path and a
//!   label, as google-research/composed_image_retrieval has them; images at those paths.
//! - Query text: `find this object in {domain}` (MagicLens); `pic2word`: `a {domain} of this` for models that read a
//!   text, and its own prompt `a {domain} of *` for textual inversion.
//! - Gallery: all 16,983 targets; the 10,000 real photographs among them are distractors, the query itself is one.
//! - Truth: targets whose label is the query's class plus 0, 1000, 2000, 3000 for cartoon, origami, toy, sculpture.
//! - Metrics, mean of the four domains: `hit@k`, 1 if any right image is among the first k, as the MagicLens code scores; and
//!   `R@k`, the share of all right images, as Pic2Word's `get_metrics_imgnet` scores. Published columns mix the two.

use std::path::{Path, PathBuf};

use super::{Choice, Entry};
use crate::EvalError;
use crate::annotations::{Images, annotation, find_in, folders, locate, read_labeled_paths, unique};
use crate::benchmark::{Benchmark, Column, Count, Measure, Metric, OwnImage, Query, Task, Truth, Variant};
use crate::id::Id;

pub(super) const ENTRY: Entry = Entry {
    name: "dtin",
    title: "DTIN",
    folder: "dtin",
    layout: "imgnet/imgnet_real_query.txt, imgnet/imgnet_targets.txt, imgnet/real/, imgnet/imagenet-r/",
    splits: &["test"],
    templates: &["magiclens", "pic2word"],
    load,
};

/// The domains in the order of their label offsets.
const DOMAINS: [&str; 4] = ["cartoon", "origami", "toy", "sculpture"];
/// Distance between the labels of two domains.
pub(super) const OFFSET: u32 = 1000;
/// The list of the gallery: its name for people, and its file.
const TARGETS: (&str, &str) = ("list of targets", "imgnet_targets.txt");
/// The published measures.
const MEASURES: [&str; 2] = ["hit@10", "R@10"];
const HINT: &str = "take `data/imgnet` of github.com/google-research/composed_image_retrieval";

/// A list of image paths with labels, and its file.
struct List {
    file: PathBuf,
    entries: Vec<(String, u32)>,
}

fn load(data: &Path, choice: &Choice<'_>) -> Result<Benchmark, EvalError> {
    let queries = list(data, "list of queries", "imgnet_real_query.txt")?;
    let targets = list(data, TARGETS.0, TARGETS.1)?;
    if let Some((path, label)) = queries.entries.iter().find(|(_, label)| *label >= OFFSET) {
        let reason = format!("`{path}` has the label {label}, but labels of queries are below {OFFSET}");
        return Err(annotation(&queries.file, reason));
    }
    // The paths begin with `imgnet/`; the folder given may be that folder itself.
    let roots = folders(data, &[".", "data", ".."]);
    let mut images = Images::default();
    let mut rows = |list: &List| -> Vec<usize> {
        let add = |(path, _): &(String, u32)| {
            let names = [path.clone(), path.trim_start_matches("imgnet/").to_owned()];
            images.add(Id::text(path), || locate(&roots, &names))
        };
        list.entries.iter().map(add).collect()
    };
    let gallery = rows(&targets);
    let references = rows(&queries);
    let task = |number: usize, own: OwnImage| Task {
        name: DOMAINS[number].to_owned(),
        gallery: gallery.clone(),
        classes: targets.entries.iter().map(|(_, label)| *label).collect(),
        queries: own.of(&domain_queries(&queries, &references, number, choice.template)),
        measures: measures(),
        ..Task::default()
    };
    let mut columns: Vec<Column> = MEASURES.map(|label| Column::of_mean(label, "kept", label)).into();
    columns.extend(Column::of_tasks("kept", DOMAINS, &MEASURES));
    Ok(Benchmark {
        variants: Variant::by_own_image([OwnImage::Kept, OwnImage::Removed], |own| {
            (0..DOMAINS.len()).map(|number| task(number, own)).collect()
        }),
        images: images.entries,
        counts: vec![
            Count::new("queries", queries.entries.len(), 10_000),
            Count::new("images", gallery.len(), 16_983),
        ],
        columns,
        remarks: vec![
            "The paper's DTIN column is most probably hit@10, that of its baselines set recall (R@10): they cannot be compared."
                .to_owned(),
            "On the published lists no system can exceed hit@10 68.1 or R@10 53.9, since some classes have no target in a domain."
                .to_owned(),
        ],
        ..Benchmark::default()
    })
}

/// The images of the gallery with their labels.
pub(super) fn targets(data: &Path) -> Result<Vec<(String, u32)>, EvalError> {
    Ok(list(data, TARGETS.0, TARGETS.1)?.entries)
}

fn list(data: &Path, what: &str, name: &str) -> Result<List, EvalError> {
    let file = find_in(data, what, &["", "imgnet/", "data/imgnet/"], name, HINT)?;
    let entries = read_labeled_paths(&file)?;
    unique(&file, &entries)?;
    Ok(List { file, entries })
}

/// Every photograph asks for its object in one domain.
fn domain_queries(queries: &List, references: &[usize], number: usize, template: &str) -> Vec<Query> {
    let domain = DOMAINS[number];
    let query = |((path, label), reference): (&(String, u32), &usize)| Query {
        id: path.clone(),
        images: vec![*reference],
        text: match template {
            "pic2word" => format!("a {domain} of this"),
            _ => format!("find this object in {domain}"),
        },
        caption: domain.to_owned(),
        prompt: Some(format!("a {domain} of *")),
        truth: Truth::Class(label + number as u32 * OFFSET),
        cluster: *reference,
        ..Query::default()
    };
    queries.entries.iter().zip(references).map(query).collect()
}

fn measures() -> Vec<Measure> {
    let ranks = [1, 5, 10, 50];
    [
        Measure::at("hit", ranks, Metric::Hit),
        Measure::at("R", ranks, Metric::SetRecall),
        Measure::at("P", ranks, Metric::Precision),
    ]
    .concat()
}
