//! Answers: the image at an address, or the reason why there is none.

use magiclens_data::ImageId;

use super::reason::FetchFailure;

/// The answer for one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The places in the list that asked for it, ascending: more than one if it was asked for repeatedly.
    pub places: Vec<usize>,
    /// The address as it was first asked for.
    pub url: String,
    /// The address after redirects; where a failure happened.
    pub final_url: String,
    /// The image, or why there is none.
    pub result: Result<Body, FetchFailure>,
}

/// An image as a server gave it, not yet decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// The file.
    pub bytes: Vec<u8>,
    /// The `Content-Type` header; empty if there was none.
    pub content_type: String,
    /// The values of its `X-Robots-Tag` headers.
    pub robots_tags: Vec<String>,
    /// The hash of the file.
    pub hash: ImageId,
}
