//! Small folders of the form in which the benchmarks are published. The images are colored squares.

use std::path::Path;

use image::{Rgb, RgbImage};
use magiclens_data::Digest;
use serde_json::{Value, json};
use tempfile::TempDir;

/// An image of 24 x 16 pixels whose colors depend on its name.
pub(crate) fn image(path: &Path) {
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    let bytes = Digest::of(path.file_name().unwrap().as_encoded_bytes()).to_bytes();
    let image = RgbImage::from_fn(24, 16, |x, y| {
        let at = ((x / 8) * 3 + (y / 8) * 9) as usize;
        Rgb([bytes[at % 32], bytes[(at + 1) % 32], bytes[(at + 2) % 32]])
    });
    image.save(path).unwrap();
}

pub(crate) fn write_json(path: &Path, value: &Value) {
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, value.to_string()).unwrap();
}

fn write_lines(path: &Path, lines: &[String]) {
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, lines.join("\n")).unwrap();
}

/// Three categories, each with five images and two queries; `B4` is in no query.
pub(crate) fn fiq() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (category, letter) in [("dress", 'D'), ("shirt", 'S'), ("toptee", 'T')] {
        let names: Vec<String> = (0..5).map(|i| format!("{letter}{i}")).collect();
        names
            .iter()
            .for_each(|name| image(&root.join(format!("images/{name}.png"))));
        write_json(
            &root.join(format!("image_splits/split.{category}.val.json")),
            &json!(names),
        );
        let pair = |candidate: usize, target: usize| {
            json!({"candidate": names[candidate], "target": names[target],
                   "captions": ["is red. ", "has long sleeves?"]})
        };
        write_json(
            &root.join(format!("captions/cap.{category}.val.json")),
            &json!([pair(0, 1), pair(2, 3)]),
        );
    }
    folder
}

/// Eight images, two queries with a subset of five others.
pub(crate) fn cirr(split: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let part = if split == "val" { "dev" } else { split };
    let names: Vec<String> = (0..8).map(|i| format!("{part}-{i}-img0")).collect();
    let paths: serde_json::Map<String, Value> = names
        .iter()
        .map(|name| (name.clone(), json!(format!("./{part}/{name}.png"))))
        .collect();
    names
        .iter()
        .for_each(|name| image(&root.join(format!("img_raw/{part}/{name}.png"))));
    write_json(
        &root.join(format!("image_splits/split.rc2.{split}.json")),
        &Value::Object(paths),
    );
    let pair = |id: usize, reference: usize, target: usize| {
        let mut pair = json!({"pairid": id, "reference": names[reference], "caption": "make it blue",
            "img_set": {"id": 1, "members": names[..6], "reference_rank": 0}});
        if split == "val" {
            pair["target_hard"] = json!(names[target]);
            pair["target_soft"] = json!({names[target].clone(): 1.0});
        }
        pair
    };
    write_json(
        &root.join(format!("captions/cap.rc2.{split}.json")),
        &json!([pair(12, 0, 1), pair(34, 5, 2)]),
    );
    folder
}

/// `images` images, two val queries with several right answers and aspects, `tests` test queries.
pub(crate) fn circo(images: usize, tests: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("COCO2017_unlabeled");
    let id = |i: usize| 100 + 7 * i;
    let listed: Vec<Value> = (0..images)
        .map(|i| {
            let name = format!("{:012}.jpg", id(i));
            image(&root.join("unlabeled2017").join(&name));
            json!({"id": id(i), "file_name": name, "width": 24, "height": 16})
        })
        .collect();
    write_json(
        &root.join("annotations/image_info_unlabeled2017.json"),
        &json!({"info": {}, "images": listed}),
    );
    let val = json!([
        {"id": 0, "reference_img_id": id(0), "target_img_id": id(1), "gt_img_ids": [id(1), id(2), id(3)],
         "relative_caption": "has a red hat", "shared_concept": "a man", "semantic_aspects": ["addition", "negation"]},
        {"id": 1, "reference_img_id": id(4), "target_img_id": id(5), "gt_img_ids": [id(5)],
         "relative_caption": "is at night", "shared_concept": "a house", "semantic_aspects": ["addition"]}]);
    write_json(&folder.path().join("annotations/val.json"), &val);
    let test: Vec<Value> = (0..tests)
        .map(|i| {
            json!({"id": i, "reference_img_id": id(i % images), "relative_caption": format!("shows {i}"),
                   "shared_concept": "a thing"})
        })
        .collect();
    write_json(&folder.path().join("annotations/test.json"), &json!(test));
    folder
}

