//! Pickles that want to run code, foreign files, and torch's older format. Its zip format is in `import_zip.rs`.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};

use bytes::Bytes;
use magiclens_model::import::flax::read_official_pickle;
use magiclens_model::import::pickle::{Node, Pickle, PickleError};
use magiclens_model::import::torch::{TorchError, Within, read_torch, state_dict};
use magiclens_model::import::{Dtype, ImportError};
use safetensors::SafeTensors;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

fn refused(pickle: &[u8]) -> String {
    match Pickle::read(pickle) {
        Err(PickleError::Refused { name, .. }) => name,
        other => panic!("{} gives {other:?}", pickle.escape_ascii()),
    }
}

#[test]
fn nothing_is_ever_called() {
    let trace = std::env::temp_dir().join(format!("magiclens-pickle-{}", std::process::id()));
    let command = format!("touch {}", trace.display());
    let short = |text: &str| [&[0x8C, text.len() as u8], text.as_bytes()].concat();
    let check = |pickle: &[u8], name: &str| assert_eq!(refused(pickle), name, "{}", pickle.escape_ascii());

    // GLOBAL and REDUCE, in the three ways that Python writes it.
    check(format!("cos\nsystem\n(V{command}\ntR.").as_bytes(), "os.system");
    check(format!("cposix\nsystem\n(S'{command}'\ntR.").as_bytes(), "posix.system");
    check(b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R.", "builtins.eval");
    check(b"c__builtin__\nexec\n(Vpass\ntR.", "__builtin__.exec");
    // STACK_GLOBAL.
    let stack_global = [
        b"\x80\x04",
        &short("os")[..],
        &short("system"),
        b"\x93",
        &short(&command),
        b"\x85R.",
    ]
    .concat();
    check(&stack_global, "os.system");
    let dotted = [
        b"\x80\x04",
        &short("builtins")[..],
        &short("__import__"),
        b"\x93",
        &short("os"),
        b"\x85R.",
    ]
    .concat();
    check(&dotted, "builtins.__import__");
    // INST, OBJ, NEWOBJ, NEWOBJ_EX, BUILD.
    check(format!("(V{command}\nios\nsystem\n.").as_bytes(), "os.system");
    check(b"(cos\nsystem\nVls\no.", "os.system");
    check(b"\x80\x02ccollections\nOrderedDict\n)\x81.", "collections.OrderedDict");
    check(b"(ccollections\nOrderedDict\no.", "collections.OrderedDict");
    check(b"\x80\x04ccollections\nOrderedDict\n)}\x92.", "collections.OrderedDict");
    check(b"\x80\x02csubprocess\nPopen\n)\x81}b.", "subprocess.Popen");
    check(b"]}b.", "__setstate__");
    // Behind an allowed call, inside of its arguments, as a call of a storage.
    check(
        b"\x80\x02ccollections\nOrderedDict\n)Rcnt\nsystem\n(Vls\ntR.",
        "nt.system",
    );
    check(b"\x80\x02c_codecs\nencode\ncos\nsystem\n(Vls\ntR\x85R.", "os.system");
    check(b"\x80\x02ctorch\nFloatStorage\n)R.", "torch.FloatStorage");
    // Neighbors of what is allowed.
    check(b"c_codecs\ndecode\n.", "_codecs.decode");
    check(b"ctorch\nload\n.", "torch.load");
    check(b"ctorch._utils\n_rebuild_tensor\n.", "torch._utils._rebuild_tensor");
    check(b"\x82\x01.", "a registered extension");
    check(b"\x97.", "an out-of-band buffer");
    // A name that would garble a terminal.
    check(b"cos\x1b[2J\nsystem\n.", "os\\u{1b}[2J.system");

    assert!(!trace.exists());
    let message = Pickle::read(b"cos\nsystem\n.").unwrap_err().to_string();
    assert!(message.starts_with("refuses to call `os.system`"), "{message}");
}

#[test]
fn allowed_calls_take_only_their_own_arguments() {
    for pickle in [
        &b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x06\x00\x00\x00base64\x86R."[..],
        b"\x80\x02c_codecs\nencode\nK\x01X\x06\x00\x00\x00latin1\x86R.",
        b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.",
        b"\x80\x02K\x01)R.",
        b"\x80\x02ccollections\nOrderedDict\nK\x01R.",
    ] {
        let error = Pickle::read(pickle).unwrap_err();
        assert!(
            matches!(error, PickleError::Malformed { .. }),
            "{}: {error}",
            pickle.escape_ascii()
        );
    }
}

#[test]
fn values_are_read_as_python_means_them() {
    let check = |pickle: &[u8], expected: Node<'_>| {
        let read = Pickle::read(pickle).unwrap();
        assert_eq!(*read.node(read.root()), expected, "{}", pickle.escape_ascii());
    };
    check(b"N.", Node::None);
    check(b"I01\n.", Node::Bool(true));
    check(b"I1\n.", Node::Int(1));
    check(b"I-12\n.", Node::Int(-12));
    check(b"L123456789012L\n.", Node::Int(123_456_789_012));
    check(b"\x80\x02\x8a\x00.", Node::Int(0));
    check(b"\x80\x02\x8a\x01\xFF.", Node::Int(-1));
    check(b"\x80\x02\x8a\x02\x00\x80.", Node::Int(-32768));
    check(b"J\xFE\xFF\xFF\xFF.", Node::Int(-2));
    check(b"M\x00\x01.", Node::Int(256));
    check(b"F0.5\n.", Node::Float(0.5));
    check(b"G\x3F\xE0\x00\x00\x00\x00\x00\x00.", Node::Float(0.5));
    check(b"V\\u00e9\xE9\\U0001F600\n.", Node::Text("éé😀".into()));
    check(b"S'it is'\n.", Node::Text("it is".into()));
    check(b"C\x02\x00\xFF.", Node::Bytes(b"\x00\xFF"));
    check(b"(K\x01K\x02K\x03t0(l.", Node::List(vec![]));
    check(b"K\x01K\x02\x86.", Node::Tuple(vec![0, 1]));
    // An object changed after it was remembered is changed everywhere.
    check(b"]q\x00K\x01a0h\x00.", Node::List(vec![1]));
    check(b"}(K\x01K\x02u.", Node::Dict(vec![(1, 2)]));
}

