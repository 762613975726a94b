//! A place in an object store, reached by its provider's protocol from ordinary, blocking code.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, LazyLock, mpsc};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path as ObjectPath;
use object_store::{BackoffConfig, ObjectStore, ObjectStoreExt, PutMode, PutPayload, RetryConfig, WriteMultipart};
use tempfile::NamedTempFile;
use tokio::runtime::Runtime;

use super::place::{LocalFile, Place, bad_name, missing, no_place};
use super::provider::{AZURE, GOOGLE, Provider, S3};
use super::scratch::Scratch;
use super::status::{LastAnswer, Noting, noted};

/// Bytes of one request. A request ends within the client's 30 seconds even at 300 kB/s, and at most
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
#[derive(Debug)]
pub(super) struct Bucket {
    store: Arc<dyn ObjectStore>,
    prefix: ObjectPath,
    address: String,
    provider: Provider,
    scratch: Scratch,
}

type Connect = fn(&url::Url, &[(&str, &str)], RetryConfig) -> object_store::Result<Arc<dyn ObjectStore>>;

/// A function that connects to a provider: its variables of the environment, then `settings`. The builders have the same methods, but no
/// trait in common.
macro_rules! client {
    ($builder:ty) => {{
        let connect: Connect = |url, settings, retry| {
            let mut builder = <$builder>::from_env()
                .with_url(url.as_str())
                .with_retry(retry)
                .with_http_connector(Noting::default());
            for (variable, value) in settings {
                builder = builder.with_config(variable.to_ascii_lowercase().parse()?, *value);
            }
            Ok(Arc::new(builder.build()?))
        };
        connect
    }};
}

/// A transfer that failed, and the last answer that it had.
struct Failure {
    /// The client's or the disk's.
    problem: anyhow::Error,
    last: LastAnswer,
}

/// Connects, and asks once whether the bucket is there, so that a wrong address or key shows at once.
pub(super) fn open(url: &url::Url, settings: &[(&str, &str)]) -> Result<Arc<dyn Place>> {
    let first = Bucket::connect(url, settings, first_contact())?;
    match first.transfer("tmp", async |store, path| {
        Ok(store.list_with_delimiter(Some(&path)).await?)
    })? {
        Ok(_) => Ok(Arc::new(Bucket::connect(url, settings, RetryConfig::default())?)),
        // A listing may be empty; it is not found only if its bucket is not.
        Err(Failure { problem, last }) if last.status == Some(404) => bail!(
            "`{}` cannot be opened: no such bucket: {problem}\nhint: make the bucket first, or check {}",
            first.address,
            first.provider.endpoint
        ),
        Err(failure) => Err(first.failed("", failure)),
    }
}

/// A copy of a single object.
pub(super) fn fetch(url: &url::Url, settings: &[(&str, &str)]) -> Result<LocalFile> {
    // The name of the object is "" here, and its address the prefix.
    Bucket::connect(url, settings, RetryConfig::default())?.local("")
}

impl Bucket {
    fn connect(url: &url::Url, settings: &[(&str, &str)], retry: RetryConfig) -> Result<Self> {
        // The clients below already need the cryptography that is chosen there.
        runtime()?;
        let address = match url.as_str().trim_end_matches('/') {
            place if place.contains("://") => place.to_owned(),
            _ => url.to_string(),
        };
        let (provider, connect) = match url.scheme() {
            "s3" | "s3a" => (S3, client!(AmazonS3Builder)),
            "gs" => (GOOGLE, client!(GoogleCloudStorageBuilder)),
            "az" | "azure" | "adl" | "abfs" | "abfss" => (AZURE, client!(MicrosoftAzureBuilder)),
            scheme => return Err(no_place(&address, format!("`{scheme}://` is no object store"))),
        };
        if url.host_str().is_none_or(str::is_empty) {
            return Err(no_place(&address, "it names no bucket"));
        }
        let prefix = ObjectPath::from_url_path(url.path()).map_err(|error| no_place(&address, error))?;
        let store = connect(url, settings, retry).map_err(|error| {
            let Provider { credentials, endpoint } = provider;
            anyhow!("`{address}` cannot be opened: {error}\nhint: check {credentials} and {endpoint}")
        })?;
        Ok(Self {
            store,
            prefix,
            address,
            provider,
            scratch: Scratch::new(std::env::temp_dir()),
        })
    }

