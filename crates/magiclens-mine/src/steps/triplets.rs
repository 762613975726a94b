//! Step `triplets`: pairs of a shard, from its pages and from the corpus, to instructions, through the gates, to triplets.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Instant;

use magiclens_data::{ImageAddress, ImageId, Provenance, Triplet, write_triplets};
use magiclens_web::DropReason;

use super::centers::cluster_tasks;
use super::tables::{NEIGHBORS, PAIRS, TRIPLETS, each_shard};
use crate::config::MineConfig;
use crate::gate::{Gate, PageInstructions};
use crate::instruct::{Writer, template};
use crate::language_model::write_instructions;
use crate::page::{Described, ImagePair, Instruction, Origin};
use crate::run::Run;
use crate::stage::{StageInfo, Tally, VERSIONS};
use crate::table::file_name;
use crate::work::{StepInfo, Work};

const NEIGHBOR_PAIRS: StageInfo = StageInfo::new("neighbour pairs", "directed pairs");
const BY_MODEL: StageInfo = StageInfo::new("instruct by model", "directed pairs");
const BY_TEMPLATE: StageInfo = StageInfo::new("instruct by template", "directed pairs");
const GATE: StageInfo = StageInfo::new("gate", "instructions");

pub(super) static STEP: StepInfo = StepInfo {
    name: "triplets",
    stages,
    tasks: each_shard,
    run,
};

fn stages(config: &MineConfig) -> Vec<StageInfo> {
    let neighbors = config.neighbor.enabled.then_some(NEIGHBOR_PAIRS);
    let model = config.instruct.asks_model().then_some(BY_MODEL);
    let optional = neighbors.into_iter().chain(model);
    optional.chain([BY_TEMPLATE, GATE]).collect()
}

fn run(work: &mut Work<'_>) -> anyhow::Result<()> {
    let mut writing = Writing::begin(work)?;
    for row in PAIRS.read(work.store(), work.task)? {
        let pair = row?.value;
        if writing.is_new(&pair) {
            writing.take(work, pair)?;
        }
    }
    let is_enabled = work.config().neighbor.enabled;
    let tasks = if is_enabled { cluster_tasks(work.run)? } else { 0 };
    for row in NEIGHBORS.received(work.store(), tasks, work.task) {
        let pair = row?.value;
        let decision = match writing.is_new(&pair) {
            true => Ok(pair),
            false => Err(DropReason("found before")),
        };
        if let Some(pair) = work.tally.decide(NEIGHBOR_PAIRS, decision) {
            writing.take(work, pair)?;
        }
    }
    writing.finish(work)
}

/// The encoders with the digests of their weights, and the model that described the images.
fn model_names(run: &Run) -> anyhow::Result<Vec<String>> {
    let caption = run.config().caption.iter();
    let captioner = caption.map(|caption| format!("caption:{}", caption.model.model));
    Ok(run.models()?.into_iter().chain(captioner).collect())
}

/// Pairs on their way to triplets. One instruction about one query image is one triplet, however many images answer it.
struct Writing<'a> {
    config: &'a MineConfig,
    gate: Gate,
    models: Vec<String>,
    seen: HashSet<(ImageId, ImageId)>,
    /// Pairs that wait together for the model.
    waiting: Vec<ImagePair>,
    /// The page at work, and the instructions for its pairs.
    page: String,
    of_page: PageInstructions,
    triplets: BTreeMap<(ImageId, String), Triplet>,
}

impl<'a> Writing<'a> {
    fn begin(work: &Work<'a>) -> anyhow::Result<Self> {
        Ok(Self {
            config: work.config(),
            gate: Gate::new(work.config().gate.clone()),
            models: model_names(work.run)?,
            seen: HashSet::new(),
            waiting: Vec::new(),
            page: String::new(),
            of_page: PageInstructions::default(),
            triplets: BTreeMap::new(),
        })
    }

    fn is_new(&mut self, pair: &ImagePair) -> bool {
        self.seen.insert((pair.query.image, pair.target.image))
    }

    fn take(&mut self, work: &mut Work<'_>, pair: ImagePair) -> anyhow::Result<()> {
        self.waiting.push(pair);
        match self.waiting.len() >= self.config.instruct.chunk_pairs {
            true => self.instruct(work),
            false => Ok(()),
        }
    }

    /// Instructions for the waiting pairs, through the gates, to triplets.
    fn instruct(&mut self, work: &mut Work<'_>) -> anyhow::Result<()> {
        let start = Instant::now();
        let pairs = std::mem::take(&mut self.waiting);
        let written = self.ask_model(work, &pairs)?;
        let writers = &self.config.instruct.writers;
        for (pair, instructions) in pairs.iter().zip(written) {
            if self.page != pair.query.page_url {
                self.page.clone_from(&pair.query.page_url);
                self.of_page = PageInstructions::default();
            }
            let mut passed = self.pass(&mut work.tally, pair, instructions);
            let is_fallback = writers.contains(&Writer::TemplateFallback) && passed.is_empty();
            if writers.contains(&Writer::Template) || is_fallback {
                let made = template::instruct(pair, &self.config.template, self.config.seed);
                let decision = match made.is_empty() {
                    true => Err(template::NOTHING_TO_SAY),
                    false => Ok(made),
                };
                let made = work.tally.decide(BY_TEMPLATE, decision).unwrap_or_default();
                passed.extend(self.pass(&mut work.tally, pair, made));
            }
            passed.iter().for_each(|instruction| self.add(pair, instruction));
        }
        work.tally.spend("instruct", start);
        Ok(())
    }

