//! ImageNet-R as FREEDOM and the i-CIR paper measure it: the images of [DTIN](super::dtin) and their list, otherwise asked. All
//! five domains are asked from, not photographs alone; the queries are the gallery's own images, not the 10,000 of
//! `imgnet_real_query.txt`; and the metric is mAP over the whole ranking. The rest is in [`super::domains`].

use std::path::Path;

use super::domains::{Domain, Labeled, Protocol, TEMPLATES, build};
use super::{Choice, Entry, dtin};
use crate::EvalError;
use crate::benchmark::{Benchmark, Count};

pub(super) const ENTRY: Entry = Entry {
    name: "imagenet-r",
    title: "ImageNet-R",
    folder: "imagenet_r",
    layout: "imgnet_targets.txt, real/, imagenet-r/",
    splits: &["test"],
    templates: TEMPLATES,
    load,
};

const DOMAINS: [Domain; 5] = [
    ("real", "photo"),
    ("cartoon", "cartoon"),
    ("origami", "origami"),
    ("toy", "toy"),
    ("sculpture", "sculpture"),
];

fn load(data: &Path, choice: &Choice<'_>) -> Result<Benchmark, EvalError> {
    let targets = dtin::targets(data)?;
    let list: Vec<Labeled> = targets.into_iter().map(labeled).collect();
    let protocol = Protocol {
        entry: &ENTRY,
        domains: &DOMAINS,
        ranks: [10, 50],
        are_styles: true,
        counts: vec![Count::new("images", list.len(), 16_983)],
        remarks: vec!["The images are DTIN's; queries, directions and metric are not.".to_owned()],
    };
    Ok(build(data, choice, protocol, &list, None))
}

/// Labels are the class plus 0, 1000, 2000, 3000 for cartoon, origami, toy, sculpture; what is above is a photograph.
fn labeled((path, label): (String, u32)) -> Labeled {
    let domain = match label / dtin::OFFSET {
        drawn @ 0..4 => drawn as usize + 1,
        _ => 0,
    };
    Labeled {
        path,
        domain,
        class: (label % dtin::OFFSET).to_string(),
    }
}
