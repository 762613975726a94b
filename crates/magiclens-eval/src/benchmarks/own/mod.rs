//! Our own benchmarks, out of a collection made by `magiclens collection build`: concepts that were never trained on, asked
//! for in wordings that were never trained on.
//!
//! - Files: `images.parquet`, `triplets-{test,dev}.parquet`, `images/`; for foods, which only the test part has,
//!   `food-images.parquet` and `triplets-food.parquet`.
//! - Query text: the triplet's held-out wording; for focus "same style" and "same thing", as GeneCIS gives its conditions.
//! - Gallery: all images of the part, the query image removed from its ranking; for foods all food photographs; for
//!   focus fifteen candidates (`focus.rs`).
//! - Truth: all images that answer by their labels, often several.
//! - Variant `captions`: a caption alone, searched by the two towers among the photographs, or the drawings, of the part; right is every
//!   image with that caption (`captions.rs`).
//! - Metrics: R@k is 1 if any right image is among the first k; mAP@10. Focus: R@1, 2, 3.
//! - Counts: of the collection of all packages of `scripts/fetch-packages`, seed 0.

mod captions;
mod focus;

use std::path::Path;

use magiclens_collection::{
    COLOR, Collection, DRAWING_TO_PHOTO, FOOD, GENDER, GROUP, LabeledImage, PHOTO_TO_DRAWING, RowTriplet,
    SKETCH_TO_COLOR, SKIN_TONE, STYLE, STYLE_FAMILY, STYLE_UNSEEN, Split, food_images_path, food_triplets_path,
    read_labeled_images,
};
use magiclens_data::read_triplets;

use super::{Choice, Entry};
use crate::EvalError;
use crate::benchmark::{Benchmark, Column, Count, Measure, Metric, Query, Scope, Task, Truth, Variant, image_entries};
use captions::CAPTIONS;
use focus::Focus;

pub(super) const ENTRY: Entry = Entry {
    name: "own",
    title: "Own",
    folder: "collection",
    layout: "pictures.parquet, triplets-test.parquet, pictures/, all made by `magiclens collection build`",
    splits: &["test", "dev"],
    templates: &["held-out wordings"],
    load,
};

/// The flag of the variant with instructions.
const FLAG: &str = "labels";
/// Relations, with the queries of the test and the dev part.
const RELATIONS: [(&str, usize, usize); 10] = [
    (STYLE, 3000, 3000),
    (STYLE_FAMILY, 3000, 2397),
    (STYLE_UNSEEN, 3000, 3000),
    (SKETCH_TO_COLOR, 254, 133),
    (SKIN_TONE, 2421, 1162),
    (GENDER, 312, 311),
    (COLOR, 426, 18),
    (GROUP, 3000, 2147),
    (PHOTO_TO_DRAWING, 855, 254),
    (DRAWING_TO_PHOTO, 501, 147),
];
/// Images of the test and the dev part.
const IMAGES: (usize, usize) = (3859, 3092);
/// Food photographs and the queries about them.
const FOODS: (usize, usize) = (429, 400);

fn load(data: &Path, choice: &Choice<'_>) -> Result<Benchmark, EvalError> {
    let split = if choice.split == "dev" { Split::Dev } else { Split::Test };
    let published = |test: usize, dev: usize| if split == Split::Dev { dev } else { test };
    let collection = Collection::read(data, split)?;
    let mut loading = Loading {
        benchmark: Benchmark {
            images: image_entries(&collection),
            ..Benchmark::default()
        },
        tasks: Vec::new(),
        captions: captions::tasks(&collection),
    };
    loading.count("images", collection.images.len(), published(IMAGES.0, IMAGES.1));
    let gallery: Vec<usize> = (0..collection.images.len()).collect();
    for (relation, test, dev) in RELATIONS {
        let asked = (0..)
            .zip(&collection.triplets)
            .filter(|(_, asked)| asked.relation == relation);
        let queries = asked
            .map(|(number, asked)| query(&collection, number, asked, 0))
            .collect();
        loading.add(relation, &gallery, queries, Scope::Ranking, published(test, dev));
    }
    for focus in [Focus::Style, Focus::Thing] {
        let queries = focus::queries(&collection, focus);
        loading.add(focus.task(), &[], queries, Scope::Subset, focus::QUERIES);
    }
    if split == Split::Test {
        loading.add_foods(data)?;
    }
    Ok(loading.finish())
}

/// A benchmark that is being put together.
struct Loading {
    benchmark: Benchmark,
    tasks: Vec<Task>,
    /// The tasks without an image in the query.
    captions: Vec<Task>,
}

impl Loading {
    fn count(&mut self, what: &str, found: usize, published: usize) {
        self.benchmark.counts.push(Count::new(what, found, published));
    }

