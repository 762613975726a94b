//! Step `pages`: a shard of the input becomes groups of images that are cleaned, described and encoded, their files, and
//! the sightings by which copies are found.

use std::collections::HashSet;
use std::fs::File;
use std::time::Instant;

use half::f16;
use image::{RgbImage, imageops};
use magiclens_data::{ImageFile, ImageId, ImageShard};

use crate::clean::{Decoded, Pixels};
use crate::duplicate::{self, Print};
use crate::encoder::{Encoders, pack};
use crate::language_model::describe;
use crate::metadata::expand;
use crate::page::{Described, Metadata};
use crate::rows::{Row, Shuffle, TableWriter};
use crate::run::{Tools, Work, table_name};
use crate::stage::{Outcome, Stage};
use crate::steps::reading::{Files, LocalEntry, each_chunk};
use crate::steps::{Group, centers, fetch, folder};
use magiclens_web::DropReason;
use magiclens_web::page::{Page, PageImage, RawImage};

/// What a task publishes besides its groups.
struct Published<'a> {
    groups: &'a mut TableWriter,
    files: ImageShard,
    stored: HashSet<ImageId>,
    sightings: Shuffle,
    sample: centers::Sample,
}

pub(crate) fn run(work: &mut Work<'_>, tools: &mut Tools) -> anyhow::Result<()> {
    let config = work.run.config();
    let local = LocalEntry::open(work)?;
    let mut files = Files::of_entry(work, &local)?;
    fetch::add_fetched(work, &mut files)?;
    work.run.fix_models(&tools.encoders(config)?.models())?;
    tools.captioner(config)?;
    let image_file = work.run.store().create(&table_name(folder::IMAGES, work.task))?;
    let mut shard = Some(ImageShard::begin(image_file.path(), File::create(image_file.path())?)?);
    let mut rest = None;
    work.publish_table(folder::PAGES, |work, groups| {
        let mut published = Published {
            groups,
            files: shard.take().expect("published once"),
            stored: HashSet::new(),
            sightings: Shuffle::default(),
            sample: centers::Sample::new(config),
        };
        // Borrowed apart: the filters are used by the reader, the rest by what it gives.
        let filters = crate::filter::Filters::new(&config.filter)?;
        let mut seen = HashSet::new();
        each_chunk(work, &local, &filters, &mut |work, pages| {
            let mut waiting = Vec::new();
            let (mut images, mut bytes) = (0, 0);
            for page in pages {
                if !seen.insert(duplicate::hash(&page.url)) {
                    work.tally.drop("group", DropReason("crawled again"));
                    continue;
                }
                let found = find_files(work, &mut files, &page)?;
                images += found.len();
                bytes += found.iter().map(|(_, file)| file.bytes.len()).sum::<usize>();
                waiting.push((page, found));
                if images >= config.group.chunk_images || bytes >= config.group.chunk_bytes {
                    finish_pages(work, tools, std::mem::take(&mut waiting), &mut published)?;
                    (images, bytes) = (0, 0);
                }
            }
            finish_pages(work, tools, waiting, &mut published)
        })?;
        rest = Some((published.files, published.sightings, published.sample));
        Ok(())
    })?;
    let (files, sightings, sample) = rest.expect("the table was written");
    files.finish()?;
    image_file.publish()?;
    work.publish_shuffle(folder::SIGHTINGS, sightings)?;
    sample.publish(work)
}

