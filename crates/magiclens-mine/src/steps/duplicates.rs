//! Step `duplicates`: one bucket of candidates from all shards, compared; decisions go back to the shards.

use super::tables::{CANDIDATES, DECISIONS};
use crate::duplicate::decide;
use crate::stage::StageInfo;
use crate::table::Row;
use crate::work::{StepInfo, Work};

const STAGE: StageInfo = StageInfo::new("candidates", "candidates");

pub(super) static STEP: StepInfo = StepInfo {
    name: "duplicates",
    stages: |_| vec![STAGE],
    tasks: |run| Ok(Some(run.config().duplicate.buckets)),
    run,
};

fn run(work: &mut Work<'_>) -> anyhow::Result<()> {
    let candidates = CANDIDATES.received(work.store(), work.shards(), work.task);
    let mut candidates: Vec<Row<_>> = candidates.collect::<anyhow::Result<_>>()?;
    candidates.iter().for_each(|_| work.tally.note(STAGE, Ok(())));
    let mut sent = DECISIONS.create(work.store(), work.task)?;
    work.tally.time(STEP.name, || {
        candidates.sort_unstable_by(|a, b| (&a.key, &a.value, &a.bytes).cmp(&(&b.key, &b.value, &b.bytes)));
        decide(&candidates, &work.run.config().duplicate, &mut sent)
    })?;
    sent.publish()
}
