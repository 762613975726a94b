//! A small run for tests: two steps, and triplets of two hosts.

use magiclens_data::{ImageAddress, ImageId, Provenance, Triplet};

use super::*;
use crate::page::Metadata;
use crate::stage::StageCounts;

/// Image `number`, on a page of `host`.
pub(super) fn described(number: usize, host: &str) -> Described {
    let url = format!("https://{host}/pictures/{number}.png");
    Described {
        image: image(number),
        shard: 0,
        page_url: format!("https://{host}/page.html"),
        url,
        width: 320,
        height: 200,
        figure: None,
        position: number as u32,
        license: String::new(),
        opt_outs: Vec::new(),
        metadata: Metadata {
            alt: format!("Picture {number}"),
            heading: "Filters".to_owned(),
            ..Metadata::default()
        },
    }
}

pub(super) fn image(number: usize) -> ImageId {
    ImageId::of_bytes(&image_file(number))
}

/// A PNG of one color.
pub(super) fn image_file(number: usize) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let color = image::Rgb([number as u8, (number / 256) as u8, 200]);
    image::RgbImage::from_pixel(320, 200, color)
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

/// Triplets 0, 1, ...: from image n to n + 1, every third one to n + 2 as well; every fourth one is of another relation, and
/// written by a model. Odd ones are of another host.
pub(super) fn mined(count: usize) -> Vec<Triplet> {
    (0..count).map(one).collect()
}

fn one(number: usize) -> Triplet {
    let host = if number.is_multiple_of(2) {
        "a.example"
    } else {
        "b.example"
    };
    let by_model = number % 4 == 3;
    let last = number + if number.is_multiple_of(3) { 2 } else { 1 };
    let mut targets: Vec<ImageId> = (number + 1..=last).map(image).collect();
    targets.sort();
    let address = |shown: usize| ImageAddress {
        url: described(shown, host).url,
        page: described(shown, host).page_url,
        license: String::new(),
        opt_outs: if number == 2 {
            vec!["noai".to_owned()]
        } else {
            Vec::new()
        },
    };
    Triplet {
        query: image(number),
        instruction: match by_model {
            true => format!("the same house number {number}, but after dark"),
            false => format!("with effect {number}"),
        },
        targets,
        relation: if by_model { "variant" } else { "effect" }.to_owned(),
        hard_negatives: vec![image(number + 100)],
        provenance: Provenance {
            source: format!("https://{host}/page.html"),
            generator: if by_model { "model:m" } else { "template:effect/1" }.to_owned(),
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
            prompt: if by_model { "instruct/1" } else { "" }.to_owned(),
            stages: [("html".to_owned(), 1)].into(),
        },
    }
}

/// Two steps that fit the triplets.
pub(super) fn steps() -> Vec<StepReport> {
    let counts = |items: u64, kept: u64, dropped: &[(&str, u64)]| StageCounts {
        items,
        kept,
        dropped: dropped
            .iter()
            .map(|(reason, items)| (reason.to_string(), *items))
            .collect(),
    };
    let unit = |stage: &str, unit: &str| StageUnit {
        stage: stage.to_owned(),
        unit: unit.to_owned(),
    };
    vec![
        StepReport {
            step: "pages".to_owned(),
            tasks: 3,
            pipeline: vec![
                unit("parse", "pages"),
                unit("language", "pages"),
                unit("size", "pictures"),
            ],
            stages: vec![
                (
                    "parse".to_owned(),
                    counts(1200, 1000, &[("not HTML", 150), ("too large", 50)]),
                ),
                ("language".to_owned(), counts(1000, 900, &[("other language", 100)])),
                (
                    "size".to_owned(),
                    counts(4000, 3000, &[("too small", 750), ("extreme aspect", 250)]),
                ),
            ],
            amounts: [("cost".to_owned(), 0.25)].into(),
            numbers: [("bytes read".to_owned(), 5 << 20), ("robots refused".to_owned(), 3)].into(),
            seconds: [
                ("parse".to_owned(), 2.0),
                ("size".to_owned(), 8.0),
                ("write".to_owned(), 0.5),
            ]
            .into(),
            wall_seconds: 10.0,
            cpu_seconds: 16.0,
            peak_memory_mib: 256.0,
        },
        StepReport {
            step: "triplets".to_owned(),
            tasks: 3,
            pipeline: vec![
                unit("band", "pairs"),
                unit("instruct", "pairs"),
                unit("gates", "instructions"),
            ],
            stages: vec![
                (
                    "band".to_owned(),
                    counts(600, 60, &[("too similar", 300), ("not related", 240)]),
                ),
                ("instruct".to_owned(), counts(60, 50, &[("no template fits", 10)])),
                ("gates".to_owned(), counts(80, 60, &[("leaks the caption", 20)])),
            ],
            wall_seconds: 4.0,
            cpu_seconds: 8.0,
            peak_memory_mib: 512.0,
            ..StepReport::default()
        },
    ]
}

/// All of it as a report.
pub(super) fn report() -> MiningReport {
    let mut gathering = Gathering::new(ReportConfig {
        samples: 20,
        min_compared_words: 20,
        ..ReportConfig::default()
    });
    mined(60).iter().for_each(|triplet| gathering.add(triplet));
    let run = RunFacts {
        name: "example".to_owned(),
        settings: [
            ("generator".to_owned(), "template".to_owned()),
            ("shards".to_owned(), "3".to_owned()),
        ]
        .into(),
        remarks: vec!["One shard of 4 is not done yet.".to_owned()],
    };
    let mut report = gathering.finish(run, &steps());
    for number in 0..70 {
        report.describe(&described(number, "a.example"));
        report.describe(&described(number, "b.example"));
    }
    report
}
