//! Step `triplets`: pairs of a shard, from its pages and from the corpus, to instructions, through the gates, to triplets.

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use anyhow::anyhow;
use magiclens_data::{ImageAddress, ImageId, Provenance, Triplet, write_triplets};

use crate::gate::{Gate, Said};
use crate::instruct::{Writer, template};
use crate::language_model::write_instructions;
use crate::page::{Described, ImagePair, Instruction, Origin};
use crate::rows;
use crate::run::{Run, STAGES, Tools, Work, table_name};
use crate::steps::{centers, folder};
use magiclens_web::DropReason;

pub(crate) fn run(work: &mut Work<'_>, tools: &mut Tools) -> anyhow::Result<()> {
    let config = work.run.config();
    let context = Context {
        gate: Gate::new(config.gate.clone()),
        models: model_names(work.run)?,
    };
    let mut triplets = Triplets::default();
    let mut seen = HashSet::new();
    let mut chunk: Vec<ImagePair> = Vec::new();
    let pairs = work.run.store().local(&table_name(folder::PAIRS, work.task))?;
    for row in rows::read(pairs.path())? {
        let pair: ImagePair = row?.parse()?;
        if seen.insert((pair.query.image, pair.target.image)) {
            chunk.push(pair);
        }
        if chunk.len() >= config.instruct.chunk_pairs {
            instruct(work, tools, std::mem::take(&mut chunk), &context, &mut triplets)?;
        }
    }
    for file in neighbor_files(work.run)? {
        let local = work.run.store().local(&file)?;
        for row in rows::received(local.path(), work.task)? {
            let pair: ImagePair = row?.parse()?;
            if !seen.insert((pair.query.image, pair.target.image)) {
                work.tally.drop("neighbour pairs", DropReason("found before"));
                continue;
            }
            work.tally.keep("neighbour pairs", 1);
            chunk.push(pair);
            if chunk.len() >= config.instruct.chunk_pairs {
                instruct(work, tools, std::mem::take(&mut chunk), &context, &mut triplets)?;
            }
        }
    }
    instruct(work, tools, chunk, &context, &mut triplets)?;
    let triplets = triplets.finish(work);
    let new = work.run.store().create(&table_name(folder::TRIPLETS, work.task))?;
    write_triplets(new.path(), &triplets)?;
    Ok(new.publish()?)
}

fn neighbor_files(run: &Run) -> anyhow::Result<Vec<String>> {
    if !run.config().neighbor.enabled {
        return Ok(Vec::new());
    }
    let tasks = centers::count(run)? * run.config().neighbor.encoders.len();
    Ok((0..tasks).map(|task| table_name(folder::NEIGHBORS, task)).collect())
}

/// What all pairs of the shard share.
struct Context {
    gate: Gate,
    models: Vec<String>,
}

/// The encoders with the digests of their weights, and the model that described the images.
fn model_names(run: &Run) -> anyhow::Result<Vec<String>> {
    let captioner = run
        .config()
        .caption
        .iter()
        .map(|caption| format!("caption:{}", caption.model.model));
    Ok(run.models()?.into_iter().chain(captioner).collect())
}

