//! The access log of the real program, with readers that keep up and readers that do not.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::running::{Running, json_line};
use crate::support::Connection;
use serde_json::Value;

/// Starts the program with this setting of the access log.
fn logging(setting: &str) -> Running {
    Running::start(|command| {
        command.env("ACCESS_LOG", setting);
    })
}

/// Sends requests one after the other on one connection.
async fn ask(running: &Running, count: usize, path: &str) {
    let mut connection =
        Connection::open(SocketAddr::from((Ipv4Addr::LOCALHOST, running.port))).await;
    for _ in 0..count {
        connection.get(path).await;
    }
}

fn requests(output: &str) -> Vec<Value> {
    output
        .lines()
        .map(json_line)
        .filter(|line| line["message"] == "request")
        .collect()
}

#[tokio::test]
async fn every_request_is_a_line() {
    let running = logging("all");
    assert_eq!(running.listening["access_log"], "all");
    ask(&running, 2, "/now?nonce=private").await;
    ask(&running, 1, "/nothing").await;
    running.signal("TERM");
    let (status, output, errors) = running.finish();
    assert_eq!((status.code(), errors.as_str()), (Some(0), ""));
    let lines = requests(&output);
    assert_eq!(lines.len(), 3, "{output}");
    assert_eq!(lines[0]["method"], "GET");
    assert_eq!(lines[0]["path"], "/now");
    assert_eq!(lines[0]["status"], 200);
    assert_eq!(lines[0]["client"], "127.0.0.1");
    assert!(lines[0]["bytes"].as_u64().unwrap() > 80, "{}", lines[0]);
    assert!(lines[0]["microseconds"].is_u64());
    assert_eq!(lines[2]["status"], 404);
    assert!(!output.contains("private"));
}

#[tokio::test]
async fn a_share_of_the_requests_is_logged_or_none() {
    for (setting, expected) in [("1/10", 10), ("off", 0)] {
        let running = logging(setting);
        ask(&running, 100, "/health").await;
        running.signal("TERM");
        let (_, output, _) = running.finish();
        assert_eq!(requests(&output).len(), expected, "{setting}");
    }
}

#[tokio::test]
async fn a_reader_who_stops_reading_holds_up_nothing() {
    let running = logging("all");
    // Some 150 bytes each: the pipe holds 64 KiB, the queue a thousand lines.
    ask(&running, 4000, "/now").await;
    assert_eq!(running.get("/health").await.status, 200);

    // Reading again: what was dropped is counted.
    let mut running = running;
    let mut errors = BufReader::new(running.child.stderr.take().unwrap());
    let mut output = running.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).map(|_| text)
    });
    let mut line = String::new();
    errors.read_line(&mut line).unwrap();
    let dropped = json_line(&line);
    assert_eq!(dropped["message"], "log lines dropped");
    running.signal("TERM");
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
    let logged = requests(&reader.join().unwrap().unwrap()).len() as u64;
    assert_eq!(logged + dropped["lines"].as_u64().unwrap(), 4001);
}

#[tokio::test]
async fn it_stops_in_time_when_nobody_reads() {
    let mut running = logging("all");
    ask(&running, 4000, "/now").await;
    running.signal("TERM");
    let start = Instant::now();
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_log_that_is_closed_ends_nothing() {
    let mut running = logging("all");
    drop(running.stdout.take());
    drop(running.child.stderr.take());
    ask(&running, 2000, "/now").await;
    assert_eq!(running.get("/health").await.status, 200);
    running.signal("TERM");
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
}
