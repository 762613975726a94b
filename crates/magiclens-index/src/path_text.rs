//! Paths as text in the database: Unicode as it is; any other byte as NUL, which no path holds, and two hex digits.

use std::fmt::Write;
use std::path::{Path, PathBuf};

const ESCAPE: char = '\0';

/// The text of a path, from which [`from_text`] gets it back.
pub(crate) fn to_text(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            write!(text, "{ESCAPE}{byte:02x}").expect("a string takes any text");
        }
    }
    if cfg!(windows) { text.replace('\\', "/") } else { text }
}

/// The path of a text. Other texts than those of [`to_text`] are paths, too, but may not be found.
pub(crate) fn from_text(text: &str) -> PathBuf {
    let mut parts = text.split(ESCAPE);
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (hex, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        bytes.extend(u8::from_str_radix(hex, 16));
        bytes.extend_from_slice(rest.as_bytes());
    }
    from_bytes(bytes)
}

#[cfg(unix)]
fn from_bytes(bytes: Vec<u8>) -> PathBuf {
    let name: std::ffi::OsString = std::os::unix::ffi::OsStringExt::from_vec(bytes);
    name.into()
}

#[cfg(not(unix))]
fn from_bytes(bytes: Vec<u8>) -> PathBuf {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

#[cfg(all(test, unix))]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn every_path_comes_back() {
        for (bytes, text) in [
            (&b"/a/b c.png"[..], "/a/b c.png"),
            ("/ü/漢.png".as_bytes(), "/ü/漢.png"),
            (b"/gr\xfcn.png", "/gr\0fcn.png"),
            (b"\xff\xfe", "\0ff\0fe"),
            (b"/cut \xe6\xbc", "/cut \0e6\0bc"),
            (b"", ""),
        ] {
            let path = Path::new(OsStr::from_bytes(bytes));
            assert_eq!(to_text(path), text);
            assert_eq!(from_text(text), path);
        }
        // No text is refused, whoever wrote it.
        for odd in ["\0", "\0f", "\0zz", "a\0ü"] {
            from_text(odd);
        }
    }
}
