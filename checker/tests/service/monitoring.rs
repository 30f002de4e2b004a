//! What `examples/monitoring` says is what the program has: names of figures, options, keys.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::program::{checker, run};
use crate::support::{Server, ok};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn example(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/monitoring");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

/// Names that begin with `checker_` in a text.
fn names(text: &str) -> BTreeSet<String> {
    let is_name = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    text.split(|letter| !is_name(letter))
        .filter(|word| word.starts_with("checker_"))
        .map(str::to_owned)
        .collect()
}

/// The figures that the program serves.
async fn figures() -> String {
    let server = Server::start(|_| ok("ok")).await;
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let address = format!("127.0.0.1:{port}");
    let url = server.url();
    let arguments = [
        &url,
        "--kind",
        "http",
        "--interval",
        "100ms",
        "--prometheus",
        &address,
    ];
    let _checker = checker(&arguments).spawn().unwrap();
    let mut figures = String::new();
    // Once the first check is over.
    for _ in 0..100 {
        if let Ok(mut stream) = tokio::net::TcpStream::connect(&address).await {
            let request = "GET /metrics HTTP/1.1\r\nhost: checker\r\n\r\n";
            stream.write_all(request.as_bytes()).await.unwrap();
            figures.clear();
            stream.read_to_string(&mut figures).await.unwrap();
            if figures.contains("checker_up{") {
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    figures
}

#[tokio::test]
async fn rules_and_dashboard_know_the_figures() {
    let figures = names(&figures().await);
    assert!(figures.contains("checker_certificate_days"), "{figures:?}");
    for file in ["alerts.yml", "grafana.json"] {
        let used = names(&example(file));
        assert!(used.len() > 5, "{used:?}");
        let unknown: Vec<_> = used.difference(&figures).collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
    }
    let dashboard: serde_json::Value = serde_json::from_str(&example("grafana.json")).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            assert!(
                names(target["expr"].as_str().unwrap()).len() == 1,
                "{target}"
            );
        }
    }
}

#[tokio::test]
async fn commands_and_targets_are_those_of_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let targets: PathBuf = folder.path().join("targets.toml");
    std::fs::write(
        &targets,
        example("targets.toml").replace("example.com", "localhost:1"),
    )
    .unwrap();
    let targets = targets.to_str().unwrap();
    // Both are down, and nothing is wrong with the file.
    let (exit, stdout, stderr) = run(&["--config", targets, "--once"]).await;
    assert_eq!((exit, stderr.as_str()), (2, ""), "{stdout}");
    assert_eq!(stdout.matches(" DOWN ").count(), 2, "{stdout}");
    let (_, help, _) = run(&["--help"]).await;
    for file in ["checker.service", "checker.cron", "nagios.cfg"] {
        let text = example(file);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let text = lines.collect::<Vec<_>>().join("\n");
        let options = text
            .split_whitespace()
            .filter(|word| word.starts_with("--"));
        // Behind `!`, Nagios passes an argument on.
        let arguments = text
            .split(['!', '\n'])
            .filter(|word| word.starts_with("--"));
        let arguments = arguments.map(|words| words.split(' ').next().unwrap());
        let options: Vec<&str> = options.chain(arguments).collect();
        assert!(options.len() > 2, "{file}: {options:?}");
        for option in options {
            assert!(help.contains(option), "{file}: {option}");
        }
    }
}