/// Instructions for a chunk of pairs, through the gates.
fn instruct(
    work: &mut Work<'_>,
    tools: &mut Tools,
    pairs: Vec<ImagePair>,
    context: &Context,
    triplets: &mut Triplets,
) -> anyhow::Result<()> {
    let config = work.run.config();
    let start = Instant::now();
    let mut written: Vec<Vec<Instruction>> = vec![Vec::new(); pairs.len()];
    if config.instruct.asks_model() {
        let ask = config
            .writer
            .as_ref()
            .ok_or_else(|| anyhow!("there is no `[writer.model]`"))?;
        let model = tools
            .writer(config)?
            .ok_or_else(|| anyhow!("there is no `[writer.model]`"))?;
        for (at, answer) in write_instructions(model, &pairs, &ask.ask)?.into_iter().enumerate() {
            match answer {
                Ok(instructions) => {
                    work.tally.keep("instruct by model", 1);
                    written[at] = instructions;
                }
                Err(reason) => work.tally.drop("instruct by model", reason),
            }
        }
    }
    for (pair, mut instructions) in pairs.into_iter().zip(written) {
        if triplets.page != pair.query.page_url {
            triplets.page.clone_from(&pair.query.page_url);
            triplets.said = Said::default();
        }
        let mut passed = pass(
            work,
            context,
            &pair,
            std::mem::take(&mut instructions),
            &mut triplets.said,
        );
        let wants_template = config.instruct.writers.contains(&Writer::Template)
            || (config.instruct.writers.contains(&Writer::TemplateFallback) && passed.is_empty());
        if wants_template {
            let made = template::instruct(&pair, &config.template, config.seed);
            if made.is_empty() {
                work.tally.drop("instruct by template", template::NOTHING_TO_SAY);
            } else {
                work.tally.keep("instruct by template", 1);
            }
            passed.extend(pass(work, context, &pair, made, &mut triplets.said));
        }
        for instruction in passed {
            triplets.add(&pair, instruction, context);
        }
    }
    work.tally.spend("instruct", start.elapsed().as_secs_f64());
    Ok(())
}

fn pass(
    work: &mut Work<'_>,
    context: &Context,
    pair: &ImagePair,
    instructions: Vec<Instruction>,
    said: &mut Said,
) -> Vec<Instruction> {
    let mut passed: Vec<Instruction> = Vec::new();
    for instruction in instructions {
        let by_itself = context.gate.check(pair, &instruction, &passed);
        match by_itself.and_then(|()| context.gate.check_page(pair, &instruction, said)) {
            Ok(()) => {
                work.tally.keep("gate", 1);
                passed.push(instruction);
            }
            Err(reason) => work.tally.drop("gate", reason),
        }
    }
    passed
}

/// The triplets of a shard. One instruction about one query image is one triplet, however many images answer it.
#[derive(Default)]
struct Triplets {
    /// The page at work, and what was said of its pairs.
    page: String,
    said: Said,
    triplets: BTreeMap<(ImageId, String), Triplet>,
}

impl Triplets {
    fn add(&mut self, pair: &ImagePair, instruction: Instruction, context: &Context) {
        let key = (pair.query.image, instruction.text.to_lowercase());
        let triplet = self
            .triplets
            .entry(key)
            .or_insert_with(|| begin(pair, &instruction, context));
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

    /// In the order of query and instruction, so that nothing depends on the order of work.
    fn finish(self, work: &mut Work<'_>) -> Vec<Triplet> {
        let triplets: Vec<Triplet> = self.triplets.into_values().map(finished).collect();
        work.count("triplets", triplets.len() as u64);
        work.count(
            "targets",
            triplets.iter().map(|triplet| triplet.targets.len() as u64).sum(),
        );
        triplets
    }
}

fn finished(mut triplet: Triplet) -> Triplet {
    triplet.targets.sort_unstable();
    triplet.hard_negatives.sort_unstable();
    let (query, targets) = (triplet.query, triplet.targets.clone());
    triplet
        .hard_negatives
        .retain(|id| *id != query && !targets.contains(id));
    let licenses: std::collections::BTreeSet<String> = triplet
        .provenance
        .urls
        .values()
        .map(|address| address.license.clone())
        .filter(|license| !license.is_empty())
        .collect();
    triplet.provenance.license = licenses.into_iter().collect::<Vec<_>>().join(" AND ");
    triplet
}

fn begin(pair: &ImagePair, instruction: &Instruction, context: &Context) -> Triplet {
    let mut models = context.models.clone();
    if let Some(model) = instruction.generator.strip_prefix("model:") {
        models.push(format!("writer:{model}"));
    }
    let page = match pair.origin {
        Origin::Page => pair.query.page_url.clone(),
        Origin::Neighbor(_) => String::new(),
    };
    Triplet {
        query: pair.query.image,
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
            stages: STAGES
                .iter()
                .map(|(name, version)| ((*name).to_owned(), *version))
                .collect(),
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
