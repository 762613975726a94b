//! The visible text of a page as it comes, and tidy pieces of it: collapsed, cut at whole words.

/// Parts two blocks of text. Counts as white space.
const BREAK: u8 = 0x1f;
/// Stands for something shown that is neither text nor an image. Counts as text, until it is tidied.
const MEDIA: u8 = 0x02;
/// Stands for an image, so that its place is never that of something else. Counts as white space.
const IMAGE: u8 = 0x03;

/// A place in a [`Text`]: from `start` to before `end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Span {
    pub(super) fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }
}

/// All visible text of a page, white space nearly as written, UTF-8.
#[derive(Debug, Default)]
pub(super) struct Text {
    bytes: Vec<u8>,
}

impl Text {
    /// With room for some bytes.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds text; white space at either end becomes one space, so that runs of it never grow.
    pub(super) fn push(&mut self, chunk: &[u8]) {
        let inner = trim_start(chunk);
        if inner.len() < chunk.len() {
            self.space();
        }
        let trimmed = trim_end(inner);
        if !trimmed.is_empty() {
            self.bytes.extend_from_slice(trimmed);
            if trimmed.len() < inner.len() {
                self.bytes.push(b' ');
            }
        }
    }

    /// Ends a block of text.
    pub(super) fn break_block(&mut self) {
        match self.bytes.last_mut() {
            Some(last) if *last == b' ' || *last == BREAK => *last = BREAK,
            Some(_) => self.bytes.push(BREAK),
            None => {}
        }
    }

    /// Notes something shown that is neither text nor an image.
    pub(super) fn push_media(&mut self) {
        self.bytes.push(MEDIA);
    }

    /// Gives an image its place.
    pub(super) fn push_image(&mut self) -> Span {
        self.bytes.push(IMAGE);
        Span::new(self.len() - 1, self.len())
    }

    /// True if there is nothing but white space.
    pub(super) fn is_blank(&self, span: Span) -> bool {
        is_blank(self.slice(span))
    }

    /// True if the first text in the span begins a new block.
    pub(super) fn begins_with_break(&self, span: Span) -> bool {
        let slice = self.slice(span);
        slice[..slice.len() - trim_start(slice).len()].contains(&BREAK)
    }

    /// True if the last text in the span ends its block.
    pub(super) fn ends_with_break(&self, span: Span) -> bool {
        let slice = self.slice(span);
        slice[trim_end(slice).len()..].contains(&BREAK)
    }

    /// True if the last thing in the span is neither text nor an image.
    pub(super) fn ends_with_media(&self, span: Span) -> bool {
        trim_end(self.slice(span)).ends_with(&[MEDIA])
    }

    /// A piece of the text with at most `max_chars` characters, tidy.
    pub(super) fn tidy(&self, span: Span, max_chars: usize) -> String {
        self.first_of([span], max_chars)
    }

    /// The text of a place, tidy, if there is some and it has at most `max_chars` characters.
    pub(super) fn short(&self, span: Span, max_chars: usize) -> Option<String> {
        if max_chars.saturating_mul(8) < span.end - span.start {
            return None;
        }
        let words = self.tidy(span, usize::MAX);
        (!words.is_empty() && words.chars().count() <= max_chars).then_some(words)
    }

    /// The first `max_chars` characters of some pieces of the text, tidy, whole words.
    pub(super) fn first_of(&self, spans: impl IntoIterator<Item = Span>, max_chars: usize) -> String {
        let mut tidy = Tidy::new(max_chars);
        for span in spans {
            if !tidy.push_bytes(self.slice(span)) {
                break;
            }
            tidy.space();
        }
        tidy.finish()
    }

    /// The last `max_chars` characters of some pieces of the text, which come last first; tidy, whole words.
    pub(super) fn last_of(&self, spans: impl IntoIterator<Item = Span>, max_chars: usize) -> String {
        // Enough bytes for so many characters with some white space between the words, in most scripts.
        let mut left = max_chars.saturating_mul(3);
        let mut pieces = Vec::new();
        for span in spans {
            let mut slice = self.slice(span);
            if left < slice.len() {
                slice = &slice[slice.len() - left..];
                let whole = slice.iter().position(|byte| byte & 0xc0 != 0x80).unwrap_or(slice.len());
                slice = &slice[whole..];
            }
            left = left.saturating_sub(slice.len().max(1));
            pieces.push(slice);
            if left == 0 {
                break;
            }
        }
        let mut tidy = Tidy::new(usize::MAX);
        for piece in pieces.iter().rev() {
            tidy.push_bytes(piece);
            tidy.space();
        }
        last_words(&tidy.finish(), max_chars).to_owned()
    }

    fn slice(&self, span: Span) -> &[u8] {
        self.bytes.get(span.start..span.end).unwrap_or_default()
    }

    fn space(&mut self) {
        if self.bytes.last().is_some_and(|&last| last != b' ' && last != BREAK) {
            self.bytes.push(b' ');
        }
    }
}

/// True if there is nothing but white space.
pub(super) fn is_blank(bytes: &[u8]) -> bool {
    trim_start(bytes).is_empty()
}

/// Collapses white space and drops what is invisible; at most `max_chars` characters, whole words.
pub(super) fn tidy(text: &str, max_chars: usize) -> String {
    let mut tidy = Tidy::new(max_chars);
    tidy.push(text);
    tidy.finish()
}

/// A tidy string in the making.
#[derive(Default)]
struct Tidy {
    out: String,
    chars: usize,
    max_chars: usize,
    space: bool,
    full: bool,
}

impl Tidy {
    fn new(max_chars: usize) -> Self {
        Self {
            max_chars,
            ..Self::default()
        }
    }

