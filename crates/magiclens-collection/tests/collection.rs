//! A collection built of a small tree of made-up packages, from reading to triplets.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use magiclens_collection::{
    Ask, BuildConfig, COLOR, DRAWING_TO_PHOTO, DRAWINGS, FOOD, FOOD_IMAGES, FOOD_NAMES, GENDER, GROUP, HELD_OUT_STYLES,
    ImageKind, LIKE_BOTH, LabeledImage, Look, NOT_COLOR, NOT_STYLE, PHOTO_TO_DRAWING, Progress, Report, SAME_THING,
    SKETCH_TO_COLOR, SKIN_TONE, STYLE, STYLE_FAMILY, STYLE_OF_SECOND, STYLE_UNSEEN, Split, build, food_images_path,
    food_triplets_path, held_out_wordings, read_labeled_images, split_of_root, triplets_path,
};
use magiclens_data::{ImageId, Triplet, read_triplets};
use serde_json::{Value, json};

/// Number of made-up animals: enough for each part to hold some.
const ANIMALS: usize = 60;

/// Label, code points and groups of one emoji of the made-up Unicode.
struct Emoji {
    label: String,
    points: String,
    group: u32,
    subgroup: u32,
    tones: bool,
}

fn emoji() -> Vec<Emoji> {
    let animal = |n: usize| Emoji {
        label: format!("creature {n}"),
        points: format!("1F{:03X}", 0x100 + n),
        group: 3,
        subgroup: 34,
        tones: false,
    };
    let person = |label: &str, points: &str| Emoji {
        label: label.to_owned(),
        points: points.to_owned(),
        group: 1,
        subgroup: 25,
        tones: true,
    };
    let thing = |label: &str, points: &str, group: u32, subgroup: u32| Emoji {
        label: label.to_owned(),
        points: points.to_owned(),
        group,
        subgroup,
        tones: false,
    };
    let mut all: Vec<_> = (0..ANIMALS).map(animal).collect();
    all.push(person("astronaut", "1F9D1-200D-1F680"));
    all.push(person("woman astronaut", "1F469-200D-1F680"));
    all.push(person("man astronaut", "1F468-200D-1F680"));
    all.push(thing("red heart", "2764", 0, 14));
    all.push(thing("blue heart", "1F499", 0, 14));
    all.push(thing("flamingo", "1F9A9", 3, 35));
    all.push(thing("flag: Nowhere", "1F1F3", 9, 98));
    all
}

const TONES: [(&str, &str); 5] = [
    ("light", "1F3FB"),
    ("medium-light", "1F3FC"),
    ("medium", "1F3FD"),
    ("medium-dark", "1F3FE"),
    ("dark", "1F3FF"),
];

/// All labels with their code points, tones included.
fn variants(emoji: &Emoji) -> Vec<(String, String)> {
    let mut variants = vec![(emoji.label.clone(), emoji.points.clone())];
    if emoji.tones {
        let (first, rest) = emoji.points.split_once('-').unwrap();
        let tone = |(tone, point): &(&str, &str)| {
            (
                format!("{}: {tone} skin tone", emoji.label),
                format!("{first}-{point}-{rest}"),
            )
        };
        variants.extend(TONES.iter().map(tone));
    }
    variants
}

