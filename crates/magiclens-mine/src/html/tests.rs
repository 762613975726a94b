//! Small pages with results counted by hand; hostile pages; pages of the shapes that real sites have.

mod captions;
mod hostile;
mod pages;
mod pictures;

use super::*;
use crate::page::PagePicture;

/// The page at `https://site.example/dir/page.html`.
fn page(html: &str) -> Page {
    parse(&raw(html.as_bytes()), &HtmlConfig::default()).unwrap()
}

fn raw(html: &[u8]) -> RawPage {
    RawPage {
        url: "https://site.example/dir/page.html".to_owned(),
        content_type: "text/html; charset=utf-8".to_owned(),
        html: html.to_vec(),
        robots_tags: Vec::new(),
    }
}

/// The only picture of a page.
fn only(html: &str) -> PagePicture {
    let mut pictures = page(html).pictures;
    assert_eq!(pictures.len(), 1, "{pictures:?}");
    pictures.remove(0)
}

/// Addresses relative to the folder of the page.
fn short(url: &str) -> &str {
    url.strip_prefix("https://site.example/dir/").unwrap_or(url)
}

/// The addresses of the pictures of a page.
fn names(html: &str) -> Vec<String> {
    page(html)
        .pictures
        .iter()
        .map(|picture| short(&picture.url).to_owned())
        .collect()
}

/// Address and caption of each picture: `a.png=Caption`.
fn captions(html: &str) -> Vec<String> {
    page(html)
        .pictures
        .iter()
        .map(|picture| format!("{}={}", short(&picture.url), picture.caption))
        .collect()
}
