//! LTLL (Large Time Lags Locations, Fernando et al. 2015) as FREEDOM and the i-CIR paper measure it: places of today in the
//! archive and the reverse. The protocol is in [`super::domains`].

use std::path::Path;

use super::domains::{Domain, Protocol, TEMPLATES, build, read};
use super::{Choice, Entry};
use crate::EvalError;
use crate::benchmark::{Benchmark, Count};

pub(super) const ENTRY: Entry = Entry {
    name: "ltll",
    title: "LTLL",
    folder: "ltll",
    layout: "full_files.csv, New/, Old/",
    splits: &["test"],
    templates: TEMPLATES,
    load,
};

const DOMAINS: [Domain; 2] = [("New", "Today"), ("Old", "Archive")];

fn load(data: &Path, choice: &Choice<'_>) -> Result<Benchmark, EvalError> {
    let list = read(data, "list of images", "full_files.csv", &DOMAINS)?;
    let protocol = Protocol {
        entry: &ENTRY,
        domains: &DOMAINS,
        ranks: [5, 10],
        are_styles: false,
        counts: vec![Count::new("images", list.len(), 488)],
        remarks: Vec::new(),
    };
    Ok(build(data, choice, protocol, &list, None))
}