/// Two classes, of which only the first has a toy and a cartoon.
pub(crate) fn dtin() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let real = ["imgnet/real/n1/a.JPEG", "imgnet/real/n2/b.JPEG"];
    let targets = [
        ("imgnet/imagenet-r/n1/cartoon_0.jpg", 3),
        ("imgnet/imagenet-r/n1/cartoon_1.jpg", 3),
        ("imgnet/imagenet-r/n1/toy_0.jpg", 2003),
        ("imgnet/imagenet-r/n2/origami_0.jpg", 1009),
        ("imgnet/imagenet-r/n2/sculpture_0.jpg", 3009),
        ("imgnet/real/n1/a.JPEG", 6003),
        ("imgnet/real/n2/b.JPEG", 6009),
    ];
    for path in real.iter().chain(targets.iter().map(|(path, _)| path)) {
        // Images are known by their content, whatever their name says.
        let png = root.join(path).with_extension("png");
        image(&png);
        fs_err::rename(png, root.join(path)).unwrap();
    }
    let queries = [format!("{} 3 ", real[0]), format!("{} 9 ", real[1])];
    write_lines(&root.join("imgnet/imgnet_real_query.txt"), &queries);
    write_lines(
        &root.join("imgnet/imgnet_targets.txt"),
        &targets.map(|(path, label)| format!("{path} {label} ")),
    );
    folder
}

/// Two tasks of objects and one of attributes; one list has another length.
pub(crate) fn genecis() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for i in 0..6 {
        image(&root.join(format!("coco/val2017/{i:012}.jpg")));
        image(&root.join(format!("VG_100K_all/{i}.jpg")));
    }
    let coco = |i: usize| json!({"val_image_id": i});
    let objects = |condition: &str| {
        json!([{"condition": condition, "reference": coco(0), "target": coco(1), "gallery": [coco(2), coco(3)]},
               {"condition": condition, "reference": coco(4), "target": coco(5), "gallery": [coco(0), coco(1)]},
               {"condition": condition, "reference": coco(4), "target": coco(5), "gallery": [coco(0)]}])
    };
    write_json(&root.join("genecis/focus_object.json"), &objects("wall"));
    write_json(&root.join("genecis/change_object.json"), &objects("dog"));
    let object =
        |i: usize| json!({"image_id": i, "instance_id": "x", "instance_bbox": [4.0, 4.0, 8.0, 6.0 + i as f64]});
    write_json(
        &root.join("genecis/focus_attribute.json"),
        &json!([{"condition": "color", "reference": object(0), "target": object(1), "gallery": [object(2), object(3)]}]),
    );
    folder
}

/// Two classes, one with a space in its name; three sketches and five photographs.
fn sketches(root: &Path, lists: &str, sketch_list: &str, photo_list: &str) {
    let sketches = ["sk/bat/1.png 0", "sk/hot air/2.png 1", "sk/bat/3.png 0"];
    let photos = [
        "ph/bat/a.png 0",
        "ph/bat/b.png 0",
        "ph/hot air/c.png 1",
        "ph/hot air/d.png 1",
        "ph/bat/e.png 0",
    ];
    for line in sketches.iter().chain(&photos) {
        image(&root.join(line.rsplit_once(' ').unwrap().0));
    }
    let own = |lines: &[&str]| lines.iter().map(|line| line.to_string()).collect::<Vec<_>>();
    write_lines(&root.join(lists).join(sketch_list), &own(&sketches));
    write_lines(&root.join(lists).join(photo_list), &own(&photos));
    write_lines(
        &root.join(lists).join("cname_cid_zero.txt"),
        &own(&["bat 0", "hot air 1"]),
    );
}

pub(crate) fn tu_berlin() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    sketches(
        folder.path(),
        "zeroshot",
        "png_ready_filelist_zero.txt",
        "ImageResized_ready_filelist_zero.txt",
    );
    folder
}

pub(crate) fn sketchy() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for lists in ["Sketchy/zeroshot0", "Sketchy/zeroshot1"] {
        let sketch_list = "sketch_tx_000000000000_ready_filelist_zero.txt";
        sketches(folder.path(), lists, sketch_list, "all_photo_filelist_zero.txt");
    }
    folder
}

pub(crate) fn quickdraw() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    sketches(folder.path(), "zeroshot", "sketch_zero.txt", "all_photo_zero.txt");
    folder
}

/// Three images with two captions each, one with a comma.
pub(crate) fn flickr30k() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut lines = vec!["image,caption".to_owned()];
    for i in 0..3 {
        image(&folder.path().join(format!("flickr30k-images/{i}.jpg")));
        lines.push(format!("{i}.jpg,A man, number {i}, walks."));
        lines.push(format!("{i}.jpg,Someone walks {i}."));
    }
    write_lines(&folder.path().join("flickr30k_test_karpathy.txt"), &lines);
    folder
}

