//! A run: its place, its manifest, its steps, and what one task of a step does (CONVENTIONS 19).
//!
//! A task is done when its counts are published, which happens last; everything it publishes has the same bytes whoever computes
//! it, so that a task may be killed, repeated, or computed twice at once.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::config::MineConfig;
use crate::encoder::Encoders;
use crate::filter::Filters;
use crate::language_model::{Cache, ChatEndpoint, Usage};
use crate::rows::{Shuffle, TableWriter};
use crate::stage::{StageCounts, Tally};
use crate::steps;
use crate::store::Store;
use magiclens_web::fetch::Fetcher;
use magiclens_web::input::{self, Entry};

/// The versions of the stages; one is raised when its decisions change, and stands with every triplet.
pub const STAGES: &[(&str, u32)] = &[
    ("html", 1),
    ("filter", 1),
    ("clean", 1),
    ("metadata", 1),
    ("duplicate", 1),
    ("pair", 1),
    ("neighbour", 1),
    ("template", 1),
    ("gate", 1),
];

/// A step of a run. Each needs the whole of those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Fetches what the pages show and the input lacks. Task: a shard of the input.
    Fetch,
    /// Pages to groups of cleaned, described, encoded images. Task: a shard of the input.
    Pages,
    /// Copies across the corpus. Task: a bucket of sightings.
    Duplicates,
    /// The centers of clusters. One task.
    Centers,
    /// Pairs of pages, and each image to its clusters. Task: a shard of the input.
    Pairs,
    /// Pairs across the corpus. Task: a cluster by an encoder.
    #[serde(rename = "neighbours")]
    Neighbors,
    /// Pairs to instructions to triplets. Task: a shard of the input.
    Triplets,
}

/// A step and how many tasks it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepPlan {
    /// The step.
    pub step: Step,
    /// Its tasks, counted from 0.
    pub tasks: usize,
}

/// One task of a step: what a line for `magiclens mine shard` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// The step.
    pub step: Step,
    /// The task's number.
    pub task: usize,
}

/// What a task counted; the same for the same input.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskCounts {
    /// Items by stage, in the order of the stages.
    pub stages: Vec<(String, StageCounts)>,
    /// Other numbers: bytes, pages, images, ...
    pub numbers: BTreeMap<String, u64>,
}

/// What a task took; another time it takes something else.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskCost {
    /// Wall seconds by stage.
    pub seconds: BTreeMap<String, f64>,
    /// Wall seconds of the whole task.
    pub wall_seconds: f64,
    /// Seconds of all threads; of the process, so only meaningful for one task at a time.
    pub cpu_seconds: f64,
    /// The process's largest memory so far, in MiB.
    pub peak_memory_mib: f64,
    /// What models took: requests, tokens, money.
    pub usage: BTreeMap<String, Usage>,
}

/// What is fixed at the begin of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Manifest {
    config: MineConfig,
    entries: Vec<Entry>,
}

/// A run.
#[derive(Debug)]
pub struct Run {
    store: Store,
    manifest: Manifest,
}

/// What tasks compute with; loaded once a process, when first needed.
#[derive(Default)]
pub struct Tools {
    default_model: PathBuf,
    encoders: Option<Encoders>,
    filters: Option<Filters>,
    fetcher: Option<Fetcher>,
    captioner: Option<ChatEndpoint>,
    writer: Option<ChatEndpoint>,
    /// Folder of replies; none keeps none.
    reply_cache: Option<PathBuf>,
}

const MANIFEST: &str = "run.json";
/// The weights that a run was begun with.
const MODELS: &str = "models.json";

