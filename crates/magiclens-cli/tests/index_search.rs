//! `magiclens index` and `magiclens search` as they are used: the real program, the committed weights, real files.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use image::{Rgb, RgbImage};
use magiclens_data::ImageId;
use magiclens_index::{Index, IndexError, ModelStamp};
use serde_json::Value;

/// A temporary folder with `images/`, for an index in `index/`.
struct Place {
    temp: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            temp: tempfile::tempdir().unwrap(),
        };
        fs_err::create_dir(place.images()).unwrap();
        place
    }

    fn root(&self) -> PathBuf {
        self.temp.path().canonicalize().unwrap()
    }

    fn images(&self) -> PathBuf {
        self.root().join("pictures")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.images().join(name)
    }

    fn dir(&self) -> PathBuf {
        self.root().join("index")
    }

    fn draw_many(&self, count: u32) {
        for n in 0..count {
            draw(&self.path(&format!("{n:03}.png")), n);
        }
    }

    /// `magiclens index images --index index` with more arguments.
    fn indexing(&self, more: &[&str]) -> Command {
        let mut command = magiclens(&["index"]);
        command
            .arg(self.images())
            .arg("--index")
            .arg(self.dir())
            .args(["--model", WEIGHTS])
            .args(more);
        command
    }

    fn index(&self) -> Value {
        json(&output(&mut self.indexing(&["--json"])))
    }

    /// `magiclens search --index index` with more arguments.
    fn search(&self, more: &[&str]) -> Output {
        output(
            magiclens(&["search", "--model", WEIGHTS, "--index"])
                .arg(self.dir())
                .args(more),
        )
    }

    fn hits(&self, more: &[&str]) -> Vec<Value> {
        let answer = json(&self.search(&[more, &["--json"]].concat()));
        assert_eq!(answer.as_object().unwrap().keys().collect::<Vec<_>>(), ["hits"]);
        answer["hits"].as_array().unwrap().clone()
    }

    fn names(&self, more: &[&str]) -> Vec<String> {
        let prefix = format!("{}/", self.images().display());
        let name = |hit: &Value| hit["path"].as_str().unwrap().strip_prefix(&prefix).unwrap().to_owned();
        self.hits(more).iter().map(name).collect()
    }
}

const WEIGHTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../weights/small.safetensors");

fn magiclens(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_magiclens"));
    command.args(args);
    command
}

fn output(command: &mut Command) -> Output {
    command.output().unwrap()
}

#[track_caller]
fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn check_error(output: &Output, parts: &[&str]) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(output.stdout.is_empty());
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

/// A disc on a ground; every `n` has its own colors and place.
fn drawing(n: u32) -> RgbImage {
    let part = |step: u32| (n.wrapping_mul(step).wrapping_add(step) % 256) as u8;
    let (ground, disc) = (
        Rgb([part(37), part(91), part(151)]),
        Rgb([part(203), part(17), part(113)]),
    );
    let (x0, y0, radius) = (30 + n % 60, 30 + n * 7 % 60, 12 + n * 3 % 30);
    RgbImage::from_fn(120, 120, |x, y| {
        match x.abs_diff(x0).pow(2) + y.abs_diff(y0).pow(2) < radius * radius {
            true => disc,
            false => ground,
        }
    })
}

fn draw(path: &Path, n: u32) {
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    drawing(n).save(path).unwrap();
}

/// The parts of a summary that count files.
#[track_caller]
fn check_counts(report: &Value, expected: &[(&str, u64)]) {
    for name in [
        "added",
        "changed",
        "moved",
        "duplicates",
        "removed",
        "unchanged",
        "skipped",
        "embedded",
    ] {
        let expected = expected
            .iter()
            .find(|(expected, _)| *expected == name)
            .map_or(0, |(_, count)| *count);
        assert_eq!(report[name], expected, "{name} in {report}");
    }
}

