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
    let count = triplets.len().div_ceil(BATCH_ROWS).max(1);
    let rows = |batch: usize| &triplets[batch * BATCH_ROWS..triplets.len().min((batch + 1) * BATCH_ROWS)];
    let batches = (0..count).map(|batch| to_batch(path, rows(batch)));
    table::write(path, &batches.collect::<Result<Vec<_>, _>>()?)
}

/// All triplets of the Parquet file `path`, in its order. A missing or mistyped column is an error that names it.
pub fn read_triplets(path: impl AsRef<Path>) -> Result<Vec<Triplet>, TableError> {
    table::read_rows(path.as_ref(), triplets_of_columns)
}

fn to_batch(path: &Path, triplets: &[Triplet]) -> Result<RecordBatch, TableError> {
    let all = || triplets.iter();
    let ids = |of: fn(&Triplet) -> &[ImageId]| {
        table::list_column(all().map(|triplet| of(triplet).iter().map(ImageId::to_string)))
    };
    let provenance = all()
        .map(|triplet| serde_json::to_string(&triplet.provenance))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TableError::write(path, error))?;
    let second = |triplet: &Triplet| triplet.second.map(|id| id.to_string());
    let seconds: Vec<Option<String>> = all().map(second).collect();
    let columns = vec![
        (
            "query",
            table::text_column(all().map(|triplet| triplet.query.to_string())),
        ),
        (
            "second",
            table::optional_text_column(seconds.iter().map(Option::as_deref)),
        ),
        (
            "instruction",
            table::text_column(all().map(|triplet| &triplet.instruction)),
        ),
        ("targets", ids(|triplet| &triplet.targets)),
        ("relation", table::text_column(all().map(|triplet| &triplet.relation))),
        ("hard_negatives", ids(|triplet| &triplet.hard_negatives)),
        ("provenance", table::text_column(provenance)),
    ];
    table::batch(path, columns)
}

fn triplets_of_columns(columns: Columns<'_>) -> Result<Vec<Triplet>, TableError> {
    let (queries, instructions) = (columns.parsed("query")?, columns.texts("instruction")?);
    let (mut targets, relations) = (columns.parsed_lists("targets")?, columns.texts("relation")?);
    let mut hard_negatives = columns.parsed_lists("hard_negatives")?;
    let seconds = seconds(columns, queries.len())?;
    let provenance = columns.texts("provenance")?;
    let triplet = |(row, query): (usize, ImageId)| {
        let provenance = serde_json::from_str::<Provenance>(provenance[row]);
        Ok(Triplet {
            query,
            second: seconds[row],
            instruction: instructions[row].to_owned(),
            targets: columns.check("targets", row, answers(std::mem::take(&mut targets[row])))?,
            relation: relations[row].to_owned(),
            hard_negatives: std::mem::take(&mut hard_negatives[row]),
            provenance: columns.check("provenance", row, provenance)?,
        })
    };
    queries.into_iter().enumerate().map(triplet).collect()
}

fn answers(targets: Vec<ImageId>) -> Result<Vec<ImageId>, &'static str> {
    match targets.is_empty() {
        true => Err("there is no right answer"),
        false => Ok(targets),
    }
}

/// The second images; tables from before there were any have no such column.
fn seconds(columns: Columns<'_>, rows: usize) -> Result<Vec<Option<ImageId>>, TableError> {
    const COLUMN: &str = "second";
    let texts = match columns.optional_texts(COLUMN) {
        Err(TableError::MissingColumn { .. }) => return Ok(vec![None; rows]),
        texts => texts?.into_iter().enumerate(),
    };
    let parse = |(row, text): (usize, Option<&str>)| {
        let id = text.map(|text| columns.check(COLUMN, row, text.parse()));
        id.transpose()
    };
    texts.map(parse).collect()
}
