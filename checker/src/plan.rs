//! Plan of a run, resolved from the arguments and the configuration file.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::CommandFactory as _;
use clap::error::ErrorKind;
use clock::{Expected, Family, Header, Identity, Kind, Settings, text_to_find};
use probe::{Server, Target};
use url::Url;

use crate::cli::{
    Cli, ExitWith, Format, How, MOST_IN_A_ROW, MOST_INSTANCES, MOST_SAMPLES, OnStop, Output, Watch,
    When,
};
use crate::file::{self, Entry, File};
use crate::request;
use crate::series::Hysteresis;

const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
/// Maximum number of targets per process.
const MOST_TARGETS: usize = 10_000;
/// Maximum number of time servers. More would not improve a majority.
const MOST_REFERENCES: usize = 16;
const DEFAULT_URL: &str = "http://localhost";

/// Resolved plan of a run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) subjects: Vec<Subject>,
    /// Schedule of a series; `None` for a single check.
    pub(crate) period: Option<Period>,
    /// Time to wait for the service to be up; only without a period.
    pub(crate) wait_up: Option<Duration>,
    pub(crate) exit: ExitWith,
    /// Set if SIGTERM ends the program with 0, which applies to a series only.
    pub(crate) stops_with_ok: bool,
    pub(crate) hysteresis: Hysteresis,
    pub(crate) references: Vec<Server>,
    pub(crate) format: Format,
    pub(crate) prometheus: Option<SocketAddr>,
    pub(crate) webhook: Option<Url>,
    pub(crate) log: Option<PathBuf>,
}

/// Target with its settings.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) target: Target,
    pub(crate) settings: Settings,
}

/// Schedule of a series on a grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period {
    pub(crate) interval: Duration,
    /// Maximum random delay.
    pub(crate) jitter: Duration,
    /// Pause before the next check while a change is not confirmed.
    pub(crate) retry: Option<Duration>,
    /// Number of checks; `None` for no limit.
    pub(crate) count: Option<u64>,
}

impl Plan {
    /// Resolves the arguments. Errors have clap's form.
    pub(crate) fn new(watch: Watch) -> Result<Self, clap::Error> {
        Self::resolve(watch)
            .map_err(|message| Cli::command().error(ErrorKind::ValueValidation, message))
    }

    /// Resolves the arguments again, after the file has changed. A file that names no target is
    /// an error: it may be half-written.
    pub(crate) fn again(watch: Watch) -> Result<Self, String> {
        let path = watch.config.clone().unwrap_or_default();
        let is_empty = file::read(&path)?.targets.is_empty();
        if is_empty && watch.url.is_none() && watch.urls.is_empty() {
            return Err(format!("{}: names no target", path.display()));
        }
        Self::resolve(watch)
    }

    fn resolve(watch: Watch) -> Result<Self, String> {
        let file = match &watch.config {
            Some(path) => file::read(path)?,
            None => File::default(),
        };
        let subjects = subjects(&watch, &file)?;
        let period = period(&watch.when, &file)?;
        let Output {
            format,
            prometheus,
            webhook,
            log,
        } = watch.output;
        let hysteresis = Hysteresis {
            rise: watch.when.rise.or(file.rise).unwrap_or(1),
            fall: watch.when.fall.or(file.fall).unwrap_or(1),
        };
        within("rise", Some(hysteresis.rise), MOST_IN_A_ROW)?;
        within("fall", Some(hysteresis.fall), MOST_IN_A_ROW)?;
        if watch.when.wait_up.is_some() && subjects.len() > 1 {
            return Err("--wait-up waits for one target only".to_owned());
        }
        if period.is_none() && prometheus.is_some() {
            return Err("--prometheus serves a series of checks: --interval is missing".to_owned());
        }
        Ok(Self {
            subjects,
            period,
            wait_up: watch.when.wait_up,
            exit: watch.when.exit,
            stops_with_ok: period.is_some() && watch.when.exit_on_stop == OnStop::Ok,
            // A single check has no history, so its result counts immediately.
            hysteresis: period.map_or_else(Hysteresis::default, |_| hysteresis),
            references: references(watch.how.references, file.references)?,
            format,
            prometheus,
            // An empty variable counts as unset.
            webhook: webhook
                .filter(|text| !text.is_empty())
                .map(|text| web_address(&text))
                .transpose()?,
            log,
        })
    }
}

