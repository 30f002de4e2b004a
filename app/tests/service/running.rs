//! The real program as a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use serde_json::Value;

use crate::support::{Connection, Response};

#[expect(clippy::disallowed_methods, reason = "the program under test")]
pub(crate) fn program(environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_app"));
    command
        .env_clear()
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub(crate) fn json_line(line: &str) -> Value {
    serde_json::from_str(line).expect("log lines and bodies are JSON")
}

/// The program once it listens.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) stdout: Option<BufReader<ChildStdout>>,
    /// Its first log line.
    pub(crate) listening: Value,
    pub(crate) port: u16,
}

impl Running {
    /// Starts it on a free port. `prepare` adds to the command.
    pub(crate) fn start(prepare: impl Fn(&mut Command)) -> Self {
        // The program takes no port 0, so one is found first. Another process may be quicker.
        (0..10)
            .find_map(|_| Self::try_start(&prepare))
            .expect("the program listens")
    }

    fn try_start(prepare: impl Fn(&mut Command)) -> Option<Self> {
        let free = TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)))
            .or_else(|_| TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))))
            .and_then(|listener| listener.local_addr())
            .expect("there is a free port");
        let mut command = program(&[("PORT", &free.port().to_string())]);
        prepare(&mut command);
        let mut child = command.spawn().expect("the program starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("stdout is text");
        if line.is_empty() {
            child.wait().expect("a child can be waited for");
            return None;
        }
        Some(Self {
            child,
            stdout: Some(stdout),
            listening: json_line(&line),
            port: free.port(),
        })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the standard library sends no other signal than SIGKILL"
    )]
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("/bin/kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status()
            .expect("kill starts");
        assert!(status.success());
    }

    /// Waits for the end; gives exit status, the rest of standard output, and standard error.
    pub(crate) fn finish(mut self) -> (ExitStatus, String, String) {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        if let Some(mut pipe) = self.stdout.take() {
            pipe.read_to_string(&mut stdout).expect("stdout is text");
        }
        let mut pipe = self.child.stderr.take().expect("stderr is piped");
        pipe.read_to_string(&mut stderr).expect("stderr is text");
        (
            self.child.wait().expect("a child can be waited for"),
            stdout,
            stderr,
        )
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        Connection::open(address).await.get(path).await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only a failed test leaves it running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
