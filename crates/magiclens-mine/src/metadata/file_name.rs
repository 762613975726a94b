//! Real words of an image's file name: `320px-Tower_Bridge-at-night@2x.jpg` says "Tower Bridge at night".

use std::sync::LazyLock;

use regex::Regex;

use crate::english::ENGLISH;

static IMAGE_ENDING: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)\.(?:jpe?g|jfif|png|gif|webp|avif|heic|bmp|ico|tiff?|svgz?|php|aspx?|html?)$")
        .expect("a valid pattern")
});

/// The words of the last part of an address, at most `max_words`; empty if it has no real ones.
pub(crate) fn file_words(url: &str, max_words: usize) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    // Data addresses hold bytes, not names.
    if path.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:")) {
        return String::new();
    }
    // An address without a path ends in a host.
    let path = path
        .split_once("://")
        .map_or(path, |(_, rest)| rest.split_once('/').map_or("", |(_, path)| path));
    let name = decode_percent(path.rsplit('/').next().unwrap_or_default());
    let mut name = name.as_str();
    while let Some(ending) = IMAGE_ENDING.find(name) {
        name = &name[..ending.start()];
    }
    let words = split(name).into_iter().filter(|word| is_real(word));
    let words: Vec<String> = words.take(max_words).collect();
    // A word like "at" alone says nothing.
    if words.iter().any(|word| 3 <= word.chars().count()) {
        words.join(" ")
    } else {
        String::new()
    }
}

/// True if a text is the name, path or address of a file rather than words: `IMG_2031.JPG`, `images/foo.png`, `foo_bar`.
pub(crate) fn is_file_name(text: &str) -> bool {
    let text = text.trim();
    let one_word = !text.contains(char::is_whitespace);
    let address = ["http://", "https://", "file:", "data:", "www.", "../", "./"];
    let lower = text.to_lowercase();
    address.iter().any(|start| lower.starts_with(start))
        || (IMAGE_ENDING.is_match(text) && (one_word || text.chars().count() <= 80))
        || (one_word && text.contains('_'))
}

/// True if a text is one word with a digit or a hyphen that is the name of the file at the address: `tone13` for `tone13.png`.
pub(crate) fn is_own_name(text: &str, url: &str) -> bool {
    let name = url.rsplit('/').next().unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    let one_word = !text.contains(char::is_whitespace) && text.contains(|c: char| c.is_ascii_digit() || c == '-');
    one_word && text.eq_ignore_ascii_case(stem)
}

/// `%20` to a space; bytes that are not UTF-8 are replaced.
fn decode_percent(text: &str) -> String {
    let bytes = text.as_bytes();
    let hex = |at: usize| bytes.get(at).and_then(|&byte| char::from(byte).to_digit(16));
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Parts of letters: cut at everything else and where small letters meet large ones. A part that touches digits keeps them.
fn split(name: &str) -> Vec<String> {
    let mut parts = Vec::new();
    for run in name.split(|c: char| !c.is_alphanumeric() && c != '\'') {
        let mut part = String::new();
        for c in run.chars() {
            if part.ends_with(char::is_lowercase) && c.is_uppercase() && 2 <= part.chars().count() {
                parts.push(std::mem::take(&mut part));
            }
            part.push(c);
        }
        if !part.is_empty() {
            parts.push(part);
        }
    }
    parts
}

/// Letters only, speakable, and about what is shown. Small words of grammar ("at", "of") count.
fn is_real(word: &str) -> bool {
    let lower = word.to_lowercase();
    if ["a", "at", "by", "in", "of", "on", "to"].contains(&lower.as_str()) {
        return true;
    }
    let letters = word.chars().count();
    if !(3..=24).contains(&letters) || !word.chars().all(char::is_alphabetic) || ENGLISH.metadata.file_noise.has(&lower)
    {
        return false;
    }
    // Other scripts have other vowels.
    !lower.is_ascii() || is_speakable(&lower)
}

fn is_speakable(word: &str) -> bool {
    let is_vowel = |c: char| "aeiouy".contains(c);
    let longest_without = word.split(is_vowel).map(str::len).max().unwrap_or(0);
    // "ngth" in "lengths" is the longest that English needs, but for "tchphr" in rare compounds.
    let is_hash = 8 <= word.len() && word.chars().all(|c| c.is_ascii_hexdigit());
    word.contains(is_vowel) && longest_without <= 5 && !is_hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_real_words() {
        let check = |url: &str, expected: &str| assert_eq!(file_words(url, 8), expected, "{url}");
        check(
            "https://a.example/i/320px-Tower_Bridge-at-night@2x.jpg?w=3",
            "Tower Bridge at night",
        );
        check("https://a.example/oldHarbourWall-scaled.jpeg", "old Harbour Wall");
        check("https://a.example/caf%C3%A9%20terrace.png", "café terrace");
        check("file:///doc/sphx_glr_plot_watershed_thumb.png", "plot watershed");
        check("https://a.example/red-car.jpg.webp", "red car");
        check("https://a.example/IMG_2031.JPG", "");
        check("https://a.example/3f2b9c0d77aa41.png", "");
        check("https://a.example/deadbeefcafe.png", "");
        check("https://a.example/xkcdfgh.png", "");
        check("https://a.example/image-of.png", "");
        check("https://harbour.example", "");
        check("data:image/png;base64,harbour", "");
        check("%E9%ff.png", "");
        check("", "");
    }

    #[test]
    fn knows_the_own_name() {
        assert!(is_own_name("tone13", "https://a.example/i/tone13.png"));
        assert!(is_own_name("red-car", "red-car.jpg?w=3"));
        assert!(!is_own_name("car", "car.jpg"));
        assert!(!is_own_name("Apollo 13", "apollo13.jpg"));
    }

    #[test]
    fn stops_at_the_limit() {
        assert_eq!(file_words("a/one-two-three-four.png", 2), "one two");
    }

    #[test]
    fn knows_file_names() {
        for name in [
            "IMG_2031.JPG",
            "images/foo.png",
            "foo_bar.png",
            "foo_bar",
            "https://a.example/x",
            "SB Parallax.jpg",
            "../a",
        ] {
            assert!(is_file_name(name), "{name}");
        }
        for words in [
            "Tower Bridge",
            "v1.2 of the bridge",
            "bridge",
            "Step 2.",
            "A tour of the png.jpg.gif files, told at length \
                      by those who were there when each of them was written.png",
        ] {
            assert!(!is_file_name(words), "{words}");
        }
    }
}
