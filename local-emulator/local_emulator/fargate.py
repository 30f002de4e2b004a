"""What Fargate runs: anything else in a task definition would give a container the machine."""

from __future__ import annotations

from typing import Any

from .upstream import Record


def lowered(value: Any) -> Any:
    """Returns the value with its keys in lower case.

    The API and CloudFormation write them differently, and the emulator reads both.
    """
    if isinstance(value, dict):
        return {str(key).lower(): lowered(inner) for key, inner in value.items()}
    return [lowered(inner) for inner in value] if isinstance(value, list) else value


def forbidden_in_task(definition: Record) -> str | None:
    """Returns what Fargate would not run in a task definition."""
    definition = lowered(definition)
    if (definition.get("networkmode") or "bridge") != "awsvpc":
        return "a network mode other than awsvpc"
    if (definition.get("pidmode") or "task") != "task":
        return "pidMode other than task"
    if definition.get("ipcmode"):
        return "ipcMode"
    for volume in definition.get("volumes") or []:
        if (volume.get("host") or {}).get("sourcepath"):
            return "a volume of the host"
        given = {key for key, value in volume.items() if value}
        kinds = given - {"name", "host", "efsvolumeconfiguration"}
        if kinds:
            return f"a volume with {min(kinds)}"
    containers = definition.get("containerdefinitions") or []
    return next(filter(None, map(forbidden_in_container, containers)), None)


def forbidden_in_container(container: Record) -> str | None:
    """Returns what Fargate would not run in a container definition with keys in lower case."""
    linux = container.get("linuxparameters") or {}
    added = (linux.get("capabilities") or {}).get("add") or []
    if container.get("privileged"):
        return "a privileged container"
    if linux.get("devices"):
        return "devices of the host"
    if set(added) - {"SYS_PTRACE"}:
        return f"added capabilities ({', '.join(map(str, added))})"
    return "dockerSecurityOptions" if container.get("dockersecurityoptions") else None
