//! A folder and an object store keep the same promises; what only a folder has, temporary files, is tested here as well.

#[cfg(feature = "scale-tests")]
mod s3;
#[cfg(feature = "object-store")]
mod status;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use rayon::prelude::*;

use std::cell::Cell;
use std::fmt;
use std::fs::File;

use super::folder::TEMPORARY;
use super::*;

thread_local! {
    /// Calls of [`Store::list`] by this thread.
    pub(crate) static LISTS: Cell<usize> = const { Cell::new(0) };
}

impl fmt::Display for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.address())
    }
}

fn folder() -> (tempfile::TempDir, Store) {
    let temp = tempfile::tempdir().unwrap();
    let store = Store::open(temp.path().join("run").to_str().unwrap()).unwrap();
    (temp, store)
}

/// The contract of every place. `store` is empty.
fn check_promises(store: &Store) {
    assert!(store.list("").unwrap().is_empty() && store.list("pages").unwrap().is_empty());
    assert!(!store.exists("pages/1").unwrap());
    for error in [store.read("pages/1").unwrap_err(), store.local("pages/1").unwrap_err()] {
        let start = format!("`{store}/pages/1` does not exist\nhint: ");
        assert!(error.to_string().starts_with(&start), "{error}");
    }

    for name in [
        "pages/2",
        "pages/10",
        "pages/1",
        "pages/1/below",
        "pages.toml",
        "pages with space/ü=1",
    ] {
        // A folder cannot hold both `pages/1` and `pages/1/below`; no run does.
        if name != "pages/1/below" {
            store.write(name, name.as_bytes()).unwrap();
            assert_eq!(store.read(name).unwrap(), name.as_bytes());
            assert!(store.exists(name).unwrap());
        }
    }
    assert_eq!(store.list("pages").unwrap(), ["pages/1", "pages/10", "pages/2"]);
    assert_eq!(store.list("pages with space").unwrap(), ["pages with space/ü=1"]);
    assert_eq!(store.list("").unwrap(), ["pages.toml"], "only what lies directly in it");

    let mut new = store.create("pages/3").unwrap();
    new.write_all(b"three").unwrap();
    new.flush().unwrap();
    assert!(!store.exists("pages/3").unwrap(), "not published");
    assert_eq!(store.list("pages").unwrap().len(), 3);
    new.publish().unwrap();
    assert_eq!(store.read("pages/3").unwrap(), b"three");
    store.write("pages/3", b"").unwrap();
    assert_eq!(store.read("pages/3").unwrap(), b"", "the last one counts");

    let local = store.local("pages/10").unwrap();
    assert_eq!(fs_err::read(local.path()).unwrap(), b"pages/10");
    drop(local);
    assert!(store.exists("pages/10").unwrap(), "only the copy goes");

    assert!(store.create_exclusive("config", b"first").unwrap());
    assert!(!store.create_exclusive("config", b"second").unwrap());
    assert_eq!(store.read("config").unwrap(), b"first");

    store.remove("config").unwrap();
    store.remove("config").unwrap();
    assert!(!store.exists("config").unwrap());
    assert_eq!(store.clean(Duration::ZERO).unwrap(), 0, "nothing is left over");
}

/// Of many that create the same file at once, one wins, and its bytes are what all see.
fn check_one_winner(store: &Store) {
    for round in 0..4 {
        let name = format!("race/{round}");
        let winners: Vec<u32> = (0..16)
            .into_par_iter()
            .filter(|n| store.create_exclusive(&name, n.to_string().as_bytes()).unwrap())
            .collect();
        let [winner] = winners[..] else {
            panic!("winners: {winners:?}")
        };
        assert_eq!(store.read(&name).unwrap(), winner.to_string().as_bytes());
    }
}

#[test]
fn a_folder_keeps_the_promises() {
    let (temp, store) = folder();
    check_promises(&store);
    check_one_winner(&store);
    assert_eq!(store.to_string(), temp.path().join("run").to_str().unwrap());
    assert_eq!(store.folder(), Some(&*temp.path().join("run")));
    let again = Store::open(&format!("file://{store}")).unwrap();
    assert_eq!(again.read("pages/2").unwrap(), b"pages/2");
    assert_eq!(
        fetch(&format!("{store}/pages/2")).unwrap().path(),
        temp.path().join("run/pages/2")
    );
    let missing = fetch("/no/such/file").unwrap_err().to_string();
    assert!(missing.starts_with("`/no/such/file` does not exist"), "{missing}");
}

#[test]
fn readers_see_whole_files_while_others_publish() {
    let (_temp, store) = folder();
    let content = |n: u8| vec![n; 100_000];
    store.write("shard", &content(0)).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (1..4)
            .map(|n| {
                let store = &store;
                scope.spawn(move || (0..40).for_each(|_| store.write("shard", &content(n)).unwrap()))
            })
            .collect();
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !done.load(Ordering::Relaxed) || reads == 0 {
                let bytes = store.read("shard").unwrap();
                assert!(bytes == content(bytes[0]), "a mixture of {} bytes", bytes.len());
                assert_eq!(store.list("").unwrap(), ["shard"]);
                reads += 1;
            }
        });
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    assert!(store.list(TEMPORARY).unwrap().is_empty());
    assert_eq!(fs_err::read_dir(format!("{store}/{TEMPORARY}")).unwrap().count(), 0);
}

