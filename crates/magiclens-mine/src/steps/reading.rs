//! One pass over an entry of the manifest: parsed pages with the images that may be content, and the image files of the entry.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Seek, Write};
use std::path::PathBuf;

use magiclens_web::DropReason;
use magiclens_web::html;
use magiclens_web::input::{self, Entry, InputKind, Record};
use magiclens_web::page::{Page, PageImage, RawImage, RawPage};

use super::image_files::{FIND, ImageFiles, OPTED_OUT};
use crate::clean::Markup;
use crate::config::MineConfig;
use crate::filter::{Filters, ImageFilters};
use crate::stage::{Stage, StageInfo, Tally};
use crate::store::{self, LocalFile};

pub(super) const READ: StageInfo = StageInfo::new("read", "pages");
pub(super) const PAGE_LIMIT: StageInfo = StageInfo::new("page limit", "images on pages");

/// The stages of this file, in order.
pub(super) fn stages(config: &MineConfig) -> Vec<StageInfo> {
    let mut stages = vec![READ, Parse::INFO, OptOut::INFO, Filters::INFO];
    if config.filter.iter().any(|filter| filter.is_of_images()) {
        stages.push(ImageFilters::INFO);
    }
    stages.extend([Markup::INFO, PAGE_LIMIT]);
    stages
}

/// A shard that was read.
pub(super) struct Shard<'a> {
    /// The pages in chunks, as they were read.
    pub(super) chunks: Box<dyn Iterator<Item = anyhow::Result<Vec<Page>>>>,
    /// The files of the entry's images.
    pub(super) files: ImageFiles<'a>,
}

/// Whether the contents of images are needed, or only their addresses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Images {
    Whole,
    Addresses,
}

/// Reads an entry, once.
pub(super) fn read<'a>(
    entry: &Entry,
    config: &'a MineConfig,
    filters: &Filters,
    images: Images,
    tally: &mut Tally,
) -> anyhow::Result<Shard<'a>> {
    let (paths, _copies) = local_files(entry)?;
    let root = entry.root.as_deref().filter(|_| entry.kind == InputKind::Folder);
    let mut reader = Reader {
        config,
        filters,
        images,
        tally,
        waiting: Vec::new(),
        waiting_bytes: 0,
        chunks: BufWriter::new(tempfile::tempfile()?),
        files: ImageFiles::new(config, root)?,
    };
    for record in input::records(entry, &paths, &config.input) {
        reader.take(record?)?;
    }
    reader.finish()
}

/// The paths of an entry's files on this machine, and the copies of remote ones, which go when they are dropped.
fn local_files(entry: &Entry) -> anyhow::Result<(Vec<PathBuf>, Vec<LocalFile>)> {
    if entry.kind == InputKind::Folder {
        return Ok((entry.paths(), Vec::new()));
    }
    let files = entry.files.iter().map(|file| store::fetch(file));
    let files: Vec<LocalFile> = files.collect::<anyhow::Result<_>>()?;
    Ok((files.iter().map(|file| file.path().to_owned()).collect(), files))
}

struct Reader<'a, 'b> {
    config: &'a MineConfig,
    filters: &'b Filters,
    images: Images,
    tally: &'b mut Tally,
    waiting: Vec<ReadPage>,
    waiting_bytes: usize,
    /// Parsed pages wait on the disk until the whole archive is read: each line is a chunk.
    chunks: BufWriter<File>,
    files: ImageFiles<'a>,
}

enum ReadPage {
    Raw(RawPage),
    Parsed(Page),
}

