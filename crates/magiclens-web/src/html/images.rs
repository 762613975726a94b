//! Images as they come: their sources, words and links, and two forms of one image made one.

use super::class::hints;
use super::config::HtmlConfig;
use super::findings::{Findings, FoundImage};
use super::sources::{Rank, Source, is_image_file, read_srcset};
use super::stack::Stack;
use super::style::{Hidden, hidden, pixels, style_pixels};
use super::tag::Attribute;
use super::text::{Span, tidy};
use super::tokens::Attributes;

/// Reads `<img>`, and `<source>` and `<a>` around it.
pub(super) struct Images<'a> {
    config: &'a HtmlConfig,
    link: Link,
    /// From the `<source>` elements of the open `<picture>`.
    sources: Vec<Source>,
    /// The number of the outermost open figure, once an image stands in it.
    figure: Option<u32>,
}

/// The open `<a>`.
#[derive(Debug, Default)]
struct Link {
    is_open: bool,
    href: Vec<u8>,
    caption: Vec<u8>,
    first_image: usize,
}

impl<'a> Images<'a> {
    pub(super) fn new(config: &'a HtmlConfig) -> Self {
        Self {
            config,
            link: Link::default(),
            sources: Vec::new(),
            figure: None,
        }
    }

    pub(super) fn is_in_link(&self) -> bool {
        self.link.is_open
    }

    /// The outermost figure ends.
    pub(super) fn leave_figure(&mut self) {
        self.figure = None;
    }

    /// The `<picture>` ends.
    pub(super) fn clear_sources(&mut self) {
        self.sources.clear();
    }

    pub(super) fn start_link(&mut self, attributes: &Attributes, findings: &mut Findings) {
        self.end_link(findings);
        if let Some(href) = attributes.get(Attribute::Href) {
            self.link = Link {
                is_open: true,
                href: href.trim_ascii().to_vec(),
                caption: attributes.get(Attribute::DataCaption).unwrap_or_default().to_vec(),
                first_image: findings.images.len(),
            };
        }
    }

    pub(super) fn end_link(&mut self, findings: &mut Findings) {
        if !std::mem::take(&mut self.link.is_open) || findings.images.len() <= self.link.first_image {
            return;
        }
        let images = &mut findings.images[self.link.first_image..];
        let (href, max_bytes) = (&self.link.href, self.config.max_url_bytes);
        if href.len() <= max_bytes {
            for image in images.iter_mut() {
                image.link = String::from_utf8_lossy(href).into_owned();
            }
        }
        // A link around several images leads to at most one of them.
        let [image] = images else { return };
        let size = image.width.zip(image.height);
        let is_symbol = size.is_some_and(|(width, height)| width.max(height) < self.config.min_linked_px);
        if is_image_file(href) && !is_symbol {
            image.sources.extend(Source::new(href, Rank::Link, max_bytes));
        }
        if image.caption.is_none() {
            image.caption = stated_caption(&self.link.caption, self.config.max_caption_chars);
        }
    }

    /// A `<source>` in a `<picture>`.
    pub(super) fn add_source(&mut self, attributes: &Attributes) {
        let media_type = attributes.get(Attribute::Type).unwrap_or_default();
        for attribute in [Attribute::Srcset, Attribute::LazySrcset] {
            let srcset = attributes.get(attribute).unwrap_or_default();
            read_srcset(srcset, media_type, None, self.config.max_url_bytes, &mut self.sources);
        }
    }

