//! What the program costs as it goes into an image. `make shipped` builds it and runs these.
//!
//! Instructions repeat to a few in ten thousand on any machine, which times do not: they are what holds
//! the speed of `/now`. Times have room to spare here, and are taken as the best of many.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Most user instructions for one `GET /now` on a connection that is kept alive.
const INSTRUCTIONS: u64 = 9_500;
/// Most memory after the first answer, in KiB.
const IDLE_MEMORY: u64 = 3_500;
/// Longest time from exec to the first answer.
const FIRST_ANSWER: Duration = Duration::from_millis(3);
/// Most bytes of the program in a layer.
const LAYER: usize = 720_000;

/// Longest time that any of the programs may take for anything.
const PATIENCE: Duration = Duration::from_mins(1);

const REQUEST: &[u8] = b"GET /now HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn program() -> PathBuf {
    std::env::var_os("SHIPPED_APP")
        .expect("SHIPPED_APP names the program: run `make shipped`")
        .into()
}

/// The program, perhaps inside another one.
struct Running {
    child: Child,
    address: SocketAddr,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let free = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .and_then(|listener| listener.local_addr())
            .expect("the program runs and answers");
        let child = command
            .env("PORT", free.port().to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts: is valgrind installed? `make bootstrap-tests` installs it");
        Self {
            child,
            address: free,
        }
    }

    /// Connects as soon as that works.
    fn connect(&self, pause: Duration) -> TcpStream {
        let start = Instant::now();
        loop {
            match TcpStream::connect(self.address) {
                Ok(stream) => {
                    stream
                        .set_nodelay(true)
                        .expect("the program runs and answers");
                    stream
                        .set_read_timeout(Some(PATIENCE))
                        .expect("the program runs and answers");
                    return stream;
                }
                Err(error) => assert!(start.elapsed() < PATIENCE, "{error}"),
            }
            std::thread::sleep(pause);
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the standard library sends no other signal than SIGKILL"
    )]
    fn stop(mut self) {
        let status = Command::new("/bin/kill")
            .arg(self.child.id().to_string())
            .status()
            .expect("the program runs and answers");
        assert!(status.success());
        assert!(
            self.child
                .wait()
                .expect("the program runs and answers")
                .success()
        );
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
    stream
        .write_all(REQUEST)
        .expect("the program runs and answers");
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.ends_with(b"}") {
        let count = stream
            .read(&mut buffer)
            .expect("the program runs and answers");
        assert_ne!(count, 0, "closed");
        answer.extend_from_slice(&buffer[..count]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

#[expect(clippy::disallowed_methods, reason = "the program under test")]
fn command(program: impl AsRef<Path>) -> Command {
    Command::new(program.as_ref())
}

/// All instructions of a process that answers so many requests.
fn instructions(requests: u32) -> u64 {
    let folder = tempfile::tempdir().expect("the program runs and answers");
    let out = folder.path().join("callgrind.out");
    let mut valgrind = command("valgrind");
    valgrind
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program());
    let running = Running::start(valgrind);
    let mut stream = running.connect(Duration::from_millis(20));
    for _ in 0..requests {
        exchange(&mut stream);
    }
    drop(stream);
    running.stop();
    let text = std::fs::read_to_string(out).expect("the program runs and answers");
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("totals: "))
        .expect("callgrind writes totals");
    total.parse().expect("the program runs and answers")
}

#[test]
#[ignore = "needs valgrind and the image's program: make shipped"]
fn a_request_takes_few_instructions() {
    let (few, many) = (200, 1_200);
    // The difference leaves out the start and the end of the process.
    let difference = instructions(many) - instructions(few);
    let each = difference / u64::from(many - few);
    println!("instructions for each request: {each}, at most {INSTRUCTIONS}");
    assert!(each <= INSTRUCTIONS, "{each}");
    assert!(each > 1_000, "{each}: something is not counted");
}

#[test]
#[ignore = "needs the image's program: make shipped"]
fn it_starts_at_once_and_needs_little_memory() {
    let mut best = Duration::MAX;
    let mut least = u64::MAX;
    for _ in 0..30 {
        let start = Instant::now();
        let running = Running::start(command(program()));
        let mut stream = running.connect(Duration::from_micros(50));
        exchange(&mut stream);
        best = best.min(start.elapsed());
        let status = format!("/proc/{}/status", running.child.id());
        let memory = std::fs::read_to_string(status)
            .expect("the program runs and answers")
            .lines()
            .find_map(|line| {
                line.strip_prefix("VmRSS:")?
                    .split_whitespace()
                    .next()?
                    .parse()
                    .ok()
            })
            .expect("the program runs and answers");
        least = least.min(memory);
    }
    println!("first answer after {best:?}, at most {FIRST_ANSWER:?}");
    println!("memory {least} KiB, at most {IDLE_MEMORY}");
    assert!(best <= FIRST_ANSWER, "{best:?}");
    assert!(least <= IDLE_MEMORY, "{least} KiB");
}

#[test]
#[ignore = "needs the image's program: make shipped"]
fn its_layer_is_small() {
    let program = std::fs::read(program()).expect("the program runs and answers");
    // As the image builder packs it.
    let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
    let mut gzip = vec![0; compressor.gzip_compress_bound(program.len())];
    let layer = compressor
        .gzip_compress(&program, &mut gzip)
        .expect("there is room for all of it");
    println!("{layer} bytes with gzip, at most {LAYER}");
    assert!(layer <= LAYER, "{layer}");
}

#[test]
#[ignore = "needs the image's program: make shipped"]
fn it_tells_its_settings_when_it_starts() {
    let mut running = Running::start(command(program()));
    let mut line = String::new();
    let mut output = BufReader::new(
        running
            .child
            .stdout
            .take()
            .expect("the program runs and answers"),
    );
    output
        .read_line(&mut line)
        .expect("the program runs and answers");
    assert!(line.contains(r#""message":"listening""#), "{line}");
    running.stop();
}
