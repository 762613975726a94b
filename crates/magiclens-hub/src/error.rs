//! Errors of names, downloads and the cache.

use std::io;
use std::path::PathBuf;

/// Why a name gives no files.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// A text that names nothing.
    #[error(
        "`{0}` is neither a file nor the name of a model\n\
         hint: names are `small`, `magiclens-base`, `magiclens-large` and OWNER/NAME[@REVISION] of the hub; `magiclens model list` shows some"
    )]
    BadName(String),
    /// A model that is not here, and no network is to be used.
    #[error(
        "the model `{name}` is not on this machine, and `HF_HUB_OFFLINE` forbids to fetch it\n\
         hint: run `magiclens model pull {name}` with a connection and without that variable"
    )]
    Offline {
        /// The model.
        name: String,
    },
    /// A model that is not here, in a program that cannot download.
    #[error(
        "the model `{name}` is not on this machine, and this program was built without downloads\n\
         hint: build it with its default features, or bring the files with another client of the hub"
    )]
    NoDownloads {
        /// The model.
        name: String,
    },
    /// The hub knows no such repository, or does not show it.
    #[error(
        "the hub at {endpoint} has no model `{repository}`, or it is private\n\
         hint: check the spelling; for a private one set `HF_TOKEN` to a token of yours that may read it"
    )]
    NoRepository {
        /// Address of the hub.
        endpoint: String,
        /// The repository.
        repository: String,
    },
    /// The repository has no such revision.
    #[error(
        "the model `{repository}` has no revision `{revision}`\nhint: see its revisions at {endpoint}/{repository}/commits/main"
    )]
    NoRevision {
        /// Address of the hub.
        endpoint: String,
        /// The repository.
        repository: String,
        /// The branch, tag or commit.
        revision: String,
    },
    /// The repository is given only to people who accepted its terms.
    #[error(
        "the model `{repository}` is gated: its owners want to be asked\n\
         hint: accept the terms at {endpoint}/{repository}, then set `HF_TOKEN` to a token of that account"
    )]
    Gated {
        /// Address of the hub.
        endpoint: String,
        /// The repository.
        repository: String,
    },
    /// The hub refuses the token.
    #[error(
        "the hub at {endpoint} refuses the token\nhint: `HF_TOKEN` may have expired; make a new one at {endpoint}/settings/tokens"
    )]
    BadToken {
        /// Address of the hub.
        endpoint: String,
    },
    /// A repository without the files of a model that we read.
    #[error(
        "`{repository}` holds no model of a layout that is read\n\
         hint: needed is `config.json` with `model.safetensors` or `pytorch_model.bin`, or `open_clip_config.json` with open_clip's weights"
    )]
    NoModel {
        /// The repository.
        repository: String,
    },
    /// No answer, or one that breaks off, again and again.
    #[error("cannot fetch {url}: {reason}\nhint: run the same command again; it goes on where it stopped")]
    Unreachable {
        /// The address.
        url: String,
        /// The last failure.
        reason: String,
    },
    /// An answer that says no.
    #[error("{url} answers {status}\nhint: {hint}")]
    Refused {
        /// The address.
        url: String,
        /// Status code and its name.
        status: String,
        /// The way out.
        hint: &'static str,
    },
    /// An answer that is none of the hub's protocol.
    #[error("{url} does not answer as a hub does: {reason}\nhint: check `HF_ENDPOINT`")]
    BadAnswer {
        /// The address.
        url: String,
        /// The part that is wrong.
        reason: String,
    },
    /// A file of another size or content than the server states.
    #[error(
        "`{file}` arrived damaged: {found} instead of {expected}; nothing of it was kept\n\
         hint: run the same command again; if it happens twice, a proxy or mirror alters the file"
    )]
    Damaged {
        /// The file.
        file: String,
        /// Size or hash that the server states.
        expected: String,
        /// Size or hash of the bytes that came.
        found: String,
    },
    /// The disk is full.
    #[error(
        "the disk with `{}` is full after {have} of {size} bytes\n\
         hint: make room, or set `HF_HOME` to a folder on another disk; the same command goes on where it stopped", path.display()
    )]
    DiskFull {
        /// The file that was being written.
        path: PathBuf,
        /// Bytes that are there.
        have: u64,
        /// Bytes of the whole file.
        size: u64,
    },
    /// A model that is to be removed and is not there.
    #[error("the model `{0}` is not on this machine\nhint: `magiclens model list` shows those that are")]
    NotHere(String),
    /// A model that is no download.
    #[error("`{0}` is no downloaded model, so there is nothing to remove")]
    NotDownloaded(String),
    /// A file or folder that cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}
