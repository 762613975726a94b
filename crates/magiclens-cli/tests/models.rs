//! Models by name through the real program, from a hub that the test runs: fetched once, remembered by the index, replaced.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[path = "../../magiclens-hub/tests/fake_hub/mod.rs"]
#[allow(dead_code, reason = "not every test needs every fault")]
mod fake_hub;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use fake_hub::{COMMIT, FakeHub, Fault, REPOSITORY, sha256};
use fs_err as fs;
use image::{Rgb, RgbImage};
use magiclens_index::Index;
use serde_json::Value;

/// A tiny CLIP of random numbers in the shape of BGE-VL: transformers' names, half precision.
const CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/clip/hf");
const SMALL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../weights/small.safetensors");
const README: &str = "---\nlicense: mit\n---\n";

/// A user's home with some images, and a hub.
struct House {
    temp: tempfile::TempDir,
    hub: FakeHub,
}

fn weights() -> Vec<u8> {
    fs::read(Path::new(CLIP).join("model.safetensors")).unwrap()
}

impl House {
    fn new() -> Self {
        let config = fs::read(Path::new(CLIP).join("config.json")).unwrap();
        let files = [
            ("README.md", README.into()),
            ("config.json", config),
            ("model.safetensors", weights()),
        ];
        let house = Self {
            temp: tempfile::tempdir().unwrap(),
            hub: FakeHub::start(&files),
        };
        fs::create_dir(house.images()).unwrap();
        for n in 0..6_u8 {
            let image = RgbImage::from_fn(40, 30, |x, y| Rgb([n * 40, (x * 6) as u8, (y * 8) as u8]));
            image.save(house.images().join(format!("{n}.png"))).unwrap();
        }
        house
    }

    fn images(&self) -> PathBuf {
        self.temp.path().join("images")
    }

    fn index(&self) -> PathBuf {
        self.temp.path().join("index")
    }

    fn blobs(&self) -> PathBuf {
        self.temp.path().join("hf/hub/models--some--model/blobs")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_magiclens"));
        command
            .args(args)
            .env("HF_HOME", self.temp.path().join("hf"))
            .env("XDG_CACHE_HOME", self.temp.path().join("cache"))
            .env("HF_ENDPOINT", self.hub.address())
            .env("MAGICLENS_BUCKET", self.hub.address());
        for variable in ["HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "MAGICLENS_MODEL"] {
            command.env_remove(variable);
        }
        command
    }

    fn indexing(&self, more: &[&str]) -> Command {
        let mut command = self.command(&["index"]);
        command.arg(self.images()).arg("--index").arg(self.index()).args(more);
        command
    }

    fn searching(&self, more: &[&str]) -> Command {
        let mut command = self.command(&["search", "--json", "--text", "a square", "--index"]);
        command.arg(self.index()).args(more);
        command
    }

    #[track_caller]
    fn hits(&self, more: &[&str]) -> Vec<Value> {
        let answer: Value = serde_json::from_str(&succeeded(&mut self.searching(more))).unwrap();
        answer["hits"].as_array().unwrap().clone()
    }
}

