//! Step `centers`: chooses the images that are the centers of clusters: those with the smallest hashes, so that any order of shards
//! gives the same. Each shard offers its smallest; one task takes the smallest of all.

use std::collections::BTreeMap;

use anyhow::{anyhow, bail};
use half::f16;
use magiclens_data::{Digest, ImageId};

use super::tables::{CENTERS, CentersRow, SAMPLE, SampleRow};
use crate::encoder::{pack, unpack};
use crate::run::Run;
use crate::stage::StageInfo;
use crate::table::{Row, TableWriter};
use crate::work::{StepInfo, Work};

const STAGE: StageInfo = StageInfo::new("centers", "images");

pub(super) static STEP: StepInfo = StepInfo {
    name: "centers",
    stages: |_| vec![STAGE],
    tasks: |run| Ok(run.config().neighbor.enabled.then_some(1)),
    run,
};

/// Clusters there may be: bounds what a shard offers and what every task reads.
const MAX_CENTERS: usize = 256;

/// Vectors by rank and image: the smallest ranks of those that were offered.
type Smallest = BTreeMap<(String, ImageId), Vec<u8>>;

fn offer(smallest: &mut Smallest, rank: String, id: ImageId, vectors: Vec<u8>) {
    smallest.insert((rank, id), vectors);
    if smallest.len() > MAX_CENTERS {
        smallest.pop_last();
    }
}

/// The images of a shard with the smallest hashes, and the number of all.
#[derive(Debug)]
pub(super) struct Sample {
    seed: u64,
    table: TableWriter<SampleRow>,
    smallest: Smallest,
    widths: Vec<usize>,
    images: u64,
}

impl Sample {
    pub(super) fn begin(work: &Work<'_>) -> anyhow::Result<Self> {
        Ok(Self {
            seed: work.config().seed,
            table: SAMPLE.create(work.store(), work.task)?,
            smallest: Smallest::default(),
            widths: Vec::new(),
            images: 0,
        })
    }

    pub(super) fn offer(&mut self, image: ImageId, vectors: &[Vec<f16>]) {
        self.images += 1;
        self.widths = vectors.iter().map(Vec::len).collect();
        let rank = Digest::of(format!("{}:{image}", self.seed)).seed();
        offer(&mut self.smallest, format!("{rank:016x}"), image, pack(vectors));
    }

    pub(super) fn publish(mut self) -> anyhow::Result<()> {
        let head = SampleRow::Head {
            widths: self.widths,
            images: self.images,
        };
        self.table.push("", &head, Vec::new())?;
        for ((rank, id), vectors) in self.smallest {
            self.table.push(rank, &SampleRow::Image(id), vectors)?;
        }
        self.table.publish()
    }
}

fn run(work: &mut Work<'_>) -> anyhow::Result<()> {
    let (mut all, mut all_widths) = (0, Vec::new());
    let mut smallest = Smallest::default();
    for shard in 0..work.shards() {
        for row in SAMPLE.read(work.store(), shard)? {
            let Row { key, value, bytes } = row?;
            match value {
                SampleRow::Head { images: 0, .. } => {}
                SampleRow::Head { widths, images } => (all, all_widths) = (all + images, widths),
                SampleRow::Image(id) => offer(&mut smallest, key, id, bytes),
            }
        }
    }
    let clusters = (all as usize)
        .div_ceil(work.config().neighbor.cluster_size)
        .clamp(1, MAX_CENTERS)
        .min(smallest.len().max(1));
    let mut table = CENTERS.create(work.store(), work.task)?;
    let head = CentersRow::Head {
        widths: all_widths,
        clusters,
    };
    table.push("", &head, Vec::new())?;
    for ((rank, id), vectors) in smallest.into_iter().take(clusters) {
        work.tally.note(STAGE, Ok(()));
        table.push(rank, &CentersRow::Image(id), vectors)?;
    }
    table.publish()
}

/// The centers of a run, as the steps after this one need them.
#[derive(Debug, Default)]
pub(super) struct Centers {
    pub(super) clusters: usize,
    /// The widths of the vectors of all encoders.
    widths: Vec<usize>,
    /// The vectors of each center, by all encoders.
    vectors: Vec<Vec<Vec<f32>>>,
}

impl Centers {
    pub(super) fn read(run: &Run) -> anyhow::Result<Self> {
        let mut centers = Self::default();
        for row in CENTERS.read(run.store(), 0)? {
            let row = row?;
            match row.value {
                CentersRow::Head { widths, clusters } => (centers.widths, centers.clusters) = (widths, clusters),
                CentersRow::Image(_) => centers.vectors.push(unpack(&row.bytes, &centers.widths)?.0),
            }
        }
        Ok(centers)
    }

    /// The place of each band's encoder among all encoders, and the vectors of the centers by it.
    pub(super) fn by_band(&self, run: &Run) -> anyhow::Result<Vec<(usize, Vec<Vec<f32>>)>> {
        let vectors = |encoder: usize| self.vectors.iter().map(|center| center[encoder].clone()).collect();
        let places = band_encoders(run)?.into_iter();
        Ok(places.map(|encoder| (encoder, vectors(encoder))).collect())
    }

    /// The widths of the vectors by the encoders of the bands; none before there were any images.
    pub(super) fn band_widths(&self, run: &Run) -> anyhow::Result<Vec<usize>> {
        let places = band_encoders(run)?.into_iter();
        Ok(places.filter_map(|encoder| self.widths.get(encoder).copied()).collect())
    }
}

/// The places of the bands' encoders among all encoders.
fn band_encoders(run: &Run) -> anyhow::Result<Vec<usize>> {
    let bands = run.config().neighbor.encoders.iter();
    bands.map(|band| encoder_place(run, &band.encoder)).collect()
}

/// The place of an encoder among all encoders.
pub(super) fn encoder_place(run: &Run, name: &str) -> anyhow::Result<usize> {
    let place = run.config().encoder.iter().position(|encoder| encoder.name == name);
    place.ok_or_else(|| anyhow!("there is no encoder `{name}`"))
}

/// The clusters of a run; 0 as long as the step is not done.
pub(super) fn count(run: &Run) -> anyhow::Result<usize> {
    if !CENTERS.exists(run.store(), 0)? {
        return Ok(0);
    }
    match CENTERS.read(run.store(), 0)?.next().transpose()?.map(|row| row.value) {
        Some(CentersRow::Head { clusters, .. }) => Ok(clusters),
        _ => bail!("the table of centers has no head\nhint: the run is damaged; mine it again"),
    }
}

/// The tasks of the step `neighbours`: one for each cluster by each encoder.
pub(super) fn cluster_tasks(run: &Run) -> anyhow::Result<usize> {
    Ok(count(run)? * run.config().neighbor.encoders.len())
}
