//! The page that is drawn of a log: made by the program, looked at in a real browser.

use std::path::{Path, PathBuf};

use crate::browser::Browser;
use crate::program::run;
use crate::support::{Server, clock, now_json, ok, with_headers};
use serde_json::json;

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
