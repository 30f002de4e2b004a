//! The real program: environment, signals, log lines and exit codes.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::running::{Running, json_line, program};
use crate::support::Connection;

const DIGEST: &str = "sha256:3f2a9c0b1d2e4f5061728394a5b6c7d8e9f00112233445566778899aabbccdde";

/// Runs the program to its end, which it is expected to reach by itself, and gives exit code and
/// the only line on standard error.
fn failure(environment: &[(&str, &str)]) -> (Option<i32>, Value) {
    let output = program(environment).output().expect("the program starts");
    let stderr = String::from_utf8(output.stderr).expect("log lines are text");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(output.stdout.is_empty());
    (output.status.code(), json_line(&stderr))
}

#[test]
fn a_wrong_port_is_a_usage_error() {
    for port in ["0", "", "65536", "http"] {
        let (code, line) = failure(&[("PORT", port)]);
        assert_eq!(code, Some(2), "{port:?}");
        assert_eq!(line["level"], "error");
        assert_eq!(
            line["message"],
            format!("`PORT` is not a port number: {port:?}")
        );
        assert_eq!(
            line["hint"],
            "set PORT to a number from 1 to 65535, or leave it out for 8080"
        );
    }
}

#[test]
fn an_occupied_port_is_told_with_a_remedy() {
    for address in [
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    ] {
        let occupied = TcpListener::bind(address).unwrap();
        let port = occupied.local_addr().unwrap().port();
        let (code, line) = failure(&[("PORT", &port.to_string())]);
        assert_eq!(code, Some(1));
        assert_eq!(line["message"], format!("port {port} is already in use"));
        assert_eq!(
            line["hint"],
            "stop the program that listens there, or set PORT to a free port"
        );
    }
}

#[tokio::test]
async fn it_tells_who_it_is_and_stops_on_sigterm() {
    let running = Running::start(|command| {
        command.env("IMAGE_DIGEST", DIGEST);
    });
    let version = format!("{}+3f2a9c0b1d2e", env!("CARGO_PKG_VERSION"));
    let instance = running.listening["instance"].as_str().unwrap().to_owned();
    assert_eq!(running.listening["message"], "listening");
    assert_eq!(running.listening["version"], version);
    assert_eq!(running.listening["port"], running.port);
    assert_eq!(instance.len(), 16);

    let answer = json_line(&running.get("/version").await.body);
    assert_eq!(
        answer,
        serde_json::json!({ "version": version, "instance": instance })
    );

    let start = Instant::now();
    running.signal("TERM");
    let (status, stdout, stderr) = running.finish();
    assert_eq!(status.code(), Some(0));
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    let stopping = json_line(&stdout);
    assert_eq!(
        (&stopping["message"], &stopping["signal"]),
        (&"stopping".into(), &"SIGTERM".into())
    );
    assert_eq!(stderr, "");
}

#[tokio::test]
async fn it_stops_on_sigint() {
    let running = Running::start(|_| {});
    assert_eq!(running.listening["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(running.listening["clock_error_limit_ms"], 500);
    assert_eq!(running.listening["metadata"], "none");
    running.signal("INT");
    let (status, stdout, _) = running.finish();
    assert_eq!(status.code(), Some(0));
    assert_eq!(json_line(&stdout)["signal"], "SIGINT");
}

#[tokio::test]
async fn a_second_signal_ends_the_drain() {
    // With `LINGER_MS` the second signal comes while requests are still taken, without it while
    // open ones may finish.
    for (linger, second) in [("0", "INT"), ("60000", "TERM")] {
        let running = Running::start(|command| {
            command.env("LINGER_MS", linger);
        });
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, running.port));
        let mut half = Connection::open(address).await;
        half.send("GET /now HTTP/1.1\r\nHo").await;
        assert_eq!(running.get("/health").await.status, 200);

        let mut running = running;
        let mut stdout = running.stdout.take().unwrap();
        for (signal, message) in [("TERM", "stopping"), (second, "stopping at once")] {
            running.signal(signal);
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            let line = json_line(&line);
            assert_eq!(line["message"], message);
            assert_eq!(line["signal"], format!("SIG{signal}"));
        }
        let start = Instant::now();
        let (status, _, stderr) = running.finish();
        assert_eq!(status.code(), Some(0));
        // Open requests would have had ten seconds.
        assert!(start.elapsed() < Duration::from_secs(8), "{linger}");
        let line = json_line(&stderr);
        assert_eq!(
            line["message"],
            "connections cut off that did not finish in time"
        );
        assert_eq!(line["connections"], 1);
        assert_eq!(half.rest().await, b"");
    }
}

