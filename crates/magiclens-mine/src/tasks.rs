//! The tasks of a run: which there are, which are done, and the runner of one, which counts and times (CONVENTIONS 19).
//!
//! A task is done when its counts are published, which happens last; everything it publishes has the same bytes whoever computes
//! it, so that a task may be killed, repeated, or computed twice at once.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::language_model::Usage;
use crate::run::Run;
use crate::stage::{Tally, TaskCounts};
use crate::steps::{self, Step};
use crate::tools::Tools;
use crate::work::Work;

/// A step and how many tasks it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepPlan {
    /// The step.
    pub step: Step,
    /// Its tasks, counted from 0.
    pub tasks: usize,
}

/// One task of a step: a line for `magiclens mine shard`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// The step.
    pub step: Step,
    /// The task's number.
    pub task: usize,
}

/// Time, memory and money of a task; another time it takes something else.
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
    /// Use of models: requests, tokens, money.
    pub usage: BTreeMap<String, Usage>,
}

impl Run {
    /// The steps in their order. What follows a step that is not done may have fewer tasks than it will have.
    ///
    /// # Errors
    /// A place that cannot be read.
    pub fn steps(&self) -> anyhow::Result<Vec<StepPlan>> {
        let plan = |step: Step| Ok(step.tasks(self)?.map(|tasks| StepPlan { step, tasks }));
        Step::all().filter_map(|step| plan(step).transpose()).collect()
    }

    /// Whether a task's results are published.
    ///
    /// # Errors
    /// A place that cannot be read.
    pub fn is_done(&self, task: Task) -> anyhow::Result<bool> {
        self.store().exists(&counts_name(task))
    }

    /// Does a task and publishes its results; false if they already were.
    ///
    /// # Errors
    /// A task that the run does not have, results of earlier steps that are missing, a place that cannot be written, a model
    /// that refuses. Bad input is no error: it is counted.
    pub fn run_task(&self, task: Task, tools: &Tools) -> anyhow::Result<bool> {
        let steps = self.steps()?;
        let before = before(&steps, task)?;
        if self.is_done(task)? {
            return Ok(false);
        }
        self.check_done(before)?;
        let (start, cpu, usage) = (Instant::now(), cpu_seconds(), tools.usage());
        let mut work = Work {
            run: self,
            task: task.task,
            tools,
            tally: Tally::of(&task.step.stages(self.config())),
        };
        let done = task.step.run(&mut work);
        done.with_context(|| format!("step `{}`, task {}", task.step.name(), task.task))?;
        let Tally { counts, seconds } = work.tally;
        let cost = TaskCost {
            seconds,
            wall_seconds: start.elapsed().as_secs_f64(),
            cpu_seconds: cpu_seconds() - cpu,
            peak_memory_mib: peak_memory_mib(),
            usage: tools.usage_since(&usage),
        };
        let (cost, counts) = (serde_json::to_vec_pretty(&cost)?, serde_json::to_vec_pretty(&counts)?);
        self.store().write(&cost_name(task), &cost)?;
        self.store().write(&counts_name(task), &counts)?;
        Ok(true)
    }

    /// Counts and costs of the tasks of a step, in their order.
    ///
    /// # Errors
    /// A place that cannot be read.
    pub fn results(&self, step: Step) -> anyhow::Result<Vec<(TaskCounts, TaskCost)>> {
        let folder = format!("counts/{}", step.name());
        let mut results = Vec::new();
        for name in self.store().list(&folder)? {
            let stem = name.rsplit('/').next().and_then(|name| name.strip_suffix(".json"));
            let Some(task) = stem.and_then(|stem| stem.parse().ok()) else {
                continue;
            };
            let task = Task { step, task };
            let counts = serde_json::from_slice(&self.store().read(&counts_name(task))?)?;
            let cost = serde_json::from_slice(&self.store().read(&cost_name(task))?).unwrap_or_default();
            results.push((counts, cost));
        }
        Ok(results)
    }

    /// Forgets that a task is done, so that it is done again.
    ///
    /// # Errors
    /// A place that cannot be written.
    fn forget(&self, task: Task) -> anyhow::Result<()> {
        self.done().clear();
        self.store().remove(&counts_name(task))
    }

