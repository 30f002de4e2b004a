//! What shall hold: ratios of what was measured side by side, and a few bounds that hardly depend on the machine.

use crate::report::{Goal, Limit, Table};
use crate::{checks, deploy, instructions, load, pack};

/// Judges what was measured; what was not is left out.
pub(crate) fn judge(tables: &[Table]) -> Vec<Goal> {
    let ratio = |quantity, of, to| tables.iter().find_map(|it| it.ratio(quantity, of, to));
    let median = |quantity, of| tables.iter().find_map(|it| it.median(quantity, of));
    let most = Limit::AtMost;
    let least = Limit::AtLeast;
    [
        (
            "pack and push of new content ÷ docker build + push",
            "",
            most(0.2),
            ratio(pack::NEW, pack::OURS, pack::DOCKER),
        ),
        (
            "pack and push of unchanged content ÷ docker build + push",
            "",
            most(0.1),
            ratio(pack::UNCHANGED, pack::OURS, pack::DOCKER),
        ),
        ("layer", "MB", most(0.72), median(pack::LAYER, pack::OURS)),
        (
            "app ÷ nginx, requests/s",
            "",
            least(1.0),
            ratio(load::THROUGHPUT, load::APP, load::NGINX),
        ),
        (
            "app ÷ hyper, requests/s",
            "",
            least(0.95),
            ratio(load::THROUGHPUT, load::APP, load::HYPER),
        ),
        (
            "app ÷ hyper, p99",
            "",
            most(1.0),
            ratio(load::SLOWEST, load::APP, load::HYPER),
        ),
        (
            "app ÷ hyper, instructions/request",
            "",
            most(1.0),
            ratio(instructions::INSTRUCTIONS, load::APP, load::HYPER),
        ),
        (
            "app, memory when idle",
            "MB",
            most(3.5),
            median(load::IDLE, load::APP),
        ),
        (
            "app, start to first answer",
            "ms",
            most(3.0),
            median(load::START, load::APP),
        ),
        (
            "checker ÷ blackbox_exporter, probes/s of one core",
            "",
            least(2.0),
            ratio(checks::PROBES, checks::CHECKER, checks::BLACKBOX),
        ),
        (
            "checker, error of the offset with 1,000 targets, p99",
            "ms",
            most(1.0),
            median(checks::ERROR, checks::CHECKER),
        ),
        (
            "checker, memory with 1,000 targets",
            "MB",
            most(50.0),
            median(checks::MEMORY, checks::CHECKER),
        ),
        (
            "`deployer up` without changes, own time",
            "s",
            most(1.0),
            median(deploy::OWN, deploy::OURS),
        ),
        (
            "`deployer up` ÷ script, create",
            "",
            most(1.0),
            ratio(deploy::CREATE, deploy::OURS, deploy::SCRIPT),
        ),
        (
            "`deployer up` ÷ script, change",
            "",
            most(1.0),
            ratio(deploy::CHANGE, deploy::OURS, deploy::SCRIPT),
        ),
    ]
    .into_iter()
    .filter_map(|(what, unit, limit, value)| Goal::judge(what, unit, limit, value))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_measured_is_judged() {
        let mut table = Table::new("Pack and push", pack::OURS);
        for (contestant, milliseconds) in [(pack::OURS, 30.0), (pack::DOCKER, 100.0)] {
            table.add((pack::NEW, "ms"), contestant, milliseconds);
        }
        let goals = judge(&[table.finish()]);
        assert_eq!(goals.len(), 1);
        assert!(!goals[0].is_met, "0.3 is more than 0.2");
    }
}
