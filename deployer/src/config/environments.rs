//! Environments: `[environments.NAME]` overrides the other settings of `deployer.toml`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize as _;
use serde::de::Error as _;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, Error, ValueDeserializer};

use super::file::File;
use deployment::error::Failure;
use deployment::names::StackName;
use support::input;

/// Pattern of an environment's name.
pub(super) const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9-]*$";

/// Settings of `deployer.toml` for each environment.
#[derive(Debug)]
pub struct Files {
    /// Settings without an environment.
    base: File,
    environments: BTreeMap<String, File>,
}

impl Files {
    /// Parses the text of a configuration file.
    ///
    /// Parses all environments, whichever is selected, so that a mistake in any of them is reported
    /// at once.
    pub fn parse(text: &str) -> Result<Self, Error> {
        parse(text).map_err(|mut error| {
            // Merged values keep their position, but not the text that the error message quotes.
            error.set_input(Some(text));
            error
        })
    }

    /// Returns the settings of this environment.
    pub fn select(mut self, environment: Option<&str>) -> Result<File, Failure> {
        let Some(name) = environment else {
            return Ok(self.base);
        };
        self.environments.remove(name).ok_or_else(|| {
            let failure = Failure::preflight(format!("there is no environment `{name}`"));
            let known: Vec<_> = self.environments.into_keys().collect();
            if known.is_empty() {
                return failure.hint(format!(
                    "add `[environments.{name}]` to `deployer.toml`, or leave out `--env`"
                ));
            }
            failure.hint(format!("`deployer.toml` has: {}", known.join(", ")))
        })
    }
}

/// Reads and parses the configuration file.
pub fn read(path: &Path) -> Result<Files, Failure> {
    let shown = path.display();
    let text = input::text(path, input::WRITTEN_BY_HAND).map_err(|error| {
        let hint = if error.kind() == std::io::ErrorKind::NotFound {
            "run this in the folder that holds `deployer.toml`, or name it with `--config FILE`"
        } else {
            "it has to be a readable text file"
        };
        Failure::preflight(format!("cannot read `{shown}`"))
            .because(error)
            .hint(hint)
    })?;
    Files::parse(&text).map_err(|error| {
        Failure::preflight(format!("`{shown}` is not valid"))
            .because(error.to_string().trim_end())
            .hint("`docs/configuration.md` lists every setting")
    })
}

fn parse(text: &str) -> Result<Files, Error> {
    let document = DeTable::parse(text)?;
    let span = document.span();
    let mut table = document.into_inner();
    let overrides = match table.remove("environments") {
        Some(overrides) => into_table(overrides)?,
        None => DeTable::new(),
    };
    let file = |table| File::deserialize(Deserializer::from(Spanned::new(span.clone(), table)));
    // Parsed on its own as well: the base must be valid without any environment.
    let base = file(table.clone())?;
    let mut environments = BTreeMap::new();
    for (name, overrides) in overrides {
        let name = name.into_inner().into_owned();
        // The name becomes part of the stack name, which allows only these characters.
        let is_allowed = |sign: char| sign.is_ascii_alphanumeric() || sign == '-';
        if !name.starts_with(|first: char| first.is_ascii_alphanumeric())
            || !name.chars().all(is_allowed)
        {
            return Err(Error::custom(format!(
                "`{name}` is not a name for an environment: use letters, digits and hyphens"
            )));
        }
        let overrides = into_table(overrides)?;
        // Checked before the merge, after which the stack of the base would count.
        let names_stack = overrides.contains_key("stack");
        let mut merged = table.clone();
        merge(&mut merged, overrides);
        let mut environment = file(merged)?;
        if environment.environments.is_some() {
            return Err(Error::custom(format!(
                "`[environments.{name}]` cannot have environments of its own"
            )));
        }
        // A stack name that was inherited would deploy over the stack of the base.
        if let (false, Some(stack)) = (names_stack, &base.stack) {
            let stack = format!("{stack}-{name}").parse();
            environment.stack = Some(stack.map_err(Error::custom)?);
        }
        environments.insert(name, environment);
    }
    distinct_stacks(&base, &environments)?;
    Ok(Files { base, environments })
}

/// Rejects environments that share a stack, because one would replace the other.
fn distinct_stacks(base: &File, environments: &BTreeMap<String, File>) -> Result<(), Error> {
    let mut taken: BTreeMap<&str, String> = BTreeMap::new();
    let base = (String::from("the file itself"), base);
    let others = environments
        .iter()
        .map(|(name, file)| (format!("`[environments.{name}]`"), file));
    for (place, file) in std::iter::once(base).chain(others) {
        let Some(stack) = file.stack.as_ref().map(StackName::as_str) else {
            continue;
        };
        if let Some(other) = taken.insert(stack, place.clone()) {
            return Err(Error::custom(format!(
                "{place} has the stack `{stack}`, and so does {other}: every environment needs its own"
            )));
        }
    }
    Ok(())
}