/// The files of a page's images, with the place of each among the page's images.
fn find_files(work: &mut Work<'_>, files: &mut Files, page: &Page) -> anyhow::Result<Vec<(usize, RawImage)>> {
    let config = work.run.config();
    if page.images.len() < config.group.min_images {
        for _ in &page.images {
            work.tally.drop("find", DropReason("too few pictures on its page"));
        }
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for (at, image) in page.images.iter().enumerate() {
        match files.find(image, config)? {
            Ok(file) => {
                work.tally.keep("find", 1);
                work.count("picture bytes", file.bytes.len() as u64);
                found.push((at, file));
            }
            Err(reason) => work.tally.drop("find", reason),
        }
    }
    Ok(found)
}

/// Pages with the images that were found: decodes, describes and encodes them, and publishes the groups that remain.
fn finish_pages(
    work: &mut Work<'_>,
    tools: &mut Tools,
    mut pages: Vec<(Page, Vec<(usize, RawImage)>)>,
    published: &mut Published<'_>,
) -> anyhow::Result<()> {
    let config = work.run.config();
    let decode = Decode {
        pixels: Pixels(&config.clean),
        side: config.group.embed_side_px,
    };
    let mut items = Vec::new();
    for (page, (_, found)) in pages.iter_mut().enumerate() {
        items.extend(found.drain(..).map(|(at, file)| (page, at, file)));
    }
    let decoded = work.tally.run(&decode, items);
    let mut groups: Vec<(&Page, Vec<(usize, Decoded)>)> = pages.iter().map(|(page, _)| (page, Vec::new())).collect();
    for (page, at, image) in decoded {
        groups[page].1.push((at, image));
    }
    let mut kept = Vec::new();
    for (page, images) in groups {
        let images = without_copies(work, page, images);
        if images.len() < config.group.min_images {
            work.tally.drop("group", DropReason("too few pictures"));
        } else {
            work.tally.keep("group", 1);
            kept.push((page, images));
        }
    }
    let mut metadata = expand_all(work, &kept);
    caption_all(work, tools, &kept, &mut metadata)?;
    let vectors = encode_all(work, tools.encoders(config)?, &kept, &metadata)?;
    let mut rows = metadata.into_iter().zip(vectors);
    for (page, images) in kept {
        let described: Vec<_> = rows.by_ref().take(images.len()).collect();
        publish_group(work, page, images, described, published)?;
    }
    Ok(())
}

/// Decodes an image and reduces it to what the encoders need: a chunk of large photographs would not fit otherwise.
struct Decode<'a> {
    pixels: Pixels<'a>,
    side: u32,
}

impl Stage for Decode<'_> {
    type Item = (usize, usize, RawImage);
    type Output = (usize, usize, Decoded);

    fn name(&self) -> &'static str {
        self.pixels.name()
    }

    fn process(&self, (page, at, file): Self::Item) -> anyhow::Result<Outcome<Self::Output>> {
        Ok(match self.pixels.process(file)? {
            Outcome::Drop(reason) => Outcome::Drop(reason),
            Outcome::Keep(mut decoded) => {
                decoded.pixels = reduced(decoded.pixels, self.side);
                Outcome::Keep((page, at, decoded))
            }
        })
    }
}

fn reduced(pixels: RgbImage, side: u32) -> RgbImage {
    let (width, height) = pixels.dimensions();
    let long = width.max(height);
    if long <= side {
        return pixels;
    }
    let scaled = |length: u32| ((u64::from(length) * u64::from(side) / u64::from(long)) as u32).max(1);
    imageops::thumbnail(&pixels, scaled(width), scaled(height))
}

/// A page's images, each once. Of copies the one of which the page says more stays.
fn without_copies(work: &mut Work<'_>, page: &Page, images: Vec<(usize, Decoded)>) -> Vec<(usize, Decoded)> {
    let said = |at: usize| {
        let image: &PageImage = &page.images[at];
        (!image.caption.is_empty(), !image.alt.is_empty())
    };
    let mut kept: Vec<(usize, Decoded)> = Vec::new();
    for (at, image) in images {
        match kept
            .iter_mut()
            .find(|(_, other)| other.print.duplicate_of(&image.print).is_some())
        {
            Some(other) => {
                work.tally.drop("copies on the page", DropReason("copy on the page"));
                if said(other.0) < said(at) {
                    *other = (at, image);
                }
            }
            None => kept.push((at, image)),
        }
    }
    work.tally.keep("copies on the page", kept.len() as u64);
    kept
}

fn expand_all(work: &mut Work<'_>, pages: &[(&Page, Vec<(usize, Decoded)>)]) -> Vec<Metadata> {
    let start = Instant::now();
    let config = &work.run.config().metadata;
    let of = |(page, images): &(&Page, Vec<(usize, Decoded)>)| {
        let expanded = images.iter().map(|(at, _)| expand(page, &page.images[*at], config));
        expanded.collect::<Vec<_>>()
    };
    let metadata = pages.iter().flat_map(of).collect();
    work.tally.spend("metadata", start.elapsed().as_secs_f64());
    metadata
}

