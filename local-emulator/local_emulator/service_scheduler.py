"""ECS services that act on health checks.

A deployment completes when its tasks are healthy. A task that is not is stopped, counted by the
circuit breaker and replaced.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .health import Target, is_checked
from .health_checks import TIME_SCALE, HealthChecks
from .upstream import Record, Response, Upstream

# Most events of a service that ECS keeps.
EVENTS = 100
# Numbers of a service that parameters of a template may give.
NUMBERS = ("desiredCount", "healthCheckGracePeriodSeconds")


class ServiceScheduler:
    """Changes to how the emulator's ECS schedules the tasks of a service."""

    def __init__(self, upstream: Upstream, checks: HealthChecks) -> None:
        self.upstream, self.checks = upstream, checks
        self.alb, self.ecs = upstream.alb, upstream.ecs
        self.responses, self.concurrency = upstream.responses, upstream.concurrency
        self.lock = threading.Lock()
        self.service_locks: dict[tuple[str, str, str], threading.RLock] = {}

    def install(self) -> None:
        replace, ecs = self.upstream.replace, self.ecs
        self.record_healthy = replace(ecs, "_record_service_task_healthy", self.on_task_healthy)
        self.record_failure = replace(ecs, "_record_service_task_failure", self.on_task_failure)
        self.reconcile = replace(ecs, "_reconcile_service_tasks", self.on_reconcile)
        self.update_service = replace(ecs, "_update_service", self.on_update_service)
        self.create_service = self.upstream.replace_handler(
            "AWS::ECS::Service", "create", self.on_create_service
        )

    @contextmanager
    def lock_service(self, service_key: str) -> Iterator[None]:
        """Lets one thread at a time decide about a service.

        The emulator has one thread for each task. Several of them reconcile a service at the same
        moment: two tasks that fail together would be replaced by four.
        """
        scope = (self.responses.get_account_id(), self.responses.get_region(), service_key)
        with self.lock:
            lock = self.service_locks.setdefault(scope, threading.RLock())
        with lock:
            yield

    def service_of(self, task: Record) -> tuple[str, str, Record | None]:
        """Returns cluster, key and record of the service that a task belongs to."""
        cluster = self.ecs._cluster_name_from_arn(task.get("clusterArn", "")) or ""
        key = f"{cluster}/{str(task.get('group', '')).partition(':')[2]}"
        return cluster, key, self.ecs._services.get(key)

    def checked_groups(self, service: Record) -> list[Record]:
        """Returns the entries of a service's `loadBalancers` whose target group has checks."""
        entries = service.get("loadBalancers") or []
        return [
            entry for entry in entries if is_checked(self.alb._tgs.get(entry.get("targetGroupArn")))
        ]

    # --- What the emulator does with services ---

    def on_create_service(self, logical_id: str, props: Record, stack_name: str) -> Any:
        """Sets the grace period, which the emulator's CloudFormation forgets for a new service."""
        identifier, attributes = self.create_service(logical_id, props, stack_name)
        service = self.ecs._services.get(identifier.partition(":service/")[2])
        if service is not None:
            grace = int(props.get("HealthCheckGracePeriodSeconds") or 0)
            service["healthCheckGracePeriodSeconds"] = grace
        return identifier, attributes

    def on_update_service(self, data: Record) -> Response:
        """Updates a service while nobody reconciles it.

        Its deployment and its task definition change one after the other.
        """
        cluster = self.ecs._resolve_cluster_name(data.get("cluster", "default"))
        name, _ = self.ecs._resolve_service_ref(data.get("service", "")) or ("", None)
        # The emulator's CloudFormation passes on a parameter's text, and clients expect a number.
        numbers = {key: int(data[key]) for key in NUMBERS if isinstance(data.get(key), str)}
        with self.lock_service(f"{cluster}/{name}"):
            return self.update_service({**data, **numbers})

    def on_task_healthy(self, svc_key: str, task: Record) -> None:
        """Records a task as healthy only once the load balancer finds it so.

        The emulator itself is content with a task that survives its first second.
        """
        service = self.ecs._services.get(svc_key)
        for entry in self.checked_groups(service) if service else []:
            port = int(entry.get("containerPort", 80))
            key = (entry["targetGroupArn"], self.ecs._task_ip(task), port)
            if not self.checks.is_healthy_task(key, task.get("taskArn", "")):
                return
        self.record_healthy(svc_key, task)

    def on_task_failure(self, task: Record, digest_resolution_failed: bool = False) -> None:
        """Records a failed task while nobody reconciles its service.

        A failure may end the deployment, and reconciling reads more than once which deployment is
        under way. In between, the emulator would take the old version, which should stay, for a
        leftover, and stop its tasks.
        """
        with self.lock_service(self.service_of(task)[1]):
            self.record_failure(task, digest_resolution_failed)

    def on_reconcile(self, cluster_name: str, svc_key: str) -> None:
        """Reconciles a service, and prepares a deployment that is new."""
        with self.lock_service(svc_key):
            service = self.ecs._services.get(svc_key)
            deployment = self.ecs._primary_deployment(service) if service else None
            for known in service.get("deployments", []) if service else []:
                # A rollback to it sets it back to unfinished.
                if known.get("_prepared") and known.get("rolloutState") == "COMPLETED":
                    known["_was_completed"] = True
            if deployment and not deployment.get("_prepared"):
                deployment["_prepared"] = True
                self.stop_superseded(cluster_name, service)
                # The emulator calls the first one completed before it has started.
                if deployment.get("desiredCount") and self.checked_groups(service):
                    deployment["rolloutState"] = "IN_PROGRESS"
                    deployment["rolloutStateReason"] = ""
            self.reconcile(cluster_name, svc_key)

    def stop_superseded(self, cluster: str, service: Record) -> None:
        """Stops the tasks of deployments that were superseded before they completed.

        The emulator would keep them beside the old ones, and would never start the new.
        """
        unfinished = {
            deployment["id"]
            for deployment in service.get("deployments", [])
            if deployment.get("status") != "PRIMARY" and not deployment.get("_was_completed")
        }
        for task in list(self.ecs._tasks.values()):
            if task.get("_deployment_id") in unfinished and task.get("lastStatus") != "STOPPED":
                reason = "Task definition updated"
                self.ecs._stop_task({"task": task["taskArn"], "cluster": cluster, "reason": reason})

    # --- What health checks do to tasks ---

    def on_answer(self, target: Target, changed: bool) -> None:
        """Acts on the answer to a health check."""
        task = self.ecs._tasks.get(target.task) if target.task else None
        if task is None:
            return
        # In the background: both wait for Docker.
        spawn, state = self.concurrency.spawn_background, target.health.state
        if state == "healthy" and changed:
            spawn(self.on_healthy, task, thread_name="health-check-healthy")
        elif state == "unhealthy":
            task["_startup_stable"] = False
            if self.is_grace_over(target, task):
                spawn(self.stop_unhealthy, target, task, thread_name="health-check-unhealthy")

    def on_healthy(self, task: Record) -> None:
        """Records a healthy task, which may complete its deployment."""
        cluster, key, _ = self.service_of(task)
        self.ecs._record_service_task_healthy(key, task)
        self.ecs._refresh_service_state(cluster, task.get("group", ""))
        self.ecs._reconcile_service_tasks(cluster, key)
        self.ecs._complete_service_deployment(cluster, key)

    def is_grace_over(self, target: Target, task: Record) -> bool:
        service = self.service_of(task)[2] or {}
        grace = float(service.get("healthCheckGracePeriodSeconds") or 0) * TIME_SCALE
        return time.monotonic() - target.since >= grace

    def stop_unhealthy(self, target: Target, task: Record) -> None:
        """Stops a task, counts it as failed, and has it replaced."""
        _, _, service = self.service_of(task)
        if service is None or service.get("status") != "ACTIVE":
            return
        arn, _, port = target.key
        reason = f"Task failed ELB health checks in (target-group {arn})"
        # False where somebody else stopped it meanwhile.
        if not self.ecs._mark_task_stopped(
            task["taskArn"], task, reason, "ServiceSchedulerInitiated", exit_code=0
        ):
            return
        try:
            name = f"(service {service['serviceName']})"
            why = target.health.description
            identifier = task["taskArn"].rsplit("/", 1)[-1]
            self.add_event(
                service,
                f"{name} (port {port}) is unhealthy in (target-group {arn}) due to (reason {why}).",
            )
            self.add_event(service, f"{name} has stopped 1 running tasks: (task {identifier}).")
            self.ecs._record_service_task_failure(task)
            # Tasks of a superseded deployment are not replaced, but make room.
            self.ecs._reconcile_service_tasks(*self.service_of(task)[:2])
        finally:
            self.ecs._cleanup_task_resources(task, self.ecs._get_docker())

    def add_event(self, service: Record, message: str) -> None:
        event = {
            "id": self.responses.new_uuid(),
            "createdAt": self.ecs._iso(),
            "message": message,
        }
        service["events"].insert(0, event)
        del service["events"][EVENTS:]
