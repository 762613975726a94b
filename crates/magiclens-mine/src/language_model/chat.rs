//! A model behind an OpenAI-compatible `/chat/completions`: many requests in flight, retries, a cache, a limit on cost.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::anyhow;
use magiclens_web::DropReason;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use super::config::ModelConfig;
use super::model::{Completion, LanguageModel, Prompt};
use super::reply_cache::{Cache, Key};
use super::server::{Asked, Failure, Job, Server, no_client};
use super::usage::{Tokens, Usage};
use super::{reply, wire};

/// A model behind an OpenAI-compatible chat endpoint. It has threads of its own for waiting; calls block.
pub struct ChatEndpoint {
    runtime: tokio::runtime::Runtime,
    cache: Option<Cache>,
    server: Arc<Server>,
}

impl ChatEndpoint {
    /// An endpoint with these settings. Nothing is sent yet.
    ///
    /// # Errors
    /// An impossible setting, or a missing API key.
    pub fn new(config: &ModelConfig, cache: Option<Cache>) -> anyhow::Result<Self> {
        let server = Arc::new(Server::new(config)?);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("chat")
            .enable_all()
            .build()
            .map_err(|error| no_client(&error))?;
        Ok(Self { runtime, cache, server })
    }

    /// Requests and costs since the endpoint was made.
    pub fn usage(&self) -> Usage {
        self.server.budget().usage()
    }

    async fn complete_all(&self, prompts: &[Prompt]) -> anyhow::Result<Vec<Result<Completion, DropReason>>> {
        let mut round = Round::new(prompts.len());
        for (index, prompt) in prompts.iter().enumerate() {
            let Some(job) = self.open_job(index, prompt, &mut round) else {
                continue;
            };
            self.make_room(&job, &mut round).await;
            if round.error.is_some() {
                break;
            }
            let (server, stopped) = (Arc::clone(&self.server), round.stop.subscribe());
            round.in_flight.spawn(async move {
                let answer = server.ask(&job, stopped).await;
                (job, answer)
            });
        }
        // Requests under way are paid: they are waited for and kept, also when the run stops.
        while let Some(done) = round.in_flight.join_next().await {
            self.finish(done, &mut round);
        }
        round.end(&self.server)
    }

    /// The request of a prompt; none if its answer is known or on its way.
    fn open_job(&self, index: usize, prompt: &Prompt, round: &mut Round) -> Option<Job> {
        let body = wire::request_body(&self.server.config, prompt);
        let key = Key::new(prompt.version, &body);
        if let Some(&first) = round.asked.get(&key) {
            round.copies.push((index, first));
            return None;
        }
        round.asked.insert(key, index);
        if let Some(completion) = self.recall(&key, prompt) {
            round.answers[index] = Some(Ok(completion));
            return None;
        }
        Some(Job {
            index,
            key,
            body,
            version: prompt.version,
            at_most: wire::at_most(&self.server.config, prompt),
        })
    }

    /// Waits until the job may be sent; one that costs too much waits for the rest of those in flight.
    async fn make_room(&self, job: &Job, round: &mut Round) {
        while round.error.is_none()
            && (round.in_flight.len() >= self.server.config.concurrency || !self.server.budget().reserve(job.at_most))
        {
            match round.in_flight.join_next().await {
                Some(done) => self.finish(done, round),
                None => round.stop(self.server.spent(job.at_most)),
            }
        }
    }

    /// The completion in the cache.
    fn recall(&self, key: &Key, prompt: &Prompt) -> Option<Completion> {
        let reply = self.cache.as_ref()?.get(key, self.server.config.max_reply_bytes)?;
        let (completion, tokens) = wire::read_reply(&reply).ok()?;
        let tokens = tokens.unwrap_or_else(|| wire::at_most(&self.server.config, prompt));
        self.server.budget().save(tokens);
        Some(completion)
    }

    /// Takes the end of a job in. This runs on the caller's thread, which may wait for files.
    fn finish(&self, done: Result<(Job, Asked), JoinError>, round: &mut Round) {
        let (job, answer) = match done {
            Ok(done) => done,
            // Only a panic of the HTTP client comes here, and its reservation stays: the run must stop.
            Err(error) => return round.stop(no_client(&error)),
        };
        self.server.budget().release(job.at_most);
        match answer {
            Ok((body, completion, tokens)) => {
                // A server that counts no tokens is paid what it could have cost.
                self.server.budget().spend(tokens.unwrap_or(job.at_most));
                round.answers[job.index] = Some(Ok(completion));
                if let Some(cache) = &self.cache
                    && let Err(error) = cache.put(&job.key, &self.server.config.model, job.version, &body)
                {
                    let hint = "hint: is the disk full, or the cache folder not writable?";
                    round.stop(anyhow!("answers cannot be kept: {error}\n{hint}"));
                }
            }
            Err(Failure::Item(reason)) => {
                self.server.budget().fail();
                round.answers[job.index] = Some(Err(reason));
            }
            Err(Failure::Run(error)) => round.stop(error),
            Err(Failure::GivenUp) => {}
        }
    }
}

/// The prompts of one call.
struct Round {
    answers: Vec<Option<Result<Completion, DropReason>>>,
    /// The first prompt of each request.
    asked: BTreeMap<Key, usize>,
    /// Prompts with the same request as an earlier one.
    copies: Vec<(usize, usize)>,
    in_flight: JoinSet<(Job, Asked)>,
    stop: watch::Sender<bool>,
    error: Option<anyhow::Error>,
}

impl Round {
    fn new(prompts: usize) -> Self {
        Self {
            answers: vec![None; prompts],
            asked: BTreeMap::new(),
            copies: Vec::new(),
            in_flight: JoinSet::new(),
            stop: watch::Sender::new(false),
            error: None,
        }
    }

    /// The first error counts; those after it follow from it.
    fn stop(&mut self, error: anyhow::Error) {
        self.error.get_or_insert(error);
        self.stop.send_replace(true);
    }

    fn end(mut self, server: &Server) -> anyhow::Result<Vec<Result<Completion, DropReason>>> {
        if let Some(error) = self.error {
            return Err(error);
        }
        for (index, first) in self.copies {
            self.answers[index] = self.answers[first].clone();
            match &self.answers[index] {
                Some(Ok(_)) => server.budget().save(Tokens::default()),
                _ => server.budget().fail(),
            }
        }
        Ok(self
            .answers
            .into_iter()
            .map(|answer| answer.unwrap_or(Err(reply::UNANSWERED)))
            .collect())
    }
}

impl LanguageModel for ChatEndpoint {
    fn name(&self) -> &str {
        &self.server.config.model
    }

    fn complete(&self, prompts: &[Prompt]) -> anyhow::Result<Vec<Result<Completion, DropReason>>> {
        self.runtime.block_on(self.complete_all(prompts))
    }
}
