//! AWS configuration files, read once and with a size limit.

use super::limited::read_limited;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_runtime::env_config::section::EnvConfigSections;
use aws_types::os_shim_internal::{Env, Fs};

use deployment::error::Failure;

/// Maximum size of a configuration file, bytes.
const LIMIT: u64 = 1 << 20;

/// Text of the files, and the parsed profiles.
pub(super) struct Files {
    /// Text for the SDK, which would read the files again for every provider.
    pub(super) text: EnvConfigFiles,
    /// All profiles in the files.
    pub(super) profiles: EnvConfigSections,
}

impl Files {
    /// Reads the files from the locations of the AWS CLI.
    pub(super) async fn read(profile: &str) -> Result<Self, Failure> {
        let config = read_where("AWS_CONFIG_FILE", ".aws/config").await?;
        let credentials = read_where("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials").await?;
        Self::parse(profile, config, credentials).await
    }

    /// Returns empty files, for connections with credentials of their own.
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

/// Reads the file that this variable names, or the default one in the home directory. Empty if
/// there is none.
async fn read_where(variable: &str, usual: &str) -> Result<String, Failure> {
    // CI systems may set a variable that has no value to the empty string.
    let named = std::env::var_os(variable).filter(|path| !path.is_empty());
    let home = std::env::home_dir();
    let path = match (named, home) {
        // Expands `~` like the SDK: no shell does so in the settings of a CI system.
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