#[tokio::test]
async fn it_listens_on_ipv6_where_there_is_ipv6() {
    if TcpListener::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, 0))).is_err() {
        return;
    }
    let running = Running::start(|_| {});
    let address = SocketAddr::from((Ipv6Addr::LOCALHOST, running.port));
    let response = Connection::open(address).await.get("/health").await;
    assert_eq!(response.status, 200);
    assert_eq!(running.get("/health").await.status, 200);
}

#[tokio::test]
async fn the_instance_is_the_task_id_on_ecs() {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let uri = format!("http://{}/v4/0a1b", listener.local_addr().unwrap());
    let agent = std::thread::spawn(move || {
        // The first attempt fails: the name would be kept, so it is asked for again.
        drop(listener.accept().unwrap());
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            request.read_line(&mut line).unwrap();
        }
        let body = r#"{"TaskARN":"arn:aws:ecs:us-west-2:111122223333:task/default/158d1c80"}"#;
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
    });
    let running = Running::start(|command| {
        command.env("ECS_CONTAINER_METADATA_URI_V4", &uri);
    });
    agent.join().unwrap();
    assert_eq!(running.listening["instance"], "158d1c80");
    assert_eq!(
        json_line(&running.get("/now").await.body)["instance"],
        "158d1c80"
    );
}

#[tokio::test]
async fn odd_settings_of_its_surroundings_are_warnings() {
    let running = Running::start(|command| {
        command.env("IMAGE_DIGEST", "latest").env(
            "ECS_CONTAINER_METADATA_URI_V4",
            "http://metadata.invalid/v4",
        );
    });
    assert_eq!(running.get("/now").await.status, 200);
    assert_eq!(running.listening["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(running.listening["instance"].as_str().unwrap().len(), 16);
    running.signal("TERM");
    let (status, _, stderr) = running.finish();
    assert_eq!(status.code(), Some(0));
    let lines: Vec<Value> = stderr.lines().map(json_line).collect();
    assert_eq!(lines.len(), 2, "{stderr}");
    assert!(lines.iter().all(|line| line["level"] == "warn"), "{stderr}");
    assert_eq!(lines[0]["value"], "latest");
    assert_eq!(
        lines[1]["reason"],
        "`http://metadata.invalid/v4` is not an http address with an IP address as host"
    );
}

#[tokio::test]
async fn running_out_of_descriptors_is_survived() {
    let running = Running::start(|command| limit_open_files(command, 24));
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, running.port));
    let mut crowd = Vec::new();
    for _ in 0..40 {
        crowd.push(Connection::open(address).await);
    }
    // A line on standard error shows that the limit was reached.
    let mut running = running;
    let mut line = String::new();
    let mut stderr = BufReader::new(running.child.stderr.take().unwrap());
    stderr.read_line(&mut line).unwrap();
    assert_eq!(json_line(&line)["message"], "cannot accept connections");

    drop(crowd);
    assert_eq!(running.get("/health").await.status, 200);
}

/// Wraps the command in a shell that lowers the limit.
#[expect(
    clippy::disallowed_methods,
    reason = "only a shell can lower the limit without unsafe code"
)]
fn limit_open_files(command: &mut Command, limit: u32) {
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", &format!("ulimit -n {limit}; exec \"$0\"")])
        .arg(command.get_program())
        .env_clear()
        .envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    *command = shell;
}
