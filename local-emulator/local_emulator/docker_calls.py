"""The calls of Docker's API that the emulator may make: those that tasks need."""

from __future__ import annotations

import re
from typing import Any

from .upstream import Record

READING = ("GET", "HEAD")
CALLS = [
    ("POST", r"/containers/create"),
    ("POST", r"/containers/[^/]+/(start|stop|kill|wait)"),
    ("DELETE", r"/containers/[^/]+"),
    ("POST", r"/images/create"),
    ("POST", r"/images/.+/tag"),
]
# Of a container's settings on this machine, those that the emulator needs; `None` where any value
# will do.
HOST_CONFIG: dict[str, tuple[Any, ...] | None] = {
    "NetworkMode": ("default", "bridge"),
    "ExtraHosts": None,
    "CapAdd": (["SYS_PTRACE"],),
    # These take something away from a container.
    "CapDrop": None,
    "Init": (True,),
    "Memory": None,
    "MemorySwap": None,
    "NanoCpus": None,
    "ReadonlyRootfs": None,
    # Folders in memory.
    "Tmpfs": None,
}


def forbidden_call(method: str, path: str, body: Any) -> str | None:
    """Returns why this call of Docker's API is not made."""
    path = re.sub(r"^/v[0-9.]+", "", path)
    if method in READING:
        return None
    if not any(method == allowed and re.fullmatch(pattern, path) for allowed, pattern in CALLS):
        return f"{method} {path}"
    return forbidden_container(body) if path == "/containers/create" else None


def forbidden_container(config: Record) -> str | None:
    """Returns what a container may not have."""
    for key, value in (config.get("HostConfig") or {}).items():
        allowed = HOST_CONFIG.get(key, ())
        if value and allowed is not None and value not in allowed:
            return f"a container with {key} {value}"
    if config.get("NetworkingConfig"):
        return "a container in another network"
    if (config.get("Labels") or {}).get("ministack") != "ecs":
        return "a container that is no task"
    return None


def is_at(reference: str, port: str) -> bool:
    """Returns whether an image is in the emulator's registry."""
    registries = (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}")
    return reference.split("/", 1)[0] in registries
