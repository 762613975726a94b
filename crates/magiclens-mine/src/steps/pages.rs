//! Step `pages`: a shard of the input becomes groups of images that are cleaned, described and encoded, their files, and
//! the candidates by which copies are found.

use std::collections::HashSet;
use std::fs::File;

use half::f16;
use image::{RgbImage, imageops};
use magiclens_data::{Digest, ImageFile, ImageId, ImageShard};
use magiclens_web::DropReason;
use magiclens_web::page::{Page, RawImage};

use super::centers::Sample;
use super::fetch;
use super::image_files::{FIND, ImageFiles};
use super::reading::{self, Images};
use super::tables::{CANDIDATES, GROUPS, Group, IMAGES, each_shard};
use crate::clean::{Decoded, Pixels, size_within};
use crate::config::{GroupConfig, MineConfig};
use crate::duplicate::{self, Candidate, Print};
use crate::encoder::pack;
use crate::language_model::describe;
use crate::metadata::expand;
use crate::page::{Described, Metadata};
use crate::stage::{Stage, StageInfo};
use crate::store::NewFile;
use crate::table::{ShuffleWriter, TableWriter, file_name};
use crate::work::{StepInfo, Work};

const COPIES: StageInfo = StageInfo::new("copies on the page", "images on pages");
const CAPTION: StageInfo = StageInfo::new("caption", "images on pages");
const GROUP: StageInfo = StageInfo::new("group", "pages");

pub(super) static STEP: StepInfo = StepInfo {
    name: "pages",
    stages,
    tasks: each_shard,
    run,
};

fn stages(config: &MineConfig) -> Vec<StageInfo> {
    let mut stages = reading::stages(config);
    stages.extend([FIND, Pixels::INFO, COPIES, GROUP]);
    stages.extend(config.caption.is_some().then_some(CAPTION));
    stages
}

fn run(work: &mut Work<'_>) -> anyhow::Result<()> {
    let config = work.config();
    let entry = &work.run.entries()[work.task];
    let filters = work.tools.filters(config)?;
    let mut shard = reading::read(entry, config, filters, Images::Whole, &mut work.tally)?;
    fetch::add_fetched(work, &mut shard.files)?;
    work.run.fix_models(&work.tools.encoders(config)?.models())?;
    work.tools.captioner(config)?;
    let mut output = Output::begin(work)?;
    let mut seen = HashSet::new();
    for pages in shard.chunks {
        let mut batch = Vec::new();
        for page in pages? {
            if !seen.insert(Digest::of(&page.url).seed()) {
                work.tally.note(GROUP, Err("crawled again"));
                continue;
            }
            let found = find_files(work, &mut shard.files, &page)?;
            batch.push((page, found));
            if is_full(&batch, &config.group) {
                finish(work, std::mem::take(&mut batch), &mut output)?;
            }
        }
        finish(work, batch, &mut output)?;
    }
    output.publish()
}

/// A file and the place of its image among the page's images.
type FoundFile = (usize, RawImage);

/// Whether pages have enough files for the encoders.
fn is_full(batch: &[(Page, Vec<FoundFile>)], config: &GroupConfig) -> bool {
    let files = || batch.iter().flat_map(|(_, found)| found);
    let bytes: usize = files().map(|(_, file)| file.bytes.len()).sum();
    files().count() >= config.chunk_images || bytes >= config.chunk_bytes
}

/// The files of a page's images.
fn find_files(work: &mut Work<'_>, files: &mut ImageFiles<'_>, page: &Page) -> anyhow::Result<Vec<FoundFile>> {
    let is_alone = page.images.len() < work.config().group.min_images;
    let mut found = Vec::new();
    for (at, image) in page.images.iter().enumerate() {
        let file = match is_alone {
            true => Err(DropReason("too few images on its page")),
            false => files.find(image)?,
        };
        if let Some(file) = work.tally.decide(FIND, file) {
            work.tally.count("image bytes", file.bytes.len());
            found.push((at, file));
        }
    }
    Ok(found)
}

/// An image of a page that is kept, and its place among the page's images.
type Kept = (usize, Decoded);

