//! RTen's side of `scripts/bench/cpu`: CLIP's towers from the ONNX files that `cpu_peer.py prepare` writes.
//!
//! `bench-rten measure FOLDER PRECISION BATCH`: one line: images a second, texts a second, milliseconds of one query, seconds to load,
//! peak memory in MiB. `RTEN_NUM_THREADS` sets the threads.

use std::fs::read_to_string;
use std::path::Path;
use std::time::Instant;

use rten::{Model, ModelOptions};
use rten_tensor::{AsView, NdTensor};

const TEXTS: usize = 64;
const TOKENS: usize = 12;
const ROUNDS: usize = 3;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["measure", folder, precision, batch] => {
            let towers = Towers::load(folder.as_ref(), precision)?;
            let load = load_s()?;
            let [images, texts, query] = measure(&towers, batch.parse()?)?;
            println!("{images:.3} {texts:.3} {query:.3} {load:.2} {:.0}", peak_mib()?);
            Ok(())
        }
        _ => Err("usage: bench-rten measure FOLDER f32|int8 BATCH".into()),
    }
}

struct Towers {
    image: Model,
    text: Model,
}

impl Towers {
    fn load(folder: &Path, precision: &str) -> Result<Self, Failure> {
        let suffix = match precision {
            "f32" => "",
            "int8" => "-int8",
            other => return Err(format!("RTen has no precision `{other}`, only f32 and int8").into()),
        };
        let mut options = ModelOptions::with_all_ops();
        options.prepack_weights(true);
        Ok(Self {
            image: options.load_file(folder.join(format!("image{suffix}.onnx")))?,
            text: options.load_file(folder.join(format!("text{suffix}.onnx")))?,
        })
    }

    fn encode_images(&self, pixels: &NdTensor<f32, 4>) -> Result<(), Failure> {
        self.image.run_one(pixels.view().into(), None)?;
        Ok(())
    }

    fn encode_texts(&self, ids: &NdTensor<i32, 2>) -> Result<(), Failure> {
        self.text.run_one(ids.view().into(), None)?;
        Ok(())
    }
}

/// Images and texts a second in batches, and milliseconds of one query.
fn measure(towers: &Towers, batch: usize) -> Result<[f64; 3], Failure> {
    let (images, texts) = (pixels(batch), ids(TEXTS));
    let (one_image, one_text) = (pixels(1), ids(1));
    let query = || {
        towers
            .encode_images(&one_image)
            .and_then(|()| towers.encode_texts(&one_text))
    };
    let seconds = [
        best(|| towers.encode_images(&images))?,
        best(|| towers.encode_texts(&texts))?,
        best(query)?,
    ];
    Ok([batch as f64 / seconds[0], TEXTS as f64 / seconds[1], 1e3 * seconds[2]])
}

/// The shortest time of some rounds after one that does not count, in seconds.
fn best(run: impl Fn() -> Result<(), Failure>) -> Result<f64, Failure> {
    run()?;
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        run()?;
        best = best.min(begun.elapsed().as_secs_f64());
    }
    Ok(best)
}

/// Random values from -1 to 1.
fn pixels(count: usize) -> NdTensor<f32, 4> {
    let mut state = 1_u32;
    NdTensor::from_simple_fn([count, 3, 224, 224], || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (f64::from(state) / f64::from(u32::MAX) * 2.0 - 1.0) as f32
    })
}

/// Texts of one token again and again between those of start and end, as those of the other peers.
fn ids(count: usize) -> NdTensor<i32, 2> {
    NdTensor::from_fn([count, TOKENS], |[_, at]| match at {
        0 => 49406,
        at if at == TOKENS - 1 => 49407,
        _ => 320,
    })
}

/// Seconds since the process started; the kernel counts both times in hundredths.
fn load_s() -> Result<f64, Failure> {
    let now: f64 = field(&read_to_string("/proc/uptime")?, 0)?.parse()?;
    let stat = read_to_string("/proc/self/stat")?;
    // The name of the program is in parentheses and may hold spaces; the start is the 20th field behind it.
    let (_, behind_name) = stat.rsplit_once(')').ok_or("/proc/self/stat has no name")?;
    let started: f64 = field(behind_name, 19)?.parse()?;
    Ok(now - started / 100.0)
}

/// The most memory the process has had so far.
fn peak_mib() -> Result<f64, Failure> {
    let status = read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: f64 = field(peak.ok_or("/proc/self/status has no VmHWM")?, 0)?.parse()?;
    Ok(kib / 1024.0)
}

fn field(text: &str, at: usize) -> Result<&str, Failure> {
    text.split_whitespace()
        .nth(at)
        .ok_or_else(|| "a line of /proc is too short".into())
}