fn write(path: PathBuf, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn npm(root: &Path, name: &str, version: &str, files: &[(&str, Value)]) {
    let folder = root.join("npm/node_modules").join(name);
    write(
        folder.join("package.json"),
        json!({ "name": name, "version": version }).to_string(),
    );
    for (file, content) in files {
        write(folder.join(file), content.to_string());
    }
}

fn slug(label: &str) -> String {
    label.to_lowercase().replace(": ", "-").replace(' ', "-")
}

/// A drawing that no other label or style has.
fn body(style: &str, label: &str) -> String {
    let id = ImageId::of_bytes(format!("{style} {label}").as_bytes()).to_string();
    format!(
        r##"<rect width="50" height="50" fill="#{}"/><circle cx="60" cy="60" r="30" fill="#{}"/>"##,
        &id[..6],
        &id[6..12]
    )
}

/// Fills `root` as `scripts/fetch-packages` would, with four packages of drawings, labels and stamps; no GCompris.
fn packages(root: &Path) {
    let data: Vec<Value> = emoji()
        .iter()
        .enumerate()
        .map(|(order, emoji)| {
            let mut variants = variants(emoji).into_iter();
            let (label, points) = variants.next().unwrap();
            let skin = |(tone, (label, points)): (usize, (String, String))| {
                json!({ "label": label, "hexcode": points, "order": order * 10 + tone + 1, "tone": tone + 1 })
            };
            json!({
                "label": label, "hexcode": points, "order": order * 10, "tags": ["tag"],
                "group": emoji.group, "subgroup": emoji.subgroup, "skins": variants.enumerate().map(skin).collect::<Vec<_>>(),
            })
        })
        .collect();
    let groups = json!({
        "groups": { "0": "smileys-emotion", "1": "people-body", "3": "animals-nature", "9": "flags" },
        "subgroups": { "14": "heart", "25": "person-role", "34": "animal-mammal", "35": "animal-bird", "98": "country-flag" },
    });
    let names = json!({ "2764": "HEAVY BLACK HEART" });
    let files = [
        ("en/data.json", json!(data)),
        ("meta/groups.json", groups),
        ("meta/unicode-names.json", names),
    ];
    npm(root, "emojibase-data", "17.0.0", &files);

    let all: Vec<_> = emoji().iter().flat_map(variants).collect();
    let set = |style: &str| {
        let icons: BTreeMap<_, _> = all
            .iter()
            .map(|(label, _)| (slug(label), json!({ "body": body(style, label) })))
            .collect();
        json!({ "prefix": style, "icons": icons, "width": 100, "height": 100 })
    };
    let chars: BTreeMap<_, _> = all
        .iter()
        .map(|(label, points)| (points.to_lowercase(), slug(label)))
        .collect();
    let mut noto = set("noto");
    // Two animals with the same image: whatever their roots, they may not be in two parts.
    noto["icons"]["creature-1"] = noto["icons"]["creature-0"].clone();
    npm(
        root,
        "@iconify-json/noto",
        "1.2.9",
        &[("icons.json", noto), ("chars.json", json!(chars))],
    );
    npm(
        root,
        "@iconify-json/openmoji",
        "1.2.29",
        &[("icons.json", set("openmoji")), ("chars.json", json!(chars))],
    );
    let mut fxemoji = set("fxemoji");
    fxemoji["icons"]["no-such-thing"] = json!({ "body": "<b/>" });
    npm(root, "@iconify-json/fxemoji", "1.2.2", &[("icons.json", fxemoji)]);
    npm(root, "openmoji", "17.0.0", &[]);
    for (label, points) in &all {
        let svg = format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">{}</svg>"#,
            body("openmoji-black", label)
        );
        write(
            root.join(format!("npm/node_modules/openmoji/black/svg/{points}.svg")),
            svg,
        );
    }

    let stamps = root.join("apt/tuxpaint-stamps-default");
    write(stamps.join(".version"), "2022.06.04-1\n");
    let stamp = |name: &str, caption: &str, gray: u8| {
        let file = stamps.join("usr/share/tuxpaint/stamps").join(name);
        write(file.with_extension("txt"), format!("{caption}\nde.utf8=egal\n"));
        image::RgbaImage::from_pixel(30, 20, image::Rgba([gray, 99, 99, 255]))
            .save(file)
            .unwrap();
    };
    stamp("animals/birds/pink_flamingo.png", "A pink flamingo.", 10);
    stamp("household/key_ring.png", "A pair of zorgs.", 20);
    stamp("town/cartoon/gate.png", "A gate.", 30);
    stamp("space/suit.png", "An astronaut.", 40);
}

