"""Numbers and booleans that arrive as text, since a template's parameters are text."""

from __future__ import annotations

from typing import Any

INTEGERS = {
    "bakeTimeInMinutes",
    "base",
    "canaryBakeTimeInMinutes",
    "containerPort",
    "desiredCount",
    "healthCheckGracePeriodSeconds",
    "healthyPercent",
    "hostPort",
    "maximumPercent",
    "minimumHealthyPercent",
    "stepBakeTimeInMinutes",
    "timeoutInMinutes",
    "value",
    "weight",
}
DECIMALS = {"canaryPercent", "stepPercent"}
BOOLEANS = {"enable", "enableExecuteCommand", "resetOnHealthyTask", "rollback"}
# Text whatever it looks like.
TEXT = {"environment", "tags"}


def converted(value: Any, key: str = "") -> Any:
    """Returns a request of the ECS API with numbers and booleans in place of their text."""
    if isinstance(value, dict):
        return {
            name: inner if name in TEXT else converted(inner, name) for name, inner in value.items()
        }
    if isinstance(value, list):
        return [converted(inner, key) for inner in value]
    if not isinstance(value, str):
        return value
    if key in BOOLEANS and value.lower() in ("true", "false"):
        return value.lower() == "true"
    try:
        return int(value) if key in INTEGERS else float(value) if key in DECIMALS else value
    except ValueError:
        # The emulator, or whoever reads it, refuses what is no number.
        return value