#[test]
fn a_second_run_does_only_what_changed() {
    let place = Place::new();
    place.draw_many(6);
    check_counts(&place.index(), &[("added", 6), ("embedded", 6)]);
    check_counts(&place.index(), &[("unchanged", 6)]);

    fs_err::rename(place.path("000.png"), place.path("moved here.png")).unwrap();
    fs_err::remove_file(place.path("001.png")).unwrap();
    draw(&place.path("002.png"), 70);
    fs_err::copy(place.path("003.png"), place.path("copy.png")).unwrap();
    draw(&place.path("sub/ünï\ncode.png"), 71);
    let expected = [
        ("moved", 1),
        ("removed", 1),
        ("changed", 1),
        ("duplicates", 1),
        ("added", 1),
        ("unchanged", 3),
        ("embedded", 2),
    ];
    let report = place.index();
    check_counts(&report, &expected);
    assert_eq!(report["pictures"], 6);
    check_counts(&place.index(), &[("unchanged", 7)]);
    let mut names = place.names(&["--text", "a disc"]);
    names.sort();
    assert_eq!(
        names,
        [
            "002.png",
            "003.png",
            "004.png",
            "005.png",
            "moved here.png",
            "sub/ünï\ncode.png"
        ]
    );

    let report = json(&output(&mut place.indexing(&["--json", "--rebuild"])));
    check_counts(&report, &[("added", 6), ("duplicates", 1), ("embedded", 6)]);
    fs_err::remove_dir_all(place.path("sub")).unwrap();
    let forget = output(
        magiclens(&["index", "--json", "--index"])
            .arg(place.dir())
            .arg("--forget")
            .arg(place.path("sub")),
    );
    assert_eq!(json(&forget)["forgotten"], 1);
    assert_eq!(Index::open(&place.dir()).unwrap().len().unwrap(), 5);
}

/// A PNG whose header claims a size, and which ends after it.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut small = std::io::Cursor::new(Vec::new());
    RgbImage::new(1, 1)
        .write_to(&mut small, image::ImageFormat::Png)
        .unwrap();
    let mut bytes = small.into_inner();
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let mut crc = u32::MAX;
    for byte in &bytes[12..29] {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0xedb8_8320
            } else {
                crc >> 1
            };
        }
    }
    bytes[29..33].copy_from_slice(&(!crc).to_be_bytes());
    bytes
}

#[test]
fn hostile_files_are_skipped_counted_and_listed() {
    let place = Place::new();
    place.draw_many(3);
    draw(&place.path("a b/ç \"q\" <i>.png"), 50);
    let whole = fs_err::read(place.path("000.png")).unwrap();
    for (name, bytes) in [
        ("empty.png", &b""[..]),
        ("truncated.png", &whole[..whole.len() / 2]),
        ("text.png", b"I am a text"),
        ("huge.png", &png_header(100_000, 100_000)),
        ("notes.txt", b"no image, not listed"),
    ] {
        fs_err::write(place.path(name), bytes).unwrap();
    }
    fs_err::File::create(place.path("bytes.png"))
        .unwrap()
        .set_len(10 << 30)
        .unwrap();
    std::os::unix::fs::symlink(place.images(), place.path("loop")).unwrap();
    std::os::unix::fs::symlink("nowhere", place.path("nowhere.png")).unwrap();

    let mut expected = vec![
        ("bytes.png", "too_large"),
        ("empty.png", "empty"),
        ("huge.png", "too_large"),
        ("loop", "link_loop"),
        ("nowhere.png", "broken_link"),
        ("text.png", "not_a_picture"),
        ("truncated.png", "damaged"),
    ];
    for (round, counts) in [[("added", 4), ("embedded", 4)], [("unchanged", 4), ("embedded", 0)]]
        .iter()
        .enumerate()
    {
        let report = json(&output(&mut place.indexing(&["--json", "--list-skipped"])));
        check_counts(&report, &[&counts[..], &[("skipped", 7)]].concat());
        assert_eq!(report["other_files"], 1);
        assert_eq!(report["skipped_by_reason"]["too_large"], 2, "round {round}");
        let listed = report["skipped_files"].as_array().unwrap();
        let listed: Vec<_> = listed
            .iter()
            .map(|s| (s["path"].as_str().unwrap(), s["reason"].as_str().unwrap()))
            .collect();
        let paths: Vec<_> = expected
            .iter()
            .map(|(name, _)| place.path(name).to_str().unwrap().to_owned())
            .collect();
        let expected: Vec<_> = paths
            .iter()
            .map(String::as_str)
            .zip(expected.iter().map(|(_, reason)| *reason))
            .collect();
        assert_eq!(listed, expected);
    }
    let listed = output(magiclens(&["index", "--list-skipped", "--index"]).arg(place.dir()));
    let listed = String::from_utf8(listed.stdout).unwrap();
    expected.retain(|(name, reason)| {
        !listed.contains(&format!("/{name}  (")) || !listed.contains(&reason.replace('_', " "))
    });
    assert_eq!((expected, listed.lines().count()), (vec![], 7), "{listed}");
}