/// Three images; one has six captions.
pub(crate) fn coco() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut annotations = Vec::new();
    for i in [2, 0, 1] {
        image(&folder.path().join(format!("val2014/COCO_val2014_{i:012}.jpg")));
        let count = if i == 1 { 6 } else { 5 };
        annotations.extend(
            (0..count).map(|k| json!({"image_id": i, "id": 10 * i + k, "caption": format!("caption {k} of {i}")})),
        );
    }
    let images: Vec<Value> = [2, 0, 1]
        .map(|i| json!({"id": i, "file_name": format!("COCO_val2014_{i:012}.jpg")}))
        .into();
    write_json(
        &folder.path().join("coco_test_karpathy.json"),
        &json!({"images": images, "annotations": annotations}),
    );
    folder
}

/// An image at a path of any ending: images are known by their content.
fn image_at(path: &Path) {
    let png = path.with_extension("png");
    image(&png);
    fs_err::rename(png, path).unwrap();
}

/// Two instances with two queries each. The first has two images with the same text, one image listed under two texts, and an
/// image that the other instance has too.
pub(crate) fn icir() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let query = [
        "icir/query/cup/0.jpg,at night,cup",
        "icir/query/cup/0.jpg,in the rain,cup",
        "icir/query/tower/1.jpg,at night,tower",
        "icir/query/tower/2.jpg,at night,tower",
    ];
    let database = [
        "icir/database/cup/a.jpg,at night,cup",
        "icir/database/cup/b.jpg,at night,cup",
        "icir/database/cup/c.jpg,in the rain,cup",
        "icir/database/cup/a.jpg,in the rain,cup",
        "icir/database/hn/d.jpg,hn,cup",
        "icir/database/hn/d.jpg,hn,tower",
        "icir/database/tower/e.jpg,at night,tower",
    ];
    for line in query.iter().chain(&database) {
        image_at(&root.join(line.split(',').next().unwrap()));
    }
    let own = |lines: &[&str]| lines.iter().map(|line| line.to_string()).collect::<Vec<_>>();
    write_lines(&root.join("icir/query_files.csv"), &own(&query));
    write_lines(&root.join("icir/database_files.csv"), &own(&database));
    folder
}

/// The list of DTIN in the folder of ImageNet-R, without its queries.
pub(crate) fn imagenet_r() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let targets = [
        ("real/n1/a.JPEG", 6003),
        ("imagenet-r/n1/cartoon_0.jpg", 3),
        ("imagenet-r/n1/toy_0.jpg", 2003),
        ("imagenet-r/n2/origami_0.jpg", 1009),
        ("imagenet-r/n2/sculpture_0.jpg", 3009),
        ("real/n2/b.JPEG", 6009),
    ];
    targets.iter().for_each(|(path, _)| image_at(&folder.path().join(path)));
    write_lines(
        &folder.path().join("imgnet_targets.txt"),
        &targets.map(|(path, label)| format!("imgnet/{path} {label} ")),
    );
    folder
}

/// Two classes in each of these domains, an image each in the lists of these files.
fn domains(name: &str, domains: &[&str], lists: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for list in lists {
        let of_domain =
            |domain: &&str| ["cat", "bus"].map(|class| format!("{domain}/{class}/{list}.jpg {domain} {class}"));
        let lines: Vec<String> = domains.iter().flat_map(of_domain).collect();
        for line in &lines {
            image_at(&folder.path().join(line.split(' ').next().unwrap()));
        }
        let lines: Vec<String> = lines.iter().map(|line| format!("{name}/{line}")).collect();
        write_lines(&folder.path().join(format!("{list}_files.csv")), &lines);
    }
    folder
}

pub(crate) fn nico() -> TempDir {
    domains(
        "nico",
        &["autumn", "dim", "grass", "outdoor", "rock", "water"],
        &["query", "database"],
    )
}

pub(crate) fn minidomainnet() -> TempDir {
    domains(
        "minidn",
        &["clipart", "painting", "real", "sketch"],
        &["query", "database"],
    )
}

pub(crate) fn ltll() -> TempDir {
    domains("ltll", &["New", "Old"], &["full"])
}

/// Every benchmark by its name.
pub(crate) fn all() -> Vec<(&'static str, TempDir)> {
    vec![
        ("fiq", fiq()),
        ("cirr", cirr("val")),
        ("circo", circo(9, 3)),
        ("dtin", dtin()),
        ("genecis", genecis()),
        ("tu-berlin", tu_berlin()),
        ("sketchy", sketchy()),
        ("quickdraw", quickdraw()),
        ("flickr30k", flickr30k()),
        ("coco", coco()),
        ("icir", icir()),
        ("imagenet-r", imagenet_r()),
        ("nico", nico()),
        ("minidomainnet", minidomainnet()),
        ("ltll", ltll()),
    ]
}
