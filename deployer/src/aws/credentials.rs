//! Why there are no credentials, and the command that brings them back.

use std::path::PathBuf;

use aws_config::BehaviorVersion;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_sdk_sts::config::SharedCredentialsProvider;

use crate::config::Access;
use crate::error::Failure;

/// Replaces the credentials of this configuration by the profile's, where a profile comes before keys in the environment. As in
/// the AWS CLI, that is so for a profile that was asked for, and not for `AWS_PROFILE`.
#[expect(
    clippy::disallowed_types,
    reason = "one of the files that configure SDK clients"
)]
pub(super) fn of_profile_first(
    access: &Access,
    config: aws_config::SdkConfig,
) -> aws_config::SdkConfig {
    let Some(profile) = &access.profile else {
        return config;
    };
    if !access.profile_source.beats_environment_keys() {
        return config;
    }
    // A provider that is built outside the loader gets nothing from it. It panics without an HTTP client, and roles are not
    // assumed without a region.
    let mut settings = ProviderConfig::without_region()
        .with_behavior_version(Some(BehaviorVersion::latest()))
        .with_region(config.region().cloned())
        .with_use_fips(config.use_fips())
        .with_use_dual_stack(config.use_dual_stack());
    if let Some(client) = config.http_client() {
        settings = settings.with_http_client(client);
    }
    if let Some(retries) = config.retry_config() {
        settings = settings.with_retry_config(retries.clone());
    }
    if let Some(timeouts) = config.timeout_config() {
        settings = settings.with_timeout_config(timeouts.clone());
    }
    let provider = ProfileFileCredentialsProvider::builder()
        .configure(&settings)
        .profile_name(profile)
        .build();
    config
        .into_builder()
        .credentials_provider(SharedCredentialsProvider::new(provider))
        .build()
}

/// The command that logs in to SSO with the profile that is used, or with the one that it takes its credentials from.
pub(crate) fn login_command(access: &Access) -> String {
    login_command_by(access, &read_aws_config())
}

fn login_command_by(access: &Access, aws_config: &str) -> String {
    let profile = access.profile.as_deref().unwrap_or("default");
    match source_of(aws_config, profile) {
        Some(source) => login_with(Some(&source)),
        None => login_with(access.profile.as_deref()),
    }
}

fn login_with(profile: Option<&str>) -> String {
    match profile {
        Some(profile) => format!("aws sso login --profile {}", quoted(profile)),
        None => "aws sso login".to_owned(),
    }
}

/// The failure that this chain of causes stands for. `aws_config` is the text of AWS's configuration file: the profile that is
/// used may take its credentials from another one, and only that one can log in.
pub(crate) fn failure(access: &Access, cause: &str, aws_config: &str) -> Failure {
    let locally = "without an AWS account: `deployer up --local` runs everything on this machine";
    let login = login_command_by(access, aws_config);
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

/// The text of AWS's configuration file, where it is for the AWS command line too; empty where there is none.
pub(super) fn read_aws_config() -> String {
    let path = std::env::var_os("AWS_CONFIG_FILE")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".aws/config")));
    path.and_then(|path| std::fs::read_to_string(path).ok())
        .unwrap_or_default()
}

/// The profile that this one takes its credentials from in the end, if it is another one.
fn source_of(aws_config: &str, profile: &str) -> Option<String> {
    let mut found = profile.to_owned();
    // Longer chains do not work anyway, and one that bites its tail has no end.
    for _ in 0..10 {
        match source_profile(aws_config, &found) {
            Some(source) if source != found => found = source,
            Some(_) | None => break,
        }
    }
    Some(found).filter(|found| found != profile)
}

/// The value of `source_profile` in the section of this profile.
fn source_profile(aws_config: &str, profile: &str) -> Option<String> {
    let mut inside = false;
    for line in aws_config.lines() {
        if let Some(section) = line.trim().strip_prefix('[') {
            let name = section.split(']').next().unwrap_or_default().trim();
            let name = name.strip_prefix("profile ").unwrap_or(name);
            inside = name.trim().trim_matches('"') == profile;
        } else if inside
            && let Some((key, value)) = line.split_once('=')
            && key.trim() == "source_profile"
        {
            return Some(value.trim().to_owned());
        }
    }
    None
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::settings;

    const AWS_CONFIG: &str = "\
[default]
region = eu-central-1
[sso-session corp]
sso_region = eu-central-1
[profile work]
sso_session = corp
[profile deploy]
role_arn = arn:aws:iam::123456789012:role/deploy
source_profile = through
[profile \"through\"]
source_profile=work
[profile tail]
source_profile = tail
";

    /// What the SDK says, word for word.
    const EXPIRED: &str = "an error occurred while loading credentials: an error occurred while loading an access token: the SSO token has expired and cannot be refreshed";
    const NEVER_BEGUN: &str = "an error occurred while loading credentials: an error occurred while loading an access token: failed to load the cached SSO token";
    const NEVER_BEGUN_IN_THE_OLD_WAY: &str = "an error occurred while loading credentials: failed to read `/home/me/.aws/sso/cache/e8be5486177c.json`: No such file or directory (os error 2)";
    const NONE: &str = "the credential provider was not enabled: no credentials found in chain";

    fn first_hint(profile: Option<&str>, cause: &str) -> String {
        let mut access = settings().access;
        access.profile = profile.map(str::to_owned);
        let failure = failure(&access, cause, AWS_CONFIG);
        format!("{}: {}", failure.message, failure.hints[0])
    }

    #[test]
    fn the_command_that_helps() {
        let table = [
            (Some("work"), EXPIRED),
            (Some("my work"), NEVER_BEGUN),
            (None, NEVER_BEGUN_IN_THE_OLD_WAY),
            (Some("deploy"), EXPIRED),
            (Some("tail"), EXPIRED),
            (Some("work"), NONE),
            (None, NONE),
            (Some("lost"), "profile `lost` was not defined"),
        ]
        .map(|(profile, cause)| first_hint(profile, cause));
        insta::assert_snapshot!(table.join("\n"), @"
        the SSO session has expired, or was never begun: log in: `aws sso login --profile work`
        the SSO session has expired, or was never begun: log in: `aws sso login --profile 'my work'`
        the SSO session has expired, or was never begun: log in: `aws sso login`
        the SSO session has expired, or was never begun: log in: `aws sso login --profile work`
        the SSO session has expired, or was never begun: log in: `aws sso login --profile tail`
        no usable AWS credentials: log in: `aws sso login --profile work`
        no usable AWS credentials: log in (`aws sso login`), or set `AWS_PROFILE` or `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`
        no usable AWS credentials: is there a profile `lost`? `aws configure list-profiles` shows all
        ");
    }
}
