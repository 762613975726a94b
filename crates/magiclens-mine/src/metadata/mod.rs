//! Metadata of an image: everything that its page says about it, cleaned. Labels and captions of a vision model join later.

mod clean;
mod file_name;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

pub(crate) use clean::is_plain_heading;

use crate::page::Metadata;
use crate::words::{content_words, cut};
use magiclens_web::page::{Page, PageImage};

/// Limits of the metadata. Lengths are in characters, cut between words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetadataConfig {
    /// Longest alt text and title. 200: WCAG-style guides ask for about 125, and the tail of longer ones repeats the page.
    pub max_alt_chars: usize,
    /// Longest caption. 300: two or three sentences; more than the text towers read (77 tokens).
    pub max_caption_chars: usize,
    /// Longest text before, and longest text after. 200 each: a sentence or two, so that a language model's prompt stays small.
    pub max_context_chars: usize,
    /// Longest heading or page title. 120: the longest that search engines show is about 60.
    pub max_heading_chars: usize,
    /// Most words taken from a file name. 8: longer names are made of a whole title.
    pub max_file_words: usize,
    /// Longest input that is looked at, per field. 4,000: hostile attributes can have megabytes.
    pub max_input_chars: usize,
}

impl Default for MetadataConfig {
    fn default() -> Self {
        Self {
            max_alt_chars: 200,
            max_caption_chars: 300,
            max_context_chars: 200,
            max_heading_chars: 120,
            max_file_words: 8,
            max_input_chars: 4_000,
        }
    }
}

/// The words of the page about an image. Fields that tell nothing are empty; so are those that repeat another: the caption goes
/// before the alt text, that before the title.
pub fn expand(page: &Page, image: &PageImage, config: &MetadataConfig) -> Metadata {
    let input = |text: &str| cut(text, config.max_input_chars).to_owned();
    let described = |text: &str, max_chars| cut(&clean::describing(&input(text)), max_chars).to_owned();
    let heading = |text: &str| cut(&clean::heading(&input(text)), config.max_heading_chars).to_owned();
    let mut caption = described(&image.caption, config.max_caption_chars);
    if caption.is_empty() {
        caption = described(labeled(&image.after).unwrap_or_default(), config.max_caption_chars);
    }
    let mut alt = described(&image.alt, config.max_alt_chars);
    let mut title = described(&image.title, config.max_alt_chars);
    if says_again(&alt, &caption) || file_name::is_own_name(&alt, &image.url) {
        alt.clear();
    }
    if says_again(&title, &caption) || says_again(&title, &alt) {
        title.clear();
    }
    let page_title = clean::page_title(&input(&page.title), &input(&page.heading), &page.url);
    Metadata {
        alt,
        caption,
        title,
        file_words: file_name::file_words(&input(&image.url), config.max_file_words),
        heading: heading(&image.heading),
        context: context(&input(&image.before), &input(&image.after), config.max_context_chars),
        page_title: cut(&page_title, config.max_heading_chars).to_owned(),
        page_heading: heading(&page.heading),
        labels: Vec::new(),
        model_caption: String::new(),
    }
}

impl Metadata {
    /// The few words that stand for the image in text-text similarity: caption, alt text, title, file name, a model's caption and
    /// labels, each only if it says something new. Empty if nothing is known about the image itself.
    pub fn text(&self) -> String {
        let mut known = BTreeSet::new();
        let mut parts = Vec::new();
        for part in self.descriptions().chain(self.labels.iter().map(String::as_str)) {
            let words = content_words(part);
            if !words.is_subset(&known) {
                parts.push(part.trim_end_matches('.'));
                known.extend(words);
            }
        }
        parts.join(". ")
    }

    /// The known descriptions of the image itself, best first.
    pub(crate) fn descriptions(&self) -> impl Iterator<Item = &str> {
        let file_words = Some(self.file_words.as_str()).filter(|words| !words.is_empty());
        self.sentences().chain(file_words)
    }

    /// The known descriptions that somebody wrote, best first: all but the file name.
    pub(crate) fn sentences(&self) -> impl Iterator<Item = &str> {
        [&self.caption, &self.alt, &self.title, &self.model_caption]
            .into_iter()
            .map(String::as_str)
            .filter(|text| !text.is_empty())
    }
}

/// The caption in the text after an image, where it is labeled: "Figure: the result". The text may go on behind the caption: one
/// sentence behind the label is surely its own.
fn labeled(after: &str) -> Option<&str> {
    static LABEL: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^(?i:figure|fig|abbildung|abb)\s*[:.0-9][^\n\p{Alphabetic}]*").expect("a valid pattern")
    });
    let line = after.trim_start().lines().next()?;
    let label = LABEL.find(line)?;
    let end = line[label.end()..].find(". ").map_or(line.len(), |at| label.end() + at);
    Some(&line[..end])
}

