//! One benchmark, several systems: runs or scores each, compares them with the first, and makes the report.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::benchmark::Benchmark;
use crate::benchmarks::Names;
use crate::failures::failures;
use crate::images::{Embedded, Step, embed_images};
use crate::outcome::TaskOutcome;
use crate::predictions::Predictions;
use crate::report::{BenchmarkReport, Speed, SystemReport};
use crate::run::run;
use crate::scores::{VariantScores, differences};
use crate::system::{AskedModel, EvalSystem};
use crate::{BrokenImage, EvalError};

/// Failures shown of one system, whatever the number of tasks.
const MAX_FAILURES: usize = 200;

/// A system that answers queries, with its name in the report.
pub enum Contestant<'a> {
    /// Weights and a way to ask them.
    Model {
        /// As the report names it.
        name: String,
        /// The weights.
        model: AskedModel<'a>,
    },
    /// Files of rankings, which complete each other.
    Rankings {
        /// As the report names it.
        name: String,
        /// The files.
        paths: Vec<PathBuf>,
    },
}

/// Settings of an evaluation.
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

/// The report of an evaluation, and the rankings of each contestant to be written.
pub struct Evaluated {
    /// The report.
    pub report: BenchmarkReport,
    /// The benchmark as it was run: without images that could not be used.
    pub benchmark: Benchmark,
    /// `[contestant][variant][task]`
    pub outcomes: Vec<Vec<Vec<TaskOutcome>>>,
}

/// Evaluates every contestant on a benchmark.
///
/// # Errors
/// Images that cannot be used or queries that are not answered, unless partial scores are asked for; an unknown variant; the
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
    let prepared = contestants
        .iter()
        .map(|contestant| prepare(contestant, &benchmark, progress));
    let prepared: Vec<Prepared<'_>> = prepared.collect::<Result<_, _>>()?;
    if let Some(usable) = without_broken(&benchmark, data, &prepared, options.partial)? {
        benchmark = usable;
        complete = false;
    }
    let mut notes = Notes::default();
    let mut systems: Vec<SystemReport> = Vec::with_capacity(contestants.len());
    let mut outcomes: Vec<Vec<Vec<TaskOutcome>>> = Vec::with_capacity(contestants.len());
    for contestant in &prepared {
        let (mut system, found) = contestant.answer(&benchmark, options, &mut notes, progress)?;
        score(&mut system, &benchmark, outcomes.first(), &found, options.failures);
        systems.push(system);
        outcomes.push(found);
    }
    let report = BenchmarkReport {
        benchmark: benchmark.name.clone(),
        title: names.title.to_owned(),
        split: names.split.to_owned(),
        template: names.template.to_owned(),
        counts: benchmark.counts.clone(),
        complete: complete && !notes.partial,
        remarks: benchmark.remarks.iter().cloned().chain(notes.remarks).collect(),
        columns: benchmark.columns.clone(),
        systems,
    };
    Ok(Evaluated {
        report,
        benchmark,
        outcomes,
    })
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

/// A contestant that is ready to answer.
enum Prepared<'a> {
    Model {
        name: &'a str,
        model: AskedModel<'a>,
        embedded: Embedded,
    },
    Rankings {
        name: &'a str,
        paths: &'a [PathBuf],
    },
}

/// Remarks that were made while systems answered.
#[derive(Default)]
struct Notes {
    remarks: Vec<String>,
    /// True if queries were dropped.
    partial: bool,
}

fn prepare<'a>(
    contestant: &'a Contestant<'_>,
    benchmark: &Benchmark,
    progress: &dyn Fn(Step<'_>),
) -> Result<Prepared<'a>, EvalError> {
    Ok(match contestant {
        Contestant::Model { name, model } => Prepared::Model {
            name,
            model: *model,
            embedded: embed_images(&benchmark.images, model.embedder, model.cache, progress)?,
        },
        Contestant::Rankings { name, paths } => Prepared::Rankings { name, paths },
    })
}

