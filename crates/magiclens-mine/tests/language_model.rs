//! The chat endpoint against a server that is right, slow, wrong, busy, broken and endless.

#![allow(clippy::unwrap_used, missing_docs)]

mod fake_chat;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fake_chat::{Answer, FakeChat};
use image::{Rgb, RgbImage};
use magiclens_data::ImageId;
use magiclens_mine::language_model::{
    Cache, ChatEndpoint, DescriberConfig, LanguageModel, Message, ModelConfig, Prompt, WriterConfig, describe,
    write_instructions,
};
use magiclens_mine::page::{Described, ImagePair, Instruction, Metadata, Origin};
use magiclens_web::DropReason;

const GOOD: &str = r#"{"reasoning":"Same castle.","instructions":["the same castle at night"],"relation":"change"}"#;

/// Settings with short pauses; one unit a million tokens of prompts, two of answers.
fn config(server: &FakeChat) -> ModelConfig {
    ModelConfig {
        base_url: server.base_url().to_owned(),
        model: "test-model".to_owned(),
        timeout_ms: 2_000,
        attempts: 3,
        backoff_ms: 2,
        max_backoff_ms: 50,
        prompt_price: 1.0,
        completion_price: 2.0,
        ..ModelConfig::default()
    }
}

fn endpoint(server: &FakeChat) -> ChatEndpoint {
    uncached(&config(server))
}

fn uncached(config: &ModelConfig) -> ChatEndpoint {
    ChatEndpoint::new(config, None).unwrap()
}

fn cached(config: &ModelConfig, folder: &tempfile::TempDir) -> ChatEndpoint {
    ChatEndpoint::new(config, Some(Cache::new(folder.path()))).unwrap()
}

fn described(alt: &str) -> Described {
    Described {
        image: ImageId::of_bytes(alt.as_bytes()),
        shard: 0,
        url: String::new(),
        page_url: String::new(),
        width: 100,
        height: 100,
        figure: None,
        position: 0,
        license: String::new(),
        opt_outs: Vec::new(),
        metadata: Metadata {
            alt: alt.to_owned(),
            page_title: "Castles".to_owned(),
            ..Metadata::default()
        },
    }
}

fn pairs(count: usize) -> Vec<ImagePair> {
    let pair = |n| ImagePair {
        query: described(&format!("castle {n} by day")),
        target: described(&format!("castle {n} by night")),
        origin: Origin::Page,
        scores: BTreeMap::new(),
        hard_negatives: Vec::new(),
    };
    (0..count).map(pair).collect()
}

type Written = Vec<Result<Vec<Instruction>, DropReason>>;

fn write(model: &ChatEndpoint, count: usize) -> anyhow::Result<Written> {
    write_instructions(model, &pairs(count), &WriterConfig::default())
}

/// What one pair gets from a server with this script, and how many requests that took.
fn one(
    script: impl Fn(&fake_chat::Asked) -> Answer + Send + Sync + 'static,
) -> (Result<Vec<Instruction>, DropReason>, usize) {
    let server = FakeChat::start(script);
    let written = write(&endpoint(&server), 1).unwrap().remove(0);
    (written, server.asked().len())
}

#[test]
fn replies_of_three_servers_give_the_same() {
    for server in ["vllm", "llama-server", "ollama"] {
        let (instruct, caption) = match server {
            "vllm" => ("vllm-instruct", "vllm-caption"),
            "llama-server" => ("llama-server-instruct", "llama-server-caption"),
            _ => ("ollama-instruct", "ollama-caption"),
        };
        let (written, _) = one(move |_| Answer::Recorded(instruct));
        let written = written.unwrap();
        let texts: Vec<_> = written.iter().map(|instruction| instruction.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "the same castle at night",
                "How does it look after dark?",
                "Show this with its windows lit"
            ]
        );
        assert!(
            written[0].reasoning.starts_with("Both show the same castle."),
            "{server}"
        );
        assert_eq!(
            (written[0].relation.as_str(), written[0].generator.as_str()),
            ("change", "model:test-model")
        );

        let fake = FakeChat::start(move |_| Answer::Recorded(caption));
        let image = RgbImage::from_pixel(40, 30, Rgb([90, 90, 90]));
        let model = endpoint(&fake);
        let description = describe(&model, &[image], &DescriberConfig::default())
            .unwrap()
            .remove(0)
            .unwrap();
        assert_eq!(
            description.caption,
            "A grey stone castle with two round towers stands behind a pond."
        );
        assert_eq!(description.labels, ["castle", "tower", "pond", "stone"]);
        assert_eq!(
            (model.usage().prompt_tokens, model.usage().completion_tokens),
            (1843, 97)
        );
        let url = fake.asked()[0].body["messages"][1]["content"][1]["image_url"]["url"].clone();
        assert!(
            url.as_str().unwrap().starts_with("data:image/jpeg;base64,/9j/"),
            "{url}"
        );
    }
}

