//! Torch's two formats: what torch wrote, files that lie, and pickles that want to run code.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::BTreeMap;

use bytes::Bytes;
use common::fixture;
use magiclens_model::import::torch::{Within, read_torch};
use magiclens_model::import::{Array, Dtype, ImportError};
use safetensors::SafeTensors;

/// An archive as torch lays it out, with every field at hand to be falsified.
struct Archive {
    entries: Vec<Entry>,
    zip64: bool,
    comment: &'static [u8],
}

#[derive(Clone)]
struct Entry {
    name: &'static str,
    /// In the local header, where it may be another.
    local_name: &'static str,
    data: Vec<u8>,
    method: u16,
    flags: u16,
    /// Added to what the list says.
    length_lie: u64,
    place_lie: u64,
}

fn entry(name: &'static str, data: &[u8]) -> Entry {
    Entry {
        name,
        local_name: name,
        data: data.to_vec(),
        method: 0,
        flags: 0,
        length_lie: 0,
        place_lie: 0,
    }
}

impl Archive {
    /// `{"a": tensor([1., 2.])}`.
    fn valid() -> Self {
        Self {
            entries: vec![
                entry("x/data.pkl", PICKLE),
                entry("x/byteorder", b"little"),
                entry("x/data/0", &[0, 0, 128, 63, 0, 0, 0, 64]),
            ],
            zip64: false,
            comment: b"",
        }
    }

    fn with(change: impl FnOnce(&mut Self)) -> Bytes {
        let mut archive = Self::valid();
        change(&mut archive);
        archive.write()
    }

    fn write(&self) -> Bytes {
        let (mut file, mut list) = (Vec::new(), Vec::new());
        for entry in &self.entries {
            let place = (file.len() as u64).wrapping_add(entry.place_lie);
            let length = (entry.data.len() as u64).wrapping_add(entry.length_lie);
            let small = |value: u64| if self.zip64 { u32::MAX } else { value as u32 }.to_le_bytes();
            file.extend(b"PK\x03\x04\x00\x00");
            file.extend([entry.flags.to_le_bytes(), entry.method.to_le_bytes(), [0; 2], [0; 2]].concat());
            file.extend([[0; 4], small(length), small(length)].concat());
            file.extend([(entry.local_name.len() as u16).to_le_bytes(), 6u16.to_le_bytes()].concat());
            file.extend(entry.local_name.as_bytes());
            // Torch aligns the data with a field of its own.
            file.extend(b"FB\x02\x00ZZ");
            file.extend(&entry.data);

            let extra = if self.zip64 {
                let numbers = [length, length, place].map(u64::to_le_bytes).concat();
                [&b"FB\x00\x00\x01\x00\x18\x00"[..], &numbers].concat()
            } else {
                vec![]
            };
            list.extend(b"PK\x01\x02\x00\x00\x00\x00");
            list.extend([entry.flags.to_le_bytes(), entry.method.to_le_bytes(), [0; 2], [0; 2]].concat());
            list.extend([[0; 4], small(length), small(length)].concat());
            list.extend(
                [entry.name.len() as u16, extra.len() as u16, 0, 0, 0]
                    .map(u16::to_le_bytes)
                    .concat(),
            );
            list.extend([[0; 4], small(place)].concat());
            list.extend(entry.name.as_bytes());
            list.extend(extra);
        }
        let (start, count) = (file.len() as u64, self.entries.len() as u64);
        file.extend(&list);
        if self.zip64 {
            let end = file.len() as u64;
            file.extend(b"PK\x06\x06\x2C\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00");
            file.extend([0; 8]);
            file.extend([count, count, list.len() as u64, start].map(u64::to_le_bytes).concat());
            file.extend(b"PK\x06\x07\x00\x00\x00\x00");
            file.extend([&end.to_le_bytes()[..], &[1, 0, 0, 0]].concat());
        }
        let (count, length, start) = match self.zip64 {
            true => (u16::MAX, u32::MAX, u32::MAX),
            false => (count as u16, list.len() as u32, start as u32),
        };
        file.extend(b"PK\x05\x06\x00\x00\x00\x00");
        file.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
        file.extend([length.to_le_bytes(), start.to_le_bytes()].concat());
        file.extend((self.comment.len() as u16).to_le_bytes());
        file.extend(self.comment);
        file.into()
    }
}

