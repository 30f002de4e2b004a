//! `action.yml` and its script, with a stand-in for the releases, from which a program comes that only tells how it was started.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::read;

/// What the program of the release does: its journal is what `up` writes.
const PROGRAM: &str = r#"#!/bin/sh
if [ "$1" = --version ]; then echo "deployer 9.9.9"; exit 0; fi
printf '<%s>' "$@"
mkdir -p "$XDG_STATE_HOME/deployer/clock"
cat >"$XDG_STATE_HOME/deployer/clock/1-up-1.jsonl" <<'END'
{"time":"2026-11-22T10:04:05.120Z","event":"started","format":2,"command":"up","stack":"clock","local":false,"version":"9.9.9"}
{"time":"2026-11-22T10:04:06.120Z","event":"image_packed","digest":"sha256:0123","bytes":7}
{"time":"2026-11-22T10:04:07.120Z","event":"checked","check":{"kind":"clock","verdict":"skewed","cause":"2 s\nahead"}}
END
case "$1" in
image) exit 11 ;;
wait) trap 'exit 130' TERM; touch "$RUNNER_TEMP/waiting"; while :; do sleep 0.05; done ;;
promote)
    journal="$XDG_STATE_HOME/deployer/clock/1-up-1.jsonl"
    cat >"$journal" <<'END'
{"event":"started","command":"promote"}
{"event":"identified"}
{"event":"check_chosen","kind":"clock","url":"http://source.example/now"}
{"event":"checked","check":{"kind":"clock","verdict":"ok"}}
END
    [ "$2" = --yes ] || exit 3
    echo '{"event":"identified"}' >>"$journal"
    ;;
esac
# A line that is cut off, in the middle of a letter.
[ "$1" = up ] || [ "$1" = promote ] || { printf '{"time":"2026-11-22T10:04:08.120Z","event":"warned","message":"\303' >>"$XDG_STATE_HOME/deployer/clock/1-up-1.jsonl"; exit 6; }
echo '{"time":"2026-11-22T10:04:08.120Z","event":"succeeded","summary":{"url":"http://a.example/now","image":"a.example/clock@sha256:4567","check":{"kind":"clock","verdict":"ok"}}}' >>"$XDG_STATE_HOME/deployer/clock/1-up-1.jsonl"
"#;

/// Releases, and the files of a runner.
struct Runner(TempDir);

impl Runner {
    fn new() -> Self {
        let runner = Self(tempfile::tempdir().unwrap());
        let name = format!(
            "deployer-9.9.9-{}-unknown-linux-musl",
            std::env::consts::ARCH
        );
        let program = runner.path().join(&name).join("bin/deployer");
        std::fs::create_dir_all(program.parent().unwrap()).unwrap();
        std::fs::write(&program, PROGRAM).unwrap();
        let script = format!(
            "chmod +x {name}/bin/deployer && mkdir -p releases/v9.9.9 temp && cd releases/v9.9.9 && \
             tar -czf {name}.tar.gz -C ../.. {name} && sha256sum {name}.tar.gz >SHA256SUMS"
        );
        let made = runner.run("sh", &["-c", &script], &[]);
        assert!(made.status.success(), "{made:?}");
        runner
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        #[expect(
            clippy::disallowed_methods,
            reason = "a test runs programs as a workflow does"
        )]
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.path())
            .env("RUNNER_TEMP", self.path().join("temp"))
            .env("GITHUB_PATH", self.path().join("path"))
            .env("GITHUB_OUTPUT", self.path().join("output"))
            .envs(variables.iter().copied());
        command.output().unwrap()
    }

    fn action(&self, step: &str, variables: &[(&str, &str)]) -> Output {
        let script = crate::root().join("scripts/action");
        self.run(script.to_str().unwrap(), &[step], variables)
    }

    /// Installs from a server that has the files of the releases.
    fn install(&self) -> Output {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let releases = format!("http://{}", listener.local_addr().unwrap());
        let folder = self.path().join("releases");
        // Ends with the test.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &folder);
            }
        });
        let here = [("VERSION", "v9.9.9"), ("RELEASES", &*releases)];
        let without_proxy = [("no_proxy", "127.0.0.1"), ("NO_PROXY", "127.0.0.1")];
        self.action("install", &[here, without_proxy].concat())
    }

    fn sums(&self) -> PathBuf {
        self.path().join("releases/v9.9.9/SHA256SUMS")
    }

    /// Asserts that nothing is installed, for a reason.
    fn assert_refused(&self, reason: &str) {
        let refused = self.install();
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let message = text(&refused.stderr);
        assert!(message.contains(reason), "{message}");
        assert!(!self.path().join("temp/deployer").exists());
        assert!(!self.path().join("path").exists());
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap()
    }
}

/// Answers a request with a file of the folder, or that there is none.
fn serve(mut stream: TcpStream, folder: &Path) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let request = lines.next().unwrap().unwrap();
    while !lines.next().unwrap().unwrap().is_empty() {}
    let path = request.split(' ').nth(1).unwrap().trim_start_matches('/');
    let (status, body) = match std::fs::read(folder.join(path)) {
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body).unwrap();
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_release_is_installed_run_and_reported() {
    let runner = Runner::new();
    let installed = runner.install();
    assert!(installed.status.success(), "{installed:?}");
    assert!(text(&installed.stdout).ends_with("deployer 9.9.9\n"));
    let path = runner.path().join("temp/deployer/bin\n");
    assert_eq!(runner.read("path"), path.to_str().unwrap());

    let inputs = [
        ("COMMAND", "up"),
        ("STACK", "a $(touch stack)"),
        ("STRATEGY", "canary"),
        ("ENVIRONMENT", ""),
        (
            "ARGUMENTS",
            "--parameter\nNote=a `touch argument` b\n\n--yes\n",
        ),
    ];
    let up = runner.action("run", &inputs);
    assert!(up.status.success(), "{up:?}");
    assert_eq!(
        text(&up.stdout),
        "<up><--stack=a $(touch stack)><--strategy=canary><--parameter><Note=a `touch argument` b><--yes>"
    );
    assert!(!runner.path().join("stack").exists() && !runner.path().join("argument").exists());
    let expected = "url=http://a.example/now\ndigest=sha256:4567\nverdict=ok\nexit-code=0\n";
    assert_eq!(runner.read("output"), expected);

    // The exit code stays that of the command, and what is known is reported all the same.
    let failed = runner.action("run", &[("COMMAND", "rollback")]);
    assert_eq!(failed.status.code(), Some(6));
    let expected = format!("{expected}url=\ndigest=sha256:0123\nverdict=skewed\nexit-code=6\n");
    assert_eq!(runner.read("output"), expected);
}