#[test]
fn answers_keep_their_order_and_requests_their_number() {
    // Later ones are faster.
    let server = FakeChat::start(|asked| {
        let delay = Duration::from_millis(60u64.saturating_sub(3 * asked.number as u64));
        let question = asked.question();
        let number = question.split("castle ").nth(1).unwrap().split(' ').next().unwrap();
        let text = format!(r#"{{"instructions":["castle number {number} at night"]}}"#);
        Answer::Slow(delay, Box::new(Answer::Says(text)))
    });
    let model = uncached(&ModelConfig {
        concurrency: 4,
        ..config(&server)
    });
    let written = write(&model, 20).unwrap();
    for (n, instructions) in written.iter().enumerate() {
        assert_eq!(
            instructions.as_ref().unwrap()[0].text,
            format!("castle number {n} at night")
        );
    }
    assert_eq!(server.most_in_flight(), 4);
    assert_eq!(model.usage().requests, 20);
}

#[test]
fn passing_failures_are_tried_again() {
    let good = |asked: &fake_chat::Asked, first: Answer| {
        if asked.number < 2 {
            first
        } else {
            Answer::Says(GOOD.to_owned())
        }
    };
    let page = "<html><body><h1>502 Bad Gateway</h1></body></html>";
    for first in [
        Answer::RecordedError(503, "llama-server-error-loading"),
        Answer::Raw(500, String::new()),
        Answer::Raw(200, page.to_owned()),
        Answer::Raw(200, "{\"choices\":[{\"mess".to_owned()),
        Answer::Raw(200, r#"{"error":{"code":503,"message":"Loading model"}}"#.to_owned()),
        Answer::Busy("0"),
        Answer::HangsUp,
        Answer::Endless,
    ] {
        let shown = format!("{first:?}");
        let server = FakeChat::start(move |asked| good(asked, first.clone()));
        let model = endpoint(&server);
        assert!(write(&model, 1).unwrap()[0].is_ok(), "{shown}");
        let usage = model.usage();
        assert_eq!((usage.requests, usage.retries, usage.failed), (1, 2, 0), "{shown}");
    }
}

#[test]
fn lasting_failures_cost_the_pair_only_and_say_why() {
    let page = "<html><body><h1>502 Bad Gateway</h1></body></html>";
    for (answer, reason) in [
        (Answer::Raw(500, String::new()), "model: server error"),
        (
            Answer::RecordedError(500, "llama-server-error-picture"),
            "model: server error",
        ),
        (Answer::Raw(200, page.to_owned()), "model: reply not in the protocol"),
        (Answer::Busy("0"), "model: too many requests"),
        (Answer::HangsUp, "model: connection broken off"),
        (Answer::Endless, "model: reply too large"),
    ] {
        let shown = format!("{answer:?}");
        let (written, requests) = one(move |_| answer.clone());
        assert_eq!(written, Err(DropReason(reason)), "{shown}");
        assert_eq!(requests, 3, "{shown}");
    }
}

#[test]
fn refused_prompts_are_not_sent_again() {
    for answer in [
        Answer::RecordedError(400, "vllm-error-context"),
        Answer::RecordedError(400, "llama-server-error-context"),
        Answer::RecordedError(200, "llama-server-error-context"),
        Answer::Raw(413, "too large".to_owned()),
        Answer::Raw(422, "{}".to_owned()),
    ] {
        let shown = format!("{answer:?}");
        let (written, requests) = one(move |_| answer.clone());
        assert_eq!(
            (written, requests),
            (Err(DropReason("model: prompt refused")), 1),
            "{shown}"
        );
    }
    // One among others.
    let server = FakeChat::start(|asked| {
        let is_long = asked.question().contains("castle 1 ");
        if is_long {
            Answer::RecordedError(400, "vllm-error-context")
        } else {
            Answer::Says(GOOD.to_owned())
        }
    });
    let written = write(&endpoint(&server), 3).unwrap();
    assert_eq!(
        written.iter().map(Result::is_ok).collect::<Vec<_>>(),
        [true, false, true]
    );
}

#[test]
fn useless_answers_are_asked_for_anew_with_another_draw() {
    let server = FakeChat::start(|asked| match asked.number {
        0 => Answer::Recorded("vllm-cut-off"),
        _ => Answer::Says(GOOD.to_owned()),
    });
    let model = endpoint(&server);
    assert!(write(&model, 1).unwrap()[0].is_ok());
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(
        (&asked[0].body["temperature"], &asked[0].body["seed"]),
        (&0.0.into(), &0.into())
    );
    assert_eq!(
        (&asked[1].body["temperature"], &asked[1].body["seed"]),
        (&0.7.into(), &1.into())
    );
    assert_eq!(asked[0].body["messages"], asked[1].body["messages"]);

    for (answer, reason) in [
        (Answer::Recorded("vllm-cut-off"), "reply: cut off"),
        (Answer::Says(String::new()), "reply: empty"),
        (
            Answer::Says("I cannot help with that.".to_owned()),
            "reply: no JSON object",
        ),
        (
            Answer::Says(r#"{"instructions":[]}"#.to_owned()),
            "reply: field missing",
        ),
        (
            Answer::Says(r#"{"pair":"zzzzzz","instructions":["at night"]}"#.to_owned()),
            "reply: about another pair",
        ),
    ] {
        let (written, requests) = one(move |_| answer.clone());
        assert_eq!((written, requests), (Err(DropReason(reason)), 2));
    }
}

#[test]
fn slow_replies_run_out_of_time() {
    let server = FakeChat::start(|asked| {
        let answer = Box::new(Answer::Says(GOOD.to_owned()));
        Answer::Slow(
            Duration::from_millis(if asked.question().contains("castle 0 ") {
                5_000
            } else {
                0
            }),
            answer,
        )
    });
    let config = ModelConfig {
        timeout_ms: 500,
        attempts: 2,
        ..config(&server)
    };
    let model = uncached(&config);
    let start = Instant::now();
    let written = write(&model, 2).unwrap();
    assert_eq!(written[0], Err(DropReason("model: no reply in time")));
    assert!(written[1].is_ok());
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_busy_server_is_given_the_time_it_wants() {
    let server = FakeChat::start(|asked| {
        if asked.number == 0 {
            Answer::Busy("0.3")
        } else {
            Answer::Says(GOOD.to_owned())
        }
    });
    let patient = ModelConfig {
        max_backoff_ms: 10_000,
        ..config(&server)
    };
    let start = Instant::now();
    assert!(write(&uncached(&patient), 1).unwrap()[0].is_ok());
    assert!(Duration::from_millis(300) <= start.elapsed());

    let server = FakeChat::start(|asked| {
        if asked.number == 0 {
            Answer::Busy("3600")
        } else {
            Answer::Says(GOOD.to_owned())
        }
    });
    let start = Instant::now();
    assert!(write(&endpoint(&server), 1).unwrap()[0].is_ok());
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "an hour is more than the longest pause"
    );
}

#[test]
fn what_would_refuse_all_prompts_stops_the_run_with_a_hint() {
    for (answer, expected) in [
        (
            Answer::RecordedError(401, "llama-server-error-key"),
            "set `api_key_env`",
        ),
        (Answer::Raw(403, String::new()), "set `api_key_env`"),
        (Answer::Raw(402, String::new()), "no credit"),
        (
            Answer::RecordedError(404, "vllm-error-model"),
            "The model `test-model` does not exist.",
        ),
        (Answer::RecordedError(404, "ollama-error-model"), "can be `model`"),
        (
            Answer::Raw(
                429,
                r#"{"error":{"message":"You exceeded your current quota"}}"#.to_owned(),
            ),
            "no credit",
        ),
        (Answer::Redirect("http://127.0.0.1:1/v1"), "redirects are not followed"),
    ] {
        let server = FakeChat::start(move |_| answer.clone());
        let model = uncached(&ModelConfig {
            concurrency: 1,
            ..config(&server)
        });
        let message = write(&model, 5).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains("\nhint: "), "{message}");
        assert_eq!(server.asked().len(), 1, "{message}");
    }
}

#[test]
fn a_wrong_address_or_nobody_there_stops_the_run() {
    let server = FakeChat::helpful();
    let wrong = ModelConfig {
        base_url: server.base_url().replace("/v1", ""),
        ..config(&server)
    };
    let message = write(&uncached(&wrong), 1).unwrap_err().to_string();
    assert!(
        message.contains("answers 404") && message.contains("`base_url` usually ends in `/v1`"),
        "{message}"
    );

    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let nobody = ModelConfig {
        base_url: format!("http://127.0.0.1:{port}/v1"),
        ..config(&server)
    };
    let message = write(&uncached(&nobody), 1).unwrap_err().to_string();
    assert!(
        message.contains("cannot be reached after 3 attempts") && message.contains("hint: is the server started"),
        "{message}"
    );
}

#[test]
fn a_server_that_keeps_failing_stops_the_run() {
    let server = FakeChat::start(|_| Answer::Raw(500, r#"{"error":"out of memory"}"#.to_owned()));
    let config = ModelConfig {
        attempts: 1,
        concurrency: 1,
        max_failures_in_a_row: 4,
        ..config(&server)
    };
    let message = write(&uncached(&config), 20).unwrap_err().to_string();
    assert!(
        message.contains("failed on 4 prompts in a row") && message.contains("out of memory"),
        "{message}"
    );
    assert_eq!(server.asked().len(), 4);

    // Three of four is bad, but the prompts' own business.
    let server = FakeChat::start(|asked| match asked.number % 4 {
        0 => Answer::Says(GOOD.to_owned()),
        _ => Answer::Raw(500, String::new()),
    });
    let config = ModelConfig {
        base_url: server.base_url().to_owned(),
        ..config
    };
    let written = write(&uncached(&config), 20).unwrap();
    assert_eq!(written.iter().filter(|written| written.is_ok()).count(), 5);
}

#[test]
fn a_rerun_pays_nothing_and_gives_the_same() {
    // Every third first answer is useless.
    let script = |asked: &fake_chat::Asked| {
        let is_bad = asked.body["seed"] == 0 && asked.question().contains("3 by");
        if is_bad {
            Answer::Says("hm".to_owned())
        } else {
            Answer::Recorded("vllm-instruct")
        }
    };
    let server = FakeChat::start(script);
    let folder = tempfile::tempdir().unwrap();
    let run = |server: &FakeChat| {
        let model = cached(&config(server), &folder);
        (write(&model, 10).unwrap(), model.usage())
    };
    let (first, usage) = run(&server);
    assert_eq!((usage.requests, usage.cached), (11, 0));
    // 10 recorded replies of 1,843 and 97 tokens, one of 100 and 10; one and two units a million.
    assert_eq!((usage.prompt_tokens, usage.completion_tokens), (18_530, 980));
    assert!((usage.cost - 0.02049).abs() < 1e-9, "{}", usage.cost);
    assert_eq!(usage.saved_cost, 0.0);

    // Another server: the endpoint is no part of the key.
    let other = FakeChat::start(|_| Answer::Raw(500, String::new()));
    let (second, usage) = run(&other);
    assert_eq!(first, second);
    assert_eq!((usage.requests, usage.cached, usage.cost), (0, 11, 0.0));
    assert!((usage.saved_cost - 0.02049).abs() < 1e-9);
    assert!(other.asked().is_empty());

    // Another prompt, model or parameter is another question.
    for changed in [
        ModelConfig {
            model: "other".to_owned(),
            ..config(&server)
        },
        ModelConfig {
            temperature: 0.5,
            ..config(&server)
        },
        ModelConfig {
            max_tokens: 7,
            ..config(&server)
        },
    ] {
        let model = cached(&changed, &folder);
        write(&model, 1).unwrap();
        assert_eq!(model.usage().requests, 1);
    }
}

#[test]
fn damaged_replies_in_the_cache_are_asked_for_anew() {
    let server = FakeChat::helpful();
    let folder = tempfile::tempdir().unwrap();
    let run = || {
        let model = cached(&config(&server), &folder);
        assert!(write(&model, 4).unwrap().iter().all(Result::is_ok));
        model.usage()
    };
    assert_eq!(run().requests, 4);
    let files = walkdir::WalkDir::new(folder.path())
        .sort_by_file_name()
        .into_iter()
        .filter_map(Result::ok);
    let files: Vec<_> = files
        .filter(|entry| entry.file_type().is_file())
        .map(walkdir::DirEntry::into_path)
        .collect();
    fs_err::write(&files[0], "").unwrap();
    fs_err::write(&files[1], &fs_err::read(&files[1]).unwrap()[..200]).unwrap();
    let usage = run();
    assert_eq!((usage.requests, usage.cached), (2, 2));
    assert_eq!(run().cached, 4);
}

#[test]
fn the_limit_on_cost_stops_before_it_is_passed_and_the_run_goes_on_later() {
    let server = FakeChat::helpful();
    let folder = tempfile::tempdir().unwrap();
    // An answer costs 0.002037; the most that a request can cost is its bytes and 1,024 tokens of answer.
    let limited = ModelConfig {
        max_cost: Some(0.03),
        concurrency: 3,
        ..config(&server)
    };
    let mut rounds = 0;
    let mut spent = 0.0;
    loop {
        let model = cached(&limited, &folder);
        let written = write(&model, 40);
        assert!(model.usage().cost <= 0.03, "{}", model.usage().cost);
        spent += model.usage().cost;
        rounds += 1;
        match written {
            Ok(written) => {
                assert!(written.iter().all(Result::is_ok));
                break;
            }
            Err(error) => assert!(
                error
                    .to_string()
                    .starts_with("the limit of `max_cost = 0.03` is reached: 0.0"),
                "{error}"
            ),
        }
        assert!(rounds < 40, "each round goes on");
    }
    assert!(2 <= rounds, "{rounds}");
    assert_eq!(server.asked().len(), 40, "nothing is paid twice");
    assert!((spent - 40.0 * 0.002037).abs() < 1e-9, "{spent}");
}

#[test]
fn what_was_under_way_when_the_run_stopped_is_kept() {
    let server = FakeChat::start(|asked| match asked.question().contains("castle 0 ") {
        true => Answer::Slow(Duration::from_millis(300), Box::new(Answer::Raw(401, String::new()))),
        false => Answer::Slow(Duration::from_millis(600), Box::new(Answer::Says(GOOD.to_owned()))),
    });
    let folder = tempfile::tempdir().unwrap();
    let config = ModelConfig {
        concurrency: 3,
        ..config(&server)
    };
    let model = cached(&config, &folder);
    assert!(write(&model, 9).unwrap_err().to_string().contains(" answers 401 "));
    assert_eq!(server.asked().len(), 3, "nothing new is begun");
    assert_eq!(model.usage().requests, 2);
}

#[test]
fn the_same_prompt_twice_is_asked_once() {
    let server = FakeChat::helpful();
    let model = endpoint(&server);
    let prompt = |text: &str| Prompt {
        version: "test/1",
        messages: vec![Message::user(text)],
        ask: 0,
    };
    let answers = model.complete(&[prompt("a"), prompt("b"), prompt("a")]).unwrap();
    assert_eq!(answers[0], answers[2]);
    assert_eq!(server.asked().len(), 2);
    assert_eq!((model.usage().requests, model.usage().cached), (2, 1));
}

#[test]
fn the_key_comes_from_the_environment_and_goes_to_the_server_alone() {
    let server = FakeChat::start(|asked| match &asked.authorization {
        // `PATH` stands in for a key: it is set wherever tests run.
        Some(sent) if *sent == format!("Bearer {}", std::env::var("PATH").unwrap()) => {
            Answer::Recorded("vllm-instruct")
        }
        _ => Answer::Raw(401, String::new()),
    });
    let folder = tempfile::tempdir().unwrap();
    let with_key = ModelConfig {
        api_key_env: Some("PATH".to_owned()),
        ..config(&server)
    };
    let model = cached(&with_key, &folder);
    assert!(write(&model, 1).unwrap()[0].is_ok());
    let secret = std::env::var("PATH").unwrap();
    for entry in walkdir::WalkDir::new(folder.path()).into_iter().filter_map(Result::ok) {
        if entry.file_type().is_file() {
            assert!(!fs_err::read_to_string(entry.path()).unwrap().contains(&secret));
        }
    }
    let error = write(&endpoint(&server), 1).unwrap_err();
    assert!(error.to_string().contains(" answers 401 "), "{error}");
}

#[test]
fn endpoints_may_be_shared_by_threads() {
    let server = FakeChat::start(|_| Answer::Slow(Duration::from_millis(5), Box::new(Answer::Says(GOOD.to_owned()))));
    let model = uncached(&ModelConfig {
        concurrency: 3,
        ..config(&server)
    });
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(write(&model, 10).unwrap().iter().all(Result::is_ok)));
        }
    });
    assert!(server.most_in_flight() <= 3, "{}", server.most_in_flight());
    assert_eq!(model.usage().requests, 40);
}

#[test]
fn several_processes_may_share_a_cache() {
    let server = FakeChat::helpful();
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            // An endpoint each, as processes have.
            scope.spawn(|| {
                let model = cached(&config(&server), &folder);
                assert!(write(&model, 20).unwrap().iter().all(Result::is_ok));
            });
        }
    });
    let model = cached(&config(&server), &folder);
    write(&model, 20).unwrap();
    assert_eq!((model.usage().requests, model.usage().cached), (0, 20));
}
