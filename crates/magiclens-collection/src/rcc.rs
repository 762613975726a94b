//! Qt resource archives (`.rcc`): a tree of named files, plain or compressed, in the binary form of versions 1 to 3.

use std::io::Read;

/// The deepest folder that is entered and the largest file that is unpacked, so that a bad archive cannot run away.
const MAX_DEPTH: usize = 32;
const MAX_FILE_BYTES: u64 = 64 << 20;

const FLAG_ZLIB: u16 = 1;
const FLAG_FOLDER: u16 = 2;
const FLAG_ZSTD: u16 = 4;

/// The path of a file in an archive, with `/` between names, and its unpacked content.
pub(crate) type RccFile = (String, Vec<u8>);

/// An error of reading an archive.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RccError {
    /// It does not begin like an archive.
    #[error("not a Qt resource archive: it does not begin with `qres`")]
    NotRcc,
    /// A version this reader does not know.
    #[error("version {0} of the Qt resource archive is unknown; versions 1 to 3 are read")]
    Version(u32),
    /// A place in the archive points outside of it.
    #[error("the Qt resource archive is damaged: {0} lies outside of it")]
    Outside(&'static str),
    /// Folders within folders without end.
    #[error("the Qt resource archive is damaged: its folders go deeper than {MAX_DEPTH}")]
    TooDeep,
    /// A compressed file that does not unpack.
    #[error("`{path}` in the Qt resource archive does not unpack: {reason}")]
    Unpack {
        /// The file in the archive.
        path: String,
        /// The problem.
        reason: String,
    },
}

/// All files of an archive for which `wanted` says yes to the path, in the archive's order.
pub(crate) fn read_rcc(archive: &[u8], wanted: &dyn Fn(&str) -> bool) -> Result<Vec<RccFile>, RccError> {
    if archive.get(..4) != Some(b"qres") {
        return Err(RccError::NotRcc);
    }
    let word = |at: usize| number(archive, at, 4, "the header").map(|word| word as usize);
    let version = word(4)?;
    if !(1..=3).contains(&version) {
        return Err(RccError::Version(version as u32));
    }
    let archive = Archive {
        bytes: archive,
        tree: word(8)?,
        data: word(12)?,
        names: word(16)?,
        // From version 2 on, every node also holds the time of the last change.
        node_bytes: if version == 1 { 14 } else { 22 },
    };
    let mut files = Vec::new();
    archive.walk(0, "", 0, wanted, &mut files)?;
    Ok(files)
}

struct Archive<'a> {
    bytes: &'a [u8],
    tree: usize,
    data: usize,
    names: usize,
    node_bytes: usize,
}

impl Archive<'_> {
    fn walk(
        &self,
        node: usize,
        path: &str,
        depth: usize,
        wanted: &dyn Fn(&str) -> bool,
        files: &mut Vec<RccFile>,
    ) -> Result<(), RccError> {
        if depth > MAX_DEPTH {
            return Err(RccError::TooDeep);
        }
        let at = self.place(node)?;
        let flags = number(self.bytes, at + 4, 2, "a node")? as u16;
        if flags & FLAG_FOLDER == 0 {
            let offset = number(self.bytes, at + 10, 4, "a node")? as usize;
            if wanted(path) {
                files.push((path.to_owned(), self.content(offset, flags, path)?));
            }
            return Ok(());
        }
        let count = number(self.bytes, at + 6, 4, "a node")? as usize;
        let first = number(self.bytes, at + 10, 4, "a node")? as usize;
        for child in first..first.saturating_add(count) {
            let name = self.name(child)?;
            let path = if path.is_empty() {
                name
            } else {
                format!("{path}/{name}")
            };
            self.walk(child, &path, depth + 1, wanted, files)?;
        }
        Ok(())
    }

    /// The place of a node.
    fn place(&self, node: usize) -> Result<usize, RccError> {
        let offset = node.checked_mul(self.node_bytes);
        let at = offset.and_then(|offset| self.tree.checked_add(offset));
        at.ok_or(RccError::Outside("a node"))
    }

    /// The name of a node: its length, a hash, then UTF-16.
    fn name(&self, node: usize) -> Result<String, RccError> {
        let offset = number(self.bytes, self.place(node)?, 4, "a node")? as usize;
        let at = self.names.saturating_add(offset);
        let length = number(self.bytes, at, 2, "a name")? as usize;
        let units = (0..length).map(|unit| Ok(number(self.bytes, at + 6 + 2 * unit, 2, "a name")? as u16));
        Ok(String::from_utf16_lossy(&units.collect::<Result<Vec<_>, RccError>>()?))
    }

    fn content(&self, offset: usize, flags: u16, path: &str) -> Result<Vec<u8>, RccError> {
        let at = self.data.saturating_add(offset);
        let length = number(self.bytes, at, 4, "a file")? as usize;
        let packed = at
            .checked_add(4)
            .and_then(|start| self.bytes.get(start..start.checked_add(length)?));
        let packed = packed.ok_or(RccError::Outside("a file"))?;
        let error = |reason: String| RccError::Unpack {
            path: path.to_owned(),
            reason,
        };
        if flags & FLAG_ZLIB != 0 {
            // Qt puts the unpacked length in front of the zlib stream.
            let stream = packed.get(4..).ok_or_else(|| error("it is too short".to_owned()))?;
            unpack(flate2::read::ZlibDecoder::new(stream)).map_err(error)
        } else if flags & FLAG_ZSTD != 0 {
            let stream = ruzstd::decoding::StreamingDecoder::new(packed).map_err(|e| error(e.to_string()))?;
            unpack(stream).map_err(error)
        } else {
            Ok(packed.to_vec())
        }
    }
}

