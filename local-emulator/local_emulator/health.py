"""A target's health, from the answers to its checks."""

from __future__ import annotations

import http.client
import time
from dataclasses import dataclass, field

from .upstream import Record

# Target group (ARN), address and port.
Key = tuple[str, str, int]


@dataclass(frozen=True)
class Health:
    """State of a target, as `DescribeTargetHealth` gives it."""

    state: str
    reason: str = ""
    description: str = ""


HEALTHY = Health("healthy")
REGISTERING = Health("initial", "Elb.RegistrationInProgress", "Target registration is in progress")
CHECKING = Health("initial", "Elb.InitialHealthChecking", "Initial health checks in progress")
TIMED_OUT = Health("unhealthy", "Target.Timeout", "Request timed out")
FAILED = Health("unhealthy", "Target.FailedHealthChecks", "Health checks failed")


def mismatch(code: int) -> Health:
    description = f"Health checks failed with these codes: [{code}]"
    return Health("unhealthy", "Target.ResponseCodeMismatch", description)


def matches(matcher: str, code: int) -> bool:
    """Returns whether a status code is one that the matcher (`200`, `200,204`, `200-299`) wants."""
    for part in matcher.split(","):
        first, _, last = part.strip().partition("-")
        if int(first) <= code <= int(last or first):
            return True
    return False


def check(address: str, port: int, group: Record) -> Health:
    """Makes one health check."""
    timeout = float(group.get("HealthCheckTimeoutSeconds", 5))
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    headers = {
        "Host": f"{address}:{port}",
        "User-Agent": "ELB-HealthChecker/2.0",
        "Connection": "close",
    }
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


def key_of(group_arn: str, target: Record, group: Record) -> Key:
    return (group_arn, str(target["Id"]), int(target.get("Port") or group.get("Port") or 80))


def check_port(key: Key, group: Record) -> int:
    port = group.get("HealthCheckPort") or "traffic-port"
    return key[2] if port == "traffic-port" else int(port)


def is_checked(group: Record | None) -> bool:
    """Returns whether the targets of this group have health checks that can be made here."""
    return (
        group is not None
        and group.get("TargetType") == "ip"
        and group.get("HealthCheckProtocol", "HTTP") == "HTTP"
        and bool(group.get("HealthCheckEnabled", True))
    )


@dataclass
class Target:
    """One registration of a target, with the results of its checks."""

    key: Key
    account: str
    region: str
    # ARN of the ECS task at this address, if any: another task may get the same address later.
    task: str | None
    health: Health = REGISTERING
    successes: int = 0
    failures: int = 0
    since: float = field(default_factory=time.monotonic)

    def record(self, answer: Health, group: Record) -> bool:
        """Takes in the answer to a check; returns whether the target's state changed."""
        before = self.health.state
        if answer.state == "healthy":
            self.successes, self.failures = self.successes + 1, 0
            # A new target is healthy after one success; one that was unhealthy has to prove more.
            if before == "initial" or self.successes >= int(group.get("HealthyThresholdCount", 5)):
                self.health = HEALTHY
        else:
            self.successes, self.failures = 0, self.failures + 1
            threshold = int(group.get("UnhealthyThresholdCount", 2))
            if before == "unhealthy" or self.failures >= threshold:
                self.health = answer
            elif before == "initial":
                self.health = CHECKING
        return self.health.state != before