/// `{"a": <two floats from storage "0">}`, protocol 2.
const PICKLE: &[u8] = b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\n\
    FloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x02tQK\x00K\x02\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtRs.";

/// `read_torch` of a file's content.
fn read_within(file: &[u8], within: Within<'_>) -> Result<BTreeMap<String, Array>, ImportError> {
    let file_of_content = tempfile::NamedTempFile::new().unwrap();
    fs_err::write(file_of_content.path(), file).unwrap();
    read_torch(file_of_content.path(), within)
}

fn read(file: &[u8]) -> Result<BTreeMap<String, Array>, ImportError> {
    read_within(file, Within::Root)
}

fn refusal(file: &[u8]) -> String {
    read(file).unwrap_err().to_string()
}

fn numbers(array: &Array) -> Vec<f32> {
    array.to_f32("numbers").unwrap()
}

fn is_valid(arrays: &BTreeMap<String, Array>) -> bool {
    arrays.len() == 1 && arrays["a"].shape() == [2] && numbers(&arrays["a"]) == [1.0, 2.0]
}

#[test]
fn an_archive_is_read_in_both_widths() {
    for zip64 in [false, true] {
        for comment in [&b""[..], b"and more"] {
            let file = Archive::with(|archive| (archive.zip64, archive.comment) = (zip64, comment));
            assert!(is_valid(&read(&file).unwrap()));
        }
    }
}

#[test]
fn archives_of_torch_are_read() {
    let arrays = read_torch(&fixture("import/new.pth"), Within::Root).unwrap();
    assert_eq!(numbers(&arrays["a"]), [1.0]);
    assert_eq!(arrays.len(), 1);

    // Nested, beside an optimizer's state and other values.
    let path = fixture("inversion/pic2word.pt");
    let arrays = read_torch(&path, Within::Key("state_dict_img2text")).unwrap();
    let shapes: Vec<(&str, &[usize])> = arrays
        .iter()
        .map(|(name, array)| (name.as_str(), array.shape()))
        .collect();
    assert_eq!(
        shapes,
        [
            ("module.fc_out.bias", &[8][..]),
            ("module.fc_out.weight", &[8, 20]),
            ("module.layers.0.0.bias", &[20]),
            ("module.layers.0.0.weight", &[20, 24]),
            ("module.layers.1.0.bias", &[20]),
            ("module.layers.1.0.weight", &[20, 20]),
        ]
    );
    let other = read_torch(&path, Within::KeyOrRoot("state_dict")).unwrap();
    assert_eq!(other.keys().collect::<Vec<_>>(), ["module.logit_scale"]);
    let root = read_torch(&fixture("import/new.pth"), Within::KeyOrRoot("state_dict")).unwrap();
    assert_eq!(root.keys().collect::<Vec<_>>(), ["a"]);
    let error = read_torch(&path, Within::Key("Phi")).unwrap_err().to_string();
    let keys = [
        "Phi",
        "epoch",
        "name",
        "optimizer",
        "state_dict",
        "state_dict_img2text",
        "pic2word.pt",
    ];
    assert!(keys.iter().all(|key| error.contains(key)), "{error}");
}

#[test]
fn the_older_format_is_read() {
    let arrays = read_torch(&fixture("import/legacy.pth"), Within::Root).unwrap();
    let golden = fs_err::read(fixture("import/legacy.safetensors")).unwrap();
    let golden = SafeTensors::deserialize(&golden).unwrap();
    assert_eq!(arrays.keys().map(String::as_str).collect::<Vec<_>>(), {
        let mut names = golden.names();
        names.sort_unstable();
        names
    });
    for (name, array) in &arrays {
        let expected = golden.tensor(name).unwrap();
        assert_eq!(array.shape(), expected.shape(), "{name}");
        assert_eq!(array.data(), expected.data(), "{name}");
    }
    let dtypes = ["half", "brain", "double", "steps", "ints", "bytes", "mask", "base"].map(|name| arrays[name].dtype());
    use Dtype::{BF16, Bool, F16, F32, F64, I32, I64, U8};
    assert_eq!(dtypes, [F16, BF16, F64, I64, I32, U8, Bool, F32]);
    assert!(arrays["steps"].to_f32("steps").is_err());
}

