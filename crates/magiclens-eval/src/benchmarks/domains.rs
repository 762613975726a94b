//! The common part of the domain conversions of FREEDOM (Efthymiadis et al. 2025, arXiv 2412.03297), which the i-CIR paper measures
//! BASIC on: an image and the name of a domain find images of the same class in that domain.
//!
//! - Files: the lists of github.com/NikosEfth/freedom, lines of an image path, a domain and a class; images at those paths, as
//!   `set_dataset.py` there leaves them (it takes spaces out of names).
//! - Query text: the name of the domain alone, as `run_retrieval.py` there has it; `--template magiclens` asks `find this object in
//!   {domain}`, MagicLens' wording for DTIN.
//! - A task for each pair of domains, source to target. Gallery: the whole list, the query itself too where both lists are one.
//! - Metrics: `mAP`, by the trapezoidal rule (`utils.py`, `compute_ap`), and `R@k`, the share of all right images
//!   (`metrics_calc`); means over the pairs, which is the printed average of averages.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::{Choice, Entry};
use crate::EvalError;
use crate::annotations::{Images, annotation, find_in, folders, locate};
use crate::benchmark::{Benchmark, Column, Count, Measure, Metric, Query, Task, Truth, Variant};
use crate::id::Id;

/// Wordings of the query text.
pub(super) const TEMPLATES: &[&str] = &["freedom", "magiclens"];
const FLAG: &str = "official";
const HINT: &str = "take the lists in `data` of github.com/NikosEfth/freedom, and set up the images as its README says";

/// A domain: its name in the lists, and in the query text.
pub(super) type Domain = (&'static str, &'static str);

/// Facts about one benchmark.
pub(super) struct Protocol<'a> {
    pub(super) entry: &'a Entry,
    pub(super) domains: &'a [Domain],
    /// Cut-offs of recall.
    pub(super) ranks: [usize; 2],
    /// Whether the domains are styles, so that "a {domain} of *" is a prompt.
    pub(super) are_styles: bool,
    pub(super) counts: Vec<Count>,
    pub(super) remarks: Vec<String>,
}

/// An image with its labels.
pub(super) struct Labeled {
    pub(super) path: String,
    /// Its place among the domains.
    pub(super) domain: usize,
    /// Its class by any name.
    pub(super) class: String,
}

/// A list of images with their domains and classes.
pub(super) fn read(data: &Path, what: &str, name: &str, domains: &[Domain]) -> Result<Vec<Labeled>, EvalError> {
    let file = find_in(data, what, &["", "data/"], name, HINT)?;
    let text = fs_err::read_to_string(&file)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| labeled(&file, number, line, domains))
        .collect()
}

fn labeled(file: &Path, number: usize, line: &str, domains: &[Domain]) -> Result<Labeled, EvalError> {
    let wrong = |reason: String| annotation(file, format!("line {}: {reason}", number + 1));
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [path, domain, class] = fields[..] else {
        return Err(wrong(format!("`{line}` is no path, domain and class")));
    };
    let known = domains.iter().position(|(listed, _)| *listed == domain);
    Ok(Labeled {
        path: path.to_owned(),
        domain: known.ok_or_else(|| wrong(format!("`{domain}` is not one of the domains")))?,
        class: class.to_owned(),
    })
}

/// The benchmark of these lists; `gallery` is the queries' own list if it is `None`. Paths begin with the folder's official
/// name, or are below `data` without it.
pub(super) fn build(
    data: &Path,
    choice: &Choice<'_>,
    protocol: Protocol<'_>,
    queries: &[Labeled],
    gallery: Option<&[Labeled]>,
) -> Benchmark {
    let roots = folders(data, &[".", "data", ".."]);
    let mut images = Images::default();
    let tasks = Tasks::new(
        &protocol,
        choice.template,
        [gallery.unwrap_or(queries), queries],
        |list| add(&mut images, &roots, list),
    );
    let tasks = pairs(protocol.domains.len()).map(|(source, target)| tasks.task(source, target));
    let variants = vec![Variant::new(FLAG, "every domain to every other", tasks.collect())];
    let labels = measures(protocol.ranks).into_iter().map(|measure| measure.label);
    Benchmark {
        name: protocol.entry.name.to_owned(),
        images: images.entries,
        variants,
        counts: protocol.counts,
        columns: labels.map(|label| Column::of_mean(&label, FLAG, &label)).collect(),
        remarks: protocol.remarks,
        ..Benchmark::default()
    }
}

