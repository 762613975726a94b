//! Step `fetch`: asks servers for the images that pages show and the input lacks. Publishes answers, and the reasons where none came.

use std::collections::{BTreeSet, HashMap, VecDeque};

use magiclens_web::fetch::Fetched;
use magiclens_web::page::RawImage;

use super::image_files::{FIND, ImageFiles};
use super::reading::{self, Images};
use super::tables::{Answer, FETCHED, each_shard};
use crate::run::Run;
use crate::stage::{StageInfo, Tally};
use crate::table::{Row, TableWriter};
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
    for row in known(work.run, work.task)? {
        let row = row?;
        if !row.value.retryable {
            answers.add(row.key, &row.value, row.bytes)?;
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
        let mut answer = Answer {
            final_url: fetched.final_url,
            ..Answer::default()
        };
        let mut file = Vec::new();
        match fetched.result {
            Ok(body) => {
                (answer.content_type, answer.robots_tags) = (body.content_type, body.robots_tags);
                (answer.hash, file) = (body.hash.to_string(), body.bytes);
            }
            Err(failure) => {
                answer.reason = failure.reason.0.to_owned();
                (answer.detail, answer.retryable) = (failure.detail, failure.retryable);
            }
        }
        self.add(fetched.url, &answer, file)
    }

    /// The best address of each image that has not failed yet, of images without a file; the others are taken off `wanted`.
    fn next_addresses(&self, wanted: &mut Vec<VecDeque<String>>) -> BTreeSet<String> {
        let has_failed = |url: &mut String| self.has_file.get(url) == Some(&false);
        wanted.retain_mut(|addresses| {
            while addresses.pop_front_if(has_failed).is_some() {}
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
    for row in known(run, task)? {
        if row?.value.retryable {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The answers that a shard has; none before the first try.
fn known(run: &Run, task: usize) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Row<Answer>>>> {
    let exists = FETCHED.exists(run.store(), task)?;
    let rows = exists.then(|| FETCHED.read(run.store(), task)).transpose()?;
    Ok(rows.into_iter().flatten())
}