    fn add(&mut self, name: &str, gallery: &[usize], queries: Vec<Query>, scope: Scope, published: usize) {
        self.count(&format!("{name} queries"), queries.len(), published);
        if queries.is_empty() {
            let remark = format!("`{name}`: this collection has no such queries; means are over the other tasks.");
            self.benchmark.remarks.push(remark);
            return;
        }
        let measures = if scope == Scope::Subset {
            Measure::at("R", [1, 2, 3], Metric::Hit)
                .map(|measure| measure.within(Scope::Subset))
                .into()
        } else {
            let mut measures = Measure::at("R", [1, 5, 10], Metric::Hit).to_vec();
            measures.extend(Measure::at("mAP", [10], Metric::AveragePrecision));
            measures
        };
        self.tasks.push(Task {
            name: name.to_owned(),
            gallery: gallery.to_vec(),
            queries,
            measures,
            ..Task::default()
        });
    }

    /// Foods have a gallery of their own, behind the other images.
    fn add_foods(&mut self, data: &Path) -> Result<(), EvalError> {
        let (table, path) = (food_images_path(data), food_triplets_path(data));
        let (images, triplets) = if table.is_file() {
            (read_labeled_images(&table)?, read_triplets(&path)?)
        } else {
            (Vec::new(), Vec::new())
        };
        let foods = Collection::new(data, Split::Test, images, &triplets, &path)?;
        let images = &mut self.benchmark.images;
        let first = images.len();
        images.extend(image_entries(&foods));
        let gallery: Vec<usize> = (first..images.len()).collect();
        self.count("food photographs", foods.images.len(), FOODS.0);
        let asked = foods.triplets.iter().enumerate();
        let queries = asked
            .map(|(number, asked)| query(&foods, number, asked, first))
            .collect();
        self.add(FOOD, &gallery, queries, Scope::Ranking, FOODS.1);
        Ok(())
    }

    fn finish(self) -> Benchmark {
        let mut columns = vec![Column::of_mean("mean R@1", FLAG, "R@1")];
        for task in &self.tasks {
            let measures: &[&str] = match task.name.as_str() {
                GROUP | SKETCH_TO_COLOR => &["R@1", "R@10", "mAP@10"],
                _ if task.gallery.is_empty() => &["R@1"],
                _ => &["R@1", "R@10"],
            };
            columns.extend(Column::of_tasks(FLAG, [task.name.as_str()], measures));
        }
        let mut variants = vec![Variant::new(FLAG, "truth by labels, query image removed", self.tasks)];
        if !self.captions.is_empty() {
            for task in &self.captions {
                columns.extend(Column::of_tasks(CAPTIONS, [task.name.as_str()], &["R@1", "R@10"]));
            }
            variants.push(Variant::new(
                CAPTIONS,
                "captions alone, by the two towers",
                self.captions,
            ));
        }
        Benchmark {
            variants,
            columns,
            ..self.benchmark
        }
    }
}

/// The query of a triplet; its images begin at row `first` of the benchmark.
fn query(collection: &Collection, number: usize, asked: &RowTriplet, first: usize) -> Query {
    let reference = first + asked.query;
    Query {
        id: number.to_string(),
        images: vec![reference],
        text: asked.instruction.clone(),
        caption: asked.instruction.clone(),
        truth: Truth::Items(asked.targets.iter().map(|row| first + row).collect()),
        exclude: vec![reference],
        groups: vec![group(collection, asked)],
        cluster: collection.roots[asked.query],
        ..Query::default()
    }
}

