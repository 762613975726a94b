//! The exact forms that machines use: `tokenize --json`, `import official`, `embed --jsonl`, `model info`.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

fn magiclens(arguments: &[&str], input: &str) -> Output {
    magiclens_with(&[], arguments, input)
}

fn magiclens_with(variables: &[(&str, &str)], arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_magiclens"))
        .args(arguments)
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || drop(pipe.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn json_lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone())
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn refusal(output: &Output) -> String {
    assert!(!output.status.success());
    let told = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(told.starts_with("error: ") && !told.contains("panicked"), "{told}");
    told
}

fn json(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixture(name)).unwrap()).unwrap()
}

#[test]
fn tokenize_gives_the_official_ids_of_every_case() {
    let recorded = json("tokenizer.json");
    let cases = recorded["cases"].as_array().unwrap();
    let input: String = cases
        .iter()
        .flat_map(|case| [case["text"].to_string(), "\n".into()])
        .collect();
    let lines = json_lines(&magiclens(&["tokenize", "--json"], &input));
    assert_eq!(lines.len(), cases.len());
    for (line, case) in lines.iter().zip(cases) {
        assert_eq!(line, &case["ids"], "{}", case["text"]);
    }
    assert!(refusal(&magiclens(&["tokenize", "--json"], "\"good\"\nno json\n")).contains("line 2"));
}

#[test]
fn an_official_checkpoint_is_imported_and_embeds_with_its_towers() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("tiny_a.safetensors");
    let (pickle, config) = (fixture("tiny_a/checkpoint.pkl"), fixture("tiny_a/config.json"));
    let [pickle, config, model] = [&pickle, &config, &model].map(|path| path.to_str().unwrap());
    let done = magiclens(&["import", "official", pickle, "--config", config, "-o", model], "");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));

    let recorded = json("tiny_a/end_to_end.json");
    let queries: Vec<&Value> = recorded["queries"].as_array().unwrap().iter().collect();
    assert!(queries.len() >= 2);
    let pairs: String = queries
        .iter()
        .map(|query| {
            let image = fixture("preprocess").join(query["image"].as_str().unwrap());
            format!("{}\n", serde_json::json!({ "image": image, "text": query["text"] }))
        })
        .collect();
    let file = folder.path().join("pairs.jsonl");
    std::fs::write(&file, &pairs).unwrap();
    let lines = json_lines(&magiclens(
        &["embed", "--model", model, "--jsonl", file.to_str().unwrap()],
        "",
    ));
    let with_towers = json_lines(&magiclens(
        &["embed", "--model", model, "--jsonl", "-", "--towers"],
        &pairs,
    ));
    assert_eq!((lines.len(), with_towers.len()), (queries.len(), queries.len()));
    for ((line, more), query) in lines.iter().zip(&with_towers).zip(&queries) {
        assert_eq!(line.as_object().unwrap().keys().collect::<Vec<_>>(), ["embedding"]);
        for (found, expected) in line["embedding"]
            .as_array()
            .unwrap()
            .iter()
            .zip(query["embedding"].as_array().unwrap())
        {
            assert!((found.as_f64().unwrap() - expected.as_f64().unwrap()).abs() < 2e-4);
        }
        assert_eq!(more["embedding"], line["embedding"]);
        assert_eq!(
            (
                more["image_embed"].as_array().unwrap().len(),
                more["text_embed"].as_array().unwrap().len()
            ),
            (32, 32)
        );
    }

    let info = magiclens(&["model", "info", model], "");
    assert!(
        String::from_utf8(info.stdout)
            .unwrap()
            .contains("tiny_a, embeddings of 32 numbers")
    );
}

#[test]
fn bad_pairs_are_refused_by_line_and_name() {
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../weights/small.safetensors");
    let embed = |pairs: &str| magiclens(&["embed", "--model", weights.to_str().unwrap(), "--jsonl", "-"], pairs);
    assert!(refusal(&embed("{\"image\": 5}\n")).contains("line 1"));
    let told = refusal(&embed("{\"image\": \"no-such-image.png\", \"text\": \"\"}\n"));
    assert!(told.contains("line 1") && told.contains("no-such-image.png"), "{told}");
}

/// `os.system("touch ...")` as a pickle: refused by name, and nothing happens.
#[test]
fn a_pickle_that_wants_to_run_something_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (trace, out) = (folder.path().join("trace"), folder.path().join("out.safetensors"));
    let evil = folder.path().join("evil.pkl");
    std::fs::write(&evil, format!("cos\nsystem\n(S'touch {}'\ntR.", trace.display())).unwrap();
    let told = refusal(&magiclens(
        &[
            "import",
            "official",
            evil.to_str().unwrap(),
            "-o",
            out.to_str().unwrap(),
        ],
        "",
    ));
    assert!(told.contains("os.system") && told.contains("evil.pkl"), "{told}");
    assert!(!trace.exists() && !out.exists());

    let whole = std::fs::read(fixture("tiny_b/checkpoint.pkl")).unwrap();
    let cut = folder.path().join("cut.pkl");
    let config = fixture("tiny_b/config.json");
    for length in [0, 1, 20, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&cut, &whole[..length]).unwrap();
        let arguments = [
            "import",
            "official",
            cut.to_str().unwrap(),
            "--config",
            config.to_str().unwrap(),
            "-o",
        ];
        let told = refusal(&magiclens(&[&arguments[..], &[out.to_str().unwrap()]].concat(), ""));
        assert!(told.contains("cut.pkl"), "{told}");
    }
    assert!(!out.exists());
    let told = refusal(&magiclens(
        &[
            "import",
            "official",
            fixture("preprocess/exact_224.png").to_str().unwrap(),
            "-o",
            out.to_str().unwrap(),
        ],
        "",
    ));
    assert!(told.contains("PNG"), "{told}");
}

