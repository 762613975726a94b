//! Captions, and the image that each belongs to.
//!
//! Captions come from elements that say so (`<figcaption>`, classes) and, in a few settled forms, from the text beside a
//! single image. An element that ends decides about the captions and images inside it; a caption that nothing claims is
//! nobody's. In doubt an image gets none: instructions are made of captions, and a wrong one is worse than a missing one.

use super::cells::{Cell, captioned};
use super::class::Wrapper;
use super::config::HtmlConfig;
use super::findings::{Findings, add_span};
use super::stack::Frame;
use super::tag::Tag;
use super::text::Span;
use crate::page::Region;

/// A caption that waits for its image.
#[derive(Clone, Copy, Debug)]
struct Caption {
    /// 3: `<figcaption>`; 2: by its class; 1: a title.
    rank: u8,
    span: Span,
}

/// Images and captions in the order of the page.
#[derive(Clone, Copy)]
enum Item {
    Image(usize),
    Caption(usize),
    /// A film or the like, which may have captions of its own.
    Media,
}

/// Rank of a caption that nothing but its place betrays.
const BY_PLACE: u8 = 0;
/// Cells beyond this make a table of data.
const MAX_CELLS: usize = 2000;

/// Captions whose image is not known yet, and cells of open tables.
pub(super) struct Captions<'a> {
    config: &'a HtmlConfig,
    waiting: Vec<Caption>,
    cells: Vec<Cell>,
}

impl<'a> Captions<'a> {
    pub(super) fn new(config: &'a HtmlConfig) -> Self {
        Self {
            config,
            waiting: Vec::new(),
            cells: Vec::new(),
        }
    }

    /// Number of captions that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Number of cells.
    pub(super) fn cells(&self) -> usize {
        self.cells.len()
    }

    /// An element ends: `span` is its text, `outer` the elements that stay open.
    pub(super) fn end(&mut self, frame: &Frame, span: Span, outer: &[Frame], findings: &mut Findings) {
        let mut ending = Ending {
            config: self.config,
            waiting: &mut self.waiting,
            cells: &mut self.cells,
            findings,
            frame,
            span,
        };
        ending.decide(outer);
    }
}

/// The end of an element.
struct Ending<'e> {
    config: &'e HtmlConfig,
    waiting: &'e mut Vec<Caption>,
    cells: &'e mut Vec<Cell>,
    findings: &'e mut Findings,
    frame: &'e Frame,
    /// The text of the element.
    span: Span,
}

