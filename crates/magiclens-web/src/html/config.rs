//! Limits of parsing.

use serde::{Deserialize, Serialize};

/// The limits of reading a page. They bound time and memory; a page that keeps within them is read whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HtmlConfig {
    /// Longest page in bytes; a longer one is dropped, not cut: it is a dump or never ends. Common Crawl cuts at 1 MiB (5 MiB
    /// since 2025), and the longest page of the Debian documentation has 3 MiB.
    pub max_html_bytes: usize,
    /// Bytes in which a label of the charset is looked for. The HTML standard says 1,024 bytes, but pages put long comments first.
    pub charset_scan_bytes: usize,
    /// Deepest nesting of elements that is followed; deeper ones count as beside each other. Browsers take 512.
    pub max_depth: usize,
    /// Longest attribute; words are cut there, other attributes ignored. Enough for a `srcset` of 64 long addresses.
    pub max_attribute_bytes: usize,
    /// Longest address. Servers and browsers take 2,000 for sure and seldom more than 8,000.
    pub max_url_bytes: usize,
    /// Most images of a page; later ones are ignored. A page with more is a list of products or icons.
    #[serde(rename = "max_pictures")]
    pub max_images: usize,
    /// Other sources of an image that are kept: each may cost a request.
    pub max_alternatives: usize,
    /// Stated size from which an image can be the preview of the image file that it links to, in CSS pixels: smaller ones are
    /// arrows and other symbols. Previews have at least 60, symbols at most 32.
    pub min_linked_px: u32,
    /// Characters of running text for the filters of language and safety. Language is sure after some hundred.
    pub max_text_chars: usize,
    /// Characters of running text before and after an image: two or three sentences.
    pub max_context_chars: usize,
    /// Characters of a caption; a longer one is cut at a word. Captions of scientific figures have up to a thousand.
    pub max_caption_chars: usize,
    /// Characters of text beside an image that can be its caption by its place alone: longer text is about something else.
    pub max_side_caption_chars: usize,
    /// Characters of `alt`, `title`, headings and page titles.
    pub max_label_chars: usize,
    /// Elements around an image whose classes and ids become marks. A logo's or an advertisement's name seldom stands further out.
    pub mark_ancestors: usize,
    /// Most marks of an image.
    pub max_marks: usize,
    /// Smallest share of the text, menus left out, that `<article>` or an element named `content` must have to be the main
    /// content: comments and teasers are articles, too. `<main>` needs none.
    pub min_main_share: f64,
}

impl Default for HtmlConfig {
    fn default() -> Self {
        Self {
            max_html_bytes: 16 << 20,
            charset_scan_bytes: 4096,
            max_depth: 512,
            max_attribute_bytes: 64 << 10,
            max_url_bytes: 4096,
            max_images: 1000,
            max_alternatives: 4,
            min_linked_px: 48,
            max_text_chars: 4000,
            max_context_chars: 300,
            max_caption_chars: 1000,
            max_side_caption_chars: 200,
            max_label_chars: 500,
            mark_ancestors: 4,
            max_marks: 32,
            min_main_share: 1.0 / 3.0,
        }
    }
}