fn run(packages: &Path, out: &Path, seed: u64) -> (Report, bool) {
    let config = BuildConfig {
        image_size_px: 32,
        seed,
        ..BuildConfig::new(packages, out)
    };
    let unchanged = Mutex::new(false);
    let report = build(&config, &|progress| {
        *unchanged.lock().unwrap() |= progress == Progress::Unchanged
    })
    .unwrap();
    (report, unchanged.into_inner().unwrap())
}

/// A collection built once, for the tests that only look at it.
struct Built {
    _folder: tempfile::TempDir,
    out: PathBuf,
    report: Report,
    images: Vec<LabeledImage>,
}

impl Built {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (source, out) = (folder.path().join("packages"), folder.path().join("out"));
        packages(&source);
        let (report, unchanged) = run(&source, &out, 0);
        assert!(!unchanged);
        let images = read_labeled_images(out.join("pictures.parquet")).unwrap();
        Self {
            _folder: folder,
            out,
            report,
            images,
        }
    }

    fn triplets(&self, split: Split) -> Vec<Triplet> {
        read_triplets(triplets_path(&self.out, split)).unwrap()
    }

    fn of(&self, style: &str, concept: &str) -> &LabeledImage {
        let shows = |image: &&LabeledImage| {
            image.style == style && (image.concept == concept || image.also.iter().any(|also| also == concept))
        };
        self.images
            .iter()
            .find(shows)
            .unwrap_or_else(|| panic!("no {concept} in {style}"))
    }
}

#[test]
fn images_are_rendered_labeled_and_counted() {
    let built = Built::new();
    let report = &built.report;
    // 60 animals, 3 astronauts with light, medium and dark tones, 2 hearts and a flamingo; no flag.
    let full = ANIMALS + 3 * 4 + 3;
    assert_eq!(report.styles["openmoji"], full);
    assert_eq!(report.styles["noto"], full - 1, "two animals are one image");
    assert_eq!(
        report.styles["openmoji-black"],
        full - 3 * 3,
        "line drawings have no tones"
    );
    assert_eq!((report.styles["photo"], report.styles["tuxpaint"]), (3, 1));
    assert_eq!(
        (report.merged, report.merged_across_styles, report.joined_roots),
        (1, 0, 1)
    );
    assert_eq!(report.unnamed_icons["fxemoji"], 1);
    assert_eq!(report.images, built.images.len());
    assert_eq!(report.failed, []);

    for image in &built.images {
        let bytes = fs::read(built.out.join(&image.path)).unwrap();
        assert_eq!(ImageId::of_bytes(&bytes), image.id);
        let size = image::load_from_memory(&bytes).unwrap();
        assert_eq!((size.width(), size.height()), (image.width, image.height));
    }
    let astronaut = built.of("noto", "woman astronaut: dark skin tone");
    assert_eq!(astronaut.root, "person");
    assert_eq!(astronaut.caption, "woman astronaut with dark skin tone");
    assert_eq!(
        (astronaut.skin_tone.as_deref(), astronaut.gender.as_deref()),
        (Some("dark"), Some("woman"))
    );
    assert_eq!(
        (astronaut.source.as_str(), astronaut.license.as_str()),
        ("npm:@iconify-json/noto@1.2.9", "Apache-2.0")
    );
    assert_eq!(built.of("openmoji", "blue heart").color.as_deref(), Some("blue"));
    let flamingo = built.of("photo", "flamingo");
    assert_eq!(
        (flamingo.caption.as_str(), flamingo.subgroup.as_str()),
        ("a pink flamingo", "animal-bird")
    );
    assert_eq!(flamingo.source, "apt:tuxpaint-stamps-default@2022.06.04-1");
    assert_eq!(built.of("photo", "zorgs").group, "");
    // No table says what this shows, but people must not be in two parts.
    let suit = built.of("photo", "astronaut");
    assert_eq!((suit.group.as_str(), suit.root.as_str()), ("", "person"));
    assert_eq!(built.of("tuxpaint", "gate").kind, ImageKind::Drawing);
}

