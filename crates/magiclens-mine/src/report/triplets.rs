//! Counts of triplets and fair samples. Triplets come one by one and in any order.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use magiclens_data::{Digest, ImageId, Provenance, Triplet};
use serde::{Deserialize, Serialize};
use url::Url;

use super::counts::{Counter, Counts, Draw, draw_key, rounded};
use super::funnel::FunnelStep;
use super::words::WordCollector;
use super::{MiningReport, ReportConfig, RunFacts, SCHEMA, Sample};

/// Counts of the triplets of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct TripletMetrics {
    pub(super) triplets: u64,
    pub(super) targets: u64,
    pub(super) hard_negatives: u64,
    /// Different images that are a query or a target.
    #[serde(rename = "pictures")]
    pub(super) images: u64,
    /// Different sources: the pages of the queries, or the packages.
    pub(super) pages: u64,
    /// Triplets whose pages state some opt-out.
    pub(super) opted_out: u64,
    /// Triplets by the value of a field, see [`values`]; "" is none.
    #[serde(flatten)]
    pub(super) counts: BTreeMap<String, Counts>,
    /// The scores of the triplets, by name.
    pub(super) scores: Vec<ScoreHistogram>,
}

/// The values that triplets are counted by, and the name of their counts: the host of the query's page (of saved pages the first
/// folder, else the source itself), the relation, the generator (each template for itself), and so on.
fn values(triplet: &Triplet) -> Vec<(&'static str, String)> {
    let provenance = &triplet.provenance;
    let mut values = vec![
        ("hosts", host(&provenance.source)),
        ("relations", triplet.relation.clone()),
        ("generators", provenance.generator.clone()),
        ("prompts", provenance.prompt.clone()),
        ("origins", origin(provenance).to_owned()),
        ("licences", provenance.license.clone()),
    ];
    let models: BTreeSet<&String> = provenance.models.iter().collect();
    values.extend(models.into_iter().map(|model| ("models", model.clone())));
    let wishes = opt_outs(provenance).into_iter();
    values.extend(wishes.map(|wish| ("opt_outs", wish.to_owned())));
    values
}

/// The distribution of one score.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct ScoreHistogram {
    pub(super) score: String,
    pub(super) values: u64,
    /// Values that are not finite; nothing below counts them.
    pub(super) undefined: u64,
    /// None without values, as `min` and `max`.
    pub(super) mean: Option<f64>,
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
    /// Values from -1 to 1 in [`BINS`] bins, each without its upper end but the last; what lies beyond counts in the first or last.
    pub(super) bins: Vec<u64>,
}

/// Bins of a [`ScoreHistogram`], 0.05 wide.
pub(super) const BINS: usize = 40;

/// Samples of each relation; those that the fair sample lacks are drawn besides.
const SAMPLES_PER_RELATION: usize = 6;

/// Collects the triplets of a run.
#[derive(Debug)]
pub(super) struct TripletCollector {
    config: ReportConfig,
    metrics: TripletMetrics,
    images: HashSet<ImageId>,
    pages: HashSet<String>,
    counters: BTreeMap<&'static str, Counter>,
    scores: BTreeMap<String, Scores>,
    words: WordCollector,
    drawn: Draw<Triplet>,
    drawn_of_relations: BTreeMap<String, Draw<Triplet>>,
}