/// Parses the time servers of the arguments, or else of the file, without duplicates.
fn references(arguments: Vec<String>, file: Vec<String>) -> Result<Vec<Server>, String> {
    let texts = if arguments.is_empty() {
        file
    } else {
        arguments
    };
    let mut servers: Vec<Server> = Vec::new();
    for text in &texts {
        let server = text
            .parse()
            .map_err(|error: probe::ServerError| error.to_string())?;
        // A duplicate must not have a second vote.
        if !servers.contains(&server) {
            servers.push(server);
        }
    }
    if servers.len() > MOST_REFERENCES {
        return Err(format!("more than {MOST_REFERENCES} time servers"));
    }
    Ok(servers)
}

fn subjects(watch: &Watch, file: &File) -> Result<Vec<Subject>, String> {
    // An argument overrides the variable, but adds to the option.
    let from_variable = watch.urls_of_variable && watch.url.is_some();
    let is_set = |url: &&String| !(from_variable || (watch.urls_of_variable && url.is_empty()));
    let options = watch.urls.iter().filter(is_set);
    let named = |url: &str| Entry {
        url: url.to_owned(),
        ..Entry::default()
    };
    let mut entries: Vec<Entry> = watch
        .url
        .iter()
        .chain(options)
        .map(|url| named(url))
        .collect();
    let arguments = entries.len();
    entries.extend(file.targets.iter().cloned());
    if entries.is_empty() {
        entries.push(named(DEFAULT_URL));
    }
    if entries.len() > MOST_TARGETS {
        return Err(format!("more than {MOST_TARGETS} targets"));
    }
    let subjects = entries
        .into_iter()
        .map(|entry| subject(entry, &watch.how, file));
    let subjects: Vec<Subject> = subjects.collect::<Result<_, _>>()?;
    // Duplicates could not be told apart in the output. An entry of the file overrides an argument,
    // because it may have settings.
    let (arguments, of_file) = subjects.split_at(arguments);
    let mut seen = BTreeSet::new();
    if let Some(twice) = of_file.iter().find(|subject| !seen.insert(subject.key())) {
        let url = twice.target.url();
        return Err(format!(
            "{url} is in the file twice: only one with the same `connect_to` can be checked"
        ));
    }
    let arguments = arguments
        .iter()
        .filter(|subject| seen.insert(subject.key()));
    Ok(arguments.chain(of_file).cloned().collect())
}

impl Subject {
    /// Returns what identifies the target.
    pub(crate) fn key(&self) -> (String, Option<String>) {
        let connect_to = self.target.connect_to().map(ToString::to_string);
        (self.target.url().to_string(), connect_to)
    }
}

