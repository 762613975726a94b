//! The tokenizer's events, without an allocation each: tags with the attributes that matter, and text.

use std::convert::Infallible;

use html5gum::{Emitter, Error, State, Tokenizer};

use super::tag::{Attribute, Tag};

/// Longest name of an element or attribute that we know, and then some.
const MAX_NAME: usize = 32;

/// A taker of tags and text.
pub(super) trait TokenSink {
    fn start(&mut self, tag: Tag, attributes: &Attributes, self_closing: bool);
    fn end(&mut self, tag: Tag);
    fn text(&mut self, text: &[u8]);
    /// True inside an `<svg>`, where other rules hold.
    fn is_foreign(&self) -> bool;
}

/// Tokenizes the page and hands each tag and text to the sink.
pub(super) fn feed(html: &str, max_attribute_bytes: usize, sink: &mut impl TokenSink) {
    let emitter = TokenEmitter {
        sink,
        name: Vec::new(),
        is_end: false,
        self_closing: false,
        last_start: Vec::new(),
        attributes: Attributes {
            max_bytes: max_attribute_bytes,
            ..Attributes::default()
        },
    };
    // Reading from memory cannot fail.
    let Ok(()) = Tokenizer::new_with_emitter(html, emitter).finish();
}

/// The attributes of a start tag that matter, the first of each name.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    spans: Vec<(Attribute, usize, usize)>,
    bytes: Vec<u8>,
    max_bytes: usize,
    name: Vec<u8>,
    /// True if the value that comes is wanted.
    open: bool,
}

impl Attributes {
    /// The value of an attribute; empty if it has none.
    pub(super) fn get(&self, attribute: Attribute) -> Option<&[u8]> {
        let found = self.spans.iter().find(|(known, ..)| *known == attribute);
        found.map(|&(_, start, end)| &self.bytes[start..end])
    }

    /// All attributes, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Attribute, &[u8])> {
        let value = |&(attribute, start, end): &(_, usize, usize)| (attribute, &self.bytes[start..end]);
        self.spans.iter().map(value)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    fn clear(&mut self) {
        self.spans.clear();
        self.bytes.clear();
        self.name.clear();
        self.open = false;
    }

    /// The name is complete: decides whether the value is wanted.
    fn finish_name(&mut self) {
        if self.name.is_empty() {
            return;
        }
        let attribute = Attribute::from_name(&self.name);
        self.name.clear();
        // Several lazy-load attributes count as one name, and may all be there.
        let repeats = matches!(
            attribute,
            Attribute::FullSource | Attribute::LazySource | Attribute::LazySrcset
        );
        let known = !matches!(attribute, Attribute::Other(_));
        if known && self.spans.len() < MAX_ATTRIBUTES && (repeats || self.get(attribute).is_none()) {
            self.spans.push((attribute, self.bytes.len(), self.bytes.len()));
            self.open = true;
        }
    }

    fn push_value(&mut self, value: &[u8]) {
        self.finish_name();
        if !self.open {
            return;
        }
        let Some((attribute, start, end)) = self.spans.last_mut() else {
            return;
        };
        let room = self.max_bytes.saturating_sub(*end - *start);
        self.bytes.extend_from_slice(&value[..value.len().min(room)]);
        if room < value.len() {
            self.open = false;
            // Words can be cut, but a part of an address leads nowhere.
            if !matches!(
                attribute,
                Attribute::Alt | Attribute::Title | Attribute::Class | Attribute::Content
            ) {
                self.bytes.truncate(*start);
            }
        }
        *end = self.bytes.len();
    }
}

/// Attributes that matter on one tag; there are not so many.
const MAX_ATTRIBUTES: usize = 32;

/// Adds to a name; longer ones are cut, and then are none that we know.
fn push_name(name: &mut Vec<u8>, bytes: &[u8]) {
    let room = MAX_NAME - name.len();
    name.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

struct TokenEmitter<'a, S> {
    sink: &'a mut S,
    name: Vec<u8>,
    is_end: bool,
    self_closing: bool,
    last_start: Vec<u8>,
    attributes: Attributes,
}

impl<S: TokenSink> Emitter for TokenEmitter<'_, S> {
    type Token = Infallible;

    fn set_last_start_tag(&mut self, last_start_tag: Option<&[u8]>) {
        self.last_start.clear();
        push_name(&mut self.last_start, last_start_tag.unwrap_or_default());
    }

    fn emit_eof(&mut self) {}

    fn emit_error(&mut self, _: Error) {}

    #[inline]
    fn should_emit_errors(&mut self) -> bool {
        false
    }

    #[inline]
    fn pop_token(&mut self) -> Option<Infallible> {
        None
    }

    #[inline]
    fn emit_string(&mut self, text: &[u8]) {
        self.sink.text(text);
    }

    fn init_start_tag(&mut self) {
        self.name.clear();
        self.attributes.clear();
        self.is_end = false;
        self.self_closing = false;
    }

    fn init_end_tag(&mut self) {
        self.init_start_tag();
        self.is_end = true;
    }

    fn emit_current_tag(&mut self) -> Option<State> {
        let tag = Tag::from_name(&self.name);
        if self.is_end {
            self.sink.end(tag);
            return None;
        }
        self.attributes.finish_name();
        self.last_start.clone_from(&self.name);
        self.sink.start(tag, &self.attributes, self.self_closing);
        if self.sink.is_foreign() {
            return None;
        }
        match tag {
            Tag::Title | Tag::Textarea => Some(State::RcData),
            Tag::Script => Some(State::ScriptData),
            Tag::Style | Tag::Xmp | Tag::Iframe | Tag::Noembed | Tag::Noframes => Some(State::RawText),
            Tag::Plaintext => Some(State::PlainText),
            _ => None,
        }
    }

    fn set_self_closing(&mut self) {
        self.self_closing = true;
    }

    fn push_tag_name(&mut self, name: &[u8]) {
        push_name(&mut self.name, name);
    }

    fn init_attribute(&mut self) {
        self.attributes.finish_name();
        self.attributes.open = false;
    }

    fn push_attribute_name(&mut self, name: &[u8]) {
        push_name(&mut self.attributes.name, name);
    }

    fn push_attribute_value(&mut self, value: &[u8]) {
        self.attributes.push_value(value);
    }

    fn current_is_appropriate_end_tag_token(&mut self) -> bool {
        self.is_end && self.last_start == self.name
    }

    fn adjusted_current_node_present_but_not_in_html_namespace(&mut self) -> bool {
        self.sink.is_foreign()
    }

    fn init_comment(&mut self) {}
    fn emit_current_comment(&mut self) {}
    fn push_comment(&mut self, _: &[u8]) {}
    fn emit_current_doctype(&mut self) {}
    fn set_force_quirks(&mut self) {}
    fn push_doctype_name(&mut self, _: &[u8]) {}
    fn init_doctype(&mut self) {}
    fn set_doctype_public_identifier(&mut self, _: &[u8]) {}
    fn set_doctype_system_identifier(&mut self, _: &[u8]) {}
    fn push_doctype_public_identifier(&mut self, _: &[u8]) {}
    fn push_doctype_system_identifier(&mut self, _: &[u8]) {}
}
