//! The steps of a run, one file each: what a task reads, which stages it runs, what it publishes. [`STEPS`] lists them.

mod centers;
mod duplicates;
mod fetch;
mod image_files;
mod neighbors;
mod pages;
mod pairs;
mod reading;
pub(crate) mod tables;
mod triplets;

use std::fmt;
use std::str::FromStr;

use anyhow::anyhow;
use serde::{Deserialize, Serialize};

pub(crate) use self::fetch::may_come_now;
use crate::config::MineConfig;
use crate::run::Run;
use crate::stage::StageInfo;
use crate::work::{StepInfo, Work};

/// All steps, in their order; each needs the whole of those before it.
static STEPS: [&StepInfo; 7] = [
    &fetch::STEP,
    &pages::STEP,
    &duplicates::STEP,
    &centers::STEP,
    &pairs::STEP,
    &neighbors::STEP,
    &triplets::STEP,
];

/// A step of a run.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Step(&'static StepInfo);

impl Step {
    /// Fetches images that the pages show and the input lacks.
    pub const FETCH: Self = Self(&fetch::STEP);
    /// Pairs to instructions to triplets; the last step.
    pub const TRIPLETS: Self = Self(&triplets::STEP);

    /// All steps, in their order.
    pub fn all() -> impl Iterator<Item = Self> {
        STEPS.iter().map(|step| Self(step))
    }

    /// The name in files and commands.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// The stages that a configuration uses, in order.
    pub fn stages(self, config: &MineConfig) -> Vec<StageInfo> {
        (self.0.stages)(config)
    }

    pub(crate) fn tasks(self, run: &Run) -> anyhow::Result<Option<usize>> {
        (self.0.tasks)(run)
    }

    pub(crate) fn run(self, work: &mut Work<'_>) -> anyhow::Result<()> {
        (self.0.run)(work)
    }
}

impl PartialEq for Step {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Step {}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<Step> for String {
    fn from(step: Step) -> Self {
        step.name().to_owned()
    }
}

impl TryFrom<String> for Step {
    type Error = anyhow::Error;

    fn try_from(name: String) -> anyhow::Result<Self> {
        name.parse()
    }
}

impl FromStr for Step {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        Self::all().find(|step| step.name() == name).ok_or_else(|| {
            let names: Vec<&str> = Self::all().map(Self::name).collect();
            anyhow!("`{name}` is no step\nhint: the steps are {}", names.join(", "))
        })
    }
}
