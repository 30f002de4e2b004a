//! The platform's word on the clock, in answers: over HTTP, from an agent that says what it is told
//! to.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Server, within};
use app::{ClockPolicy, Endpoint, Health, Settings, watch_clock};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Expectation of everything that fails only with the agent or the server of this test.
const WORKS: &str = "the agent and the server of this test work";

/// A container agent whose word can be changed. `None`: it takes the question and never answers.
#[derive(Clone, Default)]
struct Agent {
    says: Arc<Mutex<Option<String>>>,
}

impl Agent {
    fn say(&self, status: &str, bound: f64, reference: u32) {
        let body = json!({
            "TaskARN": "arn:aws:ecs:r:1:task/default/0a1b",
            "Containers": [{ "Name": "app" }],
            "ClockDrift": {
                "ClockErrorBound": bound,
                "ReferenceTimestamp": format!("2026-11-22T10:04:{reference:02}Z"),
                "ClockSynchronizationStatus": status,
            },
        });
        *self.says.lock().expect(WORKS) = Some(body.to_string());
    }

    async fn start(&self) -> Endpoint {
        let listener = TcpListener::bind(std::net::SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .expect(WORKS);
        let base = format!("http://{}/v4/x", listener.local_addr().expect(WORKS));
        let says = Arc::clone(&self.says);
        tokio::spawn(async move {
            let mut unanswered = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.expect(WORKS);
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    assert_ne!(stream.read_buf(&mut request).await.expect(WORKS), 0);
                }
                let answer = says.lock().expect(WORKS).clone();
                match answer {
                    Some(body) => {
                        let answer = format!("HTTP/1.0 200 OK\r\n\r\n{body}");
                        stream.write_all(answer.as_bytes()).await.expect(WORKS);
                    }
                    None => unanswered.push(stream),
                }
            }
        });
        Endpoint::parse(&base).expect(WORKS)
    }
}

/// A server that asks `agent` every 5 ms.
async fn server(agent: &Agent, policy: ClockPolicy) -> Server {
    let health: Arc<Health> = Arc::default();
    let endpoint = agent.start().await;
    tokio::spawn(watch_clock(
        endpoint,
        policy,
        Duration::from_millis(5),
        None,
        Arc::clone(&health),
    ));
    Server::start_as(Settings::default(), health).await
}

async fn get(server: &Server, path: &str) -> (u16, Value) {
    let response = server.request(&format!("GET {path} HTTP/1.1")).await;
    (
        response.status,
        serde_json::from_str(&response.body).expect(WORKS),
    )
}

/// Asks until the answer is as expected.
async fn until(server: &Server, path: &str, expected: impl Fn(u16, &Value) -> bool) {
    let asked = async {
        loop {
            let (status, body) = get(server, path).await;
            if expected(status, &body) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    within(asked).await;
}

#[tokio::test]
async fn now_tells_what_the_platform_says() {
    let agent = Agent::default();
    agent.say("SYNCHRONIZED", 0.545_823, 1);
    let server = server(&agent, ClockPolicy::default()).await;
    until(&server, "/now", |_, body| {
        body["clock"] == json!({ "status": "SYNCHRONIZED", "error_bound_ms": 0.546 })
    })
    .await;
    // It comes last, with a nonce before it, and not with the bare timestamp.
    let (_, body) = get(&server, "/now?nonce=a").await;
    assert_eq!(
        (&body["nonce"], body["clock"].is_object()),
        (&json!("a"), true)
    );
    let text = server
        .request("GET /now HTTP/1.1\r\nAccept: text/plain")
        .await;
    assert_eq!(text.body.len(), 28);

    agent.say("NOT_SYNCHRONIZED", 12.0, 2);
    until(&server, "/now", |_, body| {
        body["clock"] == json!({ "status": "NOT_SYNCHRONIZED", "error_bound_ms": 12.0 })
    })
    .await;
    // The grace time of a minute has just started.
    assert_eq!(
        get(&server, "/health").await,
        (200, json!({ "status": "ok" }))
    );
}

#[tokio::test]
async fn health_fails_with_the_clock_and_recovers_with_it() {
    let agent = Agent::default();
    let policy = ClockPolicy {
        error_limit: Duration::from_millis(20),
        grace: Duration::ZERO,
    };
    let server = server(&agent, policy).await;
    for (status, bound, reason) in [
        (
            "NOT_SYNCHRONIZED",
            0.5,
            "the platform says that the clock is not synchronized",
        ),
        (
            "SYNCHRONIZED",
            20.5,
            "the clock may be further off than CLOCK_ERROR_LIMIT_MS allows",
        ),
    ] {
        agent.say(status, bound, 1);
        until(&server, "/health", |code, body| {
            (code, body) == (503, &json!({ "status": "failing", "reason": reason }))
        })
        .await;
        // Whoever asks for the time still gets it, and can see how bad it may be.
        let (code, body) = get(&server, "/now").await;
        assert_eq!((code, &body["clock"]["status"]), (200, &json!(status)));

        agent.say("SYNCHRONIZED", 20.0, 2);
        until(&server, "/health", |code, body| {
            (code, body) == (200, &json!({ "status": "ok" }))
        })
        .await;
    }
}

#[tokio::test]
async fn a_silent_platform_holds_up_nothing() {
    let agent = Agent::default();
    let server = server(&agent, ClockPolicy::default()).await;
    for _ in 0..20 {
        let (code, body) = get(&server, "/now").await;
        assert_eq!((code, &body["clock"]), (200, &Value::Null));
        assert_eq!(get(&server, "/health").await.0, 200);
    }
}

#[tokio::test]
async fn a_slow_answer_is_followed_by_a_pause_and_not_by_a_burst() {
    const INTERVAL: Duration = Duration::from_millis(400);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let base = format!("http://{}/v4/x", listener.local_addr().unwrap());
    let watch = watch_clock(
        Endpoint::parse(&base).unwrap(),
        ClockPolicy::default(),
        INTERVAL,
        None,
        Arc::default(),
    );
    let watch = tokio::spawn(watch);
    let (slow, _) = within(listener.accept()).await.unwrap();
    // Four ticks pass meanwhile.
    tokio::time::sleep(4 * INTERVAL).await;
    drop(slow);
    let mut before = None;
    for _ in 0..3 {
        drop(within(listener.accept()).await.unwrap());
        let now = std::time::Instant::now();
        if let Some(before) = before.replace(now) {
            assert!(now - before > INTERVAL / 4, "{:?}", now - before);
        }
    }
    watch.abort();
}
