//! One pass over the tags of a page, with a small stack of the elements that are open and no tree.
//!
//! All visible text goes into one buffer; headings, captions, parts of the page and images are places in it. The owner of a
//! caption is decided when the element around both ends (see [`super::captions`]).

use super::captions::Captions;
use super::class::Wrapper;
use super::config::HtmlConfig;
use super::findings::{Findings, Heading, MainPart, add_span};
use super::images::Images;
use super::stack::{Frame, Stack};
use super::tag::{Attribute, BLOCK, HEAD, HTML, INLINE, MEDIA, RAW, Tag, VOID};
use super::text::{Span, Text, is_blank, tidy};
use super::tokens::{Attributes, TokenSink, feed};
use crate::page::Region;

/// Reads a page.
pub(super) fn scan(html: &str, config: &HtmlConfig) -> Findings {
    let mut scan = Scan {
        config,
        findings: Findings {
            // Tags take most of a page.
            text: Text::with_capacity(html.len() / 3),
            ..Findings::default()
        },
        stack: Stack::default(),
        images: Images::new(config),
        captions: Captions::new(config),
        overflow: 0,
        heading: 0,
        capture: Capture::Off,
        captured: Vec::new(),
    };
    feed(html, config.max_attribute_bytes, &mut scan);
    scan.finish();
    scan.findings
}

struct Scan<'a> {
    config: &'a HtmlConfig,
    findings: Findings,
    stack: Stack,
    images: Images<'a>,
    captions: Captions<'a>,
    /// Open elements beyond the depth limit.
    overflow: usize,
    /// The place of the last heading in `findings.headings`, plus one; 0 before the first.
    heading: usize,
    capture: Capture,
    captured: Vec<u8>,
}

/// The taker of text in the place of the page's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Capture {
    Off,
    Title,
    JsonLd,
}

/// Most bytes of a captured `<title>` or script: JSON-LD of that length is a database, not a statement.
const MAX_CAPTURED: usize = 256 << 10;

impl TokenSink for Scan<'_> {
    fn is_foreign(&self) -> bool {
        self.stack.is_foreign()
    }

    fn text(&mut self, text: &[u8]) {
        if self.capture != Capture::Off {
            let room = MAX_CAPTURED - self.captured.len();
            self.captured.extend_from_slice(&text[..text.len().min(room)]);
            return;
        }
        if 0 < self.stack.open.silent && self.stack.is_in_head() && !is_blank(text) {
            // Nobody wrote `</head>` or `<body>`.
            self.pop();
        }
        // The mark of links that lead away is no text.
        if self.stack.open.silent == 0 && !(self.images.is_in_link() && text == b"[*]") {
            self.findings.text.push(text);
        }
    }

    fn start(&mut self, tag: Tag, attributes: &Attributes, self_closing: bool) {
        if self.is_foreign() && !self.leave_drawing(tag) {
            // Drawings have no text of ours. Only HTML inside them, or a drawing in a drawing, is worth a place.
            let opens = tag == Tag::Svg || tag == Tag::from_name(b"foreignobject");
            if opens && !self_closing {
                self.push(tag, attributes);
            }
            return;
        }
        if !tag.has(HEAD) && self.stack.is_in_head() {
            self.pop();
        }
        self.end_implied(tag);
        self.break_block(tag);
        self.read(tag, attributes);
        if tag.has(MEDIA) && self.stack.open.silent == 0 {
            self.findings.text.push_media();
        }
        let is_new = match tag {
            Tag::Html => false,
            Tag::Body => !self.stack.frames.iter().any(|frame| frame.tag == tag),
            _ => !tag.has(VOID),
        };
        if is_new {
            self.push(tag, attributes);
        }
    }

    fn end(&mut self, tag: Tag) {
        if self.is_foreign() && tag != Tag::Svg && !self.leave_drawing(tag) {
            return;
        }
        self.break_block(tag);
        match tag {
            // Nothing comes after them but what belongs into them.
            Tag::Html | Tag::Body => return,
            Tag::A => self.images.end_link(&mut self.findings),
            Tag::Title | Tag::Script => self.end_capture(),
            _ => {}
        }
        if 0 < self.overflow && !tag.has(VOID) && !tag.has(RAW) {
            self.overflow -= 1;
        } else {
            self.pop_from(self.stack.reachable(tag));
        }
    }
}

