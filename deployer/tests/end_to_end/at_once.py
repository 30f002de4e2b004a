"""The emulator, when two tasks of a new version fail at the same moment: the old version's tasks go on.

Usage: python at_once.py STARTER, with the path of `start.py`, beside which is `health_checks.py`. Needs no Docker.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import threading
from typing import Any

# How long the one thread waits for the other at most, where the two may not run at the same time.
PATIENCE_SECONDS = 0.5
TASKS = 2
KEY = "cluster/service"


def load(path: str) -> Any:
    spec = importlib.util.spec_from_file_location("health_checks", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["health_checks"] = module
    spec.loader.exec_module(module)
    return module


def register(ecs: Any, family: str) -> str:
    container = {"name": "app", "image": f"image@sha256:{'0' * 64}", "essential": True}
    ecs._register_task_definition({"family": family, "containerDefinitions": [container]})
    return next(td["taskDefinitionArn"] for td in ecs._task_defs.values() if td["family"] == family)


def tasks(ecs: Any, definition: str) -> list[dict[str, Any]]:
    return [task for task in ecs._tasks.values() if task["taskDefinitionArn"] == definition]


def alive(ecs: Any, definition: str) -> list[dict[str, Any]]:
    return [task for task in tasks(ecs, definition) if task["lastStatus"] != "STOPPED"]


def main() -> None:
    load(os.path.join(os.path.dirname(sys.argv[1]), "health_checks.py")).HealthChecks().install()
    ecs = importlib.import_module("ministack.services.ecs")
    responses = importlib.import_module("ministack.core.responses")
    ecs._get_docker = lambda: None
    old, new = register(ecs, "old"), register(ecs, "new")
    ecs._create_cluster({"clusterName": "cluster"})
    breaker = {"enable": True, "rollback": True, "thresholdConfiguration": {"type": "COUNT", "value": 1}}
    ecs._create_service(
        {
            "cluster": "cluster",
            "serviceName": "service",
            "taskDefinition": old,
            "desiredCount": TASKS,
            "deploymentConfiguration": {"deploymentCircuitBreaker": breaker},
        }
    )
    assert len(alive(ecs, old)) == TASKS, "the old version does not run"
    # With Docker, a new version's tasks need a second to be called stable.
    complete, ecs._complete_service_deployment = ecs._complete_service_deployment, lambda *_args, **_named: None
    ecs._update_service({"cluster": "cluster", "service": "service", "taskDefinition": new})
    assert len(alive(ecs, new)) == TASKS, "the new version does not run"
    assert len(alive(ecs, old)) == TASKS, "the old version went too early"

    # While the service is reconciled, a task fails, which is the end of the deployment.
    scope = (responses.get_account_id(), responses.get_region())
    failing = alive(ecs, new)[0]

    def fail() -> None:
        with responses.request_scope(*scope):
            ecs._mark_task_stopped(failing["taskArn"], failing, "", "EssentialContainerExited", exit_code=1)

    other = threading.Thread(target=fail)
    deployment_for_task = ecs._deployment_for_task

    def slowly(service: dict[str, Any], task: dict[str, Any]) -> Any:
        if threading.current_thread() is not other and not other.ident:
            other.start()
            other.join(PATIENCE_SECONDS)
        return deployment_for_task(service, task)

    ecs._deployment_for_task = slowly
    ecs._reconcile_service_tasks("cluster", KEY)
    other.join()
    ecs._deployment_for_task = deployment_for_task
    ecs._complete_service_deployment = complete
    states = {deployment["rolloutState"] for deployment in ecs._services[KEY]["deployments"]}
    assert "FAILED" in states, f"the deployment did not fail: {states}"
    assert len(alive(ecs, old)) == TASKS, "the old version does not run any more"
    stopped = len(tasks(ecs, old)) - TASKS
    assert stopped == 0, f"{stopped} tasks of the old version were stopped and replaced"
    print("the old version goes on")


if __name__ == "__main__":
    main()
