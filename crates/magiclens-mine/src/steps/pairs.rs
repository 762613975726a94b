//! Step `pairs`: applies the verdicts on copies to the groups of a shard, makes pairs of what remains, and sends each image to its
//! clusters.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Instant;

use anyhow::anyhow;
use magiclens_data::ImageId;

use crate::duplicate::Verdict;
use crate::encoder::unpack;
use crate::neighbor::clusters_of;
use crate::page::{Described, ImagePair};
use crate::pair::{Band, Scored, backwards, choose, pairs};
use crate::rows::{self, Row, Shuffle, TableWriter};
use crate::run::{Work, table_name};
use crate::steps::{Group, centers, folder};
use magiclens_web::DropReason;

pub(crate) fn run(work: &mut Work<'_>) -> anyhow::Result<()> {
    let verdicts = Verdicts::read(work)?;
    let config = work.run.config();
    let encoder = |name: &str| {
        let found = config.encoder.iter().position(|encoder| encoder.name == name);
        found.ok_or_else(|| anyhow!("there is no encoder `{name}`"))
    };
    let (image, text) = (
        encoder(&config.pair.image_encoder)?,
        encoder(&config.pair.text_encoder)?,
    );
    let mut clusters = config.neighbor.enabled.then(|| Clusters::read(work)).transpose()?;
    let local = work.run.store().local(&table_name(folder::PAGES, work.task))?;
    work.publish_table(folder::PAIRS, |work, writer| {
        for row in rows::read(local.path())? {
            let row = row?;
            let Some(group) = Kept::new(work, row.parse()?, &row.bytes, &verdicts)? else {
                continue;
            };
            if let Some(clusters) = &mut clusters {
                clusters.send(work, &group)?;
            }
            write_pairs(work, &group, (image, text), &verdicts, writer)?;
        }
        Ok(())
    })?;
    clusters.map_or(Ok(()), |clusters| {
        work.publish_shuffle(folder::MEMBERS, clusters.members)
    })
}

/// What the buckets say of this shard's images and pages.
#[derive(Default)]
struct Verdicts {
    dropped: HashMap<ImageId, DropReason>,
    overlapping: HashSet<String>,
    /// Pages that another shard keeps.
    again: HashSet<String>,
    /// Images that stand on several pages, with those pages in order.
    pages: HashMap<ImageId, BTreeSet<String>>,
}

impl Verdicts {
    fn read(work: &Work<'_>) -> anyhow::Result<Self> {
        let mut verdicts = Self::default();
        for bucket in 0..work.run.config().duplicate.buckets {
            let local = work.run.store().local(&table_name(folder::VERDICTS, bucket))?;
            for row in rows::received(local.path(), work.task)? {
                verdicts.add(row?.parse()?);
            }
        }
        Ok(verdicts)
    }

    fn add(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::TooManyPages(id) => {
                self.dropped.insert(id, DropReason("on too many pages"));
            }
            Verdict::CopyOf(id, _) => {
                self.dropped
                    .entry(id)
                    .or_insert(DropReason("near-copy on another page"));
            }
            Verdict::Pages(id, pages) => {
                self.pages.insert(id, pages.into_iter().collect());
            }
            Verdict::CrawledAgain(page) => {
                self.again.insert(page);
            }
            Verdict::Overlaps(page, _) => {
                self.overlapping.insert(page);
            }
        }
    }

    /// Whether an earlier page shows both images, so that the pair is that page's.
    fn is_of_earlier_page(&self, pair: &ImagePair, page: &str) -> bool {
        let pages = |id: ImageId| self.pages.get(&id);
        match (pages(pair.query.image), pages(pair.target.image)) {
            (Some(a), Some(b)) => a
                .intersection(b)
                .any(|other| other.as_str() < page && !self.overlapping.contains(other)),
            _ => false,
        }
    }
}

/// A group after the verdicts.
struct Kept {
    page: String,
    images: Vec<(Described, Vec<Vec<f32>>)>,
}