#[test]
fn other_files_are_no_torch_checkpoint() {
    let error = |name: &str| read_torch(&fixture(name), Within::Root).unwrap_err().to_string();
    let pickle = error("serialization/chunked.pkl");
    assert!(
        pickle.contains("chunked.pkl") && pickle.contains("cannot import"),
        "{pickle}"
    );
    let other = error("import/legacy.safetensors");
    assert!(
        other.contains("is a safetensors file, not a torch checkpoint"),
        "{other}"
    );
}

#[test]
fn archives_that_lie_are_refused() {
    for zip64 in [false, true] {
        let with = |change: &dyn Fn(&mut Vec<Entry>)| {
            Archive::with(|archive| {
                archive.zip64 = zip64;
                change(&mut archive.entries);
            })
        };
        let refused: [(&str, Bytes); 3] = [
            ("far away", with(&|e| e[1].place_lie = 1 << 30)),
            ("elsewhere", with(&|e| e[1].place_lie = 1)),
            ("over the next", with(&|e| e[1].length_lie = 7)),
        ];
        for (what, file) in refused {
            assert!(read(&file).is_err(), "{what}");
        }
        let harmless: [(&str, Bytes); 4] = [
            ("too long", with(&|e| e[2].length_lie = 1 << 30)),
            ("into the list", with(&|e| e[2].length_lie = 1)),
            ("twice", with(&|e| e.push(entry("x/byteorder", b"little")))),
            ("renamed", with(&|e| e[1].local_name = "x/bytewards")),
        ];
        for (what, file) in harmless {
            assert!(read(&file).map_or(true, |arrays| is_valid(&arrays)), "{what}");
        }
    }
    let check = |change: &dyn Fn(&mut Vec<Entry>), part: &str| {
        let error = refusal(&Archive::with(|archive| change(&mut archive.entries)));
        assert!(error.contains(part), "{error}");
    };
    check(&|e| e[2].method = 8, "`x/data/0` of the zip archive is compressed");
    check(&|e| e[2].flags = 1, "assword");
    check(&|e| e[1].data = b"big".to_vec(), "ig-endian");
    check(&|e| drop(e.remove(2)), "x/data/0");
    check(&|e| e[2].data.truncate(7), "tensor 'a'");
    check(&|e| drop(e.remove(0)), "no torch checkpoint");
    check(&|e| e.push(entry("y/data.pkl", PICKLE)), "no torch checkpoint");
    check(&|e| e.push(entry("x/constants.pkl", b"N.")), "TorchScript");
}

#[test]
fn absurd_ends_are_refused_or_harmless() {
    for zip64 in [false, true] {
        let whole = Archive::with(|archive| archive.zip64 = zip64);
        // The end alone, or the two 64-bit parts in front of it too.
        let ends = if zip64 { 98 } else { 22 };
        for position in whole.len() - ends..whole.len() {
            for value in [0, 1, 0x7F, 0xFF] {
                let mut file = whole.to_vec();
                let end = whole.len().min(position + 4);
                file[position..end].fill(value);
                assert!(
                    read(&file).map_or(true, |arrays| is_valid(&arrays)),
                    "{position} {value}"
                );
            }
        }
    }
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    for zip64 in [false, true] {
        let whole = Archive::with(|archive| archive.zip64 = zip64);
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "cut at {length}");
        }
    }
    let whole = fs_err::read(fixture("inversion/searle.pt")).unwrap();
    for length in (0..whole.len()).step_by(97) {
        assert!(
            read_within(&whole[..length], Within::Key("Phi")).is_err(),
            "cut at {length}"
        );
    }
    let whole = fs_err::read(fixture("import/legacy.pth")).unwrap();
    for length in 0..whole.len() {
        assert!(read(&whole[..length]).is_err(), "cut at {length}");
    }
}

#[test]
fn damaged_files_never_panic() {
    let zips = [false, true].map(|zip64| Archive::with(|archive| archive.zip64 = zip64).to_vec());
    let legacy = fs_err::read(fixture("import/legacy.pth")).unwrap();
    for whole in zips.iter().chain([&legacy]) {
        let mut refused = 0;
        for position in 0..whole.len() {
            for change in [1, 0x40, 0x7F, 0x80, 0xFF] {
                let mut bytes = whole.clone();
                bytes[position] ^= change;
                refused += usize::from(read(&bytes).is_err());
            }
        }
        assert!(refused > whole.len() / 2, "{refused} refused");
    }
}

