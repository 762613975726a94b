//! Domain transfer on ImageNet (Saito et al. 2023, Pic2Word): a photograph finds its object in another domain.
//!
//! - Files: `imgnet_real_query.txt` and `imgnet_targets.txt` (in the folder or in `imgnet/`), lines of an image path and a
//!   label, as google-research/composed_image_retrieval has them; images at those paths.
//! - Query text: `find this object in {domain}` (MagicLens); `pic2word`: `a {domain} of this` for models that read a
//!   text, and its own prompt `a {domain} of *` for textual inversion.
//! - Gallery: all 16,983 targets; the 10,000 real photographs among them are distractors, the query itself is one.
//! - Truth: targets whose label is the query's class plus 0, 1000, 2000, 3000 for cartoon, origami, toy, sculpture.
//! - Figures, mean of the four domains: `hit@k`, 1 if any right image is among the first k, as the MagicLens code scores; and
//!   `R@k`, the share of all right images, as Pic2Word's `get_metrics_imgnet` scores. Published columns mix the two.

use std::collections::HashSet;
use std::path::Path;

use super::{Choice, Entry};
use crate::EvalError;
use crate::annotations::{Images, annotation, find, folders, locate, read_labeled_paths};
use crate::benchmark::{Benchmark, Column, Count, Measure, Metric, Query, Task, TaskKind, Truth, Variant};
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
/// How far apart the labels of domains lie.
const OFFSET: u32 = 1000;
const HINT: &str = "take `data/imgnet` of github.com/google-research/composed_image_retrieval";

fn load(data: &Path, choice: &Choice<'_>) -> Result<Benchmark, EvalError> {
    let places = |file: &'static str| [file.to_owned(), format!("imgnet/{file}"), format!("data/imgnet/{file}")];
    let query_list = places("imgnet_real_query.txt");
    let query_list = find(
        data,
        "list of queries",
        &query_list.each_ref().map(String::as_str),
        HINT,
    )?;
    let target_list = places("imgnet_targets.txt");
    let target_list = find(
        data,
        "list of targets",
        &target_list.each_ref().map(String::as_str),
        HINT,
    )?;
    let queries = read_labeled_paths(&query_list)?;
    let targets = read_labeled_paths(&target_list)?;
    // The paths begin with `imgnet/`; the folder given may be that folder itself.
    let roots = folders(data, &[".", "data", ".."]);
    let mut images = Images::default();
    let mut add = |path: &str| {
        let names = [path.to_owned(), path.trim_start_matches("imgnet/").to_owned()];
        images.add(Id::text(path), || locate(&roots, &names))
    };
    let gallery: Vec<usize> = targets.iter().map(|(path, _)| add(path)).collect();
    let classes: Vec<u32> = targets.iter().map(|(_, label)| *label).collect();
    let references: Vec<usize> = queries.iter().map(|(path, _)| add(path)).collect();
    unique(&target_list, &targets)?;
    unique(&query_list, &queries)?;
    if let Some((path, label)) = queries.iter().find(|(_, label)| *label >= OFFSET) {
        let reason = format!("`{path}` has the label {label}, but labels of queries are below {OFFSET}");
        return Err(annotation(&query_list, reason));
    }
    let tasks = |remove: bool| {
        let domains = (0..).zip(DOMAINS);
        domains
            .map(|(number, domain)| Task {
                name: domain.to_owned(),
                kind: TaskKind::Composed,
                gallery: gallery.clone(),
                classes: classes.clone(),
                queries: queries
                    .iter()
                    .zip(&references)
                    .map(|((path, label), reference)| Query {
                        id: path.clone(),
                        images: vec![*reference],
                        text: match choice.template {
                            "pic2word" => format!("a {domain} of this"),
                            _ => format!("find this object in {domain}"),
                        },
                        caption: domain.to_owned(),
                        prompt: Some(format!("a {domain} of *")),
                        truth: Truth::Class(label + number * OFFSET),
                        exclude: if remove { vec![*reference] } else { Vec::new() },
                        cluster: *reference,
                        ..Query::default()
                    })
                    .collect(),
                measures: measures(),
            })
            .collect()
    };
    let variants = vec![
        variant("kept", "query picture kept", tasks(false)),
        variant("removed", "query picture removed", tasks(true)),
    ];
    let counts = vec![
        Count::new("queries", queries.len(), 10_000),
        Count::new("pictures", targets.len(), 16_983),
    ];
    let mut columns = vec![
        Column::of_mean("hit@10", "kept", "hit@10"),
        Column::of_mean("R@10", "kept", "R@10"),
    ];
    for domain in DOMAINS {
        columns.push(Column::of_task(&format!("{domain} hit@10"), "kept", domain, "hit@10"));
        columns.push(Column::of_task(&format!("{domain} R@10"), "kept", domain, "R@10"));
    }
    Ok(Benchmark {
        name: ENTRY.name.to_owned(),
        images: images.entries,
        texts: Vec::new(),
        variants,
        counts,
        image_folders: Vec::new(),
        open_gallery: false,
        columns,
        remarks: vec![
            "The paper's DTIN column is most probably hit@10, that of its baselines set recall (R@10): they cannot be compared."
                .to_owned(),
            "On the published lists no system can exceed hit@10 68.1 or R@10 53.9, since some classes have no target in a domain."
                .to_owned(),
        ],
    })
}

fn variant(flag: &str, name: &str, tasks: Vec<Task>) -> Variant {
    Variant {
        name: name.to_owned(),
        flag: flag.to_owned(),
        tasks,
    }
}

fn measures() -> Vec<Measure> {
    let ranks = [1, 5, 10, 50];
    let hits = ranks.map(|k| Measure::new(format!("hit@{k}"), Metric::Hit(k)));
    let recalls = ranks.map(|k| Measure::new(format!("R@{k}"), Metric::SetRecall(k)));
    let precisions = ranks.map(|k| Measure::new(format!("P@{k}"), Metric::Precision(k)));
    hits.into_iter().chain(recalls).chain(precisions).collect()
}

fn unique(path: &Path, list: &[(String, u32)]) -> Result<(), EvalError> {
    let mut seen = HashSet::new();
    match list.iter().find(|(name, _)| !seen.insert(name)) {
        Some((name, _)) => Err(annotation(path, format!("`{name}` is listed twice"))),
        None => Ok(()),
    }
}