impl Run {
    /// Begins a run at `address` over `inputs`, or goes on with the run that is there.
    ///
    /// # Errors
    /// A place that holds a run of another configuration or other inputs; inputs that cannot be read.
    pub fn create(address: &str, config: &MineConfig, inputs: &[PathBuf]) -> anyhow::Result<Self> {
        config.check()?;
        // Tasks may be done from other folders than this one.
        let absolute = |input: &PathBuf| match input.to_str() {
            Some(text) if text.contains("://") => Ok(input.clone()),
            _ => std::path::absolute(input).with_context(|| format!("input `{}`", input.display())),
        };
        let inputs = inputs.iter().map(absolute).collect::<anyhow::Result<Vec<_>>>()?;
        let manifest = Manifest {
            config: config.clone(),
            entries: input::plan(&inputs, &config.input)?,
        };
        let store = Store::open(address)?;
        let bytes = serde_json::to_vec_pretty(&manifest)?;
        if store.create_exclusive(MANIFEST, &bytes)? {
            let run = Self { store, manifest };
            run.write_config()?;
            return Ok(run);
        }
        let run = Self::open(address)?;
        ensure!(
            run.manifest.config == manifest.config,
            "`{address}` holds a run with another configuration\nhint: go on with it by leaving out `--config` and inputs, or choose a new place"
        );
        ensure!(
            run.manifest.entries == manifest.entries,
            "`{address}` holds a run over other inputs ({} shards there, {} here)\nhint: go on with it by leaving out `--config` and inputs, or choose a \
             new place",
            run.manifest.entries.len(),
            manifest.entries.len()
        );
        run.write_config()?;
        Ok(run)
    }

    /// The configuration for people to read; the manifest is what counts.
    fn write_config(&self) -> anyhow::Result<()> {
        let text = toml::to_string(self.config())?;
        if !self.store.exists("config.toml")? {
            self.store.write("config.toml", text.as_bytes())?;
        }
        Ok(())
    }

    /// Fixes the weights of the run's encoders when it begins to use them.
    ///
    /// # Errors
    /// A run that was begun with other weights: their vectors do not compare.
    pub(crate) fn fix_models(&self, models: &[String]) -> anyhow::Result<()> {
        if self
            .store
            .create_exclusive(MODELS, &serde_json::to_vec_pretty(models)?)?
        {
            return Ok(());
        }
        let begun = self.models()?;
        ensure!(
            begun == models,
            "the run was begun with the weights {begun:?}, not {models:?}\nhint: name those weights with `--model`, or begin a new run"
        );
        Ok(())
    }

    /// Names and digests of the encoders' weights; none before the first pages are done.
    ///
    /// # Errors
    /// A place that cannot be read.
    pub fn models(&self) -> anyhow::Result<Vec<String>> {
        if !self.store.exists(MODELS)? {
            return Ok(Vec::new());
        }
        Ok(serde_json::from_slice(&self.store.read(MODELS)?)?)
    }

    /// Opens a run that was begun.
    ///
    /// # Errors
    /// A place without a run.
    pub fn open(address: &str) -> anyhow::Result<Self> {
        let store = Store::open(address)?;
        ensure!(
            store.exists(MANIFEST)?,
            "`{address}` holds no run\nhint: begin one with `magiclens mine plan {address} --input FILES`"
        );
        let manifest = serde_json::from_slice(&store.read(MANIFEST)?)
            .with_context(|| format!("`{address}/{MANIFEST}` is no manifest of this version\nhint: begin a new run"))?;
        Ok(Self { store, manifest })
    }

    /// Where it lives.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Its settings.
    pub fn config(&self) -> &MineConfig {
        &self.manifest.config
    }

    /// The shards of its input.
    pub fn entries(&self) -> &[Entry] {
        &self.manifest.entries
    }

