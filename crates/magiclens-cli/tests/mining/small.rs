//! Small pages whose counts are counted by hand.

use std::collections::BTreeMap;

use crate::site::{figure, page, png, scene, write_site};
use crate::{Bench, PAGES_ONLY, WIDE, check_same, fail, published, succeed};

#[test]
fn counts_are_those_counted_by_hand() {
    let bench = Bench::new(&format!("{WIDE}{PAGES_ONLY}"));
    let site = bench.path("site");
    for number in 0..4 {
        fs_err::write(site.join(format!("{number}.png")), png(&scene(number))).unwrap();
    }
    fs_err::write(
        site.join("tiny.png"),
        png(&image::imageops::crop_imm(&scene(9), 0, 0, 40, 40).to_image()),
    )
    .unwrap();
    fs_err::write(
        site.join("copy.png"),
        png(&image::imageops::resize(
            &scene(0),
            240,
            180,
            image::imageops::FilterType::Triangle,
        )),
    )
    .unwrap();
    // Three good images, a copy of the first, one too small, one that is not there, a logo in the footer.
    let body = figure("0.png", "Original image")
        + &figure("1.png", "Filter “Bloom” applied")
        + &figure("2.png", "Filter “Whirl” applied")
        + &figure("copy.png", "")
        + &figure("tiny.png", "Tiny")
        + &figure("gone.png", "Gone");
    let page_with_footer = page("Filters", &body).replace("</main>", "</main><footer><img src=\"3.png\"></footer>");
    fs_err::write(site.join("a.html"), page_with_footer).unwrap();
    // One image makes no pair.
    fs_err::write(site.join("b.html"), page("Alone", &figure("3.png", "Alone"))).unwrap();
    // A publisher who wants to be left alone.
    let refused = page("Mine", &(figure("0.png", "Mine") + &figure("1.png", "Mine too")))
        .replace("<title>", "<meta name=\"robots\" content=\"noai\"><title>");
    fs_err::write(site.join("c.html"), refused).unwrap();
    bench.mine("run", &[]);

    let reasons = |list: &[(&str, u64)]| {
        list.iter()
            .map(|(reason, count)| ((*reason).to_owned(), *count))
            .collect::<BTreeMap<_, _>>()
    };
    let stage = |step: &str, name: &str| bench.stage("run", step, name);
    assert_eq!(stage("pages", "read"), (3, 3, reasons(&[])));
    assert_eq!(
        stage("pages", "opt-out"),
        (3, 2, reasons(&[("publisher opted out", 1)]))
    );
    assert_eq!(
        stage("pages", "clean markup"),
        (8, 7, reasons(&[("outside the content", 1)]))
    );
    assert_eq!(
        stage("pages", "find"),
        (
            7,
            5,
            reasons(&[("not in the folder", 1), ("too few images on its page", 1)])
        )
    );
    assert_eq!(
        stage("pages", "clean pixels"),
        (5, 4, reasons(&[("low resolution", 1)]))
    );
    assert_eq!(
        stage("pages", "copies on the page"),
        (4, 3, reasons(&[("copy on the page", 1)]))
    );
    assert_eq!(stage("pages", "group"), (2, 1, reasons(&[("too few images", 1)])));
    assert_eq!(stage("pairs", "pair"), (3, 3, reasons(&[])));
    let (directed, _, _) = stage("triplets", "instruct by template");
    assert_eq!(directed, 6, "three pairs, both directions");

    let triplets = bench.triplets("run");
    assert!(!triplets.is_empty());
    for triplet in &triplets {
        assert!(!triplet.targets.contains(&triplet.query));
        assert!(
            triplet.provenance.page.ends_with("a.html"),
            "{:?}",
            triplet.provenance.page
        );
        assert_eq!(triplet.provenance.urls.len(), 1 + triplet.targets.len());
        assert!(triplet.provenance.generator.starts_with("template:"));
        let scores: Vec<&String> = triplet.provenance.scores.keys().collect();
        assert_eq!(scores, ["image:image", "text:text_trunk"]);
        assert!(triplet.provenance.stages.contains_key("gate"));
    }
}

#[test]
fn the_same_bytes_whatever_the_number_of_threads_and_again() {
    let bench = Bench::new(&format!("{WIDE}[input]\npages_per_shard = 4\n"));
    write_site(&bench.path("site"), 10);
    bench.mine("one", &["--threads", "1"]);
    bench.mine("three", &["--threads", "3"]);
    let one = published(&bench.path("one"));
    assert!(
        one.keys().any(|name| name == "triplets/00002.parquet"),
        "{:?}",
        one.keys()
    );
    check_same(&one, &published(&bench.path("three")));
    // Doing it once more does nothing.
    succeed(&["run", &bench.text("one")]);
    check_same(&one, &published(&bench.path("one")));
}

#[test]
fn a_run_belongs_to_one_configuration_and_one_input() {
    let bench = Bench::new(PAGES_ONLY);
    write_site(&bench.path("site"), 2);
    let (run, site, config) = (bench.text("run"), bench.text("site"), bench.text("mine.toml"));
    succeed(&["plan", &run, "--input", &site, "--config", &config]);
    let error = fail(&["plan", &run, "--input", &site]);
    assert!(
        error.contains("another configuration") && error.contains("hint:"),
        "{error}"
    );
    write_site(&bench.path("site"), 3);
    let error = fail(&["run", &run, "--input", &site, "--config", &config]);
    assert!(error.contains("other inputs"), "{error}");
    let error = fail(&["run", &bench.text("nothing")]);
    assert!(error.contains("holds no run"), "{error}");
    let error = fail(&["plan", &bench.text("other"), "--input", &bench.text("absent")]);
    assert!(error.contains("absent"), "{error}");
    let error = fail(&["shard", &run, "--step", "pairs", "--task", "0"]);
    assert!(error.contains("step `pages` is not done"), "{error}");
    let error = fail(&["shard", &run, "--step", "pages", "--task", "7"]);
    assert!(error.contains("there is no task 7"), "{error}");
    let error = fail(&["report", &bench.text("nothing")]);
    assert!(error.contains("holds no run"), "{error}");
}

#[test]
fn report_and_collection_show_what_was_mined() {
    let bench = Bench::new(WIDE);
    write_site(&bench.path("site"), 3);
    bench.mine("run", &[]);
    succeed(&["report", &bench.text("run"), "--samples", "5"]);
    let report: serde_json::Value =
        serde_json::from_slice(&fs_err::read(bench.path("run/report/report.json")).unwrap()).unwrap();
    let triplets = bench.triplets("run").len();
    assert_eq!(report["triplets"]["triplets"], triplets);
    assert_eq!(
        report["problems"].as_array().unwrap().len(),
        0,
        "{}",
        report["problems"]
    );
    let html = fs_err::read_to_string(bench.path("run/report/report.html")).unwrap();
    assert!(
        html.matches("data:image/jpeg;base64,").count() >= 2,
        "samples have images"
    );
    assert!(
        fs_err::read_to_string(bench.path("run/report/report.md"))
            .unwrap()
            .contains("Funnel")
    );

    succeed(&["collect", &bench.text("run"), "--out", &bench.text("collection")]);
    let collection = bench.path("collection");
    let images = magiclens_data::read_images(collection.join("pictures.parquet")).unwrap();
    assert_eq!(
        magiclens_data::read_triplets(collection.join("triplets-train.parquet"))
            .unwrap()
            .len(),
        triplets
    );
    for image in images {
        let bytes = fs_err::read(collection.join(&image.path)).unwrap();
        assert_eq!(magiclens_data::ImageId::of_bytes(&bytes), image.id);
    }
}
