//! The program's own Rust files as syntax: lines of code, functions with their lengths, imports between files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use walkdir::WalkDir;

/// A function outside tests.
pub struct Function {
    /// `path/to/file.rs:line name`.
    pub place: String,
    /// Lines from `fn` to the closing brace.
    pub lines: usize,
}

/// One file under `crates/*/src`, tests excluded.
pub struct SourceFile {
    pub path: PathBuf,
    /// The crate's folder name.
    pub krate: String,
    /// The module path inside the crate; empty for the root.
    pub module: Vec<String>,
    /// Lines that hold code: not blank, not comments, not tests.
    pub code_lines: usize,
    pub functions: Vec<Function>,
    /// Paths below `crate` that the file names, and names that it re-exports from its own submodules.
    uses: BTreeSet<Vec<String>>,
    reexports: BTreeMap<String, Vec<String>>,
}

/// All source files of the workspace at `root`, in the order of their paths.
pub fn read_workspace(root: &Path) -> Vec<SourceFile> {
    let walk = WalkDir::new(root.join("crates")).sort_by_file_name();
    let paths = walk
        .into_iter()
        .map(|entry| entry.expect("the crates can be read").into_path());
    let inside = |path: &PathBuf| {
        let relative = path.strip_prefix(root).expect("below the root");
        let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
        let test = |part: &std::borrow::Cow<'_, str>| matches!(part.as_ref(), "tests" | "tests.rs");
        parts.get(2).is_some_and(|part| part == "src")
            && !parts.iter().any(test)
            && relative.extension().is_some_and(|e| e == "rs")
    };
    paths.filter(inside).map(|path| SourceFile::read(root, &path)).collect()
}

impl SourceFile {
    fn read(root: &Path, path: &Path) -> Self {
        let text = fs_err::read_to_string(path).expect("a source file can be read");
        let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let relative = path.strip_prefix(root).expect("below the root");
        let parts: Vec<String> = relative
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
            .collect();
        let mut module: Vec<String> = parts[3..]
            .iter()
            .map(|part| part.trim_end_matches(".rs").to_owned())
            .collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            module.pop();
        }
        let mut reader = Reader {
            relative,
            module: module.clone(),
            functions: Vec::new(),
            uses: BTreeSet::new(),
            reexports: BTreeMap::new(),
            lines: BTreeSet::new(),
        };
        reader.visit_file(&syntax);
        let Reader {
            functions,
            uses,
            reexports,
            lines,
            ..
        } = reader;
        let code_lines = lines.len();
        Self {
            path: relative.to_owned(),
            krate: parts[1].clone(),
            module,
            code_lines,
            functions,
            uses,
            reexports,
        }
    }
}

/// Imports among the files of one crate: file -> files that it names, as indexes into `files`.
pub fn imports(files: &[SourceFile]) -> Vec<BTreeSet<usize>> {
    let by_module: BTreeMap<(&str, &[String]), usize> = files
        .iter()
        .enumerate()
        .map(|(at, file)| ((file.krate.as_str(), &file.module[..]), at))
        .collect();
    let find = |krate: &str, path: &[String]| -> Option<usize> {
        // The longest part of the path that is a file.
        (0..=path.len())
            .rev()
            .find_map(|length| by_module.get(&(krate, &path[..length])).copied())
    };
    let mut edges = Vec::with_capacity(files.len());
    for (from, file) in files.iter().enumerate() {
        let mut to = BTreeSet::new();
        for path in &file.uses {
            let Some(mut at) = find(&file.krate, path) else {
                continue;
            };
            // A name that the face of a folder hands on belongs to the file behind it.
            while let Some(name) = path.get(files[at].module.len())
                && let Some(behind) = files[at].reexports.get(name)
                && let Some(next) = find(&file.krate, behind)
                && next != at
            {
                at = next;
            }
            if at != from {
                to.insert(at);
            }
        }
        edges.push(to);
    }
    edges
}

/// Groups of files that import each other in a circle.
pub fn circles(edges: &[BTreeSet<usize>]) -> Vec<Vec<usize>> {
    let reach: Vec<BTreeSet<usize>> = (0..edges.len()).map(|from| reachable(edges, from)).collect();
    let mut found: Vec<Vec<usize>> = Vec::new();
    for from in 0..edges.len() {
        let group: Vec<usize> = reach[from]
            .iter()
            .copied()
            .filter(|&to| reach[to].contains(&from))
            .collect();
        if group.first() == Some(&from) {
            found.push(group);
        }
    }
    found
}

