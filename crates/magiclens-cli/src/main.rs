//! The `magiclens` program: parses, calls, reports. One file per subcommand.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod collection;
#[cfg(feature = "compare")]
mod compare;
mod embed;
#[cfg(feature = "eval")]
mod eval;
#[cfg(feature = "experiment")]
mod experiment;
mod import;
mod index;
#[cfg(feature = "mine")]
mod mine;
mod model;
mod model_choice;
#[cfg(feature = "eval")]
mod output;
mod progress;
#[cfg(feature = "eval")]
mod robustness;
mod search;
mod serve;
mod sheet;
#[cfg(feature = "eval")]
mod systems;
mod tokenize;
#[cfg(feature = "train")]
mod train;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::model_choice::Heeds;

/// Image retrieval with open-ended instructions
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Args {
    #[command(flatten)]
    loading: model_choice::LoadOptions,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Index(index::Args),
    Search(search::Args),
    Serve(serve::Args),
    #[cfg(feature = "compare")]
    Compare(Box<compare::Args>),
    Embed(embed::Args),
    Tokenize(tokenize::Args),
    Model(model::Args),
    Import(import::Args),
    Collection(collection::Args),
    #[cfg(feature = "mine")]
    Mine(mine::Args),
    #[cfg(feature = "train")]
    Train(train::Args),
    #[cfg(feature = "eval")]
    Eval(Box<eval::Args>),
    #[cfg(feature = "experiment")]
    Experiment(experiment::Args),
}

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("MAGICLENS_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let args = Args::parse();
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

impl Command {
    /// Its name, and what it heeds of `LoadOptions`.
    fn heeds(&self) -> (&'static str, Heeds) {
        match self {
            Self::Index(_) => ("index", Heeds::All),
            Self::Search(_) => ("search", Heeds::All),
            Self::Serve(_) => ("serve", Heeds::All),
            #[cfg(feature = "compare")]
            Self::Compare(_) => ("compare", Heeds::All),
            Self::Embed(_) => ("embed", Heeds::All),
            #[cfg(feature = "eval")]
            Self::Eval(_) => ("eval", Heeds::All),
            #[cfg(feature = "train")]
            Self::Train(args) => ("train", args.heeds()),
            #[cfg(feature = "experiment")]
            Self::Experiment(_) => ("experiment", Heeds::Nothing),
            #[cfg(feature = "mine")]
            Self::Mine(_) => ("mine", Heeds::Nothing),
            Self::Tokenize(_) => ("tokenize", Heeds::Nothing),
            Self::Model(_) => ("model", Heeds::Nothing),
            Self::Import(_) => ("import", Heeds::Nothing),
            Self::Collection(_) => ("collection", Heeds::Nothing),
        }
    }
}

fn run(args: Args) -> anyhow::Result<()> {
    let (name, heeds) = args.command.heeds();
    model_choice::set_loading(args.loading, name, heeds)?;
    match args.command {
        Command::Index(args) => index::run(args),
        Command::Search(args) => search::run(args),
        Command::Serve(args) => serve::run(args),
        #[cfg(feature = "compare")]
        Command::Compare(args) => compare::run(&args),
        Command::Embed(args) => embed::run(args),
        Command::Tokenize(args) => tokenize::run(args),
        Command::Model(args) => model::run(args),
        Command::Import(args) => import::run(args),
        Command::Collection(args) => collection::run(args),
        #[cfg(feature = "mine")]
        Command::Mine(args) => mine::run(args),
        #[cfg(feature = "train")]
        Command::Train(args) => train::run(args),
        #[cfg(feature = "eval")]
        Command::Eval(args) => eval::run(&args),
        #[cfg(feature = "experiment")]
        Command::Experiment(args) => experiment::run(args),
    }
}

#[expect(clippy::print_stderr, reason = "this is where errors are told")]
fn report(error: &anyhow::Error) {
    // A reader that went away, such as `head`, is no error of ours.
    let broken = |cause: &(dyn std::error::Error + 'static)| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    };
    if !error.chain().any(broken) {
        eprintln!("error: {error:#}");
    }
}
