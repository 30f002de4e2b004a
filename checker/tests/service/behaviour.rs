//! What happens to checks that go on: machines that stall, services that change, clocks that are set.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::program::{checker, command, json_lines, run, signal};
use crate::support::{Reply, Server, Then, clock, now_json, ok, service, shim, show, with_headers};
use clock::{Field, Reason, Settings, Verdict};
use probe::check;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

fn verdicts(lines: &[Value]) -> Vec<&str> {
    lines
        .iter()
        .filter(|line| line["event"] == "check")
        .map(|line| line["verdict"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_checker_that_was_stopped_blames_nobody() {
    for pause in [Duration::from_millis(150), Duration::from_millis(600)] {
        // Each answer takes a moment, so that the stop comes in the middle of one.
        let server = Server::start(move |request| {
            std::thread::sleep(Duration::from_millis(400));
            service(0)(request)
        })
        .await;
        let url = server.url();
        let arguments = [&url, "--timeout", "1s", "--output", "json"];
        let child = checker(&arguments).spawn().unwrap();
        tokio::time::sleep(pause).await;
        signal(&child, "STOP").await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        signal(&child, "CONT").await;
        let output = child.wait_with_output().await.unwrap();
        let lines = json_lines(&String::from_utf8(output.stdout).unwrap());
        let verdict = lines[0]["verdict"].as_str().unwrap();
        assert!(["ok", "indeterminate"].contains(&verdict), "{lines:?}");
    }
}

#[tokio::test]
async fn a_service_whose_clock_is_set_in_between_is_not_called_right() {
    for jump in [5_000, -5_000] {
        let server = Server::start(move |request| {
            let offset = if request.number == 0 { 0 } else { jump };
            ok(&now_json(clock(offset), "a", "1", &request.nonce))
        })
        .await;
        let report = check(&server.target(), &Settings::default()).await;
        assert_eq!(report.verdict, Verdict::Skewed, "{report:?}");
    }
    // By less than the limit: its answers contradict each other.
    let server = Server::start(|request| {
        let offset = if request.number.is_multiple_of(2) {
            -400
        } else {
            400
        };
        ok(&now_json(clock(offset), "a", "1", &request.nonce))
    })
    .await;
    let report = check(&server.target(), &Settings::default()).await;
    let inconsistent = Verdict::Indeterminate {
        reason: Reason::Inconsistent,
    };
    assert_eq!(report.verdict, inconsistent, "{report:?}");
}

#[tokio::test]
async fn an_answer_that_drips_is_given_up_in_time() {
    let server = Server::start(|_| Reply {
        bytes: b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n2026".to_vec(),
        then: Then::Hang,
    })
    .await;
    let started = Instant::now();
    let settings = Settings {
        timeout: Duration::from_millis(700),
        ..Settings::default()
    };
    let report = check(&server.target(), &settings).await;
    assert_eq!(report.verdict, Verdict::Down);
    assert_eq!(report.cause.as_deref(), Some("timed out after 700 ms"));
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn other_services_are_read_as_well() {
    let millis = |offset: i64| clock(offset).timestamp_millis();
    let nested =
        Server::start(move |_| ok(&format!(r#"{{"data":{{"time":{}}}}}"#, millis(0)))).await;
    let settings = Settings {
        field: "/data/time".parse::<Field>().unwrap(),
        ..Settings::default()
    };
    let report = check(&nested.target(), &settings).await;
    assert_eq!(report.verdict, Verdict::Ok, "{report:?}");
    assert_eq!(
        check(&nested.target(), &Settings::default()).await.verdict,
        Verdict::Down
    );

    let wrong = Server::start(move |_| ok(&millis(5_000).to_string())).await;
    let report = check(&wrong.target(), &Settings::default()).await;
    assert_eq!(report.verdict, Verdict::Skewed, "{report:?}");

    // The header alone: a second is its resolution, and it is asked when it changes.
    let dated = |offset: i64| {
        move |_: &_| {
            let date = clock(offset).format("%a, %d %b %Y %H:%M:%S GMT");
            with_headers("200 OK", &format!("Date: {date}\r\n"), "<html>")
        }
    };
    // Whose it is, and whether it is fresh, is told by a body without a time as well.
    let with_names = Server::start(move |request| {
        let date = clock(0).format("%a, %d %b %Y %H:%M:%S GMT");
        let body = format!(
            r#"{{"version":"1.2","instance":"i","nonce":"{}"}}"#,
            request.nonce
        );
        with_headers("200 OK", &format!("Date: {date}\r\n"), &body)
    })
    .await;
    let arguments = [
        &with_names.url(),
        "--date-header",
        "--expect-version",
        "1.2",
    ];
    let (exit, stdout, _) = run(&arguments).await;
    assert_eq!(exit, 0, "{stdout}");
    assert!(
        !stdout.contains("no nonce") && !stdout.contains("no instance"),
        "{stdout}"
    );
    // Far from the limit: a busy machine sees the second change late.
    for (offset, code) in [(0, 0), (500, 0), (1_800, 2), (-1_800, 2)] {
        let server = Server::start(dated(offset)).await;
        let (exit, stdout, _) = run(&[&server.url(), "--date-header"]).await;
        assert_eq!(exit, code, "{offset}: {stdout}");
        assert!(stdout.contains("time of the Date header"), "{stdout}");
        assert_eq!(run(&[&server.url()]).await.0, 2);
    }
}

#[tokio::test]
async fn patience_confirms_a_change_before_it_counts() {
    // Down for two checks, then up, then down for good.
    let server = Server::start(|request| {
        let number = request.connection;
        if (2..4).contains(&number) || number >= 6 {
            with_headers("500 Internal Server Error", "", "")
        } else {
            service(0)(request)
        }
    })
    .await;
    let url = server.url();
    let started = Instant::now();
    let (exit, stdout, stderr) = run(&[
        &url,
        "--interval",
        "600ms",
        "--retry-interval",
        "100ms",
        "--fall",
        "3",
        "--count",
        "9",
        "--output",
        "json",
    ])
    .await;
    assert_eq!(exit, 2, "{stdout}{stderr}");
    let lines = json_lines(&stdout);
    assert_eq!(
        verdicts(&lines),
        [
            "ok", "ok", "down", "down", "ok", "ok", "down", "down", "down"
        ]
    );
    let states: Vec<_> = lines[..9].iter().map(|line| &line["state"]).collect();
    assert_eq!(states[2..6], ["ok", "ok", "ok", "ok"]);
    assert_eq!(states[6..], ["ok", "ok", "down"]);
    // Four of the eight pauses are short ones.
    assert!(
        started.elapsed() < Duration::from_millis(4_500),
        "{:?}",
        started.elapsed()
    );
    let summary = &lines[9];
    assert_eq!(summary["outages"], 2);
    assert!(summary["proven_ms"].as_f64().unwrap() < summary["possible_ms"].as_f64().unwrap());
}

#[tokio::test]
async fn many_targets_have_a_phase_each_and_the_worst_decides() {
    let good = Server::start(service(0)).await;
    let bad = Server::start(service(3_000)).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("targets.toml");
    let text = format!(
        "interval = \"1s\"\n[[target]]\nurl = \"{}\"\n[[target]]\nurl = \"{}\"\nmax_skew = \"4s\"\n",
        good.url(),
        bad.url()
    );
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let arguments = ["--config", file, "--count", "2", "--output", "json"];
    let (exit, stdout, _) = run(&arguments).await;
    assert_eq!(exit, 0, "{stdout}");
    let lines = json_lines(&stdout);
    assert_eq!(lines.len(), 6);
    let at = |line: &Value| {
        let text = line["started_at"].as_str().unwrap();
        chrono::DateTime::parse_from_rfc3339(text)
            .unwrap()
            .timestamp_millis()
    };
    let apart = at(&lines[1]) - at(&lines[0]);
    assert!((300..700).contains(&apart), "{apart}");
    let (exit, stdout, _) = run(&["--once", "--url", &good.url(), "--url", &bad.url()]).await;
    assert_eq!(exit, 2, "{stdout}");
    assert_eq!(stdout.lines().count(), 2);
}

/// A time server whose clock is this far ahead.
fn time_server(ahead_ms: i64) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut packet = [0; 48];
        while let Ok((48, from)) = socket.recv_from(&mut packet) {
            let now = clock(ahead_ms);
            let seconds = u64::try_from(now.timestamp() + 2_208_988_800).unwrap();
            let fraction = (u64::from(now.timestamp_subsec_nanos()) << 32) / 1_000_000_000;
            let stamp = (seconds << 32 | fraction).to_be_bytes();
            let mut answer = [0; 48];
            answer[0] = 0b00_100_100;
            answer[1] = 1;
            answer[24..32].copy_from_slice(&packet[40..48]);
            answer[32..40].copy_from_slice(&stamp);
            answer[40..48].copy_from_slice(&stamp);
            if socket.send_to(&answer, from).is_err() {
                return;
            }
        }
    });
    address
}

#[tokio::test]
async fn a_time_server_tells_whose_clock_is_off() {
    let off = Server::start(service(3_000)).await;
    for (ahead, blame, words) in [
        (0, "service", "it is the service's clock that is off"),
        (3_000, "local", "it is this machine's clock that is off"),
        (
            -3_000,
            "both",
            "both the service's clock and this machine's are off",
        ),
    ] {
        let reference = time_server(ahead);
        let url = off.url();
        let arguments = [&url, "--reference", &reference, "--output", "json"];
        let (exit, stdout, _) = run(&arguments).await;
        assert_eq!(exit, 2, "{stdout}");
        let line = &json_lines(&stdout)[0];
        assert_eq!(line["reference"]["blame"], blame, "{line}");
        assert!(line["cause"].as_str().unwrap().contains(words), "{line}");
    }
    // Most of several decide, and the one that is wrong is named.
    let right = Server::start(service(0)).await;
    let servers = [time_server(0), time_server(5_000), time_server(0)];
    let url = right.url();
    let mut arguments = vec![url.as_str()];
    for server in &servers {
        arguments.extend(["--reference", server]);
    }
    let (exit, line, _) = run(&arguments).await;
    assert_eq!(exit, 0, "{line}");
    assert!(line.contains("   against UTC -"), "{line}");
    let words = format!("   {} is a falseticker   ", servers[1]);
    assert!(line.contains(&words), "{line}");
    let (_, json, _) = run(&[&arguments[..], &["--output", "json"]].concat()).await;
    let reference = &json_lines(&json)[0]["reference"];
    assert_eq!(reference["falsetickers"][0], servers[1].as_str(), "{json}");
    assert_eq!(reference["blame"], "nobody", "{json}");
    let (lo, hi) = (&reference["utc"]["lo_ms"], &reference["utc"]["hi_ms"]);
    assert!(
        lo.as_f64().unwrap() <= 0.0 && 0.0 <= hi.as_f64().unwrap(),
        "{json}"
    );
    // Two that contradict each other say nothing.
    let (exit, line, _) = run(&arguments[..5]).await;
    assert_eq!(exit, 0, "{line}");
    assert!(line.contains(": they contradict each other"), "{line}");

    let (exit, stdout, _) = run(&[&right.url(), "--reference", "127.0.0.1:9"]).await;
    assert_eq!(exit, 0, "{stdout}");
    assert!(stdout.contains("no time from 127.0.0.1"), "{stdout}");
}

#[tokio::test]
async fn a_real_program_with_a_wrong_clock_finds_everybody_else_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let shim = shim(folder.path()).await;
    let server = Server::start(service(0)).await;
    for (ahead, code, words) in [("0", 0, "OK"), ("5000", 2, "behind"), ("-5000", 2, "ahead")] {
        let output = checker(&[&server.url()])
            .env("LD_PRELOAD", &shim)
            .env("AHEAD_MS", ahead)
            .output()
            .await
            .unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(code), "{ahead}: {stdout}");
        assert!(stdout.contains(words), "{stdout}");
    }
}

#[tokio::test]
async fn a_log_is_judged_again_with_other_limits() {
    let server = Server::start(service(700)).await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("checks.jsonl");
    let log = log.to_str().unwrap();
    let url = server.url();
    let (exit, ..) = run(&[&url, "--interval", "100ms", "--count", "3", "--log", log]).await;
    assert_eq!(exit, 0);
    for (limit, code, verdict) in [
        ("1s", 0, "ok"),
        ("600ms", 2, "skewed"),
        ("700ms", 3, "indeterminate"),
    ] {
        let (exit, stdout, stderr) =
            run(&["judge", log, "--max-skew", limit, "--output", "json"]).await;
        assert_eq!(exit, code, "{stdout}{stderr}");
        let lines = json_lines(&stdout);
        assert_eq!(verdicts(&lines), [verdict; 3], "{stdout}");
        assert_eq!(lines[3]["event"], "summary");
    }
    assert_eq!(run(&["judge", log]).await.0, 0);
    std::fs::OpenOptions::new()
        .append(true)
        .open(log)
        .unwrap()
        .write_all(b"nonsense\n")
        .unwrap();
    // Left out, and told.
    let (exit, _, stderr) = run(&["judge", log]).await;
    assert_eq!(exit, 0);
    assert!(stderr.contains("line 4"), "{stderr}");
}

#[tokio::test]
async fn a_log_of_several_runs_is_judged_as_each_of_them_was() {
    let server = Server::start(service(700)).await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("checks.jsonl");
    let log = log.to_str().unwrap();
    let url = server.url();
    let series = ["--interval", "100ms", "--count", "2", "--log", log];
    for (more, code) in [
        (&["--expect-version", "1"][..], 0),
        (&["--expect-version", "2"], 3),
        (&["--expect-instances", "2"], 3),
        (&["--warn-skew", "600ms"], 1),
        (&["--max-skew", "600ms", "--fall", "2"], 2),
    ] {
        let arguments = [&[url.as_str()][..], &series, more].concat();
        assert_eq!(run(&arguments).await.0, code, "{more:?}");
    }
    let (exit, stdout, stderr) = run(&["judge", log, "--output", "json"]).await;
    assert_eq!((exit, stderr.as_str()), (2, ""), "{stdout}");
    let lines = json_lines(&stdout);
    let states: Vec<_> = lines
        .iter()
        .filter(|line| line["event"] == "check")
        .map(|line| line["state"].as_str().unwrap())
        .collect();
    // With patience for two, the first that is off does not change what was known.
    let expected = [
        "ok", "ok", "unknown", "unknown", "unknown", "unknown", "warning", "warning", "warning",
        "skewed",
    ];
    assert_eq!(states, expected);
    // Each lasted a tenth of a second, and nobody knows of the time between them.
    let summary = &lines[10];
    assert_eq!(summary["uptime_percent"]["at_most"], 100.0);
    assert_eq!(summary["possible_ms"], 0.0, "{summary}");
}

#[tokio::test]
async fn a_reader_that_stops_reading_holds_up_nothing() {
    let server = Server::start(service(0)).await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("checks.jsonl");
    let urls: Vec<String> = (0..20)
        .map(|number| format!("--url={}?number={number}", server.url()))
        .collect();
    let mut arguments: Vec<&str> = urls.iter().map(String::as_str).collect();
    let log_argument = format!("--log={}", log.display());
    arguments.extend(["--interval", "100ms", "--output", "json", &log_argument]);
    // A pipe that nobody reads is full after some hundred lines.
    let child = checker(&arguments).spawn().unwrap();
    let lines = || std::fs::read_to_string(&log).map_or(0, |text| text.lines().count());
    let deadline = Instant::now() + Duration::from_mins(1);
    while lines() < 2_000 {
        assert!(Instant::now() < deadline, "{} checks", lines());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let began = Instant::now();
    signal(&child, "INT").await;
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn targets_that_differ_in_where_they_are_have_different_names() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("targets.toml");
    let good = Server::start(service(0)).await;
    let bad = Server::start(service(5_000)).await;
    let target = |server: &Server| {
        format!(
            "[[target]]\nurl = \"http://service.test\"\nconnect_to = \"{}\"\n",
            server.address
        )
    };
    std::fs::write(&file, target(&good) + &target(&bad)).unwrap();
    let name = |server: &Server| format!("http://service.test/now via {}", server.address);
    let (exit, stdout, _) = run(&["--config", file.to_str().unwrap()]).await;
    assert_eq!(exit, 2);
    for (line, server) in stdout.lines().zip([&good, &bad]) {
        assert!(line.ends_with(&name(server)), "{line}");
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_written_is_told_and_does_not_end_the_checks() {
    let server = Server::start(service(0)).await;
    let url = server.url();
    let (exit, _, stderr) = run(&[&url, "--log", "/does/not/exist/log"]).await;
    assert_eq!(exit, 3);
    assert!(
        stderr.contains("cannot write the log /does/not/exist/log"),
        "{stderr}"
    );
    let arguments = [
        &url,
        "--interval",
        "100ms",
        "--count",
        "3",
        "--log",
        "/dev/full",
    ];
    let (exit, stdout, stderr) = run(&arguments).await;
    assert_eq!(exit, 0, "{stderr}");
    assert_eq!(stdout.lines().count(), 4);
    assert_eq!(
        stderr.matches("no space left on device").count(),
        1,
        "{stderr}"
    );
}

#[tokio::test]
async fn prometheus_is_served_while_checks_go_on() {
    let server = Server::start(service(0)).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let url = server.url();
    let arguments = [&url, "--interval", "100ms", "--prometheus", &address];
    let mut child = checker(&arguments).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next_line().await.unwrap();
    lines.next_line().await.unwrap();
    let get = async |path: &str| {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes())
            .await
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    };
    let metrics = get("/metrics").await;
    assert!(metrics.starts_with("HTTP/1.1 200 OK"), "{metrics}");
    assert!(
        metrics.contains("application/openmetrics-text"),
        "{metrics}"
    );
    assert!(
        metrics.contains(&format!("checker_up{{target=\"{url}\"}} 1")),
        "{metrics}"
    );
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    assert!(get("/").await.starts_with("HTTP/1.1 404"));
    // Taken.
    let (exit, _, stderr) = run(&arguments).await;
    assert_eq!(exit, 3);
    assert!(stderr.contains("cannot listen at"), "{stderr}");
    signal(&child, "TERM").await;
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_webhook_is_told_of_changes_and_a_slow_one_delays_nothing() {
    let flapping = Server::start(|request| {
        if request.connection % 4 < 2 {
            service(0)(request)
        } else {
            with_headers("503 Service Unavailable", "", "")
        }
    })
    .await;
    let hook = Server::start(|_| with_headers("204 No Content", "", "")).await;
    let silent = Server::start(|_| Reply {
        bytes: Vec::new(),
        then: Then::Hang,
    })
    .await;
    let url = flapping.url();
    let series = [
        &url,
        "--interval",
        "100ms",
        "--count",
        "8",
        "--output",
        "json",
    ];
    let address = format!("http://{}/hook?token=secret", hook.address);
    let (_, stdout, stderr) = run(&[&series[..], &["--webhook", &address]].concat()).await;
    assert_eq!(json_lines(&stdout).len(), 9);
    assert_eq!(stderr, "");
    // ok, ok, down, down, ok, ok, down, down.
    let heads: Vec<_> = hook.requests().iter().map(|it| it.head.clone()).collect();
    assert_eq!(heads.len(), 3, "{heads:?}");
    assert!(heads[0].starts_with("POST /hook?token=secret"), "{heads:?}");

    // One that never answers holds up neither checks nor the end.
    let address = format!("http://{}/hook?token=secret", silent.address);
    let endless = [
        &url,
        "--interval",
        "100ms",
        "--output",
        "json",
        "--webhook",
        &address,
    ];
    let mut child = checker(&endless)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..8 {
        lines.next_line().await.unwrap().unwrap();
    }
    signal(&child, "TERM").await;
    let output = child.wait_with_output().await.unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("the webhook was not told of the last change"),
        "{stderr}"
    );
    assert!(!stderr.contains("secret"), "{stderr}");
}

fn webhook_targets() -> usize {
    std::env::var("WEBHOOK_TARGETS").map_or(100, |text| text.parse().unwrap())
}

/// A receiver that takes 200 ms, and fails every third time. Counts what it took.
async fn slow_hook() -> (Server, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    let hook = Server::start(move |request| {
        std::thread::sleep(Duration::from_millis(200));
        if request.number % 3 == 2 {
            return with_headers("503 Service Unavailable", "", "");
        }
        count.fetch_add(1, Ordering::Relaxed);
        with_headers("204 No Content", "", "")
    });
    (hook.await, taken)
}

/// Changes that the receiver took, by target.
fn taken(hook: &Server) -> BTreeMap<String, Vec<String>> {
    let mut taken: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for request in hook.requests() {
        if request.number % 3 != 2 {
            let message: Value = serde_json::from_str(&request.body).unwrap();
            let text = |key: &str| message[key].as_str().unwrap().to_owned();
            taken.entry(text("url")).or_default().push(text("state"));
        }
    }
    taken
}

// More threads than messages at a time: the receiver blocks one for each.
#[tokio::test(flavor = "multi_thread", worker_threads = 12)]
async fn every_change_is_told_although_the_receiver_is_slow_and_fails() {
    let (hook, _) = slow_hook().await;
    let address = format!("http://{}/hook", hook.address);
    let urls: Vec<String> = (0..webhook_targets())
        .map(|target| format!("http://127.0.0.1:1/{target}"))
        .collect();
    let targets = urls.iter().flat_map(|url| ["--url", url]);
    let arguments: Vec<&str> = targets.chain(["--webhook", &address]).collect();
    let (code, _, stderr) = run(&arguments).await;
    assert_eq!((code, &*stderr), (2, ""));
    let taken = taken(&hook);
    assert_eq!(taken.len(), urls.len());
    assert!(
        taken.values().all(|states| *states == ["down"]),
        "{taken:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 12)]
async fn every_change_is_told_in_order() {
    let targets = webhook_targets();
    let (hook, count) = slow_hook().await;
    // Each is up for its first check, then down until the receiver knows that of all.
    let firsts = Mutex::new(BTreeMap::new());
    let told = Arc::clone(&count);
    let server = Server::start(move |request| {
        let path = request.head.split(' ').nth(1).unwrap().to_owned();
        let first = *firsts
            .lock()
            .unwrap()
            .entry(path)
            .or_insert(request.connection);
        if first == request.connection || told.load(Ordering::Relaxed) >= targets {
            ok("")
        } else {
            with_headers("503 Service Unavailable", "", "")
        }
    })
    .await;
    let (address, interval) = (format!("http://{}/hook", hook.address), targets * 20);
    let urls: Vec<String> = (0..targets)
        .map(|target| format!("--url=http://{}/{target}", server.address))
        .collect();
    let interval = format!("{interval}ms");
    let series = [
        "--kind",
        "http",
        "--timeout",
        "1m",
        "--interval",
        &interval,
        "--webhook",
        &address,
    ];
    let arguments = [
        &urls.iter().map(String::as_str).collect::<Vec<_>>()[..],
        &series,
    ]
    .concat();
    let child = checker(&arguments).stdout(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_mins(5);
    while count.load(Ordering::Relaxed) < 2 * targets {
        assert!(Instant::now() < deadline, "{count:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    signal(&child, "TERM").await;
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    let taken = taken(&hook);
    assert_eq!(taken.len(), targets);
    assert!(
        taken.values().all(|states| *states == ["down", "ok"]),
        "{taken:?}"
    );
    show(&format!(
        "the webhook was told of all {} changes of {targets} targets\n",
        2 * targets
    ));
}

#[tokio::test]
async fn a_test_message_shows_whether_the_webhook_takes_any() {
    let hook = Server::start(|_| with_headers("204 No Content", "", "")).await;
    let address = format!("http://{}/hook?token=secret", hook.address);
    let (code, stdout, _) = run(&["webhook", "test", "--webhook", &address]).await;
    assert_eq!(
        (code, &*stdout),
        (0, "the webhook answered 204 No Content\n")
    );
    let refusing = Server::start(|_| with_headers("403 Forbidden", "", "")).await;
    let address = format!("http://{}/hook?token=secret", refusing.address);
    let (code, _, stderr) = run(&["webhook", "test", "--webhook", &address]).await;
    assert_eq!(code, 3);
    assert!(stderr.contains("answered 403 Forbidden"), "{stderr}");
    assert!(!stderr.contains("secret"), "{stderr}");
}

#[tokio::test]
async fn headers_and_credentials_are_sent_and_an_empty_variable_is_none() {
    let server = Server::start(|request| {
        let head = request.head.to_lowercase();
        if head.contains("x-key: 1\r\n") && head.contains("authorization: bearer token\r\n") {
            service(0)(request)
        } else {
            with_headers("401 Unauthorized", "", "")
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "token\n").unwrap();
    let url = server.url();
    assert_eq!(run(&[&*url]).await.0, 2);
    let output = checker(&[&*url, "--header", "X-Key: 1"])
        .env("CHECKER_BEARER_FILE", &file)
        .env("CHECKER_WEBHOOK", "")
        .env("CHECKER_URL", "")
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let (code, stdout, _) = run(&["https://localhost:1", "--ca-file", "/none.pem"]).await;
    assert_eq!(code, 3);
    assert!(stdout.contains("/none.pem"), "{stdout}");
}

#[tokio::test]
async fn a_monitoring_plugin_says_one_line() {
    let right = Server::start(service(0)).await;
    let wrong = Server::start(service(-5_000)).await;
    let (exit, stdout, stderr) = run(&[&right.url(), "--output", "nagios"]).await;
    assert_eq!((exit, stderr.as_str()), (0, ""));
    assert!(stdout.starts_with("CHECKER OK - offset "), "{stdout}");
    assert!(stdout.contains(" | offset="), "{stdout}");
    let urls = [
        "--url",
        &right.url(),
        "--url",
        &wrong.url(),
        "--output",
        "nagios",
    ];
    let (exit, stdout, _) = run(&urls).await;
    assert_eq!(exit, 2);
    assert!(
        stdout.starts_with("CHECKER CRITICAL - 1 of 2 targets OK"),
        "{stdout}"
    );
    assert_eq!(stdout.lines().count(), 1);
    // Each figure has the name of its target.
    let label = format!(" '{}::latency'=", right.url());
    assert!(stdout.contains(&label), "{stdout}");
    // Errors are shown by what reads stdout.
    for (wrong, words) in [
        (&["--config", "/none"][..], "CHECKER UNKNOWN - /none: "),
        (
            &["--log", "/none/x"],
            "CHECKER UNKNOWN - cannot write the log /none/x",
        ),
        (&["--nonsense"], "CHECKER UNKNOWN - unexpected argument"),
    ] {
        let (exit, stdout, _) = run(&[&["--output", "nagios"], wrong].concat()).await;
        assert_eq!((exit, stdout.lines().count()), (3, 1), "{stdout}");
        assert!(stdout.starts_with(words), "{stdout}");
    }
    // Many targets have no room, and that is told.
    let urls: Vec<String> = (0..300)
        .map(|target| format!("--url=http://127.0.0.1:1/some/longer/path/{target}"))
        .chain(["--output=nagios".to_owned()])
        .collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let (exit, stdout, _) = run(&urls).await;
    assert_eq!((exit, stdout.lines().count()), (2, 1), "{stdout}");
    assert!(
        stdout.contains(", and 295 more") && stdout.len() < 8_192,
        "{stdout}"
    );
    assert!(stdout.contains(" targets have no room |"), "{stdout}");
}

#[tokio::test]
async fn a_full_disk_behind_stdout_is_told() {
    let server = Server::start(service(0)).await;
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = checker(&[&server.url()])
        .stdout(Stdio::from(full))
        .spawn()
        .unwrap()
        .wait_with_output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr, "error: cannot write: no space left on device\n");
}

/// Two instances of which a load balancer picks any for a connection; one is 5 s off.
#[tokio::test]
async fn a_wrong_instance_stays_suspect_whoever_answers() {
    let server = Server::start(|request| {
        // By chance, and the same in every run: about half of the connections lead to either.
        let draw = request.connection.wrapping_mul(2_654_435_761) >> 7;
        let (name, offset) = if draw % 2 == 0 {
            ("a", 0)
        } else {
            ("b", 5_000)
        };
        ok(&now_json(clock(offset), name, "1", &request.nonce))
    })
    .await;
    let url = server.url();
    let arguments = [
        &*url,
        "--interval",
        "100ms",
        "--count",
        "40",
        "--output",
        "json",
    ];
    let (code, stdout, _) = run(&arguments).await;
    assert_eq!(code, 2, "{stdout}");
    let lines = json_lines(&stdout);
    let checks = lines.iter().filter(|line| line["event"] == "check");
    let states: Vec<_> = checks.map(|line| line["state"].as_str().unwrap()).collect();
    assert_eq!(states.len(), 40);
    let found = states.iter().position(|state| *state == "skewed").unwrap();
    assert!(
        states[found..].iter().all(|state| *state == "skewed"),
        "{states:?}"
    );
    let last_says_ok = |line: &&Value| line["verdict"] == "ok" && line["state"] == "skewed";
    let unseen = lines.iter().find(last_says_ok).unwrap();
    let cause = unseen["cause"].as_str().unwrap();
    assert!(cause.contains("instance `b` was proven wrong"), "{cause}");
}

#[tokio::test]
async fn a_series_may_end_with_its_worst_state() {
    for (exit, code) in [("last", 0), ("worst", 2)] {
        let server = Server::start(|request| {
            let offset = if request.number < 2 { 5_000 } else { 0 };
            ok(&now_json(clock(offset), "a", "1", &request.nonce))
        })
        .await;
        let url = server.url();
        let arguments = [&*url, "--interval", "100ms", "--count", "3", "--exit", exit];
        let (ended, stdout, _) = run(&arguments).await;
        assert_eq!(ended, code, "{stdout}");
    }
}

/// In a network namespace of its own, where that is allowed.
#[tokio::test]
async fn a_machine_without_a_network_proves_no_downtime() {
    let mut command = command("unshare");
    command
        .args([
            "--user",
            "--map-root-user",
            "--net",
            env!("CARGO_BIN_EXE_checker"),
        ])
        .args([
            "http://198.51.100.7/now",
            "--interval",
            "100ms",
            "--count",
            "2",
        ])
        .args(["--output", "json"]);
    let Ok(output) = command.output().await else {
        return;
    };
    let stdout = String::from_utf8(output.stdout.clone()).unwrap();
    let Some(summary) = json_lines(&stdout).pop() else {
        show("not tested: a machine without a network, since namespaces are not allowed here\n");
        return;
    };
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert_eq!(summary["down"], 0, "{summary}");
    assert_eq!(summary["indeterminate"], 2);
    assert_eq!(summary["proven_ms"], 0.0);
    assert!(summary["possible_ms"].as_f64().unwrap() > 0.0);
}

#[tokio::test]
async fn certificates_that_cannot_be_read_are_no_fault_of_the_service() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    for file in [Path::new("/nonexistent"), &empty] {
        let output = checker(&["https://localhost:1/now"])
            .env("SSL_CERT_FILE", file)
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains(file.to_str().unwrap()), "{said}");
    }
}

#[tokio::test]
async fn a_connection_that_the_server_closes_is_not_a_used_one() {
    // Every second new connection breaks.
    let server = Server::start(|request| {
        if request.connection % 2 == 1 {
            return Reply {
                bytes: Vec::new(),
                then: Then::Close,
            };
        }
        let body = now_json(clock(0), "a", "1", &request.nonce);
        Reply {
            then: Then::Close,
            ..with_headers("200 OK", "Connection: close\r\n", &body)
        }
    })
    .await;
    let report = check(&server.target(), &Settings::default()).await;
    assert_eq!(report.verdict, Verdict::Down, "{report:?}");
}

#[tokio::test]
async fn the_targets_are_read_again_on_sighup() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("targets.toml");
    std::fs::write(folder.path().join("key"), "1\n").unwrap();
    let (a, b) = (
        Server::start(service(0)).await,
        Server::start(service(0)).await,
    );
    let target =
        |server: &Server, more: &str| format!("[[target]]\nurl = \"{}\"\n{more}\n", server.url());
    let write =
        |targets: &str| std::fs::write(&file, format!("interval = \"100ms\"\n{targets}")).unwrap();
    write(&target(&a, ""));
    let log = folder.path().join("log");
    let arguments = [
        "--config",
        file.to_str().unwrap(),
        "--output",
        "json",
        "--log",
        log.to_str().unwrap(),
    ];
    let mut child = checker(&arguments).spawn().unwrap();
    let mut checks = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut notes = BufReader::new(child.stderr.take().unwrap()).lines();
    // Reads checks until one is as it should be.
    let mut until = async |is_right: &dyn Fn(&Value) -> bool| loop {
        let line = checks.next_line().await.unwrap().unwrap();
        if is_right(&serde_json::from_str(&line).unwrap()) {
            return;
        }
    };
    let of = |server: &Server| {
        let url = server.url();
        move |line: &Value| line["url"] == url
    };
    until(&of(&a)).await;
    for (targets, words) in [
        ("[[target]", "the targets stay as they were: "),
        ("", "names no target"),
        (&*target(&b, "client_cert = \"none.pem\""), "none.pem"),
        (
            &*target(
                &b,
                "headers = { \"X-Key\" = \"@key\" }\nbearer_file = \"key\"",
            ),
            "targets read again: 1 added, 0 changed, 1 removed",
        ),
    ] {
        write(targets);
        signal(&child, "HUP").await;
        let note = notes.next_line().await.unwrap().unwrap();
        assert!(note.contains(words), "{note}");
    }
    until(&of(&b)).await;
    let head = b.requests()[0].head.to_lowercase();
    assert!(
        head.contains("x-key: 1\r\n") && head.contains("authorization: bearer 1\r\n"),
        "{head}"
    );
    write(&target(&b, "max_skew = \"2s\"\nexpect_version = \"2\""));
    signal(&child, "HUP").await;
    let note = notes.next_line().await.unwrap().unwrap();
    assert_eq!(note, "targets read again: 0 added, 1 changed, 0 removed");
    until(&|line| line["max_skew_ms"] == 2000.0 && line["reason"] == "unexpected_version").await;
    // What was asked of the first one is known, and nothing is asked of it any more.
    let asked = a.requests().len();
    until(&of(&b)).await;
    assert_eq!(a.requests().len(), asked);
    signal(&child, "TERM").await;
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
    let judged = std::fs::read_to_string(&log).unwrap();
    assert!(
        judged
            .lines()
            .last()
            .unwrap()
            .contains("\"max_skew_ms\":2000.0"),
        "{judged}"
    );
}

#[tokio::test]
async fn sighup_ends_what_has_no_file() {
    let server = Server::start(service(5_000)).await;
    let url = server.url();
    let mut child = checker(&[&url, "--interval", "100ms"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next_line().await.unwrap();
    signal(&child, "HUP").await;
    assert_eq!(child.wait().await.unwrap().code(), Some(2));
    let mut last = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        last = line;
    }
    assert!(last.contains(" 1 skewed "), "a summary: {last}");
}
