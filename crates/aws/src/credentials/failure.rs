//! Failures to get credentials, with hints by origin.

use aws_credential_types::provider::error::CredentialsError;

use super::origin::UnknownProfile;
use crate::access::{Access, ProfileSource};
use crate::error;
use crate::origin::{Kind, Origin, ProfileOrigin, option};
use deployment::error::Failure;

const LOCALLY: &str =
    "without an AWS account: `deployer up --local` runs everything on this machine";

/// Builds the failure of a profile that does not exist.
pub(crate) fn unknown_profile(access: &Access, unknown: &UnknownProfile) -> Failure {
    let UnknownProfile { name, named_by } = unknown;
    let failure = Failure::preflight(format!("the AWS profile `{name}` could not be found"));
    let failure = match (named_by, access.profile_source) {
        (Some(by), _) => failure.because(format!("it is the `source_profile` of `{by}`")),
        (None, ProfileSource::Flag) => failure,
        (None, ProfileSource::Environment | ProfileSource::BehindKeys) => {
            failure.because("`AWS_PROFILE` names it, or else `AWS_DEFAULT_PROFILE`")
        }
        (None, ProfileSource::File) => failure
            .because("`profile` in `deployer.toml` names it")
            .hint("where there are no profiles, as in CI: `--profile ''` uses the credentials of the environment"),
    };
    failure
        .hint("`aws configure list-profiles` shows all that there are")
        .hint("in `~/.aws/config`, a profile's section is `[profile NAME]`; in `~/.aws/credentials`, `[NAME]`")
}

/// Builds the failure for an error of the credentials provider.
pub(super) fn failure(access: &Access, error: &CredentialsError, origin: &Origin) -> Failure {
    if error::is_untrusted(error) {
        return crate::trust::untrusted(&error::chain(error));
    }
    if error::is_passing(error) {
        return unreachable(&error::chain(error), origin);
    }
    told(access, &error::chain(error), origin)
}

/// Builds the failure of an unreachable source of credentials.
fn unreachable(cause: &str, origin: &Origin) -> Failure {
    let who = match origin.profile() {
        Some(profile) if profile.assumes_role => "STS",
        Some(profile) => match profile.kind {
            Kind::Sso => "IAM Identity Center (SSO)",
            Kind::Login => "the AWS sign-in service",
            Kind::WebIdentity(_) => "STS",
            Kind::Keys | Kind::Process | Kind::Source(_) | Kind::Nothing => "their source",
        },
        None => match origin {
            Origin::WebIdentity => "STS",
            Origin::Container => "the container's credentials endpoint",
            Origin::Environment | Origin::Machine | Origin::Profile(_) => "their source",
        },
    };
    Failure::preflight(format!(
        "no AWS credentials: {who} cannot be reached to get them"
    ))
    .because(cause)
    .hint("this is about the network, not about the credentials: check the connection, the region's name, and the proxy (`HTTPS_PROXY`, `NO_PROXY`)")
    .hint(LOCALLY)
}

/// Builds the failure for an error whose cause only its message tells.
fn told(access: &Access, cause: &str, origin: &Origin) -> Failure {
    let failure = match origin.profile() {
        Some(profile) => of_profile(access, cause, profile),
        None => None,
    };
    let failure = failure.unwrap_or_else(|| {
        let failure = Failure::preflight("no usable AWS credentials").because(cause);
        match (origin, &access.profile) {
            // Usually nothing is configured: instance metadata is only the end of the chain.
            (Origin::Machine, None) => failure.hint(
                "log in (`aws login` or `aws sso login`), or set `AWS_PROFILE` or `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`",
            ),
            _ => failure.hint(origin.renewal()),
        }
    });
    failure.hint(LOCALLY)
}

