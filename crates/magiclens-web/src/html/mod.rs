//! HTML -> page: its images with their captions and context, what it says about itself. One pass, no tree.
//!
//! Not read, because they are no images of the page's subject or cannot be told apart from ornaments: `<input type=image>`,
//! CSS backgrounds, `<video poster>`, `<svg>` and its `<image>`, anything in `<template>`, images that are hidden, and
//! counting pixels of 1 x 1.

mod assemble;
mod captions;
mod cells;
mod charset;
mod class;
mod config;
mod findings;
mod images;
mod scan;
mod sources;
mod stack;
mod statements;
mod style;
mod tag;
mod text;
mod tokens;

#[cfg(test)]
mod tests;

use url::Url;

use crate::DropReason;
use crate::page::{Page, RawPage};

pub use config::HtmlConfig;

/// The page is longer than the limit.
pub const TOO_LARGE: DropReason = DropReason("html too large");
/// The page has no tag at all.
pub const NOT_HTML: DropReason = DropReason("not html");
/// The page has no usable address: images are fetched beside `http`, `https` and `file` addresses only.
pub const BAD_ADDRESS: DropReason = DropReason("bad page address");

/// Parses one page.
///
/// Any bytes are a page as long as there is a tag among them. A page without images is one with an empty list.
///
/// # Errors
/// The reason to drop the page: [`TOO_LARGE`], [`NOT_HTML`] or [`BAD_ADDRESS`].
pub fn parse(raw: &RawPage, config: &HtmlConfig) -> Result<Page, DropReason> {
    if config.max_html_bytes < raw.html.len() {
        return Err(TOO_LARGE);
    }
    let url = Url::parse(&raw.url)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https" | "file"))
        .ok_or(BAD_ADDRESS)?;
    let html = charset::decode(&raw.html, &raw.content_type, url.host_str(), config.charset_scan_bytes);
    if !html.contains('<') {
        return Err(NOT_HTML);
    }
    let findings = scan::scan(&html, config);
    Ok(assemble::assemble(findings, config, raw, url))
}
