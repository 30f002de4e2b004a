//! Real servers around the service: Varnish, nginx, HAProxy, Python, and the service itself as a program, some of them with a
//! clock that is off. No verdict is false. `make real-servers` asks each of them more often.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use crate::program::{command, json_lines, run};
use crate::support::{shim, show};
use futures_util::StreamExt as _;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Child;

/// Cases that run at the same time.
const AT_ONCE: usize = 8;

/// How Varnish caches, by the second part of a path.
const CACHES: &str = r#"
    sub vcl_recv {
        CHOICE
        set req.http.how = regsub(req.url, "^/[a-z]*/([a-z]*).*$", "\1");
        set req.url = regsub(req.url, "^[^?]*", "/now");
        if (req.http.how == "bare") { set req.url = "/now"; }
        if (req.http.how == "pass") { return (pass); }
        return (hash);
    }
    sub vcl_hash {
        hash_data(req.backend_hint);
        if (req.http.how != "any") { hash_data(req.url); }
        return (lookup);
    }
    sub vcl_backend_response {
        unset beresp.http.cache-control;
        set beresp.ttl = 1h;
    }
"#;

/// What is true of a service, from which follows which verdicts would be false.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Truth {
    Right,
    Wrong,
    /// Within the limit, and too near to it, or shown too coarsely, to be found right each time.
    NearlyRight,
    NearlyWrong,
    /// The tick is longer than what is left to the limit: for a part of each tick the time that is shown is within it, and for the rest it is not.
    AcrossTheLimit,
    /// One of two instances is off. Not every check sees it, but once seen, it stays known.
    OneWrong,
    /// Nobody can tell: a copy may be of any age.
    Unknown,
    /// The first answer is fresh, the others are copies of it.
    CachedLater,
    Down,
}

impl Truth {
    /// Long enough that a copy's time would look wrong during a series.
    fn interval(self) -> &'static str {
        match self {
            Self::Unknown | Self::CachedLater => "500ms",
            Self::Right
            | Self::Wrong
            | Self::NearlyRight
            | Self::NearlyWrong
            | Self::AcrossTheLimit
            | Self::OneWrong
            | Self::Down => "100ms",
        }
    }

    /// Verdicts that are not false.
    fn may(self) -> &'static [&'static str] {
        match self {
            Self::Right | Self::NearlyRight | Self::CachedLater => &["ok", "indeterminate"],
            Self::Wrong | Self::NearlyWrong => &["skewed", "indeterminate"],
            Self::AcrossTheLimit | Self::OneWrong => &["ok", "skewed", "indeterminate"],
            Self::Unknown => &["indeterminate"],
            Self::Down => &["down"],
        }
    }

    /// The verdict of at least one check.
    fn must(self) -> Option<&'static str> {
        match self {
            Self::Right => Some("ok"),
            Self::Wrong | Self::OneWrong => Some("skewed"),
            Self::Unknown | Self::CachedLater => Some("indeterminate"),
            Self::Down => Some("down"),
            Self::NearlyRight | Self::NearlyWrong | Self::AcrossTheLimit => None,
        }
    }
}

/// A service to be checked.
struct Case {
    name: String,
    url: String,
    arguments: Vec<&'static str>,
    truth: Truth,
    why: &'static str,
}

/// A running program.
struct Program {
    child: Child,
    port: u16,
}

/// All that runs, and the cases.
struct World {
    folder: TempDir,
    shim: String,
    cases: Vec<Case>,
    running: Vec<Program>,
}

