//! The price, shown before anything is created, and the question.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use crate::output::note;
use crate::programs::Programs;

/// Dollars per hour by kind of network, `None` where the region's prices are not known.
pub(crate) type Cost = BTreeMap<String, Option<f64>>;

/// Asks the deployer what the service costs in this region.
pub(crate) async fn ask_deployer(programs: &Programs, region: &str) -> Result<Cost, String> {
    let mut costs = Cost::new();
    for network in ["public", "private"] {
        let parameter = format!("Network={network}");
        let cost = programs
            .offline(&["cost", "--parameter", &parameter, "--region", region])
            .await?;
        if cost.code != Some(0) {
            return Err(format!("`deployer cost`: {}", cost.end()));
        }
        costs.insert(network.to_owned(), cost.last()["per_hour"].as_f64());
    }
    Ok(costs)
}

/// Describes the price of a run: two versions run side by side while one replaces the other.
pub(crate) fn describe(cost: &Cost, region: &str, limit: Duration) -> String {
    let known: Vec<f64> = cost.values().copied().flatten().collect();
    if known.is_empty() || known.len() < cost.len() {
        return format!("the prices of {region} are not known");
    }
    let (least, most) = known
        .iter()
        .fold((f64::MAX, 0.0_f64), |(least, most), &cost| {
            (least.min(cost), most.max(cost))
        });
    let total = 2.0 * most * limit.as_secs_f64() / 3600.0;
    let limit = humantime::format_duration(limit);
    format!(
        "in {region}, the stack costs ${least:.3} an hour, with private tasks ${most:.3}; at most ${total:.2} within {limit}, twice the tasks included, traffic and logs not"
    )
}

/// Asks on the terminal whether to start.
pub(crate) fn agree() -> Result<(), String> {
    if !std::io::stdin().is_terminal() {
        return Err("nobody can be asked: agree with `--yes`".to_owned());
    }
    note("create the stack, and delete it at the end? [y/N]");
    let mut answer = String::new();
    let _ = std::io::stdin().read_line(&mut answer);
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err("not agreed; nothing was created".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_price_is_that_of_the_limit() {
        let cost = |private| {
            Cost::from([
                ("public".to_owned(), Some(0.07)),
                ("private".to_owned(), private),
            ])
        };
        let text = describe(&cost(Some(0.1)), "us-east-1", Duration::from_mins(90));
        assert!(text.contains("$0.070 an hour"), "{text}");
        assert!(text.contains("at most $0.30 within 1h 30m"), "{text}");
        let unknown = describe(&cost(None), "xx-north-1", Duration::from_mins(90));
        assert_eq!(unknown, "the prices of xx-north-1 are not known");
    }
}
