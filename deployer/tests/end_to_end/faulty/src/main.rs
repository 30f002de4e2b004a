//! Answers like the service that this project deploys, but for one fault, which its image names.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// Ends at its start.
    Exits,
    /// Ends after a while, without being asked to.
    Late,
    /// Listens only after a while.
    Slow,
    /// Listens where nobody looks.
    WrongPort,
    /// Says that it is not well.
    Unhealthy,
    /// Is three seconds ahead.
    WrongClock,
    /// Is well, but does not tell the time.
    Broken,
    /// Says that it is another version.
    WrongVersion,
    /// Does not tell the time any more once the public has asked for it.
    TurnsBad,
}

/// Header of requests that are not public.
const GATE_HEADER: &str = "x-deployer-gate:";
/// Public requests after which a version turns bad.
const GOOD_REQUESTS: usize = 5;

/// Public requests for the time so far.
static PUBLIC: AtomicUsize = AtomicUsize::new(0);

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    // A command of `deployer run`: an exit code.
    if let Some(code) = std::env::args().nth(1) {
        println!("ends with {code}");
        std::process::exit(code.parse().unwrap_or(2));
    }
    let fault = match std::env::var("FAULT").as_deref() {
        Ok("exits") => Fault::Exits,
        Ok("late") => Fault::Late,
        Ok("slow") => Fault::Slow,
        Ok("wrong-port") => Fault::WrongPort,
        Ok("unhealthy") => Fault::Unhealthy,
        Ok("wrong-clock") => Fault::WrongClock,
        Ok("broken") => Fault::Broken,
        Ok("wrong-version") => Fault::WrongVersion,
        Ok("turns-bad") => Fault::TurnsBad,
        _ => Fault::None,
    };
    if fault == Fault::Exits {
        eprintln!("cannot open the database");
        std::process::exit(7);
    }
    if fault == Fault::Late {
        tokio::spawn(async {
            tokio::time::sleep(Duration::from_secs(25)).await;
            eprintln!("lost the database");
            std::process::exit(3);
        });
    }
    if fault == Fault::Slow {
        tokio::time::sleep(Duration::from_secs(15)).await;
    }
    let port = if fault == Fault::WrongPort {
        9090
    } else {
        8080
    };
    let listener = TcpListener::bind(("0.0.0.0", port)).await?;
    eprintln!("listening on 0.0.0.0:{port}");
    let mut terminated = signal(SignalKind::terminate())?;
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                tokio::spawn(serve(stream, fault));
            }
            _ = terminated.recv() => break,
        }
    }
    // What was accepted is finished.
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(())
}

/// Answers one request after the other.
async fn serve(mut stream: TcpStream, fault: Fault) -> std::io::Result<()> {
    let (read, mut write) = stream.split();
    let mut lines = BufReader::new(read).lines();
    loop {
        let Some(request) = lines.next_line().await? else {
            return Ok(());
        };
        let mut is_public = request.split(' ').nth(1).is_some_and(|target| target.starts_with("/now"));
        while let Some(line) = lines.next_line().await?.filter(|line| !line.is_empty()) {
            is_public &= !line.to_ascii_lowercase().starts_with(GATE_HEADER);
        }
        let public = PUBLIC.fetch_add(usize::from(is_public), Ordering::Relaxed);
        let answer = answer(&request, fault.now(public));
        write.write_all(answer.as_bytes()).await?;
    }
}

impl Fault {
    /// What is wrong after so many public requests.
    fn now(self, public: usize) -> Self {
        match self {
            Self::TurnsBad if public >= GOOD_REQUESTS => Self::Broken,
            Self::TurnsBad => Self::None,
            other => other,
        }
    }
}

fn answer(request: &str, fault: Fault) -> String {
    let target = request.split(' ').nth(1).unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (status, body) = match path {
        "/health" if fault == Fault::Unhealthy => ("500 Internal Server Error", String::new()),
        "/health" => ("200 OK", String::new()),
        "/now" if fault == Fault::Broken => ("500 Internal Server Error", String::new()),
        "/now" => ("200 OK", now(query, fault)),
        _ => ("404 Not Found", String::new()),
    };
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

fn now(query: &str, fault: Fault) -> String {
    let ahead = if fault == Fault::WrongClock { 3 } else { 0 };
    let now = chrono::Utc::now() + chrono::TimeDelta::seconds(ahead);
    let now = now.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let digest = std::env::var("IMAGE_DIGEST").unwrap_or_default();
    let build = digest
        .trim_start_matches("sha256:")
        .get(..12)
        .filter(|_| fault != Fault::WrongVersion)
        .unwrap_or("unknown")
        .to_owned();
    let instance = std::env::var("HOSTNAME").unwrap_or_default();
    let nonce = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("nonce="));
    let nonce = nonce.map_or_else(String::new, |nonce| format!(r#","nonce":"{nonce}""#));
    format!(r#"{{"now":"{now}","instance":"{instance}","version":"0.1.0+{build}"{nonce}}}"#)
}
