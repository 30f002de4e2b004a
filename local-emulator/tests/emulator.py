"""The emulator in this process, with the addition and without Docker."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass

from local_emulator.addition import install_services
from local_emulator.health_checks import HealthChecks
from local_emulator.service_scheduler import ServiceScheduler
from local_emulator.upstream import Record, Upstream

CLUSTER, SERVICE = "cluster", "service"
KEY = f"{CLUSTER}/{SERVICE}"
BREAKER: Record = {
    "enable": True,
    "rollback": True,
    "thresholdConfiguration": {"type": "COUNT", "value": 1},
}


@dataclass
class Emulator:
    upstream: Upstream
    checks: HealthChecks
    scheduler: ServiceScheduler

    def ecs(self, action: str, **data: object) -> Record:
        """Calls an action of ECS, which has to succeed."""
        status, _, body = self.upstream.ecs._ACTION_MAP[action](data)
        answer: Record = json.loads(body)
        assert status == 200, answer
        return answer

    def register(self, family: str) -> str:
        container = {"name": "app", "image": f"image@sha256:{'0' * 64}", "essential": True}
        definition = self.ecs(
            "RegisterTaskDefinition", family=family, containerDefinitions=[container]
        )
        return str(definition["taskDefinition"]["taskDefinitionArn"])

    def tasks(self, definition: str) -> list[Record]:
        tasks = self.upstream.ecs._tasks.values()
        return [task for task in tasks if task["taskDefinitionArn"] == definition]

    def running(self, definition: str) -> list[Record]:
        return [task for task in self.tasks(definition) if task["lastStatus"] != "STOPPED"]

    def service(self) -> Record:
        service: Record = self.upstream.ecs._services[KEY]
        return service


@functools.cache
def installed() -> Emulator:
    """Installs the addition once: a second time it would change itself."""
    upstream = Upstream()
    return Emulator(upstream, *install_services(upstream))


def fresh() -> Emulator:
    """Returns the emulator without any resource."""
    emulator = installed()
    ecs, alb = emulator.upstream.ecs, emulator.upstream.alb
    emulator.scheduler.rollouts.clear()
    # Whatever rollout of an earlier test is left takes this for the deletion of its service.
    for service in ecs._services.values():
        service["status"] = "INACTIVE"
    for store in (ecs._tasks, ecs._services, ecs._task_defs, ecs._clusters):
        store.clear()
    alb.reset()
    emulator.checks.targets.clear()
    # Without an engine, tasks run as soon as they are started.
    ecs._get_docker = lambda: None
    ecs._create_cluster({"clusterName": CLUSTER})
    return emulator