/// Recognises failures of profiles that have a hint of their own.
fn of_profile(access: &Access, cause: &str, origin: &ProfileOrigin) -> Option<Failure> {
    let ProfileOrigin {
        profile,
        base,
        kind,
        assumes_role,
        mfa,
    } = origin;
    let renewal = Origin::Profile(origin.clone()).renewal();
    let failed = |message: String| Some(Failure::preflight(message).because(cause));
    // The SDK has no types for these errors: only the message tells them apart.
    let has = |signs: &[&str]| signs.iter().any(|sign| cause.contains(sign));
    // The session was revoked by AWS, is too old to be refreshed, or does not exist.
    if *kind == Kind::Sso
        && has(&[
            "Session token not found or invalid",
            "SSO token",
            "sso/cache",
        ])
    {
        return failed("the SSO session has expired, or there is none".to_owned())
            .map(|failure| failure.hint(renewal));
    }
    if *kind == Kind::Sso && has(&["ForbiddenException", "No access"]) {
        return failed(format!(
            "IAM Identity Center does not give you the role that profile `{base}` names"
        ))
        .map(|failure| {
            failure.hint(format!(
                "check `sso_account_id` and `sso_role_name` of profile `{base}`, and ask for the assignment"
            ))
        });
    }
    if *kind == Kind::Login && has(&["Login token", "login/cache"]) {
        return failed("the `aws login` session has expired, or there is none".to_owned())
            .map(|failure| failure.hint(renewal));
    }
    if *kind == Kind::Process && has(&["external process"]) {
        return failed(format!(
            "the `credential_process` of profile `{base}` failed"
        ))
        .map(|failure| failure.hint(renewal));
    }
    if has(&["ProfileFile provider could not be built", "was not defined"]) {
        return failed(format!("profile `{profile}` is not complete")).map(|failure| {
            failure.hint("correct it in `~/.aws/config`, or in what `AWS_CONFIG_FILE` names")
        });
    }
    if *assumes_role && has(&["AccessDenied"]) {
        // The SDK for Rust cannot ask for an MFA code, so that STS denies the call.
        if let Some(mfa) = mfa {
            let exported = option(profile);
            // The exported keys have no effect as long as a profile takes precedence over them.
            let again = match access.profile_source {
                ProfileSource::Flag | ProfileSource::File => {
                    "then run the same command with `--profile ''`"
                }
                ProfileSource::Environment | ProfileSource::BehindKeys => {
                    "then run the same command again"
                }
            };
            return failed(format!(
                "profile `{mfa}` needs an MFA code, which is not asked for here"
            ))
            .map(|failure| {
                failure.hint(format!(
                    "let the AWS CLI ask for it: `eval \"$(aws configure export-credentials{exported} --format env)\"`, {again}"
                ))
            });
        }
        return failed(format!("profile `{profile}` may not assume its role")).map(|failure| {
            failure.hint(format!(
                "the role has to trust whom this shows: `aws sts get-caller-identity{}`",
                option(base)
            ))
        });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_helps_by_where_they_come_from() {
        let of = |base: &str, kind: Kind| {
            Origin::Profile(ProfileOrigin {
                profile: "deploy".to_owned(),
                base: base.to_owned(),
                kind,
                assumes_role: false,
                mfa: None,
            })
        };
        let lines = [
            (Origin::Environment, "ExpiredToken"),
            (Origin::WebIdentity, "ExpiredTokenException"),
            (Origin::Machine, "no providers in chain"),
            (of("work", Kind::Sso), "the SSO token has expired"),
            (
                of("my work", Kind::Sso),
                "failed to read `/home/me/.aws/sso/cache/e8.json`",
            ),
            (of("work", Kind::Sso), "ForbiddenException: No access"),
            (of("default", Kind::Login), "cached Login token is expired"),
            (of("work", Kind::Keys), "InvalidClientTokenId"),
            (
                of("work", Kind::Process),
                "external process exited with code 1",
            ),
        ]
        .map(|(origin, cause)| {
            let mut access = Access::remote();
            access.profile = origin.profile().map(|_| "deploy".to_owned());
            let failure = told(&access, cause, &origin);
            format!("{}: {}", failure.message, failure.hints[0])
        });
        insta::assert_snapshot!(lines.join("\n"), @r"
        no usable AWS credentials: the access keys in the environment are used: set new ones, and `AWS_SESSION_TOKEN` if they are temporary; in CI, request them again in this job, or for longer
        no usable AWS credentials: request a new token: `AWS_WEB_IDENTITY_TOKEN_FILE` names the file it belongs in
        no usable AWS credentials: log in (`aws login` or `aws sso login`), or set `AWS_PROFILE` or `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`
        the SSO session has expired, or there is none: log in again: `aws sso login --profile work`
        the SSO session has expired, or there is none: log in again: `aws sso login --profile 'my work'`
        IAM Identity Center does not give you the role that profile `work` names: check `sso_account_id` and `sso_role_name` of profile `work`, and ask for the assignment
        the `aws login` session has expired, or there is none: log in again: `aws login`
        no usable AWS credentials: the access keys of profile `work` are used: replace them: `aws configure --profile work`
        the `credential_process` of profile `work` failed: profile `work` gets its credentials from its `credential_process`: run that command to see what it says
        ");
    }
}
