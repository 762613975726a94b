//! Step `duplicates`: one bucket of sightings from all shards, compared; verdicts go back to the shards.

use std::time::Instant;

use crate::duplicate::judge;
use crate::rows::{self, Row};
use crate::run::{Work, table_name};
use crate::steps::folder;

pub(crate) fn run(work: &mut Work<'_>) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut sightings: Vec<Row> = Vec::new();
    for shard in 0..work.run.entries().len() {
        let local = work.run.store().local(&table_name(folder::SIGHTINGS, shard))?;
        for row in rows::received(local.path(), work.task)? {
            sightings.push(row?);
        }
    }
    sightings.sort_unstable();
    work.tally.keep("sightings", sightings.len() as u64);
    let verdicts = judge(sightings, &work.run.config().duplicate)?;
    work.tally.spend("duplicates", start.elapsed().as_secs_f64());
    work.publish_shuffle(folder::VERDICTS, verdicts)
}
