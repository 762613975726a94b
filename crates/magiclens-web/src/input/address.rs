//! Addresses and texts of pages, within their limits.

use url::Url;

use crate::DropReason;

pub(super) const NO_ADDRESS: DropReason = DropReason("without an address");
pub(super) const NOT_WEB: DropReason = DropReason("not a web address");

/// An address as the URL standard writes it, without a fragment. Only `http` and `https` lead to the web.
pub(super) fn web_address(address: &str) -> Result<Url, DropReason> {
    if address.trim().is_empty() {
        return Err(NO_ADDRESS);
    }
    let mut url = Url::parse(address).map_err(|_| NOT_WEB)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(NOT_WEB);
    }
    url.set_fragment(None);
    Ok(url)
}

/// The first `max_bytes` of a text, or a little less, so that no character is cut.
pub(super) fn cut(mut text: String, max_bytes: usize) -> String {
    text.truncate(text.floor_char_boundary(max_bytes));
    text
}
