//! What each loader makes of its annotation files.

use std::path::Path;

use magiclens_eval::Id;
use magiclens_eval::benchmark::{Benchmark, Mean, Query, Task, Truth};
use magiclens_eval::benchmarks::{ALL, Entry, LoadOptions};

use crate::stand_ins;

pub(crate) fn load(name: &str, folder: &Path) -> Benchmark {
    Entry::named(name)
        .unwrap()
        .load(folder, &LoadOptions::default())
        .unwrap()
}

fn load_with(name: &str, folder: &Path, split: Option<&str>, template: Option<&str>) -> Benchmark {
    let options = LoadOptions {
        split: split.map(str::to_owned),
        template: template.map(str::to_owned),
        only_rankings: false,
    };
    Entry::named(name).unwrap().load(folder, &options).unwrap()
}

pub(crate) fn task<'a>(benchmark: &'a Benchmark, variant: &str, task: &str) -> &'a Task {
    let tasks = &benchmark.variant(variant).unwrap().tasks;
    tasks.iter().find(|found| found.name == task).unwrap()
}

fn ids(benchmark: &Benchmark, rows: &[usize]) -> Vec<String> {
    rows.iter().map(|row| benchmark.images[*row].id.to_string()).collect()
}

fn truth(benchmark: &Benchmark, query: &Query) -> Vec<String> {
    match &query.truth {
        Truth::Items(rows) => ids(benchmark, rows),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_benchmark_loads_and_its_images_are_where_it_says() {
    for (name, folder) in stand_ins::all() {
        let benchmark = load(name, folder.path());
        assert_eq!(benchmark.name, name);
        for image in &benchmark.images {
            assert!(image.path.is_file(), "{name}: {}", image.path.display());
        }
        for column in &benchmark.columns {
            let variant = benchmark.variant(&column.variant).unwrap();
            let mut tasks = variant
                .tasks
                .iter()
                .filter(|task| column.task.as_ref().is_none_or(|name| *name == task.name));
            // Columns of tasks whose files are not there stay empty.
            let there = tasks.all(|task| task.measure(&column.measure).is_some());
            assert!(there, "{name}: {column:?}");
        }
        assert!(!benchmark.is_complete(), "{name} is no full data set");
        for task in benchmark.variants.iter().flat_map(|variant| &variant.tasks) {
            let mut ids: Vec<&str> = task.queries.iter().map(|query| query.id.as_str()).collect();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), task.queries.len(), "{name} {}", task.name);
        }
    }
    assert_eq!(stand_ins::all().len(), ALL.len());
}

#[test]
fn fashioniq() {
    let folder = stand_ins::fiq();
    let benchmark = load("fiq", folder.path());
    let shirt = task(&benchmark, "original", "shirt");
    assert_eq!(ids(&benchmark, &shirt.gallery), ["S0", "S1", "S2", "S3", "S4"]);
    let query = &shirt.queries[1];
    assert_eq!(query.text, "is red.  and has long sleeves?");
    assert_eq!(query.caption, "is red and has long sleeves");
    assert_eq!(
        (ids(&benchmark, &query.images), truth(&benchmark, query)),
        (vec!["S2".into()], vec!["S3".into()])
    );
    assert!(query.exclude.is_empty());
    let removed = task(&benchmark, "original-removed", "shirt");
    assert_eq!(removed.queries[1].exclude, query.images);
    assert_eq!(
        ids(&benchmark, &task(&benchmark, "val", "shirt").gallery),
        ["S0", "S1", "S2", "S3"]
    );
    let text = |template| {
        task(
            &load_with("fiq", folder.path(), None, Some(template)),
            "original",
            "shirt",
        )
        .queries[0]
            .text
            .clone()
    };
    assert_eq!(text("megapairs"), "is red. , and has long sleeves?");
    assert_eq!(text("searle"), "is red and has long sleeves");
}

