//! The index as its users see it: a folder of real files, several connections, damage and sudden death.
//! Vectors are made from the content's id, so no model is needed.
#![allow(clippy::unwrap_used, missing_docs)]

mod damage;
mod kill;
#[cfg(unix)]
mod paths;
mod scan;
mod search;

use std::path::Path;

use image::{Rgb, RgbImage};
use magiclens_data::decode::Limits;
use magiclens_data::{Embedding, ImageId};
use magiclens_index::{Counts, Index, ModelStamp, NewImage, Plan};

const DIM: usize = 8;

fn stamp(model_id: &str) -> ModelStamp {
    ModelStamp {
        name: String::new(),
        model_id: model_id.to_owned(),
        dim: DIM,
    }
}

/// A direction that only depends on the id and `salt`.
fn embedding(id: ImageId, salt: u8) -> Embedding {
    let bytes = id.to_bytes();
    Embedding::normalize((0..DIM).map(|i| f32::from(bytes[i] ^ salt) - 127.4).collect()).unwrap()
}

fn new_image(id: ImageId, path: &str) -> NewImage {
    let file = magiclens_index::FileStamp {
        path: path.into(),
        size: 1,
        mtime_ns: 1,
    };
    NewImage {
        id,
        files: vec![file],
        width: 3,
        height: 2,
        payload: magiclens_index::Payload::default(),
        thumbnail: b"jpeg".to_vec(),
        target: embedding(id, 0),
        image: embedding(id, 0x55),
    }
}

/// Writes a small image of one color; other colors are other contents.
fn draw(path: &Path, color: [u8; 3]) {
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_pixel(20, 10, Rgb(color)).save(path).unwrap();
}

/// Scans and brings everything in, as the program does; returns the final counts and the plan.
fn run(index: &mut Index, folder: &Path) -> (Counts, Plan) {
    let limits = Limits::default();
    let plan = index.scan(&[folder.to_owned()], &limits, |_, _| ()).unwrap();
    index.apply(&plan).unwrap();
    let mut counts = plan.counts;
    for pending in &plan.pending {
        let loading = pending.load(&limits);
        index.skip(&loading.skipped).unwrap();
        if let Some(loaded) = loading.loaded {
            counts.record(&loaded);
            let (target, image) = (embedding(pending.id, 0), embedding(pending.id, 0x55));
            index.add(&[loaded.into_new_image(target, image)]).unwrap();
        }
    }
    (counts, plan)
}