#[test]
fn damaged_pickles_are_refused() {
    for pickle in [
        &b""[..],
        b".",
        b"0.",
        b"1.",
        b"2.",
        b"a.",
        b"t.",
        b"}s.",
        b"(.",
        b"h\x00.",
        b"g7\n.",
        b"R.",
        b"b.",
        b"\x93.",
        b"\x85.",
        b"\x80\x06.",
        b"\xFF.",
        b"K",
        b"Vx",
        b"V\\u12\n.",
        b"V\\ud800\n.",
        b"Ix\n.",
        b"\x8d\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF.",
        b"\x95\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F.",
        b"B\xFF\xFF\xFF\x7F.",
        b"\x8b\xFF\xFF\xFF\xFF.",
        b"X\x01\x00\x00\x00\xFF.",
        b"K\x01K\x02a.",
        b"}(K\x01u.",
        b"(K\x01(\x85.",
    ] {
        assert!(Pickle::read(pickle).is_err(), "{}", pickle.escape_ascii());
    }
}

#[test]
fn bombs_cost_little() {
    // Deep nesting: each list holds the one before.
    let deep = [b"]".repeat(200_000), b"a".repeat(199_999), b".".to_vec()].concat();
    assert!(Pickle::read(&deep).is_ok());
    // Doubling: every list holds the one before twice; 2^60 elements if written out.
    let mut doubling = b"]q\x00".to_vec();
    for index in 0u8..60 {
        doubling.extend([b']', b'(', b'h', index, b'h', index, b'e', b'q', index + 1]);
    }
    doubling.push(b'.');
    assert!(Pickle::read(&doubling).is_ok());
    // A list in itself.
    assert!(Pickle::read(b"]q\x00h\x00a.").is_ok());
    // Encoding one long text many times keeps it once.
    let text = "x".repeat(1 << 20);
    let mut again = [
        b"\x80\x02c_codecs\nencode\nq\x00X\x00\x00\x10\x00",
        text.as_bytes(),
        b"q\x01X\x06\x00\x00\x00latin1q\x020",
    ]
    .concat();
    again.extend(b"h\x00h\x01h\x02\x86R".repeat(10_000));
    again.push(b'.');
    assert!(Pickle::read(&again).is_ok());
    // More instructions than any checkpoint has.
    let endless = [b"N0".repeat(2_000_000), b"N.".to_vec()].concat();
    assert_eq!(Pickle::read(&endless).unwrap_err(), PickleError::TooComplex);
}

#[test]
fn foreign_files_are_named() {
    let check = |name: &str, part: &str| {
        let error = read_official_pickle(&fixture(name)).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains(name), "{error}");
    };
    check(
        "preprocess/all_black_30x20.png",
        "is a PNG picture, not a pickled Flax checkpoint",
    );
    check("preprocess/jpeg_gray_w140_h100.jpg", "is a JPEG picture");
    check("import/new.pth", "is a zip archive");
    check("import/legacy.safetensors", "is a safetensors file");
    check("import/legacy.pth", "the pickle holds an integer, expected bytes");
    let error = read_official_pickle(&fixture("import/missing.pkl"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("missing.pkl"), "{error}");
}

#[test]
fn torch_state_dictionary_is_read() {
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
    use Dtype::{Bf16, Bool, F16, F32, F64, I32, I64, U8};
    assert_eq!(dtypes, [F16, Bf16, F64, I64, I32, U8, Bool, F32]);
    assert_eq!(arrays["steps"].to_f32(), [123_456_789_012i64 as f32]);
}

#[test]
fn other_pickles_are_no_torch_checkpoint() {
    let error = read_torch(&fixture("serialization/chunked.pkl"), Within::Root).unwrap_err();
    assert!(
        matches!(
            &error,
            ImportError::Torch {
                reason: TorchError::NotTorch,
                ..
            }
        ),
        "{error}"
    );
    let error = read_torch(&fixture("import/legacy.safetensors"), Within::Root).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("is a safetensors file, not a torch checkpoint"),
        "{error}"
    );
}

#[test]
fn a_torch_file_cut_anywhere_is_an_error() {
    let whole = Bytes::from(fs_err::read(fixture("import/legacy.pth")).unwrap());
    assert!(state_dict(&whole, Within::Root).is_ok());
    for length in 0..whole.len() {
        assert!(
            state_dict(&whole.slice(..length), Within::Root).is_err(),
            "cut at {length}"
        );
    }
    let longer = Bytes::from([&whole[..], b"x"].concat());
    assert_eq!(
        state_dict(&longer, Within::Root).unwrap_err(),
        TorchError::Damaged("something follows the storages")
    );
}

#[test]
fn damaged_torch_files_never_panic() {
    let whole = fs_err::read(fixture("import/legacy.pth")).unwrap();
    let mut refused = 0;
    for position in 0..whole.len() {
        for change in [1, 0x40, 0x7F, 0xFF] {
            let mut bytes = whole.clone();
            bytes[position] ^= change;
            refused += usize::from(state_dict(&Bytes::from(bytes), Within::Root).is_err());
        }
    }
    assert!(refused > whole.len(), "{refused} refused");
}
