//! The page in a real browser: headless Chromium, driven over WebDriver.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use crate::browser::Browser;
use crate::support::Server;
use app::Drain;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Expectation of everything that fails only with the browser or the servers of this test.
const WORKS: &str = "the browser and the servers of this test work";
/// No test waits longer than this for the page to show something.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What the tests of this page look at.
impl Browser {
    fn text(&self, id: &str) -> String {
        let value = self.run(&format!(
            "return document.getElementById('{id}').textContent"
        ));
        value.as_str().expect("text").to_owned()
    }

    /// Waits until an element's text is as expected, and gives it.
    fn wait(&self, id: &str, expected: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        loop {
            let text = self.text(id);
            if expected(&text) {
                return text;
            }
            assert!(start.elapsed() < TIMEOUT, "{id}: {text}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Serves the page with its headers as the service does, and a time of its own: `ahead`
/// milliseconds ahead.
async fn skewed(page: String, ahead: Arc<AtomicI64>) -> SocketAddr {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .await
        .expect(WORKS);
    let address = listener.local_addr().expect(WORKS);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            let answer = match request.split_once("nonce=") {
                None => page.clone(),
                Some((_, rest)) => {
                    let nonce = rest.split(' ').next().unwrap_or_default();
                    let now = Utc::now() + TimeDelta::milliseconds(ahead.load(Ordering::Relaxed));
                    let body = json!({
                        "now": now.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
                        "instance": "skewed",
                        "version": "1",
                        "nonce": nonce,
                        "clock": { "status": "NOT_SYNCHRONIZED", "error_bound_ms": 3000.5 },
                    })
                    .to_string();
                    format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                        body.len()
                    )
                }
            };
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

/// The page as the service sends it, to be sent again by somebody else.
async fn page(server: &Server) -> String {
    let response = server.request("GET / HTTP/1.1").await;
    assert_eq!(response.status, 200);
    let headers: Vec<String> = response
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\n{}\r\n{}",
        headers.concat(),
        response.body
    )
}

/// Offset and uncertainty in milliseconds, out of `+0.3 ms ± 1.2 ms`.
fn offset(text: &str) -> (f64, f64) {
    let amount = |text: &str| {
        let (number, unit) = text.trim().split_once(' ').expect("number and unit");
        let number: f64 = number.replace('−', "-").parse().expect("a number");
        if unit == "s" { number * 1000.0 } else { number }
    };
    let (value, within) = text.split_once('±').expect("an uncertainty");
    (amount(value), amount(within))
}

#[tokio::test]
async fn the_page_has_a_strict_policy_and_comes_from_no_cache() {
    let server = Server::start().await;
    let response = server.request("GET / HTTP/1.1").await;
    assert_eq!(
        response.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(response.header("referrer-policy"), Some("no-referrer"));
    let policy = response.header("content-security-policy").expect(WORKS);
    assert!(
        policy.starts_with("default-src 'none'; script-src 'sha256-"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
}

/// One test for one browser: it takes two seconds to start.
#[tokio::test]
async fn the_page_ticks_measures_and_tells_what_is_wrong() {
    let server = Server::start().await;
    let page = page(&server).await;
    let address = server.address;
    let ahead = Arc::new(AtomicI64::new(3000));
    let skewed = skewed(page, Arc::clone(&ahead)).await;

    // The browser's client waits for its answers, the servers must not wait with it.
    let told = tokio::task::spawn_blocking(move || {
        let browser = Browser::start(&[]);
        ticks_and_agrees(&browser, address);
        shows_a_skew(&browser, skewed, &ahead);
        browser.open(&format!("http://{address}/"));
        browser.wait("offset", |text| text.contains('±'));
        browser
    });
    let browser = told.await.expect(WORKS);
    // The service goes away while the page is open.
    assert_eq!(server.stop().await.expect(WORKS), Drain::Complete);
    tokio::task::spawn_blocking(move || tells_of_a_dead_server(&browser))
        .await
        .expect(WORKS);
}

fn ticks_and_agrees(browser: &Browser, address: SocketAddr) {
    browser.open(&format!("http://{address}/"));
    let text = browser.wait("offset", |text| text.contains('±'));
    let (value, within) = offset(&text);
    // One machine, one clock: zero is in the interval. The text is rounded to tenths.
    assert!(value.abs() <= within + 0.1, "{text}");
    assert!(within < 500.0, "{text}");
    browser.wait("status", |text| text.starts_with("Your clock agrees"));
    assert_eq!(browser.text("instance"), "instance-under-test");
    assert_eq!(browser.text("version"), "1.2.3+0123456789ab");
    assert_eq!(
        browser.run("return document.getElementById('quality').hidden"),
        json!(true)
    );

    let first = browser.text("clock");
    let second = browser.wait("clock", |text| text != first);
    assert_eq!(second.len(), "10:04:05.1".len(), "{second}");
    let shown = browser.run("return document.getElementById('clock').dateTime");
    let shown: DateTime<Utc> = shown.as_str().expect(WORKS).parse().expect(WORKS);
    assert!(
        (Utc::now() - shown).abs() < TimeDelta::seconds(10),
        "{shown}"
    );

    // Narrow screens need no scrolling sideways.
    let size = json!({ "width": 500, "height": 700 });
    browser.call("POST", "/window/rect", &size);
    let overflow = "return document.documentElement.scrollWidth - innerWidth";
    assert!(browser.run(overflow).as_i64().expect(WORKS) <= 0);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

fn shows_a_skew(browser: &Browser, address: SocketAddr, ahead: &AtomicI64) {
    for (milliseconds, expected) in [
        (3000, "Your clock is 3.0 s behind the service’s."),
        (-3000, "Your clock is 3.0 s ahead of the service’s."),
    ] {
        ahead.store(milliseconds, Ordering::Relaxed);
        browser.open(&format!("http://{address}/"));
        browser.wait("status", |text| text == expected);
        let (value, within) = offset(&browser.text("offset"));
        let truth = -f64::from(i32::try_from(milliseconds).expect(WORKS));
        assert!((value - truth).abs() <= within + 1.0, "{value} ± {within}");
        assert_eq!(
            browser.text("quality"),
            "not synchronized, off by 3.001 s at most"
        );
    }
}

fn tells_of_a_dead_server(browser: &Browser) {
    // It asks again within ten seconds.
    browser.wait("status", |text| {
        text.starts_with("The service does not answer.")
    });
    let first = browser.text("clock");
    browser.wait("clock", |text| text != first);
}
