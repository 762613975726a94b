//! A mining run on a real Apache Spark that loses an executor, against the same run on one machine.
//!
//! Spark is `pyspark` (PyPI) in `local-cluster` mode: a master, two workers and their executors, each a process of its own. One
//! executor is killed together with the program that it runs, as when a machine is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::archives::write_archives;
use crate::{PROGRAM, check_same, check_success, magiclens, published, python, triplets};

const DRIVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/spark/mine.py");
const ARCHIVES: usize = 24;
/// Spark starts within seconds on a quiet machine; this is for one that is not.
const PATIENCE: Duration = Duration::from_secs(400);

#[test]
fn a_run_that_loses_an_executor_publishes_the_same_bytes() {
    let place = Place::new();
    write_archives(&place.path("input"), ARCHIVES);
    let (alone, on_spark) = (place.path("alone"), place.path("on-spark"));
    check_success(magiclens(&["run"]).arg(&alone).arg("--input").arg(place.path("input")));
    check_success(
        magiclens(&["plan"])
            .arg(&on_spark)
            .arg("--input")
            .arg(place.path("input")),
    );

    let mut driver = place.start_spark(&on_spark);
    let victim = kill_a_busy_executor(&mut driver, &on_spark);
    driver.wait_for_success();

    let expected = published(&alone);
    let found = published(&on_spark);
    check_same(&expected, &found);
    let done = |step: &str| {
        expected
            .keys()
            .filter(|name| name.starts_with(&format!("counts/{step}/")))
            .count()
    };
    assert_eq!((done("pages"), done("triplets")), (ARCHIVES, ARCHIVES));
    assert!(0 < triplets(&expected), "a run without triplets shows nothing");

    let ends = place.task_ends();
    let lost: BTreeSet<_> = ends
        .iter()
        .filter(|end| end.reason == "ExecutorLostFailure")
        .map(|end| (end.stage, end.index))
        .collect();
    assert!(!lost.is_empty(), "Spark noticed no loss of {victim:?}: {ends:?}");
    let succeeded = |&(stage, index): &(u64, u64)| {
        let mut ends = ends.iter().filter(|end| (end.stage, end.index) == (stage, index));
        ends.any(|end| end.reason == "Success" && 0 < end.attempt)
    };
    assert!(lost.iter().all(succeeded), "what was lost was done again: {ends:?}");
}

#[test]
fn the_driver_says_what_is_wrong_before_it_starts_spark() {
    let place = Place::new();
    let check = |program: &str, parts: &[&str]| {
        let mut driver = place.driver(&place.path("none"), program);
        let output = driver.output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{message}");
        for part in parts {
            assert!(message.contains(part), "`{part}` is not in: {message}");
        }
    };
    check(
        "/no/such/program",
        &[
            "error: `/no/such/program` cannot be started",
            "hint: give its path with `--program`",
        ],
    );
    check(PROGRAM, &["holds no run", "hint: ", "failed with exit code 1"]);
}

/// A temporary folder for runs and for all that Spark leaves behind.
struct Place {
    temp: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        Self { temp }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn driver(&self, run: &Path, program: &str) -> Command {
        let python = python();
        let mut command = Command::new(&python);
        command
            .arg(DRIVER)
            .args(["--program", program, "--master", "local-cluster[2,1,1024]"])
            .args(["--conf", "spark.ui.enabled=false"])
            // The event log as one plain file.
            .args(["--conf", "spark.eventLog.enabled=true"])
            .args(["--conf", "spark.eventLog.rolling.enabled=false"])
            .args(["--conf", "spark.eventLog.compress=false"])
            .args([
                "--conf",
                &format!("spark.eventLog.dir=file://{}", self.path("events").display()),
            ])
            .args(["--conf", &format!("spark.local.dir={}", self.path("local").display())])
            .arg(run)
            .env("SPARK_LOCAL_IP", "127.0.0.1")
            .env("PYSPARK_PYTHON", &python)
            .env_remove("SPARK_CONF_DIR");
        command
    }

    fn start_spark(&self, run: &Path) -> Driver {
        for folder in ["events", "local", "spark"] {
            fs_err::create_dir(self.path(folder)).unwrap();
        }
        // Workers keep their logs below SPARK_HOME, which is not the package's folder then.
        for entry in fs_err::read_dir(spark_home()).unwrap() {
            let entry = entry.unwrap();
            std::os::unix::fs::symlink(entry.path(), self.path("spark").join(entry.file_name())).unwrap();
        }
        let log = self.path("driver.log");
        let file = fs_err::File::create(&log).unwrap();
        let child = self
            .driver(run, PROGRAM)
            .env("SPARK_HOME", self.path("spark"))
            .stdin(Stdio::null())
            .stdout(file.file().try_clone().unwrap())
            .stderr(file.file().try_clone().unwrap())
            .spawn()
            .unwrap();
        let started = Instant::now();
        Driver { child, log, started }
    }

