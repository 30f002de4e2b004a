//! Checks over HTTP, against services that are right, wrong and broken.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::support::{Reply, Request, Server, Then, clock, now_json, ok, service, with_headers};
use clock::{Clock, Note, Reading, Reason, Report, Settings, Verdict};
use probe::{SystemClock, Target, check, check_with_clock};

const fn undecided(reason: Reason) -> Verdict {
    Verdict::Indeterminate { reason }
}

async fn check_service(
    respond: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> (Report, Server) {
    let server = Server::start(respond).await;
    let report = check(&server.target(), &Settings::default()).await;
    (report, server)
}

/// The cause given for a service that has to be down.
async fn cause_of_down(respond: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> String {
    let (report, _) = check_service(respond).await;
    assert_eq!(report.verdict, Verdict::Down, "{report:?}");
    report.cause.unwrap()
}

#[tokio::test]
async fn a_right_clock_is_ok_after_two_requests_on_one_connection() {
    let (report, server) = check_service(service(0)).await;
    assert_eq!(report.verdict, Verdict::Ok, "{report:?}");
    assert_eq!(report.cause, None);
    assert!(report.notes.is_empty());
    let instance = &report.instances[0];
    assert_eq!(instance.instance.as_deref(), Some("a"));
    assert_eq!(instance.version.as_deref(), Some("1"));
    assert!(instance.lo_ms.unwrap() <= 0.0 && instance.hi_ms.unwrap() >= 0.0);

    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|request| request.connection == 0));
    assert_ne!(requests[0].nonce, requests[1].nonce);
    assert!(requests[0].head.starts_with("GET /now?nonce="));
    let host = format!("host: {}\r\n", server.address);
    assert!(requests[0].head.to_lowercase().contains(&host));
}

#[tokio::test]
async fn a_clock_beyond_the_limit_is_skewed_in_both_directions() {
    for (offset, words) in [
        (1_100, "ahead"),
        (-1_100, "behind"),
        (3_600_000, "ahead"),
        (-3_600_000, "behind"),
    ] {
        let (report, _) = check_service(service(offset)).await;
        assert_eq!(report.verdict, Verdict::Skewed, "{report:?}");
        assert!(report.cause.unwrap().ends_with(words));
    }
    for offset in [900, -900] {
        let (report, _) = check_service(service(offset)).await;
        assert_eq!(report.verdict, Verdict::Ok, "{report:?}");
    }
}

#[tokio::test]
async fn a_plain_timestamp_will_do() {
    let (report, _) = check_service(|_| {
        let now = clock(0).to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        with_headers("200 OK", "Content-Type: text/plain\r\n", &now)
    })
    .await;
    assert_eq!(report.verdict, Verdict::Ok, "{report:?}");
    assert_eq!(report.instances[0].instance, None);
    assert_eq!(report.notes, [Note::NonceNotEchoed, Note::InstanceNotNamed]);
}

#[tokio::test]
async fn one_bad_instance_behind_a_round_robin_is_found() {
    let (report, _) = check_service(|request| {
        let (instance, offset) = [("a", 0), ("b", 2_500)][request.number % 2];
        ok(&now_json(clock(offset), instance, "1", &request.nonce))
    })
    .await;
    assert_eq!(report.verdict, Verdict::Skewed, "{report:?}");
    assert_eq!(report.instances[0].verdict, Verdict::Ok);
    assert_eq!(report.instances[1].verdict, Verdict::Skewed);
    let cause = report.cause.unwrap();
    assert!(cause.contains("instance `b`"), "{cause}");
    assert!(cause.contains("two instances are at least 2."), "{cause}");
}

