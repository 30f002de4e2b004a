//! Who gets something from the emulator: this user, and for the service behind the load balancer everybody. Tried as a web page,
//! as a name that leads here, as another user, and as a task that wants the machine.

#![expect(
    clippy::disallowed_methods,
    reason = "a test runs programs as others on this machine do"
)]

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::browser::Browser;
use crate::outside::Outside;
use crate::run::{Surroundings, cache_folder, credentials, credentials_file};
use crate::step;

const ECS: &str = "AmazonEC2ContainerServiceV20141113";
/// Anybody's user id but ours.
const NOBODY: &str = "65534";

/// Holds for an emulator that runs, with a stack in it.
pub(crate) async fn check(surroundings: &Surroundings, outside: &Outside) {
    let emulator = Emulator::at(surroundings);
    step("the emulator listens on loopback only, and its files are its user's");
    emulator.assert_loopback_only();
    emulator.assert_private_files();

    step("who has no credentials gets nothing from the emulator");
    emulator.assert_only_with_credentials();
    step("nor do web pages and names that lead here, with credentials");
    emulator.assert_no_pages_and_names();
    emulator.assert_no_other_user();

    step("the service behind the load balancer is for everybody");
    let url = outside.url().await;
    let answer = curl(&["-H", "Origin: https://evil.example", &url]);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let hidden = url.replace("/now", "/_ministack/reset");
    for path in [&hidden, &url.replace("/now", "/_ministack/health")] {
        let answer = curl(&["-X", "POST", path]);
        assert!(answer.starts_with("HTTP/1.1 40"), "{answer}");
        assert!(!answer.contains("edition"), "{answer}");
    }

    step("no task gets the machine");
    emulator.assert_no_way_to_the_machine();

    step("a page of another origin gets nothing in a browser");
    emulator.assert_browser_gets_nothing().await;

    // Nothing of all this has changed anything.
    outside.wait_for_running_containers(2).await;
    assert_eq!(emulator.clusters().len(), 1);
}

/// The emulator at our port, and its credentials.
struct Emulator {
    port: u16,
    pid: u32,
    key: String,
    url: String,
}

impl Emulator {
    fn at(surroundings: &Surroundings) -> Self {
        let port = surroundings.port;
        let (id, secret) = credentials(port);
        let processes = surroundings.emulator_processes();
        Self {
            port,
            pid: *processes.first().expect("an emulator"),
            key: format!("{id}:{secret}"),
            url: format!("http://127.0.0.1:{port}/"),
        }
    }

    /// A call of ECS's API with these arguments for curl besides.
    fn ecs(&self, action: &str, body: &Value, more: &[&str]) -> String {
        let target = format!("X-Amz-Target: {ECS}.{action}");
        let body = body.to_string();
        let json = "Content-Type: application/x-amz-json-1.1";
        let mut arguments = vec!["-H", &target, "-H", json, "-d", &body];
        arguments.extend(more);
        curl(&[arguments.as_slice(), &[&self.url]].concat())
    }

    /// The same, signed with this key.
    fn signed(&self, key: &str, action: &str, body: &Value, more: &[&str]) -> String {
        let signed = ["--aws-sigv4", "aws:amz:us-east-1:ecs", "--user", key];
        self.ecs(action, body, &[&signed, more].concat())
    }

    fn clusters(&self) -> Vec<String> {
        let answer = self.signed(&self.key, "ListClusters", &json!({}), &[]);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        // Not even those who are let in are told that pages may read it.
        assert!(
            !answer.to_lowercase().contains("access-control"),
            "{answer}"
        );
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        let body: Value = serde_json::from_str(body).expect("JSON");
        serde_json::from_value(body["clusterArns"].clone()).expect("a list")
    }

