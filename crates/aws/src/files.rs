//! AWS's configuration files, read once and with a limit.

use super::limited::read_limited;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_runtime::env_config::section::EnvConfigSections;
use aws_types::os_shim_internal::{Env, Fs};

use deployment::error::Failure;

/// Largest configuration file that is read, bytes.
const LIMIT: u64 = 1 << 20;

/// The files' text, and what it means.
pub(super) struct Files {
    /// For the SDK, which would read them again and again.
    pub(super) text: EnvConfigFiles,
    /// All profiles in them.
    pub(super) profiles: EnvConfigSections,
}

impl Files {
    /// Reads them where the AWS CLI does.
    pub(super) async fn read(profile: &str) -> Result<Self, Failure> {
        let config = read_where("AWS_CONFIG_FILE", ".aws/config").await?;
        let credentials = read_where("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials").await?;
        Self::parse(profile, config, credentials).await
    }

    /// Makes as if there were none, for what has its own credentials.
    pub(super) async fn none() -> Result<Self, Failure> {
        Self::parse("default", String::new(), String::new()).await
    }

    async fn parse(profile: &str, config: String, credentials: String) -> Result<Self, Failure> {
        let text = EnvConfigFiles::builder()
            .with_contents(EnvConfigFileKind::Config, config)
            .with_contents(EnvConfigFileKind::Credentials, credentials)
            .build();
        let selected = Some(Cow::Owned(profile.to_owned()));
        let parsed = aws_config::profile::load(&Fs::real(), &Env::real(), &text, selected).await;
        let profiles = parsed.map_err(|error| {
            Failure::preflight("the AWS configuration files cannot be read")
                .because(super::error::chain(&error))
                .hint("correct them: `~/.aws/config` and `~/.aws/credentials`, or what `AWS_CONFIG_FILE` and `AWS_SHARED_CREDENTIALS_FILE` name")
        })?;
        Ok(Self { text, profiles })
    }
}

/// Reads the file that this variable names, or this one of the home. Empty where there is none.
async fn read_where(variable: &str, usual: &str) -> Result<String, Failure> {
    let named = std::env::var_os(variable).filter(|path| !path.is_empty());
    let home = std::env::home_dir();
    let path = match (named, home) {
        (Some(named), Some(home)) => match Path::new(&named).strip_prefix("~") {
            Ok(rest) => home.join(rest),
            Err(_) => PathBuf::from(named),
        },
        (Some(named), None) => PathBuf::from(named),
        (None, Some(home)) => home.join(usual),
        (None, None) => return Ok(String::new()),
    };
    let text = read_limited(&path, LIMIT).await.map_err(|error| {
        Failure::preflight(format!("cannot read `{}`", path.display())).because(error)
    })?;
    let Some(text) = text else {
        return Ok(String::new());
    };
    String::from_utf8(text)
        .map_err(|_not_text| Failure::preflight(format!("`{}` is not UTF-8 text", path.display())))
}
