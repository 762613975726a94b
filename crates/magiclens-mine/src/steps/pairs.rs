//! Step `pairs`: applies the decisions on copies to the groups of a shard, makes pairs of what remains, and sends each image to its
//! clusters.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Instant;

use half::f16;
use magiclens_data::ImageId;
use magiclens_web::DropReason;

use super::centers::{Centers, encoder_place};
use super::tables::{DECISIONS, GROUPS, Group, MEMBERS, PAIRS, each_shard};
use crate::duplicate::{ALL_SHARDS, Decision, PageOfShard, drops};
use crate::encoder::{pack, unpack};
use crate::neighbor::clusters_of;
use crate::page::{Described, ImagePair};
use crate::pair::{Band, Scored, ScoredPair, backwards, choose, pairs};
use crate::stage::{Stage, StageInfo};
use crate::table::{Row, ShuffleWriter, TableWriter};
use crate::work::{StepInfo, Work};

const OVERLAP: StageInfo = StageInfo::new("overlap", "pages");
const COPIES: StageInfo = StageInfo::new("copies in the corpus", "images on pages");
const GROUP: StageInfo = StageInfo::new("group again", "pages");
const CHOOSE: StageInfo = StageInfo::new("choose", "pairs");

pub(super) static STEP: StepInfo = StepInfo {
    name: "pairs",
    stages: |_| vec![OVERLAP, COPIES, GROUP, Band::INFO, CHOOSE],
    tasks: each_shard,
    run,
};

fn run(work: &mut Work<'_>) -> anyhow::Result<()> {
    let copies = Copies::read(work)?;
    let config = work.config();
    let mut pages = PagePairs {
        image: encoder_place(work.run, &config.pair.image_encoder)?,
        text: encoder_place(work.run, &config.pair.text_encoder)?,
        table: PAIRS.create(work.store(), work.task)?,
    };
    let mut clusters = config.neighbor.enabled.then(|| Clusters::begin(work)).transpose()?;
    for row in GROUPS.read(work.store(), work.task)? {
        let Some(group) = copies.apply(work, row?)? else {
            continue;
        };
        if let Some(clusters) = &mut clusters {
            clusters.send(&group, config.neighbor.clusters_per_image)?;
        }
        pages.add(work, &group, &copies)?;
    }
    pages.table.publish()?;
    clusters.map_or(Ok(()), |clusters| clusters.members.publish())
}

const OVERLAPS: DropReason = DropReason("shows what another page shows");
const CRAWLED_AGAIN: DropReason = DropReason("crawled again");

/// The decisions on the images and pages of a shard.
#[derive(Default)]
struct Copies {
    images: HashMap<ImageId, DropReason>,
    /// Pages of this shard.
    pages: HashMap<String, DropReason>,
    /// Pages that no shard keeps.
    gone: HashSet<String>,
    /// Images that stand on several pages, with those pages in order.
    shown_on: HashMap<ImageId, BTreeSet<String>>,
}

/// Images and pages with the earlier ones that they match.
#[derive(Default)]
struct Links {
    images: BTreeMap<ImageId, BTreeSet<ImageId>>,
    pages: BTreeMap<PageOfShard, BTreeSet<PageOfShard>>,
}

impl Copies {
    fn read(work: &Work<'_>) -> anyhow::Result<Self> {
        let (mut copies, mut links) = (Self::default(), Links::default());
        let buckets = work.config().duplicate.buckets;
        let received = |destination| DECISIONS.received(work.store(), buckets, destination);
        for row in received(work.task).chain(received(ALL_SHARDS)) {
            copies.add(row?.value, &mut links);
        }
        for id in drops(&links.images) {
            let reason = DropReason("near-copy on another page");
            copies.images.entry(id).or_insert(reason);
        }
        copies.drop_pages(&links.pages, work.task);
        Ok(copies)
    }

    fn add(&mut self, decision: Decision, links: &mut Links) {
        match decision {
            Decision::TooManyPages(id) => {
                self.images.insert(id, DropReason("on too many pages"));
            }
            Decision::Pages(id, pages) => {
                self.shown_on.insert(id, pages.into_iter().collect());
            }
            Decision::CopyOf(copy, of) => {
                links.images.entry(copy).or_default().insert(of);
            }
            Decision::PageLike(page, like) => {
                links.pages.entry(page).or_default().insert(like);
            }
            Decision::CrawledAgain(page) => {
                self.pages.insert(page, CRAWLED_AGAIN);
            }
            Decision::Overlaps(page, _) => {
                self.gone.insert(page.clone());
                self.pages.insert(page, OVERLAPS);
            }
        }
    }

