"""Service deployments and service revisions: the emulator lists none and describes none."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from . import traffic
from .rollout import Rollout
from .service_scheduler import ServiceScheduler
from .upstream import Record, Response, Upstream

# Fields of a deployment that `ListServiceDeployments` gives.
BRIEF = [
    "serviceDeploymentArn",
    "serviceArn",
    "clusterArn",
    "createdAt",
    "startedAt",
    "finishedAt",
    "targetServiceRevisionArn",
    "status",
    "statusReason",
]
UNDER_WAY = ("PENDING", "IN_PROGRESS", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS")
BREAKER_REASON = (
    "Service deployment rolled back because the circuit breaker threshold was exceeded."
)
STOP_REASON = "the service deployment was stopped"


def arn_of(service: Record, deployment: Record, kind: str) -> str:
    """Returns the ARN of a deployment's service deployment or service revision."""
    identifier = deployment["id"].rsplit("/", 1)[-1]
    arn: str = service["serviceArn"].replace(":service/", f":{kind}/")
    return f"{arn}/{identifier}"


def deployment_arn(service: Record, deployment: Record) -> str:
    return arn_of(service, deployment, "service-deployment")


def revision_arn(service: Record, deployment: Record) -> str:
    return arn_of(service, deployment, "service-revision")


def order(described: Record) -> float:
    """Returns when a service deployment was created."""
    created = described["createdAt"]
    if isinstance(created, str):
        return datetime.fromisoformat(created.replace("Z", "+00:00")).timestamp()
    return float(created)


