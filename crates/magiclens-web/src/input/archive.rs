//! WARC files: pages and images out of the responses and resources of a crawl.

use std::path::Path;

use anyhow::Context;

use super::encodings::{self, Encoding};
use super::http_message::{Message, status_reason};
use super::records::{Head, Item, Records};
use super::sniff::{self, Kind, SNIFF_BYTES};
use super::{EMPTY, IMAGE_TOO_LARGE, InputConfig, PAGE_TOO_LARGE, Record, Wanted, web_address};
use crate::DropReason;
use crate::page::{RawImage, RawPage};

pub(super) const REVISIT: DropReason = DropReason("revisit");
const NO_TYPE: DropReason = DropReason("record without a type");
const OTHER_TYPE: DropReason = DropReason("neither HTML nor a picture");

/// Reads the records of one file. `name` stands for it in what is rejected.
pub(super) fn read(
    name: &str,
    path: &Path,
    wanted: Wanted,
    config: &InputConfig,
    each: &mut dyn FnMut(Record) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for_each_item(name, path, config, &mut |head, block| {
        let record = match block.and_then(|block| take_record(&head, block, wanted, config)) {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(()),
            // What is wrong with the file is told once, in the pass for pages.
            Err(_) if !wanted.has_pages() => return Ok(()),
            Err(reason) => Record::Rejected {
                item: item_name(name, &head),
                reason,
            },
        };
        each(record)
    })
}

/// What takes the records of a file, each with its content or the reason why that is lost.
pub(super) type TakeItem<'a> = dyn FnMut(Head, Result<&[u8], DropReason>) -> anyhow::Result<()> + 'a;

/// Gives each record of a file to `each`.
pub(super) fn for_each_item(name: &str, path: &Path, config: &InputConfig, each: &mut TakeItem) -> anyhow::Result<()> {
    let file = fs_err::File::open(path)?;
    let reading = || format!("`{name}` cannot be read");
    let mut records = Records::new(file, name.to_ascii_lowercase().ends_with(".gz"), config).with_context(reading)?;
    while let Some(item) = records.next().with_context(reading)? {
        match item {
            Item::Record(head) => each(head, Ok(records.block()))?,
            Item::Lost(head, reason) => each(head, Err(reason))?,
        }
    }
    Ok(())
}

/// How a record is called in what is rejected: by its address, else by its place.
pub(super) fn item_name(name: &str, head: &Head) -> String {
    if head.address.is_empty() {
        format!("{name}@{}", head.offset)
    } else {
        head.address.clone()
    }
}

/// The page or image in a record, if it has one and it is wanted. An error is about what is not clearly an image.
fn take_record(head: &Head, block: &[u8], wanted: Wanted, config: &InputConfig) -> Result<Option<Record>, DropReason> {
    let message = match head.kind.as_str() {
        "response" => Message::parse(block, config.max_header_bytes)?,
        "resource" => Message {
            status: 200,
            content_type: head.content_type.clone(),
            body: block,
            ..Message::default()
        },
        "revisit" => return Err(REVISIT),
        "" => return Err(NO_TYPE),
        _ => return Ok(None),
    };
    if let Some(reason) = status_reason(message.status) {
        return Err(reason);
    }
    if sniff::is_stated_other(&message.content_type) {
        return Err(OTHER_TYPE);
    }
    if message.body.is_empty() {
        return Err(EMPTY);
    }
    let kind = body_kind(&message)?;
    let url = web_address(&head.address)?.into();
    let is_wanted = match kind {
        Kind::Html => wanted.has_pages(),
        Kind::Image => wanted.has_images(),
        Kind::Other => return Err(OTHER_TYPE),
    };
    if !is_wanted {
        return Ok(None);
    }
    let Message {
        content_type,
        robots_tags,
        encodings,
        body,
        ..
    } = message;
    if kind == Kind::Html {
        let html = decode_whole(body, &encodings, config.max_page_bytes, PAGE_TOO_LARGE)?;
        return Ok(Some(Record::Html(RawPage {
            url,
            content_type,
            html,
            robots_tags,
        })));
    }
    Ok(Some(
        match decode_whole(body, &encodings, config.max_image_bytes, IMAGE_TOO_LARGE) {
            Ok(bytes) => Record::Image(RawImage {
                url,
                content_type,
                bytes,
                robots_tags,
            }),
            Err(reason) => Record::Rejected { item: url, reason },
        },
    ))
}

/// What the body is, by its first bytes; an image that says so and is compressed is believed, which spares a decoder.
fn body_kind(message: &Message) -> Result<Kind, DropReason> {
    if !message.encodings.is_empty() && sniff::is_stated_image(&message.content_type) {
        return Ok(Kind::Image);
    }
    let head = encodings::decode(message.body, &message.encodings, SNIFF_BYTES)?;
    Ok(sniff::kind(&message.content_type, &head.bytes))
}

fn decode_whole(
    body: &[u8],
    encodings: &[Encoding],
    max_bytes: usize,
    too_large: DropReason,
) -> Result<Vec<u8>, DropReason> {
    let decoded = encodings::decode(body, encodings, max_bytes)?;
    if decoded.is_whole {
        Ok(decoded.bytes.into_owned())
    } else {
        Err(too_large)
    }
}
