"""One service deployment that is not rolling, from its first stage to its last or to its rollback.

A thread of its own leads the deployment through its stages. The emulator's scheduler still starts
and replaces the tasks; `ServiceScheduler` asks the rollout when it may do so, and when the old
tasks may be stopped.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from . import lifecycle, traffic
from .lifecycle import Hook, Step
from .upstream import Record

if TYPE_CHECKING:
    from .service_scheduler import ServiceScheduler

# How often a waiting rollout looks at its tasks, its hooks and what it was asked for.
POLL_SECONDS = 0.1
# Longest time that requests get to leave tasks that have no traffic any more.
DRAIN_SECONDS = 5.0

log = logging.getLogger("rollout")


class RolledBackError(Exception):
    """The deployment has to be rolled back; the message is the reason."""


class SupersededError(Exception):
    """The service has a newer deployment, or is deleted."""


class Rollout:
    """The progress of one service deployment."""

    def __init__(
        self,
        scheduler: ServiceScheduler,
        key: tuple[str, str, str],
        service: Record,
        deployment: Record,
        source: Record | None,
        *,
        reconcile: bool,
    ) -> None:
        self.scheduler, self.ecs = scheduler, scheduler.ecs
        self.account, self.region, self.service_key = key
        self.service, self.deployment, self.source = service, deployment, source
        self.configuration: Record = dict(service.get("deploymentConfiguration") or {})
        self.steps = lifecycle.steps(self.configuration, reconcile=reconcile)
        self.traffic = traffic.Traffic(scheduler.upstream)
        self.status, self.status_reason = "PENDING", ""
        self.stage = ""
        self.hooks: list[Hook] = []
        self.rollback: Record | None = None
        # Percentages of the traffic of each kind that the new revision was given.
        self.test, self.production = 0.0, 0.0
        self.may_start_tasks = False
        self.may_complete = False
        self.requested_rollback: str | None = None
        self.superseded = False
        self.finished_at: float | None = None
        self.ended = threading.Event()
        self.changed = threading.Condition()

    # --- What others ask of it ---

    def start(self) -> None:
        name = f"rollout-{self.deployment['id'][-8:]}"
        threading.Thread(target=self.run, daemon=True, name=name).start()

    def is_active(self) -> bool:
        return not self.ended.is_set()

    def supersede(self) -> None:
        """Ends it in favour of a newer deployment; its service has to be locked."""
        self.superseded = True
        if self.source is not None:
            self.shift_all(self.source)
            # It may have been the target of a rollback.
            self.source["rolloutState"] = "COMPLETED"
        self.wake()

    def request_rollback(self, reason: str) -> str | None:
        """Asks for a rollback; returns why that is not possible."""
        with self.changed:
            if not self.is_active() or self.stage == "CLEAN_UP":
                return "the service deployment is complete"
            # A second request changes nothing.
            if self.status in ("PENDING", "IN_PROGRESS"):
                self.requested_rollback = reason
                self.status = "ROLLBACK_REQUESTED"
            self.changed.notify_all()
            return None

    def answer_hook(self, identifier: str, action: str) -> str | None:
        """Answers a hook that waits; returns why that is not possible."""
        with self.changed:
            hook = next((hook for hook in self.hooks if hook.identifier == identifier), None)
            if hook is None:
                return f"there is no lifecycle hook {identifier}"
            if not hook.is_waiting() or self.status != "IN_PROGRESS" or self.superseded:
                return f"the lifecycle hook {identifier} does not await an action"
            self.resolve(hook, action, "a lifecycle hook was answered with ROLLBACK")
            self.changed.notify_all()
            return None

    def resolve(self, hook: Hook, action: str, reason: str, failed: str = "FAILED") -> None:
        if action == "CONTINUE":
            hook.status = "SUCCEEDED" if failed == "FAILED" else failed
        else:
            hook.status = failed
            self.requested_rollback = self.requested_rollback or reason
            self.status = "ROLLBACK_REQUESTED"

    def wake(self) -> None:
        with self.changed:
            self.changed.notify_all()

    # --- What its thread does ---

    def run(self) -> None:
        with self.scheduler.responses.request_scope(self.account, self.region):
            try:
                self.deploy()
            except SupersededError:
                self.finish("STOPPED", "Service deployment was superseded.")
            except Exception as error:
                log.exception("the deployment of %s failed", self.service_key)
                self.finish("ROLLBACK_FAILED", f"the emulator failed: {error}")

    def deploy(self) -> None:
        try:
            with self.changed:
                if self.status == "PENDING":
                    self.status = "IN_PROGRESS"
            for step in self.steps:
                self.perform(step)
            self.finish("SUCCESSFUL", "")
        except RolledBackError as reason:
            self.roll_back(str(reason))

    def perform(self, step: Step) -> None:
        self.check()
        self.stage = step.stage
        log.info("%s: %s", self.service_key, step.stage)
        if step.stage == "SCALE_UP":
            self.may_start_tasks = True
            self.scheduler.reconcile_service(self.service_key)
            self.wait(self.is_scaled_up)
        elif step.stage == "TEST_TRAFFIC_SHIFT":
            with self.unless_superseded():
                self.shift_test(self.deployment)
        elif step.production is not None:
            with self.unless_superseded():
                self.shift_production(self.deployment, step.production)
        elif step.stage == "CLEAN_UP":
            self.drain(self.source)
            self.complete(self.deployment)
        if step.bake_minutes:
            self.pause(step.bake_minutes * lifecycle.MINUTE_SECONDS)
        for configured in lifecycle.hooks_at(self.configuration, step.stage):
            self.run_hook(configured, step.stage)

    def run_hook(self, configured: Record, stage: str) -> None:
        """Pauses until the hook is answered or expires."""
        identifier = f"ecs-pause-{secrets.token_urlsafe(32)}"
        hook = lifecycle.new_hook(configured, stage, identifier)
        with self.changed:
            self.hooks.append(hook)

        def is_resolved() -> bool:
            with self.changed:
                if hook.is_waiting() and time.time() >= hook.expires_at:
                    self.resolve(
                        hook, hook.timeout_action, "a lifecycle hook timed out", "TIMED_OUT"
                    )
                return not hook.is_waiting()

        self.wait(is_resolved)
        self.check()

    def roll_back(self, reason: str) -> None:
        """Gives all traffic to the source again, then stops the tasks of the new revision."""
        self.may_complete = False
        with self.changed:
            self.status = "ROLLBACK_IN_PROGRESS"
            for hook in self.hooks:
                if hook.is_waiting():
                    hook.status = "FAILED"
        self.status_reason = f"Service deployment rolled back because {reason}."
        self.rollback = {"reason": self.status_reason, "startedAt": time.time()}
        with self.unless_superseded():
            if self.source is None:
                self.scheduler.fail_deployment(self.service, self.deployment, None, reason)
            else:
                self.shift_all(self.source)
                self.scheduler.fail_deployment(self.service, self.deployment, self.source, reason)
        if self.source is None:
            self.finish("ROLLBACK_FAILED", f"{self.status_reason} There is nothing to go back to.")
            return
        self.drain(self.deployment, check=self.check_superseded)
        self.complete(self.source, check=self.check_superseded)
        self.finish("ROLLBACK_SUCCESSFUL", self.status_reason)

    def finish(self, status: str, reason: str) -> None:
        # Who sees the status must not find the rollout active any more.
        with self.changed:
            self.status, self.status_reason = status, reason
            for hook in self.hooks:
                if hook.is_waiting():
                    hook.status = "FAILED"
            self.finished_at = time.time()
            self.ended.set()
        log.info("%s: %s %s", self.service_key, status, reason)

    # --- Waiting ---

    def check_superseded(self) -> None:
        if self.superseded or self.service.get("status") != "ACTIVE":
            raise SupersededError

    def check(self) -> None:
        """Raises what ends the deployment before its last stage."""
        self.check_superseded()
        if self.requested_rollback is not None:
            raise RolledBackError(self.requested_rollback)
        if self.deployment.get("rolloutState") == "FAILED":
            raise RolledBackError("the circuit breaker threshold was exceeded")

    @contextmanager
    def unless_superseded(self) -> Iterator[None]:
        """Locks the service; a superseded rollout must not touch traffic any more."""
        with self.scheduler.lock_service(self.service_key):
            self.check_superseded()
            yield

    def wait(self, is_over: Callable[[], bool], check: Callable[[], None] | None = None) -> None:
        while True:
            (check or self.check)()
            if is_over():
                return
            if self.source is not None:
                self.scheduler.replace_stopped_tasks(self.service, self.source)
            with self.changed:
                self.changed.wait(POLL_SECONDS)

    def pause(self, seconds: float, check: Callable[[], None] | None = None) -> None:
        end = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() >= end, check)

    def drain(self, deployment: Record | None, check: Callable[[], None] | None = None) -> None:
        """Waits until the target groups of a deployment have no requests, as on AWS."""
        if deployment is None:
            return
        end = time.monotonic() + DRAIN_SECONDS
        groups = [group for group, _ in traffic.registrations(self.service, deployment)]
        # A request may just have been sent there.
        self.pause(POLL_SECONDS, check)
        self.wait(lambda: time.monotonic() >= end or not self.scheduler.has_requests(groups), check)

    # --- Effects ---

    def is_scaled_up(self) -> bool:
        ready = self.scheduler.healthy_tasks(self.service, self.deployment)
        return ready >= int(self.service.get("desiredCount", 0))

    def shift_test(self, deployment: Record) -> None:
        self.traffic.shift(self.service, deployment, "testListenerRule", 100)
        self.test = 100 if deployment is self.deployment else 0

    def shift_production(self, deployment: Record, percent: float) -> None:
        self.traffic.shift(self.service, deployment, "productionListenerRule", percent)
        self.production = percent if deployment is self.deployment else 100 - percent

    def shift_all(self, deployment: Record) -> None:
        self.shift_test(deployment)
        self.shift_production(deployment, 100)

    def complete(self, deployment: Record, check: Callable[[], None] | None = None) -> None:
        """Lets the emulator complete a deployment, which stops the tasks of all others.

        As with rolling deployments, it is complete while Docker still stops them.
        """
        self.may_complete = True

        def is_completed() -> bool:
            worker = threading.Thread(target=self.complete_service, daemon=True)
            worker.start()
            while worker.is_alive() and deployment.get("rolloutState") != "COMPLETED":
                worker.join(POLL_SECONDS / 10)
            return deployment.get("rolloutState") == "COMPLETED"

        self.wait(is_completed, check)

    def complete_service(self) -> None:
        with self.scheduler.responses.request_scope(self.account, self.region):
            self.scheduler.complete_service(self.service_key)
