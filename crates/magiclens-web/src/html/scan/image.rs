//! Images as they come: their sources, words and links, and two forms of one image made one.

use super::super::class::{each_word, hints};
use super::super::sources::{Rank, Source, is_image_file, read_srcset};
use super::super::tag::Attribute;
use super::super::text::{Span, tidy};
use super::super::tokens::Attributes;
use super::style::{Hidden, hidden, pixels, style_pixels};
use super::{Found, MAX_NAMES, Scan};
use crate::page::Region;

impl Scan<'_> {
    pub(super) fn start_link(&mut self, attributes: &Attributes) {
        self.end_link();
        self.statements.read_link(attributes);
        if let Some(href) = attributes.get(Attribute::Href) {
            self.link.is_open = true;
            self.link.href.clear();
            self.link.href.extend_from_slice(href.trim_ascii());
            self.link.caption.clear();
            self.link
                .caption
                .extend_from_slice(attributes.get(Attribute::DataCaption).unwrap_or_default());
            self.link.first_image = self.images.len();
        }
    }

    pub(super) fn end_link(&mut self) {
        if !std::mem::take(&mut self.link.is_open) || self.images.len() <= self.link.first_image {
            return;
        }
        let min_px = self.config.min_linked_px;
        let images = &mut self.images[self.link.first_image..];
        let href = &self.link.href;
        if href.len() <= self.config.max_url_bytes {
            for image in images.iter_mut() {
                image.link = String::from_utf8_lossy(href).into_owned();
            }
        }
        // A link around several images leads to at most one of them.
        if let [image] = images {
            let is_symbol = image
                .width
                .zip(image.height)
                .is_some_and(|(width, height)| width.max(height) < min_px);
            if is_image_file(href) && !is_symbol {
                image
                    .sources
                    .extend(Source::new(href, Rank::Link, self.config.max_url_bytes));
            }
            if image.caption.is_none() {
                image.caption = stated_caption(&self.link.caption, self.config.max_caption_chars);
            }
        }
    }

    pub(super) fn add_source(&mut self, attributes: &Attributes) {
        if 0 < self.open.images {
            let media_type = attributes.get(Attribute::Type).unwrap_or_default();
            for attribute in [Attribute::Srcset, Attribute::LazySrcset] {
                let srcset = attributes.get(attribute).unwrap_or_default();
                read_srcset(
                    srcset,
                    media_type,
                    None,
                    self.config.max_url_bytes,
                    &mut self.image_sources,
                );
            }
        }
    }

    pub(super) fn add_image(&mut self, attributes: &Attributes, is_amp: bool) {
        let mut sources = std::mem::take(&mut self.image_sources);
        if 0 < self.open.hiding_images || self.config.max_images <= self.images.len() {
            return;
        }
        let mut found = Found {
            heading: self.heading,
            region: self.frames.last().map_or(Region::Main, |frame| frame.region),
            noscript: 0 < self.open.noscripts,
            lazy: is_amp,
            width: attributes.get(Attribute::Width).and_then(pixels),
            height: attributes.get(Attribute::Height).and_then(pixels),
            ..Found::default()
        };
        let style = attributes.get(Attribute::Style).unwrap_or_default();
        found.width = found.width.or_else(|| style_pixels(style, b"width"));
        found.height = found.height.or_else(|| style_pixels(style, b"height"));
        if found.width.is_some_and(|width| width <= 1) && found.height.is_some_and(|height| height <= 1) {
            // It counts visitors.
            return;
        }
        let max_bytes = self.config.max_url_bytes;
        let max_chars = self.config.max_label_chars;
        let words = |value: &[u8]| tidy(&String::from_utf8_lossy(value), max_chars);
        let mut has_plain = false;
        for (attribute, value) in attributes.iter() {
            match attribute {
                Attribute::Src => {
                    let source = Source::new(value, Rank::Plain, max_bytes);
                    has_plain = source.as_ref().is_some_and(|source| !source.is_placeholder());
                    sources.extend(source);
                }
                Attribute::LazySource => {
                    found.lazy = true;
                    sources.extend(Source::new(value, Rank::Lazy, max_bytes));
                }
                Attribute::FullSource => sources.extend(Source::new(value, Rank::Full, max_bytes)),
                Attribute::Srcset | Attribute::LazySrcset => {
                    found.lazy |= attribute == Attribute::LazySrcset;
                    read_srcset(value, b"", found.width, max_bytes, &mut sources);
                }
                Attribute::Alt => found.alt = words(value),
                Attribute::Title => found.title = words(value),
                Attribute::DataCaption => found.caption = stated_caption(value, self.config.max_caption_chars),
                Attribute::Class => found.lazy |= hints(value).lazy,
                Attribute::Hidden | Attribute::AriaHidden | Attribute::Style
                    if hidden(attribute, value) != Hidden::No =>
                {
                    return;
                }
                _ => {}
            }
        }
        found.lazy |= !has_plain;
        found.sources = sources;
        found.marks = self.marks(attributes);
        self.place(found);
    }

    /// Puts an image on the page, unless it is another form of the one just before it.
    fn place(&mut self, mut found: Found) {
        let here = Span {
            start: self.images.last().map_or(0, |last| last.at.end),
            end: self.text.len(),
        };
        let is_adjacent = self.text.is_blank(here);
        if let Some(last) = self.images.last_mut().filter(|_| is_adjacent) {
            if found.noscript && last.lazy && !last.noscript {
                // What a browser without scripts shows in the place of a lazy image.
                last.lazy = false;
                last.sources
                    .extend(found.sources.into_iter().map(|source| source.at_least(Rank::Lazy)));
                if last.alt.is_empty() {
                    last.alt = found.alt;
                }
                return;
            }
            if last.noscript && found.lazy && !found.noscript {
                // The same the other way round: the fallback stands first.
                let sources = std::mem::take(&mut last.sources);
                found
                    .sources
                    .extend(sources.into_iter().map(|source| source.at_least(Rank::Lazy)));
                found.lazy = false;
                if found.alt.is_empty() {
                    found.alt = std::mem::take(&mut last.alt);
                }
                self.images.pop();
                let place = self.images.len();
                for frame in self.frames.iter_mut().rev() {
                    frame.first_image = frame.first_image.min(place);
                }
                self.link.first_image = self.link.first_image.min(place);
            }
        }
        if 0 < self.open.figures {
            let figure = *self.figure.get_or_insert_with(|| {
                self.figures += 1;
                self.figures - 1
            });
            found.figure = Some(figure);
        }
        found.at = self.text.push_image();
        self.images.push(found);
    }

    /// Words of the names of the image and the elements nearest around it.
    fn marks(&self, attributes: &Attributes) -> Vec<String> {
        let mut marks: Vec<String> = Vec::new();
        let mut add = |names: &[u8]| {
            for name in names.split(u8::is_ascii_whitespace) {
                each_word(name, |word| {
                    if marks.len() < self.config.max_marks && !marks.iter().any(|mark| mark.as_bytes() == word) {
                        marks.push(String::from_utf8_lossy(word).into_owned());
                    }
                });
            }
        };
        for attribute in [Attribute::Class, Attribute::Id] {
            let names = attributes.get(attribute).unwrap_or_default();
            add(&names[..names.len().min(MAX_NAMES)]);
        }
        let mut end = self.names.len();
        for frame in self.frames.iter().rev().take(self.config.mark_ancestors) {
            add(&self.names[frame.names_start..end]);
            end = frame.names_start;
        }
        marks
    }
}

/// A caption in an attribute, if it is plain text.
fn stated_caption(value: &[u8], max_chars: usize) -> Option<(u8, String)> {
    let caption = tidy(&String::from_utf8_lossy(value), max_chars);
    (!caption.is_empty() && !caption.contains('<')).then_some((2, caption))
}