    /// The steps in their order. What follows a step that is not done may have fewer tasks than it will have.
    ///
    /// # Errors
    /// A place that cannot be read.
    pub fn steps(&self) -> anyhow::Result<Vec<StepPlan>> {
        let (config, shards) = (self.config(), self.entries().len());
        let mut steps = Vec::new();
        let mut add = |step, tasks| steps.push(StepPlan { step, tasks });
        if config.fetch.allowed {
            add(Step::Fetch, shards);
        }
        add(Step::Pages, shards);
        add(Step::Duplicates, config.duplicate.buckets);
        if config.neighbor.enabled {
            add(Step::Centers, 1);
        }
        add(Step::Pairs, shards);
        if config.neighbor.enabled {
            let clusters = steps::centers::count(self)?;
            add(Step::Neighbors, clusters * config.neighbor.encoders.len());
        }
        add(Step::Triplets, shards);
        Ok(steps)
    }

    /// Whether a task's results are published.
    ///
    /// # Errors
    /// A place that cannot be read.
    pub fn is_done(&self, task: Task) -> anyhow::Result<bool> {
        Ok(self.store.exists(&counts_name(task))?)
    }

    /// Does a task and publishes its results; false if they already were.
    ///
    /// # Errors
    /// A task that the run does not have, results of earlier steps that are missing, a place that cannot be written, a model
    /// that refuses. Bad input is no error: it is counted.
    pub fn run_task(&self, task: Task, tools: &mut Tools) -> anyhow::Result<bool> {
        let steps = self.steps()?;
        let position = steps.iter().position(|plan| plan.step == task.step);
        let position = position.ok_or_else(|| anyhow!("the run has no step `{}`", task.step.name()))?;
        ensure!(
            task.task < steps[position].tasks,
            "step `{}` has {} tasks, so there is no task {}\nhint: tasks are counted from 0; some exist only when the steps before are done",
            task.step.name(),
            steps[position].tasks,
            task.task
        );
        if self.is_done(task)? {
            return Ok(false);
        }
        for before in &steps[..position] {
            self.check_done(*before)?;
        }
        let (start, cpu) = (Instant::now(), cpu_seconds());
        let mut work = Work {
            run: self,
            task: task.task,
            tally: Tally::default(),
            numbers: BTreeMap::new(),
        };
        let usage_before = tools.usage();
        match task.step {
            Step::Fetch => steps::fetch::run(&mut work, tools),
            Step::Pages => steps::pages::run(&mut work, tools),
            Step::Duplicates => steps::duplicates::run(&mut work),
            Step::Centers => steps::centers::run(&mut work),
            Step::Pairs => steps::pairs::run(&mut work),
            Step::Neighbors => steps::neighbors::run(&mut work),
            Step::Triplets => steps::triplets::run(&mut work, tools),
        }
        .with_context(|| format!("step `{}`, task {}", task.step.name(), task.task))?;
        let counts = TaskCounts {
            stages: work.tally.stages().to_vec(),
            numbers: work.numbers,
        };
        let cost = TaskCost {
            seconds: work.tally.seconds().clone(),
            wall_seconds: start.elapsed().as_secs_f64(),
            cpu_seconds: cpu_seconds() - cpu,
            peak_memory_mib: peak_memory_mib(),
            usage: tools.usage_since(&usage_before),
        };
        self.store.write(&cost_name(task), &serde_json::to_vec_pretty(&cost)?)?;
        self.store
            .write(&counts_name(task), &serde_json::to_vec_pretty(&counts)?)?;
        Ok(true)
    }

    /// What the tasks of a step counted and took, in their order.
    ///
    /// # Errors
    /// A place that cannot be read.
    pub fn results(&self, step: Step) -> anyhow::Result<Vec<(TaskCounts, TaskCost)>> {
        let folder = format!("counts/{}", step.name());
        let mut results = Vec::new();
        for name in self.store.list(&folder)? {
            let stem = name.rsplit('/').next().and_then(|name| name.strip_suffix(".json"));
            let Some(task) = stem.and_then(|stem| stem.parse().ok()) else {
                continue;
            };
            let task = Task { step, task };
            let counts = serde_json::from_slice(&self.store.read(&counts_name(task))?)?;
            let cost = serde_json::from_slice(&self.store.read(&cost_name(task))?).unwrap_or_default();
            results.push((counts, cost));
        }
        Ok(results)
    }