/// Resolves a target. Its own entry takes precedence, then the arguments, then the file's common
/// settings.
fn subject(entry: Entry, how: &How, file: &File) -> Result<Subject, String> {
    let usual = Settings::default();
    let connect_to = match &entry.connect_to {
        Some(text) => Some(text.parse().map_err(|error| format!("{error}"))?),
        None => how.connect_to.clone(),
    };
    let all = &file.all;
    let kind = entry.how.kind.or(how.kind.map(Kind::from)).or(all.kind);
    let kind = kind.unwrap_or_default();
    let target = match kind {
        Kind::Clock => Target::new(&entry.url, connect_to),
        // Only a clock check has a default path.
        Kind::Http => Target::exact(&entry.url, connect_to),
    };
    let target = target.map_err(|error| error.to_string())?;
    let family = match (how.ipv4, how.ipv6) {
        (true, _) => Family::V4,
        (_, true) => Family::V6,
        (false, false) => Family::Any,
    };
    let one = entry.how;
    let headers = headers(&one, how, all)?;
    // A certificate and its key belong together, so both come from one place.
    let identities = [
        (&one.client_cert, &one.client_key),
        (&how.client_cert, &how.client_key),
        (&all.client_cert, &all.client_key),
    ];
    let identity = identities
        .into_iter()
        .find_map(|(certificate, key)| Some((certificate.clone()?, key.clone())))
        .map(|(certificate, key)| identity(certificate, key))
        .transpose()?;
    let settings = Settings {
        kind,
        expected: expected(&one, how, all)?,
        timeout: one
            .timeout
            .or(how.timeout)
            .or(all.timeout)
            .unwrap_or(usual.timeout),
        max_skew: one
            .max_skew
            .or(how.max_skew)
            .or(all.max_skew)
            .unwrap_or(usual.max_skew),
        warn_skew: one.warn_skew.or(how.warn_skew).or(all.warn_skew),
        warn_certificate: one
            .warn_certificate
            .or(how.warn_certificate)
            .or(all.warn_certificate),
        samples: one
            .samples
            .or(how.samples)
            .or(all.samples)
            .unwrap_or(usual.samples),
        field: one
            .field
            .or_else(|| how.field.clone())
            .or_else(|| all.field.clone())
            .unwrap_or(usual.field),
        date_header: one
            .date_header
            .unwrap_or(how.date_header || all.date_header.unwrap_or_default()),
        family,
        expect_version: one
            .expect_version
            .or_else(|| how.expect_version.clone())
            .or_else(|| all.expect_version.clone()),
        expect_instances: one
            .expect_instances
            .or(how.expect_instances)
            .or(all.expect_instances),
        proxy: None,
        headers,
        ca_file: one
            .ca_file
            .or_else(|| how.ca_file.clone())
            .or_else(|| all.ca_file.clone()),
        identity,
    };
    if settings
        .warn_skew
        .is_some_and(|warn| warn > settings.max_skew)
    {
        return Err("--warn-skew must not be larger than --max-skew".to_owned());
    }
    // clap has validated the arguments, but the values may come from the file.
    within("samples", Some(settings.samples), MOST_SAMPLES)?;
    within(
        "expect_instances",
        settings.expect_instances,
        MOST_INSTANCES,
    )?;
    Ok(Subject { target, settings })
}

/// Returns the client certificate after verifying that it can be loaded.
fn identity(certificate: PathBuf, key: Option<PathBuf>) -> Result<Identity, String> {
    let identity = Identity {
        // One PEM file may contain both the certificate and the key.
        key: key.unwrap_or_else(|| certificate.clone()),
        certificate,
    };
    // Loaded once now, so that a bad file is a usage error instead of a failure of every check.
    probe::check_identity(&identity)?;
    Ok(identity)
}

/// Returns the headers of all places. A target's own replace those of the same name from arguments,
/// and these the common ones.
fn headers(one: &file::How, how: &How, all: &file::How) -> Result<Vec<Header>, String> {
    let mut headers = all.headers()?;
    let arguments = request::headers(
        &how.headers,
        how.bearer_file.as_deref(),
        how.basic_file.as_deref(),
    )?;
    for later in [arguments, one.headers()?] {
        headers.retain(|known| {
            let is_same = |it: &Header| it.name.eq_ignore_ascii_case(&known.name);
            !later.iter().any(is_same)
        });
        headers.extend(later);
    }
    Ok(headers)
}

/// Resolves the expectations. JSON values are not merged: the first list by precedence replaces the
/// others.
fn expected(one: &file::How, how: &How, all: &file::How) -> Result<Expected, String> {
    let contains = [&one.contains, &how.contains, &all.contains];
    let contains = contains.into_iter().flatten().next();
    let of_file = |how: &file::How| how.json.as_ref().map(|json| json.0.clone());
    let arguments = || Some(how.json.clone()).filter(|json| !json.is_empty());
    let status = [&one.status, &how.status, &all.status];
    Ok(Expected {
        status: status
            .into_iter()
            .flatten()
            .next()
            .cloned()
            .unwrap_or_default(),
        contains: contains
            .map(|text| text_to_find(text))
            .transpose()
            .map_err(|error| error.to_string())?,
        json: of_file(one)
            .or_else(arguments)
            .or_else(|| of_file(all))
            .unwrap_or_default(),
    })
}

/// Checks the range of a value. Every request costs time and memory, so larger values are mistakes.
fn within(name: &str, value: Option<u32>, most: u32) -> Result<(), String> {
    match value {
        Some(value) if !(1..=most).contains(&value) => {
            Err(format!("{name} must be from 1 to {most}"))
        }
        Some(_) | None => Ok(()),
    }
}

