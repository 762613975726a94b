//! Flax parameters in pickles: every kind of value against the recorded one, and every kind of damage.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::BTreeMap;

use bytes::Bytes;
use common::{Random, fixture};
use magiclens_model::import::flax::{from_msgpack, read_official_pickle};
use magiclens_model::import::pickle::pickled_bytes;
use magiclens_model::import::{Array, Dtype, PickleError};
use serde_json::Value;

fn read(name: &str) -> Bytes {
    Bytes::from(fs_err::read(fixture("serialization").join(name)).unwrap())
}

fn expected(name: &str) -> Value {
    serde_json::from_slice(&read(name)).unwrap()
}

/// Walks the recorded tree beside the arrays, and returns their number.
fn compare(expected: &Value, path: &str, arrays: &BTreeMap<String, Array>) -> usize {
    match expected.get("kind").and_then(Value::as_str) {
        None => {
            let child = |(key, value): (&String, &Value)| {
                compare(value, format!("{path}/{key}").trim_start_matches('/'), arrays)
            };
            expected.as_object().unwrap().iter().map(child).sum()
        }
        Some("ndarray" | "npscalar") => {
            compare_array(expected, path, &arrays[path]);
            1
        }
        Some(_) => 0,
    }
}

fn compare_array(expected: &Value, path: &str, array: &Array) {
    let name = expected["dtype"]
        .as_str()
        .unwrap()
        .replace("uint", "u")
        .replace("int", "i");
    let found = format!("{:?}", array.dtype());
    assert_eq!(
        found.to_uppercase(),
        name.replace("float", "f").to_uppercase(),
        "{path}"
    );
    if let Some(shape) = expected.get("shape") {
        assert_eq!(serde_json::json!(array.shape()), *shape, "{path}");
    }
    let number = |value: &Value| value.as_f64().or(value.as_bool().map(f64::from)).unwrap() as f32;
    let numbers: Vec<f32> = expected["values"].as_array().unwrap().iter().map(number).collect();
    assert_eq!(values(array), numbers, "{path}");
}

fn values(array: &Array) -> Vec<f32> {
    let (width, signed) = match array.dtype() {
        Dtype::I8 => (1, true),
        Dtype::I16 => (2, true),
        Dtype::I32 => (4, true),
        Dtype::I64 => (8, true),
        Dtype::U8 | Dtype::Bool => (1, false),
        Dtype::U16 => (2, false),
        Dtype::U32 => (4, false),
        Dtype::U64 => (8, false),
        _ => return array.to_f32("floats").unwrap(),
    };
    let integer = |bytes: &[u8]| {
        let fill = if signed && bytes[width - 1] > 0x7F { 0xFF } else { 0 };
        let mut wide = [fill; 16];
        wide[..width].copy_from_slice(bytes);
        i128::from_le_bytes(wide) as f32
    };
    array.data().chunks_exact(width).map(integer).collect()
}

/// Keeps the arrays of a tree and puts all other leaves into `others`.
fn without_others(value: rmpv::Value, others: &mut Vec<rmpv::Value>) -> Option<rmpv::Value> {
    match value {
        rmpv::Value::Map(entries) => {
            let entries = entries.into_iter();
            let kept = entries.filter_map(|(key, value)| Some((key, without_others(value, others)?)));
            Some(rmpv::Value::Map(kept.collect()))
        }
        rmpv::Value::Ext(1 | 3, _) => Some(value),
        other => {
            others.push(other);
            None
        }
    }
}

fn encoded(value: &rmpv::Value) -> Bytes {
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, value).unwrap();
    bytes.into()
}

