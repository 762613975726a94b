//! QuickDraw extended, zero-shot: 92,291 sketches of 30 unseen classes against 54,151 photographs. Protocol: `sketch.rs`.
//!
//! Files: `QuickDraw/zeroshot/{sketch_zero,all_photo_zero}.txt`, `QuickDraw/{sketches,images}/`.
//! Published figures: mAP over the whole ranking, P@200.

use std::path::Path;

use super::sketch::{self, Lists};
use super::{Choice, Entry};
use crate::EvalError;
use crate::annotations::Images;
use crate::benchmark::{Benchmark, Column};

pub(super) const ENTRY: Entry = Entry {
    name: "quickdraw",
    title: "QuickDraw",
    folder: "QuickDraw",
    layout: "zeroshot/{sketch_zero,all_photo_zero}.txt, sketches/, images/",
    splits: &["zeroshot"],
    templates: &["magiclens"],
    load,
};

const LISTS: Lists<'_> = Lists {
    folder: "QuickDraw",
    lists: "zeroshot",
    sketches: "sketch_zero.txt",
    photos: "all_photo_zero.txt",
    published: (92_291, 54_151),
};

fn load(data: &Path, _choice: &Choice<'_>) -> Result<Benchmark, EvalError> {
    let (mut images, mut counts) = (Images::default(), Vec::new());
    let variant = sketch::load(data, "zeroshot", "30 unseen classes", &LISTS, &mut images, &mut counts)?;
    Ok(Benchmark {
        name: ENTRY.name.to_owned(),
        images: images.entries,
        texts: Vec::new(),
        variants: vec![variant],
        counts,
        picture_folders: Vec::new(),
        open_gallery: false,
        columns: ["mAP", "P@200"]
            .map(|label| Column::of_mean(label, "zeroshot", label))
            .into(),
        remarks: sketch::remarks(),
    })
}