impl Scan<'_> {
    /// Elements that cannot be drawn end an open drawing, as in a browser.
    fn leave_drawing(&mut self, tag: Tag) -> bool {
        if tag.has(HTML) {
            while self.stack.is_foreign() {
                self.pop();
            }
        }
        tag.has(HTML)
    }

    fn break_block(&mut self, tag: Tag) {
        if !tag.has(INLINE) && self.stack.open.silent == 0 {
            self.findings.text.break_block();
        }
    }

    /// Reads what a start tag says by itself.
    fn read(&mut self, tag: Tag, attributes: &Attributes) {
        let Self {
            findings,
            stack,
            images,
            ..
        } = self;
        let statements = &mut findings.statements;
        match tag {
            Tag::Img | Tag::AmpImg => images.add(attributes, tag == Tag::AmpImg, self.heading, stack, findings),
            Tag::Source if 0 < stack.open.images => images.add_source(attributes),
            Tag::Html => statements.read_html(attributes),
            Tag::Body => self.pop_from(self.stack.reachable(Tag::Head)),
            Tag::Meta => statements.read_meta(attributes),
            Tag::Link => statements.read_link(attributes),
            Tag::Base => statements.read_base(attributes),
            Tag::Title if statements.title.is_empty() && stack.open.foreign == 0 => self.start_capture(Capture::Title),
            Tag::Script if attributes.get(Attribute::Type).is_some_and(is_json_ld) => {
                self.start_capture(Capture::JsonLd)
            }
            Tag::A => {
                statements.read_link(attributes);
                images.start_link(attributes, findings);
            }
            _ => {}
        }
    }

    /// Ends all that is open at the end of the page.
    fn finish(&mut self) {
        self.images.end_link(&mut self.findings);
        self.pop_from(Some(0));
        self.end_capture();
    }

    /// Ends the elements that a start tag ends without an end tag.
    fn end_implied(&mut self, tag: Tag) {
        if tag.has(BLOCK) && 0 < self.stack.open.paragraphs {
            self.pop_from(self.stack.reachable(Tag::P));
        }
        let stack = &self.stack;
        let ended = match tag {
            Tag::Li => stack.sibling(&[Tag::Li]),
            Tag::Dt | Tag::Dd => stack.sibling(&[Tag::Dt, Tag::Dd]),
            Tag::Td | Tag::Th => stack.table_part(&[Tag::Td, Tag::Th]),
            Tag::Tr => stack.table_part(&[Tag::Tr]),
            Tag::Tbody | Tag::Thead | Tag::Tfoot => stack.table_part(&[Tag::Tbody, Tag::Thead, Tag::Tfoot]),
            _ if tag.heading_level().is_some() => {
                let last = stack.last().filter(|frame| frame.tag.heading_level().is_some());
                last.map(|_| stack.frames.len() - 1)
            }
            _ => None,
        };
        self.pop_from(ended);
    }

    fn pop_from(&mut self, at: Option<usize>) {
        let Some(at) = at else { return };
        while at < self.stack.frames.len() {
            self.pop();
        }
    }

    fn push(&mut self, tag: Tag, attributes: &Attributes) {
        if self.config.max_depth <= self.stack.frames.len() && !tag.has(RAW) {
            match self.stack.last() {
                // Unclosed `<font>` and the like pile up without meaning anything.
                Some(last) if last.tag.has(INLINE) && !last.is_silent => self.pop(),
                _ => {
                    self.overflow += 1;
                    return;
                }
            }
        }
        let frame = Frame {
            text_start: self.findings.text.len(),
            first_image: self.findings.images.len(),
            first_caption: self.captions.waiting(),
            first_cell: self.captions.cells(),
            first_heading: self.findings.headings.len(),
            heading: self.heading,
            ..self.stack.frame(tag, attributes)
        };
        self.stack.push(frame);
    }

    fn pop(&mut self) {
        let Some(frame) = self.stack.pop() else { return };
        let is_empty = frame.first_image == self.findings.images.len()
            && frame.first_caption == self.captions.waiting()
            && frame.first_heading == self.findings.headings.len();
        if frame.is_plain && is_empty {
            return;
        }
        let span = Span::new(frame.text_start, self.findings.text.len());
        match frame.tag {
            Tag::Title | Tag::Script => self.end_capture(),
            Tag::A => self.images.end_link(&mut self.findings),
            Tag::Image => self.images.clear_sources(),
            Tag::Pre => {
                add_span(&mut self.findings.code, span);
                add_span(&mut self.findings.captions_and_code, span);
            }
            _ => {}
        }
        self.captions.end(&frame, span, &self.stack.frames, &mut self.findings);
        self.end_heading(&frame, span);
        if frame.region != Region::Main && self.stack.region() == Region::Main {
            add_span(&mut self.findings.aside, span);
        }
        if let Some(level) = frame.main
            && self.stack.open.mains[level as usize] == 0
        {
            self.findings.mains.push(MainPart { level, span });
        }
        if frame.wrapper != Wrapper::None && self.stack.open.figures == 0 {
            self.images.leave_figure();
        }
    }

    fn end_heading(&mut self, frame: &Frame, span: Span) {
        if let Some(level) = frame.tag.heading_level() {
            if !self.findings.text.is_blank(span) {
                self.findings.headings.push(Heading {
                    level,
                    span,
                    region: frame.region,
                });
                self.heading = self.findings.headings.len();
            }
            return;
        }
        let is_own_part = frame.region != self.stack.region() && frame.region != Region::Header;
        let is_scope = matches!(
            frame.tag,
            Tag::Section | Tag::Article | Tag::Li | Tag::Figure | Tag::Aside | Tag::Nav | Tag::Details
        );
        if is_scope || is_own_part || has_heading_below_image(frame, &self.findings) {
            self.heading = frame.heading;
        }
    }

    fn start_capture(&mut self, capture: Capture) {
        self.capture = capture;
        self.captured.clear();
    }

    fn end_capture(&mut self) {
        let statements = &mut self.findings.statements;
        match std::mem::replace(&mut self.capture, Capture::Off) {
            Capture::Off => {}
            Capture::Title => {
                let title = String::from_utf8_lossy(&self.captured);
                statements.title = tidy(&title, self.config.max_label_chars);
            }
            Capture::JsonLd => statements.read_json_ld(&self.captured),
        }
    }
}

/// True if a heading in the element names the image above it, as on a card, and nothing that comes later.
fn has_heading_below_image(frame: &Frame, findings: &Findings) -> bool {
    let headings = findings.headings.get(frame.first_heading..).unwrap_or_default();
    let images = findings.images.get(frame.first_image..).unwrap_or_default();
    let (Some(heading), Some(image)) = (headings.first(), images.first()) else {
        return false;
    };
    let is_single = headings.len() == 1 && images.len() == 1;
    let can_be_card = frame.is_card || (is_single && frame.tag == Tag::Div && 0 < frame.heading);
    can_be_card && 1 < heading.level && image.at.end <= heading.span.start
}

fn is_json_ld(media_type: &[u8]) -> bool {
    media_type.trim_ascii().eq_ignore_ascii_case(b"application/ld+json")
}
