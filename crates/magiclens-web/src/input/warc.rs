//! WARC files: pages and images out of the responses and resources of a crawl.

use super::address::web_address;
use super::archive::Head;
use super::config::InputConfig;
use super::encodings;
use super::http_message::{Message, status_reason};
use super::record::{EMPTY, IMAGE_TOO_LARGE, PAGE_TOO_LARGE, REVISIT, Record, Rejected};
use super::sniff::{self, Kind, SNIFF_BYTES};
use crate::DropReason;
use crate::page::{RawImage, RawPage};

const NO_TYPE: DropReason = DropReason("record without a type");
const OTHER_TYPE: DropReason = DropReason("neither HTML nor an image");

/// The page or image in a record, if it is of a kind that has one.
pub(super) fn record(head: &Head, block: &[u8], config: &InputConfig) -> Result<Option<Record>, DropReason> {
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
    status_reason(message.status).map_or(Ok(()), Err)?;
    if sniff::is_stated_other(&message.content_type) {
        return Err(OTHER_TYPE);
    }
    if message.body.is_empty() {
        return Err(EMPTY);
    }
    let kind = body_kind(&message)?;
    let url = web_address(&head.address)?.into();
    match kind {
        Kind::Html => page(url, message, config).map(Some),
        Kind::Image => Ok(Some(image(url, message, config))),
        Kind::Other => Err(OTHER_TYPE),
    }
}

fn page(url: String, message: Message, config: &InputConfig) -> Result<Record, DropReason> {
    Ok(Record::Html(RawPage {
        url,
        html: decode_whole(&message, config.max_page_bytes, PAGE_TOO_LARGE)?,
        content_type: message.content_type,
        robots_tags: message.robots_tags,
    }))
}

fn image(url: String, message: Message, config: &InputConfig) -> Record {
    match decode_whole(&message, config.max_image_bytes, IMAGE_TOO_LARGE) {
        Ok(bytes) => Record::Image(RawImage {
            url,
            content_type: message.content_type,
            bytes,
            robots_tags: message.robots_tags,
        }),
        Err(reason) => Record::RejectedImage(Rejected { item: url, reason }),
    }
}

/// The kind of the body, by its first bytes; an image that says so and is compressed is believed, which spares a decoder.
fn body_kind(message: &Message) -> Result<Kind, DropReason> {
    if !message.encodings.is_empty() && sniff::is_stated_image(&message.content_type) {
        return Ok(Kind::Image);
    }
    let head = encodings::decode(message.body, &message.encodings, SNIFF_BYTES)?;
    Ok(sniff::kind(&message.content_type, &head.bytes))
}

fn decode_whole(message: &Message, max_bytes: usize, too_large: DropReason) -> Result<Vec<u8>, DropReason> {
    let decoded = encodings::decode(message.body, &message.encodings, max_bytes)?;
    decoded.is_whole.then(|| decoded.bytes.into_owned()).ok_or(too_large)
}
