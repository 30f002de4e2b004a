//! Checks without a clock: status, text and values of an answer.

use std::path::Path;
use std::time::Duration;

use crate::program::{command, json_lines, run};
use crate::support::{Reply, Server, Then, ok, service, with_headers};
use clock::{Expected, Kind, Note, Report, Settings, Statuses, Verdict};
use probe::{Target, check};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;
use tokio::sync::mpsc;
use url::Url;

fn settings() -> Settings {
    Settings {
        kind: Kind::Http,
        ..Settings::default()
    }
}

/// Expects this status, text and value.
fn expecting(status: &str, contains: Option<&str>, json: &[&str]) -> Settings {
    Settings {
        expected: Expected {
            status: status.parse::<Statuses>().unwrap(),
            contains: contains.map(str::to_owned),
            json: json.iter().map(|it| it.parse().unwrap()).collect(),
        },
        ..settings()
    }
}

async fn checked(reply: Reply, settings: &Settings) -> Report {
    let server = Server::start(move |_| reply.clone()).await;
    check(&server.target(), settings).await
}

#[tokio::test]
async fn a_page_is_asked_once_and_exactly_as_it_is_written() {
    let server = Server::start(|_| with_headers("200 OK", "Age: 9\r\n", "<html>")).await;
    let url = format!("http://{}", server.address);
    for (path, asked) in [
        ("", "GET / HTTP"),
        ("/", "GET / HTTP"),
        ("/x?y=1", "GET /x?y=1 HTTP"),
    ] {
        let target = Target::exact(&format!("{url}{path}"), None).unwrap();
        let report = check(&target, &settings()).await;
        assert_eq!(report.verdict, Verdict::Ok, "{report:?}");
        assert_eq!((report.kind, report.status), (Kind::Http, Some(200)));
        assert_eq!((report.requests, report.cause), (1, None));
        assert_eq!(report.notes, [Note::Cached]);
        assert!(report.latency_ms.is_some() && report.instances.is_empty());
        let requests = server.requests();
        assert!(
            requests.last().unwrap().head.starts_with(asked),
            "{requests:?}"
        );
    }
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn what_is_expected_of_an_answer_decides() {
    let text = |status: &str, body: &str| with_headers(status, "", body);
    let json = r#"{"status":"ok","checks":[{"up":true}]}"#;
    let usual = "200-299";
    for (reply, settings) in [
        (text("204 No Content", ""), expecting(usual, None, &[])),
        (
            text("404 Not Found", "gone"),
            expecting("200,404", Some("gone"), &[]),
        ),
        (
            with_headers("302 Found", "Location: /login\r\n", ""),
            expecting("302", None, &[]),
        ),
        (
            text("503 Service Unavailable", json),
            expecting("503", None, &["/status=ok"]),
        ),
        (
            ok(json),
            expecting(usual, Some("ok"), &["/status=ok", "/checks/0/up=true"]),
        ),
        (
            with_headers("200 OK", "Content-Encoding: gzip\r\n", "\u{1f}"),
            expecting(usual, None, &[]),
        ),
        (ok("\u{0}binary"), expecting(usual, None, &[])),
    ] {
        let report = checked(reply, &settings).await;
        assert_eq!(report.verdict, Verdict::Ok, "{report:?}");
    }
    for (reply, settings, cause) in [
        (
            text("404 Not Found", ""),
            expecting(usual, None, &[]),
            "answered 404 Not Found",
        ),
        (
            text("500 Internal Server Error", ""),
            expecting(usual, None, &[]),
            "answered 500 ",
        ),
        (
            with_headers("302 Found", "Location: /login\r\n", ""),
            expecting(usual, None, &[]),
            "answered 302 Found, a redirect to `/login`",
        ),
        (
            ok("starting"),
            expecting(usual, Some("ready"), &[]),
            "begins with `starting`",
        ),
        (
            ok(json),
            expecting(usual, None, &["/status=up"]),
            "`/status` is `ok`, not `up`",
        ),
        (
            ok("<html>"),
            expecting(usual, None, &["/status=up"]),
            "not valid JSON",
        ),
        (
            with_headers("200 OK", "Content-Encoding: gzip\r\n", "\u{1f}"),
            expecting(usual, Some("x"), &[]),
            "encoding `gzip`",
        ),
        (ok(""), expecting("204", None, &[]), "answered 200 OK"),
    ] {
        let report = checked(reply, &settings).await;
        assert_eq!(report.verdict, Verdict::Down, "{report:?}");
        assert!(report.cause.as_ref().unwrap().contains(cause), "{report:?}");
    }
}

#[tokio::test]
async fn a_body_is_read_up_to_a_bound() {
    let large = format!("start{}end", " ".repeat(2 << 20));
    let usual = "200-299";
    for (settings, verdict) in [
        (expecting(usual, None, &[]), Verdict::Ok),
        (expecting(usual, Some("start"), &[]), Verdict::Ok),
        (expecting(usual, Some("end"), &[]), Verdict::Down),
        (expecting(usual, None, &["/a=1"]), Verdict::Down),
    ] {
        let report = checked(ok(&large), &settings).await;
        assert_eq!(report.verdict, verdict, "{report:?}");
    }
    // Where it has an end that does not come, the answer is not whole.
    let hanging = Reply {
        bytes: b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nstart".to_vec(),
        then: Then::Hang,
    };
    let settings = Settings {
        timeout: Duration::from_millis(400),
        ..settings()
    };
    let report = checked(hanging, &settings).await;
    assert_eq!(report.verdict, Verdict::Down, "{report:?}");
    assert_eq!(report.cause.as_deref(), Some("timed out after 400 ms"));
}

#[tokio::test]
async fn the_program_tells_it_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.jsonl");
    let log = log.to_str().unwrap();
    let server = Server::start(|request| {
        let state = if request.number == 0 { "ok" } else { "failing" };
        ok(&format!(
            r#"{{"state":"{state}","version":"1.2","instance":"i-{}"}}"#,
            request.number % 2
        ))
    })
    .await;
    let url = format!("http://{}/health", server.address);
    let base = [
        url.as_str(),
        "--kind",
        "http",
        "--json-pointer",
        "/state=ok",
    ];
    let series = [
        "--interval",
        "100ms",
        "--count",
        "2",
        "--output",
        "json",
        "--log",
        log,
    ];
    let (exit, stdout, stderr) = run(&[&base[..], &series].concat()).await;
    assert_eq!(exit, 2, "{stdout}{stderr}");
    let lines = json_lines(&stdout);
    assert_eq!(lines[0]["kind"], "http");
    assert_eq!(lines[0]["status"], 200);
    assert_eq!(lines[0]["verdict"], "ok");
    assert_eq!(lines[0]["instances"][0]["version"], "1.2");
    assert_eq!(lines[1]["verdict"], "down");
    assert_eq!(lines[2]["down"], 1);

    // The log says the same, whatever the limits of clocks are.
    let (exit, judged, _) = run(&["judge", log, "--max-skew", "1ms", "--output", "json"]).await;
    assert_eq!(exit, 2);
    let judged = json_lines(&judged);
    for name in ["kind", "verdict", "cause", "status", "state", "instances"] {
        assert_eq!(judged[0][name], lines[0][name], "{name}");
        assert_eq!(judged[1][name], lines[1][name], "{name}");
    }
    let page = folder.path().join("report.html");
    let (exit, ..) = run(&["report", log, "-o", page.to_str().unwrap()]).await;
    assert_eq!(exit, 0);
    let page = std::fs::read_to_string(page).unwrap();
    assert!(
        page.contains("not `ok`") && !page.contains("Offset"),
        "{page}"
    );

    let (_, nagios, _) = run(&[&base[..], &["--output", "nagios"]].concat()).await;
    let expected =
        "CHECKER CRITICAL - the answer is not as expected: `/state` is `failing`, not `ok`";
    assert!(nagios.starts_with(expected), "{nagios}");
    let (exit, line, _) = run(&[&url, "--kind", "http", "--expect-instances", "2"]).await;
    assert_eq!(exit, 0, "{line}");
    for part in [" OK ", "   HTTP 200   ", "2 instances   version 1.2"] {
        assert!(line.contains(part), "{line}");
    }
    let (exit, line, _) = run(&[&url, "--kind", "http", "--expect-version", "1.3"]).await;
    assert_eq!(exit, 3, "{line}");
    assert!(
        line.contains("expected version 1.3, version 1.2 answered"),
        "{line}"
    );
    // Without `--kind http` a time is needed.
    let (exit, line, _) = run(&[&url]).await;
    assert_eq!(exit, 2, "{line}");
    assert!(line.contains("answered without a timestamp"), "{line}");
}

