//! What a release is named, says and consists of.

use std::process::{Command, Output};

use crate::read;

fn script(name: &str, arguments: &[&str]) -> Output {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test runs scripts as a workflow does"
    )]
    let mut command = Command::new(crate::root().join("scripts").join(name));
    command.args(arguments).output().unwrap()
}

/// Returns what a script prints.
fn printed(name: &str, arguments: &[&str]) -> String {
    let output = script(name, arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn table(path: &str) -> toml::Table {
    let text = std::fs::read_to_string(crate::root().join(path)).unwrap();
    text.parse().unwrap()
}

#[test]
fn the_version_comes_from_one_place() {
    let workspace = table("Cargo.toml");
    let version = workspace["workspace"]["package"]["version"]
        .as_str()
        .unwrap();
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    assert_eq!(printed("release-version", &[]), version);
    let tag = format!("v{version}");
    assert_eq!(printed("release-version", &[&tag]), version);
    for other in [version, "v0.0.0", "", "v"] {
        let refused = script("release-version", &[other]);
        assert_eq!(refused.status.code(), Some(3), "{other}: {refused:?}");
        assert!(refused.stdout.is_empty());
    }
    for program in ["acceptance", "app", "checker", "deployer"] {
        let manifest = table(&format!("{program}/Cargo.toml"));
        let inherited = manifest["package"]["version"]["workspace"].as_bool();
        assert_eq!(inherited, Some(true), "{program}");
    }
}

#[test]
fn sections_of_the_changelog_are_the_notes() {
    let changelog = std::fs::read_to_string(crate::root().join("CHANGELOG.md")).unwrap();
    let notes = printed("release-notes", &["Unreleased"]);
    assert!(notes.lines().count() > 20 && changelog.contains(&notes));
    // Of one version, and without its heading.
    assert!(!notes.lines().any(|line| line.starts_with("## ")));
    for other in ["0.0.0", "Unreleas", ""] {
        let refused = script("release-notes", &[other]);
        assert_eq!(refused.status.code(), Some(3), "{other}: {refused:?}");
    }
}

#[test]
fn cargo_binstall_finds_the_archives() {
    let package = std::fs::read_to_string(crate::root().join("scripts/package")).unwrap();
    // What is in an archive, and how it is called.
    for line in [
        "    name=\"$program-$version-$triple\"\n",
        "    install -m 755 \"$binary\" \"$tree/bin/$program\"\n",
        "        gzip -9n >\"$out/$name.tar.gz\"\n",
    ] {
        assert!(package.contains(line), "{line}");
    }
    for program in ["checker", "deployer"] {
        let manifest = table(&format!("{program}/Cargo.toml"));
        let binstall = &manifest["package"]["metadata"]["binstall"];
        let filled = |key: &str| {
            let values = [
                ("{ repo }", "https://example.com/it"),
                ("{ name }", program),
                ("{ bin }", program),
                ("{ version }", "1.2.3"),
                ("{ target }", "x86_64-unknown-linux-musl"),
            ];
            let template = binstall[key].as_str().unwrap().to_owned();
            values
                .iter()
                .fold(template, |text, (name, value)| text.replace(name, value))
        };
        let name = format!("{program}-1.2.3-x86_64-unknown-linux-musl");
        assert_eq!(
            filled("pkg-url"),
            format!("https://example.com/it/releases/download/v1.2.3/{name}.tar.gz")
        );
        assert_eq!(filled("bin-dir"), format!("{name}/bin/{program}"));
        assert_eq!(filled("pkg-fmt"), "tgz");
    }
}

#[test]
fn checksums_cover_what_is_installed_or_run() {
    let release = tempfile::tempdir().unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let archive = format!("checker-{version}-aarch64-apple-darwin.tar.gz");
    std::fs::write(release.path().join(&archive), "of macOS").unwrap();
    std::fs::write(release.path().join("image.tar"), "image").unwrap();
    let folder = release.path().to_str().unwrap();
    printed("release-files", &[folder, "https://example.com/it"]);
    let read = |name: &str| std::fs::read_to_string(release.path().join(name)).unwrap();
    let sums = read("SHA256SUMS");
    let names: Vec<&str> = sums.lines().map(|line| &line[66..]).collect();
    let expected = [
        &*archive,
        "image.tar",
        "install.sh",
        "deployer.rb",
        "checker.rb",
    ];
    assert_eq!(names, expected);
    // The formula names the checksum of its archive.
    assert!(read("checker.rb").contains(&format!("sha256 \"{}\"", &sums[..64])));
    #[expect(
        clippy::disallowed_methods,
        reason = "a test runs programs as a user does"
    )]
    let mut check = Command::new("sha256sum");
    let check = check.args(["--check", "--strict", "SHA256SUMS"]);
    assert!(check.current_dir(folder).output().unwrap().status.success());
}

#[test]
fn a_pipeline_of_gitlab_tests_first_and_plans_in_a_role_of_its_own() {
    let text = std::fs::read_to_string(crate::root().join("examples/gitlab-ci.yml")).unwrap();
    let pipeline = read::template(&text);
    assert_eq!(pipeline["deploy"]["needs"], serde_json::json!(["test"]));
    let role = |job: &str| pipeline[job]["variables"]["AWS_ROLE_ARN"].clone();
    assert_eq!(role("plan"), "$AWS_PLAN_ROLE_ARN");
    assert_eq!(role("deploy"), "$AWS_DEPLOY_ROLE_ARN");
    // Nothing that a merge request changes runs with an identity, except to plan.
    assert!(pipeline["test"]["extends"].is_null() && pipeline["test"]["id_tokens"].is_null());
    let subject = "project_path:GROUP/NAME:ref_type:branch:ref:main";
    let page = std::fs::read_to_string(crate::root().join("docs/install.md")).unwrap();
    assert!(text.contains(subject) && page.contains(subject));
}
