//! The steps of a run, one file each: what a task reads, which stages it runs, what it publishes.

pub(crate) mod centers;
pub(crate) mod duplicates;
pub(crate) mod fetch;
pub(crate) mod neighbors;
pub(crate) mod pages;
pub(crate) mod pairs;
mod reading;
mod spill;
pub(crate) mod triplets;

use serde::{Deserialize, Serialize};

use crate::page::Described;

/// A page's group of images: what the step `pages` publishes. Its row's bytes are the images' vectors, each encoder's in turn.
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

/// The folders of a run.
pub(crate) mod folder {
    pub(crate) const FETCHED: &str = "fetched";
    pub(crate) const PAGES: &str = "pages";
    pub(crate) const IMAGES: &str = "pictures";
    pub(crate) const SIGHTINGS: &str = "sightings";
    pub(crate) const SAMPLE: &str = "sample";
    pub(crate) const VERDICTS: &str = "verdicts";
    pub(crate) const CENTERS: &str = "centers";
    pub(crate) const PAIRS: &str = "pairs";
    pub(crate) const MEMBERS: &str = "members";
    pub(crate) const NEIGHBORS: &str = "neighbours";
    pub(crate) const TRIPLETS: &str = "triplets";
}
