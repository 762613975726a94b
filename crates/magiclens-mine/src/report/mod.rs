//! What a mining run found, for machines (JSON) and people (Markdown, one HTML page with images). Pure functions of the run's
//! counts and triplets: reading them is the caller's.
//!
//! ```text
//! Gathering::new(config) ─▶ add(triplet), in any order ─▶ finish(run, steps) ─▶ MiningReport ─▶ to_json, to_markdown
//!                                           words of its sampled images ─▶ describe │
//!                                           files of its sampled images ─▶ Thumbnails ─▶ to_html
//! ```
//!
//! | file | matter |
//! |---|---|
//! | `gather.rs` | triplets one by one, bounded memory |
//! | `reservoir.rs`, `counts.rs` | fair samples, counts by value, histograms |
//! | `funnel.rs` | what each stage got, kept and dropped; speed |
//! | `words/` | how instructions are worded, by what wrote them |
//! | `tables/` | the tables of both pages |
//! | `markdown.rs` | the report as text |
//! | `html/` | the report as one page with plots and images |
//!
//! The JSON form is [`MiningReport`] with the names of its fields, and `schema` before them:
//!
//! | field | what it holds |
//! |---|---|
//! | `run` | name, settings and remarks |
//! | `steps` | for each step its stages (`items` = `kept` + all `dropped`), times, memory, `rates`, other numbers |
//! | `problems` | sums that do not add up |
//! | `triplets` | numbers, counts by relation, generator, host, license, opt-out, ..., histograms of scores |
//! | `words` | for each generator lengths, diversity of all and at the same size, commonest words, openings |
//! | `samples` | triplets with their provenance and the words of their images |
//! | `config` | what the report was asked to show |
//!
//! Fields are only added while the number in `schema` stays. Shares lie between 0 and 1, figures have six decimals, a number that
//! cannot be known is `null`, and images are named by their id, the hash of their file.

mod counts;
#[cfg(test)]
mod examples;
mod funnel;
mod gather;
mod html;
mod markdown;
mod of_run;
mod reservoir;
mod tables;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use magiclens_data::{ImageId, Provenance};
use serde::{Deserialize, Serialize};

pub use counts::{Counted, Counts, ScoreHistogram};
pub use funnel::{Before, Dropped, FunnelStage, FunnelStep, Rate, StageUnit, StepReport};
pub use gather::{Gathering, ReportConfig, TripletFigures};
pub use html::Thumbnails;
pub use of_run::of_run;
pub use reservoir::Distinct;
pub use words::{ComparedSize, Diversity, GeneratorWords, Lengths, NGrams, Opening, Words};

use crate::page::Described;

/// What the JSON form is called; the number grows when a reader of it must change.
const SCHEMA: &str = "magiclens-mining-report/1";

/// The whole of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MiningReport {
    /// What was run.
    pub run: RunFacts,
    /// The steps in their order: the funnel, time and memory.
    pub steps: Vec<FunnelStep>,
    /// What does not add up in the funnel, in sentences; empty in a sound run.
    pub problems: Vec<String>,
    /// The triplets in numbers.
    pub triplets: TripletFigures,
    /// How their instructions are worded.
    pub words: Words,
    /// Triplets to look at. The first `config.samples` are drawn from all, in random order; then come more of rare relations.
    pub samples: Vec<Sample>,
    /// What the report was asked to show.
    pub config: ReportConfig,
}

/// What was run, in a few words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFacts {
    /// Its name.
    pub name: String,
    /// Its settings in short, by name.
    pub settings: BTreeMap<String, String>,
    /// What a reader should know, e.g. that some shards are not done yet.
    pub remarks: Vec<String>,
}

/// A triplet to look at: its fields, and what is known about its images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Its number, from 1.
    pub number: usize,
    /// Drawn besides, to show its relation: it is no part of the fair sample.
    pub extra: bool,
    /// The query image.
    pub query: ImageId,
    /// What is wanted of it.
    pub instruction: String,
    /// All right answers.
    pub targets: Vec<ImageId>,
    /// How query and targets belong together.
    pub relation: String,
    /// Wrong answers that are easily taken for right ones.
    pub hard_negatives: Vec<ImageId>,
    /// Where it comes from; of its scores those that are finite.
    pub provenance: Provenance,
    /// Sizes and words of its images, as far as [`MiningReport::describe`] was told.
    pub described: BTreeMap<ImageId, Described>,
}

