//! One pass over the tags of a page, with a small stack of the elements that are open and no tree.
//!
//! All visible text goes into one buffer; headings, captions, parts of the page and images are places in it. What a
//! caption belongs to is decided when the element around both ends (see [`super::captions`]).

mod image;
mod style;

use self::style::{Hidden, hidden, is_centerd};
use super::HtmlConfig;
use super::captions::{Caption, Cell};
use super::class::{Hints, Wrapper, hints, role_region};
use super::sources::Source;
use super::statements::Statements;
use super::tag::{Attribute, Tag};
use super::text::{Span, Text, is_blank, tidy};
use super::tokens::Attributes;
use crate::page::Region;

/// What has been found so far.
pub(super) struct Scan<'a> {
    pub(super) config: &'a HtmlConfig,
    pub(super) text: Text,
    pub(super) images: Vec<Found>,
    pub(super) headings: Vec<Heading>,
    pub(super) statements: Statements,
    /// Captions and code: no running text.
    pub(super) captions_and_code: Vec<Span>,
    pub(super) code: Vec<Span>,
    /// Text outside the main content.
    pub(super) aside: Vec<Span>,
    pub(super) mains: Vec<MainPart>,
    pub(super) frames: Vec<Frame>,
    /// Captions whose image is not known yet.
    pub(super) captions: Vec<Caption>,
    pub(super) cells: Vec<Cell>,
    pub(super) figures: u32,
    /// Names of the open elements, one after the other.
    names: Vec<u8>,
    /// Open elements beyond the depth limit.
    overflow: usize,
    /// The place of the last heading in `headings`, plus one; 0 before the first.
    heading: usize,
    open: Open,
    link: Link,
    /// From the `<source>` elements of the open `<image>`.
    image_sources: Vec<Source>,
    /// The number of the outermost open figure, once an image stands in it.
    figure: Option<u32>,
    rows: usize,
    capture: Capture,
    captured: Vec<u8>,
}

/// An image as the pass found it.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) sources: Vec<Source>,
    pub(super) alt: String,
    pub(super) title: String,
    /// Its caption, and how surely it is one.
    pub(super) caption: Option<(u8, String)>,
    /// Where it links to, as written.
    pub(super) link: String,
    /// Where it stands in the text.
    pub(super) at: Span,
    /// As `Scan::heading`.
    pub(super) heading: usize,
    pub(super) region: Region,
    pub(super) figure: Option<u32>,
    pub(super) marks: Vec<String>,
    pub(super) width: Option<u32>,
    pub(super) height: Option<u32>,
    /// A symbol in the caption of another image.
    pub(super) in_caption: bool,
    /// Waits for a script to be shown.
    lazy: bool,
    /// Stands in a `<noscript>`.
    noscript: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Heading {
    pub(super) level: u8,
    pub(super) span: Span,
    pub(super) region: Region,
}

/// A part of the page that says it is the main content.
#[derive(Clone, Copy, Debug)]
pub(super) struct MainPart {
    pub(super) level: MainLevel,
    pub(super) span: Span,
}

/// How surely a part is the main content, the surest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MainLevel {
    /// `<main>`, `role=main`.
    Main,
    /// `<article>`.
    Article,
    /// By its id or class.
    Named,
}

/// An open element.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) tag: Tag,
    pub(super) region: Region,
    pub(super) wrapper: Wrapper,
    /// How surely it is a caption; 0 if it is none.
    pub(super) caption_rank: u8,
    pub(super) is_centerd: bool,
    pub(super) is_gallery: bool,
    pub(super) text_start: usize,
    pub(super) first_image: usize,
    pub(super) first_caption: usize,
    pub(super) first_cell: usize,
    /// The row of a table that it is or stands in.
    pub(super) row: usize,
    /// It does nothing but hold others.
    is_plain: bool,
    is_card: bool,
    is_silent: bool,
    hides_images: bool,
    main: Option<MainLevel>,
    names_start: usize,
    first_heading: usize,
    heading: usize,
}

