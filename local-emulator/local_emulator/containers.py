"""Containers of a task: the limits and settings of the task definition, which the emulator ignores.

A program that cannot start on Fargate must not start here either.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from .numbers import CONTAINER, converted
from .upstream import Record, Upstream

# Parts of a container definition whose keys the emulator leaves as CloudFormation writes them.
NESTED = ("dependsOn", "healthCheck", "linuxParameters", "secrets", "ulimits")
# CPU units of one virtual CPU.
CPU_UNITS = 1024
# Smallest memory that Docker gives a container.
LEAST_MEBIBYTES = 6
# A volume of a task belongs to root on Fargate, and only root may write to it.
VOLUME_OPTIONS = "rw,mode=0755"


def camel_case(value: Any) -> Any:
    """Returns the value with keys that start with a small letter, as the API writes them."""
    if isinstance(value, dict):
        return {key[:1].lower() + key[1:]: camel_case(inner) for key, inner in value.items()}
    return [camel_case(inner) for inner in value] if isinstance(value, list) else value


def normalized(container: Record) -> Record:
    """Completes a container definition that the emulator read from a template."""
    nested = {key: camel_case(container[key]) for key in NESTED if key in container}
    result: Record = converted({**container, **nested}, CONTAINER)
    return result


def memory_of(container: Record, task: Record) -> int | None:
    """Returns the memory of a container in MiB: its own limit, or all that the task has."""
    limits = [int(given) for given in (container.get("memory"), task.get("memory")) if given]
    return max(LEAST_MEBIBYTES, min(limits)) if limits else None


def mounts(container: Record, task: Record) -> dict[str, str]:
    """Returns a container's writable folders, with options as in `docker run --tmpfs`."""
    volumes = {
        volume.get("name") or volume.get("Name")
        for volume in task.get("volumes") or []
        if not (volume.get("host") or volume.get("Host") or {}).get("sourcePath")
    }
    found = {}
    for mount in container.get("mountPoints") or []:
        if mount.get("sourceVolume") in volumes and mount.get("containerPath"):
            read_only = VOLUME_OPTIONS.replace("rw", "ro")
            found[str(mount["containerPath"])] = (
                read_only if mount.get("readOnly") else VOLUME_OPTIONS
            )
    for folder in (container.get("linuxParameters") or {}).get("tmpfs") or []:
        options = [f"size={int(folder['size'])}m", *(folder.get("mountOptions") or [])]
        found[str(folder["containerPath"])] = ",".join(options)
    return found


def settings(container: Record, task: Record) -> Record:
    """Returns what Docker has to know of a container, as arguments of its Python library."""
    linux = container.get("linuxParameters") or {}
    # The emulator reads added capabilities by itself.
    dropped = (linux.get("capabilities") or {}).get("drop")
    memory = memory_of(container, task)
    units = int(task.get("cpu") or 0)
    cpus = min(units / CPU_UNITS, os.cpu_count() or 1)
    wanted: Record = {
        "user": container.get("user"),
        "read_only": bool(container.get("readonlyRootFilesystem")),
        "cap_drop": dropped,
        "entrypoint": container.get("entryPoint"),
        "working_dir": container.get("workingDirectory"),
        "init": bool(linux.get("initProcessEnabled")),
        "mem_limit": f"{memory}m" if memory else None,
        # The same, so that there is no swap.
        "memswap_limit": f"{memory}m" if memory else None,
        "nano_cpus": int(cpus * 1_000_000_000),
        "tmpfs": mounts(container, task),
    }
    return {name: value for name, value in wanted.items() if value}


def keep_image_volumes(config: Record, declared: Callable[[str], Record]) -> None:
    """Leaves folders that the image declares as volumes to Docker, which fills and owns them so.

    Fargate does the same: only such a folder belongs to the image's user. `declared` returns the
    volumes of an image.
    """
    host = config.get("HostConfig") or {}
    mounted = host.get("Tmpfs") or {}
    if not mounted:
        return
    volumes = declared(str(config.get("Image"))) or {}
    host["Tmpfs"] = {
        path: options
        for path, options in mounted.items()
        if path not in volumes or not options.endswith(VOLUME_OPTIONS)
    }


class Containers:
    """Changes to how the emulator starts containers."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream

    def install(self) -> None:
        replace = self.upstream.replace
        self.normalize = replace(
            self.upstream.provisioners, "_normalize_container_defs", self.on_normalize
        )
        self.run_kwargs = replace(self.upstream.ecs, "_build_run_kwargs", self.on_run_kwargs)

    def on_normalize(self, cdefs: list[Record]) -> list[Record]:
        return [normalized(container) for container in self.normalize(cdefs)]

    def on_run_kwargs(
        self,
        cdef: Record,
        td: Record,
        env: Record,
        port_bindings: Record,
        ecs_network: Any,
        host_mode: bool,
        task_id: str,
        task_arn: str,
        ministack_net_ip: Any,
        cluster_arn: str,
    ) -> Record:
        """Returns the arguments with which the emulator starts a container."""
        arguments: Record = self.run_kwargs(
            cdef,
            td,
            env,
            port_bindings,
            ecs_network,
            host_mode,
            task_id,
            task_arn,
            ministack_net_ip,
            cluster_arn,
        )
        return {**arguments, **settings(cdef, td)}
