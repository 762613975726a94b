//! Gathers everything the packages bring: each drawing and photograph with its label, before anything is rendered.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::gcompris;
use crate::iconify::IconSet;
use crate::labels::{FLAGS, Label, Labels, key};
use crate::packages::{
    CARD_STYLE, DRAWINGS, DrawingPackage, GCOMPRIS, LABELS, Layout, Look, PHOTO_STYLE, STAMP_STYLE, TUXPAINT,
};
use crate::slugs::Slugs;
use crate::tuxpaint;
use crate::{CollectionError, Missing};
use magiclens_data::ImageKind;

/// The license of the stamps.
const TUXPAINT_LICENSE: &str = "GPL-2.0-only";

/// An image to be: where its pixels come from and everything known about it.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) art: Art,
    pub(crate) label: Label,
    pub(crate) style: &'static str,
    pub(crate) family: &'static str,
    pub(crate) kind: ImageKind,
    pub(crate) source: String,
    pub(crate) license: String,
    /// For messages: the file or icon.
    pub(crate) name: String,
}

/// Where the pixels of an image come from.
#[derive(Debug)]
pub(crate) enum Art {
    /// An SVG document.
    Svg(String),
    /// A file: SVG by its ending, else a raster image.
    File(PathBuf),
    /// The bytes of a raster image.
    Raster(Vec<u8>),
}

/// What the packages bring, and what they do not.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// In the order in which identical images are kept.
    pub(crate) items: Vec<Item>,
    pub(crate) missing: Vec<Missing>,
    /// Icons whose name means no emoji, by style.
    pub(crate) unnamed: BTreeMap<String, usize>,
}

#[derive(Deserialize)]
struct PackageJson {
    version: String,
}

/// Reads all packages below `packages_dir`; flags only if `with_flags`.
pub(crate) fn gather(
    packages_dir: &Path,
    with_flags: bool,
    reading: &dyn Fn(&str),
) -> Result<Sources, CollectionError> {
    let mut sources = Sources::default();
    let labels = labels(packages_dir)?;
    let mut folders = Vec::new();
    for package in &DRAWINGS {
        match open_npm(packages_dir, package.name) {
            Ok((folder, version)) => folders.push((package, folder, version)),
            Err(reason) => sources.missing.push(Missing {
                package: package.name.to_owned(),
                reason,
            }),
        }
    }
    if folders.is_empty() {
        return Err(CollectionError::NoDrawings {
            packages_dir: packages_dir.to_owned(),
        });
    }
    let mut sets = HashMap::new();
    let mut chars = HashMap::new();
    for (package, folder, _) in &folders {
        reading(package.name);
        if matches!(package.layout, Layout::IconifyChars | Layout::IconifyNames) {
            sets.insert(package.style, read_json::<IconSet>(&folder.join("icons.json"))?);
        }
        if package.layout == Layout::IconifyChars {
            let table: BTreeMap<String, String> = read_json(&folder.join("chars.json"))?;
            let table: Vec<_> = table.into_iter().map(|(points, name)| (key(&points), name)).collect();
            chars.insert(package.style, table);
        }
    }
    let mut tables: Vec<_> = DRAWINGS
        .iter()
        .filter_map(|package| chars.get(package.style).cloned())
        .collect();
    tables.push(unicode_names(packages_dir)?);
    let ordered: Vec<_> = DRAWINGS.iter().filter_map(|package| sets.get(package.style)).collect();
    let slugs = Slugs::new(&labels, &tables, &ordered);
    for (package, folder, version) in &folders {
        let source = format!("npm:{}@{version}", package.name);
        let found = match package.layout {
            Layout::IconifyChars => named_icons(&sets[package.style], &chars[package.style]),
            Layout::IconifyNames => understood_icons(package.style, &sets[package.style], &slugs),
            Layout::Files(inside) => files(&folder.join(inside))?,
        };
        let before = sources.items.len();
        let mut unnamed = 0;
        for (key, name, art) in found {
            match labels.get(&key) {
                Some(label) if wanted(label, package, with_flags) => {
                    sources.items.push(drawing(package, label, art, &source, name));
                }
                Some(_) => {}
                None if labels.leaves_out(&key) => {}
                None => unnamed += 1,
            }
        }
        sources.unnamed.insert(package.style.to_owned(), unnamed);
        sources.items[before..].sort_by_key(|item| item.label.order);
    }
    for (name, add) in [(TUXPAINT, add_stamps as AddPackage), (GCOMPRIS, add_gcompris)] {
        reading(name);
        if let Err(reason) = add(packages_dir, &labels, &mut sources) {
            sources.missing.push(Missing {
                package: name.to_owned(),
                reason,
            });
        }
    }
    Ok(sources)
}

type AddPackage = fn(&Path, &Labels, &mut Sources) -> Result<(), String>;