impl Kept {
    fn new(work: &mut Work<'_>, group: Group, bytes: &[u8], verdicts: &Verdicts) -> anyhow::Result<Option<Self>> {
        if verdicts.overlapping.contains(&group.page) {
            work.tally.drop("overlap", DropReason("shows what another page shows"));
            return Ok(None);
        }
        if verdicts.again.contains(&group.page) {
            work.tally.drop("overlap", DropReason("crawled again"));
            return Ok(None);
        }
        work.tally.keep("overlap", 1);
        let mut kept = Self {
            page: group.page,
            images: Vec::new(),
        };
        let mut rest = bytes;
        for described in group.images {
            let (vectors, after) = unpack(rest, &group.widths)?;
            rest = after;
            match verdicts.dropped.get(&described.image) {
                Some(&reason) => work.tally.drop("copies in the corpus", reason),
                None => {
                    work.tally.keep("copies in the corpus", 1);
                    kept.images.push((described, vectors));
                }
            }
        }
        if kept.images.len() < work.run.config().group.min_images {
            work.tally.drop("group again", DropReason("too few pictures"));
            return Ok(None);
        }
        work.tally.keep("group again", 1);
        Ok(Some(kept))
    }
}

fn write_pairs(
    work: &mut Work<'_>,
    group: &Kept,
    (image, text): (usize, usize),
    verdicts: &Verdicts,
    writer: &mut TableWriter,
) -> anyhow::Result<()> {
    let start = Instant::now();
    let config = &work.run.config().pair;
    let scored = |(described, vectors): &(Described, Vec<Vec<f32>>)| Scored {
        described: described.clone(),
        image: vectors[image].clone(),
        text: vectors[text].clone(),
    };
    let mut candidates = pairs(&group.images.iter().map(scored).collect::<Vec<_>>());
    candidates.retain(|pair| {
        let is_theirs = verdicts.is_of_earlier_page(pair, &group.page);
        if is_theirs {
            work.tally.drop("pair", DropReason("pair of an earlier page"));
        }
        !is_theirs
    });
    let in_band = work.tally.run(&Band(config), candidates);
    let candidates = in_band.len();
    let chosen = choose(in_band, config);
    work.tally.keep("choose", chosen.len() as u64);
    for _ in chosen.len()..candidates {
        work.tally
            .drop("choose", DropReason("page or picture has better pairs"));
    }
    for pair in &chosen {
        writer.push(Row::new(&group.page, pair, Vec::new())?)?;
        if config.both_directions {
            writer.push(Row::new(&group.page, &backwards(pair), Vec::new())?)?;
        }
    }
    work.tally.spend("choose", start.elapsed().as_secs_f64());
    Ok(())
}

/// The centers, and the images on their way to them.
struct Clusters {
    /// For each band of the configuration: the encoder's place, and its vector of each center.
    bands: Vec<(usize, Vec<Vec<f32>>)>,
    members: Shuffle,
    sent: BTreeMap<ImageId, ()>,
}

impl Clusters {
    fn read(work: &Work<'_>) -> anyhow::Result<Self> {
        let config = work.run.config();
        let centers = centers::read(work.run)?;
        let band = |name: &str| {
            let encoder = config.encoder.iter().position(|encoder| encoder.name == name);
            let encoder = encoder.ok_or_else(|| anyhow!("there is no encoder `{name}`"))?;
            anyhow::Ok((encoder, centers.iter().map(|center| center[encoder].clone()).collect()))
        };
        Ok(Self {
            bands: config
                .neighbor
                .encoders
                .iter()
                .map(|found| band(&found.encoder))
                .collect::<anyhow::Result<_>>()?,
            members: Shuffle::default(),
            sent: BTreeMap::new(),
        })
    }

    /// Sends each image of a group, once a shard, to its clusters by every encoder.
    fn send(&mut self, work: &Work<'_>, group: &Kept) -> anyhow::Result<()> {
        let per_image = work.run.config().neighbor.clusters_per_image;
        for (described, vectors) in &group.images {
            if self.sent.insert(described.image, ()).is_some() {
                continue;
            }
            let halves = |vector: &Vec<f32>| vector.iter().map(|&value| half::f16::from_f32(value)).collect();
            let of_bands: Vec<Vec<half::f16>> = self
                .bands
                .iter()
                .map(|(encoder, _)| halves(&vectors[*encoder]))
                .collect();
            let bytes = crate::encoder::pack(&of_bands);
            for (band, (encoder, centers)) in self.bands.iter().enumerate() {
                let vector = &vectors[*encoder];
                // An image without words is near to nothing by its words.
                if vector.iter().all(|value| *value == 0.0) {
                    continue;
                }
                for (rank, cluster) in clusters_of(vector, centers, per_image).into_iter().enumerate() {
                    let destination = band * centers.len() + cluster;
                    let member = (described, rank == 0);
                    let row = Row::new(described.image.to_string(), &member, bytes.clone())?;
                    self.members.send(destination, row);
                }
            }
        }
        Ok(())
    }
}
