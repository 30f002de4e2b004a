//! Goals: ratios of values measured side by side, and a few limits that hardly depend on the host.

use crate::report::{Goal, Limit, Table};
use crate::{checks, deploy, instructions, load, pack, pack_on_base, strategies};

/// Judges the goals whose values were measured, and leaves out the others.
pub(crate) fn judge(tables: &[Table]) -> Vec<Goal> {
    let ratio = |quantity: &str, of: &str, to: &str, limit| {
        let ratio = tables.iter().find_map(|it| it.ratio(quantity, of, to))?;
        let what = format!("{of} ÷ {to}, {quantity}");
        Some(Goal::judge(what, "", limit, ratio.median))
    };
    // Of two that are equal, each is the slower one in half of the runs.
    let no_slower = |quantity: &str, of: &str, to: &str| {
        let ratio = tables.iter().find_map(|it| it.ratio(quantity, of, to))?;
        let what = format!("{of} ÷ {to}, {quantity}, 1 and noise");
        let limit = Limit::AtMost(1.0 + ratio.noise());
        Some(Goal::judge(what, "", limit, ratio.median))
    };
    let median = |quantity: &str, of: &str, limit| {
        let (unit, median) = tables.iter().find_map(|it| it.median(quantity, of))?;
        Some(Goal::judge(
            format!("{of}, {quantity}"),
            unit,
            limit,
            median,
        ))
    };
    let (most, least) = (Limit::AtMost, Limit::AtLeast);
    let goals = [
        ratio(pack::NEW, pack::OURS, pack::DOCKER, most(0.2)),
        ratio(pack::UNCHANGED, pack::OURS, pack::DOCKER, most(0.1)),
        median(pack::LAYER, pack::OURS, most(0.72)),
        ratio(pack_on_base::FIRST, pack::OURS, pack::DOCKER, most(0.5)),
        ratio(pack_on_base::NEW, pack::OURS, pack::DOCKER, most(0.15)),
        ratio(
            pack_on_base::UNCHANGED,
            pack::OURS,
            pack::DOCKER,
            most(0.08),
        ),
        median(pack_on_base::MEMORY, pack::OURS, most(64.0)),
        ratio(load::THROUGHPUT, load::APP, load::NGINX, least(1.0)),
        ratio(load::THROUGHPUT, load::APP, load::HYPER, least(0.95)),
        no_slower(load::SLOWEST, load::APP, load::HYPER),
        ratio(instructions::EACH, load::APP, load::HYPER, most(1.0)),
        median(load::IDLE, load::APP, most(3.5)),
        median(load::START, load::APP, most(3.0)),
        // One request each: the same work.
        ratio(checks::WHOLE, checks::HTTP, checks::BLACKBOX, least(5.0)),
        // Two requests against one.
        ratio(checks::WHOLE, checks::CHECKER, checks::BLACKBOX, least(3.5)),
        median(checks::ERROR, checks::CHECKER, most(1.0)),
        median(checks::MEMORY, checks::CHECKER, most(50.0)),
        median(deploy::OWN, deploy::OURS, most(1.0)),
        ratio(deploy::CREATE, deploy::OURS, deploy::SCRIPT, most(1.0)),
        ratio(deploy::CHANGE, deploy::OURS, deploy::SCRIPT, most(1.0)),
        ratio(
            strategies::ALL,
            strategies::LINEAR,
            strategies::ROLLING,
            most(1.5),
        ),
    ];
    goals.into_iter().flatten().collect()
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
        assert_eq!(goals[0].what, "deployer ÷ docker build + push, new content");
        assert!(!goals[0].is_met, "0.3 is more than 0.2");
    }
}
