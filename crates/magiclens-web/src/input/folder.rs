//! Folders of saved pages: which files are pages, their addresses, and the images beside them. Nothing outside the folder is read.

use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use flate2::read::MultiGzDecoder;
use magiclens_data::files::{ReadCappedError, read_capped};
use url::Url;
use walkdir::WalkDir;

use super::config::InputConfig;
use super::record::{EMPTY, IMAGE_TOO_LARGE, PAGE_TOO_LARGE, Record};
use super::sniff::{self, SNIFF_BYTES};
use crate::DropReason;
use crate::page::{RawImage, RawPage};

const UNREADABLE_FILE: DropReason = DropReason("file cannot be read");
const DAMAGED_FILE: DropReason = DropReason("damaged gzip");
const NOT_IN_FOLDER: DropReason = DropReason("not in the folder");

/// Endings of pages, without `.gz`.
const PAGE_ENDINGS: [&str; 5] = ["html", "htm", "xhtml", "xht", "shtml"];
/// Endings under which servers and download programs leave pages; the content decides.
const OPEN_ENDINGS: [&str; 7] = ["", "php", "asp", "aspx", "jsp", "cgi", "do"];
/// Endings of WARC, WAT and Parquet files.
pub(super) const ARCHIVE_ENDINGS: [&str; 5] = [".warc", ".warc.gz", ".wat", ".wat.gz", ".parquet"];

/// A folder of saved pages, for looking up their images.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// The folder at `root`.
    ///
    /// # Errors
    /// It does not exist or cannot be read.
    pub fn open(root: &Path) -> io::Result<Self> {
        Ok(Self {
            root: fs_err::canonicalize(root)?,
        })
    }

    /// The image at a `file:` address; also if only its gzipped form is there.
    ///
    /// # Errors
    /// The reason for which there is none: not in the folder, too large, unreadable, empty.
    pub fn image(&self, address: &str, config: &InputConfig) -> Result<RawImage, DropReason> {
        let path = self.resolve(address).ok_or(NOT_IN_FOLDER)?;
        let bytes = read_file(&path, config.max_image_bytes, IMAGE_TOO_LARGE)?;
        Ok(RawImage {
            url: address.to_owned(),
            bytes,
            ..RawImage::default()
        })
    }

    /// Whether [`Folder::image`] finds a file; of its content only the size is looked at.
    pub fn has_image(&self, address: &str, config: &InputConfig) -> bool {
        let bytes = self.resolve(address).and_then(|path| Some(path.metadata().ok()?.len()));
        bytes.is_some_and(|bytes| (1..=config.max_image_bytes as u64).contains(&bytes))
    }

    /// The file that a `file:` address leads to, if it or its gzipped form is an ordinary file inside the folder. Steps
    /// upward and links that lead out, slashes in disguise and other hosts are refused.
    fn resolve(&self, address: &str) -> Option<PathBuf> {
        let relative = self.relative(address)?;
        self.find(&relative).or_else(|| self.find(&with_gz(&relative)))
    }

    /// The path that an address names, relative to the folder; names only, no steps.
    fn relative(&self, address: &str) -> Option<PathBuf> {
        let url = Url::parse(address).ok()?;
        let has_disguise = |path: &str| ["%2f", "%5c", "%00"].iter().any(|code| path.contains(code));
        if url.scheme() != "file" || url.host().is_some() || has_disguise(&url.path().to_ascii_lowercase()) {
            return None;
        }
        let path = url.to_file_path().ok()?;
        let mut relative = PathBuf::new();
        for component in path.components() {
            match component {
                Component::RootDir => {}
                Component::Normal(name) => relative.push(name),
                _ => return None,
            }
        }
        Some(relative)
    }

    fn find(&self, relative: &Path) -> Option<PathBuf> {
        let path = self.root.join(relative).canonicalize().ok()?;
        (path.starts_with(&self.root) && path.is_file()).then_some(path)
    }
}

