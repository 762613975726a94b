//! Measures a checkout: lines of code and functions of each crate, long functions, files that import each other.
//!
//! `cargo run -p magiclens-cli --example measure [-- DIR]`; tests, blank lines and comments do not count.

#![allow(clippy::print_stdout, missing_docs, unreachable_pub)]

#[path = "../tests/tree/source.rs"]
mod source;

use std::collections::BTreeMap;
use std::path::PathBuf;

use source::{Function, SourceFile};

fn main() {
    let given = std::env::args_os().nth(1).map(PathBuf::from);
    let root = given.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../.."));
    let files = source::read_workspace(&root);
    let mut crates: BTreeMap<&str, Vec<&SourceFile>> = BTreeMap::new();
    for file in &files {
        crates.entry(&file.krate).or_default().push(file);
    }
    println!("| crate | files | lines of code | functions | median | 95 of 100 within | longest |");
    println!("|---|---|---|---|---|---|---|");
    for (name, files) in &crates {
        row(name, files);
    }
    row("all", &files.iter().collect::<Vec<_>>());
    let functions: Vec<&Function> = files.iter().flat_map(|file| &file.functions).collect();
    for limit in [30, 40, 60] {
        let long = functions.iter().filter(|function| function.lines > limit).count();
        println!("functions of more than {limit} lines: {long}");
    }
    let mut longest = functions;
    longest.sort_by_key(|function| std::cmp::Reverse(function.lines));
    for function in longest.iter().take_while(|function| function.lines > 60) {
        println!("{:>5} lines: {}", function.lines, function.place);
    }
    for group in source::circles(&source::imports(&files)) {
        let names: Vec<_> = group.iter().map(|&at| files[at].path.display().to_string()).collect();
        println!("circle: {}", names.join(" <-> "));
    }
}

fn row(name: &str, files: &[&SourceFile]) {
    let lines: usize = files.iter().map(|file| file.code_lines).sum();
    let mut lengths: Vec<usize> = files
        .iter()
        .flat_map(|file| &file.functions)
        .map(|function| function.lines)
        .collect();
    lengths.sort_unstable();
    let at = |share: usize| lengths.get(lengths.len() * share / 100).copied().unwrap_or(0);
    let longest = lengths.last().copied().unwrap_or(0);
    println!(
        "| {name} | {} | {lines} | {} | {} | {} | {longest} |",
        files.len(),
        lengths.len(),
        at(50),
        at(95)
    );
}