fn unpack(stream: impl Read) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    let read = stream.take(MAX_FILE_BYTES + 1).read_to_end(&mut content);
    read.map_err(|error| error.to_string())?;
    if content.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("it is larger than {MAX_FILE_BYTES} bytes"));
    }
    Ok(content)
}

/// The big-endian number of `length` bytes at `at`.
fn number(bytes: &[u8], at: usize, length: usize, what: &'static str) -> Result<u32, RccError> {
    let digits = at.checked_add(length).and_then(|end| bytes.get(at..end));
    let digits = digits.ok_or(RccError::Outside(what))?;
    Ok(digits.iter().fold(0, |number, &digit| number << 8 | u32::from(digit)))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A small archive: folder `a` with files `b` (plain), `c` (zlib) and `d` (zstd, one raw block).
    fn archive(version: u32) -> Vec<u8> {
        let mut names = Vec::new();
        let name_offsets: Vec<u32> = ["a", "b", "c", "d"]
            .into_iter()
            .map(|name| push_name(&mut names, name))
            .collect();
        let mut data = Vec::new();
        let mut zlib = flate2::write::ZlibEncoder::new(5_u32.to_be_bytes().to_vec(), flate2::Compression::default());
        zlib.write_all(b"zlib!").unwrap();
        let zlib = zlib.finish().unwrap();
        // Magic, descriptor (single segment, one byte of size), size 4, then one last raw block of 4 bytes.
        let zstd = [&[0x28, 0xb5, 0x2f, 0xfd, 0x20, 4, 4 << 3 | 1, 0, 0][..], b"zstd"].concat();
        let offsets: Vec<u32> = [&b"plain"[..], &zlib, &zstd]
            .into_iter()
            .map(|file| push_file(&mut data, file))
            .collect();
        let mut tree = Vec::new();
        push_node(&mut tree, version, 0, FLAG_FOLDER, [1, 1]);
        push_node(&mut tree, version, name_offsets[0], FLAG_FOLDER, [3, 2]);
        for (file, flags) in [0, FLAG_ZLIB, FLAG_ZSTD].into_iter().enumerate() {
            push_node(&mut tree, version, name_offsets[1 + file], flags, [0, offsets[file]]);
        }
        let header = if version == 3 { 24 } else { 20 };
        let places = [header, header + tree.len(), header + tree.len() + data.len()];
        let mut archive = b"qres".to_vec();
        archive.extend(version.to_be_bytes());
        places
            .iter()
            .for_each(|&place| archive.extend((place as u32).to_be_bytes()));
        archive.resize(header, 0);
        [archive, tree, data, names].concat()
    }

    fn push_name(names: &mut Vec<u8>, name: &str) -> u32 {
        let offset = names.len() as u32;
        names.extend((name.len() as u16).to_be_bytes());
        names.extend([0; 4]);
        name.encode_utf16().for_each(|unit| names.extend(unit.to_be_bytes()));
        offset
    }

    fn push_file(data: &mut Vec<u8>, file: &[u8]) -> u32 {
        let offset = data.len() as u32;
        data.extend((file.len() as u32).to_be_bytes());
        data.extend(file);
        offset
    }

    fn push_node(tree: &mut Vec<u8>, version: u32, name: u32, flags: u16, words: [u32; 2]) {
        tree.extend(name.to_be_bytes());
        tree.extend(flags.to_be_bytes());
        words.iter().for_each(|word| tree.extend(word.to_be_bytes()));
        if version > 1 {
            tree.extend([0; 8]);
        }
    }

    #[test]
    fn all_versions_and_packings_are_read() {
        for version in 1..=3 {
            let files = read_rcc(&archive(version), &|_| true).unwrap();
            let files: Vec<_> = files
                .iter()
                .map(|(path, content)| (path.as_str(), content.as_slice()))
                .collect();
            assert_eq!(
                files,
                [("a/b", &b"plain"[..]), ("a/c", b"zlib!"), ("a/d", b"zstd")],
                "version {version}"
            );
        }
    }

    #[test]
    fn only_wanted_files_are_unpacked() {
        let files = read_rcc(&archive(2), &|path| path.ends_with('c')).unwrap();
        assert_eq!(files, [("a/c".to_owned(), b"zlib!".to_vec())]);
    }

    #[test]
    fn other_files_are_refused() {
        assert_eq!(read_rcc(b"PK", &|_| true), Err(RccError::NotRcc));
        let mut newer = archive(3);
        newer[7] = 4;
        assert_eq!(read_rcc(&newer, &|_| true), Err(RccError::Version(4)));
    }

    #[test]
    fn a_damaged_archive_is_an_error_and_never_a_panic() {
        let whole = archive(2);
        for length in 0..whole.len() {
            assert!(read_rcc(&whole[..length], &|_| true).is_err(), "cut at {length}");
        }
        for place in 4..whole.len() {
            let mut bad = whole.clone();
            bad[place] ^= 0xff;
            if let Ok(files) = read_rcc(&bad, &|_| true) {
                assert!(files.iter().map(|(_, content)| content.len()).sum::<usize>() < 1 << 20);
            }
        }
        let mut circle = whole.clone();
        // The folder `a` becomes its own child.
        circle[20 + 22 + 13] = 1;
        assert_eq!(read_rcc(&circle, &|_| true), Err(RccError::TooDeep));
    }
}