    /// The model's instructions for each pair; none where no model is asked, or its answer is of no use.
    fn ask_model(&self, work: &mut Work<'_>, pairs: &[ImagePair]) -> anyhow::Result<Vec<Vec<Instruction>>> {
        let asks_model = self.config.instruct.asks_model();
        let Some(writer) = self.config.writer.as_ref().filter(|_| asks_model) else {
            return Ok(vec![Vec::new(); pairs.len()]);
        };
        let answers = write_instructions(work.tools.writer(self.config)?, pairs, &writer.ask)?;
        let decide = |answer| work.tally.decide(BY_MODEL, answer).unwrap_or_default();
        Ok(answers.into_iter().map(decide).collect())
    }

    fn pass(&mut self, tally: &mut Tally, pair: &ImagePair, instructions: Vec<Instruction>) -> Vec<Instruction> {
        let mut passed: Vec<Instruction> = Vec::new();
        for instruction in instructions {
            let by_itself = self.gate.check(pair, &instruction, &passed);
            let decision = by_itself.and_then(|()| self.gate.check_page(pair, &instruction, &mut self.of_page));
            passed.extend(tally.decide(GATE, decision.map(|()| instruction)));
        }
        passed
    }

    fn add(&mut self, pair: &ImagePair, instruction: &Instruction) {
        let key = (pair.query.image, instruction.text.to_lowercase());
        let begin = || begin(pair, instruction, &self.models);
        let triplet = self.triplets.entry(key).or_insert_with(begin);
        if !triplet.targets.contains(&pair.target.image) {
            triplet.targets.push(pair.target.image);
        }
        let urls = &mut triplet.provenance.urls;
        for described in [&pair.query, &pair.target].into_iter().chain(&pair.hard_negatives) {
            urls.entry(described.image).or_insert_with(|| address(described));
        }
        for negative in &pair.hard_negatives {
            if !triplet.hard_negatives.contains(&negative.image) {
                triplet.hard_negatives.push(negative.image);
            }
        }
    }

    /// Publishes the triplets in the order of query and instruction, so that nothing depends on the order of work.
    fn finish(mut self, work: &mut Work<'_>) -> anyhow::Result<()> {
        self.instruct(work)?;
        let triplets: Vec<Triplet> = self.triplets.into_values().map(finished).collect();
        work.tally.count("triplets", triplets.len());
        let targets = triplets.iter().map(|triplet| triplet.targets.len()).sum();
        work.tally.count("targets", targets);
        let new = work.store().create(&file_name(TRIPLETS, work.task))?;
        write_triplets(new.path(), &triplets)?;
        new.publish()
    }
}

fn finished(mut triplet: Triplet) -> Triplet {
    triplet.targets.sort_unstable();
    triplet.hard_negatives.sort_unstable();
    let (query, targets) = (triplet.query, &triplet.targets);
    let is_wrong = |id: &ImageId| *id != query && !targets.contains(id);
    triplet.hard_negatives.retain(is_wrong);
    let licenses = triplet.provenance.urls.values().map(|address| address.license.as_str());
    let licenses: BTreeSet<&str> = licenses.filter(|license| !license.is_empty()).collect();
    triplet.provenance.license = licenses.into_iter().collect::<Vec<_>>().join(" AND ");
    triplet
}

fn begin(pair: &ImagePair, instruction: &Instruction, models: &[String]) -> Triplet {
    let mut models = models.to_vec();
    if let Some(model) = instruction.generator.strip_prefix("model:") {
        models.push(format!("writer:{model}"));
    }
    let page = match pair.origin {
        Origin::Page => pair.query.page_url.clone(),
        Origin::Neighbor(_) => String::new(),
    };
    Triplet {
        query: pair.query.image,
        second: None,
        instruction: instruction.text.clone(),
        targets: Vec::new(),
        relation: instruction.relation.clone(),
        hard_negatives: Vec::new(),
        provenance: Provenance {
            source: pair.query.page_url.clone(),
            generator: instruction.generator.clone(),
            license: String::new(),
            models,
            scores: pair.scores.clone(),
            page,
            urls: BTreeMap::new(),
            prompt: instruction.prompt.clone(),
            stages: VERSIONS.map(|(name, version)| (name.to_owned(), version)).into(),
        },
    }
}

fn address(described: &Described) -> ImageAddress {
    ImageAddress {
        url: described.url.clone(),
        page: described.page_url.clone(),
        license: described.license.clone(),
        opt_outs: described.opt_outs.clone(),
    }
}
