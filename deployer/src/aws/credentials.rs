//! Why there are no credentials, and the command that brings them back.

use crate::config::Access;
use crate::error::Failure;

/// The command that logs in to SSO with the profile that is used.
pub(crate) fn login_command(access: &Access) -> String {
    match &access.profile {
        Some(profile) => format!("aws sso login --profile {}", quoted(profile)),
        None => "aws sso login".to_owned(),
    }
}

/// The failure that this chain of causes stands for.
pub(crate) fn failure(access: &Access, cause: &str) -> Failure {
    let locally = "without an AWS account: `deployer up --local` runs everything on this machine";
    let login = login_command(access);
    if is_about_sso(cause) {
        return Failure::preflight("the SSO session has expired, or was never begun")
            .because(cause)
            .hint(format!("log in: `{login}`"))
            .hint(locally);
    }
    let failure = Failure::preflight("no usable AWS credentials").because(cause);
    let failure = match &access.profile {
        Some(profile) if cause.contains("was not defined") => failure.hint(format!(
            "is there a profile `{profile}`? `aws configure list-profiles` shows all"
        )),
        Some(_) => failure.hint(format!("log in: `{login}`")),
        None => failure.hint(format!(
            "log in (`{login}`), or set `AWS_PROFILE` or `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`"
        )),
    };
    failure.hint(locally)
}

/// Do these causes, as the SDK tells them, speak of an SSO session that is over or not there?
fn is_about_sso(cause: &str) -> bool {
    const SIGNS: [&str; 4] = [
        // The token is over.
        "SSO token",
        // There is none, or it cannot be read.
        "sso/cache",
        "sso\\cache",
        // AWS itself says that it is over.
        "Session token not found or invalid",
    ];
    SIGNS.iter().any(|sign| cause.contains(sign))
}

/// A name as a shell takes it.
fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@+=,".contains(c);
    if !name.is_empty() && name.chars().all(plain) {
        name.to_owned()
    } else {
        format!("'{}'", name.replace('\'', r"'\''"))
    }
}
