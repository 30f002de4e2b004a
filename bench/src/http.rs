//! Minimal HTTP client for requests on a persistent connection.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::process::{Error, check};

/// Maximum time for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Returns a free port of this machine.
pub(crate) fn free_port() -> Result<u16, Error> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = TcpListener::bind(address).map_err(Error::at("cannot find a free port"))?;
    let address = listener.local_addr();
    Ok(address
        .map_err(Error::at("cannot find a free port"))?
        .port())
}

/// Persistent connection.
pub(crate) struct Connection {
    stream: TcpStream,
    port: u16,
}

impl Connection {
    /// Connects to this port as soon as a server listens there. Retries without a pause, because
    /// that moment is measured.
    pub(crate) fn open(port: u16, limit: Duration) -> Result<Self, Error> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let deadline = Instant::now() + limit;
        loop {
            match TcpStream::connect_timeout(&address, limit) {
                Ok(stream) => {
                    let set = stream
                        // Without Nagle's algorithm, which would delay small requests.
                        .set_nodelay(true)
                        .and_then(|()| stream.set_read_timeout(Some(ANSWER_LIMIT)));
                    set.map_err(Error::at("cannot set up a connection"))?;
                    return Ok(Self { stream, port });
                }
                Err(error) if Instant::now() >= deadline => {
                    return Err(Error::at(format!("nobody listens at port {port}"))(error));
                }
                Err(_) => {
                    check()?;
                    std::thread::yield_now();
                }
            }
        }
    }

    /// Requests a path and returns the body. Fails if the status is not 200.
    pub(crate) fn get(&mut self, path: &str) -> Result<String, Error> {
        let port = self.port;
        let failed = || Error::at(format!("port {port} does not answer"));
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n");
        self.stream
            .write_all(request.as_bytes())
            .map_err(failed())?;
        let mut answer = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let count = self.stream.read(&mut chunk).map_err(failed())?;
            answer.extend_from_slice(chunk.get(..count).unwrap_or_default());
            match complete(&answer) {
                Some(Ok(body)) => return Ok(body),
                Some(Err(status)) => {
                    let reason = format!("port {port} answers `{status}` to {path}");
                    return Err(Error::Failed(reason));
                }
                None if count == 0 => {
                    let reason = format!("port {port} closed the connection");
                    return Err(Error::Failed(reason));
                }
                None => {}
            }
        }
    }
}

/// Returns the body, or the status line of an answer that is not 200, or nothing if the answer is
/// incomplete.
fn complete(answer: &[u8]) -> Option<Result<String, String>> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>())
    });
    if body.len() < length.and_then(Result::ok).unwrap_or_default() {
        return None;
    }
    let status = head.lines().next().unwrap_or_default();
    Some(if status.starts_with("HTTP/1.1 200 ") {
        Ok(body.to_owned())
    } else {
        Err(status.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::complete;

    #[test]
    fn answers_are_complete_with_their_body() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
        assert_eq!(complete(head.as_bytes()), None);
        assert_eq!(complete(b"HTTP/1.1 200 OK\r\nContent-Le"), None);
        assert_eq!(
            complete(format!("{head}ok").as_bytes()),
            Some(Ok("ok".to_owned()))
        );
        let refused = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(
            complete(refused),
            Some(Err("HTTP/1.1 404 Not Found".to_owned()))
        );
    }
}