fn says_again(text: &str, other: &str) -> bool {
    !text.is_empty() && content_words(text) == content_words(other)
}

/// The text around the image; dots stand where the image stands.
fn context(before: &str, after: &str, max_chars: usize) -> String {
    let (before, after) = (clean::one_line(before), clean::one_line(after));
    let (tail, head) = (last_words(&before, max_chars), cut(&after, max_chars));
    let dots = if tail.is_empty() || head.is_empty() {
        ""
    } else {
        " ... "
    };
    format!("{tail}{dots}{head}")
}

/// At most `max_chars` characters from the end, cut between words where there is one.
fn last_words(text: &str, max_chars: usize) -> &str {
    let skipped = text.chars().count().saturating_sub(max_chars);
    if skipped == 0 {
        return text;
    }
    let start = text.char_indices().nth(skipped).map_or(text.len(), |(at, _)| at);
    let tail = &text[start..];
    tail.split_once(' ').map_or(tail, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(alt: &str, caption: &str, title: &str) -> PageImage {
        PageImage {
            url: "https://a.example/IMG_1.jpg".to_owned(),
            alt: alt.to_owned(),
            caption: caption.to_owned(),
            title: title.to_owned(),
            ..PageImage::default()
        }
    }

    fn expanded(image: &PageImage) -> Metadata {
        expand(&Page::default(), image, &MetadataConfig::default())
    }

    #[test]
    fn drops_repeats() {
        let metadata = expanded(&image("An old mill", "Figure 1: Old mill.", "the old mills"));
        assert_eq!(
            (
                metadata.caption.as_str(),
                metadata.alt.as_str(),
                metadata.title.as_str()
            ),
            ("Old mill.", "", "")
        );
        let metadata = expanded(&image("Mill", "", "mill"));
        assert_eq!((metadata.alt.as_str(), metadata.title.as_str()), ("Mill", ""));
    }

    #[test]
    fn takes_labeled_text_as_caption() {
        let check = |after: &str, expected: &str| {
            let image = PageImage {
                after: after.to_owned(),
                ..PageImage::default()
            };
            assert_eq!(expanded(&image).caption, expected, "{after}");
        };
        check(
            "Figure: Creating area from closed line. To do more",
            "Creating area from closed line",
        );
        check("Fig. 3. Two mills. More text", "Two mills");
        check("Figure 2.1 Two mills\nMore text", "Two mills");
        check("Figures are made", "");
        check("Figure skating is fun", "");
        check("The figure: this", "");
        check("Figure:", "");
        check("Figure 3é", "Figure 3é");
    }

    #[test]
    fn expands_a_page() {
        let page = Page {
            title: "3.2. Mills | Mill Post".to_owned(),
            heading: "3.2. Mills".to_owned(),
            url: "https://millpost.example/mills".to_owned(),
            ..Page::default()
        };
        let image = PageImage {
            url: "https://millpost.example/i/old%20mill-scaled.jpg".to_owned(),
            heading: "3.2.1. Wind&amp;water".to_owned(),
            before: "Built early.".to_owned(),
            after: "It still turns.".to_owned(),
            ..PageImage::default()
        };
        let metadata = expand(&page, &image, &MetadataConfig::default());
        assert_eq!(metadata.page_title, "Mills");
        assert_eq!(metadata.page_heading, "Mills");
        assert_eq!(metadata.heading, "Wind&water");
        assert_eq!(metadata.file_words, "old mill");
        assert_eq!(metadata.context, "Built early. ... It still turns.");
    }

    #[test]
    fn keeps_lengths() {
        let long = "word ".repeat(100_000);
        let image = PageImage {
            before: format!("{long}end"),
            after: long.clone(),
            heading: long.clone(),
            ..image(&long, &format!("x{long}"), "")
        };
        let metadata = expanded(&image);
        assert_eq!(
            metadata.alt.chars().count(),
            199,
            "40 words of 5 characters but the last space"
        );
        assert_eq!(metadata.caption.chars().count(), 300, "a word and 59 of 5 characters");
        assert!(metadata.heading.chars().count() <= 120);
        assert!(metadata.context.chars().count() <= 405);
    }

    #[test]
    fn text_says_everything_once() {
        let metadata = Metadata {
            alt: "old mill".to_owned(),
            caption: "The mill at night.".to_owned(),
            file_words: "mill night".to_owned(),
            labels: vec!["windmill".to_owned(), "night".to_owned()],
            model_caption: "a mill under stars".to_owned(),
            ..Metadata::default()
        };
        assert_eq!(
            metadata.text(),
            "The mill at night. old mill. a mill under stars. windmill"
        );
        assert_eq!(Metadata::default().text(), "");
    }
}
