//! Fetching from a hub that behaves, and from one that breaks off, lies, throttles and refuses.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]
#![cfg(feature = "download")]

mod fake_hub;

use std::path::Path;

use fake_hub::{COMMIT, FakeHub, Fault, REPOSITORY, git_hash, sha256};
use fs_err as fs;
use magiclens_hub::{Hub, HubConfig, HubError, HubName, Progress, Published, PublishedFile, Snapshot};

const README: &[u8] = b"---\nlicense: mit\n---\n# A model\n";

fn weights() -> Vec<u8> {
    (0..200_000_u32).flat_map(|number| number.to_le_bytes()).collect()
}

fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("README.md", README.to_vec()),
        ("config.json", b"{}".to_vec()),
        ("model.safetensors", weights()),
        ("flax_model.msgpack", vec![1; 10]),
    ]
}

fn config(hub: &FakeHub, folder: &Path) -> HubConfig {
    HubConfig {
        endpoint: hub.address().to_owned(),
        bucket: hub.address().to_owned(),
        cache: folder.join("hub"),
        models: folder.join("models"),
        token: None,
        offline: false,
    }
}

fn name(revision: Option<&str>) -> HubName {
    HubName {
        repository: REPOSITORY.into(),
        revision: revision.map(str::to_owned),
    }
}

/// What was told while fetching.
#[derive(Default)]
struct Told {
    begun: Vec<(String, u64)>,
    bytes: u64,
    ended: usize,
    notes: Vec<String>,
}

impl Progress for Told {
    fn begin(&mut self, file: &str, _size: Option<u64>, have: u64) {
        self.begun.push((file.to_owned(), have));
    }
    fn advance(&mut self, bytes: u64) {
        self.bytes += bytes;
    }
    fn end(&mut self) {
        self.ended += 1;
    }
    fn note(&mut self, line: &str) {
        self.notes.push(line.to_owned());
    }
}

fn check_whole(snapshot: &Snapshot) {
    assert_eq!(snapshot.name, name(Some(COMMIT)));
    assert_eq!(snapshot.license.as_deref(), Some("mit"));
    assert_eq!(fs::read(snapshot.folder.join("model.safetensors")).unwrap(), weights());
    assert_eq!(fs::read(snapshot.folder.join("config.json")).unwrap(), b"{}");
    assert!(
        !snapshot.folder.join("flax_model.msgpack").exists(),
        "no model needs it"
    );
}

#[test]
fn a_model_is_fetched_once_and_then_found_without_network() {
    let folder = tempfile::tempdir().unwrap();
    let server = FakeHub::start(&files());
    let hub = Hub::new(config(&server, folder.path()));
    let mut told = Told::default();
    check_whole(&hub.get(&name(None), &mut told).unwrap());
    let order: Vec<&str> = told.begun.iter().map(|(file, _)| file.as_str()).collect();
    assert_eq!(order, ["README.md", "config.json", "model.safetensors"], "weights last");
    assert_eq!(
        (told.bytes, told.ended),
        ((README.len() + 2 + weights().len()) as u64, 3)
    );
    let before = server.requests().len();
    check_whole(&hub.get(&name(None), &mut ()).unwrap());
    check_whole(&hub.get(&name(Some(COMMIT)), &mut ()).unwrap());
    assert_eq!(server.requests().len(), before, "nothing is asked again");
    // The layout of the Python client.
    let root = folder.path().join("hub/models--some--model");
    assert_eq!(fs::read_to_string(root.join("refs/main")).unwrap(), COMMIT);
    assert_eq!(fs::read(root.join("blobs").join(git_hash(b"{}"))).unwrap(), b"{}");
    let link = fs::read_link(root.join(format!("snapshots/{COMMIT}/config.json"))).unwrap();
    assert_eq!(link, Path::new("../../blobs").join(git_hash(b"{}")));
    // Pulling again asks for the commit, and fetches nothing.
    hub.pull(&name(None), &mut ()).unwrap();
    assert_eq!(server.requests().len(), before + 1);
}

