//! Small pages with results counted by hand; hostile pages; pages of the shapes that real sites have.

mod captions;
mod hostile;
mod images;
mod pages;

use super::*;
use crate::page::PageImage;

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

/// The only image of a page.
fn only(html: &str) -> PageImage {
    let mut images = page(html).images;
    assert_eq!(images.len(), 1, "{images:?}");
    images.remove(0)
}

/// Addresses relative to the folder of the page.
fn short(url: &str) -> &str {
    url.strip_prefix("https://site.example/dir/").unwrap_or(url)
}

/// The addresses of the images of a page.
fn names(html: &str) -> Vec<String> {
    page(html)
        .images
        .iter()
        .map(|image| short(&image.url).to_owned())
        .collect()
}

/// Address and caption of each image: `a.png=Caption`.
fn captions(html: &str) -> Vec<String> {
    page(html)
        .images
        .iter()
        .map(|image| format!("{}={}", short(&image.url), image.caption))
        .collect()
}