/// Pages with the images that were found: decodes, describes and encodes them, and hands on the groups that remain.
fn finish(work: &mut Work<'_>, pages: Vec<(Page, Vec<FoundFile>)>, output: &mut Output) -> anyhow::Result<()> {
    let groups = decode_all(work, pages);
    let mut metadata = work.tally.time("metadata", || expand_all(&groups, work.run.config()));
    caption_all(work, &groups, &mut metadata)?;
    let encoders = work.tools.encoders(work.config())?;
    let vectors = work.tally.time("encode", || {
        let texts: Vec<String> = metadata.iter().map(Metadata::text).collect();
        encoders.encode(&pixels(&groups), &texts)
    })?;
    let mut rows = metadata.into_iter().zip(vectors);
    for (page, images) in groups {
        let described = rows.by_ref().take(images.len()).collect();
        output.add(work, &page, images, described)?;
    }
    Ok(())
}

/// Decodes the images and keeps the pages that have enough.
fn decode_all(work: &mut Work<'_>, pages: Vec<(Page, Vec<FoundFile>)>) -> Vec<(Page, Vec<Kept>)> {
    let config = work.config();
    let decode = Decode {
        pixels: Pixels(&config.clean),
        side: config.group.embed_side_px,
    };
    let mut groups: Vec<(Page, Vec<Kept>)> = Vec::new();
    let mut items = Vec::new();
    for (number, (page, found)) in pages.into_iter().enumerate() {
        items.extend(found.into_iter().map(|(at, file)| (number, at, file)));
        groups.push((page, Vec::new()));
    }
    for (number, at, image) in work.tally.run(&decode, items) {
        groups[number].1.push((at, image));
    }
    let enough = |(page, images): (Page, Vec<Kept>)| {
        let images = work.tally.sift(COPIES, without_copies(&page, images));
        let decision = match images.len() < config.group.min_images {
            true => Err(DropReason("too few images")),
            false => Ok((page, images)),
        };
        work.tally.decide(GROUP, decision)
    };
    groups.into_iter().filter_map(enough).collect()
}

/// Decodes an image and reduces it to what the encoders need: a chunk of large photographs would not fit otherwise.
struct Decode<'a> {
    pixels: Pixels<'a>,
    side: u32,
}

impl Stage for Decode<'_> {
    const INFO: StageInfo = Pixels::INFO;
    type Item = (usize, usize, RawImage);
    type Output = (usize, usize, Decoded);

    fn process(&self, (page, at, file): Self::Item) -> Result<Self::Output, DropReason> {
        let mut decoded = self.pixels.process(file)?;
        if let Some((width, height)) = size_within(&decoded.pixels, self.side) {
            decoded.pixels = imageops::thumbnail(&decoded.pixels, width, height);
        }
        Ok((page, at, decoded))
    }
}

/// A page's images, each once. Of copies the one of which the page says more stays.
fn without_copies(page: &Page, images: Vec<Kept>) -> impl Iterator<Item = Result<Kept, DropReason>> + use<> {
    let words = |at: usize| (!page.images[at].caption.is_empty(), !page.images[at].alt.is_empty());
    let total = images.len();
    let mut kept: Vec<Kept> = Vec::new();
    for (at, image) in images {
        let is_copy = |kept: &&mut Kept| kept.1.print.duplicate_of(&image.print).is_some();
        match kept.iter_mut().find(is_copy) {
            Some(other) if words(other.0) < words(at) => *other = (at, image),
            Some(_) => {}
            None => kept.push((at, image)),
        }
    }
    let dropped = std::iter::repeat_n(DropReason("copy on the page"), total - kept.len());
    kept.into_iter().map(Ok).chain(dropped.map(Err))
}

fn expand_all(groups: &[(Page, Vec<Kept>)], config: &MineConfig) -> Vec<Metadata> {
    let images = groups
        .iter()
        .flat_map(|(page, images)| images.iter().map(move |(at, _)| (page, &page.images[*at])));
    images
        .map(|(page, image)| expand(page, image, &config.metadata))
        .collect()
}

fn pixels(groups: &[(Page, Vec<Kept>)]) -> Vec<&RgbImage> {
    let images = groups.iter().flat_map(|(_, images)| images);
    images.map(|(_, image)| &image.pixels).collect()
}