/// Captions and labels from the vision model, if there is one.
fn caption_all(
    work: &mut Work<'_>,
    tools: &mut Tools,
    pages: &[(&Page, Vec<(usize, Decoded)>)],
    metadata: &mut [Metadata],
) -> anyhow::Result<()> {
    let config = work.run.config();
    let (Some(caption), Some(model)) = (&config.caption, tools.captioner(config)?) else {
        return Ok(());
    };
    let start = Instant::now();
    let images: Vec<RgbImage> = pages
        .iter()
        .flat_map(|(_, images)| images.iter().map(|(_, image)| image.pixels.clone()))
        .collect();
    for (metadata, described) in metadata.iter_mut().zip(describe(model, &images, &caption.ask)?) {
        match described {
            Ok(description) => {
                work.tally.keep("caption", 1);
                metadata.model_caption = description.caption;
                metadata.labels = description.labels;
            }
            // The image stays: its page may say enough.
            Err(reason) => work.tally.drop("caption", reason),
        }
    }
    work.tally.spend("caption", start.elapsed().as_secs_f64());
    Ok(())
}

fn encode_all(
    work: &mut Work<'_>,
    encoders: &Encoders,
    pages: &[(&Page, Vec<(usize, Decoded)>)],
    metadata: &[Metadata],
) -> anyhow::Result<Vec<Vec<Vec<f16>>>> {
    let start = Instant::now();
    let pixels: Vec<RgbImage> = pages
        .iter()
        .flat_map(|(_, images)| images.iter().map(|(_, image)| image.pixels.clone()))
        .collect();
    let texts: Vec<String> = metadata.iter().map(Metadata::text).collect();
    let vectors = encoders.encode(&pixels, &texts)?;
    work.tally.spend("encode", start.elapsed().as_secs_f64());
    Ok(vectors)
}

/// Folders of saved pages have addresses of their own: `file:///index.html` of one is another page than that of the next.
fn page_id(work: &Work<'_>, url: &str) -> String {
    let entries = work.run.entries();
    let root = &entries[work.task].root;
    // The first shard of the folder, not its path, so that a folder may be moved.
    let folder = entries.iter().position(|entry| root.is_some() && entry.root == *root);
    let name = folder.map_or_else(|| url.to_owned(), |folder| format!("{folder} {url}"));
    format!("{:016x}", duplicate::hash(&name))
}

fn publish_group(
    work: &mut Work<'_>,
    page: &Page,
    images: Vec<(usize, Decoded)>,
    described: Vec<(Metadata, Vec<Vec<f16>>)>,
    published: &mut Published<'_>,
) -> anyhow::Result<()> {
    let config = work.run.config();
    let page_id = page_id(work, &page.url);
    let (mut group, mut bytes, mut prints, mut widths) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for ((at, image), (metadata, vectors)) in images.into_iter().zip(described) {
        let (width, height) = image.shown;
        let described = Described {
            image: image.id,
            shard: work.task,
            url: image.url.clone(),
            page_url: page.url.clone(),
            width,
            height,
            figure: page.images[at].figure,
            position: u32::try_from(at)?,
            license: page.license.clone(),
            opt_outs: page.opt_outs.clone(),
            metadata,
        };
        widths = vectors.iter().map(Vec::len).collect();
        published.sample.offer(&described, &vectors)?;
        bytes.extend(pack(&vectors));
        prints.push((image.id, Print::of(&image.print)));
        group.push(described);
        if published.stored.insert(image.id) {
            published.files.push(ImageFile {
                id: image.id,
                width,
                height,
                url: image.url,
                bytes: image.bytes,
            })?;
        }
    }
    duplicate::send_sightings(
        &mut published.sightings,
        &config.duplicate,
        work.task,
        &page_id,
        &prints,
    )?;
    work.count("pictures", group.len() as u64);
    let group = Group {
        page: page_id.clone(),
        url: page.url.clone(),
        title: page.title.clone(),
        images: group,
        widths,
    };
    published.groups.push(Row::new(page_id, &group, bytes)?)
}