#[tokio::test]
async fn expectations_hold_for_a_clock_as_well() {
    let server = Server::start(service(0)).await;
    let url = server.url();
    let (exit, line, _) = run(&[&url, "--json-pointer", "/instance=a", "--contains", "now"]).await;
    assert_eq!(exit, 0, "{line}");
    let (exit, line, _) = run(&[&url, "--json-pointer", "/instance=b"]).await;
    assert_eq!(exit, 2, "{line}");
    assert!(line.contains("`/instance` is `a`, not `b`"), "{line}");
}

/// Runs OpenSSL, which Debian's `ca-certificates` brings along.
async fn openssl(folder: &Path, arguments: &str) {
    let mut openssl = command("openssl");
    let output = openssl
        .current_dir(folder)
        .args(arguments.split(' '))
        .output();
    let output = output.await.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
}

/// An authority, and certificates of it for a server (for 20 days) and a client, each with its key.
async fn certificates(folder: &Path) {
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost\n").unwrap();
    let key = "-newkey rsa:2048 -nodes -subj";
    let ca = format!("req -x509 -days 30 {key} /CN=authority -keyout ca.key -out ca.pem");
    openssl(folder, &ca).await;
    for name in ["server", "client"] {
        let request = format!("req {key} /CN={name} -keyout {name}.key -out {name}.csr");
        openssl(folder, &request).await;
        let signed = format!(
            "x509 -req -days 20 -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names -out {name}.pem"
        );
        openssl(folder, &signed).await;
    }
}

