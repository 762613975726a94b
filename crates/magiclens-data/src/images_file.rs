//! `images.parquet`: one row for an [`Image`].

use std::path::Path;

use arrow_array::RecordBatch;

use crate::table::{self, Columns, TableError};
use crate::{Image, ImageId, ImageKind, Split};

/// Writes `images` to the Parquet file `path`, whole or not at all.
pub fn write_images(path: impl AsRef<Path>, images: &[Image]) -> Result<(), TableError> {
    let path = path.as_ref();
    let text = |of: fn(&Image) -> &str| table::text_column(images.iter().map(of));
    let optional = |of: fn(&Image) -> Option<&str>| table::optional_text_column(images.iter().map(of));
    let batch = table::batch(
        path,
        vec![
            (
                "id",
                table::text_column(images.iter().map(|image| image.id.to_string())),
            ),
            ("path", text(|image| &image.path)),
            ("width", table::number_column(images.iter().map(|image| image.width))),
            ("height", table::number_column(images.iter().map(|image| image.height))),
            ("kind", text(|image| image.kind.name())),
            ("concept", text(|image| &image.concept)),
            ("root", text(|image| &image.root)),
            ("also", table::list_column(images.iter().map(|image| &image.also))),
            ("style", text(|image| &image.style)),
            ("family", text(|image| &image.family)),
            ("caption", text(|image| &image.caption)),
            ("tags", table::list_column(images.iter().map(|image| &image.tags))),
            ("group", text(|image| &image.group)),
            ("subgroup", text(|image| &image.subgroup)),
            ("skin_tone", optional(|image| image.skin_tone.as_deref())),
            ("gender", optional(|image| image.gender.as_deref())),
            ("colour", optional(|image| image.color.as_deref())),
            ("source", text(|image| &image.source)),
            ("licence", text(|image| &image.license)),
            ("split", text(|image| image.split.name())),
        ],
    )?;
    table::write(path, &[batch])
}

/// All images of the Parquet file `path`, in its order. A missing or mistyped column is an error that names it.
pub fn read_images(path: impl AsRef<Path>) -> Result<Vec<Image>, TableError> {
    let path = path.as_ref();
    let mut images = Vec::new();
    for batch in table::read(path)? {
        read_batch(path, &batch, &mut images)?;
    }
    Ok(images)
}

fn read_batch(path: &Path, batch: &RecordBatch, images: &mut Vec<Image>) -> Result<(), TableError> {
    let columns = Columns::new(path, batch);
    let (ids, paths, kinds) = (columns.texts("id")?, columns.texts("path")?, columns.texts("kind")?);
    let (widths, heights) = (columns.numbers("width")?, columns.numbers("height")?);
    let (concepts, roots, also) = (
        columns.texts("concept")?,
        columns.texts("root")?,
        columns.lists("also")?,
    );
    let (styles, families) = (columns.texts("style")?, columns.texts("family")?);
    let (captions, tags) = (columns.texts("caption")?, columns.lists("tags")?);
    let (groups, subgroups) = (columns.texts("group")?, columns.texts("subgroup")?);
    let (skin_tones, genders) = (columns.optional_texts("skin_tone")?, columns.optional_texts("gender")?);
    let colors = columns.optional_texts("colour")?;
    let (sources, licenses, splits) = (
        columns.texts("source")?,
        columns.texts("licence")?,
        columns.texts("split")?,
    );
    for row in 0..batch.num_rows() {
        images.push(Image {
            id: columns.parse("id", row, ids[row].parse::<ImageId>())?,
            path: paths[row].to_owned(),
            width: widths[row],
            height: heights[row],
            kind: columns.parse("kind", row, kinds[row].parse::<ImageKind>())?,
            concept: concepts[row].to_owned(),
            root: roots[row].to_owned(),
            also: owned(&also[row]),
            style: styles[row].to_owned(),
            family: families[row].to_owned(),
            caption: captions[row].to_owned(),
            tags: owned(&tags[row]),
            group: groups[row].to_owned(),
            subgroup: subgroups[row].to_owned(),
            skin_tone: skin_tones[row].map(str::to_owned),
            gender: genders[row].map(str::to_owned),
            color: colors[row].map(str::to_owned),
            source: sources[row].to_owned(),
            license: licenses[row].to_owned(),
            split: columns.parse("split", row, splits[row].parse::<Split>())?,
        });
    }
    Ok(())
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}
