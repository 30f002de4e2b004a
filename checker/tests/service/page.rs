//! The page that is drawn of a log: made by the program, looked at in a real browser.

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use crate::browser::Browser;
use crate::program::run;
use crate::support::{Server, clock, now_json, ok, show, with_headers};
use serde_json::{Value, json};

/// A log of a service that is right, down for a while, and then too far ahead, on two instances with hostile names.
async fn log(folder: &Path) -> (PathBuf, String) {
    let server = Server::start(|request| {
        if (4..8).contains(&request.connection) {
            return with_headers("503 Service Unavailable", "", "");
        }
        let instance = ["a", "<script>alert(1)</script>"][request.connection % 2];
        let offset = if request.connection >= 12 { 3_000 } else { 0 };
        ok(&now_json(clock(offset), instance, "1<b>", &request.nonce))
    })
    .await;
    let log = folder.join("log.jsonl");
    let url = server.url();
    let arguments = [
        &url,
        "--interval",
        "100ms",
        "--count",
        "16",
        "--log",
        log.to_str().unwrap(),
    ];
    let (exit, _, stderr) = run(&arguments).await;
    assert_eq!((exit, stderr.as_str()), (2, ""));
    (log, url)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_what_the_log_has() {
    let folder = tempfile::tempdir().unwrap();
    let (log, url) = log(folder.path()).await;
    let page = folder.path().join("report.html");
    let (log, page) = (log.to_str().unwrap(), page.to_str().unwrap());
    let (exit, stdout, stderr) = run(&["report", log, "-o", page]).await;
    assert_eq!((exit, stderr.as_str()), (0, ""));
    assert_eq!(stdout, format!("{page}: 1 target, 16 checks\n"));
    let address = format!("file://{page}");
    tokio::task::spawn_blocking(move || look(&address, &url))
        .await
        .unwrap();
}

fn look(address: &str, url: &str) {
    let browser = Browser::start(&[]);
    browser.open(address);
    let run = |script: &str| browser.run(&format!("return {script}"));
    assert_eq!(browser.complaints(), Vec::<String>::new());
    // Nothing is fetched, nothing is run.
    let fetched = run("performance.getEntriesByType('resource').length");
    assert_eq!(fetched, json!(0));
    assert_eq!(run("document.scripts.length"), json!(0));
    let heading = run("document.querySelector('h2').textContent");
    assert_eq!(heading, json!(format!("SKEWED {url}")));
    let badge = run("getComputedStyle(document.querySelector('.badge')).backgroundColor");
    assert_ne!(badge, json!("rgba(0, 0, 0, 0)"), "the style is refused");
    // Right, down, right, skewed.
    let states =
        run("[...document.querySelectorAll('.states rect')].map(it => it.className.baseVal)");
    assert_eq!(states, json!(["ok", "down", "ok", "skewed"]));
    let outages = run("document.querySelectorAll('.outages tr').length");
    assert_eq!(outages, json!(2));
    let bands =
        run("[...document.querySelectorAll('.offset .band title')].map(it => it.textContent)");
    assert_eq!(bands, json!(["<script>alert(1)</script>", "a"]));
    // Both limits lie within the drawing, and the bands reach beyond the upper one.
    let height = "document.querySelector('.offset').getBBox().height";
    let limits = run("[...document.querySelectorAll('.limit')].map(it => it.getBBox().y)");
    let (upper, lower) = (limits[0].as_f64().unwrap(), limits[1].as_f64().unwrap());
    assert!(0.0 < upper && upper < lower && lower < run(height).as_f64().unwrap());
    let top = run("document.querySelector('.offset .band').getBBox().y");
    let bottom = run("(it => it.y + it.height)(document.querySelector('.offset .band').getBBox())");
    assert!(top.as_f64().unwrap() < upper, "{top} {upper}");
    assert!(bottom.as_f64().unwrap() < lower, "{bottom} {lower}");
    // It fits into a narrow window.
    let narrow = run("document.documentElement.scrollWidth <= window.innerWidth");
    assert_eq!(narrow, json!(true));
}

#[tokio::test]
async fn what_cannot_be_drawn_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = log(folder.path()).await;
    let log = log.to_str().unwrap();
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    let nonsense = folder.path().join("nonsense");
    std::fs::write(&nonsense, "{}\n").unwrap();
    let page = folder.path().join("page.html");
    let page = page.to_str().unwrap();
    for (log, page, words) in [
        ("/does/not/exist", page, "no such file or directory"),
        (empty.to_str().unwrap(), page, "nothing to draw"),
        (
            nonsense.to_str().unwrap(),
            page,
            "nonsense, line 1: not a check of a log",
        ),
        (log, log, "would replace the log"),
        (
            log,
            "/does/not/exist/page",
            "cannot write /does/not/exist/page",
        ),
        (log, "/dev/full", "no space left on device"),
    ] {
        let (exit, stdout, stderr) = run(&["report", log, "-o", page]).await;
        assert_eq!((exit, stdout.as_str()), (3, ""), "{stderr}");
        assert!(stderr.contains(words), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    assert!(!Path::new(page).exists());
    // What was there before is replaced, other limits are taken.
    std::fs::write(page, "old").unwrap();
    let (exit, ..) = run(&["report", log, "-o", page, "--max-skew", "10s"]).await;
    assert_eq!(exit, 0);
    let text = std::fs::read_to_string(page).unwrap();
    assert!(text.contains("limit ±10.000 s"));
    // A quarter of the checks found it down: too much for the one objective, little for the other.
    for (slo, words) in [
        ("99.9", "99.9 %: missed; error budget 0 s, 0 s to 0 s left"),
        ("1", "1 %: met; error budget "),
    ] {
        let (exit, ..) = run(&["report", log, "-o", page, "--slo", slo]).await;
        assert_eq!(exit, 0);
        let text = std::fs::read_to_string(page).unwrap();
        assert!(text.contains(words), "{text}");
    }
    for slo in ["0", "100", "x", "NaN"] {
        assert_eq!(
            run(&["report", log, "-o", page, "--slo", slo]).await.0,
            3,
            "{slo}"
        );
    }
    assert!(!text.contains("<script"), "names are not markup");
}

/// Logs of the forms that people have, as they would be after so long.
struct Long {
    targets: usize,
    checks: u64,
    /// Seconds from check to check.
    step: u64,
}

impl Long {
    /// Writes the log, with everything that a page can show.
    fn write(&self, file: &Path) {
        let mut log = BufWriter::new(std::fs::File::create(file).unwrap());
        for number in 0..self.checks {
            for target in 0..self.targets {
                writeln!(log, "{}", self.line(target, number)).unwrap();
            }
        }
    }

    fn line(&self, target: usize, number: u64) -> Value {
        let url = format!(
            "https://service-{target}.some-longer-name.internal.example.test/a/path/of/usual/length?and=query"
        );
        let at = |milliseconds: u64| {
            let now = (number * self.step * 1000 + milliseconds) * 1_000_000;
            json!({ "wall_ns": 1_795_305_600_000_000_000 + now, "monotonic_ns": now, "suspended_ns": 0 })
        };
        let phase = (number + 13 * target as u64) % 61;
        let address = "192.0.2.1:443";
        let answer = |instance: u64, at_ms: u64| {
            // Most are right, one wanders, and one is off for a while.
            let offset = match (phase, instance) {
                (20..25, 1) => 3_000_000_000,
                (_, 2) => 40_000_000 * phase,
                _ => 1_000_000,
            };
            let now = 1_795_305_600_000_000_000
                + (number * self.step * 1000 + at_ms + 1) * 1_000_000
                + offset;
            let name = match instance {
                1 => {
                    "arn:aws:ecs:eu-central-1:123456789012:task/cluster/0123456789abcdef".to_owned()
                }
                other => format!("pod-{other}"),
            };
            json!({ "Ok": {
                "now_ns": now, "resolution_ns": 1000, "instance": name, "version": format!("1.{}.0+{:040x}", number / 500, number / 500),
                "echo": if phase == 30 { "other" } else { "same" }, "aged": false, "source": "body", "status": 200,
            } })
        };
        let observe = |warm: bool, at_ms: u64, result: Value| json!({ "sent": at(at_ms), "received": at(at_ms + 2 + phase / 9), "stall_ms": 0, "warm": warm, "address": address, "result": result });
        let down = json!({ "Err": { "failure": "refused", "peer": address } });
        let instance = number % 9;
        let observations = match phase {
            40..44 => vec![observe(false, 0, down)],
            _ => vec![
                observe(false, 0, answer(instance, 0)),
                observe(true, 10, answer(instance, 10)),
                observe(true, 20, answer(instance, 20)),
            ],
        };
        json!({
            "event": "check", "format": 1, "run": "a", "url": url, "connect_to": null, "started": at(0), "finished": at(30),
            "stall_ms": 0, "failure": null, "observations": observations, "missed_ticks": 0, "late_ms": 0.1,
            "judged": { "verdict": "ok", "state": "ok", "kind": "clock", "max_skew_ms": 1000.0, "warn_skew_ms": 2000, "hysteresis": { "rise": 1, "fall": 1 } },
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_cut_or_faint_at_any_width() {
    // In a short form, checks are further apart.
    let step = std::env::var("PAGE_STEP").map_or(600, |text| text.parse().unwrap());
    let day = 86_400;
    for (name, log) in [
        (
            "a day",
            Long {
                targets: 1,
                checks: day / step.min(300),
                step: step.min(300),
            },
        ),
        (
            "thirty days",
            Long {
                targets: 1,
                checks: 30 * day / step,
                step,
            },
        ),
        (
            "1,000 targets",
            Long {
                targets: 1_000,
                checks: 3,
                step: 30,
            },
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (written, page) = (file("log.jsonl"), file("report.html"));
        log.write(Path::new(&written));
        let (exit, stdout, stderr) = run(&["report", &written, "-o", &page, "--slo", "99.9"]).await;
        assert_eq!((exit, &*stderr), (0, ""), "{stdout}");
        if let Ok(folder) = std::env::var("PAGE_KEEP") {
            std::fs::copy(&page, Path::new(&folder).join(format!("{name}.html"))).unwrap();
        }
        tokio::task::spawn_blocking(move || measure(name, &format!("file://{page}")))
            .await
            .unwrap();
    }
}

fn measure(name: &str, address: &str) {
    let browser = Browser::start(&[]);
    let tell = |command: &str, parameters: Value| {
        let command = json!({ "cmd": command, "params": parameters });
        browser.call("POST", "/goog/cdp/execute", &command)
    };
    for (scheme, width) in [
        ("light", 390),
        ("light", 768),
        ("light", 1280),
        ("dark", 390),
        ("dark", 1280),
    ] {
        let screen =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        tell("Emulation.setDeviceMetricsOverride", screen);
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        tell(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        );
        browser.open(address);
        let found = browser.run(include_str!("measure.js"));
        let wrong: Vec<String> = serde_json::from_value(found["wrong"].clone()).unwrap();
        assert!(
            wrong.is_empty(),
            "{name}, {width} px, {scheme}:\n{}",
            wrong.join("\n")
        );
        let texts = found["texts"].as_u64().unwrap();
        assert!(texts > 50, "{found}");
        show(&format!(
            "page of {name}, {width} px, {scheme}: {texts} texts and {} series measured, nothing cut or faint\n",
            found["series"]
        ));
    }
}