impl<'a> Reader<'a, '_> {
    fn take(&mut self, record: Record) -> anyhow::Result<()> {
        match record {
            Record::Html(page) => {
                self.tally.count("html bytes", page.html.len());
                self.wait(page.html.len(), ReadPage::Raw(page))
            }
            Record::Page(page) => {
                // A page without text: its addresses and words are what it takes.
                let bytes = |image: &PageImage| 64 + image.url.len() + image.alt.len();
                self.wait(page.images.iter().map(bytes).sum(), ReadPage::Parsed(page))
            }
            Record::Image(image) => self.keep(image),
            Record::Rejected(rejected) => {
                tracing::debug!(item = rejected.item, reason = rejected.reason.0, "not read");
                self.tally.note(READ, Err(rejected.reason.0));
                Ok(())
            }
            // The page that shows it will miss it.
            Record::RejectedImage(_) => Ok(()),
        }
    }

    fn wait(&mut self, bytes: usize, page: ReadPage) -> anyhow::Result<()> {
        self.tally.note(READ, Ok(()));
        self.waiting_bytes += bytes;
        self.waiting.push(page);
        if self.waiting_bytes >= self.config.group.chunk_bytes {
            self.end_chunk()?;
        }
        Ok(())
    }

    fn keep(&mut self, mut image: RawImage) -> anyhow::Result<()> {
        self.tally.count("image bytes in the archive", image.bytes.len());
        if self.images == Images::Addresses {
            image.bytes.clear();
        }
        if let Err(reason) = self.files.add(&image)? {
            self.tally.note(FIND, Err(reason.0));
        }
        Ok(())
    }

    fn end_chunk(&mut self) -> anyhow::Result<()> {
        self.waiting_bytes = 0;
        let pages = std::mem::take(&mut self.waiting);
        let pages = self.tally.run(&Parse(&self.config.html), pages);
        let pages = self.tally.run(&OptOut(&self.config.group.opt_outs), pages);
        let pages = self.tally.run(self.filters, pages);
        let cleaned: Vec<Page> = pages.into_iter().map(|page| self.clean(page)).collect();
        serde_json::to_writer(&mut self.chunks, &cleaned)?;
        Ok(self.chunks.write_all(b"\n")?)
    }

    /// The page with the images that its markup does not betray, at most as many as a page may have.
    fn clean(&mut self, mut page: Page) -> Page {
        let mut candidates: Vec<(String, PageImage)> =
            page.images.drain(..).map(|image| (page.url.clone(), image)).collect();
        if self.filters.look_at_images() {
            candidates = self.tally.run(&ImageFilters(self.filters), candidates);
        }
        let kept = self.tally.run(&Markup(&self.config.clean), candidates);
        let max = self.config.group.max_images;
        let within = |(at, (_, image))| match at < max {
            true => Ok(image),
            false => Err(DropReason("page has more images")),
        };
        page.images = self.tally.sift(PAGE_LIMIT, kept.into_iter().enumerate().map(within));
        page
    }

    fn finish(mut self) -> anyhow::Result<Shard<'a>> {
        self.end_chunk()?;
        if self.files.len() > 0 {
            self.tally.count("images in the archive", self.files.len());
        }
        let mut chunks = self.chunks.into_inner().map_err(|error| error.into_error())?;
        chunks.rewind()?;
        let chunks = BufReader::new(chunks).lines();
        Ok(Shard {
            chunks: Box::new(chunks.map(|line| Ok(serde_json::from_str(&line?)?))),
            files: self.files,
        })
    }
}

/// Parses pages that are still HTML.
struct Parse<'a>(&'a html::HtmlConfig);

impl Stage for Parse<'_> {
    const INFO: StageInfo = StageInfo::new("parse", "pages");
    type Item = ReadPage;
    type Output = Page;

    fn process(&self, page: ReadPage) -> Result<Page, DropReason> {
        match page {
            ReadPage::Parsed(page) => Ok(page),
            ReadPage::Raw(raw) => html::parse(&raw, self.0),
        }
    }
}

/// Drops pages whose publisher wants their images left alone.
struct OptOut<'a>(&'a [String]);

impl Stage for OptOut<'_> {
    const INFO: StageInfo = StageInfo::new("opt-out", "pages");
    type Item = Page;
    type Output = Page;

    fn process(&self, page: Page) -> Result<Page, DropReason> {
        match page.opt_outs.iter().any(|wish| self.0.contains(wish)) {
            true => Err(OPTED_OUT),
            false => Ok(page),
        }
    }
}
