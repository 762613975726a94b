//! Sketchy extended, zero-shot, in two splits: 21 unseen classes (`zeroshot0`: 12,694 sketches, 12,553 photographs) and 25
//! (`zeroshot1`: 15,229 and 17,101). Protocol: `sketch.rs`. Which of them the paper used is not published: both are reported.
//!
//! Files: `Sketchy/{zeroshot0,zeroshot1}/{sketch_tx_000000000000_ready,all_photo}_filelist_zero.txt`, `Sketchy/256x256/`.
//! Published metrics: mAP@200, P@200.

use std::path::Path;

use super::sketch::{self, Lists};
use super::{Choice, Entry};
use crate::EvalError;
use crate::benchmark::Benchmark;

pub(super) const ENTRY: Entry = Entry {
    name: "sketchy",
    title: "Sketchy",
    folder: "Sketchy",
    layout: "{zeroshot0,zeroshot1}/{sketch_tx_000000000000_ready,all_photo}_filelist_zero.txt, 256x256/",
    splits: &["zeroshot"],
    templates: &["magiclens"],
    load,
};

const LISTS: Lists = Lists {
    folder: ENTRY.folder,
    sketches: "sketch_tx_000000000000_ready_filelist_zero.txt",
    photos: "all_photo_filelist_zero.txt",
    splits: &[
        ("25", "25 unseen classes", "zeroshot1", (15_229, 17_101)),
        ("21", "21 unseen classes", "zeroshot0", (12_694, 12_553)),
    ],
    published: ["mAP@200", "P@200"],
};

fn load(data: &Path, _choice: &Choice<'_>) -> Result<Benchmark, EvalError> {
    sketch::load(data, &LISTS)
}