/// Runs the program as somebody who may not read everything, even if the tests run as root.
#[test]
fn what_cannot_be_read_is_listed_and_not_forgotten() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65_534;
    let place = Place::new();
    place.draw_many(2);
    draw(&place.path("closed/in.png"), 40);
    draw(&place.path("lone.png"), 41);
    // Somebody else may not reach the build folder or the checkout, so both are brought along.
    let program = place.root().join("magiclens");
    fs_err::copy(env!("CARGO_BIN_EXE_magiclens"), &program).unwrap();
    let weights = place.root().join("weights");
    fs_err::create_dir(&weights).unwrap();
    for file in fs_err::read_dir(Path::new(WEIGHTS).parent().unwrap()).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_file() {
            fs_err::copy(file.path(), weights.join(file.file_name())).unwrap();
        }
    }
    fs_err::create_dir(place.dir()).unwrap();
    let is_root = fs_err::metadata(place.root()).unwrap().uid() == 0;
    if is_root {
        chown(place.dir(), Some(NOBODY), Some(NOBODY)).unwrap();
        fs_err::set_permissions(place.root(), PermissionsExt::from_mode(0o755)).unwrap();
    }
    let index = || {
        let mut command = Command::new(&program);
        command.arg("index").arg(place.images()).arg("--index").arg(place.dir());
        command
            .arg("--model")
            .arg(weights.join("small.safetensors"))
            .args(["--json", "--list-skipped"]);
        if is_root {
            command.uid(NOBODY).gid(NOBODY).env("HOME", place.root());
        }
        json(&output(&mut command))
    };
    let set_mode =
        |name: &str, mode| fs_err::set_permissions(place.path(name), PermissionsExt::from_mode(mode)).unwrap();
    set_mode("lone.png", 0o000);
    let report = index();
    check_counts(&report, &[("added", 3), ("skipped", 1), ("embedded", 3)]);
    assert_eq!(report["skipped_files"][0]["reason"], "unreadable");
    set_mode("lone.png", 0o644);
    check_counts(&index(), &[("added", 1), ("unchanged", 3), ("embedded", 1)]);
    set_mode("closed", 0o000);
    let report = index();
    set_mode("closed", 0o755);
    check_counts(&report, &[("unchanged", 3), ("skipped", 1)]);
    assert_eq!(
        report["skipped_files"][0]["path"],
        place.path("closed").to_str().unwrap()
    );
    assert_eq!(report["pictures"], 4, "what lies in the closed folder stays");
    check_counts(&index(), &[("unchanged", 4)]);
}