/// The contents of a folder, each in sorted order, as paths relative to it.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// WARC, WAT and Parquet files.
    pub(super) archives: Vec<String>,
    /// Pages.
    pub(super) pages: Vec<String>,
}

/// Looks through a folder. Links are not followed: what they lead to inside the folder is met anyway. Frames that a browser
/// saved with a page (`NAME_files/` beside `NAME.html`) are parts of that page, not pages.
pub(super) fn list(root: &Path) -> Contents {
    let mut contents = Contents::default();
    let is_skipped = |path: &Path| is_part_of_page(path) || is_run(path);
    let walk = WalkDir::new(root).sort_by_file_name().into_iter();
    let walk =
        walk.filter_entry(|entry| entry.depth() == 0 || !entry.file_type().is_dir() || !is_skipped(entry.path()));
    for entry in walk {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                tracing::warn!("skipped: {error}");
                continue;
            }
        };
        if !entry.file_type().is_file() {
            continue;
        }
        let Some(relative) = entry.path().strip_prefix(root).ok().and_then(slashed) else {
            tracing::warn!("skipped: the name of {:?} is not UTF-8", entry.path());
            continue;
        };
        let name = relative.to_ascii_lowercase();
        if ARCHIVE_ENDINGS.iter().any(|ending| name.ends_with(ending)) {
            contents.archives.push(relative);
        } else if is_page(entry.path(), &name) {
            contents.pages.push(relative);
        }
    }
    contents
}

/// Reads a page of a folder; `name` is its path relative to the folder.
pub(super) fn read_page(name: &str, path: &Path, config: &InputConfig) -> Record {
    let url = page_address(name);
    match read_file(path, config.max_page_bytes, PAGE_TOO_LARGE) {
        Ok(html) => {
            let name = name.to_ascii_lowercase();
            let endings = [".xhtml", ".xht", ".xhtml.gz", ".xht.gz"];
            let is_xhtml = endings.iter().any(|ending| name.ends_with(ending));
            let content_type = if is_xhtml { "application/xhtml+xml" } else { "text/html" };
            Record::Html(RawPage {
                url,
                content_type: content_type.to_owned(),
                html,
                robots_tags: Vec::new(),
            })
        }
        Err(reason) => Record::rejected(url, reason),
    }
}

/// `file:///a/b.html` for `a/b.html`.
fn page_address(name: &str) -> String {
    let mut url = Url::parse("file:///").expect("a valid address");
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.clear().extend(name.split('/'));
    }
    url.into()
}

/// True if `path` is the folder `NAME_files` beside the page `NAME.html`.
fn is_part_of_page(path: &Path) -> bool {
    let page = path.file_name().and_then(|name| name.to_str()?.strip_suffix("_files"));
    let is_there = |page: &str, ending: &str| path.with_file_name(format!("{page}.{ending}")).is_file();
    page.is_some_and(|page| is_there(page, "html") || is_there(page, "htm"))
}

/// True if the folder is that of a run, whose tables are no input: a run may lie in the folder that it reads.
fn is_run(path: &Path) -> bool {
    ["run.json", "config.toml"].iter().all(|name| path.join(name).is_file())
}

/// True if the file is a page: by its ending, or by its content where the ending leaves it open.
pub(super) fn is_page(path: &Path, lower_name: &str) -> bool {
    let name = lower_name.rsplit('/').next().unwrap_or_default();
    let name = name.strip_suffix(".gz").unwrap_or(name);
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    // Download programs keep the query in the name: `page.php?id=3`.
    let is_open = OPEN_ENDINGS.contains(&ending) || name.contains('?');
    PAGE_ENDINGS.contains(&ending) || (is_open && sniff::is_html_document(&first_bytes(path)))
}

