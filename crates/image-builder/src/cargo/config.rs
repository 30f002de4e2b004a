//! Compiler flags in `.cargo/config.toml`.
//!
//! Cargo ignores them as soon as flags come from the environment, as the builder's own do.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use crate::dockerfile::without_crt_static;
use cargo_platform::{Cfg, Platform};
use support::input;
use toml::Value;

/// Files with settings of cargo in a folder. It reads only the first one that exists.
pub(super) const FILES: [&str; 2] = [".cargo/config", ".cargo/config.toml"];

/// Reads the project's files, outermost first: those of a folder, and of the folders above up to the
/// root of the workspace. The files of a user or a machine do not count. One that cannot be read is
/// reported by cargo.
pub(super) fn read(folder: &Path, workspace: &Path) -> Vec<toml::Table> {
    let above = folder.ancestors();
    let mut folders: Vec<&Path> = above.take_while(|it| it.starts_with(workspace)).collect();
    folders.reverse();
    let file = |folder: &&Path| {
        let files = FILES.map(|name| folder.join(name)).into_iter();
        let mut files = files.filter(|file: &PathBuf| file.is_file());
        let text = input::text(&files.next()?, input::WRITTEN_BY_HAND).ok()?;
        toml::from_str(&text).ok()
    };
    folders.iter().filter_map(file).collect()
}

/// Returns whether the properties of the target are needed to know which flags apply.
pub(super) fn asks_for_cfg(files: &[toml::Table]) -> bool {
    let mut keys = files.iter().filter_map(targets).flat_map(toml::Table::keys);
    keys.any(|key| key.starts_with("cfg("))
}

/// Returns the flags for a target with these properties. As in cargo, all that match the target are
/// joined, and those for every target only count if there are none.
pub(super) fn rustflags(files: &[toml::Table], target: &str, cfgs: &[Cfg]) -> Vec<String> {
    let fits =
        |key: &str| Platform::from_str(key).is_ok_and(|platform| platform.matches(target, cfgs));
    let of_targets = files.iter().filter_map(targets).flatten();
    let of_target = of_targets
        .filter(|(key, _)| fits(key))
        .filter_map(|(_, it)| it.get("rustflags"));
    let mut flags: Vec<String> = of_target.flat_map(list).collect();
    if flags.is_empty() {
        let build = files
            .iter()
            .filter_map(|file| file.get("build")?.get("rustflags"));
        flags = build.flat_map(list).collect();
    }
    without_decided(flags)
}

/// Returns the properties of a target as `rustc --print cfg` lists them.
pub(super) fn cfgs(said: &str) -> Vec<Cfg> {
    said.lines().filter_map(|line| line.parse().ok()).collect()
}

fn targets(file: &toml::Table) -> Option<&toml::Table> {
    file.get("target")?.as_table()
}

/// Returns flags that are written as a list, or as a text.
fn list(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => text.split_whitespace().map(ToOwned::to_owned).collect(),
        Value::Array(flags) => {
            let flags = flags.iter().filter_map(Value::as_str);
            flags.map(ToOwned::to_owned).collect()
        }
        Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Table(_) => Vec::new(),
    }
}

/// Leaves out what is decided here: `crt-static`, since the program of an image is linked statically,
/// and the linker, which may not be installed on this machine.
fn without_decided(flags: Vec<String>) -> Vec<String> {
    let undecided = |setting: &str| {
        let is_linker = setting.starts_with("linker=") || setting.starts_with("link-arg=-fuse-ld=");
        if setting.starts_with("target-feature=") {
            without_crt_static(setting)
        } else {
            (!is_linker).then(|| setting.to_owned())
        }
    };
    let mut kept: Vec<String> = Vec::new();
    for flag in flags {
        let is_setting = kept
            .last()
            .is_some_and(|it| it == "-C" || it == "--codegen");
        if is_setting {
            match undecided(&flag) {
                Some(setting) => kept.push(setting),
                None => drop(kept.pop()),
            }
        } else if let Some(setting) = flag.strip_prefix("-C").filter(|it| !it.is_empty()) {
            kept.extend(undecided(setting).map(|setting| format!("-C{setting}")));
        } else {
            kept.push(flag);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(files: &[&str]) -> String {
        let files: Vec<toml::Table> = files.iter().map(|it| toml::from_str(it).unwrap()).collect();
        let cfgs = cfgs("target_os=\"linux\"\nunix\ntarget_env=\"gnu\"\n");
        rustflags(&files, "x86_64-unknown-linux-gnu", &cfgs).join(" ")
    }

    #[test]
    fn flags_are_chosen_and_joined_as_cargo_does() {
        let every = "[build]\nrustflags = ['--cfg', 'a b']";
        assert_eq!(flags(&[every]), "--cfg a b");
        assert_eq!(
            flags(&["build.rustflags = ' -Ca=1  --cfg b'", every]),
            "-Ca=1 --cfg b --cfg a b"
        );
        let target = "[target.x86_64-unknown-linux-gnu]\nrustflags = ['-Cb=1']\n[target.aarch64-unknown-linux-gnu]\nrustflags = ['-Cc=1']";
        let cfg = "[target.'cfg(all(unix, target_env = \"gnu\"))']\nrustflags = '-Cd=1'\n[target.'cfg(windows)']\nrustflags = '-Ce=1'";
        assert_eq!(flags(&[every, target]), "-Cb=1");
        assert_eq!(flags(&[cfg, every, target]), "-Cd=1 -Cb=1");
        // Neither flags, nor anything that cargo would take for some.
        let other = "[target.'cfg(']\nrustflags = 1\n[target.x86_64-unknown-linux-gnu]\nlinker = 'x'\n[build]\nrustflags = [1]";
        assert_eq!(flags(&[other, "target = 1", "build = 1"]), "");
    }

    #[test]
    fn linking_is_decided_here() {
        let file = "build.rustflags = ['-C', 'target-feature=-crt-static', '-Ctarget-feature=-crt-static', '-C', 'x=1', '-C', 'link-arg=-fuse-ld=lld', '-Clinker=clang', '-Clink-arg=-s']";
        assert_eq!(flags(&[file]), "-C x=1 -Clink-arg=-s");
        let file = "build.rustflags = '-Ctarget-feature=+aes,-crt-static -C target-feature=-crt-static,+sse3'";
        assert_eq!(
            flags(&[file]),
            "-Ctarget-feature=+aes -C target-feature=+sse3"
        );
    }

    #[test]
    fn files_of_the_project_are_read_from_the_outside_in() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(".cargo/config.toml", "level = 0");
        write("project/.cargo/config.toml", "level = 1");
        write("project/api/.cargo/config", "level = 2");
        write("project/api/.cargo/config.toml", "level = 3");
        write("project/api/app/.cargo/config.toml", "no TOML");
        let project = folder.path().join("project");
        let files = read(&project.join("api/app"), &project);
        let levels: Vec<i64> = files
            .iter()
            .map(|it| it["level"].as_integer().unwrap())
            .collect();
        assert_eq!(levels, [1, 2]);
        assert!(!asks_for_cfg(&files));
        assert!(asks_for_cfg(&[
            toml::from_str("[target.'cfg(unix)']").unwrap()
        ]));
    }
}
