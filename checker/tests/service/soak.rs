//! The program at work for a while: its grid stays, and so do its memory and its descriptors. `make soak` lets it run for five
//! minutes.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::program::{checker, json_lines, signal};
use crate::support::{Server, service};
use tokio::io::AsyncReadExt as _;

const INTERVAL_MS: i64 = 200;

fn seconds() -> u64 {
    std::env::var("SOAK_SECONDS").map_or(15, |text| text.parse().unwrap())
}

/// Resident memory in KiB, and open descriptors.
fn size(process: u32) -> (u64, usize) {
    let folder = PathBuf::from(format!("/proc/{process}"));
    let status = std::fs::read_to_string(folder.join("status")).unwrap();
    let memory = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .unwrap();
    let descriptors = std::fs::read_dir(folder.join("fd")).unwrap().count();
    (memory.trim().parse().unwrap(), descriptors)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_grows_and_the_grid_stays() {
    let server = Server::start(service(0)).await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.jsonl");
    let url = server.url();
    let interval = format!("{INTERVAL_MS}ms");
    let arguments = [
        &url,
        "--interval",
        &interval,
        "--output",
        "json",
        "--log",
        log.to_str().unwrap(),
        "--prometheus",
        "127.0.0.1:0",
    ];
    let mut child = checker(&arguments).spawn().unwrap();
    let id = child.id().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let reader = tokio::spawn(async move {
        let mut text = String::new();
        stdout.read_to_string(&mut text).await.unwrap();
        text
    });
    let whole = Duration::from_secs(seconds());
    let started = Instant::now();
    let mut sizes = Vec::new();
    while started.elapsed() < whole {
        tokio::time::sleep(Duration::from_millis(97)).await;
        sizes.push(size(id));
    }
    signal(&child, "TERM").await;
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
    let lines = json_lines(&reader.await.unwrap());
    let (checks, summary) = lines.split_at(lines.len() - 1);
    let times: Vec<i64> = checks
        .iter()
        .map(|check| {
            let text = check["started_at"].as_str().unwrap();
            chrono::DateTime::parse_from_rfc3339(text)
                .unwrap()
                .timestamp_millis()
        })
        .collect();
    // Each check is at its place on the grid of the first, but for what the machine was late.
    let mut late: Vec<i64> = times
        .iter()
        .map(|time| (time - times[0] + INTERVAL_MS / 4).rem_euclid(INTERVAL_MS) - INTERVAL_MS / 4)
        .collect();
    let (first, last) = late.split_at(late.len() / 2);
    // The least late ones: a grid that drifts makes all of them late, a busy machine does not.
    let earliest = |part: &[i64]| part.iter().copied().min().unwrap();
    let drift = earliest(last) - earliest(first);
    late.sort_unstable();
    // After a while of warming up, in which connections and buffers find their size.
    let settled = &sizes[sizes.len() / 4..];
    let smallest = |of: &dyn Fn(&(u64, usize)) -> u64, part: &[(u64, usize)]| {
        part.iter().map(of).min().unwrap()
    };
    let (earlier, later) = settled.split_at(settled.len() / 2);
    let memory = |part| smallest(&|size| size.0, part);
    let descriptors = |part| smallest(&|size| u64::try_from(size.1).unwrap(), part);
    println!(
        "{} checks in {} s; drift of the grid {drift} ms, latest {} ms; memory {} then {} KiB; descriptors {} then {}",
        checks.len(),
        whole.as_secs(),
        late[late.len() - 1],
        memory(earlier),
        memory(later),
        descriptors(earlier),
        descriptors(later)
    );
    let expected = i64::try_from(whole.as_millis()).unwrap() / INTERVAL_MS;
    let missed = summary[0]["missed_ticks"].as_i64().unwrap();
    let all = i64::try_from(checks.len()).unwrap() + missed;
    assert!(
        (all - expected).abs() <= 1 + expected / 100,
        "{all} of {expected}"
    );
    assert!(drift.abs() <= 5, "{drift} ms");
    assert!(memory(later) <= memory(earlier) + 512, "{sizes:?}");
    assert!(descriptors(later) <= descriptors(earlier), "{sizes:?}");
    let lines_logged = std::fs::read_to_string(&log).unwrap().lines().count();
    assert_eq!(lines_logged, checks.len());
}