/// Returns a port that nobody is given by chance: those for outgoing connections begin above.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 100).unwrap() * 100;
    loop {
        let port = 20_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shim = shim(folder.path()).await;
        Self {
            folder,
            shim,
            cases: Vec::new(),
            running: Vec::new(),
        }
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Starts a program that listens on this port, with a clock that is `ahead` milliseconds off.
    async fn start(&mut self, name: &str, arguments: &[&str], port: u16, ahead: i64) -> u16 {
        // Not on everybody's PATH.
        let system = format!("/usr/sbin/{name}");
        let program = if Path::new(&system).exists() {
            &system
        } else {
            name
        };
        let log = self.folder.path().join(format!("{port}.log"));
        let said = File::create(&log).unwrap();
        let child = command(program)
            .args(arguments)
            .current_dir(self.folder.path())
            .env("LD_PRELOAD", &self.shim)
            .env("AHEAD_MS", ahead.to_string())
            .env("PORT", port.to_string())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn();
        assert!(
            child.is_ok(),
            "{name}: {child:?}: `make bootstrap-tests` installs it"
        );
        let mut child = child.unwrap();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            let said = || std::fs::read_to_string(&log).unwrap();
            assert!(child.try_wait().unwrap().is_none(), "{}", said());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.running.push(Program { child, port });
        port
    }

    /// Stops the program on this port.
    async fn stop(&mut self, port: u16) {
        for running in &mut self.running {
            if running.port == port {
                running.child.kill().await.unwrap();
            }
        }
    }

    /// The service of this workspace.
    async fn app(&mut self, ahead: i64) -> u16 {
        let app = Path::new(env!("CARGO_BIN_EXE_checker")).with_file_name("app");
        assert!(
            app.exists(),
            "`cargo build --workspace` makes {}",
            app.display()
        );
        self.start(app.to_str().unwrap(), &[], free_port(), ahead)
            .await
    }

    async fn nginx(&mut self, top: &str, http: &str, server: &str, ahead: i64) -> u16 {
        let port = free_port();
        let folder = self.folder.path().join(format!("nginx-{port}"));
        std::fs::create_dir(&folder).unwrap();
        let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = kinds.map(|kind| format!("{kind}_temp_path {kind};\n"));
        let text = format!(
            "daemon off; master_process off; pid nginx.pid; error_log stderr; {top}\nevents {{}}\nhttp {{ access_log off;\n{}{http}\n\
             server {{ listen 127.0.0.1:{port}; {server} }} }}\n",
            temporary.concat(),
        );
        let file = self.file(&format!("nginx-{port}.conf"), &text);
        let folder = folder.to_str().unwrap();
        let arguments = ["-e", "stderr", "-p", folder, "-c", &file];
        self.start("nginx", &arguments, port, ahead).await
    }

    async fn haproxy(&mut self, option: &str, balance: &str, servers: &str) -> u16 {
        let port = free_port();
        let text = format!(
            "defaults\n mode http\n timeout connect 2s\n timeout client 10s\n timeout server 10s\n retries 3\n option redispatch\n \
             option {option}\nlisten all\n bind 127.0.0.1:{port}\n balance {balance}\n{servers}\n"
        );
        let file = self.file(&format!("haproxy-{port}.cfg"), &text);
        self.start("haproxy", &["-db", "-f", &file], port, 0).await
    }

    async fn varnish(&mut self, vcl: &str) -> u16 {
        let port = free_port();
        let file = self.file(&format!("{port}.vcl"), vcl);
        let (address, name) = (format!("127.0.0.1:{port}"), format!("varnish-{port}"));
        let folder = self.folder.path().join(name);
        let arguments = [
            "-F",
            "-j",
            "none",
            "-a",
            &address,
            "-f",
            &file,
            "-n",
            folder.to_str().unwrap(),
            "-s",
            "malloc,16m",
        ];
        self.start("varnishd", &arguments, port, 0).await
    }

    async fn python(&mut self, arguments: &[&str], ahead: i64) -> u16 {
        let port = free_port();
        let of_port = port.to_string();
        let arguments = [arguments, &[&of_port]].concat();
        self.start("python3", &arguments, port, ahead).await
    }

    fn case(
        &mut self,
        name: impl Into<String>,
        (port, path): (u16, &str),
        arguments: &[&'static str],
        (truth, why): (Truth, &'static str),
    ) {
        self.cases.push(Case {
            name: name.into(),
            url: format!("http://127.0.0.1:{port}{path}"),
            arguments: arguments.to_vec(),
            truth,
            why,
        });
    }

    #[expect(clippy::too_many_lines, reason = "a table")]
    async fn varnish_cases(&mut self) {
        let (right, ahead, later) = (self.app(0).await, self.app(5_000).await, self.app(0).await);
        let nameless = r#"location / { return 200 '{"now":$msec}'; }"#;
        let nameless = self.nginx("", "", nameless, 0).await;
        self.file("now", "hello");
        let dated = self.python(&["-m", "http.server"], 0).await;
        let backends = [
            ("right", right),
            ("ahead", ahead),
            ("later", later),
            ("nameless", nameless),
            ("dated", dated),
            ("gone", 1),
        ];
        let mut vcl = "vcl 4.1;\n".to_owned();
        let mut choice = String::new();
        for (name, port) in backends {
            let _ = writeln!(
                vcl,
                "backend {name} {{ .host = \"127.0.0.1\"; .port = \"{port}\"; }}"
            );
            let _ = writeln!(
                choice,
                "if (req.url ~ \"^/{name}/\") {{ set req.backend_hint = {name}; }}"
            );
        }
        // The first part of a path is the service, the second one how it is cached.
        vcl += &CACHES.replace("CHOICE", &choice);
        let varnish = self.varnish(&vcl).await;
        let date = &["--date-header"][..];
        let page = &["--kind", "http"][..];
        for (path, arguments, truth, why) in [
            (
                "/right/pass",
                &[][..],
                Truth::Right,
                "the nonce outweighs `Age: 0`",
            ),
            ("/ahead/pass", &[], Truth::Wrong, "a proxy changes no clock"),
            (
                "/right/miss",
                &[],
                Truth::Right,
                "each nonce is another object",
            ),
            (
                "/ahead/miss",
                &[],
                Truth::Wrong,
                "each nonce is another object",
            ),
            (
                "/right/bare",
                &[],
                Truth::Unknown,
                "no nonce reaches the service",
            ),
            (
                "/right/any",
                &[],
                Truth::CachedLater,
                "another request's nonce",
            ),
            (
                "/nameless/pass",
                &[],
                Truth::Unknown,
                "an `Age`, and no nonce against it",
            ),
            (
                "/dated/pass",
                date,
                Truth::Unknown,
                "an `Age`, and no nonce against it",
            ),
            (
                "/dated/any",
                date,
                Truth::Unknown,
                "the `Date` of the first answer",
            ),
            (
                "/nameless/any",
                page,
                Truth::Right,
                "a cached answer will do",
            ),
            ("/gone/pass", &[], Truth::Down, "503 by Varnish itself"),
            ("/gone/miss", page, Truth::Down, "503 by Varnish itself"),
        ] {
            self.case(
                format!("Varnish {path}"),
                (varnish, path),
                arguments,
                (truth, why),
            );
        }
        // Asked once while its service lives, which is stopped then.
        let path = "/later/bare";
        run(&[&format!("http://127.0.0.1:{varnish}{path}")]).await;
        self.stop(later).await;
        let why = "a copy says nothing of a stopped service's clock";
        self.case(
            "Varnish, stopped",
            (varnish, path),
            &[],
            (Truth::Unknown, why),
        );
    }

    #[expect(clippy::too_many_lines, reason = "a table")]
    async fn nginx_cases(&mut self) {
        let now = r#"location / { return 200 '{"now":$msec,"nonce":"$arg_nonce"}'; }"#;
        let page = "location / { return 200 'hello'; }";
        let none: &[&str] = &[];
        for (tick, ahead, limit, truth, why) in [
            ("", 0, none, Truth::Right, "as good as its digits"),
            ("", 5_000, none, Truth::Wrong, "5 s off"),
            ("", -5_000, none, Truth::Wrong, "5 s off"),
            ("100ms", 0, none, Truth::Right, "at most 100 ms late"),
            (
                "100ms",
                0,
                &["--max-skew", "250ms"],
                Truth::NearlyRight,
                "the tick is longer than the limit",
            ),
            (
                "100ms",
                -750,
                none,
                Truth::NearlyRight,
                "nearer to the limit than a tick and a busy machine",
            ),
            (
                "100ms",
                1_250,
                none,
                Truth::NearlyWrong,
                "nearer to the limit than a tick and a busy machine",
            ),
            ("100ms", 5_000, none, Truth::Wrong, "5 s off"),
            ("1s", 0, none, Truth::Right, "at most 1 s late"),
            (
                "1s",
                0,
                &["--max-skew", "500ms"],
                Truth::AcrossTheLimit,
                "the tick is longer than the limit",
            ),
            (
                "1s",
                -750,
                none,
                Truth::AcrossTheLimit,
                "nearer to the limit than a tick",
            ),
            (
                "1s",
                1_250,
                none,
                Truth::AcrossTheLimit,
                "looks right for most of a second",
            ),
            ("1s", 5_000, none, Truth::Wrong, "5 s off"),
        ] {
            let resolution = match tick {
                "" => String::new(),
                tick => format!("timer_resolution {tick};"),
            };
            let port = self.nginx(&resolution, "", now, ahead).await;
            let name = format!("nginx, tick {tick:?}, {ahead} ms, {limit:?}");
            self.case(name, (port, "/"), limit, (truth, why));
        }
        // With a tick of a second, `Date` is up to two seconds late: the one that is not shown, and the tick.
        for (tick, ahead, arguments, truth) in [
            ("", 0, &["--date-header"][..], Truth::Right),
            ("", 5_000, &["--date-header"], Truth::Wrong),
            ("100ms", 0, &["--date-header"], Truth::Right),
            (
                "1s",
                0,
                &["--date-header", "--max-skew", "2s"],
                Truth::Right,
            ),
            (
                "1s",
                5_000,
                &["--date-header", "--max-skew", "2s"],
                Truth::Wrong,
            ),
        ] {
            let resolution = match tick {
                "" => String::new(),
                tick => format!("timer_resolution {tick};"),
            };
            let port = self.nginx(&resolution, "", page, ahead).await;
            let name = format!("nginx, Date, tick {tick:?}, {ahead} ms");
            self.case(name, (port, "/"), arguments, (truth, "good to a second"));
        }
        let proxied = |port: u16| format!("location / {{ proxy_pass http://127.0.0.1:{port}; }}");
        for (ahead, truth) in [(0, Truth::Right), (5_000, Truth::Wrong)] {
            let app = self.app(ahead).await;
            let port = self.nginx("", "", &proxied(app), -3_000).await;
            let why = "the service's clock counts, not the proxy's";
            self.case(
                format!("nginx, proxy, {ahead} ms"),
                (port, "/now"),
                &[],
                (truth, why),
            );
        }
        let app = self.app(0).await;
        let kept = format!(
            "proxy_cache all; proxy_cache_key $uri; proxy_cache_valid 200 1h; proxy_ignore_headers Cache-Control; {}",
            proxied(app)
        );
        let port = self
            .nginx("", "proxy_cache_path cache keys_zone=all:1m;", &kept, 0)
            .await;
        let why = "another request's nonce, and no `Age`";
        self.case(
            "nginx, cache",
            (port, "/now"),
            &[],
            (Truth::CachedLater, why),
        );
        let port = self.nginx("", "", &proxied(1), 0).await;
        self.case(
            "nginx, no service",
            (port, "/now"),
            &[],
            (Truth::Down, "502"),
        );
    }

    async fn haproxy_cases(&mut self) {
        let (a, b, ahead) = (self.app(0).await, self.app(0).await, self.app(5_000).await);
        let servers = |ports: &[u16], more: &str| {
            let lines = ports
                .iter()
                .map(|port| format!(" server s{port} 127.0.0.1:{port} {more}\n"));
            lines.collect::<String>()
        };
        for option in ["http-keep-alive", "http-server-close"] {
            for balance in ["roundrobin", "leastconn", "random"] {
                let port = self
                    .haproxy(option, balance, &servers(&[a, ahead], ""))
                    .await;
                let name = format!("HAProxy, {balance}, {option}, one 5 s off");
                self.case(
                    &name,
                    (port, "/now"),
                    &[],
                    (Truth::OneWrong, "one is proven wrong"),
                );
                let name = format!("HAProxy, {balance}, {option}");
                let port = self.haproxy(option, balance, &servers(&[a, b], "")).await;
                let two = &["--expect-instances", "2"];
                self.case(&name, (port, "/now"), two, (Truth::Right, "both are right"));
            }
        }
        let port = self
            .haproxy("http-keep-alive", "source", &servers(&[a, b], ""))
            .await;
        let two = &["--expect-instances", "2"];
        let why = "nobody knows of the one that no connection leads to";
        self.case(
            "HAProxy, always the same",
            (port, "/now"),
            two,
            (Truth::Unknown, why),
        );
        let port = self.haproxy("http-keep-alive", "roundrobin", "").await;
        self.case(
            "HAProxy, no servers",
            (port, "/now"),
            &[],
            (Truth::Down, "503"),
        );
        let stopped = self.app(0).await;
        self.stop(stopped).await;
        let port = self
            .haproxy("http-keep-alive", "roundrobin", &servers(&[stopped], ""))
            .await;
        self.case(
            "HAProxy, stopped",
            (port, "/now"),
            &[],
            (Truth::Down, "503"),
        );
        let both = servers(&[a, stopped], "");
        let port = self.haproxy("http-server-close", "roundrobin", &both).await;
        let why = "HAProxy sends a refused request to the other one";
        self.case(
            "HAProxy, one of two stopped",
            (port, "/now"),
            &[],
            (Truth::Right, why),
        );
    }

    async fn python_cases(&mut self) {
        let script = self.file(
            "service.py",
            "import http.server, json, sys, time\n\
             class Handler(http.server.BaseHTTPRequestHandler):\n\
             \x20   def do_GET(self):\n\
             \x20       body = json.dumps({'now': time.time()}).encode()\n\
             \x20       self.send_response(200)\n\
             \x20       self.end_headers()\n\
             \x20       self.wfile.write(body)\n\
             http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()\n",
        );
        for (ahead, truth) in [
            (0, Truth::Right),
            (900, Truth::NearlyRight),
            (-900, Truth::NearlyRight),
            (1_100, Truth::NearlyWrong),
            (-1_100, Truth::NearlyWrong),
            (5_000, Truth::Wrong),
            (-5_000, Truth::Wrong),
        ] {
            let port = self
                .python(&["-m", "http.server", "--bind", "127.0.0.1"], ahead)
                .await;
            let name = format!("Python, Date, {ahead} ms");
            self.case(
                name,
                (port, "/"),
                &["--date-header"],
                (truth, "good to a second"),
            );
            let port = self.python(&[&script], ahead).await;
            let name = format!("Python, HTTP/1.0, {ahead} ms");
            self.case(
                name,
                (port, "/"),
                &[],
                (truth, "a new connection for each answer"),
            );
        }
        let port = self.python(&["-m", "http.server"], 0).await;
        let page = &["--kind", "http", "--contains", "Directory listing"];
        self.case(
            "Python, page",
            (port, "/"),
            page,
            (Truth::Right, "needs no clock"),
        );
        self.case(
            "Python, no time",
            (port, "/"),
            &[],
            (Truth::Down, "a page without a time"),
        );
    }
}

impl Case {
    /// Checks the service so many times. Returns the verdicts, or why they are not right.
    async fn check(&self, checks: u32) -> Result<Vec<String>, String> {
        // By chance, a few checks may all see the same one of two.
        let checks = checks * if self.truth == Truth::OneWrong { 4 } else { 1 };
        let count = checks.to_string();
        let interval = self.truth.interval();
        let series = [
            "--interval",
            interval,
            "--count",
            &count,
            "--output",
            "json",
        ];
        let arguments = [&[&*self.url], &self.arguments[..], &series].concat();
        let (exit, stdout, stderr) = run(&arguments).await;
        let lines = json_lines(&stdout);
        let checked: Vec<&Value> = lines
            .iter()
            .filter(|line| line["event"] == "check")
            .collect();
        let all = |key: &str| -> Vec<&str> {
            checked
                .iter()
                .map(|line| line[key].as_str().unwrap())
                .collect()
        };
        let (verdicts, states) = (all("verdict"), all("state"));
        let Self {
            name, truth, why, ..
        } = self;
        let are_true = verdicts.iter().all(|verdict| truth.may().contains(verdict));
        let is_decided = truth
            .must()
            .is_none_or(|verdict| verdicts.contains(&verdict));
        let mut since = states.iter().skip_while(|state| **state != "skewed");
        let is_kept =
            *truth != Truth::OneWrong || since.all(|state| *state == "skewed") && exit == 2;
        if are_true && is_decided && is_kept && u32::try_from(verdicts.len()) == Ok(checks) {
            return Ok(verdicts.into_iter().map(str::to_owned).collect());
        }
        let causes: Vec<_> = checked.iter().map(|line| &line["cause"]).collect();
        Err(format!(
            "{name}: {truth:?}, because: {why}\n{verdicts:?} {states:?} {exit} {stderr}\n{causes:#?}\n"
        ))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_verdict_is_false_around_real_servers() {
    let checks = std::env::var("REAL_SERVERS_CHECKS").map_or(5, |text| text.parse().unwrap());
    let mut world = World::new().await;
    world.varnish_cases().await;
    world.nginx_cases().await;
    world.haproxy_cases().await;
    world.python_cases().await;
    let results: Vec<_> = futures_util::stream::iter(&world.cases)
        .map(|case| case.check(checks))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let (right, wrong): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    let wrong: Vec<_> = wrong.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.concat());
    let mut sums = BTreeMap::new();
    for verdict in right.iter().flatten().flatten() {
        *sums.entry(verdict).or_insert(0) += 1;
    }
    show(&format!(
        "{} cases with real servers, {checks} checks each, none false: {sums:?}\n",
        right.len()
    ));
}
