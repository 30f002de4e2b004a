//! What happens to connections: kept alive, pipelined, capped, timed out, drained.

use std::future::pending;
use std::time::{Duration, Instant};

use crate::support::{Connection, Server, within};
use app::{Drain, Identity, Service, Settings, bind, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const REQUEST: &str = "GET /health HTTP/1.1\r\nHost: test\r\n\r\n";

/// Long enough that a test which waits for it has failed.
const LONG: Duration = Duration::from_mins(10);

fn patient() -> Settings {
    Settings {
        head_timeout: LONG,
        drain: LONG,
        ..Settings::default()
    }
}

async fn exchange(connection: &mut Connection) {
    assert_eq!(connection.get("/health").await.status, 200);
}

#[tokio::test]
async fn a_connection_takes_many_requests() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    for _ in 0..100 {
        exchange(&mut connection).await;
    }
    connection
        .send("GET /health HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(
        connection.response(false).await.header("connection"),
        Some("close")
    );
    assert_eq!(connection.rest().await, b"");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_and_without_stalls() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let mut durations = Vec::new();
    for round in 0..41 {
        let start = Instant::now();
        let pair: String = ["a", "b"]
            .map(|half| format!("GET /now?nonce={half}{round} HTTP/1.1\r\nHost: test\r\n\r\n"))
            .concat();
        connection.send(&pair).await;
        for half in ["a", "b"] {
            let body = connection.response(false).await.body;
            assert!(
                body.contains(&format!(r#""nonce":"{half}{round}""#)),
                "{body}"
            );
        }
        durations.push(start.elapsed());
    }
    // Without TCP_NODELAY most rounds wait some 40 ms for a delayed acknowledgement. The median, so
    // that a busy machine does not look like that.
    durations.sort();
    assert!(durations[20] < Duration::from_millis(20), "{durations:?}");
}

#[tokio::test]
async fn a_body_nobody_reads_does_not_disturb_the_next_request() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    connection
        .send("GET /health HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello")
        .await;
    assert_eq!(connection.response(false).await.status, 200);
    exchange(&mut connection).await;
}

#[tokio::test]
async fn silent_clients_are_disconnected() {
    let server = Server::start_with(Settings {
        head_timeout: Duration::from_millis(50),
        ..patient()
    })
    .await;
    // Never a byte, half a head, and a whole request with nothing after it.
    let silent = server.connect().await;
    let mut partial = server.connect().await;
    partial.send("GET /health HTTP/1.1\r\nHo").await;
    let mut idle = server.connect().await;
    exchange(&mut idle).await;

    assert_eq!(silent.rest().await, b"");
    partial.rest().await;
    assert_eq!(idle.rest().await, b"");
}

#[tokio::test]
async fn who_asks_and_never_reads_is_disconnected() {
    let server = Server::start_with(Settings {
        write_timeout: Duration::from_millis(300),
        max_connections: 1,
        ..patient()
    })
    .await;
    let mut deaf = TcpStream::connect(server.address).await.unwrap();
    // The answers fill the buffers of both ends, then the requests those of the way there; then the
    // server has had enough.
    let requests = REQUEST.repeat(1_000);
    let asking = async { while deaf.write_all(requests.as_bytes()).await.is_ok() {} };
    within(asking).await;
    // Its place is free, and it was the only one.
    exchange(&mut server.connect().await).await;
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_for_a_free_place() {
    let server = Server::start_with(Settings {
        max_connections: 2,
        ..patient()
    })
    .await;
    let mut first = server.connect().await;
    let mut second = server.connect().await;
    exchange(&mut first).await;
    exchange(&mut second).await;

    let mut third = server.connect().await;
    third.send(REQUEST).await;
    let early = tokio::time::timeout(Duration::from_millis(50), third.response(false)).await;
    assert!(early.is_err(), "answered beyond the cap");

    drop(first);
    assert_eq!(third.response(false).await.status, 200);
    exchange(&mut second).await;
}

#[tokio::test]
async fn shutdown_works_at_the_cap() {
    let server = Server::start_with(Settings {
        max_connections: 1,
        ..patient()
    })
    .await;
    let mut only = server.connect().await;
    exchange(&mut only).await;
    let _waiting = server.connect().await;
    assert_eq!(within(server.stop()).await.unwrap(), Drain::Complete);
}

#[tokio::test]
async fn while_it_lingers_health_fails_and_requests_are_served() {
    let server = Server::start_with(Settings {
        linger: LONG,
        ..patient()
    })
    .await;
    let address = server.address;
    let mut kept = server.connect().await;
    exchange(&mut kept).await;
    let done = server.stop();
    // On a connection from before and on new ones, until the load balancer has seen it.
    let told = async { while kept.get("/health").await.status == 200 {} };
    within(told).await;
    // Whoever is on a connection is told in time to take another one.
    assert_eq!(kept.rest().await, b"");
    for _ in 0..3 {
        let now = "GET /now HTTP/1.1\r\nHost: test\r\n\r\n";
        for (request, status) in [(REQUEST, 503), (now, 200)] {
            let mut check = Connection::open(address).await;
            check.send(request).await;
            let response = check.response(false).await;
            assert_eq!(
                (response.status, response.header("connection")),
                (status, Some("close"))
            );
            if request == REQUEST {
                assert_eq!(response.body, r#"{"status":"draining"}"#);
            }
            assert_eq!(check.rest().await, b"");
        }
    }
    assert!(!done.is_finished());
    done.abort();
}

#[tokio::test]
async fn shutdown_closes_port_and_idle_connections_at_once() {
    let server = Server::start_with(patient()).await;
    let address = server.address;
    let mut idle = server.connect().await;
    exchange(&mut idle).await;
    let unused = server.connect().await;
    let mut last = server.connect().await;
    // Accepted in order: an answer to the last means that all of them were accepted.
    exchange(&mut last).await;

    assert_eq!(within(server.stop()).await.unwrap(), Drain::Complete);
    for connection in [idle, unused, last] {
        assert_eq!(connection.rest().await, b"");
    }
    assert!(
        within(TcpStream::connect(address)).await.is_err(),
        "still listening"
    );
}

#[tokio::test]
async fn shutdown_lets_a_request_in_flight_finish() {
    let server = Server::start_with(patient()).await;
    let address = server.address;
    let mut connection = server.connect().await;
    let (begin, end) = REQUEST.split_at(20);
    connection.send(begin).await;
    // Once a later connection is answered, the half request has been read too: one thread, in
    // order.
    exchange(&mut server.connect().await).await;

    let done = server.stop();
    // Refused connections show that the shutdown is under way.
    while within(TcpStream::connect(address)).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!done.is_finished());

    connection.send(end).await;
    let response = connection.response(false).await;
    assert_eq!(
        (response.status, response.header("connection")),
        (503, Some("close"))
    );
    assert_eq!(connection.rest().await, b"");
    assert_eq!(within(done).await.unwrap(), Drain::Complete);
}

#[tokio::test]
async fn shutdown_answers_who_still_waits_in_the_listen_queue() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    // Connected, and the request sent, before anybody accepts.
    let mut waiting = Vec::new();
    for _ in 0..5 {
        let mut connection = Connection::open(address).await;
        connection.send(REQUEST).await;
        waiting.push(connection);
    }
    let identity = Identity::new(None, None);
    let service = Service::new(identity);
    #[expect(clippy::async_yields_async, reason = "nothing cuts the shutdown short")]
    let drain = within(serve(listener, service, patient(), async { pending() })).await;
    assert_eq!(drain, Drain::Complete);
    for connection in &mut waiting {
        // Asked for its health, it says that it is about to go.
        assert_eq!(connection.response(false).await.status, 503);
    }
}

#[tokio::test]
async fn shutdown_does_not_wait_longer_than_the_deadline() {
    let server = Server::start_with(Settings {
        drain: Duration::from_millis(100),
        ..patient()
    })
    .await;
    let mut hung = Vec::new();
    for _ in 0..2 {
        let mut connection = server.connect().await;
        connection.send("GET /now HTTP/1.1\r\nHo").await;
        hung.push(connection);
    }
    exchange(&mut server.connect().await).await;

    let start = Instant::now();
    assert_eq!(
        within(server.stop()).await.unwrap(),
        Drain::CutOff { connections: 2 }
    );
    assert!(start.elapsed() >= Duration::from_millis(100));
    for connection in hung {
        assert_eq!(connection.rest().await, b"");
    }
}

#[tokio::test]
async fn what_is_left_of_connections_does_not_keep_the_port() {
    // Another test may take the port in between.
    for _ in 0..10 {
        let free = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = free.local_addr().unwrap().port().try_into().unwrap();
        drop(free);
        let Ok(listener) = bind(port) else { continue };
        let mut client = TcpStream::connect(("127.0.0.1", port.get())).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        // Who closes first has to wait before the port is free (TIME_WAIT), as after a restart.
        drop(server);
        assert_eq!(within(client.read(&mut [0])).await.unwrap(), 0);
        drop(client);
        drop(listener);
        bind(port).unwrap();
        return;
    }
    panic!("no port is free");
}
