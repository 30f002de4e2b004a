//! Selection of checks: ways to check the service from outside, in the order in which to try them.

use clock::{Expected, Kind, Settings};
use probe::Target;

use crate::config::Config;
use crate::context::Context;
use crate::pollers::{Check, PublicUrl, ServiceNames};
use aws::remote::World;
use deployment::error::{Failure, FailureKind};
use deployment::rollout::HealthCheck;

/// Default path for health checks, unless the settings or the target group name another one.
const HEALTH_PATH: &str = "/health";
/// Usual path of a clock.
const CLOCK_PATH: &str = "/now";

impl Context<'_> {
    /// Returns the ways to check the service, the strongest first. The next one applies if the
    /// service refuses the previous one.
    pub(crate) async fn checks(
        &self,
        world: &dyn World,
        names: &ServiceNames,
        url: &PublicUrl,
    ) -> Vec<Check> {
        let settings = &self.config.check;
        // Saves the call where the target group cannot change the result.
        let health = if settings.kind != Some(Kind::Clock) && settings.path.is_none() {
            let health = world.health_check(&names.target_group).await;
            health.ok().flatten()
        } else {
            None
        };
        self.checks_of(url, health.as_ref())
    }

    /// Returns the first check, which does not depend on the load balancer's health checks.
    pub(crate) fn first_check(&self, url: &PublicUrl) -> Option<Check> {
        self.checks_of(url, None).into_iter().next()
    }

    fn checks_of(&self, url: &PublicUrl, health: Option<&HealthCheck>) -> Vec<Check> {
        let settings = &self.config.check;
        let at = |path: Option<&str>| path.map_or_else(|| url.clone(), |path| url.at(path));
        let path = settings.path.as_deref();
        let clocks = || {
            let mut urls = vec![at(path)];
            // Only a bare address leaves open where the clock is: every other path was chosen.
            if settings.kind.is_none() && path.is_none() && url.target.url().path() == "/" {
                urls.push(url.at(CLOCK_PATH));
            }
            let check = |url| self.check_with(Kind::Clock, url, Expected::default());
            urls.into_iter().map(check)
        };
        let http = || {
            let usual = self.config.settings.health_path.as_deref();
            let (health_path, codes) = health.map_or_else(
                || (usual.unwrap_or(HEALTH_PATH), None),
                // Codes that the parser does not understand fall back to 200-299.
                |health| (health.path.as_str(), health.codes.parse().ok()),
            );
            // The target group's success codes apply only to its own path, not to a path from the
            // settings.
            let codes = codes.filter(|_| path.is_none()).unwrap_or_default();
            let expected = Expected {
                status: codes,
                ..Expected::default()
            };
            self.check_with(Kind::Http, at(path.or(Some(health_path))), expected)
        };
        match settings.kind {
            Some(Kind::Clock) => clocks().collect(),
            Some(Kind::Http) => vec![http()],
            None => clocks().chain([http()]).collect(),
        }
    }

    fn check_with(&self, kind: Kind, url: PublicUrl, usual: Expected) -> Check {
        let settings = &self.config.check;
        Check {
            url,
            settings: Settings {
                kind,
                expected: Expected {
                    status: settings.status.clone().unwrap_or(usual.status),
                    contains: settings.contains.clone(),
                    json: settings.json.clone(),
                },
                headers: settings.headers.clone(),
                field: settings.field.clone(),
                date_header: settings.date_header,
                max_skew: settings.max_skew,
                proxy: self.config.access.check_proxy.clone(),
                ..Settings::default()
            },
        }
    }
}

/// Parses the output `Url` into the address to check, exactly as it is written.
pub(crate) fn public_url(config: &Config, url: &str) -> Result<PublicUrl, Failure> {
    let access = &config.access;
    let connect_to = access.connect_to.as_ref().map(ToString::to_string);
    let connect_to = connect_to
        .map(|address| address.parse::<probe::ConnectTo>())
        .transpose();
    let target = connect_to
        .and_then(|connect_to| Target::exact(url, connect_to))
        .map_err(|error| {
            Failure::new(
                FailureKind::Unexpected,
                format!("the stack's output `Url` cannot be checked: `{url}`"),
            )
            .because(error)
        })?;
    // The emulator's host names may not resolve here, so the user sees an address that does.
    let shown = match (&access.endpoint_url, access.local) {
        (Some(endpoint), true) => crate::local::reachable_url(url, endpoint),
        _ => None,
    };
    Ok(PublicUrl {
        shown: shown.unwrap_or_else(|| url.to_owned()),
        target,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancellation::CancellationToken;
    use crate::config::CheckSettings;
    use crate::testing::settings;
    use deployment::event::{Silent, Sink};

    /// Kinds and addresses of the ways, with the status codes of the last one.
    fn ways(url: &str, check: CheckSettings, health: Option<(&str, &str)>) -> String {
        let config = Config {
            check,
            ..settings()
        };
        let context = Context {
            config: &config,
            sink: &Sink::new(Box::new(Silent)),
            cancellation: &CancellationToken::default(),
        };
        let health = health.map(|(path, codes)| HealthCheck {
            path: path.to_owned(),
            codes: codes.to_owned(),
            timeout_seconds: 2,
        });
        let checks = context.checks_of(&public_url(&config, url).unwrap(), health.as_ref());
        let ways = checks.iter().map(|check| {
            assert_eq!(check.url.shown, check.url.target.url().as_str());
            format!(
                "{:?} {} {}",
                check.kind(),
                check.url.shown,
                check.settings.expected.status
            )
        });
        ways.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_is_not_set_is_found_out() {
        let usual = CheckSettings::default;
        let at = |path: &str| CheckSettings {
            path: Some(path.to_owned()),
            ..usual()
        };
        let of = |kind, settings| CheckSettings {
            kind: Some(kind),
            ..settings
        };
        let health = Some(("/up", "200,204"));
        insta::assert_snapshot!(ways("http://a.test/now", usual(), None), @r"
        Clock http://a.test/now 200-299
        Http http://a.test/health 200-299
        ");
        insta::assert_snapshot!(ways("http://a.test/", usual(), health), @r"
        Clock http://a.test/ 200-299
        Clock http://a.test/now 200-299
        Http http://a.test/up 200,204
        ");
        insta::assert_snapshot!(ways("http://a.test/now", at("/x?y=1"), health), @r"
        Clock http://a.test/x?y=1 200-299
        Http http://a.test/x?y=1 200-299
        ");
        let clock = of(Kind::Clock, usual());
        insta::assert_snapshot!(ways("http://a.test/", clock, None), @"Clock http://a.test/ 200-299");
        let http = of(Kind::Http, at("/"));
        insta::assert_snapshot!(ways("http://a.test/now", http, health), @"Http http://a.test/ 200-299");
        let http = CheckSettings {
            status: Some("302".parse().unwrap()),
            ..of(Kind::Http, usual())
        };
        insta::assert_snapshot!(ways("http://a.test/now", http, health), @"Http http://a.test/up 302");
    }
}
