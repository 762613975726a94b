//! Step `fetch`: asks servers for the images that pages show and the input lacks. Publishes what came and why the rest did not.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::filter::Filters;
use crate::rows::{self, Row};
use crate::run::{Run, Step, Task, Tools, Work, table_name};
use crate::steps::folder;
use crate::steps::reading::{Files, LocalEntry, OPTED_OUT, each_chunk};
use magiclens_web::fetch::Fetched;
use magiclens_web::page::RawImage;

/// What became of an address. The row's bytes are the file, if it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Answer {
    final_url: String,
    content_type: String,
    robots_tags: Vec<String>,
    /// The hash of the file; empty if there is none.
    hash: String,
    /// Why there is no file; empty if there is one.
    reason: String,
    detail: String,
    retryable: bool,
}

pub(crate) fn run(work: &mut Work<'_>, tools: &mut Tools) -> anyhow::Result<()> {
    let config = work.run.config();
    let mut wanted = missing(work, tools.filters(config)?)?;
    let fetcher = tools.fetcher(config)?;
    work.publish_table(folder::FETCHED, |work, writer| {
        // By address, whether its file came. What came before stands as it was: only the failed are asked for again.
        let mut answered = HashMap::new();
        earlier(work, &mut |work, row, answer| {
            count(work, answer);
            answered.insert(row.key.clone(), answer.reason.is_empty());
            writer.push(row)
        })?;
        loop {
            // Each image by its best address that has not failed.
            wanted.retain_mut(|addresses| {
                while addresses.front().is_some_and(|url| answered.get(url) == Some(&false)) {
                    addresses.pop_front();
                }
                addresses.front().is_some_and(|url| !answered.contains_key(url))
            });
            let now: BTreeSet<String> = wanted
                .iter()
                .filter_map(|addresses| addresses.front().cloned())
                .collect();
            if now.is_empty() {
                return Ok(());
            }
            let mut failed = None;
            fetcher.fetch(now.into_iter().collect(), &mut |fetched| {
                let row = row_of(fetched).and_then(|row| {
                    let answer: Answer = row.parse()?;
                    count(work, &answer);
                    answered.insert(row.key.clone(), answer.reason.is_empty());
                    writer.push(row)
                });
                failed = failed.take().or(row.err());
            });
            failed.map_or(Ok(()), Err)?;
        }
    })
}

/// The images that a page of the shard shows and the shard does not hold, each once, in order; of each its addresses, best first.
fn missing(work: &mut Work<'_>, filters: &Filters) -> anyhow::Result<Vec<VecDeque<String>>> {
    // The stages before are counted by the step `pages`, which runs them again.
    let mut silent = Work {
        run: work.run,
        task: work.task,
        tally: Default::default(),
        numbers: BTreeMap::new(),
    };
    let local = LocalEntry::open(&silent)?;
    let mut files = Files::of_entry(&mut silent, &local)?;
    let mut missing = BTreeSet::new();
    let limit = work.run.config().group.max_images_per_shard;
    each_chunk(&mut silent, &local, filters, &mut |silent, pages| {
        let config = silent.run.config();
        for page in pages.iter().filter(|page| page.images.len() >= config.group.min_images) {
            for image in &page.images {
                // Who opted out in the archive is not asked again.
                let is_missing = files.find(image, config)?.is_err_and(|reason| reason != OPTED_OUT);
                let addresses: VecDeque<String> = std::iter::once(&image.url)
                    .chain(&image.alternatives)
                    .filter(|url| url.starts_with("http"))
                    .cloned()
                    .collect();
                if missing.len() < limit && is_missing && !addresses.is_empty() {
                    missing.insert(addresses);
                }
            }
        }
        Ok(())
    })?;
    Ok(missing.into_iter().collect())
}

/// What takes the rows of an earlier try.
type TakeRow<'a> = dyn FnMut(&mut Work<'_>, Row, &Answer) -> anyhow::Result<()> + 'a;

/// Gives the rows of an earlier try that are worth keeping: all but the failures that may pass.
fn earlier(work: &mut Work<'_>, take: &mut TakeRow) -> anyhow::Result<()> {
    let name = table_name(folder::FETCHED, work.task);
    if work.run.store().exists(&name)? {
        let local = work.run.store().local(&name)?;
        for row in rows::read(local.path())? {
            let row = row?;
            let answer: Answer = row.parse()?;
            if !answer.retryable {
                take(work, row, &answer)?;
            }
        }
    }
    Ok(())
}

fn row_of(fetched: Fetched) -> anyhow::Result<Row> {
    let (answer, bytes) = match fetched.result {
        Ok(body) => {
            let answer = Answer {
                final_url: fetched.final_url,
                content_type: body.content_type,
                robots_tags: body.robots_tags,
                hash: body.hash.to_string(),
                reason: String::new(),
                detail: String::new(),
                retryable: false,
            };
            (answer, body.bytes.to_vec())
        }
        Err(failure) => {
            let answer = Answer {
                final_url: fetched.final_url,
                content_type: String::new(),
                robots_tags: Vec::new(),
                hash: String::new(),
                reason: failure.reason.0.to_owned(),
                detail: failure.detail,
                retryable: failure.retryable,
            };
            (answer, Vec::new())
        }
    };
    Row::new(fetched.url, &answer, bytes)
}

fn count(work: &mut Work<'_>, answer: &Answer) {
    if answer.reason.is_empty() {
        work.tally.keep("fetch", 1);
    } else {
        work.tally.drop_named("fetch", &answer.reason);
    }
}

/// Adds what was fetched for a shard to its files.
pub(crate) fn add_fetched(work: &mut Work<'_>, files: &mut Files) -> anyhow::Result<()> {
    if !work.run.config().fetch.allowed {
        return Ok(());
    }
    let local = work.run.store().local(&table_name(folder::FETCHED, work.task))?;
    for row in rows::read(local.path())? {
        let row = row?;
        let answer: Answer = row.parse()?;
        if answer.reason.is_empty() {
            let image = RawImage {
                url: row.key,
                content_type: answer.content_type,
                bytes: row.bytes,
                robots_tags: answer.robots_tags,
            };
            files.add(work, &image)?;
        }
    }
    Ok(())
}

/// Makes a run ask again for what failed and may pass: those tasks, and all steps after them, are no longer done.
///
/// # Errors
/// A place that cannot be read or written.
pub(crate) fn retry(run: &Run) -> anyhow::Result<usize> {
    let mut again = Vec::new();
    for task in 0..run.entries().len() {
        let name = table_name(folder::FETCHED, task);
        if run.store().exists(&name)? {
            let local = run.store().local(&name)?;
            for row in rows::read(local.path())? {
                if row?.parse::<Answer>()?.retryable {
                    again.push(Task {
                        step: Step::Fetch,
                        task,
                    });
                    break;
                }
            }
        }
    }
    if again.is_empty() {
        return Ok(0);
    }
    // What depends on it goes first: a run that is killed here does too much again, not too little.
    for plan in run.steps()?.into_iter().filter(|plan| plan.step != Step::Fetch).rev() {
        (0..plan.tasks).try_for_each(|task| run.forget(Task { step: plan.step, task }))?;
    }
    again.iter().try_for_each(|task| run.forget(*task))?;
    Ok(again.len())
}