/// A server with that certificate, and these options besides; it ends when it is dropped.
async fn secured(folder: &Path, more: &str) -> (Child, String) {
    // Free a moment ago; OpenSSL cannot choose one itself and say so.
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let arguments = format!(
        "s_server -quiet -accept 127.0.0.1:{port} -cert server.pem -key server.key -www{more}"
    );
    let mut openssl = command("openssl");
    let server = openssl
        .current_dir(folder)
        .args(arguments.split(' '))
        .spawn()
        .unwrap();
    let mut left = 100;
    while tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .is_err()
    {
        left -= 1;
        assert!(left > 0, "it does not listen");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    (server, format!("https://localhost:{port}/"))
}

#[tokio::test]
async fn a_certificate_is_told_of_before_it_expires() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path()).await;
    let (_server, url) = secured(folder.path(), "").await;
    let ca = folder.path().join("ca.pem");
    let base = [
        &*url,
        "--kind",
        "http",
        "-4",
        "--ca-file",
        ca.to_str().unwrap(),
    ];
    let (exit, stdout, stderr) = run(&[&base[..], &["--output", "json"]].concat()).await;
    assert_eq!(exit, 0, "{stdout}{stderr}");
    let days = json_lines(&stdout)[0]["certificate"]["days"]
        .as_f64()
        .unwrap();
    assert!(19.9 < days && days < 20.1, "{days}");
    let (exit, line, _) = run(&[&base[..], &["--warn-certificate", "19d"]].concat()).await;
    assert_eq!(exit, 0, "{line}");
    let (exit, line, _) = run(&[&base[..], &["--warn-certificate", "21d"]].concat()).await;
    assert_eq!(exit, 1, "{line}");
    // Twenty days are over in the second in which it was made, or a moment later.
    let says = |days: &str| line.contains(&format!("the certificate expires in {days} days"));
    assert!(says("19") || says("20"), "{line}");
    let nagios = ["--warn-certificate", "21d", "--output", "nagios"];
    let (_, line, _) = run(&[&base[..], &nagios].concat()).await;
    assert!(line.starts_with("CHECKER WARNING - "), "{line}");
    let has = |days: &str| line.contains(&format!(" certificate_days={days}"));
    assert!(has("19.9") || has("20"), "{line}");
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path()).await;
    let (_server, url) = secured(
        folder.path(),
        " -Verify 1 -verify_return_error -CAfile ca.pem",
    )
    .await;
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (ca, certificate, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
    let base = [&*url, "--kind", "http", "-4", "--ca-file", &ca];
    let (exit, line, _) = run(&base).await;
    assert_eq!(exit, 2, "{line}");
    let shown = ["--client-cert", &certificate, "--client-key", &key];
    let (exit, line, stderr) = run(&[&base[..], &shown].concat()).await;
    assert_eq!(exit, 0, "{line}{stderr}");
    // Both in one file.
    let both = [&certificate, &key].map(|file| std::fs::read_to_string(file).unwrap());
    std::fs::write(file("both.pem"), both.concat()).unwrap();
    let shown = ["--client-cert", &file("both.pem")];
    let (exit, line, stderr) = run(&[&base[..], &shown].concat()).await;
    assert_eq!(exit, 0, "{line}{stderr}");
    // What cannot be used is told before anything is asked, without a word of the key.
    for (certificate, key) in [(&certificate, &ca), (&ca, &key), (&key, &key)] {
        let shown = ["--client-cert", certificate, "--client-key", key];
        let (exit, _, stderr) = run(&[&base[..], &shown].concat()).await;
        assert_eq!(exit, 3, "{stderr}");
        assert!(
            stderr.contains(".pem: ") || stderr.contains(".key: "),
            "{stderr}"
        );
        assert!(!stderr.contains("BEGIN"), "{stderr}");
    }
}