    /// Forgets that a task is done, so that it is done again.
    ///
    /// # Errors
    /// A place that cannot be written.
    pub fn forget(&self, task: Task) -> anyhow::Result<()> {
        if self.is_done(task)? {
            self.store.remove(&counts_name(task))?;
        }
        Ok(())
    }

    /// Removes what killed processes left behind. For the one machine that does a whole run; the files of others that
    /// are still at work are left alone.
    ///
    /// # Errors
    /// A place that cannot be written.
    pub fn clean_leftovers(&self) -> anyhow::Result<()> {
        const A_DAY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
        self.store.clean(A_DAY)?;
        Ok(())
    }

    /// Makes the run ask again for images that failed and may come now; how many shards have such.
    ///
    /// # Errors
    /// A place that cannot be read or written.
    pub fn retry_failed(&self) -> anyhow::Result<usize> {
        steps::fetch::retry(self)
    }

    fn check_done(&self, plan: StepPlan) -> anyhow::Result<()> {
        let done = self.store.list(&format!("counts/{}", plan.step.name()))?.len();
        if done < plan.tasks {
            bail!(
                "step `{}` is not done: {} of {} tasks\nhint: each step needs the whole of those before it; `magiclens mine run` does all in order",
                plan.step.name(),
                done,
                plan.tasks
            );
        }
        Ok(())
    }
}

impl Step {
    /// All steps, in their order.
    pub const ALL: [Self; 7] = [
        Self::Fetch,
        Self::Pages,
        Self::Duplicates,
        Self::Centers,
        Self::Pairs,
        Self::Neighbors,
        Self::Triplets,
    ];

    /// The name in files and commands.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Pages => "pages",
            Self::Duplicates => "duplicates",
            Self::Centers => "centers",
            Self::Pairs => "pairs",
            Self::Neighbors => "neighbours",
            Self::Triplets => "triplets",
        }
    }
}

impl std::str::FromStr for Step {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let found = Self::ALL.into_iter().find(|step| step.name() == text);
        found.ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|step| step.name()).collect();
            anyhow!("`{text}` is no step\nhint: the steps are {}", names.join(", "))
        })
    }
}

impl Tools {
    /// Nothing is loaded yet. `default_model` is the checkpoint of encoders that name none; replies of language models are kept in
    /// `reply_cache`, which any number of processes and runs may share.
    pub fn new(default_model: PathBuf, reply_cache: Option<PathBuf>) -> Self {
        Self {
            default_model,
            reply_cache,
            ..Self::default()
        }
    }

    /// The encoders.
    ///
    /// # Errors
    /// See [`Encoders::load`].
    pub fn encoders(&mut self, config: &MineConfig) -> anyhow::Result<&Encoders> {
        if self.encoders.is_none() {
            self.encoders = Some(Encoders::load(&config.encoder, &self.default_model)?);
        }
        Ok(self.encoders.as_ref().expect("just loaded"))
    }

    /// The page filters.
    ///
    /// # Errors
    /// See [`Filters::new`].
    pub fn filters(&mut self, config: &MineConfig) -> anyhow::Result<&Filters> {
        if self.filters.is_none() {
            self.filters = Some(Filters::new(&config.filter)?);
        }
        Ok(self.filters.as_ref().expect("just loaded"))
    }

    /// The fetcher.
    ///
    /// # Errors
    /// See [`Fetcher::new`].
    pub fn fetcher(&mut self, config: &MineConfig) -> anyhow::Result<&Fetcher> {
        if self.fetcher.is_none() {
            self.fetcher = Some(Fetcher::new(&config.fetch)?);
        }
        Ok(self.fetcher.as_ref().expect("just made"))
    }

