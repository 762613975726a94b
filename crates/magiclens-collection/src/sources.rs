//! Gathers everything the packages bring: each drawing and photograph with its label, before anything is rendered.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::CollectionError;
use crate::gcompris;
use crate::iconify::IconSet;
use crate::image::ImageKind;
use crate::labels::{Emoji, FLAGS, Groups, Label, Labels, key};
use crate::packages::{
    CARD_STYLE, DRAWINGS, DrawingPackage, GCOMPRIS, LABELS, Layout, Look, PHOTO_STYLE, STAMP_STYLE, TUXPAINT,
};
use crate::report::Missing;
use crate::slugs::Slugs;
use crate::store::{Art, Item};
use crate::tuxpaint;

/// The license of the stamps.
const TUXPAINT_LICENSE: &str = "GPL-2.0-only";

/// The items that the packages bring, and what is missing.
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

/// Keys of emoji and names.
type Names = Vec<(String, String)>;

/// A package of drawings that is there.
struct Opened {
    package: &'static DrawingPackage,
    source: String,
    files: Files,
}

enum Files {
    /// An icon set with the names of its code points; without them its own names have to be understood.
    Icons(IconSet, Option<Names>),
    /// A folder of files that are named by code points.
    Folder(PathBuf),
}

/// Reads all packages below `packages_dir`; flags only if `with_flags`.
pub(crate) fn gather(
    packages_dir: &Path,
    with_flags: bool,
    reading: &dyn Fn(&str),
) -> Result<Sources, CollectionError> {
    let mut sources = Sources::default();
    let (labels, unicode_names) = labels(packages_dir)?;
    let packages = open_drawings(packages_dir, reading, &mut sources.missing)?;
    let mut tables: Vec<&Names> = Vec::new();
    let mut sets: Vec<&IconSet> = Vec::new();
    for package in &packages {
        if let Files::Icons(set, names) = &package.files {
            sets.push(set);
            tables.extend(names);
        }
    }
    tables.push(&unicode_names);
    let slugs = Slugs::new(&labels, &tables, &sets);
    for package in &packages {
        package.add(&labels, &slugs, with_flags, &mut sources)?;
    }
    for (name, add) in [(TUXPAINT, add_stamps as AddPackage), (GCOMPRIS, add_gcompris)] {
        reading(name);
        if let Err(reason) = add(packages_dir, &labels, &mut sources) {
            sources.missing.push(Missing::new(name, reason));
        }
    }
    Ok(sources)
}

type AddPackage = fn(&Path, &Labels, &mut Sources) -> Result<(), String>;

/// The packages of drawings that are there, at least one.
fn open_drawings(
    packages_dir: &Path,
    reading: &dyn Fn(&str),
    missing: &mut Vec<Missing>,
) -> Result<Vec<Opened>, CollectionError> {
    let mut opened = Vec::new();
    for package in &DRAWINGS {
        match open_npm(packages_dir, package.name) {
            Ok((folder, version)) => {
                reading(package.name);
                opened.push(Opened {
                    package,
                    source: format!("npm:{}@{version}", package.name),
                    files: read_files(package.layout, &folder)?,
                });
            }
            Err(reason) => missing.push(Missing::new(package.name, reason)),
        }
    }
    if opened.is_empty() {
        let packages_dir = packages_dir.to_owned();
        return Err(CollectionError::NoDrawings { packages_dir });
    }
    Ok(opened)
}

fn read_files(layout: Layout, folder: &Path) -> Result<Files, CollectionError> {
    let icons = || read_json(&folder.join("icons.json"));
    Ok(match layout {
        Layout::IconifyNames => Files::Icons(icons()?, None),
        Layout::IconifyChars => Files::Icons(icons()?, Some(read_names(&folder.join("chars.json"))?)),
        Layout::Files(inside) => Files::Folder(folder.join(inside)),
    })
}

impl Opened {
    /// Adds the drawings with a label, in Unicode's order.
    fn add(
        &self,
        labels: &Labels,
        slugs: &Slugs,
        with_flags: bool,
        sources: &mut Sources,
    ) -> Result<(), CollectionError> {
        let package = self.package;
        let (mut items, mut unnamed) = (Vec::new(), 0);
        for (key, name, art) in self.drawings(slugs)? {
            match labels.get(&key) {
                Some(label) if wanted(label, package, with_flags) => items.push(Item {
                    art,
                    label: label.clone(),
                    style: package.style,
                    family: package.family,
                    kind: ImageKind::Drawing,
                    source: self.source.clone(),
                    license: package.license.to_owned(),
                    name: format!("{}/{name}", package.style),
                }),
                None if !labels.leaves_out(&key) => unnamed += 1,
                _ => {}
            }
        }
        sources.unnamed.insert(package.style.to_owned(), unnamed);
        items.sort_by_key(|item| item.label.order);
        sources.items.append(&mut items);
        Ok(())
    }

