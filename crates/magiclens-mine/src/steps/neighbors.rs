//! Step `neighbours`: the images of one cluster by one encoder, each paired with its nearest; pairs go to the query's shard.

use std::time::Instant;

use super::centers::{Centers, cluster_tasks};
use super::tables::{MEMBERS, NEIGHBORS};
use crate::encoder::unpack;
use crate::neighbor::{Member, neighbor_pairs};
use crate::stage::StageInfo;
use crate::work::{StepInfo, Work};

const CLUSTER: StageInfo = StageInfo::new("cluster", "images in clusters");
const STAGE: StageInfo = StageInfo::new("neighbours", "directed pairs");

pub(super) static STEP: StepInfo = StepInfo {
    name: "neighbours",
    stages: |_| vec![CLUSTER, STAGE],
    tasks: |run| run.config().neighbor.enabled.then(|| cluster_tasks(run)).transpose(),
    run,
};

fn run(work: &mut Work<'_>) -> anyhow::Result<()> {
    let start = Instant::now();
    let config = &work.config().neighbor;
    let centers = Centers::read(work.run)?;
    let widths = centers.band_widths(work.run)?;
    let members = members(work, config.max_cluster_size, &widths)?;
    let mut sent = NEIGHBORS.create(work.store(), work.task)?;
    let encoders = &work.config().encoder;
    for pair in neighbor_pairs(&members, work.task / centers.clusters.max(1), config, encoders) {
        work.tally.note(STAGE, Ok(()));
        sent.send(pair.query.shard, pair.query.image.to_string(), &pair, Vec::new())?;
    }
    work.tally.spend(STAGE.name, start);
    sent.publish()
}

/// The images of the task's cluster. Clusters differ in size; what does not fit is counted, not held.
fn members(work: &mut Work<'_>, max_cluster_size: usize, widths: &[usize]) -> anyhow::Result<Vec<Member>> {
    let mut members = Vec::new();
    for row in MEMBERS.received(work.store(), work.shards(), work.task) {
        let row = row?;
        if members.len() >= max_cluster_size {
            work.tally.note(CLUSTER, Err("cluster has more images"));
            continue;
        }
        work.tally.note(CLUSTER, Ok(()));
        let (described, is_home) = row.value;
        members.push(Member {
            described,
            is_home,
            vectors: unpack(&row.bytes, widths)?.0,
        });
    }
    Ok(members)
}
