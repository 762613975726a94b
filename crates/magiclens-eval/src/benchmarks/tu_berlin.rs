//! TU-Berlin extended, zero-shot: 2,400 sketches of 30 unseen classes against 27,989 photographs. Protocol: `sketch.rs`.
//!
//! Files: `TUBerlin/zeroshot/{png_ready,ImageResized_ready}_filelist_zero.txt`, `TUBerlin/{png_ready,ImageResized_ready}/`.
//! Published metrics: mAP over the whole ranking, P@100.

use std::path::Path;

use super::sketch::{self, Lists};
use super::{Choice, Entry};
use crate::EvalError;
use crate::benchmark::Benchmark;

pub(super) const ENTRY: Entry = Entry {
    name: "tu-berlin",
    title: "TU-Berlin",
    folder: "TUBerlin",
    layout: "zeroshot/{png_ready,ImageResized_ready}_filelist_zero.txt, png_ready/, ImageResized_ready/",
    splits: &["zeroshot"],
    templates: &["magiclens"],
    load,
};

const LISTS: Lists = Lists {
    folder: ENTRY.folder,
    sketches: "png_ready_filelist_zero.txt",
    photos: "ImageResized_ready_filelist_zero.txt",
    splits: &[("zeroshot", "30 unseen classes", "zeroshot", (2400, 27_989))],
    published: ["mAP", "P@100"],
};

fn load(data: &Path, _choice: &Choice<'_>) -> Result<Benchmark, EvalError> {
    sketch::load(data, &LISTS)
}