#[track_caller]
fn succeeded(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

#[track_caller]
fn refused(command: &mut Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    let message = String::from_utf8(stderr).unwrap();
    assert!(!status.success() && message.contains("hint: "), "{message}");
    message
}

#[test]
fn an_index_remembers_its_model_and_needs_no_network_for_it() {
    let house = House::new();
    succeeded(&mut house.indexing(&["--model", REPOSITORY]));
    let asked = house.hub.requests().len();
    let named = house.hits(&["--model", REPOSITORY]);
    assert_eq!(named.len(), 6);
    // Neither the name nor the hub is needed again, also not to index more.
    assert_eq!(house.hits(&[]), named);
    succeeded(house.indexing(&[]).env("HF_HUB_OFFLINE", "1"));
    assert_eq!(house.hub.requests().len(), asked);
    assert_eq!(
        Index::open(&house.index()).unwrap().stamp().name,
        format!("{REPOSITORY}@{COMMIT}")
    );

    assert!(succeeded(&mut house.command(&["model", "rm", REPOSITORY])).contains("removed some/model"));
    let gone = refused(house.searching(&[]).env("HF_HUB_OFFLINE", "1"));
    assert!(
        gone.contains(&format!("magiclens model pull {REPOSITORY}@{COMMIT}")),
        "{gone}"
    );
    assert_eq!(house.hits(&[]), named, "it is fetched again by its commit");
}

#[test]
fn models_are_listed_looked_into_and_removed() {
    let house = House::new();
    let before = succeeded(&mut house.command(&["model", "list"]));
    assert!(
        before.contains("BAAI/BGE-VL-base") && !before.contains(REPOSITORY),
        "{before}"
    );
    let pulled = succeeded(&mut house.command(&["model", "pull", REPOSITORY]));
    assert!(
        pulled.starts_with(&format!("{REPOSITORY}@{COMMIT} is in `")),
        "{pulled}"
    );
    let list: Value = serde_json::from_str(&succeeded(&mut house.command(&["model", "list", "--json"]))).unwrap();
    let list = list["models"].as_array().unwrap();
    let here: Vec<&Value> = list.iter().filter(|model| !model["bytes_here"].is_null()).collect();
    assert_eq!(here.len(), 1);
    assert_eq!(
        (&here[0]["license"], &here[0]["name"]),
        (&"mit".into(), &format!("{REPOSITORY}@{COMMIT}").into())
    );
    let info: Value =
        serde_json::from_str(&succeeded(&mut house.command(&["model", "info", REPOSITORY, "--json"]))).unwrap();
    assert_eq!(
        (&info["config"]["dim"], &info["config"]["fusion"]["kind"]),
        (&24.into(), &"sum".into())
    );
    for name in ["small", SMALL] {
        assert!(refused(&mut house.command(&["model", "rm", name])).contains("is no download"));
    }
    assert!(refused(&mut house.command(&["model", "rm", "no/such"])).contains("not on this machine"));
}

#[test]
fn another_model_is_built_beside_and_takes_the_place() {
    let house = House::new();
    succeeded(&mut house.indexing(&["--model", "small"]));
    let first = house.hits(&[]);
    let open = Index::open(&house.index()).unwrap();
    // One image is given as a file of its own; it is in the index and not under the path that is given later.
    let apart = house.temp.path().join("apart.png");
    fs::copy(house.images().join("0.png"), &apart).unwrap();
    image::open(&apart).unwrap().rotate90().save(&apart).unwrap();
    succeeded(house.command(&["index", "--index"]).arg(house.index()).arg(&apart));
    assert_eq!(house.hits(&[]).len(), 7);

    succeeded(&mut house.indexing(&["--model", REPOSITORY]));
    let second = house.hits(&[]);
    assert_eq!(second.len(), 7, "no image is lost");
    assert_ne!(first[0]["score"], second[0]["score"]);
    assert!(!house.index().join("next").exists());
    let stamp = Index::open(&house.index()).unwrap().stamp().clone();
    assert_eq!((stamp.dim, stamp.name), (24, format!("{REPOSITORY}@{COMMIT}")));
    assert!(refused(&mut house.searching(&["--model", "small"])).contains("was made with the model `some/model"));
    // Whoever had the old one open is told.
    let vector = magiclens_data::Embedding::normalize(vec![1.0; 384]).unwrap();
    let query = magiclens_index::Query {
        vector: &vector,
        space: magiclens_index::Space::Image,
        selection: magiclens_index::Selection::first(1),
    };
    let error = open.search(&query).unwrap_err().to_string();
    assert!(error.contains("belongs to the model `some/model"), "{error}");
}

#[test]
fn a_killed_download_goes_on_where_it_stopped() {
    let house = House::new();
    house.hub.fault(Fault::Stalls(100_000), 3);
    let mut child = house
        .command(&["model", "pull", REPOSITORY])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let partial = house.blobs().join(format!("{}.incomplete", sha256(&weights())));
    // The two small files stall first: each is let go by the end of its fault.
    wait_for(&mut child, &house.hub, || {
        fs::metadata(&partial).is_ok_and(|metadata| metadata.len() >= 100_000)
    });
    child.kill().unwrap();
    child.wait().unwrap();
    succeeded(&mut house.command(&["model", "pull", REPOSITORY]));
    assert_eq!(house.hub.count("GET /content/model.safetensors bytes=100000-"), 1);
    assert!(!partial.exists());
}

fn wait_for(child: &mut Child, hub: &FakeHub, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(child.try_wait().unwrap().is_none(), "it ended: {:?}", hub.requests());
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", hub.requests());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_full_disk_is_named_and_what_came_is_kept() {
    let house = House::new();
    // A limit on the size of files stands for a full disk: the same call fails in the same way.
    let program = env!("CARGO_BIN_EXE_magiclens");
    let script = format!("trap '' XFSZ; ulimit -f 200; exec {program} model pull {REPOSITORY}");
    let mut limited = Command::new("bash");
    limited.args(["-c", &script]);
    for (name, value) in house.command(&[]).get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    let message = refused(&mut limited);
    assert!(
        message.contains("is full after ") && message.contains("HF_HOME"),
        "{message}"
    );
    succeeded(&mut house.command(&["model", "pull", REPOSITORY]));
    assert_eq!(
        house.hub.count("GET /content/model.safetensors bytes="),
        1,
        "it goes on"
    );
}

#[test]
fn two_programs_fetch_a_model_once() {
    let house = House::new();
    let start = || {
        let mut command = house.command(&["model", "pull", REPOSITORY]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    for mut child in [start(), start(), start()] {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(house.hub.count("GET /content/model.safetensors"), 1);
}

#[test]
fn a_false_name_says_which_names_there_are() {
    let house = House::new();
    let message = String::from_utf8(house.indexing(&["--model", "smal"]).output().unwrap().stderr).unwrap();
    assert!(
        message.contains("neither a file nor the name of a model") && message.contains("magiclens-base"),
        "{message}"
    );
    let missing = refused(&mut house.indexing(&["--model", "no/such"]));
    assert!(
        missing.contains("has no model `no/such`") && missing.contains("HF_TOKEN"),
        "{missing}"
    );
}
