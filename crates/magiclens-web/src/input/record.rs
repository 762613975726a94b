//! Records: the pages and images of an input, and what is rejected.

use crate::DropReason;
use crate::page::{Page, RawImage, RawPage};

/// One thing that an input gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A page that is still to be parsed.
    Html(RawPage),
    /// A page of which only the links are known: from a WAT file or a table.
    Page(Page),
    /// An image, from an archive that holds images too.
    Image(RawImage),
    /// An image that cannot be used.
    RejectedImage(Rejected),
    /// Anything else that cannot be used.
    Rejected(Rejected),
}

/// An item that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its address, or the place in its file.
    pub item: String,
    /// The reason.
    pub reason: DropReason,
}

impl Record {
    pub(super) fn rejected(item: impl Into<String>, reason: DropReason) -> Self {
        Self::Rejected(Rejected {
            item: item.into(),
            reason,
        })
    }
}

pub(super) const EMPTY: DropReason = DropReason("empty");
pub(super) const IMAGE_TOO_LARGE: DropReason = DropReason("image too large");
pub(super) const PAGE_TOO_LARGE: DropReason = DropReason("page too large");
pub(super) const REVISIT: DropReason = DropReason("revisit");