impl TripletCollector {
    pub(super) fn new(config: ReportConfig) -> Self {
        Self {
            config,
            metrics: TripletMetrics::default(),
            images: HashSet::new(),
            pages: HashSet::new(),
            counters: BTreeMap::new(),
            scores: BTreeMap::new(),
            words: WordCollector::default(),
            drawn: Draw::new(config.samples),
            drawn_of_relations: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, triplet: &Triplet) {
        let provenance = &triplet.provenance;
        self.metrics.triplets += 1;
        self.metrics.targets += triplet.targets.len() as u64;
        self.metrics.hard_negatives += triplet.hard_negatives.len() as u64;
        self.metrics.opted_out += u64::from(!opt_outs(provenance).is_empty());
        self.images.insert(triplet.query);
        self.images.extend(&triplet.targets);
        self.pages.insert(provenance.source.clone());
        for (name, value) in values(triplet) {
            self.counters.entry(name).or_default().add(&value);
        }
        for (name, &value) in &provenance.scores {
            self.scores.entry(name.clone()).or_default().add(value);
        }
        let key = key(self.config.seed, triplet);
        self.words.add(&provenance.generator, key, &triplet.instruction);
        self.drawn.offer(key, || triplet.clone());
        let of_relation = self.drawn_of_relations.entry(triplet.relation.clone());
        let of_relation = of_relation.or_insert_with(|| Draw::new(SAMPLES_PER_RELATION));
        of_relation.offer(key, || triplet.clone());
    }

    /// The report, with the steps in the order of the run.
    pub(super) fn finish(self, run: RunFacts, steps: Vec<FunnelStep>) -> MiningReport {
        let samples = self.samples();
        let counts = self.counters.into_iter();
        let counts = counts.map(|(name, counter)| (name.to_owned(), counter.finish()));
        let scores = self.scores.into_iter().map(|(name, scores)| scores.finish(name));
        MiningReport {
            schema: SCHEMA.to_owned(),
            problems: steps.iter().flat_map(FunnelStep::problems).collect(),
            run,
            steps,
            triplets: TripletMetrics {
                images: self.images.len() as u64,
                pages: self.pages.len() as u64,
                counts: counts.collect(),
                scores: scores.collect(),
                ..self.metrics
            },
            words: self.words.finish(),
            config: self.config,
            samples,
        }
    }

    /// The fair sample, and more of the relations that have too few in it.
    fn samples(&self) -> Vec<Sample> {
        let mut drawn: Vec<(&Triplet, bool)> = self.drawn.items().map(|triplet| (triplet, false)).collect();
        for (relation, of_relation) in &self.drawn_of_relations {
            let known = |triplet: &&Triplet| self.drawn.items().any(|other| other == *triplet);
            let of_sample = self.drawn.items().filter(|triplet| triplet.relation == *relation);
            let missing = SAMPLES_PER_RELATION.saturating_sub(of_sample.count());
            let more = of_relation.items().filter(|triplet| !known(triplet)).take(missing);
            drawn.extend(more.map(|triplet| (triplet, true)));
        }
        let sample = |(number, (triplet, extra)): (usize, (&Triplet, bool))| sample(triplet.clone(), number, extra);
        (1..).zip(drawn).map(sample).collect()
    }
}

/// Values of one score.
#[derive(Debug, Default)]
struct Scores {
    values: Vec<f64>,
    undefined: u64,
}

impl Scores {
    fn add(&mut self, value: f64) {
        if value.is_finite() {
            self.values.push(value);
        } else {
            self.undefined += 1;
        }
    }

    fn finish(mut self, score: String) -> ScoreHistogram {
        // The sum must not depend on the order of the triplets.
        self.values.sort_by(f64::total_cmp);
        let mut bins = vec![0; BINS];
        for value in &self.values {
            let bin = (value + 1.0) * (BINS as f64 / 2.0);
            bins[(bin.max(0.0) as usize).min(BINS - 1)] += 1;
        }
        let mean = self.values.iter().sum::<f64>() / self.values.len() as f64;
        ScoreHistogram {
            score,
            values: self.values.len() as u64,
            undefined: self.undefined,
            mean: self.values.first().map(|_| rounded(mean)),
            min: self.values.first().map(|&min| rounded(min)),
            max: self.values.last().map(|&max| rounded(max)),
            bins,
        }
    }
}

/// Of the triplet itself, not of its place.
fn key(seed: u64, triplet: &Triplet) -> Digest {
    let targets: Vec<u8> = triplet.targets.iter().flat_map(|target| target.to_bytes()).collect();
    let parts = [
        &triplet.query.to_bytes()[..],
        &targets,
        triplet.instruction.as_bytes(),
        triplet.relation.as_bytes(),
        triplet.provenance.generator.as_bytes(),
        triplet.provenance.source.as_bytes(),
    ];
    draw_key(seed, &parts)
}

/// The origin of the pair: a mined triplet names the page if its images share one.
fn origin(provenance: &Provenance) -> &'static str {
    match (provenance.page.is_empty(), provenance.urls.is_empty()) {
        (false, _) => "one page",
        (true, false) => "neighbours",
        (true, true) => "",
    }
}

/// The opt-outs that the pages of a triplet's images state.
pub(super) fn opt_outs(provenance: &Provenance) -> BTreeSet<&str> {
    let wishes = provenance.urls.values().flat_map(|address| &address.opt_outs);
    wishes.map(String::as_str).collect()
}

