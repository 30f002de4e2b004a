//! A home with AWS's files in it, and the program that runs there.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::endpoint::Endpoint;
use crate::profiles::{self, Keys};

/// The access keys that profiles hold themselves.
pub(crate) const KEYS: Keys = Keys {
    profile: "AKIAPROFILE",
    process: "AKIAPROCESS",
    login: "ASIALOGIN",
    secret: "secret",
};

/// A home with AWS's files in it, and the program that runs there.
pub(crate) struct Home {
    folder: TempDir,
}

impl Home {
    /// A home whose configuration file has this text.
    pub(crate) fn new(config: &str) -> Self {
        let home = Self {
            folder: tempfile::tempdir().expect("a folder for the test"),
        };
        home.write(".aws/config", config);
        home.write("deployer.toml", "stack = \"clock\"\n");
        home
    }

    /// A home with all kinds of profiles, and with sessions that end then.
    pub(crate) fn with_all(ends: &str) -> Self {
        let home = Self::new("");
        profiles::write(home.path(), &KEYS, ends);
        home
    }

    /// Adds this to AWS's configuration file.
    pub(crate) fn add(&self, text: &str) {
        let path = self.path().join(".aws/config");
        let before = std::fs::read_to_string(path).expect("the file can be read");
        self.write(".aws/config", &format!("{before}{text}"));
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        let folder = path.parent().expect("a folder");
        std::fs::create_dir_all(folder).expect("the folder can be made");
        std::fs::write(path, text).expect("the file can be written");
    }

    /// The program, with nothing of what this machine says about AWS.
    pub(crate) fn program(&self, endpoint: &Endpoint, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deployer"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ENDPOINT_URL", &endpoint.url)
            .current_dir(self.path())
            .stdin(Stdio::null())
            .args(arguments);
        command
    }

    /// Runs `deployer status` for a stack that does not exist.
    pub(crate) fn status(&self, endpoint: &Endpoint, arguments: &[&str]) -> Output {
        let arguments = [&["status"], arguments].concat();
        run(&mut self.program(endpoint, &arguments))
    }
}

pub(crate) fn run(command: &mut Command) -> Output {
    command.output().expect("the program can be run")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the program prints UTF-8")
}

#[track_caller]
pub(crate) fn assert_works(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}