fn into_table(value: Spanned<DeValue<'_>>) -> Result<DeTable<'_>, Error> {
    if !value.get_ref().is_table() {
        // Returns its own error, which names the position and the expected type.
        toml::Table::deserialize(ValueDeserializer::from(value.clone()))?;
    }
    if let DeValue::Table(table) = value.into_inner() {
        Ok(table)
    } else {
        Err(Error::custom("a table is expected"))
    }
}

/// Merges overrides into settings: tables key by key, other values by replacement.
fn merge<'t>(settings: &mut DeTable<'t>, overrides: DeTable<'t>) {
    for (key, value) in overrides {
        let span = value.span();
        let current = settings
            .get_mut(key.get_ref().as_ref())
            .map(Spanned::get_mut);
        match (current, value.into_inner()) {
            (Some(DeValue::Table(current)), DeValue::Table(overrides)) => {
                merge(current, overrides);
            }
            // An array is replaced as a whole: appending would leave no way to remove elements.
            (_, value) => {
                settings.insert(key, Spanned::new(span, value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
stack = "clock"
capabilities = ["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
tags = { team = "blue", cost = 1 }
[service]
tasks = 4
cpu = 512
[environments.staging]
region = "eu-west-1"
capabilities = ["CAPABILITY_NAMED_IAM"]
tags.team = "red"
[environments.staging.service]
tasks = 2
[environments.production]
stack = "clock-live"
"#;

    fn select(environment: Option<&str>) -> File {
        Files::parse(FILE).unwrap().select(environment).unwrap()
    }

    #[test]
    fn tables_are_merged_and_everything_else_is_replaced() {
        let staging = select(Some("staging"));
        assert_eq!(staging.region.as_deref(), Some("eu-west-1"));
        assert_eq!(staging.service.tasks, Some(2));
        assert_eq!(staging.service.cpu, Some(512));
        assert_eq!(staging.capabilities, ["CAPABILITY_NAMED_IAM"]);
        let tags = staging.tags.into_iter();
        let tags: Vec<_> = tags.map(|(key, tag)| (key, tag.into_text())).collect();
        let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(tags, [tag("cost", "1"), tag("team", "red")]);

        let base = select(None);
        assert_eq!(base.service.tasks, Some(4));
        assert_eq!(base.region, None);
    }

    #[test]
    fn every_environment_has_its_own_stack() {
        let stack = |environment| select(environment).stack.unwrap().to_string();
        assert_eq!(stack(None), "clock");
        assert_eq!(stack(Some("staging")), "clock-staging");
        assert_eq!(stack(Some("production")), "clock-live");

        for shared in [
            "stack = 'a'\n[environments.x]\nstack = 'a'\n",
            "stack = 'a'\n[environments.x]\n[environments.y]\nstack = 'a-x'\n",
        ] {
            let error = Files::parse(shared).unwrap_err().to_string();
            assert!(error.contains("every environment needs its own"), "{error}");
        }
        // A file may have nothing but environments.
        let files = Files::parse("[environments.x]\nstack = 'a'\n").unwrap();
        let file = files.select(Some("x")).unwrap();
        assert_eq!(file.stack.unwrap().as_str(), "a");
    }

    #[test]
    fn an_unknown_environment_names_the_known_ones() {
        let failure = |text: &str| {
            let files = Files::parse(text).unwrap();
            files.select(Some("prod")).unwrap_err()
        };
        let known = failure(FILE);
        assert_eq!(known.message, "there is no environment `prod`");
        assert_eq!(known.hints, ["`deployer.toml` has: production, staging"]);
        let none = failure("stack = 'clock'\n");
        assert_eq!(
            none.hints,
            ["add `[environments.prod]` to `deployer.toml`, or leave out `--env`"]
        );
    }

    #[test]
    fn mistakes_are_found_in_every_environment_and_name_their_place() {
        for (mistake, place) in [
            (
                "[environments.x.service]\ntasks = 'two'\n",
                "line 3, column 9",
            ),
            ("[environments.x.service]\ntask = 2\n", "line 3, column 1"),
            (
                "[environments.x]\nenvironments.y.stack = 'b'\n",
                "of its own",
            ),
            ("[environments]\nx = 1\n", "line 3, column 5"),
            ("[[environments]]\nstack = 'b'\n", "expected a map"),
            ("[environments.'a b']\n", "`a b` is not a name"),
            ("[environments.'--local']\n", "`--local` is not a name"),
            ("[environment.x]\n", "`environments`"),
        ] {
            let text = format!("stack = 'a'\n{mistake}");
            let error = Files::parse(&text).unwrap_err().to_string();
            assert!(error.contains(place), "{mistake}: {error}");
        }
    }
}
