"""Decides from a request's headers who may be asking."""

from __future__ import annotations

import ipaddress
import re

Headers = list[tuple[bytes, bytes]]


class RefusedError(Exception):
    """A request that gets nothing, and why."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def host_name(headers: Headers) -> str:
    """Returns the host that a request names, without the port; exactly one has to be named."""
    hosts = [value.decode("latin-1") for name, value in headers if name.lower() == b"host"]
    pattern = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?"
    match = re.fullmatch(pattern, hosts[0]) if len(hosts) == 1 else None
    if match is None:
        raise RefusedError(400, "InvalidHost", "one valid Host header is needed")
    return match[1].lower()


def is_this_machine(host: str) -> bool:
    """Returns whether a host is `localhost` or a loopback address.

    Any other name may belong to an attacker and resolve to this machine (DNS rebinding).
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def referrers_path(path: str) -> tuple[str, str] | None:
    """Returns repository and digest of a path of the registry's referrers API."""
    found = re.fullmatch("/v2/(.+)/referrers/(sha256:[0-9a-f]{64})", path)
    return (found[1], found[2]) if found else None


def is_load_balancer(host: str) -> bool:
    return host.endswith((".alb.localhost", ".elb.amazonaws.com"))


def require_no_web_page(headers: Headers) -> None:
    """Refuses what a browser sends on behalf of a page: none belongs to the emulator."""
    for raw, value in headers:
        name = raw.lower()
        if name == b"origin" or (
            name == b"sec-fetch-site" and value.lower() not in (b"none", b"same-origin")
        ):
            header = f"{name.decode()}: {value.decode('latin-1')}"
            raise RefusedError(403, "AccessDenied", f"web pages have no access ({header})")