/// A proxy that answers like this and, if it is 200, passes bytes on to a port of this machine.
/// Returns its address, and the heads of the requests that arrive.
async fn tunnelling(status: &'static str) -> (Url, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let url = format!("http://some%20one:s%2Bcret@{address}").parse();
    let (seen, heads) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let answer = format!("HTTP/1.1 {status}\r\n\r\n");
            client.write_all(answer.as_bytes()).await.unwrap();
            let port = head.split([':', ' ']).nth(2).map(str::parse::<u16>);
            if let (true, Some(Ok(port))) = (status.starts_with("200"), port) {
                let mut service = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                tokio::spawn(async move {
                    let _ = copy_bidirectional(&mut client, &mut service).await;
                });
            }
            let _ = seen.send(head);
        }
    });
    (url.unwrap(), heads)
}

#[tokio::test]
async fn a_proxy_makes_a_tunnel_to_an_encrypted_service() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path()).await;
    let (_server, url) = secured(folder.path(), "").await;
    let port = url.trim_end_matches('/').rsplit_once(':').unwrap().1;
    // The proxy resolves the name.
    let target = Target::exact(&url, None).unwrap();
    for (status, verdict) in [
        ("200 Connection established", Verdict::Ok),
        ("407 Proxy Authentication Required", Verdict::Down),
        ("502 Bad Gateway", Verdict::Down),
    ] {
        let (proxy, mut heads) = tunnelling(status).await;
        let settings = Settings {
            proxy: Some(proxy),
            ca_file: Some(folder.path().join("ca.pem")),
            ..settings()
        };
        let report = check(&target, &settings).await;
        assert_eq!(report.verdict, verdict, "{report:?}");
        if let Some(failure) = report.failure {
            assert!(failure.never_arrived(), "{failure}");
            assert!(failure.to_string().ends_with(status), "{failure}");
        } else {
            assert!(report.certificate.is_some(), "{report:?}");
        }
        let head = heads.recv().await.unwrap();
        let first = format!("CONNECT localhost:{port} HTTP/1.1\r\n");
        assert!(head.starts_with(&first), "{head}");
        let authorization = "proxy-authorization: Basic c29tZSBvbmU6cytjcmV0\r\n";
        assert!(head.contains(authorization), "{head}");
    }
}
