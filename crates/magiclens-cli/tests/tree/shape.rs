//! The shape of the source: short functions, and no files that import each other in circles.

use crate::root;
use crate::source::{self, SourceFile};

/// No function is longer.
const MAX_FUNCTION_LINES: usize = 60;

/// At least 95 of 100 functions are shorter.
const USUAL_FUNCTION_LINES: usize = 30;

#[test]
fn functions_are_short() {
    let files = source::read_workspace(&root());
    let functions: Vec<_> = files.iter().flat_map(|file| &file.functions).collect();
    let lines: usize = files.iter().map(|file| file.code_lines).sum();
    assert!(functions.len() > 1000 && lines > 10_000, "the walk finds the functions");
    let long: Vec<_> = functions
        .iter()
        .filter(|function| function.lines > MAX_FUNCTION_LINES)
        .map(|function| format!("{} lines: {}", function.lines, function.place))
        .collect();
    assert!(
        long.is_empty(),
        "longer than {MAX_FUNCTION_LINES} lines:\n{}",
        long.join("\n")
    );
    let short = functions
        .iter()
        .filter(|function| function.lines < USUAL_FUNCTION_LINES)
        .count();
    assert!(
        short * 100 >= functions.len() * 95,
        "only {short} of {} functions are shorter than {USUAL_FUNCTION_LINES} lines",
        functions.len()
    );
}

#[test]
fn no_files_import_each_other_in_circles() {
    let files = source::read_workspace(&root());
    let edges = source::imports(&files);
    assert!(
        edges.iter().map(|to| to.len()).sum::<usize>() > 300,
        "the walk finds the imports"
    );
    let found: Vec<String> = source::circles(&edges)
        .iter()
        .map(|group| names(&files, group))
        .collect();
    assert!(found.is_empty(), "files that import each other:\n{}", found.join("\n"));
}

#[test]
fn circles_are_found() {
    let edges = [vec![1], vec![2], vec![1], vec![0, 3], vec![]].map(|to| to.into_iter().collect());
    assert_eq!(source::circles(&edges), [vec![1, 2], vec![3]]);
}

fn names(files: &[SourceFile], group: &[usize]) -> String {
    let names: Vec<String> = group.iter().map(|&at| files[at].path.display().to_string()).collect();
    names.join(" <-> ")
}