/// Five tones of each of 330 concepts in eight styles would make most of the collection the same few people: hands,
/// body parts and plain persons keep all tones, roles and activities keep light, medium and dark.
fn wanted(label: &Label, package: &DrawingPackage, with_flags: bool) -> bool {
    let all_tones = ["hand-", "hands", "body-parts"]
        .iter()
        .any(|start| label.subgroup.starts_with(start))
        || label.subgroup == "person";
    let tone = match label.skin_tone.as_deref() {
        None => true,
        // The line drawings show tones as hatching, which no instruction would ask for.
        Some(_) if package.look == Look::Line => false,
        Some("medium-light" | "medium-dark") => all_tones,
        Some(_) => true,
    };
    tone && (with_flags || label.group != FLAGS)
}

fn drawing(package: &DrawingPackage, label: &Label, art: Art, source: &str, name: String) -> Item {
    Item {
        art,
        label: label.clone(),
        style: package.style,
        family: package.family,
        kind: ImageKind::Drawing,
        source: source.to_owned(),
        license: package.license.to_owned(),
        name: format!("{}/{name}", package.style),
    }
}

/// The icons of a set that lists its code points.
fn named_icons(set: &IconSet, chars: &[(String, String)]) -> Vec<(String, String, Art)> {
    let icon = |(key, name): &(String, String)| Some((key.clone(), name.clone(), Art::Svg(set.svg(name)?)));
    chars.iter().filter_map(icon).collect()
}

/// The icons of a set whose names have to be understood. A name that means nothing keeps an empty key.
fn understood_icons(style: &str, set: &IconSet, slugs: &Slugs) -> Vec<(String, String, Art)> {
    let icon = |name: &str| {
        let key = slugs.key(style, name).unwrap_or_default().to_owned();
        Some((key, name.to_owned(), Art::Svg(set.svg(name)?)))
    };
    set.names().filter_map(icon).collect()
}

/// Files named by code points.
fn files(folder: &Path) -> Result<Vec<(String, String, Art)>, CollectionError> {
    let mut files = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path.file_stem().and_then(|name| name.to_str()).map(str::to_owned) else {
            continue;
        };
        files.push((key(&name), name, Art::File(path)));
    }
    files.sort_by(|a, b| a.1.cmp(&b.1));
    Ok(files)
}

fn add_stamps(packages_dir: &Path, labels: &Labels, sources: &mut Sources) -> Result<(), String> {
    let (folder, source) = open_apt(packages_dir, TUXPAINT)?;
    for stamp in tuxpaint::stamps(&folder).map_err(|error| error.to_string())? {
        let style = if stamp.photo { PHOTO_STYLE } else { STAMP_STYLE };
        let label = thing_label(labels, stamp.concept, &plain(&stamp.caption));
        let name = format!("{TUXPAINT}/{}", stamp.name);
        let (art, license) = (Art::File(stamp.file), TUXPAINT_LICENSE.to_owned());
        sources
            .items
            .push(photo_item(art, label, style, &source, license, name));
    }
    Ok(())
}

fn add_gcompris(packages_dir: &Path, labels: &Labels, sources: &mut Sources) -> Result<(), String> {
    let (folder, source) = open_apt(packages_dir, GCOMPRIS)?;
    let images = gcompris::images(&folder).map_err(|error| error.to_string())?;
    let lacking = gcompris::listed() - images.len();
    if lacking > 0 {
        let reason = format!("{lacking} of its {} listed pictures are not in it", gcompris::listed());
        sources.missing.push(Missing {
            package: GCOMPRIS.to_owned(),
            reason,
        });
    }
    for image in images {
        let style = if image.photo { PHOTO_STYLE } else { CARD_STYLE };
        let label = thing_label(labels, image.concept, image.caption);
        let name = format!("{GCOMPRIS}/{}", image.name);
        sources.items.push(photo_item(
            Art::Raster(image.content),
            label,
            style,
            &source,
            image.license,
            name,
        ));
    }
    Ok(())
}

pub(crate) fn photo_item(
    art: Art,
    label: Label,
    style: &'static str,
    source: &str,
    license: String,
    name: String,
) -> Item {
    let kind = if style == PHOTO_STYLE {
        ImageKind::Photo
    } else {
        ImageKind::Drawing
    };
    Item {
        art,
        label,
        style,
        family: style,
        kind,
        source: source.to_owned(),
        license,
        name,
    }
}

