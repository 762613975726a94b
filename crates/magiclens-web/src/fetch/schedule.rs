//! Decides which request is sent when: all hosts in turn, each at its own pace, each address checked by its robots.txt.
//!
//! A job is one address and what is being got from it. It waits in one of four places: in `held` until the rules of its
//! origin are known, in the queue of its host, in `later` for another attempt, or it is under way. One job is one
//! request: a redirect puts it into the queue of the next host. So no host's slowness occupies what another needs.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use magiclens_data::Digest;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Duration, Instant, sleep_until};
use url::{Position, Url};

use super::address;
use super::answer::{Body, Fetched};
use super::client::{Client, Stop};
use super::config::FetchConfig;
use super::memory::{Memory, Rules};
use super::reason::{FetchFailure, reasons};
use super::retry::backoff;
use super::robots::Robots;
use crate::DropReason;

pub(super) struct Schedule<'a> {
    config: &'a FetchConfig,
    client: &'a Arc<Client>,
    memory: &'a mut Memory,
    each: &'a mut dyn FnMut(Fetched),
    asked: Vec<Asked>,
    hosts: Vec<Host>,
    host_by_name: HashMap<String, usize>,
    /// Hosts that have jobs and room for one: when, in what order among equals, which.
    ready: BTreeSet<(Instant, u64, usize)>,
    /// Images whose robots.txt is not known yet, by origin. A job for it is in one of the other places.
    held: HashMap<String, Vec<Job>>,
    later: BTreeMap<(Instant, u64), Job>,
    under_way: JoinSet<Answer>,
    jobs: HashMap<Id, Job>,
    /// Counts upwards, so that what came first goes first.
    next_number: u64,
}

/// An address to be answered for once.
#[derive(Default)]
struct Asked {
    url: String,
    places: Vec<usize>,
}

struct Job {
    goal: Goal,
    url: Url,
    redirects: usize,
    /// From 1.
    attempt: u32,
}

#[derive(Clone)]
enum Goal {
    /// The image that is asked for at this index.
    Image(usize),
    /// The robots.txt of this origin.
    Robots(String),
}

enum Answer {
    Image(Body),
    Robots(Robots),
    Stop(Stop),
}

struct Host {
    name: String,
    queue: VecDeque<Job>,
    under_way: usize,
    next_at: Instant,
    /// The pause that its robots.txt files ask for.
    crawl_delay: Duration,
    /// Its key in `ready`.
    key: Option<(Instant, u64, usize)>,
    /// The task that was started last.
    last: Option<Id>,
    /// Images in a row that no answer came for.
    failures: u32,
}

/// RFC 9309 section 2.3.1.2: at least five; more may count as no robots.txt.
const MAX_ROBOTS_REDIRECTS: usize = 5;

/// No answer came, so the next image of the host will hardly fare better.
const HOST_FAILURES: [DropReason; 4] = [
    reasons::HOST_NOT_FOUND,
    reasons::CONNECTION_FAILED,
    reasons::TIMED_OUT,
    reasons::CUT_OFF,
];

/// Failures before any request for the robots.txt: the reason is not the robots.txt.
const NO_REQUEST: [DropReason; 5] = [
    reasons::BAD_ADDRESS,
    reasons::PRIVATE_ADDRESS,
    reasons::HOST_NOT_FOUND,
    reasons::CONNECTION_FAILED,
    reasons::TLS_FAILED,
];

impl<'a> Schedule<'a> {
    pub(super) fn new(
        config: &'a FetchConfig,
        client: &'a Arc<Client>,
        memory: &'a mut Memory,
        each: &'a mut dyn FnMut(Fetched),
    ) -> Self {
        Self {
            config,
            client,
            memory,
            each,
            asked: Vec::new(),
            hosts: Vec::new(),
            host_by_name: HashMap::new(),
            ready: BTreeSet::new(),
            held: HashMap::new(),
            later: BTreeMap::new(),
            under_way: JoinSet::new(),
            jobs: HashMap::new(),
            next_number: 0,
        }
    }

