//! Image repositories.

use async_trait::async_trait;
use aws_sdk_ecr::types::ImageIdentifier;

use super::error::incomplete;
use super::{Aws, error};
use crate::remote::{Login, Remote, RemoteErrorKind, Repositories};
use deployment::names::{Digest, RepositoryName, RepositoryUri};

#[async_trait]
impl Repositories for Aws {
    async fn repository_uri(&self, name: &RepositoryName) -> Remote<Option<RepositoryUri>> {
        let answer = self
            .ecr
            .describe_repositories()
            .repository_names(name)
            .send()
            .await
            .map_err(error::of("DescribeRepositories"));
        match answer {
            // ECR reports a missing repository as an error, never as an empty list.
            Ok(answer) => {
                let uri = answer.repositories().first();
                let uri = uri.and_then(|repository| repository.repository_uri()?.parse().ok());
                uri.map(Some)
                    .ok_or_else(|| incomplete("DescribeRepositories", "the repository"))
            }
            Err(error) if error.kind == RemoteErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn image_exists(&self, repository: &RepositoryName, digest: &Digest) -> Remote<bool> {
        let image = ImageIdentifier::builder()
            .image_digest(digest.as_str())
            .build();
        let answer = self
            .ecr
            .batch_get_image()
            .repository_name(repository)
            .image_ids(image)
            .send()
            .await
            .map_err(error::of("BatchGetImage"));
        match answer {
            // The response has an entry for each requested image: the image itself, or a failure.
            Ok(answer) if answer.images().is_empty() && answer.failures().is_empty() => {
                Err(error::incomplete("BatchGetImage", "the image"))
            }
            Ok(answer) => Ok(!answer.images().is_empty()),
            Err(error) if error.kind == RemoteErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn login(&self, region: Option<&str>) -> Remote<Login> {
        let elsewhere = region.filter(|it| *it != self.region);
        let elsewhere = elsewhere.map(|region| self.ecr_in(region));
        let answer = elsewhere
            .as_ref()
            .unwrap_or(&self.ecr)
            .get_authorization_token()
            .send()
            .await
            .map_err(error::of("GetAuthorizationToken"))?;
        answer
            .authorization_data()
            .first()
            .and_then(|data| data.authorization_token())
            .and_then(login_of)
            .ok_or_else(|| incomplete("GetAuthorizationToken", "a login"))
    }
}

/// Decodes an authorization token: base64 of `user:password`.
fn login_of(token: &str) -> Option<Login> {
    let bytes = aws_smithy_types::base64::decode(token).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    // Split at the first colon: the password may contain more.
    let (user, password) = text.split_once(':')?;
    Some(Login {
        user: user.to_owned(),
        password: password.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_login_is_read_from_its_token() {
        let login = super::login_of("QVdTOnNlY3JldDp3aXRoOmNvbG9ucw==").unwrap();
        assert_eq!(
            (login.user.as_str(), login.password.as_str()),
            ("AWS", "secret:with:colons")
        );
        assert!(super::login_of("not base64!").is_none());
    }
}
