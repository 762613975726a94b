//! The stack of open elements: their kinds, their names, and which end tags reach which of them.

use super::class::{Hints, Wrapper, each_word, hints, role_region};
use super::config::HtmlConfig;
use super::findings::MainLevel;
use super::style::{Hidden, hidden, is_centered};
use super::tag::{ACTS, Attribute, BOUND, INLINE, PART, SILENT, Tag};
use super::tokens::Attributes;
use crate::page::Region;

/// Most bytes of the names of one element that are kept.
const MAX_NAMES: usize = 256;

/// An open element.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Frame {
    pub(super) tag: Tag,
    pub(super) region: Region,
    pub(super) wrapper: Wrapper,
    /// Certainty that it is a caption; 0 if it is none.
    pub(super) caption_rank: u8,
    pub(super) is_centered: bool,
    pub(super) is_gallery: bool,
    pub(super) text_start: usize,
    pub(super) first_image: usize,
    pub(super) first_caption: usize,
    pub(super) first_cell: usize,
    /// The row of a table that it is or stands in.
    pub(super) row: usize,
    /// It does nothing but hold others.
    pub(super) is_plain: bool,
    pub(super) is_card: bool,
    pub(super) is_silent: bool,
    pub(super) hides_images: bool,
    pub(super) main: Option<MainLevel>,
    pub(super) names_start: usize,
    pub(super) first_heading: usize,
    pub(super) heading: usize,
}

/// Numbers of open elements, by kind.
#[derive(Debug, Default)]
pub(super) struct Open {
    pub(super) silent: usize,
    pub(super) hiding_images: usize,
    pub(super) noscripts: usize,
    pub(super) foreign: usize,
    pub(super) paragraphs: usize,
    pub(super) images: usize,
    pub(super) figures: usize,
    pub(super) sections: usize,
    pub(super) mains: [usize; 3],
}

/// The open elements, outermost first.
#[derive(Debug, Default)]
pub(super) struct Stack {
    pub(super) frames: Vec<Frame>,
    pub(super) open: Open,
    /// Names of the open elements, one after the other.
    names: Vec<u8>,
    rows: usize,
}

impl Frame {
    /// An element by its tag alone; it begins at the start of everything.
    fn new(tag: Tag, parent: Option<&Self>) -> Self {
        let gallery = parent.filter(|parent| parent.is_gallery).map(|parent| parent.tag);
        Self {
            tag,
            region: parent.map_or(Region::Main, |parent| parent.region),
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
            is_centered: tag == Tag::Center,
            is_gallery: tag == Tag::Li && gallery.is_some(),
            is_card: matches!(tag, Tag::Td | Tag::Th | Tag::Dt | Tag::Dd | Tag::A),
            is_silent: tag.has(SILENT),
            hides_images: tag.hides_images(),
            main: match tag {
                Tag::Main => Some(MainLevel::Main),
                Tag::Article => Some(MainLevel::Article),
                _ => None,
            },
            ..Self::default()
        }
    }

    /// True if it does nothing but hold others in a region.
    fn holds_only(&self, region: Region) -> bool {
        !self.tag.has(ACTS)
            && self.region == region
            && !self.is_silent
            && !self.hides_images
            && self.wrapper == Wrapper::None
            && self.main.is_none()
            && self.caption_rank == 0
    }

    fn read_attribute(&mut self, attribute: Attribute, value: &[u8]) {
        match attribute {
            Attribute::Align => self.is_centered |= self.tag == Tag::Div && value.eq_ignore_ascii_case(b"center"),
            Attribute::Hidden | Attribute::AriaHidden | Attribute::Style => {
                self.is_centered |= self.tag == Tag::Div && is_centered(attribute, value);
                let hidden = hidden(attribute, value);
                self.is_silent |= hidden == Hidden::All;
                self.hides_images |= hidden != Hidden::No;
            }
            Attribute::Role => match value.trim_ascii() {
                b"main" => self.main = Some(MainLevel::Main),
                b"article" => self.main = Some(MainLevel::Article),
                b"figure" => self.wrapper = Wrapper::Figure,
                _ => {}
            },
            _ => {}
        }
    }

    /// Applies the hints of its names; titles are captions in figures.
    fn apply(&mut self, hints: Hints, in_figure: bool) {
        let holds_blocks = matches!(
            self.tag,
            Tag::Html | Tag::Body | Tag::Main | Tag::Article | Tag::Section | Tag::Form
        );
        if !holds_blocks {
            self.wrapper = self.wrapper.max(hints.wrapper);
            let is_list = matches!(self.tag, Tag::Ul | Tag::Ol | Tag::Dl | Tag::Table | Tag::Nav | Tag::A);
            if hints.caption && !is_list {
                self.caption_rank = self.caption_rank.max(2);
            }
            if hints.title && in_figure && matches!(self.tag, Tag::P | Tag::Div | Tag::Span) {
                self.caption_rank = self.caption_rank.max(1);
            }
        }
        if matches!(self.tag, Tag::Ul | Tag::Ol | Tag::Dl) {
            self.is_gallery = hints.gallery;
        }
        self.is_card |= hints.card;
        self.is_silent |= hints.silent || (hints.reference && self.tag == Tag::Sup);
        if hints.main && self.main.is_none() && matches!(self.tag, Tag::Div | Tag::Section | Tag::Td | Tag::Table) {
            self.main = Some(MainLevel::Named);
        }
    }
}

