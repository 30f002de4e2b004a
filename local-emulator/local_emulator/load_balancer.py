"""Application Load Balancer: requests go to healthy targets, and its API tells which those are."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from .health import HEALTHY, check_port, is_checked, key_of
from .health_checks import HealthChecks
from .upstream import Record, Response, Upstream


class LoadBalancer:
    """Changes to the emulator's load balancer."""

    def __init__(self, upstream: Upstream, checks: HealthChecks) -> None:
        self.upstream, self.checks, self.alb = upstream, checks, upstream.alb
        # Requests that no target has started to answer, by target group.
        self.unanswered: Counter[str] = Counter()

    def install(self) -> None:
        replace, alb = self.upstream.replace, self.alb
        self.set_targets = replace(alb, "set_targets_for_group", self.on_set_targets)
        self.forward = replace(alb, "_forward_to_tg", self.on_forward)
        self.describe = replace(alb, "_describe_target_health", self.on_describe)

    def on_set_targets(self, tg_arn: str, targets: Any, previous_ids: Any = ()) -> bool:
        """Forgets deregistered targets at once: the address may soon belong to another task."""
        published: bool = self.set_targets(tg_arn, targets, previous_ids)
        group = self.alb._tgs.get(tg_arn)
        if group is not None:
            self.checks.forget_unregistered(tg_arn, group)
        return published

    async def on_forward(
        self,
        tg_arn: str,
        method: str,
        path: str,
        headers: Any,
        body: Any,
        query_params: Any,
        raw_query_string: str | None = None,
        raw_path: str | None = None,
    ) -> Response:
        """Counts a request until a target begins to answer.

        A program that is told to stop finishes the answers it has started.
        """
        self.unanswered[tg_arn] += 1
        try:
            return await self.send(
                tg_arn, method, path, headers, body, query_params, raw_query_string, raw_path
            )
        finally:
            self.unanswered[tg_arn] -= 1

    async def send(
        self,
        tg_arn: str,
        method: str,
        path: str,
        headers: Any,
        body: Any,
        query_params: Any,
        raw_query_string: str | None,
        raw_path: str | None,
    ) -> Response:
        """Sends a request to a healthy target, or to any target where none is healthy."""
        group = self.alb._tgs.get(tg_arn)
        if is_checked(group):
            healthy = [
                target
                for target in list(self.alb._targets.get(tg_arn) or [])
                if self.checks.health(key_of(tg_arn, target, group)) is HEALTHY
            ]
            if healthy:
                return await self.alb._proxy_http_target(
                    random.choice(healthy),
                    group,
                    method,
                    raw_path or path,
                    headers,
                    body,
                    query_params,
                    raw_query_string,
                )
        return await self.forward(
            tg_arn, method, path, headers, body, query_params, raw_query_string, raw_path
        )

    def on_describe(self, params: Record) -> Response:
        """Handles `DescribeTargetHealth`."""
        arn = self.alb._p(params, "TargetGroupArn")
        group = self.alb._tgs.get(arn)
        if not is_checked(group):
            return self.describe(params)
        wanted = {target["Id"] for target in self.alb._parse_targets_param(params)}
        members = ""
        for target in list(self.alb._targets.get(arn) or []):
            key = key_of(arn, target, group)
            if wanted and key[1] not in wanted:
                continue
            health = self.checks.health(key)
            reason = (
                f"<Reason>{health.reason}</Reason><Description>{health.description}</Description>"
                if health.reason
                else ""
            )
            members += (
                f"<member><Target><Id>{key[1]}</Id><Port>{key[2]}</Port></Target>"
                f"<HealthCheckPort>{check_port(key, group)}</HealthCheckPort>"
                f"<TargetHealth><State>{health.state}</State>{reason}</TargetHealth></member>"
            )
        inner = f"<TargetHealthDescriptions>{members}</TargetHealthDescriptions>"
        return self.alb._xml(200, "DescribeTargetHealth", inner)
