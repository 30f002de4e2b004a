//! The program as others call it: exit codes, lines, signals.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Reply, Server, Then, clock, now_json, ok, service, with_headers};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};

#[expect(
    clippy::disallowed_methods,
    reason = "these tests are about the program, so they have to start it"
)]
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env_remove("CHECKER_URL")
        .env_remove("CHECKER_WEBHOOK")
        // Must have no effect: what answers would be the proxy.
        .env("http_proxy", "http://127.0.0.1:1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

pub(crate) fn checker(arguments: &[&str]) -> Command {
    let mut command = command(env!("CARGO_BIN_EXE_checker"));
    command.args(arguments);
    command
}

/// Exit code, stdout, stderr.
pub(crate) async fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = checker(arguments).output().await.unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

pub(crate) fn json_lines(stdout: &str) -> Vec<Value> {
    stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub(crate) async fn signal(child: &Child, name: &str) {
    let id = child.id().unwrap();
    let status = command("sh")
        .args(["-c", &format!("kill -{name} {id}")])
        .status()
        .await
        .unwrap();
    assert!(status.success());
}

#[tokio::test]
async fn the_exit_code_follows_the_verdict() {
    let right = Server::start(service(0)).await;
    let wrong = Server::start(service(-5_000)).await;
    let cached = Server::start(|_| ok(&now_json(clock(0), "a", "1", "other"))).await;
    let down = Server::start(|_| ok("")).await;
    for (server, code, word) in [
        (right, 0, " OK "),
        (wrong, 2, " SKEWED "),
        (cached, 3, " UNKNOWN "),
        (down, 2, " DOWN "),
    ] {
        let (exit, stdout, stderr) = run(&[&server.url()]).await;
        assert_eq!(exit, code, "{stdout}{stderr}");
        assert_eq!(stdout.lines().count(), 1, "{stdout}");
        assert!(stdout.contains(word), "{stdout}");
        assert_eq!(stderr, "");
    }
}

#[tokio::test]
async fn wrong_usage_is_unknown_and_help_is_ok() {
    for arguments in [
        &["--nonsense"][..],
        &["--interval", "5"],
        &["--interval", "1ms"],
        &["ftp://example.test"],
        &["--connect-to", "x"],
    ] {
        let (exit, stdout, stderr) = run(arguments).await;
        assert_eq!(exit, 3, "{arguments:?}");
        assert_eq!(stdout, "");
        assert!(stderr.starts_with("error: "), "{stderr}");
    }
    for arguments in [
        &["judge"][..],
        &["judge", "/does/not/exist"],
        &["report", "x"],
    ] {
        assert_eq!(run(arguments).await.0, 3, "{arguments:?}");
    }
    let (exit, help, _) = run(&["--help"]).await;
    assert_eq!(exit, 0);
    assert!(help.contains("Exit codes"), "{help}");
    let (exit, version, _) = run(&["--version"]).await;
    assert_eq!(exit, 0);
    assert!(version.starts_with("checker "), "{version}");
}

#[tokio::test]
async fn the_url_may_come_from_the_environment() {
    let server = Server::start(service(0)).await;
    let status = checker(&[])
        .env("CHECKER_URL", server.url())
        .status()
        .await
        .unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn a_series_in_json_is_one_object_a_line_with_a_summary_at_the_end() {
    let server = Server::start(service(0)).await;
    let url = server.url();
    let arguments = [
        &url,
        "--interval",
        "100ms",
        "--count",
        "3",
        "--output",
        "json",
    ];
    let (exit, stdout, stderr) = run(&arguments).await;
    assert_eq!(exit, 0, "{stdout}{stderr}");
    assert_eq!(stderr, "");
    let lines = json_lines(&stdout);
    assert_eq!(lines.len(), 4);
    for check in &lines[..3] {
        assert_eq!(check["event"], "check");
        assert_eq!(check["verdict"], "ok");
        assert_eq!(check["url"], url);
        assert_eq!(check["instances"][0]["instance"], "a");
        assert!(check["instances"][0]["offset_ms"].is_f64());
        assert!(check["latency_ms"].is_f64());
    }
    assert_eq!(lines[3]["event"], "summary");
    assert_eq!(lines[3]["checks"], 3);
    assert_eq!(lines[3]["up_percent"], 100.0);
}

#[tokio::test]
async fn the_first_signal_ends_a_series_with_a_summary_and_the_last_states_code() {
    for (name, offset, on_stop, code) in [
        ("INT", 0, "ok", 0),
        ("INT", 5_000, "ok", 2),
        ("TERM", 5_000, "ok", 0),
        ("TERM", 5_000, "state", 2),
    ] {
        // The first check is answered, then the service hangs.
        let answers = service(offset);
        let server = Server::start(move |request| {
            if request.connection == 0 {
                answers(request)
            } else {
                Reply {
                    bytes: Vec::new(),
                    then: Then::Hang,
                }
            }
        })
        .await;
        let url = server.url();
        let series = [&url, "--interval", "100ms", "--output", "json"];
        let arguments = [&series[..], &["--exit-on-stop", on_stop]].concat();
        let mut child = checker(&arguments).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        stdout.read_line(&mut first).await.unwrap();
        assert_eq!(json_lines(&first)[0]["event"], "check");

        let signalled = Instant::now();
        signal(&child, name).await;
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).await.unwrap();
        let status = child.wait().await.unwrap();
        assert!(signalled.elapsed() < Duration::from_secs(2));
        assert_eq!(status.code(), Some(code));
        let summary = json_lines(&rest).pop().unwrap();
        assert_eq!(summary["event"], "summary");
        assert_eq!(summary["checks"], 1);
    }
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_it_quietly() {
    let server = Server::start(service(0)).await;
    let arguments = [&server.url(), "--interval", "100ms"];
    let mut child = checker(&arguments).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[tokio::test]
async fn waiting_ends_when_the_service_is_up() {
    let server = Server::start(|request| {
        if request.connection < 2 {
            with_headers("503 Service Unavailable", "", "")
        } else {
            service(0)(request)
        }
    })
    .await;
    let (exit, stdout, stderr) = run(&[&server.url(), "--wait-up", "30s"]).await;
    assert_eq!(exit, 0, "{stdout}{stderr}");
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    assert_eq!(
        stderr,
        "waiting up to 30 s: answered 503 Service Unavailable\n"
    );
}

#[tokio::test]
async fn waiting_ends_when_its_time_is_over() {
    // Bound, but not listening: nobody else can get the port.
    let nobody = tokio::net::TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    let (exit, stdout, _) = run(&[&url, "--wait-up", "600ms"]).await;
    assert_eq!(exit, 2);
    assert!(stdout.contains("connection refused"), "{stdout}");
}

#[tokio::test]
async fn what_is_expected_reaches_the_check() {
    let server = Server::start(service(0)).await;
    let url = server.url();
    let (exit, stdout, _) = run(&[&url, "--expect-version", "2", "--output", "json"]).await;
    assert_eq!(exit, 3);
    assert_eq!(json_lines(&stdout)[0]["reason"], "unexpected_version");
    let (exit, stdout, _) = run(&[&url, "--expect-instances", "2", "--output", "json"]).await;
    assert_eq!(exit, 3);
    assert_eq!(json_lines(&stdout)[0]["reason"], "missing_instances");
    let connect_to = server.address.to_string();
    let (exit, ..) = run(&["http://example.test", "--connect-to", &connect_to]).await;
    assert_eq!(exit, 0);
}

#[tokio::test]
async fn a_mistake_of_the_program_itself_is_unknown_and_one_line() {
    let output = checker(&["http://127.0.0.1:1"])
        .env("CHECKER_TEST_PANIC", "1")
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("internal error at "), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[tokio::test]
async fn a_clock_beyond_the_warning_limit_ends_with_1() {
    let server = Server::start(service(700)).await;
    let (exit, stdout, _) = run(&[&server.url(), "--warn-skew", "500ms"]).await;
    assert_eq!(exit, 1, "{stdout}");
    assert!(stdout.contains(" WARNING "), "{stdout}");
    assert!(stdout.contains("ahead"), "{stdout}");
    let (exit, ..) = run(&[&server.url(), "--warn-skew", "800ms"]).await;
    assert_eq!(exit, 0);
}

#[tokio::test]
async fn a_service_manager_is_told_that_it_is_at_work() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
    let server = Server::start(service(0)).await;
    let mut checker = checker(&[&server.url(), "--interval", "1h"]);
    let child = checker
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "200000")
        .spawn()
        .unwrap();
    let mut told = [0; 64];
    let mut next = async || {
        let length = tokio::time::timeout(Duration::from_secs(20), socket.recv(&mut told));
        let length = length.await.unwrap().unwrap();
        String::from_utf8(told[..length].to_vec()).unwrap()
    };
    assert_eq!(next().await, "READY=1");
    for _ in 0..4 {
        assert_eq!(next().await, "WATCHDOG=1");
    }
    signal(&child, "TERM").await;
    let mut last = next().await;
    while last == "WATCHDOG=1" {
        last = next().await;
    }
    assert_eq!(last, "STOPPING=1");
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn schemas_are_current() {
    for (name, file) in [("targets", "checker-targets"), ("output", "checker-output")] {
        let program = env!("CARGO_BIN_EXE_checker");
        test_support::documents::assert_schema_is_current(program, &["schema", name], file);
    }
}

#[tokio::test]
async fn completions_and_man_pages() {
    let (exit, script, _) = run(&["completions", "bash"]).await;
    assert_eq!(exit, 0);
    assert!(script.contains("--expect-instances") && !script.contains("man__pages"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    assert_eq!(run(&["man-pages", path]).await.0, 0);
    for name in ["checker", "checker-judge", "checker-webhook-test"] {
        let page = folder.path().join(format!("{name}.1"));
        let page = std::fs::read_to_string(page).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{name}: {page}");
    }
    let (exit, _, stderr) = run(&["man-pages", "/dev/null/none"]).await;
    assert_eq!(exit, 3);
    assert!(
        stderr.starts_with("error: cannot write to /dev/null/none"),
        "{stderr}"
    );
}