    fn assert_only_with_credentials(&self) {
        let nothing = json!({});
        let list = |more: &[&str]| self.ecs("ListClusters", &nothing, more);
        refused(&list(&[]), 403, "MissingAuthenticationToken");
        let forged = "Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/ecs/aws4_request, SignedHeaders=host, Signature=00";
        let date = "X-Amz-Date: 20260101T000000Z";
        refused(
            &list(&["-H", forged, "-H", date]),
            403,
            "InvalidClientTokenId",
        );
        refused(
            &list(&["--user", &self.key]),
            403,
            "MissingAuthenticationToken",
        );
        let (id, secret) = self.key.split_once(':').expect("a key");
        for (key, code) in [
            ("test:test".to_owned(), "InvalidClientTokenId"),
            (format!("{id}x:{secret}"), "InvalidClientTokenId"),
            (format!("{id}:{secret}x"), "SignatureDoesNotMatch"),
            (format!("{id}:test"), "SignatureDoesNotMatch"),
        ] {
            let answer = self.signed(&key, "ListClusters", &nothing, &[]);
            refused(&answer, 403, code);
        }
        for path in [
            "_ministack/reset",
            "_ministack/config",
            "_ministack/ready",
            "health",
            "latest/meta-data/",
            "v4/token",
            "_alb/name/now",
            "bucket/key",
        ] {
            let url = format!("{}{path}", self.url);
            refused(&curl(&["-X", "POST", &url]), 403, "Missing");
            refused(&curl(&[&url]), 403, "Missing");
        }
        for path in ["v2/", "v2/_catalog", "v2/clock/manifests/latest"] {
            let url = format!("{}{path}", self.url);
            refused(&curl(&[&url]), 401, "UNAUTHORIZED");
            for login in ["AWS:test", &self.key] {
                refused(&curl(&["--user", login, &url]), 401, "UNAUTHORIZED");
            }
        }
        let health = curl(&[&format!("{}_ministack/health", self.url)]);
        assert!(health.starts_with("HTTP/1.1 200"), "{health}");
        assert!(!health.contains("services"), "{health}");
    }

    fn assert_no_pages_and_names(&self) {
        let nothing = json!({});
        let list = |more: &[&str]| self.signed(&self.key, "ListClusters", &nothing, more);
        for header in [
            "Origin: https://evil.example",
            "Origin: null",
            "Origin: http://evil.localhost",
            "Sec-Fetch-Site: cross-site",
            "Sec-Fetch-Site: same-site",
            "Host: evil.example",
            "Host: 127.0.0.1.evil.example",
            "Host: evil.localhost",
            "Host: localhost.",
            "Host: 10.0.0.1",
        ] {
            refused(&list(&["-H", header]), 403, "AccessDenied");
        }
        for host in ["Host: a b", "Host: 127.0.0.1@evil.example", "Host;"] {
            assert!(list(&["-H", host]).starts_with("HTTP/1.1 400"), "{host}");
        }
        for host in ["localhost", "127.0.0.2", "[::1]:1"] {
            let answer = list(&["-H", &format!("Host: {host}")]);
            assert!(answer.starts_with("HTTP/1.1 200"), "{host}: {answer}");
        }
        let answer = list(&["-H", "Sec-Fetch-Site: none"]);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let preflight = [
            "-X",
            "OPTIONS",
            "-H",
            "Origin: https://evil.example",
            "-H",
            "Access-Control-Request-Method: POST",
            "-H",
            "Access-Control-Request-Headers: x-amz-target",
            &self.url,
        ];
        refused(&curl(&preflight), 403, "AccessDenied");
    }

    /// What another user of this machine sees; only root can be one.
    fn assert_no_other_user(&self) {
        let file = credentials_file(self.port);
        let mine = std::fs::metadata(&file).expect("the credentials").uid();
        if mine != 0 {
            println!("not tried as another user: this one is not root");
            return;
        }
        step("nor does another user of this machine");
        let as_nobody = |program: &[&str]| {
            let mut setpriv = Command::new("setpriv");
            let change = ["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"];
            setpriv.args(change).args(program);
            setpriv.output().expect("setpriv starts")
        };
        let read = as_nobody(&["cat", &file.to_string_lossy()]);
        assert!(!read.status.success(), "the credentials can be read");
        assert_eq!(text(&read), "");
        let environment = format!("/proc/{}/environ", self.pid);
        assert!(!as_nobody(&["cat", &environment]).status.success());
        let listed = as_nobody(&[
            "curl",
            "-s",
            "-i",
            "-H",
            "X-Amz-Target: A.B",
            "-d",
            "{}",
            &self.url,
        ]);
        refused(&text(&listed), 403, "MissingAuthenticationToken");
    }

