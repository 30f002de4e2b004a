//! Without Docker and without the emulator: who is at an address, and what belongs to whom.

use std::net::TcpListener;

use super::*;
use crate::local::testing::Notes;
use process::Program;

fn emulator_at(port: u16, folder: &Path) -> Emulator {
    Emulator {
        endpoint: Url::parse(&format!("http://127.0.0.1:{port}")).unwrap(),
        folder: folder.to_owned(),
        docker_host: None,
    }
}

/// A port at which nobody listens, and one at which somebody does who says nothing.
fn ports() -> (u16, TcpListener) {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    (free.local_addr().unwrap().port(), silent)
}

/// A process that looks like the emulator, and is a shell.
fn look_alike(port: u16, folder: &Path) -> Detached {
    std::fs::create_dir_all(folder.join("bin")).unwrap();
    let python = folder.join("bin/python");
    std::os::unix::fs::symlink("/bin/sh", &python).unwrap();
    Program::new(&python)
        .args(["-c", "sleep 600; :", "ministack"])
        .env("GATEWAY_PORT", port.to_string())
        .spawn_detached(&folder.join("log"))
        .unwrap()
}

#[tokio::test]
async fn one_whose_python_is_elsewhere_is_ours_by_what_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let (port, _silent) = ports();
    let addition = folder.path().join("start.py");
    std::fs::write(&addition, "sleep 600; :").unwrap();
    let detached = Program::new("/bin/sh")
        .arg(&addition)
        .arg("ministack")
        .env("GATEWAY_PORT", port.to_string())
        .spawn_detached(&folder.path().join("log"))
        .unwrap();
    let emulator = emulator_at(port, folder.path());
    while emulator.own_process() != Some(detached.pid()) {
        tokio::task::yield_now().await;
    }
    let stopped = emulator.stop(&Notes::default().sink()).await;
    assert_eq!(stopped, Ok(Stopped::Yes));
}

#[tokio::test]
async fn nobody_there() {
    let folder = tempfile::tempdir().unwrap();
    let (free, _silent) = ports();
    let emulator = emulator_at(free, folder.path());
    let notes = Notes::default();
    let presence = emulator.presence(&notes.sink()).await;
    assert_eq!(presence, Ok(Presence::Absent));
    assert_eq!(notes.all(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_stranger_is_not_taken_for_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let (_free, silent) = ports();
    let emulator = emulator_at(silent.local_addr().unwrap().port(), folder.path());
    let failure = emulator
        .presence(&Notes::default().sink())
        .await
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Preflight);
    assert!(
        failure.message.ends_with("is not the emulator"),
        "{failure}"
    );
}

#[tokio::test(start_paused = true)]
async fn one_of_ours_that_does_not_answer_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let (_free, silent) = ports();
    let port = silent.local_addr().unwrap().port();
    let emulator = emulator_at(port, folder.path());
    let detached = look_alike(port, folder.path());
    while emulator.own_process() != Some(detached.pid()) {
        tokio::task::yield_now().await;
    }
    let notes = Notes::default();
    let began = Instant::now();
    let failure = emulator.presence(&notes.sink()).await.unwrap_err();
    assert!(began.elapsed() > Duration::from_secs(50));
    assert_eq!(failure.kind, FailureKind::Stuck);
    assert!(failure.message.ends_with("does not answer"), "{failure}");
    assert_eq!(notes.all().len(), 1);
    process::terminate(detached.pid());
}

