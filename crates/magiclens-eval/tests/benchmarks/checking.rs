//! `--check`: what is missing, broken or too much is found before anything is computed.

use magiclens_eval::check::check;

use crate::loading::load;
use crate::stand_ins;

#[test]
fn a_whole_folder_lacks_only_its_size() {
    for (name, folder) in stand_ins::all() {
        let found = check(&load(name, folder.path()), &|_| ());
        assert!(found.missing.is_empty() && found.corrupt.is_empty(), "{name}: {found}");
        assert!(
            found.counts.iter().any(|count| !count.is_published()) && !found.passes(),
            "{name}"
        );
    }
}

#[test]
fn missing_broken_and_extra_images_are_listed() {
    let folder = stand_ins::fiq();
    let images = folder.path().join("images");
    fs_err::remove_file(images.join("S1.png")).unwrap();
    fs_err::write(images.join("D0.png"), b"").unwrap();
    let bytes = fs_err::read(images.join("T2.png")).unwrap();
    fs_err::write(images.join("T2.png"), &bytes[..bytes.len() / 2]).unwrap();
    fs_err::write(images.join("D3.png"), "<html>404</html>").unwrap();
    stand_ins::image(&images.join("X9.png"));
    fs_err::write(images.join("notes.txt"), "not an image").unwrap();

    let found = check(&load("fiq", folder.path()), &|_| ());
    let names = |paths: Vec<&std::path::PathBuf>| -> Vec<String> {
        paths
            .iter()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect()
    };
    assert_eq!(names(found.missing.iter().collect()), ["S1.png"]);
    assert_eq!(
        names(found.corrupt.iter().map(|image| &image.path).collect()),
        ["D0.png", "D3.png", "T2.png"]
    );
    assert_eq!(names(found.extra.iter().collect()), ["X9.png"]);
    let text = found.to_string();
    for part in [
        "NOT COMPLETE",
        "1 missing",
        "3 corrupt",
        "1 extra",
        "dress queries: 2, published 2017",
        "the file is empty",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}