#[test]
fn a_download_that_breaks_off_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let server = FakeHub::start(&files());
    let hub = Hub::new(config(&server, folder.path()));
    // Each answer to a content counts; the two small files are shorter than what comes before the break.
    server.fault(Fault::BreaksOff(100_000), 5);
    let mut told = Told::default();
    check_whole(&hub.get(&name(None), &mut told).unwrap());
    assert!(
        server.count("GET /content/model.safetensors bytes=100000-") == 1,
        "{:?}",
        server.requests()
    );
    assert!(
        told.notes.iter().all(|note| note.contains("trying again")),
        "{:?}",
        told.notes
    );
}

#[test]
fn another_process_goes_on_with_what_was_left() {
    let folder = tempfile::tempdir().unwrap();
    let server = FakeHub::start(&files());
    let hub = Hub::new(config(&server, folder.path()));
    let blobs = folder.path().join("hub/models--some--model/blobs");
    fs::create_dir_all(&blobs).unwrap();
    // The Python client leaves the same file behind.
    let partial = blobs.join(format!("{}.incomplete", sha256(&weights())));
    fs::write(&partial, &weights()[..300_000]).unwrap();
    let mut told = Told::default();
    check_whole(&hub.get(&name(None), &mut told).unwrap());
    assert_eq!(told.begun.last(), Some(&("model.safetensors".to_owned(), 300_000)));
    assert_eq!(server.count("GET /content/model.safetensors bytes=300000-"), 1);
    assert!(!partial.exists());
}

#[test]
fn a_server_that_ignores_ranges_is_read_from_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let server = FakeHub::start(&files());
    server.fault(Fault::BreaksOff(50_000), 3);
    server.fault(Fault::IgnoresRange, 5);
    check_whole(
        &Hub::new(config(&server, folder.path()))
            .get(&name(None), &mut ())
            .unwrap(),
    );
}

#[test]
fn busy_servers_are_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = FakeHub::start(&files());
    server.fault(Fault::Throttles, 2);
    server.fault(Fault::Fails, 1);
    let mut told = Told::default();
    check_whole(
        &Hub::new(config(&server, folder.path()))
            .get(&name(None), &mut told)
            .unwrap(),
    );
    assert!(told.notes.iter().any(|note| note.contains("429")), "{:?}", told.notes);
}

#[test]
fn altered_bytes_and_false_sizes_are_refused_and_not_kept() {
    for (fault, expected) in [(Fault::AltersBytes, "hash "), (Fault::LiesAboutSize, "broke off")] {
        let folder = tempfile::tempdir().unwrap();
        let server = FakeHub::start(&[("config.json", b"{}".to_vec()), ("model.safetensors", weights())]);
        let hub = Hub::new(config(&server, folder.path()));
        // Every answer of the content is altered; a false size makes each attempt come up short.
        server.fault(fault, 100);
        let error = hub.get(&name(None), &mut ()).unwrap_err().to_string();
        assert!(
            error.contains(expected) && error.contains("hint: "),
            "{fault:?}: {error}"
        );
        assert_eq!(hub.find(&name(None)), None);
        server.fault(fault, 0);
        let snapshot = hub.get(&name(None), &mut ()).unwrap();
        assert_eq!(
            fs::read(snapshot.folder.join("model.safetensors")).unwrap(),
            weights(),
            "{fault:?}"
        );
    }
}