/// How many elements of a kind are open.
#[derive(Debug, Default)]
struct Open {
    silent: usize,
    hiding_images: usize,
    noscripts: usize,
    foreign: usize,
    paragraphs: usize,
    images: usize,
    figures: usize,
    sections: usize,
    mains: [usize; 3],
}

/// The open `<a>`.
#[derive(Debug, Default)]
struct Link {
    is_open: bool,
    href: Vec<u8>,
    caption: Vec<u8>,
    first_image: usize,
}

/// Where text goes instead of the page's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Capture {
    Off,
    Title,
    JsonLd,
}

/// Most bytes of a captured `<title>` or script: JSON-LD of that length is a database, not a statement.
const MAX_CAPTURED: usize = 256 << 10;
/// Most bytes of the names of one element that are kept.
const MAX_NAMES: usize = 256;

impl<'a> Scan<'a> {
    /// For a page of some bytes.
    pub(super) fn new(config: &'a HtmlConfig, bytes: usize) -> Self {
        Self {
            config,
            // Tags take most of a page.
            text: Text::with_capacity(bytes / 3),
            images: Vec::new(),
            headings: Vec::new(),
            statements: Statements::default(),
            captions_and_code: Vec::new(),
            code: Vec::new(),
            aside: Vec::new(),
            mains: Vec::new(),
            frames: Vec::new(),
            captions: Vec::new(),
            cells: Vec::new(),
            figures: 0,
            names: Vec::new(),
            overflow: 0,
            heading: 0,
            open: Open::default(),
            link: Link::default(),
            image_sources: Vec::new(),
            figure: None,
            rows: 0,
            capture: Capture::Off,
            captured: Vec::new(),
        }
    }

    /// Whether the tokenizer is inside an `<svg>`, where other rules hold.
    pub(super) fn is_foreign(&self) -> bool {
        0 < self.open.foreign && self.frames.last().is_some_and(|frame| frame.tag == Tag::Svg)
    }

    pub(super) fn text(&mut self, text: &[u8]) {
        if self.capture != Capture::Off {
            let room = MAX_CAPTURED - self.captured.len();
            self.captured.extend_from_slice(&text[..text.len().min(room)]);
            return;
        }
        if 0 < self.open.silent && self.frames.last().is_some_and(|frame| frame.tag == Tag::Head) && !is_blank(text) {
            // Nobody wrote `</head>` or `<body>`.
            self.pop();
        }
        // The mark of links that lead away is no text.
        if self.open.silent == 0 && !(self.link.is_open && text == b"[*]") {
            self.text.push(text);
        }
    }

    /// Elements that cannot be drawn end an open drawing, as in a browser.
    fn leave_drawing(&mut self, tag: Tag) -> bool {
        if tag.ends_drawing() {
            while self.is_foreign() {
                self.pop();
            }
        }
        tag.ends_drawing()
    }

    pub(super) fn start(&mut self, tag: Tag, attributes: &Attributes, self_closing: bool) {
        if self.is_foreign() && !self.leave_drawing(tag) {
            // Drawings have no text of ours. Only HTML inside them, or a drawing in a drawing, is worth a place.
            let opens = tag == Tag::Svg || tag == Tag::from_name(b"foreignobject");
            if opens && !self_closing {
                self.push(tag, attributes);
            }
            return;
        }
        if !tag.belongs_in_head() && self.frames.last().is_some_and(|frame| frame.tag == Tag::Head) {
            self.pop();
        }
        self.end_implied(tag);
        if !tag.is_inline() && self.open.silent == 0 {
            self.text.break_block();
        }
        match tag {
            Tag::Img => self.add_image(attributes, false),
            Tag::AmpImg => self.add_image(attributes, true),
            Tag::Source => self.add_source(attributes),
            Tag::Html => return self.statements.read_html(attributes),
            Tag::Body => {
                self.close(Tag::Head);
                self.push_once(tag, attributes);
                return;
            }
            Tag::Meta => self.statements.read_meta(attributes),
            Tag::Link => self.statements.read_link(attributes),
            Tag::Base => self.statements.read_base(attributes),
            Tag::Title if self.statements.title.is_empty() && self.open.foreign == 0 => {
                self.start_capture(Capture::Title)
            }
            Tag::Script if attributes.get(Attribute::Type).is_some_and(is_json_ld) => {
                self.start_capture(Capture::JsonLd)
            }
            Tag::A => self.start_link(attributes),
            _ => {}
        }
        if tag.is_other_media() && self.open.silent == 0 {
            self.text.push_media();
        }
        if !tag.is_void() {
            self.push(tag, attributes);
        }
    }

