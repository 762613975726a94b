//! The results that others have published on the benchmarks, from `published.toml`: rows of the table beside ours.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

/// The published rows of one benchmark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// The part of the data that they were measured on.
    pub split: String,
    /// The rows: MagicLens, then its baselines, then later work.
    pub rows: Vec<PublishedRow>,
}

/// The results of one model in one source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedRow {
    /// E.g. "MagicLens-B".
    pub model: String,
    /// The towers, e.g. "CoCa-B", where the source tells.
    pub backbone: Option<String>,
    /// Parameters, e.g. "166M", where the source tells.
    pub params: Option<String>,
    /// In %, by [`label`](super::Column::label) of the column.
    pub values: BTreeMap<String, f64>,
    /// The work that the values are taken from.
    pub source: String,
    /// A caveat for comparisons.
    pub caveat: Option<String>,
}

static ALL: LazyLock<BTreeMap<String, Published>> =
    LazyLock::new(|| toml::from_str(include_str!("published.toml")).expect("a test parses the file that is built in"));

/// A line for each benchmark with published results of a model; `name` is [`PublishedRow::name`].
pub fn published_lines(name: &str) -> Vec<String> {
    let rows = ALL
        .iter()
        .flat_map(|(benchmark, published)| published.rows.iter().map(move |row| (benchmark, published, row)));
    let of_model = rows.filter(|(_, _, row)| row.name() == name);
    let line = |(benchmark, published, row): (&String, &Published, &PublishedRow)| {
        let values: Vec<String> = row
            .values
            .iter()
            .map(|(metric, value)| format!("{metric} {value:.1}"))
            .collect();
        format!(
            "{benchmark} ({}): {} [{}]",
            published.split,
            values.join(", "),
            row.source
        )
    };
    of_model.map(line).collect()
}

/// The published rows of the benchmark of this name; `None` where nothing is published.
pub fn published(benchmark: &str) -> Option<&'static Published> {
    ALL.get(benchmark)
}

