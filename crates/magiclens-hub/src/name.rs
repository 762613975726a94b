//! The name of a model, as people write it after `--model`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::HubError;

/// Longest id of a repository that the hub accepts.
const MAX_ID_BYTES: usize = 96;

/// The model that a name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelName {
    /// `small`: the model in this repository.
    Small,
    /// A checkpoint, or a folder of transformers or open_clip.
    Path(PathBuf),
    /// `magiclens-base` or `magiclens-large`.
    Published(Published),
    /// `OWNER/NAME` or `OWNER/NAME@REVISION` on the hub.
    Hub(HubName),
}

/// A checkpoint that the authors of MagicLens published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Published {
    /// CLIP ViT-B/16.
    Base,
    /// CLIP ViT-L/14.
    Large,
}

impl Published {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Base, Self::Large];

    /// The name that people write.
    pub fn name(self) -> &'static str {
        match self {
            Self::Base => "magiclens-base",
            Self::Large => "magiclens-large",
        }
    }

    /// Name of the published file.
    pub fn file(self) -> &'static str {
        match self {
            Self::Base => "magiclens_clip_base.pkl",
            Self::Large => "magiclens_clip_large.pkl",
        }
    }
}

/// A repository of the hub, at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubName {
    /// `OWNER/NAME`.
    pub repository: String,
    /// A branch, a tag or a commit; `None` for the branch `main`.
    pub revision: Option<String>,
}

impl HubName {
    /// The revision to ask the hub for.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }

    /// The same repository at the commit that the revision stands for.
    pub fn at(&self, commit: &str) -> Self {
        Self {
            repository: self.repository.clone(),
            revision: Some(commit.to_owned()),
        }
    }
}

impl ModelName {
    /// The name to show where space is short: without owner, revision, folder and ending.
    pub fn short(&self) -> String {
        match self {
            Self::Path(path) => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            Self::Hub(name) => name.repository.rsplit('/').next().unwrap_or_default().to_owned(),
            Self::Small | Self::Published(_) => self.to_string(),
        }
    }
}

impl FromStr for ModelName {
    type Err = HubError;

    /// A file or folder that exists wins over an id of the hub.
    fn from_str(text: &str) -> Result<Self, HubError> {
        if let Some(published) = Published::ALL.into_iter().find(|published| published.name() == text) {
            return Ok(Self::Published(published));
        }
        let path = Path::new(text);
        match text {
            "small" => Ok(Self::Small),
            _ if path.exists() || is_meant_as_path(text) => Ok(Self::Path(path.to_owned())),
            _ => hub_name(text)
                .map(Self::Hub)
                .ok_or_else(|| HubError::BadName(text.to_owned())),
        }
    }
}

/// Whether a text can only be a path, so that a missing file is told as such.
fn is_meant_as_path(text: &str) -> bool {
    let starts = ["/", "./", "../", "~"].iter().any(|start| text.starts_with(start));
    let ends = [".safetensors", ".pkl", ".pt", ".bin"]
        .iter()
        .any(|end| text.ends_with(end));
    starts || ends
}

fn hub_name(text: &str) -> Option<HubName> {
    let (repository, revision) = match text.split_once('@') {
        Some((repository, revision)) => (repository, Some(revision)),
        None => (text, None),
    };
    let (owner, name) = repository.split_once('/')?;
    let fits = repository.len() <= MAX_ID_BYTES && is_id_part(owner) && is_id_part(name);
    (fits && revision.is_none_or(is_revision)).then(|| HubName {
        repository: repository.to_owned(),
        revision: revision.map(str::to_owned),
    })
}

/// The hub's rule: letters, digits, `-`, `_` and `.`; no `--` and `..`, which its cache folders and paths need.
fn is_id_part(part: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !part.is_empty()
        && part.chars().all(allowed)
        && !part.contains("--")
        && !part.contains("..")
        && !part.starts_with(['-', '.'])
        && !part.ends_with(['-', '.'])
}

/// A name of git without the parts that would leave a folder.
fn is_revision(revision: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let parts = || revision.split('/');
    !revision.is_empty()
        && revision.chars().all(allowed)
        && parts().all(|part| !part.is_empty() && !part.starts_with('.'))
}

/// Whether a revision is a commit, whose files never change.
pub(crate) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Small => f.write_str("small"),
            Self::Path(path) => path.display().fmt(f),
            Self::Published(published) => f.write_str(published.name()),
            Self::Hub(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for HubName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        match &self.revision {
            Some(revision) => write!(f, "@{revision}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(repository: &str, revision: Option<&str>) -> ModelName {
        ModelName::Hub(HubName {
            repository: repository.into(),
            revision: revision.map(str::to_owned),
        })
    }

    #[test]
    fn names_are_read_and_written_back() {
        for (text, expected) in [
            ("small", ModelName::Small),
            ("magiclens-base", ModelName::Published(Published::Base)),
            ("magiclens-large", ModelName::Published(Published::Large)),
            ("BAAI/BGE-VL-base", hub("BAAI/BGE-VL-base", None)),
            ("BAAI/BGE-VL-large@abc123", hub("BAAI/BGE-VL-large", Some("abc123"))),
            ("a/b.c_d@refs/pr/1", hub("a/b.c_d", Some("refs/pr/1"))),
            ("./a/b", ModelName::Path("./a/b".into())),
            (
                "runs/no-such.safetensors",
                ModelName::Path("runs/no-such.safetensors".into()),
            ),
            ("/no/such", ModelName::Path("/no/such".into())),
        ] {
            let name: ModelName = text.parse().unwrap();
            assert_eq!((&name, name.to_string().as_str()), (&expected, text));
        }
    }

    #[test]
    fn a_folder_that_exists_wins_over_the_hub() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().to_str().unwrap();
        assert_eq!(
            text.parse::<ModelName>().unwrap(),
            ModelName::Path(folder.path().into())
        );
    }

    #[test]
    fn what_is_no_name_is_refused_with_the_names_there_are() {
        for text in [
            "", "smal", "a/b/c", "a/../b", "a/b@", "a/b@../x", "a/b@x//y", "a--b/c", "-a/b", "a b/c", "a/b@x y",
        ] {
            let error = text.parse::<ModelName>().unwrap_err().to_string();
            assert!(
                error.contains("hint: ") && error.contains("magiclens model list"),
                "{text}: {error}"
            );
        }
    }
}
