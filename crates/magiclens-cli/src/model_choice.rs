//! The weights that a command uses when none are named.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use magiclens_model::Embedder;

/// Environment variable that names the default weights.
const VARIABLE: &str = "MAGICLENS_MODEL";
/// The weights of the repository, seen from its root.
const COMMITTED: &str = "weights/small.safetensors";

/// The weights named, else `$MAGICLENS_MODEL`, else the repository's `weights/small.safetensors`: from the current
/// folder or one above it, from the program's own place, or from where it was built.
pub(crate) fn resolve(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = named {
        return Ok(path.to_path_buf());
    }
    if let Some(path) = std::env::var_os(VARIABLE) {
        return Ok(PathBuf::from(path));
    }
    let here = std::env::current_dir().unwrap_or_default();
    let program = std::env::current_exe().unwrap_or_default();
    let built = Path::new(env!("CARGO_MANIFEST_DIR"));
    for start in [here.as_path(), program.as_path(), built] {
        if let Some(found) = start
            .ancestors()
            .map(|folder| folder.join(COMMITTED))
            .find(|path| path.is_file())
        {
            return Ok(found);
        }
    }
    bail!("found no weights at `{COMMITTED}`\nhint: name them with `--model FILE`, or set {VARIABLE}")
}

/// Loads the model of these weights, or the default one.
pub(crate) fn load(named: Option<&Path>) -> anyhow::Result<Embedder> {
    let path = resolve(named)?;
    Embedder::load(&path).with_context(|| format!("cannot load the model `{}`", path.display()))
}