impl Ending<'_> {
    fn decide(&mut self, outer: &[Frame]) {
        let frame = self.frame;
        let has_images = frame.first_image < self.findings.images.len();
        if matches!(frame.tag, Tag::Td | Tag::Th) {
            self.add_cell();
        }
        if 0 < frame.caption_rank && (!has_images || self.is_caption_with_symbols(outer)) {
            self.add_caption();
            return;
        }
        // What is named a caption and holds images is around an image and its caption.
        let wrapper = if 0 < frame.caption_rank {
            frame.wrapper.max(Wrapper::Thumb)
        } else {
            frame.wrapper
        };
        if has_images {
            self.caption_images(wrapper);
        }
        let is_bound = matches!(
            frame.tag,
            Tag::Section | Tag::Article | Tag::Main | Tag::Aside | Tag::Nav | Tag::Header | Tag::Footer | Tag::Body
        );
        if wrapper != Wrapper::None || is_bound {
            self.waiting.truncate(frame.first_caption);
        }
        if frame.tag == Tag::Table {
            self.cells.truncate(frame.first_cell);
        }
    }

    fn caption_images(&mut self, wrapper: Wrapper) {
        if self.frame.first_caption < self.waiting.len() {
            match wrapper {
                Wrapper::None => self.pair_neighbors(),
                _ => self.give_captions(wrapper),
            }
        }
        if self.frame.region == Region::Main {
            if self.frame.tag == Tag::Table {
                self.caption_cells();
                self.number_table();
            }
            self.caption_by_place();
        }
    }

    fn add_cell(&mut self) {
        self.cells.truncate(self.frame.first_cell);
        if self.frame.row != 0 && self.cells.len() < MAX_CELLS {
            self.cells.push(Cell {
                row: self.frame.row,
                span: self.span,
                first_image: self.frame.first_image,
                end_image: self.findings.images.len(),
            });
        }
    }

    /// True if an element named a caption is one although images stand in it: symbols in the text about the image before.
    fn is_caption_with_symbols(&mut self, frames: &[Frame]) -> bool {
        let wrapper = frames.iter().rfind(|outer| outer.wrapper != Wrapper::None);
        let Findings { images, text, .. } = &mut *self.findings;
        let is_after_image = wrapper.is_some_and(|outer| {
            let before = images.get(outer.first_image..self.frame.first_image);
            before.unwrap_or_default().iter().any(|image| !image.in_caption)
        });
        let inside = &mut images[self.frame.first_image..];
        let has_own_captions =
            self.frame.first_caption < self.waiting.len() || inside.iter().any(|image| image.caption.is_some());
        let is_caption = is_after_image && !has_own_captions && !text.is_blank(self.span);
        if is_caption {
            inside.iter_mut().for_each(|image| image.in_caption = true);
        }
        is_caption
    }

    fn add_caption(&mut self) {
        self.waiting.truncate(self.frame.first_caption);
        // A caption of several pages is something else.
        let is_short = self.span.end - self.span.start <= self.config.max_caption_chars.saturating_mul(8);
        if is_short && !self.findings.text.is_blank(self.span) && self.waiting.len() < self.config.max_images {
            self.waiting.push(Caption {
                rank: self.frame.caption_rank,
                span: self.span,
            });
            add_span(&mut self.findings.captions_and_code, self.span);
        }
    }

    /// Hands the captions inside a figure to its images.
    fn give_captions(&mut self, wrapper: Wrapper) {
        let inside = &self.waiting[self.frame.first_caption..];
        let best = inside.iter().map(|caption| caption.rank).max().unwrap_or_default();
        let best: Vec<Caption> = inside.iter().copied().filter(|caption| caption.rank == best).collect();
        let inside = self.frame.first_image..self.findings.images.len();
        let images: Vec<usize> = inside.filter(|&at| !self.findings.images[at].in_caption).collect();
        if let [image] = images[..] {
            let spans = best.iter().map(|caption| caption.span);
            let words = self.findings.text.first_of(spans, self.config.max_caption_chars);
            self.caption(image, best[0].rank, words);
        } else if let ([caption], Wrapper::Figure) = (&best[..], wrapper) {
            for image in images {
                self.caption_from(image, *caption);
            }
        } else {
            self.waiting.truncate(self.frame.first_caption);
            self.waiting.extend(best);
            self.pair_neighbors();
        }
    }

    /// Pairs captions with the images beside them, where nothing stands between and the order leaves no doubt: always the
    /// image first, or always the caption.
    fn pair_neighbors(&mut self) {
        let mut taken = Vec::new();
        for run in self.runs() {
            let is_image = |item: &Item| !matches!(item, Item::Caption(_));
            let alternates = run.windows(2).all(|pair| is_image(&pair[0]) != is_image(&pair[1]));
            if alternates && run.len().is_multiple_of(2) {
                for pair in run.chunks_exact(2) {
                    if let [Item::Image(image), Item::Caption(caption)] | [Item::Caption(caption), Item::Image(image)] =
                        *pair
                    {
                        self.caption_from(image, self.waiting[caption]);
                        taken.push(caption);
                    }
                }
            }
        }
        let mut at = 0;
        self.waiting.retain(|_| {
            at += 1;
            taken.binary_search(&(at - 1)).is_err()
        });
    }

    /// Images without captions and waiting captions inside an element, parted wherever text stands between.
    fn runs(&self) -> Vec<Vec<Item>> {
        let is_bare = |at: &usize| self.findings.images[*at].caption.is_none() && !self.findings.images[*at].in_caption;
        let images = (self.frame.first_image..self.findings.images.len()).filter(is_bare);
        let images = images.map(|at| (self.findings.images[at].at, Item::Image(at)));
        let captions = self.frame.first_caption..self.waiting.len();
        let captions = captions.map(|at| (self.waiting[at].span, Item::Caption(at)));
        let mut items: Vec<(Span, Item)> = images.chain(captions).collect();
        items.sort_by_key(|(span, _)| *span);
        let mut runs: Vec<Vec<Item>> = Vec::new();
        let mut end = self.frame.text_start;
        for (span, item) in items {
            let gap = Span::new(end, span.start);
            match runs.last_mut().filter(|_| self.findings.text.is_blank(gap)) {
                Some(run) => run.push(item),
                None if self.findings.text.ends_with_media(gap) => runs.push(vec![Item::Media, item]),
                None => runs.push(vec![item]),
            }
            end = span.end;
        }
        runs
    }

    /// Tables whose cells caption each other.
    fn caption_cells(&mut self) {
        let cells = self.cells.get(self.frame.first_cell..).unwrap_or_default();
        let max_chars = self.config.max_side_caption_chars;
        for (image, words) in captioned(cells, &self.findings.text, max_chars) {
            if image.first_image < image.end_image && !self.findings.text.is_blank(words.span) {
                let (rank, span) = (BY_PLACE, words.span);
                self.caption_from(image.first_image, Caption { rank, span });
                add_span(&mut self.findings.captions_and_code, span);
            }
        }
    }

    /// A table of images with few words is a figure.
    fn number_table(&mut self) {
        let images = &mut self.findings.images[self.frame.first_image..];
        let max_bytes = images.len().saturating_mul(2 * self.config.max_side_caption_chars);
        let is_figure = 2 <= images.len()
            && self.span.end - self.span.start <= max_bytes
            && images.iter().all(|image| image.figure.is_none());
        if is_figure {
            for image in images {
                image.figure = Some(self.findings.figures);
            }
            self.findings.figures += 1;
        }
    }

    /// The text under or above an image, in the forms where it can hardly be anything but its caption.
    fn caption_by_place(&mut self) {
        let images = self.frame.first_image..self.findings.images.len();
        let inside = &self.findings.images[images.clone()];
        let all_bare = inside.iter().all(|image| image.caption.is_none());
        let gap = Span::new(inside[0].at.end, inside[inside.len() - 1].at.start);
        let stand_together = images.len() == 1 || self.findings.text.is_blank(gap);
        let Some((place, is_settled)) = self.place_of_words().filter(|_| all_bare && stand_together) else {
            return;
        };
        let words = self.findings.text.short(place, self.config.max_side_caption_chars);
        if let Some(words) = words.filter(|words| is_settled || names_a_figure(words)) {
            for image in images {
                self.caption(image, BY_PLACE, words.clone());
            }
            add_span(&mut self.findings.captions_and_code, place);
        }
    }

    /// The place under or above the images of the element that can be their caption; true if the element leaves no doubt.
    fn place_of_words(&self) -> Option<(Span, bool)> {
        let Findings { text, images, .. } = &*self.findings;
        let images = &images[self.frame.first_image..];
        let before = Span::new(self.span.start, images[0].at.start);
        let after = Span::new(images[images.len() - 1].at.end, self.span.end);
        let (is_blank_before, is_blank_after) = (text.is_blank(before), text.is_blank(after));
        let is_under = is_blank_before && !is_blank_after && text.begins_with_break(after);
        let is_above = is_blank_after && !is_blank_before && text.ends_with_break(before);
        let frame = self.frame;
        let has_one = images.len() == 1;
        let is_figure = frame.wrapper == Wrapper::Figure || 0 < frame.caption_rank;
        let holds_both = has_one && (is_figure || matches!(frame.tag, Tag::Td | Tag::Th));
        let is_settled = holds_both || (has_one && (frame.is_centered || frame.is_gallery));
        let can_be_named = has_one && matches!(frame.tag, Tag::P | Tag::Div | Tag::Center | Tag::Dd | Tag::Li);
        if is_under && (is_settled || can_be_named || frame.is_centered) {
            Some((after, is_settled))
        } else {
            (is_above && holds_both).then_some((before, is_settled))
        }
    }

    fn caption_from(&mut self, image: usize, caption: Caption) {
        let words = self.findings.text.tidy(caption.span, self.config.max_caption_chars);
        self.caption(image, caption.rank, words);
    }

    /// Sets the caption of an image that has none yet.
    fn caption(&mut self, image: usize, rank: u8, words: String) {
        if let Some(image) = self.findings.images.get_mut(image)
            && image.caption.is_none()
            && !image.in_caption
            && !words.is_empty()
        {
            image.caption = Some((rank, words));
        }
    }
}

/// True if a text says itself that it is about a figure: "Fig. 3: ...".
fn names_a_figure(words: &str) -> bool {
    let first = words
        .split(|char: char| !char.is_alphabetic())
        .next()
        .unwrap_or_default();
    matches!(
        first.to_lowercase().as_str(),
        "fig" | "figure" | "abb" | "abbildung" | "figura" | "illustration"
    ) && first.len() < words.trim_end().len()
}
