//! However a run ends, what it created is deleted, and the exit code says whether that is proven. With a stand-in for the deployer,
//! whose stack is a file; `interrupted.rs` does the same in real containers.

#![expect(
    clippy::disallowed_methods,
    reason = "a test runs programs as a user does"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const DEPLOYER: &str = r#"#!/bin/sh
cd "$STAND_IN" || exit 1
echo "$1" >>calls
case "$1" in
    cost) echo "$*" >>costs; echo '{"per_hour":0.07}' ;;
    doctor) echo '{"ready":true,"findings":[]}' ;;
    status)
        if [ -e elsewhere ]; then account=2; else account=1; fi
        if [ -e stack ]; then status=CREATE_COMPLETE; else status=ABSENT; fi
        printf '{"account":"%s","region":"r","status":"%s"}\n' "$account" "$status" ;;
    up)
        touch stack
        [ -e fails ] && { echo '{"event":"failed","failure":{"message":"it does not start"}}'; exit 4; }
        [ -e hangs ] && trap '' TERM
        touch deploying
        while :; do sleep 0.1; done
        ;;
    down)
        [ -e stuck ] && { echo '{"event":"failed","failure":{"message":"the stack is stuck"}}'; exit 5; }
        if [ -e stack ]; then
            sleep 0.5
            rm stack
            echo '{"event":"deleted","looked_for":["load balancer"],"seconds":1}'
        else
            echo '{"event":"nothing_there","message":"nothing to delete"}'
        fi
        ;;
esac
"#;

/// Held while programs are written. A process that another test starts meanwhile would have them open
/// for writing for a moment, and Linux runs no program that is (`ETXTBSY`).
static PROGRAMS: RwLock<()> = RwLock::new(());

fn spawn(command: &mut Command) -> Child {
    let _lock = PROGRAMS.read().unwrap_or_else(PoisonError::into_inner);
    // Returns once the new process runs its program, which closes what it inherited.
    command.spawn().expect("the program starts")
}

/// Folder with the program, the stand-in and its stack.
struct StandIn(TempDir);

impl StandIn {
    fn new() -> Self {
        let _lock = PROGRAMS.write().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("acceptance");
        fs::copy(env!("CARGO_BIN_EXE_acceptance"), program).expect("a copy");
        for name in ["deployer", "checker"] {
            let path = folder.path().join(name);
            fs::write(&path, DEPLOYER).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
        }
        let stand_in = Self(folder);
        fs::create_dir(stand_in.path("images")).expect("a folder");
        for image in ["first", "second", "exits", "broken", "wrong-clock"] {
            stand_in.create(&format!("images/{image}.tar"));
        }
        stand_in
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn create(&self, name: &str) {
        fs::write(self.path(name), "").expect("written");
    }

    fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    fn called(&self, command: &str) -> bool {
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        calls.lines().any(|call| call == command)
    }

    fn records(&self) -> usize {
        fs::read_dir(self.path("deployer-acceptance")).map_or(0, Iterator::count)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path("acceptance"));
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env_remove("AWS_ENDPOINT_URL")
            .env_remove("AWS_REGION")
            .env_remove("DEPLOYER_ACCOUNT")
            .env("STAND_IN", self.0.path())
            .env("XDG_STATE_HOME", self.0.path())
            .env("CARGO_TARGET_DIR", self.path("target"));
        command
    }

    fn run(&self, more: &[&str]) -> Command {
        let images = self.path("images");
        let mut command = self.command(&["run", "--yes", "--images"]);
        command.arg(images).args(more);
        command
    }

    /// Starts a run and waits until it deploys.
    fn start(&self, more: &[&str]) -> Child {
        let child = spawn(&mut self.run(more));
        let deadline = Instant::now() + Duration::from_mins(1);
        while !self.has("deploying") {
            assert!(Instant::now() < deadline, "it does not deploy");
            std::thread::sleep(Duration::from_millis(20));
        }
        child
    }
}

fn signal(child: &Child, name: &str) {
    let arguments = [format!("-{name}"), child.id().to_string()];
    let status = spawn(Command::new("kill").args(arguments)).wait();
    assert!(status.expect("it ends").success());
}

#[track_caller]
fn assert_code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", said(output));
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn end(command: &mut Command) -> Output {
    spawn(command).wait_with_output().expect("it ends")
}

#[test]
fn signals_delete_the_stack() {
    for name in ["INT", "TERM", "HUP"] {
        let stand_in = StandIn::new();
        let child = stand_in.start(&[]);
        assert_eq!(stand_in.records(), 1);
        signal(&child, name);
        // The deletion is not to be interrupted.
        std::thread::sleep(Duration::from_millis(100));
        signal(&child, name);
        let output = child.wait_with_output().expect("it ends");
        assert_code(&output, 130);
        assert!(!stand_in.has("stack"));
        assert_eq!(stand_in.records(), 0);
        assert!(
            said(&output).contains("the deletion continues"),
            "{}",
            said(&output)
        );
    }
}