#[test]
fn cirr() {
    let folder = stand_ins::cirr("val");
    let benchmark = load("cirr", folder.path());
    let val = task(&benchmark, "removed", "val");
    assert_eq!((val.gallery.len(), val.queries[1].id.as_str()), (8, "34"));
    assert_eq!(
        ids(&benchmark, &val.queries[1].subset),
        [0, 1, 2, 3, 4].map(|i| format!("dev-{i}-img0"))
    );
    assert_eq!(ids(&benchmark, &val.queries[1].exclude), ["dev-5-img0"]);
    assert_eq!(truth(&benchmark, &val.queries[1]), ["dev-2-img0"]);
    assert!(task(&benchmark, "kept", "val").queries[1].exclude.is_empty());
    let hidden = stand_ins::cirr("test1");
    assert!(load_with("cirr", hidden.path(), Some("test1"), None).is_hidden());
}

#[test]
fn circo() {
    let folder = stand_ins::circo(9, 3);
    let benchmark = load("circo", folder.path());
    let val = task(&benchmark, "kept", "val");
    assert_eq!(benchmark.images[val.gallery[2]].id, Id::Number(114));
    let query = &val.queries[0];
    assert_eq!(query.text, "find a man but has a red hat");
    assert_eq!(truth(&benchmark, query), ["107", "114", "121"]);
    assert_eq!(query.target, Some(val.gallery[1]));
    assert_eq!(query.groups, ["addition", "negation"]);
    let text = |template| {
        task(&load_with("circo", folder.path(), None, Some(template)), "kept", "val").queries[0]
            .text
            .clone()
    };
    assert_eq!(text("megapairs"), "Find a picture that also a man, but has a red hat");
    assert_eq!(text("caption"), "has a red hat");
    let test = load_with("circo", folder.path(), Some("test"), None);
    assert!(test.is_hidden());
    assert_eq!(task(&test, "kept", "test").queries.len(), 3);
}

#[test]
fn domain_transfer() {
    let folder = stand_ins::dtin();
    for data in [folder.path().to_owned(), folder.path().join("imgnet")] {
        let benchmark = load("dtin", &data);
        assert!(benchmark.images.iter().all(|image| image.path.is_file()));
        // Queries are among the targets as distractors: one image, one row.
        assert_eq!(benchmark.images.len(), 7);
        let toy = task(&benchmark, "kept", "toy");
        assert_eq!(toy.queries[1].text, "find this object in toy");
        assert_eq!(
            (&toy.queries[0].truth, &toy.queries[1].truth),
            (&Truth::Class(2003), &Truth::Class(2009))
        );
        assert_eq!(
            task(&benchmark, "kept", "sculpture").queries[1].truth,
            Truth::Class(3009)
        );
        assert_eq!(toy.queries[0].prompt.as_deref(), Some("a toy of *"));
    }
}

#[test]
fn genecis() {
    let folder = stand_ins::genecis();
    let benchmark = load("genecis", folder.path());
    let tasks: Vec<&str> = benchmark.variants[0]
        .tasks
        .iter()
        .map(|task| task.name.as_str())
        .collect();
    assert_eq!(tasks, ["focus_attribute", "focus_object", "change_object"]);
    let focus = task(&benchmark, "official", "focus_object");
    assert_eq!(focus.queries.len(), 2, "the list of unusual length is left out");
    assert_eq!(ids(&benchmark, &focus.queries[0].subset), ["1", "2", "3"]);
    assert_eq!(truth(&benchmark, &focus.queries[0]), ["1"]);
    let attribute = &task(&benchmark, "official", "focus_attribute").queries[0];
    assert_eq!(ids(&benchmark, &attribute.images), ["0:4,4,8,6"]);
    assert_eq!(benchmark.images[attribute.images[0]].crop.unwrap().height, 6.0);
    for part in ["change_attribute.json", "1 of 3 queries"] {
        assert!(
            benchmark.remarks.iter().any(|remark| remark.contains(part)),
            "{part}: {:?}",
            benchmark.remarks
        );
    }
}

