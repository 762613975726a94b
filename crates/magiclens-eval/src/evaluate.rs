//! One benchmark, several systems: runs or scores each, compares them with the first, and makes the report.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use magiclens_model::Embedder;

use crate::EvalError;
use crate::benchmark::{Benchmark, Query, Task, TaskKind, Truth, Variant};
use crate::cache::Cache;
use crate::images::{Embedded, Step, embed_images};
use crate::outcome::{Classes, TaskOutcome, differences, figures};
use crate::predictions::Predictions;
use crate::report::{Answer, BenchmarkReport, ColumnReport, Failure, Shown, Speed, SystemReport};
use crate::run::run;
use crate::system::{Method, System};

/// Right answers of a failure that are shown.
const TRUTH_SHOWN: usize = 3;
/// Answers of a failure that are shown.
const CAME_SHOWN: usize = 10;

/// Something that answers queries.
pub enum Contestant<'a> {
    /// Weights and a way to ask them.
    Model {
        /// As the report names it.
        name: String,
        /// The weights.
        embedder: &'a Embedder,
        /// The way.
        method: &'a Method,
        /// Where its vectors are kept.
        cache: &'a Cache,
    },
    /// A file of rankings.
    Predictions {
        /// As the report names it.
        name: String,
        /// The files, which complete each other.
        paths: Vec<PathBuf>,
    },
}

/// How an evaluation is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvaluateOptions {
    /// Go on without images that cannot be used and queries that are not answered.
    pub partial: bool,
    /// The flags of the variants to run; empty for all.
    pub variants: Vec<String>,
    /// First answers that are kept of each ranking.
    pub head: usize,
    /// Failures shown of each task.
    pub failures: usize,
}

impl Default for EvaluateOptions {
    fn default() -> Self {
        Self {
            partial: false,
            variants: Vec::new(),
            head: 50,
            failures: 12,
        }
    }
}

/// What an evaluation gives: the report, and the rankings of each contestant to be written.
pub struct Evaluated {
    /// The report.
    pub report: BenchmarkReport,
    /// The benchmark as it was run: without what could not be used.
    pub benchmark: Benchmark,
    /// `[contestant][variant][task]`
    pub outcomes: Vec<Vec<Vec<TaskOutcome>>>,
}

/// Names that a report gives to a benchmark.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// Its name in tables.
    pub title: &'a str,
    /// The part of the data.
    pub split: &'a str,
    /// The wording of the query text.
    pub template: &'a str,
}

