//! Cuts the inputs of a run into entries, the lines of its manifest. The same inputs give the same entries.

use std::path::{Path, PathBuf};

use super::config::InputConfig;
use super::entry::{Entry, InputKind};
use super::error::InputError;
use super::folder::{self, ARCHIVE_ENDINGS};
use super::links_table;

/// Cuts inputs into entries: each archive is one, saved pages are taken `pages_per_shard` at a time, tables `rows_per_shard` at a
/// time. Inputs are files, folders, or addresses in an object store (`s3://...`); of the last the name must tell what they are.
///
/// # Errors
/// That an input cannot be read, is of no known kind, or that there is nothing in it.
pub fn plan(inputs: &[PathBuf], config: &InputConfig) -> Result<Vec<Entry>, InputError> {
    for (name, value) in [
        ("pages_per_shard", config.pages_per_shard as u64),
        ("rows_per_shard", config.rows_per_shard),
    ] {
        if value == 0 {
            return Err(InputError::Zero(name));
        }
    }
    let mut inputs: Vec<&str> = inputs.iter().map(|path| utf8(path)).collect::<Result<_, _>>()?;
    inputs.sort_unstable();
    inputs.dedup();
    let mut entries = Vec::new();
    for input in inputs {
        let path = Path::new(input);
        if is_remote(input) {
            let kind = kind_by_name(input).ok_or_else(|| InputError::UnknownKind(input.to_owned()))?;
            entries.push(whole(kind, input));
        } else if fs_err::metadata(path)?.is_dir() {
            plan_folder(input, config, &mut entries)?;
        } else {
            plan_file(input, config, &mut entries)?;
        }
    }
    for (shard, entry) in entries.iter_mut().enumerate() {
        entry.shard = shard;
    }
    if entries.is_empty() {
        Err(InputError::Nothing)
    } else {
        Ok(entries)
    }
}

