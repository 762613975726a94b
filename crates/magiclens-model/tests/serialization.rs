//! Flax parameters in pickles: every kind of value against what was written, and every kind of damage.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use magiclens_model::import::flax::{FlaxError, Leaf, from_msgpack, read_official_pickle, read_pickled, unpickle};
use magiclens_model::import::{Array, Dtype, ImportError};
use serde_json::Value;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/serialization")
        .join(name)
}

fn read(name: &str) -> Bytes {
    Bytes::from(fs_err::read(fixture(name)).unwrap())
}

fn expected(name: &str) -> Value {
    serde_json::from_slice(&read(name)).unwrap()
}

/// Walks the recorded tree beside the leaves, and returns how many it has.
fn compare(expected: &Value, path: &str, leaves: &BTreeMap<String, Leaf>) -> usize {
    let Some(kind) = expected.get("kind").and_then(Value::as_str) else {
        let child = |(key, value): (&String, &Value)| {
            let path = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}/{key}")
            };
            compare(value, &path, leaves)
        };
        return expected.as_object().unwrap().iter().map(child).sum();
    };
    match (kind, &leaves[path]) {
        ("ndarray", Leaf::Array(array)) => compare_array(expected, path, array),
        ("npscalar", Leaf::Scalar(array)) => compare_array(expected, path, array),
        ("plain", leaf) => assert_eq!(&plain(leaf), &expected["value"], "{path}"),
        (kind, leaf) => panic!("{path}: {leaf:?} is no {kind}"),
    }
    1
}

fn compare_array(expected: &Value, path: &str, array: &Array) {
    assert_eq!(
        Some(array.dtype()),
        Dtype::from_numpy_name(expected["dtype"].as_str().unwrap()),
        "{path}"
    );
    if let Some(shape) = expected.get("shape") {
        assert_eq!(serde_json::json!(array.shape()), *shape, "{path}");
    }
    let number = |value: &Value| value.as_f64().or(value.as_bool().map(f64::from)).unwrap() as f32;
    let values: Vec<f32> = expected["values"].as_array().unwrap().iter().map(number).collect();
    assert_eq!(array.to_f32(), values, "{path}");
}

fn plain(leaf: &Leaf) -> Value {
    match leaf {
        Leaf::None => Value::Null,
        Leaf::Bool(value) => (*value).into(),
        Leaf::Int(value) => i64::try_from(*value).unwrap().into(),
        Leaf::Float(value) => (*value).into(),
        Leaf::Text(value) => value.as_str().into(),
        other => panic!("{other:?} is no plain value"),
    }
}

#[test]
fn every_kind_of_value_is_read() {
    let expected = expected("variety.json");
    let leaves = from_msgpack(&read("variety.msgpack")).unwrap();
    assert_eq!(compare(&expected, "", &leaves), leaves.len());
    assert_eq!(leaves.len(), 19);
}

#[test]
fn every_protocol_gives_the_same() {
    let expected = from_msgpack(&read("variety.msgpack")).unwrap();
    for protocol in 0..=5 {
        let name = format!("variety_pickle{protocol}.pkl");
        assert_eq!(unpickle(&read(&name)).unwrap(), read("variety.msgpack"), "{name}");
        assert_eq!(read_pickled(&fixture(&name)).unwrap(), expected, "{name}");
    }
}

#[test]
fn an_array_in_pieces_is_joined() {
    let leaves = read_pickled(&fixture("chunked.pkl")).unwrap();
    assert_eq!(compare(&expected("chunked.json"), "", &leaves), 2);
    assert_eq!(leaves.len(), 2);
    let arrays = read_official_pickle(&fixture("chunked.pkl")).unwrap();
    assert_eq!(arrays["params/big"].shape(), [10, 10]);
}