fn period(when: &When, file: &File) -> Result<Option<Period>, String> {
    let interval = when
        .interval
        .or(file.interval)
        // Arguments override the interval of the file.
        .filter(|_| !when.once && when.wait_up.is_none());
    let Some(interval) = interval else {
        let needless = [
            (when.count.is_some(), "--count"),
            (when.jitter.is_some(), "--jitter"),
            (when.retry_interval.is_some(), "--retry-interval"),
        ];
        return match needless.iter().find(|(given, _)| *given) {
            Some((_, name)) => Err(format!("{name} is for a series: --interval is missing")),
            None => Ok(None),
        };
    };
    if interval < SHORTEST_INTERVAL {
        return Err("--interval must be at least 100ms".to_owned());
    }
    let jitter = when.jitter.or(file.jitter).unwrap_or_default();
    // A longer jitter could delay a check beyond the next tick.
    if jitter >= interval {
        return Err("--jitter must be shorter than --interval".to_owned());
    }
    let retry = when.retry_interval.or(file.retry_interval);
    if retry.is_some_and(|retry| retry < SHORTEST_INTERVAL) {
        return Err("--retry-interval must be at least 100ms".to_owned());
    }
    Ok(Some(Period {
        interval,
        jitter,
        retry,
        count: when.count,
    }))
}

