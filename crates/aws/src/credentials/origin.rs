//! Origin of the credentials, predicted from the environment and the profiles.

use aws_runtime::env_config::section::{EnvConfigSections, Profile};

use crate::access::Access;
use crate::origin::{Kind, Origin, ProfileOrigin};

/// Environment variables that decide the origin of the credentials.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Environment {
    keys: bool,
    web_identity: bool,
    container: bool,
}

impl Environment {
    /// Reads the variables.
    pub(crate) fn read() -> Self {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        Self {
            // The SDK skips the environment if one of the two is missing.
            keys: is_set("AWS_ACCESS_KEY_ID") && is_set("AWS_SECRET_ACCESS_KEY"),
            web_identity: is_set("AWS_WEB_IDENTITY_TOKEN_FILE"),
            container: is_set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
                || is_set("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        }
    }
}

/// Error for a profile that is named but does not exist.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnknownProfile {
    pub(crate) name: String,
    /// Profile whose `source_profile` names it.
    pub(crate) named_by: Option<String>,
}

/// Determines the origin of the credentials.
///
/// A profile that is named has to exist. Otherwise the SDK would use the instance's credentials,
/// and with them perhaps another account.
pub(crate) fn origin(
    access: &Access,
    profiles: &EnvConfigSections,
    environment: Environment,
) -> Result<Origin, UnknownProfile> {
    let is_known = |name: &str| profiles.get_profile(name).is_some();
    if let Some(name) = access.profile.as_deref()
        && !is_known(name)
    {
        return Err(UnknownProfile {
            name: name.to_owned(),
            named_by: None,
        });
    }
    let keys_first = access.profile.is_none() || !access.profile_source.beats_environment_keys();
    if environment.keys && keys_first {
        return Ok(Origin::Environment);
    }
    let name = access.profile.as_deref().unwrap_or("default");
    if is_known(name) {
        let of_profile = follow(profiles, name)?;
        if of_profile.kind != Kind::Nothing {
            return Ok(Origin::Profile(of_profile));
        }
    }
    // A profile that takes precedence has no token in its provider chain: see `of_profile`.
    Ok(if environment.web_identity && keys_first {
        Origin::WebIdentity
    } else if environment.container {
        Origin::Container
    } else if let Some(of_profile) = access
        .profile
        .as_deref()
        .and_then(|name| follow(profiles, name).ok())
    {
        // The profile is empty, and the hint is to log in with it.
        Origin::Profile(of_profile)
    } else {
        Origin::Machine
    })
}

/// Follows `source_profile` to the profile that holds the first credentials.
fn follow(profiles: &EnvConfigSections, name: &str) -> Result<ProfileOrigin, UnknownProfile> {
    let mut visited: Vec<&str> = Vec::new();
    let mut mfa = None;
    let mut next = name;
    loop {
        let profile = profiles.get_profile(next).ok_or_else(|| UnknownProfile {
            name: next.to_owned(),
            named_by: visited.last().map(ToString::to_string),
        })?;
        let is_first = visited.is_empty();
        // Ends the search at a cycle of source profiles.
        let comes_round = visited.contains(&next);
        visited.push(next);
        let ends = |kind| ProfileOrigin {
            profile: name.to_owned(),
            base: next.to_owned(),
            kind,
            assumes_role: !is_first || assumes_role(profile),
            mfa: None,
        };
        // Keys in a source profile take precedence over its `role_arn`, as in the SDK.
        let found = if !is_first && profile.get("aws_access_key_id").is_some() {
            ends(Kind::Keys)
        } else if comes_round || !assumes_role(profile) {
            ends(kind(profile))
        } else {
            if mfa.is_none() && profile.get("mfa_serial").is_some() {
                mfa = Some(next.to_owned());
            }
            match profile.get("source_profile") {
                // A profile that is its own source holds the keys itself.
                Some(source) if source != next => {
                    next = source;
                    continue;
                }
                Some(_) | None => ends(kind(profile)),
            }
        };
        return Ok(ProfileOrigin { mfa, ..found });
    }
}

fn assumes_role(profile: &Profile) -> bool {
    profile.get("role_arn").is_some() && profile.get("web_identity_token_file").is_none()
}

/// Returns the kind of credentials that this profile holds, in the SDK's order of precedence.
fn kind(profile: &Profile) -> Kind {
    let has = |key: &str| profile.get(key).is_some();
    let sso = ["sso_session", "sso_start_url", "sso_account_id"];
    if let Some(source) = profile.get("credential_source") {
        Kind::Source(source.to_owned())
    } else if let Some(file) = profile.get("web_identity_token_file") {
        Kind::WebIdentity(file.to_owned())
    } else if sso.into_iter().any(has) {
        Kind::Sso
    } else if has("login_session") {
        Kind::Login
    } else if has("credential_process") {
        Kind::Process
    } else if has("aws_access_key_id") {
        Kind::Keys
    } else {
        Kind::Nothing
    }
}
