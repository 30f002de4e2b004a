//! The arguments, and the plan that they amount to. Nothing else knows clap.

use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, ValueEnum};

use crate::duration;
use crate::settings::Settings;
use crate::target::{ConnectTo, Target};

const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

const EXIT_CODES: &str = "\
Exit codes (of the last check, by the monitoring plugins' convention):
  0  OK             up, and every clock proven right
  2  CRITICAL       down, or a clock proven to be off
  3  UNKNOWN        proven neither way, wrong usage, or an internal error
  (1, WARNING, is not used)

SIGINT and SIGTERM end a periodic run with a summary; a second one ends it at once.";

/// Checks from outside that a service is up and that its clock is right.
#[derive(Debug, Parser)]
#[command(name = "checker", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// What to ask; without a path it is /now [default: http://localhost/now]
    url: Option<String>,
    /// The same as an option or a variable; an argument is stronger
    #[arg(long = "url", value_name = "URL", env = "CHECKER_URL")]
    url_option: Option<String>,
    /// Check again and again, this long from start to start (at least 100ms); without it once
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    interval: Option<Duration>,
    /// End after so many checks
    #[arg(long, value_name = "N", requires = "interval", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// For each request, from connecting to the last byte
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration::parse)]
    timeout: Duration,
    /// A clock that is further off, in either direction, is wrong
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration::parse)]
    max_skew: Duration,
    /// Requests for each check, at most
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100))]
    samples: u32,
    /// Connect there instead; the URL's host stays in the Host header and in TLS
    #[arg(long, value_name = "HOST:PORT")]
    connect_to: Option<ConnectTo>,
    /// Every answer has to come from this version
    #[arg(long, value_name = "VERSION")]
    expect_version: Option<String>,
    /// So many instances have to answer, and be right
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    expect_instances: Option<u32>,
    /// Check until the service is up as expected, or this time has passed
    #[arg(long, value_name = "DURATION", conflicts_with = "interval", value_parser = duration::parse)]
    wait_up: Option<Duration>,
    /// What is written to stdout
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Human)]
    output: Format,
}

/// What is written to stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A line for each check
    Human,
    /// A JSON object for each check, one a line
    Json,
}

/// What to do, resolved.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) target: Target,
    pub(crate) settings: Settings,
    /// `None`: once.
    pub(crate) period: Option<Period>,
    /// How long to wait for the service to be up; only without a period.
    pub(crate) wait_up: Option<Duration>,
    pub(crate) format: Format,
}

/// Checks on a grid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Period {
    pub(crate) interval: Duration,
    /// `None`: without end.
    pub(crate) count: Option<u64>,
}

impl Cli {
    /// What the arguments amount to, or an error in clap's own form.
    pub(crate) fn resolve(self) -> Result<Plan, clap::Error> {
        let invalid = |message: String| Self::command().error(ErrorKind::ValueValidation, message);
        if self
            .interval
            .is_some_and(|interval| interval < SHORTEST_INTERVAL)
        {
            return Err(invalid("--interval must be at least 100ms".to_owned()));
        }
        let url = self
            .url
            .or(self.url_option)
            .unwrap_or_else(|| "http://localhost".to_owned());
        let target =
            Target::new(&url, self.connect_to).map_err(|error| invalid(error.to_string()))?;
        Ok(Plan {
            target,
            settings: Settings {
                timeout: self.timeout,
                max_skew: self.max_skew,
                samples: self.samples,
                expect_version: self.expect_version,
                expect_instances: self.expect_instances,
            },
            period: self.interval.map(|interval| Period {
                interval,
                count: self.count,
            }),
            wait_up: self.wait_up,
            format: self.output,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(arguments: &[&str]) -> Result<Plan, clap::Error> {
        Cli::try_parse_from([&["checker"], arguments].concat()).and_then(Cli::resolve)
    }

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_argument_is_stronger_than_the_option() {
        let plan = plan(&["a.test", "--url", "b.test"]).unwrap();
        assert_eq!(plan.target.url().as_str(), "http://a.test/now");
    }

    #[test]
    fn nonsense_is_refused() {
        for arguments in [
            &["--interval", "99ms"][..],
            &["--interval", "5"],
            &["--count", "2"],
            &["--interval", "1s", "--count", "0"],
            &["--samples", "0"],
            &["--connect-to", "nowhere"],
            &["--wait-up", "1s", "--interval", "1s"],
            &["ftp://a.test"],
        ] {
            assert!(plan(arguments).is_err(), "{arguments:?}");
        }
    }
}
