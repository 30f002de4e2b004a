//! What can go wrong with a request.

use crate::request::{Answer, Protocol};

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// Too many requests.
    Throttled,
    /// The service fails.
    Failed,
    /// The service is out of order.
    Unavailable,
    /// The connection is reset, and nothing was done.
    ResetBefore,
    /// It was carried out, then the connection is reset.
    ResetAfter,
    /// It was carried out, and the answer breaks off.
    Truncated,
    /// Something on the way says 200, and nothing was done.
    NonsenseBefore,
    /// It was carried out, but what comes back is something else.
    NonsenseAfter,
    /// It was carried out, but no answer ever comes.
    Hang,
}

/// All that are over at once: a hang lasts for as long as the client waits.
pub(crate) const QUICK: [Fault; 8] = [
    Fault::Throttled,
    Fault::Failed,
    Fault::Unavailable,
    Fault::ResetBefore,
    Fault::ResetAfter,
    Fault::Truncated,
    Fault::NonsenseBefore,
    Fault::NonsenseAfter,
];

impl Fault {
    /// Can it happen to this call? An answer to HEAD has no body that could break off or lose its sense.
    pub(crate) fn can_happen_to(self, call: &str) -> bool {
        match self {
            Self::Truncated | Self::NonsenseBefore | Self::NonsenseAfter => {
                !call.starts_with("HEAD")
            }
            Self::Throttled
            | Self::Failed
            | Self::Unavailable
            | Self::ResetBefore
            | Self::ResetAfter
            | Self::Hang => true,
        }
    }

    /// Is the request carried out all the same?
    pub(crate) fn is_forwarded(self) -> bool {
        match self {
            Self::ResetAfter | Self::Truncated | Self::NonsenseAfter | Self::Hang => true,
            Self::Throttled
            | Self::Failed
            | Self::Unavailable
            | Self::ResetBefore
            | Self::NonsenseBefore => false,
        }
    }

    /// What is answered instead, where it is the proxy that answers.
    pub(crate) fn answer(self, protocol: Protocol) -> Option<Answer> {
        match self {
            Self::Throttled => Some(throttled(protocol)),
            Self::Failed => Some(Answer::new(500, "text/plain", "out of order")),
            Self::Unavailable => Some(Answer::new(503, "text/html", "<html>busy</html>")),
            Self::NonsenseBefore | Self::NonsenseAfter => {
                let page = "<html><body>Sign in to this network</body></html>";
                Some(Answer::new(200, "text/html", page))
            }
            Self::ResetBefore | Self::ResetAfter | Self::Truncated | Self::Hang => None,
        }
    }
}

fn throttled(protocol: Protocol) -> Answer {
    match protocol {
        Protocol::Query => Answer::new(
            400,
            "text/xml",
            "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code>\
             <Message>Rate exceeded</Message></Error><RequestId>chaos</RequestId></ErrorResponse>",
        ),
        Protocol::Json => Answer::new(
            400,
            "application/x-amz-json-1.1",
            r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#,
        ),
        Protocol::Registry => Answer::new(
            429,
            "application/json",
            r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"Rate exceeded"}]}"#,
        ),
    }
}
