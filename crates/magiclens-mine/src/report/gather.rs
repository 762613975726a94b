//! Triplets one by one, in any order, into the figures of a report: memory is bounded by the configuration.

use std::collections::{BTreeMap, BTreeSet};

use magiclens_data::{Provenance, Triplet};
use serde::{Deserialize, Serialize};
use url::Url;

use super::counts::{Counter, Counts, ScoreHistogram, Scores};
use super::funnel::StepReport;
use super::reservoir::{self, Distinct, Reservoir};
use super::words::{WordCollector, WordLimits};
use super::{MiningReport, RunFacts, Sample, rounded};

/// What a report shows, and the memory that it may take. None of it changes what was mined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReportConfig {
    /// Draws the samples. The same run and seed give the same samples, however it was sharded.
    pub seed: u64,
    /// Triplets that are drawn to be looked at. 100 by default: then each is one in a hundred when they are judged by eye.
    pub samples: usize,
    /// Samples shown of each relation; those that the first samples lack are drawn besides. 6 by default. Of each, 20 times as many
    /// triplets are remembered, a kilobyte each: a relation that is rarer than one in 3,000 may have none.
    pub samples_per_relation: usize,
    /// Relations of which samples are shown, the most frequent. 24 by default.
    pub max_relations: usize,
    /// Instructions of each generator that diversity is measured on; of more, so many are drawn. 100,000 by default, about 10 MB:
    /// the shares are then known to a third of a percent.
    pub max_instructions: usize,
    /// Different values (hosts, licenses, texts) that are counted exactly; of more, so many are drawn. 100,000 by default.
    pub max_remembered: usize,
    /// Words at which generators are compared. 10,000 by default: type-token ratios depend on the size, so it is the same for all.
    pub compared_words: u64,
    /// Generators with fewer words are not compared, lest they make the size too small. 200 by default.
    pub min_compared_words: u64,
    /// Instructions that are compared with each other for the overlap; time grows with the square. 1,000 by default.
    pub overlap_instructions: usize,
    /// Values shown of each list: hosts, licenses, words. 30 by default.
    pub listed: usize,
}

impl Default for ReportConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            samples: 100,
            samples_per_relation: 6,
            max_relations: 24,
            max_instructions: 100_000,
            max_remembered: 100_000,
            compared_words: 10_000,
            min_compared_words: 200,
            overlap_instructions: 1000,
            listed: 30,
        }
    }
}

/// What the triplets of a run are, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TripletFigures {
    /// All triplets.
    pub triplets: u64,
    /// All their targets.
    pub targets: u64,
    /// All their hard negatives.
    pub hard_negatives: u64,
    /// Different images that are a query or a target.
    #[serde(rename = "pictures")]
    pub images: Distinct,
    /// Different sources: the pages of the queries, or the packages.
    pub pages: Distinct,
    /// Triplets by the host of the query's page; of saved pages by their first folder; by the source itself if it is no page.
    pub hosts: Counts,
    /// Triplets by relation.
    pub relations: Counts,
    /// Triplets by what wrote the instruction, each template for itself.
    pub generators: Counts,
    /// Triplets by prompt and its version; "" is none.
    pub prompts: Counts,
    /// Models by the triplets that they took part in.
    pub models: Counts,
    /// Triplets by how the images were found: on "one page", as "neighbors" in the corpus; "" is not known.
    pub origins: Counts,
    /// Triplets by the license that is stated; "" is none.
    #[serde(rename = "licences")]
    pub licenses: Counts,
    /// Opt-outs by the triplets whose pages state them.
    pub opt_outs: Counts,
    /// Triplets whose pages state some opt-out.
    pub opted_out: u64,
    /// The scores of the triplets, by name.
    pub scores: Vec<ScoreHistogram>,
}

/// Triplets kept for the samples of relations, for each one that is shown.
const KEPT_FOR_RELATIONS: usize = 20;

