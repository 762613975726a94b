//! Whole runs with the committed `small` model: rankings against a plain recomputation, the cache, broken images.

use std::path::Path;
use std::sync::OnceLock;

use magiclens_data::Embedding;
use magiclens_eval::EvalError;
use magiclens_eval::benchmarks::{Entry, LoadOptions, Names};
use magiclens_eval::cache::Cache;
use magiclens_eval::evaluate::{Contestant, EvaluateOptions, Evaluated, evaluate};
use magiclens_eval::method::{Inversion, Method};
use magiclens_eval::system::AskedModel;
use magiclens_metrics::{Interval, MIN_CLUSTERS};
use magiclens_model::checkpoint::{StoredFloat, write_checkpoint};
use magiclens_model::import::RawClip;
use magiclens_model::import::clip::read_clip;
use magiclens_model::import::inversion::read_inversion;
use magiclens_model::inversion::write_inversion;
use magiclens_model::{Basic, Embedder, InversionKind, TextualInversion};

use crate::loading::{load, task};
use crate::stand_ins;

pub(crate) fn embedder() -> &'static Embedder {
    static EMBEDDER: OnceLock<Embedder> = OnceLock::new();
    EMBEDDER.get_or_init(|| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../weights/small.safetensors");
        Embedder::load(&path).unwrap()
    })
}

pub(crate) const NAMES: Names<'_> = Names {
    title: "Stand-in",
    split: "test",
    template: "magiclens",
};

pub(crate) fn run(
    name: &str,
    folder: &Path,
    cache: &Path,
    methods: &[Method],
    partial: bool,
) -> Result<Evaluated, EvalError> {
    let cache = Cache::open(cache, embedder().model_id())?;
    let contestants: Vec<Contestant<'_>> = methods
        .iter()
        .map(|method| Contestant::Model {
            name: method.to_string(),
            model: AskedModel {
                embedder: embedder(),
                method,
                cache: &cache,
            },
        })
        .collect();
    let options = EvaluateOptions {
        partial,
        ..EvaluateOptions::default()
    };
    let benchmark = Entry::named(name).unwrap().load(folder, &LoadOptions::default())?;
    evaluate(benchmark, NAMES, folder, &contestants, &options, &|_| ())
}

