//! WAT files: a crawler's notes about each page, as JSON in the `metadata` records of a WARC file.
//!
//! Common Crawl's extractor writes `IMG@/src` links with `alt` and `title`; it knows nothing of `srcset`, captions or the text around.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use url::Url;

use super::address::{cut, web_address};
use super::archive::Head;
use super::config::InputConfig;
use super::http_message::status_reason;
use super::record::{PAGE_TOO_LARGE, REVISIT, Record};
use super::sniff;
use crate::DropReason;
use crate::opt_out::wishes;
use crate::page::{Page, PageImage};

const BAD_JSON: DropReason = DropReason("not a WAT record");
const NOT_HTML: DropReason = DropReason("not HTML");

/// The attributes of `<img>` that hold its address, as they stand in the paths of links.
const IMAGE_PATHS: [&str; 4] = ["IMG@/src", "IMG@/data-src", "IMG@/data-original", "IMG@/data-lazy-src"];
/// `<meta>` names under which pages state their license.
const LICENSE_NAMES: [&str; 4] = ["dc.rights", "dc.license", "dcterms.rights", "dcterms.license"];

/// The page in a record of metadata.
pub(super) fn record(head: &Head, block: &[u8], config: &InputConfig) -> Result<Option<Record>, DropReason> {
    if head.kind != "metadata" {
        return Ok(None);
    }
    Ok(parse_page(block, &head.address, config)?.map(Record::Page))
}

/// The page that a record describes; none if it describes no response.
fn parse_page(block: &[u8], address: &str, config: &InputConfig) -> Result<Option<Page>, DropReason> {
    if config.max_page_bytes < block.len() {
        return Err(PAGE_TOO_LARGE);
    }
    // `serde_json` refuses what is nested too deeply.
    let Wat { envelope } = serde_json::from_slice(block).map_err(|_| BAD_JSON)?;
    let header = envelope.header;
    match header.kind.0.as_str() {
        "response" => {}
        "revisit" => return Err(REVISIT),
        _ => return Ok(None),
    }
    let response = envelope.payload.response;
    if let Some(reason) = response.message.status.0.parse().map_or(Some(BAD_JSON), status_reason) {
        return Err(reason);
    }
    let content_type = response.header("Content-Type").unwrap_or_default();
    let html = response.html.as_ref().ok_or(NOT_HTML)?;
    if sniff::is_stated_other(content_type) || sniff::is_stated_image(content_type) {
        return Err(NOT_HTML);
    }
    let stated = header.address.0.as_str();
    let url = web_address(if stated.is_empty() { address } else { stated })?;
    Ok(Some(make_page(url, &response, html, config)))
}

fn make_page(url: Url, response: &Response, html: &Html, config: &InputConfig) -> Page {
    let base = url.join(&html.head.base.0).unwrap_or_else(|_| url.clone());
    let text = |text: &str| cut(text.to_owned(), config.max_text_bytes);
    let image = |link: &Link| {
        Some(PageImage {
            url: link.absolute(&base, config)?,
            alt: text(&link.alt.0),
            title: text(&link.title.0),
            ..PageImage::default()
        })
    };
    let links = html.head.link.iter().chain(&html.links);
    let license = links
        .filter(|link| link.is_license())
        .find_map(|link| link.absolute(&base, config));
    let license = license.or_else(|| LICENSE_NAMES.iter().find_map(|name| html.head.meta(name)));
    let images = html.links.iter().filter(|link| link.is_image());
    let title = Some(html.head.title.0.clone()).filter(|title| !title.trim().is_empty());
    let title = title.or_else(|| html.head.meta("og:title"));
    Page {
        title: text(&title.unwrap_or_default()),
        language: html.head.meta("HTML@/lang").unwrap_or_default(),
        license: text(&license.unwrap_or_default()),
        opt_outs: opt_outs(response, &html.head),
        images: images.filter_map(image).take(config.max_images_per_page).collect(),
        url: url.into(),
        ..Page::default()
    }
}

/// The wishes of the publisher in headers and `<meta>`, sorted. What is said to one crawler is taken to be said to all.
fn opt_outs(response: &Response, head: &HtmlHead) -> Vec<String> {
    let is_robots_tag = |(name, _): &&(String, Text)| name.eq_ignore_ascii_case("X-Robots-Tag");
    let headers = response.headers.iter().filter(is_robots_tag).map(|(_, value)| &value.0);
    let is_robots = |meta: &&Meta| meta.name.0.eq_ignore_ascii_case("robots");
    let metas = head.metas.iter().filter(is_robots).map(|meta| &meta.content.0);
    let mut found: BTreeSet<&str> = headers.chain(metas).flat_map(|value| wishes(value)).collect();
    let reservation = "tdm-reservation";
    let reserves = |value: Option<String>| value.is_some_and(|value| value.trim() == "1");
    if reserves(response.header(reservation).map(str::to_owned)) || reserves(head.meta(reservation)) {
        found.insert(reservation);
    }
    found.into_iter().map(str::to_owned).collect()
}