/// Adds captions and labels from the vision model, if there is one. An image without stays: its page may say enough.
fn caption_all(work: &mut Work<'_>, groups: &[(Page, Vec<Kept>)], metadata: &mut [Metadata]) -> anyhow::Result<()> {
    let config = work.config();
    let (Some(caption), Some(model)) = (&config.caption, work.tools.captioner(config)?) else {
        return Ok(());
    };
    let ask = || describe(model, &pixels(groups), &caption.ask);
    let described = work.tally.time(CAPTION.name, ask)?;
    for (metadata, description) in metadata.iter_mut().zip(described) {
        if let Some(description) = work.tally.decide(CAPTION, description) {
            metadata.model_caption = description.caption;
            metadata.labels = description.labels;
        }
    }
    Ok(())
}

/// The files of a task.
struct Output {
    groups: TableWriter<Group>,
    images_file: NewFile,
    images: ImageShard,
    stored: HashSet<ImageId>,
    candidates: ShuffleWriter<Candidate>,
    sample: Option<Sample>,
    /// The number of the folder of saved pages, if the pages come from one.
    folder: Option<usize>,
}

impl Output {
    fn begin(work: &Work<'_>) -> anyhow::Result<Self> {
        let (store, task, entries) = (work.store(), work.task, work.run.entries());
        let images_file = store.create(&file_name(IMAGES, task))?;
        let root = &entries[task].root;
        Ok(Self {
            groups: GROUPS.create(store, task)?,
            images: ImageShard::begin(images_file.path(), File::create(images_file.path())?)?,
            images_file,
            stored: HashSet::new(),
            candidates: CANDIDATES.create(store, task)?,
            sample: work
                .config()
                .neighbor
                .enabled
                .then(|| Sample::begin(work))
                .transpose()?,
            // The first shard of the folder, not its path, so that a folder may be moved.
            folder: entries.iter().position(|entry| root.is_some() && entry.root == *root),
        })
    }

    /// Folders of saved pages have addresses of their own: `file:///index.html` of one is another page than that of the next.
    fn page_id(&self, url: &str) -> String {
        let of_folder = self.folder.map(|folder| format!("{folder} {url}"));
        format!("{:016x}", Digest::of(of_folder.as_deref().unwrap_or(url)).seed())
    }

    /// Adds a group with what is known about each image.
    fn add(
        &mut self,
        work: &mut Work<'_>,
        page: &Page,
        images: Vec<Kept>,
        described: Vec<(Metadata, Vec<Vec<f16>>)>,
    ) -> anyhow::Result<()> {
        let id = self.page_id(&page.url);
        let (mut bytes, mut prints) = (Vec::new(), Vec::new());
        let mut group = Group {
            page: id.clone(),
            url: page.url.clone(),
            title: page.title.clone(),
            images: Vec::new(),
            widths: Vec::new(),
        };
        for ((at, image), (metadata, vectors)) in images.into_iter().zip(described) {
            let described = describe_image(work.task, page, at, &image, metadata)?;
            group.widths = vectors.iter().map(Vec::len).collect();
            if let Some(sample) = &mut self.sample {
                sample.offer(described.image, &vectors);
            }
            bytes.extend(pack(&vectors));
            prints.push((image.id, Print::of(&image.print)));
            group.images.push(described);
            self.store(image)?;
        }
        duplicate::send_candidates(&mut self.candidates, &work.config().duplicate, work.task, &id, &prints)?;
        work.tally.count("pictures", group.images.len());
        self.groups.push(id, &group, bytes)
    }

    /// Stores a file, once.
    fn store(&mut self, image: Decoded) -> anyhow::Result<()> {
        if self.stored.insert(image.id) {
            let (width, height) = image.shown;
            self.images.push(ImageFile {
                id: image.id,
                width,
                height,
                url: image.url,
                bytes: image.bytes,
            })?;
        }
        Ok(())
    }

    fn publish(self) -> anyhow::Result<()> {
        self.groups.publish()?;
        self.images.finish()?;
        self.images_file.publish()?;
        self.candidates.publish()?;
        self.sample.map_or(Ok(()), Sample::publish)
    }
}

fn describe_image(
    shard: usize,
    page: &Page,
    at: usize,
    image: &Decoded,
    metadata: Metadata,
) -> anyhow::Result<Described> {
    let (width, height) = image.shown;
    Ok(Described {
        image: image.id,
        shard,
        url: image.url.clone(),
        page_url: page.url.clone(),
        width,
        height,
        figure: page.images[at].figure,
        position: u32::try_from(at)?,
        license: page.license.clone(),
        opt_outs: page.opt_outs.clone(),
        metadata,
    })
}
