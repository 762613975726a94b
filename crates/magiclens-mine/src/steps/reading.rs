//! From an entry of the manifest to parsed pages with the images that may be content: what `fetch` and `pages` share.

use std::path::{Path, PathBuf};

use crate::clean::Markup;
use crate::filter::{Filters, ImageFilters};
use crate::run::Work;
use crate::stage::{Outcome, Stage};
use crate::steps::spill::Spill;
use crate::store::{self, LocalFile};
use magiclens_web::DropReason;
use magiclens_web::html;
use magiclens_web::input::{self, Folder, InputKind, Record};
use magiclens_web::page::{Page, PageImage, RawImage, RawPage};

/// The publisher wants the page or image left alone.
pub(crate) const OPTED_OUT: DropReason = DropReason("publisher opted out");

/// The files of a task's entry, on this machine.
pub(crate) struct LocalEntry {
    paths: Vec<PathBuf>,
    /// Copies of remote files, which go when this is dropped.
    _copies: Vec<LocalFile>,
}

impl LocalEntry {
    pub(crate) fn open(work: &Work<'_>) -> anyhow::Result<Self> {
        let entry = &work.run.entries()[work.task];
        if entry.kind == InputKind::Folder {
            return Ok(Self {
                paths: entry.paths(),
                _copies: Vec::new(),
            });
        }
        let copies: Vec<LocalFile> = entry
            .files
            .iter()
            .map(|file| Ok(store::fetch(file)?))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            paths: copies.iter().map(|file| file.path().to_owned()).collect(),
            _copies: copies,
        })
    }
}

/// Parses the pages of an entry and gives them on in chunks, in their order, with the images that may be content.
pub(crate) fn each_chunk(
    work: &mut Work<'_>,
    local: &LocalEntry,
    filters: &Filters,
    give: &mut dyn FnMut(&mut Work<'_>, Vec<Page>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let run = work.run;
    let entry = &run.entries()[work.task];
    let mut chunk = Chunk::default();
    let chunk_bytes = run.config().group.chunk_bytes;
    for record in input::records(entry, &local.paths, &run.config().input) {
        match record? {
            Record::Html(page) => {
                work.tally.keep("read", 1);
                work.count("html bytes", page.html.len() as u64);
                chunk.bytes += page.html.len();
                chunk.raw.push(Item::Raw(page));
            }
            Record::Page(page) => {
                work.tally.keep("read", 1);
                // A page without text: its addresses and words are what it takes.
                chunk.bytes += page
                    .images
                    .iter()
                    .map(|image| 64 + image.url.len() + image.alt.len())
                    .sum::<usize>();
                chunk.raw.push(Item::Parsed(page));
            }
            Record::Image(_) | Record::RejectedImage(_) => {}
            Record::Rejected(input::Rejected { item, reason }) => {
                tracing::debug!(item, reason = reason.0, "not read");
                work.tally.drop("read", reason);
            }
        }
        if chunk.bytes >= chunk_bytes {
            give_chunk(work, filters, std::mem::take(&mut chunk), give)?;
        }
    }
    give_chunk(work, filters, chunk, give)
}

#[derive(Default)]
struct Chunk {
    raw: Vec<Item>,
    bytes: usize,
}

enum Item {
    Raw(RawPage),
    Parsed(Page),
}

fn give_chunk(
    work: &mut Work<'_>,
    filters: &Filters,
    chunk: Chunk,
    give: &mut dyn FnMut(&mut Work<'_>, Vec<Page>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let config = work.run.config();
    let pages = work.tally.run(&Parse(&config.html), chunk.raw);
    let pages = work.tally.run(&OptOut(&config.group.opt_outs), pages);
    let pages = work.tally.run(filters, pages);
    let pages = pages
        .into_iter()
        .map(|page| clean_markup(work, filters, page))
        .collect();
    give(work, pages)
}

/// The page with the images that its markup does not betray, at most as many as a page may have.
fn clean_markup(work: &mut Work<'_>, filters: &Filters, mut page: Page) -> Page {
    let config = work.run.config();
    let mut candidates: Vec<(String, PageImage)> =
        page.images.drain(..).map(|image| (page.url.clone(), image)).collect();
    if filters.look_at_images() {
        candidates = work.tally.run(&ImageFilters(filters), candidates);
    }
    let kept = work.tally.run(&Markup(&config.clean), candidates);
    for (at, (_, image)) in kept.into_iter().enumerate() {
        if at < config.group.max_images {
            page.images.push(image);
        } else {
            work.tally.drop("page limit", DropReason("page has more pictures"));
        }
    }
    work.tally.keep("page limit", page.images.len() as u64);
    page
}

/// Parses pages that are still HTML.
struct Parse<'a>(&'a html::HtmlConfig);

impl Stage for Parse<'_> {
    type Item = Item;
    type Output = Page;

    fn name(&self) -> &'static str {
        "parse"
    }

    fn process(&self, item: Item) -> anyhow::Result<Outcome<Page>> {
        Ok(match item {
            Item::Parsed(page) => Outcome::Keep(page),
            Item::Raw(raw) => match html::parse(&raw, self.0) {
                Ok(page) => Outcome::Keep(page),
                Err(reason) => Outcome::Drop(reason),
            },
        })
    }
}

