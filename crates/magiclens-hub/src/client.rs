//! The hub's protocol, as its Python client speaks it: a revision's files, a file's commit, ETag and size, and its content.

use std::path::Path;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, ETAG, HeaderMap, HeaderValue, LOCATION};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;

use crate::cache::Cache;
use crate::config::HubConfig;
use crate::error::HubError;
use crate::layout::model_files;
use crate::name::{HubName, Published, is_commit};
use crate::progress::Progress;
use crate::transfer::{Hash, Transfer, answer, read_small, with_causes};

/// A server that sends nothing for so long is given up.
const SILENCE: Duration = Duration::from_secs(30);
/// Largest answer that describes a repository.
const MAX_INFO_BYTES: usize = 16 << 20;
/// Redirects within the hub, as for renamed repositories.
const MAX_MOVES: usize = 5;

/// Connections to the hub.
pub(crate) struct Client<'a> {
    config: &'a HubConfig,
    runtime: tokio::runtime::Runtime,
    /// Follows redirects, and leaves the token behind where one leads to another host.
    following: reqwest::Client,
    /// Shows redirects: their answers carry a file's ETag and size.
    staying: reqwest::Client,
}

/// A revision of a repository: the part of `/api/models/..` that is needed.
#[derive(Deserialize)]
struct Info {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

/// A file as the hub describes it.
struct Description {
    etag: String,
    size: Option<u64>,
}

impl<'a> Client<'a> {
    pub(crate) fn new(config: &'a HubConfig) -> Result<Self, HubError> {
        // An error means that another part of the program has chosen its provider, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let build = |redirects| {
            let builder = reqwest::Client::builder()
                .user_agent(concat!("magiclens/", env!("CARGO_PKG_VERSION")))
                .redirect(redirects)
                .connect_timeout(SILENCE)
                .read_timeout(SILENCE);
            builder.build().map_err(|error| HubError::Unreachable {
                url: config.endpoint.clone(),
                reason: with_causes(&error),
            })
        };
        Ok(Self {
            config,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            following: build(reqwest::redirect::Policy::limited(10))?,
            staying: build(reqwest::redirect::Policy::none())?,
        })
    }

    /// Fetches the files of a model into the cache, weights last, and returns its commit.
    pub(crate) fn fetch(
        &self,
        name: &HubName,
        cache: &Cache,
        progress: &mut dyn Progress,
    ) -> Result<HubName, HubError> {
        self.runtime.block_on(self.fetch_files(name, cache, progress))
    }

    async fn fetch_files(
        &self,
        name: &HubName,
        cache: &Cache,
        progress: &mut dyn Progress,
    ) -> Result<HubName, HubError> {
        let info = self.info(name, progress).await?;
        let listing: Vec<&str> = info.siblings.iter().map(|sibling| sibling.rfilename.as_str()).collect();
        let files = model_files(&listing).ok_or_else(|| HubError::NoModel {
            repository: name.repository.clone(),
        })?;
        let at = name.at(&info.sha);
        for file in files {
            if !cache.file(&name.repository, &info.sha, file).exists() {
                self.fetch_file(&at, file, cache, progress).await?;
            }
        }
        cache.set_reference(name, &info.sha)?;
        Ok(at)
    }