/// Answers every request at this address, as the emulator with these credentials answers its health check.
fn answering(listener: tokio::net::TcpListener, credentials: Option<Credentials>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap_or_default();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            assert!(
                !credentials
                    .as_ref()
                    .is_some_and(|ours| request.contains(&ours.secret)),
                "the secret is sent"
            );
            let nonce = request.split("nonce=").nth(1).unwrap_or_default();
            let nonce = nonce.split(' ').next().unwrap_or_default();
            let proof = credentials
                .as_ref()
                .map(|credentials| format!(r#","proof":"{}""#, credentials.proof(nonce)))
                .unwrap_or_default();
            let body = format!(r#"{{"edition":"test","version":"{EMULATOR_VERSION}"{proof}}}"#);
            let answer = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
}

async fn listener(address: &str) -> (u16, tokio::net::TcpListener) {
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    (listener.local_addr().unwrap().port(), listener)
}

#[tokio::test]
async fn only_an_emulator_with_our_credentials_is_ours() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Notes::default().sink();
    let credentials = Credentials::generate();
    let (port, guarded) = listener("127.0.0.1:0").await;
    answering(guarded, Some(credentials.clone()));
    let emulator = emulator_at(port, folder.path());
    credentials.write(&emulator.file("credentials")).unwrap();
    let running = |guarded| {
        Ok(Presence::Running {
            version: EMULATOR_VERSION.to_owned(),
            guarded,
        })
    };
    assert_eq!(emulator.presence(&sink).await, running(true));
    // Another user's, or one whose credentials are lost.
    std::fs::remove_file(emulator.file("credentials")).unwrap();
    let failure = emulator.presence(&sink).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Preflight);
    assert!(failure.hints[0].contains("--endpoint-url"), "{failure}");
    let detached = look_alike(port, folder.path());
    while emulator.own_process() != Some(detached.pid()) {
        tokio::task::yield_now().await;
    }
    let failure = emulator.presence(&sink).await.unwrap_err();
    let kill = format!("`kill {}`", detached.pid());
    assert!(failure.hints[0].contains(&kill), "{failure}");
    process::terminate(detached.pid());
    // One that knows no credentials.
    let (port, open) = listener("127.0.0.1:0").await;
    answering(open, None);
    let emulator = emulator_at(port, folder.path());
    assert_eq!(emulator.presence(&sink).await, running(false));
}

#[tokio::test]
async fn one_that_listens_elsewhere_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (port, ours) = listener("127.0.0.1:0").await;
    answering(ours, Some(Credentials::generate()));
    let detached = look_alike(port, folder.path());
    let mut emulator = emulator_at(port, folder.path());
    while emulator.own_process() != Some(detached.pid()) {
        tokio::task::yield_now().await;
    }
    for address in ["127.0.0.2", "[::1]"] {
        emulator.endpoint = Url::parse(&format!("http://{address}:{port}")).unwrap();
        let failure = emulator
            .presence(&Notes::default().sink())
            .await
            .unwrap_err();
        assert_eq!(failure.kind, FailureKind::Preflight, "{failure}");
        assert_eq!(
            failure.hints,
            [format!("use `--endpoint-url http://127.0.0.1:{port}/`")]
        );
    }
    process::terminate(detached.pid());
}

#[tokio::test]
async fn a_process_of_another_port_or_folder_is_not_ours_and_ours_can_be_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let (port, _silent) = ports();
    let emulator = emulator_at(port, folder.path());
    let detached = look_alike(port, folder.path());
    while emulator.own_process() != Some(detached.pid()) {
        tokio::task::yield_now().await;
    }
    assert_eq!(emulator_at(port, elsewhere.path()).own_process(), None);
    assert_eq!(emulator_at(1, folder.path()).own_process(), None);
    let stopped = emulator.stop(&Notes::default().sink()).await;
    assert_eq!(stopped, Ok(Stopped::Yes));
    assert_eq!(emulator.own_process(), None);
}

#[test]
fn images_belong_to_one_stack() {
    let clock: StackName = "Clock".parse().unwrap();
    let digest = "@sha256:0123";
    let is_ours = |name: &str| is_image_of(&format!("localhost:4566/{name}{digest}"), 4566, &clock);
    assert!(is_ours("clock-repository-0123456789abc"));
    assert!(!is_ours("clock-two-repository-0123456789abc"));
    assert!(!is_ours("clock-repository-repository-0123456789abc"));
    assert!(!is_ours("two-clock-repository-0123456789abc"));
    let other_port = format!("localhost:4567/clock-repository-0123456789abc{digest}");
    assert!(!is_image_of(&other_port, 4566, &clock));
}

#[test]
fn it_listens_where_it_is_asked_for() {
    let arguments = |url: &str| arguments(&Url::parse(url).unwrap()).join(" ");
    assert_eq!(arguments("http://127.0.0.1:4566"), "ministack");
    assert_eq!(arguments("http://localhost:4566"), "ministack");
    let other = arguments("http://[::1]:4567");
    assert!(other.starts_with("hypercorn ministack.app:app "), "{other}");
    assert!(
        other.ends_with("--bind 127.0.0.1:4567 --bind [::1]:4567"),
        "{other}"
    );
}

#[test]
fn an_empty_docker_host_is_none() {
    let url = Url::parse("http://127.0.0.1:4566").unwrap();
    let emulator = Emulator::new(&url, Some(String::new())).unwrap();
    assert_eq!(emulator.docker_host, None);
}