    /// How tasks ended, as Spark's event log says.
    fn task_ends(&self) -> Vec<TaskEnd> {
        let mut ends = Vec::new();
        for entry in fs_err::read_dir(self.path("events")).unwrap() {
            for line in fs_err::read_to_string(entry.unwrap().path()).unwrap().lines() {
                let event: Value = serde_json::from_str(line).unwrap();
                if event["Event"] == "SparkListenerTaskEnd" {
                    ends.push(TaskEnd {
                        stage: event["Stage ID"].as_u64().unwrap(),
                        index: event["Task Info"]["Index"].as_u64().unwrap(),
                        attempt: event["Task Info"]["Attempt"].as_u64().unwrap(),
                        reason: event["Task End Reason"]["Reason"].as_str().unwrap().to_owned(),
                    });
                }
            }
        }
        ends
    }
}

#[derive(Debug)]
struct TaskEnd {
    stage: u64,
    index: u64,
    attempt: u64,
    reason: String,
}

/// A started driver; it and all its processes end with this.
struct Driver {
    child: Child,
    log: PathBuf,
    started: Instant,
}

impl Driver {
    fn log(&self) -> String {
        fs_err::read_to_string(&self.log).unwrap_or_default()
    }

    #[track_caller]
    fn check_patience(&self) {
        assert!(
            self.started.elapsed() < PATIENCE,
            "Spark takes too long:\n{}",
            self.log()
        );
    }

    fn wait_for_success(&mut self) {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            self.check_patience();
            std::thread::sleep(Duration::from_millis(50));
        };
        assert!(status.success(), "{}", self.log());
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            for process in Processes::read().below(self.child.id()) {
                signal("KILL", process);
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[derive(Debug)]
struct Victim {
    executor: u32,
    program: u32,
}

/// Kills an executor that is in the middle of a task, when some tasks are done and others are not.
fn kill_a_busy_executor(driver: &mut Driver, run: &Path) -> Victim {
    loop {
        if let Some(status) = driver.child.try_wait().unwrap() {
            panic!("{status} before an executor could be killed:\n{}", driver.log());
        }
        driver.check_patience();
        let some_are_done = fs_err::read_dir(run.join("counts/pages")).is_ok_and(|mut done| done.next().is_some());
        if let Some(victim) = find_busy_executor(driver).filter(|_| some_are_done) {
            // The program is held still first, so that its task cannot end before its executor does.
            signal("STOP", victim.program);
            if is_stopped(victim.program) {
                signal("KILL", victim.executor);
                signal("KILL", victim.program);
                return victim;
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn find_busy_executor(driver: &Driver) -> Option<Victim> {
    let processes = Processes::read();
    let is = |process: u32, words: &[&str]| {
        let command = fs_err::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command);
        words.iter().all(|word| command.contains(word))
    };
    let executors = processes.below(driver.child.id()).into_iter();
    executors
        .filter(|&executor| is(executor, &["java", "CoarseGrainedExecutorBackend"]))
        .find_map(|executor| {
            let program = processes
                .below(executor)
                .into_iter()
                .find(|&program| is(program, &[PROGRAM, "shard"]))?;
            Some(Victim { executor, program })
        })
}

fn is_stopped(process: u32) -> bool {
    for _ in 0..500 {
        match Processes::state(process) {
            Some('T') => return true,
            None | Some('Z' | 'X') => return false,
            Some(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    false
}

fn signal(name: &str, process: u32) {
    // A process that is gone already is fine.
    let _ = Command::new("sh")
        .arg("-c")
        .arg(format!("kill -{name} {process} 2>/dev/null"))
        .status();
}

/// Who started whom, as `proc(5)` says.
struct Processes {
    children: BTreeMap<u32, Vec<u32>>,
}

impl Processes {
    fn read() -> Self {
        let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for entry in fs_err::read_dir("/proc").unwrap().flatten() {
            let Ok(process) = entry.file_name().to_string_lossy().parse() else {
                continue;
            };
            if let Some(parent) = Self::fields(process).and_then(|fields| fields.get(1)?.parse().ok()) {
                children.entry(parent).or_default().push(process);
            }
        }
        Self { children }
    }

    /// All that a process started, and what they started.
    fn below(&self, process: u32) -> Vec<u32> {
        let mut found = Vec::new();
        let mut open = vec![process];
        while let Some(next) = open.pop() {
            for &child in self.children.get(&next).into_iter().flatten() {
                found.push(child);
                open.push(child);
            }
        }
        found
    }

    fn state(process: u32) -> Option<char> {
        Self::fields(process)?.first()?.chars().next()
    }

    /// The fields after the name, which may hold spaces: state, parent, ...
    fn fields(process: u32) -> Option<Vec<String>> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let (_, rest) = stat.rsplit_once(')')?;
        Some(rest.split_whitespace().map(str::to_owned).collect())
    }
}

/// The folder of the package, which is a whole Spark.
fn spark_home() -> PathBuf {
    let find = "import os, pyspark; print(os.path.dirname(pyspark.__file__))";
    let output = Command::new(python()).args(["-c", find]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().into()
}
