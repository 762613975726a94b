//! NICO++ (Zhang et al. 2023), contexts instead of styles, as FREEDOM and the i-CIR paper measure it; the protocol is in [`super::domains`].

use std::path::Path;

use super::domains::{Domain, Protocol, TEMPLATES, build, read};
use super::{Choice, Entry};
use crate::EvalError;
use crate::benchmark::{Benchmark, Count};

pub(super) const ENTRY: Entry = Entry {
    name: "nico",
    title: "NICO++",
    folder: "nico",
    layout: "query_files.csv, database_files.csv, autumn/, dim/, grass/, outdoor/, rock/, water/",
    splits: &["test"],
    templates: TEMPLATES,
    load,
};

const DOMAINS: [Domain; 6] = [
    ("autumn", "autumn"),
    ("dim", "dimlight"),
    ("grass", "grass"),
    ("outdoor", "outdoor"),
    ("rock", "rock"),
    ("water", "water"),
];

fn load(data: &Path, choice: &Choice<'_>) -> Result<Benchmark, EvalError> {
    let queries = read(data, "list of queries", "query_files.csv", &DOMAINS)?;
    let gallery = read(data, "list of the gallery", "database_files.csv", &DOMAINS)?;
    let protocol = Protocol {
        entry: &ENTRY,
        domains: &DOMAINS,
        ranks: [50, 100],
        are_styles: false,
        counts: vec![
            Count::new("queries", queries.len(), 8723),
            Count::new("images", gallery.len(), 80_134),
        ],
        remarks: Vec::new(),
    };
    Ok(build(data, choice, protocol, &queries, Some(&gallery)))
}
