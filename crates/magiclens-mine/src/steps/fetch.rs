//! Step `fetch`: asks servers for the images that pages show and the input lacks. Publishes answers, and the reasons where none came.

use std::collections::{BTreeSet, HashMap, VecDeque};

use magiclens_web::fetch::Fetched;
use magiclens_web::page::RawImage;

use super::image_files::{FIND, ImageFiles};
use super::reading::{self, Images};
use super::tables::{Answer, FETCHED, each_shard};
use crate::run::Run;
use crate::stage::{StageInfo, Tally};
use crate::table::TableWriter;
use crate::work::{StepInfo, Work};

const FETCH: StageInfo = StageInfo::new("fetch", "images");

pub(super) static STEP: StepInfo = StepInfo {
    name: "fetch",
    stages: |_| vec![FETCH],
    tasks: |run| match run.config().fetch.allowed {
        true => each_shard(run),
        false => Ok(None),
    },
    run,
};

fn run(work: &mut Work<'_>) -> anyhow::Result<()> {
    let mut wanted = missing(work)?;
    let fetcher = work.tools.fetcher(work.config())?;
    let mut answers = Answers {
        tally: &mut work.tally,
        table: FETCHED.create(work.run.store(), work.task)?,
        has_file: HashMap::new(),
    };
    // Answers of an earlier try stand: only failures that may pass are asked for again.
    if FETCHED.exists(work.run.store(), work.task)? {
        for row in FETCHED.read(work.run.store(), work.task)? {
            let row = row?;
            if !row.value.retryable {
                answers.add(row.key, &row.value, row.bytes)?;
            }
        }
    }
    loop {
        let now = answers.next_addresses(&mut wanted);
        if now.is_empty() {
            return answers.table.publish();
        }
        let mut failed = None;
        fetcher.fetch(now.into_iter().collect(), &mut |fetched| {
            let added = answers.add_fetched(fetched);
            failed = failed.take().or(added.err());
        });
        failed.map_or(Ok(()), Err)?;
    }
}

/// The addresses of each image that a page of the shard shows and the shard does not hold, best first; each image once, in order.
fn missing(work: &Work<'_>) -> anyhow::Result<Vec<VecDeque<String>>> {
    let config = work.config();
    let entry = &work.run.entries()[work.task];
    // The step `pages` reads the shard again, and counts it.
    let mut uncounted = Tally::default();
    let filters = work.tools.filters(config)?;
    let shard = reading::read(entry, config, filters, Images::Addresses, &mut uncounted)?;
    let mut missing = BTreeSet::new();
    for pages in shard.chunks {
        let pages = pages?.into_iter();
        let images = pages
            .filter(|page| page.images.len() >= config.group.min_images)
            .flat_map(|page| page.images);
        for image in images.filter(|image| shard.files.lacks(image)) {
            let addresses = std::iter::once(image.url).chain(image.alternatives);
            let addresses: VecDeque<String> = addresses.filter(|url| url.starts_with("http")).collect();
            if missing.len() < config.group.max_images_per_shard && !addresses.is_empty() {
                missing.insert(addresses);
            }
        }
    }
    Ok(missing.into_iter().collect())
}

/// Answers as they come.
struct Answers<'a> {
    tally: &'a mut Tally,
    table: TableWriter<Answer>,
    /// By address, whether its file came.
    has_file: HashMap<String, bool>,
}

impl Answers<'_> {
    fn add(&mut self, url: String, answer: &Answer, file: Vec<u8>) -> anyhow::Result<()> {
        self.tally.note(FETCH, answer.outcome());
        self.table.push(url.clone(), answer, file)?;
        self.has_file.insert(url, answer.outcome().is_ok());
        Ok(())
    }

    fn add_fetched(&mut self, fetched: Fetched) -> anyhow::Result<()> {
        let final_url = fetched.final_url;
        match fetched.result {
            Ok(body) => {
                let answer = Answer {
                    final_url,
                    content_type: body.content_type,
                    robots_tags: body.robots_tags,
                    hash: body.hash.to_string(),
                    ..Answer::default()
                };
                self.add(fetched.url, &answer, body.bytes)
            }
            Err(failure) => {
                let answer = Answer {
                    final_url,
                    reason: failure.reason.0.to_owned(),
                    detail: failure.detail,
                    retryable: failure.retryable,
                    ..Answer::default()
                };
                self.add(fetched.url, &answer, Vec::new())
            }
        }
    }

    /// The best address of each image that has not failed yet, of images without a file; the others are taken off `wanted`.
    fn next_addresses(&self, wanted: &mut Vec<VecDeque<String>>) -> BTreeSet<String> {
        wanted.retain_mut(|addresses| {
            while addresses
                .front()
                .is_some_and(|url| self.has_file.get(url) == Some(&false))
            {
                addresses.pop_front();
            }
            addresses.front().is_some_and(|url| !self.has_file.contains_key(url))
        });
        wanted
            .iter()
            .filter_map(|addresses| addresses.front().cloned())
            .collect()
    }
}

impl Answer {
    fn outcome(&self) -> Result<(), &str> {
        match self.reason.as_str() {
            "" => Ok(()),
            reason => Err(reason),
        }
    }
}

/// Adds what was fetched for a shard to its files.
pub(super) fn add_fetched(work: &mut Work<'_>, files: &mut ImageFiles<'_>) -> anyhow::Result<()> {
    if !work.config().fetch.allowed {
        return Ok(());
    }
    for row in FETCHED.read(work.store(), work.task)? {
        let row = row?;
        if row.value.outcome().is_ok() {
            let image = RawImage {
                url: row.key,
                content_type: row.value.content_type,
                bytes: row.bytes,
                robots_tags: row.value.robots_tags,
            };
            if let Err(reason) = files.add(&image)? {
                work.tally.note(FIND, Err(reason.0));
            }
        }
    }
    Ok(())
}

/// Whether images of a shard failed to come that may come now.
pub(crate) fn may_come_now(run: &Run, task: usize) -> anyhow::Result<bool> {
    if !FETCHED.exists(run.store(), task)? {
        return Ok(false);
    }
    for row in FETCHED.read(run.store(), task)? {
        if row?.value.retryable {
            return Ok(true);
        }
    }
    Ok(false)
}
