"""Numbers and booleans that arrive as text, since a template's parameters are text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Kinds:
    """Names of fields by the kind of their value; whatever is not named stays as it is."""

    integers: frozenset[str] = frozenset()
    decimals: frozenset[str] = frozenset()
    booleans: frozenset[str] = frozenset()


SERVICE = Kinds(
    integers=frozenset(
        {
            "bakeTimeInMinutes",
            "base",
            "canaryBakeTimeInMinutes",
            "containerPort",
            "desiredCount",
            "healthCheckGracePeriodSeconds",
            "healthyPercent",
            "maximumPercent",
            "minimumHealthyPercent",
            "stepBakeTimeInMinutes",
            "timeoutInMinutes",
            "value",
            "weight",
        }
    ),
    decimals=frozenset({"canaryPercent", "stepPercent"}),
    booleans=frozenset({"enable", "enableExecuteCommand", "resetOnHealthyTask", "rollback"}),
)
CONTAINER = Kinds(
    integers=frozenset(
        {
            "containerPort",
            "cpu",
            "hardLimit",
            "hostPort",
            "interval",
            "memory",
            "memoryReservation",
            "retries",
            "size",
            "softLimit",
            "startPeriod",
            "startTimeout",
            "stopTimeout",
            "timeout",
        }
    ),
    booleans=frozenset(
        {"essential", "initProcessEnabled", "privileged", "readOnly", "readonlyRootFilesystem"}
    ),
)
# Text whatever it looks like.
TEXT = {"dockerLabels", "environment", "options", "tags"}


def converted(value: Any, kinds: Kinds = SERVICE, key: str = "") -> Any:
    """Returns a request of the ECS API with numbers and booleans in place of their text."""
    if isinstance(value, dict):
        return {
            name: inner if name in TEXT else converted(inner, kinds, name)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [converted(inner, kinds, key) for inner in value]
    if not isinstance(value, str):
        return value
    if key in kinds.booleans and value.lower() in ("true", "false"):
        return value.lower() == "true"
    try:
        if key in kinds.integers:
            return int(value)
        return float(value) if key in kinds.decimals else value
    except ValueError:
        # The emulator, or whoever reads it, refuses what is no number.
        return value
