//! The image files of a collection, and a list of what was rendered from what, so that nothing is rendered twice.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::error::CollectionError;
use crate::folder::read_if_there;
use crate::image::{ImageKind, LabeledImage};
use crate::labels::Label;
use crate::render::{self, RENDERER, Rendered};
use crate::report::Failed;
use crate::split::split_of_image;
use magiclens_data::files::write_atomic_bytes;
use magiclens_data::{DigestBuilder, Image, ImageId};

/// After so many images the list is written, so that a stopped build goes on there.
const CHUNK: usize = 1024;

/// An image to be: the source of its pixels and its labels.
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

impl Item {
    /// The note that the item cannot be rendered.
    pub(crate) fn failed(&self, reason: &str) -> Failed {
        Failed {
            name: self.name.clone(),
            reason: reason.to_owned(),
        }
    }
}

/// The source of an image's pixels.
#[derive(Debug)]
pub(crate) enum Art {
    /// An SVG document.
    Svg(String),
    /// A file: SVG by its ending, else a raster image.
    File(PathBuf),
    /// The bytes of a raster image.
    Raster(Vec<u8>),
}

/// An image file of the collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) id: ImageId,
    pub(crate) extension: String,
    pub(crate) width: u32,
    pub(crate) height: u32,
    bytes: u64,
}

/// The folder `images/` and the list `rendered.tsv`.
#[derive(Debug)]
pub(crate) struct Store {
    root: PathBuf,
    size_px: u32,
    known: HashMap<String, Stored>,
}

impl Stored {
    /// The path in the collection folder, with `/`.
    pub(crate) fn path(&self) -> String {
        let id = self.id.to_string();
        format!("pictures/{}/{id}.{}", &id[..2], self.extension)
    }

    /// The image of an item, in the part its own root belongs to.
    pub(crate) fn labeled(&self, item: &Item) -> LabeledImage {
        let label = item.label.clone();
        LabeledImage {
            image: Image {
                id: self.id,
                path: self.path(),
                width: self.width,
                height: self.height,
                caption: label.caption,
                tags: label.tags,
                source: item.source.clone(),
                license: item.license.clone(),
            },
            kind: item.kind,
            split: split_of_image(&label.root, item.style),
            concept: label.concept,
            root: label.root,
            also: Vec::new(),
            style: item.style.to_owned(),
            family: item.family.to_owned(),
            group: label.group,
            subgroup: label.subgroup,
            skin_tone: label.skin_tone,
            gender: label.gender,
            color: label.color,
        }
    }

    fn line(&self, key: &str) -> String {
        format!(
            "{key}\t{}\t{}\t{}\t{}\t{}\n",
            self.id, self.extension, self.width, self.height, self.bytes
        )
    }

    /// A line of the list; a torn or foreign one is nothing.
    fn parse(line: &str) -> Option<(String, Self)> {
        let [key, id, extension, width, height, bytes] = line.split('\t').collect::<Vec<_>>()[..] else {
            return None;
        };
        let stored = Self {
            id: id.parse().ok()?,
            extension: extension.to_owned(),
            width: width.parse().ok()?,
            height: height.parse().ok()?,
            bytes: bytes.parse().ok()?,
        };
        Some((key.to_owned(), stored))
    }
}

impl Store {
    /// The store of a collection folder, with what it already holds.
    pub(crate) fn open(root: &Path, size_px: u32) -> Result<Self, CollectionError> {
        let mut store = Self {
            root: root.to_owned(),
            size_px,
            known: HashMap::new(),
        };
        let list = read_if_there(&store.list())?.unwrap_or_default();
        store.known = list.lines().filter_map(Stored::parse).collect();
        Ok(store)
    }