/// Collects the triplets of a run.
#[derive(Debug)]
pub struct Gathering {
    config: ReportConfig,
    targets: u64,
    hard_negatives: u64,
    opted_out: u64,
    images: Reservoir<()>,
    pages: Reservoir<()>,
    hosts: Counter,
    relations: Counter,
    generators: Counter,
    prompts: Counter,
    models: Counter,
    origins: Counter,
    licenses: Counter,
    opt_outs: Counter,
    scores: Scores,
    words: WordCollector,
    drawn: Reservoir<Triplet>,
    triplets: u64,
}

impl Gathering {
    /// Nothing yet.
    pub fn new(config: ReportConfig) -> Self {
        let counter = || Counter::new(config.max_remembered);
        let for_relations = config.max_relations.saturating_mul(config.samples_per_relation);
        let drawn = config.samples.max(for_relations.saturating_mul(KEPT_FOR_RELATIONS));
        Self {
            targets: 0,
            hard_negatives: 0,
            opted_out: 0,
            images: Reservoir::new(config.max_remembered),
            pages: Reservoir::new(config.max_remembered),
            hosts: counter(),
            relations: counter(),
            generators: counter(),
            prompts: counter(),
            models: counter(),
            origins: counter(),
            licenses: counter(),
            opt_outs: counter(),
            scores: Scores::default(),
            words: WordCollector::new(WordLimits {
                seed: config.seed,
                max_instructions: config.max_instructions,
                max_remembered: config.max_remembered,
                compared_words: config.compared_words,
                min_compared_words: config.min_compared_words,
                overlap_instructions: config.overlap_instructions,
                listed: config.listed,
            }),
            drawn: Reservoir::new(drawn),
            triplets: 0,
            config,
        }
    }

    /// Takes a triplet in.
    pub fn add(&mut self, triplet: &Triplet) {
        let Provenance {
            source,
            generator,
            license,
            models,
            scores,
            prompt,
            ..
        } = &triplet.provenance;
        self.triplets += 1;
        self.targets += triplet.targets.len() as u64;
        self.hard_negatives += triplet.hard_negatives.len() as u64;
        for image in std::iter::once(&triplet.query).chain(&triplet.targets) {
            self.images.offer(reservoir::key(0, &[&image.to_bytes()]), || ());
        }
        self.pages.offer(reservoir::key(0, &[source.as_bytes()]), || ());
        self.hosts.add(&host(source));
        self.relations.add(&triplet.relation);
        self.generators.add(generator);
        self.prompts.add(prompt);
        self.origins.add(origin(&triplet.provenance));
        self.licenses.add(license);
        for model in models.iter().collect::<BTreeSet<_>>() {
            self.models.add(model);
        }
        let opt_outs = opt_outs(&triplet.provenance);
        self.opted_out += u64::from(!opt_outs.is_empty());
        opt_outs.iter().for_each(|wish| self.opt_outs.add(wish));
        scores.iter().for_each(|(name, &value)| self.scores.add(name, value));
        let row = key(self.config.seed, triplet);
        self.words.add(generator, row, &triplet.instruction);
        self.drawn.offer(row, || triplet.clone());
    }

    /// The report, with the steps in the order of the run.
    pub fn finish(self, run: RunFacts, steps: &[StepReport]) -> MiningReport {
        let listed = self.config.listed;
        let relations = self.relations.finish(listed.max(self.config.max_relations));
        let samples = draw(&self.config, &relations, self.drawn);
        let steps: Vec<_> = steps.iter().map(StepReport::funnel).collect();
        let problems = steps.iter().flat_map(|step| {
            let problem = |problem| format!("step `{}`: {problem}", step.step);
            step.stages.iter().filter_map(|stage| stage.problem()).map(problem)
        });
        MiningReport {
            problems: problems.collect(),
            run,
            steps,
            triplets: TripletFigures {
                triplets: self.triplets,
                targets: self.targets,
                hard_negatives: self.hard_negatives,
                images: self.images.distinct(),
                pages: self.pages.distinct(),
                hosts: self.hosts.finish(listed),
                relations,
                generators: self.generators.finish(listed),
                prompts: self.prompts.finish(listed),
                models: self.models.finish(listed),
                origins: self.origins.finish(listed),
                licenses: self.licenses.finish(listed),
                opt_outs: self.opt_outs.finish(listed),
                opted_out: self.opted_out,
                scores: self.scores.finish(),
            },
            words: self.words.finish(),
            config: self.config,
            samples,
        }
    }
}