/// Embeddings of some pairs by the built-in model.
fn embeddings(variables: &[(&str, &str)], precision: &str) -> Vec<Vec<f64>> {
    let pair = |(image, text): (&str, &str)| {
        let image = fixture("preprocess").join(image);
        format!("{}\n", serde_json::json!({ "image": image, "text": text }))
    };
    let pairs = [
        ("gradient_64x48_rgb.png", "as a line drawing"),
        ("exact_224.png", ""),
        ("noise_w37_h501.png", "another one, in red"),
    ];
    let small = fixture("../weights/small.safetensors");
    let arguments = [
        "--precision",
        precision,
        "embed",
        "--model",
        small.to_str().unwrap(),
        "--jsonl",
        "-",
    ];
    let output = magiclens_with(variables, &arguments, &pairs.map(pair).concat());
    let numbers = |line: &Value| serde_json::from_value(line["embedding"].clone()).unwrap();
    json_lines(&output).iter().map(numbers).collect()
}

#[test]
fn hidden_instructions_and_other_threads_give_the_same_vectors() {
    let expected = embeddings(&[], "f32");
    for threads in ["1", "3", "8"] {
        assert_eq!(
            embeddings(&[("RAYON_NUM_THREADS", threads)], "f32"),
            expected,
            "{threads} threads"
        );
    }
    let [portable, avx2, avx512] =
        ["portable", "avx2", "avx512"].map(|width| embeddings(&[("MAGICLENS_CPU", width)], "f32"));
    assert_eq!(avx2, avx512);
    let largest = |found: &[Vec<f64>]| {
        let both = found.iter().flatten().zip(expected.iter().flatten());
        both.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    };
    assert!(largest(&portable) < 1e-5, "{}", largest(&portable));
    // Where the CPU has no bf16, f32 takes its place, and bf16 takes that of bytes in this model.
    for precision in ["bf16", "int8"] {
        let rounded = largest(&embeddings(&[], precision));
        assert!(rounded < 2e-2, "{precision}: {rounded}");
    }
    let small = fixture("../weights/small.safetensors");
    let refused = magiclens(&["--precision", "f64", "tokenize"], "");
    assert!(
        String::from_utf8(refused.stderr)
            .unwrap()
            .contains("`f64` is not a precision")
    );
    let arguments = ["embed", "--model", small.to_str().unwrap(), "--jsonl", "-"];
    let refused = magiclens_with(&[("MAGICLENS_CPU", "avx3")], &arguments, "");
    assert!(!refused.status.success());
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("`MAGICLENS_CPU` is `avx3`"), "{told}");
}

#[test]
fn devices_and_precisions_that_cannot_be_used_are_refused_by_name() {
    const NOTHING_CHANGES: &str = "`--precision` and `--keep-packed` change nothing in `";
    let train = [
        "train",
        "--config",
        "a",
        "--data",
        "b",
        "--start",
        "small",
        "--out",
        "d",
        "--weights",
        "e",
    ];
    let small = fixture("../weights/small.safetensors");
    let embed = ["embed", "--model", small.to_str().unwrap(), "--jsonl", "-"];
    for (before, command, named) in [
        (&["--device", "gpu"][..], &embed[..], "`gpu` names no device"),
        (&["--device", "cpu:1"], &embed, "`cpu:1` names no device"),
        (
            &["--device", "cpu,cpu"],
            &embed,
            "only `train` works on several devices",
        ),
        // Built without it or without such a device, as this machine is.
        (&["--device", "cuda:63"], &embed, "`cuda"),
        (
            &["--device", "cuda", "--precision", "bf16"],
            &embed,
            "`--precision` and `--keep-packed` are for the CPU",
        ),
        (
            &["--device", "cuda"],
            &["mine", "steps", "run"],
            "`mine` runs on the CPU alone",
        ),
        (
            &["--device", "cuda"],
            &["experiment", "list"],
            "`experiment` runs on the CPU alone",
        ),
        (&["--device", "cuda"], &["tokenize"], "`tokenize` runs on the CPU alone"),
        (&["--precision", "bf16"], &["experiment", "list"], NOTHING_CHANGES),
        (&["--precision", "int8"], &train, NOTHING_CHANGES),
        (
            &["--device", "cuda"],
            &["train", "report", "a", "--out", "b.html"],
            "`train` runs on the CPU alone",
        ),
        (&["--keep-packed"], &["model", "list"], NOTHING_CHANGES),
    ] {
        let refused = magiclens(&[before, command].concat(), "");
        let told = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success() && told.contains(named), "{before:?}: {told}");
        assert!(told.contains("hint: "), "{told}");
    }
    let plain = magiclens(&[&["--device", "cpu"][..], &embed].concat(), "");
    assert!(plain.status.success());
}