/// Starts a run in small batches and waits until some, but not all of its images are in the index.
fn start_and_wait_for_some(place: &Place, total: usize) -> Child {
    let mut child = place
        .indexing(&["--batch", "2"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    loop {
        let len = Index::open(&place.dir())
            .and_then(|index| index.len())
            .unwrap_or_default();
        assert!(
            len < total && child.try_wait().unwrap().is_none(),
            "it ended before it could be stopped"
        );
        if 0 < len {
            return child;
        }
        assert!(started.elapsed() < Duration::from_secs(120), "no image was indexed");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_killed_run_is_taken_up_again() {
    let place = Place::new();
    place.draw_many(80);
    let mut before = 0;
    for _ in 0..2 {
        let mut child = start_and_wait_for_some(&place, 80);
        // Files that vanish while the run goes on, and a second run beside it.
        if before == 0 {
            fs_err::remove_file(place.path("079.png")).unwrap();
            let second = Index::create_or_open(
                &place.dir(),
                &ModelStamp {
                    name: String::new(),
                    model_id: String::new(),
                    dim: 1,
                },
            );
            assert!(matches!(second, Err(IndexError::Busy { .. })));
        }
        let seen = Index::open(&place.dir()).unwrap().len().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let after = Index::open(&place.dir()).unwrap().len().unwrap();
        assert!(before <= seen && seen <= after);
        before = after;
    }
    let report = place.index();
    let before = u64::try_from(before).unwrap();
    check_counts(
        &report,
        &[("added", 79 - before), ("unchanged", before), ("embedded", 79 - before)],
    );
    assert_eq!(report["pictures"], 79);
    check_counts(&place.index(), &[("unchanged", 79)]);
}

#[test]
fn control_c_ends_well() {
    let place = Place::new();
    place.draw_many(80);
    let child = start_and_wait_for_some(&place, 80);
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let ended = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{message}");
    assert!(
        message.contains("what is done is safe\nhint: run the same command again"),
        "{message}"
    );
    let len = Index::open(&place.dir()).unwrap().len().unwrap();
    assert!(0 < len && len < 80, "{len}");
}

#[test]
fn every_form_of_search() {
    let place = Place::new();
    place.draw_many(30);
    place.index();
    // An image that is not in the index, but looks like number 7.
    let query = place.root().join("query.png");
    image::imageops::resize(&drawing(7), 100, 100, image::imageops::FilterType::Triangle)
        .save(&query)
        .unwrap();
    let query = query.to_str().unwrap();
    let inside = place.path("007.png");
    let inside = inside.to_str().unwrap();
    let id = ImageId::of_bytes(&fs_err::read(inside).unwrap()).to_string();

    let hits = place.hits(&["--image", query]);
    assert_eq!(hits.len(), 20);
    assert!(hits.is_sorted_by(|a, b| b["score"].as_f64() <= a["score"].as_f64()));
    assert_eq!(
        (hits[0]["path"].as_str(), hits[0]["id"].as_str()),
        (Some(inside), Some(id.as_str()))
    );
    assert_eq!((&hits[0]["width"], &hits[0]["height"]), (&120.into(), &120.into()));
    assert_eq!(place.hits(&["--image", query, "-k", "3"]), hits[..3]);
    let third = hits[2]["score"].to_string();
    assert_eq!(place.hits(&["--image", query, "--min-score", &third]), hits[..3]);

    // The query itself is left out, unless it is asked for; by its file or its id.
    for me in [inside, id.as_str()] {
        assert!(
            !place
                .names(&["--image", me, "-k", "30"])
                .contains(&"007.png".to_owned())
        );
        let hits = place.hits(&["--image", me, "-k", "30", "--include-query"]);
        assert_eq!((hits.len(), hits[0]["path"].as_str()), (30, Some(inside)));
        assert!(
            (hits[0]["score"].as_f64().unwrap() - 1.0).abs() < 2e-3,
            "{}",
            hits[0]["score"]
        );
    }
    let scores = |more: &[&str]| -> Vec<Value> { place.hits(more).iter().map(|hit| hit["score"].clone()).collect() };
    let by_text = scores(&["--text", "a red disc"]);
    let by_both = scores(&["--image", query, "--text", "a red disc"]);
    assert_eq!((by_text.len(), by_both.len()), (20, 20));
    assert_ne!(by_text, by_both);
    assert_ne!(by_both, scores(&["--image", query]), "the instruction has no effect");
    assert_eq!(scores(&["--image", query, "--text", "  "]), scores(&["--image", query]));

    // A second image is heard, stands behind the first, and is left out of the answer like it.
    let other = place.path("011.png");
    let other = other.to_str().unwrap();
    let both = [
        "--image",
        inside,
        "--second",
        other,
        "--text",
        "the first in the color of the second",
        "-k",
        "30",
    ];
    let swapped = ["--image", other, "--second", inside, "--text", both[5], "-k", "30"];
    assert_eq!(place.hits(&both).len(), 28);
    assert_ne!(
        place.names(&both),
        place.names(&["--image", inside, "--text", both[5], "-k", "30"])
    );
    assert_ne!(place.names(&both), place.names(&swapped));
    assert_eq!(place.hits(&[&both[..], &["--include-query"]].concat()).len(), 30);
    check_error(
        &place.search(&[&both[..], &["--method", "basic"]].concat()),
        &["`--method basic` asks by one image", "leave out"],
    );

    let table = String::from_utf8(place.search(&["--image", query, "-k", "10"]).stdout).unwrap();
    assert_eq!(table.lines().count(), 10);
    assert!(
        table.starts_with(" 1  ") && table.lines().next().unwrap().ends_with(inside),
        "{table}"
    );

    let sheet = place.root().join("sheet.html");
    let text = "in <red> & \"round\"";
    place.hits(&[
        "--image",
        inside,
        "--text",
        text,
        "-k",
        "4",
        "--sheet",
        sheet.to_str().unwrap(),
    ]);
    let html = fs_err::read_to_string(sheet).unwrap();
    assert_eq!(html.matches("src=\"data:image/jpeg;base64,").count(), 5);
    assert!(html.contains("in &lt;red&gt; &amp; &quot;round&quot;") && html.contains("prefers-color-scheme: dark"));
    for outside in ["http:", "https:", "file:", "url(", "<script", "<link"] {
        assert!(!html.contains(outside), "{outside}");
    }
}

#[test]
fn wrong_uses_are_refused_with_a_way_out() {
    let place = Place::new();
    place.draw_many(1);
    check_error(
        &place.search(&["--text", "x"]),
        &["holds no index", "hint: make one with `magiclens index"],
    );
    place.index();
    check_error(&place.search(&["--text", " "]), &["nothing to search for", "hint: "]);
    let neither = place.search(&[]);
    assert_eq!(neither.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&neither.stderr).contains("--image"));
    check_error(
        &place.search(&["--image", "no such"]),
        &["`no such` is neither a file nor the id of an image"],
    );
    fs_err::write(place.path("t.png"), "text").unwrap();
    let text = place.path("t.png");
    check_error(
        &place.search(&["--image", text.to_str().unwrap()]),
        &["t.png`: not an image in a known format"],
    );
    let gone = output(magiclens(&["index", "/no/such/folder", "--model", WEIGHTS, "--index"]).arg(place.dir()));
    check_error(&gone, &["`/no/such/folder` does not exist\nhint: "]);

    drop(
        Index::rebuild(
            &place.dir(),
            &ModelStamp {
                name: String::new(),
                model_id: "another".to_owned(),
                dim: 4,
            },
        )
        .unwrap(),
    );
    let parts = [
        "was made with the model `another`",
        "but the model in use is `",
        "magiclens index",
        "--index",
    ];
    check_error(&place.search(&["--text", "x"]), &parts);
    fs_err::write(place.dir().join("index.sqlite"), "not a database ".repeat(99)).unwrap();
    check_error(&place.search(&["--text", "x"]), &["is damaged: ", "--rebuild"]);
    check_counts(
        &json(&output(&mut place.indexing(&["--json", "--rebuild"]))),
        &[("added", 1), ("embedded", 1), ("skipped", 1)],
    );
}