impl MiningReport {
    /// The report as JSON: its fields, and `schema`, which names this form.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Document<'a> {
            schema: &'a str,
            #[serde(flatten)]
            report: &'a MiningReport,
        }
        let document = Document {
            schema: SCHEMA,
            report: self,
        };
        serde_json::to_string_pretty(&document).expect("texts, numbers and lists of them have a JSON form")
    }

    /// The images that its samples show, sorted: their files make the [`Thumbnails`] of the page.
    pub fn sampled_images(&self) -> Vec<ImageId> {
        let images: BTreeSet<ImageId> = self.samples.iter().flat_map(Sample::shown).collect();
        images.into_iter().collect()
    }

    /// Adds what is known about an image to the samples that show it. A sample that names the image's page takes the words of
    /// that page only: elsewhere the image may be called otherwise.
    pub fn describe(&mut self, described: &Described) {
        for sample in &mut self.samples {
            let stands_there = match sample.provenance.urls.get(&described.image) {
                Some(address) => address.page == described.page_url,
                None => true,
            };
            if stands_there && sample.shown().any(|image| image == described.image) {
                sample
                    .described
                    .entry(described.image)
                    .or_insert_with(|| described.clone());
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

    /// The most telling words about an image; empty if none are known.
    fn words(&self, image: ImageId) -> &str {
        let Some(Described { metadata, .. }) = self.described.get(&image) else {
            return "";
        };
        let by_use = [
            &metadata.caption,
            &metadata.alt,
            &metadata.title,
            &metadata.model_caption,
            &metadata.file_words,
        ];
        by_use
            .into_iter()
            .find(|words| !words.is_empty())
            .map_or("", String::as_str)
    }
}

/// A figure with six decimals: more say nothing, and so many come back from JSON as they were.
fn rounded(value: f64) -> f64 {
    let rounded = (value * 1e6).round() / 1e6;
    if rounded.is_finite() { rounded } else { value }
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
        assert_eq!(value["schema"], "magiclens-mining-report/1");
        assert_eq!(value["steps"][0]["stages"][0]["dropped"][0]["reason"], "not HTML");
        assert_eq!(value["triplets"]["relations"]["values"][0]["value"], "effect");
        assert_eq!(value["words"]["generators"][1]["generator"], "template");
        let sample = &value["samples"][0];
        let query = sample["query"].as_str().unwrap();
        assert_eq!(sample["described"][query]["picture"], query);
        assert!(sample["provenance"]["urls"][query]["page"].is_string());
    }

    #[test]
    fn an_empty_run_comes_back_too() {
        let report = Gathering::new(ReportConfig::default()).finish(RunFacts::default(), &[]);
        assert_eq!(serde_json::from_str::<MiningReport>(&report.to_json()).unwrap(), report);
    }

    #[test]
    fn undefined_numbers_have_a_json_form() {
        let mut mined = examples::mined(1).remove(0);
        mined.provenance.scores = [("a".to_owned(), f64::NAN), ("b".to_owned(), f64::NEG_INFINITY)].into();
        let step = StepReport {
            wall_seconds: f64::NAN,
            cpu_seconds: f64::INFINITY,
            peak_memory_mib: f64::NAN,
            seconds: [("x".to_owned(), f64::NAN)].into(),
            ..StepReport::default()
        };
        let mut gathering = Gathering::new(ReportConfig::default());
        gathering.add(&mined);
        let report = gathering.finish(RunFacts::default(), &[step]);
        assert_eq!(serde_json::from_str::<MiningReport>(&report.to_json()).unwrap(), report);
    }

    #[test]
    fn words_come_from_the_page_that_a_triplet_names() {
        let mut mined = examples::mined(2);
        // The second triplet is of a collection: it names no pages.
        mined[1].provenance.urls.clear();
        let mut gathering = Gathering::new(ReportConfig::default());
        mined.iter().for_each(|triplet| gathering.add(triplet));
        let mut report = gathering.finish(RunFacts::default(), &[]);
        // Triplet 0 shows the images 0, 1 and 2, triplet 1 shows 1 and 2.
        assert_eq!(report.sampled_images().len(), 3);
        let known =
            |report: &MiningReport| -> usize { report.samples.iter().map(|sample| sample.described.len()).sum() };
        for (number, host, expected) in [
            (0, "c.example", 0),
            (0, "a.example", 1),
            (1, "c.example", 2),
            (1, "a.example", 3),
        ] {
            report.describe(&examples::described(number, host));
            assert_eq!(known(&report), expected, "{number} of {host}");
        }
        let first = report
            .samples
            .iter()
            .find(|sample| sample.query == mined[0].query)
            .unwrap();
        assert_eq!(
            (first.words(mined[0].query), first.words(mined[0].hard_negatives[0])),
            ("Picture 0", "")
        );
    }
}
