//! MiniDomainNet (Zhou et al. 2021; 126 classes of DomainNet) as FREEDOM and the i-CIR paper measure it; the protocol is in [`super::domains`].

use std::path::Path;

use super::domains::{Domain, Protocol, TEMPLATES, build, read};
use super::{Choice, Entry};
use crate::EvalError;
use crate::benchmark::{Benchmark, Count};

pub(super) const ENTRY: Entry = Entry {
    name: "minidomainnet",
    title: "MiniDomainNet",
    folder: "minidn",
    layout: "query_files.csv, database_files.csv, clipart/, painting/, real/, sketch/",
    splits: &["test"],
    templates: TEMPLATES,
    load,
};

const DOMAINS: [Domain; 4] = [
    ("clipart", "clipart"),
    ("painting", "painting"),
    ("real", "photo"),
    ("sketch", "sketch"),
];

fn load(data: &Path, choice: &Choice<'_>) -> Result<Benchmark, EvalError> {
    let queries = read(data, "list of queries", "query_files.csv", &DOMAINS)?;
    let gallery = read(data, "list of the gallery", "database_files.csv", &DOMAINS)?;
    let protocol = Protocol {
        entry: &ENTRY,
        domains: &DOMAINS,
        ranks: [50, 100],
        are_styles: true,
        counts: vec![Count::new("queries", queries.len(), 2520)],
        remarks: vec!["The size of the published gallery is not known to us: only the queries are counted.".to_owned()],
    };
    Ok(build(data, choice, protocol, &queries, Some(&gallery)))
}