#[test]
fn refusals_name_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let server = FakeHub::start(&files());
    let hub = Hub::new(config(&server, folder.path()));
    let error = |name: &HubName| hub.get(name, &mut ()).unwrap_err();
    let other = HubName {
        repository: "no/such".into(),
        revision: None,
    };
    assert!(matches!(error(&other), HubError::NoRepository { .. }));
    assert!(matches!(error(&name(Some("v9"))), HubError::NoRevision { .. }));
    server.fault(Fault::Gates, 1);
    let gated = error(&name(None));
    assert!(matches!(gated, HubError::Gated { .. }));
    assert!(gated.to_string().contains("accept the terms at"), "{gated}");
    let empty = FakeHub::start(&[("README.md", README.to_vec())]);
    let hub = Hub::new(config(&empty, folder.path()));
    assert!(matches!(
        hub.get(&name(None), &mut ()).unwrap_err(),
        HubError::NoModel { .. }
    ));
    let gone = config(&empty, folder.path());
    drop(empty);
    let unreachable = Hub::new(gone).get(&name(None), &mut ()).unwrap_err();
    assert!(matches!(unreachable, HubError::Unreachable { .. }), "{unreachable}");
}

#[test]
fn offline_only_the_cache_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let server = FakeHub::start(&files());
    let online = config(&server, folder.path());
    let offline = Hub::new(HubConfig {
        offline: true,
        ..online.clone()
    });
    let error = offline.get(&name(None), &mut ()).unwrap_err();
    assert!(error.to_string().contains("magiclens model pull some/model"), "{error}");
    assert_eq!(server.requests().len(), 0);
    Hub::new(online).get(&name(None), &mut ()).unwrap();
    check_whole(&offline.get(&name(None), &mut ()).unwrap());
}

#[test]
fn the_token_goes_to_the_hub_and_to_no_other_host() {
    let folder = tempfile::tempdir().unwrap();
    let server = FakeHub::start(&files());
    let with_token = HubConfig {
        token: Some("hf_secret".into()),
        ..config(&server, folder.path())
    };
    Hub::new(with_token).get(&name(None), &mut ()).unwrap();
    let hub_requests = server.count("/api/") + server.count("/resolve/");
    assert!(hub_requests >= 5 && server.count("with token") == hub_requests);
    assert_eq!(server.count("GET /content/model.safetensors"), 1);
}

#[test]
fn two_that_want_the_same_model_fetch_it_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = FakeHub::start(&files());
    server.fault(Fault::Stalls(10), 3);
    let fetch = || {
        let config = config(&server, folder.path());
        move || {
            let mut told = Told::default();
            check_whole(&Hub::new(config).get(&name(None), &mut told).unwrap());
            told.notes
        }
    };
    let notes = std::thread::scope(|scope| {
        let both = [scope.spawn(fetch()), scope.spawn(fetch())];
        std::thread::sleep(std::time::Duration::from_millis(500));
        server.release();
        both.map(|one| one.join().unwrap())
    });
    assert_eq!(server.count("GET /content/model.safetensors"), 1);
    let waited = notes.iter().flatten().filter(|note| note.contains("waiting")).count();
    assert!(waited >= 1, "{notes:?}");
}

#[test]
fn published_checkpoints_come_from_the_bucket() {
    let folder = tempfile::tempdir().unwrap();
    let server = FakeHub::start(&[("magiclens_clip_base.pkl", weights())]);
    let hub = Hub::new(config(&server, folder.path()));
    server.fault(Fault::BreaksOff(1_000), 1);
    let PublishedFile::Pickle { path, target } = hub.published(Published::Base, &mut ()).unwrap() else {
        panic!("it was not imported yet")
    };
    assert_eq!(fs::read(&path).unwrap(), weights());
    assert_eq!(server.count("bytes=1000-"), 1);
    fs::write(&target, "imported").unwrap();
    assert_eq!(
        hub.find_published(Published::Base),
        Some(PublishedFile::Imported(target))
    );
    let error = hub.published(Published::Large, &mut ()).unwrap_err();
    assert!(error.to_string().contains("MAGICLENS_BUCKET"), "{error}");
    assert_eq!(
        hub.remove_published(Published::Base).unwrap(),
        weights().len() as u64 + 8
    );
    assert!(matches!(
        hub.remove_published(Published::Base),
        Err(HubError::NotHere(_))
    ));
}
