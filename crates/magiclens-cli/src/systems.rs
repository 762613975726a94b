//! The systems that `magiclens eval` measures, as the command line names them.

use std::path::PathBuf;

use anyhow::Context;
use magiclens_eval::cache::Cache;
use magiclens_eval::evaluate::Contestant;
use magiclens_eval::method::{Inversion, Method};
use magiclens_eval::system::AskedModel;
use magiclens_hub::ModelName;
use magiclens_model::{Embedder, Precision};
use magiclens_search::Models as SearchModels;

use crate::model_choice;

/// Weights and ways to ask them.
#[derive(Debug, clap::Args)]
pub(crate) struct SystemArgs {
    /// Model: `small`, a file or folder, `magiclens-base`, or `OWNER/NAME[@REVISION]` of the hub; several are compared with
    /// the first [default: $MAGICLENS_MODEL, else `small`]
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Vec<ModelName>,
    /// Way to ask: magiclens, empty, image, text, basic, sum, sum:WEIGHT; several are compared
    #[arg(long, value_name = "METHOD", value_parser = clap::value_parser!(Method))]
    method: Vec<Method>,
    /// Ask by textual inversion, with what `magiclens import inversion` wrote; name `--method magiclens` to compare with it
    #[arg(long, value_name = "FILE")]
    inversion: Vec<PathBuf>,
    /// Folder for embeddings [default: `magiclens/eval` in the user's cache folder]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

/// Loaded weights, and the ways to ask them.
pub(crate) struct Models {
    models: Vec<Model>,
    methods: Vec<Method>,
}

struct Model {
    name: String,
    embedder: Embedder,
    cache: Cache,
}

impl Models {
    /// Loads the weights that are named; the default weights if none are and `or_default` is true.
    pub(crate) fn load(args: &SystemArgs, or_default: bool) -> anyhow::Result<Self> {
        let names = match args.model.is_empty() && or_default {
            true => vec![SearchModels::default_name()?],
            false => args.model.clone(),
        };
        let cache = args.cache.clone().map_or_else(default_cache, Ok)?;
        let models = names.iter().map(|name| {
            let embedder = model_choice::load(Some(name))?.embedder;
            let shown = match embedder.precision() {
                Precision::F32 => String::new(),
                other => format!(" {other}"),
            };
            Ok(Model {
                name: name.short() + &shown,
                cache: Cache::open(&cache, &vectors_id(&embedder))?,
                embedder,
            })
        });
        let mut models: Vec<Model> = models.collect::<anyhow::Result<_>>()?;
        let names: Vec<String> = models.iter().map(|model| model.name.clone()).collect();
        for model in &mut models {
            if names.iter().filter(|other| **other == model.name).count() > 1 {
                model.name = format!("{} {}", model.name, &model.embedder.model_id()[..8]);
            }
        }
        Ok(Self {
            models,
            methods: methods(args)?,
        })
    }

    /// Every model asked in every way, with its name.
    pub(crate) fn asked(&self) -> impl Iterator<Item = (String, AskedModel<'_>)> {
        self.models.iter().flat_map(move |model| {
            self.methods.iter().map(move |method| {
                let name = match method {
                    Method::MagicLens => model.name.clone(),
                    other => format!("{}, {other}", model.name),
                };
                let asked = AskedModel {
                    embedder: &model.embedder,
                    method,
                    cache: &model.cache,
                };
                (name, asked)
            })
        })
    }

    /// The models, then files of rankings; commas stand between the files of one system.
    pub(crate) fn contestants(&self, files: &[String]) -> Vec<Contestant<'_>> {
        let models = self.asked().map(|(name, model)| Contestant::Model { name, model });
        let rankings = files.iter().map(|files| {
            let paths: Vec<PathBuf> = files.split(',').map(PathBuf::from).collect();
            let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Contestant::Rankings {
                name: paths.iter().map(name).collect::<Vec<_>>().join(", "),
                paths,
            }
        });
        models.chain(rankings).collect()
    }
}

/// The ways to ask; textual inversions come after those of `--method`.
fn methods(args: &SystemArgs) -> anyhow::Result<Vec<Method>> {
    let mut methods = args.method.clone();
    for path in &args.inversion {
        methods.push(Method::Inversion(Inversion::load(path)?));
    }
    if methods.is_empty() {
        methods.push(Method::MagicLens);
    }
    Ok(methods)
}

fn default_cache() -> anyhow::Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))
        .context("there is no home folder for the cache\nhint: name a folder with `--cache DIR`")?;
    Ok(base.join("magiclens/eval"))
}

/// Names the vectors of a model: those of another precision are others. Caches look at the first 32 characters.
fn vectors_id(embedder: &Embedder) -> String {
    match embedder.precision() {
        Precision::F32 => embedder.model_id().to_owned(),
        other => format!("{other}-{}", embedder.model_id()),
    }
}
