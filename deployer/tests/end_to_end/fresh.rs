//! A cargo project that knows nothing of the deployer: `init`, then `up`, with no edit in between.

use std::fs;

use crate::outside::Outside;
use crate::run::{CleanUp, Surroundings};
use crate::step;

const MANIFEST: &str = "[package]\nname = \"fresh\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
/// Answers every request, on the port of the examples of axum.
const MAIN: &str = r#"use std::io::{Read as _, Write as _};

fn main() -> std::io::Result<()> {
    for stream in std::net::TcpListener::bind("0.0.0.0:3000")?.incoming() {
        let mut stream = stream?;
        let _ = stream.read(&mut [0; 8192]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello");
    }
    Ok(())
}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_project() {
    // Not within this workspace.
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(folder.path().join("src")).expect("a folder");
    fs::write(folder.path().join("Cargo.toml"), MANIFEST).expect("a writable file");
    fs::write(folder.path().join("src/main.rs"), MAIN).expect("a writable file");
    let surroundings = Surroundings::in_folder(folder.path());
    let _clean_up = CleanUp(&surroundings);
    let outside = Outside::new(&surroundings);

    step("init and up");
    surroundings.deployer(&["init"]).succeeded();
    let up = surroundings.deployer(&["up", "--local"]);
    up.succeeded();
    assert!(up.stdout.contains("The service is up."), "{}", up.stdout);
    let url = outside.url().await;
    assert_eq!(surroundings.curl(url.trim_end_matches("now")), "hello");
    assert_eq!(outside.containers().await.len(), 2);

    step("and back");
    surroundings
        .deployer(&["init"])
        .failed_with(3, &["is not overwritten"]);
    surroundings.deployer(&["down", "--local"]).succeeded();
    assert_eq!(outside.containers().await, Vec::<String>::new());
}