/// An output that is not known is empty, and the exit code is the command's own.
#[test]
fn outputs_of_commands_that_end_early() {
    let runner = Runner::new();
    assert!(runner.install().status.success());
    let outputs = |inputs: &[(&str, &str)]| {
        std::fs::write(runner.path().join("output"), "").unwrap();
        let ended = runner.action("run", inputs);
        assert_eq!(text(&ended.stderr), "", "{inputs:?}");
        (
            ended.status.code(),
            text(&ended.stdout).to_owned(),
            runner.read("output"),
        )
    };
    let empty = |code: i32| format!("url=\ndigest=\nverdict=\nexit-code={code}\n");
    // What is known of the environment that the image comes from is not the result.
    let (code, _, output) = outputs(&[("COMMAND", "promote")]);
    assert_eq!((code, output), (Some(3), empty(3)));
    let promote = [("COMMAND", "promote"), ("ARGUMENTS", "--yes")];
    let (code, _, output) = outputs(&promote);
    assert_eq!(code, Some(0));
    assert!(output.starts_with("url=http://a.example/now\ndigest=sha256:4567\nverdict=ok\n"));
    // Words of a command, and a value that looks like an option.
    let (code, said, _) = outputs(&[("COMMAND", "image verify"), ("STACK", "--help")]);
    assert_eq!(
        (code, &*said),
        (Some(11), "<image><verify><--stack=--help>")
    );
    // A program that does not exist.
    let nothing = runner.action("run", &[("PROGRAM", "/no-such-program")]);
    assert_eq!(nothing.status.code(), Some(127));
    assert!(runner.read("output").ends_with(&empty(127)));
}

#[test]
fn a_cancelled_job_cancels_the_deployer() {
    let runner = Runner::new();
    assert!(runner.install().status.success());
    let script = crate::root().join("scripts/action");
    let run = "\"$0\" run & action=$!
        while [ ! -e temp/waiting ]; do sleep 0.05; done
        kill -TERM $action; wait $action";
    let script = script.to_str().unwrap();
    let cancelled = runner.run("bash", &["-c", run, script], &[("COMMAND", "wait")]);
    assert_eq!(cancelled.status.code(), Some(130), "{cancelled:?}");
    assert!(runner.read("output").ends_with("exit-code=130\n"));
}

#[test]
fn what_the_release_did_not_publish_is_not_run() {
    let runner = Runner::new();
    let published = std::fs::read_to_string(runner.sums()).unwrap();
    // Another archive of the same name.
    let changed = "for file in releases/v9.9.9/*.gz; do echo >>$file; done";
    runner.run("sh", &["-c", changed], &[]);
    runner.assert_refused("is not what the release published");
    // A checksum of no archive, or of another.
    std::fs::write(runner.sums(), published.replace("  ", "  other-")).unwrap();
    runner.assert_refused("release 9.9.9 has no deployer for");
    std::fs::write(runner.sums(), "").unwrap();
    runner.assert_refused("release 9.9.9 has no deployer for");
    std::fs::remove_file(runner.sums()).unwrap();
    runner.assert_refused("cannot fetch SHA256SUMS");
    // The checksum without what it is of.
    std::fs::write(runner.sums(), published).unwrap();
    let removed = runner.run("sh", &["-c", "rm releases/v9.9.9/*.gz"], &[]);
    assert!(removed.status.success());
    runner.assert_refused("cannot fetch deployer-9.9.9");
}

#[test]
fn an_action_without_a_release_says_so() {
    let runner = Runner::new();
    let refused = runner.action("install", &[("VERSION", "9.9.9")]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(text(&refused.stdout).contains("::error::"), "{refused:?}");
}

#[test]
fn every_input_reaches_the_script_in_a_variable() {
    let text = std::fs::read_to_string(crate::root().join("action.yml")).unwrap();
    let script = std::fs::read_to_string(crate::root().join("scripts/action")).unwrap();
    let action = read::template(&text);
    for (name, input) in action["inputs"].as_object().unwrap() {
        assert!(
            input["description"].is_string() && input["default"].is_string(),
            "{name}"
        );
        assert!(
            text.contains(&format!("${{{{ inputs.{name} }}}}")) || name == "working-directory",
            "{name}"
        );
    }
    for name in action["outputs"].as_object().unwrap().keys() {
        let is_written = [format!("\"{name}\""), format!("{name}=%s")];
        assert!(is_written.iter().any(|it| script.contains(it)), "{name}");
    }
    for step in read::items(&action["runs"]["steps"]) {
        assert!(!step["run"].as_str().unwrap().contains("${{"), "{step}");
        let variables = step["env"].as_object().unwrap().keys();
        for variable in variables {
            assert!(
                script.contains(&format!("${{{variable}:"))
                    || script.contains(&format!("${variable}")),
                "{variable}"
            );
        }
    }
}