/// The first bytes of a file, unpacked; none if it cannot be read.
pub(super) fn first_bytes(path: &Path) -> Vec<u8> {
    let read = |reader: &mut dyn Read| {
        let mut bytes = Vec::new();
        // What was read before an error is enough.
        let _ = reader.take(SNIFF_BYTES as u64).read_to_end(&mut bytes);
        bytes
    };
    let open = || fs_err::File::open(path);
    match open().map(|mut file| read(&mut file)) {
        Ok(bytes) if bytes.starts_with(&[0x1F, 0x8B]) => open()
            .map(|file| read(&mut MultiGzDecoder::new(file)))
            .unwrap_or_default(),
        Ok(bytes) => bytes,
        Err(_) => Vec::new(),
    }
}

/// The content of an ordinary file, unpacked if it is gzip, if neither form is larger than `max_bytes`.
fn read_file(path: &Path, max_bytes: usize, too_large: DropReason) -> Result<Vec<u8>, DropReason> {
    let bytes = read_capped(path, max_bytes as u64).map_err(|error| match error {
        ReadCappedError::TooLarge { .. } => too_large,
        ReadCappedError::Io(_) | ReadCappedError::NotAFile { .. } => UNREADABLE_FILE,
    })?;
    if bytes.is_empty() {
        return Err(EMPTY);
    }
    if !bytes.starts_with(&[0x1F, 0x8B]) {
        return Ok(bytes);
    }
    let mut unpacked = Vec::new();
    let decoder = MultiGzDecoder::new(bytes.as_slice());
    let read = decoder.take(max_bytes as u64 + 1).read_to_end(&mut unpacked);
    read.map_err(|_| DAMAGED_FILE)?;
    if max_bytes < unpacked.len() {
        return Err(too_large);
    }
    Ok(unpacked)
}

fn with_gz(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".gz");
    PathBuf::from(name)
}

