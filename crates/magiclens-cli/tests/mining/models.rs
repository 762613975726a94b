//! Instructions and captions from a model behind an endpoint: slow, wrong, failing; and free the second time.

use std::time::Duration;

use crate::fake_chat::{Answer, FakeChat};
use crate::site::write_site;
use crate::{Bench, PAGES_ONLY, WIDE, check_same, fail, published, succeed};

fn config(server: &FakeChat, more: &str) -> String {
    let url = server.base_url();
    format!(
        "{WIDE}{PAGES_ONLY}[instruct]\nwriters = [\"model\", \"template_fallback\"]\n\
         [writer.model]\nbase_url = \"{url}\"\nmodel = \"writer\"\nbackoff_ms = 1\nmax_backoff_ms = 20\ntimeout_ms = 5000\nattempts = 12\nprompt_price = 1.0\n{more}"
    )
}

fn instructions(texts: &[&str]) -> Answer {
    let reply =
        serde_json::json!({ "reasoning": "A filter was applied.", "instructions": texts, "relation": "effect" });
    Answer::Says(reply.to_string())
}

#[test]
fn a_model_that_errs_costs_single_pairs_and_a_rerun_pays_nothing() {
    let server = FakeChat::start(|asked| match asked.number % 7 {
        0 => Answer::Raw(500, "down".into()),
        1 => Answer::Busy("0"),
        2 => Answer::Says("I am sorry, I cannot do that.".into()),
        3 => Answer::Slow(
            Duration::from_millis(300),
            Box::new(instructions(&[
                "the same with another effect on it",
                "show this with a filter",
            ])),
        ),
        4 => Answer::HangsUp,
        5 => instructions(&[
            "find image 2",
            "the second image",
            "this, but with the effect applied to it",
        ]),
        _ => instructions(&[
            "this one with a filter over it",
            "what a filter makes of this",
            "the same after an effect",
        ]),
    });
    let bench = Bench::new(&config(&server, ""));
    write_site(&bench.path("site"), 4);
    bench.mine("run", &[]);
    let (pairs, by_model, _) = bench.stage("run", "triplets", "instruct by model");
    assert_eq!(pairs, 4 * 6);
    assert!(by_model > 0);
    let triplets = bench.triplets("run");
    let by = |start: &str| {
        triplets
            .iter()
            .filter(|triplet| triplet.provenance.generator.starts_with(start))
            .count()
    };
    assert!(by("model:") > 0);
    assert!(
        triplets.iter().all(|triplet| !triplet.instruction.contains("image")),
        "{triplets:?}"
    );
    let written = triplets
        .iter()
        .find(|triplet| triplet.provenance.generator == "model:writer")
        .unwrap();
    assert_eq!(written.provenance.prompt, "instruct/1");
    assert!(
        written.provenance.models.contains(&"writer:writer".to_owned()),
        "{:?}",
        written.provenance.models
    );

    // Another run with the same replies asks nobody.
    let asked = server.asked().len();
    bench.mine("again", &["--replies", &bench.text("run/replies")]);
    assert_eq!(server.asked().len(), asked);
    check_same(&published(&bench.path("run")), &published(&bench.path("again")));
    let cost: serde_json::Value =
        serde_json::from_slice(&fs_err::read(bench.path("again/costs/triplets/00000.json")).unwrap()).unwrap();
    assert_eq!(cost["usage"]["writer"]["requests"], 0);
    assert_eq!(cost["usage"]["writer"]["cost"], 0.0);
}

#[test]
fn a_server_that_refuses_stops_the_run_which_goes_on_later() {
    let refusing = FakeChat::start(|_| Answer::RecordedError(404, "vllm-error-model"));
    let bench = Bench::new(&config(&refusing, ""));
    write_site(&bench.path("site"), 1);
    let (run, site, file) = (bench.text("run"), bench.text("site"), bench.text("mine.toml"));
    let error = fail(&["run", &run, "--input", &site, "--config", &file]);
    assert!(error.contains("writer") && error.contains("hint:"), "{error}");
    assert!(!bench.path("run/counts/triplets").exists());
    assert!(
        bench.path("run/counts/pairs/00000.json").exists(),
        "what was done before stays"
    );
    let error = fail(&["run", &run]);
    assert!(error.contains("hint:"), "{error}");
}

#[test]
fn images_are_described_by_a_model() {
    let server = FakeChat::start(|asked| {
        assert!(asked.shows_a_image());
        Answer::Says(serde_json::json!({ "caption": "Waves of colour", "labels": ["wave", "colour"] }).to_string())
    });
    let url = server.base_url();
    let bench = Bench::new(&format!(
        "{WIDE}{PAGES_ONLY}[caption.model]\nbase_url = \"{url}\"\nmodel = \"eyes\"\n"
    ));
    write_site(&bench.path("site"), 1);
    bench.mine("run", &[]);
    assert_eq!(bench.stage("run", "pages", "caption").1, 3);
    succeed(&["collect", &bench.text("run"), "--out", &bench.text("collection")]);
    let images = magiclens_data::read_images(bench.path("collection/pictures.parquet")).unwrap();
    assert!(
        images.iter().all(|image| image.tags == ["wave", "colour"]),
        "{images:?}"
    );
}
