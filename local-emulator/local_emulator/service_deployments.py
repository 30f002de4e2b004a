"""Service deployments: the emulator lists none and describes none."""

from __future__ import annotations

from .upstream import Record, Response, Upstream

# Fields of a deployment that `ListServiceDeployments` gives.
BRIEF = [
    "serviceDeploymentArn",
    "serviceArn",
    "clusterArn",
    "createdAt",
    "startedAt",
    "finishedAt",
    "status",
    "statusReason",
]


class ServiceDeployments:
    """Service deployments as ECS describes them."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream, self.ecs, self.responses = upstream, upstream.ecs, upstream.responses

    def install(self) -> None:
        replace = self.upstream.replace
        replace(self.ecs, "_list_service_deployments", self.on_list)
        replace(self.ecs, "_describe_service_deployments", self.on_describe)

    def describe(self, service: Record, deployment: Record) -> Record:
        """Describes one deployment of a service."""
        breaker = (service.get("deploymentConfiguration") or {}).get(
            "deploymentCircuitBreaker"
        ) or {}
        primary = self.ecs._primary_deployment(service) or {}
        going_back = "rollback" in str(primary.get("rolloutStateReason"))
        state = deployment.get("rolloutState")
        if state == "FAILED":
            back = deployment is not primary and breaker.get("rollback")
            finished_back = "ROLLBACK_IN_PROGRESS" if going_back else "ROLLBACK_SUCCESSFUL"
            status = finished_back if back else "STOPPED"
        elif state == "COMPLETED" or (deployment is primary and going_back):
            status = "SUCCESSFUL"
        else:
            status = "IN_PROGRESS" if deployment is primary else "STOPPED"
        monitoring = {"FAILED": "TRIGGERED", "IN_PROGRESS": "MONITORING"}.get(
            str(state), "MONITORING_COMPLETE"
        )
        identifier = deployment["id"].rsplit("/", 1)[-1]
        arn = service["serviceArn"].replace(":service/", ":service-deployment/")
        described: Record = {
            "serviceDeploymentArn": f"{arn}/{identifier}",
            "serviceArn": service["serviceArn"],
            "clusterArn": service["clusterArn"],
            "createdAt": deployment["createdAt"],
            "startedAt": deployment["createdAt"],
            "updatedAt": deployment["updatedAt"],
            "status": status,
            "deploymentCircuitBreaker": {
                "status": monitoring if breaker.get("enable") else "DISABLED",
                "failureCount": int(deployment.get("failedTasks", 0)),
                "threshold": self.ecs._circuit_breaker_threshold(service),
            },
        }
        if state == "FAILED":
            described["statusReason"] = deployment.get("rolloutStateReason", "")
        if status.startswith("ROLLBACK"):
            reason = (
                "Service deployment rolled back because the circuit breaker threshold was exceeded."
            )
            described["statusReason"] = reason
            described["rollback"] = {"reason": reason, "startedAt": deployment["updatedAt"]}
        if status not in ("IN_PROGRESS", "ROLLBACK_IN_PROGRESS"):
            described["finishedAt"] = self.ecs._ts_to_epoch(deployment["updatedAt"])
        return described

    def all(self) -> list[Record]:
        return [
            self.describe(service, deployment)
            for service in self.ecs._services.values()
            for deployment in list(service.get("deployments") or [])
        ]

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
        found = [
            described for described in self.all() if described["serviceDeploymentArn"] in wanted
        ]
        known = {described["serviceDeploymentArn"] for described in found}
        failures = [{"arn": arn, "reason": "MISSING"} for arn in wanted if arn not in known]
        return self.responses.json_response({"serviceDeployments": found, "failures": failures})
