"""Runs the emulator with the health checks that it lacks; made for the version that `requirements.txt` pins.

By itself the emulator calls every target healthy and asks none. Here, the targets of its load balancers are asked over
HTTP, requests go to healthy ones only, and ECS heeds what the checks say: a deployment completes when its tasks are
healthy, and a task that is not is stopped, counted by the circuit breaker and replaced. As on AWS, but five times faster.
"""

from __future__ import annotations

import http.client
import importlib
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

# Intervals and grace periods are so much shorter than on AWS. Timeouts are not: a slow machine is no sick target.
TIME_SCALE = 0.2
SHORTEST_INTERVAL_SECONDS = 0.2
# How often it is looked which targets are registered.
LOOK_SECONDS = 0.1
# Most events of a service that ECS keeps.
EVENTS = 100
# Numbers of a service that parameters of a template may give.
NUMBERS = ("desiredCount", "healthCheckGracePeriodSeconds")

log = logging.getLogger("health-checks")

# The emulator's records are plain dictionaries.
Record = dict[str, Any]
# Target group (ARN), address and port.
Key = tuple[str, str, int]


@dataclass(frozen=True)
class Health:
    """What `DescribeTargetHealth` tells of a target."""

    state: str
    reason: str = ""
    description: str = ""


HEALTHY = Health("healthy")
REGISTERING = Health("initial", "Elb.RegistrationInProgress", "Target registration is in progress")
CHECKING = Health("initial", "Elb.InitialHealthChecking", "Initial health checks in progress")
TIMED_OUT = Health("unhealthy", "Target.Timeout", "Request timed out")
FAILED = Health("unhealthy", "Target.FailedHealthChecks", "Health checks failed")


def mismatch(code: int) -> Health:
    return Health("unhealthy", "Target.ResponseCodeMismatch", f"Health checks failed with these codes: [{code}]")


def matches(matcher: str, code: int) -> bool:
    """Is the status code one of those that the matcher (`200`, `200,204`, `200-299`) wants?"""
    for part in matcher.split(","):
        first, _, last = part.strip().partition("-")
        if int(first) <= code <= int(last or first):
            return True
    return False


def ask(address: str, port: int, group: Record) -> Health:
    """Makes one health check."""
    connection = http.client.HTTPConnection(address, port, timeout=float(group.get("HealthCheckTimeoutSeconds", 5)))
    headers = {"Host": f"{address}:{port}", "User-Agent": "ELB-HealthChecker/2.0", "Connection": "close"}
    try:
        connection.request("GET", group.get("HealthCheckPath") or "/", headers=headers)
        code = connection.getresponse().status
    except TimeoutError:
        return TIMED_OUT
    except (OSError, http.client.HTTPException):
        return FAILED
    finally:
        connection.close()
    matcher = (group.get("Matcher") or {}).get("HttpCode") or "200"
    return HEALTHY if matches(str(matcher), code) else mismatch(code)


def check_port(key: Key, group: Record) -> int:
    port = group.get("HealthCheckPort") or "traffic-port"
    return key[2] if port == "traffic-port" else int(port)


def is_checked(group: Record | None) -> bool:
    """Are there health checks for this target group that can be made here?"""
    return (
        group is not None
        and group.get("TargetType") == "ip"
        and group.get("HealthCheckProtocol", "HTTP") == "HTTP"
        and bool(group.get("HealthCheckEnabled", True))
    )