/// The benchmark without the images that some contestant cannot use; `None` if there are no such images.
fn without_broken(
    benchmark: &Benchmark,
    data: &Path,
    prepared: &[Prepared<'_>],
    partial: bool,
) -> Result<Option<Benchmark>, EvalError> {
    let embedded = prepared.iter().filter_map(|contestant| match contestant {
        Prepared::Model { embedded, .. } => Some(embedded),
        Prepared::Rankings { .. } => None,
    });
    let broken: BTreeMap<usize, &BrokenImage> = embedded.flat_map(Embedded::broken).collect();
    if broken.is_empty() {
        return Ok(None);
    }
    let rows: BTreeSet<usize> = broken.keys().copied().collect();
    let usable = partial.then(|| benchmark.clone().without(&rows).0);
    match usable.filter(|usable| !usable.variants.is_empty()) {
        Some(usable) => Ok(Some(usable)),
        None => Err(EvalError::Images {
            total: benchmark.images.len(),
            benchmark: benchmark.name.clone(),
            data: data.to_owned(),
            broken: broken.into_values().cloned().collect(),
        }),
    }
}

impl Prepared<'_> {
    /// The outcomes of every task of every variant, in a report without scores.
    fn answer(
        &self,
        benchmark: &Benchmark,
        options: &EvaluateOptions,
        notes: &mut Notes,
        progress: &dyn Fn(Step<'_>),
    ) -> Result<(SystemReport, Vec<Vec<TaskOutcome>>), EvalError> {
        match self {
            Self::Model { name, model, embedded } => {
                let mut system = EvalSystem::new(*model, &benchmark.images, &benchmark.texts, embedded);
                let done = run(benchmark, &mut system, options.head, progress)?;
                let report = SystemReport {
                    model_id: Some(model.embedder.model_id().to_owned()),
                    speed: Some(Speed {
                        images: embedded.computed,
                        images_s: embedded.seconds,
                        images_cached: embedded.cached,
                        queries: done.queries,
                        queries_s: done.seconds,
                    }),
                    ..SystemReport::named(name)
                };
                Ok((report, done.outcomes))
            }
            Self::Rankings { name, paths } => {
                let predictions = Predictions::read(paths, benchmark)?;
                let outcomes = score_rankings(name, &predictions, benchmark, options, notes)?;
                Ok((SystemReport::named(name), outcomes))
            }
        }
    }
}

/// Scores rankings for every variant. A variant without any answer has no values, unless no variant has answers: that is an
/// error.
fn score_rankings(
    name: &str,
    predictions: &Predictions,
    benchmark: &Benchmark,
    options: &EvaluateOptions,
    notes: &mut Notes,
) -> Result<Vec<Vec<TaskOutcome>>, EvalError> {
    let variants = &benchmark.variants;
    let any = variants.iter().any(|variant| predictions.answers_any(variant));
    let mut outcomes = Vec::with_capacity(variants.len());
    for variant in variants {
        if any && !predictions.answers_any(variant) {
            let remark = format!("{name} answers nothing of the variant `{}`.", variant.flag);
            notes.remarks.push(remark);
            outcomes.push(Predictions::nothing(variant));
            continue;
        }
        let scored = predictions.score(variant, options.head, options.partial)?;
        notes.partial |= scored.partial;
        let remarks = scored.remarks.into_iter();
        notes
            .remarks
            .extend(remarks.map(|remark| format!("{name}, variant `{}`: {remark}", variant.flag)));
        outcomes.push(scored.outcomes);
    }
    Ok(outcomes)
}

/// Adds the scores, the differences from the first system, and the failures of the reported variant.
fn score(
    system: &mut SystemReport,
    benchmark: &Benchmark,
    first: Option<&Vec<Vec<TaskOutcome>>>,
    found: &[Vec<TaskOutcome>],
    count: usize,
) {
    for (at, (variant, outcomes)) in benchmark.variants.iter().zip(found).enumerate() {
        system.variants.push(VariantScores::of(variant, outcomes));
        if let Some(first) = first {
            system.differences.extend(differences(variant, &first[at], outcomes));
        }
        if at == 0 {
            // Some benchmarks have hundreds of tasks.
            let count = count.min(MAX_FAILURES.div_ceil(variant.tasks.len().max(1)));
            let tasks = variant.tasks.iter().zip(outcomes);
            let all = tasks.flat_map(|(task, outcome)| failures(benchmark, variant, task, outcome, count));
            system.failures = all.take(MAX_FAILURES).collect();
        }
    }
}