#[test]
fn sketch_benchmarks() {
    for (name, folder, variant, variants) in [
        ("tu-berlin", stand_ins::tu_berlin(), "zeroshot", 1),
        ("sketchy", stand_ins::sketchy(), "25", 2),
        ("quickdraw", stand_ins::quickdraw(), "zeroshot", 1),
    ] {
        let benchmark = load(name, folder.path());
        assert_eq!(benchmark.variants.len(), variants);
        let task = &benchmark.variant(variant).unwrap().tasks[0];
        assert_eq!(task.classes, [0, 0, 1, 1, 0]);
        assert_eq!(task.queries[1].truth, Truth::Class(1));
        assert_eq!(task.queries[1].groups, ["hot air"]);
        assert_eq!(task.queries[1].text, "find a natural image of it");
        assert_eq!(task.depth(), None, "mean average precision looks to the end");
    }
    let folder = stand_ins::quickdraw();
    let list = folder.path().join("zeroshot/sketch_zero.txt");
    let twice = format!("{}\nsk/bat/1.png 0\n", fs_err::read_to_string(&list).unwrap());
    fs_err::write(&list, twice).unwrap();
    let benchmark = load("quickdraw", folder.path());
    let queries = &benchmark.variants[0].tasks[0].queries;
    assert_eq!((queries.len(), queries[3].id.as_str()), (4, "sk/bat/1.png#2"));
}

#[test]
fn captions() {
    let folder = stand_ins::flickr30k();
    let benchmark = load("flickr30k", folder.path());
    assert_eq!(benchmark.texts[2].text, "A man, number 1, walks.");
    let back = task(&benchmark, "all", "image to text");
    assert_eq!(back.queries[1].truth, Truth::Items(vec![2, 3]));
    let there = task(&benchmark, "all", "text to image");
    assert_eq!(
        (there.queries.len(), there.queries[3].truth.clone()),
        (6, Truth::Items(vec![1]))
    );

    let folder = stand_ins::coco();
    let benchmark = load("coco", folder.path());
    assert_eq!(
        ids(&benchmark, &task(&benchmark, "all", "text to image").gallery),
        ["0", "1", "2"]
    );
    assert_eq!(task(&benchmark, "all", "text to image").queries.len(), 16);
    assert_eq!(task(&benchmark, "five", "text to image").queries.len(), 15);
    assert_eq!(task(&benchmark, "five", "image to text").gallery.len(), 15);
}

#[test]
fn instances() {
    let folder = stand_ins::icir();
    let benchmark = load("icir", folder.path());
    let flags: Vec<(&str, Mean)> = benchmark
        .variants
        .iter()
        .map(|one| (one.flag.as_str(), one.mean))
        .collect();
    assert_eq!(flags, [("queries", Mean::Queries), ("instances", Mean::Tasks)]);
    let cup = task(&benchmark, "queries", "cup");
    let path = |name: &str| format!("icir/database/{name}.jpg");
    let gallery = [
        path("cup/a"),
        path("cup/b"),
        path("cup/c"),
        format!("{}#2", path("cup/a")),
        path("hn/d"),
    ];
    assert_eq!(ids(&benchmark, &cup.gallery), gallery);
    assert_eq!(cup.queries[0].text, "at night");
    assert_eq!(truth(&benchmark, &cup.queries[0]), [path("cup/a"), path("cup/b")]);
    assert_eq!(
        truth(&benchmark, &cup.queries[1]),
        [path("cup/c"), format!("{}#2", path("cup/a"))]
    );
    assert_eq!(cup.queries[0].images, cup.queries[1].images);
    assert_eq!(task(&benchmark, "instances", "tower").gallery.len(), 2);
    // The folder may also be the unpacked one itself.
    let inside = load("icir", &folder.path().join("icir"));
    assert!(inside.images.iter().all(|image| image.path.is_file()));
    let list = folder.path().join("icir/query_files.csv");
    for (text, part) in [
        ("icir/query/cup/0.jpg,at night", "line 1"),
        (
            "icir/query/cup/0.jpg,at night, really,cup",
            "is no path, text and instance",
        ),
        (
            "icir/query/cup/0.jpg,at night,car",
            "instance `car`, which has no images",
        ),
    ] {
        fs_err::write(&list, text).unwrap();
        let entry = Entry::named("i-CIR").unwrap();
        let error = entry
            .load(folder.path(), &LoadOptions::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains(part) && error.contains("query_files.csv"), "{error}");
    }
}

