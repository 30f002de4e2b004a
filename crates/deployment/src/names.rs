//! Newtypes for names and identifiers, validated once when they are parsed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Name of the container in the template, and prefix of its log streams.
pub const CONTAINER: &str = "app";

/// Error for a name that does not have the required form.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{what} `{given}` is not valid: {rule}")]
pub struct InvalidName {
    pub(crate) what: &'static str,
    pub(crate) given: String,
    pub(crate) rule: &'static str,
}

/// Name of a CloudFormation stack: 1–128 of `[A-Za-z0-9-]`, starting with a letter (API reference
/// of `CreateStack`).
///
/// Resource names derive from it, and some of those are limited to 32 characters. It may have at
/// most 100 characters here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct StackName(String);

impl StackName {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StackName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let starts_with_letter = text.starts_with(|first: char| first.is_ascii_alphabetic());
        let allowed = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if starts_with_letter && allowed && text.len() <= 100 {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName {
                what: "stack name",
                given: text.to_owned(),
                rule: "a letter, then letters, digits and hyphens, at most 100",
            })
        }
    }
}

impl TryFrom<String> for StackName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<StackName> for String {
    fn from(name: StackName) -> Self {
        name.0
    }
}

impl fmt::Display for StackName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// ARN of one stack. Survives its deletion and never matches another stack of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct StackId(String);

impl StackId {
    /// Returns the UUID that distinguishes this stack from others of its name: the last part of its
    /// ARN.
    pub fn unique(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// Returns the identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the region of the stack: the fourth part of the ARN.
    pub fn region(&self) -> Option<&str> {
        // Partition, service and region follow the prefix.
        let region = self.0.strip_prefix("arn:")?.split(':').nth(2)?;
        Some(region).filter(|region| !region.is_empty())
    }
}

impl FromStr for StackId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let is_arn = text
            .strip_prefix("arn:")
            .is_some_and(|rest| !rest.is_empty());
        if is_arn && !text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName {
                what: "stack identifier",
                given: text.to_owned(),
                rule: "an ARN is expected",
            })
        }
    }
}

/// Declares newtypes for identifiers that AWS assigns, kept verbatim.
macro_rules! aws_names {
    ($($(#[$meta:meta])* $name:ident,)+) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
        pub struct $name(String);

        impl $name {
            /// Wraps the text without validation.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl From<&$name> for String {
            fn from(name: &$name) -> Self {
                name.0.clone()
            }
        }
    )+};
}

aws_names! {
    /// Idempotency token of a request to CloudFormation.
    RequestToken,
    /// Identifier of a change set.
    ChangeSetId,
    /// Name of an image repository, without its registry.
    RepositoryName,
    /// Name of an ECS cluster.
    ClusterName,
    /// Name or ARN of an ECS service.
    ServiceName,
    /// Identifier of a deployment of an ECS service.
    DeploymentId,
    /// ARN of a task definition.
    TaskDefinitionArn,
    /// ARN of a target group.
    TargetGroupArn,
    /// ARN of a load balancer.
    LoadBalancerArn,
    /// Name of a log group.
    LogGroupName,
    /// Name of a log stream.
    LogStreamName,
}

/// Reference to a stack: by name, which never finds a deleted one, or by ARN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StackRef<'a> {
    /// Current stack of this name.
    Name(&'a StackName),
    /// One particular stack, deleted or not.
    Id(&'a StackId),
}

impl<'a> StackRef<'a> {
    /// Returns the name or the identifier.
    pub fn as_str(self) -> &'a str {
        match self {
            Self::Name(name) => name.as_str(),
            Self::Id(id) => id.as_str(),
        }
    }
}

impl<'a> From<&'a StackName> for StackRef<'a> {
    fn from(name: &'a StackName) -> Self {
        Self::Name(name)
    }
}

impl<'a> From<&'a StackId> for StackRef<'a> {
    fn from(id: &'a StackId) -> Self {
        Self::Id(id)
    }
}

/// Host and port, as in `localhost:4566` or `[::1]:4566`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(into = "String")]
pub struct HostPort {
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port, never 0.
    pub port: u16,
}