    fn drop_pages(&mut self, links: &BTreeMap<PageOfShard, BTreeSet<PageOfShard>>, shard: usize) {
        let dropped = drops(links);
        for page in &dropped {
            let stays = links[page].iter().find(|other| !dropped.contains(other));
            let is_again = stays.is_some_and(|other| other.page == page.page);
            if !is_again {
                self.gone.insert(page.page.clone());
            }
            if page.shard == shard {
                let reason = if is_again { CRAWLED_AGAIN } else { OVERLAPS };
                self.pages.insert(page.page.clone(), reason);
            }
        }
    }

    /// The kept part of a group; `None` if nothing of it is.
    fn apply(&self, work: &mut Work<'_>, row: Row<Group>) -> anyhow::Result<Option<Kept>> {
        let group = row.value;
        let decision = self.pages.get(&group.page).map_or(Ok(()), |reason| Err(*reason));
        if work.tally.decide(OVERLAP, decision).is_none() {
            return Ok(None);
        }
        let mut images = Vec::new();
        let mut rest = row.bytes.as_slice();
        for described in group.images {
            let (vectors, after) = unpack(rest, &group.widths)?;
            rest = after;
            let decision = self.images.get(&described.image).map_or(Ok(()), |reason| Err(*reason));
            if work.tally.decide(COPIES, decision).is_some() {
                images.push((described, vectors));
            }
        }
        let decision = match images.len() < work.config().group.min_images {
            true => Err(DropReason("too few images")),
            false => Ok(Kept {
                page: group.page,
                images,
            }),
        };
        Ok(work.tally.decide(GROUP, decision))
    }

    /// Whether an earlier page shows both images, so that the pair is that page's.
    fn is_of_earlier_page(&self, pair: &ImagePair, page: &str) -> bool {
        let [query, target] = [&pair.query, &pair.target].map(|side| self.shown_on.get(&side.image));
        let is_earlier = |other: &String| other.as_str() < page && !self.gone.contains(other);
        query
            .zip(target)
            .is_some_and(|(a, b)| a.intersection(b).any(is_earlier))
    }
}

/// A group without copies, with the vectors of its images.
struct Kept {
    page: String,
    images: Vec<(Described, Vec<Vec<f32>>)>,
}

/// Keeps pairs in the band that no earlier page has.
struct OwnPairs<'a> {
    band: Band<'a>,
    page: &'a str,
    copies: &'a Copies,
}

impl Stage for OwnPairs<'_> {
    const INFO: StageInfo = Band::INFO;
    type Item = ScoredPair;
    type Output = ScoredPair;

    fn process(&self, pair: ScoredPair) -> Result<ScoredPair, DropReason> {
        if self.copies.is_of_earlier_page(&pair.pair, self.page) {
            return Err(DropReason("pair of an earlier page"));
        }
        self.band.process(pair)
    }
}

/// The pairs of pages, on their way to the table.
struct PagePairs {
    /// The encoder of images, by its place.
    image: usize,
    /// The encoder of words.
    text: usize,
    table: TableWriter<ImagePair>,
}

impl PagePairs {
    fn add(&mut self, work: &mut Work<'_>, group: &Kept, copies: &Copies) -> anyhow::Result<()> {
        let start = Instant::now();
        let config = &work.config().pair;
        let scored = |(described, vectors): &(Described, Vec<Vec<f32>>)| Scored {
            described: described.clone(),
            image: vectors[self.image].clone(),
            text: vectors[self.text].clone(),
        };
        let images: Vec<Scored> = group.images.iter().map(scored).collect();
        let own = OwnPairs {
            band: Band(config),
            page: &group.page,
            copies,
        };
        let in_band = work.tally.run(&own, pairs(&images, config, &work.run.config().encoder));
        for pair in work.tally.sift(CHOOSE, choose(in_band, config)) {
            self.table.push(&group.page, &pair, Vec::new())?;
            if config.both_directions {
                self.table.push(&group.page, &backwards(&pair), Vec::new())?;
            }
        }
        work.tally.spend(CHOOSE.name, start);
        Ok(())
    }
}

/// The centers, and the images on their way to them.
struct Clusters {
    /// For each band of the configuration: the encoder's place, and its vector of each center.
    bands: Vec<(usize, Vec<Vec<f32>>)>,
    members: ShuffleWriter<(Described, bool)>,
    sent: HashSet<ImageId>,
}

impl Clusters {
    fn begin(work: &Work<'_>) -> anyhow::Result<Self> {
        Ok(Self {
            bands: Centers::read(work.run)?.by_band(work.run)?,
            members: MEMBERS.create(work.store(), work.task)?,
            sent: HashSet::new(),
        })
    }