#[test]
fn the_official_reader_wants_arrays_only() {
    let error = read_official_pickle(&fixture("variety_pickle4.pkl")).unwrap_err();
    let ImportError::Flax { reason, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(
        *reason,
        FlaxError::NotAnArray {
            path: "params/k_py_int".to_owned(),
            found: "an integer"
        }
    );
    assert!(error.to_string().contains("variety_pickle4.pkl"), "{error}");
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    for name in [
        "chunked.pkl",
        "variety_pickle0.pkl",
        "variety_pickle2.pkl",
        "variety_pickle5.pkl",
    ] {
        let whole = read(name);
        for length in 0..whole.len() {
            let cut = whole.slice(..length);
            assert!(unpickle(&cut).is_err(), "{name} cut at {length}");
        }
    }
    let whole = read("variety.msgpack");
    for length in 0..whole.len() {
        assert!(from_msgpack(&whole.slice(..length)).is_err(), "cut at {length}");
    }
}

/// A small generator with a fixed seed (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

#[test]
fn damaged_bytes_never_panic() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut refused = 0;
    for name in [
        "variety.msgpack",
        "chunked.pkl",
        "variety_pickle0.pkl",
        "variety_pickle1.pkl",
        "variety_pickle4.pkl",
    ] {
        let whole = read(name);
        for _ in 0..4000 {
            let mut bytes = whole.to_vec();
            for _ in 0..=random.below(4) {
                let position = random.below(bytes.len());
                bytes[position] = random.below(256) as u8;
            }
            let bytes = Bytes::from(bytes);
            let parameters = if name.ends_with("pkl") {
                unpickle(&bytes).ok()
            } else {
                Some(bytes)
            };
            refused += usize::from(parameters.is_none_or(|parameters| from_msgpack(&parameters).is_err()));
        }
    }
    // Numbers may change without anyone noticing; structure may not.
    assert!((2_000..20_000).contains(&refused), "{refused} refused");
}

#[test]
fn hostile_parameters_are_refused() {
    let check = |bytes: &[u8], part: &str| {
        let error = from_msgpack(&Bytes::copy_from_slice(bytes)).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    check(b"", "cut off at byte 0");
    check(&[0xC1], "0xc1 starts no value");
    check(&[0x01, 0x01], "something follows");
    // Nested maps, lists and lengths without an end.
    check(&b"\x81\xA1a".repeat(10_000), "nested too deeply");
    check(&[0x91].repeat(100_000), "nested too deeply");
    check(b"\xDF\xFF\xFF\xFF\xFF", "cut off");
    check(b"\xDD\xFF\xFF\xFF\xFF", "cut off");
    check(b"\xC6\xFF\xFF\xFF\xFF", "cut off");
    check(b"\xC9\xFF\xFF\xFF\xFF\x01", "cut off");
    check(
        &[&b"\xDD\x00\x02\x00\x00"[..], &[0xC0; 0x20000]].concat(),
        "too many values",
    );
    check(
        &[&b"\x81\xDA\x08\x00"[..], &[b'k'; 0x800], b"\xC0"].concat(),
        "too long",
    );
    check(b"\x82\xA1a\x01\xA1a\x02", "occurs twice");
    check(b"\x81\x01\x02", "a key is not text");
    // Arrays that lie about themselves: (shape, type, elements).
    let array = |inner: &[u8]| [&[0xC7, inner.len() as u8, 1], inner].concat();
    check(&array(b"\x93\x91\x02\xA7float32\xC4\x04abcd"), "contradicts its length");
    check(
        &array(b"\x93\x92\xCF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02\xA7float32\xC4\x00"),
        "contradicts its length",
    );
    check(&array(b"\x93\x91\xFF\xA7float32\xC4\x00"), "cannot be read");
    check(&array(b"\x93\x91\x01\xA9complex64\xC4\x08abcdefgh"), "`complex64`");
    check(&array(b"\x92\x91\x01\xA7float32"), "cannot be read");
    check(b"\xD4\x05\x00", "extension type is unknown");
}
