//! Read-only access for reviewers, which three parameters of the template grant. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::Observed;
use super::resource::declares_parameter;
use super::template_names::ParameterName;
use crate::names::{self, InvalidName};

const KIND: &str = ParameterName::ReviewerKind.as_str();
const PRINCIPAL: &str = ParameterName::ReviewerPrincipal.as_str();
const PASSWORD: &str = ParameterName::ReviewerPassword.as_str();

/// Template parameters that grant the access.
pub const PARAMETERS: [&str; 3] = [KIND, PRINCIPAL, PASSWORD];

/// Length of a generated password: 24 of 64 characters give more than 140 bits.
const LENGTH: usize = 24;
/// Characters of a password by class, without those that look alike. Each class occurs at least
/// once.
const CLASSES: [&str; 4] = [
    "ABCDEFGHJKLMNPQRSTUVWXYZ",
    "abcdefghijkmnopqrstuvwxyz",
    "23456789",
    "!@#%+=-",
];

/// Principal that may assume the reviewers' role: an account (`…:root`), a role or a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Principal(String);

impl Principal {
    /// Returns the ARN.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Principal {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let mut parts = text.splitn(6, ':');
        let mut next = || parts.next().unwrap_or_default();
        let (arn, partition, service, region, account, who) =
            (next(), next(), next(), next(), next(), next());
        let is_account = names::is_account(account);
        let is_who = who == "root"
            || ["role/", "user/"].iter().any(|kind| {
                who.strip_prefix(kind).is_some_and(|name| {
                    !name.is_empty()
                        && name
                            .bytes()
                            // A wildcard would let principals assume the role that nobody has
                            // named.
                            .all(|sign| sign.is_ascii_graphic() && sign != b'*')
                })
            });
        // IAM is global: its ARNs have no region.
        let is_iam =
            arn == "arn" && partition.starts_with("aws") && service == "iam" && region.is_empty();
        if is_iam && is_account && is_who {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName {
                what: "principal",
                given: text.to_owned(),
                rule: "the ARN of an account, a role or a user is expected, as in `arn:aws:iam::123456789012:role/auditor`",
            })
        }
    }
}

/// Generated password. It is shown once, by [`Password::reveal`], and never through `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Generates a password; `pick(n)` returns a uniformly distributed number below `n`.
    pub fn generate(mut pick: impl FnMut(usize) -> usize) -> Self {
        let all: Vec<char> = CLASSES.concat().chars().collect();
        let mut signs: Vec<char> = CLASSES
            .iter()
            .filter_map(|class| class.chars().nth(pick(class.len())))
            .collect();
        while signs.len() < LENGTH {
            signs.extend(all.get(pick(all.len())));
        }
        // Fisher–Yates shuffle: without it, the first four characters would always be one of each
        // class.
        for last in (1..signs.len()).rev() {
            signs.swap(last, pick(last + 1));
        }
        Self(signs.into_iter().collect())
    }

    /// Returns the password in clear text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(…)")
    }
}

/// Access to grant, with the values of the template parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reviewers {
    /// No access.
    None,
    /// Role that this principal may assume.
    Role(Principal),
    /// IAM user with this password.
    User(Password),
}

impl Reviewers {
    /// Sets the parameters of the template.
    pub fn into_parameters(self, parameters: &mut BTreeMap<String, String>) {
        let (kind, principal, password) = match self {
            Self::None => ("none", String::new(), String::new()),
            Self::Role(principal) => ("role", principal.0, String::new()),
            Self::User(password) => ("user", String::new(), password.0),
        };
        for (name, value) in PARAMETERS
            .into_iter()
            .zip([kind.to_owned(), principal, password])
        {
            parameters.insert(name.to_owned(), value);
        }
    }
}

/// Returns whether this template can grant access to reviewers.
pub fn is_known_to(template: &str) -> bool {
    PARAMETERS
        .iter()
        .all(|name| declares_parameter(template, name))
}

/// Returns whether reviewers have access to this stack.
pub fn are_there(stack: &Observed) -> bool {
    let kind = stack.parameters.get(KIND);
    kind.is_some_and(|kind| kind != "none")
}

/// Keeps the existing access of reviewers, unless the deployment sets it.
///
/// The password is not known any more. It comes as asterisks, which later stand for the previous
/// value.
pub fn keep(stack: &Observed, template: &str, parameters: &mut BTreeMap<String, String>) {
    if !are_there(stack) || !is_known_to(template) {
        return;
    }
    for name in PARAMETERS {
        if let Some(value) = stack.parameters.get(name) {
            parameters
                .entry(name.to_owned())
                .or_insert_with(|| value.clone());
        }
    }
}

/// Access for reviewers, as the user requests it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReviewerAccess {
    /// IAM user with a new password.
    User,
    /// Role that this principal may assume.
    Role(Principal),
    /// No access, or no longer.
    Nobody,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals() {
        for good in [
            "arn:aws:iam::123456789012:root",
            "arn:aws:iam::123456789012:role/team/auditor",
            "arn:aws-us-gov:iam::123456789012:user/carol",
        ] {
            assert_eq!(good.parse::<Principal>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "*",
            "auditor",
            "123456789012",
            "arn:aws:iam::123456789012:role/*",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam::12345678901:root",
            "arn:aws:iam::123456789012:group/all",
            "arn:aws:sts::123456789012:assumed-role/a/b",
            "arn:aws:iam:eu-west-1:123456789012:root",
        ] {
            assert!(bad.parse::<Principal>().is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn passwords_hold_every_class_and_show_themselves_to_nobody() {
        let mut seed = 7_usize;
        let mut passwords = std::collections::BTreeSet::new();
        for _ in 0..1000 {
            let password = Password::generate(|below| {
                seed = seed
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (seed >> 33) % below
            });
            let text = password.reveal().to_owned();
            assert_eq!(text.len(), LENGTH);
            for class in CLASSES {
                assert!(
                    text.contains(|sign| class.contains(sign)),
                    "{text}: {class}"
                );
            }
            assert_eq!(format!("{password:?}"), "Password(…)");
            assert!(passwords.insert(text));
        }
    }

    #[test]
    fn what_was_given_stays() {
        let template = include_str!("../../../../infra/service.yaml");
        let given = [(KIND, "user"), (PRINCIPAL, ""), (PASSWORD, "****")];
        let mut stack = Observed {
            id: "arn:stack/clock/1".parse().unwrap(),
            status: crate::stack::status::StackStatus::CreateComplete,
            reason: None,
            outputs: BTreeMap::new(),
            parameters: given
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            tags: BTreeMap::new(),
        };
        let kept = |stack: &Observed, template: &str| {
            let mut parameters = BTreeMap::new();
            keep(stack, template, &mut parameters);
            parameters.into_values().collect::<Vec<_>>()
        };
        assert_eq!(kept(&stack, template), ["user", "****", ""]);
        assert!(kept(&stack, "Parameters:\n  ImageUri:\n    Type: String\n").is_empty());
        stack.parameters.insert(KIND.to_owned(), "none".to_owned());
        assert!(kept(&stack, template).is_empty());
    }
}
