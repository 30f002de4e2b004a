//! Which requests meet a fault, and which one; and what has happened to which call so far.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::fault::{Fault, QUICK};

/// Of a thousand faults at random, those that hang: each costs half a minute.
const HANGS_PER_MILLE: u64 = 10;

/// Calls without which nothing is deployed or deleted: each of them has to meet each fault.
const ESSENTIAL: [&str; 31] = [
    "GetCallerIdentity",
    "DescribeStacks",
    "CreateStack",
    "CreateChangeSet",
    "DescribeChangeSet",
    "ExecuteChangeSet",
    "DescribeStackEvents",
    "DeleteStack",
    "DescribeServices",
    "DescribeTargetHealth",
    "DescribeRules",
    "DescribeTasks",
    "ListTasks",
    "ListServiceDeployments",
    "DescribeServiceDeployments",
    "DescribeServiceRevisions",
    "ContinueServiceDeployment",
    "StopServiceDeployment",
    "GetTemplate",
    "ListStackResources",
    "DescribeClusters",
    "DescribeLoadBalancers",
    "DescribeLogGroups",
    "DescribeRepositories",
    "ListTaskDefinitions",
    "DeleteTaskDefinitions",
    "HEAD manifests",
    "HEAD blobs",
    "POST uploads",
    "PUT uploads",
    "PUT manifests",
];

/// What one command meets.
pub(crate) enum Plan {
    /// Nothing.
    Clean,
    /// Each call once, the first time: what it has met least often so far.
    EachOnce {
        /// May one of them hang?
        hangs: bool,
        seen: BTreeSet<String>,
    },
    /// So many of a hundred requests.
    Random { percent: u64, state: u64 },
}

impl Plan {
    pub(crate) fn each_once(hangs: bool) -> Self {
        let seen = BTreeSet::new();
        Self::EachOnce { hangs, seen }
    }

    pub(crate) fn random(percent: u64, seed: u64) -> Self {
        let state = seed;
        Self::Random { percent, state }
    }

    /// What happens to this request.
    pub(crate) fn next(&mut self, call: &str, ledger: &mut Ledger) -> Option<Fault> {
        let fault = match self {
            Self::Clean => None,
            Self::EachOnce { hangs, seen } => {
                // Neighbours meet different ones.
                let turn = seen.len();
                if !seen.insert(call.to_owned()) {
                    return None;
                }
                if *hangs && ledger.times(call, Fault::Hang) == 0 {
                    *hangs = false;
                    Some(Fault::Hang)
                } else {
                    ledger.rarest(call, turn)
                }
            }
            Self::Random { percent, state } => {
                let meets = next_random(state) % 100 < *percent;
                let hangs = next_random(state) % 1000 < HANGS_PER_MILLE;
                let many = u64::try_from(QUICK.len()).expect("a few");
                let which = usize::try_from(next_random(state) % many).expect("a few");
                let fault = if hangs { Fault::Hang } else { QUICK[which] };
                (meets && fault.can_happen_to(call)).then_some(fault)
            }
        };
        if let Some(fault) = fault {
            ledger.enter(call, fault);
        }
        fault
    }
}

/// How often each call met each fault, over all rounds and lanes.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    met: BTreeMap<String, BTreeMap<Fault, usize>>,
    /// Requests that were not the first of their connection; and those of them to which something happened.
    pub(crate) later: usize,
    pub(crate) later_faults: usize,
}

impl Ledger {
    fn enter(&mut self, call: &str, fault: Fault) {
        let of_call = self.met.entry(call.to_owned()).or_default();
        *of_call.entry(fault).or_default() += 1;
    }

    fn times(&self, call: &str, fault: Fault) -> usize {
        let of_call = self.met.get(call);
        of_call
            .and_then(|met| met.get(&fault))
            .copied()
            .unwrap_or(0)
    }

    /// The fault, of those that are over at once, that this call met least often; `turn` decides between equals.
    fn rarest(&self, call: &str, turn: usize) -> Option<Fault> {
        let mut faults = QUICK;
        faults.rotate_left(turn % QUICK.len());
        let possible = faults.into_iter().filter(|fault| fault.can_happen_to(call));
        possible.min_by_key(|fault| self.times(call, *fault))
    }

    /// What has to be met and was not: every call every fault, or, in a short run, every call one and every fault one.
    pub(crate) fn gaps(&self, whole: bool) -> Vec<String> {
        if whole {
            let gaps = |call: &'static str| {
                self.never_met(call)
                    .map(move |fault| format!("{call} never met {fault:?}"))
            };
            return ESSENTIAL.into_iter().flat_map(gaps).collect();
        }
        let calls = ESSENTIAL
            .into_iter()
            .filter(|call| !self.met.contains_key(*call));
        let calls = calls.map(|call| format!("{call} met nothing"));
        let happened = |fault: Fault| self.met.values().any(|met| met.contains_key(&fault));
        let faults = QUICK.into_iter().filter(|fault| !happened(*fault));
        let faults = faults.map(|fault| format!("{fault:?} never happened"));
        calls.chain(faults).collect()
    }

    fn never_met(&self, call: &'static str) -> impl Iterator<Item = Fault> {
        let all = QUICK.into_iter().chain([Fault::Hang]);
        all.filter(move |fault| fault.can_happen_to(call) && self.times(call, *fault) == 0)
    }
}

/// A line a call, a column a fault.
impl fmt::Display for Ledger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = || QUICK.into_iter().chain([Fault::Hang]);
        write!(formatter, "{:<30}", "call")?;
        for fault in faults() {
            write!(formatter, "{:>16}", format!("{fault:?}"))?;
        }
        for call in self.met.keys() {
            write!(formatter, "\n{call:<30}")?;
            for fault in faults() {
                let times = self.times(call, fault);
                write!(formatter, "{times:>16}")?;
            }
        }
        Ok(())
    }
}

/// The next number of a sequence that is the same for the same seed (splitmix64).
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
