//! Origin of the credentials, which decides the hint when they are refused.

use chrono::{DateTime, Utc};

/// Results of the search for credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Origin of the credentials.
    pub origin: Origin,
    /// Region of the calls.
    pub region: String,
    /// Expiry of the credentials, if known.
    pub end: Option<DateTime<Utc>>,
    /// Certificates to trust instead of this machine's, in PEM.
    pub roots: Vec<String>,
}

/// Origin of the credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Access keys in the environment.
    Environment,
    /// Profile of the AWS configuration files.
    Profile(ProfileOrigin),
    /// Token in the file that `AWS_WEB_IDENTITY_TOKEN_FILE` names.
    WebIdentity,
    /// Container credentials endpoint.
    Container,
    /// Instance metadata of the EC2 instance that this runs on.
    Machine,
}

/// Origin of a profile's credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileOrigin {
    /// Profile in use.
    pub profile: String,
    /// Profile with the first credentials: the same one, or the last in a chain of
    /// `source_profile`s.
    pub base: String,
    /// Kind of credentials in `base`.
    pub kind: Kind,
    /// Set if a role is assumed with them.
    pub assumes_role: bool,
    /// Profile in the chain that has an `mfa_serial`.
    pub mfa: Option<String>,
}

/// Kind of credentials in a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Access keys.
    Keys,
    /// `credential_process`, a program that prints credentials.
    Process,
    /// Session of IAM Identity Center.
    Sso,
    /// Session of `aws login`.
    Login,
    /// Token of an identity provider, in this file.
    WebIdentity(String),
    /// `credential_source`.
    Source(String),
    /// No credentials: the rest of the provider chain applies.
    Nothing,
}

impl Origin {
    /// Returns the profile, if the credentials come from one.
    pub fn profile(&self) -> Option<&ProfileOrigin> {
        match self {
            Self::Profile(profile) => Some(profile),
            Self::Environment | Self::WebIdentity | Self::Container | Self::Machine => None,
        }
    }

    /// Returns a hint on how to renew the credentials.
    pub fn renewal(&self) -> String {
        match self {
            Self::Environment => "the access keys in the environment are used: set new ones, and \
                `AWS_SESSION_TOKEN` if they are temporary; in CI, request them again in this job, \
                or for longer"
                .to_owned(),
            Self::WebIdentity => {
                "request a new token: `AWS_WEB_IDENTITY_TOKEN_FILE` names the file it belongs in"
                    .to_owned()
            }
            Self::Container => {
                "the credentials are those of this container: check its role".to_owned()
            }
            Self::Machine => "the credentials are those of this machine: check the role of its \
                instance profile"
                .to_owned(),
            Self::Profile(profile) => profile.renewal(),
        }
    }
}

impl ProfileOrigin {
    /// Returns a hint on how to renew the credentials of this profile.
    fn renewal(&self) -> String {
        let Self { base, kind, .. } = self;
        match kind {
            Kind::Keys => format!(
                "the access keys of profile `{base}` are used: replace them: `aws configure{}`",
                option(base)
            ),
            Kind::Process => format!(
                "profile `{base}` gets its credentials from its `credential_process`: \
                run that command to see what it says"
            ),
            Kind::Sso => format!("log in again: `aws sso login{}`", option(base)),
            Kind::Login => format!("log in again: `aws login{}`", option(base)),
            Kind::WebIdentity(file) => {
                format!("put a new token into `{file}`, as profile `{base}` names it")
            }
            Kind::Source(source) => {
                format!("profile `{base}` gets its credentials from `{source}`: check that")
            }
            Kind::Nothing => format!(
                "profile `{base}` holds no credentials: log in (`aws sso login{0}` or `aws login{0}`), or \
                name another one with `--profile`",
                option(base)
            ),
        }
    }
}

/// Returns the AWS CLI option that selects this profile, with a leading space.
pub fn option(profile: &str) -> String {
    // None of these characters has a meaning for a POSIX shell.
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@+=,".contains(c);
    match profile {
        "default" => String::new(),
        _ if !profile.is_empty() && profile.chars().all(plain) => format!(" --profile {profile}"),
        // Quoted for a POSIX shell, because users paste the hint.
        _ => format!(" --profile '{}'", profile.replace('\'', r"'\''")),
    }
}