    /// Key, name and art of each drawing. A name that means nothing has an empty key.
    fn drawings(&self, slugs: &Slugs) -> Result<Vec<(String, String, Art)>, CollectionError> {
        let style = self.package.style;
        match &self.files {
            Files::Folder(folder) => files(folder),
            Files::Icons(set, Some(names)) => {
                let icon = |(key, name): &(String, String)| Some((key.clone(), name.clone(), Art::Svg(set.svg(name)?)));
                Ok(names.iter().filter_map(icon).collect())
            }
            Files::Icons(set, None) => {
                let key = |name: &str| slugs.key(style, name).unwrap_or_default().to_owned();
                let icon = |name: &str| Some((key(name), name.to_owned(), Art::Svg(set.svg(name)?)));
                Ok(set.names().filter_map(icon).collect())
            }
        }
    }
}

/// Five tones of each of 330 concepts in eight styles would make most of the collection the same few people: hands,
/// body parts and plain persons keep all tones, roles and activities keep light, medium and dark.
fn wanted(label: &Label, package: &DrawingPackage, with_flags: bool) -> bool {
    let starts = |start: &&str| label.subgroup.starts_with(*start);
    let all_tones = ["hand-", "hands", "body-parts"].iter().any(starts) || label.subgroup == "person";
    let tone = match label.skin_tone.as_deref() {
        None => true,
        // The line drawings show tones as hatching, which no instruction would ask for.
        Some(_) if package.look == Look::Line => false,
        Some("medium-light" | "medium-dark") => all_tones,
        Some(_) => true,
    };
    tone && (with_flags || label.group != FLAGS)
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
        let item = photo_item(art, label, style, &source, license, name);
        sources.items.push(item);
    }
    Ok(())
}

fn add_gcompris(packages_dir: &Path, labels: &Labels, sources: &mut Sources) -> Result<(), String> {
    let (folder, source) = open_apt(packages_dir, GCOMPRIS)?;
    let images = gcompris::images(&folder).map_err(|error| error.to_string())?;
    let listed = gcompris::listed().len();
    let lacking = listed - images.len();
    if lacking > 0 {
        let reason = format!("{lacking} of its {listed} listed images are not in it");
        sources.missing.push(Missing::new(GCOMPRIS, reason));
    }
    for image in images {
        let listed = &image.listed;
        let style = if listed.photo { PHOTO_STYLE } else { CARD_STYLE };
        let label = thing_label(labels, listed.concept, listed.caption);
        let name = format!("{GCOMPRIS}/{}", listed.name);
        let item = photo_item(Art::Raster(image.content), label, style, &source, image.license, name);
        sources.items.push(item);
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
    let is_photo = style == PHOTO_STYLE;
    Item {
        art,
        label,
        style,
        family: style,
        kind: if is_photo { ImageKind::Photo } else { ImageKind::Drawing },
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
            let root = labels.of_concept(&noun).map_or(&noun, |label| &label.root).clone();
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
    const AFTER: &str = "in at on with from for is to under";
    const MEASURES: &str = "pair bunch string cup head can tube model";
    let head = caption
        .split([',', '—', '–', ';', '!', '?', '(', '.', ':'])
        .find(|part| !part.trim().is_empty());
    let head = head.unwrap_or(caption);
    let before = |head: &str, word: &str| head.find(&format!(" {word} ")).unwrap_or(head.len());
    let head = AFTER.split(' ').fold(head, |head, word| &head[..before(head, word)]);
    let head = match head.split_once(" of ") {
        Some((measure, thing)) if MEASURES.split(' ').any(|word| measure.ends_with(word)) => thing,
        Some((thing, _)) => thing,
        None => head,
    };
    let word = head.trim().rsplit(' ').next().unwrap_or(head);
    let word = word.trim_matches(|letter: char| !letter.is_alphanumeric());
    word.to_lowercase()
}

/// A caption without its full stop: "a pink flamingo" of "A pink flamingo.".
fn plain(caption: &str) -> String {
    let caption = caption.trim().trim_end_matches('.');
    let starts = ["A ", "An ", "The ", "Some ", "Two "];
    if starts.iter().any(|start| caption.starts_with(start)) {
        caption[..1].to_lowercase() + &caption[1..]
    } else {
        caption.to_owned()
    }
}

/// The labels, and the names that Unicode gives its characters, by key.
fn labels(packages_dir: &Path) -> Result<(Labels, Names), CollectionError> {
    let opened = open_npm(packages_dir, LABELS.0);
    let (folder, _) = opened.map_err(|reason| CollectionError::NoLabels {
        packages_dir: packages_dir.to_owned(),
        reason,
    })?;
    let emoji: Vec<Emoji> = read_json(&folder.join("en/data.json"))?;
    let groups: Groups = read_json(&folder.join("meta/groups.json"))?;
    let names = read_names(&folder.join("meta/unicode-names.json"))?;
    Ok((Labels::new(&emoji, &groups), names))
}

fn read_names(path: &Path) -> Result<Names, CollectionError> {
    let names: BTreeMap<String, String> = read_json(path)?;
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
