//! Real kills: a run that is killed again and again ends with the bytes of one that never was.

use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use crate::site::write_site;
use crate::{Bench, WIDE, check_same, magiclens, published, succeed};

#[test]
fn killed_anywhere_it_goes_on_without_loss_or_repetition() {
    let bench = Bench::new(&format!("{WIDE}[input]\npages_per_shard = 2\n"));
    write_site(&bench.path("site"), 12);
    bench.mine("whole", &[]);
    let whole = published(&bench.path("whole"));

    let (run, site, config) = (bench.text("killed"), bench.text("site"), bench.text("mine.toml"));
    let (mut kills, mut pause) = (0, 40);
    loop {
        let mut command = magiclens(&["run", &run, "--input", &site, "--config", &config]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        sleep(Duration::from_millis(pause));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success());
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        // Nothing half-written has a name of its own.
        for (name, bytes) in published(&bench.path("killed")) {
            assert!(whole[&name] == bytes, "{name} has other bytes after kill {kills}");
        }
        // Slower each time, so that the run ends on any machine.
        pause += pause / 4;
    }
    assert!(kills >= 3, "the run was killed {kills} times only");
    check_same(&whole, &published(&bench.path("killed")));
}

#[test]
fn two_processes_may_do_the_same_tasks_at_once() {
    let bench = Bench::new(&format!("{WIDE}[input]\npages_per_shard = 3\n"));
    write_site(&bench.path("site"), 6);
    bench.mine("alone", &[]);
    let (run, site, config) = (bench.text("both"), bench.text("site"), bench.text("mine.toml"));
    succeed(&["plan", &run, "--input", &site, "--config", &config]);
    let start = || {
        magiclens(&["run", &run])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let (mut first, mut second) = (start(), start());
    assert!(first.wait().unwrap().success());
    assert!(second.wait().unwrap().success());
    check_same(&published(&bench.path("alone")), &published(&bench.path("both")));
}
