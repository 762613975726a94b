//! Settings of BASIC, with the values of the authors' preset.

use serde::{Deserialize, Serialize};

/// The parts of BASIC and their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicSettings {
    /// Whether means are taken off: the gallery's of images, that of object names of texts.
    pub center: bool,
    /// The projection of query images; `None` leaves them as they are.
    pub projection: Option<Contrast>,
    /// Nearest images that join the query image; 0 for none.
    pub neighbors: usize,
    /// Whether similarities begin at the smallest one among unrelated images and texts.
    pub normalize: bool,
    /// Share of the squared sum that is taken off the product.
    pub penalty: f32,
}

/// The projection that keeps differences of objects and drops those of styles.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contrast {
    /// Weight of styles, in 0..=1; objects have the rest.
    pub styles: f64,
    /// The most directions that are kept.
    pub components: usize,
}

impl Default for BasicSettings {
    /// The preset `basic` of `run_retrieval.py`.
    fn default() -> Self {
        Self {
            center: true,
            projection: Some(Contrast {
                styles: 0.2,
                components: 250,
            }),
            neighbors: 25,
            normalize: true,
            penalty: 0.1,
        }
    }
}

impl BasicSettings {
    /// The plain product of the similarities, each zero at least: the baseline `product`.
    pub const PRODUCT: Self = Self {
        center: false,
        projection: None,
        neighbors: 0,
        normalize: false,
        penalty: 0.0,
    };
}