@dataclass
class Target:
    """One registration of a target, and what its checks have said."""

    key: Key
    account: str
    region: str
    # ARN of the ECS task at this address, where it is one: another task may get the same address later.
    task: str | None
    health: Health = REGISTERING
    successes: int = 0
    failures: int = 0
    since: float = field(default_factory=time.monotonic)

    def record(self, answer: Health, group: Record) -> bool:
        """Takes in the answer to a check; is the target in another state now?"""
        before = self.health.state
        if answer.state == "healthy":
            self.successes, self.failures = self.successes + 1, 0
            # A new target is healthy after one success; one that was unhealthy has to prove more.
            if before == "initial" or self.successes >= int(group.get("HealthyThresholdCount", 5)):
                self.health = HEALTHY
        else:
            self.successes, self.failures = 0, self.failures + 1
            if before == "unhealthy" or self.failures >= int(group.get("UnhealthyThresholdCount", 2)):
                self.health = answer
            elif before == "initial":
                self.health = CHECKING
        return self.health.state != before


class HealthChecks:
    """The checks of all targets, and the changes to the emulator that make it heed them."""

    # What is replaced or used of the emulator; without one of these, its own behaviour stays.
    NEEDED = {
        "alb": (
            "_ACTION_MAP _tgs _targets _describe_target_health _forward_to_tg _proxy_http_target _parse_targets_param"
            " _xml _p set_targets_for_group"
        ),
        "ecs": (
            "_ACTION_MAP _tasks _services _task_ip _get_docker _iso _ts_to_epoch _cluster_name_from_arn"
            " _resolve_cluster_name _mark_task_stopped _cleanup_task_resources _record_service_task_failure"
            " _record_service_task_healthy _refresh_service_state _reconcile_service_tasks _complete_service_deployment"
            " _circuit_breaker_threshold _primary_deployment _stop_task _update_service _resolve_service_ref"
        ),
        "ecr": "_images _resolve_manifest",
        "provisioners": "_RESOURCE_HANDLERS",
        "responses": "request_scope get_account_id get_region json_response new_uuid",
        "concurrency": "spawn_background",
    }

    def __init__(self) -> None:
        self.alb: Any = importlib.import_module("ministack.services.alb")
        self.ecs: Any = importlib.import_module("ministack.services.ecs")
        self.ecr: Any = importlib.import_module("ministack.services.ecr")
        self.provisioners: Any = importlib.import_module("ministack.services.cloudformation.provisioners")
        self.responses: Any = importlib.import_module("ministack.core.responses")
        self.concurrency: Any = importlib.import_module("ministack.core.concurrency")
        self.lock = threading.Lock()
        self.targets: dict[Key, Target] = {}
        self.service_locks: dict[tuple[str, str, str], threading.RLock] = {}

    def missing(self) -> list[str]:
        """What this version of the emulator has not, of what is needed."""
        return [
            f"{module}.{name}"
            for module, names in self.NEEDED.items()
            for name in names.split()
            if not hasattr(getattr(self, module), name)
        ]

    def install(self) -> None:
        """Changes the emulator and begins to check."""
        alb, ecs, ecr = self.alb, self.ecs, self.ecr
        self.resolve_manifest, ecr._resolve_manifest = ecr._resolve_manifest, self.on_resolve_manifest
        self.set_targets, alb.set_targets_for_group = alb.set_targets_for_group, self.on_set_targets
        self.forward, alb._forward_to_tg = alb._forward_to_tg, self.on_forward
        self.describe, alb._describe_target_health = alb._describe_target_health, self.on_describe
        alb._ACTION_MAP["DescribeTargetHealth"] = self.on_describe
        self.record_healthy, ecs._record_service_task_healthy = ecs._record_service_task_healthy, self.on_task_healthy
        self.reconcile, ecs._reconcile_service_tasks = ecs._reconcile_service_tasks, self.on_reconcile
        self.record_failure, ecs._record_service_task_failure = ecs._record_service_task_failure, self.on_task_failure
        self.update_service, ecs._update_service = ecs._update_service, self.on_update_service
        ecs._ACTION_MAP["UpdateService"] = self.on_update_service
        handlers = self.provisioners._RESOURCE_HANDLERS["AWS::ECS::Service"]
        self.create_service, handlers["create"] = handlers["create"], self.on_create_service
        ecs._ACTION_MAP["ListServiceDeployments"] = self.on_list_service_deployments
        ecs._ACTION_MAP["DescribeServiceDeployments"] = self.on_describe_service_deployments
        threading.Thread(target=self.look_for_ever, daemon=True, name="health-checks").start()

    # --- Checking ---

    def look_for_ever(self) -> None:
        while True:
            try:
                self.look()
            except Exception:
                log.exception("cannot look which targets there are")
            time.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Begins to check what was registered and forgets what is not any more."""
        registered: dict[Key, tuple[str, str]] = {}
        for (account, region, arn), group in self.alb._tgs.all_items():
            if is_checked(group):
                for target in list(self.alb._targets.get_scoped(account, region, arn) or []):
                    registered[self.key(arn, target, group)] = (account, region)
        owners = {key: self.task_at(key[1], *scope) for key, scope in registered.items()}
        new = []
        with self.lock:
            for key, target in list(self.targets.items()):
                if key not in registered or owners[key] not in (None, target.task):
                    del self.targets[key]
            for key, scope in registered.items():
                if key not in self.targets:
                    self.targets[key] = Target(key, *scope, owners[key])
                    new.append(self.targets[key])
        for target in new:
            threading.Thread(target=self.check_for_ever, args=(target,), daemon=True, name="health-check").start()

    def key(self, arn: str, target: Record, group: Record) -> Key:
        return (arn, str(target["Id"]), int(target.get("Port") or group.get("Port") or 80))

    def task_at(self, address: str, account: str, region: str) -> str | None:
        """The ARN of the running task of a service that has this address."""
        with self.responses.request_scope(account, region):
            # The newest: the record of one that ended a moment ago may still say that it runs.
            for task in reversed(self.ecs._tasks.values()):
                if task.get("lastStatus") == "RUNNING" and self.ecs._task_ip(task) == address:
                    return task["taskArn"] if str(task.get("group", "")).startswith("service:") else None
        return None

    def check_for_ever(self, target: Target) -> None:
        """Checks one target until it is not registered any more."""
        while self.targets.get(target.key) is target:
            interval = SHORTEST_INTERVAL_SECONDS
            try:
                with self.responses.request_scope(target.account, target.region):
                    group = self.alb._tgs.get(target.key[0])
                    if group is None:
                        return
                    interval = max(interval, float(group.get("HealthCheckIntervalSeconds", 30)) * TIME_SCALE)
                    self.check(target, group)
            except Exception:
                log.exception("the health check of %s:%s failed", target.key[1], target.key[2])
            time.sleep(interval)

    def check(self, target: Target, group: Record) -> None:
        answer = ask(target.key[1], check_port(target.key, group), group)
        if self.targets.get(target.key) is not target:
            return
        changed = target.record(answer, group)
        health = target.health
        if changed:
            log.info("%s:%s is %s. %s", target.key[1], target.key[2], health.state, health.description)
        task = self.ecs._tasks.get(target.task) if target.task else None
        if task is None:
            return
        # In the background: both wait for Docker.
        if health.state == "healthy" and changed:
            self.concurrency.spawn_background(self.on_healthy, task, thread_name="health-check-healthy")
        elif health.state == "unhealthy":
            task["_startup_stable"] = False
            if self.grace_is_over(target, task):
                self.concurrency.spawn_background(
                    self.stop_unhealthy, target, task, thread_name="health-check-unhealthy"
                )

    # --- What the load balancer does with it ---

    def on_set_targets(self, arn: str, targets: Any, previous_ids: Any = ()) -> bool:
        """Forgets at once what was withdrawn: the address may soon be another task's."""
        published = self.set_targets(arn, targets, previous_ids)
        group = self.alb._tgs.get(arn)
        if group is not None:
            kept = {self.key(arn, target, group) for target in list(self.alb._targets.get(arn) or [])}
            with self.lock:
                for key in [key for key in self.targets if key[0] == arn and key not in kept]:
                    del self.targets[key]
        return published

    def health(self, key: Key) -> Health:
        target = self.targets.get(key)
        return target.health if target else REGISTERING

    async def on_forward(
        self,
        arn: str,
        method: str,
        path: str,
        headers: Any,
        body: Any,
        query: Any,
        raw_query: Any = None,
        raw_path: str | None = None,
    ) -> Any:
        """Sends a request to a healthy target; to any, where none is healthy."""
        group = self.alb._tgs.get(arn)
        if is_checked(group):
            healthy = [
                target
                for target in list(self.alb._targets.get(arn) or [])
                if self.health(self.key(arn, target, group)) is HEALTHY
            ]
            if healthy:
                target = random.choice(healthy)
                sent = raw_path or path
                return await self.alb._proxy_http_target(target, group, method, sent, headers, body, query, raw_query)
        return await self.forward(arn, method, path, headers, body, query, raw_query, raw_path)

    def on_describe(self, params: Record) -> Any:
        arn = self.alb._p(params, "TargetGroupArn")
        group = self.alb._tgs.get(arn)
        if not is_checked(group):
            return self.describe(params)
        wanted = {target["Id"] for target in self.alb._parse_targets_param(params)}
        members = ""
        for target in list(self.alb._targets.get(arn) or []):
            key = self.key(arn, target, group)
            if wanted and key[1] not in wanted:
                continue
            health = self.health(key)
            why = f"<Reason>{health.reason}</Reason><Description>{health.description}</Description>"
            members += (
                f"<member><Target><Id>{key[1]}</Id><Port>{key[2]}</Port></Target>"
                f"<HealthCheckPort>{check_port(key, group)}</HealthCheckPort>"
                f"<TargetHealth><State>{health.state}</State>{why if health.reason else ''}</TargetHealth></member>"
            )
        inner = f"<TargetHealthDescriptions>{members}</TargetHealthDescriptions>"
        return self.alb._xml(200, "DescribeTargetHealth", inner)

    # --- What ECS does with it ---

    def on_create_service(self, logical_id: str, properties: Record, stack: str) -> Any:
        """The emulator's CloudFormation forgets the grace period of a new service."""
        identifier, attributes = self.create_service(logical_id, properties, stack)
        service = self.ecs._services.get(identifier.partition(":service/")[2])
        if service is not None:
            service["healthCheckGracePeriodSeconds"] = int(properties.get("HealthCheckGracePeriodSeconds") or 0)
        return identifier, attributes

    def service_of(self, task: Record) -> tuple[str, str, Record | None]:
        """Cluster, key and record of the service that a task belongs to."""
        cluster = self.ecs._cluster_name_from_arn(task.get("clusterArn", "")) or ""
        key = f"{cluster}/{str(task.get('group', '')).partition(':')[2]}"
        return cluster, key, self.ecs._services.get(key)

    def checked_groups(self, service: Record) -> list[Record]:
        """Of the entries in the service's `loadBalancers`, those whose target group is checked."""
        entries = service.get("loadBalancers") or []
        return [entry for entry in entries if is_checked(self.alb._tgs.get(entry.get("targetGroupArn")))]

    def on_task_healthy(self, service_key: str, task: Record) -> None:
        """A task that survived its first second is not healthy before the load balancer finds it so."""
        service = self.ecs._services.get(service_key)
        for entry in self.checked_groups(service) if service else []:
            key = (entry["targetGroupArn"], self.ecs._task_ip(task), int(entry.get("containerPort", 80)))
            target = self.targets.get(key)
            if target is None or target.task != task.get("taskArn") or target.health is not HEALTHY:
                return
        self.record_healthy(service_key, task)

    def on_reconcile(self, cluster: str, service_key: str) -> None:
        """One at a time: two tasks that fail together would be replaced by four."""
        with self.only_one(service_key):
            service = self.ecs._services.get(service_key)
            deployment = self.ecs._primary_deployment(service) if service else None
            for known in service.get("deployments", []) if service else []:
                # One that is gone back to is called unfinished again.
                if known.get("_begun") and known.get("rolloutState") == "COMPLETED":
                    known["_was_completed"] = True
            if deployment and not deployment.get("_begun"):
                deployment["_begun"] = True
                self.stop_superseded(cluster, service)
                # The emulator calls the first one completed before it has begun.
                if deployment.get("desiredCount") and self.checked_groups(service):
                    deployment["rolloutState"] = "IN_PROGRESS"
                    deployment["rolloutStateReason"] = ""
            self.reconcile(cluster, service_key)

    def on_task_failure(self, task: Record, *arguments: Any, **named: Any) -> None:
        """Not while the service is reconciled: that may be the end of its deployment.

        Reconciling looks more than once at which deployment is under way. Where it fails in between, the emulator takes
        the old version, which should stay, for what is left of an earlier one, and stops its tasks.
        """
        with self.only_one(self.service_of(task)[1]):
            self.record_failure(task, *arguments, **named)

    def on_update_service(self, data: Record) -> Any:
        """Not while the service is reconciled: its deployment and its task definition change one after the other."""
        cluster = self.ecs._resolve_cluster_name(data.get("cluster", "default"))
        name, _ = self.ecs._resolve_service_ref(data.get("service", "")) or ("", None)
        # The emulator's CloudFormation passes on a parameter's text, and clients expect a number.
        numbers = {key: int(data[key]) for key in NUMBERS if isinstance(data.get(key), str)}
        with self.only_one(f"{cluster}/{name}"):
            return self.update_service({**data, **numbers})

    def stop_superseded(self, cluster: str, service: Record) -> None:
        """Makes room for a new deployment: those of an earlier one that was never completed go first.

        The emulator would keep them beside the old ones, and never start the new.
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

    def on_resolve_manifest(self, name: str, reference: str) -> Any:
        """What a repository of the same name held before it was deleted is not there any more.

        The emulator keeps the manifests, and would serve them with the wrong type.
        """
        digest, blob, media_type = self.resolve_manifest(name, reference)
        if any(image.get("imageDigest") == digest for image in self.ecr._images.get(name, [])):
            return digest, blob, media_type
        return None, None, None

    @contextmanager
    def only_one(self, service_key: str) -> Iterator[None]:
        scope = (self.responses.get_account_id(), self.responses.get_region(), service_key)
        with self.lock:
            lock = self.service_locks.setdefault(scope, threading.RLock())
        with lock:
            yield

    def on_healthy(self, task: Record) -> None:
        """The deployment may be complete with this one."""
        cluster, key, _ = self.service_of(task)
        self.ecs._record_service_task_healthy(key, task)
        self.ecs._refresh_service_state(cluster, task.get("group", ""))
        self.ecs._reconcile_service_tasks(cluster, key)
        self.ecs._complete_service_deployment(cluster, key)

    def grace_is_over(self, target: Target, task: Record) -> bool:
        service = self.service_of(task)[2]
        grace = float((service or {}).get("healthCheckGracePeriodSeconds") or 0) * TIME_SCALE
        return time.monotonic() - target.since >= grace

    def stop_unhealthy(self, target: Target, task: Record) -> None:
        """Stops a task, counts it as failed, and has it replaced."""
        _, _, service = self.service_of(task)
        if service is None or service.get("status") != "ACTIVE":
            return
        arn, _, port = target.key
        reason = f"Task failed ELB health checks in (target-group {arn})"
        # Nothing, where somebody else stopped it in the meantime.
        if not self.ecs._mark_task_stopped(task["taskArn"], task, reason, "ServiceSchedulerInitiated", exit_code=0):
            return
        try:
            name = f"(service {service['serviceName']})"
            why = target.health.description
            self.tell(service, f"{name} (port {port}) is unhealthy in (target-group {arn}) due to (reason {why}).")
            self.tell(service, f"{name} has stopped 1 running tasks: (task {task['taskArn'].rsplit('/', 1)[-1]}).")
            self.ecs._record_service_task_failure(task)
            # Those of a deployment that was superseded are not replaced, but make room.
            self.ecs._reconcile_service_tasks(*self.service_of(task)[:2])
        finally:
            self.ecs._cleanup_task_resources(task, self.ecs._get_docker())

    def tell(self, service: Record, message: str) -> None:
        event = {"id": self.responses.new_uuid(), "createdAt": self.ecs._iso(), "message": message}
        service["events"].insert(0, event)
        del service["events"][EVENTS:]

    # --- What ECS tells of deployments ---

    def service_deployment(self, service: Record, deployment: Record) -> Record:
        breaker = (service.get("deploymentConfiguration") or {}).get("deploymentCircuitBreaker") or {}
        primary = self.ecs._primary_deployment(service) or {}
        going_back = "rollback" in str(primary.get("rolloutStateReason"))
        state = deployment.get("rolloutState")
        if state == "FAILED":
            back = deployment is not primary and breaker.get("rollback")
            status = "STOPPED" if not back else "ROLLBACK_IN_PROGRESS" if going_back else "ROLLBACK_SUCCESSFUL"
        elif state == "COMPLETED" or (deployment is primary and going_back):
            status = "SUCCESSFUL"
        else:
            status = "IN_PROGRESS" if deployment is primary else "STOPPED"
        monitoring = {"FAILED": "TRIGGERED", "IN_PROGRESS": "MONITORING"}.get(str(state), "MONITORING_COMPLETE")
        identifier = deployment["id"].rsplit("/", 1)[-1]
        arn = service["serviceArn"].replace(":service/", ":service-deployment/")
        told: Record = {
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
            told["statusReason"] = deployment.get("rolloutStateReason", "")
        if status.startswith("ROLLBACK"):
            reason = "Service deployment rolled back because the circuit breaker threshold was exceeded."
            told["statusReason"] = reason
            told["rollback"] = {"reason": reason, "startedAt": deployment["updatedAt"]}
        if status not in ("IN_PROGRESS", "ROLLBACK_IN_PROGRESS"):
            told["finishedAt"] = self.ecs._ts_to_epoch(deployment["updatedAt"])
        return told

    def service_deployments(self) -> list[Record]:
        return [
            self.service_deployment(service, deployment)
            for service in self.ecs._services.values()
            for deployment in list(service.get("deployments") or [])
        ]

    def on_list_service_deployments(self, data: Record) -> Any:
        cluster = self.ecs._resolve_cluster_name(data.get("cluster", "default"))
        service = f"/{cluster}/{data.get('service', '').rsplit('/', 1)[-1]}"
        briefly = "serviceDeploymentArn serviceArn clusterArn createdAt startedAt finishedAt status statusReason".split()
        found = [
            {name: told[name] for name in briefly if name in told}
            for told in self.service_deployments()
            if told["serviceArn"].endswith(service) and told["status"] in (data.get("status") or [told["status"]])
        ]
        return self.responses.json_response({"serviceDeployments": found})

    def on_describe_service_deployments(self, data: Record) -> Any:
        wanted = data.get("serviceDeploymentArns") or []
        found = [told for told in self.service_deployments() if told["serviceDeploymentArn"] in wanted]
        known = {told["serviceDeploymentArn"] for told in found}
        failures = [{"arn": arn, "reason": "MISSING"} for arn in wanted if arn not in known]
        return self.responses.json_response({"serviceDeployments": found, "failures": failures})


def install() -> None:
    """Adds the health checks to the emulator, or says why not: without them it is worth something, too."""
    try:
        checks = HealthChecks()
        missing = checks.missing()
        if missing:
            log.warning("no health checks are made: this version of the emulator has no %s", ", ".join(missing))
        else:
            checks.install()
    except Exception:
        log.exception("no health checks are made")
