//! Torch's zip format: what torch wrote, and archives that lie.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use magiclens_model::import::Array;
use magiclens_model::import::pickle::PickleError;
use magiclens_model::import::torch::{TorchError, Within, read_torch, state_dict};
use magiclens_model::import::zip::ZipError;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

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

fn read(file: &Bytes) -> Result<BTreeMap<String, Array>, TorchError> {
    state_dict(file, Within::Root)
}

#[test]
fn an_archive_is_read_in_both_widths() {
    for zip64 in [false, true] {
        for comment in [&b""[..], b"PK\x05\x06 and more"] {
            let arrays = read(&Archive::with(|archive| {
                (archive.zip64, archive.comment) = (zip64, comment)
            }))
            .unwrap();
            assert_eq!(arrays.keys().collect::<Vec<_>>(), ["a"]);
            assert_eq!((arrays["a"].shape(), arrays["a"].to_f32()), (&[2][..], vec![1.0, 2.0]));
        }
    }
}

#[test]
fn what_torch_wrote_is_read() {
    let arrays = read_torch(&fixture("import/new.pth"), Within::Root).unwrap();
    assert_eq!(arrays["a"].to_f32(), [1.0]);
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
}

#[test]
fn a_dictionary_that_is_not_there_is_named() {
    let path = fixture("inversion/pic2word.pt");
    let error = read_torch(&path, Within::Key("Phi")).unwrap_err().to_string();
    let found = "has no `Phi`, but `epoch`, `name`, `state_dict`, `state_dict_img2text`, `optimizer`";
    assert!(error.contains(found) && error.contains("pic2word.pt"), "{error}");
    let error = read_torch(&path, Within::Root).unwrap_err().to_string();
    assert!(error.contains("`epoch` is no tensor"), "{error}");
}

#[test]
fn archives_that_lie_are_refused() {
    let check = |what: &str, file: Bytes, expected: TorchError| {
        assert_eq!(read(&file).unwrap_err(), expected, "{what}");
    };
    let damaged = |problem| TorchError::Zip(ZipError::Damaged(problem));
    let outside = || damaged("an entry lies outside of the file");
    for zip64 in [false, true] {
        let with = |change: &dyn Fn(&mut Vec<Entry>)| {
            Archive::with(|archive| {
                archive.zip64 = zip64;
                change(&mut archive.entries);
            })
        };
        check("too long", with(&|e| e[2].length_lie = 1 << 30), outside());
        check("into the list", with(&|e| e[2].length_lie = 1), outside());
        check("far away", with(&|e| e[1].place_lie = 1 << 30), outside());
        let misplaced = damaged("an entry is not where the list says");
        check("elsewhere", with(&|e| e[1].place_lie = 1), misplaced);
        check(
            "over the next",
            with(&|e| e[1].length_lie = 7),
            damaged("entries overlap"),
        );
        let same = damaged("two entries have one name");
        check("twice", with(&|e| e.push(entry("x/byteorder", b"little"))), same);
        let two_names = damaged("an entry has two names");
        check("renamed", with(&|e| e[1].local_name = "x/bytewards"), two_names);
    }
    let with = |change: &dyn Fn(&mut Vec<Entry>)| Archive::with(|archive| change(&mut archive.entries));
    let name = "x/data/0".to_owned();
    let packed = TorchError::Zip(ZipError::Compressed { name: name.clone() });
    check("packed", with(&|e| e[2].method = 8), packed);
    check(
        "secret",
        with(&|e| e[2].flags = 1),
        TorchError::Zip(ZipError::Encrypted { name }),
    );
    check(
        "big-endian",
        with(&|e| e[1].data = b"big".to_vec()),
        TorchError::BigEndian,
    );
    let missing = TorchError::Damaged("a storage is missing");
    check("no storage", with(&|e| drop(e.remove(2))), missing);
    let tensor = TorchError::Tensor { name: "a".into() };
    check("short storage", with(&|e| e[2].data.truncate(7)), tensor);
    check("no pickle", with(&|e| drop(e.remove(0))), TorchError::NotTorch);
    check(
        "two pickles",
        with(&|e| e.push(entry("y/data.pkl", PICKLE))),
        TorchError::NotTorch,
    );
    check(
        "a program",
        with(&|e| e.push(entry("x/constants.pkl", b"N."))),
        TorchError::TorchScript,
    );
    let call = PickleError::Refused {
        name: "os.system".into(),
        at: 0,
    };
    check(
        "a call",
        with(&|e| e[0].data = b"cos\nsystem\n.".to_vec()),
        TorchError::Pickle(call),
    );
}

#[test]
fn absurd_ends_are_refused() {
    let whole = Archive::valid().write();
    let end = whole.len() - 22;
    let change = |at: usize, bytes: &[u8]| {
        let mut file = whole.to_vec();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        read(&file.into()).unwrap_err()
    };
    let outside = TorchError::Zip(ZipError::Damaged("its list of entries lies outside of the file"));
    assert_eq!(change(end + 12, &[0xFF; 4]), outside, "length");
    assert_eq!(change(end + 16, &[0xFF; 4]), outside, "start");
    let count = TorchError::Zip(ZipError::Damaged("its list has another number of entries than it says"));
    assert_eq!(change(end + 10, &[0xFF; 2]), count, "count");
    assert_eq!(change(end + 20, &[1, 0]), TorchError::Zip(ZipError::NoEnd), "comment");

    let whole = Archive::with(|archive| archive.zip64 = true);
    let locator = whole.len() - 42;
    for place in [u64::MAX, u64::MAX - 40, whole.len() as u64, 0] {
        let mut file = whole.to_vec();
        file[locator + 8..locator + 16].copy_from_slice(&place.to_le_bytes());
        let missing = TorchError::Zip(ZipError::Damaged("its 64-bit end is missing"));
        assert_eq!(read(&file.into()).unwrap_err(), missing, "{place}");
    }
}

#[test]
fn an_archive_cut_anywhere_is_an_error() {
    for zip64 in [false, true] {
        let whole = Archive::with(|archive| archive.zip64 = zip64);
        for length in 0..whole.len() {
            assert!(read(&whole.slice(..length)).is_err(), "cut at {length}");
        }
        assert!(read(&Bytes::from([&whole[..], b"x"].concat())).is_err());
    }
    let whole = Bytes::from(fs_err::read(fixture("inversion/searle.pt")).unwrap());
    for length in (0..whole.len()).step_by(97) {
        assert!(
            state_dict(&whole.slice(..length), Within::Key("Phi")).is_err(),
            "cut at {length}"
        );
    }
}

#[test]
fn damaged_archives_never_panic() {
    for zip64 in [false, true] {
        let whole = Archive::with(|archive| archive.zip64 = zip64);
        let mut refused = 0;
        for position in 0..whole.len() {
            for change in [1, 0x40, 0x7F, 0x80, 0xFF] {
                let mut bytes = whole.to_vec();
                bytes[position] ^= change;
                refused += usize::from(read(&bytes.into()).is_err());
            }
        }
        assert!(refused > whole.len(), "{refused} refused");
    }
}