class ServiceDeployments:
    """Service deployments as ECS describes them, and the actions on them."""

    def __init__(self, upstream: Upstream, scheduler: ServiceScheduler) -> None:
        self.upstream, self.scheduler = upstream, scheduler
        self.ecs, self.responses = upstream.ecs, upstream.responses

    def install(self) -> None:
        replace = self.upstream.replace
        replace(self.ecs, "_list_service_deployments", self.on_list)
        replace(self.ecs, "_describe_service_deployments", self.on_describe)
        replace(self.ecs, "_describe_service_revisions", self.on_describe_revisions)
        self.ecs._ACTION_MAP["ContinueServiceDeployment"] = self.on_continue
        self.ecs._ACTION_MAP["StopServiceDeployment"] = self.on_stop

    # --- Descriptions ---

    def describe(self, service: Record, deployment: Record, rollout: Rollout | None) -> Record:
        """Describes one deployment of a service."""
        breaker = (service.get("deploymentConfiguration") or {}).get(
            "deploymentCircuitBreaker"
        ) or {}
        monitoring = {"FAILED": "TRIGGERED", "IN_PROGRESS": "MONITORING"}.get(
            str(deployment.get("rolloutState")), "MONITORING_COMPLETE"
        )
        described: Record = {
            "serviceDeploymentArn": deployment_arn(service, deployment),
            "serviceArn": service["serviceArn"],
            "clusterArn": service["clusterArn"],
            "createdAt": deployment["createdAt"],
            "startedAt": deployment["createdAt"],
            "updatedAt": deployment["updatedAt"],
            "targetServiceRevisionArn": revision_arn(service, deployment),
            "deploymentCircuitBreaker": {
                "status": monitoring if breaker.get("enable") else "DISABLED",
                "failureCount": int(deployment.get("failedTasks", 0)),
                "threshold": self.ecs._circuit_breaker_threshold(service),
            },
        }
        own = self.of_rollout(rollout) if rollout else self.of_rolling(service, deployment, breaker)
        return {**described, **own}

    def of_rolling(self, service: Record, deployment: Record, breaker: Record) -> Record:
        """Describes the progress of a rolling deployment."""
        primary = self.ecs._primary_deployment(service) or {}
        going_back = "rollback" in str(primary.get("rolloutStateReason"))
        stopped = deployment.get("_stopped")
        state = deployment.get("rolloutState")
        if state == "FAILED":
            back = deployment is not primary and (breaker.get("rollback") or stopped)
            finished_back = "ROLLBACK_IN_PROGRESS" if going_back else "ROLLBACK_SUCCESSFUL"
            status = finished_back if back else "STOPPED"
        elif state == "COMPLETED" or (deployment is primary and going_back):
            status = "SUCCESSFUL"
        else:
            status = "IN_PROGRESS" if deployment is primary else "STOPPED"
        described: Record = {"status": status}
        if state == "FAILED":
            described["statusReason"] = deployment.get("rolloutStateReason", "")
        if status.startswith("ROLLBACK"):
            reason = (
                f"Service deployment rolled back because {STOP_REASON}."
                if stopped
                else BREAKER_REASON
            )
            described["statusReason"] = reason
            described["rollback"] = {"reason": reason, "startedAt": deployment["updatedAt"]}
        if status not in UNDER_WAY:
            described["finishedAt"] = self.ecs._ts_to_epoch(deployment["updatedAt"])
        return described

    def of_rollout(self, rollout: Rollout) -> Record:
        """Describes the progress of a deployment that is not rolling."""
        described: Record = {
            "status": rollout.status,
            "deploymentConfiguration": rollout.configuration,
            "targetServiceRevision": self.summary(
                rollout, rollout.deployment, rollout.test, rollout.production
            ),
            "sourceServiceRevisions": [],
        }
        if rollout.source is not None:
            described["sourceServiceRevisions"] = [
                self.summary(rollout, rollout.source, 100 - rollout.test, 100 - rollout.production)
            ]
        if rollout.stage:
            described["lifecycleStage"] = rollout.stage
        if rollout.hooks:
            described["lifecycleHookDetails"] = [hook.describe() for hook in rollout.hooks]
        if rollout.status_reason:
            described["statusReason"] = rollout.status_reason
        if rollout.rollback:
            described["rollback"] = dict(rollout.rollback)
            if rollout.source is not None:
                described["rollback"]["serviceRevisionArn"] = revision_arn(
                    rollout.service, rollout.source
                )
        if rollout.finished_at:
            described["finishedAt"] = rollout.finished_at
            if rollout.status == "STOPPED":
                described["stoppedAt"] = rollout.finished_at
        return described

    def summary(
        self, rollout: Rollout, deployment: Record, test: float, production: float
    ) -> Record:
        statuses = [
            task["lastStatus"] for task in self.scheduler.alive_tasks(rollout.service, deployment)
        ]
        running = statuses.count("RUNNING")
        return {
            "arn": revision_arn(rollout.service, deployment),
            "requestedTaskCount": int(rollout.service.get("desiredCount", 0)),
            "runningTaskCount": running,
            "pendingTaskCount": len(statuses) - running,
            "requestedTestTrafficWeight": test,
            "requestedProductionTrafficWeight": production,
        }

    def deployments(self) -> Iterator[tuple[Record, Record, Rollout | None]]:
        """Gives every deployment with its service, and with its rollout if it has one."""
        scope = self.scheduler.scope("")[:2]
        rollouts = {
            rollout.deployment["id"]: rollout
            for key, known in list(self.scheduler.rollouts.items())
            if key[:2] == scope
            for rollout in list(known)
        }
        for service in list(self.ecs._services.values()):
            for deployment in list(service.get("deployments") or []):
                yield service, deployment, rollouts.pop(deployment["id"], None)
        # The emulator forgets deployments that have no tasks any more.
        for rollout in rollouts.values():
            yield rollout.service, rollout.deployment, rollout

    def all(self) -> list[Record]:
        """Describes all service deployments, the newest first."""
        found = [self.describe(*known) for known in self.deployments()]
        return sorted(found, key=order, reverse=True)

    def on_list(self, data: Record) -> Response:
        cluster = self.ecs._resolve_cluster_name(data.get("cluster", "default"))
        service = f"/{cluster}/{data.get('service', '').rsplit('/', 1)[-1]}"
        wanted = data.get("status")
        found = [
            {name: described[name] for name in BRIEF if name in described}
            for described in self.all()
            if described["serviceArn"].endswith(service)
            and (not wanted or described["status"] in wanted)
        ]
        return self.responses.json_response({"serviceDeployments": found})

    def on_describe(self, data: Record) -> Response:
        wanted = data.get("serviceDeploymentArns") or []
        found = {
            described["serviceDeploymentArn"]: {
                name: value
                for name, value in described.items()
                if name != "targetServiceRevisionArn"
            }
            for described in self.all()
            if described["serviceDeploymentArn"] in wanted
        }
        return self.answer("serviceDeployments", wanted, found)

    def on_describe_revisions(self, data: Record) -> Response:
        wanted = data.get("serviceRevisionArns") or []
        found = {
            revision_arn(service, deployment): self.revision(service, deployment)
            for service, deployment, _ in self.deployments()
            if revision_arn(service, deployment) in wanted
        }
        return self.answer("serviceRevisions", wanted, found)

    def answer(self, name: str, wanted: list[str], found: dict[str, Record]) -> Response:
        failures = [{"arn": arn, "reason": "MISSING"} for arn in wanted if arn not in found]
        return self.responses.json_response({name: list(found.values()), "failures": failures})

    def revision(self, service: Record, deployment: Record) -> Record:
        entries = service.get("loadBalancers") or []
        definition = self.ecs._task_defs.get(deployment["taskDefinition"].rpartition("/")[2]) or {}
        described: Record = {
            "serviceRevisionArn": revision_arn(service, deployment),
            "serviceArn": service["serviceArn"],
            "clusterArn": service["clusterArn"],
            "taskDefinition": deployment["taskDefinition"],
            "launchType": deployment.get("launchType"),
            "capacityProviderStrategy": deployment.get("capacityProviderStrategy"),
            "networkConfiguration": service.get("networkConfiguration"),
            "loadBalancers": entries,
            "containerImages": [
                {"containerName": container["name"], "image": container["image"]}
                for container in definition.get("containerDefinitions") or []
            ],
            "createdAt": deployment["createdAt"],
            "resolvedConfiguration": {
                "loadBalancers": [
                    {
                        "targetGroupArn": traffic.group_of(deployment, entry),
                        "productionListenerRule": traffic.advanced(entry).get(
                            "productionListenerRule"
                        ),
                    }
                    for entry in entries
                ]
            },
        }
        return {name: value for name, value in described.items() if value}

    # --- Actions ---

    def on_continue(self, data: Record) -> Response:
        """Handles `ContinueServiceDeployment`."""
        arn, action = data.get("serviceDeploymentArn", ""), data.get("action") or "CONTINUE"
        known = self.find(arn)
        if known is None:
            return self.missing(arn)
        if action not in ("CONTINUE", "ROLLBACK"):
            return self.error("InvalidParameterException", f"there is no action {action}")
        rollout = known[2]
        if rollout is None:
            return self.error("InvalidParameterException", "the service deployment has no hooks")
        problem = rollout.answer_hook(data.get("hookId", ""), action)
        if problem:
            return self.error("InvalidParameterException", problem)
        return self.responses.json_response({"serviceDeploymentArn": arn})

    def on_stop(self, data: Record) -> Response:
        """Handles `StopServiceDeployment`."""
        arn = data.get("serviceDeploymentArn", "")
        known = self.find(arn)
        if known is None:
            return self.missing(arn)
        if (data.get("stopType") or "ROLLBACK") != "ROLLBACK":
            message = "the only stop type is ROLLBACK"
            return self.error("InvalidParameterException", message)
        service, deployment, rollout = known
        problem = (
            rollout.request_rollback(STOP_REASON)
            if rollout
            else self.scheduler.stop_rolling(service, deployment, STOP_REASON)
        )
        if problem:
            return self.error("ConflictException", problem)
        return self.responses.json_response({"serviceDeploymentArn": arn})

    def find(self, arn: str) -> tuple[Record, Record, Rollout | None] | None:
        return next(
            (known for known in self.deployments() if deployment_arn(known[0], known[1]) == arn),
            None,
        )

    def missing(self, arn: str) -> Response:
        message = f"there is no service deployment {arn}"
        return self.error("ServiceDeploymentNotFoundException", message)

    def error(self, code: str, message: str) -> Any:
        return self.responses.error_response_json(code, message, 400)
