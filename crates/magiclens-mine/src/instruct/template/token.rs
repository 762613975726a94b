//! The words of a description, with the marks and quotations around them.

use std::ops::Range;

/// One word of a description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// Its place in the text, without quotes and brackets around it.
    pub(super) span: Range<usize>,
    /// In lower case, for comparison.
    pub(super) key: String,
    /// The strongest mark between it and the token before: a space if there is none.
    pub(super) gap: char,
    /// The quotation of the text that it stands in, counted from 1; 0 outside.
    pub(super) quotation: usize,
}

/// The tokens of a text in their order.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut gap = ' ';
    let mut quotations = Quotations::default();
    let mut at = 0;
    for piece in text.split_whitespace() {
        let start = at + text[at..].find(piece).expect("the piece comes from here");
        at = start + piece.len();
        let is_core = |c: char| c.is_alphanumeric() || "=%&°+$€£#×".contains(c);
        let (Some(first), Some(last)) = (piece.find(is_core), piece.rfind(is_core)) else {
            gap = stronger(gap, strongest(piece));
            quotations.pass(piece);
            continue;
        };
        let end = last + piece[last..].chars().next().map_or(0, char::len_utf8);
        let span = start + first..start + end;
        let behind = &text[span.end..at];
        tokens.push(Token {
            key: text[span.clone()].to_lowercase().replace('’', "'"),
            gap: stronger(gap, strongest(&piece[..first])),
            quotation: quotations.pass(&piece[..first]),
            span,
        });
        // Marks inside a word, as in `5"x7"`, are no quotations; those behind it may end one.
        quotations.pass(behind);
        gap = strongest(behind);
    }
    tokens
}

/// Quotations that were opened so far.
#[derive(Default)]
struct Quotations {
    opened: usize,
    is_open: bool,
}

impl Quotations {
    /// Passes marks; the number of the quotation that is open behind them, or 0.
    fn pass(&mut self, marks: &str) -> usize {
        for mark in marks.chars() {
            self.is_open = match mark {
                '“' | '«' | '„' => true,
                '”' | '»' => false,
                '"' => !self.is_open,
                _ => continue,
            };
            self.opened += usize::from(self.is_open);
        }
        if self.is_open { self.opened } else { 0 }
    }
}

/// The strongest mark of a run of punctuation.
fn strongest(marks: &str) -> char {
    let kind = |c: char| match c {
        '-' | '–' | '—' | '‒' | '→' | '|' | '/' | '•' | '·' | '»' | '>' => '-',
        '(' | ')' | '[' | ']' => '(',
        '.' | '!' | '?' | ';' | ':' | ',' => c,
        _ => ' ',
    };
    marks.chars().map(kind).fold(' ', stronger)
}

fn stronger(a: char, b: char) -> char {
    let strength = |mark| " ,(-:;.!?".find(mark).unwrap_or(0);
    if strength(a) < strength(b) { b } else { a }
}
