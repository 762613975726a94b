//! A file over HTTP: resumed where it broke off, and checked by size and hash before it counts as complete.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use fs_err as fs;
use fs_err::File;
use reqwest::header::{CONTENT_RANGE, HeaderMap, RANGE, RETRY_AFTER};
use reqwest::{RequestBuilder, Response, StatusCode};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::error::HubError;
use crate::progress::Progress;

/// Failures in a row, without a new byte between them, after which a file is given up.
const ATTEMPTS: usize = 5;
/// Longest wait that a server's `Retry-After` is granted.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The hash of a content, as the hub's ETags give it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    /// Of large files.
    Sha256(String),
    /// Of small files: git's, over a header with the size and the content.
    GitBlob(String),
}

impl Hash {
    /// The hash in an ETag; `None` for an ETag of another kind.
    pub(crate) fn of_etag(etag: &str) -> Option<Self> {
        let is_hex = etag.bytes().all(|byte| byte.is_ascii_hexdigit());
        match etag.len() {
            64 if is_hex => Some(Self::Sha256(etag.to_owned())),
            40 if is_hex => Some(Self::GitBlob(etag.to_owned())),
            _ => None,
        }
    }

    fn stated(&self) -> &str {
        match self {
            Self::Sha256(hex) | Self::GitBlob(hex) => hex,
        }
    }

    /// The same hash of a file.
    fn of_file(&self, path: &Path) -> io::Result<String> {
        let size = fs::metadata(path)?.len();
        match self {
            Self::Sha256(_) => hex_of(path, Sha256::new()),
            Self::GitBlob(_) => hex_of(path, Sha1::new_with_prefix(format!("blob {size}\0"))),
        }
    }
}

fn hex_of(path: &Path, mut hasher: impl Digest + Write) -> io::Result<String> {
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A file to fetch.
pub(crate) struct Transfer<'a> {
    /// Its name, for people.
    pub(crate) name: &'a str,
    /// Its address, for errors.
    pub(crate) url: &'a str,
    /// Makes the request anew for each attempt.
    pub(crate) request: &'a (dyn Fn() -> RequestBuilder + 'a),
    /// Size that the server states.
    pub(crate) size: Option<u64>,
    /// Hash that the server states.
    pub(crate) hash: Option<Hash>,
    /// Place of the complete file.
    pub(crate) target: &'a Path,
}

/// An attempt that failed.
enum Failure {
    /// Worth another try, after the wait that the server asks for.
    Again(String, Option<Duration>),
    /// Not worth another try.
    Final(HubError),
}

impl<E: Into<HubError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Final(error.into())
    }
}