/// Of what a triplet is, not of where it stands.
fn key(seed: u64, triplet: &Triplet) -> u128 {
    let targets: Vec<u8> = triplet.targets.iter().flat_map(|target| target.to_bytes()).collect();
    let parts = [
        &triplet.query.to_bytes()[..],
        &targets,
        triplet.instruction.as_bytes(),
        triplet.relation.as_bytes(),
        triplet.provenance.generator.as_bytes(),
        triplet.provenance.source.as_bytes(),
    ];
    reservoir::key(seed, &parts)
}

/// How the pair was found: a mined triplet names the page if its images share one.
fn origin(provenance: &Provenance) -> &'static str {
    match provenance {
        provenance if !provenance.page.is_empty() => "one page",
        provenance if !provenance.urls.is_empty() => "neighbours",
        _ => "",
    }
}

/// The opt-outs that the pages of a triplet's images state.
pub(super) fn opt_outs(provenance: &Provenance) -> BTreeSet<&str> {
    let addresses = provenance.urls.values();
    addresses
        .flat_map(|address| address.opt_outs.iter().map(String::as_str))
        .collect()
}

fn sample(triplet: Triplet, number: usize, extra: bool) -> Sample {
    let Triplet {
        query,
        instruction,
        targets,
        relation,
        hard_negatives,
        mut provenance,
    } = triplet;
    provenance.scores.retain(|_, score| score.is_finite());
    provenance
        .scores
        .values_mut()
        .for_each(|score| *score = rounded(*score));
    Sample {
        number,
        extra,
        query,
        instruction,
        targets,
        relation,
        hard_negatives,
        provenance,
        described: BTreeMap::new(),
    }
}

/// The first that were drawn, and more of the relations that have too few among them.
fn draw(config: &ReportConfig, relations: &Counts, drawn: Reservoir<Triplet>) -> Vec<Sample> {
    let mut wanted: Vec<(&str, usize)> = relations
        .values
        .iter()
        .take(config.max_relations)
        .map(|relation| (relation.value.as_str(), config.samples_per_relation))
        .collect();
    let mut samples: Vec<Sample> = Vec::new();
    for (at, triplet) in drawn.into_contents().enumerate() {
        let extra = config.samples <= at;
        let missing = wanted
            .iter_mut()
            .find(|(relation, missing)| *relation == triplet.relation && *missing > 0);
        match missing {
            Some((_, missing)) => *missing -= 1,
            None if extra => continue,
            None => {}
        }
        let number = samples.len() + 1;
        samples.push(sample(triplet, number, extra));
    }
    samples
}