/// [`PICKLE`] with another object under a second key.
fn pickle_with(object: &[u8]) -> Vec<u8> {
    [&PICKLE[..PICKLE.len() - 1], b"X\x01\x00\x00\x00b", object, b"s."].concat()
}

fn archive_of(pickle: Vec<u8>) -> Bytes {
    Archive::with(|archive| archive.entries[0].data = pickle)
}

#[test]
fn nothing_is_ever_called() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let command = format!("touch {}", trace.display());
    let short = |text: &str| [&[0x8C, text.len() as u8], text.as_bytes()].concat();
    let stack_global = [&short("os")[..], &short("system"), b"\x93", &short(&command), b"\x85R"].concat();
    let objects = [
        format!("cos\nsystem\n(V{command}\ntR").into_bytes(),
        format!("cposix\nsystem\n(V{command}\ntR").into_bytes(),
        b"cbuiltins\neval\nX\x01\x00\x00\x001\x85R".to_vec(),
        stack_global,
        b"csubprocess\nPopen\n)\x81}b".to_vec(),
        b"ctorch\nload\n)R".to_vec(),
    ];
    for object in objects {
        // Beside a tensor, as the whole file, and inside of a tensor's arguments.
        let arrays = read(&archive_of(pickle_with(&object)));
        assert!(
            arrays.map_or(true, |arrays| is_valid(&arrays)),
            "{}",
            object.escape_ascii()
        );
        let whole = [b"\x80\x04", &object[..], b"."].concat();
        assert!(read(&archive_of(whole)).is_err(), "{}", object.escape_ascii());
        let inside = [
            b"ctorch._utils\n_rebuild_tensor_v2\n(",
            &object[..],
            b"K\x00K\x02\x85K\x01\x85\x89NtR",
        ]
        .concat();
        assert!(
            read(&archive_of(pickle_with(&inside))).is_err(),
            "{}",
            object.escape_ascii()
        );
    }
    assert!(!trace.exists());
}

/// A tensor over the storage of [`PICKLE`], from its shape and strides.
fn tensor(shape: i32, stride: u8) -> Vec<u8> {
    let mut object =
        b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000\
        X\x03\x00\x00\x00cpuK\x02tQK\x00J"
            .to_vec();
    object.extend(shape.to_le_bytes());
    object.extend([0x85, b'K', stride]);
    object.extend(b"\x85\x89ccollections\nOrderedDict\n)RtR");
    object
}

#[test]
fn bombs_cost_little() {
    // One number seen as a billion of them.
    let error = refusal(&archive_of(pickle_with(&tensor(1 << 30, 0))));
    assert!(error.contains("times as long as the file"), "{error}");
    // More instructions than any checkpoint has, of which each would take 70 bytes; in both formats.
    let endless = [b"\x80\x02".to_vec(), b"N".repeat(2_000_000), b".".to_vec()].concat();
    let error = refusal(&archive_of(endless.clone()));
    assert!(error.contains("instructions, more than a checkpoint needs"), "{error}");
    let legacy = fs_err::read(fixture("import/legacy.pth")).unwrap();
    let error = refusal(&[&legacy[..15], &endless].concat());
    assert!(error.contains("instructions, more than a checkpoint needs"), "{error}");
    // Deep nesting: each list holds the one before; and doubling: each list holds the one before twice.
    let deep = [b"]".repeat(200_000), b"a".repeat(199_999)].concat();
    assert!(read(&archive_of(pickle_with(&deep))).is_err());
    let mut doubling = b"]q\x00".to_vec();
    for index in 0u8..60 {
        doubling.extend([b']', b'(', b'h', index, b'h', index, b'e', b'q', index + 1]);
    }
    assert!(read(&archive_of(pickle_with(&doubling))).is_err());
    // A file of both the older format and the oldest, an archive of tar.
    let mut both = legacy.clone();
    both[257..262].copy_from_slice(b"ustar");
    assert!(refusal(&both).contains("no torch checkpoint"));
}
