//! Settings that a stage inherits from the configuration of its base image.

use serde_json::Value;

use crate::dockerfile::{ExposedPort, FinalStage, HealthCheck, Protocol};

pub(super) fn settings(config: &Value) -> FinalStage {
    let text = |name: &str| {
        // Some builders write unset fields as empty text or as an empty list.
        let value = config[name].as_str();
        value.filter(|text| !text.is_empty()).map(ToOwned::to_owned)
    };
    let words = |name: &str| {
        let words = config[name].as_array().filter(|words| !words.is_empty());
        let words = words?.iter().filter_map(Value::as_str);
        Some(words.map(ToOwned::to_owned).collect::<Vec<_>>())
    };
    let fields = |name: &str| config[name].as_object().into_iter().flatten();
    let env = words("Env").unwrap_or_default().into_iter();
    FinalStage {
        // Set by the evaluation of the `FROM` that uses these settings.
        base: None,
        has_triggers: words("OnBuild").is_some(),
        steps: Vec::new(),
        user: text("User"),
        exposed_ports: fields("ExposedPorts")
            .filter_map(|(name, _)| port(name))
            .collect(),
        env: env
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((&pair, ""));
                (name.to_owned(), value.to_owned())
            })
            .collect(),
        labels: fields("Labels")
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect(),
        volumes: fields("Volumes").map(|(name, _)| name.clone()).collect(),
        health_check: Some(&config["Healthcheck"])
            .filter(|check| check.is_object())
            .map(|check| HealthCheck(check.clone())),
        author: None,
        stop_signal: text("StopSignal"),
        shell: words("Shell"),
        entrypoint: words("Entrypoint"),
        cmd: words("Cmd"),
        // Some builders write the default explicitly.
        working_dir: text("WorkingDir").filter(|folder| folder != "/"),
    }
}

fn port(text: &str) -> Option<ExposedPort> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    Some(ExposedPort {
        number: number.parse().ok()?,
        protocol: match protocol {
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => Protocol::Tcp,
        },
    })
}