/// The label of a photograph or stamp: that of its emoji with its own caption, or one made of its own noun.
fn thing_label(labels: &Labels, concept: Option<&str>, caption: &str) -> Label {
    let (caption, noun) = (caption.to_owned(), noun(caption));
    match concept.and_then(|concept| labels.of_concept(concept)) {
        Some(label) => Label {
            caption,
            order: u32::MAX,
            ..label.clone()
        },
        None => {
            let tags = noun.split(' ').map(str::to_owned).collect();
            // A word that names an emoji too goes to that emoji's part: "woman" to the other people.
            let root = labels
                .of_concept(&noun)
                .map_or_else(|| noun.clone(), |label| label.root.clone());
            Label {
                order: u32::MAX,
                concept: noun,
                root,
                caption,
                tags,
                ..Label::default()
            }
        }
    }
}

/// The noun of a caption: "gull" of "a silver gull", "pliers" of "a pair of pliers", "pyramid" of "the pyramid of Meidum".
fn noun(caption: &str) -> String {
    const AFTER: [&str; 9] = [
        " in ", " at ", " on ", " with ", " from ", " for ", " is ", " to ", " under ",
    ];
    const MEASURES: [&str; 8] = ["pair", "bunch", "string", "cup", "head", "can", "tube", "model"];
    let head = caption
        .split([',', '—', '–', ';', '!', '?', '(', '.', ':'])
        .find(|part| !part.trim().is_empty());
    let head = head.unwrap_or(caption);
    let head = AFTER
        .iter()
        .fold(head, |head, word| head.split(word).next().unwrap_or(head));
    let head = match head.split_once(" of ") {
        Some((measure, thing)) if MEASURES.iter().any(|word| measure.ends_with(word)) => thing,
        Some((thing, _)) => thing,
        None => head,
    };
    let word = head.trim().rsplit(' ').next().unwrap_or(head);
    word.trim_matches(|letter: char| !letter.is_alphanumeric())
        .to_lowercase()
}

/// A caption without its full stop: "a pink flamingo" of "A pink flamingo.".
fn plain(caption: &str) -> String {
    let caption = caption.trim().trim_end_matches('.');
    match ["A ", "An ", "The ", "Some ", "Two "]
        .iter()
        .find(|start| caption.starts_with(*start))
    {
        Some(_) => caption[..1].to_lowercase() + &caption[1..],
        None => caption.to_owned(),
    }
}

fn labels(packages_dir: &Path) -> Result<Labels, CollectionError> {
    let (folder, _) = open_npm(packages_dir, LABELS.0).map_err(|reason| CollectionError::NoLabels {
        packages_dir: packages_dir.to_owned(),
        reason,
    })?;
    let data = fs_err::read(folder.join("en/data.json"))?;
    let groups = fs_err::read(folder.join("meta/groups.json"))?;
    Ok(Labels::parse(&data, &groups)?)
}

/// The names that Unicode gives its characters, by key.
fn unicode_names(packages_dir: &Path) -> Result<Vec<(String, String)>, CollectionError> {
    let (folder, _) = open_npm(packages_dir, LABELS.0).map_err(|reason| CollectionError::NoLabels {
        packages_dir: packages_dir.to_owned(),
        reason,
    })?;
    let names: BTreeMap<String, String> = read_json(&folder.join("meta/unicode-names.json"))?;
    Ok(names.into_iter().map(|(points, name)| (key(&points), name)).collect())
}

/// Folder and version of an npm package, or why it cannot be read.
pub(crate) fn open_npm(packages_dir: &Path, name: &str) -> Result<(PathBuf, String), String> {
    let folder = packages_dir.join("npm/node_modules").join(name);
    if !folder.is_dir() {
        return Err("it is not among the fetched packages".to_owned());
    }
    let manifest: PackageJson = read_json(&folder.join("package.json")).map_err(|error| error.to_string())?;
    Ok((folder, manifest.version))
}

/// Folder and source name of an unpacked Debian package, or why it cannot be read.
fn open_apt(packages_dir: &Path, name: &str) -> Result<(PathBuf, String), String> {
    let folder = packages_dir.join("apt").join(name);
    if !folder.is_dir() {
        return Err("it is not among the fetched packages".to_owned());
    }
    let version = fs_err::read_to_string(folder.join(".version")).map_err(|error| error.to_string())?;
    Ok((folder, format!("apt:{name}@{}", version.trim())))
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, CollectionError> {
    let bytes = fs_err::read(path)?;
    serde_json::from_slice(&bytes).map_err(|source| CollectionError::Json {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nouns_and_captions() {
        for (caption, expected) in [
            ("a silver gull", "gull"),
            ("a pair of pliers", "pliers"),
            ("the pyramid of Meidum", "pyramid"),
            ("Saturn—the second largest planet", "saturn"),
            ("an inukshuk (or inuksuk), a landmark", "inukshuk"),
            ("a castle in ruins", "castle"),
            ("“Arrow”", "arrow"),
        ] {
            assert_eq!(noun(caption), expected);
        }
        assert_eq!(plain("A pink flamingo."), "a pink flamingo");
        assert_eq!(plain("Eat your broccoli!"), "Eat your broccoli!");
    }
}