    /// Runs a transfer of the named object and waits for it; unlike `block_on`, also where the caller is another runtime's thread.
    fn transfer<T, F>(
        &self,
        name: &str,
        transfer: impl FnOnce(Arc<dyn ObjectStore>, ObjectPath) -> F,
    ) -> Result<std::result::Result<T, Failure>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let below = ObjectPath::parse(name).map_err(|_| bad_name(name))?;
        let path = self.prefix.parts().chain(below.parts()).collect();
        let transfer = noted(transfer(self.store.clone(), path));
        let (sender, receiver) = mpsc::sync_channel(1);
        runtime()?.spawn(async move {
            // The receiver waits below, so sending cannot fail.
            let _ = sender.send(transfer.await);
        });
        // The sender is gone without a word only if the transfer panicked.
        let (result, last) = receiver
            .recv()
            .map_err(|_| anyhow!("the client of the object store failed"))?;
        Ok(result.map_err(|problem| Failure { problem, last }))
    }

    /// Like [`Bucket::transfer`], where every failure is an error.
    fn succeed<T, F>(&self, name: &str, transfer: impl FnOnce(Arc<dyn ObjectStore>, ObjectPath) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        self.transfer(name, transfer)?
            .map_err(|failure| self.failed(name, failure))
    }

    fn failed(&self, name: &str, failure: Failure) -> anyhow::Error {
        use object_store::Error;
        let Failure { problem, last } = failure;
        let Provider { credentials, endpoint } = self.provider;
        let object = match name {
            "" => self.address.clone(),
            name => format!("{}/{name}", self.address),
        };
        let is_denied = last.wanted_credentials || matches!(last.status, Some(401 | 403));
        match problem.downcast_ref::<Error>() {
            None => problem,
            Some(Error::NotFound { .. }) => missing(object),
            Some(_) if is_denied => anyhow!(
                "`{object}`: access is denied: {problem}\nhint: check {credentials}, and what they may do in this bucket"
            ),
            Some(Error::NotImplemented { .. } | Error::NotSupported { .. }) => anyhow!(
                "`{object}` cannot be created exclusively: {problem}\n\
                 hint: this object store lacks conditional writes (`If-None-Match`); use another one, or a shared disk"
            ),
            Some(_) => anyhow!("`{object}` cannot be reached: {problem}\nhint: check the network and {endpoint}"),
        }
    }
}

impl Place for Bucket {
    fn address(&self) -> String {
        self.address.clone()
    }

    fn folder(&self) -> Option<&Path> {
        None
    }

    fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    fn exists(&self, name: &str) -> Result<bool> {
        match self.transfer(name, async |store, path| Ok(store.head(&path).await?))? {
            Ok(_) => Ok(true),
            Err(failure) if failure.is_missing() => Ok(false),
            Err(failure) => Err(self.failed(name, failure)),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        self.succeed(folder, async |store, path| {
            let listed = store.list_with_delimiter(Some(&path)).await?.objects;
            // Some tools mark folders by an object of the folder's own name, which is no file.
            let name = |location: &ObjectPath| Some(location.prefix_match(&path)?.next()?.as_ref().to_owned());
            Ok(listed.iter().filter_map(|object| name(&object.location)).collect())
        })
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        self.succeed(name, async |store, path| {
            Ok(store.get(&path).await?.bytes().await?.to_vec())
        })
    }

    /// Copies an object into a file, piece by piece: each is a request with retries of its own.
    fn local(&self, name: &str) -> Result<LocalFile> {
        LocalFile::copied(&self.scratch, |mut file| {
            self.succeed(name, async move |store, path| {
                let size = store.head(&path).await?.size;
                let mut start = 0;
                while start < size {
                    let end = size.min(start + PART_BYTES);
                    file.write_all(&store.get_range(&path, start..end).await?)?;
                    start = end;
                }
                Ok(())
            })
        })
    }

    /// Makes an object of a file. It appears whole: by one request, or by the last of many.
    fn publish(&self, name: &str, temporary: NamedTempFile) -> Result<()> {
        let mut file = fs_err::File::open(temporary.path())?;
        let bytes = file.metadata()?.len();
        self.succeed(name, async move |store, path| {
            if bytes > PART_BYTES {
                let part_bytes = PART_BYTES.max(bytes.div_ceil(MAX_PARTS));
                return upload_parts(&store, &path, file, part_bytes as usize).await;
            }
            let mut content = Vec::new();
            file.read_to_end(&mut content)?;
            store.put(&path, PutPayload::from(content)).await?;
            Ok(())
        })
    }

    fn publish_new(&self, name: &str, temporary: NamedTempFile) -> Result<bool> {
        let payload = PutPayload::from(fs_err::read(temporary.path())?);
        let put = self.transfer(name, async move |store, path| {
            Ok(store.put_opts(&path, payload, PutMode::Create.into()).await?)
        });
        match put? {
            Ok(_) => Ok(true),
            Err(failure) if matches!(failure.remote(), Some(object_store::Error::AlreadyExists { .. })) => Ok(false),
            Err(failure) => Err(self.failed(name, failure)),
        }
    }

    fn remove(&self, name: &str) -> Result<()> {
        match self.transfer(name, async |store, path| Ok(store.delete(&path).await?))? {
            Err(failure) if !failure.is_missing() => Err(self.failed(name, failure)),
            _ => Ok(()),
        }
    }
}

impl Failure {
    fn remote(&self) -> Option<&object_store::Error> {
        self.problem.downcast_ref()
    }

    fn is_missing(&self) -> bool {
        matches!(self.remote(), Some(object_store::Error::NotFound { .. }))
    }
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

async fn upload_parts(
    store: &Arc<dyn ObjectStore>,
    path: &ObjectPath,
    mut file: fs_err::File,
    part_bytes: usize,
) -> Result<()> {
    let mut upload = WriteMultipart::new_with_chunk_size(store.put_multipart(path).await?, part_bytes);
    let mut piece = vec![0; 256 << 10];
    let mut write = async |upload: &mut WriteMultipart| loop {
        match file.read(&mut piece)? {
            0 => return anyhow::Ok(()),
            read => upload.write(&piece[..read]),
        }
        upload.wait_for_capacity(PARALLEL_PARTS).await?;
    };
    if let Err(problem) = write(&mut upload).await {
        // The first error tells why; that of cleaning up would hide it.
        let _ = upload.abort().await;
        return Err(problem);
    }
    upload.finish().await?;
    Ok(())
}

fn runtime() -> Result<&'static Runtime> {
    let runtime = RUNTIME.as_ref();
    runtime.map_err(|error| anyhow!("no threads for transfers: {error}"))
}
