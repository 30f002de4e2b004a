"""Health checks of the targets behind the emulator's load balancers.

By itself the emulator calls every target healthy and asks none. Here they are asked over HTTP as
on AWS, but five times as often.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from .health import HEALTHY, REGISTERING, Health, Key, Target, check, check_port, is_checked, key_of
from .upstream import Record, Upstream

# Intervals and grace periods are this fraction of AWS's. Timeouts are not: a slow machine is no
# unhealthy target.
TIME_SCALE = 0.2
SHORTEST_INTERVAL_SECONDS = 0.2
# How often the registered targets are read.
POLL_SECONDS = 0.1

log = logging.getLogger("health-checks")


class HealthChecks:
    """The checks of all targets."""

    def __init__(self, upstream: Upstream) -> None:
        self.alb, self.ecs, self.responses = upstream.alb, upstream.ecs, upstream.responses
        self.lock = threading.Lock()
        self.targets: dict[Key, Target] = {}
        # Called with each answer: the target, and whether its state changed.
        self.on_answer: Callable[[Target, bool], None] = lambda _target, _changed: None

    def start(self) -> None:
        threading.Thread(target=self.poll_forever, daemon=True, name="health-checks").start()

    def health(self, key: Key) -> Health:
        target = self.targets.get(key)
        return target.health if target else REGISTERING

    def is_healthy_task(self, key: Key, task_arn: str) -> bool:
        """Returns whether this very task was found healthy: its address may have had another."""
        target = self.targets.get(key)
        return target is not None and target.task == task_arn and target.health is HEALTHY

    def forget_unregistered(self, group_arn: str, group: Record) -> None:
        """Forgets at once the targets that were deregistered from a group."""
        registered = list(self.alb._targets.get(group_arn) or [])
        kept = {key_of(group_arn, target, group) for target in registered}
        with self.lock:
            for key in [key for key in self.targets if key[0] == group_arn and key not in kept]:
                del self.targets[key]

    def poll_forever(self) -> None:
        while True:
            try:
                self.poll()
            except Exception:
                log.exception("cannot read the registered targets")
            time.sleep(POLL_SECONDS)

    def poll(self) -> None:
        """Starts to check new targets and forgets those that are not registered any more."""
        registered: dict[Key, tuple[str, str]] = {}
        for (account, region, arn), group in self.alb._tgs.all_items():
            if is_checked(group):
                for target in list(self.alb._targets.get_scoped(account, region, arn) or []):
                    registered[key_of(arn, target, group)] = (account, region)
        owners = {key: self.task_at(key[1], *scope) for key, scope in registered.items()}
        new = []
        with self.lock:
            for key, known in list(self.targets.items()):
                if key not in registered or owners[key] not in (None, known.task):
                    del self.targets[key]
            for key, scope in registered.items():
                if key not in self.targets:
                    self.targets[key] = Target(key, *scope, owners[key])
                    new.append(self.targets[key])
        for target in new:
            threading.Thread(
                target=self.check_forever, args=(target,), daemon=True, name="health-check"
            ).start()

    def task_at(self, address: str, account: str, region: str) -> str | None:
        """Returns the ARN of the running task of a service that has this address."""
        with self.responses.request_scope(account, region):
            # Newest first: the record of a task that just ended may still say that it runs.
            for task in reversed(self.ecs._tasks.values()):
                if task.get("lastStatus") == "RUNNING" and self.ecs._task_ip(task) == address:
                    in_service = str(task.get("group", "")).startswith("service:")
                    return str(task["taskArn"]) if in_service else None
        return None

    def check_forever(self, target: Target) -> None:
        """Checks one target until it is not registered any more."""
        while self.targets.get(target.key) is target:
            interval = SHORTEST_INTERVAL_SECONDS
            try:
                with self.responses.request_scope(target.account, target.region):
                    group = self.alb._tgs.get(target.key[0])
                    if group is None:
                        return
                    seconds = float(group.get("HealthCheckIntervalSeconds", 30))
                    interval = max(interval, seconds * TIME_SCALE)
                    self.check_once(target, group)
            except Exception:
                log.exception("the health check of %s:%s failed", target.key[1], target.key[2])
            time.sleep(interval)

    def check_once(self, target: Target, group: Record) -> None:
        answer = check(target.key[1], check_port(target.key, group), group)
        # It may have been deregistered, or replaced, during the check.
        if self.targets.get(target.key) is not target:
            return
        changed = target.record(answer, group)
        if changed:
            health, (_, address, port) = target.health, target.key
            log.info("%s:%s is %s. %s", address, port, health.state, health.description)
        self.on_answer(target, changed)
