//! How things look from outside: from the Docker engine, from the emulator's API, over HTTP.

#![expect(
    clippy::disallowed_types,
    reason = "a test asks the emulator itself, not through the program under test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_cloudformation::types::Stack;
use serde_json::Value;

use crate::load::client;
use crate::run::{Surroundings, credentials};

pub(crate) struct Outside {
    port: u16,
    stack: String,
    docker: reqwest::Client,
}

impl Outside {
    pub(crate) fn new(surroundings: &Surroundings) -> Self {
        let port = surroundings.port;
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            port,
            stack: format!("end-to-end-{port}"),
            docker: docker(),
        }
    }

    /// A client with the credentials of the emulator as it was started last.
    fn cloudformation(&self) -> Client {
        let http = aws_smithy_http_client::Builder::new().build_http();
        let (key_id, secret) = credentials(self.port);
        let config = aws_sdk_cloudformation::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(http)
            .endpoint_url(format!("http://127.0.0.1:{}", self.port))
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new(key_id, secret, None, None, "test"))
            .build();
        Client::from_conf(config)
    }

    fn ecs(&self) -> aws_sdk_ecs::Client {
        let http = aws_smithy_http_client::Builder::new().build_http();
        let (key_id, secret) = credentials(self.port);
        let config = aws_sdk_ecs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(http)
            .endpoint_url(format!("http://127.0.0.1:{}", self.port))
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new(key_id, secret, None, None, "test"))
            .build();
        aws_sdk_ecs::Client::from_conf(config)
    }

    /// An output of the stack.
    async fn output(&self, name: &str) -> String {
        let stack = self.describe().await.expect("there is a stack");
        let mut outputs = stack.outputs().iter();
        let output = outputs.find(|output| output.output_key() == Some(name));
        let value = output.and_then(|output| output.output_value());
        value.expect("the output").to_owned()
    }

    /// Sets the number of tasks, as somebody would by hand.
    pub(crate) async fn set_tasks(&self, tasks: i32) {
        let update = self.ecs().update_service();
        let update = update
            .cluster(self.output("ClusterName").await)
            .service(self.output("ServiceName").await)
            .desired_count(tasks);
        update.send().await.expect("ECS takes it");
    }

    /// Deletes the service, as somebody would by hand.
    pub(crate) async fn delete_service(&self) {
        let delete = self.ecs().delete_service();
        let delete = delete
            .cluster(self.output("ClusterName").await)
            .service(self.output("ServiceName").await)
            .force(true);
        delete.send().await.expect("ECS takes it");
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn stack(&self) -> &str {
        &self.stack
    }

    async fn ask_docker(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let answer = self
            .docker
            .get(format!("http://docker{path}"))
            .query(query)
            .send()
            .await;
        let answer = answer.expect("Docker answers");
        answer.json().await.expect("Docker answers in JSON")
    }

    /// Identifiers of the containers that belong to the emulator at our port, running or not, sorted.
    pub(crate) async fn containers(&self) -> Vec<String> {
        self.list_containers("true").await
    }

    /// The same, of those that run.
    pub(crate) async fn running_containers(&self) -> Vec<String> {
        self.list_containers("false").await
    }

    /// Tags of the stack.
    pub(crate) async fn tags(&self) -> BTreeMap<String, String> {
        let stack = self.describe().await.expect("there is a stack");
        let tags = stack.tags().iter();
        tags.filter_map(|tag| Some((tag.key.clone()?, tag.value.clone()?)))
            .collect()
    }

    /// What Docker says about each container that runs.
    pub(crate) async fn inspect_running(&self) -> Vec<Value> {
        let mut found = Vec::new();
        for id in self.running_containers().await {
            found.push(
                self.ask_docker(&format!("/containers/{id}/json"), &[])
                    .await,
            );
        }
        found
    }

    /// The environment of each container that runs.
    pub(crate) async fn variables(&self) -> Vec<BTreeSet<String>> {
        let containers = self.inspect_running().await.into_iter();
        containers
            .map(|it| serde_json::from_value(it["Config"]["Env"].clone()).expect("a list"))
            .collect()
    }

    /// The one image, as the digest of its configuration, that all containers run.
    pub(crate) async fn image(&self) -> String {
        let containers = self.inspect_running().await.into_iter();
        let images = containers.map(|it| it["Image"].as_str().expect("a digest").to_owned());
        let mut images: BTreeSet<String> = images.collect();
        assert_eq!(images.len(), 1, "several images run: {images:?}");
        images.pop_first().expect("one")
    }

    /// Waits until so many run: one that was told to end may take its time.
    pub(crate) async fn wait_for_running_containers(&self, count: usize) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            let running = self.running_containers().await;
            if running.len() == count {
                return;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "not {count} containers run, but {running:?}"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn list_containers(&self, all: &str) -> Vec<String> {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a host name");
        let filters = serde_json::json!({ "label": [format!("ministack.instance={}:{}", host.trim(), self.port)] });
        let found = self
            .ask_docker(
                "/containers/json",
                &[("all", all), ("filters", &filters.to_string())],
            )
            .await;
        let mut ids: Vec<String> = found
            .as_array()
            .expect("a list")
            .iter()
            .map(|container| container["Id"].as_str().expect("an identifier").to_owned())
            .collect();
        ids.sort();
        ids
    }

    /// Images that Docker pulled from the emulator at our port.
    pub(crate) async fn images(&self) -> Vec<String> {
        let prefix = format!("localhost:{}/", self.port);
        let found = self.ask_docker("/images/json", &[]).await;
        let digests = found
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|image| image["RepoDigests"].as_array());
        digests
            .flatten()
            .filter_map(|digest| digest.as_str())
            .filter(|digest| digest.starts_with(&prefix))
            .map(str::to_owned)
            .collect()
    }

    pub(crate) async fn emulator_answers(&self) -> bool {
        tokio::net::TcpStream::connect(("127.0.0.1", self.port))
            .await
            .is_ok()
    }

    async fn describe(&self) -> Option<Stack> {
        let answer = self
            .cloudformation()
            .describe_stacks()
            .stack_name(&self.stack)
            .send()
            .await;
        answer.ok()?.stacks().first().cloned()
    }

    pub(crate) async fn stack_status(&self) -> Option<String> {
        self.describe()
            .await?
            .stack_status()
            .map(|status| status.as_str().to_owned())
    }

    pub(crate) async fn stack_updated_at(&self) -> String {
        let stack = self.describe().await.expect("there is a stack");
        format!("{:?}", stack.last_updated_time())
    }

    pub(crate) async fn stack_event_count(&self) -> usize {
        let mut pages = self
            .cloudformation()
            .describe_stack_events()
            .stack_name(&self.stack)
            .into_paginator()
            .send();
        let mut count = 0;
        while let Some(page) = pages.next().await {
            count += page.expect("events").stack_events().len();
        }
        count
    }

    /// Where the service answers, found through the stack's outputs and the emulator's own naming.
    pub(crate) async fn url(&self) -> String {
        let stack = self.describe().await.expect("there is a stack");
        let output = stack
            .outputs()
            .iter()
            .find(|output| output.output_key() == Some("Url"));
        let url = output
            .and_then(|output| output.output_value())
            .expect("an output `Url`");
        let host = reqwest::Url::parse(url)
            .expect("a URL")
            .host_str()
            .expect("a host")
            .to_owned();
        let label = host.split('.').next().expect("a label").to_owned();
        let (name, _) = label.rsplit_once('-').expect("a name with an identifier");
        format!("http://{name}.alb.localhost:{}/now", self.port)
    }

    async fn ask(&self, client: &reqwest::Client, url: &str) -> Value {
        let answer = client.get(url).send().await.expect("the service answers");
        assert!(answer.status().is_success(), "{}", answer.status());
        answer.json().await.expect("the service answers in JSON")
    }

    /// The version that all of ten answers agree on.
    pub(crate) async fn version(&self) -> String {
        let mut versions = self.versions().await;
        assert_eq!(versions.len(), 1, "several versions answer: {versions:?}");
        versions.pop_first().expect("one")
    }

    /// The versions of ten answers.
    pub(crate) async fn versions(&self) -> BTreeSet<String> {
        let url = self.url().await;
        let client = client(&url, self.port, false);
        let mut versions = BTreeSet::new();
        for _ in 0..10 {
            let answer = self.ask(&client, &url).await;
            versions.insert(answer["version"].as_str().expect("a version").to_owned());
        }
        versions
    }

    /// The instances that answer so many requests.
    pub(crate) async fn instances(&self, requests: usize) -> BTreeSet<String> {
        let url = self.url().await;
        let client = client(&url, self.port, false);
        let mut instances = BTreeSet::new();
        for _ in 0..requests {
            let answer = self.ask(&client, &url).await;
            instances.insert(answer["instance"].as_str().expect("an instance").to_owned());
        }
        instances
    }
}

/// A client for the Docker engine, where `DOCKER_HOST` or custom says it is.
fn docker() -> reqwest::Client {
    let host =
        std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
    let socket = host
        .strip_prefix("unix://")
        .expect("this test wants Docker at a socket")
        .to_owned();
    reqwest::Client::builder()
        .no_proxy()
        .unix_socket(std::path::PathBuf::from(socket))
        .timeout(Duration::from_secs(30))
        .build()
        .expect("a client")
}
