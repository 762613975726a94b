//! Step `centers`: which images are the centers of clusters: those with the smallest hashes, so that any order of shards
//! gives the same. Each shard offers its smallest; one task takes the smallest of all.

use std::collections::BTreeMap;

use half::f16;
use magiclens_data::ImageId;
use serde::{Deserialize, Serialize};

use crate::config::MineConfig;
use crate::duplicate::hash;
use crate::encoder::{pack, unpack};
use crate::page::Described;
use crate::rows::{self, Row};
use crate::run::{Run, Work, table_name};
use crate::steps::folder;

/// Clusters there may be: bounds what a shard offers and what every task reads.
const MAX_CENTERS: usize = 256;

/// The images of a shard with the smallest hashes, and how many there are.
#[derive(Debug)]
pub(crate) struct Sample {
    seed: u64,
    smallest: BTreeMap<(u64, ImageId), Vec<u8>>,
    widths: Vec<usize>,
    images: u64,
    enabled: bool,
}

#[derive(Serialize, Deserialize)]
struct SampleHead {
    widths: Vec<usize>,
    #[serde(rename = "pictures")]
    images: u64,
}

#[derive(Serialize, Deserialize)]
struct CentersHead {
    widths: Vec<usize>,
    clusters: usize,
}

impl Sample {
    pub(crate) fn new(config: &MineConfig) -> Self {
        Self {
            seed: config.seed,
            smallest: BTreeMap::new(),
            widths: Vec::new(),
            images: 0,
            enabled: config.neighbor.enabled,
        }
    }

    pub(crate) fn offer(&mut self, described: &Described, vectors: &[Vec<f16>]) -> anyhow::Result<()> {
        self.images += 1;
        let rank = hash(&format!("{}:{}", self.seed, described.image));
        self.widths = vectors.iter().map(Vec::len).collect();
        self.smallest.insert((rank, described.image), pack(vectors));
        if self.smallest.len() > MAX_CENTERS {
            self.smallest.pop_last();
        }
        Ok(())
    }

    pub(crate) fn publish(self, work: &mut Work<'_>) -> anyhow::Result<()> {
        if !self.enabled {
            return Ok(());
        }
        work.publish_table(folder::SAMPLE, |_, writer| {
            let head = SampleHead {
                widths: self.widths,
                images: self.images,
            };
            writer.push(Row::new("", &head, Vec::new())?)?;
            let rows = self.smallest.into_iter();
            rows.map(|((rank, id), bytes)| Row::new(format!("{rank:016x}"), &id, bytes))
                .try_for_each(|row| writer.push(row?))
        })
    }
}

pub(crate) fn run(work: &mut Work<'_>) -> anyhow::Result<()> {
    let (mut images, mut widths) = (0, Vec::new());
    let mut smallest: BTreeMap<(String, String), Row> = BTreeMap::new();
    for shard in 0..work.run.entries().len() {
        let local = work.run.store().local(&table_name(folder::SAMPLE, shard))?;
        let mut rows = rows::read(local.path())?;
        let Some(head) = rows.next() else { continue };
        let head: SampleHead = head?.parse()?;
        images += head.images;
        if !head.widths.is_empty() {
            widths = head.widths;
        }
        for row in rows {
            let row = row?;
            smallest.insert((row.key.clone(), row.value.clone()), row);
            if smallest.len() > MAX_CENTERS {
                smallest.pop_last();
            }
        }
    }
    let config = &work.run.config().neighbor;
    let clusters = (images as usize)
        .div_ceil(config.cluster_size)
        .clamp(1, MAX_CENTERS)
        .min(smallest.len().max(1));
    work.tally.keep("centers", clusters as u64);
    work.publish_table(folder::CENTERS, |_, writer| {
        writer.push(Row::new("", &CentersHead { widths, clusters }, Vec::new())?)?;
        smallest
            .into_values()
            .take(clusters)
            .try_for_each(|row| writer.push(row))
    })
}

/// The clusters of a run; 0 as long as the step is not done.
pub(crate) fn count(run: &Run) -> anyhow::Result<usize> {
    let name = table_name(folder::CENTERS, 0);
    if !run.store().exists(&name)? {
        return Ok(0);
    }
    let local = run.store().local(&name)?;
    let head = rows::read(local.path())?.next();
    Ok(head
        .transpose()?
        .map(|row| row.parse::<CentersHead>())
        .transpose()?
        .map_or(0, |head| head.clusters))
}

/// The widths of the vectors of the encoders that find neighbors, in the order of their bands.
pub(crate) fn widths(run: &Run) -> anyhow::Result<Vec<usize>> {
    let local = run.store().local(&table_name(folder::CENTERS, 0))?;
    let head: Option<CentersHead> = rows::read(local.path())?
        .next()
        .transpose()?
        .map(|row| row.parse())
        .transpose()?;
    let widths = head.map(|head| head.widths).unwrap_or_default();
    let config = run.config();
    let place = |name: &str| config.encoder.iter().position(|encoder| encoder.name == name);
    let bands = config.neighbor.encoders.iter();
    Ok(bands
        .filter_map(|band| widths.get(place(&band.encoder)?).copied())
        .collect())
}

/// The centers: for each the vectors of all encoders.
pub(crate) fn read(run: &Run) -> anyhow::Result<Vec<Vec<Vec<f32>>>> {
    let local = run.store().local(&table_name(folder::CENTERS, 0))?;
    let mut rows = rows::read(local.path())?;
    let Some(head) = rows.next() else {
        return Ok(Vec::new());
    };
    let head: CentersHead = head?.parse()?;
    rows.map(|row| Ok(unpack(&row?.bytes, &head.widths)?.0)).collect()
}
