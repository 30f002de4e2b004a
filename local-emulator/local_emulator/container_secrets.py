"""Secrets of a container, from Secrets Manager and Parameter Store.

ECS reads them when a task starts. A secret is found by its name, whatever region and account its
ARN names: those of the emulator are not those of AWS.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from .upstream import Record, Upstream

# What Secrets Manager appends to a secret's name in its ARN.
RANDOM_SUFFIX = re.compile(r"-[A-Za-z0-9]{6}$")
# What comes before the name in the ARN of a secret: `arn:aws:secretsmanager:REGION:ACCOUNT:secret`.
ARN_FIELDS = 6
# Name, key in its JSON, version stage and version.
FIELDS = 4


@dataclass(frozen=True)
class Reference:
    """What `valueFrom` says about a secret in Secrets Manager."""

    arn: str
    name: str
    json_key: str
    stage: str
    version: str

    @classmethod
    def parse(cls, source: str) -> Reference | None:
        """Returns the secret that an ARN names; `None` for anything else."""
        fields = source.split(":")
        if fields[2:3] != ["secretsmanager"] or not ARN_FIELDS < len(fields) <= ARN_FIELDS + FIELDS:
            return None
        arn = ":".join(fields[: ARN_FIELDS + 1])
        given = [*fields[ARN_FIELDS:], "", "", ""]
        return cls(arn, *given[:FIELDS])

    def names(self) -> list[str]:
        """Returns the names that the secret may have: an ARN may lack the random suffix."""
        return list(dict.fromkeys([self.name, RANDOM_SUFFIX.sub("", self.name)]))


def parameter_name(source: str) -> str:
    """Returns the name of a parameter, which may be given as an ARN."""
    _, is_arn, name = source.partition(":parameter/")
    return f"/{name}" if is_arn else source


def member(value: str, key: str) -> str | None:
    """Returns a member of a secret that is an object in JSON."""
    try:
        members: Any = json.loads(value)
    except ValueError:
        return None
    if not isinstance(members, dict) or key not in members:
        return None
    found = members[key]
    return found if isinstance(found, str) else json.dumps(found)


class ContainerSecrets:
    """Changes to how the emulator reads the secrets of a container."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.error = upstream.ecs._SecretResolutionError

    def install(self) -> None:
        self.upstream.replace(self.upstream.ecs, "_resolve_container_secrets", self.values)

    def values(self, cdef: Record) -> dict[str, str]:
        """Returns the variables of a container that are secret.

        Errors are worded as on AWS, after what the emulator puts in front of them.
        """
        return {
            secret["name"]: self.value(secret["valueFrom"]) for secret in cdef.get("secrets") or []
        }

    def value(self, source: str) -> str:
        if ":secretsmanager:" not in source:
            return self.parameter(source)
        reference = Reference.parse(source)
        if reference is None:
            raise self.of_secret(
                "unexpected ARN format with parameters when trying to retrieve ASM secret"
            )
        value = self.secret(reference)
        if not reference.json_key:
            return value
        found = member(value, reference.json_key)
        if found is None:
            raise self.of_secret(
                "retrieved secret from Secrets Manager did not contain json key "
                + reference.json_key
            )
        return found

    def secret(self, reference: Reference) -> str:
        manager = self.upstream.secretsmanager
        known = [name for name in reference.names() if manager._resolve(name)[1]]
        if not known:
            raise self.not_found(reference, "Secrets Manager can't find the specified secret.")
        stage = reference.stage or "AWSCURRENT"
        value: str | None = manager.resolve_secret_string(
            known[0], stage, reference.version or None
        )
        if value is None:
            which = (
                f"VersionId: {reference.version}"
                if reference.version
                else f"staging label: {stage}"
            )
            raise self.not_found(
                reference, f"Secrets Manager can't find the specified secret value for {which}"
            )
        return value

    def parameter(self, source: str) -> str:
        name = parameter_name(source)
        value: str | None = self.upstream.ssm.resolve_parameter_value(name, None, True)
        if value is None:
            raise self.error(
                "unable to retrieve secrets from ssm: service call has been retried 1 time(s): "
                f"invalid ssm parameters: {name}"
            )
        return value

    def not_found(self, reference: Reference, message: str) -> Exception:
        return self.of_secret(
            f"failed to fetch secret {reference.arn} from secrets manager: "
            f"ResourceNotFoundException: {message}"
        )

    def of_secret(self, message: str) -> Exception:
        error: Exception = self.error(
            "unable to retrieve secret from asm: service call has been retried 1 time(s): "
            + message
        )
        return error