    /// An `<img>` or `<amp-img>`; `heading` is the place of its heading.
    pub(super) fn add(
        &mut self,
        attributes: &Attributes,
        is_amp: bool,
        heading: usize,
        stack: &mut Stack,
        findings: &mut Findings,
    ) {
        let sources = std::mem::take(&mut self.sources);
        if 0 < stack.open.hiding_images || self.config.max_images <= findings.images.len() {
            return;
        }
        let style = attributes.get(Attribute::Style).unwrap_or_default();
        let size = |attribute, property| {
            let stated = attributes.get(attribute).and_then(pixels);
            stated.or_else(|| style_pixels(style, property))
        };
        let image = FoundImage {
            sources,
            heading,
            region: stack.region(),
            noscript: 0 < stack.open.noscripts,
            lazy: is_amp,
            width: size(Attribute::Width, b"width"),
            height: size(Attribute::Height, b"height"),
            ..FoundImage::default()
        };
        let counts_visitors =
            image.width.is_some_and(|width| width <= 1) && image.height.is_some_and(|height| height <= 1);
        if counts_visitors {
            return;
        }
        if let Some(mut image) = self.read(attributes, image) {
            image.marks = stack.marks(attributes, self.config);
            self.place(image, stack, findings);
        }
    }

    /// The image with what its attributes say; none if they hide it.
    fn read(&self, attributes: &Attributes, mut image: FoundImage) -> Option<FoundImage> {
        let max_bytes = self.config.max_url_bytes;
        let words = |value: &[u8]| tidy(&String::from_utf8_lossy(value), self.config.max_label_chars);
        let mut has_plain = false;
        for (attribute, value) in attributes.iter() {
            match attribute {
                Attribute::Src => {
                    let source = Source::new(value, Rank::Plain, max_bytes);
                    has_plain = source.as_ref().is_some_and(|source| !source.is_placeholder());
                    image.sources.extend(source);
                }
                Attribute::LazySource => {
                    image.lazy = true;
                    image.sources.extend(Source::new(value, Rank::Lazy, max_bytes));
                }
                Attribute::FullSource => image.sources.extend(Source::new(value, Rank::Full, max_bytes)),
                Attribute::Srcset | Attribute::LazySrcset => {
                    image.lazy |= attribute == Attribute::LazySrcset;
                    read_srcset(value, b"", image.width, max_bytes, &mut image.sources);
                }
                Attribute::Alt => image.alt = words(value),
                Attribute::Title => image.title = words(value),
                Attribute::DataCaption => image.caption = stated_caption(value, self.config.max_caption_chars),
                Attribute::Class => image.lazy |= hints(value).lazy,
                _ if hidden(attribute, value) != Hidden::No => return None,
                _ => {}
            }
        }
        image.lazy |= !has_plain;
        Some(image)
    }

    /// Puts an image on the page, unless it is another form of the one just before it.
    fn place(&mut self, mut image: FoundImage, stack: &mut Stack, findings: &mut Findings) {
        let end = findings.images.last().map_or(0, |last| last.at.end);
        let is_adjacent = findings.text.is_blank(Span::new(end, findings.text.len()));
        if let Some(last) = findings.images.last_mut().filter(|_| is_adjacent) {
            if image.noscript && last.lazy && !last.noscript {
                // What a browser without scripts shows in the place of a lazy image.
                last.take_fallback(image);
                return;
            }
            if last.noscript && image.lazy && !image.noscript {
                // The same the other way round: the fallback stands first.
                image.take_fallback(std::mem::take(last));
                findings.images.pop();
                let place = findings.images.len();
                for frame in &mut stack.frames {
                    frame.first_image = frame.first_image.min(place);
                }
                self.link.first_image = self.link.first_image.min(place);
            }
        }
        if 0 < stack.open.figures {
            image.figure = Some(*self.figure.get_or_insert_with(|| {
                findings.figures += 1;
                findings.figures - 1
            }));
        }
        image.at = findings.text.push_image();
        findings.images.push(image);
    }
}

impl FoundImage {
    /// Takes over the sources and words of its form for browsers without scripts.
    fn take_fallback(&mut self, fallback: Self) {
        let sources = fallback.sources.into_iter();
        self.sources.extend(sources.map(|source| source.at_least(Rank::Lazy)));
        self.lazy = false;
        if self.alt.is_empty() {
            self.alt = fallback.alt;
        }
    }
}

/// A caption in an attribute, if it is plain text.
fn stated_caption(value: &[u8], max_chars: usize) -> Option<(u8, String)> {
    let caption = tidy(&String::from_utf8_lossy(value), max_chars);
    (!caption.is_empty() && !caption.contains('<')).then_some((2, caption))
}