#[test]
fn what_is_missing_is_said() {
    let built = Built::new();
    let missing: Vec<_> = built
        .report
        .missing
        .iter()
        .map(|missing| missing.package.as_str())
        .collect();
    let here = ["noto", "openmoji", "openmoji-black", "fxemoji"];
    for package in &DRAWINGS {
        assert_eq!(
            missing.contains(&package.name),
            !here.contains(&package.style),
            "{}",
            package.name
        );
    }
    assert!(missing.contains(&"gcompris-qt-data") && !missing.contains(&"tuxpaint-stamps-default"));
}

#[test]
fn no_root_and_no_concept_is_in_two_parts() {
    let built = Built::new();
    let mut splits: HashMap<&str, Split> = HashMap::new();
    for image in &built.images {
        let split = match split_of_root(&image.root) {
            Split::Train if HELD_OUT_STYLES.contains(&image.style.as_str()) => Split::Dev,
            split => split,
        };
        assert_eq!(image.split, split, "{image:?}");
        if !HELD_OUT_STYLES.contains(&image.style.as_str()) {
            for concept in std::iter::once(&image.concept).chain(&image.also) {
                assert_eq!(*splits.entry(concept).or_insert(image.split), image.split, "{concept}");
            }
        }
    }
    assert_eq!(splits["creature 0"], splits["creature 1"]);
    assert_eq!(built.of("photo", "flamingo").split, built.of("noto", "flamingo").split);
    assert!(Split::ALL.iter().all(|split| built.report.splits[split.name()] > 0));
}

#[test]
fn all_targets_have_the_asked_property() {
    let built = Built::new();
    let by_id: HashMap<_, _> = built.images.iter().map(|image| (image.id, image)).collect();
    let mut relations = BTreeSet::new();
    for split in Split::ALL {
        for triplet in built.triplets(split) {
            let query = by_id[&triplet.query];
            assert!(!triplet.targets.is_empty() && !triplet.targets.contains(&triplet.query));
            assert!(
                triplet
                    .hard_negatives
                    .iter()
                    .all(|negative| !triplet.targets.contains(negative))
            );
            for id in triplet
                .targets
                .iter()
                .chain(&triplet.hard_negatives)
                .chain([&triplet.query])
                .chain(&triplet.second)
            {
                assert_eq!(by_id[id].split, split);
            }
            for target in triplet.targets.iter().map(|id| by_id[id]) {
                assert!(
                    answers(query, target, &triplet),
                    "{}: {query:?} -> {target:?}",
                    triplet.instruction
                );
            }
            if let Some(second) = triplet.second.map(|id| by_id[&id]) {
                assert!(second.root != query.root && !triplet.targets.contains(&second.id));
                let shown = |id: &ImageId| by_id[id].style == second.style;
                assert!(triplet.targets.iter().all(shown), "{}", triplet.instruction);
            }
            assert_eq!(
                triplet.second.is_some(),
                [STYLE_OF_SECOND, LIKE_BOTH].contains(&triplet.relation.as_str())
            );
            let held_out = triplet.provenance.generator.contains("-held-out/");
            assert_eq!(held_out, split != Split::Train, "{}", triplet.provenance.generator);
            assert_eq!(triplet.provenance.source, query.source);
            assert!(triplet.provenance.license.contains(&query.license));
            relations.insert(triplet.relation);
        }
    }
    // Hearts and the flamingo stand in whatever part their hash says, so their relations are there as well.
    let all = [
        STYLE,
        STYLE_FAMILY,
        STYLE_UNSEEN,
        SKETCH_TO_COLOR,
        SKIN_TONE,
        GENDER,
        COLOR,
        GROUP,
    ];
    let all = all
        .into_iter()
        .chain([
            PHOTO_TO_DRAWING,
            DRAWING_TO_PHOTO,
            NOT_STYLE,
            SAME_THING,
            STYLE_OF_SECOND,
            LIKE_BOTH,
        ])
        .map(str::to_owned);
    assert_eq!(relations, all.collect());
}

