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
use crate::stage::{Outcome, Stage, StageInfo, Tally};
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
    /// The pages, chunk by chunk.
    pub(super) chunks: Chunks,
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
    let local = LocalEntry::open(entry)?;
    let root = entry.root.as_deref().filter(|_| entry.kind == InputKind::Folder);
    let mut reader = Reader {
        config,
        filters,
        images,
        tally,
        waiting: Vec::new(),
        waiting_bytes: 0,
        chunks: ChunkWriter::new()?,
        files: ImageFiles::new(config, root)?,
    };
    for record in input::records(entry, &local.paths(), &config.input) {
        reader.take(record?)?;
    }
    reader.finish()
}

/// The files of an entry on this machine; copies of remote files go when this is dropped.
enum LocalEntry<'a> {
    Folder(&'a Entry),
    Files(Vec<LocalFile>),
}

impl<'a> LocalEntry<'a> {
    fn open(entry: &'a Entry) -> anyhow::Result<Self> {
        if entry.kind == InputKind::Folder {
            return Ok(Self::Folder(entry));
        }
        let files = entry.files.iter().map(|file| store::fetch(file));
        Ok(Self::Files(files.collect::<Result<_, _>>()?))
    }

    fn paths(&self) -> Vec<PathBuf> {
        match self {
            Self::Folder(entry) => entry.paths(),
            Self::Files(files) => files.iter().map(|file| file.path().to_owned()).collect(),
        }
    }
}

struct Reader<'a, 'b> {
    config: &'a MineConfig,
    filters: &'b Filters,
    images: Images,
    tally: &'b mut Tally,
    waiting: Vec<ReadPage>,
    waiting_bytes: usize,
    chunks: ChunkWriter,
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
        self.chunks.push(&cleaned)
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
        Ok(Shard {
            chunks: self.chunks.finish()?,
            files: self.files,
        })
    }
}

/// Parsed pages on their way to disk, where they wait until the whole archive is read.
struct ChunkWriter(BufWriter<File>);

/// Parsed pages in chunks, as they were read.
pub(super) struct Chunks(std::io::Lines<BufReader<File>>);

impl ChunkWriter {
    fn new() -> anyhow::Result<Self> {
        Ok(Self(BufWriter::new(tempfile::tempfile()?)))
    }

    fn push(&mut self, pages: &[Page]) -> anyhow::Result<()> {
        serde_json::to_writer(&mut self.0, pages)?;
        Ok(self.0.write_all(b"\n")?)
    }

    fn finish(self) -> anyhow::Result<Chunks> {
        let mut file = self.0.into_inner().map_err(|error| error.into_error())?;
        file.rewind()?;
        Ok(Chunks(BufReader::new(file).lines()))
    }
}

impl Iterator for Chunks {
    type Item = anyhow::Result<Vec<Page>>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.0.next()?;
        Some(
            line.map_err(Into::into)
                .and_then(|line| Ok(serde_json::from_str(&line)?)),
        )
    }
}

/// Parses pages that are still HTML.
struct Parse<'a>(&'a html::HtmlConfig);

impl Stage for Parse<'_> {
    const INFO: StageInfo = StageInfo::new("parse", "pages");
    type Item = ReadPage;
    type Output = Page;

    fn process(&self, page: ReadPage) -> anyhow::Result<Outcome<Page>> {
        Ok(match page {
            ReadPage::Parsed(page) => Outcome::Keep(page),
            ReadPage::Raw(raw) => match html::parse(&raw, self.0) {
                Ok(page) => Outcome::Keep(page),
                Err(reason) => Outcome::Drop(reason),
            },
        })
    }
}

/// Drops pages whose publisher wants their images left alone.
struct OptOut<'a>(&'a [String]);

impl Stage for OptOut<'_> {
    const INFO: StageInfo = StageInfo::new("opt-out", "pages");
    type Item = Page;
    type Output = Page;

    fn process(&self, page: Page) -> anyhow::Result<Outcome<Page>> {
        Ok(if page.opt_outs.iter().any(|wish| self.0.contains(wish)) {
            Outcome::Drop(OPTED_OUT)
        } else {
            Outcome::Keep(page)
        })
    }
}