impl PublishedRow {
    /// Model and backbone, e.g. "MagicLens-B CoCa-B".
    pub fn name(&self) -> String {
        match &self.backbone {
            // CLIP of CLIP-B is CLIP-B.
            Some(backbone) if backbone.starts_with(&self.model) => backbone.clone(),
            Some(backbone) => format!("{} {backbone}", self.model),
            None => self.model.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::benchmarks::{ALL as BENCHMARKS, LoadOptions};

    /// The smallest files that every loader accepts.
    const STAND_INS: [(&str, &str); 38] = [
        ("fiq/captions/cap.dress.val.json", "[]"),
        ("fiq/captions/cap.shirt.val.json", "[]"),
        ("fiq/captions/cap.toptee.val.json", "[]"),
        ("fiq/image_splits/split.dress.val.json", "[]"),
        ("fiq/image_splits/split.shirt.val.json", "[]"),
        ("fiq/image_splits/split.toptee.val.json", "[]"),
        ("cirr/captions/cap.rc2.val.json", "[]"),
        ("cirr/image_splits/split.rc2.val.json", "{}"),
        ("circo/annotations/val.json", "[]"),
        ("circo/annotations/image_info_unlabeled2017.json", r#"{"images": []}"#),
        ("dtin/imgnet_real_query.txt", ""),
        ("dtin/imgnet_targets.txt", ""),
        ("genecis/focus_attribute.json", TEMPLATE),
        ("genecis/change_attribute.json", TEMPLATE),
        ("genecis/focus_object.json", TEMPLATE),
        ("genecis/change_object.json", TEMPLATE),
        ("TUBerlin/zeroshot/png_ready_filelist_zero.txt", ""),
        ("TUBerlin/zeroshot/ImageResized_ready_filelist_zero.txt", ""),
        ("TUBerlin/zeroshot/cname_cid_zero.txt", ""),
        ("Sketchy/zeroshot0/sketch_tx_000000000000_ready_filelist_zero.txt", ""),
        ("Sketchy/zeroshot0/all_photo_filelist_zero.txt", ""),
        ("Sketchy/zeroshot0/cname_cid_zero.txt", ""),
        ("Sketchy/zeroshot1/sketch_tx_000000000000_ready_filelist_zero.txt", ""),
        ("Sketchy/zeroshot1/all_photo_filelist_zero.txt", ""),
        ("Sketchy/zeroshot1/cname_cid_zero.txt", ""),
        ("QuickDraw/zeroshot/sketch_zero.txt", ""),
        ("QuickDraw/zeroshot/all_photo_zero.txt", ""),
        ("QuickDraw/zeroshot/cname_cid_zero.txt", ""),
        ("flickr30k/dataset_flickr30k.json", r#"{"images": []}"#),
        ("coco/dataset_coco.json", r#"{"images": []}"#),
        ("icir/query_files.csv", ""),
        ("icir/database_files.csv", ""),
        ("imagenet_r/imgnet_targets.txt", ""),
        ("nico/query_files.csv", ""),
        ("nico/database_files.csv", ""),
        ("minidn/query_files.csv", ""),
        ("minidn/database_files.csv", ""),
        ("ltll/full_files.csv", ""),
    ];
    const TEMPLATE: &str = r#"[{"condition": "car", "reference": {"val_image_id": 1},
        "target": {"val_image_id": 2}, "gallery": [{"val_image_id": 3}]}]"#;

    #[test]
    fn every_value_stands_in_a_column_of_its_benchmark() {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in STAND_INS {
            let path = folder.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        for entry in &BENCHMARKS {
            let data = folder.path().join(entry.folder);
            let benchmark = entry.read(&data, &LoadOptions::default()).unwrap();
            let published = published(entry.name).unwrap();
            assert!(entry.splits.contains(&published.split.as_str()), "{}", entry.name);
            for row in &published.rows {
                assert!(!row.values.is_empty(), "{row:?}");
                for (label, value) in &row.values {
                    let known = benchmark.columns.iter().any(|column| column.label == *label);
                    assert!(known && (0.0..=100.0).contains(value), "{}: {label}", entry.name);
                }
            }
        }
        assert_eq!(ALL.len(), BENCHMARKS.len());
    }

    fn check(benchmark: &str, name: &str, label: &str, value: f64) {
        let rows = &published(benchmark).unwrap().rows;
        let row = rows
            .iter()
            .find(|row| row.name() == name && row.values.contains_key(label));
        assert_eq!(row.unwrap().values[label], value, "{benchmark} {name} {label}");
    }

    #[test]
    fn values_are_those_of_the_papers() {
        check("fiq", "MagicLens-L CoCa-L", "R@10", 38.0);
        check("fiq", "LinCIR CLIP-L", "R@50", 46.5);
        check("cirr", "MagicLens-B CLIP-B", "Rs@1", 66.7);
        check("cirr", "BGE-VL-large CLIP-L", "R@1", 38.0);
        check("circo", "MagicLens-B CLIP-B", "mAP@5", 23.1);
        check("circo", "Pic2Word CLIP-L", "mAP@5", 8.7);
        check("circo", "BGE-VL-large CLIP-L", "mAP@5", 39.2);
        check("dtin", "MagicLens-L CoCa-L", "hit@10", 48.2);
        check("dtin", "Pic2Word CLIP-L", "R@10", 10.1);
        check("genecis", "MagicLens-B CoCa-B", "change_object R@3", 42.9);
        check("tu-berlin", "ZSE-SBIR (2023)", "P@100", 63.7);
        check("sketchy", "MagicLens-L CLIP-L", "mAP@200 (25)", 68.2);
        check("quickdraw", "ViT (2021)", "mAP", 10.1);
        check("flickr30k", "CLIP-L", "T->I R@1", 65.4);
        check("coco", "MagicLens-L CoCa-L", "T->I R@10", 84.9);
        check("icir", "BASIC, no expansion CLIP-L", "mAP", 34.35);
        check("icir", "MagicLens", "mAP", 27.35);
        check("imagenet-r", "BASIC CLIP-L", "mAP", 32.13);
        check("nico", "CoVR", "mAP", 24.93);
        check("minidomainnet", "FREEDOM CLIP-L", "mAP", 37.27);
        check("ltll", "BASIC CLIP-L", "mAP", 41.38);
        // The mean of the three categories, as printed.
        let row = &published("fiq").unwrap().rows[3];
        let mean = ["dress", "shirt", "toptee"].map(|category| row.values[&format!("{category} R@50")]);
        assert!((mean.iter().sum::<f64>() / 3.0 - row.values["R@50"]).abs() < 0.11);
        assert_eq!(published("own"), None);
    }
}
