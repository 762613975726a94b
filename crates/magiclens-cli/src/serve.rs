//! `magiclens serve`: the search page and its API over an index.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context;
use magiclens_hub::ModelName;
use magiclens_search::Method;
use magiclens_serve::{Limits, ServeConfig};

use crate::index::Bars;
use crate::model_choice;

/// Show the search page for an index in the browser
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folders and files to index while the page is open, as `magiclens index` does; searches find what is done
    paths: Vec<PathBuf>,

    /// Folder of the index, made by `magiclens index`, or here if there are paths to index
    #[arg(long, value_name = "DIR")]
    index: PathBuf,

    /// Model: `small`, a file or folder, `magiclens-base`, or `OWNER/NAME[@REVISION]` of the hub
    /// [default: that of the index, else $MAGICLENS_MODEL, else `small`]
    #[arg(long, value_name = "NAME")]
    model: Option<ModelName>,

    /// Way to ask image + text: `fusion` (of models without one the sum), or `basic`, which compares both apart and needs no
    /// training
    #[arg(long, value_name = "METHOD", default_value_t = Method::Fusion)]
    method: Method,

    /// Address to listen on; on one that others reach, everyone there sees the indexed images
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    host: IpAddr,

    /// Name under which others reach the server, such as `images.example`; may be repeated. Without it, only `localhost`
    /// and addresses in digits are answered, so that no other site's page can reach the images through a name of its own
    #[arg(long, value_name = "NAME")]
    allow_host: Vec<String>,

    /// Port to listen on; 0 picks a free one
    #[arg(long, default_value_t = 7878)]
    port: u16,

    /// Open the page in the browser
    #[arg(long)]
    open: bool,

    /// Searches in the service at once, waiting ones included; more are told to come back
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    queue: u16,
}

/// Serves until Ctrl-C or SIGTERM.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let (open, method, model, dir) = (args.open, args.method, args.model.clone(), args.index.clone());
    let config = args.into_config();
    let runtime = tokio::runtime::Runtime::new().context("no threads for the server")?;
    let load = move || {
        let mut model = model_choice::load_for_folder(&dir, model.as_ref())?;
        model_choice::ask_by(method, &mut model)?;
        Ok(model)
    };
    runtime.block_on(magiclens_serve::run(config, load, Bars::default(), |url| {
        announce(url);
        if open {
            open_browser(url);
        }
    }))
}

impl Args {
    fn into_config(self) -> ServeConfig {
        let limits = Limits {
            max_searches: usize::from(self.queue),
            ..Limits::default()
        };
        ServeConfig {
            paths: self.paths,
            host: self.host,
            port: self.port,
            allowed_hosts: self.allow_host,
            limits,
            ..ServeConfig::new(self.index)
        }
    }
}

#[expect(clippy::print_stdout, reason = "the address is this command's answer")]
fn announce(url: &str) {
    println!("magiclens is at {url} (Ctrl-C stops it)");
}

/// Best effort: the address was printed anyway.
pub(crate) fn open_browser(url: &str) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let quiet = Stdio::null;
    if let Err(error) = Command::new(program)
        .arg(url)
        .stdin(quiet())
        .stdout(quiet())
        .stderr(quiet())
        .spawn()
    {
        tracing::warn!(%error, "`{program}` could not be started; open the address yourself");
    }
}
