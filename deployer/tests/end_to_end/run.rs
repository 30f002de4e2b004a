//! Running the programs as a user does.

#![expect(
    clippy::disallowed_methods,
    reason = "a test runs programs as a user does"
)]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::copy::{Copy, target};

/// Where and how programs run: the copy, a port of our own, a stack of our own.
#[derive(Clone)]
pub(crate) struct Surroundings {
    folder: PathBuf,
    target: PathBuf,
    pub(crate) port: u16,
    variables: Vec<(String, Option<String>)>,
}

/// A program that ended.
pub(crate) struct Finished {
    what: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    pub(crate) fn is_success(&self) -> bool {
        self.code == Some(0)
    }

    pub(crate) fn succeeded(&self) {
        assert!(
            self.is_success(),
            "`{}` failed\n{}\n{}",
            self.what,
            self.stdout,
            self.stderr
        );
    }

    /// It failed with this exit code and one message that has these words; without a panic or a backtrace.
    pub(crate) fn failed_with(&self, code: i32, words: &[&str]) {
        let shown = format!("`{}`\n{}\n{}", self.what, self.stdout, self.stderr);
        assert_eq!(self.code, Some(code), "{shown}");
        for word in words {
            assert!(
                self.stderr.contains(word),
                "`{word}` is not in the message of {shown}"
            );
        }
        let messages = self
            .stderr
            .lines()
            .filter(|line| line.starts_with("error: "))
            .count();
        assert_eq!(messages, 1, "not one message, but {messages}: {shown}");
        for word in ["panicked", "RUST_BACKTRACE", "stack backtrace"] {
            assert!(!self.stderr.contains(word), "{shown}");
        }
    }
}

pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound address").port()
}

/// Where the deployer keeps what belongs to its emulators.
pub(crate) fn cache_folder() -> PathBuf {
    let home = |name: &str| std::env::var_os(name).map(PathBuf::from);
    home("XDG_CACHE_HOME")
        .or_else(|| home("HOME").map(|home| home.join(".cache")))
        .expect("a home")
        .join("deployer")
}

/// The credentials of the emulator at this port, for AWS's clients.
pub(crate) fn credentials_file(port: u16) -> PathBuf {
    cache_folder().join(format!("emulator-{port}.credentials"))
}

/// The same, read: access key and secret.
pub(crate) fn credentials(port: u16) -> (String, String) {
    // Where no emulator runs there are none.
    let text = std::fs::read_to_string(credentials_file(port)).unwrap_or_default();
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or("= none")
            .trim_start_matches(['=', ' '])
            .to_owned()
    };
    (value("aws_access_key_id "), value("aws_secret_access_key "))
}

impl Surroundings {
    pub(crate) fn new(copy: &Copy) -> Self {
        Self::in_folder(copy.root())
    }

    /// The same in another project's folder.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        let port = free_port();
        // Shared with the build that made this test: the dependencies are compiled once.
        let target = target();
        let set = |name: &str, value: String| (name.to_owned(), Some(value));
        Self {
            folder: folder.to_owned(),
            port,
            variables: vec![
                set("CARGO_TARGET_DIR", target.to_string_lossy().into_owned()),
                set("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
                set("DEPLOYER_STACK", format!("end-to-end-{port}")),
                // The copy is in the target folder, and that in a clone which is not the copy's.
                set(
                    "GIT_CEILING_DIRECTORIES",
                    target.to_string_lossy().into_owned(),
                ),
                // Journals and locks go with the copy.
                set(
                    "XDG_STATE_HOME",
                    folder.join("state").to_string_lossy().into_owned(),
                ),
            ],
            target,
        }
    }

