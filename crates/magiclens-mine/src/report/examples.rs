//! A small run for tests: two steps, and triplets of two hosts.

use magiclens_data::{ImageAddress, ImageId, Provenance, Triplet};

use super::triplets::TripletCollector;
use super::*;
use crate::page::Metadata;
use crate::stage::{StageCounts, StageInfo, TaskCounts};
use crate::tasks::TaskCost;

/// Image `number`, on a page of `host`.
pub(super) fn described(number: usize, host: &str) -> Described {
    Described {
        image: image(number),
        shard: 0,
        page_url: format!("https://{host}/page.html"),
        url: format!("https://{host}/pictures/{number}.png"),
        width: 320,
        height: 200,
        figure: None,
        position: number as u32,
        license: String::new(),
        opt_outs: Vec::new(),
        metadata: Metadata {
            alt: format!("Image {number}"),
            heading: "Filters".to_owned(),
            ..Metadata::default()
        },
    }
}

pub(super) fn image(number: usize) -> ImageId {
    ImageId::of_bytes(&number.to_le_bytes())
}

/// Triplets 0, 1, ...: from image n to n + 1, every third one to n + 2 as well; every fourth one is of another relation, and
/// written by a model. Odd ones are of another host.
pub(super) fn mined(count: usize) -> Vec<Triplet> {
    (0..count).map(one).collect()
}

fn one(number: usize) -> Triplet {
    let host = ["a.example", "b.example"][number % 2];
    let by_model = number % 4 == 3;
    let last = number + if number.is_multiple_of(3) { 2 } else { 1 };
    let mut targets: Vec<ImageId> = (number + 1..=last).map(image).collect();
    targets.sort();
    let opt_outs = if number == 2 {
        vec!["noai".to_owned()]
    } else {
        Vec::new()
    };
    let address = |shown: usize| ImageAddress {
        url: described(shown, host).url,
        page: described(shown, host).page_url,
        license: String::new(),
        opt_outs: opt_outs.clone(),
    };
    let text = |model: &str, template: &str| if by_model { model } else { template }.to_owned();
    Triplet {
        query: image(number),
        second: None,
        instruction: match by_model {
            true => format!("the same house number {number}, but after dark"),
            false => format!("with effect {number}"),
        },
        targets,
        relation: text("variant", "aspect"),
        hard_negatives: vec![image(number + 100)],
        provenance: Provenance {
            source: format!("https://{host}/page.html"),
            generator: text("model:m", "template:aspect/1"),
            license: if number == 1 { "CC-BY-4.0" } else { "" }.to_owned(),
            models: if by_model {
                vec!["writer:m".to_owned()]
            } else {
                Vec::new()
            },
            // Fractions of two, which JSON keeps exactly.
            scores: [
                ("image".to_owned(), 0.5 + number as f64 / 1024.0),
                ("text".to_owned(), 0.25),
            ]
            .into(),
            page: format!("https://{host}/page.html"),
            urls: (number..=last).map(|shown| (image(shown), address(shown))).collect(),
            prompt: text("instruct/1", ""),
            stages: [("html".to_owned(), 1)].into(),
        },
    }
}

pub(super) fn counts(items: u64, kept: u64, dropped: &[(&str, u64)]) -> StageCounts {
    StageCounts {
        items,
        kept,
        dropped: dropped
            .iter()
            .map(|(reason, items)| (reason.to_string(), *items))
            .collect(),
    }
}

/// Two steps that fit the triplets.
fn steps() -> Vec<FunnelStep> {
    let stage = |name: &str, items, kept, dropped: &[(&str, u64)]| (name.to_owned(), counts(items, kept, dropped));
    let pages = TaskCounts {
        stages: vec![
            stage("parse", 1200, 1000, &[("not HTML", 150), ("too large", 50)]),
            stage("language", 1000, 900, &[("other language", 100)]),
            stage("size", 4000, 3000, &[("too small", 750), ("extreme aspect", 250)]),
        ],
        numbers: [("bytes read".to_owned(), 5 << 20), ("robots refused".to_owned(), 3)].into(),
    };
    let cost = TaskCost {
        seconds: [
            ("parse".to_owned(), 2.0),
            ("size".to_owned(), 8.0),
            ("write".to_owned(), 0.5),
        ]
        .into(),
        wall_seconds: 10.0,
        cpu_seconds: 16.0,
        peak_memory_mib: 256.0,
        ..TaskCost::default()
    };
    let triplets = TaskCounts {
        stages: vec![
            stage("band", 600, 60, &[("too similar", 300), ("not related", 240)]),
            stage("instruct", 60, 50, &[("no template fits", 10)]),
            stage("gates", 80, 60, &[("leaks the caption", 20)]),
        ],
        ..TaskCounts::default()
    };
    vec![
        FunnelStep::new(
            "pages",
            &[
                StageInfo::new("parse", "pages"),
                StageInfo::new("language", "pages"),
                StageInfo::new("size", "images"),
            ],
            &[(pages, cost)],
        ),
        FunnelStep::new(
            "triplets",
            &[
                StageInfo::new("band", "pairs"),
                StageInfo::new("instruct", "pairs"),
                StageInfo::new("gates", "instructions"),
            ],
            &[(triplets, TaskCost::default())],
        ),
    ]
}

/// A report without steps.
pub(super) fn collected(mined: &[Triplet], samples: usize) -> MiningReport {
    let mut collector = TripletCollector::new(ReportConfig { seed: 0, samples });
    mined.iter().for_each(|triplet| collector.add(triplet));
    collector.finish(RunFacts::default(), Vec::new())
}

pub(super) fn empty() -> MiningReport {
    collected(&[], 10)
}

/// All of it as a report.
pub(super) fn report() -> MiningReport {
    let mut report = collected(&mined(160), 20);
    report.steps = steps();
    report.run = RunFacts {
        name: "example".to_owned(),
        settings: [
            ("generator".to_owned(), "template".to_owned()),
            ("shards".to_owned(), "3".to_owned()),
        ]
        .into(),
        remarks: vec!["One shard of 4 is not done yet.".to_owned()],
    };
    for number in 0..170 {
        report.describe(&described(number, "a.example"));
        report.describe(&described(number, "b.example"));
    }
    report
}