    async fn info(&self, name: &HubName, progress: &mut dyn Progress) -> Result<Info, HubError> {
        let (endpoint, repository) = (&self.config.endpoint, &name.repository);
        let url = format!(
            "{endpoint}/api/models/{repository}/revision/{}",
            escaped(name.revision())
        );
        let request = || self.with_token(self.following.get(&url));
        let response = self.ask(name, &url, progress, request).await?;
        let bad = |reason: String| HubError::BadAnswer {
            url: url.clone(),
            reason,
        };
        let body = read_small(response, MAX_INFO_BYTES).await.map_err(bad)?;
        let info: Info = serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))?;
        match is_commit(&info.sha) {
            true => Ok(info),
            false => Err(bad(format!("its commit is `{}`", info.sha))),
        }
    }

    async fn fetch_file(
        &self,
        at: &HubName,
        file: &str,
        cache: &Cache,
        progress: &mut dyn Progress,
    ) -> Result<(), HubError> {
        let (repository, commit) = (&at.repository, at.revision());
        let url = format!("{}/{repository}/resolve/{commit}/{file}", self.config.endpoint);
        let Description { etag, size } = self.describe(at, &url, progress).await?;
        let blob = cache.blob(repository, &etag);
        let is_here = || std::fs::metadata(&blob).is_ok_and(|metadata| size.is_none_or(|size| size == metadata.len()));
        if !is_here() {
            let waiting = || {
                progress.note(&format!(
                    "another program fetches `{file}` of {repository}; waiting for it"
                ))
            };
            let _lock = cache.lock(repository, &etag, waiting)?;
            if !is_here() {
                let transfer = Transfer {
                    name: file,
                    url: &url,
                    request: &|| self.with_token(self.following.get(&url)),
                    size,
                    hash: Hash::of_etag(&etag),
                    target: &blob,
                };
                transfer.run(progress).await?;
            }
        }
        Ok(cache.link(repository, commit, file, &etag)?)
    }

    /// A file's ETag and size, which the hub states itself before it redirects to where the content lies.
    async fn describe(&self, at: &HubName, url: &str, progress: &mut dyn Progress) -> Result<Description, HubError> {
        let mut url = url.to_owned();
        for _ in 0..MAX_MOVES {
            let request = || self.with_token(self.staying.head(&url));
            let response = self.ask(at, &url, progress, request).await?;
            match moved(&response) {
                Some(target) => url = target.to_string(),
                None => return description(response.headers(), &url),
            }
        }
        let reason = format!("more than {MAX_MOVES} redirects");
        Err(HubError::BadAnswer { url, reason })
    }

    /// The hub's answer to a request about a model, if it is no refusal.
    async fn ask(
        &self,
        name: &HubName,
        url: &str,
        progress: &mut dyn Progress,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<Response, HubError> {
        self.checked(name, url, answer(url, progress, request).await?)
    }

    /// Turns the hub's refusals into errors. Source: huggingface_hub `utils/_http.py`, `hf_raise_for_status`.
    fn checked(&self, name: &HubName, url: &str, response: Response) -> Result<Response, HubError> {
        let (status, headers) = (response.status(), response.headers());
        if status.is_success() || status.is_redirection() {
            return Ok(response);
        }
        let (endpoint, repository) = (self.config.endpoint.clone(), name.repository.clone());
        let code = text(headers, "x-error-code").unwrap_or_default();
        let message = text(headers, "x-error-message").unwrap_or_default();
        Err(match (code, status) {
            ("GatedRepo", _) | (_, StatusCode::FORBIDDEN) => HubError::Gated { endpoint, repository },
            ("RevisionNotFound", _) => HubError::NoRevision {
                endpoint,
                repository,
                revision: name.revision().to_owned(),
            },
            (_, StatusCode::UNAUTHORIZED) if message.starts_with("Invalid") => HubError::BadToken { endpoint },
            ("RepoNotFound", _) | (_, StatusCode::UNAUTHORIZED) => HubError::NoRepository { endpoint, repository },
            ("", StatusCode::NOT_FOUND) => HubError::NoRepository { endpoint, repository },
            _ => HubError::Refused {
                url: url.to_owned(),
                status: status.to_string(),
                hint: "the hub lists the file but does not give it; try another revision",
            },
        })
    }

    fn with_token(&self, request: RequestBuilder) -> RequestBuilder {
        let header = self.config.token.as_ref().and_then(|token| {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        match header {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        }
    }

    /// Fetches a published checkpoint of MagicLens. The bucket states a size; the import checks the content.
    pub(crate) fn fetch_published(
        &self,
        model: Published,
        target: &Path,
        progress: &mut dyn Progress,
    ) -> Result<(), HubError> {
        let url = format!("{}/magiclens/models/{}", self.config.bucket, model.file());
        self.runtime.block_on(async {
            let response = answer(&url, progress, || self.following.head(&url)).await?;
            if !response.status().is_success() {
                return Err(HubError::Refused {
                    url: url.clone(),
                    status: response.status().to_string(),
                    hint: "the bucket may have moved; name another one with `MAGICLENS_BUCKET`",
                });
            }
            let size = text(response.headers(), CONTENT_LENGTH.as_str()).and_then(|size| size.parse().ok());
            let transfer = Transfer {
                name: model.file(),
                url: &url,
                request: &|| self.following.get(&url),
                size,
                hash: None,
                target,
            };
            transfer.run(progress).await
        })
    }
}

/// The new place of a file that moved within the hub. A redirect to another host leads to the content instead.
fn moved(response: &Response) -> Option<Url> {
    let location = text(response.headers(), LOCATION.as_str())?;
    let is_relative = Url::parse(location).is_err();
    is_relative.then(|| response.url().join(location).ok()).flatten()
}

/// `X-Linked-*` describe the content behind a redirect, the plain headers a content given at once.
fn description(headers: &HeaderMap, url: &str) -> Result<Description, HubError> {
    let etag = text(headers, "x-linked-etag").or_else(|| text(headers, ETAG.as_str()));
    let etag = etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"'));
    // It becomes the name of a file.
    let is_name = |etag: &&str| !etag.is_empty() && etag.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let etag = etag.filter(is_name).ok_or_else(|| HubError::BadAnswer {
        url: url.to_owned(),
        reason: "it states no usable ETag".into(),
    })?;
    let size = text(headers, "x-linked-size").or_else(|| text(headers, CONTENT_LENGTH.as_str()));
    Ok(Description {
        etag: etag.to_owned(),
        size: size.and_then(|size| size.parse().ok()),
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// A revision as one part of a path.
fn escaped(revision: &str) -> String {
    revision.replace('/', "%2F")
}
