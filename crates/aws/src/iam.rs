//! IAM roles, including service-linked ones.

use async_trait::async_trait;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::Aws;
use crate::remote::{Remote, RemoteError, Roles};

#[derive(Debug, Deserialize)]
struct GetRoleResponse {
    // Required although unused: a response without it is not IAM's.
    #[serde(rename = "GetRoleResult")]
    _result: IgnoredAny,
}

#[derive(Debug, Deserialize)]
struct CreateServiceLinkedRoleResponse {
    #[serde(rename = "CreateServiceLinkedRoleResult")]
    _result: IgnoredAny,
}

#[async_trait]
impl Roles for Aws {
    async fn role_exists(&self, name: &str) -> Remote<bool> {
        let answer = self.iam.call("GetRole", json!({ "RoleName": name }));
        match answer.await {
            Ok(GetRoleResponse { .. }) => Ok(true),
            // IAM's code is not among those that are classified as `NotFound`.
            Err(error) if error.code.as_deref() == Some("NoSuchEntity") => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn make_service_linked_role(&self, service: &str) -> Remote<bool> {
        let input = json!({ "AWSServiceName": service });
        match self.iam.call("CreateServiceLinkedRole", input).await {
            Ok(CreateServiceLinkedRoleResponse { .. }) => Ok(true),
            Err(error) if says_taken(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Returns whether the role already exists.
///
/// IAM reports this only in the message, under a code for invalid input of any kind.
fn says_taken(error: &RemoteError) -> bool {
    match error.code.as_deref() {
        Some("EntityAlreadyExists") => true,
        Some("InvalidInput") => error.message.contains("has been taken in this account"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::RemoteErrorKind;

    #[test]
    fn a_role_that_is_there() {
        let taken = "Service role name AWSServiceRoleForECS has been taken in this account, please try a different suffix.";
        for (code, message, expected) in [
            ("InvalidInput", taken, true),
            ("InvalidInput", "the service name is not valid", false),
            ("EntityAlreadyExists", "it exists", true),
            ("AccessDenied", taken, false),
        ] {
            let error = RemoteError {
                kind: RemoteErrorKind::Refused,
                operation: "CreateServiceLinkedRole",
                code: Some(code.to_owned()),
                message: message.to_owned(),
                request_id: None,
            };
            assert_eq!(says_taken(&error), expected, "{code} {message}");
        }
    }
}
