//! `pictures.parquet`: one row for a [`Picture`].

use std::path::Path;

use arrow_array::RecordBatch;

use crate::table::{self, Columns, TableError};
use crate::{ImageId, Picture, PictureKind, Split};

/// Writes `pictures` to the Parquet file `path`, whole or not at all.
pub fn write_pictures(path: impl AsRef<Path>, pictures: &[Picture]) -> Result<(), TableError> {
    let path = path.as_ref();
    let text = |of: fn(&Picture) -> &str| table::text_column(pictures.iter().map(of));
    let optional = |of: fn(&Picture) -> Option<&str>| table::optional_text_column(pictures.iter().map(of));
    let batch = table::batch(
        path,
        vec![
            (
                "id",
                table::text_column(pictures.iter().map(|picture| picture.id.to_string())),
            ),
            ("path", text(|picture| &picture.path)),
            (
                "width",
                table::number_column(pictures.iter().map(|picture| picture.width)),
            ),
            (
                "height",
                table::number_column(pictures.iter().map(|picture| picture.height)),
            ),
            ("kind", text(|picture| picture.kind.name())),
            ("concept", text(|picture| &picture.concept)),
            ("root", text(|picture| &picture.root)),
            ("also", table::list_column(pictures.iter().map(|picture| &picture.also))),
            ("style", text(|picture| &picture.style)),
            ("family", text(|picture| &picture.family)),
            ("caption", text(|picture| &picture.caption)),
            ("tags", table::list_column(pictures.iter().map(|picture| &picture.tags))),
            ("group", text(|picture| &picture.group)),
            ("subgroup", text(|picture| &picture.subgroup)),
            ("skin_tone", optional(|picture| picture.skin_tone.as_deref())),
            ("gender", optional(|picture| picture.gender.as_deref())),
            ("colour", optional(|picture| picture.colour.as_deref())),
            ("source", text(|picture| &picture.source)),
            ("licence", text(|picture| &picture.licence)),
            ("split", text(|picture| picture.split.name())),
        ],
    )?;
    table::write(path, &[batch])
}

/// All pictures of the Parquet file `path`, in its order. A missing or mistyped column is an error that names it.
pub fn read_pictures(path: impl AsRef<Path>) -> Result<Vec<Picture>, TableError> {
    let path = path.as_ref();
    let mut pictures = Vec::new();
    for batch in table::read(path)? {
        read_batch(path, &batch, &mut pictures)?;
    }
    Ok(pictures)
}

fn read_batch(path: &Path, batch: &RecordBatch, pictures: &mut Vec<Picture>) -> Result<(), TableError> {
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
    let colours = columns.optional_texts("colour")?;
    let (sources, licences, splits) = (
        columns.texts("source")?,
        columns.texts("licence")?,
        columns.texts("split")?,
    );
    for row in 0..batch.num_rows() {
        pictures.push(Picture {
            id: columns.parse("id", row, ids[row].parse::<ImageId>())?,
            path: paths[row].to_owned(),
            width: widths[row],
            height: heights[row],
            kind: columns.parse("kind", row, kinds[row].parse::<PictureKind>())?,
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
            colour: colours[row].map(str::to_owned),
            source: sources[row].to_owned(),
            licence: licences[row].to_owned(),
            split: columns.parse("split", row, splits[row].parse::<Split>())?,
        });
    }
    Ok(())
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}
