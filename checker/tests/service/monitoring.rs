//! What `examples/monitoring` says is what the program has: names of figures, options, keys.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::program::{checker, command, run};
use crate::servers::free_port;
use crate::support::{Server, clock, now_json, ok, show};
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

/// What is at this path of a server; nothing if there is none.
async fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

/// The figures that the program serves.
async fn figures() -> String {
    let server = Server::start(|_| ok("ok")).await;
    let address = format!("127.0.0.1:{}", free_port());
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
        figures = get(&address, "/metrics").await.unwrap_or_default();
        if figures.contains("checker_up{") {
            break;
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

/// A real Prometheus reads the figures, and its rules find who is down and whose clock is wrong.
#[tokio::test]
async fn prometheus_reads_the_figures_and_alerts() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let skewed =
        Server::start(|request| ok(&now_json(clock(5_000), "a", "1", &request.nonce))).await;
    let [figures, own] = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    let config = example("prometheus.yml")
        .replace("127.0.0.1:9300", &figures)
        .replace("scrape_interval: 30s", "scrape_interval: 1s");
    let config = format!("global: {{ evaluation_interval: 1s }}\n{config}");
    std::fs::write(path("prometheus.yml"), config).unwrap();
    std::fs::write(path("alerts.yml"), example("alerts.yml")).unwrap();
    let missing = "`make bootstrap-tests` installs Prometheus";
    let valid = command("promtool")
        .args(["check", "config", &path("prometheus.yml")])
        .output()
        .await
        .expect(missing);
    assert!(valid.status.success(), "{valid:?}");
    let url = skewed.url();
    let arguments = [
        "--url",
        &url,
        "--url",
        "http://127.0.0.1:1/",
        "--interval",
        "500ms",
        "--prometheus",
        &figures,
    ];
    let _checker = checker(&arguments).stdout(Stdio::null()).spawn().unwrap();
    let _prometheus = command("prometheus")
        .arg(format!("--config.file={}", path("prometheus.yml")))
        .arg(format!("--storage.tsdb.path={}", path("data")))
        .arg(format!("--web.listen-address={own}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect(missing);
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let alerts = get(&own, "/api/v1/alerts").await.unwrap_or_default();
        let fires = |name: &str, target: &str| {
            let alerts = alerts.split("\"labels\"");
            let mut of_name = alerts.filter(|alert| alert.contains(&format!("\"{name}\"")));
            of_name.any(|it| it.contains(target) && it.contains("\"firing\""))
        };
        if fires("ServiceDown", "http://127.0.0.1:1/") && fires("ClockWrong", &url) {
            break;
        }
        assert!(Instant::now() < deadline, "{alerts}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let rules = get(&own, "/api/v1/rules").await.unwrap();
    let count = example("alerts.yml").matches("- alert:").count();
    assert_eq!(rules.matches("\"health\":\"ok\"").count(), count, "{rules}");
    // So are the queries of the dashboard.
    let dashboard: serde_json::Value = serde_json::from_str(&example("grafana.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    let mut queries = 0;
    for target in targets {
        let query = target["expr"].as_str().unwrap().replace("$target", ".*");
        let query: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let answer = get(&own, &format!("/api/v1/query?query={query}"))
            .await
            .unwrap();
        assert!(
            answer.contains("\"status\":\"success\""),
            "{target}: {answer}"
        );
        queries += 1;
    }
    show(&format!(
        "{count} rules and {queries} queries are right by Prometheus\n"
    ));
}

#[tokio::test]
async fn systemd_finds_nothing_wrong_with_the_unit() {
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("checker.service");
    let program = env!("CARGO_BIN_EXE_checker");
    let text = example("checker.service").replace("/usr/local/bin/checker", program);
    std::fs::write(&unit, text).unwrap();
    let verified = command("systemd-analyze")
        .arg("verify")
        .arg(&unit)
        .output()
        .await
        .expect("`make bootstrap-tests` installs systemd");
    let said = String::from_utf8(verified.stderr).unwrap();
    assert_eq!((verified.status.code(), &*said), (Some(0), ""));
}

#[tokio::test]
async fn the_line_for_cron_tells_what_is_not_ok() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let line = example("checker.cron");
    let (_, line) = line.lines().last().unwrap().split_once("nobody ").unwrap();
    let line = line
        .replace(
            "checker --",
            &format!("{} --", env!("CARGO_BIN_EXE_checker")),
        )
        .replace("/etc/checker/targets.toml", &path("targets.toml"))
        .replace("/var/tmp/checks.jsonl", &path("checks.jsonl"));
    let server = Server::start(|request| ok(&now_json(clock(0), "a", "1", &request.nonce))).await;
    for (url, words) in [
        (server.url(), ""),
        ("http://127.0.0.1:1/now".to_owned(), " DOWN "),
    ] {
        std::fs::write(
            path("targets.toml"),
            format!("[[target]]\nurl = \"{url}\"\n"),
        )
        .unwrap();
        let output = command("sh").args(["-c", &line]).output().await.unwrap();
        let mail = String::from_utf8(output.stdout).unwrap();
        assert_eq!(mail.is_empty(), words.is_empty(), "{mail}");
        assert!(mail.contains(words), "{mail}");
    }
}