impl Transfer<'_> {
    /// Fetches the file. What an earlier process left of it is gone on with.
    pub(crate) async fn run(&self, progress: &mut dyn Progress) -> Result<(), HubError> {
        let partial = self.partial();
        fs::create_dir_all(partial.parent().unwrap_or(Path::new("")))?;
        let mut file = File::options().create(true).append(true).read(true).open(&partial)?;
        progress.begin(self.name, self.size, file.metadata()?.len());
        let mut waits = backoff();
        loop {
            let before = file.metadata()?.len();
            match self.attempt(&mut file, progress).await {
                Ok(()) => break,
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Again(reason, asked)) => {
                    if file.metadata()?.len() > before {
                        waits = backoff();
                    }
                    let wait = waits.next();
                    pause(self.url, reason, wait, asked, progress).await?;
                }
            }
        }
        self.finish(file, &partial)?;
        progress.end();
        Ok(())
    }

    /// The name that clients of the hub share.
    fn partial(&self) -> PathBuf {
        let mut name = self.target.as_os_str().to_owned();
        name.push(".incomplete");
        name.into()
    }

    async fn attempt(&self, file: &mut File, progress: &mut dyn Progress) -> Result<(), Failure> {
        let mut have = file.metadata()?.len();
        if self.size.is_some_and(|size| have > size) {
            file.set_len(0)?;
            have = 0;
        }
        if self.size == Some(have) {
            return Ok(());
        }
        let request = (self.request)();
        let request = match have {
            0 => request,
            _ => request.header(RANGE, format!("bytes={have}-")),
        };
        let response = request.send().await.map_err(|error| again(&error))?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if starts_at(response.headers(), have) => {}
            StatusCode::OK => {
                file.set_len(0)?;
                if have > 0 {
                    progress.begin(self.name, self.size, 0);
                }
            }
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                file.set_len(0)?;
                return Err(Failure::Again(
                    "the server gave another part than was asked for".into(),
                    None,
                ));
            }
            status => return Err(self.refusal(status, response.headers())),
        }
        self.receive(response, file, progress).await
    }

    /// Appends the body to the file.
    async fn receive(
        &self,
        mut response: Response,
        file: &mut File,
        progress: &mut dyn Progress,
    ) -> Result<(), Failure> {
        let mut have = file.metadata()?.len();
        while let Some(bytes) = response.chunk().await.map_err(|error| again(&error))? {
            let wanted = self.size.unwrap_or(u64::MAX);
            have += bytes.len() as u64;
            if have > wanted {
                file.set_len(0)?;
                return Err(self.damaged(format!("{wanted} bytes"), "more").into());
            }
            if let Err(error) = file.write_all(&bytes) {
                return Err(self.unwritten(error, file).into());
            }
            progress.advance(bytes.len() as u64);
        }
        match self.size {
            Some(size) if have < size => Err(Failure::Again(format!("broke off after {have} of {size} bytes"), None)),
            _ => Ok(()),
        }
    }

    /// Checks the file, makes it last, and gives it its name.
    fn finish(&self, file: File, partial: &Path) -> Result<(), HubError> {
        file.sync_all()?;
        if let Some(hash) = &self.hash {
            let found = hash.of_file(partial)?;
            if found != hash.stated() {
                fs::remove_file(partial)?;
                return Err(self.damaged(format!("hash {}", hash.stated()), &found));
            }
        }
        Ok(fs::rename(partial, self.target)?)
    }

    fn damaged(&self, expected: String, found: &str) -> HubError {
        HubError::Damaged {
            file: self.name.to_owned(),
            expected,
            found: found.to_owned(),
        }
    }

    fn unwritten(&self, error: io::Error, file: &File) -> HubError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                HubError::DiskFull {
                    path: self.partial(),
                    have: file.metadata().map_or(0, |metadata| metadata.len()),
                    size: self.size.unwrap_or(0),
                }
            }
            _ => error.into(),
        }
    }

    fn refusal(&self, status: StatusCode, headers: &HeaderMap) -> Failure {
        if is_busy(status) {
            return Failure::Again(format!("the server answers {status}"), retry_after(headers));
        }
        Failure::Final(HubError::Refused {
            url: self.url.to_owned(),
            status: status.to_string(),
            hint: "check the name and your rights; the server may have moved the file",
        })
    }
}

fn backoff() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(300))
        .with_max_delay(Duration::from_secs(10))
        .with_max_times(ATTEMPTS - 1)
        .with_jitter()
        .build()
}

/// Waits before the next attempt: as long as the server asks for, else `wait`; gives up where there is no next one.
async fn pause(
    url: &str,
    reason: String,
    wait: Option<Duration>,
    asked: Option<Duration>,
    progress: &mut dyn Progress,
) -> Result<(), HubError> {
    let Some(wait) = wait else {
        let url = url.to_owned();
        return Err(HubError::Unreachable { url, reason });
    };
    let wait = asked.map_or(wait, |asked| asked.min(LONGEST_WAIT));
    progress.note(&format!("{url}: {reason}; trying again in {:.1} s", wait.as_secs_f64()));
    tokio::time::sleep(wait).await;
    Ok(())
}

/// The answer to a request, which is made again while the server is busy or silent.
pub(crate) async fn answer(
    url: &str,
    progress: &mut dyn Progress,
    request: impl Fn() -> RequestBuilder,
) -> Result<Response, HubError> {
    let mut waits = backoff();
    loop {
        let (reason, asked) = match request().send().await {
            Ok(response) if is_busy(response.status()) => (
                format!("the server answers {}", response.status()),
                retry_after(response.headers()),
            ),
            Ok(response) => return Ok(response),
            Err(error) => (with_causes(&error), None),
        };
        pause(url, reason, waits.next(), asked, progress).await?;
    }
}

fn is_busy(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

fn again(error: &reqwest::Error) -> Failure {
    Failure::Again(with_causes(error), None)
}

/// An error with what caused it; reqwest's own text leaves the causes out.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Whether a part begins where it was asked to. A server that does not say is believed.
fn starts_at(headers: &HeaderMap, have: u64) -> bool {
    let stated = headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    stated.is_none_or(|range| range.starts_with(&format!("bytes {have}-")))
}

/// The wait that the hub asks for, which is a number of seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Reads a small answer whole, up to a limit.
pub(crate) async fn read_small(mut response: Response, limit: usize) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(bytes) = response.chunk().await.map_err(|error| with_causes(&error))? {
        body.extend_from_slice(&bytes);
        if body.len() > limit {
            return Err(format!("the answer is larger than {limit} bytes"));
        }
    }
    Ok(body)
}
