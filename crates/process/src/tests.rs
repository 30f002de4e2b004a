//! Real, tiny programs: how they are heard, and how they end.

use super::*;

fn shell(script: &str) -> Program {
    Program::new("sh").arg("-c").arg(script)
}

#[tokio::test]
async fn both_streams_are_followed_line_by_line() {
    let mut seen = Vec::new();
    shell("echo one; echo two >&2; printf 'three, no line end'")
        .run(|line| {
            seen.push(match line {
                Line::Output(text) => format!("out {text}"),
                Line::Error(text) => format!("err {text}"),
            });
        })
        .await
        .unwrap();
    seen.sort();
    assert_eq!(seen, ["err two", "out one", "out three, no line end"]);
}

#[tokio::test]
async fn a_failure_carries_the_last_lines() {
    let error = shell("for i in $(seq 1 100); do echo line $i >&2; done; exit 3")
        .run(|_| ())
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "`sh` failed (exit status: 3)");
    let ProcessError::Failed { tail, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(tail.len(), TAIL_LINES);
    assert_eq!(tail.first().unwrap(), "line 61");
    assert_eq!(tail.last().unwrap(), "line 100");
}

#[tokio::test]
async fn absent_program_and_absent_folder_are_told_apart() {
    let absent = Program::new("no-such-program-here")
        .run(|_| ())
        .await
        .unwrap_err();
    assert!(absent.is_not_installed(), "{absent}");
    assert_eq!(
        absent.to_string(),
        "`no-such-program-here` is not installed"
    );
    let folder = shell("true")
        .current_dir("/no/such/folder")
        .run(|_| ())
        .await
        .unwrap_err();
    assert!(matches!(folder, ProcessError::Start { .. }), "{folder}");
}

#[tokio::test]
async fn output_is_an_answer_also_when_the_program_fails() {
    let output = shell("echo \"$GREETING\"; pwd; echo bad >&2; exit 2")
        .env("GREETING", "hello")
        .current_dir("/")
        .output(Duration::from_mins(1))
        .await
        .unwrap();
    assert_eq!(output.stdout, "hello\n/\n");
    assert_eq!(output.stderr, "bad\n");
    assert_eq!(output.status.code(), Some(2));
}

#[tokio::test]
async fn the_time_limit_ends_the_program() {
    let error = shell("sleep 600")
        .output(Duration::from_millis(20))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "`sh` did not end within 0.02 s");
}

#[tokio::test]
async fn dropping_the_run_kills_the_children_too() {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let program = shell("sleep 600 & echo $!; wait");
    let run = program.run(|line| {
        if let Line::Output(pid) = line {
            sender.send(pid.parse::<u32>().unwrap()).unwrap();
        }
    });
    let pid = tokio::select! {
        _ = run => panic!("the program ended"),
        pid = receiver.recv() => pid.unwrap(),
    };
    // Nobody may have collected the orphan yet, so that it can be there as a zombie: "killed" is what counts.
    let gone = || {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .map_or(true, |stat| stat.contains(") Z ") || stat.contains(") X "))
    };
    while !gone() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_daemon_left_behind_does_not_hold_us() {
    let program = shell("sleep 30 & echo started");
    let mut lines = 0;
    tokio::time::timeout(Duration::from_secs(20), program.run(|_| lines += 1))
        .await
        .expect("the pipe held open by the daemon is given up")
        .unwrap();
    assert_eq!(lines, 1);
}

/// Whether a process of this id is there.
fn is_running(pid: u32) -> bool {
    to_pid(pid).is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
}

/// Whether a process of this id is there and has not ended.
fn is_alive(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/status"))
        .is_ok_and(|status| !status.contains("State:\tZ"))
}

#[tokio::test]
async fn nothing_is_killed_after_the_end() {
    // Its group lives on with what it left behind, and its id may be another's by then.
    let script = "sleep 60 >/dev/null 2>&1 & echo $!";
    let output = shell(script).output(Duration::from_mins(1)).await.unwrap();
    let mut lines = String::new();
    let on_line = |line: Line<'_>| {
        if let Line::Output(line) = line {
            lines.push_str(line);
        }
    };
    shell(script).run(on_line).await.unwrap();
    // A signal would have come by now.
    tokio::time::sleep(Duration::from_millis(200)).await;
    for pid in [output.stdout.trim(), lines.trim()] {
        assert!(is_alive(pid), "{pid}");
        let pid = to_pid(pid.parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
    }
}

#[tokio::test]
async fn a_detached_program_writes_to_its_log_and_ends_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut detached = shell("echo up; echo worse >&2; exec sleep 600")
        .spawn_detached(&log)
        .unwrap();
    assert!(is_running(detached.pid()));
    while std::fs::read_to_string(&log).unwrap() != "up\nworse\n" {
        tokio::task::yield_now().await;
    }
    assert!(detached.exited().unwrap().is_none());
    assert!(terminate(detached.pid()));
    while detached.exited().unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    assert!(!is_running(detached.pid()));
}

#[test]
fn nobody_else_is_ever_signalled() {
    assert!(!terminate(0));
    assert!(!terminate(1));
    assert!(!terminate(u32::MAX));
}