    /// Adds text, of which no more is read than there is room for; false once there is none.
    fn push_bytes(&mut self, mut text: &[u8]) -> bool {
        while !text.is_empty() {
            let mut end = text.len().min(4096);
            while end < text.len() && text[end] & 0xc0 == 0x80 {
                end += 1;
            }
            let has_room = match std::str::from_utf8(&text[..end]) {
                Ok(text) => self.push(text),
                Err(_) => self.push(&String::from_utf8_lossy(&text[..end])),
            };
            if !has_room {
                return false;
            }
            text = &text[end..];
        }
        true
    }

    /// Adds text; false once there is no more room.
    fn push(&mut self, text: &str) -> bool {
        let mut rest = text;
        while let Some(char) = rest.chars().next() {
            // Most text is words of plain letters, which need no look at each.
            let plain = rest
                .bytes()
                .position(|byte| !byte.is_ascii_graphic())
                .unwrap_or(rest.len());
            let word;
            (word, rest) = rest.split_at(if 0 < plain { plain } else { char.len_utf8() });
            if 0 < plain || !(char.is_whitespace() || char.is_control() || is_invisible(char)) {
                if !self.push_word(word, if 0 < plain { plain } else { 1 }) {
                    return false;
                }
            } else if !is_invisible(char) {
                self.space();
            }
        }
        true
    }

    /// Adds visible characters without white space; `chars` is their number, which is that of bytes if it is more than one.
    fn push_word(&mut self, word: &str, chars: usize) -> bool {
        let room = self.max_chars.saturating_sub(self.chars + usize::from(self.space));
        if 0 < room && self.space {
            self.out.push(' ');
            self.chars += 1;
            self.space = false;
        }
        if chars <= room {
            self.out.push_str(word);
            self.chars += chars;
            return true;
        }
        self.out.push_str(if chars == 1 { "" } else { &word[..room] });
        self.full = true;
        false
    }

    fn space(&mut self) {
        self.space = !self.out.is_empty();
    }

    fn finish(mut self) -> String {
        // Full in the middle of a word: the word goes, unless it is all there is, as where words have no spaces between.
        if self.full
            && !self.space
            && let Some(end) = self.out.rfind(' ')
        {
            self.out.truncate(end);
        }
        self.out
    }
}

/// The last `max_chars` characters of a tidy text, whole words where words are parted by spaces.
fn last_words(text: &str, max_chars: usize) -> &str {
    let Some(last) = max_chars.checked_sub(1) else {
        return "";
    };
    match text.char_indices().rev().nth(last) {
        None | Some((0, _)) => text,
        Some((at, _)) => {
            let tail = &text[at..];
            if text[..at].ends_with(' ') {
                return tail;
            }
            tail.find(' ').map_or(tail, |space| &tail[space + 1..])
        }
    }
}

/// Marks that show nothing: soft hyphen, zero-width spaces and joiners, direction marks, byte order mark.
fn is_invisible(char: char) -> bool {
    matches!(char, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// ASCII white space, our own break, and the no-break space, which pages use to fill empty cells.
fn trim_start(mut bytes: &[u8]) -> &[u8] {
    loop {
        match bytes {
            [b' ' | b'\t' | b'\n' | b'\r' | 0x0c | BREAK | IMAGE, rest @ ..] | [0xc2, 0xa0, rest @ ..] => bytes = rest,
            _ => return bytes,
        }
    }
}

fn trim_end(mut bytes: &[u8]) -> &[u8] {
    loop {
        match bytes {
            [rest @ .., b' ' | b'\t' | b'\n' | b'\r' | 0x0c | BREAK | IMAGE] | [rest @ .., 0xc2, 0xa0] => bytes = rest,
            _ => return bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_collapses_and_invisible_marks_go() {
        assert_eq!(tidy("  a \n\t b\u{a0}\u{a0}c\u{200b}d\u{0} ", 99), "a b cd");
        assert_eq!(tidy("", 99), "");
    }

    #[test]
    fn pieces_are_cut_at_whole_words() {
        assert_eq!(tidy("one two three", 8), "one two");
        assert_eq!(tidy("one two three", 7), "one two");
        assert_eq!(tidy("one two three", 6), "one");
        assert_eq!(tidy("one two", 0), "");
        assert_eq!(tidy("漢字漢字", 2), "漢字");
        assert_eq!(last_words("one two three", 9), "two three");
        assert_eq!(last_words("one two three", 8), "three");
        assert_eq!(last_words("漢字漢字", 2), "漢字");
        assert_eq!(last_words("one", 0), "");
    }

    #[test]
    fn blocks_are_parted_once() {
        let mut text = Text::default();
        text.push(b" a ");
        text.break_block();
        text.break_block();
        text.push(b"b");
        assert_eq!(text.bytes, b"a\x1fb");
        assert!(text.begins_with_break(Span::new(1, 3)));
        assert!(text.ends_with_break(Span::new(0, 2)));
        assert!(text.is_blank(Span::new(1, 2)));
        text.push("\u{a0} \u{a0}".as_bytes());
        text.push_media();
        assert_eq!(text.bytes, b"a\x1fb \x02");
        assert_eq!(text.tidy(Span::new(0, 5), 99), "a b");
    }

    #[test]
    fn the_last_words_of_long_text_cost_no_more_than_they_are_long() {
        let mut text = Text::default();
        for _ in 0..1000 {
            text.push("wörter ".as_bytes());
        }
        let all = Span::new(0, text.len());
        assert_eq!(text.last_of([all], 19), "wörter wörter");
        assert_eq!(text.first_of([all, all], 19), "wörter wörter");
        assert_eq!(text.last_of([Span::new(8, 15), Span::new(0, 7)], 99), "wörter wörter");
    }
}
