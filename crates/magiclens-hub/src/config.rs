//! Settings of the hub, from the environment variables of its Python client.

use std::ffi::OsString;
use std::path::PathBuf;

/// Address of the hub.
const ENDPOINT: &str = "https://huggingface.co";
/// Address of the bucket with the published checkpoints.
const BUCKET: &str = "https://storage.googleapis.com/gresearch";

/// Addresses, folders and rights.
#[derive(Clone, PartialEq, Eq)]
pub struct HubConfig {
    /// Base address of the hub, without a slash at its end: `HF_ENDPOINT`.
    pub endpoint: String,
    /// Base address of the bucket that holds `magiclens/models`: `MAGICLENS_BUCKET`.
    pub bucket: String,
    /// The hub's cache: `HF_HUB_CACHE`, else `hub` in `HF_HOME`, else `huggingface/hub` in the user's cache folder.
    pub cache: PathBuf,
    /// Folder of the published checkpoints: `magiclens/models` in the user's cache folder.
    pub models: PathBuf,
    /// Access token: `HF_TOKEN`, else the file that `HF_TOKEN_PATH` names, else `token` in `HF_HOME`.
    pub token: Option<String>,
    /// No network is used: `HF_HUB_OFFLINE`.
    pub offline: bool,
}

impl std::fmt::Debug for HubConfig {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubConfig")
            .field("endpoint", &self.endpoint)
            .field("cache", &self.cache)
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

impl HubConfig {
    /// The settings of this process's environment.
    pub fn from_env() -> Self {
        Self::from_variables(|name| std::env::var_os(name))
    }

    /// The settings that variables give; an empty one counts as missing.
    pub fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let path = |name: &str| set(name).map(PathBuf::from);
        let text = |name: &str| set(name)?.into_string().ok();
        let address = |name: &str, default: &str| {
            let address = text(name).unwrap_or_else(|| default.to_owned());
            address.trim_end_matches('/').to_owned()
        };
        let user = path("HOME").unwrap_or_default();
        let user_cache = path("XDG_CACHE_HOME").unwrap_or_else(|| user.join(".cache"));
        let home = path("HF_HOME").unwrap_or_else(|| user_cache.join("huggingface"));
        let cache = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE"));
        let token_file = path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
        let is_on = |name: &str| text(name).is_some_and(|value| is_true(&value));
        let token = text("HF_TOKEN").or_else(|| text("HUGGING_FACE_HUB_TOKEN")).or_else(|| {
            let implicit = !is_on("HF_HUB_DISABLE_IMPLICIT_TOKEN");
            implicit.then(|| fs_err::read_to_string(token_file).ok()).flatten()
        });
        Self {
            endpoint: address("HF_ENDPOINT", ENDPOINT),
            bucket: address("MAGICLENS_BUCKET", BUCKET),
            cache: cache.unwrap_or_else(|| home.join("hub")),
            models: user_cache.join("magiclens/models"),
            token: token
                .map(|token| token.trim().to_owned())
                .filter(|token| !token.is_empty()),
            offline: is_on("HF_HUB_OFFLINE") || is_on("TRANSFORMERS_OFFLINE"),
        }
    }
}

/// The Python client's reading of a switch.
fn is_true(value: &str) -> bool {
    ["1", "on", "yes", "true"].contains(&value.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Path;

    use super::*;

    fn config(variables: &[(&str, &str)]) -> HubConfig {
        let variables: HashMap<&str, &str> = variables.iter().copied().collect();
        HubConfig::from_variables(|name| variables.get(name).map(OsString::from))
    }

    #[test]
    fn folders_follow_the_python_client() {
        for (variables, expected) in [
            (&[("HOME", "/u")][..], "/u/.cache/huggingface/hub"),
            (&[("HOME", "/u"), ("XDG_CACHE_HOME", "/x")], "/x/huggingface/hub"),
            (&[("HOME", "/u"), ("HF_HOME", "/h")], "/h/hub"),
            (&[("HF_HOME", "/h"), ("HUGGINGFACE_HUB_CACHE", "/o")], "/o"),
            (&[("HUGGINGFACE_HUB_CACHE", "/o"), ("HF_HUB_CACHE", "/c")], "/c"),
            (&[("HOME", "/u"), ("HF_HUB_CACHE", "")], "/u/.cache/huggingface/hub"),
        ] {
            assert_eq!(config(variables).cache, Path::new(expected), "{variables:?}");
        }
        assert_eq!(
            config(&[("XDG_CACHE_HOME", "/x")]).models,
            Path::new("/x/magiclens/models")
        );
    }

    #[test]
    fn switches_and_addresses_are_read() {
        for (value, expected) in [("1", true), ("ON", true), ("yes", true), ("0", false), ("", false)] {
            assert_eq!(config(&[("HF_HUB_OFFLINE", value)]).offline, expected, "{value}");
        }
        assert_eq!(config(&[]).endpoint, ENDPOINT);
        assert_eq!(config(&[("HF_ENDPOINT", "http://h:1/")]).endpoint, "http://h:1");
    }

    #[test]
    fn a_token_comes_from_a_variable_or_a_file_and_is_never_printed() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().to_str().unwrap();
        assert_eq!(config(&[("HF_HOME", folder)]).token, None);
        fs_err::write(home.path().join("token"), "hf_file\n").unwrap();
        assert_eq!(config(&[("HF_HOME", folder)]).token.as_deref(), Some("hf_file"));
        let hidden = [("HF_HOME", folder), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")];
        assert_eq!(config(&hidden).token, None);
        let given = config(&[("HF_HOME", folder), ("HF_TOKEN", "hf_given")]);
        assert_eq!(given.token.as_deref(), Some("hf_given"));
        assert!(!format!("{given:?}").contains("hf_given"));
    }
}
