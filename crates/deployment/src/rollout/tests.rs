//! How a rollout stands, and what counts as trouble.

use super::*;

fn deployment(status: &str, task_definition: &str, state: &str, running: u32) -> Deployment {
    Deployment {
        id: format!("ecs-svc/{task_definition}"),
        status: status.into(),
        task_definition: task_definition.to_owned(),
        rollout_state: Some(state.into()),
        rollout_reason: Some(format!("{state} because")),
        desired: 2,
        running,
        pending: 0,
        failed: 0,
        created: None,
    }
}

fn service(deployments: Vec<Deployment>) -> Service {
    Service {
        desired: 2,
        running: 2,
        deployments,
        ..Service::default()
    }
}

fn targets(states: &[&str]) -> Vec<Target> {
    let target = |state: &&str| Target {
        id: "10.0.0.1".to_owned(),
        state: (*state).into(),
        reason: None,
        description: None,
    };
    states.iter().map(target).collect()
}

#[test]
fn completed_needs_our_definition_enough_tasks_and_healthy_targets() {
    let good = service(vec![deployment("PRIMARY", "new", "COMPLETED", 2)]);
    let well = targets(&["healthy", "healthy"]);
    assert_eq!(judge(Some(&good), &well, "new"), Rollout::Completed);
    assert_eq!(
        judge(Some(&good), &targets(&["healthy", "initial"]), "new"),
        Rollout::InProgress
    );
    assert_eq!(judge(Some(&good), &[], "new"), Rollout::InProgress);
    let under_way = service(vec![
        deployment("PRIMARY", "new", "IN_PROGRESS", 1),
        deployment("ACTIVE", "old", "COMPLETED", 2),
    ]);
    assert_eq!(judge(Some(&under_way), &well, "new"), Rollout::InProgress);
    let leaving = service(vec![
        deployment("PRIMARY", "new", "COMPLETED", 2),
        deployment("ACTIVE", "old", "COMPLETED", 1),
    ]);
    assert_eq!(judge(Some(&leaving), &well, "new"), Rollout::InProgress);
    let remembered = service(vec![
        deployment("PRIMARY", "new", "COMPLETED", 2),
        deployment("ACTIVE", "old", "FAILED", 0),
    ]);
    assert_eq!(judge(Some(&remembered), &well, "new"), Rollout::Completed);
    let one_short = service(vec![deployment("PRIMARY", "new", "COMPLETED", 1)]);
    assert_eq!(judge(Some(&one_short), &well, "new"), Rollout::InProgress);
}

#[test]
fn a_service_that_went_back_is_a_failure() {
    let back = service(vec![
        deployment("PRIMARY", "old", "IN_PROGRESS", 2),
        deployment("ACTIVE", "new", "FAILED", 0),
    ]);
    assert_eq!(
        judge(Some(&back), &targets(&["healthy", "healthy"]), "new"),
        Rollout::RolledBack("FAILED because".to_owned())
    );
    let forgotten = service(vec![deployment("PRIMARY", "old", "COMPLETED", 2)]);
    assert_eq!(judge(Some(&forgotten), &[], "new"), Rollout::Superseded);
    let first = service(vec![deployment("PRIMARY", "new", "FAILED", 0)]);
    assert_eq!(
        judge(Some(&first), &[], "new"),
        Rollout::Failed("FAILED because".to_owned())
    );
    assert!(matches!(judge(None, &[], "new"), Rollout::Failed(_)));
}

#[test]
fn what_was_asked_to_stop_did_not_fail() {
    let task = |code: Option<&str>, reason: &str| StoppedTask {
        id: "0123456789".to_owned(),
        task_definition: "new".to_owned(),
        stop_code: code.map(StopCode::from),
        reason: Some(reason.to_owned()),
        container_reason: None,
        exit_code: None,
        stopped_at: None,
    };
    let scheduler = Some("ServiceSchedulerInitiated");
    for (code, reason, expected) in [
        (
            Some("EssentialContainerExited"),
            "Essential container in task exited",
            true,
        ),
        (
            Some("TaskFailedToStart"),
            "CannotPullContainerError: no",
            true,
        ),
        (
            Some("SpotInterruption"),
            "Your Spot Task was interrupted.",
            true,
        ),
        (Some("TerminationNotice"), "", true),
        (
            scheduler,
            "Task failed ELB health checks in (target-group arn:aws:x)",
            true,
        ),
        (scheduler, "Task failed container health checks", true),
        (
            scheduler,
            "Scaling activity initiated by (deployment ecs-svc/1)",
            false,
        ),
        (Some("UserInitiated"), "Task definition updated", false),
        (Some("UserInitiated"), "Deployment completed", false),
        (None, "", false),
    ] {
        assert_eq!(
            task(code, reason).is_failure(),
            expected,
            "{code:?} {reason}"
        );
    }
}

#[test]
fn only_trouble_is_worth_telling() {
    let event = |message: &str| ServiceEvent {
        at: DateTime::default(),
        message: message.to_owned(),
    };
    for (message, expected) in [
        ("(service clock) has started 1 tasks: (task 0123).", false),
        ("(service clock) has reached a steady state.", false),
        (
            "(service clock) (port 8080) is unhealthy in (target-group x) due to (reason y)",
            true,
        ),
        (
            "(service clock) was unable to place a task. Reason: no",
            true,
        ),
        (
            "(service clock) (deployment ecs-svc/1) deployment failed: tasks failed to start.",
            true,
        ),
    ] {
        assert_eq!(event(message).is_about_a_problem(), expected, "{message}");
    }
}
