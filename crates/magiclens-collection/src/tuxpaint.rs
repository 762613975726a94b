//! Tux Paint's stamps: captioned cut-outs, some photographed, some drawn.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::folder::read_if_there;

/// The emoji that a stamp shows, by file.
const CONCEPTS: &str = include_str!("stamps.tsv");
/// The folder of stamps in the unpacked Debian package.
const STAMPS: &str = "usr/share/tuxpaint/stamps";
/// The folder without images of things.
const SKIPPED: &str = "symbols/alphabets/";
/// Beginnings of the names of raster stamps that were drawn, checked by eye; those in a folder `cartoon` or `symbols` all were.
const DRAWN: &str = include_str!("drawn_stamps.txt");
/// Halloween stamps are drawn, but its gravestones are photographs.
const HALLOWEEN: &str = "seasonal/halloween/";

/// One stamp.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The image file.
    pub(crate) file: PathBuf,
    /// Its place below `stamps/`, without ending.
    pub(crate) name: String,
    /// "A pink flamingo."
    pub(crate) caption: String,
    /// True for a photograph.
    pub(crate) photo: bool,
    /// The label of the emoji that shows the same thing.
    pub(crate) concept: Option<&'static str>,
}

/// All captioned stamps below the unpacked package, by name. Of one stamp in two formats the SVG is taken; mirrored and
/// partial ones are left out.
pub(crate) fn stamps(package: &Path) -> std::io::Result<Vec<Stamp>> {
    let root = package.join(STAMPS);
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    let mut by_name: HashMap<String, PathBuf> = HashMap::new();
    for file in files {
        let Some(name) = stamp_name(&root, &file) else { continue };
        let svg = file.extension().is_some_and(|extension| extension == "svg");
        if svg || !by_name.contains_key(&name) {
            by_name.insert(name, file);
        }
    }
    let concepts = concepts();
    let mut stamps = Vec::new();
    for (name, file) in by_name {
        let Some(caption) = caption(&file)? else { continue };
        let photo = !is_drawn(&name) && file.extension().is_some_and(|extension| extension == "png");
        let concept = concepts.get(name.as_str()).copied();
        stamps.push(Stamp {
            file,
            caption,
            photo,
            concept,
            name,
        });
    }
    stamps.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(stamps)
}

/// The table of stamps and emoji.
pub(crate) fn concepts() -> HashMap<&'static str, &'static str> {
    let lines = CONCEPTS.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('\t')).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|it| it == "png" || it == "svg") {
            files.push(path);
        }
    }
    Ok(())
}

fn stamp_name(root: &Path, file: &Path) -> Option<String> {
    let name = file.strip_prefix(root).ok()?.with_extension("");
    let name = name.to_str()?.replace('\\', "/");
    let skipped = name.ends_with("_mirror") || name.starts_with(SKIPPED);
    (!skipped).then_some(name)
}

fn is_drawn(name: &str) -> bool {
    let halloween = name.starts_with(HALLOWEEN) && !name.contains("grave");
    let named = DRAWN.lines().any(|start| name.starts_with(start));
    named || halloween || name.contains("/cartoon/") || name.starts_with("symbols/")
}

/// The first line of the text beside a stamp; the others are translations.
fn caption(file: &Path) -> std::io::Result<Option<String>> {
    let text = read_if_there(&file.with_extension("txt"))?.unwrap_or_default();
    let line = text.lines().next().unwrap_or_default().trim();
    Ok((!line.is_empty()).then(|| line.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_or_photographed() {
        let check = |name: &str, drawn: bool| assert_eq!(is_drawn(name), drawn, "{name}");
        check("animals/birds/pink_flamingo", false);
        check("animals/birds/cartoon/tux", true);
        check("clothes/t_shirt", true);
        check("clothes/clothespin_old", false);
        check("seasonal/halloween/grave-a", false);
        check("seasonal/halloween/ghost", true);
        check("symbols/chess/b_1_king", true);
    }

    #[test]
    fn the_table_names_each_stamp_once() {
        let lines = CONCEPTS.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(concepts().len(), lines);
        assert!(lines > 400);
        assert_eq!(concepts().get("animals/birds/pink_flamingo"), Some(&"flamingo"));
    }
}
