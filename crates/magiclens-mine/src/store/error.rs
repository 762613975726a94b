//! Errors of the place where a run lives, each with the way out.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub(super) type Result<T> = std::result::Result<T, StoreError>;

/// As the client of the object store said it.
type ClientError = Box<dyn Error + Send + Sync>;

/// A refusal or failure of a store. Messages name the object and give a hint.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// An address that leads nowhere.
    #[error(
        "`{address}` is no place that can be opened: {reason}\nhint: give a folder, `s3://BUCKET/PREFIX`, \
         `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX` or `abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PREFIX`"
    )]
    Address {
        /// As it was given.
        address: String,
        /// The reason.
        reason: String,
    },
    /// A name that would leave the place, or that some places cannot hold.
    #[error(
        "`{name}` cannot be the name of a file in a run\nhint: names are relative, with `/` between their parts, without `..`"
    )]
    Name {
        /// As it was given.
        name: String,
    },
    /// There is no such file.
    #[error("`{object}` does not exist\nhint: check its name, and whether what writes it has run")]
    Missing {
        /// Path or address.
        object: String,
    },
    /// The variables of the environment do not fit together.
    #[error("`{address}` cannot be opened: {error}\nhint: check {} and {}", .provider.credentials(), .provider.endpoint())]
    Settings {
        /// As it was given.
        address: String,
        /// Its provider.
        provider: Provider,
        /// As the client said it.
        error: ClientError,
    },
    /// The bucket or container is not there.
    #[error("`{address}` cannot be opened: no such bucket: {error}\nhint: make the bucket first, or check {}", .provider.endpoint())]
    NoBucket {
        /// As it was given.
        address: String,
        /// Its provider.
        provider: Provider,
        /// As the provider said it.
        error: ClientError,
    },
    /// The credentials are wrong, or do not suffice.
    #[error("`{object}`: access is denied: {error}\nhint: check {}, and what they may do in this bucket", .provider.credentials())]
    Denied {
        /// Its address.
        object: String,
        /// Its provider.
        provider: Provider,
        /// As the provider said it.
        error: ClientError,
    },
    /// A provider that cannot write a file only if it is absent.
    #[error(
        "`{object}` cannot be created exclusively: {error}\nhint: this object store lacks conditional writes (`If-None-Match`); use \
         another one, or a shared disk"
    )]
    NotConditional {
        /// Its address.
        object: String,
        /// As the provider said it.
        error: ClientError,
    },
    /// The object store did not answer, or with an error, after some retries.
    #[error("`{object}` cannot be reached: {error}\nhint: check the network and {}", .provider.endpoint())]
    Unreachable {
        /// Its address.
        object: String,
        /// Its provider.
        provider: Provider,
        /// As the provider said it.
        error: ClientError,
    },
    /// A finished file that could not be moved to its place.
    #[error("`{path}` cannot be published: {error}\nhint: check that the folder is writable and its disk has space")]
    Publish {
        /// Its place.
        path: PathBuf,
        /// As the system said it.
        error: io::Error,
    },
    /// The disk of this machine; the message names the path.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The provider of a remote place; hints name its variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Amazon S3, and all that speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage and Data Lake.
    Azure,
}

impl StoreError {
    pub(super) fn missing(path: &Path) -> Self {
        Self::Missing {
            object: path.display().to_string(),
        }
    }
}

impl Provider {
    fn credentials(self) -> &'static str {
        match self {
            Self::S3 => "`AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`",
            Self::Google => "`GOOGLE_SERVICE_ACCOUNT` or `GOOGLE_APPLICATION_CREDENTIALS`",
            Self::Azure => "`AZURE_STORAGE_ACCOUNT_NAME` and `AZURE_STORAGE_ACCOUNT_KEY`",
        }
    }

    fn endpoint(self) -> &'static str {
        match self {
            Self::S3 => "`AWS_ENDPOINT` and `AWS_REGION`; an endpoint without TLS also needs `AWS_ALLOW_HTTP=true`",
            Self::Google => "the bucket's name and `GOOGLE_SERVICE_ACCOUNT`",
            Self::Azure => "`AZURE_STORAGE_ACCOUNT_NAME` and `AZURE_STORAGE_ENDPOINT`",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::S3 => "S3",
            Self::Google => "Google Cloud Storage",
            Self::Azure => "Azure",
        })
    }
}