    /// The model that describes images, if the configuration has one.
    ///
    /// # Errors
    /// See [`ChatEndpoint::new`].
    pub fn captioner(&mut self, config: &MineConfig) -> anyhow::Result<Option<&ChatEndpoint>> {
        if let (None, Some(caption)) = (&self.captioner, &config.caption) {
            self.captioner = Some(ChatEndpoint::new(&caption.model, self.cache())?);
        }
        Ok(self.captioner.as_ref())
    }

    /// The model that writes instructions, if the configuration has one.
    ///
    /// # Errors
    /// See [`ChatEndpoint::new`].
    pub fn writer(&mut self, config: &MineConfig) -> anyhow::Result<Option<&ChatEndpoint>> {
        if let (None, Some(writer)) = (&self.writer, &config.writer) {
            self.writer = Some(ChatEndpoint::new(&writer.model, self.cache())?);
        }
        Ok(self.writer.as_ref())
    }

    fn cache(&self) -> Option<Cache> {
        self.reply_cache.as_ref().map(Cache::new)
    }

    fn usage(&self) -> BTreeMap<String, Usage> {
        let of =
            |name: &str, model: &Option<ChatEndpoint>| model.as_ref().map(|model| (name.to_owned(), model.usage()));
        [of("caption", &self.captioner), of("writer", &self.writer)]
            .into_iter()
            .flatten()
            .collect()
    }

    fn usage_since(&self, before: &BTreeMap<String, Usage>) -> BTreeMap<String, Usage> {
        let since = |(name, usage): (String, Usage)| {
            let before = before.get(&name).copied().unwrap_or_default();
            (name, usage - before)
        };
        self.usage().into_iter().map(since).collect()
    }
}

impl std::fmt::Debug for Tools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tools")
            .field("default_model", &self.default_model)
            .field("reply_cache", &self.reply_cache)
            .finish_non_exhaustive()
    }
}

/// A task at work: what it reads, publishes and counts.
#[derive(Debug)]
pub(crate) struct Work<'a> {
    pub(crate) run: &'a Run,
    pub(crate) task: usize,
    pub(crate) tally: Tally,
    pub(crate) numbers: BTreeMap<String, u64>,
}

impl Work<'_> {
    /// Adds to a number.
    pub(crate) fn count(&mut self, name: &str, more: u64) {
        *self.numbers.entry(name.to_owned()).or_default() += more;
    }

    /// Publishes rows, written one by one.
    pub(crate) fn publish_table(
        &mut self,
        folder: &str,
        write: impl FnOnce(&mut Self, &mut TableWriter) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let new = self.run.store.create(&table_name(folder, self.task))?;
        let mut writer = TableWriter::begin(File::create(new.path())?)?;
        write(self, &mut writer)?;
        writer.finish()?;
        Ok(new.publish()?)
    }

    /// Publishes rows on their way to other tasks.
    pub(crate) fn publish_shuffle(&self, folder: &str, shuffle: Shuffle) -> anyhow::Result<()> {
        let new = self.run.store.create(&table_name(folder, self.task))?;
        shuffle.write(File::create(new.path())?)?;
        Ok(new.publish()?)
    }
}

/// The file of a task in a folder of the run.
pub(crate) fn table_name(folder: &str, task: usize) -> String {
    format!("{folder}/{task:05}.parquet")
}

fn counts_name(task: Task) -> String {
    format!("counts/{}/{:05}.json", task.step.name(), task.task)
}

fn cost_name(task: Task) -> String {
    format!("costs/{}/{:05}.json", task.step.name(), task.task)
}

/// Seconds that all threads of this process worked; 0 where the system does not say.
fn cpu_seconds() -> f64 {
    // Fields 14 and 15 of `proc(5)`'s stat, counted after the name, which may hold spaces; in hundredths of a second on Linux.
    let stat = fs_err::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

/// The largest memory of this process so far; 0 where the system does not say.
fn peak_memory_mib() -> f64 {
    let status = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
