//! Limits and sizes of reading, and the columns of tables.

use serde::{Deserialize, Serialize};

/// Limits and sizes of reading. Memory follows from them, never from the input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InputConfig {
    /// Largest WARC record that is held in memory; larger ones are skipped. 64 MiB, as for the largest image.
    pub max_record_bytes: usize,
    /// Largest header of a WARC record or an HTTP response. 64 KiB: servers allow 8 to 16 KiB, few browsers more than 256 KiB.
    pub max_header_bytes: usize,
    /// Largest page, decompressed. 8 MiB: Common Crawl cuts pages at 1 MiB, since 2025 at 5 MiB.
    pub max_page_bytes: usize,
    /// Largest image file. 64 MiB, the limit of the decoder.
    #[serde(rename = "max_picture_bytes")]
    pub max_image_bytes: usize,
    /// A gzip member that is larger than a record and expands by more than this factor is a bomb. Deflate can reach 1032, pages
    /// reach 5 to 20.
    pub max_expansion: u64,
    /// Bytes that are read from a file at once. 256 KiB fits into the second-level cache.
    pub buffer_bytes: usize,
    /// Saved pages in one entry.
    pub pages_per_shard: usize,
    /// Rows of a table in one entry. The pages of an entry are held in memory.
    pub rows_per_shard: u64,
    /// Images of one page of a WAT file or a table; further ones are skipped. No page in Common Crawl that people read has more.
    #[serde(rename = "max_pictures_per_page")]
    pub max_images_per_page: usize,
    /// Longest address of a page or image in a WAT file or a table. 8 KiB, as servers allow.
    pub max_address_bytes: usize,
    /// Longest alt text or title in a WAT file or a table; the rest is cut off. 4 KiB are some 700 words.
    pub max_text_bytes: usize,
    /// The columns of tables of links.
    pub columns: Columns,
}

impl Default for InputConfig {
    fn default() -> Self {
        Self {
            max_record_bytes: 64 << 20,
            max_header_bytes: 64 << 10,
            max_page_bytes: 8 << 20,
            max_image_bytes: 64 << 20,
            max_expansion: 100,
            buffer_bytes: 256 << 10,
            pages_per_shard: 200,
            rows_per_shard: 100_000,
            max_images_per_page: 1000,
            max_address_bytes: 8 << 10,
            max_text_bytes: 4 << 10,
            columns: Columns::default(),
        }
    }
}

/// The columns of a table of links. An empty name stands for the first of the usual names that the table has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Columns {
    /// The address of the page.
    pub page: String,
    /// The address of the image, absolute or relative to the page.
    pub image: String,
    /// The alt text. A table may do without.
    pub alt: String,
    /// The title of the page. A table may do without.
    pub title: String,
}
