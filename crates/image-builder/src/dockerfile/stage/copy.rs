//! `COPY` of the final stage.

use super::super::error::Problem;
use super::super::lines::Instruction;
use super::super::words;
use super::super::{CopyInstruction, Owner};
use super::Stage;

impl Stage<'_> {
    pub(super) fn copy(&mut self, instruction: &Instruction) -> Result<(), Problem> {
        if instruction.has_heredoc {
            return Err(Problem::CopyHeredoc);
        }
        let mut copy = CopyInstruction {
            line: instruction.line,
            from: None,
            sources: Vec::new(),
            destination: String::new(),
            owner: None,
            mode: None,
        };
        let rest = self.copy_flags(&instruction.arguments, &mut copy)?;
        let words = words::json_array(rest)
            .unwrap_or_else(|| rest.split_whitespace().map(ToOwned::to_owned).collect());
        let mut words = words
            .iter()
            .map(|word| self.expand(word))
            .collect::<Result<Vec<_>, _>>()?;
        let destination = words.pop().ok_or(Problem::MissingArgument("COPY"))?;
        if words.is_empty() || words.iter().any(String::is_empty) || destination.is_empty() {
            return Err(Problem::MissingArgument("COPY"));
        }
        if let Some(pattern) = words.iter().find(|word| word.contains(['*', '?', '['])) {
            return Err(Problem::Pattern(pattern.clone()));
        }
        copy.sources = words;
        copy.destination = self.absolute(&destination);
        if self.folders.contains(&copy.destination) && copy.destination != "/" {
            copy.destination.push('/');
        }
        if copy.sources.len() > 1 && !copy.destination.ends_with('/') {
            return Err(Problem::SeveralToOne(copy.destination));
        }
        self.result.copies.push(copy);
        Ok(())
    }

    /// Takes the flags off the front; the rest is returned.
    fn copy_flags<'t>(
        &self,
        text: &'t str,
        copy: &mut CopyInstruction,
    ) -> Result<&'t str, Problem> {
        let mut rest = text;
        while let Some(flag_text) = rest.strip_prefix("--") {
            let (flag, behind) = flag_text
                .split_once(char::is_whitespace)
                .unwrap_or((flag_text, ""));
            let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
            match name {
                "from" => copy.from = Some(self.earlier_stage(value)?),
                "chown" => copy.owner = Some(owner(&self.expand(value)?)?),
                "chmod" => copy.mode = Some(mode(&self.expand(value)?)?),
                // How Docker caches it: the content is the same.
                "link" => {}
                other => {
                    return Err(Problem::Flag {
                        keyword: "COPY",
                        flag: format!("--{other}"),
                    });
                }
            }
            rest = behind.trim_start();
        }
        Ok(rest)
    }

    fn earlier_stage(&self, name: &str) -> Result<String, Problem> {
        if name.contains('$') {
            Err(Problem::CopyFromVariable(name.to_owned()))
        } else if self.file.is_stage(name) {
            Ok(name.to_owned())
        } else {
            Err(Problem::CopyFromImage(name.to_owned()))
        }
    }
}

fn owner(value: &str) -> Result<Owner, Problem> {
    let (user, group) = value.split_once(':').unwrap_or((value, value));
    match (user.parse(), group.parse()) {
        (Ok(user), Ok(group)) => Ok(Owner { user, group }),
        _ => Err(Problem::Owner(value.to_owned())),
    }
}

fn mode(value: &str) -> Result<u32, Problem> {
    u32::from_str_radix(value, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| Problem::Mode(value.to_owned()))
}