fn sample(mut triplet: Triplet, number: usize, extra: bool) -> Sample {
    let scores = &mut triplet.provenance.scores;
    scores.retain(|_, score| score.is_finite());
    scores.values_mut().for_each(|score| *score = rounded(*score));
    Sample {
        number,
        extra,
        query: triplet.query,
        instruction: triplet.instruction,
        targets: triplet.targets,
        relation: triplet.relation,
        hard_negatives: triplet.hard_negatives,
        provenance: triplet.provenance,
        described: BTreeMap::new(),
    }
}

/// The source of a page, short enough to be counted by.
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
        let mut mined = examples::mined(60);
        let report = examples::collected(&mined, 10);
        mined.reverse();
        assert_eq!(examples::collected(&mined, 10), report);
        mined.rotate_left(17);
        assert_eq!(examples::collected(&mined, 10).to_json(), report.to_json());
    }

    #[test]
    fn counts_are_those_made_by_hand() {
        let metrics = examples::collected(&examples::mined(4), 10).triplets;
        // Triplet n leads from image n to n + 1; every third one to n + 2 as well: 0 to 1, 2; 1 to 2; 2 to 3; 3 to 4, 5.
        assert_eq!((metrics.triplets, metrics.targets, metrics.hard_negatives), (4, 6, 4));
        assert_eq!((metrics.images, metrics.pages, metrics.opted_out), (6, 2, 1));
        let check = |name: &str, expected: &[(&str, u64)]| {
            let values = metrics.counts[name].values.iter();
            let values: Vec<(&str, u64)> = values.map(|v| (v.value.as_str(), v.items)).collect();
            assert_eq!(values, expected);
        };
        check("hosts", &[("a.example", 2), ("b.example", 2)]);
        check("relations", &[("aspect", 3), ("variant", 1)]);
        check("licences", &[("", 3), ("CC-BY-4.0", 1)]);
        check("opt_outs", &[("noai", 1)]);
        check("origins", &[("one page", 4)]);
        let mut counter = Counter::default();
        (0..40).for_each(|n| counter.add(&(n % 35).to_string()));
        let counts = counter.finish();
        assert_eq!((counts.total, counts.others, counts.distinct), (40, 5, 35));
        assert_eq!((counts.values[0].value.as_str(), counts.values[0].items), ("0", 2));
    }

    #[test]
    fn samples_are_fair_and_show_every_relation() {
        let samples = examples::collected(&examples::mined(60), 8).samples;
        assert_eq!(samples.iter().filter(|sample| !sample.extra).count(), 8);
        for relation in ["aspect", "variant"] {
            let of_relation = samples.iter().filter(|sample| sample.relation == relation).count();
            assert!(SAMPLES_PER_RELATION <= of_relation, "{relation}");
        }
        let different: BTreeSet<&str> = samples.iter().map(|sample| sample.instruction.as_str()).collect();
        assert_eq!(different.len(), samples.len());
        let mut draw = Draw::new(5);
        (0..300_u32).for_each(|n| draw.offer(draw_key(1, &[&n.to_le_bytes()]), || n));
        let drawn: Vec<u32> = draw.items().copied().collect();
        assert_eq!(drawn.len(), 5);
        assert!(drawn.iter().any(|n| 50 < *n), "{drawn:?}");
    }

    #[test]
    fn scores_fall_into_bins() {
        let mut scores = Scores::default();
        for value in [-1.0, 0.5, 0.5, 0.51, 1.0, 1.5, -3.0, f64::NAN, f64::INFINITY] {
            scores.add(value);
        }
        let image = scores.finish("image".to_owned());
        let bins: Vec<(usize, u64)> = image.bins.iter().copied().enumerate().filter(|bin| bin.1 > 0).collect();
        // -1 is the first bin; 0.5 begins bin (0.5 + 1) * 20 = 30; 1 belongs to the last.
        assert_eq!(bins, [(0, 2), (30, 3), (39, 2)]);
        assert_eq!((image.values, image.undefined), (7, 2));
        // (-1 + 0.5 + 0.5 + 0.51 + 1 + 1.5 - 3) / 7 = 0.01 / 7
        assert_eq!(
            (image.min, image.mean, image.max),
            (Some(-3.0), Some(0.001429), Some(1.5))
        );
        assert_eq!(Scores::default().finish("text".to_owned()).mean, None);
    }
}