impl Stack {
    pub(super) fn last(&self) -> Option<&Frame> {
        self.frames.last()
    }

    /// The region of the innermost open element.
    pub(super) fn region(&self) -> Region {
        self.last().map_or(Region::Main, |frame| frame.region)
    }

    /// True inside an `<svg>`.
    pub(super) fn is_foreign(&self) -> bool {
        0 < self.open.foreign && self.last().is_some_and(|frame| frame.tag == Tag::Svg)
    }

    pub(super) fn is_in_head(&self) -> bool {
        self.last().is_some_and(|frame| frame.tag == Tag::Head)
    }

    /// The open item of the same list.
    pub(super) fn sibling(&self, siblings: &[Tag]) -> Option<usize> {
        let is_bound = |tag: Tag| !tag.has(INLINE) && !matches!(tag, Tag::Address | Tag::Div | Tag::P);
        self.innermost(|tag| siblings.contains(&tag), is_bound)
    }

    /// The open part of the same table.
    pub(super) fn table_part(&self, parts: &[Tag]) -> Option<usize> {
        let is_bound = |tag: Tag| matches!(tag, Tag::Table | Tag::Template);
        self.innermost(|tag| parts.contains(&tag), is_bound)
    }

    /// The innermost such element that an end tag here can reach.
    pub(super) fn reachable(&self, tag: Tag) -> Option<usize> {
        let is_inline = tag.has(INLINE) && !matches!(tag, Tag::Noscript | Tag::Image | Tag::Svg | Tag::Template);
        let is_bound = |other: Tag| match other {
            Tag::Table | Tag::Template => true,
            _ if tag.has(PART) => false,
            _ if is_inline => !other.has(INLINE),
            _ => other.has(BOUND),
        };
        self.innermost(|other| other == tag, is_bound)
    }

    /// The innermost such element, unless a bound stands in between.
    fn innermost(&self, is_such: impl Fn(Tag) -> bool, is_bound: impl Fn(Tag) -> bool) -> Option<usize> {
        let mut frames = self.frames.iter();
        let at = frames.rposition(|frame| is_such(frame.tag) || is_bound(frame.tag));
        at.filter(|&at| is_such(self.frames[at].tag))
    }

    /// The frame of an element that starts; its places are for the caller to fill in.
    pub(super) fn frame(&mut self, tag: Tag, attributes: &Attributes) -> Frame {
        let region = self.region();
        let mut frame = Frame {
            row: self.row_of(tag),
            names_start: self.names.len(),
            ..Frame::new(tag, self.last())
        };
        let is_root = matches!(tag, Tag::Body | Tag::Head);
        let mut names = Hints::default();
        if !attributes.is_empty() && !is_root {
            names = self.read_attributes(attributes, &mut frame);
        }
        self.set_region(&mut frame, attributes, names);
        frame.is_plain = frame.holds_only(region);
        frame
    }

    pub(super) fn push(&mut self, frame: Frame) {
        if !frame.is_plain {
            self.count(&frame, true);
        }
        self.frames.push(frame);
    }

    pub(super) fn pop(&mut self) -> Option<Frame> {
        let frame = self.frames.pop()?;
        self.names.truncate(frame.names_start);
        if !frame.is_plain {
            self.count(&frame, false);
        }
        Some(frame)
    }

    /// Words of the names of the image and the elements nearest around it.
    pub(super) fn marks(&self, attributes: &Attributes, config: &HtmlConfig) -> Vec<String> {
        let mut marks: Vec<String> = Vec::new();
        let mut add = |names: &[u8]| {
            for name in names.split(u8::is_ascii_whitespace) {
                each_word(name, |word| {
                    if marks.len() < config.max_marks && !marks.iter().any(|mark| mark.as_bytes() == word) {
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
        for frame in self.frames.iter().rev().take(config.mark_ancestors) {
            add(&self.names[frame.names_start..end]);
            end = frame.names_start;
        }
        marks
    }

    /// Reads the attributes of an element that starts, and keeps its names.
    fn read_attributes(&mut self, attributes: &Attributes, frame: &mut Frame) -> Hints {
        let mut both = Hints::default();
        for (attribute, value) in attributes.iter() {
            if matches!(attribute, Attribute::Class | Attribute::Id) {
                both = both.and(hints(value));
                let room = MAX_NAMES.saturating_sub(self.names.len() - frame.names_start);
                self.names.extend_from_slice(&value[..value.len().min(room)]);
                self.names.push(b' ');
            } else {
                frame.read_attribute(attribute, value);
            }
        }
        frame.apply(both, 0 < self.open.figures);
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
                .last()
                .filter(|parent| parent.tag == Tag::Tr)
                .map_or(0, |parent| parent.row),
            _ => 0,
        }
    }
}