    /// All that it listens at, from the kernel's tables.
    fn assert_loopback_only(&self) {
        let own: BTreeSet<String> = std::fs::read_dir(format!("/proc/{}/fd", self.pid))
            .expect("its files")
            .flatten()
            .filter_map(|entry| std::fs::read_link(entry.path()).ok())
            .filter_map(|link| {
                let inode = link.to_str()?.strip_prefix("socket:[")?;
                Some(inode.strip_suffix(']')?.to_owned())
            })
            .collect();
        let mut listening = Vec::new();
        for table in ["tcp", "tcp6", "udp", "udp6"] {
            let table = std::fs::read_to_string(format!("/proc/{}/net/{table}", self.pid));
            for line in table.unwrap_or_default().lines().skip(1) {
                let fields: Vec<&str> = line.split_whitespace().collect();
                let [_, local, _, state, .., _, inode] = fields.get(..10).expect("a line") else {
                    continue;
                };
                // Listening, or a datagram socket.
                if own.contains(*inode) && matches!(*state, "0A" | "07") {
                    listening.push((*local).to_owned());
                }
            }
        }
        assert_eq!(listening, [format!("0100007F:{:04X}", self.port)]);
    }

    fn assert_private_files(&self) {
        let mode = |path: &Path| std::fs::metadata(path).map(|file| file.mode() & 0o777);
        let folder = cache_folder();
        assert_eq!(mode(&folder).ok(), Some(0o700));
        let of_port = |extension: &str| folder.join(format!("emulator-{}.{extension}", self.port));
        for extension in ["credentials", "lock", "log"] {
            assert_eq!(mode(&of_port(extension)).ok(), Some(0o600), "{extension}");
        }
        let temporary = of_port("tmp");
        assert_eq!(mode(&temporary).ok(), Some(0o700));
        let name = format!("ministack-{}.pid", self.port);
        assert_eq!(mode(&temporary.join(&name)).ok(), Some(0o600));
        let shared = std::env::temp_dir().join(name);
        assert!(!shared.exists(), "{} is there", shared.display());
        let (_, secret) = self.key.split_once(':').expect("a key");
        let log = std::fs::read_to_string(of_port("log")).expect("a log");
        assert!(!log.contains(secret), "the log has the secret");
        for part in ["cmdline", "environ"] {
            let part = std::fs::read(format!("/proc/{}/{part}", self.pid)).expect("a process");
            let part = String::from_utf8_lossy(&part);
            assert!(!part.contains(secret), "the process shows the secret");
        }
    }

