//! Command-line arguments. `plan` resolves them; no other module depends on their clap types.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use clock::{Field, JsonValue, Statuses, duration, text_to_find};
use command_line::Shell;
use probe::ConnectTo;

/// Maximum number of requests on a connection.
pub(crate) const MOST_SAMPLES: u32 = 100;
/// Maximum number of expected instances.
pub(crate) const MOST_INSTANCES: u32 = 64;
/// Maximum number of checks in a row for a change of state.
pub(crate) const MOST_IN_A_ROW: u32 = 1000;

const EXIT_CODES: &str = "\
Exit codes (of the last check, by the monitoring plugins' convention; the worst of several targets):
  0  OK             up and as expected, and every clock proven right
  1  WARNING        the same, but a clock is beyond --warn-skew, a certificate within --warn-certificate of its
                    end, or one of several addresses dead
  2  CRITICAL       down, or a clock proven to be off
  3  UNKNOWN        proven neither way, wrong usage, or an internal error

The first SIGINT or SIGTERM ends a series with a summary, the second one ends it immediately. SIGTERM, as a\nservice manager sends it, ends a series with 0 (see --exit-on-stop). SIGHUP makes a series read --config again.";

/// Checks from outside that a service is up and that its clock is right.
#[derive(Debug, Parser)]
#[command(
    name = "checker",
    version,
    after_help = EXIT_CODES,
    args_conflicts_with_subcommands = true,
    max_term_width = 110
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) watch: Watch,
}

impl Cli {
    /// Parses the arguments.
    pub(crate) fn read(
        arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches_from(arguments)?;
        let mut cli = Self::from_arg_matches(&matches)?;
        // clap merges option and variable into one field, but the plan treats them differently.
        cli.watch.urls_of_variable = matches.value_source("urls") == Some(ValueSource::EnvVariable);
        Ok(cli)
    }
}

/// Commands beside checking.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Judge again what a log has, with other limits
    Judge(Judge),
    /// Draw what a log has as one page: uptime, offset and latency over time
    Report(Page),
    /// Check that the webhook takes messages
    #[command(subcommand)]
    Webhook(WebhookCommand),
    /// Print a JSON Schema: of the file that `--config` names, or of a line of `--output json`
    Schema {
        /// What the schema is of
        #[arg(value_enum, default_value_t)]
        of: SchemaOf,
    },
    /// Print the completion script for a shell: `source <(checker completions bash)`
    Completions {
        /// Shell that reads the script
        shell: Shell,
    },
    /// Write the man pages
    #[command(hide = true)]
    ManPages {
        /// Existing folder that gets a page for each command
        folder: PathBuf,
    },
}

/// What a schema is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    /// The file that `--config` names
    #[default]
    Targets,
    /// A line of `--output json`
    Output,
}

/// What to do with the webhook.
#[derive(Debug, Subcommand)]
pub(crate) enum WebhookCommand {
    /// Send it a test message: `{"event":"test","format":1}`
    Test {
        /// Where to send it
        #[arg(
            long,
            value_name = "URL",
            env = "CHECKER_WEBHOOK",
            hide_env_values = true
        )]
        webhook: String,
    },
}

/// Checks, once or again and again.
#[derive(Debug, Clone, Args)]
pub(crate) struct Watch {
    /// What to ask; without a path it is /now, with --kind http / [default: http://localhost/now]
    #[arg(help_heading = "Targets", value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The same as an option, which can be repeated, or a variable
    #[arg(
        help_heading = "Targets",
        long = "url",
        value_name = "URL",
        env = "CHECKER_URL"
    )]
    pub(crate) urls: Vec<String>,
    /// Set if `urls` comes from the environment variable.
    #[arg(skip)]
    pub(crate) urls_of_variable: bool,
    /// Targets, and settings for each of them, from a TOML file
    #[arg(help_heading = "Targets", long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) how: How,
    #[command(flatten)]
    pub(crate) when: When,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// What a check proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// The service is up, and its clock is right
    Clock,
    /// The service is up: its answers need no time
    Http,
}

impl From<Kind> for clock::Kind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Clock => Self::Clock,
            Kind::Http => Self::Http,
        }
    }
}