#[derive(serde::Deserialize)]
struct Wat {
    #[serde(rename = "Envelope")]
    envelope: Envelope,
}

#[derive(serde::Deserialize)]
struct Envelope {
    #[serde(rename = "WARC-Header-Metadata")]
    header: WarcHeader,
    #[serde(rename = "Payload-Metadata", default)]
    payload: Payload,
}

#[derive(serde::Deserialize)]
struct WarcHeader {
    #[serde(rename = "WARC-Type", default)]
    kind: Text,
    #[serde(rename = "WARC-Target-URI", default)]
    address: Text,
}

#[derive(Default, serde::Deserialize)]
struct Payload {
    #[serde(rename = "HTTP-Response-Metadata", default)]
    response: Response,
}

#[derive(Default, serde::Deserialize)]
struct Response {
    #[serde(rename = "Response-Message", default)]
    message: ResponseMessage,
    #[serde(rename = "Headers", default, deserialize_with = "pairs")]
    headers: Vec<(String, Text)>,
    #[serde(rename = "HTML-Metadata")]
    html: Option<Html>,
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ResponseMessage {
    status: Text,
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Html {
    head: HtmlHead,
    links: Vec<Link>,
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HtmlHead {
    title: Text,
    base: Text,
    metas: Vec<Meta>,
    link: Vec<Link>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Meta {
    name: Text,
    property: Text,
    content: Text,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Link {
    path: Text,
    url: Text,
    alt: Text,
    title: Text,
    rel: Text,
}

impl Link {
    fn is_image(&self) -> bool {
        IMAGE_PATHS.iter().any(|path| self.path.0.eq_ignore_ascii_case(path))
    }

    fn is_license(&self) -> bool {
        let mut words = self.rel.0.split_ascii_whitespace();
        words.any(|rel| rel.eq_ignore_ascii_case("license"))
    }

    /// Its web address without a fragment, if it has one and that is not too long.
    fn absolute(&self, base: &Url, config: &InputConfig) -> Option<String> {
        let address = self.url.0.trim();
        if address.is_empty() || config.max_address_bytes < address.len() {
            return None;
        }
        let url = base.join(address).ok()?;
        web_address(url.as_str()).ok().map(String::from)
    }
}

impl Response {
    /// The value of a header, whatever the case of its name.
    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let header = headers.find(|(found, _)| found.eq_ignore_ascii_case(name));
        header.map(|(_, value)| value.0.as_str())
    }
}

impl HtmlHead {
    /// The content of the `<meta>` of that name or property, if it has any.
    fn meta(&self, name: &str) -> Option<String> {
        let is_named =
            |meta: &&Meta| meta.name.0.eq_ignore_ascii_case(name) || meta.property.0.eq_ignore_ascii_case(name);
        let contents = self.metas.iter().filter(is_named).map(|meta| meta.content.0.trim());
        contents.filter(|content| !content.is_empty()).map(str::to_owned).next()
    }
}

/// A value that ought to be a string. Numbers are taken as written, a list as its parts with commas (headers that came several
/// times), anything else as nothing: an odd value costs itself, not the page.
#[derive(Clone, Debug, Default)]
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|value| Self(text(value)))
    }
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        Value::Array(parts) => parts.into_iter().map(text).collect::<Vec<_>>().join(", "),
        Value::Null | Value::Bool(_) | Value::Object(_) => String::new(),
    }
}

