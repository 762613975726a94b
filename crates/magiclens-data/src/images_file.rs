//! `pictures.parquet`: one row for an [`Image`]. A table may have more columns, such as the labels of the demo collection.

use std::path::Path;

use arrow_array::ArrayRef;

use crate::table::{self, Columns, TableError};
use crate::{Image, ImageId};

/// A column of a table, with its name.
pub type NamedColumn = (&'static str, ArrayRef);

/// Writes `images` to the Parquet file `path`, whole or not at all.
pub fn write_images(path: impl AsRef<Path>, images: &[Image]) -> Result<(), TableError> {
    let path = path.as_ref();
    let batch = table::batch(path, image_columns(images).into())?;
    table::write(path, &[batch])
}

/// All images of the Parquet file `path`, in its order. A missing or mistyped column is an error that names it.
pub fn read_images(path: impl AsRef<Path>) -> Result<Vec<Image>, TableError> {
    table::read_rows(path.as_ref(), images_of_columns)
}

/// The columns of images: `id`, `path`, `width`, `height`, `caption`, `tags`, `source` and `licence`.
pub fn image_columns<'a>(images: impl IntoIterator<Item = &'a Image> + Clone) -> [NamedColumn; 8] {
    let all = || images.clone().into_iter();
    let text = |of: fn(&Image) -> &str| table::text_column(all().map(of));
    [
        ("id", table::text_column(all().map(|image| image.id.to_string()))),
        ("path", text(|image| &image.path)),
        ("width", table::number_column(all().map(|image| image.width))),
        ("height", table::number_column(all().map(|image| image.height))),
        ("caption", text(|image| &image.caption)),
        ("tags", table::list_column(all().map(|image| &image.tags))),
        ("source", text(|image| &image.source)),
        ("licence", text(|image| &image.license)),
    ]
}

/// The images of a batch, out of the columns of [`image_columns`].
pub fn images_of_columns(columns: Columns<'_>) -> Result<Vec<Image>, TableError> {
    let (ids, paths) = (columns.parsed("id")?, columns.texts("path")?);
    let (widths, heights) = (columns.numbers("width")?, columns.numbers("height")?);
    let (captions, mut tags) = (columns.texts("caption")?, columns.parsed_lists("tags")?);
    let (sources, licenses) = (columns.texts("source")?, columns.texts("licence")?);
    let image = |(row, id): (usize, ImageId)| Image {
        id,
        path: paths[row].to_owned(),
        width: widths[row],
        height: heights[row],
        caption: captions[row].to_owned(),
        tags: std::mem::take(&mut tags[row]),
        source: sources[row].to_owned(),
        license: licenses[row].to_owned(),
    };
    Ok(ids.into_iter().enumerate().map(image).collect())
}
