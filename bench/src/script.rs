//! The script that does with Docker and the AWS command line what `deployer up` does, and what it needs.

use std::path::Path;
use std::process::Command;

use crate::process::command;
use crate::setting::Setting;

/// Credentials of the emulator, and an AWS command line that was installed for us first.
pub(crate) fn prepare(setting: &Setting, program: &mut Command) {
    let own = setting.kept.with_file_name("aws-cli").join("bin");
    let path = std::env::var("PATH").unwrap_or_default();
    program
        .env("PATH", format!("{path}:{}:/usr/sbin:/sbin", own.display()))
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_PAGER", "");
    for name in ["AWS_PROFILE", "AWS_SESSION_TOKEN"] {
        program.env_remove(name);
    }
}

/// A call of the AWS command line at this port.
pub(crate) fn aws(setting: &Setting, port: u16, arguments: &[&str]) -> Command {
    let mut aws = command("aws");
    prepare(setting, &mut aws);
    aws.args(["--endpoint-url", &format!("http://127.0.0.1:{port}")]);
    aws.args(arguments);
    aws
}

/// The script for this stack, with the image's Dockerfile in this folder.
pub(crate) fn script(setting: &Setting, port: u16, stack: &str, folder: &Path) -> Command {
    let mut script = command(setting.root.join("bench/script.sh"));
    prepare(setting, &mut script);
    script.env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"));
    script.env("REGISTRY", format!("localhost:{port}"));
    script
        .arg(stack)
        .arg(setting.root.join("infra/service.yaml"))
        .arg(folder);
    script
}
