//! Service settings that the template is rendered with. Validated here, so that a mistake ends the
//! run before anything is changed.

use std::collections::{BTreeMap, BTreeSet};

use super::file::{NetworkFile, ServiceFile};
use super::forms::SET_BY_TEMPLATE;
use deployment::error::Failure;
use deployment::template::{Network, SecretSource, Settings};

/// Fargate's limit for the seconds before it kills a stopping task (ECS, `stopTimeout`).
const LONGEST_STOP: u32 = 120;
/// Load balancers' limit for the idle timeout of a connection, in seconds.
const LONGEST_IDLE: u32 = 4000;
/// Port that pulling images and sending logs require.
const HTTPS: u16 = 443;
/// Default quota for security groups of a network interface, minus the tasks' own.
const MOST_GROUPS: usize = 4;
/// Maximum number of writable folders.
const MOST_FOLDERS: usize = 10;
/// Prefix of CloudFormation's dynamic references, which it replaces by values in plain text.
const REFERENCE: &str = "{{resolve:";
/// Parts of variable names that indicate a secret value.
const SECRET_WORDS: [&str; 7] = [
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "TOKEN",
    "API_KEY",
    "PRIVATE_KEY",
    "CREDENTIAL",
];

/// Validates the service settings of the file. `memory` is that of a task, in MiB.
pub(super) fn settings(file: &ServiceFile, memory: u32) -> Result<Settings, Failure> {
    let environment = environment(file)?;
    let secrets = secrets(file, &environment)?;
    let writable = writable(&file.writable)?;
    Ok(Settings {
        health_path: file.health_path.as_deref().map(path).transpose()?,
        health_codes: file.health_codes.as_deref().map(codes).transpose()?,
        stop_seconds: seconds("stop_seconds", file.stop_seconds, 2, LONGEST_STOP)?,
        idle_seconds: seconds("idle_seconds", file.idle_seconds, 1, LONGEST_IDLE)?,
        command: command("command", file.command.as_ref())?,
        release_command: command("release_command", file.release_command.as_ref())?,
        user: file.user.as_deref().map(user).transpose()?,
        writable,
        // Linux's default for tmpfs. Its content counts as memory of the task.
        writable_mib: memory / 2,
        egress: egress(file.egress.as_deref())?,
        security_groups: groups(&file.security_groups)?,
        environment,
        secrets,
        permissions: None,
        network: file.network.as_ref().map(network).transpose()?,
        // The default `Url` has the path of a clock. A service with its own health path need not
        // have it.
        url_path: file.health_path.as_ref().map(|_| "/".to_owned()),
        ..Settings::default()
    })
}

/// Returns names of variables whose values look like secrets. Everybody who may describe the task
/// definition can read them.
pub(super) fn look_secret(settings: &Settings) -> Vec<String> {
    let variables = settings.environment.iter();
    let suspicious = variables.filter(|(name, value)| {
        let name = name.to_ascii_uppercase();
        SECRET_WORDS.iter().any(|word| name.contains(word)) && !value.is_empty()
            || has_password(value)
    });
    suspicious.map(|(name, _)| name.clone()).collect()
}

/// Returns whether the value is a URL with a password.
fn has_password(value: &str) -> bool {
    url::Url::parse(value)
        .is_ok_and(|url| url.password().is_some_and(|password| !password.is_empty()))
}

fn refused<T>(message: String, rule: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::preflight(message).hint(rule))
}

/// Validates a URL path for the load balancer's health checks.
pub(super) fn path(text: &str) -> Result<String, Failure> {
    // Excludes characters that would need quoting in the template, and the fragment, which is never
    // sent.
    let is_sign = |sign: char| sign.is_ascii_graphic() && !"\"'\\<>`{}|^#".contains(sign);
    if text.starts_with('/') && text.len() <= 1024 && text.chars().all(is_sign) {
        return Ok(text.to_owned());
    }
    refused(
        format!("`health_path` cannot be `{text}`"),
        "set it to a path of the service, such as `/health`",
    )
}

/// Validates status codes: `200`, `200,204` or `200-299`.
fn codes(text: &str) -> Result<String, Failure> {
    let code = |text: &str| {
        let code: Option<u16> = text.parse().ok().filter(|_| text.len() == 3);
        code.filter(|code| (200..=499).contains(code))
    };
    let is_valid = !text.is_empty()
        && text.split(',').all(|part| match part.split_once('-') {
            Some((first, last)) => code(first)
                .zip(code(last))
                .is_some_and(|(first, last)| first <= last),
            None => code(part).is_some(),
        });
    if is_valid {
        return Ok(text.to_owned());
    }
    refused(
        format!("`health_codes` cannot be `{text}`"),
        "write codes from 200 to 499 like `200`, `200,204` or `200-299`",
    )
}

