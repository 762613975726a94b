//! QuickDraw extended, zero-shot: 92,291 sketches of 30 unseen classes against 54,151 photographs. Protocol: `sketch.rs`.
//!
//! Files: `QuickDraw/zeroshot/{sketch_zero,all_photo_zero}.txt`, `QuickDraw/{sketches,images}/`.
//! Published metrics: mAP over the whole ranking, P@200.

use std::path::Path;

use super::sketch::{self, Lists};
use super::{Choice, Entry};
use crate::EvalError;
use crate::benchmark::Benchmark;

pub(super) const ENTRY: Entry = Entry {
    name: "quickdraw",
    title: "QuickDraw",
    folder: "QuickDraw",
    layout: "zeroshot/{sketch_zero,all_photo_zero}.txt, sketches/, images/",
    splits: &["zeroshot"],
    templates: &["magiclens"],
    load,
};

const LISTS: Lists = Lists {
    folder: ENTRY.folder,
    sketches: "sketch_zero.txt",
    photos: "all_photo_zero.txt",
    splits: &[("zeroshot", "30 unseen classes", "zeroshot", (92_291, 54_151))],
    published: ["mAP", "P@200"],
};

fn load(data: &Path, _choice: &Choice<'_>) -> Result<Benchmark, EvalError> {
    sketch::load(data, &LISTS)
}
