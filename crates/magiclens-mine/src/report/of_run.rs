//! The report of a run: reads its counts, triplets, and the images of the samples, wherever the run lives.

use std::collections::{BTreeMap, BTreeSet};

use magiclens_data::decode::decode_rgb;
use magiclens_data::{ImageId, read_image_shard};
use magiclens_report::Thumbnails;

use super::triplets::TripletCollector;
use super::{FunnelStep, MiningReport, ReportConfig, RunFacts};
use crate::collect::describe_each;
use crate::run::Run;
use crate::steps::tables::{IMAGES, TRIPLETS};
use crate::store::LocalFile;
use crate::table::file_name;

/// Longer side of the images in the page.
const THUMBNAIL_PX: u32 = 240;

/// The report and the small images that its page shows.
///
/// # Errors
/// A run that cannot be read. A run that is not finished is reported as far as it is.
pub fn of_run(run: &Run, config: ReportConfig) -> anyhow::Result<(MiningReport, Thumbnails<ImageId>)> {
    let address = run.store().address();
    let name = address.trim_end_matches('/').rsplit('/').next();
    let mut facts = RunFacts {
        name: name.unwrap_or_default().to_owned(),
        settings: settings(run),
        remarks: Vec::new(),
    };
    let steps = steps(run, &mut facts.remarks)?;
    let mut collector = TripletCollector::new(config);
    for table in tables(run, TRIPLETS) {
        let triplets = magiclens_data::read_triplets(table?.path())?;
        triplets.iter().for_each(|triplet| collector.add(triplet));
    }
    let mut report = collector.finish(facts, steps);
    let wanted = report.sampled_images();
    describe_each(run, &wanted, &mut |described| report.describe(described))?;
    let thumbnails = thumbnails(run, &wanted)?;
    Ok((report, thumbnails))
}

/// The tables of one kind that exist.
fn tables(run: &Run, kind: &str) -> impl Iterator<Item = anyhow::Result<LocalFile>> {
    let local = move |shard| {
        let name = file_name(kind, shard);
        let exists = run.store().exists(&name);
        Ok(if exists? { Some(run.store().local(&name)?) } else { None })
    };
    (0..run.entries().len()).filter_map(move |shard| local(shard).transpose())
}

fn steps(run: &Run, remarks: &mut Vec<String>) -> anyhow::Result<Vec<FunnelStep>> {
    let mut steps = Vec::new();
    for plan in run.steps()? {
        let (name, results) = (plan.step.name(), run.results(plan.step)?);
        if results.len() < plan.tasks {
            remarks.push(format!(
                "step `{name}`: {} of {} tasks are done",
                results.len(),
                plan.tasks
            ));
        }
        steps.push(FunnelStep::new(name, &plan.step.stages(run.config()), &results));
    }
    Ok(steps)
}

fn thumbnails(run: &Run, wanted: &BTreeSet<ImageId>) -> anyhow::Result<Thumbnails<ImageId>> {
    let mut files: BTreeMap<ImageId, Vec<u8>> = BTreeMap::new();
    for table in tables(run, IMAGES) {
        for file in read_image_shard(table?.path())? {
            let file = file?;
            if wanted.contains(&file.id) {
                files.insert(file.id, file.bytes);
            }
        }
    }
    let limits = run.config().clean.limits();
    let mut thumbnails = Thumbnails::new(THUMBNAIL_PX);
    thumbnails.add(wanted.iter().copied(), |id| match files.get(id) {
        Some(bytes) => decode_rgb(bytes, &limits).map_err(|error| error.to_string()),
        None => Err("its file is in no image shard".to_owned()),
    });
    Ok(thumbnails)
}

fn settings(run: &Run) -> BTreeMap<String, String> {
    let config = run.config();
    let writers: Vec<&str> = config.instruct.writers.iter().map(|writer| writer.name()).collect();
    let encoders: Vec<&str> = config.encoder.iter().map(|encoder| encoder.name.as_str()).collect();
    let pair = &config.pair;
    let images = format!("{} to {}", pair.min_image_similarity, pair.max_image_similarity);
    let texts = format!("{} to {}", pair.min_text_similarity, pair.max_text_similarity);
    let fetching = if config.fetch.allowed { "allowed" } else { "off" };
    [
        ("shards", run.entries().len().to_string()),
        ("seed", config.seed.to_string()),
        ("writers", writers.join(", ")),
        ("encoders", encoders.join(", ")),
        ("image similarity", images),
        ("text similarity", texts),
        ("fetching", fetching.to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
