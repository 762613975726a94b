//! How fast one stage of mining is on one core: the neighbor of `scripts/bench/mine_peer.py`, whose table has both.
//!
//! usage: cargo run --release -p magiclens-mine --example speed -- FILE.warc.gz warc|html|decode|hash|chain
//!
//! Prints one JSON line. Only the work of the stage is counted, in seconds of this thread's CPU time.
#![expect(clippy::print_stdout, reason = "a program")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, bail};
use magiclens_data::ImageId;
use magiclens_data::decode::{Limits, decode_rgb};
use magiclens_data::fingerprint::Fingerprint;
use magiclens_web::html::{self, HtmlConfig};
use magiclens_web::input::{self, Entry, InputConfig, InputKind, Record};
use magiclens_web::page::{RawImage, RawPage};
use serde_json::{Value, json};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Warc,
    Html,
    Decode,
    Hash,
    Chain,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, name] = &arguments[..] else {
        bail!("usage: speed FILE.warc.gz warc|html|decode|hash|chain");
    };
    let stage = match name.as_str() {
        "warc" => Stage::Warc,
        "html" => Stage::Html,
        "decode" => Stage::Decode,
        "hash" => Stage::Hash,
        "chain" => Stage::Chain,
        _ => bail!("`{name}` is no stage\nhint: the stages are warc, html, decode, hash and chain"),
    };
    let mut speed = Speed::new(stage);
    let clock = cpu_seconds();
    read(path, &mut |record| speed.meet(record)).with_context(|| format!("`{path}`"))?;
    if matches!(stage, Stage::Warc | Stage::Chain) {
        speed.seconds = cpu_seconds() - clock;
    }
    println!("{}", speed.report(name));
    Ok(())
}

fn read(path: &str, each: &mut dyn FnMut(Record) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let entry = Entry {
        shard: 0,
        kind: InputKind::Warc,
        files: vec![path.to_owned()],
        rows: None,
        root: None,
    };
    for record in input::records(&entry, &[PathBuf::from(path)], &InputConfig::default()) {
        each(record?)?;
    }
    Ok(())
}

/// What is counted while a file is read.
struct Speed {
    stage: Stage,
    seconds: f64,
    counts: BTreeMap<&'static str, u64>,
    html: HtmlConfig,
}

impl Speed {
    fn new(stage: Stage) -> Self {
        Self {
            stage,
            seconds: 0.0,
            counts: BTreeMap::new(),
            html: HtmlConfig::default(),
        }
    }

    fn meet(&mut self, record: Record) -> anyhow::Result<()> {
        match record {
            Record::Html(page) => {
                self.count("records", 1);
                self.count("bytes", page.html.len());
                if matches!(self.stage, Stage::Html | Stage::Chain) {
                    self.parse(&page);
                }
            }
            Record::Image(image) => {
                self.count("records", 1);
                self.count("bytes", image.bytes.len());
                if matches!(self.stage, Stage::Decode | Stage::Hash | Stage::Chain) {
                    self.decode(&image);
                }
            }
            Record::Rejected(_) | Record::RejectedImage(_) => self.count("rejected", 1),
            Record::Page(_) => {}
        }
        Ok(())
    }

    fn parse(&mut self, page: &RawPage) {
        let parsed = self.timed(|speed| html::parse(page, &speed.html));
        self.count("pages", 1);
        self.count("page_bytes", page.html.len());
        if let Ok(parsed) = black_box(parsed) {
            self.count("found", parsed.images.len());
        }
    }

    fn decode(&mut self, image: &RawImage) {
        let decode = |_: &mut Self| decode_rgb(&image.bytes, &Limits::default());
        let decoded = match self.stage {
            Stage::Hash => decode(self),
            _ => self.timed(decode),
        };
        let Ok(pixels) = black_box(decoded) else {
            return self.count("refused", 1);
        };
        self.count("pictures", 1);
        self.count("pixels", pixels.width() as usize * pixels.height() as usize);
        if matches!(self.stage, Stage::Hash | Stage::Chain) {
            black_box(self.timed(|_| Fingerprint::of(ImageId::of_bytes(&image.bytes), &pixels)));
        }
    }

    fn timed<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        if self.stage == Stage::Chain {
            return work(self);
        }
        let start = cpu_seconds();
        let done = work(self);
        self.seconds += cpu_seconds() - start;
        done
    }

    fn count(&mut self, what: &'static str, amount: usize) {
        *self.counts.entry(what).or_default() += amount as u64;
    }

    fn report(&self, stage: &str) -> Value {
        let mut report = json!({"side": "magiclens", "stage": stage, "cpu_s": self.seconds});
        for (what, amount) in &self.counts {
            report[*what] = json!(amount);
        }
        report
    }
}

/// Seconds that this thread has worked; where the system does not say, seconds of the wall clock. Linux brings the number up to
/// date a few hundred times a second: single items are not measured well, but sums over seconds are, to some percent.
fn cpu_seconds() -> f64 {
    thread_local! { static START: Instant = Instant::now(); }
    let on_cpu = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = on_cpu.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
    nanoseconds.map_or_else(|| START.with(|start| start.elapsed().as_secs_f64()), |ns| ns / 1e9)
}
