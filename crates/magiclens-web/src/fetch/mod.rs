//! Fetches missing images politely: robots.txt first, opt-outs kept, slowly per host, never from private addresses.
//!
//! Nothing is fetched unless the configuration allows it and names whom to write to. A [`Fetcher`] belongs to a run:
//! what it learned about hosts (robots.txt, when to ask again) holds for all its calls. Several processes know nothing
//! of each other's pace: give each its share of the hosts, or a longer interval.

mod address;
mod answer;
mod client;
mod config;
mod memory;
mod reason;
mod retry;
mod robots;
mod schedule;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use reqwest::dns::Resolve;
use tokio::runtime::Runtime;

pub use answer::{Body, Fetched};
pub use config::FetchConfig;
pub use reason::{FetchFailure, reasons};
pub use retry::{backoff, retry_after};
pub use robots::Robots;

use address::{PublicOnly, SystemLookup};
use client::Client;
use memory::Memory;
use schedule::Schedule;

/// Fetches images; keeps robots.txt files and the pace of each host for the whole run.
pub struct Fetcher {
    config: FetchConfig,
    /// None if fetching is not allowed.
    open: Option<(Runtime, Arc<Client>)>,
    memory: Mutex<Memory>,
}

impl Fetcher {
    /// Checks the configuration and prepares connections; contacts nobody.
    ///
    /// # Errors
    /// The configuration cannot work, or it allows fetching without saying who fetches.
    pub fn new(config: &FetchConfig) -> anyhow::Result<Self> {
        let lookup = Arc::new(SystemLookup);
        if config.allow_private_addresses {
            Self::with_lookup(config, lookup)
        } else {
            Self::with_lookup(config, Arc::new(PublicOnly(lookup)))
        }
    }

    fn with_lookup(config: &FetchConfig, lookup: Arc<dyn Resolve>) -> anyhow::Result<Self> {
        let open = if config.allowed {
            config.check()?;
            let runtime = tokio::runtime::Builder::new_multi_thread()
                // Waiting for the network is all they do.
                .worker_threads(2)
                .thread_name("fetch")
                .enable_all()
                .build()
                .context("cannot start the threads that fetch")?;
            Some((runtime, Arc::new(Client::new(config, lookup)?)))
        } else {
            None
        };
        Ok(Self {
            config: config.clone(),
            open,
            memory: Mutex::new(Memory::default()),
        })
    }

    /// Fetches images and hands over each as it comes, in no fixed order; returns when every address has its result.
    ///
    /// An address that was asked for twice is fetched and handed over once. Results come as they are ready because a
    /// fixed order would let one slow host hold back all others: sort by `places` where order matters. While `each`
    /// works, at most `concurrency` images of `max_bytes` wait in memory. A second call from another thread waits
    /// for the first. Must not be called from asynchronous code.
    pub fn fetch(&self, urls: Vec<String>, each: &mut dyn FnMut(Fetched)) {
        let Some((runtime, client)) = &self.open else {
            return refuse_all(urls, each);
        };
        // A panic of an earlier `each` leaves the memory whole: it is only written between calls of `each`.
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        runtime.block_on(Schedule::new(&self.config, client, &mut memory, each).run(urls));
    }
}

fn refuse_all(urls: Vec<String>, each: &mut dyn FnMut(Fetched)) {
    for (place, url) in urls.into_iter().enumerate() {
        let detail = "the configuration does not set `allowed`";
        each(Fetched {
            places: vec![place],
            final_url: url.clone(),
            url,
            result: Err(FetchFailure::new(reasons::NOT_ALLOWED, detail)),
        });
    }
}