/// The group of a query in breakdowns: the style that is asked for, the skin tone, and so on.
fn group(collection: &Collection, asked: &RowTriplet) -> String {
    let query = &collection.images[asked.query];
    let mut answers = asked.targets.iter().map(|row| &collection.images[*row]);
    let Some(answer) = answers.next() else {
        return String::new();
    };
    let or_empty = |word: &Option<String>| word.clone().unwrap_or_default();
    match asked.relation.as_str() {
        SKIN_TONE => or_empty(&answer.skin_tone),
        GENDER => or_empty(&answer.gender),
        COLOR => or_empty(&answer.color),
        GROUP | FOOD => query.subgroup.clone(),
        DRAWING_TO_PHOTO => query.style.clone(),
        _ if answers.all(|other: &LabeledImage| other.style == answer.style) => answer.style.clone(),
        _ => "any style".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use magiclens_collection::{DRAWINGS, write_labeled_images};
    use magiclens_data::{ImageId, Provenance, Triplet, write_triplets};

    use super::*;
    use crate::benchmarks::LoadOptions;
    use crate::made_up::{drawing, made_up};
    use crate::outcome::{Classes, Ranked, judge};

    fn folder(with_foods: bool) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let (mut images, triplets) = made_up();
        // An image of another part stands before the others.
        images.insert(
            0,
            LabeledImage {
                split: Split::Dev,
                ..drawing("noto", "noto", "hen", "hen", None)
            },
        );
        write_labeled_images(folder.path().join("pictures.parquet"), &images).unwrap();
        write_triplets(folder.path().join("triplets-test.parquet"), &triplets).unwrap();
        write_triplets(folder.path().join("triplets-dev.parquet"), &[]).unwrap();
        if with_foods {
            let foods = ["red", "white", "black"].map(|color| drawing("photo", "photo", color, "bean", Some(color)));
            write_labeled_images(food_images_path(folder.path()), &foods).unwrap();
            let triplet = Triplet {
                query: foods[0].id,
                second: None,
                instruction: "the white variety".to_owned(),
                targets: vec![foods[1].id],
                relation: FOOD.to_owned(),
                hard_negatives: vec![foods[2].id],
                provenance: Provenance::default(),
            };
            write_triplets(food_triplets_path(folder.path()), &[triplet]).unwrap();
        }
        folder
    }

    fn load(folder: &tempfile::TempDir, split: Option<&str>) -> Benchmark {
        let options = LoadOptions {
            split: split.map(str::to_owned),
            ..LoadOptions::default()
        };
        Entry::named("own").unwrap().load(folder.path(), &options).unwrap()
    }

    fn task<'a>(own: &'a Benchmark, name: &str) -> &'a Task {
        own.variants[0].tasks.iter().find(|task| task.name == name).unwrap()
    }

    #[test]
    fn the_gallery_is_the_part_and_truth_is_what_the_labels_say() {
        let own = load(&folder(true), None);
        let (images, _) = made_up();
        let style = task(&own, STYLE);
        assert_eq!(style.gallery, (0..images.len()).collect::<Vec<_>>());
        let ids: Vec<String> = own.images.iter().map(|image| image.id.to_string()).collect();
        assert_eq!(
            ids[..images.len()],
            images.iter().map(|image| image.id.to_string()).collect::<Vec<_>>()
        );
        for query in &style.queries {
            let Truth::Items(truth) = &query.truth else { panic!() };
            assert_eq!((&query.exclude, query.images.len()), (&query.images, 1));
            assert!(!truth.contains(&query.images[0]));
            let asked = format!("as {}", query.groups[0]);
            assert!(truth.iter().all(|row| images[*row].style == query.groups[0]) && query.text == asked);
        }
        // Three images of each group in its style; hearts have only each other, of one root.
        let group = task(&own, GROUP);
        assert_eq!(group.queries.len(), DRAWINGS.len() * 4);
        let ranked = Ranked {
            items: vec![2, 6, 1, 3],
            subset: Vec::new(),
        };
        // The cat asks for dog, fox and owl: found at ranks 1, 3 and 4.
        let values = judge(group, &Classes::of(group), &group.queries[0], &ranked);
        let precision = (1.0 + 2.0 / 3.0 + 3.0 / 4.0) / 3.0;
        assert_eq!(values[..3], [1.0, 1.0, 1.0]);
        assert!((values[3] - precision).abs() < 1e-12);
    }

    #[test]
    fn foods_have_their_own_gallery() {
        let own = load(&folder(true), None);
        let first = made_up().0.len();
        let food = task(&own, FOOD);
        assert_eq!(food.gallery, [first, first + 1, first + 2]);
        let query = &food.queries[0];
        assert_eq!((query.images[0], &query.truth), (first, &Truth::Items(vec![first + 1])));
        assert!(
            own.images[first]
                .path
                .ends_with(format!("pictures/{}.png", ImageId::of_bytes(b"photo red")))
        );
        let without = load(&folder(false), None);
        assert!(without.variants[0].tasks.iter().all(|task| task.name != FOOD));
        assert!(without.remarks.iter().any(|remark| remark.contains("`food`")) && !without.is_complete());
    }

    #[test]
    fn query_ids_differ_and_columns_name_what_is_there() {
        let own = load(&folder(true), None);
        for task in &own.variants[0].tasks {
            let ids: std::collections::HashSet<_> = task.queries.iter().map(|query| &query.id).collect();
            assert_eq!(ids.len(), task.queries.len(), "{}", task.name);
        }
        for column in &own.columns {
            let variant = own.variant(&column.variant).unwrap();
            let tasks = variant
                .tasks
                .iter()
                .filter(|task| column.task.as_ref().is_none_or(|name| *name == task.name));
            assert!(
                tasks.map(|task| task.measure(&column.measure)).all(|at| at.is_some()),
                "{column:?}"
            );
        }
    }

    #[test]
    fn the_dev_part_is_another_one() {
        let own = load(&folder(true), Some("dev"));
        assert_eq!((own.images.len(), own.variants[0].tasks.len()), (1, 0));
        let split = Some("train".to_owned());
        let refused = LoadOptions {
            split,
            ..LoadOptions::default()
        };
        let error = ENTRY.load(folder(false).path(), &refused).unwrap_err().to_string();
        assert!(error.contains("`test`") && error.contains("`dev`"), "{error}");
    }
}
