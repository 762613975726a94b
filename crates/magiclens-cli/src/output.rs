//! Answers on standard output.

use std::io::Write;

/// Writes an answer to standard output.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Writes an answer as JSON, or as people read it.
pub(crate) fn print_as(json: bool, value: &impl serde::Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    print(&match json {
        true => format!("{}\n", serde_json::to_string_pretty(value)?),
        false => text(),
    })
}
