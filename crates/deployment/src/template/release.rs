//! Release command: a wait condition that the service depends on. CloudFormation changes the service
//! only after the command has succeeded in a task of the new version.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::names::{ClusterName, LogGroupName, TaskDefinitionArn};
use crate::stack::ResourceEvent;
use crate::stack::ascii::quoted;
use crate::stack::resource::RELEASE_TYPE;
use crate::stack::resource_status::ResourceStatus;
use crate::stack::status::Phase;

/// Logical ID of the wait condition in a rendered template. In a request, a number follows.
const NAME: &str = "ReleaseCommand";
/// Length of that number in hexadecimal digits.
const DIGITS: usize = 8;
/// Setting, as it is written in `deployer.toml`.
pub(super) const SETTING: &str = "service.release_command";
/// Attribute of a resource that exists without an image and depends on the wait condition, which does
/// not. The linter cannot know that only templates with an image are sent like that.
const UNLINTED: &str = "Metadata: {cfn-lint: {config: {ignore_checks: [E3005]}}}";

/// Returns the lines of the wait condition. Those that say where its task runs are copied from the
/// service: see [`of_service`].
pub(super) fn resource(command: &[String], has_own_network: bool) -> Vec<String> {
    let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
    let routes =
        has_own_network.then_some("  DependsOn: [DefaultRoute, SubnetARoute, SubnetBRoute]");
    let mut lines = vec![
        format!("{NAME}:"),
        format!("  Type: {RELEASE_TYPE}"),
        "  Condition: HasImage".to_owned(),
    ];
    lines.extend(routes.map(str::to_owned));
    lines.extend([
        // The rollback if nobody runs the command or answers for it.
        "  CreationPolicy: {ResourceSignal: {Count: 1, Timeout: PT1H}}".to_owned(),
        "  # Read by the deployer, which runs the command. What is referred to is made before."
            .to_owned(),
        "  Metadata:".to_owned(),
        format!("    Command: [{}]", words.join(", ")),
        "    LogGroup: !Ref LogGroup".to_owned(),
    ]);
    lines
}

/// Copies the properties that decide where a task runs from the service of a rendered template, as
/// lines of the wait condition's metadata.
pub(super) fn of_service(rendered: &str) -> Vec<String> {
    let service: Vec<&str> = rendered
        .lines()
        .skip_while(|line| *line != "  Service:")
        .skip(1)
        .take_while(|line| line.is_empty() || line.starts_with("    "))
        .filter(|line| !line.trim_start().starts_with('#'))
        .collect();
    // `Tags` refer to the routes and endpoints of a private network, so that they exist.
    let keys = ["Tags", "Cluster", "TaskDefinition", "NetworkConfiguration"];
    let lines = keys.iter().flat_map(|key| {
        let start = format!("      {key}:");
        let mut rest = service
            .iter()
            .skip_while(move |line| !line.starts_with(&start));
        let first = rest.next();
        first
            .into_iter()
            .chain(rest.take_while(|line| line.starts_with("       ")))
    });
    // The copied lines are already rendered: their marks would only name slots twice.
    let lines = lines.filter_map(|line| line.split("  # deployer:").next());
    // Two columns of the mark's indentation are added again.
    lines
        .map(|line| line.get(2..).unwrap_or_default().to_owned())
        .collect()
}

/// Returns what other resources depend on, as lines below `DependsOn`.
pub(super) fn dependency() -> [String; 1] {
    [format!("- {NAME}")]
}

/// Returns the attribute of a resource that depends on nothing else.
pub(super) fn only_dependency() -> [String; 2] {
    [format!("DependsOn: {NAME}"), UNLINTED.to_owned()]
}

/// Returns whether a template has a release command.
pub fn has_release(template: &str) -> bool {
    template.lines().any(|line| declared(line).is_some())
}

/// Returns the logical ID of a wait condition that this line declares.
fn declared(line: &str) -> Option<&str> {
    let name = line.strip_prefix("  ")?.strip_suffix(':')?;
    is_name(name).then_some(name)
}

