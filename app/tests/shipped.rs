//! Costs of the program as it goes into an image. `make shipped` builds it and runs these tests.
//!
//! Instructions repeat to a few in ten thousand on any machine, unlike times: they bound the cost
//! of `/now`. Limits for times are generous, and the best of many runs counts.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Maximum memory after the first answer, in KiB.
const IDLE_MEMORY: u64 = 3_500;
/// Maximum time from exec to the first answer.
const FIRST_ANSWER: Duration = Duration::from_millis(3);
/// Maximum size of the program in a layer, in bytes.
const LAYER: usize = 720_000;

/// Maximum time that any of the programs may take for anything.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Expectation of everything that fails only with the program under test.
const WORKS: &str = "the program runs and answers";

const REQUEST: &[u8] = b"GET /now HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Returns the program that this variable names.
fn program(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable);
    path.expect("SHIPPED_APP and SHIPPED_HYPER name programs: run `make shipped`")
        .into()
}

/// The program, perhaps inside another one.
struct Running {
    child: Child,
    address: SocketAddr,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let free = TcpListener::bind(address).and_then(|listener| listener.local_addr());
        let address = free.expect(WORKS);
        let child = command
            .env("PORT", address.port().to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts: is valgrind installed? `make bootstrap-tests` installs it");
        Self { child, address }
    }

    /// Connects as soon as that works.
    fn connect(&self, pause: Duration) -> TcpStream {
        let start = Instant::now();
        loop {
            match TcpStream::connect(self.address) {
                Ok(stream) => {
                    stream.set_nodelay(true).expect(WORKS);
                    stream.set_read_timeout(Some(TIMEOUT)).expect(WORKS);
                    return stream;
                }
                Err(error) => assert!(start.elapsed() < TIMEOUT, "{error}"),
            }
            std::thread::sleep(pause);
        }
    }

    /// Returns resident memory in KiB.
    fn memory(&self) -> u64 {
        let status = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(status).expect(WORKS);
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.expect(WORKS)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the standard library sends no other signal than SIGKILL"
    )]
    fn stop(mut self) {
        let mut kill = Command::new("/bin/kill");
        let killed = kill.arg(self.child.id().to_string()).status();
        assert!(killed.expect(WORKS).success());
        self.child.wait().expect(WORKS);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only a failed test leaves it running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends one request and reads the whole answer.
fn exchange(stream: &mut TcpStream) {
    stream.write_all(REQUEST).expect(WORKS);
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.ends_with(b"}") {
        let count = stream.read(&mut buffer).expect(WORKS);
        assert_ne!(count, 0, "closed");
        answer.extend_from_slice(&buffer[..count]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

#[expect(clippy::disallowed_methods, reason = "the program under test")]
fn command(program: impl AsRef<Path>) -> Command {
    Command::new(program.as_ref())
}

/// Counts the user instructions of one `GET /now` on a connection that is kept alive.
fn instructions(program: &Path) -> u64 {
    let total = |requests: u32| -> u64 {
        let folder = tempfile::tempdir().expect(WORKS);
        let out = folder.path().join("callgrind.out");
        let mut valgrind = command("valgrind");
        valgrind
            .arg("--tool=callgrind")
            .arg(format!("--callgrind-out-file={}", out.display()))
            .arg(program);
        let running = Running::start(valgrind);
        let mut stream = running.connect(Duration::from_millis(20));
        for _ in 0..requests {
            exchange(&mut stream);
        }
        drop(stream);
        running.stop();
        let text = std::fs::read_to_string(out).expect(WORKS);
        // A program that a signal ends has a `summary` instead.
        let total = text.lines().find_map(|line| {
            let total = line.strip_prefix("totals:");
            total.or_else(|| line.strip_prefix("summary:"))
        });
        total
            .and_then(|total| total.trim().parse().ok())
            .expect(WORKS)
    };
    let (few, many) = (200, 1_200);
    // The difference leaves out the start and the end of the process.
    (total(many) - total(few)) / u64::from(many - few)
}

#[test]
#[ignore = "needs valgrind and the image's program: make shipped"]
fn a_request_takes_no_more_instructions_than_in_hyper_alone() {
    let [app, hyper] = ["SHIPPED_APP", "SHIPPED_HYPER"].map(|name| instructions(&program(name)));
    println!("instructions for each request: {app}, at most {hyper}, as in hyper alone");
    assert!(app <= hyper, "{app}");
    assert!(app > 1_000, "{app}: something is not counted");
}

#[test]
#[ignore = "needs the image's program: make shipped"]
fn it_starts_at_once_and_needs_little_memory() {
    let mut best = Duration::MAX;
    let mut least = u64::MAX;
    for _ in 0..30 {
        let start = Instant::now();
        let running = Running::start(command(program("SHIPPED_APP")));
        exchange(&mut running.connect(Duration::from_micros(50)));
        best = best.min(start.elapsed());
        least = least.min(running.memory());
    }
    println!("first answer after {best:?}, at most {FIRST_ANSWER:?}");
    println!("memory {least} KiB, at most {IDLE_MEMORY}");
    assert!(best <= FIRST_ANSWER, "{best:?}");
    assert!(least <= IDLE_MEMORY, "{least} KiB");
}

#[test]
#[ignore = "needs the image's program: make shipped"]
fn its_layer_is_small() {
    let program = std::fs::read(program("SHIPPED_APP")).expect(WORKS);
    // As the image builder packs it.
    let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
    let mut gzip = vec![0; compressor.gzip_compress_bound(program.len())];
    let layer = compressor.gzip_compress(&program, &mut gzip).expect(WORKS);
    println!("{layer} bytes with gzip, at most {LAYER}");
    assert!(layer <= LAYER, "{layer}");
}

#[test]
#[ignore = "needs the image's program: make shipped"]
fn it_logs_its_settings_when_it_starts_and_ends_well() {
    let mut running = Running::start(command(program("SHIPPED_APP")));
    let mut output = BufReader::new(running.child.stdout.take().expect(WORKS));
    let mut line = String::new();
    output.read_line(&mut line).expect(WORKS);
    assert!(line.contains(r#""message":"listening""#), "{line}");
    running.stop();
}