    pub(super) fn end(&mut self, tag: Tag) {
        if self.is_foreign() && tag != Tag::Svg && !self.leave_drawing(tag) {
            return;
        }
        if !tag.is_inline() && self.open.silent == 0 {
            self.text.break_block();
        }
        match tag {
            // Nothing comes after them but what belongs into them.
            Tag::Html | Tag::Body => return,
            Tag::A => self.end_link(),
            Tag::Title | Tag::Script => self.end_capture(),
            _ => {}
        }
        if 0 < self.overflow && !tag.is_void() && !tag.is_raw_text() {
            self.overflow -= 1;
        } else {
            self.close(tag);
        }
    }

    /// Ends all that is open at the end of the page.
    pub(super) fn finish(&mut self) {
        self.end_link();
        while !self.frames.is_empty() {
            self.pop();
        }
        self.end_capture();
    }

    /// The elements that a start tag ends without an end tag.
    fn end_implied(&mut self, tag: Tag) {
        if tag.closes_paragraph() && 0 < self.open.paragraphs {
            self.close(Tag::P);
        }
        match tag {
            Tag::Li => self.close_sibling(&[Tag::Li]),
            Tag::Dt | Tag::Dd => self.close_sibling(&[Tag::Dt, Tag::Dd]),
            Tag::Td | Tag::Th => self.close_in_table(&[Tag::Td, Tag::Th]),
            Tag::Tr => self.close_in_table(&[Tag::Tr]),
            Tag::Tbody | Tag::Thead | Tag::Tfoot => self.close_in_table(&[Tag::Tbody, Tag::Thead, Tag::Tfoot]),
            Tag::H1 | Tag::H2 | Tag::H3 | Tag::H4 | Tag::H5 | Tag::H6
                if self
                    .frames
                    .last()
                    .is_some_and(|frame| frame.tag.heading_level().is_some()) =>
            {
                self.pop();
            }
            _ => {}
        }
    }

    /// Ends an open item of the same list.
    fn close_sibling(&mut self, siblings: &[Tag]) {
        let at = self.frames.iter().rposition(|frame| {
            siblings.contains(&frame.tag)
                || (!frame.tag.is_inline() && !matches!(frame.tag, Tag::Address | Tag::Div | Tag::P))
        });
        self.pop_from(at.filter(|&at| siblings.contains(&self.frames[at].tag)));
    }

    /// Ends an open part of the same table.
    fn close_in_table(&mut self, parts: &[Tag]) {
        let at = self
            .frames
            .iter()
            .rposition(|frame| parts.contains(&frame.tag) || matches!(frame.tag, Tag::Table | Tag::Template));
        self.pop_from(at.filter(|&at| parts.contains(&self.frames[at].tag)));
    }

    /// Ends the innermost such element that an end tag here can reach, and all within it.
    fn close(&mut self, tag: Tag) {
        let is_part = tag.is_table_part();
        let at = self.frames.iter().rposition(|frame| {
            let bounds = match frame.tag {
                Tag::Table | Tag::Template => true,
                _ if is_part => false,
                other if tag.is_inline() && !matches!(tag, Tag::Noscript | Tag::Image | Tag::Svg | Tag::Template) => {
                    !other.is_inline()
                }
                other => other.bounds_scope(),
            };
            frame.tag == tag || bounds
        });
        self.pop_from(at.filter(|&at| self.frames[at].tag == tag));
    }