    /// Sends each image of a group, once a shard, to its clusters by every encoder.
    fn send(&mut self, group: &Kept, per_image: usize) -> anyhow::Result<()> {
        for (described, vectors) in &group.images {
            if !self.sent.insert(described.image) {
                continue;
            }
            let halves = |vector: &[f32]| vector.iter().map(|&value| f16::from_f32(value)).collect();
            let of_bands = self.bands.iter().map(|(encoder, _)| halves(&vectors[*encoder]));
            let bytes = pack(&of_bands.collect::<Vec<Vec<f16>>>());
            for (band, (encoder, centers)) in self.bands.iter().enumerate() {
                let vector = &vectors[*encoder];
                // An image without words is near to nothing by its words.
                if vector.iter().all(|value| *value == 0.0) {
                    continue;
                }
                for (rank, cluster) in clusters_of(vector, centers, per_image).into_iter().enumerate() {
                    let member = (described.clone(), rank == 0);
                    let destination = band * centers.len() + cluster;
                    let key = described.image.to_string();
                    self.members.send(destination, key, &member, bytes.clone())?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MineConfig;
    use crate::run::Run;
    use crate::stage::Tally;
    use crate::table::Shuffle;
    use crate::tools::Tools;

    /// The decisions that a shard reads, of those that one bucket sent.
    fn copies(shard: usize, decisions: &[(usize, serde_json::Value)]) -> Copies {
        const UNTYPED: Shuffle<serde_json::Value> = Shuffle::new("verdicts");
        let folder = tempfile::tempdir().unwrap();
        let site = folder.path().join("site");
        fs_err::create_dir(&site).unwrap();
        fs_err::write(site.join("page.html"), "<p>nothing").unwrap();
        let mut config = MineConfig::default();
        config.duplicate.buckets = 1;
        let run = Run::create(folder.path().join("run").to_str().unwrap(), &config, &[site]).unwrap();
        let mut sent = UNTYPED.create(run.store(), 0).unwrap();
        for (destination, decision) in decisions {
            sent.send(*destination, "", decision, Vec::new()).unwrap();
        }
        sent.publish().unwrap();
        let work = Work {
            run: &run,
            task: shard,
            tools: &Tools::default(),
            tally: Tally::default(),
        };
        Copies::read(&work).unwrap()
    }

    #[test]
    fn decisions_of_earlier_versions_are_read() {
        let id = |n: u8| ImageId::from_bytes([n; 16]).to_string();
        let found = copies(
            2,
            &[
                (2, serde_json::json!({ "copy_of": [id(2), id(1)] })),
                (2, serde_json::json!({ "too_many_pages": id(3) })),
                (2, serde_json::json!({ "pages": [id(4), ["a", "b"]] })),
                (2, serde_json::json!({ "crawled_again": "a" })),
                (2, serde_json::json!({ "overlaps": ["b", "c"] })),
                (1, serde_json::json!({ "crawled_again": "of another shard" })),
            ],
        );
        let dropped: BTreeSet<String> = found.images.keys().map(ToString::to_string).collect();
        assert_eq!(dropped, [id(2), id(3)].into());
        assert_eq!(
            found.pages,
            HashMap::from([("a".to_owned(), CRAWLED_AGAIN), ("b".to_owned(), OVERLAPS)])
        );
        assert_eq!(found.gone, HashSet::from(["b".to_owned()]));
        assert_eq!(found.shown_on.len(), 1);
    }

    #[test]
    fn pages_like_pages_that_go_stay() {
        let page = |images: usize, name: &str, shard: usize| serde_json::json!({ "images": images, "page": name, "shard": shard });
        let like =
            |a: &serde_json::Value, b: &serde_json::Value| (ALL_SHARDS, serde_json::json!({ "page_like": [a, b] }));
        let (large, middle, small) = (page(9, "large", 0), page(8, "middle", 1), page(7, "small", 2));
        let again = page(7, "small", 3);
        let links = [like(&middle, &large), like(&small, &middle), like(&again, &small)];
        let dropped = |shard| copies(shard, &links).pages;
        assert_eq!(dropped(0), HashMap::new());
        assert_eq!(dropped(1), HashMap::from([("middle".to_owned(), OVERLAPS)]));
        assert_eq!(dropped(2), HashMap::new(), "`small` is like `middle` only, which goes");
        assert_eq!(dropped(3), HashMap::from([("small".to_owned(), CRAWLED_AGAIN)]));
        assert_eq!(copies(3, &links).gone, HashSet::from(["middle".to_owned()]));
    }
}
