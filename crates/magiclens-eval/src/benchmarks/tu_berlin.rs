//! TU-Berlin extended, zero-shot: 2,400 sketches of 30 unseen classes against 27,989 photographs. Protocol: `sketch.rs`.
//!
//! Files: `TUBerlin/zeroshot/{png_ready,ImageResized_ready}_filelist_zero.txt`, `TUBerlin/{png_ready,ImageResized_ready}/`.
//! Published figures: mAP over the whole ranking, P@100.

use std::path::Path;

use super::sketch::{self, Lists};
use super::{Choice, Entry};
use crate::EvalError;
use crate::annotations::{Images, folders};
use crate::benchmark::{Benchmark, Column};

pub(super) const ENTRY: Entry = Entry {
    name: "tu-berlin",
    title: "TU-Berlin",
    folder: "TUBerlin",
    layout: "zeroshot/{png_ready,ImageResized_ready}_filelist_zero.txt, png_ready/, ImageResized_ready/",
    splits: &["zeroshot"],
    templates: &["magiclens"],
    load,
};

const LISTS: Lists<'_> = Lists {
    folder: "TUBerlin",
    lists: "zeroshot",
    sketches: "png_ready_filelist_zero.txt",
    photos: "ImageResized_ready_filelist_zero.txt",
    published: (2400, 27_989),
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
        picture_folders: folders(data, &["png_ready", "TUBerlin/png_ready"]),
        open_gallery: false,
        columns: ["mAP", "P@100"]
            .map(|label| Column::of_mean(label, "zeroshot", label))
            .into(),
        remarks: sketch::remarks(),
    })
}