    fn pop_from(&mut self, at: Option<usize>) {
        let Some(at) = at else { return };
        while at < self.frames.len() {
            self.pop();
        }
    }

    fn push_once(&mut self, tag: Tag, attributes: &Attributes) {
        if !self.frames.iter().any(|frame| frame.tag == tag) {
            self.push(tag, attributes);
        }
    }

    fn push(&mut self, tag: Tag, attributes: &Attributes) {
        if self.config.max_depth <= self.frames.len() && !tag.is_raw_text() {
            match self.frames.last() {
                // Unclosed `<font>` and the like pile up without meaning anything.
                Some(last) if last.tag.is_inline() && !last.is_silent => self.pop(),
                _ => {
                    self.overflow += 1;
                    return;
                }
            }
        }
        let row = self.row_of(tag);
        let parent = self.frames.last();
        let region = parent.map_or(Region::Main, |parent| parent.region);
        let gallery = parent.filter(|parent| parent.is_gallery).map(|parent| parent.tag);
        let is_root = matches!(tag, Tag::Body | Tag::Head);
        let mut frame = Frame {
            tag,
            region,
            wrapper: if tag == Tag::Figure {
                Wrapper::Figure
            } else {
                Wrapper::None
            },
            caption_rank: match tag {
                Tag::Figcaption => 3,
                Tag::Caption => 1,
                Tag::Dd if gallery == Some(Tag::Dl) => 2,
                _ => 0,
            },
            is_centerd: tag == Tag::Center,
            is_gallery: tag == Tag::Li && gallery.is_some(),
            is_plain: false,
            is_card: matches!(tag, Tag::Td | Tag::Th | Tag::Dt | Tag::Dd | Tag::A),
            is_silent: tag.is_silent(),
            hides_images: tag.hides_images(),
            main: match tag {
                Tag::Main => Some(MainLevel::Main),
                Tag::Article => Some(MainLevel::Article),
                _ => None,
            },
            text_start: self.text.len(),
            first_image: self.images.len(),
            first_caption: self.captions.len(),
            first_cell: self.cells.len(),
            row,
            names_start: self.names.len(),
            first_heading: self.headings.len(),
            heading: self.heading,
        };
        let mut names = Hints::default();
        if !attributes.is_empty() && !is_root {
            names = self.read_attributes(attributes, &mut frame);
        }
        self.set_region(&mut frame, attributes, names);
        frame.is_plain = !tag.acts_at_its_end()
            && frame.region == region
            && !frame.is_silent
            && !frame.hides_images
            && frame.wrapper == Wrapper::None
            && frame.main.is_none()
            && frame.caption_rank == 0;
        if !frame.is_plain {
            self.count(&frame, true);
        }
        self.frames.push(frame);
    }

