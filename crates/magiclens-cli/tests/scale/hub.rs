//! The hub's own Python client and ours on the same cache and the same hub: each finds what the other fetched, offline.

use std::path::Path;
use std::process::{Command, Output};

use crate::fake_hub::{COMMIT, FakeHub, Fault, REPOSITORY, sha256};
use crate::{PROGRAM, python};

const CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/clip/hf");

fn start() -> (FakeHub, Vec<u8>) {
    let read = |file: &str| fs_err::read(Path::new(CLIP).join(file)).unwrap();
    let weights = read("model.safetensors");
    let files = [
        ("README.md", b"---\nlicense: mit\n---\n".to_vec()),
        ("config.json", read("config.json")),
        ("model.safetensors", weights.clone()),
    ];
    (FakeHub::start(&files), weights)
}

fn run(mut command: Command, home: &Path, hub: &FakeHub, offline: bool) -> String {
    let offline = if offline { "1" } else { "0" };
    command
        .env("HF_HOME", home)
        .env("XDG_CACHE_HOME", home)
        .env("HF_ENDPOINT", hub.address())
        .env("HF_HUB_OFFLINE", offline)
        .env("HF_HUB_DISABLE_TELEMETRY", "1")
        .env_remove("HF_TOKEN");
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(
        status.success(),
        "{}\n{:?}",
        String::from_utf8_lossy(&stderr),
        hub.requests()
    );
    String::from_utf8(stdout).unwrap()
}

fn ours(args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(args);
    command
}

/// Prints the folder of the model.
fn theirs() -> Command {
    let mut command = Command::new(python());
    let script = format!("import huggingface_hub as hub; print(hub.snapshot_download('{REPOSITORY}'))");
    command.args(["-c", &script]);
    command
}

#[test]
fn ours_finds_what_the_python_client_fetched() {
    let home = tempfile::tempdir().unwrap();
    let (hub, _) = start();
    run(theirs(), home.path(), &hub, false);
    let asked = hub.requests().len();
    let info = run(ours(&["model", "info", REPOSITORY, "--json"]), home.path(), &hub, true);
    assert!(info.contains(&format!("\"name\":\"{REPOSITORY}@{COMMIT}\"")), "{info}");
    assert_eq!(hub.requests().len(), asked);
}

#[test]
fn the_python_client_finds_what_ours_fetched() {
    let home = tempfile::tempdir().unwrap();
    let (hub, weights) = start();
    run(ours(&["model", "pull", REPOSITORY]), home.path(), &hub, false);
    let asked = hub.requests().len();
    let folder = run(theirs(), home.path(), &hub, true);
    let folder = Path::new(folder.trim());
    assert!(folder.ends_with(COMMIT));
    assert_eq!(fs_err::read(folder.join("model.safetensors")).unwrap(), weights);
    assert_eq!(hub.requests().len(), asked);
    // Online it asks for the commit and fetches nothing that it knows of.
    run(theirs(), home.path(), &hub, false);
    assert_eq!(hub.count("GET /content/model.safetensors"), 1);
}

#[test]
fn a_download_that_ours_began_is_taken_over() {
    let home = tempfile::tempdir().unwrap();
    let (hub, weights) = start();
    hub.fault(Fault::Stalls(100_000), 3);
    let mut command = ours(&["model", "pull", REPOSITORY]);
    command
        .env("HF_HOME", home.path())
        .env("HF_ENDPOINT", hub.address())
        .env("HF_HUB_OFFLINE", "0");
    let mut child = command.spawn().unwrap();
    let blobs = home.path().join("hub/models--some--model/blobs");
    let partial = blobs.join(format!("{}.incomplete", sha256(&weights)));
    let begun = std::time::Instant::now();
    while fs_err::metadata(&partial).map_or(0, |metadata| metadata.len()) < 100_000 {
        assert!(begun.elapsed().as_secs() < 60, "{:?}", hub.requests());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    hub.release();
    let folder = run(theirs(), home.path(), &hub, false);
    let fetched = fs_err::read(Path::new(folder.trim()).join("model.safetensors")).unwrap();
    assert!(fetched == weights, "the Python client made something else of it");
}