#[test]
fn domain_conversions() {
    for (name, folder, tasks, first) in [
        ("imagenet-r", stand_ins::imagenet_r(), 20, "photo -> cartoon"),
        ("nico", stand_ins::nico(), 30, "autumn -> dimlight"),
        ("minidomainnet", stand_ins::minidomainnet(), 12, "clipart -> painting"),
        ("ltll", stand_ins::ltll(), 2, "Today -> Archive"),
    ] {
        let benchmark = load(name, folder.path());
        let found = &benchmark.variants[0].tasks;
        assert_eq!((found.len(), found[0].name.as_str()), (tasks, first));
        for task in found {
            let (source, target) = task.name.split_once(" -> ").unwrap();
            assert_ne!(source, target);
            assert!(task.queries.iter().all(|query| query.text == target), "{}", task.name);
            assert_eq!(task.depth(), None, "mean average precision looks to the end");
        }
    }
    let folder = stand_ins::minidomainnet();
    let benchmark = load("minidomainnet", folder.path());
    let found = task(&benchmark, "official", "photo -> sketch");
    assert_eq!(found.gallery.len(), 8);
    let Truth::Class(class) = found.queries[1].truth else {
        panic!()
    };
    let right: Vec<usize> = (0..8)
        .filter(|at| found.classes[*at] == class)
        .map(|at| found.gallery[at])
        .collect();
    assert_eq!(ids(&benchmark, &right), ["minidn/sketch/bus/database.jpg"]);
    assert_eq!(ids(&benchmark, &found.queries[1].images), ["minidn/real/bus/query.jpg"]);
    let asked = load_with("minidomainnet", folder.path(), None, Some("magiclens"));
    assert_eq!(
        task(&asked, "official", "photo -> sketch").queries[0].text,
        "find this object in sketch"
    );

    let folder = stand_ins::imagenet_r();
    let benchmark = load("imagenet-r", folder.path());
    let toys = task(&benchmark, "official", "cartoon -> toy");
    let Truth::Class(class) = toys.queries[0].truth else {
        panic!()
    };
    let right = toys.classes.iter().position(|found| *found == class).unwrap();
    assert_eq!(
        ids(&benchmark, &toys.gallery[right..=right]),
        ["imgnet/imagenet-r/n1/toy_0.jpg"]
    );

    fs_err::write(folder.path().join("full_files.csv"), "ltll/New/a.jpg New\n").unwrap();
    let error = Entry::named("ltll")
        .unwrap()
        .load(folder.path(), &LoadOptions::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("line 1") && error.contains("full_files.csv"), "{error}");
    fs_err::write(folder.path().join("full_files.csv"), "ltll/New/a.jpg Never a\n").unwrap();
    let error = Entry::named("ltll")
        .unwrap()
        .load(folder.path(), &LoadOptions::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("`Never` is not one of the domains"), "{error}");
}

#[test]
fn wrong_files_are_named_with_the_way_out() {
    let empty = tempfile::tempdir().unwrap();
    for entry in ALL {
        let error = entry
            .load(empty.path(), &LoadOptions::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains("hint: "), "{}: {error}", entry.name);
    }
    let message = |folder: &Path, name: &str| {
        Entry::named(name)
            .unwrap()
            .load(folder, &LoadOptions::default())
            .unwrap_err()
            .to_string()
    };
    let fiq = stand_ins::fiq();
    stand_ins::write_json(
        &fiq.path().join("image_splits/split.shirt.val.json"),
        &serde_json::json!(["S0", "S1"]),
    );
    let error = message(fiq.path(), "fiq");
    assert!(
        error.contains("`S3` of query 1") && error.contains("cap.shirt.val.json"),
        "{error}"
    );
    fs_err::write(fiq.path().join("captions/cap.dress.val.json"), "[{").unwrap();
    assert!(message(fiq.path(), "fiq").contains("cap.dress.val.json"));
    let options = LoadOptions {
        split: Some("train".to_owned()),
        template: None,
        only_rankings: false,
    };
    let error = Entry::named("circo")
        .unwrap()
        .load(empty.path(), &options)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("no split `train`") && error.contains("`val`, `test`"),
        "{error}"
    );
}