fn answers(query: &LabeledImage, target: &LabeledImage, triplet: &Triplet) -> bool {
    let concepts = |image: &LabeledImage| -> BTreeSet<String> {
        std::iter::once(&image.concept).chain(&image.also).cloned().collect()
    };
    let base = |image: &LabeledImage| image.concept.split(": ").next().unwrap().to_owned();
    let same_thing = !concepts(query).is_disjoint(&concepts(target)) || base(query) == target.concept;
    let same_style = query.style == target.style;
    let unseen = [query, target]
        .iter()
        .any(|image| HELD_OUT_STYLES.contains(&image.style.as_str()));
    let look = |image: &LabeledImage| {
        DRAWINGS
            .iter()
            .find(|package| package.style == image.style)
            .map(|p| p.look)
    };
    let text = triplet.instruction.to_lowercase();
    match triplet.relation.as_str() {
        STYLE => same_thing && !same_style && query.family != target.family && !unseen,
        STYLE_FAMILY => same_thing && !same_style && query.family == target.family && !unseen,
        STYLE_UNSEEN => same_thing && !same_style && unseen,
        SKETCH_TO_COLOR => same_thing && look(query) == Some(Look::Line) && look(target) == Some(Look::Color),
        SKIN_TONE => {
            let tone = target.skin_tone.as_deref().unwrap();
            same_style && base(query) == base(target) && query.skin_tone.as_deref() != Some(tone) && text.contains(tone)
        }
        GENDER => {
            let word = match target.gender.as_deref().unwrap() {
                "person" => "gender-neutral",
                gender => gender,
            };
            same_style && query.skin_tone == target.skin_tone && query.gender != target.gender && text.contains(word)
        }
        COLOR if look(target) != Some(Look::Color) => false,
        COLOR => same_style && query.root == target.root && text.contains(target.color.as_deref().unwrap()),
        NOT_COLOR => {
            let shown = target.color.as_deref().unwrap();
            query.root == target.root
                && look(target) == Some(Look::Color)
                && !text
                    .split(|letter: char| !letter.is_alphabetic())
                    .any(|word| word == shown)
        }
        NOT_STYLE => same_thing && look(target).is_some() && !unseen,
        SAME_THING => same_thing && !same_style && query.family != target.family && !unseen,
        STYLE_OF_SECOND => same_thing && !same_style && query.family != target.family && !unseen,
        LIKE_BOTH => same_style && query.subgroup == target.subgroup && query.root != target.root,
        GROUP => same_style && query.subgroup == target.subgroup && query.root != target.root,
        PHOTO_TO_DRAWING => same_thing && query.kind == ImageKind::Photo && target.kind == ImageKind::Drawing,
        DRAWING_TO_PHOTO => same_thing && query.kind == ImageKind::Drawing && target.kind == ImageKind::Photo,
        other => panic!("unknown relation {other}"),
    }
}

/// All files of a folder with their contents and times.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                let modified = entry.metadata().unwrap().modified().unwrap();
                files.insert(entry.path(), (fs::read(entry.path()).unwrap(), modified));
            }
        }
    }
    files
}

#[test]
fn a_second_run_does_nothing_and_a_lost_image_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("packages"), folder.path().join("out"));
    packages(&source);
    let (first, _) = run(&source, &out, 0);
    let before = snapshot(&out);
    let (second, unchanged) = run(&source, &out, 0);
    assert!(unchanged);
    assert_eq!(second, first);
    assert!(snapshot(&out) == before, "a second run changed files");

    let lost = before
        .keys()
        .find(|path| path.extension().is_some_and(|ending| ending == "png"))
        .unwrap();
    fs::write(lost, b"cut off").unwrap();
    run(&source, &out, 0);
    assert_eq!(fs::read(lost).unwrap(), before[lost].0);

    fs::remove_file(out.join("triplets-dev.parquet")).unwrap();
    let (_, unchanged) = run(&source, &out, 0);
    assert!(!unchanged);
    assert_eq!(
        fs::read(out.join("triplets-dev.parquet")).unwrap(),
        before[&out.join("triplets-dev.parquet")].0
    );
}

