//! Reasons to drop a record, a page or an image.

/// The reason to drop an item, in a few words that never change from item to item: they are what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DropReason(pub &'static str);
