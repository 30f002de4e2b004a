//! Programs that a test writes and then runs.
//!
//! A process that another thread starts meanwhile inherits the file while it is open for writing,
//! and Linux runs no such file (`ETXTBSY`). Here another process writes it, so that this one never
//! has it open.

#![expect(
    clippy::disallowed_methods,
    reason = "a test runs programs as a user does"
)]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Writes a script that can be run at once, and its folder.
pub fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer = Command::new("sh");
    writer.args(["-c", "cat >\"$0\" && chmod 755 \"$0\""]);
    let mut writer = writer.arg(path).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = writer.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    assert!(writer.wait().unwrap().success(), "{}", path.display());
}

/// Copies a program, so that it can be run at once.
pub fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").args([from, to]).status().unwrap();
    assert!(status.success(), "{}", to.display());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_runs_while_others_start_programs() {
        let folder = std::env::temp_dir().join(format!("programs-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let end = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !end.load(std::sync::atomic::Ordering::Relaxed) {
                    assert!(Command::new("true").status().unwrap().success());
                }
            });
            let statuses: Vec<_> = (0..50)
                .map(|number| {
                    let path = folder.join(number.to_string());
                    write(&path, "#!/bin/sh\nexit 3\n");
                    let copied = folder.join(format!("{number}-copied"));
                    copy(&path, &copied);
                    [path, copied].map(|path| Command::new(path).status().map(|it| it.code()))
                })
                .collect();
            end.store(true, std::sync::atomic::Ordering::Relaxed);
            for status in statuses.into_iter().flatten() {
                assert_eq!(status.unwrap(), Some(3));
            }
        });
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
