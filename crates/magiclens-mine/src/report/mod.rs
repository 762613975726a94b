//! Report of a mining run, for machines (JSON) and people (Markdown, one HTML page with images).
//!
//! | file | content |
//! |---|---|
//! | `of_run.rs` | reads a run |
//! | `counts.rs` | counts by value, draws |
//! | `funnel.rs` | stages of each step: items, reasons, time, speed |
//! | `triplets.rs` | counts of triplets, scores, fair samples |
//! | `words.rs` | wording of instructions by generator |
//! | `document.rs` | the report as a document of `magiclens-report` |
//!
//! The JSON form is [`MiningReport`] with the names of its fields. Shares lie between 0 and 1, metrics
//! have six decimals, an unknown number is `null`, and images are named by their id, the hash of their file.

mod counts;
mod document;
#[cfg(test)]
mod examples;
mod funnel;
mod of_run;
mod triplets;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use magiclens_data::{ImageId, Provenance};
use serde::{Deserialize, Serialize};

use funnel::FunnelStep;
pub use of_run::of_run;
use triplets::TripletMetrics;
use words::Words;

use crate::page::Described;

/// The name of the JSON form; the number grows when a reader of it must change.
const SCHEMA: &str = "magiclens-mining-report/2";

/// The whole of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MiningReport {
    /// The name of this form.
    schema: String,
    run: RunFacts,
    /// The steps in their order: the funnel, time and memory.
    steps: Vec<FunnelStep>,
    /// Sums of the funnel that do not add up, in sentences; empty in a sound run.
    problems: Vec<String>,
    triplets: TripletMetrics,
    words: Words,
    /// Triplets to look at. The first `config.samples` are drawn from all, in random order; then come more of rare relations.
    samples: Vec<Sample>,
    config: ReportConfig,
}

/// The run in a few words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct RunFacts {
    name: String,
    /// Its settings in short, by name.
    settings: BTreeMap<String, String>,
    /// Remarks for readers, e.g. that some shards are not done yet.
    remarks: Vec<String>,
}

/// Settings of a report. None of them changes what was mined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportConfig {
    /// Draws the samples. The same run and seed give the same samples, however it was sharded.
    pub seed: u64,
    /// Triplets that are drawn to be looked at. 100 by default: then each is one in a hundred when they are judged by eye.
    pub samples: usize,
}

impl Default for ReportConfig {
    fn default() -> Self {
        Self { seed: 0, samples: 100 }
    }
}

/// A triplet to look at: its fields, and the metadata of its images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Sample {
    /// Its number, from 1.
    number: usize,
    /// Drawn besides, to show its relation: it is no part of the fair sample.
    extra: bool,
    query: ImageId,
    instruction: String,
    targets: Vec<ImageId>,
    relation: String,
    hard_negatives: Vec<ImageId>,
    /// Provenance, with the scores that are finite.
    provenance: Provenance,
    /// Sizes and words of its images, as far as [`MiningReport::describe`] got them.
    described: BTreeMap<ImageId, Described>,
}

impl MiningReport {
    /// The report as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("texts, numbers and lists of them have a JSON form")
    }

    /// The images that its samples show.
    fn sampled_images(&self) -> BTreeSet<ImageId> {
        self.samples.iter().flat_map(Sample::shown).collect()
    }

    /// Adds the metadata of an image to the samples that show it. A sample that names the image's page takes the words of that
    /// page only: elsewhere the image may be called otherwise.
    fn describe(&mut self, described: &Described) {
        for sample in &mut self.samples {
            let address = sample.provenance.urls.get(&described.image);
            let is_its_page = address.is_none_or(|address| address.page == described.page_url);
            if is_its_page && sample.shown().any(|image| image == described.image) {
                let known = sample.described.entry(described.image);
                known.or_insert_with(|| described.clone());
            }
        }
    }
}

impl Sample {
    /// Query and the targets that fit in.
    fn shown(&self) -> impl Iterator<Item = ImageId> {
        std::iter::once(self.query).chain(self.shown_targets().iter().copied())
    }

    /// The first targets.
    fn shown_targets(&self) -> &[ImageId] {
        const MAX_TARGETS: usize = 4;
        &self.targets[..self.targets.len().min(MAX_TARGETS)]
    }

    /// The best description of an image; empty if none is known.
    fn words(&self, image: ImageId) -> &str {
        let described = self.described.get(&image);
        described
            .and_then(|described| described.metadata.descriptions().next())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_comes_back_as_it_was() {
        let report = examples::report();
        let text = report.to_json();
        assert_eq!(serde_json::from_str::<MiningReport>(&text).unwrap(), report);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["schema"], SCHEMA);
        assert_eq!(value["steps"][0]["stages"][0]["dropped"][0]["reason"], "not HTML");
        assert_eq!(value["triplets"]["relations"]["values"][0]["value"], "aspect");
        assert_eq!(value["words"]["generators"][1]["generator"], "template");
        let sample = &value["samples"][0];
        let query = sample["query"].as_str().unwrap();
        assert_eq!(sample["described"][query]["picture"], query);
        assert!(sample["provenance"]["urls"][query]["page"].is_string());
        let empty = examples::empty();
        assert_eq!(serde_json::from_str::<MiningReport>(&empty.to_json()).unwrap(), empty);
    }

    #[test]
    fn words_come_from_the_page_that_a_triplet_names() {
        let mut mined = examples::mined(2);
        // The second triplet is of a collection: it names no pages.
        mined[1].provenance.urls.clear();
        let mut report = examples::collected(&mined, 10);
        // Triplet 0 shows the images 0, 1 and 2, triplet 1 shows 1 and 2.
        assert_eq!(report.sampled_images().len(), 3);
        for (number, host, expected) in [
            (0, "c.example", 0),
            (0, "a.example", 1),
            (1, "c.example", 2),
            (1, "a.example", 3),
        ] {
            report.describe(&examples::described(number, host));
            let known: usize = report.samples.iter().map(|sample| sample.described.len()).sum();
            assert_eq!(known, expected, "{number} of {host}");
        }
        let first = report
            .samples
            .iter()
            .find(|sample| sample.query == mined[0].query)
            .unwrap();
        assert_eq!(
            (first.words(mined[0].query), first.words(mined[0].hard_negatives[0])),
            ("Image 0", "")
        );
    }
}
