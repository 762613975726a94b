//! Kills a writing process again and again: nothing that it acknowledged is lost.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;

const DIR_VARIABLE: &str = "MAGICLENS_TEST_WRITER_DIR";
const PER_BATCH: u32 = 7;

/// The child: adds batches for ever and says after each how many it has added in all.
#[expect(clippy::print_stdout, reason = "the parent reads it")]
fn write_until_killed(dir: &Path) -> ! {
    let mut index = Index::create_or_open(dir, &stamp("m")).unwrap();
    let mut next = u32::try_from(index.len().unwrap()).unwrap();
    loop {
        let batch: Vec<_> = (next..next + PER_BATCH).map(numbered).collect();
        index.add(&batch).unwrap();
        next += PER_BATCH;
        println!("added {next}");
    }
}

fn numbered(n: u32) -> NewImage {
    new_image(ImageId::of_bytes(&n.to_le_bytes()), &format!("/p/{n}.png"))
}

#[test]
fn nothing_acknowledged_is_lost_when_the_writer_is_killed() {
    if let Some(dir) = std::env::var_os(DIR_VARIABLE) {
        write_until_killed(Path::new(&dir));
    }
    let temp = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..8_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "kill::nothing_acknowledged_is_lost_when_the_writer_is_killed",
                "--nocapture",
            ])
            .env(DIR_VARIABLE, temp.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // The pipe ends when the child dies, so all that it said is read.
        let reader = std::thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .filter_map(|line| line.strip_prefix("added ")?.parse::<u32>().ok())
                .last()
        });
        std::thread::sleep(Duration::from_millis(150 + 37 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged = reader.join().unwrap().unwrap_or(acknowledged);

        let index = Index::open(temp.path()).unwrap();
        let len = u32::try_from(index.len().unwrap()).unwrap();
        assert!(
            acknowledged <= len && len.is_multiple_of(PER_BATCH),
            "{acknowledged} acknowledged, {len} there"
        );
        for n in 0..acknowledged {
            let image = numbered(n);
            assert_eq!(
                index.get(image.id).unwrap().unwrap().paths,
                [Path::new(&format!("/p/{n}.png"))]
            );
            assert!(
                index
                    .vector(image.id, magiclens_index::Space::Target)
                    .unwrap()
                    .is_some()
            );
            assert!(index.thumbnail_path(image.id).unwrap().is_some());
        }
        let check: String = rusqlite::Connection::open(temp.path().join("index.sqlite"))
            .unwrap()
            .pragma_query_value(None, "integrity_check", |row| row.get(0))
            .unwrap();
        assert_eq!(check, "ok");
    }
    assert!(PER_BATCH * 10 < acknowledged, "the writer hardly wrote: {acknowledged}");
}
