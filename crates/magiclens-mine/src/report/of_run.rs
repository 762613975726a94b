//! The report of a run: reads its counts, triplets, and the images of the samples, wherever the run lives.

use std::collections::{BTreeMap, BTreeSet};

use magiclens_data::decode::Limits;
use magiclens_data::{ImageId, read_image_shard};

use super::{Gathering, MiningReport, ReportConfig, RunFacts, StageUnit, StepReport, Thumbnails};
use crate::collect::describe_each;
use crate::config::MineConfig;
use crate::run::Run;
use crate::stage::StageInfo;
use crate::steps::Step;
use crate::steps::tables::{IMAGES, TRIPLETS};
use crate::table::file_name;
use crate::tasks::{TaskCost, TaskCounts};

/// The report and the small images that its page shows.
///
/// # Errors
/// A run that cannot be read. A run that is not finished is reported as far as it is.
pub fn of_run(run: &Run, config: ReportConfig) -> anyhow::Result<(MiningReport, Thumbnails)> {
    let plans = run.steps()?;
    let mut steps = Vec::new();
    let mut remarks = Vec::new();
    for plan in &plans {
        let results = run.results(plan.step)?;
        if results.len() < plan.tasks {
            remarks.push(format!(
                "step `{}`: {} of {} tasks are done",
                plan.step.name(),
                results.len(),
                plan.tasks
            ));
        }
        steps.push(sum(plan.step, run.config(), &results));
    }
    let mut gathering = Gathering::new(config);
    for shard in 0..run.entries().len() {
        let name = file_name(TRIPLETS, shard);
        if run.store().exists(&name)? {
            let local = run.store().local(&name)?;
            magiclens_data::read_triplets(local.path())?
                .iter()
                .for_each(|triplet| gathering.add(triplet));
        }
    }
    let facts = RunFacts {
        name: name_of(&run.store().address()),
        settings: settings(run),
        remarks,
    };
    let mut report = gathering.finish(facts, &steps);
    let wanted: BTreeSet<_> = report.sampled_images().into_iter().collect();
    describe_each(run, &wanted, &mut |described| report.describe(described))?;
    let mut files: BTreeMap<ImageId, Vec<u8>> = BTreeMap::new();
    for shard in 0..run.entries().len() {
        let name = file_name(IMAGES, shard);
        if run.store().exists(&name)? {
            let local = run.store().local(&name)?;
            for file in read_image_shard(local.path())? {
                let file = file?;
                if wanted.contains(&file.id) {
                    files.insert(file.id, file.bytes);
                }
            }
        }
    }
    let clean = &run.config().clean;
    let limits = Limits {
        max_bytes: clean.max_bytes,
        max_pixels: clean.max_pixels,
    };
    let images: Vec<ImageId> = wanted.into_iter().collect();
    let read = |id: ImageId| {
        files
            .get(&id)
            .cloned()
            .ok_or_else(|| "its file is in no picture shard".to_owned())
    };
    let thumbnails = Thumbnails::make(&images, &limits, read);
    Ok((report, thumbnails))
}

fn name_of(address: &str) -> String {
    address
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn settings(run: &Run) -> BTreeMap<String, String> {
    let config = run.config();
    let writers: Vec<String> = config
        .instruct
        .writers
        .iter()
        .map(|writer| {
            serde_json::to_value(writer)
                .ok()
                .and_then(|name| Some(name.as_str()?.to_owned()))
                .unwrap_or_default()
        })
        .collect();
    let encoders: Vec<&str> = config.encoder.iter().map(|encoder| encoder.name.as_str()).collect();
    let band = |min: f32, max: f32| format!("{min} to {max}");
    let pair = &config.pair;
    BTreeMap::from([
        ("shards".to_owned(), run.entries().len().to_string()),
        ("seed".to_owned(), config.seed.to_string()),
        ("writers".to_owned(), writers.join(", ")),
        ("encoders".to_owned(), encoders.join(", ")),
        (
            "image similarity".to_owned(),
            band(pair.min_image_similarity, pair.max_image_similarity),
        ),
        (
            "text similarity".to_owned(),
            band(pair.min_text_similarity, pair.max_text_similarity),
        ),
        (
            "fetching".to_owned(),
            if config.fetch.allowed { "allowed" } else { "off" }.to_owned(),
        ),
    ])
}

fn sum(step: Step, config: &MineConfig, results: &[(TaskCounts, TaskCost)]) -> StepReport {
    let unit = |stage: StageInfo| StageUnit {
        stage: stage.name.to_owned(),
        unit: stage.unit.to_owned(),
    };
    let mut report = StepReport {
        step: step.name().to_owned(),
        tasks: results.len() as u64,
        pipeline: step.stages(config).into_iter().map(unit).collect(),
        ..StepReport::default()
    };
    for (counts, cost) in results {
        let mut one = StepReport {
            step: report.step.clone(),
            pipeline: report.pipeline.clone(),
            stages: counts.stages.clone(),
            numbers: counts.numbers.clone(),
            seconds: cost.seconds.clone(),
            wall_seconds: cost.wall_seconds,
            cpu_seconds: cost.cpu_seconds,
            peak_memory_mib: cost.peak_memory_mib,
            ..StepReport::default()
        };
        for (model, usage) in &cost.usage {
            let numbers = [
                ("requests", usage.requests),
                ("cached replies", usage.cached),
                ("failed", usage.failed),
                ("retries", usage.retries),
                ("prompt tokens", usage.prompt_tokens),
                ("completion tokens", usage.completion_tokens),
                ("saved prompt tokens", usage.saved_prompt_tokens),
                ("saved completion tokens", usage.saved_completion_tokens),
            ];
            one.numbers
                .extend(numbers.map(|(name, number)| (format!("{model}: {name}"), number)));
            one.amounts.insert(format!("{model}: cost"), usage.cost);
            one.amounts.insert(format!("{model}: saved cost"), usage.saved_cost);
        }
        report.merge(one);
    }
    report
}
