//! Where credentials come from: decides what helps when they are refused.

use chrono::{DateTime, Utc};

/// What is known once credentials are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where they come from.
    pub origin: Origin,
    /// Region that is used.
    pub region: String,
    /// When they end, if anything says so.
    pub end: Option<DateTime<Utc>>,
    /// Certificates to trust instead of this machine's, in PEM.
    pub roots: Vec<String>,
}

/// Where credentials come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Access keys in the environment.
    Environment,
    /// A profile of the AWS configuration files.
    Profile(ProfileOrigin),
    /// The token that `AWS_WEB_IDENTITY_TOKEN_FILE` names.
    WebIdentity,
    /// The container that this runs in.
    Container,
    /// The machine that this runs on, where it is one of AWS's.
    Machine,
}

/// How a profile comes by its credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileOrigin {
    /// The profile that is used.
    pub profile: String,
    /// The one that holds the first credentials: the same, or the last in a chain of `source_profile`s.
    pub base: String,
    /// What that one holds.
    pub kind: Kind,
    /// Whether a role is assumed with them.
    pub assumes_role: bool,
    /// The profile in the chain that has an `mfa_serial`.
    pub mfa: Option<String>,
}

/// What a profile holds to get credentials by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Access keys.
    Keys,
    /// A program that prints credentials.
    Process,
    /// A session of IAM Identity Center.
    Sso,
    /// A session of `aws login`.
    Login,
    /// The token of an identity provider, in this file.
    WebIdentity(String),
    /// `credential_source`.
    Source(String),
    /// Nothing: the rest of the chain is asked.
    Nothing,
}

impl Origin {
    /// The one that a profile is: the other ones have none.
    pub fn profile(&self) -> Option<&ProfileOrigin> {
        match self {
            Self::Profile(profile) => Some(profile),
            Self::Environment | Self::WebIdentity | Self::Container | Self::Machine => None,
        }
    }

    /// Tells what renews the credentials, as a hint.
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
    /// Tells what renews the credentials of this profile, as a hint.
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

/// The option that names this profile to the AWS CLI.
pub fn option(profile: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@+=,".contains(c);
    match profile {
        "default" => String::new(),
        _ if !profile.is_empty() && profile.chars().all(plain) => format!(" --profile {profile}"),
        _ => format!(" --profile '{}'", profile.replace('\'', r"'\''")),
    }
}
