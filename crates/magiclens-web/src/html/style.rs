//! Attributes and inline styles that set the size of an element, or hide it.

use super::tag::Attribute;
use crate::ascii::{name_and_value, split_at};

/// The way in which an attribute hides an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hidden {
    No,
    /// From screen readers: mere decoration, or a copy of something.
    Decoration,
    /// From everybody.
    All,
}

/// The way in which this attribute hides the element that bears it.
pub(super) fn hidden(attribute: Attribute, value: &[u8]) -> Hidden {
    let is_hidden = match attribute {
        Attribute::Hidden => !value.eq_ignore_ascii_case(b"until-found"),
        Attribute::AriaHidden if value.eq_ignore_ascii_case(b"true") => return Hidden::Decoration,
        Attribute::Style => declares(value, b"display", b"none") || declares(value, b"visibility", b"hidden"),
        _ => false,
    };
    if is_hidden { Hidden::All } else { Hidden::No }
}

/// True if an inline style centers the content of an element.
pub(super) fn is_centered(attribute: Attribute, value: &[u8]) -> bool {
    attribute == Attribute::Style && declares(value, b"text-align", b"center")
}

/// The declarations of an inline style, names and values trimmed.
fn declarations(style: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    style.split(|&byte| byte == b';').filter_map(name_and_value)
}

fn declares(style: &[u8], property: &[u8], keyword: &[u8]) -> bool {
    declarations(style).any(|(name, value)| {
        // With or without `!important`.
        let (word, _) = split_at(value, |byte| byte == b'!');
        name.eq_ignore_ascii_case(property) && word.trim_ascii().eq_ignore_ascii_case(keyword)
    })
}

/// A length in CSS pixels that an inline style states.
pub(super) fn style_pixels(style: &[u8], property: &[u8]) -> Option<u32> {
    let (_, value) = declarations(style).find(|(name, _)| name.eq_ignore_ascii_case(property))?;
    pixels(value).filter(|_| value.to_ascii_lowercase().ends_with(b"px"))
}

/// A length in CSS pixels: `300`, `300px`, `300.5`; percentages are none.
pub(super) fn pixels(value: &[u8]) -> Option<u32> {
    let (digits, rest) = split_at(value.trim_ascii(), |byte| !byte.is_ascii_digit());
    let rest = rest.trim_ascii();
    let is_pixels = rest.is_empty() || rest[0] == b'.' || rest.eq_ignore_ascii_case(b"px");
    if !is_pixels || rest.ends_with(b"%") {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}