    /// What the attributes say about an element that opens.
    fn read_attributes(&mut self, attributes: &Attributes, frame: &mut Frame) -> Hints {
        let mut both = Hints::default();
        for (attribute, value) in attributes.iter() {
            match attribute {
                Attribute::Class | Attribute::Id => {
                    both = both.and(hints(value));
                    let room = MAX_NAMES.saturating_sub(self.names.len() - frame.names_start);
                    self.names.extend_from_slice(&value[..value.len().min(room)]);
                    self.names.push(b' ');
                }
                Attribute::Align => frame.is_centerd |= frame.tag == Tag::Div && value.eq_ignore_ascii_case(b"center"),
                Attribute::Hidden | Attribute::AriaHidden | Attribute::Style => {
                    frame.is_centerd |= frame.tag == Tag::Div && is_centerd(attribute, value);
                    let hidden = hidden(attribute, value);
                    frame.is_silent |= hidden == Hidden::All;
                    frame.hides_images |= hidden != Hidden::No;
                }
                Attribute::Role => match value.trim_ascii() {
                    b"main" => frame.main = Some(MainLevel::Main),
                    b"article" => frame.main = Some(MainLevel::Article),
                    b"figure" => frame.wrapper = Wrapper::Figure,
                    _ => {}
                },
                _ => {}
            }
        }
        let holds_blocks = matches!(
            frame.tag,
            Tag::Html | Tag::Body | Tag::Main | Tag::Article | Tag::Section | Tag::Form
        );
        if !holds_blocks {
            frame.wrapper = frame.wrapper.max(both.wrapper);
            let is_list = matches!(frame.tag, Tag::Ul | Tag::Ol | Tag::Dl | Tag::Table | Tag::Nav | Tag::A);
            if both.caption && !is_list {
                frame.caption_rank = frame.caption_rank.max(2);
            }
            if both.title && 0 < self.open.figures && matches!(frame.tag, Tag::P | Tag::Div | Tag::Span) {
                frame.caption_rank = frame.caption_rank.max(1);
            }
        }
        if matches!(frame.tag, Tag::Ul | Tag::Ol | Tag::Dl) {
            frame.is_gallery = both.gallery;
        }
        frame.is_card |= both.card;
        frame.is_silent |= both.silent || (both.reference && frame.tag == Tag::Sup);
        if both.main && frame.main.is_none() && matches!(frame.tag, Tag::Div | Tag::Section | Tag::Td | Tag::Table) {
            frame.main = Some(MainLevel::Named);
        }
        both
    }

    /// The part of the page that an element stands in or is.
    fn set_region(&self, frame: &mut Frame, attributes: &Attributes, names: Hints) {
        if frame.main == Some(MainLevel::Main) {
            frame.region = Region::Main;
            return;
        }
        let in_content = 0 < self.open.mains[0] + self.open.mains[1] + self.open.sections;
        let by_tag = match frame.tag {
            Tag::Nav => Some(Region::Navigation),
            Tag::Aside => Some(Region::Aside),
            Tag::Footer => Some(Region::Footer),
            Tag::Header => Some(Region::Header),
            _ => None,
        };
        let by_role = || attributes.get(Attribute::Role).and_then(role_region);
        let can_be_part = matches!(
            frame.tag,
            Tag::Div | Tag::Section | Tag::Ul | Tag::Ol | Tag::Table | Tag::Td | Tag::Form | Tag::P | Tag::Dl
        );
        let by_name = || names.region.filter(|_| can_be_part && frame.region == Region::Main);
        match by_tag.or_else(by_role).or_else(by_name) {
            // The head of an article or a section is content.
            Some(Region::Header) if in_content => {}
            Some(region) => frame.region = region,
            None => {}
        }
        if frame.region != Region::Main && frame.main == Some(MainLevel::Named) {
            frame.main = None;
        }
    }

    fn count(&mut self, frame: &Frame, is_start: bool) {
        let open = &mut self.open;
        let counts = [
            (&mut open.silent, frame.is_silent),
            (&mut open.hiding_images, frame.hides_images),
            (&mut open.noscripts, frame.tag == Tag::Noscript),
            (&mut open.foreign, frame.tag == Tag::Svg),
            (&mut open.paragraphs, frame.tag == Tag::P),
            (&mut open.images, frame.tag == Tag::Image),
            (&mut open.sections, frame.tag == Tag::Section),
            (&mut open.figures, frame.wrapper != Wrapper::None),
        ];
        for (count, _) in counts.into_iter().filter(|(_, is_such)| *is_such) {
            *count = if is_start { *count + 1 } else { *count - 1 };
        }
        if let Some(level) = frame.main {
            let count = &mut open.mains[level as usize];
            *count = if is_start { *count + 1 } else { *count - 1 };
        }
    }

