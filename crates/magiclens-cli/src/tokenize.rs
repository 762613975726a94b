//! `magiclens tokenize`: texts to the token ids of CLIP.

use std::io::{BufRead, BufWriter, Write};

use anyhow::Context;
use magiclens_model::tokenizer::clip::ClipTokenizer;

/// Turn texts from standard input into CLIP token ids, a line each
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Lines in are JSON strings, lines out are JSON arrays of 77 ids; without it, plain text in, ids without padding out
    #[arg(long)]
    json: bool,
}

/// Reads until the end of standard input.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let tokenizer = ClipTokenizer::new();
    let mut out = BufWriter::new(std::io::stdout().lock());
    for (number, line) in std::io::stdin().lock().lines().enumerate() {
        let line = line.with_context(|| format!("line {} of standard input cannot be read", number + 1))?;
        if args.json {
            let text: String = serde_json::from_str(&line)
                .with_context(|| format!("line {} of standard input is not a JSON string", number + 1))?;
            serde_json::to_writer(&mut out, &tokenizer.encode(&text).as_slice())?;
            writeln!(out)?;
        } else {
            let ids = tokenizer.encode(&line);
            let end = ids.iter().rposition(|id| *id != 0).map_or(0, |last| last + 1);
            let shown: Vec<String> = ids[..end].iter().map(u32::to_string).collect();
            writeln!(out, "{}", shown.join(" "))?;
        }
    }
    Ok(out.flush()?)
}