    /// Makes the run ask again for images that failed and may come now, and do again what depends on them; returns the number of
    /// shards that have such images.
    ///
    /// # Errors
    /// A place that cannot be read or written.
    pub fn retry_failed(&self) -> anyhow::Result<usize> {
        let step = Step::FETCH;
        let mut again = Vec::new();
        for task in 0..self.entries().len() {
            if steps::may_come_now(self, task)? {
                again.push(Task { step, task });
            }
        }
        if again.is_empty() {
            return Ok(0);
        }
        // What depends on it goes first: a run that is killed here does too much again, not too little.
        for plan in self.steps()?.into_iter().filter(|plan| plan.step != step).rev() {
            (0..plan.tasks).try_for_each(|task| self.forget(Task { step: plan.step, task }))?;
        }
        again.iter().try_for_each(|task| self.forget(*task))?;
        Ok(again.len())
    }

    /// Checks the last of the steps before a task: it needed the whole of those before it, and so on. Each is listed once a process.
    fn check_done(&self, before: &[StepPlan]) -> anyhow::Result<()> {
        let Some(last) = before.iter().rfind(|plan| plan.tasks > 0) else {
            return Ok(());
        };
        if self.done().contains(last.step.name()) {
            return Ok(());
        }
        let done = |plan: &StepPlan| anyhow::Ok(self.store().list(&format!("counts/{}", plan.step.name()))?.len());
        if done(last)? >= last.tasks {
            self.done().insert(last.step.name());
            return Ok(());
        }
        for plan in before {
            let done = done(plan)?;
            if done < plan.tasks {
                bail!(
                    "step `{}` is not done: {done} of {} tasks\nhint: each step needs the whole of those before it; `magiclens mine run` does all \
                     in order",
                    plan.step.name(),
                    plan.tasks
                );
            }
        }
        Ok(())
    }
}

/// The steps before a task, which must exist.
fn before(steps: &[StepPlan], task: Task) -> anyhow::Result<&[StepPlan]> {
    let name = task.step.name();
    let position = steps.iter().position(|plan| plan.step == task.step);
    let position = position.ok_or_else(|| anyhow!("the run has no step `{name}`"))?;
    let tasks = steps[position].tasks;
    ensure!(
        task.task < tasks,
        "step `{name}` has {tasks} tasks, so there is no task {}\nhint: tasks are counted from 0; some exist only when the steps before are done",
        task.task
    );
    Ok(&steps[..position])
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
    let fields = after_name.split_whitespace().skip(11).take(2);
    fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// The largest memory of this process so far; 0 where the system does not say.
fn peak_memory_mib() -> f64 {
    let status = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MineConfig;
    use crate::store::tests::LISTS;

    /// A run over `pages` saved pages, one a shard, without pairs across the corpus.
    fn run(folder: &std::path::Path, pages: usize) -> Run {
        let site = folder.join("site");
        fs_err::create_dir(&site).unwrap();
        for page in 0..pages {
            fs_err::write(site.join(format!("{page}.html")), "<p>nothing").unwrap();
        }
        let mut config = MineConfig::default();
        config.input.pages_per_shard = 1;
        config.neighbor.enabled = false;
        Run::create(folder.join("run").to_str().unwrap(), &config, &[site]).unwrap()
    }

    fn publish_counts(run: &Run, step: &str, tasks: usize) {
        for task in 0..tasks {
            run.store()
                .write(&format!("counts/{step}/{task:05}.json"), b"{}")
                .unwrap();
        }
    }

    #[test]
    fn a_task_lists_one_earlier_step_and_the_next_task_none() {
        let folder = tempfile::tempdir().unwrap();
        let run = run(folder.path(), 3);
        let steps = run.steps().unwrap();
        let [pages, duplicates, pairs, triplets] = &steps[..] else {
            panic!("{steps:?}")
        };
        publish_counts(&run, "pages", pages.tasks);
        publish_counts(&run, "duplicates", duplicates.tasks);
        publish_counts(&run, "pairs", pairs.tasks);
        let lists = |task| {
            let before = LISTS.get();
            // There are counts but no tables: the task fails behind the check.
            let step = triplets.step;
            run.run_task(Task { step, task }, &Tools::default()).unwrap_err();
            LISTS.get() - before
        };
        assert_eq!((lists(0), lists(1), lists(2)), (1, 0, 0));
    }

    #[test]
    fn the_first_step_that_is_not_done_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let run = run(folder.path(), 2);
        publish_counts(&run, "pages", 1);
        let step = "triplets".parse().unwrap();
        let error = run.run_task(Task { step, task: 0 }, &Tools::default()).unwrap_err();
        assert!(
            error.to_string().contains("step `pages` is not done: 1 of 2 tasks"),
            "{error}"
        );
    }
}