/// Settings of a check, and what it expects.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Measuring")]
pub(crate) struct How {
    /// For resolving, and for each request, from connecting to the last byte [default: 5s]
    #[arg(help_heading = "Request", long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) timeout: Option<Duration>,
    /// A clock that is further off, in either direction, is wrong [default: 1s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) max_skew: Option<Duration>,
    /// A clock that is further off than this is worth a warning
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) warn_skew: Option<Duration>,
    /// A certificate that expires in fewer days, `14d`, is worth a warning
    #[arg(help_heading = "Answer", long, value_name = "DAYS", value_parser = duration::days)]
    pub(crate) warn_certificate: Option<u32>,
    /// Requests on a connection, at most [default: 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_SAMPLES)))]
    pub(crate) samples: Option<u32>,
    /// Where in a JSON body the time is [default: /now]
    #[arg(long, value_name = "POINTER")]
    pub(crate) field: Option<Field>,
    /// Take the time of the Date header where the body has none: it is good to a second
    #[arg(long)]
    pub(crate) date_header: bool,
    /// What is proven of the service [default: clock]
    #[arg(help_heading = "Answer", long, value_name = "KIND", value_enum)]
    pub(crate) kind: Option<Kind>,
    /// Status codes that are a success, as `200-299` or `200,404` [default: 200-299]
    #[arg(help_heading = "Answer", long, value_name = "CODES")]
    pub(crate) status: Option<Statuses>,
    /// The body has to contain this text
    #[arg(help_heading = "Answer", long, value_name = "TEXT", value_parser = text_to_find)]
    pub(crate) contains: Option<String>,
    /// A JSON body has to have this value, as `/status=ok`; can be repeated
    #[arg(
        help_heading = "Answer",
        long = "json-pointer",
        value_name = "POINTER=VALUE"
    )]
    pub(crate) json: Vec<JsonValue>,
    /// Every answer has to come from this version
    #[arg(help_heading = "Answer", long, value_name = "VERSION")]
    pub(crate) expect_version: Option<String>,
    /// So many instances have to answer, and be right
    #[arg(help_heading = "Answer", long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_INSTANCES)))]
    pub(crate) expect_instances: Option<u32>,
    /// Connect there instead; the URL's host stays in the Host header and in TLS
    #[arg(help_heading = "Request", long, value_name = "HOST:PORT")]
    pub(crate) connect_to: Option<ConnectTo>,
    /// Send this header with every request; can be repeated. The value may be `@FILE`
    #[arg(help_heading = "Request", long = "header", value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,
    /// Send the token in this file as `Authorization: Bearer`
    #[arg(
        help_heading = "Request",
        long,
        value_name = "FILE",
        env = "CHECKER_BEARER_FILE",
        conflicts_with = "basic_file"
    )]
    pub(crate) bearer_file: Option<PathBuf>,
    /// Send the `USER:PASSWORD` in this file as `Authorization: Basic`
    #[arg(
        help_heading = "Request",
        long,
        value_name = "FILE",
        env = "CHECKER_BASIC_FILE"
    )]
    pub(crate) basic_file: Option<PathBuf>,
    /// Trust the certificate authorities in this PEM file, and no others
    #[arg(help_heading = "Request", long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Show this client certificate (PEM) in TLS
    #[arg(help_heading = "Request", long, value_name = "FILE")]
    pub(crate) client_cert: Option<PathBuf>,
    /// Its private key (PEM) [default: in the same file]
    #[arg(
        help_heading = "Request",
        long,
        value_name = "FILE",
        requires = "client_cert"
    )]
    pub(crate) client_key: Option<PathBuf>,
    /// IPv4 addresses only
    #[arg(help_heading = "Request", short = '4', long, conflicts_with = "ipv6")]
    pub(crate) ipv4: bool,
    /// IPv6 addresses only
    #[arg(help_heading = "Request", short = '6', long)]
    pub(crate) ipv6: bool,
    /// A time server (SNTP): tells whose clock is off. Can be repeated: most of them decide
    #[arg(long = "reference", value_name = "HOST[:PORT]")]
    pub(crate) references: Vec<String>,
}

