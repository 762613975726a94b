//! Which words are the caption of which picture.
//!
//! Captions come from elements that say so (`<figcaption>`, classes) and, in a few settled forms, from the text beside a
//! single picture. An element that ends decides about the captions and pictures inside it; a caption that nothing claims is
//! nobody's. In doubt a picture gets none: instructions are made of captions, and a wrong one is worse than a missing one.

use super::class::Wrapper;
use super::scan::{Frame, Scan, add_span};
use super::tag::Tag;
use super::text::Span;
use crate::page::Region;

/// A caption that waits for its picture.
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
    first_picture: usize,
    end_picture: usize,
}

/// What a row of cells holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Row {
    /// In each cell one picture, or nothing.
    Pictures,
    /// In each cell a few words, or nothing.
    Words,
    Other,
}

/// Pictures and captions in the order of the page.
#[derive(Clone, Copy)]
enum Item {
    Picture(usize),
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
        let has_pictures = frame.first_picture < self.pictures.len();
        if matches!(frame.tag, Tag::Td | Tag::Th) {
            self.cells.truncate(frame.first_cell);
            if frame.row != 0 && self.cells.len() < MAX_CELLS {
                let (first_picture, end_picture) = (frame.first_picture, self.pictures.len());
                self.cells.push(Cell {
                    row: frame.row,
                    span,
                    first_picture,
                    end_picture,
                });
            }
        }
        if 0 < frame.caption_rank && (!has_pictures || self.is_caption_with_symbols(frame, span)) {
            self.add_caption(frame, span);
            return;
        }
        // What is named a caption and holds pictures is around a picture and its caption.
        let wrapper = if 0 < frame.caption_rank {
            frame.wrapper.max(Wrapper::Thumb)
        } else {
            frame.wrapper
        };
        if has_pictures {
            if frame.first_caption < self.captions.len() {
                match wrapper {
                    Wrapper::None => self.pair_neighbours(frame),
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

    /// Whether an element named a caption is one although pictures stand in it: symbols in the text about the picture before.
    fn is_caption_with_symbols(&mut self, frame: &Frame, span: Span) -> bool {
        let wrapper = self.frames.iter().rfind(|outer| outer.wrapper != Wrapper::None);
        let is_after_picture = wrapper.is_some_and(|outer| {
            let before = self
                .pictures
                .get(outer.first_picture..frame.first_picture)
                .unwrap_or_default();
            before.iter().any(|picture| !picture.in_caption)
        });
        let has_own_captions = frame.first_caption < self.captions.len()
            || self.pictures[frame.first_picture..]
                .iter()
                .any(|picture| picture.caption.is_some());
        let is_caption = is_after_picture && !has_own_captions && !self.text.is_blank(span);
        for picture in self.pictures[frame.first_picture..].iter_mut().filter(|_| is_caption) {
            picture.in_caption = true;
        }
        is_caption
    }

    fn add_caption(&mut self, frame: &Frame, span: Span) {
        self.captions.truncate(frame.first_caption);
        // A caption of several pages is something else.
        let is_short = span.end - span.start <= self.config.max_caption_chars.saturating_mul(8);
        if is_short && !self.text.is_blank(span) && self.captions.len() < self.config.max_pictures {
            self.captions.push(Caption {
                rank: frame.caption_rank,
                span,
            });
            add_span(&mut self.captions_and_code, span);
        }
    }

    /// Hands the captions inside a figure to its pictures.
    fn give_captions(&mut self, frame: &Frame, wrapper: Wrapper) {
        let inside = &self.captions[frame.first_caption..];
        let best = inside.iter().map(|caption| caption.rank).max().unwrap_or_default();
        let best: Vec<Caption> = inside.iter().copied().filter(|caption| caption.rank == best).collect();
        let inside = frame.first_picture..self.pictures.len();
        let pictures: Vec<usize> = inside.filter(|&at| !self.pictures[at].in_caption).collect();
        if let [picture] = pictures[..] {
            let spans = best.iter().map(|caption| caption.span);
            let words = self.text.first_of(spans, self.config.max_caption_chars);
            self.caption(picture, best[0].rank, words);
        } else if let ([caption], Wrapper::Figure) = (&best[..], wrapper) {
            for picture in pictures {
                self.caption_from(picture, *caption);
            }
        } else {
            self.captions.truncate(frame.first_caption);
            self.captions.extend(best);
            self.pair_neighbours(frame);
        }
    }

    /// Pairs captions with the pictures beside them, where nothing stands between and the order leaves no doubt: always the
    /// picture first, or always the caption.
    fn pair_neighbours(&mut self, frame: &Frame) {
        let mut taken = Vec::new();
        for run in self.runs(frame) {
            let is_picture = |item: &Item| !matches!(item, Item::Caption(_));
            let alternates = run.windows(2).all(|pair| is_picture(&pair[0]) != is_picture(&pair[1]));
            if alternates && run.len().is_multiple_of(2) {
                for pair in run.chunks_exact(2) {
                    if let [Item::Picture(picture), Item::Caption(caption)]
                    | [Item::Caption(caption), Item::Picture(picture)] = *pair
                    {
                        self.caption_from(picture, self.captions[caption]);
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

    /// Pictures without captions and waiting captions inside an element, parted wherever text stands between.
    fn runs(&self, frame: &Frame) -> Vec<Vec<Item>> {
        let is_bare = |at: &usize| self.pictures[*at].caption.is_none() && !self.pictures[*at].in_caption;
        let pictures = (frame.first_picture..self.pictures.len()).filter(is_bare);
        let mut items: Vec<(Span, Item)> = pictures.map(|at| (self.pictures[at].at, Item::Picture(at))).collect();
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
        for (picture, words) in self
            .columns(&rows)
            .or_else(|| self.labelled_rows(&rows))
            .unwrap_or_default()
        {
            if picture.first_picture < picture.end_picture && !self.text.is_blank(words.span) {
                self.caption_from(
                    picture.first_picture,
                    Caption {
                        rank: BY_PLACE,
                        span: words.span,
                    },
                );
                add_span(&mut self.captions_and_code, words.span);
            }
        }
    }

    /// Rows of pictures above or below rows of as many words: each picture takes the words of its column.
    fn columns(&self, rows: &[&[Cell]]) -> Option<Vec<(Cell, Cell)>> {
        let kinds: Vec<Row> = rows.iter().map(|row| self.kind_of_row(row)).collect();
        let is_regular = kinds.len().is_multiple_of(2)
            && !kinds.contains(&Row::Other)
            && kinds.windows(2).all(|pair| pair[0] != pair[1])
            && rows.iter().all(|row| row.len() == rows[0].len());
        is_regular.then(|| {
            let pairs = rows.chunks_exact(2).zip(kinds.chunks_exact(2));
            let sorted = pairs.map(|(pair, kind)| {
                if kind[0] == Row::Pictures {
                    (pair[0], pair[1])
                } else {
                    (pair[1], pair[0])
                }
            });
            sorted
                .flat_map(|(pictures, words)| pictures.iter().copied().zip(words.iter().copied()))
                .collect()
        })
    }

    /// Rows of a name and a picture, perhaps under a row of words.
    fn labelled_rows(&self, rows: &[&[Cell]]) -> Option<Vec<(Cell, Cell)>> {
        let body = match rows {
            [head, body @ ..] if self.kind_of_row(head) == Row::Words => body,
            _ => rows,
        };
        let label = |row: &&[Cell]| match **row {
            [words, picture]
                if self.kind_of_row(&[words]) == Row::Words && self.kind_of_row(&[picture]) == Row::Pictures =>
            {
                Some((picture, words))
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
        let pictures = |cell: &Cell| cell.end_picture - cell.first_picture;
        let is_blank = |cell: &Cell| self.text.is_blank(cell.span);
        let is_short = |cell: &Cell| self.short_words(cell.span).is_some() || is_blank(cell);
        if row.iter().all(|cell| pictures(cell) <= 1 && is_blank(cell)) && row.iter().any(|cell| pictures(cell) == 1) {
            Row::Pictures
        } else if row.iter().all(|cell| pictures(cell) == 0 && is_short(cell)) && !row.iter().all(is_blank) {
            Row::Words
        } else {
            Row::Other
        }
    }

    /// A table of pictures with few words is a figure.
    fn number_table(&mut self, frame: &Frame, span: Span) {
        let pictures = &mut self.pictures[frame.first_picture..];
        let max_bytes = pictures.len().saturating_mul(2 * self.config.max_side_caption_chars);
        let is_figure = 2 <= pictures.len()
            && span.end - span.start <= max_bytes
            && pictures.iter().all(|picture| picture.figure.is_none());
        if is_figure {
            for picture in pictures {
                picture.figure = Some(self.figures);
            }
            self.figures += 1;
        }
    }

    /// The text under or above a picture, in the forms where it can hardly be anything but its caption.
    fn caption_by_place(&mut self, frame: &Frame, span: Span) {
        let pictures = frame.first_picture..self.pictures.len();
        let (first, last) = (self.pictures[pictures.start].at, self.pictures[pictures.end - 1].at);
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
        let has_one = pictures.len() == 1;
        let place = match (is_under, is_above) {
            (true, _) if has_one && (is_figure || is_cell || frame.is_centred || frame.is_gallery) => after,
            (_, true) if has_one && (is_figure || is_cell) => before,
            (true, _) if (can_be_named && has_one) || frame.is_centred => after,
            _ => return,
        };
        let is_settled = has_one && (is_figure || is_cell || frame.is_centred || frame.is_gallery);
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
        let all_bare = pictures.clone().all(|at| self.pictures[at].caption.is_none());
        if stand_together && all_bare {
            for picture in pictures {
                self.caption(picture, BY_PLACE, words.clone());
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

    fn caption_from(&mut self, picture: usize, caption: Caption) {
        let words = self.text.tidy(caption.span, self.config.max_caption_chars);
        self.caption(picture, caption.rank, words);
    }

    /// Sets the caption of a picture that has none yet.
    fn caption(&mut self, picture: usize, rank: u8, words: String) {
        if let Some(picture) = self.pictures.get_mut(picture)
            && picture.caption.is_none()
            && !picture.in_caption
            && !words.is_empty()
        {
            picture.caption = Some((rank, words));
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