#[test]
fn every_benchmark_runs_with_every_method_and_the_second_time_from_the_cache() {
    let methods: Vec<Method> = ["magiclens", "empty", "image", "text", "basic", "sum", "sum:0.8"]
        .map(|m| m.parse().unwrap())
        .into();
    let prepared = tempfile::tempdir().unwrap();
    Basic::load_or_prepare(prepared.path(), embedder()).unwrap();
    for (name, folder) in stand_ins::all() {
        let cache = tempfile::tempdir().unwrap();
        for file in fs_err::read_dir(prepared.path()).unwrap().flatten() {
            fs_err::copy(file.path(), cache.path().join(file.file_name())).unwrap();
        }
        let first = run(name, folder.path(), cache.path(), &methods, false).unwrap().report;
        assert_eq!(first.systems.len(), methods.len());
        for system in &first.systems {
            for variant in &system.variants {
                for figure in variant.tasks.iter().flat_map(|task| &task.scores).chain(&variant.means) {
                    let value = figure.value.unwrap();
                    let confidence = figure.confidence;
                    assert!((0.0..=1.0).contains(&value), "{name} {figure:?}");
                    assert_eq!(confidence.interval.is_some(), confidence.clusters >= MIN_CLUSTERS);
                    let holds = |interval: Interval| interval.low <= value + 1e-9 && value <= interval.high + 1e-9;
                    assert!(confidence.interval.is_none_or(holds), "{name} {figure:?}");
                }
            }
        }
        let speed = first.systems[0].speed.unwrap();
        assert!(speed.images > 0 && speed.images_cached == 0, "{name}: {speed:?}");
        let mut second = run(name, folder.path(), cache.path(), &methods, false).unwrap().report;
        assert_eq!(
            second.systems[0].speed.unwrap().images,
            0,
            "{name}: everything is in the cache"
        );
        let scores = |report: &magiclens_eval::report::BenchmarkReport| {
            report
                .systems
                .iter()
                .map(|system| system.variants.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(scores(&first), scores(&second), "{name}: the cache changes no score");
        second.systems.clear();
    }
}

/// Rankings recomputed with nothing but the embedder: the query fused with its text against images fused with "".
#[test]
fn rankings_are_those_of_the_embedder() {
    let folder = stand_ins::fiq();
    let cache = tempfile::tempdir().unwrap();
    let evaluated = run("fiq", folder.path(), cache.path(), &[Method::MagicLens], false).unwrap();
    let benchmark = load("fiq", folder.path());
    let tower = |row: usize| {
        let image = image::open(&benchmark.images[row].path).unwrap().to_rgb8();
        embedder().encode_images(&[image]).unwrap().remove(0)
    };
    for (at, variant) in benchmark.variants.iter().enumerate() {
        for (task, outcome) in variant.tasks.iter().zip(&evaluated.outcomes[0][at]) {
            for (number, (query, found)) in task.queries.iter().zip(outcome).enumerate() {
                let vector = embedder().embed_query(&tower(query.images[0]), &query.text).unwrap();
                let mut scores: Vec<(f32, usize)> = task
                    .gallery
                    .iter()
                    .filter(|row| !query.exclude.contains(row))
                    .map(|row| (vector.dot(&embedder().embed_targets(&[tower(*row)]).unwrap()[0]), *row))
                    .collect();
                scores.sort_by(|a, b| b.0.total_cmp(&a.0));
                let expected: Vec<usize> = scores.iter().map(|(_, row)| *row).collect();
                assert_eq!(found.head, expected, "{} {} {number}", variant.flag, task.name);
                let magiclens_eval::benchmark::Truth::Items(right) = &query.truth else {
                    panic!()
                };
                let hit = f64::from(u8::from(right.contains(&expected[0])));
                assert_eq!(found.values[task.measure("R@1").unwrap()], hit);
            }
        }
    }
}

/// Rankings by BASIC are those of its scores over the whole gallery; its projection is kept beside the vectors.
#[test]
fn basic_ranks_by_its_own_scores() {
    let folder = stand_ins::icir();
    let cache = tempfile::tempdir().unwrap();
    let evaluated = run("icir", folder.path(), cache.path(), &[Method::Basic], false).unwrap();
    let kept = fs_err::read_dir(cache.path()).unwrap().flatten();
    let kept = kept.filter(|file| file.file_name().to_string_lossy().starts_with("basic-"));
    assert_eq!(kept.count(), 1);
    let basic = Basic::load_or_prepare(cache.path(), embedder()).unwrap();
    assert_eq!(basic, Basic::prepare(embedder()).unwrap());
    let benchmark = load("icir", folder.path());
    let shared =
        |rows: Vec<Vec<f32>>| -> Vec<Vec<f32>> { rows.iter().map(|row| embedder().shared(row).to_vec()).collect() };
    let towers = |rows: &[usize]| {
        let open = |row: &usize| {
            let bytes = fs_err::read(&benchmark.images[*row].path).unwrap();
            image::load_from_memory(&bytes).unwrap().to_rgb8()
        };
        let images: Vec<_> = rows.iter().map(open).collect();
        shared(embedder().encode_images(&images).unwrap())
    };
    for (task, outcome) in benchmark.variants[0].tasks.iter().zip(&evaluated.outcomes[0][0]) {
        let gallery = towers(&task.gallery);
        for (query, found) in task.queries.iter().zip(outcome) {
            let text = shared(embedder().encode_texts(&[&query.text]).unwrap());
            let scores = basic.scores(&towers(&query.images), &text, &gallery).unwrap().remove(0);
            let score = |row: &usize| scores[task.gallery.iter().position(|other| other == row).unwrap()];
            assert_eq!(found.head.len(), task.gallery.len());
            for pair in found.head.windows(2) {
                assert!(score(&pair[0]) >= score(&pair[1]) - 1e-5, "{}", query.id);
            }
        }
    }
}

/// The mean over queries and the mean over instances are two things.
#[test]
fn means_are_over_queries_or_over_tasks() {
    let folder = stand_ins::icir();
    let list = folder.path().join("icir/query_files.csv");
    let more = format!(
        "{}\nicir/database/tower/e.jpg,at night,tower\n",
        fs_err::read_to_string(&list).unwrap()
    );
    fs_err::write(&list, more).unwrap();
    let cache = tempfile::tempdir().unwrap();
    let evaluated = run("icir", folder.path(), cache.path(), &[Method::Image], false).unwrap();
    let of_task = |at: usize| -> Vec<f64> { evaluated.outcomes[0][0][at].iter().map(|one| one.values[0]).collect() };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (cup, tower) = (of_task(0), of_task(1));
    assert_eq!((cup.len(), tower.len()), (2, 3));
    let variants = &evaluated.report.systems[0].variants;
    let found = [0, 1].map(|at| variants[at].score(None, "mAP").unwrap().value.unwrap());
    assert!((found[0] - mean(&[cup.clone(), tower.clone()].concat())).abs() < 1e-12);
    assert!((found[1] - mean(&[mean(&cup), mean(&tower)])).abs() < 1e-12);
}

#[test]
fn broken_images_stop_a_run_unless_partial_scores_are_asked_for() {
    let folder = stand_ins::fiq();
    fs_err::remove_file(folder.path().join("images/S1.png")).unwrap(); // the target of shirt 0
    fs_err::remove_file(folder.path().join("images/D2.png")).unwrap(); // the image of dress 1
    fs_err::write(folder.path().join("images/T4.png"), "no image").unwrap(); // a distractor
    let cache = tempfile::tempdir().unwrap();
    let error = run("fiq", folder.path(), cache.path(), &[Method::MagicLens], false)
        .err()
        .unwrap();
    let text = error.to_string();
    assert!(
        text.contains("3 of 15 images") && text.contains("--check") && text.contains("is missing"),
        "{text}"
    );
    let report = run("fiq", folder.path(), cache.path(), &[Method::MagicLens], true)
        .unwrap()
        .report;
    let original = &report.systems[0].variants[0];
    let sizes: Vec<(usize, usize)> = original.tasks.iter().map(|task| (task.queries, task.gallery)).collect();
    assert_eq!(sizes, [(1, 4), (1, 4), (2, 4)]);
    assert!(!report.complete);
    assert!(
        report.remarks.iter().any(|remark| remark.contains("PARTIAL")),
        "{:?}",
        report.remarks
    );
}

#[test]
fn a_changed_image_is_embedded_anew() {
    let folder = stand_ins::flickr30k();
    let cache = tempfile::tempdir().unwrap();
    run("flickr30k", folder.path(), cache.path(), &[Method::Image], false).unwrap();
    let path = folder.path().join("flickr30k-images/1.jpg");
    let other = image::RgbImage::from_pixel(9, 9, image::Rgb([1, 2, 3]));
    other.save(&path).unwrap();
    let speed = run("flickr30k", folder.path(), cache.path(), &[Method::Image], false)
        .unwrap()
        .report
        .systems[0]
        .speed;
    assert_eq!(speed.unwrap().images, 1);
}

#[test]
fn systems_are_compared_with_the_first() {
    let folder = stand_ins::cirr("val");
    let cache = tempfile::tempdir().unwrap();
    let report = run(
        "cirr",
        folder.path(),
        cache.path(),
        &[Method::Image, Method::Image],
        false,
    )
    .unwrap()
    .report;
    assert!(report.systems[0].differences.is_empty());
    assert!(!report.systems[1].differences.is_empty());
    for difference in &report.systems[1].differences {
        assert_eq!(
            (difference.paired.difference, difference.paired.p_value),
            (0.0, 1.0),
            "{difference:?}"
        );
    }
}

/// Textual inversion on the tiny CLIP of `fixtures/clip`: the prompts are the authors', the gallery is the image tower's.
#[test]
fn textual_inversion_asks_with_the_image_as_a_word() {
    let fixture = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name);
    let work = tempfile::tempdir().unwrap();
    let clip = work.path().join("clip.safetensors");
    let (config, tensors) = read_clip(&fixture("clip/hf"), &RawClip::default()).unwrap();
    write_checkpoint(&clip, &config, &tensors, StoredFloat::F32, &[]).unwrap();
    let clip = Embedder::load(&clip).unwrap();
    let folder = stand_ins::dtin();
    let benchmark = load("dtin", folder.path());
    for (kind, prompt) in [
        (InversionKind::Pic2Word, "a cartoon of *"),
        (InversionKind::Searle, "a cartoon of $"),
        (InversionKind::LinCir, "a cartoon of $"),
    ] {
        let (config, tensors) =
            read_inversion(&fixture("inversion").join(format!("{}.pt", kind.name())), kind, false).unwrap();
        let path = work.path().join(format!("{}.safetensors", kind.name()));
        write_inversion(&path, &config, &tensors).unwrap();
        let method = Method::Inversion(Inversion::load(&path).unwrap());
        let cache = Cache::open(work.path(), clip.model_id()).unwrap();
        let contestant = Contestant::Model {
            name: method.to_string(),
            model: AskedModel {
                embedder: &clip,
                method: &method,
                cache: &cache,
            },
        };
        let options = EvaluateOptions::default();
        let evaluated = evaluate(
            benchmark.clone(),
            NAMES,
            folder.path(),
            &[contestant],
            &options,
            &|_| (),
        )
        .unwrap();
        let task = task(&benchmark, "kept", "cartoon");
        let tower = |row: usize| {
            let bytes = fs_err::read(&benchmark.images[row].path).unwrap();
            let image = image::load_from_memory(&bytes).unwrap().to_rgb8();
            clip.encode_images(&[image]).unwrap().remove(0)
        };
        let network = TextualInversion::load(&path).unwrap();
        for (query, found) in task.queries.iter().zip(&evaluated.outcomes[0][0][0]) {
            let words = clip
                .encode_texts_with_pseudo(&network, &[tower(query.images[0])], &[prompt])
                .unwrap()
                .remove(0);
            let vector = Embedding::normalize(words).unwrap();
            let score = |row: usize| vector.dot(&Embedding::normalize(tower(row)).unwrap());
            let mut expected = task.gallery.clone();
            expected.sort_by(|a, b| score(*b).total_cmp(&score(*a)));
            assert_eq!(found.head, expected, "{kind:?}");
        }
    }
    // Weights whose text tower is not CLIP's cannot be asked like this.
    let path = work.path().join("pic2word.safetensors");
    let method = Method::Inversion(Inversion::load(&path).unwrap());
    let error = run("dtin", folder.path(), work.path(), &[method], false)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("CLIP"), "{error}");
}