/// Schedule of the checks.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Time")]
pub(crate) struct When {
    /// Check again and again, this long from start to start (at least 100ms); without it once
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) interval: Option<Duration>,
    /// Check once, even if the file says otherwise
    #[arg(long, conflicts_with_all = ["interval", "count", "jitter", "retry_interval"])]
    pub(crate) once: bool,
    /// End after so many checks of each target
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Begin each check by chance up to this much later; the grid stays
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) jitter: Option<Duration>,
    /// Check this soon again while a change of state is not confirmed
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) retry_interval: Option<Duration>,
    /// Good checks in a row until a state is good again [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_IN_A_ROW)))]
    pub(crate) rise: Option<u32>,
    /// Bad checks in a row until a state is bad [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_IN_A_ROW)))]
    pub(crate) fall: Option<u32>,
    /// Which state the exit code tells at the end of a series
    #[arg(long = "exit", value_name = "STATE", value_enum, default_value_t = ExitWith::Last)]
    pub(crate) exit: ExitWith,
    /// What SIGTERM ends a series with
    #[arg(long, value_name = "CODE", value_enum, default_value_t = OnStop::Ok)]
    pub(crate) exit_on_stop: OnStop,
    /// Check until the service is up as expected, or this time has passed
    #[arg(long, value_name = "DURATION", conflicts_with = "interval", value_parser = duration::parse)]
    pub(crate) wait_up: Option<Duration>,
}

/// The state that an exit code tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExitWith {
    /// The one that holds at the end
    #[default]
    Last,
    /// The worst one of the whole series
    Worst,
}

/// The exit code after SIGTERM.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnStop {
    /// 0: whoever stops a series has not found anything wrong
    #[default]
    Ok,
    /// That of the state, as without a signal
    State,
}

/// Receivers of the results.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct Output {
    /// What is written to stdout
    #[arg(long = "output", value_name = "FORMAT", value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
    /// Serve figures for Prometheus at this address, under /metrics
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) prometheus: Option<SocketAddr>,
    /// Send each change of state there, as JSON
    #[arg(
        long,
        value_name = "URL",
        env = "CHECKER_WEBHOOK",
        hide_env_values = true
    )]
    pub(crate) webhook: Option<String>,
    /// Append all that was measured to this file, as JSON Lines
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
}

/// Output formats of stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A live view on a terminal, a line for each check elsewhere
    Human,
    /// A JSON object for each check, one a line
    Json,
    /// A line in the form of monitoring plugins for each check
    Nagios,
}

/// Judges a log again.
#[derive(Debug, Args)]
pub(crate) struct Judge {
    /// What `--log` wrote
    pub(crate) file: PathBuf,
    /// A clock that is further off, in either direction, is wrong [default: as logged]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) max_skew: Option<Duration>,
    /// A clock that is further off than this is worth a warning [default: as logged]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) warn_skew: Option<Duration>,
    /// Good checks in a row until a state is good again [default: as logged]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_IN_A_ROW)))]
    pub(crate) rise: Option<u32>,
    /// Bad checks in a row until a state is bad [default: as logged]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_IN_A_ROW)))]
    pub(crate) fall: Option<u32>,
    /// What is written to stdout
    #[arg(long = "output", value_name = "FORMAT", value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}

/// Draws a log.
#[derive(Debug, Args)]
pub(crate) struct Page {
    /// What `--log` wrote
    pub(crate) file: PathBuf,
    /// An availability to hold it against, percent: `99.9`. Shows what is left of the error budget
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub(crate) slo: Option<f64>,
    /// The page to write, which no other file is needed for
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// A clock that is further off, in either direction, is wrong [default: as logged]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) max_skew: Option<Duration>,
}

fn percent(text: &str) -> Result<f64, String> {
    let percent: f64 = text.parse().map_err(|_| "write for example `99.9`")?;
    // NaN fails both comparisons, so it is refused as well.
    if percent > 0.0 && percent < 100.0 {
        Ok(percent)
    } else {
        Err("it is between 0 and 100, without either".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn commands_in_documents_are_commands() {
        let count = test_support::documents::assert_commands_parse(&super::Cli::command());
        assert!(count > 15, "{count}");
    }
}