    /// The same with one variable more.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut other = self.clone();
        other
            .variables
            .push((name.to_owned(), Some(value.to_owned())));
        other
    }

    /// The same without the variables that say where AWS is and who we are there.
    pub(crate) fn without_aws(&self) -> Self {
        let mut other = self.with("AWS_EC2_METADATA_DISABLED", "true");
        for name in [
            "AWS_ENDPOINT_URL",
            "AWS_REGION",
            "AWS_DEFAULT_REGION",
            "AWS_PROFILE",
            "AWS_DEFAULT_PROFILE",
            "AWS_ACCESS_KEY_ID",
        ] {
            other.variables.push((name.to_owned(), None));
        }
        for name in ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"] {
            other
                .variables
                .push((name.to_owned(), Some("/nonexistent".to_owned())));
        }
        other
    }

    /// The same with the emulator's credentials, for who does not say `--local`.
    pub(crate) fn with_credentials(&self) -> Self {
        let file = credentials_file(self.port);
        let mut other = self
            .with("AWS_REGION", "us-east-1")
            .with("AWS_DEFAULT_REGION", "us-east-1")
            .with("AWS_CONFIG_FILE", "/nonexistent")
            .with("AWS_SHARED_CREDENTIALS_FILE", &file.to_string_lossy());
        for name in [
            "AWS_PROFILE",
            "AWS_DEFAULT_PROFILE",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
        ] {
            other.variables.push((name.to_owned(), None));
        }
        other
    }

    /// The same where only Rust's tools and the compiler's linker are found.
    pub(crate) fn without_python(&self) -> Self {
        let tools = self.folder.join("tools");
        std::fs::create_dir_all(&tools).expect("a folder");
        for tool in ["cargo", "rustc", "cc", "ld", "as"] {
            let found = find(tool);
            let link = tools.join(tool);
            if !link.exists() {
                std::os::unix::fs::symlink(found, link).expect("a link");
            }
        }
        self.with("PATH", &tools.to_string_lossy())
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::null());
        // Those of the cargo that runs this test are not what a user has.
        for (name, _) in std::env::vars() {
            if name.starts_with("CARGO_PKG_")
                || name.starts_with("CARGO_MANIFEST")
                || name == "CARGO"
                || name == "MAKEFLAGS"
            {
                command.env_remove(name);
            }
        }
        for (name, value) in &self.variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }

    pub(crate) fn finish(&self, program: &str, arguments: &[&str]) -> Finished {
        let what = format!("{program} {}", arguments.join(" "));
        println!("$ {what}");
        // What hangs is what is looked for: it must not hang the test. No run takes nearly as long.
        let mut bounded = vec!["--foreground", "--kill-after=10s", "15m", program];
        bounded.extend(arguments);
        let output = self
            .command(find("timeout"), &bounded)
            .output()
            .expect("the program starts");
        assert_ne!(output.status.code(), Some(124), "{what} hangs");
        let finished = Finished {
            what,
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        print!("{}{}", finished.stderr, finished.stdout);
        finished
    }

    pub(crate) fn make(&self, target: &str) -> Finished {
        self.finish("make", &[target])
    }

    fn program(&self, name: &str) -> String {
        self.target
            .join("debug")
            .join(name)
            .to_string_lossy()
            .into_owned()
    }

    pub(crate) fn deployer(&self, arguments: &[&str]) -> Finished {
        self.finish(&self.program("deployer"), arguments)
    }

    /// Starts the deployer, to be followed while it runs.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        let what = format!("deployer {}", arguments.join(" "));
        println!("$ {what} (started)");
        let mut child = self
            .command(self.program("deployer"), arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let said = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().expect("a pipe");
        let listener = {
            let said = Arc::clone(&said);
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    println!("{line}");
                    let mut said = said.lock().expect("unpoisoned");
                    said.push_str(&line);
                    said.push('\n');
                }
            })
        };
        Running {
            what,
            child,
            said,
            listener,
        }
    }

    /// Runs the deployer with nobody at the other end of what it writes.
    pub(crate) fn deployer_without_readers(&self, arguments: &[&str]) -> Finished {
        let what = format!("deployer {} (without readers)", arguments.join(" "));
        println!("$ {what}");
        let mut child = self
            .command(self.program("deployer"), arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        drop((child.stdout.take(), child.stderr.take()));
        let status = child.wait().expect("it ends");
        Finished {
            what,
            code: status.code(),
            stdout: String::new(),
            stderr: String::new(),
        }
    }

    pub(crate) fn checker(&self, arguments: &[&str]) -> Finished {
        self.finish(&self.program("checker"), arguments)
    }

    pub(crate) fn curl(&self, url: &str) -> String {
        let finished = self.finish(
            "curl",
            &[
                "--silent",
                "--show-error",
                "--fail",
                "--max-time",
                "10",
                url,
            ],
        );
        finished.succeeded();
        finished.stdout
    }

    /// Puts a secret into the Parameter Store of the emulator, which runs.
    pub(crate) fn put_parameter(&self, name: &str, value: &str) {
        let (key, secret) = credentials(self.port);
        let user = format!("{key}:{secret}");
        let url = format!("http://127.0.0.1:{}/", self.port);
        let parameter =
            serde_json::json!({ "Name": name, "Value": value, "Type": "SecureString" }).to_string();
        let arguments = [
            ["--aws-sigv4", "aws:amz:us-east-1:ssm"],
            ["--user", &user],
            ["--header", "content-type: application/x-amz-json-1.1"],
            ["--header", "x-amz-target: AmazonSSM.PutParameter"],
            ["--data", &parameter],
        ];
        let arguments: Vec<&str> = ["--silent", "--show-error", "--fail", &url]
            .into_iter()
            .chain(arguments.into_iter().flatten())
            .collect();
        self.finish("curl", &arguments).succeeded();
    }

    /// Starts the deployer and kills it (SIGKILL) after this time, if it still runs.
    pub(crate) fn deployer_killed_after(&self, arguments: &[&str], delay: Duration) {
        println!(
            "$ deployer {} (killed after {delay:?})",
            arguments.join(" ")
        );
        let mut child = self
            .command(self.program("deployer"), arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        std::thread::sleep(delay);
        let _ = child.kill();
        let _ = child.wait();
    }

    /// The processes of the emulator at our port.
    pub(crate) fn emulator_processes(&self) -> Vec<u32> {
        let ours = format!("GATEWAY_PORT={}", self.port);
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc")
            .expect("a process table")
            .flatten()
        {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else {
                continue;
            };
            let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let variables = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            let is_emulator = arguments
                .split(|byte| *byte == 0)
                .any(|argument| argument == b"ministack");
            if is_emulator
                && variables
                    .split(|byte| *byte == 0)
                    .any(|variable| variable == ours.as_bytes())
            {
                found.push(pid);
            }
        }
        found
    }

    pub(crate) fn kill_emulator(&self) {
        for pid in self.emulator_processes() {
            println!("$ kill -9 {pid} (the emulator)");
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
    }
}

/// A program that runs.
pub(crate) struct Running {
    what: String,
    child: Child,
    /// What it wrote to standard error so far.
    said: Arc<Mutex<String>>,
    listener: JoinHandle<()>,
}

impl Running {
    /// Waits until it says something with these words.
    pub(crate) fn wait_for(&self, words: &str) {
        let deadline = Instant::now() + Duration::from_mins(5);
        while !self.said().contains(words) {
            assert!(
                Instant::now() < deadline && !self.listener.is_finished(),
                "`{}` does not say `{words}`: {}",
                self.what,
                self.said()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn said(&self) -> String {
        self.said.lock().expect("unpoisoned").clone()
    }

    /// Sends it a signal (`INT`, `TERM`).
    pub(crate) fn signal(&self, name: &str) {
        println!("$ kill -{name} (`{}`)", self.what);
        let pid = self.child.id().to_string();
        let status = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(status.is_ok_and(|status| status.success()));
    }

    /// Waits for its end.
    pub(crate) fn finish(self) -> Finished {
        let output = self.child.wait_with_output().expect("it ends");
        self.listener.join().expect("a listener that did not panic");
        let stderr = self.said.lock().expect("unpoisoned").clone();
        Finished {
            what: self.what,
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr,
        }
    }
}

/// Deletes what a test that failed half-way leaves.
pub(crate) struct CleanUp<'a>(pub(crate) &'a Surroundings);

impl Drop for CleanUp<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let down = ["down", "--local", "--timeout", "60s"];
            self.0.finish(&self.0.program("deployer"), &down);
            self.0.kill_emulator();
            self.0.finish(&self.0.program("deployer"), &down);
        }
    }
}

fn find(tool: &str) -> PathBuf {
    let path = std::env::var_os("PATH").expect("a PATH");
    std::env::split_paths(&path)
        .map(|folder| folder.join(tool))
        .find(|candidate| candidate.exists())
        .unwrap_or_else(|| panic!("`{tool}` is not on the PATH"))
}
