//! `.github/workflows`: what runs there is what was read, may little, and ends.

use serde_json::{Value, json};

use crate::read::{self, items};

type Change = fn(&mut Value);

fn workflows() -> Vec<(String, String)> {
    let folder = crate::root().join(".github/workflows");
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap());
    let mut found: Vec<_> = files
        .map(|file| {
            let name = file.file_name().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(file.path()).unwrap())
        })
        .collect();
    found.sort();
    found
}

/// What breaks the rules in a workflow.
fn broken(workflow: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    if workflow["permissions"] != json!({ "contents": "read" }) {
        broken.push("it may more than read".to_owned());
    }
    if workflow["on"].get("pull_request_target").is_some() {
        broken.push("strangers' changes run with our rights".to_owned());
    }
    for (name, job) in workflow["jobs"].as_object().unwrap() {
        let limit = job["timeout-minutes"].as_i64();
        if limit.is_none_or(|limit| limit > 60) {
            broken.push(format!("{name} has no end"));
        }
        let own = job.get("permissions");
        let identity = json!({ "contents": "read", "id-token": "write" });
        if own.is_some_and(|own| *own != identity) {
            broken.push(format!("{name} may more"));
        }
        for step in items(&job["steps"]) {
            if let Some(uses) = step["uses"].as_str() {
                let (_, version) = uses.split_once('@').unwrap_or_default();
                let is_commit =
                    version.len() == 40 && version.bytes().all(|byte| byte.is_ascii_hexdigit());
                if !is_commit {
                    broken.push(format!("{name} uses {uses}, which may change"));
                }
            }
            // What others may write, as titles and names of branches, must not become part of a command.
            if step["run"].as_str().is_some_and(|run| run.contains("${{")) {
                broken.push(format!("{name} runs {}", step["run"]));
            }
        }
    }
    if workflow.to_string().contains("secrets.") {
        broken.push("it has a secret".to_owned());
    }
    broken
}

#[test]
fn every_workflow_keeps_the_rules() {
    let workflows = workflows();
    let names: Vec<_> = workflows.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["check.yml", "deploy.yml", "test.yml"]);
    for (name, text) in &workflows {
        assert_eq!(
            broken(&read::template(text)),
            Vec::<String>::new(),
            "{name}"
        );
        // A commit tells nobody which version it is.
        for line in text.lines().filter(|line| line.contains("uses: ")) {
            assert!(line.contains(" # v"), "{name}: {line}");
        }
    }
}

#[test]
fn a_workflow_that_breaks_them_is_noticed() {
    let text = &workflows()[1].1;
    let right = read::template(text);
    let spoilt: [(&str, Change); 7] = [
        ("everything is allowed", |workflow| {
            workflow["permissions"] = json!("write-all");
        }),
        ("a job may write", |workflow| {
            workflow["jobs"]["deploy"]["permissions"]["contents"] = json!("write");
        }),
        ("it never ends", |workflow| {
            workflow["jobs"]["deploy"]
                .as_object_mut()
                .unwrap()
                .remove("timeout-minutes")
                .unwrap();
        }),
        ("a version that moves", |workflow| {
            workflow["jobs"]["deploy"]["steps"][0]["uses"] = json!("actions/checkout@v5");
        }),
        ("a command made of what others wrote", |workflow| {
            workflow["jobs"]["deploy"]["steps"][1]["run"] = json!("echo ${{ github.head_ref }}");
        }),
        ("a key", |workflow| {
            workflow["jobs"]["deploy"]["env"] = json!({ "KEY": "${{ secrets.AWS_KEY }}" });
        }),
        ("for strangers", |workflow| {
            workflow["on"]["pull_request_target"] = json!({});
        }),
    ];
    for (name, spoil) in spoilt {
        let mut workflow = right.clone();
        spoil(&mut workflow);
        assert!(!broken(&workflow).is_empty(), "{name}");
    }
}
