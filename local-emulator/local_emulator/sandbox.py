"""Keeps the emulator from running programs: directly, or through a CloudFormation resource."""

from __future__ import annotations

import os
from typing import Any

# Namespaces of resource types that the emulator's services can hold. It knows more, and some of
# those run programs.
NAMESPACES = [
    "ApplicationAutoScaling",
    "Budgets",
    "CloudWatch",
    "EC2",
    "ECR",
    "ECS",
    "ElasticLoadBalancingV2",
    "IAM",
    "Logs",
    "SNS",
]
# Of CloudFormation itself, all others have something else run.
WAIT_CONDITION = "AWS::CloudFormation::WaitCondition"
PROGRAM_EVENTS = (
    "subprocess.Popen",
    "os.posix_spawn",
    "os.exec",
    "os.system",
    "os.fork",
    "os.forkpty",
    "pty.spawn",
)


def is_allowed_resource(resource_type: str) -> bool:
    parts = resource_type.split("::")
    if resource_type == WAIT_CONDITION:
        return True
    return len(parts) == 3 and parts[0] == "AWS" and parts[1] in NAMESPACES


def is_credential_helper(program: Any) -> bool:
    """Returns whether a program is what Docker's library may ask for a registry's login."""
    if not isinstance(program, (str, bytes, os.PathLike)):
        return False
    return os.path.basename(os.fsdecode(program)).startswith("docker-credential-")


def refuse_programs(event: str, arguments: tuple[Any, ...]) -> None:
    """Audit hook that refuses to start a program."""
    if event in PROGRAM_EVENTS and not (arguments and is_credential_helper(arguments[0])):
        # The error of a program that may not be run: what can do without it carries on.
        raise PermissionError(f"the emulator starts no programs ({event})")
