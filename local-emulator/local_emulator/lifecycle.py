"""Stages of a service deployment that is not rolling, and the hooks that pause it.

Everything here is a function of the service's deployment configuration.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from .upstream import Record

# A minute on AWS lasts this long here, as health checks are five times as often.
MINUTE_SECONDS = 12.0

STRATEGIES = ("ROLLING", "BLUE_GREEN", "LINEAR", "CANARY")
# Stages that may have hooks, and whether that may be a pause.
HOOK_STAGES = {
    "RECONCILE_SERVICE": True,
    "PRE_SCALE_UP": True,
    "POST_SCALE_UP": True,
    "TEST_TRAFFIC_SHIFT": False,
    "POST_TEST_TRAFFIC_SHIFT": True,
    "PRE_PRODUCTION_TRAFFIC_SHIFT": True,
    "PRODUCTION_TRAFFIC_SHIFT": False,
    "POST_PRODUCTION_TRAFFIC_SHIFT": True,
}
ACTIONS = ("CONTINUE", "ROLLBACK")
DEFAULT_TIMEOUT_MINUTES = 1440
LONGEST_TIMEOUT_MINUTES = 20160
LONGEST_BAKE_MINUTES = 1440


@dataclass(frozen=True)
class Step:
    """One stage of a deployment, which may occur several times."""

    stage: str
    # Percentage of production traffic that the new revision gets in this step.
    production: float | None = None
    # How long to wait before the next step.
    bake_minutes: float = 0


def is_rolling(configuration: Record) -> bool:
    return (configuration.get("strategy") or "ROLLING") == "ROLLING"


def production_shifts(configuration: Record) -> list[Step]:
    """Returns the steps in which production traffic is shifted."""
    shift = "PRODUCTION_TRAFFIC_SHIFT"
    if configuration.get("strategy") == "LINEAR":
        linear = configuration.get("linearConfiguration") or {}
        percent = float(linear.get("stepPercent", 10))
        bake = float(linear.get("stepBakeTimeInMinutes", 6))
        # Whole tenths of a percent: ten times 0.1 is less than 1.
        tenths = range(round(percent * 10), 1000, round(percent * 10))
        return [*(Step(shift, share / 10, bake) for share in tenths), Step(shift, 100)]
    if configuration.get("strategy") == "CANARY":
        canary = configuration.get("canaryConfiguration") or {}
        percent = float(canary.get("canaryPercent", 5))
        bake = float(canary.get("canaryBakeTimeInMinutes", 10))
        first = [Step(shift, percent, bake)] if percent < 100 else []
        return [*first, Step(shift, 100)]
    return [Step(shift, 100)]


def steps(configuration: Record, *, reconcile: bool) -> list[Step]:
    """Returns all steps of a deployment; `reconcile` where it supersedes one that is under way."""
    before = ["PRE_SCALE_UP", "SCALE_UP", "POST_SCALE_UP"]
    before += ["TEST_TRAFFIC_SHIFT", "POST_TEST_TRAFFIC_SHIFT"]
    if reconcile:
        before.insert(0, "RECONCILE_SERVICE")
    shifts: list[Step] = []
    for shift in production_shifts(configuration):
        shifts += [Step("PRE_PRODUCTION_TRAFFIC_SHIFT"), shift]
    bake = float(configuration.get("bakeTimeInMinutes") or 0)
    return [
        *map(Step, before),
        *shifts,
        Step("POST_PRODUCTION_TRAFFIC_SHIFT"),
        Step("BAKE_TIME", bake_minutes=bake),
        Step("CLEAN_UP"),
    ]


@dataclass
class Hook:
    """A pause that waits for `ContinueServiceDeployment`."""

    identifier: str
    stage: str
    expires_at: float
    timeout_action: str
    status: str = "AWAITING_ACTION"

    def is_waiting(self) -> bool:
        return self.status == "AWAITING_ACTION"

    def describe(self) -> Record:
        return {
            "hookId": self.identifier,
            "targetType": "PAUSE",
            "status": self.status,
            "expiresAt": self.expires_at,
            "timeoutAction": self.timeout_action,
        }


def hooks_at(configuration: Record, stage: str) -> list[Record]:
    """Returns the configured hooks of a stage."""
    hooks = configuration.get("lifecycleHooks") or []
    return [hook for hook in hooks if stage in (hook.get("lifecycleStages") or [])]


def new_hook(configured: Record, stage: str, identifier: str) -> Hook:
    timeout = configured.get("timeoutConfiguration") or {}
    minutes = int(timeout.get("timeoutInMinutes", DEFAULT_TIMEOUT_MINUTES))
    return Hook(
        identifier,
        stage,
        time.time() + minutes * MINUTE_SECONDS,
        timeout.get("action") or "ROLLBACK",
    )


def problem_of(configuration: Record) -> str | None:
    """Returns what is wrong with a deployment configuration."""
    strategy = configuration.get("strategy") or "ROLLING"
    if strategy not in STRATEGIES:
        return f"strategy is {strategy} instead of one of {', '.join(STRATEGIES)}"
    if strategy == "BLUE_GREEN" and configuration.get("bakeTimeInMinutes") is None:
        return "bakeTimeInMinutes is required with the strategy BLUE_GREEN"
    for name in ("linearConfiguration", "canaryConfiguration"):
        if configuration.get(name) and not name.startswith(strategy.lower()):
            return f"{name} is not valid with the strategy {strategy}"
    linear = configuration.get("linearConfiguration") or {}
    canary = configuration.get("canaryConfiguration") or {}
    for value, name, least, most in [
        (configuration.get("bakeTimeInMinutes"), "bakeTimeInMinutes", 0, LONGEST_BAKE_MINUTES),
        (linear.get("stepPercent"), "stepPercent", 3, 100),
        (linear.get("stepBakeTimeInMinutes"), "stepBakeTimeInMinutes", 0, LONGEST_BAKE_MINUTES),
        (canary.get("canaryPercent"), "canaryPercent", 0.1, 100),
        (
            canary.get("canaryBakeTimeInMinutes"),
            "canaryBakeTimeInMinutes",
            0,
            LONGEST_BAKE_MINUTES,
        ),
    ]:
        if value is not None and not least <= float(value) <= most:
            return f"{name} is {value} instead of {least} to {most}"
    hooks = configuration.get("lifecycleHooks") or []
    return next(filter(None, map(problem_of_hook, hooks)), None)


def problem_of_hook(hook: Record) -> str | None:
    """Returns what is wrong with a lifecycle hook."""
    if hook.get("targetType") != "PAUSE":
        return "this emulator has no lifecycle hooks but those of the type PAUSE"
    stages = hook.get("lifecycleStages") or []
    if not stages:
        return "a lifecycle hook needs lifecycleStages"
    for stage in stages:
        if stage not in HOOK_STAGES:
            return f"there are no lifecycle hooks at the stage {stage}"
        if not HOOK_STAGES[stage]:
            return f"PAUSE hooks cannot be configured at the stage {stage}"
    timeout = hook.get("timeoutConfiguration") or {}
    minutes = int(timeout.get("timeoutInMinutes", DEFAULT_TIMEOUT_MINUTES))
    if not 1 <= minutes <= LONGEST_TIMEOUT_MINUTES:
        return f"timeoutInMinutes is {minutes} instead of 1 to {LONGEST_TIMEOUT_MINUTES}"
    action = timeout.get("action") or "ROLLBACK"
    return None if action in ACTIONS else f"the action {action} is none of {', '.join(ACTIONS)}"