/// Returns whether this is a logical ID of a wait condition for a release command.
fn is_name(name: &str) -> bool {
    name.strip_prefix(NAME).is_some_and(|rest| {
        rest.is_empty() || rest.len() == DIGITS && rest.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// Returns the logical ID of a wait condition that this line depends on.
fn depended_on(line: &str) -> Option<&str> {
    let text = line.trim_start();
    let name = text
        .strip_prefix("- ")
        .or_else(|| text.strip_prefix("DependsOn: "))?;
    is_name(name).then_some(name)
}

/// Returns the template with a logical ID of the wait condition that is new if anything else is.
///
/// CloudFormation only waits for a resource that it creates, and updates no wait condition.
pub fn with_release_of(template: &str, parameters: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new_with_prefix(template);
    for (name, value) in parameters {
        // Templates can be read by others, so they must not help to guess a hidden value.
        if !is_hidden(template, name) {
            hash.update(format!("\n{name}={value}"));
        }
    }
    let mut id = NAME.to_owned();
    for byte in hash.finalize().iter().take(DIGITS / 2) {
        let _ = write!(id, "{byte:02x}");
    }
    let named = template.split_inclusive('\n').map(|line| {
        let text = line.trim_end_matches('\n');
        match declared(text).or_else(|| depended_on(text)) {
            Some(name) => line.replacen(name, &id, 1),
            None => line.to_owned(),
        }
    });
    named.collect()
}

/// Returns whether the template hides the values of this parameter.
fn is_hidden(template: &str, parameter: &str) -> bool {
    let start = format!("  {parameter}:");
    let lines = template.lines().skip_while(|line| *line != start).skip(1);
    let mut lines = lines.take_while(|line| line.starts_with("    "));
    lines.any(|line| line.trim() == "NoEcho: true")
}

/// Returns the template without its release command, as for a version that has run before. `None`
/// if it has none.
pub fn without_release(template: &str) -> Option<String> {
    if !has_release(template) {
        return None;
    }
    let (mut is_removed, mut depends) = (false, false);
    let kept = template.split_inclusive('\n').filter(|line| {
        let text = line.trim_end_matches('\n');
        is_removed = declared(text).is_some() || is_removed && text.starts_with("    ");
        let follows = depends && text.trim_start() == UNLINTED;
        depends = depended_on(text).is_some();
        !is_removed && !depends && !follows
    });
    Some(kept.collect())
}

/// Release command that an update of a stack waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingRelease {
    /// Logical ID of the wait condition.
    pub logical_id: String,
    /// Time at which CloudFormation began to wait, milliseconds since the Unix epoch.
    pub since_ms: i64,
}

impl WaitingRelease {
    /// Finds the release command among the newest events of a stack (newest first).
    pub fn among(events: &[ResourceEvent]) -> Option<Self> {
        let rests = |event: &ResourceEvent| {
            let status = event.stack_status();
            status.is_some_and(|status| status.phase() != Phase::Moving)
        };
        let operation = events.iter().take_while(|event| !rests(event));
        let mut of_releases = operation.filter(|event| is_name(&event.logical_id));
        let newest = of_releases.next()?;
        let reason = newest.reason.as_deref().unwrap_or_default();
        let is_answered = reason.starts_with("Received ");
        if is_answered
            || !matches!(
                newest.status,
                // An endpoint may call the creation of a resource in an update an update.
                ResourceStatus::CreateInProgress | ResourceStatus::UpdateInProgress
            )
        {
            return None;
        }
        let first = of_releases
            .filter(|event| event.logical_id == newest.logical_id)
            .last();
        Some(Self {
            logical_id: newest.logical_id.clone(),
            since_ms: first.unwrap_or(newest).at_ms,
        })
    }

    /// Returns the name of the one task that runs the command, the same for every run of this
    /// program.
    pub fn token(&self) -> String {
        let number = self.logical_id.trim_start_matches(NAME);
        format!("{STARTED_BY}-{number}-{}", self.since_ms)
    }
}

/// Start of `startedBy` for tasks that run a release command.
pub const STARTED_BY: &str = "deployer-release";

/// Release command with its task, from the metadata of the wait condition.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Release {
    /// Command that replaces the image's `CMD`.
    pub command: Vec<String>,
    /// Cluster of the task.
    pub cluster: ClusterName,
    /// Task definition of the new version.
    pub task_definition: TaskDefinitionArn,
    /// Log group of the task.
    pub log_group: LogGroupName,
    #[serde(rename = "NetworkConfiguration")]
    configuration: Configuration,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Configuration {
    awsvpc_configuration: TaskNetwork,
}

/// Network of a task.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TaskNetwork {
    /// `ENABLED` if the task gets a public address.
    pub assign_public_ip: String,
    /// IDs of the subnets.
    pub subnets: Vec<String>,
    /// IDs of the security groups.
    pub security_groups: Vec<String>,
}

impl Release {
    /// Reads the metadata of a wait condition.
    pub fn parse(metadata: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(metadata)
    }

    /// Returns the network of the task.
    pub const fn network(&self) -> &TaskNetwork {
        &self.configuration.awsvpc_configuration
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::{BUILT_IN, Settings, render};

    fn rendered() -> String {
        let settings = Settings {
            release_command: Some(vec!["migrate".to_owned(), "a: #\"b\"".to_owned()]),
            ..Settings::default()
        };
        render(BUILT_IN, &settings).unwrap()
    }

    #[test]
    fn its_task_runs_where_those_of_the_service_do() {
        let rendered = rendered();
        let (_, resource) = rendered.split_once("  # deployer:release\n").unwrap();
        let (resource, _) = resource.split_once("\n\n").unwrap();
        insta::assert_snapshot!(resource, @r#"
        ReleaseCommand:
          Type: AWS::CloudFormation::WaitCondition
          Condition: HasImage
          DependsOn: [DefaultRoute, SubnetARoute, SubnetBRoute]
          CreationPolicy: {ResourceSignal: {Count: 1, Timeout: PT1H}}
          # Read by the deployer, which runs the command. What is referred to is made before.
          Metadata:
            Command: ["migrate", "a: #\"b\""]
            LogGroup: !Ref LogGroup
            Tags: !If
              - IsPrivate
              - - Key: ways-out
                  Value: !Join
                    - ' '
                    - - !Ref PrivateSubnetARoute
                      - !Ref PrivateSubnetBRoute
                      - !Ref ImageApiEndpoint
                      - !Ref ImageEndpoint
                      - !Ref LogEndpoint
                      - !Ref LayerEndpoint
              - !Ref 'AWS::NoValue'
            Cluster: !Ref Cluster
            TaskDefinition: !Ref TaskDefinition
            NetworkConfiguration:
              AwsvpcConfiguration:
                AssignPublicIp: !If [IsPrivate, DISABLED, ENABLED]
                Subnets: [!If [IsPrivate, !Ref PrivateSubnetA, !Ref SubnetA], !If [IsPrivate, !Ref PrivateSubnetB, !Ref SubnetB]]
                SecurityGroups:
                  - !GetAtt TaskSecurityGroup.GroupId
        "#);
    }

    #[test]
    fn a_template_without_it_is_as_before() {
        let without = without_release(&rendered()).unwrap();
        assert_eq!(without, BUILT_IN);
        assert_eq!(without_release(BUILT_IN), None);
        let named = with_release_of(&rendered(), &BTreeMap::new());
        assert_eq!(without_release(&named).unwrap(), BUILT_IN);
    }

    #[test]
    fn its_name_changes_with_all_that_is_not_hidden() {
        let of = |template: &str, pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            let pairs = pairs.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            let named = with_release_of(template, &pairs.collect());
            let mut ids = named.lines().filter_map(depended_on).collect::<Vec<_>>();
            ids.extend(named.lines().filter_map(declared));
            assert_eq!(ids.len(), 3, "{ids:?}");
            assert!(
                ids.iter().all(|id| *id == ids[0] && id.len() == 22),
                "{ids:?}"
            );
            ids[0].to_owned()
        };
        let text = rendered();
        let first = of(&text, &[("ImageUri", "a")]);
        assert_eq!(of(&text, &[("ImageUri", "a")]), first);
        assert_ne!(of(&text, &[("ImageUri", "b")]), first);
        assert_ne!(
            of(&text.replace("\"migrate\"", "\"m\""), &[("ImageUri", "a")]),
            first
        );
        assert_eq!(
            of(&text, &[("ImageUri", "a"), ("ReviewerPassword", "x")]),
            first
        );
    }

    #[test]
    fn what_an_update_waits_for() {
        let event = |logical_id: &str, status: &str, at_ms| ResourceEvent {
            id: String::new(),
            logical_id: logical_id.to_owned(),
            physical_id: None,
            resource_type: if logical_id == "clock" {
                "AWS::CloudFormation::Stack".to_owned()
            } else {
                RELEASE_TYPE.to_owned()
            },
            status: status.into(),
            reason: None,
            at_ms,
            token: None,
        };
        let (old, new) = ("ReleaseCommand00000000", "ReleaseCommand0a1b2c3d");
        // Newest first, as CloudFormation lists them.
        let mut events = vec![
            event(new, "CREATE_IN_PROGRESS", 4),
            event(new, "CREATE_IN_PROGRESS", 3),
            event("clock", "UPDATE_IN_PROGRESS", 2),
            event("clock", "UPDATE_COMPLETE", 1),
            event(old, "CREATE_IN_PROGRESS", 0),
        ];
        let waiting = WaitingRelease::among(&events).unwrap();
        assert_eq!(waiting.token(), "deployer-release-0a1b2c3d-3");
        assert_eq!(WaitingRelease::among(&events[2..]), None);
        let reason = "Received SUCCESS signal with UniqueId deployer".to_owned();
        events[0].reason = Some(reason);
        assert_eq!(WaitingRelease::among(&events), None);
        events.insert(0, event(new, "CREATE_COMPLETE", 5));
        assert_eq!(WaitingRelease::among(&events), None);
        events.insert(0, event(old, "DELETE_IN_PROGRESS", 6));
        assert_eq!(WaitingRelease::among(&events), None);
    }
}
