//! Models worth knowing, with their sizes and strengths. Anything of the same shapes works by its name, listed or not.

use std::sync::LazyLock;

use serde::Deserialize;

/// A model of the catalog. Its strength in figures is in the reports of `magiclens eval`, under [`Entry::published_as`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The name to write after `--model`.
    pub name: String,
    /// Kind of towers and fusion.
    pub kind: String,
    /// Parameters, in millions.
    pub parameters_m: u32,
    /// Size of the weights as they are published, in megabytes.
    pub download_mb: u32,
    /// Length of an embedding.
    pub dim: u32,
    /// Side of the square that the image tower sees, in pixels.
    pub image_px: u32,
    /// License as its repository states it.
    pub license: String,
    /// Languages of the text tower.
    pub languages: String,
    /// The queries that it is made for.
    pub good_at: String,
    /// Its name in published tables; `None` where we know of none.
    #[serde(default)]
    pub published_as: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Catalog {
    model: Vec<Entry>,
}

/// The catalog, in the order to show it.
pub fn catalog() -> &'static [Entry] {
    static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| {
        let catalog: Catalog = toml::from_str(include_str!("catalog.toml")).expect("a test reads the catalog");
        catalog.model
    });
    &ENTRIES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::ModelName;

    #[test]
    fn every_entry_has_a_name_that_is_read_as_such() {
        assert!(catalog().len() >= 8);
        for entry in catalog() {
            let name: ModelName = entry.name.parse().unwrap();
            assert_eq!(name.to_string(), entry.name);
            assert!(!matches!(name, ModelName::Path(_)), "{name}");
            assert!(entry.dim > 0 && entry.parameters_m > 0 && !entry.license.is_empty());
        }
    }
}