    /// The file of each item, in their order, or why it has none. Those that are there already are not rendered.
    pub(crate) fn render_all(
        &self,
        items: &[Item],
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Vec<Result<Stored, String>>, CollectionError> {
        let done = AtomicUsize::new(0);
        let mut all = Vec::with_capacity(items.len());
        for chunk in items.chunks(CHUNK) {
            let stored = chunk.par_iter().map(|item| {
                let stored = self.render_one(item);
                progress(done.fetch_add(1, Ordering::Relaxed) + 1, items.len());
                stored
            });
            let stored = stored.collect::<Result<Vec<_>, CollectionError>>()?;
            self.remember(&stored)?;
            all.extend(stored.into_iter().map(|outcome| outcome.map(|(_, stored)| stored)));
        }
        Ok(all)
    }

    /// Removes the images of earlier builds that are not among `kept`, and nothing else.
    pub(crate) fn prune(&self, kept: HashSet<ImageId>) -> Result<(), CollectionError> {
        let images = self.root.join("pictures");
        if !images.is_dir() {
            return Ok(());
        }
        for folder in fs_err::read_dir(images)? {
            for file in fs_err::read_dir(folder?.path())? {
                let path = file?.path();
                let id = path.file_stem().and_then(|name| name.to_str()?.parse::<ImageId>().ok());
                if id.is_some_and(|id| !kept.contains(&id)) {
                    fs_err::remove_file(path)?;
                }
            }
        }
        Ok(())
    }

    /// The key and file of an item, or why it cannot be rendered. The outer error is one of the disk.
    fn render_one(&self, item: &Item) -> Result<Result<(String, Stored), String>, CollectionError> {
        let (bytes, svg) = match &item.art {
            Art::Svg(svg) => (svg.as_bytes().to_vec(), true),
            Art::File(path) => (fs_err::read(path)?, path.extension().is_some_and(|it| it == "svg")),
            Art::Raster(bytes) => (bytes.clone(), false),
        };
        let key = self.key(&bytes, svg);
        if let Some(stored) = self.known.get(&key).filter(|stored| self.is_there(stored)) {
            return Ok(Ok((key, stored.clone())));
        }
        let rendered = if svg {
            render::render_svg(&bytes, self.size_px)
        } else {
            render::render_raster(&bytes)
        };
        Ok(match rendered {
            Ok(rendered) => Ok((key, self.save(rendered)?)),
            Err(error) => Err(error.to_string()),
        })
    }

    fn save(&self, rendered: Rendered) -> Result<Stored, CollectionError> {
        let stored = Stored {
            id: ImageId::of_bytes(&rendered.bytes),
            extension: rendered.extension.to_owned(),
            width: rendered.width,
            height: rendered.height,
            bytes: rendered.bytes.len() as u64,
        };
        let path = self.root.join(stored.path());
        if !self.is_there(&stored) {
            if let Some(folder) = path.parent() {
                fs_err::create_dir_all(folder)?;
            }
            write_atomic_bytes(&path, &rendered.bytes)?;
        }
        Ok(stored)
    }

    fn remember(&self, stored: &[Result<(String, Stored), String>]) -> Result<(), CollectionError> {
        let stored = stored.iter().flatten();
        let new = stored.filter(|(key, stored)| self.known.get(key) != Some(stored));
        let lines: String = new.map(|(key, stored)| stored.line(key)).collect();
        if !lines.is_empty() {
            // The leading line end closes a line that a stopped build left torn.
            let mut list = fs_err::OpenOptions::new().create(true).append(true).open(self.list())?;
            list.write_all(format!("\n{lines}").as_bytes())?;
        }
        Ok(())
    }

    fn is_there(&self, stored: &Stored) -> bool {
        let path = self.root.join(stored.path());
        fs_err::metadata(path).is_ok_and(|found| found.len() == stored.bytes)
    }

    fn key(&self, bytes: &[u8], svg: bool) -> String {
        let mut hasher = DigestBuilder::new();
        let size_px = if svg { self.size_px } else { 0 };
        hasher.update(format!("{RENDERER} {svg} {size_px} ")).update(bytes);
        hasher.finish().to_string()[..32].to_owned()
    }

    fn list(&self) -> PathBuf {
        self.root.join("rendered.tsv")
    }
}