/// Where a page comes from, short enough to be counted by.
fn host(page: &str) -> String {
    let Ok(url) = Url::parse(page) else {
        return page.to_owned();
    };
    match (url.scheme(), url.host_str()) {
        ("http" | "https", Some(host)) => host.to_owned(),
        ("file", _) => {
            let folder = url.path_segments().and_then(|mut segments| segments.next());
            format!("file: {}", folder.unwrap_or_default())
        }
        _ => page.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::examples;
    use super::*;

    #[test]
    fn hosts_are_short() {
        for (page, expected) in [
            ("https://User@Example.org:80/a?b", "example.org"),
            ("file:///gimp-help-en/html/a.html", "file: gimp-help-en"),
            ("file:///a.html", "file: a.html"),
            ("file://", "file: "),
            ("npm:@iconify-json/noto@1.2.9", "npm:@iconify-json/noto@1.2.9"),
            ("javascript:alert(1)", "javascript:alert(1)"),
            ("not a URL", "not a URL"),
            ("", ""),
        ] {
            assert_eq!(host(page), expected);
        }
    }

    #[test]
    fn the_same_triplets_give_the_same_report_in_any_order() {
        let gather = |mined: &[Triplet]| {
            let mut gathering = Gathering::new(ReportConfig {
                samples: 10,
                max_remembered: 20,
                ..ReportConfig::default()
            });
            mined.iter().for_each(|mined| gathering.add(mined));
            gathering.finish(RunFacts::default(), &[])
        };
        let mut mined = examples::mined(60);
        let report = gather(&mined);
        mined.reverse();
        assert_eq!(gather(&mined), report);
        mined.rotate_left(17);
        assert_eq!(gather(&mined).to_json(), report.to_json());
    }

    #[test]
    fn numbers_are_counted_by_hand() {
        let mined = examples::mined(4);
        let mut gathering = Gathering::new(ReportConfig::default());
        mined.iter().for_each(|mined| gathering.add(mined));
        let figures = gathering.finish(RunFacts::default(), &[]).triplets;
        // Triplet n leads from image n to n + 1; every third one to n + 2 as well: 0 to 1, 2; 1 to 2; 2 to 3; 3 to 4, 5.
        assert_eq!((figures.triplets, figures.targets, figures.hard_negatives), (4, 6, 4));
        assert_eq!(figures.images, Distinct { items: 6, exact: true });
        assert_eq!(figures.pages, Distinct { items: 2, exact: true });
        let values = |counts: &Counts| -> Vec<(String, u64)> {
            counts
                .values
                .iter()
                .map(|counted| (counted.value.clone(), counted.items))
                .collect()
        };
        assert_eq!(
            values(&figures.hosts),
            [("a.example".to_owned(), 2), ("b.example".to_owned(), 2)]
        );
        assert_eq!(
            values(&figures.relations),
            [("effect".to_owned(), 3), ("variant".to_owned(), 1)]
        );
        assert_eq!(
            values(&figures.licenses),
            [(String::new(), 3), ("CC-BY-4.0".to_owned(), 1)]
        );
        assert_eq!(values(&figures.opt_outs), [("noai".to_owned(), 1)]);
        assert_eq!(figures.opted_out, 1);
        assert_eq!(figures.scores.len(), 2);
    }

    #[test]
    fn rare_relations_get_samples_of_their_own() {
        let mut mined = examples::mined(200);
        for (at, mined) in mined.iter_mut().enumerate() {
            mined.relation = if at < 3 { "rare" } else { "common" }.to_owned();
        }
        let config = ReportConfig {
            samples: 5,
            samples_per_relation: 2,
            ..ReportConfig::default()
        };
        let mut gathering = Gathering::new(config);
        mined.iter().for_each(|mined| gathering.add(mined));
        let samples = gathering.finish(RunFacts::default(), &[]).samples;
        let of = |relation: &str| samples.iter().filter(|sample| sample.relation == relation).count();
        assert!(of("rare") >= 2, "{samples:?}");
        assert_eq!(samples.iter().filter(|sample| !sample.extra).count(), 5);
        let numbers: Vec<usize> = samples.iter().map(|sample| sample.number).collect();
        assert_eq!(numbers, (1..=samples.len()).collect::<Vec<_>>());
        assert!(samples.iter().all(|sample| sample.extra == (sample.number > 5)));
    }

    #[test]
    fn repeated_triplets_are_shown_once_and_counted_twice() {
        let mut gathering = Gathering::new(ReportConfig::default());
        let mined = examples::mined(1).remove(0);
        gathering.add(&mined);
        gathering.add(&mined);
        let report = gathering.finish(RunFacts::default(), &[]);
        assert_eq!((report.triplets.triplets, report.samples.len()), (2, 1));
        let words = &report.words.generators[0];
        assert_eq!((words.instructions, words.measured, words.distinct.items), (2, 2, 1));
    }

    #[test]
    fn settings_are_checked() {
        let config: ReportConfig = toml::from_str("samples = 7").unwrap();
        assert_eq!(
            config,
            ReportConfig {
                samples: 7,
                ..ReportConfig::default()
            }
        );
        let error = toml::from_str::<ReportConfig>("sample = 7").unwrap_err().to_string();
        assert!(error.contains("`sample`"), "{error}");
    }
}
