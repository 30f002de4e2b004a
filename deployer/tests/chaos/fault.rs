//! What can go wrong with a request, and which request it happens to.

use std::collections::BTreeSet;

use crate::request::{Answer, Protocol};

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// Which requests meet a fault, and which one.
pub(crate) enum Plan {
    /// None.
    Clean,
    /// Each call once, the first time; the n-th call of a run meets the (n + `turn`)-th fault.
    EachOnce {
        turn: usize,
        /// The call, counted from 0, that hangs.
        hangs: Option<usize>,
        seen: BTreeSet<String>,
    },
    /// So many of a hundred requests.
    Random { percent: u64, state: u64 },
}

impl Plan {
    pub(crate) fn each_once(turn: usize, hangs: Option<usize>) -> Self {
        let seen = BTreeSet::new();
        Self::EachOnce { turn, hangs, seen }
    }

    pub(crate) fn random(percent: u64, seed: u64) -> Self {
        let state = seed;
        Self::Random { percent, state }
    }

    /// What happens to this request.
    pub(crate) fn next(&mut self, call: &str) -> Option<Fault> {
        let fault = match self {
            Self::Clean => None,
            Self::EachOnce { turn, hangs, seen } => {
                let number = seen.len();
                let is_first = seen.insert(call.to_owned());
                let fault = if *hangs == Some(number) {
                    Fault::Hang
                } else {
                    QUICK[(number + *turn) % QUICK.len()]
                };
                is_first.then_some(fault)
            }
            Self::Random { percent, state } => {
                let meets = next_random(state) % 100 < *percent;
                let many = u64::try_from(QUICK.len()).expect("a few");
                let which = usize::try_from(next_random(state) % many).expect("a few");
                meets.then(|| QUICK[which])
            }
        };
        match fault {
            // These have no body that could be wrong, and so no sense to lose.
            Some(Fault::NonsenseBefore | Fault::NonsenseAfter) if call.starts_with("HEAD") => {
                Some(Fault::Unavailable)
            }
            Some(Fault::Truncated) if call.starts_with("HEAD") => Some(Fault::ResetAfter),
            other => other,
        }
    }
}

/// The next number of a sequence that is the same for the same seed (splitmix64).
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