#[tokio::test]
async fn answers_from_a_cache_prove_nothing() {
    let (report, _) =
        check_service(|_| ok(&now_json(clock(-5_000), "a", "1", "0000000000000000"))).await;
    assert_eq!(report.verdict, undecided(Reason::Stale), "{report:?}");
    assert_eq!((report.requests, report.discarded), (8, 8));

    let (report, _) = check_service(|_| {
        let now = clock(-5_000).to_rfc3339();
        with_headers("200 OK", "Age: 5\r\n", &format!(r#"{{"now":"{now}"}}"#))
    })
    .await;
    assert_eq!(report.verdict, undecided(Reason::Stale), "{report:?}");
}

#[tokio::test]
async fn whole_seconds_prove_little_but_nothing_false() {
    let seconds = |offset: i64| {
        move |request: &Request| {
            let now = clock(offset).to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
            let nonce = &request.nonce;
            ok(&format!(
                r#"{{"now":"{now}","instance":"a","nonce":"{nonce}"}}"#
            ))
        }
    };
    let (report, _) = check_service(seconds(0)).await;
    assert_eq!(report.verdict, Verdict::Ok, "{report:?}");
    let instance = &report.instances[0];
    assert!(instance.lo_ms.unwrap() <= 0.0 && instance.hi_ms.unwrap() >= 0.0);

    // On the limit itself no bound that holds can prove anything.
    let (report, _) = check_service(seconds(1_000)).await;
    assert_ne!(report.verdict, Verdict::Skewed, "{report:?}");
    assert_ne!(report.verdict, Verdict::Ok, "{report:?}");
}

#[tokio::test]
async fn what_is_not_an_answer_is_down_and_says_why() {
    assert_eq!(
        cause_of_down(|_| with_headers("302 Found", "Location: /login\r\n", "")).await,
        "answered 302 Found, a redirect to `/login`"
    );
    assert_eq!(
        cause_of_down(|_| with_headers("500 Internal Server Error", "", "oh")).await,
        "answered 500 Internal Server Error"
    );
    assert_eq!(
        cause_of_down(|_| ok(&"x".repeat(65 * 1024))).await,
        "answered with more than 64 KiB"
    );
    assert_eq!(
        cause_of_down(|_| ok("{}")).await,
        "answered without a timestamp: the body has no text or number at `/now`"
    );
    assert_eq!(
        cause_of_down(|_| ok(r#"{"now":"+58552-01-01T00:00:00Z"}"#)).await,
        "answered without a timestamp: `+58552-01-01T00:00:00Z` is neither an RFC 3339 time with a zone nor one since 1970"
    );
    let cause = cause_of_down(|_| Reply {
        bytes: b"SSH-2.0-OpenSSH\r\n".to_vec(),
        then: Then::Close,
    })
    .await;
    assert!(cause.starts_with("the exchange with 127.0.0.1:"), "{cause}");
    let cause = cause_of_down(|_| Reply {
        bytes: b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf".to_vec(),
        then: Then::Close,
    })
    .await;
    assert!(cause.contains("broke off"), "{cause}");
}

#[tokio::test]
async fn an_endless_body_is_not_read_to_the_end() {
    let server = Server::start(|_| Reply {
        bytes: [
            b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
            vec![b' '; 4 * 1024 * 1024],
        ]
        .concat(),
        then: Then::Hang,
    })
    .await;
    let report = check(&server.target(), &Settings::default()).await;
    assert_eq!(
        report.cause.as_deref(),
        Some("answered with more than 64 KiB")
    );
}

#[tokio::test]
async fn a_body_that_never_ends_times_out() {
    let server = Server::start(|_| Reply {
        bytes: b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{\"now\":".to_vec(),
        then: Then::Hang,
    })
    .await;
    let settings = Settings {
        timeout: Duration::from_millis(200),
        ..Settings::default()
    };
    let report = check(&server.target(), &settings).await;
    assert_eq!(report.verdict, Verdict::Down, "{report:?}");
    assert_eq!(report.cause.as_deref(), Some("timed out after 200 ms"));
}

#[tokio::test]
async fn a_refused_connection_names_the_address() {
    // Bound, but not listening: nobody else can get the port.
    let nobody = tokio::net::TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = nobody.local_addr().unwrap();
    let target = Target::new(&format!("http://{address}"), None).unwrap();
    let report = check(&target, &Settings::default()).await;
    assert_eq!(report.verdict, Verdict::Down);
    let cause = format!("connection refused by {address}");
    assert_eq!(report.cause, Some(cause));
    assert_eq!(report.requests, 1);
}

#[tokio::test]
async fn plain_http_on_the_https_port_is_told_as_that() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ =
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .await;
    });
    let url = format!("https://localhost:{}", address.port());
    let report = check(&Target::new(&url, None).unwrap(), &Settings::default()).await;
    assert_eq!(report.verdict, Verdict::Down, "{report:?}");
    let cause = report.cause.unwrap();
    assert!(
        cause.starts_with("no TLS connection to `localhost`: "),
        "{cause}"
    );
}

#[tokio::test]
async fn connecting_elsewhere_keeps_the_host_header() {
    let server = Server::start(service(0)).await;
    for (url, host) in [
        (
            "http://service.example.test:81/now",
            "service.example.test:81",
        ),
        ("http://service.example.test", "service.example.test"),
        ("http://192.0.2.1/now", "192.0.2.1"),
    ] {
        let report = check(&server.target_as(url), &Settings::default()).await;
        assert_eq!(report.verdict, Verdict::Ok, "{report:?}");
        assert_eq!(report.connect_to, Some(server.address.to_string()));
        let head = server.requests().last().unwrap().head.to_lowercase();
        assert_eq!(head.matches("host:").count(), 1, "{head}");
        assert!(head.contains(&format!("host: {host}\r\n")), "{head}");
    }
}

/// What a check finds through a proxy that answers like this; the name cannot be resolved here.
async fn through_a_proxy(
    respond: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> (Report, Server) {
    let server = Server::start(respond).await;
    let settings = Settings {
        proxy: format!("http://someone:secret@{}", server.address)
            .parse()
            .ok(),
        ..Settings::default()
    };
    let target = Target::new("http://service.invalid/now", None).unwrap();
    (check(&target, &settings).await, server)
}

#[tokio::test]
async fn a_proxy_resolves_the_name_and_passes_the_request_on() {
    let (report, server) = through_a_proxy(service(0)).await;
    assert_eq!(report.verdict, Verdict::Ok, "{report:?}");
    let head = server.requests().last().unwrap().head.clone();
    assert!(
        head.starts_with("GET http://service.invalid/now?nonce="),
        "{head}"
    );
    let head = head.to_lowercase();
    assert!(head.contains("host: service.invalid\r\n"), "{head}");
    assert!(head.contains("proxy-authorization: basic "), "{head}");
}

#[tokio::test]
async fn what_a_proxy_says_itself_says_nothing_of_the_service() {
    let reply = |status: &str, server: &str| {
        let bytes = format!("HTTP/1.1 {status}\r\n{server}Content-Length: 0\r\n\r\n");
        move |_: &Request| Reply {
            bytes: bytes.clone().into_bytes(),
            then: Then::Close,
        }
    };
    for (status, server, expected) in [
        ("407 Proxy Authentication Required", "", true),
        ("503 Service Unavailable", "Server: squid/6.6\r\n", true),
        ("504 Gateway Timeout", "", true),
        ("503 Service Unavailable", "Server: awselb/2.0\r\n", false),
        ("500 Internal Server Error", "", false),
        ("404 Not Found", "", false),
    ] {
        let (report, _) = through_a_proxy(reply(status, server)).await;
        assert_eq!(report.verdict, Verdict::Down, "{report:?}");
        let failure = report.failure.unwrap();
        assert_eq!(failure.never_arrived(), expected, "{failure}");
        assert!(!failure.to_string().contains("secret"), "{failure}");
    }
}

#[tokio::test]
async fn where_no_request_arrives_the_report_says_so() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let proxied = Settings {
        proxy: format!("http://{address}").parse().ok(),
        ..Settings::default()
    };
    for (url, settings) in [
        ("http://service.invalid/now".to_owned(), Settings::default()),
        (format!("http://{address}"), Settings::default()),
        ("http://service.invalid/now".to_owned(), proxied),
    ] {
        let report = check(&Target::new(&url, None).unwrap(), &settings).await;
        assert_eq!(report.verdict, Verdict::Down, "{report:?}");
        assert!(report.failure.unwrap().never_arrived());
    }
}

#[tokio::test]
async fn names_below_localhost_need_no_resolver() {
    let server = Server::start(service(0)).await;
    let url = format!("http://service.localhost:{}", server.address.port());
    let report = check(&Target::new(&url, None).unwrap(), &Settings::default()).await;
    assert_eq!(report.verdict, Verdict::Ok, "{report:?}");
}

#[tokio::test]
async fn a_live_address_beside_a_dead_one_is_found() {
    // `localhost` stands for 127.0.0.1 and ::1; this service listens on the second only. Machines without IPv6 have no second.
    let Ok(server) = Server::start_on("[::1]:0", service(0)).await else {
        return;
    };
    let url = format!("http://localhost:{}", server.address.port());
    let report = check(&Target::new(&url, None).unwrap(), &Settings::default()).await;
    assert_eq!(report.verdict, Verdict::Ok, "{report:?}");
}

#[test]
fn a_check_may_run_on_any_thread() {
    fn assert_send<T: Send>(_: T) {}
    let target = Target::new("localhost", None).unwrap();
    assert_send(check(&target, &Settings::default()));
}

#[tokio::test]
async fn a_service_that_closes_idle_connections_is_up() {
    let (report, server) = check_service(|request| Reply {
        then: Then::Close,
        ..service(0)(request)
    })
    .await;
    assert_eq!(report.verdict, Verdict::Ok, "{report:?}");
    assert!(
        server
            .requests()
            .iter()
            .all(|request| request.number == request.connection)
    );
}

fn expecting(version: &str, instances: u32) -> Settings {
    Settings {
        expect_version: Some(version.to_owned()),
        expect_instances: Some(instances),
        ..Settings::default()
    }
}

/// Two instances, and a balancer that keeps to one of them for a connection's life.
fn sticky(versions: [&'static str; 2]) -> impl Fn(&Request) -> Reply + Send + Sync + 'static {
    move |request| {
        let which = request.connection % 2;
        let body = now_json(clock(0), ["a", "b"][which], versions[which], &request.nonce);
        ok(&body)
    }
}

#[tokio::test]
async fn a_rollout_is_done_when_both_instances_run_the_new_version() {
    let server = Server::start(sticky(["2", "2"])).await;
    let report = check(&server.target(), &expecting("2", 2)).await;
    assert_eq!(report.verdict, Verdict::Ok, "{report:?}");
    assert_eq!(report.instances.len(), 2);
    assert!(
        report
            .instances
            .iter()
            .all(|one| one.verdict == Verdict::Ok)
    );

    let server = Server::start(sticky(["2", "1"])).await;
    let report = check(&server.target(), &expecting("2", 2)).await;
    assert_eq!(report.verdict, undecided(Reason::UnexpectedVersion));
    assert_eq!(
        report.cause.as_deref(),
        Some("expected version 2, version 1 answered")
    );
}

#[tokio::test]
async fn an_instance_that_never_answers_is_missing() {
    let server = Server::start(service(0)).await;
    let report = check(&server.target(), &expecting("1", 2)).await;
    assert_eq!(report.verdict, undecided(Reason::MissingInstances));
    assert_eq!(report.requests, 32);
    assert_eq!(
        report.cause.as_deref(),
        Some("expected 2 instances, 1 answered in 32 requests")
    );
}

#[tokio::test]
async fn an_answer_without_a_version_is_not_the_expected_one() {
    let server = Server::start(|_| ok(&clock(0).to_rfc3339())).await;
    let report = check(&server.target(), &expecting("1", 1)).await;
    assert_eq!(report.verdict, undecided(Reason::UnexpectedVersion));
    assert_eq!(
        report.cause.as_deref(),
        Some("expected version 1, an answer named none")
    );
}

/// The machine's clock, with the wall time changed at each reading.
struct Changed<F>(SystemClock, F);

impl<F: Fn() -> i128 + Send + Sync> Clock for Changed<F> {
    fn read(&self) -> Reading {
        let reading = self.0.read();
        Reading {
            wall: reading.wall + self.1() * 1_000_000,
            ..reading
        }
    }
}

#[tokio::test]
async fn the_local_clock_is_what_others_are_judged_by() {
    let server = Server::start(service(0)).await;
    for (local, words) in [(2_000, "behind"), (-2_000, "ahead")] {
        let clock = Changed(SystemClock::new(), move || local);
        let report = check_with_clock(&server.target(), &Settings::default(), &clock).await;
        assert_eq!(report.verdict, Verdict::Skewed, "{report:?}");
        assert!(report.cause.unwrap().ends_with(words));
    }
}

#[tokio::test]
async fn a_local_clock_that_keeps_stepping_judges_nobody() {
    let server = Server::start(service(0)).await;
    let readings = AtomicU32::new(0);
    let clock = Changed(SystemClock::new(), move || {
        i128::from(readings.fetch_add(1, Ordering::Relaxed)) * 3_000
    });
    let report = check_with_clock(&server.target(), &Settings::default(), &clock).await;
    assert_eq!(report.verdict, undecided(Reason::LocalStep), "{report:?}");
}