#[test]
fn the_seed_decides_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("packages");
    packages(&source);
    let files = [
        "pictures.parquet",
        "triplets-train.parquet",
        "triplets-test.parquet",
        "report.json",
    ];
    let built = |name: &str, seed: u64| {
        let out = folder.path().join(name);
        run(&source, &out, seed);
        files.map(|file| fs::read(out.join(file)).unwrap())
    };
    let (one, two, other) = (built("one", 5), built("two", 5), built("other", 6));
    assert!(one == two, "the same seed gave other files");
    assert!(one[0] == other[0], "the seed changed the images");
    assert!(one[1] != other[1] && one[2] != other[2], "the seed changed no triplets");
}

#[test]
fn a_package_that_went_takes_its_images_along() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("packages"), folder.path().join("out"));
    packages(&source);
    run(&source, &out, 0);
    fs::remove_dir_all(source.join("npm/node_modules/@iconify-json/openmoji")).unwrap();
    let (report, unchanged) = run(&source, &out, 0);
    assert!(!unchanged);
    assert!(
        report
            .missing
            .iter()
            .any(|missing| missing.package == "@iconify-json/openmoji")
    );
    assert!(!report.styles.contains_key("openmoji"));
    let files = snapshot(&out.join("pictures")).len();
    assert_eq!(files, report.images);
}

#[test]
fn packages_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("packages");
    let check = |said: &[&str]| {
        let error = build(&BuildConfig::new(&source, folder.path().join("out")), &|_| {})
            .unwrap_err()
            .to_string();
        assert!(said.iter().all(|said| error.contains(said)), "{error}");
    };
    check(&["`emojibase-data`", "scripts/fetch-packages"]);
    packages(&source);
    write(source.join("npm/node_modules/@iconify-json/noto/icons.json"), "{");
    check(&["icons.json", "scripts/fetch-packages"]);
    for package in &DRAWINGS {
        let folder = source.join("npm/node_modules").join(package.name);
        if folder.exists() {
            fs::remove_dir_all(folder).unwrap();
        }
    }
    check(&["no package of drawings", "scripts/fetch-packages"]);
    let config = BuildConfig {
        image_size_px: 0,
        ..BuildConfig::new(&source, folder.path().join("out"))
    };
    assert!(build(&config, &|_| {}).unwrap_err().to_string().contains("0 pixels"));
}

/// Adds both packages of foods to `root`; each food is one flat color, and "Bean, black" looks like "Pea".
fn food_packages(root: &Path) {
    npm(root, FOOD_IMAGES, "3.0.1", &[]);
    npm(root, FOOD_NAMES, "2.0.7", &[]);
    let foods = [
        ("A001", "Radish, round, red skin", 10),
        ("A002", "Radish, elongated, red skin", 20),
        ("A003", "Radish leaves", 30),
        ("B001", "Pea", 40),
        ("B002", "Bean, black", 40),
        ("B003", "Beans, white-1", 50),
        ("B004", "Beans, white-2", 60),
        ("B005", "Bean, kidney, white", 70),
        ("B006", "Beans, all varieties", 80),
        ("C001", "Mango, ripe, neelam", 90),
    ];
    let modules = root.join("npm/node_modules");
    let rows: String = foods
        .iter()
        .map(|(code, name, _)| format!("\"{code}\",\"{name}\",\"\",\"H. \"\"x\"\"\"\n"))
        .collect();
    write(
        modules.join(FOOD_NAMES).join("index.csv"),
        format!("code,name,scie,desc\n{rows}Z009,No image,,\n"),
    );
    fs::create_dir_all(modules.join(FOOD_IMAGES).join("assets")).unwrap();
    for (code, _, gray) in foods {
        image::RgbImage::from_pixel(24, 16, image::Rgb([gray, 99, 99]))
            .save(modules.join(FOOD_IMAGES).join(format!("assets/{code}.jpeg")))
            .unwrap();
    }
}