fn reachable(edges: &[BTreeSet<usize>], from: usize) -> BTreeSet<usize> {
    let mut seen = BTreeSet::new();
    let mut waiting = vec![from];
    while let Some(at) = waiting.pop() {
        waiting.extend(edges[at].iter().copied().filter(|&to| seen.insert(to)));
    }
    seen
}

struct Reader<'a> {
    relative: &'a Path,
    /// That of the place that is read, below an inline module too.
    module: Vec<String>,
    functions: Vec<Function>,
    uses: BTreeSet<Vec<String>>,
    reexports: BTreeMap<String, Vec<String>>,
    lines: BTreeSet<usize>,
}

impl Reader<'_> {
    fn function(&mut self, name: &syn::Ident, start: Span, block: &syn::Block) {
        let line = start.start().line;
        let place = format!("{}:{line} {name}", self.relative.display());
        let lines = block.brace_token.span.close().end().line + 1 - line;
        self.functions.push(Function { place, lines });
    }

    /// The path below `crate` that these segments name from here, if they name one.
    fn resolve(&self, segments: &[String]) -> Option<Vec<String>> {
        let (first, rest) = segments.split_first()?;
        let ups = segments.iter().take_while(|segment| *segment == "super").count();
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some([&self.module, rest].concat()),
            "super" => {
                let above = self.module.len().checked_sub(ups)?;
                Some([&self.module[..above], &segments[ups..]].concat())
            }
            _ => None,
        }
    }

    fn name(&mut self, segments: &[String], public: bool) {
        let path = self.resolve(segments).or_else(|| {
            // `mod child; pub use child::Name;`
            public.then(|| [&self.module, segments].concat())
        });
        let Some(path) = path else { return };
        let own = path.starts_with(&self.module) && path.len() > self.module.len();
        match (public && own, path.last()) {
            (true, Some(name)) => drop(self.reexports.insert(name.clone(), path)),
            _ => drop(self.uses.insert(path)),
        }
    }

    fn tree(&mut self, prefix: &[String], tree: &syn::UseTree, public: bool) {
        let join = |ident: &syn::Ident| [prefix, &[ident.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.tree(&join(&path.ident), &path.tree, public),
            syn::UseTree::Name(name) if name.ident == "self" => self.name(prefix, public),
            syn::UseTree::Name(name) => self.name(&join(&name.ident), public),
            syn::UseTree::Rename(rename) => self.name(&join(&rename.ident), public),
            syn::UseTree::Glob(_) => self.name(prefix, false),
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.tree(prefix, item, public)),
        }
    }

    /// Notes the lines of these tokens, without those of doc comments.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            if let TokenTree::Punct(punct) = &token
                && punct.as_char() == '#'
            {
                tokens.next_if(|next| matches!(next, TokenTree::Punct(next) if next.as_char() == '!'));
                if tokens.next_if(is_doc).is_some() {
                    continue;
                }
            }
            match token {
                TokenTree::Group(group) => {
                    if group.delimiter() != Delimiter::None {
                        self.lines
                            .extend([group.span_open().start().line, group.span_close().end().line]);
                    }
                    self.tokens(group.stream());
                }
                other => self.lines.extend(other.span().start().line..=other.span().end().line),
            }
        }
    }
}

fn is_doc(token: &TokenTree) -> bool {
    let TokenTree::Group(group) = token else { return false };
    let first = group.stream().into_iter().next();
    matches!(first, Some(TokenTree::Ident(ident)) if ident == "doc")
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        meta => meta.path().is_ident("test"),
    })
}

fn attributes_of(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Const(item) => &item.attrs,
        _ => &[],
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_file(&mut self, file: &'ast syn::File) {
        for item in file.items.iter().filter(|item| !is_test(attributes_of(item))) {
            self.tokens(quote::ToTokens::to_token_stream(item));
            self.visit_item(item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig.ident, item.sig.span(), &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if is_test(&item.attrs) {
            return;
        }
        self.function(&item.sig.ident, item.sig.span(), &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig.ident, item.sig.span(), block);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let public = !matches!(item.vis, syn::Visibility::Inherited);
        self.tree(&[], &item.tree, public);
    }

    // `pub(super)` imports nothing.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if let Some(path) = self.resolve(&segments).filter(|path| !path.is_empty()) {
            self.uses.insert(path);
        }
        visit::visit_path(self, path);
    }
}