#[test]
fn every_kind_of_array_is_read_and_nothing_else() {
    let root = rmpv::decode::read_value(&mut &read("variety.msgpack")[..]).unwrap();
    let mut others = Vec::new();
    let arrays = from_msgpack(&encoded(&without_others(root, &mut others).unwrap())).unwrap();
    assert_eq!(compare(&expected("variety.json"), "", &arrays), arrays.len());
    assert_eq!((arrays.len(), others.len()), (15, 4));
    for other in others {
        let map = rmpv::Value::Map(vec![("leaf".into(), other)]);
        let error = from_msgpack(&encoded(&map)).unwrap_err().to_string();
        assert!(
            error.starts_with("`leaf` is ") && error.ends_with(", not an array"),
            "{error}"
        );
    }
    let error = read_official_pickle(&fixture("serialization/variety_pickle4.pkl"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("variety_pickle4.pkl") && error.contains("`params/k_py_int` is an integer, not an array"),
        "{error}"
    );
}

#[test]
fn every_protocol_gives_the_same() {
    for protocol in 0..=5 {
        let name = format!("variety_pickle{protocol}.pkl");
        assert_eq!(pickled_bytes(&read(&name)).unwrap(), read("variety.msgpack"), "{name}");
    }
}

#[test]
fn an_array_in_pieces_is_joined() {
    let arrays = read_official_pickle(&fixture("serialization/chunked.pkl")).unwrap();
    assert_eq!(compare(&expected("chunked.json"), "", &arrays), 2);
    assert_eq!(arrays.len(), 2);
    assert_eq!(arrays["params/big"].shape(), [10, 10]);
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
            assert!(pickled_bytes(&cut).is_err(), "{name} cut at {length}");
        }
    }
    let whole = pickled_bytes(&read("chunked.pkl")).unwrap();
    for length in 0..whole.len() {
        assert!(from_msgpack(&whole.slice(..length)).is_err(), "cut at {length}");
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
            let parameters = match name.ends_with("pkl") {
                true => pickled_bytes(&bytes).ok(),
                false => Some(bytes),
            };
            refused += usize::from(parameters.is_none_or(|parameters| from_msgpack(&parameters).is_err()));
        }
    }
    // Numbers may change without anyone noticing; structure may not.
    assert!(refused > 2_000, "{refused} refused");
}

