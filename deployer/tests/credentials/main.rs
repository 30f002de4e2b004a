//! Credentials as the program finds them: each kind of profile, through the code that connects to AWS, against endpoints on this
//! machine. The program is started as a user starts it, so that its environment and its files are the test's alone.

#![expect(
    clippy::disallowed_methods,
    reason = "a test runs programs as a user does"
)]

mod endpoint;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use endpoint::Endpoint;
use tempfile::TempDir;

/// A home with AWS's files in it, and the program that runs there.
struct Home {
    folder: TempDir,
}

impl Home {
    /// A home whose configuration file has this text.
    fn new(config: &str) -> Self {
        let home = Self {
            folder: tempfile::tempdir().expect("a folder for the test"),
        };
        home.write(".aws/config", config);
        home.write("deployer.toml", "stack = \"clock\"\n");
        home
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        let folder = path.parent().expect("a folder");
        std::fs::create_dir_all(folder).expect("the folder can be made");
        std::fs::write(path, text).expect("the file can be written");
    }

    /// The program, with nothing of what this machine says about AWS.
    fn program(&self, endpoint: &Endpoint, arguments: &[&str]) -> Command {
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
    fn status(&self, endpoint: &Endpoint, arguments: &[&str]) -> Output {
        let arguments = [&["status"], arguments].concat();
        run(&mut self.program(endpoint, &arguments))
    }
}

fn run(command: &mut Command) -> Output {
    command.output().expect("the program can be run")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the program prints UTF-8")
}

#[track_caller]
fn assert_works(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

const KEYS: &str = "\
[profile keys]
region = eu-central-1
aws_access_key_id = AKIAPROFILE
aws_secret_access_key = secret
";

#[test]
fn keys_of_a_profile() {
    let home = Home::new(KEYS);
    let endpoint = Endpoint::start();
    assert_works(&home.status(&endpoint, &["--profile", "keys"]));
    assert_eq!(endpoint.keys(), ["AKIAPROFILE"]);
}

#[test]
fn a_profile_that_the_project_names() {
    let home = Home::new(KEYS);
    home.write("deployer.toml", "stack = \"clock\"\nprofile = \"keys\"\n");
    let endpoint = Endpoint::start();
    assert_works(&home.status(&endpoint, &[]));
    assert_eq!(endpoint.keys(), ["AKIAPROFILE"]);
}

#[test]
fn a_role_and_the_profile_that_may_take_it() {
    let role =
        "[profile role]\nrole_arn = arn:aws:iam::123456789012:role/deploy\nsource_profile = keys\n";
    let home = Home::new(&format!("{KEYS}{role}"));
    let endpoint = Endpoint::start();
    assert_works(&home.status(&endpoint, &["--profile", "role"]));
    assert_eq!(endpoint.keys(), ["ASIAAssumeRole"]);
    let requests = endpoint.requests();
    assert_eq!(requests[0].key, "AKIAPROFILE");
    assert!(requests[0].body.contains("role%2Fdeploy"), "{requests:?}");
}

#[test]
fn a_flag_beats_keys_in_the_environment_and_a_variable_does_not() {
    let home = Home::new(KEYS);
    for (arguments, profile, key) in [
        (["--profile", "keys"].as_slice(), None, "AKIAPROFILE"),
        // The same name in both places: the flag is still a flag.
        (&["--profile", "keys"], Some("keys"), "AKIAPROFILE"),
        (&["--profile", "keys"], Some("other"), "AKIAPROFILE"),
        (&[], Some("keys"), "AKIAENVIRONMENT"),
        (&["--region", "eu-central-1"], None, "AKIAENVIRONMENT"),
    ] {
        let endpoint = Endpoint::start();
        let arguments = [&["status"], arguments].concat();
        let mut command = home.program(&endpoint, &arguments);
        command
            .env("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT")
            .env("AWS_SECRET_ACCESS_KEY", "secret");
        if let Some(profile) = profile {
            command.env("AWS_PROFILE", profile);
        }
        assert_works(&run(&mut command));
        assert_eq!(endpoint.keys(), [key], "{arguments:?} {profile:?}");
    }
}