pub(crate) fn web_address(text: &str) -> Result<Url, String> {
    // The error omits the address, which may contain a secret.
    let invalid = |detail: &str| format!("cannot use the address of the webhook: {detail}");
    let url = Url::parse(text).map_err(|error| invalid(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid("it is neither http nor https"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(arguments: &[&str]) -> Result<Plan, clap::Error> {
        Cli::read([&["checker"], arguments].concat()).and_then(|cli| Plan::new(cli.watch))
    }

    fn urls(plan: &Plan) -> Vec<&str> {
        plan.subjects
            .iter()
            .map(|subject| subject.target.url().as_str())
            .collect()
    }

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn urls_are_arguments_and_options_which_may_be_repeated() {
        let both = plan(&["a.test", "--url", "b.test", "--url", "a.test"]).unwrap();
        assert_eq!(urls(&both), ["http://a.test/now", "http://b.test/now"]);
        let several = plan(&["--url", "b.test", "--url", "c.test/x", "--url", "b.test"]).unwrap();
        assert_eq!(urls(&several), ["http://b.test/now", "http://c.test/x"]);
        assert_eq!(urls(&plan(&[]).unwrap()), ["http://localhost/now"]);
    }

    #[test]
    fn expectations_come_from_arguments_and_the_file() {
        let by_hand = [
            "--kind",
            "http",
            "--status",
            "204",
            "--contains",
            "a",
            "--json-pointer",
            "/a=1",
            "x.test",
        ];
        let by_hand = plan(&by_hand).unwrap();
        assert_eq!(urls(&by_hand), ["http://x.test/"]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("targets.toml");
        let text = r#"
            kind = "http"
            status = "200-399"

            [[target]]
            url = "x.test"
            status = 204
            contains = "a"
            json = { "/a" = 1 }

            [[target]]
            url = "y.test"
            json = { "/up" = true, "x" = 1.5 }

            [[target]]
            url = "z.test"
            kind = "clock"
        "#;
        std::fs::write(&path, text).unwrap();
        let path = path.to_str().unwrap();
        let of_file = plan(&["--config", path, "--contains", "b"]).unwrap();
        assert_eq!(
            urls(&of_file),
            ["http://x.test/", "http://y.test/", "http://z.test/now"]
        );
        let settings: Vec<_> = of_file.subjects.iter().map(|it| &it.settings).collect();
        assert_eq!(*settings[0], by_hand.subjects[0].settings);
        let Expected {
            status,
            contains,
            json,
        } = &settings[1].expected;
        assert_eq!(status.to_string(), "200-399");
        assert_eq!(contains.as_deref(), Some("b"));
        let json: Vec<_> = json
            .iter()
            .map(|it| format!("{}={}", it.pointer, it.value))
            .collect();
        assert_eq!(json, ["/up=true", "/x=1.5"]);
        assert_eq!(settings[2].kind, Kind::Clock);
        for wrong in [
            "kind = \"tcp\"",
            "status = \"2xx\"",
            "contains = \"\"",
            "json = { \"~\" = 1 }",
            "json = { a = [] }",
        ] {
            std::fs::write(path, wrong).unwrap();
            assert!(plan(&["--config", path]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for arguments in [
            &["--interval", "99ms"][..],
            &["--interval", "5"],
            &["--count", "2"],
            &["--jitter", "1s"],
            &["--interval", "1s", "--jitter", "1s"],
            &["--interval", "1s", "--retry-interval", "1ms"],
            &["--interval", "1s", "--count", "0"],
            &["--interval", "1s", "--once"],
            &["--samples", "0"],
            &["--connect-to", "nowhere"],
            &["--wait-up", "1s", "--interval", "1s"],
            &["--wait-up", "1s", "--url", "a", "--url", "b"],
            &["--warn-skew", "2s"],
            &["--field", ""],
            &["-4", "-6"],
            &["--prometheus", "127.0.0.1:9"],
            &["--prometheus", "9", "--interval", "1s"],
            &["--webhook", "ftp://a.test"],
            &["--config", "/does/not/exist.toml"],
            &["--reference", "a:b:c"],
            &["ftp://a.test"],
            &["--rise", "0"],
            &["--client-cert", "/none.pem"],
            &["--client-key", "/none.pem"],
            &["--warn-certificate", "14"],
            &["--kind", "tcp"],
            &["--status", "2xx"],
            &["--contains", ""],
            &["--json-pointer", "/status"],
        ] {
            assert!(plan(arguments).is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn a_file_names_targets_and_their_settings() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("targets.toml");
        let text = r#"
            interval = "30s"
            jitter = "1s"
            max_skew = "2s"
            timeout = "3s"
            fall = 2

            [[target]]
            url = "a.test"

            [[target]]
            url = "https://b.test/time"
            max_skew = "250ms"
            field = "/data/time"
            connect_to = "127.0.0.1:8443"
        "#;
        std::fs::write(&path, text).unwrap();
        let path = path.to_str().unwrap();
        let plan = plan(&["--config", path, "--timeout", "4s", "--rise", "3"]).unwrap();
        assert_eq!(urls(&plan), ["http://a.test/now", "https://b.test/time"]);
        let skews: Vec<_> = plan
            .subjects
            .iter()
            .map(|subject| subject.settings.max_skew.as_millis())
            .collect();
        assert_eq!(skews, [2_000, 250]);
        for subject in &plan.subjects {
            assert_eq!(subject.settings.timeout, Duration::from_secs(4));
        }
        assert_eq!(plan.hysteresis, Hysteresis { rise: 3, fall: 2 });
        assert_eq!(plan.period.unwrap().jitter, Duration::from_secs(1));
        let once = super::tests::plan(&["--config", path, "--once"]).unwrap();
        assert!(once.period.is_none());

        // What the file says of a target is not lost beside an argument that names the same one.
        let both = super::tests::plan(&[
            "--config",
            path,
            "--url",
            "https://b.test/time",
            "--connect-to",
            "127.0.0.1:8443",
        ]);
        let both = both.unwrap();
        assert_eq!(urls(&both), ["http://a.test/now", "https://b.test/time"]);
        assert_eq!(both.subjects[1].settings.max_skew.as_millis(), 250);

        for wrong in [
            "samples = 101",
            "samples = 0",
            "rise = 0",
            "fall = 4000000000",
            "[[target]]\nurl = \"a\"\nexpect_instances = 65",
            "[[target]]\nurl = \"a\"\n[[target]]\nurl = \"a\"\nfield = \"/x\"",
        ] {
            std::fs::write(path, wrong).unwrap();
            assert!(super::tests::plan(&["--config", path]).is_err(), "{wrong}");
        }
        for wrong in [
            "interval = 30",
            "intervall = \"30s\"",
            "[[target]]\nurl = \"a\"\nmax_skew = \"x\"",
            "[[target]]\nname = \"a\"",
            "[[target]",
        ] {
            std::fs::write(path, wrong).unwrap();
            let error = super::tests::plan(&["--config", path]).unwrap_err();
            assert!(error.to_string().contains("targets.toml"), "{error}");
        }
    }
}
