//! Statements of a page about itself: title, language, license, wishes to be left alone.

use std::collections::BTreeSet;

use serde_json::Value;

use super::tag::Attribute;
use super::text::tidy;
use super::tokens::Attributes;
use crate::opt_out::wishes;

/// Statements of a page, as far as it has been read.
#[derive(Debug, Default)]
pub(super) struct Statements {
    /// `<title>`.
    pub(super) title: String,
    /// `og:title`.
    pub(super) shared_title: String,
    /// `<html lang>`.
    pub(super) language: String,
    /// The first `<base href>`.
    pub(super) base: Option<String>,
    license_link: Option<String>,
    license_data: Option<String>,
    /// By the trustworthiness of the name that it stands under.
    license_meta: [Option<String>; 3],
    opt_outs: BTreeSet<&'static str>,
}

/// The license of a page, as stated.
pub(super) enum License<'a> {
    /// An address as written.
    Address(&'a str),
    /// An address or words.
    Words(&'a str),
}

/// Most characters of a statement; a license that is longer is a text, not a name.
const MAX_CHARS: usize = 500;

impl Statements {
    pub(super) fn read_html(&mut self, attributes: &Attributes) {
        let language = attributes
            .get(Attribute::Lang)
            .or_else(|| attributes.get(Attribute::XmlLang));
        if self.language.is_empty() {
            self.language = words(language.unwrap_or_default());
        }
    }

    pub(super) fn read_base(&mut self, attributes: &Attributes) {
        if self.base.is_none() {
            let href = attributes.get(Attribute::Href);
            self.base = href.map(|href| String::from_utf8_lossy(href).into_owned());
        }
    }

    /// A `<link>` or an `<a>`.
    pub(super) fn read_link(&mut self, attributes: &Attributes) {
        let Some(rel) = attributes.get(Attribute::Rel).filter(|_| self.license_link.is_none()) else {
            return;
        };
        let is_license = |word: &[u8]| word.eq_ignore_ascii_case(b"license") || word.eq_ignore_ascii_case(b"licence");
        if rel.split(u8::is_ascii_whitespace).any(is_license) {
            let href = attributes.get(Attribute::Href).map(words);
            self.license_link = href.filter(|href| !href.is_empty());
        }
    }

    pub(super) fn read_meta(&mut self, attributes: &Attributes) {
        let Some(content) = attributes.get(Attribute::Content) else {
            return;
        };
        for attribute in [Attribute::Name, Attribute::Property] {
            let Some(name) = attributes.get(attribute) else {
                continue;
            };
            match &name.trim_ascii().to_ascii_lowercase()[..] {
                b"robots" | b"googlebot" | b"googlebot-image" | b"bingbot" | b"ccbot" => {
                    self.read_robots(&String::from_utf8_lossy(content));
                }
                b"tdm-reservation" if content.trim_ascii() == b"1" => {
                    self.opt_outs.insert("tdm-reservation");
                }
                b"og:title" if self.shared_title.is_empty() => self.shared_title = words(content),
                b"dcterms.license" | b"dcterms.licence" | b"dc.rights.license" | b"license" | b"licence"
                | b"cc:license" => {
                    self.keep_license(0, content);
                }
                b"dcterms.rights" | b"dc.rights" | b"rights" => self.keep_license(1, content),
                b"copyright" | b"dcterms.rightsholder" | b"dc.rights.holder" => self.keep_license(2, content),
                _ => {}
            }
        }
    }

    /// The directives of a robots `<meta>` or an `X-Robots-Tag`, for whichever robot they are meant.
    pub(super) fn read_robots(&mut self, directives: &str) {
        self.opt_outs.extend(wishes(directives));
    }

    pub(super) fn read_json_ld(&mut self, script: &[u8]) {
        if self.license_data.is_some() || !script.windows(9).any(|window| window == b"\"license\"") {
            return;
        }
        if let Ok(data) = serde_json::from_slice::<Value>(script) {
            let license = license_of(&data).map(|license| tidy(license, MAX_CHARS));
            self.license_data = license.filter(|license| !license.is_empty());
        }
    }

    /// The license that is stated most clearly.
    pub(super) fn license(&self) -> Option<License<'_>> {
        let link = self.license_link.as_deref().map(License::Address);
        let mut words = self.license_data.iter().chain(self.license_meta.iter().flatten());
        link.or_else(|| words.next().map(|words| License::Words(words)))
    }

    /// The wishes, sorted.
    pub(super) fn opt_outs(&self) -> Vec<String> {
        self.opt_outs.iter().map(|wish| (*wish).to_owned()).collect()
    }

    fn keep_license(&mut self, rank: usize, content: &[u8]) {
        let license = words(content);
        if self.license_meta[rank].is_none() && !license.is_empty() {
            self.license_meta[rank] = Some(license);
        }
    }
}

/// The license of the page's own objects: those of images and other works deeper inside are not the page's.
fn license_of(data: &Value) -> Option<&str> {
    match data {
        Value::Array(items) => items.iter().find_map(license_of),
        Value::Object(object) => {
            let license = object.get("license").and_then(|license| match license {
                Value::String(words) => Some(words.as_str()),
                Value::Object(license) => ["@id", "url", "name"]
                    .iter()
                    .find_map(|key| license.get(*key)?.as_str()),
                Value::Array(licenses) => licenses.iter().find_map(Value::as_str),
                _ => None,
            });
            license.or_else(|| object.get("@graph").and_then(license_of))
        }
        _ => None,
    }
}

fn words(value: &[u8]) -> String {
    tidy(&String::from_utf8_lossy(value), MAX_CHARS)
}
