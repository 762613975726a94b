//! `magiclens eval robustness`: other words, "not", contradictions, several images, and when nothing fits.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use magiclens_collection::{Collection, Split};
use magiclens_data::files::write_atomic_bytes;
use magiclens_eval::robustness::{RobustnessReport, measure_model};

use crate::output::print_as;
use crate::progress::Progress;
use crate::systems::{Models, SystemArgs};

/// The flags of `magiclens eval` that robustness heeds.
pub(crate) struct Options<'a> {
    pub(crate) systems: &'a SystemArgs,
    pub(crate) data: &'a Path,
    pub(crate) split: Option<&'a str>,
    pub(crate) out: Option<&'a Path>,
    pub(crate) json: bool,
}

/// Measures every system that the command line names.
pub(crate) fn run(options: &Options<'_>) -> anyhow::Result<()> {
    let split = options.split.unwrap_or("test").parse::<Split>()?;
    let collection = Collection::read(options.data, split)?;
    let progress = Progress::default();
    let models = Models::load(options.systems, true)?;
    let mut reports: BTreeMap<String, RobustnessReport> = BTreeMap::new();
    for (name, model) in models.asked() {
        let report = measure_model(&collection, model, &|step| progress.show(step));
        let report = report.with_context(|| format!("{name} cannot be measured"))?;
        reports.insert(name, report);
    }
    let document = RobustnessReport::document(&reports);
    if let Some(folder) = options.out {
        fs_err::create_dir_all(folder)?;
        let json = format!("{}\n", serde_json::to_string_pretty(&reports)?);
        write_atomic_bytes(folder.join("robustness.json"), json)?;
        write_atomic_bytes(folder.join("robustness.md"), document.to_markdown())?;
        write_atomic_bytes(folder.join("robustness.html"), document.to_html())?;
    }
    print_as(options.json, &reports, || document.to_markdown())
}