    /// What would give a container the machine, over both ways to a task definition; and other ways to run something.
    fn assert_no_way_to_the_machine(&self) {
        let cases: [(&str, Value, Value); 9] = [
            ("privileged", json!({}), json!({ "privileged": true })),
            (
                "volume",
                json!({ "volumes": [{ "name": "v", "host": { "sourcePath": "/" } }] }),
                json!({}),
            ),
            (
                "dockervolume",
                json!({ "volumes": [{ "name": "v", "dockerVolumeConfiguration": { "driverOpts": { "device": "/" } } }] }),
                json!({}),
            ),
            ("network mode", json!({ "networkMode": "host" }), json!({})),
            (
                "network mode",
                json!({ "networkMode": "bridge" }),
                json!({}),
            ),
            ("pidMode", json!({ "pidMode": "host" }), json!({})),
            ("ipcMode", json!({ "ipcMode": "host" }), json!({})),
            (
                "devices",
                json!({}),
                json!({ "linuxParameters": { "devices": [{ "hostPath": "/dev/sda" }] } }),
            ),
            (
                "capabilities",
                json!({}),
                json!({ "linuxParameters": { "capabilities": { "add": ["SYS_ADMIN"] } } }),
            ),
        ];
        for (what, definition, container) in cases {
            let mut body = json!({ "family": "evil", "networkMode": "awsvpc" });
            let mut only = json!({ "name": "c", "image": "i" });
            merge(&mut only, container);
            merge(&mut body, json!({ "containerDefinitions": [only] }));
            merge(&mut body, definition);
            let answer = self.signed(&self.key, "RegisterTaskDefinition", &body, &[]);
            refused(&answer, 400, what);
        }
        for resource in [
            json!({ "Type": "AWS::ECS::TaskDefinition", "Properties": { "Family": "evil", "NetworkMode": "awsvpc",
                "ContainerDefinitions": [{ "Name": "c", "Image": "i", "Privileged": true }] } }),
            json!({ "Type": "AWS::Lambda::Function", "Properties": { "Runtime": "python3.12", "Handler": "index.main",
                "Role": "arn:aws:iam::000000000000:role/r", "Code": { "ZipFile": "" } } }),
            json!({ "Type": "Custom::Program", "Properties": { "ServiceToken": "arn:aws:lambda:us-east-1:000000000000:function:f" } }),
        ] {
            let kind = resource["Type"].clone();
            let template = json!({ "Resources": { "Evil": resource } }).to_string();
            let name = format!(
                "evil-{}",
                kind.as_str()
                    .expect("a type")
                    .rsplit(':')
                    .next()
                    .expect("one")
                    .to_lowercase()
            );
            self.cloudformation(&[
                "Action=CreateStack",
                &format!("StackName={name}"),
                &format!("TemplateBody={template}"),
            ]);
            let mut state = String::new();
            for _ in 0..100 {
                state =
                    self.cloudformation(&["Action=DescribeStacks", &format!("StackName={name}")]);
                if !state.contains("_IN_PROGRESS<") {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            assert!(!state.contains("CREATE_COMPLETE"), "{kind}: {state}");
            self.cloudformation(&["Action=DeleteStack", &format!("StackName={name}")]);
        }
        let families = self.signed(&self.key, "ListTaskDefinitionFamilies", &json!({}), &[]);
        assert!(!families.contains("evil"), "{families}");
    }

    fn cloudformation(&self, fields: &[&str]) -> String {
        let mut arguments = vec![
            "--aws-sigv4",
            "aws:amz:us-east-1:cloudformation",
            "--user",
            &self.key,
        ];
        for field in ["Version=2010-05-15"].iter().chain(fields) {
            arguments.extend(["--data-urlencode", field]);
        }
        arguments.push(&self.url);
        curl(&arguments)
    }

    /// A page at another origin, and one whose name leads to the emulator itself.
    async fn assert_browser_gets_nothing(&self) {
        let pages = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let origin = pages.local_addr().expect("an address").port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = pages.accept().await {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<title>evil</title>";
                let _ = stream.write_all(page.as_bytes()).await;
            }
        });
        let (url, port) = (self.url.clone(), self.port);
        let results = tokio::task::block_in_place(|| {
            let browser = Browser::start(&["--host-resolver-rules=MAP evil.example 127.0.0.1"]);
            browser.open(&format!("http://evil.example:{origin}/"));
            let title = browser.run("return document.title");
            let foreign = browser.run(&attempts(&url));
            // The page is the emulator's refusal; its origin is one that a rebinding name would have.
            browser.open(&format!("http://evil.example:{port}/"));
            let rebound = browser.run(&attempts("/"));
            println!("{:?}", browser.complaints());
            [title, foreign, rebound]
        });
        let [title, foreign, rebound] = results;
        assert_eq!(title, "evil", "the page does not work");
        // What it may not read is an error or says nothing.
        assert_eq!(foreign, json!(["TypeError", "TypeError", "opaque 0"]));
        assert_eq!(rebound, json!(["basic 403", "basic 403", "basic 403"]));
        let log = cache_folder().join(format!("emulator-{}.log", self.port));
        let log = std::fs::read_to_string(log).expect("a log");
        let arrived = log
            .lines()
            .filter(|line| line.contains("refused OPTIONS /"));
        assert!(arrived.count() > 1, "the browser did not even ask: {log}");
    }
}

/// A script that tries to make clusters at this address; returns what came of it.
fn attempts(url: &str) -> String {
    let header = format!(
        "'X-Amz-Target': '{ECS}.CreateCluster', 'Content-Type': 'application/x-amz-json-1.1'"
    );
    format!(
        "const outcome = (options) => fetch('{url}', {{method: 'POST', body: '{{\"clusterName\": \"evil\"}}', ...options}})\
            .then((answer) => `${{answer.type}} ${{answer.status}}`, (error) => error.name);\
        return Promise.all([\
            outcome({{headers: {{{header}}}}}),\
            outcome({{headers: {{'Content-Type': 'text/plain'}}}}),\
            outcome({{mode: 'no-cors', body: 'Action=CreateCluster'}}),\
        ]);"
    )
}

fn merge(into: &mut Value, more: Value) {
    let (Some(into), Value::Object(more)) = (into.as_object_mut(), more) else {
        return;
    };
    into.extend(more);
}

/// It was refused with this status and a reason that has these words, and no page may read that.
fn refused(answer: &str, status: u16, words: &str) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "{answer}"
    );
    assert!(answer.contains(words), "`{words}` is not in {answer}");
    assert!(
        !answer.to_lowercase().contains("access-control-allow"),
        "{answer}"
    );
}

/// The whole answer to a request.
fn curl(arguments: &[&str]) -> String {
    let mut curl = Command::new("curl");
    curl.args(["-s", "-i", "--noproxy", "*", "--max-time", "60"]);
    text(&curl.args(arguments).output().expect("curl starts"))
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
