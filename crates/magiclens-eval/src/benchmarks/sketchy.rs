//! Sketchy extended, zero-shot, in two splits: 21 unseen classes (`zeroshot0`: 12,694 sketches, 12,553 photographs) and 25
//! (`zeroshot1`: 15,229 and 17,101). Protocol: `sketch.rs`. Which of them the paper used is not published: both are reported.
//!
//! Files: `Sketchy/{zeroshot0,zeroshot1}/{sketch_tx_000000000000_ready,all_photo}_filelist_zero.txt`, `Sketchy/256x256/`.
//! Published metrics: mAP@200, P@200.

use std::path::Path;

use super::sketch::{self, Lists};
use super::{Choice, Entry};
use crate::EvalError;
use crate::annotations::Images;
use crate::benchmark::{Benchmark, Column, Count, Variant};

pub(super) const ENTRY: Entry = Entry {
    name: "sketchy",
    title: "Sketchy",
    folder: "Sketchy",
    layout: "{zeroshot0,zeroshot1}/{sketch_tx_000000000000_ready,all_photo}_filelist_zero.txt, 256x256/",
    splits: &["zeroshot"],
    templates: &["magiclens"],
    load,
};

/// Flag, name, folder of lists, published numbers.
const SPLITS: [(&str, &str, &str, (usize, usize)); 2] = [
    ("25", "25 unseen classes", "zeroshot1", (15_229, 17_101)),
    ("21", "21 unseen classes", "zeroshot0", (12_694, 12_553)),
];

fn load(data: &Path, _choice: &Choice<'_>) -> Result<Benchmark, EvalError> {
    let (mut images, mut counts, mut remarks) = (Images::default(), Vec::new(), sketch::remarks());
    let mut variants: Vec<Variant> = Vec::new();
    let mut missing = None;
    for (flag, name, folder, published) in SPLITS {
        let lists = Lists {
            folder: "Sketchy",
            lists: folder,
            sketches: "sketch_tx_000000000000_ready_filelist_zero.txt",
            photos: "all_photo_filelist_zero.txt",
            published,
        };
        match sketch::load(data, flag, name, &lists, &mut images) {
            Ok((variant, found)) => {
                variants.push(variant);
                counts.extend(found);
            }
            Err(error @ EvalError::NoAnnotations { .. }) => {
                let remark = format!("the lists of `{folder}` are not there: {name} are not reported.");
                remarks.push(remark);
                counts.push(Count::new(format!("{flag} sketches"), 0, published.0));
                missing = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    if let (true, Some(error)) = (variants.is_empty(), missing) {
        return Err(error);
    }
    let columns = |variant: &Variant| {
        ["mAP@200", "P@200"].map(|label| Column::of_mean(&format!("{label} ({})", variant.flag), &variant.flag, label))
    };
    Ok(Benchmark {
        name: ENTRY.name.to_owned(),
        images: images.entries,
        columns: variants.iter().flat_map(columns).collect(),
        variants,
        counts,
        remarks,
        ..Benchmark::default()
    })
}