#[test]
fn what_a_killed_run_left_is_deleted_by_the_next() {
    let stand_in = StandIn::new();
    // Only SIGKILL ends the stand-in then.
    stand_in.create("hangs");
    let child = stand_in.start(&[]);
    signal(&child, "KILL");
    child.wait_with_output().expect("it ends");
    assert!(stand_in.has("stack"));
    assert_eq!(stand_in.records(), 1);
    // It would create what is deleted again, if it were not ended first.
    assert_code(&end(&mut stand_in.command(&["clean"])), 0);
    assert!(!stand_in.has("stack"));
    assert_eq!(stand_in.records(), 0);
    assert_code(&end(&mut stand_in.command(&["clean"])), 0);
}

#[test]
fn a_failed_step_and_the_time_limit_delete_the_stack() {
    let stand_in = StandIn::new();
    stand_in.create("fails");
    let output = end(&mut stand_in.run(&[]));
    assert_code(&output, 1);
    assert!(said(&output).contains("step `create` failed: exit code 4: it does not start"));
    assert!(!stand_in.has("stack"));
    assert_eq!(stand_in.records(), 0);

    let stand_in = StandIn::new();
    let output = end(&mut stand_in.run(&["--limit", "2s"]));
    assert_code(&output, 1);
    assert!(
        said(&output).contains("not done within 2s"),
        "{}",
        said(&output)
    );
    assert!(!stand_in.has("stack"));
    assert_eq!(stand_in.records(), 0);
}

#[test]
fn a_stack_that_cannot_be_deleted_is_named_and_kept_in_mind() {
    let stand_in = StandIn::new();
    stand_in.create("fails");
    stand_in.create("stuck");
    let output = end(&mut stand_in.run(&["--stack", "mine", "--profile", "work"]));
    assert_code(&output, 5);
    let said = said(&output);
    assert!(
        said.contains("`deployer down --stack mine --profile work`"),
        "{said}"
    );
    assert_eq!(stand_in.records(), 1);
    assert_code(&end(&mut stand_in.command(&["clean"])), 5);

    // The name was given: what has it now may be somebody else's.
    fs::remove_file(stand_in.path("stuck")).expect("removed");
    assert_code(&end(&mut stand_in.command(&["clean"])), 5);
    assert!(stand_in.has("stack"));
    fs::remove_file(stand_in.path("stack")).expect("removed");
    assert_code(&end(&mut stand_in.command(&["clean"])), 0);
    assert_eq!(stand_in.records(), 0);
}

#[test]
fn credentials_of_another_account_do_not_hide_what_is_left() {
    let stand_in = StandIn::new();
    stand_in.create("hangs");
    let child = stand_in.start(&[]);
    signal(&child, "KILL");
    child.wait_with_output().expect("it ends");
    stand_in.create("elsewhere");
    let output = end(&mut stand_in.command(&["clean"]));
    assert_code(&output, 5);
    assert!(
        said(&output)
            .contains("is in account 1, region r, and these credentials lead to account 2"),
        "{}",
        said(&output)
    );
    assert!(stand_in.has("stack") && stand_in.records() == 1);
    fs::remove_file(stand_in.path("elsewhere")).expect("removed");
    assert_code(&end(&mut stand_in.command(&["clean"])), 0);
    assert!(!stand_in.has("stack"));
}

#[test]
fn what_others_created_is_neither_used_nor_deleted() {
    let stand_in = StandIn::new();
    stand_in.create("stack");
    let output = end(&mut stand_in.run(&["--stack", "production"]));
    assert_code(&output, 3);
    assert!(
        said(&output).contains("stack `production` exists"),
        "{}",
        said(&output)
    );
    assert!(stand_in.has("stack") && !stand_in.called("down"));
    assert_eq!(stand_in.records(), 0);
}

#[test]
fn one_name_is_for_one_run() {
    let stand_in = StandIn::new();
    let first = stand_in.start(&["--stack", "mine"]);
    fs::remove_file(stand_in.path("stack")).expect("removed");
    let output = end(&mut stand_in.run(&["--stack", "mine"]));
    assert_code(&output, 3);
    let why = said(&output);
    assert!(why.contains("another run uses stack `mine`"), "{why}");
    assert_eq!(stand_in.records(), 1);
    signal(&first, "INT");
    assert_code(&first.wait_with_output().expect("it ends"), 130);
}

#[test]
fn nothing_is_created_before_somebody_has_agreed() {
    let stand_in = StandIn::new();
    let output = end(&mut stand_in.command(&["run"]));
    assert_code(&output, 3);
    let said = said(&output);
    // The region is the one where the stack would be.
    assert!(
        said.contains("in r, ") && said.contains("at most $0.42 within 3h"),
        "{said}"
    );
    let costs = fs::read_to_string(stand_in.path("costs")).unwrap_or_default();
    assert!(costs.contains("--region r"), "{costs}");
    assert!(said.contains("`--yes`"), "{said}");
    assert!(!stand_in.called("up"));
}

#[test]
fn unknown_steps_and_missing_images_are_refused() {
    let stand_in = StandIn::new();
    assert_code(&end(&mut stand_in.run(&["--only", "nothing"])), 2);
    fs::remove_file(stand_in.path("images/broken.tar")).expect("removed");
    let output = end(&mut stand_in.run(&[]));
    assert_code(&output, 3);
    assert!(said(&output).contains("lacks images"), "{}", said(&output));
    assert!(!stand_in.called("up"));
}
