//! From a run to a collection folder: the form in which `magiclens train`, `index` and `eval` read images and triplets.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, ensure};
use magiclens_data::files::write_atomic_bytes;
use magiclens_data::{
    Image, ImageFile, ImageId, Triplet, read_image_shard, read_triplets, write_images, write_triplets,
};

use crate::page::Described;
use crate::run::Run;
use crate::steps::Step;
use crate::steps::tables::{GROUPS, IMAGES, TRIPLETS};
use crate::table::file_name;
use crate::tasks::Task;

/// The numbers of what was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Triplets.
    pub triplets: usize,
    /// Images that take part in them.
    pub images: usize,
}

/// Writes the triplets of a finished run and their images to `out`: `triplets-train.parquet`, `pictures.parquet`, and the
/// files under `pictures/`. All of it is for training, so no image has a split.
///
/// # Errors
/// A run that is not finished, a folder that holds something else, files that cannot be read or written.
pub fn collect(run: &Run, out: &Path) -> anyhow::Result<Collected> {
    let triplets = all_triplets(run)?;
    let wanted: BTreeSet<ImageId> = triplets.iter().flat_map(images_of).collect();
    fs_err::create_dir_all(out)?;
    let described = describe(run, &wanted)?;
    let mut images = BTreeMap::new();
    for shard in 0..run.entries().len() {
        let local = run.store().local(&file_name(IMAGES, shard))?;
        for file in read_image_shard(local.path())? {
            let file = file?;
            if let (Some(described), Entry::Vacant(place)) = (described.get(&file.id), images.entry(file.id)) {
                place.insert(write_image(out, &file, described)?);
            }
        }
    }
    if let Some(id) = wanted.iter().find(|id| !images.contains_key(*id)) {
        anyhow::bail!("image `{id}` of a triplet is in no image shard\nhint: the run is damaged; mine it again");
    }
    let images: Vec<Image> = images.into_values().collect();
    write_images(out.join("pictures.parquet"), &images)?;
    write_triplets(out.join("triplets-train.parquet"), &triplets)?;
    Ok(Collected {
        triplets: triplets.len(),
        images: images.len(),
    })
}

/// The triplets of a finished run, shard by shard.
///
/// # Errors
/// A run that is not finished.
pub fn all_triplets(run: &Run) -> anyhow::Result<Vec<Triplet>> {
    let mut triplets = Vec::new();
    for shard in 0..run.entries().len() {
        // The file of a run that is to be done again may still be there, but no longer fits its images.
        let task = Task {
            step: Step::TRIPLETS,
            task: shard,
        };
        ensure!(
            run.is_done(task)?,
            "the run has no triplets of shard {shard} yet\nhint: `magiclens mine run {}` finishes it",
            run.store().address()
        );
        let of_task = || format!("step `{}`, task {shard}", task.step.name());
        let local = run.store().local(&file_name(TRIPLETS, shard))?;
        triplets.extend(read_triplets(local.path()).with_context(of_task)?);
    }
    Ok(triplets)
}

/// All images of a triplet.
pub(crate) fn images_of(triplet: &Triplet) -> impl Iterator<Item = ImageId> + '_ {
    let answers = triplet.targets.iter().chain(&triplet.hard_negatives).copied();
    std::iter::once(triplet.query).chain(answers)
}

/// The descriptions of images, by the first page that shows them.
fn describe(run: &Run, wanted: &BTreeSet<ImageId>) -> anyhow::Result<BTreeMap<ImageId, Described>> {
    let mut found = BTreeMap::new();
    describe_each(run, wanted, &mut |described| {
        found.entry(described.image).or_insert_with(|| described.clone());
    })?;
    Ok(found)
}

/// Gives the descriptions that every page has of the images that are wanted, in the order of the shards.
pub(crate) fn describe_each(
    run: &Run,
    wanted: &BTreeSet<ImageId>,
    give: &mut dyn FnMut(&Described),
) -> anyhow::Result<()> {
    for shard in 0..run.entries().len() {
        if !GROUPS.exists(run.store(), shard)? {
            continue;
        }
        for row in GROUPS.read(run.store(), shard)? {
            let images = row?.value.images;
            let images = images.iter().filter(|described| wanted.contains(&described.image));
            images.for_each(&mut *give);
        }
    }
    Ok(())
}

fn write_image(out: &Path, file: &ImageFile, described: &Described) -> anyhow::Result<Image> {
    let id = file.id.to_string();
    let extension = image::guess_format(&file.bytes)
        .ok()
        .and_then(|format| format.extensions_str().first().copied());
    let path = format!("pictures/{}/{id}.{}", &id[..2], extension.unwrap_or("bin"));
    let place = out.join(&path);
    fs_err::create_dir_all(place.parent().expect("the path has folders"))?;
    if !place.exists() {
        write_atomic_bytes(&place, &file.bytes)?;
    }
    Ok(Image {
        id: file.id,
        path,
        width: file.width,
        height: file.height,
        caption: described.metadata.text(),
        tags: described.metadata.labels.clone(),
        source: described.page_url.clone(),
        license: described.license.clone(),
    })
}
