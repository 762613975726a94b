//! `magiclens eval robustness`: other words, "not", contradictions, several images, and when nothing fits.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use magiclens_collection::{Collection, Split};
use magiclens_eval::benchmark::Benchmark;
use magiclens_eval::evaluate::Contestant;
use magiclens_eval::images::embed_images;
use magiclens_eval::robustness::{RobustnessReport, measure};
use magiclens_eval::system::System;

use crate::eval::{Args, Models, print, write_aside};
use crate::progress::Progress;

/// Measures every system that the command line names.
pub(crate) fn run(args: &Args, data: &Path) -> anyhow::Result<()> {
    ensure!(
        args.predictions.is_empty(),
        "robustness asks its own queries, which a file of rankings cannot answer\nhint: name weights with `--model`"
    );
    let split = args.split.as_deref().unwrap_or("test").parse::<Split>()?;
    let collection = Collection::read(data, split)?;
    let benchmark = Benchmark {
        name: "robustness".to_owned(),
        images: collection.images(),
        texts: Vec::new(),
        variants: Vec::new(),
        counts: Vec::new(),
        image_folders: Vec::new(),
        open_gallery: false,
        columns: Vec::new(),
        remarks: Vec::new(),
    };
    let progress = Progress::default();
    let models = Models::load(args)?;
    let mut reports: BTreeMap<String, RobustnessReport> = BTreeMap::new();
    for contestant in models.contestants(&[]) {
        let Contestant::Model {
            name,
            embedder,
            method,
            cache,
        } = contestant
        else {
            continue;
        };
        let embedded = embed_images(&benchmark.images, embedder, cache, &|step| progress.show(step))?;
        if let Some((_, broken)) = embedded.broken.first() {
            let (path, reason) = (broken.path.display(), &broken.reason);
            anyhow::bail!("`{path}` {reason}\nhint: run `magiclens collection build` again");
        }
        let system = RefCell::new(System::new(embedder, method, cache, &benchmark, &embedded));
        let report = measure(&collection, &system).with_context(|| format!("{name} cannot be measured"))?;
        reports.insert(name, report);
    }
    if let Some(folder) = &args.out {
        fs_err::create_dir_all(folder)?;
        write_aside(
            folder,
            "robustness.json",
            &format!("{}\n", serde_json::to_string_pretty(&reports)?),
        )?;
        write_aside(folder, "robustness.md", &markdown(&reports))?;
        write_aside(folder, "robustness.html", &html(&reports))?;
    }
    print(&match args.json {
        true => format!("{}\n", serde_json::to_string_pretty(&reports)?),
        false => markdown(&reports),
    })
}

fn markdown(reports: &BTreeMap<String, RobustnessReport>) -> String {
    let parts = reports
        .iter()
        .map(|(name, report)| format!("# Robustness of {name}\n\n{}\n", report.to_markdown()));
    parts.collect()
}

fn html(reports: &BTreeMap<String, RobustnessReport>) -> String {
    let parts = reports.iter().map(|(name, report)| {
        let name = name.replace('&', "&amp;").replace('<', "&lt;");
        format!("<h1>Robustness of {name}</h1>\n{}", report.to_html())
    });
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Robustness · magiclens</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{}</body>\n</html>\n",
        parts.collect::<String>()
    )
}

const STYLE: &str = "
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid #8884; }
svg { max-width: 100%; height: auto; }
";
