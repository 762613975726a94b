//! GCompris' photographs and flash cards, inside Qt resource archives, with a license per file in READMEs.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::rcc::{RccError, read_rcc};

/// File, kind, emoji and caption of what is taken.
const IMAGES: &str = include_str!("gcompris.tsv");
/// The folder of archives in the unpacked Debian package.
const ARCHIVES: &str = "usr/share/gcompris-qt/rcc";
/// The folder of activities in an archive.
const ACTIVITIES: &str = "gcompris/src/activities/";
/// The license of the package, for files whose README names none.
const LICENSE: &str = "GPL-3.0-or-later";

/// A photograph or flash card of the list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Its place below `activities/`, without ending.
    pub(crate) name: &'static str,
    /// True for a photograph.
    pub(crate) photo: bool,
    /// The label of the emoji that shows the same thing.
    pub(crate) concept: Option<&'static str>,
    /// A few words about it.
    pub(crate) caption: &'static str,
}

/// A photograph or flash card that was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct GcomprisImage {
    pub(crate) listed: Listed,
    /// The image file.
    pub(crate) content: Vec<u8>,
    /// The license that its README names.
    pub(crate) license: String,
}

/// An error of reading the package.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GcomprisError {
    /// A file cannot be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// An archive is damaged.
    #[error("`{archive}`: {source}")]
    Rcc {
        /// Its file name.
        archive: String,
        /// The problem.
        source: RccError,
    },
}

/// All listed images found below the unpacked package, in the order of the list.
pub(crate) fn images(package: &Path) -> Result<Vec<GcomprisImage>, GcomprisError> {
    let rows = listed();
    let mut files = listed_files(package, &rows)?;
    let licenses = licenses(&files);
    let image = |listed: Listed| {
        let mut endings = ["webp", "jpg", "png"].iter();
        let (path, content) =
            endings.find_map(|ending| files.remove_entry(&format!("{ACTIVITIES}{}.{ending}", listed.name)))?;
        let license = licenses.get(&path).cloned().unwrap_or_else(|| LICENSE.to_owned());
        Some(GcomprisImage {
            listed,
            content,
            license,
        })
    };
    Ok(rows.into_iter().filter_map(image).collect())
}

/// The listed images and all READMEs in the archives, by path.
fn listed_files(package: &Path, rows: &[Listed]) -> Result<HashMap<String, Vec<u8>>, GcomprisError> {
    let names: HashSet<&str> = rows.iter().map(|row| row.name).collect();
    let wanted = |path: &str| {
        let name = path.strip_prefix(ACTIVITIES).unwrap_or_default();
        name.ends_with("/README") || name.rsplit_once('.').is_some_and(|(name, _)| names.contains(name))
    };
    let mut files = HashMap::new();
    for entry in fs_err::read_dir(package.join(ARCHIVES))? {
        let path = entry?.path();
        // An activity's archive has the activity's name; `core` and the translations hold no images of things.
        if path.extension().is_none_or(|extension| extension != "rcc") {
            continue;
        }
        let archive = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let found = read_rcc(&fs_err::read(&path)?, &wanted);
        files.extend(found.map_err(|source| GcomprisError::Rcc { archive, source })?);
    }
    Ok(files)
}

/// The list of images.
pub(crate) fn listed() -> Vec<Listed> {
    let row = |line: &'static str| {
        let mut fields = line.split('\t');
        let (name, kind, concept, caption) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        Some(Listed {
            name,
            photo: kind == "photo",
            concept: (concept != "-").then_some(concept),
            caption,
        })
    };
    let lines = IMAGES.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(row).collect()
}

/// The license of each file that a README lists, by path in the archive.
fn licenses(files: &HashMap<String, Vec<u8>>) -> HashMap<String, String> {
    let mut licenses = HashMap::new();
    for (path, readme) in files.iter().filter(|(path, _)| path.ends_with("/README")) {
        let folder = path.trim_end_matches("README");
        let mut license = None;
        let mut in_files = false;
        for line in String::from_utf8_lossy(readme).lines().map(str::trim) {
            if let Some(named) = line.strip_prefix("License:") {
                license = Some(spdx(named.trim()));
                in_files = false;
            } else if line.starts_with("Files:") {
                in_files = true;
            } else if line.is_empty() || line.contains(": ") || line.ends_with(':') {
                in_files = false;
            } else if in_files && let Some(license) = &license {
                licenses.insert(format!("{folder}{line}"), license.clone());
            }
        }
    }
    licenses
}

/// The SPDX name of a license of the READMEs, where there is one.
fn spdx(named: &str) -> String {
    match named {
        "Public Domain" | "Public domain" => "LicenseRef-public-domain".to_owned(),
        "GPLv3 or later" | "GPLv3+" | "GPL-3+" => LICENSE.to_owned(),
        other => other
            .replace("CC-BY-SA ", "CC-BY-SA-")
            .replace("CC-BY ", "CC-BY-")
            .replace("CC BY-SA ", "CC-BY-SA-"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licenses_are_read_from_the_readme() {
        let readme = "Copyright: A\nLicense: CC-BY-SA 4.0\nSource: https://a/b\nFiles:\nx.webp\nsub/y.webp\n\n\
                      Copyright: B\nLicense: Public Domain\nFiles:\nz.webp\n";
        let files = HashMap::from([("p/README".to_owned(), readme.as_bytes().to_vec())]);
        let licenses = licenses(&files);
        assert_eq!(licenses["p/x.webp"], "CC-BY-SA-4.0");
        assert_eq!(licenses["p/sub/y.webp"], "CC-BY-SA-4.0");
        assert_eq!(licenses["p/z.webp"], "LicenseRef-public-domain");
        assert_eq!(licenses.len(), 3);
    }

    #[test]
    fn the_list_is_well_formed() {
        let lines = IMAGES.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(listed().len(), lines);
        assert!(
            listed()
                .iter()
                .all(|row| !row.caption.is_empty() && row.name.contains('/'))
        );
        assert!(listed().iter().filter(|row| row.photo && row.concept.is_some()).count() > 120);
    }
}
