//! A place in an object store, reached by its provider's protocol from ordinary, blocking code.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, LazyLock, mpsc};
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path as ObjectPath;
use object_store::{BackoffConfig, ObjectStore, ObjectStoreExt, PutMode, PutPayload, RetryConfig, WriteMultipart};
use tokio::runtime::Runtime;

use super::{Provider, Result, StoreError};

/// What one request carries. A request ends within the client's 30 seconds even at 300 kB/s, and at most
/// [`MAX_PARTS`] of them, the protocol's limit, make a file of 80 GB.
const PART_BYTES: u64 = 8 << 20;
/// Parts of an S3 upload; the other providers allow more.
const MAX_PARTS: u64 = 10_000;
/// Parts under way at once, which bounds the memory of an upload to so many parts.
const PARALLEL_PARTS: usize = 4;

/// The transfers of all stores. Callers wait on their own threads, which may be of any kind.
static RUNTIME: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    // An error says that somebody else has chosen one, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("store")
        .enable_all()
        .build()
});

/// A prefix in a bucket.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    store: Arc<dyn ObjectStore>,
    prefix: ObjectPath,
    address: String,
    provider: Provider,
}

type Connect = fn(&url::Url, &[(&str, &str)], RetryConfig) -> object_store::Result<Arc<dyn ObjectStore>>;

/// What connects to a provider: its variables of the environment, then `settings`. The builders have the same methods, but no
/// trait in common.
macro_rules! client {
    ($builder:ty) => {{
        let connect: Connect = |url, settings, retry| {
            let mut builder = <$builder>::from_env().with_url(url.as_str()).with_retry(retry);
            for (variable, value) in settings {
                builder = builder.with_config(variable.to_ascii_lowercase().parse()?, *value);
            }
            Ok(Arc::new(builder.build()?))
        };
        connect
    }};
}

impl Bucket {
    /// Connects, and asks once whether the bucket is there, so that a wrong address or key shows at once.
    pub(super) fn open(url: &url::Url, settings: &[(&str, &str)]) -> Result<Self> {
        let first = Self::connect(url, settings, first_contact())?;
        let (store, nowhere) = (first.store.clone(), first.prefix.clone().join("tmp"));
        match wait(async move { store.list_with_delimiter(Some(&nowhere)).await })? {
            Ok(_) => Self::of_object(url, settings),
            // A listing may be empty; it is not found only if its bucket is not.
            Err(error) if has_status(&error, "404 Not Found") => Err(StoreError::NoBucket {
                address: first.address,
                provider: first.provider,
                error,
            }),
            Err(error) => Err(first.failed("", error)),
        }
    }

    /// Connects without asking. Given the address of a single object, the name of that object is `""`.
    pub(super) fn of_object(url: &url::Url, settings: &[(&str, &str)]) -> Result<Self> {
        Self::connect(url, settings, RetryConfig::default())
    }

    fn connect(url: &url::Url, settings: &[(&str, &str)], retry: RetryConfig) -> Result<Self> {
        // The clients below already need the cryptography that is chosen there.
        runtime()?;
        let address = match url.as_str().trim_end_matches('/') {
            place if place.contains("://") => place.to_owned(),
            _ => url.to_string(),
        };
        let refuse = |reason: String| StoreError::Address {
            address: address.clone(),
            reason,
        };
        let (provider, connect) = match url.scheme() {
            "s3" | "s3a" => (Provider::S3, client!(AmazonS3Builder)),
            "gs" => (Provider::Google, client!(GoogleCloudStorageBuilder)),
            "az" | "azure" | "adl" | "abfs" | "abfss" => (Provider::Azure, client!(MicrosoftAzureBuilder)),
            scheme => return Err(refuse(format!("`{scheme}://` is no object store"))),
        };
        if url.host_str().is_none_or(str::is_empty) {
            return Err(refuse("it names no bucket".to_owned()));
        }
        let prefix = ObjectPath::from_url_path(url.path()).map_err(|error| refuse(error.to_string()))?;
        let store = connect(url, settings, retry).map_err(|error| StoreError::Settings {
            address: address.clone(),
            provider,
            error,
        })?;
        Ok(Self {
            store,
            prefix,
            address,
            provider,
        })
    }