impl FromStr for HostPort {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let invalid = || InvalidName {
            what: "address",
            given: text.to_owned(),
            rule: "HOST:PORT is expected, as in `localhost:4566`",
        };
        // Split at the last colon: an IPv6 address contains colons of its own.
        let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        let port = port
            .parse()
            .ok()
            // Port 0 means any free port, to which nobody can connect.
            .filter(|port| *port != 0)
            .ok_or_else(invalid)?;
        let host = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(host);
        // These characters would give a URL that is built from the address another meaning.
        let plain = !host.is_empty() && !host.contains(['/', '@', ' ', '?', '#']);
        if plain {
            Ok(Self {
                host: host.to_owned(),
                port,
            })
        } else {
            Err(invalid())
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An IPv6 address needs brackets in front of a port.
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

impl From<HostPort> for String {
    fn from(address: HostPort) -> Self {
        address.to_string()
    }
}

/// Host of a registry, as in `ghcr.io` or `localhost:5000`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryHost {
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port, unless it is that of the protocol.
    port: Option<u16>,
}

impl FromStr for RegistryHost {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        // Without a port, Docker takes a name for that of a host if it has a dot.
        let is_name = text == "localhost" || text.contains('.');
        let is_plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '-');
        if is_name && text.chars().all(is_plain) {
            let host = text.to_owned();
            return Ok(Self { host, port: None });
        }
        let address: HostPort = text.parse().map_err(|_| InvalidName {
            what: "registry",
            given: text.to_owned(),
            rule: "HOST or HOST:PORT is expected, as in `ghcr.io` or `localhost:5000`",
        })?;
        Ok(address.into())
    }
}

impl From<HostPort> for RegistryHost {
    fn from(HostPort { host, port }: HostPort) -> Self {
        let port = Some(port);
        Self { host, port }
    }
}

impl fmt::Display for RegistryHost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => {
                let host = self.host.clone();
                HostPort { host, port }.fmt(formatter)
            }
            None => formatter.write_str(&self.host),
        }
    }
}

/// Content digest of an image manifest: `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Digest(String);

impl Digest {
    /// Returns the digest as text, `sha256:` included.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the first twelve hexadecimal digits, which the service shows as its version.
    pub fn short(&self) -> &str {
        let digits = self.0.trim_start_matches("sha256:");
        // As long as the short identifiers of Docker.
        digits.get(..12).unwrap_or(digits)
    }

    /// Parses the digest at the end of an image address (`…@sha256:…`), if it has one.
    pub fn of_image(uri: &str) -> Option<Self> {
        // An address with only a tag names no particular image: tags may move.
        uri.rsplit_once('@')?.1.parse().ok()
    }
}

impl FromStr for Digest {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let valid = text.strip_prefix("sha256:").is_some_and(|digits| {
            digits.len() == 64
                && digits
                    .bytes()
                    // The OCI image specification allows only lower case.
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        });
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName {
                what: "digest",
                given: text.to_owned(),
                rule: "`sha256:` and 64 lower-case hexadecimal digits",
            })
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Address of an image repository: `HOST[:PORT]/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryUri {
    registry: String,
    repository: RepositoryName,
}

impl RepositoryUri {
    /// Builds the address of a repository in a registry (`HOST[:PORT]`).
    pub fn new(registry: impl Into<String>, repository: RepositoryName) -> Self {
        Self {
            registry: registry.into(),
            repository,
        }
    }

    /// Returns host and port of the registry.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Returns the name of the repository, without its registry.
    pub fn repository(&self) -> &RepositoryName {
        &self.repository
    }

    /// Returns the address of an image in the repository.
    pub fn image(&self, digest: Digest) -> ImageUri {
        ImageUri {
            repository: self.clone(),
            digest,
        }
    }
}

impl FromStr for RepositoryUri {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        // Split at the first slash: the name of a repository may contain more.
        match text.split_once('/') {
            Some((registry, name)) if !registry.is_empty() && !name.is_empty() => {
                Ok(Self::new(registry, RepositoryName::new(name)))
            }
            Some(_) | None => Err(InvalidName {
                what: "repository address",
                given: text.to_owned(),
                rule: "HOST[:PORT]/NAME is expected",
            }),
        }
    }
}

impl fmt::Display for RepositoryUri {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.registry, self.repository)
    }
}

/// Address of an image by its digest: `HOST[:PORT]/NAME@sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUri {
    repository: RepositoryUri,
    digest: Digest,
}