#[test]
fn hostile_parameters_are_refused() {
    let check = |bytes: &[u8], part: &str| {
        let error = from_msgpack(&Bytes::copy_from_slice(bytes)).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    check(b"", "cut off");
    check(&[0xC1], "is None");
    check(&[0x80, 0x01], "something follows");
    // Nested maps, lists and lengths without an end.
    check(&b"\x81\xA1a".repeat(10_000), "depth limit exceeded");
    check(&[0x91].repeat(100_000), "depth limit exceeded");
    for head in [
        &b"\xDF\xFF\xFF\xFF\xFF"[..],
        b"\xDD\xFF\xFF\xFF\xFF",
        b"\xC6\xFF\xFF\xFF\xFF",
        b"\xC9\xFF\xFF\xFF\xFF\x01",
    ] {
        check(head, "cut off");
    }
    check(
        &[&b"\xDD\x00\x20\x00\x00"[..], &[0xC0; 1 << 21]].concat(),
        "too many values",
    );
    let long = [&b"\x81\xDA\x08\x00"[..], &[b'k'; 0x800], b"\xC0"].concat();
    check(&long, "a key that is too long");
    check(b"\x81\x01\x02", "a key that is not text");
    // Arrays that lie about themselves: (shape, type, elements).
    let array = |inner: &[u8]| [&[0xC7, inner.len() as u8, 1], inner].concat();
    let one = array(b"\x93\x91\x01\xA7float32\xC4\x04abcd");
    check(&[&b"\x82\xA1a"[..], &one, b"\xA1a", &one].concat(), "`a` occurs twice");
    check(&array(b"\x93\x91\x02\xA7float32\xC4\x04abcd"), "contradicts its length");
    check(
        &array(b"\x93\x92\xCF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02\xA7float32\xC4\x00"),
        "contradicts its length",
    );
    check(&array(b"\x93\x91\xFF\xA7float32\xC4\x00"), "cannot be read");
    check(&array(b"\x93\x91\x01\xA9complex64\xC4\x08abcdefgh"), "`complex64`");
    check(&array(b"\x92\x91\x01\xA7float32"), "cannot be read");
    check(&array(&[&b"\x93\xDC\x00\xF0"[..], &[1; 0xF0]].concat()), "cut off");
    check(
        &[&b"\xC9\x00\x01\x00\x03\x01\xDD\x00\x01\x00\x00"[..], &[0xC0; 0xFFFE]].concat(),
        "too many values",
    );
    check(b"\xD4\x05\x00", "an extension of an unknown type");
}

#[test]
fn pickles_that_want_more_than_bytes_are_refused() {
    let refused = |pickle: &[u8]| match pickled_bytes(&Bytes::copy_from_slice(pickle)) {
        Err(PickleError::Refused { name, .. }) => name,
        other => panic!("{} gives {other:?}", pickle.escape_ascii()),
    };
    assert_eq!(refused(b"cos\nsystem\n(Vls\ntR."), "os.system");
    assert_eq!(
        refused(b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R."),
        "builtins.eval"
    );
    assert_eq!(refused(b"(Vls\nios\nsystem\n."), "os.system");
    assert_eq!(refused(b"c_codecs\ndecode\n."), "_codecs.decode");
    // A name that would garble a terminal.
    assert_eq!(refused(b"cos\x1b[2J\nsystem\n."), "os\\u{1b}[2J.system");
    for pickle in [
        // Other ways to name a function, to call one, and to build an object.
        &b"\x80\x04\x8C\x02os\x8C\x06system\x93\x8C\x02ls\x85R."[..],
        b"c_codecs\nencode\n)\x81.",
        b"c_codecs\nencode\n)}\x92.",
        b"]}b.",
        b"\x82\x01.",
        b"\x97.",
        // Other arguments of the one known call.
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x06\x00\x00\x00base64\x86R.",
        b"\x80\x02c_codecs\nencode\nX\x03\x00\x00\x00\xE2\x82\xACX\x06\x00\x00\x00latin1\x86R.",
        b"c_codecs\nencode\n(V\\u20ac\nVlatin1\ntR.",
        b"\x80\x02K\x01)R.",
        // Other objects, and none.
        b"N.",
        b".",
        b"C\x01aC\x01b.",
        b"X\x01\x00\x00\x00a.",
        b"X\x01\x00\x00\x00\xFF.",
        b"\xFF.",
    ] {
        let error = pickled_bytes(&Bytes::copy_from_slice(pickle)).unwrap_err();
        assert!(
            matches!(error, PickleError::NotBytes { .. }),
            "{}: {error}",
            pickle.escape_ascii()
        );
    }
    for cut in [
        &b""[..],
        b"C",
        b"B\xFF\xFF\xFF\x7F.",
        b"\x8E\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF.",
        b"Vx",
        b"cos\nsystem",
    ] {
        let error = pickled_bytes(&Bytes::copy_from_slice(cut)).unwrap_err();
        assert!(
            matches!(error, PickleError::Truncated { .. }),
            "{}: {error}",
            cut.escape_ascii()
        );
    }
    let endless = Bytes::from([&b"(".repeat(1 << 20)[..], b"C\x00."].concat());
    assert_eq!(pickled_bytes(&endless).unwrap_err(), PickleError::TooComplex);
}

#[test]
fn foreign_files_are_named() {
    let check = |name: &str, part: &str| {
        let error = read_official_pickle(&fixture(name)).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains(name), "{error}");
    };
    let image = "is a PNG image, not a pickled Flax checkpoint";
    check("preprocess/all_black_30x20.png", image);
    check("preprocess/jpeg_gray_w140_h100.jpg", "is a JPEG image");
    check("import/new.pth", "is a zip archive");
    check("import/legacy.safetensors", "is a safetensors file");
    check("import/legacy.pth", "the pickle is not that of one `bytes` object");
    check("import/missing.pkl", "missing.pkl");
}
