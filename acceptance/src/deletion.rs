//! Deletes the stack, and proves with the deployer's own means that nothing is left.

use std::time::Duration;

use crate::output::note;
use crate::process::end_all;
use crate::programs::Programs;

/// Attempts: another operation may have to end first.
const ATTEMPTS: usize = 3;
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_secs(2);

/// Proof that nothing is left, or what speaks against it.
#[derive(Debug, Default)]
pub(crate) struct Proof {
    pub(crate) is_clean: bool,
    /// Number of resources that were looked for after the deletion and not found.
    pub(crate) looked_for: usize,
    pub(crate) evidence: Vec<String>,
}

impl Proof {
    /// Returns the proof of a run that ended with its last step.
    pub(crate) fn clean() -> Self {
        Self {
            is_clean: true,
            ..Self::default()
        }
    }
}

/// Ends the run's programs, deletes its stack and proves that nothing is left.
pub(crate) async fn delete(programs: &Programs) -> Proof {
    let mut proof = Proof::default();
    let killed = end_all(&programs.run.mark).await;
    if killed > 0 {
        note(&format!("{killed} programs had to be killed"));
    }
    for attempt in 1..=ATTEMPTS {
        match down(programs, &mut proof).await {
            Ok(()) => break,
            Err(reason) => {
                note(&format!(
                    "deletion, attempt {attempt} of {ATTEMPTS}: {reason}"
                ));
                proof.evidence.push(reason);
                if attempt < ATTEMPTS {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
    match prove(programs).await {
        Ok(evidence) if programs.is_deletion_unproven() => {
            proof.evidence.push(evidence);
            let reason =
                "a deletion ended without its proof, and what it left has no stack any more";
            proof.evidence.push(reason.to_owned());
        }
        Ok(evidence) => {
            proof.is_clean = true;
            proof.evidence.push(evidence);
        }
        Err(reason) => proof.evidence.push(reason),
    }
    proof
}

async fn down(programs: &Programs, proof: &mut Proof) -> Result<(), String> {
    let finished = programs.deployer(&["down", "--yes"]).await?;
    if finished.code != Some(0) {
        return Err(finished.end());
    }
    for deleted in finished.events("deleted") {
        proof.looked_for = deleted["looked_for"].as_array().map_or(0, Vec::len);
        let text = format!(
            "deleted; {} resources looked for, none found",
            proof.looked_for
        );
        proof.evidence.push(text);
    }
    Ok(())
}

/// Asks twice: `status` has to say that there is no stack, and `down` that nothing is to delete.
pub(crate) async fn prove(programs: &Programs) -> Result<String, String> {
    let status = programs.deployer(&["status"]).await?;
    let found = status.last()["status"].as_str();
    if status.code != Some(0) || found != Some("ABSENT") {
        let found = found.map_or_else(|| status.end(), str::to_owned);
        return Err(format!(
            "`status` does not say that the stack is gone: {found}"
        ));
    }
    let again = programs.deployer(&["down", "--yes"]).await?;
    if again.code != Some(0) || again.events("nothing_there").next().is_none() {
        let end = again.end();
        return Err(format!("`down` does not say that nothing is left: {end}"));
    }
    Ok("`status`: ABSENT; `down` again: nothing to delete".to_owned())
}