    /// Answers for every address.
    pub(super) async fn run(mut self, urls: Vec<String>) {
        self.ask(urls);
        loop {
            self.start_what_is_due();
            let wake = self.next_time();
            if self.under_way.is_empty() && wake.is_none() {
                break;
            }
            tokio::select! {
                Some(done) = self.under_way.join_next_with_id() => self.finish(done),
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
        }
        let paces = self.hosts.into_iter().map(|host| (host.name, host.next_at));
        self.memory.keep_pace(paces);
    }

    /// Puts every address into its queue, once.
    fn ask(&mut self, urls: Vec<String>) {
        let mut index_by_url: HashMap<Url, usize> = HashMap::new();
        let mut jobs = Vec::new();
        for (place, url) in urls.into_iter().enumerate() {
            let parsed = match address::parse(&url, self.config) {
                Ok(parsed) => parsed,
                Err(failure) => {
                    let (places, final_url) = (vec![place], url.clone());
                    self.deliver(Asked { url, places }, final_url, Err(failure));
                    continue;
                }
            };
            let next = self.asked.len();
            let index = *index_by_url.entry(parsed.clone()).or_insert(next);
            if index == next {
                self.asked.push(Asked {
                    url,
                    places: Vec::new(),
                });
                jobs.push(Job::new(Goal::Image(index), parsed));
            }
            self.asked[index].places.push(place);
        }
        jobs.into_iter().for_each(|job| self.enqueue_image(job));
    }

    /// Puts an image's job where it waits, or answers it by what is known of its origin.
    fn enqueue_image(&mut self, job: Job) {
        let origin = job.url[..Position::BeforePath].to_owned();
        if let Some(rules) = self.memory.rules(&origin, Instant::now()) {
            return self.apply(job, &rules);
        }
        let is_first = !self.held.contains_key(&origin);
        let url = job.url.clone();
        self.held.entry(origin.clone()).or_default().push(job);
        if is_first {
            match url.join("/robots.txt") {
                Ok(robots) => self.enqueue(Job::new(Goal::Robots(origin), robots)),
                Err(error) => {
                    let failure = FetchFailure::new(reasons::BAD_ADDRESS, error.to_string());
                    self.learn(Goal::Robots(origin), Err(failure));
                }
            }
        }
    }

    /// Lets an image's job go on if the rules of its origin allow it.
    fn apply(&mut self, job: Job, rules: &Rules) {
        match rules.as_ref() {
            Ok(robots) if robots.allows(&job.url) => {
                let longest = Duration::from_millis(self.config.max_crawl_delay_ms);
                let delay = robots.crawl_delay().unwrap_or_default().min(longest);
                let host = self.host(&job.url);
                self.hosts[host].crawl_delay = self.hosts[host].crawl_delay.max(delay);
                self.enqueue(job);
            }
            Ok(_) => {
                let failure = FetchFailure::new(reasons::ROBOTS_DISALLOWED, job.url[Position::BeforePath..].to_owned());
                self.answer(job, Err(failure));
            }
            Err(failure) => self.answer(job, Err(failure.clone())),
        }
    }

    fn enqueue(&mut self, job: Job) {
        let host = self.host(&job.url);
        self.hosts[host].queue.push_back(job);
        self.offer(host);
    }

    /// The index of an address's host.
    fn host(&mut self, url: &Url) -> usize {
        let name = url.host_str().unwrap_or_default();
        if let Some(&host) = self.host_by_name.get(name) {
            return host;
        }
        let next_at = self.memory.next_at(name).unwrap_or_else(Instant::now);
        self.hosts.push(Host {
            name: name.to_owned(),
            queue: VecDeque::new(),
            under_way: 0,
            next_at,
            crawl_delay: Duration::ZERO,
            key: None,
            last: None,
            failures: 0,
        });
        self.host_by_name.insert(name.to_owned(), self.hosts.len() - 1);
        self.hosts.len() - 1
    }

    /// Brings a host's place in `ready` up to date.
    fn offer(&mut self, host: usize) {
        let number = self.number();
        let state = &mut self.hosts[host];
        if let Some(key) = state.key.take() {
            self.ready.remove(&key);
        }
        if !state.queue.is_empty() && state.under_way < self.config.per_host_concurrency {
            let key = (state.next_at, number, host);
            state.key = Some(key);
            self.ready.insert(key);
        }
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn start_what_is_due(&mut self) {
        let now = Instant::now();
        while let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= now) {
            let job = entry.remove();
            self.enqueue(job);
        }
        while self.has_room()
            && let Some(&(_, _, host)) = self.ready.first().filter(|(at, ..)| *at <= now)
        {
            if let Some(job) = self.hosts[host].queue.pop_front() {
                self.start(job, host);
            }
            self.offer(host);
        }
    }

    fn has_room(&self) -> bool {
        self.under_way.len() < self.config.concurrency
    }

    /// The time at which something can be started, if that depends on time alone.
    fn next_time(&self) -> Option<Instant> {
        let ready = self.ready.first().filter(|_| self.has_room()).map(|(at, ..)| *at);
        let later = self.later.first_key_value().map(|((at, _), _)| *at);
        ready.into_iter().chain(later).min()
    }

    fn start(&mut self, job: Job, host: usize) {
        let failures = self.hosts[host].failures;
        if matches!(job.goal, Goal::Image(_)) && self.config.max_host_failures <= failures {
            let failure = FetchFailure::new(reasons::HOST_FAILING, format!("{failures} images in a row"));
            return self.answer(job, Err(failure));
        }
        let (client, url, goal) = (self.client.clone(), job.url.clone(), job.goal.clone());
        let task = self.under_way.spawn(async move {
            let answer = match goal {
                Goal::Image(_) => client.image(&url).await.map(Answer::Image),
                Goal::Robots(_) => client.robots(&url).await.map(Answer::Robots),
            };
            answer.unwrap_or_else(Answer::Stop)
        });
        let host = &mut self.hosts[host];
        host.under_way += 1;
        host.last = Some(task.id());
        host.next_at = Instant::now() + self.config.per_host_interval().max(host.crawl_delay);
        self.jobs.insert(task.id(), job);
    }

    fn finish(&mut self, done: Result<(Id, Answer), JoinError>) {
        let (id, answer) = match done {
            Ok((id, answer)) => (id, answer),
            Err(error) => {
                let failure = FetchFailure::new(reasons::PANICKED, error.to_string());
                (error.id(), Answer::Stop(failure.into()))
            }
        };
        let Some(job) = self.jobs.remove(&id) else {
            return;
        };
        let host = self.host(&job.url);
        self.hosts[host].under_way -= 1;
        match answer {
            Answer::Image(body) => {
                self.hosts[host].failures = 0;
                self.answer(job, Ok(body));
            }
            Answer::Robots(robots) => self.learn(job.goal, Ok(robots)),
            Answer::Stop(Stop::Redirect(next)) => self.follow(job, next),
            Answer::Stop(Stop::Failed(failure, asked_wait)) => self.try_again(job, failure, asked_wait),
        }
        self.pace(host, id);
        self.offer(host);
    }

    /// Counts a host's pause from the end of the request that was started last: its start at the server may have been
    /// any time before.
    fn pace(&mut self, host: usize, finished: Id) {
        let host = &mut self.hosts[host];
        if host.last == Some(finished) {
            let pause = self.config.per_host_interval().max(host.crawl_delay);
            host.next_at = host.next_at.max(Instant::now() + pause);
        }
    }

    /// Sets a failed job aside for another attempt, if that may help and the server lets us ask again soon enough.
    fn try_again(&mut self, job: Job, failure: FetchFailure, asked_wait: Option<Duration>) {
        let longest = self.config.max_backoff();
        let wait = asked_wait.unwrap_or_default().max(self.backoff(&job));
        if asked_wait.is_some() || failure.reason == reasons::TOO_MANY_REQUESTS {
            let host = self.host(&job.url);
            let host = &mut self.hosts[host];
            host.next_at = host.next_at.max(Instant::now() + wait.min(longest));
        }
        if failure.retryable && job.attempt < self.config.attempts && wait <= longest {
            let key = (Instant::now() + wait, self.number());
            let attempt = job.attempt + 1;
            self.later.insert(key, Job { attempt, ..job });
        } else {
            self.give_up(job, failure);
        }
    }

    fn backoff(&self, job: &Job) -> Duration {
        let first = Duration::from_millis(self.config.backoff_ms);
        let seed = Digest::of(job.url.as_str().as_bytes()).seed();
        backoff(first, self.config.max_backoff(), job.attempt, seed)
    }

    fn give_up(&mut self, job: Job, failure: FetchFailure) {
        match job.goal {
            Goal::Image(_) => {
                let host = self.host(&job.url);
                let failures = &mut self.hosts[host].failures;
                let is_of_host = HOST_FAILURES.contains(&failure.reason);
                *failures = if is_of_host { *failures + 1 } else { 0 };
                self.answer(job, Err(failure));
            }
            Goal::Robots(_) => {
                let is_of_host = NO_REQUEST.contains(&failure.reason);
                let reason = if is_of_host {
                    failure.reason
                } else {
                    reasons::ROBOTS_UNREACHABLE
                };
                let detail = format!("{}: {}: {}", job.url, failure.reason.0, failure.detail);
                self.learn(job.goal, Err(FetchFailure::new(reason, detail)));
            }
        }
    }

    fn follow(&mut self, job: Job, url: Url) {
        let redirects = job.redirects + 1;
        match job.goal {
            Goal::Image(_) if redirects <= self.config.max_redirects => {
                self.enqueue_image(Job { url, redirects, ..job });
            }
            Goal::Image(_) => {
                let detail = format!("more than `max_redirects` of {}", self.config.max_redirects);
                self.answer(job, Err(FetchFailure::new(reasons::TOO_MANY_REDIRECTS, detail)));
            }
            Goal::Robots(_) if redirects <= MAX_ROBOTS_REDIRECTS => self.enqueue(Job { url, redirects, ..job }),
            Goal::Robots(_) => self.learn(job.goal, Ok(Robots::allow_all())),
        }
    }

    /// Keeps the rules of an origin, and applies them to what waited.
    fn learn(&mut self, goal: Goal, rules: Result<Robots, FetchFailure>) {
        let Goal::Robots(origin) = goal else {
            return;
        };
        let rules: Rules = Arc::new(rules);
        self.memory.learn(&origin, rules.clone(), Instant::now(), self.config);
        for job in self.held.remove(&origin).unwrap_or_default() {
            self.apply(job, &rules);
        }
    }

    /// Hands over what became of an image.
    fn answer(&mut self, job: Job, result: Result<Body, FetchFailure>) {
        if let Goal::Image(index) = job.goal {
            let asked = std::mem::take(&mut self.asked[index]);
            self.deliver(asked, job.url.into(), result);
        }
    }

    fn deliver(&mut self, asked: Asked, final_url: String, result: Result<Body, FetchFailure>) {
        let Asked { url, places } = asked;
        (self.each)(Fetched {
            places,
            url,
            final_url,
            result,
        });
    }
}

impl Job {
    fn new(goal: Goal, url: Url) -> Self {
        Self {
            goal,
            url,
            redirects: 0,
            attempt: 1,
        }
    }
}