#[test]
fn names_stay_in_the_place() {
    let (_temp, store) = folder();
    for name in [
        "",
        "/etc/passwd",
        "../other",
        "a/../../b",
        "a//b",
        "a/",
        "./a",
        "a\\b",
        "a\nb",
        "a\0",
    ] {
        let refused = [
            store.write(name, b"").err(),
            store.read(name).err(),
            store.exists(name).err(),
            store.remove(name).err(),
            store.local(name).err(),
            store.create_exclusive(name, b"").err(),
        ];
        for error in refused {
            let message = error.unwrap().to_string();
            assert!(message.contains("cannot be the name of a file in a run"), "{message}");
        }
    }
}

#[test]
fn addresses_that_lead_nowhere_are_refused_with_a_hint() {
    for (address, part) in [
        ("", "it is empty"),
        ("ftp://host/folder", "`ftp://` is no object store"),
        ("s3://", "`s3://` is no place that can be opened: it names no bucket"),
        ("gs:///prefix", "it names no bucket"),
        ("file://host/folder", "no path of this machine"),
    ] {
        let message = Store::open(address).unwrap_err().to_string();
        assert!(message.contains(part) && message.contains("\nhint: "), "{message}");
    }
    let (_temp, store) = folder();
    store.write("file", b"").unwrap();
    let message = Store::open(&format!("{store}/file")).unwrap_err().to_string();
    assert!(message.contains(&format!("{store}/file")), "{message}");
}

const WRITER_VARIABLE: &str = "MAGICLENS_TEST_STORE_WRITER";

/// The child: publishes one file after another, each of many small writes, and says which ones it has published.
#[expect(clippy::print_stdout, reason = "the parent reads it")]
fn publish_until_killed(address: &str) -> ! {
    let store = Store::open(address).unwrap();
    for n in 0_u64.. {
        let mut file = store.create(&format!("shards/{n:06}")).unwrap();
        for _ in 0..200 {
            file.write_all(&n.to_le_bytes()).unwrap();
        }
        file.publish().unwrap();
        println!("published {n}");
    }
    unreachable!("numbers do not end");
}

#[test]
fn a_killed_writer_leaves_whole_files_and_nothing_that_stays() {
    if let Ok(address) = std::env::var(WRITER_VARIABLE) {
        publish_until_killed(&address);
    }
    let (_temp, store) = folder();
    let living = store.create("living").unwrap();
    let mut left_over = 0;
    for round in 0..10 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg(own_name("a_killed_writer_leaves_whole_files_and_nothing_that_stays"))
            .env(WRITER_VARIABLE, store.address())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(std::io::Result::ok);
        let mut published = || {
            lines
                .by_ref()
                .find_map(|line| line.strip_prefix("published ")?.parse::<u64>().ok())
        };
        let first = published().expect("the child publishes");
        std::thread::sleep(Duration::from_millis(3 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let last = std::iter::from_fn(published).last().unwrap_or(first);

        let names = store.list("shards").unwrap();
        assert!(last < names.len() as u64, "what it had published is there");
        for (n, name) in names.iter().enumerate() {
            assert_eq!(
                store.read(name).unwrap(),
                (n as u64).to_le_bytes().repeat(200),
                "{name}"
            );
        }
        left_over += store.clean(Duration::MAX).unwrap();
        assert!(living.path().exists(), "it is being written");
        assert_eq!(fs_err::read_dir(living.path().parent().unwrap()).unwrap().count(), 1);
    }
    assert!(0 < left_over, "no kill hit a write");
    living.publish().unwrap();
    assert!(store.exists("living").unwrap());
}

/// The name of a test of this module as the test program knows it.
fn own_name(test: &str) -> String {
    let module = module_path!();
    format!("{}::{test}", module.split_once("::").map_or(module, |(_, rest)| rest))
}

#[test]
fn files_of_other_machines_go_only_when_they_are_old() {
    let (_temp, store) = folder();
    let temporary = PathBuf::from(store.address()).join(TEMPORARY);
    fs_err::create_dir(&temporary).unwrap();
    let hour = Duration::from_secs(3600);
    let put = |name: &str, age: Duration| {
        let file = File::create(temporary.join(name)).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
        file
    };
    put("magiclens-tmp-elsewhere-17-abc", Duration::ZERO);
    put("magiclens-tmp-elsewhere-17-old", 2 * hour);
    put("of-somebody-else", 2 * hour);
    let held = put("magiclens-tmp-elsewhere-17-held", 2 * hour);
    held.lock().unwrap();
    assert_eq!(store.clean(hour).unwrap(), 1);
    let mut left: Vec<_> = fs_err::read_dir(&temporary)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(
        left,
        [
            "magiclens-tmp-elsewhere-17-abc",
            "magiclens-tmp-elsewhere-17-held",
            "of-somebody-else"
        ]
    );
}

#[test]
fn a_writer_that_meets_a_cleaner_loses_nothing() {
    let (_temp, store) = folder();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let cleaner = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                store.clean(Duration::ZERO).unwrap();
            }
        });
        (0..500).for_each(|n| store.write(&format!("shards/{n:03}"), &[1]).unwrap());
        done.store(true, Ordering::Relaxed);
        cleaner.join().unwrap();
    });
    assert_eq!(store.list("shards").unwrap().len(), 500);
}

#[cfg(unix)]
#[test]
fn published_files_are_readable_like_any_other() {
    use std::os::unix::fs::PermissionsExt;
    let (temp, store) = folder();
    store.write("shard", b"").unwrap();
    fs_err::write(temp.path().join("plain"), b"").unwrap();
    let mode = |path: &str| fs_err::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&format!("{store}/shard")), mode(&format!("{store}/../plain")));
}
