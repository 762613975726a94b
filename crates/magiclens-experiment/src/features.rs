//! Frozen features of texts, each computed once however many runs and probes ask for it.

use std::collections::HashMap;
use std::path::PathBuf;

use magiclens_model::Embedder;
use magiclens_train::feature_table::FeatureTable;
use magiclens_train::features::text_features;

use crate::ExperimentError;

/// Text features by text. Missing ones are computed when they are asked for, and kept in the cache folder.
pub(crate) struct TextFeatures {
    embedder: Embedder,
    cache: PathBuf,
    rows: HashMap<String, usize>,
    table: FeatureTable,
}

impl TextFeatures {
    pub(crate) fn new(embedder: Embedder, cache: PathBuf) -> Self {
        Self {
            embedder,
            cache,
            rows: HashMap::new(),
            table: FeatureTable::default(),
        }
    }

    pub(crate) fn embedder(&self) -> &Embedder {
        &self.embedder
    }

    /// The features of all texts that were asked for so far.
    pub(crate) fn table(&self) -> &FeatureTable {
        &self.table
    }

    /// The row of each text in [`TextFeatures::table`]; `progress` is told of texts done.
    pub(crate) fn rows(
        &mut self,
        texts: &[&str],
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<usize>, ExperimentError> {
        let mut missing: Vec<&str> = Vec::new();
        for text in texts {
            if !self.rows.contains_key(*text) {
                self.rows.insert((*text).to_owned(), self.table.len() + missing.len());
                missing.push(text);
            }
        }
        if !missing.is_empty() {
            match text_features(&self.embedder, &missing, &self.cache, progress) {
                Ok(found) => {
                    self.table.width = found.width;
                    self.table.values.extend(found.values);
                }
                Err(error) => {
                    self.rows.retain(|text, _| !missing.contains(&text.as_str()));
                    return Err(error.into());
                }
            }
        }
        Ok(texts.iter().map(|text| self.rows[*text]).collect())
    }

    /// A table with a row for each text, in their order.
    pub(crate) fn of(
        &mut self,
        texts: &[&str],
        progress: &mut dyn FnMut(usize),
    ) -> Result<FeatureTable, ExperimentError> {
        let rows = self.rows(texts, progress)?;
        let width = self.table.width;
        let row = |row: usize| self.table.values[row * width..(row + 1) * width].iter().copied();
        Ok(FeatureTable {
            width,
            values: rows.into_iter().flat_map(row).collect(),
        })
    }
}