fn seconds(key: &str, value: Option<u32>, least: u32, most: u32) -> Result<Option<u32>, Failure> {
    match value {
        Some(seconds) if !(least..=most).contains(&seconds) => refused(
            format!("`{key}` cannot be {seconds}"),
            format!("set it to a number from {least} to {most}"),
        ),
        value => Ok(value),
    }
}

fn command(key: &str, command: Option<&Vec<String>>) -> Result<Option<Vec<String>>, Failure> {
    match command {
        // CloudFormation would replace a reference by its value, readable in the task definition.
        Some(words)
            if words.is_empty()
                || words
                    .iter()
                    .any(|word| word.contains('\0') || word.contains(REFERENCE)) =>
        {
            refused(
                format!("`{key}` is empty, or has a word that cannot be passed on"),
                format!(
                    "write program and arguments, as the image's `CMD`: `{key} = [\"serve\", \"--all\"]`"
                ),
            )
        }
        command => Ok(command.cloned()),
    }
}

/// Validates a user: `UID`, `UID:GID`, or names that the image knows. Rejects root.
fn user(text: &str) -> Result<String, Failure> {
    let is_sign = |sign: char| sign.is_ascii_alphanumeric() || "_-.".contains(sign);
    let is_name = |part: &str| !part.is_empty() && part.chars().all(is_sign);
    let parts: Vec<&str> = text.split(':').collect();
    if parts.len() > 2 || !parts.iter().all(|part| is_name(part)) {
        return refused(
            format!("`user` cannot be `{text}`"),
            "write it like `1000:1000`, or as a name of the image's `/etc/passwd`",
        );
    }
    if parts[0] == "root" || parts[0].parse::<u32>() == Ok(0) {
        return Err(Failure::preflight("`user` cannot be root")
            .because("the program's port is above 1023, and `writable` gives it folders: it needs no rights of root")
            .hint("set `user` to a number such as `1000:1000`, or remove it"));
    }
    Ok(text.to_owned())
}

fn writable(folders: &[String]) -> Result<Vec<String>, Failure> {
    let is_sign = |sign: char| sign.is_ascii_alphanumeric() || "/_-.".contains(sign);
    for folder in folders {
        let parts = folder.trim_end_matches('/').split('/').skip(1);
        let is_folder =
            folder.starts_with('/') && folder.len() <= 255 && folder.chars().all(is_sign);
        let mut parts = parts.peekable();
        // `..` and empty parts would mount over a folder other than the named one.
        if !is_folder || parts.peek().is_none() || parts.any(|part| matches!(part, "" | "." | ".."))
        {
            return refused(
                format!("`writable` cannot have `{folder}`"),
                "write absolute paths of folders, such as `writable = [\"/tmp\"]`; the root cannot be one",
            );
        }
    }
    let folders: Vec<String> = folders
        .iter()
        .map(|folder| folder.trim_end_matches('/').to_owned())
        .collect();
    let different: BTreeSet<&String> = folders.iter().collect();
    if different.len() < folders.len() || folders.len() > MOST_FOLDERS {
        return refused(
            format!(
                "`writable` names {} folders, {} different",
                folders.len(),
                different.len()
            ),
            format!("name each once, and at most {MOST_FOLDERS}"),
        );
    }
    Ok(folders)
}

/// Validates the egress ports of tasks. The list is complete, so it must contain 443.
fn egress(ports: Option<&[u16]>) -> Result<BTreeSet<u16>, Failure> {
    let Some(ports) = ports else {
        return Ok(BTreeSet::new());
    };
    if !ports.contains(&HTTPS) {
        return Err(Failure::preflight("`egress` lacks port 443")
            .because("tasks fetch their image and send their log through it")
            .hint("add it: `egress = [443, …]`"));
    }
    if ports.contains(&0) || ports.len() > 50 {
        return refused(
            "`egress` is not a list of ports".to_owned(),
            "write at most 50 numbers from 1 to 65535",
        );
    }
    Ok(ports
        .iter()
        .copied()
        // The template always allows 443.
        .filter(|port| *port != HTTPS)
        .collect())
}

fn groups(groups: &[String]) -> Result<Vec<String>, Failure> {
    let is_group = |group: &&String| {
        // Older ids have 8 hexadecimal digits, newer ones 17.
        group.strip_prefix("sg-").is_none_or(|rest| {
            !matches!(rest.len(), 8 | 17) || !rest.chars().all(|sign| sign.is_ascii_hexdigit())
        })
    };
    if let Some(wrong) = groups.iter().find(is_group) {
        return refused(
            format!("`{wrong}` is not a security group"),
            "write ids in `security_groups`, such as `sg-0123456789abcdef0`",
        );
    }
    if groups.len() > MOST_GROUPS {
        return refused(
            format!("`security_groups` has {} of them", groups.len()),
            format!("AWS takes {MOST_GROUPS} besides the tasks' own"),
        );
    }
    Ok(groups.to_vec())
}

