"""ECS services that act on health checks, and that keep two revisions apart where they have to.

A deployment completes when its tasks are healthy. A task that is not is stopped, counted by the
circuit breaker and replaced. A deployment that is not rolling is led by a `Rollout`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from . import lifecycle, traffic
from .health import Key, Target, is_checked
from .health_checks import TIME_SCALE, HealthChecks
from .load_balancer import LoadBalancer
from .numbers import converted
from .rollout import Rollout
from .upstream import Record, Response, Upstream

# Most events of a service that ECS keeps.
EVENTS = 100
# What a task is before it is stopped.
ALIVE = ("PROVISIONING", "PENDING", "ACTIVATING", "RUNNING")


class ServiceScheduler:
    """Changes to how the emulator's ECS schedules the tasks of a service."""

    def __init__(
        self, upstream: Upstream, checks: HealthChecks, load_balancer: LoadBalancer
    ) -> None:
        self.upstream, self.checks, self.load_balancer = upstream, checks, load_balancer
        self.alb, self.ecs = upstream.alb, upstream.ecs
        self.responses, self.concurrency = upstream.responses, upstream.concurrency
        self.lock = threading.Lock()
        self.service_locks: dict[tuple[str, str, str], threading.RLock] = {}
        # By account, region and key of the service; the newest last.
        self.rollouts: dict[tuple[str, str, str], list[Rollout]] = {}

    def install(self) -> None:
        replace, ecs = self.upstream.replace, self.ecs
        self.record_healthy = replace(ecs, "_record_service_task_healthy", self.on_task_healthy)
        self.record_failure = replace(ecs, "_record_service_task_failure", self.on_task_failure)
        self.reconcile = replace(ecs, "_reconcile_service_tasks", self.on_reconcile)
        self.complete = replace(ecs, "_complete_service_deployment", self.on_complete)
        replace(ecs, "_sync_service_targets", self.on_sync_targets)
        self.create_service = replace(ecs, "_create_service", self.on_create_service)
        self.update_service = replace(ecs, "_update_service", self.on_update_service)
        self.delete_service = replace(ecs, "_delete_service", self.on_delete_service)

    @contextmanager
    def lock_service(self, service_key: str) -> Iterator[None]:
        """Lets one thread at a time decide about a service.

        The emulator has one thread for each task. Several of them reconcile a service at the same
        moment: two tasks that fail together would be replaced by four.
        """
        scope = self.scope(service_key)
        with self.lock:
            lock = self.service_locks.setdefault(scope, threading.RLock())
        with lock:
            yield

    def scope(self, service_key: str) -> tuple[str, str, str]:
        return (self.responses.get_account_id(), self.responses.get_region(), service_key)

    def active_rollout(self, service_key: str) -> Rollout | None:
        """Returns the rollout of a service that is under way.

        The newest: one that it superseded may not have noticed yet.
        """
        known = self.rollouts.get(self.scope(service_key)) or []
        return next((rollout for rollout in reversed(known) if rollout.is_active()), None)

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

    def alive_tasks(self, service: Record, deployment: Record) -> list[Record]:
        return [
            task
            for task in list(self.ecs._tasks.values())
            if task.get("_deployment_id") == deployment["id"]
            and task.get("clusterArn") == service["clusterArn"]
            and task.get("lastStatus") in ALIVE
        ]

    def healthy_tasks(self, service: Record, deployment: Record) -> int:
        return sum(
            task["lastStatus"] == "RUNNING" and bool(task.get("_startup_stable"))
            for task in self.alive_tasks(service, deployment)
        )

    # --- Requests ---

    def on_create_service(self, data: Record) -> Response:
        data = converted(data)
        problem = self.problem_of(data)
        return self.invalid(problem) if problem else self.create_service(data)

    def on_update_service(self, data: Record) -> Response:
        """Updates a service while nobody reconciles it.

        Its deployment and its task definition change one after the other.
        """
        data = converted(data)
        key = self.key_of(data)
        with self.lock_service(key):
            service = self.ecs._services.get(key) or {}
            problem = self.problem_of({**service, **data})
            if problem:
                return self.invalid(problem)
            if self.moves_traffic(service, data):
                data = {**data, "forceNewDeployment": True}
            return self.update_service(data)

    def on_delete_service(self, data: Record) -> Response:
        """Deletes a service with its service deployments."""
        key = self.key_of(data)
        response = self.delete_service(data)
        if response[0] == 200:
            self.rollouts.pop(self.scope(key), None)
        return response

    def key_of(self, data: Record) -> str:
        cluster = self.ecs._resolve_cluster_name(data.get("cluster", "default"))
        name, _ = self.ecs._resolve_service_ref(data.get("service", "")) or ("", None)
        return f"{cluster}/{name}"

    def problem_of(self, service: Record) -> str | None:
        """Returns why a service cannot be deployed as it is asked for."""
        configuration = service.get("deploymentConfiguration") or {}
        if lifecycle.is_rolling(configuration):
            return lifecycle.problem_of(configuration)
        load_balancers = service.get("loadBalancers") or []
        return lifecycle.problem_of(configuration) or traffic.Traffic(self.upstream).problem_of(
            load_balancers
        )

    def moves_traffic(self, service: Record, data: Record) -> bool:
        """Returns whether an update changes between which target groups traffic is shifted."""
        new = data.get("loadBalancers")
        if new is None or not service:
            return False
        return traffic.differs(service.get("loadBalancers") or [], new)

    def invalid(self, problem: str) -> Response:
        return self.responses.error_response_json("InvalidParameterException", problem, 400)

    # --- What the emulator does with services ---

    def on_task_healthy(self, svc_key: str, task: Record) -> None:
        """Records a task as healthy only once the load balancer finds it so.

        The emulator itself is content with a task that survives its first second.
        """
        service = self.ecs._services.get(svc_key)
        for key in self.target_keys(service, task) if service else []:
            if not self.checks.is_healthy_task(key, task.get("taskArn", "")):
                return
        self.record_healthy(svc_key, task)

    def target_keys(self, service: Record, task: Record) -> list[Key]:
        """Returns the targets that a task is registered as, of those that have checks."""
        deployment = self.ecs._deployment_for_task(service, task)
        address = self.ecs._task_ip(task)
        return [
            (group, address, port)
            for group, port in traffic.registrations(service, deployment)
            if is_checked(self.alb._tgs.get(group))
        ]

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
                self.prepare(cluster_name, svc_key, service, deployment)
            rollout = self.active_rollout(svc_key)
            if rollout is None or rollout.may_start_tasks or rollout.deployment is not deployment:
                self.reconcile(cluster_name, svc_key)

    def prepare(self, cluster: str, svc_key: str, service: Record, deployment: Record) -> None:
        """Makes a service ready for a new deployment."""
        previous = self.active_rollout(svc_key)
        if previous:
            previous.supersede()
        self.stop_superseded(cluster, service)
        source = next(
            (
                known
                for known in service.get("deployments", [])
                if known is not deployment and known.get("_was_completed")
            ),
            None,
        )
        rolling = lifecycle.is_rolling(service.get("deploymentConfiguration") or {})
        traffic.assign(service, deployment, source, rolling=rolling)
        if not rolling:
            reconcile = previous is not None
            self.start_rollout(svc_key, service, deployment, source, reconcile=reconcile)
        # The emulator calls the first one completed before it has started.
        elif deployment.get("desiredCount") and self.checked_groups(service):
            deployment["rolloutState"] = "IN_PROGRESS"
            deployment["rolloutStateReason"] = ""

    def start_rollout(
        self,
        svc_key: str,
        service: Record,
        deployment: Record,
        source: Record | None,
        *,
        reconcile: bool,
    ) -> None:
        deployment["rolloutState"] = "IN_PROGRESS"
        deployment["rolloutStateReason"] = ""
        scope = self.scope(svc_key)
        rollout = Rollout(self, scope, service, deployment, source, reconcile=reconcile)
        self.rollouts.setdefault(scope, []).append(rollout)
        rollout.start()

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

    def on_complete(
        self, cluster_name: str, svc_key: str, expected_deployment_id: str | None = None
    ) -> None:
        """Completes a deployment, unless a rollout has not come to that yet."""
        rollout = self.active_rollout(svc_key)
        if rollout is None or rollout.may_complete:
            self.complete(cluster_name, svc_key, expected_deployment_id)

    def on_sync_targets(self, cluster_name: str, svc: Record) -> None:  # noqa: ARG002
        """Registers the tasks of each deployment in its own target groups, with its own ports."""
        ledger = svc.setdefault("_published_targets", {})
        targets: dict[str, list[tuple[str, int]]] = {group: [] for group in ledger}
        deployments = (svc.get("deployments") or []) if svc.get("status") == "ACTIVE" else []
        for deployment in deployments:
            for group, port in traffic.registrations(svc, deployment):
                registered = targets.setdefault(group, [])
                for task in self.alive_tasks(svc, deployment):
                    address = self.ecs._task_ip(task)
                    if task["lastStatus"] == "RUNNING" and address:
                        registered.append((address, port))
        for group, registered in targets.items():
            with self.concurrency.resource_lock("elbv2-targets", group):
                self.alb.set_targets_for_group(group, registered, ledger.get(group, ()))
                ledger[group] = [address for address, _ in registered]

    # --- What a rollout needs ---

    def has_requests(self, groups: list[str]) -> bool:
        """Returns whether a request to one of these target groups waits for its answer."""
        return any(self.load_balancer.unanswered[group] for group in groups)

    def reconcile_service(self, svc_key: str) -> None:
        self.ecs._reconcile_service_tasks(svc_key.partition("/")[0], svc_key)

    def complete_service(self, svc_key: str) -> None:
        cluster, _, name = svc_key.partition("/")
        self.ecs._refresh_service_state(cluster, f"service:{name}")
        self.ecs._complete_service_deployment(cluster, svc_key)

    def replace_stopped_tasks(self, service: Record, deployment: Record) -> None:
        """Starts tasks of a deployment that is not the newest, but still has traffic.

        The emulator itself replaces tasks of the newest only.
        """
        cluster, name = service["clusterArn"].rsplit("/", 1)[-1], service["serviceName"]
        with self.lock_service(f"{cluster}/{name}"):
            primary = self.ecs._primary_deployment(service) or {}
            # Once the newest is complete, the emulator stops all others.
            superseded = primary.get("rolloutState") != "IN_PROGRESS"
            alive = len(self.alive_tasks(service, deployment))
            missing = int(service.get("desiredCount", 0)) - alive
            if (
                superseded
                or primary is deployment
                or service.get("status") != "ACTIVE"
                or missing <= 0
            ):
                return
            self.ecs._run_task(
                {
                    "cluster": cluster,
                    "taskDefinition": deployment["taskDefinition"],
                    "count": missing,
                    "group": f"service:{name}",
                    "startedBy": name,
                    "launchType": service.get("launchType"),
                    "capacityProviderStrategy": service.get("capacityProviderStrategy"),
                    "platformVersion": service.get("platformVersion", ""),
                    "networkConfiguration": service.get("networkConfiguration", {}),
                    "enableExecuteCommand": service.get("enableExecuteCommand", False),
                    "_deploymentId": deployment["id"],
                }
            )

    def fail_deployment(
        self, service: Record, deployment: Record, source: Record | None, reason: str
    ) -> None:
        """Ends a deployment as the circuit breaker does, and makes its source the newest again.

        The service has to be locked.
        """
        cluster = service["clusterArn"].rsplit("/", 1)[-1]
        now = self.ecs._iso()
        if deployment.get("rolloutState") != "FAILED":
            deployment["rolloutState"] = "FAILED"
            deployment["rolloutStateReason"] = f"ECS deployment failed: {reason}."
        deployment["desiredCount"], deployment["updatedAt"] = 0, now
        if source is None:
            for task in self.alive_tasks(service, deployment):
                self.ecs._stop_task(
                    {"task": task["taskArn"], "cluster": cluster, "reason": "Deployment failed"}
                )
            return
        if source.get("status") != "PRIMARY":
            deployment["status"], source["status"] = "ACTIVE", "PRIMARY"
            source["desiredCount"] = service.get("desiredCount", 0)
            source["rolloutState"] = "IN_PROGRESS"
            source["rolloutStateReason"] = "ECS deployment rollback in progress."
            source["updatedAt"] = now
            service["taskDefinition"] = source["taskDefinition"]
        self.reconcile_service(f"{cluster}/{service['serviceName']}")

    def stop_rolling(self, service: Record, deployment: Record, reason: str) -> str | None:
        """Rolls a rolling deployment back; returns why that is not possible."""
        cluster, name = service["clusterArn"].rsplit("/", 1)[-1], service["serviceName"]
        key = f"{cluster}/{name}"
        with self.lock_service(key):
            if deployment.get("rolloutState") != "IN_PROGRESS":
                return "the service deployment is complete"
            deployments = service.get("deployments") or []
            source = next((known for known in deployments if known.get("_was_completed")), None)
            if source is None or deployment.get("status") != "PRIMARY":
                return "the service has no revision to go back to"
            deployment["_stopped"] = True
            self.fail_deployment(service, deployment, source, reason)
            self.ecs._schedule_service_deployment_completion(cluster, key, *self.scope(key)[:2])
        return None

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
        rollout = self.active_rollout(key)
        if rollout is not None:
            rollout.wake()

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
