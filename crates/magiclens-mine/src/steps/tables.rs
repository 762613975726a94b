//! The tables of a run: which step hands what to which.

use magiclens_data::ImageId;
use serde::{Deserialize, Serialize};

use crate::duplicate::{Candidate, Decision};
use crate::page::{Described, ImagePair};
use crate::run::Run;
use crate::table::{Shuffle, Table};

/// Answers of servers: from `fetch` to `pages`. Keys are addresses, bytes are files.
pub(crate) const FETCHED: Table<Answer> = Table::new("fetched");
/// Groups of images: from `pages` to `pairs`. Bytes are the images' vectors, each encoder's in turn.
pub(crate) const GROUPS: Table<Group> = Table::new("pages");
/// Candidates for copies: from `pages` to the buckets of `duplicates`.
pub(crate) const CANDIDATES: Shuffle<Candidate> = Shuffle::new("sightings");
/// Decisions on copies: from `duplicates` to the shards of `pairs`.
pub(crate) const DECISIONS: Shuffle<Decision> = Shuffle::new("verdicts");
/// A head, then images with the smallest hashes: from `pages` to `centers`.
pub(crate) const SAMPLE: Table<SampleRow> = Table::new("sample");
/// A head, then the centers of clusters: from `centers` to `pairs` and `neighbours`.
pub(crate) const CENTERS: Table<CentersRow> = Table::new("centers");
/// Pairs of pages: from `pairs` to `triplets`.
pub(crate) const PAIRS: Table<ImagePair> = Table::new("pairs");
/// Images, and whether the cluster is their nearest: from `pairs` to the clusters of `neighbours`.
pub(crate) const MEMBERS: Shuffle<(Described, bool)> = Shuffle::new("members");
/// Pairs across the corpus: from `neighbours` to the shards of `triplets`.
pub(crate) const NEIGHBORS: Shuffle<ImagePair> = Shuffle::new("neighbours");
/// The folder of image files, which `pages` publishes.
pub(crate) const IMAGES: &str = "pictures";
/// The folder of triplets, which `triplets` publishes.
pub(crate) const TRIPLETS: &str = "triplets";

/// The answer of a server, or the reason why there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) final_url: String,
    pub(crate) content_type: String,
    pub(crate) robots_tags: Vec<String>,
    /// The hash of the file; empty if there is none.
    pub(crate) hash: String,
    /// The reason why there is no file; empty if there is one.
    pub(crate) reason: String,
    pub(crate) detail: String,
    pub(crate) retryable: bool,
}

/// A page's group of images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Group {
    /// The page's id: the hash of its address, and of its folder if it was saved in one.
    pub(crate) page: String,
    /// Its address.
    pub(crate) url: String,
    /// Its title.
    pub(crate) title: String,
    /// Its images, in their order.
    #[serde(rename = "pictures")]
    pub(crate) images: Vec<Described>,
    /// Widths of the vectors.
    pub(crate) widths: Vec<usize>,
}

/// A row of a sample.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum SampleRow {
    Head {
        /// Widths of the vectors.
        widths: Vec<usize>,
        /// Images of the shard.
        #[serde(rename = "pictures")]
        images: u64,
    },
    Image(ImageId),
}

/// A row of the centers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum CentersRow {
    Head { widths: Vec<usize>, clusters: usize },
    Image(ImageId),
}

/// A step with one task for each shard of the input.
pub(crate) fn each_shard(run: &Run) -> anyhow::Result<Option<usize>> {
    Ok(Some(run.entries().len()))
}
