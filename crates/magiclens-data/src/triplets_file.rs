//! `triplets-*.parquet`: one row for a [`Triplet`].

use std::path::Path;

use arrow_array::RecordBatch;

use crate::table::{self, Columns, TableError};
use crate::{ImageId, Provenance, Triplet};

/// Rows a batch: lists of ids are long, and a batch is held in memory as columns.
const BATCH_ROWS: usize = 16_384;

/// Writes `triplets` to the Parquet file `path`, whole or not at all.
pub fn write_triplets(path: impl AsRef<Path>, triplets: &[Triplet]) -> Result<(), TableError> {
    let path = path.as_ref();
    // An empty table still has its columns.
    let batches = if triplets.is_empty() {
        vec![triplets]
    } else {
        triplets.chunks(BATCH_ROWS).collect()
    };
    let batches = batches
        .into_iter()
        .map(|rows| to_batch(path, rows))
        .collect::<Result<Vec<_>, _>>()?;
    table::write(path, &batches)
}

/// All triplets of the Parquet file `path`, in its order. A missing or mistyped column is an error that names it.
pub fn read_triplets(path: impl AsRef<Path>) -> Result<Vec<Triplet>, TableError> {
    let path = path.as_ref();
    let mut triplets = Vec::new();
    for batch in table::read(path)? {
        read_batch(path, &batch, &mut triplets)?;
    }
    Ok(triplets)
}

fn to_batch(path: &Path, triplets: &[Triplet]) -> Result<RecordBatch, TableError> {
    let ids = |of: fn(&Triplet) -> &[ImageId]| {
        table::list_column(
            triplets
                .iter()
                .map(|triplet| of(triplet).iter().map(ImageId::to_string)),
        )
    };
    let provenance = |triplet: &Triplet| {
        serde_json::to_string(&triplet.provenance).map_err(|error| TableError::Write {
            path: path.to_owned(),
            reason: error.to_string(),
        })
    };
    let provenance = triplets.iter().map(provenance).collect::<Result<Vec<_>, _>>()?;
    table::batch(
        path,
        vec![
            (
                "query",
                table::text_column(triplets.iter().map(|triplet| triplet.query.to_string())),
            ),
            (
                "instruction",
                table::text_column(triplets.iter().map(|triplet| &triplet.instruction)),
            ),
            ("targets", ids(|triplet| &triplet.targets)),
            (
                "relation",
                table::text_column(triplets.iter().map(|triplet| &triplet.relation)),
            ),
            ("hard_negatives", ids(|triplet| &triplet.hard_negatives)),
            ("provenance", table::text_column(provenance)),
        ],
    )
}

fn read_batch(path: &Path, batch: &RecordBatch, triplets: &mut Vec<Triplet>) -> Result<(), TableError> {
    let columns = Columns::new(path, batch);
    let ids = |column: &str, row: usize, texts: &[&str]| {
        texts
            .iter()
            .map(|text| columns.parse(column, row, text.parse::<ImageId>()))
            .collect::<Result<Vec<_>, _>>()
    };
    let (queries, instructions) = (columns.texts("query")?, columns.texts("instruction")?);
    let (targets, relations) = (columns.lists("targets")?, columns.texts("relation")?);
    let (hard_negatives, provenance) = (columns.lists("hard_negatives")?, columns.texts("provenance")?);
    for row in 0..batch.num_rows() {
        triplets.push(Triplet {
            query: columns.parse("query", row, queries[row].parse::<ImageId>())?,
            instruction: instructions[row].to_owned(),
            targets: ids("targets", row, &targets[row])?,
            relation: relations[row].to_owned(),
            hard_negatives: ids("hard_negatives", row, &hard_negatives[row])?,
            provenance: columns.parse("provenance", row, serde_json::from_str::<Provenance>(provenance[row]))?,
        });
    }
    Ok(())
}