/// Evaluates every contestant on a benchmark.
///
/// # Errors
/// Images that cannot be used or queries that are not answered, unless partial figures are asked for; an unknown variant; the
/// model or the cache.
pub fn evaluate(
    mut benchmark: Benchmark,
    names: Names<'_>,
    data: &Path,
    contestants: &[Contestant<'_>],
    options: &EvaluateOptions,
    progress: &dyn Fn(Step<'_>),
) -> Result<Evaluated, EvalError> {
    choose_variants(&mut benchmark, &options.variants)?;
    let mut complete = benchmark.is_complete();
    let mut embedded = Vec::with_capacity(contestants.len());
    let mut broken = BTreeMap::new();
    for contestant in contestants {
        embedded.push(match contestant {
            Contestant::Model { embedder, cache, .. } => {
                let found = embed_images(&benchmark.images, embedder, cache, progress)?;
                broken.extend(found.broken.iter().cloned());
                Some(found)
            }
            Contestant::Predictions { .. } => None,
        });
    }
    if !broken.is_empty() {
        let rows = BTreeSet::from_iter(broken.keys().copied());
        let error = EvalError::Images {
            total: benchmark.images.len(),
            benchmark: benchmark.name.clone(),
            data: data.to_owned(),
            broken: broken.into_values().collect(),
        };
        if !options.partial {
            return Err(error);
        }
        benchmark = benchmark.without(&rows).0;
        if benchmark.variants.is_empty() {
            return Err(error);
        }
        complete = false;
    }
    let mut notes = Notes::default();
    let mut systems: Vec<SystemReport> = Vec::with_capacity(contestants.len());
    let mut outcomes: Vec<Vec<Vec<TaskOutcome>>> = Vec::with_capacity(contestants.len());
    for (contestant, embedded) in contestants.iter().zip(&embedded) {
        let (found, mut system) = answer(&benchmark, contestant, embedded.as_ref(), options, &mut notes, progress)?;
        for (at, variant) in benchmark.variants.iter().enumerate() {
            system.variants.push(figures(variant, &found[at]));
            if let Some(first) = outcomes.first() {
                system.differences.extend(differences(variant, &first[at], &found[at]));
            }
        }
        if let (Some(variant), Some(outcomes)) = (benchmark.variants.first(), found.first()) {
            for (task, outcome) in variant.tasks.iter().zip(outcomes) {
                system
                    .failures
                    .extend(failures(&benchmark, variant, task, outcome, options.failures));
            }
        }
        systems.push(system);
        outcomes.push(found);
    }
    let columns = benchmark.columns.iter().map(|column| ColumnReport {
        label: column.label.clone(),
        variant: column.variant.clone(),
        task: column.task.clone(),
        measure: column.measure.clone(),
    });
    let report = BenchmarkReport {
        benchmark: benchmark.name.clone(),
        title: names.title.to_owned(),
        split: names.split.to_owned(),
        template: names.template.to_owned(),
        counts: benchmark.counts.clone(),
        complete: complete && !notes.partial,
        remarks: benchmark.remarks.iter().cloned().chain(notes.remarks).collect(),
        columns: columns.collect(),
        systems,
    };
    Ok(Evaluated {
        report,
        benchmark,
        outcomes,
    })
}

/// What was noticed while systems were asked.
#[derive(Default)]
struct Notes {
    remarks: Vec<String>,
    /// Whether queries were left out.
    partial: bool,
}

fn choose_variants(benchmark: &mut Benchmark, wanted: &[String]) -> Result<(), EvalError> {
    if wanted.is_empty() {
        return Ok(());
    }
    if let Some(unknown) = wanted.iter().find(|flag| benchmark.variant(flag).is_none()) {
        return Err(EvalError::Option {
            benchmark: benchmark.name.clone(),
            option: "variant",
            found: unknown.clone(),
            known: benchmark.variants.iter().map(|variant| variant.flag.clone()).collect(),
        });
    }
    benchmark.variants.retain(|variant| wanted.contains(&variant.flag));
    benchmark.columns.retain(|column| wanted.contains(&column.variant));
    Ok(())
}

fn answer(
    benchmark: &Benchmark,
    contestant: &Contestant<'_>,
    embedded: Option<&Embedded>,
    options: &EvaluateOptions,
    notes: &mut Notes,
    progress: &dyn Fn(Step<'_>),
) -> Result<(Vec<Vec<TaskOutcome>>, SystemReport), EvalError> {
    let system = |name: &str, model_id: Option<&str>, speed| SystemReport {
        system: name.to_owned(),
        model_id: model_id.map(str::to_owned),
        variants: Vec::new(),
        differences: Vec::new(),
        speed,
        failures: Vec::new(),
    };
    match (contestant, embedded) {
        (
            Contestant::Model {
                name,
                embedder,
                method,
                cache,
            },
            Some(embedded),
        ) => {
            let mut asked = System::new(embedder, method, cache, benchmark, embedded);
            let done = run(benchmark, &mut asked, options.head, progress)?;
            let speed = Speed {
                images: embedded.computed,
                images_s: embedded.seconds,
                images_cached: embedded.cached,
                queries: done.queries,
                queries_s: done.seconds,
            };
            Ok((done.outcomes, system(name, Some(embedder.model_id()), Some(speed))))
        }
        (Contestant::Predictions { name, paths }, _) => {
            let predictions = Predictions::read(paths, benchmark)?;
            let any = benchmark
                .variants
                .iter()
                .any(|variant| predictions.answers_any(variant));
            let mut outcomes = Vec::with_capacity(benchmark.variants.len());
            for variant in &benchmark.variants {
                if any && !predictions.answers_any(variant) {
                    notes
                        .remarks
                        .push(format!("{name} answers nothing of the variant `{}`.", variant.flag));
                    outcomes.push(Predictions::nothing(variant));
                    continue;
                }
                let scored = predictions.score(variant, options.head, options.partial)?;
                notes.partial |= scored.partial;
                let told = scored.remarks.into_iter();
                notes
                    .remarks
                    .extend(told.map(|remark| format!("{name}, variant `{}`: {remark}", variant.flag)));
                outcomes.push(scored.outcomes);
            }
            Ok((outcomes, system(name, None, None)))
        }
        (Contestant::Model { name, .. }, None) => Err(EvalError::Method {
            method: name.clone(),
            reason: "its pictures were not embedded".to_owned(),
        }),
    }
}

/// The worst queries of a task by its first measure, those of equal value spread over the whole list.
fn failures(
    benchmark: &Benchmark,
    variant: &Variant,
    task: &Task,
    outcome: &TaskOutcome,
    count: usize,
) -> Vec<Failure> {
    let column = benchmark.columns.iter().find(|column| column.variant == variant.flag);
    let measure = column.and_then(|column| task.measure(&column.measure)).unwrap_or(0);
    let Some(values) = outcome.values.get(measure) else {
        return Vec::new();
    };
    let mut order: Vec<usize> = (0..task.queries.len()).filter(|at| values[*at] < 1.0).collect();
    // Neighbors in the list are often of one kind, so equal values are taken in a scattered order that never changes.
    let scattered = |at: &usize| (*at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16;
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]).then(scattered(a).cmp(&scattered(b))));
    order.truncate(count);
    let classes = Classes::of(task);
    order
        .into_iter()
        .map(|at| {
            let query = &task.queries[at];
            let is_right = |row: usize| match &query.truth {
                Truth::Hidden => false,
                Truth::Items(rows) => rows.contains(&row),
                Truth::Class(class) => classes.is(row, *class),
            };
            let measures = task.measures.iter().zip(&outcome.values);
            Failure {
                variant: variant.flag.clone(),
                task: task.name.clone(),
                query: query.id.clone(),
                text: query.text.clone(),
                images: query.images.iter().map(|row| image(benchmark, *row)).collect(),
                truth: truth(task, query)
                    .iter()
                    .map(|row| shown(benchmark, task, *row))
                    .collect(),
                came: outcome.heads[at]
                    .iter()
                    .take(CAME_SHOWN)
                    .map(|row| Answer {
                        shown: shown(benchmark, task, *row),
                        right: is_right(*row),
                    })
                    .collect(),
                values: measures
                    .map(|(measure, values)| (measure.label.clone(), values[at]))
                    .filter(|(_, value)| !value.is_nan())
                    .collect(),
            }
        })
        .collect()
}

fn truth(task: &Task, query: &Query) -> Vec<usize> {
    match &query.truth {
        Truth::Hidden => Vec::new(),
        Truth::Items(rows) => rows.iter().copied().take(TRUTH_SHOWN).collect(),
        Truth::Class(class) => {
            let members = task
                .gallery
                .iter()
                .zip(&task.classes)
                .filter(|(_, found)| *found == class);
            members.map(|(row, _)| *row).take(TRUTH_SHOWN).collect()
        }
    }
}

fn shown(benchmark: &Benchmark, task: &Task, row: usize) -> Shown {
    match task.kind {
        TaskKind::ImageToText => Shown::Text(benchmark.texts[row].text.clone()),
        TaskKind::Composed | TaskKind::TextToImage => image(benchmark, row),
    }
}

fn image(benchmark: &Benchmark, row: usize) -> Shown {
    let image = &benchmark.images[row];
    Shown::Image {
        id: image.id.to_string(),
        path: image.path.clone(),
        crop: image.crop,
    }
}