/// A relative path with `/` between its names.
fn slashed(path: &Path) -> Option<String> {
    let names: Option<Vec<&str>> = path.iter().map(|name| name.to_str()).collect();
    Some(names?.join("/"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let outside = tempfile::tempdir().unwrap();
        let root = outside.path().join("root");
        fs_err::create_dir_all(root.join("a b/page_files")).unwrap();
        fs_err::write(outside.path().join("secret.png"), b"secret").unwrap();
        fs_err::write(root.join("a b/page.html"), b"<html>").unwrap();
        fs_err::write(root.join("a b/page_files/1.png"), b"one").unwrap();
        fs_err::write(root.join("a b/page_files/frame.html"), b"<html>").unwrap();
        fs_err::write(root.join("100%.gif"), b"percent").unwrap();
        let folder = Folder::open(&root).unwrap();
        (outside, folder)
    }

    #[test]
    fn only_files_inside_the_folder_are_found() {
        let (_outside, folder) = folder();
        let found = |address: &str| {
            folder
                .resolve(address)
                .map(|path| path.strip_prefix(&folder.root).unwrap().to_owned())
        };
        assert_eq!(
            found("file:///a%20b/page_files/1.png"),
            Some(PathBuf::from("a b/page_files/1.png"))
        );
        assert_eq!(
            found("file:///a b/./x/../page_files/1.png?q=1#f"),
            Some(PathBuf::from("a b/page_files/1.png"))
        );
        assert_eq!(found("file:///100%25.gif"), Some(PathBuf::from("100%.gif")));
        for refused in [
            "file:///../secret.png",
            "file:///%2e%2e/secret.png",
            "file:///..%2fsecret.png",
            "file:///a%20b/..%2F..%2F..%2Fsecret.png",
            "file:///..%5csecret.png",
            "file:///a%20b%00.png",
            "file:///etc/passwd",
            "file://host/100%25.gif",
            "file:///a%20b",
            "file:///",
            "http://example.org/100%25.gif",
            "100%25.gif",
            "",
        ] {
            assert_eq!(found(refused), None, "{refused}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_may_not_lead_out() {
        let (outside, folder) = folder();
        std::os::unix::fs::symlink(outside.path().join("secret.png"), folder.root.join("out.png")).unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.root.join("up")).unwrap();
        std::os::unix::fs::symlink(folder.root.join("100%.gif"), folder.root.join("in.gif")).unwrap();
        assert_eq!(folder.resolve("file:///out.png"), None);
        assert_eq!(folder.resolve("file:///up/secret.png"), None);
        assert_eq!(folder.resolve("file:///in.gif"), Some(folder.root.join("100%.gif")));
        assert!(list(&folder.root).pages.iter().all(|page| page == "a b/page.html"));
    }

    #[test]
    fn images_have_limits() {
        let (_outside, folder) = folder();
        let config = InputConfig {
            max_image_bytes: 5,
            ..InputConfig::default()
        };
        let check = |address: &str, expected: Result<&[u8], DropReason>| {
            let image = folder.image(address, &config);
            assert_eq!(
                image.as_ref().map(|image| image.bytes.as_slice()),
                expected.as_ref().map(|bytes| *bytes)
            );
        };
        check("file:///a%20b/page_files/1.png", Ok(b"one"));
        check("file:///100%25.gif", Err(IMAGE_TOO_LARGE));
        check("file:///none.gif", Err(NOT_IN_FOLDER));
        let mut gz = flate2::write::GzEncoder::new(
            fs_err::File::create(folder.root.join("x.bmp.gz")).unwrap(),
            flate2::Compression::best(),
        );
        gz.write_all(b"12345").unwrap();
        gz.finish().unwrap();
        // Its gzip form alone is larger than the limit.
        check("file:///x.bmp", Err(IMAGE_TOO_LARGE));
        let config = InputConfig::default();
        assert_eq!(folder.image("file:///x.bmp", &config).unwrap().bytes, b"12345");
    }

    #[test]
    fn pages_are_known_by_ending_or_content() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &[u8]| fs_err::write(root.path().join(name), content).unwrap();
        let html = b"<!doctype html><p>hello".as_slice();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gz.write_all(html).unwrap();
        let gz = gz.finish().unwrap();
        write("b.HTML", b"");
        write("a.htm", html);
        write("c.html.gz", &gz);
        write("README", b"no page");
        write("index", html);
        write("page.php?id=3&x=.png", html);
        write("packed.gz", &gz);
        write("script.js", html);
        write("shot.png", html);
        write("crawl.warc.gz", b"");
        write("Links.Parquet", b"");
        let contents = list(root.path());
        assert_eq!(
            contents.pages,
            [
                "a.htm",
                "b.HTML",
                "c.html.gz",
                "index",
                "packed.gz",
                "page.php?id=3&x=.png"
            ]
        );
        assert_eq!(contents.archives, ["Links.Parquet", "crawl.warc.gz"]);
        let config = InputConfig {
            max_page_bytes: 100,
            ..InputConfig::default()
        };
        let page = |name: &str| read_page(name, &root.path().join(name), &config);
        let expected = |url: &str| {
            Record::Html(RawPage {
                url: url.to_owned(),
                content_type: "text/html".to_owned(),
                html: html.to_vec(),
                ..RawPage::default()
            })
        };
        assert_eq!(page("c.html.gz"), expected("file:///c.html.gz"));
        assert_eq!(page("page.php?id=3&x=.png"), expected("file:///page.php%3Fid=3&x=.png"));
        assert_eq!(page("b.HTML"), Record::rejected("file:///b.HTML", EMPTY));
        write("big.html", &[b' '; 101]);
        assert_eq!(page("big.html"), Record::rejected("file:///big.html", PAGE_TOO_LARGE));
        write("broken.html.gz", &gz[..20]);
        assert_eq!(
            page("broken.html.gz"),
            Record::rejected("file:///broken.html.gz", DAMAGED_FILE)
        );
        assert_eq!(
            page("gone.html"),
            Record::rejected("file:///gone.html", UNREADABLE_FILE)
        );
    }
}
