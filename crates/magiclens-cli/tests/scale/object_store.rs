//! A run in a bucket. The server is `moto` (PyPI `moto[server]`), which speaks the protocol of S3, on loopback.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::archives::write_archives;
use crate::{PROGRAM, check_same, check_success, magiclens, published, python, triplets};

const ARCHIVES: usize = 3;

#[test]
fn a_run_in_an_object_store_publishes_the_same_bytes() {
    let temp = tempfile::tempdir().unwrap();
    let path = |name: &str| temp.path().join(name);
    write_archives(&path("input"), ARCHIVES);
    let server = Server::start();
    server.copy("up", &path("input"), "input");

    // The input's addresses stand in the manifest, so both runs read the bucket's.
    let run = |place: &str| {
        let mut command = magiclens(&["run", place, "--input"]);
        command.args((0..ARCHIVES).map(|n| format!("s3://pages/input/{n:02}.warc")));
        server.tell(&mut command);
        command
    };
    let local = path("local");
    check_success(&mut run(local.to_str().unwrap()));
    check_success(&mut run("s3://pages/runs/1"));
    server.copy("down", &path("remote"), "runs/1");
    let expected = published(&local);
    check_same(&expected, &published(&path("remote")));
    assert!(0 < triplets(&expected));

    // Begun again with the same settings it is the same run; with other ones it is refused.
    check_success(&mut run("s3://pages/runs/1"));
    fs_err::write(path("other.toml"), "seed = 2").unwrap();
    let output = run("s3://pages/runs/1")
        .arg("--config")
        .arg(path("other.toml"))
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(
        message.contains("`s3://pages/runs/1` holds a run with another configuration"),
        "{message}"
    );
}

#[test]
fn a_bucket_that_is_not_there_is_named_with_the_way_out() {
    let server = Server::start();
    let mut command = Command::new(PROGRAM);
    server.tell(command.args(["mine", "steps", "s3://none/run"]));
    let output = command.output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(
        message.contains("`s3://none/run` cannot be opened: no such bucket") && message.contains("\nhint: "),
        "{message}"
    );
}

/// A server with the bucket `pages`; it ends with this.
struct Server {
    child: Child,
    endpoint: String,
}

impl Server {
    fn start() -> Self {
        let mut child = Command::new(python())
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let endpoint = lines
            .by_ref()
            .find_map(|line| Some(line.split_once("Running on ")?.1.trim().to_owned()));
        // It writes a line for each request, and would stop if nobody read them.
        std::thread::spawn(move || lines.for_each(drop));
        let endpoint = endpoint.expect("moto starts");
        let server = Self { child, endpoint };
        server.python("client.create_bucket(Bucket='pages')", &[]);
        server
    }

    /// Tells a program where the server is.
    fn tell<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .envs([("AWS_ENDPOINT", &*self.endpoint), ("AWS_ENDPOINT_URL", &*self.endpoint)])
            .envs([
                ("AWS_ALLOW_HTTP", "true"),
                ("AWS_REGION", "us-east-1"),
                ("AWS_DEFAULT_REGION", "us-east-1"),
            ])
            .envs([("AWS_ACCESS_KEY_ID", "reader"), ("AWS_SECRET_ACCESS_KEY", "secret")])
    }

    /// Copies a folder up to a prefix, or a prefix down into a folder, by another client than ours.
    fn copy(&self, direction: &str, folder: &Path, prefix: &str) {
        let script = "
import pathlib, sys
direction, folder, prefix = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
if direction == 'up':
    for path in folder.iterdir():
        client.upload_file(str(path), 'pages', f'{prefix}/{path.name}')
else:
    for page in client.get_paginator('list_objects_v2').paginate(Bucket='pages', Prefix=prefix + '/'):
        for found in page['Contents']:
            path = folder / found['Key'][len(prefix) + 1:]
            path.parent.mkdir(parents=True, exist_ok=True)
            client.download_file('pages', found['Key'], str(path))
";
        self.python(script, &[direction, folder.to_str().unwrap(), prefix]);
    }

    fn python(&self, script: &str, arguments: &[&str]) {
        let mut command = Command::new(python());
        command
            .arg("-c")
            .arg(format!("import boto3\nclient = boto3.client('s3')\n{script}"))
            .args(arguments);
        check_success(self.tell(&mut command));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