impl ImageUri {
    /// Returns the repository of the image.
    pub fn repository(&self) -> &RepositoryUri {
        &self.repository
    }

    /// Returns the digest of the image.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }
}

impl FromStr for ImageUri {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let (repository, digest) = text.rsplit_once('@').ok_or_else(|| InvalidName {
            what: "image address",
            given: text.to_owned(),
            rule: "HOST[:PORT]/NAME@sha256:… is expected",
        })?;
        Ok(Self {
            repository: repository.parse()?,
            digest: digest.parse()?,
        })
    }
}

impl fmt::Display for ImageUri {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.repository, self.digest)
    }
}

/// Returns whether this is an AWS account ID: twelve digits.
pub fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|digit| digit.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stack_names() {
        for good in ["clock", "a", "My-Stack-2"] {
            assert_eq!(good.parse::<StackName>().unwrap().as_str(), good);
        }
        let long = "x".repeat(101);
        for bad in ["", "2clock", "-a", "under_score", "space d", "ü", &long] {
            assert!(bad.parse::<StackName>().is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn addresses_of_images() {
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        for repository in [
            "localhost:5000/clock",
            "1.dkr.ecr.eu-west-1.amazonaws.com/a/b",
        ] {
            let uri: RepositoryUri = repository.parse().unwrap();
            assert_eq!(uri.to_string(), repository);
            let image: ImageUri = format!("{repository}@{digest}").parse().unwrap();
            assert_eq!(image, uri.image(digest.parse().unwrap()));
            assert_eq!(image.to_string(), format!("{repository}@{digest}"));
        }
        let nameless = format!("clock@{digest}");
        for bad in [
            "",
            "localhost/clock:latest",
            "localhost/clock@sha256:0",
            &nameless,
        ] {
            assert!(bad.parse::<ImageUri>().is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn the_region_of_a_stack() {
        let id = |text: &str| text.parse::<StackId>().unwrap();
        let region = |text: &str| id(text).region().map(str::to_owned);
        assert_eq!(
            region("arn:aws:cloudformation:eu-west-1:123456789012:stack/clock/1").unwrap(),
            "eu-west-1"
        );
        for without in ["arn:stack/clock/1", "arn:aws:cloudformation::1:x"] {
            assert_eq!(region(without), None, "{without}");
        }
        for bad in ["", "arn:", "clock", "arn:aws:x y"] {
            assert!(bad.parse::<StackId>().is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn addresses() {
        assert_eq!(
            "localhost:4566".parse::<HostPort>().unwrap().to_string(),
            "localhost:4566"
        );
        assert_eq!(
            "[::1]:80".parse::<HostPort>().unwrap().to_string(),
            "[::1]:80"
        );
        for bad in ["localhost", ":80", "a:0", "a:99999", "http://a:80", "a b:1"] {
            assert!(bad.parse::<HostPort>().is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn registries() {
        for text in [
            "ghcr.io",
            "localhost",
            "localhost:5000",
            "127.0.0.1",
            "[::1]:5000",
            "reg:1",
        ] {
            assert_eq!(text.parse::<RegistryHost>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "team",
            "ghcr.io/team",
            "https://ghcr.io",
            "a.b:0",
            "a.b:",
            "a.b c",
            "[::1]",
        ] {
            assert!(bad.parse::<RegistryHost>().is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn digests() {
        let text = format!("sha256:{}", "0123456789abcdef".repeat(4));
        let digest: Digest = text.parse().unwrap();
        assert_eq!(digest.short(), "0123456789ab");
        assert_eq!(
            Digest::of_image(&format!("host:1/name@{text}")),
            Some(digest)
        );
        assert_eq!(Digest::of_image("host/name:tag"), None);
        assert!("sha256:xyz".parse::<Digest>().is_err());
    }
}