    pub(super) fn exists(&self, name: &str) -> Result<bool> {
        let (store, path) = self.locate(name)?;
        match wait(async move { store.head(&path).await })? {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.failed(name, error)),
        }
    }

    /// The last parts of the names of the objects directly in a folder.
    pub(super) fn list(&self, folder: &str) -> Result<Vec<String>> {
        let (store, path) = self.locate(folder)?;
        let folder_path = path.clone();
        let listed = wait(async move { store.list_with_delimiter(Some(&path)).await })?;
        let listed = listed.map_err(|error| self.failed(folder, error))?;
        // Some tools mark folders by an object of the folder's own name, which is no file.
        let name = |location: &ObjectPath| Some(location.prefix_match(&folder_path)?.next()?.as_ref().to_owned());
        Ok(listed
            .objects
            .iter()
            .filter_map(|object| name(&object.location))
            .collect())
    }

    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>> {
        let (store, path) = self.locate(name)?;
        let bytes = wait(async move { store.get(&path).await?.bytes().await })?;
        Ok(bytes.map_err(|error| self.failed(name, error))?.to_vec())
    }

    /// Copies an object into a file, piece by piece: each is a request with retries of its own.
    pub(super) fn download(&self, name: &str, mut file: File) -> Result<()> {
        let (store, path) = self.locate(name)?;
        let copy = async move {
            let size = store.head(&path).await?.size;
            let mut start = 0;
            while start < size {
                let end = size.min(start + PART_BYTES);
                let bytes = store.get_range(&path, start..end).await?;
                if let Err(error) = file.write_all(&bytes) {
                    return Ok(Err(error));
                }
                start = end;
            }
            Ok(Ok(()))
        };
        let written = wait(copy)?.map_err(|error| self.failed(name, error))?;
        Ok(written?)
    }

    /// Makes an object of a file. It appears whole: by one request, or by the last of many.
    pub(super) fn upload(&self, name: &str, file: &Path) -> Result<()> {
        let (store, path) = self.locate(name)?;
        let mut file = fs_err::File::open(file)?;
        let bytes = file.metadata()?.len();
        let uploaded = if bytes <= PART_BYTES {
            let mut content = Vec::new();
            file.read_to_end(&mut content)?;
            wait(async move { store.put(&path, PutPayload::from(content)).await.map(|_| Ok(())) })?
        } else {
            let part_bytes = PART_BYTES.max(bytes.div_ceil(MAX_PARTS));
            wait(async move { upload_parts(&store, &path, file, part_bytes as usize).await })?
        };
        let read = uploaded.map_err(|error| self.failed(name, error))?;
        Ok(read?)
    }

    pub(super) fn create_exclusive(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        let (store, path) = self.locate(name)?;
        let payload = PutPayload::from(bytes.to_vec());
        match wait(async move { store.put_opts(&path, payload, PutMode::Create.into()).await })? {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(self.failed(name, error)),
        }
    }

    pub(super) fn remove(&self, name: &str) -> Result<()> {
        let (store, path) = self.locate(name)?;
        match wait(async move { store.delete(&path).await })? {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(name, error)),
        }
    }

    fn locate(&self, name: &str) -> Result<(Arc<dyn ObjectStore>, ObjectPath)> {
        let below = ObjectPath::parse(name).map_err(|_| StoreError::Name { name: name.to_owned() })?;
        let path = self.prefix.parts().chain(below.parts()).collect();
        Ok((self.store.clone(), path))
    }

    fn failed(&self, name: &str, error: object_store::Error) -> StoreError {
        use object_store::Error;
        let provider = self.provider;
        let object = match name {
            "" => self.address.clone(),
            name => format!("{}/{name}", self.address),
        };
        let is_denied = matches!(error, Error::PermissionDenied { .. } | Error::Unauthenticated { .. })
            || has_status(&error, "401 Unauthorized")
            || has_status(&error, "403 Forbidden")
            || has_no_credentials(&error);
        match error {
            Error::NotFound { .. } => StoreError::Missing { object },
            error if is_denied => StoreError::Denied {
                object,
                provider,
                error,
            },
            Error::NotImplemented { .. } | Error::NotSupported { .. } => StoreError::NotConditional { object, error },
            error => StoreError::Unreachable {
                object,
                provider,
                error,
            },
        }
    }
}

/// Whether a request was answered with a status. Listings have no kind of error for it, only words.
fn has_status(error: &object_store::Error, status: &str) -> bool {
    matches!(error, object_store::Error::Generic { source, .. } if source.to_string().contains(&format!("status code: {status}")))
}

impl fmt::Display for Bucket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.address)
    }
}

/// Without credentials in the environment a client asks the cloud machine that it might run on, at these addresses.
fn has_no_credentials(error: &object_store::Error) -> bool {
    let text = error.to_string();
    ["http://169.254.169.254/", "http://metadata"]
        .iter()
        .any(|address| text.contains(address))
}

/// A mistake in the address should show in seconds; once it is known to be right, outages of minutes are waited for.
fn first_contact() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            max_backoff: Duration::from_secs(2),
            ..BackoffConfig::default()
        },
        max_retries: 4,
        retry_timeout: Duration::from_secs(20),
    }
}

/// The outer error is the object store's, the inner one the file's.
async fn upload_parts(
    store: &Arc<dyn ObjectStore>,
    path: &ObjectPath,
    mut file: fs_err::File,
    part_bytes: usize,
) -> object_store::Result<io::Result<()>> {
    let mut upload = WriteMultipart::new_with_chunk_size(store.put_multipart(path).await?, part_bytes);
    let mut piece = vec![0; 256 << 10];
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => upload.write(&piece[..read]),
            Err(error) => {
                upload.abort().await?;
                return Ok(Err(error));
            }
        }
        if let Err(error) = upload.wait_for_capacity(PARALLEL_PARTS).await {
            // The first error tells why; that of cleaning up would hide it.
            let _ = upload.abort().await;
            return Err(error);
        }
    }
    upload.finish().await?;
    Ok(Ok(()))
}

fn runtime() -> Result<&'static Runtime> {
    let runtime = RUNTIME.as_ref();
    Ok(runtime.map_err(|error| io::Error::new(error.kind(), format!("no threads for transfers: {error}")))?)
}

/// Runs a transfer and waits for it; unlike `block_on`, also where the caller is another runtime's thread.
fn wait<T: Send + 'static>(transfer: impl Future<Output = T> + Send + 'static) -> Result<T> {
    let (sender, receiver) = mpsc::sync_channel(1);
    runtime()?.spawn(async move {
        // The receiver waits below, so sending cannot fail.
        let _ = sender.send(transfer.await);
    });
    // The sender is gone without a word only if the transfer panicked.
    Ok(receiver
        .recv()
        .map_err(|_| io::Error::other("the client of the object store failed"))?)
}
