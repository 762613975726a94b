//! Running text of a report: spans with a meaning, rendered as HTML and as Markdown.

use maud::{Markup, Render, html};
use url::Url;

/// Characters of one span that are shown.
pub const MAX_TEXT: usize = 800;
/// Longer addresses are shown as text.
const MAX_LINK: usize = 2000;

/// Some spans of text, e.g. the content of a table's cell. Converts from texts and whole numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(Vec<Span>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Span {
    Plain(String),
    Strong(String),
    Small(String),
    Code(String),
    Link { to: String, text: String },
}

impl Text {
    /// Text of emphasis.
    pub fn strong(text: impl Into<String>) -> Self {
        Self(vec![Span::Strong(text.into())])
    }

    /// A detail in small letters.
    pub fn small(text: impl Into<String>) -> Self {
        Self(vec![Span::Small(text.into())])
    }

    /// A name or an id in a fixed-width font.
    pub fn code(text: impl Into<String>) -> Self {
        Self(vec![Span::Code(text.into())])
    }

    /// An address: a link if it is one of `http` or `https`, else plain text.
    pub fn link(address: &str) -> Self {
        let text = address.to_owned();
        Self(vec![match web_address(address) {
            Some(to) => Span::Link { to, text },
            None => Span::Plain(text),
        }])
    }

    /// A link to the card of this id in the same page.
    pub fn jump(id: &str, text: impl Into<String>) -> Self {
        let (to, text) = (format!("#{id}"), text.into());
        Self(vec![Span::Link { to, text }])
    }

    /// This text, then another one.
    #[must_use]
    pub fn then(mut self, other: impl Into<Self>) -> Self {
        self.0.extend(other.into().0);
        self
    }

    /// The text without its meaning.
    pub fn plain(&self) -> String {
        self.0.iter().map(Span::text).collect()
    }

    /// True without any character.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|span| span.text().is_empty())
    }

    /// The text as Markdown that is neither other markup nor a new line or cell.
    pub fn markdown(&self) -> String {
        self.0.iter().map(Span::markdown).collect()
    }
}

impl Span {
    fn text(&self) -> &str {
        match self {
            Self::Plain(text) | Self::Strong(text) | Self::Small(text) | Self::Code(text) => text,
            Self::Link { text, .. } => text,
        }
    }

    fn markdown(&self) -> String {
        match self {
            Self::Strong(text) => format!("**{}**", escape(text)),
            Self::Code(text) => format!("`{}`", clean(text).replace(['`', '|'], "'")),
            _ => escape(self.text()),
        }
    }
}

impl Render for Span {
    fn render(&self) -> Markup {
        let text = clean(self.text());
        match self {
            Self::Plain(_) => html! { bdi { (text) } },
            Self::Strong(_) => html! { strong { (text) } },
            Self::Small(_) => html! { small { (text) } },
            Self::Code(_) => html! { code { (text) } },
            Self::Link { to, .. } if to.starts_with('#') => html! { a href=(to) { (text) } },
            Self::Link { to, .. } => html! {
                a href=(to) rel="noreferrer noopener nofollow" target="_blank" { bdi { (text) } }
            },
        }
    }
}

impl Render for Text {
    fn render(&self) -> Markup {
        match &self.0[..] {
            // Most texts are one plain span; only what mixes with others needs isolation.
            [Span::Plain(text)] if text.is_ascii() => html! { (clean(text)) },
            spans => html! { @for span in spans { (span) } },
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(vec![Span::Plain(text.to_owned())])
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(vec![Span::Plain(text)])
    }
}

impl From<&String> for Text {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<u64> for Text {
    fn from(number: u64) -> Self {
        Self::from(crate::numbers::whole(number))
    }
}

impl From<usize> for Text {
    fn from(number: usize) -> Self {
        Self::from(number as u64)
    }
}

/// Text without control characters and marks that turn its direction, cut after [`MAX_TEXT`] characters.
pub(crate) fn clean(text: &str) -> String {
    let (shown, cut) = match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => (&text[..end], "…"),
        None => (text, ""),
    };
    let is_hidden = |char: char| char.is_control() || turns_direction(char);
    shown.replace(is_hidden, " ") + cut
}

/// Marks that let text run in the other direction: they would reach over what follows.
fn turns_direction(char: char) -> bool {
    matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{061c}')
}

/// The address of a web page; `None` for other schemes, and for names before the host, which make it look like another one.
fn web_address(address: &str) -> Option<String> {
    let url = Url::parse(address).ok()?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.as_str().len() <= MAX_LINK;
    (is_plain && matches!(url.scheme(), "http" | "https")).then(|| url.into())
}

/// Cleaned text as Markdown that is no markup.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let cleaned = clean(text);
    let mut chars = cleaned.chars().peekable();
    while let Some(char) = chars.next() {
        let next = chars.peek().copied();
        let is_markup = match char {
            '\\' | '`' | '*' | '|' | '#' | '>' | '~' | '&' | '!' => true,
            // Within a word it is no markup.
            '_' => !escaped.ends_with(char::is_alphanumeric),
            // A tag begins so, and "<0.001" is none.
            '<' => next.is_some_and(|next| !next.is_ascii_digit() && next != ' '),
            // Intervals have brackets; only these make a link of them.
            '(' | ':' if escaped.ends_with(']') => true,
            '[' => next.is_some_and(|next| next == '^' || next.is_alphabetic()),
            // Addresses become links by themselves.
            ':' => escaped.ends_with("http") || escaped.ends_with("https"),
            _ => false,
        };
        if is_markup {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_no_markup() {
        let html = |text: &str| Text::from(text).render().into_string();
        assert_eq!(
            html("<a href=\"x\" id='y'>&amp;\n\u{202e}"),
            "<bdi>&lt;a href=&quot;x&quot; id='y'&gt;&amp;amp;  </bdi>"
        );
        assert_eq!(html("a & b"), "a &amp; b");
        assert!(html(&"é".repeat(MAX_TEXT + 1)).contains(&format!("{}…", "é".repeat(MAX_TEXT))));
        for (text, expected) in [
            (
                "a|b\n<i> [x](y) *c* &amp; http://x",
                "a\\|b \\<i\\> \\[x]\\(y) \\*c\\* \\&amp; http\\://x",
            ),
            ("same_subject _x_ <0.1 % 3 < 4", "same_subject \\_x_ <0.1 % 3 < 4"),
            ("25.0 [18.8, 31.3] (kept)", "25.0 [18.8, 31.3] (kept)"),
            ("[1](http://x) [1]: x", "[1]\\(http\\://x) [1]\\: x"),
        ] {
            assert_eq!(Text::from(text).markdown(), expected);
        }
        assert_eq!(Text::code("a`|b").markdown(), "`a''b`");
    }

    #[test]
    fn only_addresses_of_the_web_are_links() {
        for (address, is_link) in [
            ("https://a.example/p?x=1&y=\"><script>", true),
            ("HTTP://A.example", true),
            ("javascript:alert(1)", false),
            (" java\tscript:alert(1)", false),
            ("data:text/html,<script>alert(1)</script>", false),
            ("https://good.example@evil.example/", false),
            ("file:///etc/passwd", false),
            ("//a.example", false),
            ("", false),
            (&format!("https://a.example/{}", "x".repeat(3000)), false),
        ] {
            let html = Text::link(address).render().into_string();
            assert_eq!(html.contains("<a href=\"http"), is_link, "{html}");
            assert!(
                !html.contains("<script") && (is_link || !html.contains("href")),
                "{html}"
            );
        }
    }
}
