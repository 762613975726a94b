//! Reasons for which an image was not fetched.

use crate::DropReason;

/// A fetch that brought no image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchFailure {
    /// In constant words, for the counts.
    pub reason: DropReason,
    /// True if asking again later, with the same configuration, may go better.
    pub retryable: bool,
    /// The particulars, for people.
    pub detail: String,
}

impl FetchFailure {
    /// A failure; its reason says whether it may pass.
    pub(super) fn new(reason: DropReason, detail: impl Into<String>) -> Self {
        let retryable = RETRYABLE.contains(&reason);
        let detail = detail.into();
        Self {
            reason,
            retryable,
            detail,
        }
    }
}

/// All reasons.
pub mod reasons {
    use crate::DropReason;

    /// The configuration does not allow fetching.
    pub const NOT_ALLOWED: DropReason = DropReason("fetching is not allowed");
    /// Not an http or https address, with a password, too long, or on a port that may not be asked; also after a redirect.
    pub const BAD_ADDRESS: DropReason = DropReason("bad address");
    /// Loopback, a private network, or another address that is not of the public internet; also after a redirect.
    pub const PRIVATE_ADDRESS: DropReason = DropReason("private address");
    /// robots.txt says no.
    pub const ROBOTS_DISALLOWED: DropReason = DropReason("robots.txt disallows");
    /// robots.txt could not be read, which counts as a no until it can.
    pub const ROBOTS_UNREACHABLE: DropReason = DropReason("robots.txt unreachable");
    /// The image's headers say that it be left alone.
    pub const OPTED_OUT: DropReason = DropReason("opted out");
    /// Status 404.
    pub const NOT_FOUND: DropReason = DropReason("not found");
    /// Status 410.
    pub const GONE: DropReason = DropReason("gone");
    /// Status 401, 402, 403, 407 or 451.
    pub const FORBIDDEN: DropReason = DropReason("forbidden");
    /// Status 429.
    pub const TOO_MANY_REQUESTS: DropReason = DropReason("too many requests");
    /// Status 500 to 599.
    pub const SERVER_ERROR: DropReason = DropReason("server error");
    /// Any other status but 200 and 203, and redirects to nowhere.
    pub const UNEXPECTED_STATUS: DropReason = DropReason("unexpected status");
    /// More redirects than allowed.
    pub const TOO_MANY_REDIRECTS: DropReason = DropReason("too many redirects");
    /// Larger than allowed.
    pub const TOO_LARGE: DropReason = DropReason("too large");
    /// Neither of an image type nor with the first bytes of one, or empty.
    pub const NOT_AN_IMAGE: DropReason = DropReason("not an image");
    /// The name of the host has no address.
    pub const HOST_NOT_FOUND: DropReason = DropReason("host not found");
    /// No connection came about.
    pub const CONNECTION_FAILED: DropReason = DropReason("connection failed");
    /// The host could not prove who it is, or speaks no TLS that we do.
    pub const TLS_FAILED: DropReason = DropReason("TLS failed");
    /// Connected, but not done in time; or status 408.
    pub const TIMED_OUT: DropReason = DropReason("timed out");
    /// The connection ended before the answer did.
    pub const CUT_OFF: DropReason = DropReason("connection cut off");
    /// The answer is not HTTP, or its head is too large.
    pub const BAD_ANSWER: DropReason = DropReason("bad answer");
    /// Not asked, because too many images of the host failed in a row.
    pub const HOST_FAILING: DropReason = DropReason("host keeps failing");
    /// The code that asks broke.
    pub const PANICKED: DropReason = DropReason("panicked");
}

use reasons::{
    CONNECTION_FAILED, CUT_OFF, HOST_FAILING, HOST_NOT_FOUND, ROBOTS_UNREACHABLE, SERVER_ERROR, TIMED_OUT,
    TOO_MANY_REQUESTS,
};

/// Failures that may pass by themselves. A look-up that fails may be the resolver's fault as well as the name's.
const RETRYABLE: [DropReason; 8] = [
    ROBOTS_UNREACHABLE,
    TOO_MANY_REQUESTS,
    SERVER_ERROR,
    HOST_NOT_FOUND,
    CONNECTION_FAILED,
    TIMED_OUT,
    CUT_OFF,
    HOST_FAILING,
];
