//! The Parquet files of images and triplets: what is written is read again, and a foreign file is refused by name.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use magiclens_data::{
    Image, ImageAddress, ImageId, Provenance, TableError, Triplet, read_images, read_triplets, write_images,
    write_triplets,
};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Images that differ in everything a column can hold: empty and long texts and lists.
fn images(count: usize) -> Vec<Image> {
    let texts = |n: usize| {
        (0..n % 4)
            .map(|at| format!("word {at} of {n} – “ü”"))
            .collect::<Vec<_>>()
    };
    let image = |n: usize| Image {
        id: ImageId::of_bytes(&n.to_le_bytes()),
        path: format!("pictures/{n}.png"),
        width: n as u32,
        height: u32::MAX - n as u32,
        caption: "a caption\nof two lines, \"quoted\"".to_owned(),
        tags: texts(n),
        source: "npm:a@1".to_owned(),
        license: "MIT".to_owned(),
    };
    (0..count).map(image).collect()
}

fn triplets(count: usize) -> Vec<Triplet> {
    let id = |n: usize| ImageId::of_bytes(&n.to_le_bytes());
    let triplet = |n: usize| Triplet {
        query: id(n),
        second: (n % 4 == 1).then(|| id(n + 1)),
        instruction: format!("as “{n}”, please"),
        targets: (0..=n % 9).map(id).collect(),
        relation: "style".to_owned(),
        hard_negatives: (0..n % 2).map(id).collect(),
        provenance: Provenance {
            source: "npm:a@1".to_owned(),
            generator: format!("template:style/{n}"),
            license: "MIT".to_owned(),
            models: (0..n % 3).map(|model| format!("model {model}")).collect(),
            scores: (0..n % 3)
                .map(|score| (format!("score {score}"), score as f64 / 3.0))
                .collect::<BTreeMap<_, _>>(),
            page: "https://example.org/cats".to_owned(),
            urls: BTreeMap::from([(
                id(1),
                ImageAddress {
                    url: "https://example.org/cat.png".to_owned(),
                    page: "https://example.org/cats".to_owned(),
                    license: "CC0-1.0".to_owned(),
                    opt_outs: vec!["noindex".to_owned()],
                },
            )]),
            prompt: "instruct/1".to_owned(),
            stages: BTreeMap::from([("gate".to_owned(), 1)]),
        },
    };
    (0..count).map(triplet).collect()
}

#[test]
fn images_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pictures.parquet");
    for count in [0, 1, 2, 100, 3000] {
        let written = images(count);
        write_images(&path, &written).unwrap();
        assert_eq!(read_images(&path).unwrap(), written, "{count} images");
    }
    let left: Vec<_> = folder
        .path()
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["pictures.parquet"]);
}

#[test]
fn triplets_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("triplets.parquet");
    for count in [0, 1, 20_000] {
        let written = triplets(count);
        write_triplets(&path, &written).unwrap();
        assert_eq!(read_triplets(&path).unwrap(), written, "{count} triplets");
    }
}

/// The columns of a file, changed, as another file.
fn rewrite(path: &Path, change: impl Fn(Vec<(String, ArrayRef)>) -> Vec<(String, ArrayRef)>) {
    let file = std::fs::File::open(path).unwrap();
    let batch = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let schema = batch.schema();
    let names = schema.fields().iter().map(|field| field.name().clone());
    let columns = change(names.zip(batch.columns().iter().cloned()).collect());
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, data)| (name, data, true)));
    let batch = batch.unwrap();
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn a_column_that_is_missing_or_of_another_type_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pictures.parquet");
    write_images(&path, &images(3)).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    let schema = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().schema().clone();
    assert_eq!(schema.fields().len(), 8);
    for field in schema.fields() {
        let name = field.name();
        write_images(&path, &images(3)).unwrap();
        rewrite(&path, |columns| {
            columns.into_iter().filter(|(column, _)| column != name).collect()
        });
        let error = read_images(&path).unwrap_err();
        assert!(
            matches!(&error, TableError::MissingColumn { column, .. } if column == name),
            "{error}"
        );
        assert!(error.to_string().contains(&format!("`{name}`")));

        write_images(&path, &images(3)).unwrap();
        rewrite(&path, |columns| {
            let number = |column: String, data: ArrayRef| {
                let data = if &column == name {
                    Arc::new(Int64Array::from(vec![1, 2, 3]))
                } else {
                    data
                };
                (column, data)
            };
            columns.into_iter().map(|(column, data)| number(column, data)).collect()
        });
        let error = read_images(&path).unwrap_err();
        assert!(
            matches!(&error, TableError::WrongType { column, .. } if column == name),
            "{error}"
        );
        assert!(error.to_string().contains(&format!("`{name}`")));
    }
}

#[test]
fn a_value_that_cannot_be_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("triplets.parquet");
    let check = |name: &str, value: Option<&str>, said: &str| {
        write_triplets(&path, &triplets(1)).unwrap();
        rewrite(&path, |columns| {
            let texts = Arc::new(StringArray::from(vec![value]));
            let change = |(column, data)| {
                if column == name {
                    (column, texts.clone() as ArrayRef)
                } else {
                    (column, data)
                }
            };
            columns.into_iter().map(change).collect()
        });
        let error = read_triplets(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("`{name}`")) && error.contains(said), "{error}");
    };
    check("query", Some("abc"), "`abc`");
    check("query", None, "missing");
    check("provenance", Some("{"), "EOF");
    let unanswered = Triplet {
        targets: Vec::new(),
        ..triplets(1).remove(0)
    };
    write_triplets(&path, &[unanswered]).unwrap();
    let error = read_triplets(&path).unwrap_err().to_string();
    assert!(
        error.contains("`targets`") && error.contains("no right answer"),
        "{error}"
    );
}

#[test]
fn a_file_that_is_no_parquet_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pictures.parquet");
    assert!(matches!(read_images(&path), Err(TableError::Io(_))));
    for bytes in [&b""[..], b"PAR1", b"no table at all, but some bytes"] {
        std::fs::write(&path, bytes).unwrap();
        let error = read_images(&path).unwrap_err();
        assert!(matches!(error, TableError::Damaged { .. }), "{error}");
    }
    write_images(&path, &images(100)).unwrap();
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(read_images(&path), Err(TableError::Damaged { .. })));
}
