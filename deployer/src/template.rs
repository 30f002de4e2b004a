//! Template of the deployment: read, rendered with the settings of the service, and validated.

use std::borrow::Cow;

use crate::config::{Config, TemplateSource};
use crate::context::Context;
use deployment::error::Failure;
use deployment::stack::ascii;
use deployment::stack::resource::declares_parameter;
use deployment::template;
use support::input;

/// CloudFormation's limit for the size of a template body in a request, in bytes.
pub(crate) const LIMIT: usize = 51_200;

/// Parameter of earlier template versions, which created a budget with it.
pub(crate) const BUDGET: &str = "MonthlyBudget";

/// Reads the template and rejects what CloudFormation would reject.
///
/// The result is in ASCII, because CloudFormation returns `?` for all other characters.
pub(crate) fn read(context: Context<'_>) -> Result<String, Failure> {
    let config = context.config;
    let shown = &config.template;
    let text = rendered(config)?;
    // Checked for size after the conversion, because escapes make the text longer.
    let ascii = ascii::to_ascii(&text).map(Cow::into_owned);
    let text = ascii.unwrap_or_else(|| {
        context.sink.warn(format!(
            "`{shown}` cannot be written in ASCII: CloudFormation shows `?` for other characters, so that this version cannot be restored exactly"
        ));
        text
    });
    if text.len() > LIMIT {
        return Err(
            Failure::preflight(format!("the template `{shown}` is too large"))
                .because(format!(
                    "it has {} bytes in ASCII; CloudFormation takes {LIMIT}",
                    text.len()
                ))
                .hint("shorten it"),
        );
    }
    // 0 asks for no budget, which is what this version creates.
    let asks_for_a_budget = config
        .parameters
        .get(BUDGET)
        .is_some_and(|dollars| dollars != "0");
    if asks_for_a_budget && !declares_parameter(&text, BUDGET) {
        return Err(
            Failure::preflight(format!("the template `{shown}` makes no budget any more"))
                .because(format!(
                    "the parameter `{BUDGET}` is set, and budgets have a template of their own: they are about the whole account"
                ))
                .hint(format!(
                    "remove `{BUDGET}` from `deployer.toml` and from the command line, and deploy the budget once: \
                     `aws cloudformation deploy --region us-east-1 --stack-name budget --template-file infra/budget.yaml \
                     --parameter-overrides Dollars=60 Email=somebody@example.com`"
                )),
        );
    }
    Ok(text)
}

/// Reads the template source, with its slots empty.
pub(crate) fn source(source: &TemplateSource) -> Result<Cow<'static, str>, Failure> {
    let path = match source {
        TemplateSource::BuiltIn => return Ok(Cow::Borrowed(template::BUILT_IN)),
        TemplateSource::File(path) => path,
    };
    let text = input::text(path, input::WRITTEN_BY_HAND).map_err(|error| {
        Failure::preflight(format!("cannot read the template `{source}`"))
            .because(error)
            .hint("correct `template` in `deployer.toml` or `--template`, or remove it for the built-in one")
    })?;
    if text.trim().is_empty() {
        return Err(
            Failure::preflight(format!("the template `{source}` is empty"))
                .hint("begin with the built-in one: `deployer template`"),
        );
    }
    Ok(Cow::Owned(text))
}

/// Renders the template with the settings of the service.
pub fn rendered(config: &Config) -> Result<String, Failure> {
    let text = source(&config.template)?;
    let mut settings = config.settings.clone();
    // Read here and not with the settings, because most commands do not need the policy.
    settings.permissions = permissions(config)?;
    template::render(&text, &settings).map_err(|missing| {
        Failure::preflight(format!(
            "the template `{}` has no place for `{}`",
            config.template, missing.setting
        ))
        .hint(format!(
            "add the slot `# deployer:{}` where `deployer template` has it, or remove the setting",
            missing.slot
        ))
    })
}

/// Reads the policy of the task role, if the settings name one.
pub(crate) fn permissions(config: &Config) -> Result<Option<String>, Failure> {
    let Some(path) = &config.permissions else {
        return Ok(None);
    };
    let shown = path.display();
    let unusable = |error: &dyn std::fmt::Display| {
        Failure::preflight(format!("cannot use the policy `{shown}`"))
            .because(error)
            .hint("`policy` under `[service.permissions]` names an IAM policy document in JSON")
    };
    let text = input::text(path, input::WRITTEN_BY_HAND).map_err(|error| unusable(&error))?;
    let document = template::policy_document(&text);
    document.map(Some).map_err(|error| unusable(&error))
}