    fn row_of(&mut self, tag: Tag) -> usize {
        match tag {
            Tag::Tr => {
                self.rows += 1;
                self.rows
            }
            Tag::Td | Tag::Th => self
                .frames
                .last()
                .map_or(0, |parent| if parent.tag == Tag::Tr { parent.row } else { 0 }),
            _ => 0,
        }
    }

    fn pop(&mut self) {
        let Some(frame) = self.frames.pop() else { return };
        self.names.truncate(frame.names_start);
        let is_empty = frame.first_image == self.images.len()
            && frame.first_caption == self.captions.len()
            && frame.first_heading == self.headings.len();
        if frame.is_plain && is_empty {
            return;
        }
        if !frame.is_plain {
            self.count(&frame, false);
        }
        let span = Span {
            start: frame.text_start,
            end: self.text.len(),
        };
        match frame.tag {
            Tag::Title | Tag::Script => self.end_capture(),
            Tag::A => self.end_link(),
            Tag::Image => self.image_sources.clear(),
            Tag::Pre => {
                add_span(&mut self.code, span);
                add_span(&mut self.captions_and_code, span);
            }
            _ => {}
        }
        self.end_captions(&frame, span);
        self.end_heading(&frame, span);
        let outer = self.frames.last().map_or(Region::Main, |parent| parent.region);
        if frame.region != Region::Main && outer == Region::Main {
            add_span(&mut self.aside, span);
        }
        if let Some(level) = frame.main
            && self.open.mains[level as usize] == 0
        {
            self.mains.push(MainPart { level, span });
        }
        if frame.wrapper != Wrapper::None && self.open.figures == 0 {
            self.figure = None;
        }
    }

    fn end_heading(&mut self, frame: &Frame, span: Span) {
        if let Some(level) = frame.tag.heading_level() {
            if !self.text.is_blank(span) {
                self.headings.push(Heading {
                    level,
                    span,
                    region: frame.region,
                });
                self.heading = self.headings.len();
            }
            return;
        }
        let outer = self.frames.last().map_or(Region::Main, |parent| parent.region);
        let is_own_part = frame.region != outer && frame.region != Region::Header;
        let is_scope = matches!(
            frame.tag,
            Tag::Section | Tag::Article | Tag::Li | Tag::Figure | Tag::Aside | Tag::Nav | Tag::Details
        );
        if is_scope || is_own_part || self.has_heading_below_image(frame) {
            self.heading = frame.heading;
        }
    }

    /// Whether a heading in the element names the image above it, as on a card, and nothing that comes later.
    fn has_heading_below_image(&self, frame: &Frame) -> bool {
        let Some(first) = self.headings.get(frame.first_heading) else {
            return false;
        };
        let Some(image) = self.images.get(frame.first_image) else {
            return false;
        };
        let is_single = self.headings.len() - frame.first_heading == 1 && self.images.len() - frame.first_image == 1;
        let can_be_card = frame.is_card || (is_single && frame.tag == Tag::Div && 0 < frame.heading);
        can_be_card && 1 < first.level && image.at.end <= first.span.start
    }

    fn start_capture(&mut self, capture: Capture) {
        self.capture = capture;
        self.captured.clear();
    }

    fn end_capture(&mut self) {
        match std::mem::replace(&mut self.capture, Capture::Off) {
            Capture::Off => {}
            Capture::Title => {
                let title = String::from_utf8_lossy(&self.captured);
                self.statements.title = tidy(&title, self.config.max_label_chars);
            }
            Capture::JsonLd => self.statements.read_json_ld(&self.captured),
        }
    }
}

/// Adds a place, unless nothing stands there.
pub(super) fn add_span(spans: &mut Vec<Span>, span: Span) {
    if span.start < span.end {
        spans.push(span);
    }
}

fn is_json_ld(media_type: &[u8]) -> bool {
    media_type.trim_ascii().eq_ignore_ascii_case(b"application/ld+json")
}