/// The parts that all tasks of a benchmark share.
struct Tasks<'a> {
    domains: &'a [Domain],
    ranks: [usize; 2],
    are_styles: bool,
    template: &'a str,
    queries: &'a [Labeled],
    /// The row of each query's image.
    references: Vec<usize>,
    /// Rows of the gallery.
    gallery: Vec<usize>,
    /// The class of each gallery item: a class of the list in a domain.
    classes: Vec<u32>,
    /// The number of each class of the lists.
    numbers: HashMap<&'a str, u32>,
}

impl<'a> Tasks<'a> {
    fn new(
        protocol: &Protocol<'a>,
        template: &'a str,
        [gallery, queries]: [&'a [Labeled]; 2],
        mut rows: impl FnMut(&[Labeled]) -> Vec<usize>,
    ) -> Self {
        let mut numbers = HashMap::new();
        for image in gallery.iter().chain(queries) {
            let next = numbers.len() as u32;
            numbers.entry(image.class.as_str()).or_insert(next);
        }
        let mut tasks = Self {
            domains: protocol.domains,
            ranks: protocol.ranks,
            are_styles: protocol.are_styles,
            template,
            queries,
            gallery: rows(gallery),
            references: rows(queries),
            classes: Vec::new(),
            numbers,
        };
        tasks.classes = gallery.iter().map(|image| tasks.class(image, image.domain)).collect();
        tasks
    }

    /// The class of answers that show an image's class in a domain.
    fn class(&self, image: &Labeled, domain: usize) -> u32 {
        self.numbers[image.class.as_str()] * self.domains.len() as u32 + domain as u32
    }

    fn task(&self, source: usize, target: usize) -> Task {
        let images = self.queries.iter().zip(&self.references);
        let asked = images.filter(|(image, _)| image.domain == source);
        Task {
            name: format!("{} -> {}", self.domains[source].1, self.domains[target].1),
            gallery: self.gallery.clone(),
            classes: self.classes.clone(),
            queries: asked.map(|(image, row)| self.query(image, *row, target)).collect(),
            measures: measures(self.ranks),
            ..Task::default()
        }
    }

    fn query(&self, image: &Labeled, row: usize, target: usize) -> Query {
        let word = self.domains[target].1;
        Query {
            id: image.path.clone(),
            images: vec![row],
            text: match self.template {
                "magiclens" => format!("find this object in {word}"),
                _ => word.to_owned(),
            },
            caption: word.to_owned(),
            prompt: self.are_styles.then(|| format!("a {word} of *")),
            truth: Truth::Class(self.class(image, target)),
            cluster: row,
            ..Query::default()
        }
    }
}

/// The rows of listed images.
fn add(images: &mut Images, roots: &[PathBuf], list: &[Labeled]) -> Vec<usize> {
    let rows = list.iter().map(|image| {
        images.add(Id::text(&image.path), || {
            let below = image
                .path
                .split_once('/')
                .map_or(image.path.as_str(), |(_, below)| below);
            locate(roots, &[image.path.clone(), below.to_owned()])
        })
    });
    rows.collect()
}

/// Every pair of two domains, by source.
fn pairs(domains: usize) -> impl Iterator<Item = (usize, usize)> {
    let all = (0..domains).flat_map(move |source| (0..domains).map(move |target| (source, target)));
    all.filter(|(source, target)| source != target)
}

fn measures(ranks: [usize; 2]) -> Vec<Measure> {
    let mean = Measure::new("mAP", Metric::TrapezoidalAveragePrecision);
    let recall = Measure::at("R", ranks, Metric::SetRecall);
    [mean].into_iter().chain(recall).collect()
}