/// Drops pages whose publisher wants their images left alone.
struct OptOut<'a>(&'a [String]);

impl Stage for OptOut<'_> {
    type Item = Page;
    type Output = Page;

    fn name(&self) -> &'static str {
        "opt-out"
    }

    fn process(&self, page: Page) -> anyhow::Result<Outcome<Page>> {
        Ok(if page.opt_outs.iter().any(|wish| self.0.contains(wish)) {
            Outcome::Drop(OPTED_OUT)
        } else {
            Outcome::Keep(page)
        })
    }
}

/// Where the files of images are.
pub(crate) enum Files {
    /// In an archive or fetched: on disk, by address.
    Spilled(Spill),
    /// In the folder of saved pages, and what was fetched.
    Folder(Folder, Spill),
}

impl Files {
    /// Gathers the images that an entry holds itself.
    pub(crate) fn of_entry(work: &mut Work<'_>, local: &LocalEntry) -> anyhow::Result<Self> {
        let run = work.run;
        let entry = &run.entries()[work.task];
        let mut spill = Spill::new(run.config().group.max_images_per_shard)?;
        match (entry.kind, &entry.root) {
            (InputKind::Folder, Some(root)) => return Ok(Self::Folder(Folder::open(Path::new(root))?, spill)),
            (InputKind::Warc, _) => {}
            _ => return Ok(Self::Spilled(spill)),
        }
        for record in input::records(entry, &local.paths, &run.config().input) {
            // The pass over pages counts what is wrong with the archive; images that cannot be read are missed there.
            if let Record::Image(image) = record? {
                work.count("picture bytes in the archive", image.bytes.len() as u64);
                keep_in(work, &mut spill, &image)?;
            }
        }
        work.count("pictures in the archive", spill.len() as u64);
        Ok(Self::Spilled(spill))
    }

    /// Adds a fetched image.
    pub(crate) fn add(&mut self, work: &mut Work<'_>, image: &RawImage) -> anyhow::Result<()> {
        let (Self::Spilled(spill) | Self::Folder(_, spill)) = self;
        keep_in(work, spill, image)
    }

    /// The file of an image of a page, under the first of its addresses that is there; else why there is none.
    pub(crate) fn find(
        &mut self,
        image: &PageImage,
        config: &crate::config::MineConfig,
    ) -> anyhow::Result<Result<RawImage, DropReason>> {
        let mut reason = DropReason("file is not in the input");
        for url in std::iter::once(&image.url).chain(&image.alternatives) {
            let found = match self {
                Self::Spilled(spill) => spill.get(url)?,
                Self::Folder(folder, spill) if url.starts_with("file:") => match folder.image(url, &config.input) {
                    Ok(found) => Some(found),
                    Err(refused) => {
                        reason = refused;
                        spill.get(url)?
                    }
                },
                Self::Folder(_, spill) => spill.get(url)?,
            };
            if let Some(found) = found {
                let is_heeded = |wish: &str| {
                    let wish = if wish == "none" { "noindex" } else { wish };
                    config.group.opt_outs.iter().any(|heeded| heeded == wish)
                };
                let wishes = config.fetch.opt_outs(&found.robots_tags);
                if wishes.into_iter().any(is_heeded) {
                    return Ok(Err(OPTED_OUT));
                }
                return Ok(Ok(found));
            }
        }
        Ok(Err(reason))
    }
}

fn keep_in(work: &mut Work<'_>, spill: &mut Spill, image: &RawImage) -> anyhow::Result<()> {
    if !spill.put(image)? {
        work.tally.drop("find", DropReason("shard has more pictures"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MineConfig;

    #[test]
    fn images_of_archives_opt_out_under_the_name_of_the_operators_crawler() {
        let url = "http://example.org/a.png".to_owned();
        let found = |user_agent: &str, tag: &str| {
            let mut config = MineConfig::default();
            config.fetch.user_agent = user_agent.to_owned();
            let mut spill = Spill::new(1).unwrap();
            let image = RawImage {
                url: url.clone(),
                bytes: vec![1],
                robots_tags: vec![tag.to_owned()],
                ..RawImage::default()
            };
            assert!(spill.put(&image).unwrap());
            let wanted = PageImage {
                url: url.clone(),
                ..PageImage::default()
            };
            let found = Files::Spilled(spill).find(&wanted, &config).unwrap();
            found.map(|image| image.bytes)
        };
        let operator = "MyBot/1.0 (+https://example.org/bot)";
        assert_eq!(found(operator, "mybot: noimageindex"), Err(OPTED_OUT));
        assert_eq!(found(operator, "magiclens: noimageindex"), Ok(vec![1]));
        assert_eq!(found("", "magiclens: noimageindex"), Err(OPTED_OUT));
    }
}