/// The entries of an object in their order, repeated names and all.
fn pairs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, Text)>, D::Error> {
    struct PairsVisitor;
    impl<'de> Visitor<'de> for PairsVisitor {
        type Value = Vec<(String, Text)>;

        fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut values: A) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some(pair) = values.next_entry()? {
                pairs.push(pair);
            }
            Ok(pairs)
        }
    }
    deserializer.deserialize_map(PairsVisitor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"Container":{"Filename":"x.warc.gz"},"Envelope":{"Format":"WARC","WARC-Header-Metadata":{
        "WARC-Type":"response","WARC-Target-URI":"http://example.org/a/page.html","Content-Length":"100"},
        "Payload-Metadata":{"HTTP-Response-Metadata":{"Response-Message":{"Status":"200","Reason":"OK"},
        "Headers":{"content-type":"text/html; charset=utf-8","X-Robots-Tag":["noarchive","bot: NoAI"],"TDM-Reservation":"1"},
        "HTML-Metadata":{"Head":{"Title":"A page","Base":"../b/","Metas":[{"name":"HTML@/lang","content":"de"},
        {"name":"robots","content":"noimageindex, follow"},{"property":"og:title","content":"no"}],
        "Link":[{"path":"LINK@/href","rel":"stylesheet","url":"x.css"},{"path":"LINK@/href","rel":"License","url":"/cc-by"}]},
        "Links":[{"path":"A@/href","url":"x"},{"path":"IMG@/src","url":"1.png","alt":"One","title":"first"},
        {"path":"IMG@/src","url":"https://other.org/2.png#f"},{"path":"IMG@/src","url":"data:image/png;base64,AA"},
        {"path":"IMG@/src"},{"path":"IMG@/longdesc","url":"no.html"},{"path":"IMG@/data-src","url":"/3.png","alt":7},
        {"path":"EMBED@/src","url":"film.swf"}]}}}}}"#;

    fn parse(json: &str) -> Result<Option<Page>, DropReason> {
        parse_page(json.as_bytes(), "http://example.org/header", &InputConfig::default())
    }

    #[test]
    fn a_record_becomes_a_page() {
        let page = parse(RECORD).unwrap().unwrap();
        let image = |url: &str, alt: &str, title: &str| PageImage {
            url: url.to_owned(),
            alt: alt.to_owned(),
            title: title.to_owned(),
            ..PageImage::default()
        };
        let expected = Page {
            url: "http://example.org/a/page.html".to_owned(),
            title: "A page".to_owned(),
            language: "de".to_owned(),
            license: "http://example.org/cc-by".to_owned(),
            opt_outs: ["noai", "noimageindex", "tdm-reservation"].map(str::to_owned).to_vec(),
            images: vec![
                image("http://example.org/b/1.png", "One", "first"),
                image("https://other.org/2.png", "", ""),
                image("http://example.org/3.png", "7", ""),
            ],
            ..Page::default()
        };
        assert_eq!(page, expected);
    }

    #[test]
    fn what_is_no_page_has_a_reason() {
        let check = |from: &str, to: &str, expected| {
            assert!(RECORD.contains(from), "{from}");
            assert_eq!(
                parse(&RECORD.replace(from, to)).map(|page| page.map(|page| page.url)),
                expected,
                "{to}"
            );
        };
        let kept = |url: &str| Ok(Some(url.to_owned()));
        check(
            r#""Status":"200""#,
            r#""Status":200"#,
            kept("http://example.org/a/page.html"),
        );
        check(
            r#""Status":"200""#,
            r#""Status":"404""#,
            Err(DropReason("HTTP status 4xx")),
        );
        check(r#""Status":"200""#, r#""Status":{}"#, Err(BAD_JSON));
        check(r#""WARC-Type":"response""#, r#""WARC-Type":"request""#, Ok(None));
        check(r#""WARC-Type":"response""#, r#""WARC-Type":"revisit""#, Err(REVISIT));
        check("text/html; charset=utf-8", "application/pdf", Err(NOT_HTML));
        check("HTML-Metadata", "PDF-Metadata", Err(NOT_HTML));
        check(
            r#""WARC-Target-URI":"http://example.org/a/page.html""#,
            r#""x":1"#,
            kept("http://example.org/header"),
        );
        check(
            "http://example.org/a/page.html",
            "file:///etc/passwd",
            Err(super::super::address::NOT_WEB),
        );
        check(
            r#""Title":"A page""#,
            r#""Title":["A",{"x":[1]},null]"#,
            kept("http://example.org/a/page.html"),
        );
        check("{\"Container\"", "{{\"Container\"", Err(BAD_JSON));
        assert_eq!(parse(&"[".repeat(100_000)), Err(BAD_JSON));
        assert_eq!(
            parse(&format!(r#"{{"Envelope":{}"#, r#"{"a":"#.repeat(100_000))),
            Err(BAD_JSON)
        );
        assert_eq!(parse(""), Err(BAD_JSON));
        let small = InputConfig {
            max_page_bytes: 100,
            ..InputConfig::default()
        };
        assert_eq!(parse_page(RECORD.as_bytes(), "", &small), Err(PAGE_TOO_LARGE));
    }

    #[test]
    fn images_and_texts_have_limits() {
        let config = InputConfig {
            max_images_per_page: 2,
            max_text_bytes: 3,
            max_address_bytes: 20,
            ..InputConfig::default()
        };
        let page = parse_page(RECORD.as_bytes(), "", &config).unwrap().unwrap();
        assert_eq!(page.title, "A p");
        let shown: Vec<(&str, &str)> = page
            .images
            .iter()
            .map(|image| (image.url.as_str(), image.alt.as_str()))
            .collect();
        assert_eq!(
            shown,
            [("http://example.org/b/1.png", "One"), ("http://example.org/3.png", "7")]
        );
    }
}