#[test]
fn foods_have_tables_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("packages"), folder.path().join("out"));
    packages(&source);
    let (without, _) = run(&source, &out, 0);
    assert!(
        [FOOD_IMAGES, FOOD_NAMES]
            .iter()
            .all(|name| without.missing.iter().any(|missing| missing.package == *name))
    );
    let main = ["pictures.parquet", "triplets-train.parquet", "triplets-test.parquet"];
    let before = main.map(|file| fs::read(out.join(file)).unwrap());
    food_packages(&source);
    let (report, unchanged) = run(&source, &out, 0);
    assert!(!unchanged);
    assert!(
        main.map(|file| fs::read(out.join(file)).unwrap()) == before,
        "foods changed other tables"
    );
    // Ten are listed with an image, one stands for all varieties and one looks like another.
    assert_eq!((report.images, report.food_images), (without.images, 8));
    assert_eq!(report.missing.len() + 2, without.missing.len());

    let images = read_labeled_images(food_images_path(&out)).unwrap();
    assert!(
        images
            .iter()
            .all(|image| image.split == Split::Test && image.kind == ImageKind::Photo)
    );
    assert!(images.iter().all(|image| out.join(&image.path).is_file()));
    let name = |id: &ImageId| images.iter().find(|image| image.id == *id).unwrap().concept.as_str();
    let triplets = read_triplets(food_triplets_path(&out)).unwrap();
    let found: BTreeMap<(&str, Vec<&str>), &Triplet> = triplets
        .iter()
        .map(|triplet| {
            let mut targets: Vec<_> = triplet.targets.iter().map(name).collect();
            targets.sort_unstable();
            ((name(&triplet.query), targets), triplet)
        })
        .collect();
    let (round, long, leaves) = (
        "radish, round, red skin",
        "radish, elongated, red skin",
        "radish leaves",
    );
    // White beans all show what is asked of them, and nobody can see "kidney": no question about beans is left.
    let expected = [
        (round, long),
        (round, leaves),
        (long, round),
        (long, leaves),
        (leaves, round),
        (leaves, long),
    ];
    let expected: BTreeSet<_> = expected
        .into_iter()
        .map(|(query, target)| (query, vec![target]))
        .collect();
    assert_eq!(found.keys().cloned().collect::<BTreeSet<_>>(), expected);
    assert_eq!((triplets.len(), report.food_triplets), (6, 6));
    let triplet = found[&(leaves, vec![round])];
    assert_eq!(triplet.relation, FOOD);
    assert!(
        triplet.instruction.contains("round, red skin"),
        "{}",
        triplet.instruction
    );
    assert_eq!(triplet.hard_negatives.iter().map(name).collect::<Vec<_>>(), [long]);

    let (_, unchanged) = run(&source, &out, 0);
    assert!(unchanged);
    fs::remove_dir_all(source.join("npm/node_modules").join(FOOD_IMAGES)).unwrap();
    let (report, _) = run(&source, &out, 0);
    assert_eq!(report.food_images, 0);
    assert!(!food_images_path(&out).exists() && !food_triplets_path(&out).exists());
    assert_eq!(snapshot(&out.join("pictures")).len(), report.images);
}

#[test]
fn what_is_asked_can_be_asked_in_other_words() {
    let built = Built::new();
    let by_id: HashMap<_, _> = built.images.iter().map(|image| (image.id, image)).collect();
    for triplet in built.triplets(Split::Test) {
        let asks: Vec<_> = triplet
            .targets
            .iter()
            .map(|id| Ask::of(&triplet.relation, by_id[id]))
            .collect();
        assert!(asks.iter().all(|ask| *ask == asks[0]), "{triplet:?}");
        if triplet.relation == PHOTO_TO_DRAWING {
            assert_eq!(asks[0], None);
        } else {
            let texts = held_out_wordings(asks[0].unwrap(), 500, 3);
            assert!(
                texts.contains(&triplet.instruction),
                "{} not among {texts:?}",
                triplet.instruction
            );
        }
    }
}
