//! Step `neighbors`: the images of one cluster by one encoder, each paired with its nearest; pairs go to the query's shard.

use std::time::Instant;

use crate::encoder::unpack;
use crate::neighbor::{Member, neighbor_pairs};
use crate::rows::{self, Row, Shuffle};
use crate::run::{Work, table_name};
use crate::steps::{centers, folder};
use magiclens_web::DropReason;

pub(crate) fn run(work: &mut Work<'_>) -> anyhow::Result<()> {
    let start = Instant::now();
    let config = &work.run.config().neighbor;
    let clusters = centers::count(work.run)?.max(1);
    let widths = centers::widths(work.run)?;
    let mut members = Vec::new();
    for shard in 0..work.run.entries().len() {
        let local = work.run.store().local(&table_name(folder::MEMBERS, shard))?;
        for row in rows::received(local.path(), work.task)? {
            let row = row?;
            // Clusters differ in size; what does not fit is counted, not held.
            if members.len() >= config.max_cluster_size {
                work.tally.drop("cluster", DropReason("cluster has more pictures"));
                continue;
            }
            let (vectors, _) = unpack(&row.bytes, &widths)?;
            let (described, is_home) = row.parse()?;
            members.push(Member {
                described,
                is_home,
                vectors,
            });
        }
    }
    work.tally.keep("cluster", members.len() as u64);
    let mut shuffle = Shuffle::default();
    let mut pairs = 0;
    for pair in neighbor_pairs(&members, work.task / clusters, config) {
        pairs += 1;
        shuffle.send(
            pair.query.shard,
            Row::new(pair.query.image.to_string(), &pair, Vec::new())?,
        );
    }
    work.tally.keep("neighbours", pairs);
    work.tally.spend("neighbours", start.elapsed().as_secs_f64());
    work.publish_shuffle(folder::NEIGHBORS, shuffle)
}
