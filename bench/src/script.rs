//! Script that deploys with Docker and the AWS CLI, and its environment.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::command;
use crate::setting::Setting;

/// Sets the credentials of the emulator at this port, and `PATH` with the AWS command line that
/// `bench/setup` installed.
pub(crate) fn prepare(setting: &Setting, port: u16, program: &mut Command) {
    let own = setting.kept.with_file_name("aws-cli").join("bin");
    let path = std::env::var("PATH").unwrap_or_default();
    program
        .env("PATH", format!("{path}:{}:/usr/sbin:/sbin", own.display()))
        .env("AWS_SHARED_CREDENTIALS_FILE", credentials(port))
        // Settings of the user must not affect the measurement.
        .env("AWS_CONFIG_FILE", "/nonexistent")
        .env("DOCKER_CONFIG", setting.scratch().join("docker"))
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_PAGER", "");
    for name in [
        "AWS_PROFILE",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
    ] {
        program.env_remove(name);
    }
}

/// Returns the path of the credentials that the deployer writes for the emulator.
fn credentials(port: u16) -> PathBuf {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from);
    folder("XDG_CACHE_HOME")
        .or_else(|| folder("HOME").map(|home| home.join(".cache")))
        .unwrap_or_default()
        .join(format!("deployer/emulator-{port}.credentials"))
}

/// Prepares a call of the AWS command line at this port.
pub(crate) fn aws(setting: &Setting, port: u16, arguments: &[&str]) -> Command {
    let mut aws = command("aws");
    prepare(setting, port, &mut aws);
    aws.args(["--endpoint-url", &format!("http://127.0.0.1:{port}")]);
    aws.args(arguments);
    aws
}

/// Prepares the script for this stack and template, with the image's Dockerfile in this folder.
pub(crate) fn script(
    setting: &Setting,
    port: u16,
    (stack, template): (&str, &Path),
    folder: &Path,
) -> Command {
    let mut script = command(setting.root.join("bench/script.sh"));
    prepare(setting, port, &mut script);
    script.env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"));
    script.env("REGISTRY", format!("localhost:{port}"));
    script.arg(stack).arg(template).arg(folder);
    script
}