/// Validates the settings of an existing VPC.
fn network(file: &NetworkFile) -> Result<Network, Failure> {
    let is_id = |kind: &str, id: &str| {
        id.strip_prefix(kind).is_some_and(|rest| {
            matches!(rest.len(), 8 | 17) && rest.chars().all(|sign| sign.is_ascii_hexdigit())
        })
    };
    if !is_id("vpc-", &file.vpc) {
        return refused(
            format!("`vpc` under `[service.network]` cannot be `{}`", file.vpc),
            "name its id, such as `vpc-0123456789abcdef0`",
        );
    }
    let is_cidr = file.cidr.split_once('/').is_some_and(|(address, bits)| {
        address.parse::<std::net::Ipv4Addr>().is_ok()
            && bits.len() == 2
            && bits
                .parse::<u8>()
                // The sizes that AWS allows for the IPv4 block of a VPC.
                .is_ok_and(|bits| (16..=28).contains(&bits))
    });
    if !is_cidr {
        return refused(
            format!("`cidr` under `[service.network]` cannot be `{}`", file.cidr),
            "name the IPv4 addresses of the VPC, such as `10.1.0.0/16`",
        );
    }
    let task_subnets = file.task_subnets.as_ref().unwrap_or(&file.public_subnets);
    for (key, subnets) in [
        ("public_subnets", &file.public_subnets),
        ("task_subnets", task_subnets),
    ] {
        let different: BTreeSet<&String> = subnets.iter().collect();
        // A load balancer needs subnets in two availability zones.
        if different.len() < 2
            || different.len() < subnets.len()
            || !subnets.iter().all(|id| is_id("subnet-", id))
        {
            return refused(
                format!("`{key}` under `[service.network]` does not name two subnets"),
                "name ids of subnets in two zones, such as `subnet-0123456789abcdef0`",
            );
        }
    }
    Ok(Network {
        vpc: file.vpc.clone(),
        cidr: file.cidr.clone(),
        public_subnets: file.public_subnets.clone(),
        task_subnets: task_subnets.clone(),
        // Without a public address, a task in a public subnet reaches neither its image nor its
        // logs.
        public_addresses: file.public_addresses.unwrap_or(file.task_subnets.is_none()),
    })
}

fn environment(file: &ServiceFile) -> Result<BTreeMap<String, String>, Failure> {
    let variables = file.environment.iter();
    let variables = variables.map(|(name, value)| (name.clone(), value.clone().into_text()));
    let variables: BTreeMap<String, String> = variables.collect();
    for (name, value) in &variables {
        variable("environment", name)?;
        if value.contains(REFERENCE) {
            return Err(Failure::preflight(format!(
                "`{name}` under `[service.environment]` is a reference of CloudFormation"
            ))
            .because("its value would be readable in the task definition")
            .hint(format!(
                "name the secret or parameter under `[service.secrets]`: `{name} = \"/clock/{}\"`",
                name.to_ascii_lowercase()
            )));
        }
        if value.contains('\0') {
            return refused(
                format!("`{name}` under `[service.environment]` has a NUL character"),
                "remove it",
            );
        }
    }
    Ok(variables)
}

/// Validates the name of a variable.
fn variable(table: &str, name: &str) -> Result<(), Failure> {
    let is_first = |sign: char| sign.is_ascii_alphabetic() || sign == '_';
    let is_sign = |sign: char| is_first(sign) || sign.is_ascii_digit();
    if !name.starts_with(is_first) || !name.chars().all(is_sign) {
        return refused(
            format!("`{name}` under `[service.{table}]` is not a variable"),
            "its name has letters, digits and `_`, and begins with no digit",
        );
    }
    match SET_BY_TEMPLATE.iter().find(|(taken, _)| *taken == name) {
        Some((_, why)) => refused(
            format!("`{name}` cannot be set under `[service.{table}]`"),
            *why,
        ),
        None => Ok(()),
    }
}

fn secrets(
    file: &ServiceFile,
    environment: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, SecretSource>, Failure> {
    let mut secrets = BTreeMap::new();
    for (name, text) in &file.secrets {
        variable("secrets", name)?;
        if environment.contains_key(name) {
            return refused(
                format!("`{name}` is under `[service.environment]` and under `[service.secrets]`"),
                "remove one of them",
            );
        }
        // The text is not shown, because it may be the secret itself.
        let source = text.parse::<SecretSource>().map_err(|error| {
            Failure::preflight(format!("`{name}` under `[service.secrets]` names no secret"))
                .because(error)
                .hint(format!("store the value, and name where it is: `aws ssm put-parameter --type SecureString --name /clock/{} --value …`", name.to_ascii_lowercase().replace('_', "-")))
        })?;
        secrets.insert(name.clone(), source);
    }
    Ok(secrets)
}

#[cfg(test)]
mod tests;
