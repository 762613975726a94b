//! Which words are the caption of which image.
//!
//! Captions come from elements that say so (`<figcaption>`, classes) and, in a few settled forms, from the text beside a
//! single image. An element that ends decides about the captions and images inside it; a caption that nothing claims is
//! nobody's. In doubt an image gets none: instructions are made of captions, and a wrong one is worse than a missing one.

use super::class::Wrapper;
use super::scan::{Frame, Scan, add_span};
use super::tag::Tag;
use super::text::Span;
use crate::page::Region;

/// A caption that waits for its image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caption {
    /// 3: `<figcaption>`; 2: by its class; 1: a title.
    rank: u8,
    span: Span,
}

/// A cell of an open table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    row: usize,
    span: Span,
    first_image: usize,
    end_image: usize,
}

/// What a row of cells holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Row {
    /// In each cell one image, or nothing.
    Images,
    /// In each cell a few words, or nothing.
    Words,
    Other,
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

impl Scan<'_> {
    /// An element ends: `span` is its text.
    pub(super) fn end_captions(&mut self, frame: &Frame, span: Span) {
        let has_images = frame.first_image < self.images.len();
        if matches!(frame.tag, Tag::Td | Tag::Th) {
            self.cells.truncate(frame.first_cell);
            if frame.row != 0 && self.cells.len() < MAX_CELLS {
                let (first_image, end_image) = (frame.first_image, self.images.len());
                self.cells.push(Cell {
                    row: frame.row,
                    span,
                    first_image,
                    end_image,
                });
            }
        }
        if 0 < frame.caption_rank && (!has_images || self.is_caption_with_symbols(frame, span)) {
            self.add_caption(frame, span);
            return;
        }
        // What is named a caption and holds images is around an image and its caption.
        let wrapper = if 0 < frame.caption_rank {
            frame.wrapper.max(Wrapper::Thumb)
        } else {
            frame.wrapper
        };
        if has_images {
            if frame.first_caption < self.captions.len() {
                match wrapper {
                    Wrapper::None => self.pair_neighbors(frame),
                    _ => self.give_captions(frame, wrapper),
                }
            }
            if frame.region == Region::Main {
                if frame.tag == Tag::Table {
                    self.caption_cells(frame);
                    self.number_table(frame, span);
                }
                self.caption_by_place(frame, span);
            }
        }
        let is_bound = matches!(
            frame.tag,
            Tag::Section | Tag::Article | Tag::Main | Tag::Aside | Tag::Nav | Tag::Header | Tag::Footer | Tag::Body
        );
        if wrapper != Wrapper::None || is_bound {
            self.captions.truncate(frame.first_caption);
        }
        if frame.tag == Tag::Table {
            self.cells.truncate(frame.first_cell);
        }
    }

    /// Whether an element named a caption is one although images stand in it: symbols in the text about the image before.
    fn is_caption_with_symbols(&mut self, frame: &Frame, span: Span) -> bool {
        let wrapper = self.frames.iter().rfind(|outer| outer.wrapper != Wrapper::None);
        let is_after_image = wrapper.is_some_and(|outer| {
            let before = self
                .images
                .get(outer.first_image..frame.first_image)
                .unwrap_or_default();
            before.iter().any(|image| !image.in_caption)
        });
        let has_own_captions = frame.first_caption < self.captions.len()
            || self.images[frame.first_image..]
                .iter()
                .any(|image| image.caption.is_some());
        let is_caption = is_after_image && !has_own_captions && !self.text.is_blank(span);
        for image in self.images[frame.first_image..].iter_mut().filter(|_| is_caption) {
            image.in_caption = true;
        }
        is_caption
    }

    fn add_caption(&mut self, frame: &Frame, span: Span) {
        self.captions.truncate(frame.first_caption);
        // A caption of several pages is something else.
        let is_short = span.end - span.start <= self.config.max_caption_chars.saturating_mul(8);
        if is_short && !self.text.is_blank(span) && self.captions.len() < self.config.max_images {
            self.captions.push(Caption {
                rank: frame.caption_rank,
                span,
            });
            add_span(&mut self.captions_and_code, span);
        }
    }

    /// Hands the captions inside a figure to its images.
    fn give_captions(&mut self, frame: &Frame, wrapper: Wrapper) {
        let inside = &self.captions[frame.first_caption..];
        let best = inside.iter().map(|caption| caption.rank).max().unwrap_or_default();
        let best: Vec<Caption> = inside.iter().copied().filter(|caption| caption.rank == best).collect();
        let inside = frame.first_image..self.images.len();
        let images: Vec<usize> = inside.filter(|&at| !self.images[at].in_caption).collect();
        if let [image] = images[..] {
            let spans = best.iter().map(|caption| caption.span);
            let words = self.text.first_of(spans, self.config.max_caption_chars);
            self.caption(image, best[0].rank, words);
        } else if let ([caption], Wrapper::Figure) = (&best[..], wrapper) {
            for image in images {
                self.caption_from(image, *caption);
            }
        } else {
            self.captions.truncate(frame.first_caption);
            self.captions.extend(best);
            self.pair_neighbors(frame);
        }
    }

    /// Pairs captions with the images beside them, where nothing stands between and the order leaves no doubt: always the
    /// image first, or always the caption.
    fn pair_neighbors(&mut self, frame: &Frame) {
        let mut taken = Vec::new();
        for run in self.runs(frame) {
            let is_image = |item: &Item| !matches!(item, Item::Caption(_));
            let alternates = run.windows(2).all(|pair| is_image(&pair[0]) != is_image(&pair[1]));
            if alternates && run.len().is_multiple_of(2) {
                for pair in run.chunks_exact(2) {
                    if let [Item::Image(image), Item::Caption(caption)] | [Item::Caption(caption), Item::Image(image)] =
                        *pair
                    {
                        self.caption_from(image, self.captions[caption]);
                        taken.push(caption);
                    }
                }
            }
        }
        let mut at = 0;
        self.captions.retain(|_| {
            at += 1;
            taken.binary_search(&(at - 1)).is_err()
        });
    }

    /// Images without captions and waiting captions inside an element, parted wherever text stands between.
    fn runs(&self, frame: &Frame) -> Vec<Vec<Item>> {
        let is_bare = |at: &usize| self.images[*at].caption.is_none() && !self.images[*at].in_caption;
        let images = (frame.first_image..self.images.len()).filter(is_bare);
        let mut items: Vec<(Span, Item)> = images.map(|at| (self.images[at].at, Item::Image(at))).collect();
        items.extend((frame.first_caption..self.captions.len()).map(|at| (self.captions[at].span, Item::Caption(at))));
        items.sort_by_key(|(span, _)| *span);
        let mut runs: Vec<Vec<Item>> = Vec::new();
        let mut end = frame.text_start;
        for (span, item) in items {
            let gap = Span {
                start: end,
                end: span.start,
            };
            match runs.last_mut().filter(|_| self.text.is_blank(gap)) {
                Some(run) => run.push(item),
                None if self.text.ends_with_media(gap) => runs.push(vec![Item::Media, item]),
                None => runs.push(vec![item]),
            }
            end = span.end;
        }
        runs
    }

    /// Tables whose cells caption each other.
    fn caption_cells(&mut self, frame: &Frame) {
        let cells: Vec<Cell> = self.cells.get(frame.first_cell..).unwrap_or_default().to_vec();
        let rows: Vec<&[Cell]> = cells.chunk_by(|a, b| a.row == b.row).collect();
        for (image, words) in self
            .columns(&rows)
            .or_else(|| self.labeled_rows(&rows))
            .unwrap_or_default()
        {
            if image.first_image < image.end_image && !self.text.is_blank(words.span) {
                self.caption_from(
                    image.first_image,
                    Caption {
                        rank: BY_PLACE,
                        span: words.span,
                    },
                );
                add_span(&mut self.captions_and_code, words.span);
            }
        }
    }

    /// Rows of images above or below rows of as many words: each image takes the words of its column.
    fn columns(&self, rows: &[&[Cell]]) -> Option<Vec<(Cell, Cell)>> {
        let kinds: Vec<Row> = rows.iter().map(|row| self.kind_of_row(row)).collect();
        let is_regular = kinds.len().is_multiple_of(2)
            && !kinds.contains(&Row::Other)
            && kinds.windows(2).all(|pair| pair[0] != pair[1])
            && rows.iter().all(|row| row.len() == rows[0].len());
        is_regular.then(|| {
            let pairs = rows.chunks_exact(2).zip(kinds.chunks_exact(2));
            let sorted = pairs.map(|(pair, kind)| {
                if kind[0] == Row::Images {
                    (pair[0], pair[1])
                } else {
                    (pair[1], pair[0])
                }
            });
            sorted
                .flat_map(|(images, words)| images.iter().copied().zip(words.iter().copied()))
                .collect()
        })
    }

    /// Rows of a name and an image, perhaps under a row of words.
    fn labeled_rows(&self, rows: &[&[Cell]]) -> Option<Vec<(Cell, Cell)>> {
        let body = match rows {
            [head, body @ ..] if self.kind_of_row(head) == Row::Words => body,
            _ => rows,
        };
        let label = |row: &&[Cell]| match **row {
            [words, image] if self.kind_of_row(&[words]) == Row::Words && self.kind_of_row(&[image]) == Row::Images => {
                Some((image, words))
            }
            _ => None,
        };
        // A single such row may be anything.
        body.iter()
            .map(label)
            .collect::<Option<Vec<_>>>()
            .filter(|pairs| 2 <= pairs.len())
    }

    fn kind_of_row(&self, row: &[Cell]) -> Row {
        let images = |cell: &Cell| cell.end_image - cell.first_image;
        let is_blank = |cell: &Cell| self.text.is_blank(cell.span);
        let is_short = |cell: &Cell| self.short_words(cell.span).is_some() || is_blank(cell);
        if row.iter().all(|cell| images(cell) <= 1 && is_blank(cell)) && row.iter().any(|cell| images(cell) == 1) {
            Row::Images
        } else if row.iter().all(|cell| images(cell) == 0 && is_short(cell)) && !row.iter().all(is_blank) {
            Row::Words
        } else {
            Row::Other
        }
    }

    /// A table of images with few words is a figure.
    fn number_table(&mut self, frame: &Frame, span: Span) {
        let images = &mut self.images[frame.first_image..];
        let max_bytes = images.len().saturating_mul(2 * self.config.max_side_caption_chars);
        let is_figure = 2 <= images.len()
            && span.end - span.start <= max_bytes
            && images.iter().all(|image| image.figure.is_none());
        if is_figure {
            for image in images {
                image.figure = Some(self.figures);
            }
            self.figures += 1;
        }
    }

    /// The text under or above an image, in the forms where it can hardly be anything but its caption.
    fn caption_by_place(&mut self, frame: &Frame, span: Span) {
        let images = frame.first_image..self.images.len();
        let (first, last) = (self.images[images.start].at, self.images[images.end - 1].at);
        let before = Span {
            start: span.start,
            end: first.start,
        };
        let after = Span {
            start: last.end,
            end: span.end,
        };
        let (is_blank_before, is_blank_after) = (self.text.is_blank(before), self.text.is_blank(after));
        let is_under = is_blank_before && !is_blank_after && self.text.begins_with_break(after);
        let is_above = is_blank_after && !is_blank_before && self.text.ends_with_break(before);
        let is_figure = frame.wrapper == Wrapper::Figure || 0 < frame.caption_rank;
        let is_cell = matches!(frame.tag, Tag::Td | Tag::Th);
        let can_be_named = matches!(frame.tag, Tag::P | Tag::Div | Tag::Center | Tag::Dd | Tag::Li);
        let has_one = images.len() == 1;
        let place = match (is_under, is_above) {
            (true, _) if has_one && (is_figure || is_cell || frame.is_centerd || frame.is_gallery) => after,
            (_, true) if has_one && (is_figure || is_cell) => before,
            (true, _) if (can_be_named && has_one) || frame.is_centerd => after,
            _ => return,
        };
        let is_settled = has_one && (is_figure || is_cell || frame.is_centerd || frame.is_gallery);
        let stand_together = has_one
            || self.text.is_blank(Span {
                start: first.end,
                end: last.start,
            });
        let Some(words) = self
            .short_words(place)
            .filter(|words| is_settled || names_a_figure(words))
        else {
            return;
        };
        let all_bare = images.clone().all(|at| self.images[at].caption.is_none());
        if stand_together && all_bare {
            for image in images {
                self.caption(image, BY_PLACE, words.clone());
            }
            add_span(&mut self.captions_and_code, place);
        }
    }

    /// The text of a place, if there is some and it is as short as a caption.
    fn short_words(&self, span: Span) -> Option<String> {
        let max_chars = self.config.max_side_caption_chars;
        if max_chars.saturating_mul(8) < span.end - span.start {
            return None;
        }
        let words = self.text.tidy(span, usize::MAX);
        (!words.is_empty() && words.chars().count() <= max_chars).then_some(words)
    }

    fn caption_from(&mut self, image: usize, caption: Caption) {
        let words = self.text.tidy(caption.span, self.config.max_caption_chars);
        self.caption(image, caption.rank, words);
    }

    /// Sets the caption of an image that has none yet.
    fn caption(&mut self, image: usize, rank: u8, words: String) {
        if let Some(image) = self.images.get_mut(image)
            && image.caption.is_none()
            && !image.in_caption
            && !words.is_empty()
        {
            image.caption = Some((rank, words));
        }
    }
}

/// Whether a text says itself that it is about a figure: "Fig. 3: ...".
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