/// True for an address in an object store.
fn is_remote(input: &str) -> bool {
    let scheme = input.split_once("://").map_or("", |(scheme, _)| scheme);
    !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn plan_folder(root: &str, config: &InputConfig, entries: &mut Vec<Entry>) -> Result<(), InputError> {
    let contents = folder::list(Path::new(root));
    if contents.archives.is_empty() && contents.pages.is_empty() {
        return Err(InputError::EmptyFolder(root.to_owned()));
    }
    for archive in &contents.archives {
        plan_file(utf8(&Path::new(root).join(archive))?, config, entries)?;
    }
    for pages in contents.pages.chunks(config.pages_per_shard) {
        entries.push(saved_pages(root, pages.to_vec()));
    }
    Ok(())
}

fn plan_file(input: &str, config: &InputConfig, entries: &mut Vec<Entry>) -> Result<(), InputError> {
    let path = Path::new(input);
    match kind_by_name(input).or_else(|| kind_by_content(path)) {
        Some(InputKind::Links) => {
            for rows in links_table::row_ranges(input, path, config)? {
                entries.push(Entry {
                    rows: Some(rows),
                    ..whole(InputKind::Links, input)
                });
            }
        }
        Some(kind) => entries.push(whole(kind, input)),
        None if folder::is_page(path, &input.to_ascii_lowercase()) => {
            let (Some(root), Some(name)) = (path.parent(), path.file_name()) else {
                return Err(InputError::UnknownKind(input.to_owned()));
            };
            entries.push(saved_pages(utf8(root)?, vec![utf8(Path::new(name))?.to_owned()]));
        }
        None => return Err(InputError::UnknownKind(input.to_owned())),
    }
    Ok(())
}

fn saved_pages(root: &str, files: Vec<String>) -> Entry {
    let root = if root.is_empty() { "." } else { root };
    Entry {
        shard: 0,
        kind: InputKind::Folder,
        files,
        rows: None,
        root: Some(root.to_owned()),
    }
}

fn whole(kind: InputKind, file: &str) -> Entry {
    Entry {
        shard: 0,
        kind,
        files: vec![file.to_owned()],
        rows: None,
        root: None,
    }
}

fn kind_by_name(name: &str) -> Option<InputKind> {
    let name = name.to_ascii_lowercase();
    match ARCHIVE_ENDINGS.iter().position(|ending| name.ends_with(ending))? {
        0 | 1 => Some(InputKind::Warc),
        2 | 3 => Some(InputKind::Wat),
        _ => Some(InputKind::Links),
    }
}

fn kind_by_content(path: &Path) -> Option<InputKind> {
    let head = folder::first_bytes(path);
    if head.starts_with(b"WARC/") {
        Some(InputKind::Warc)
    } else {
        head.starts_with(b"PAR1").then_some(InputKind::Links)
    }
}

fn utf8(path: &Path) -> Result<&str, InputError> {
    path.to_str()
        .ok_or_else(|| InputError::NotUtf8(path.display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_cut_in_sorted_order() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &[u8]| {
            fs_err::create_dir_all(root.path().join(name).parent().unwrap()).unwrap();
            fs_err::write(root.path().join(name), content).unwrap();
        };
        for name in [
            "z.html",
            "a/2.html",
            "a/1.html",
            "a/1.png",
            "crawl/b.warc.gz",
            "crawl/a.warc",
            "crawl/a.warc.wat.gz",
        ] {
            write(name, b"");
        }
        let config = InputConfig {
            pages_per_shard: 2,
            ..InputConfig::default()
        };
        let base = root.path().to_str().unwrap().to_owned();
        let at = |name: &str| format!("{base}/{name}");
        let entries = plan(&[root.path().to_owned(), root.path().to_owned()], &config).unwrap();
        let archive = |shard, kind, name: &str| Entry {
            shard,
            ..whole(kind, &at(name))
        };
        let expected = [
            archive(0, InputKind::Warc, "crawl/a.warc"),
            archive(1, InputKind::Wat, "crawl/a.warc.wat.gz"),
            archive(2, InputKind::Warc, "crawl/b.warc.gz"),
            Entry {
                shard: 3,
                ..saved_pages(&base, vec!["a/1.html".to_owned(), "a/2.html".to_owned()])
            },
            Entry {
                shard: 4,
                ..saved_pages(&base, vec!["z.html".to_owned()])
            },
        ];
        assert_eq!(entries, expected);
        assert_eq!(
            entries[3].paths(),
            [root.path().join("a/1.html"), root.path().join("a/2.html")]
        );
        let line = serde_json::to_string(&entries[4]).unwrap();
        assert_eq!(
            line,
            format!(r#"{{"shard":4,"kind":"folder","files":["z.html"],"root":"{base}"}}"#)
        );
        assert_eq!(serde_json::from_str::<Entry>(&line).unwrap(), entries[4]);
    }

    #[test]
    fn files_are_known_by_name_or_content() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &[u8]| {
            fs_err::write(root.path().join(name), content).unwrap();
            root.path().join(name)
        };
        let kind = |path: PathBuf| plan(&[path], &InputConfig::default()).map(|entries| entries[0].kind);
        assert!(matches!(
            kind(write("crawl", b"WARC/1.0\r\nWARC-Type: warcinfo\r\n")),
            Ok(InputKind::Warc)
        ));
        assert!(matches!(kind(write("page.html", b"")), Ok(InputKind::Folder)));
        assert!(matches!(kind("s3://bucket/crawl.warc.gz".into()), Ok(InputKind::Warc)));
        assert!(matches!(
            kind("gs://bucket/folder".into()),
            Err(InputError::UnknownKind(_))
        ));
        assert!(matches!(
            kind(write("notes.txt", b"hello")),
            Err(InputError::UnknownKind(_))
        ));
        assert!(matches!(kind(root.path().join("none")), Err(InputError::Io(_))));
        let empty = tempfile::tempdir().unwrap();
        assert!(matches!(kind(empty.path().to_owned()), Err(InputError::EmptyFolder(_))));
        assert!(matches!(plan(&[], &InputConfig::default()), Err(InputError::Nothing)));
    }
}
