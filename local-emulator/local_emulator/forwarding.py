"""Forward actions with several weighted target groups: the emulator keeps the first only."""

from __future__ import annotations

import random
from typing import Any

from .upstream import Record, Response, Upstream

DEFAULT_WEIGHT = 1
NO_TARGETS: Response = (
    503,
    {"Content-Type": "application/json"},
    b'{"message": "No target group has a weight"}',
)


def weighted_groups(action: Record) -> list[tuple[str, int]]:
    """Returns the target groups of a forward action, with their weights."""
    groups = (action.get("ForwardConfig") or {}).get("TargetGroups") or []
    if groups:
        return [(str(group["TargetGroupArn"]), int(group["Weight"])) for group in groups]
    arn = action.get("TargetGroupArn")
    return [(str(arn), DEFAULT_WEIGHT)] if arn else []


def choose_group(action: Record) -> str | None:
    """Returns the target group for one request; `None` where every weight is zero."""
    groups = weighted_groups(action)
    if not any(weight for _, weight in groups):
        return None
    arns, weights = zip(*groups, strict=True)
    return str(random.choices(arns, weights)[0])


def set_weights(action: Record, weights: dict[str, int]) -> None:
    """Sets the weights of a forward action's target groups, and adds those it does not have."""
    known = [arn for arn, _ in weighted_groups(action)]
    merged = {arn: weights.get(arn, 0) for arn in known} | weights
    config = dict(action.get("ForwardConfig") or {})
    config["TargetGroups"] = [
        {"TargetGroupArn": arn, "Weight": weight} for arn, weight in merged.items()
    ]
    action["ForwardConfig"] = config
    # As on AWS, only an action with a single group names it here.
    action.pop("TargetGroupArn", None)


def forward_config(groups: list[Any]) -> Record | None:
    """Returns a forward configuration with a weight for each group, as AWS fills them in."""
    given = [group for group in groups if isinstance(group, dict) and group.get("TargetGroupArn")]
    if not given:
        return None
    return {
        "TargetGroups": [
            {
                "TargetGroupArn": str(group["TargetGroupArn"]),
                "Weight": DEFAULT_WEIGHT if group.get("Weight") is None else int(group["Weight"]),
            }
            for group in given
        ]
    }


def store(action: Record, config: Record | None) -> None:
    """Puts a forward configuration into an action as the emulator stores it."""
    if config is None:
        return
    action["ForwardConfig"] = config
    groups = config["TargetGroups"]
    if len(groups) == 1:
        action["TargetGroupArn"] = groups[0]["TargetGroupArn"]
    else:
        action.pop("TargetGroupArn", None)


def to_xml(action: Record) -> str:
    """Returns the `ForwardConfig` element of a forward action."""
    members = "".join(
        f"<member><TargetGroupArn>{arn}</TargetGroupArn><Weight>{weight}</Weight></member>"
        for arn, weight in weighted_groups(action)
    )
    return f"<ForwardConfig><TargetGroups>{members}</TargetGroups></ForwardConfig>"


class Forwarding:
    """Changes to the load balancer's API, its CloudFormation resources, and where requests go."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream, self.alb = upstream, upstream.alb

    def install(self) -> None:
        replace, alb = self.upstream.replace, self.alb
        self.parse_actions = replace(alb, "_parse_actions", self.on_parse_actions)
        self.describe_rules = replace(alb, "_describe_rules", self.on_describe_rules)
        self.action_xml = replace(alb, "_action_xml", self.on_action_xml)
        self.execute_actions = replace(alb, "_execute_actions", self.on_execute_actions)
        self.listener_actions = replace(
            self.upstream.provisioners, "_elbv2_listener_actions", self.on_listener_actions
        )

    def on_parse_actions(self, params: Record, prefix: str = "DefaultActions") -> list[Record]:
        """Reads the actions of an API request."""
        actions: list[Record] = self.parse_actions(params, prefix)
        for number, action in enumerate(actions, start=1):
            groups: list[Record] = []
            member = f"{prefix}.member.{number}.ForwardConfig.TargetGroups.member"
            while arn := self.alb._p(params, f"{member}.{len(groups) + 1}.TargetGroupArn"):
                weight = self.alb._p(params, f"{member}.{len(groups) + 1}.Weight")
                groups.append({"TargetGroupArn": arn, "Weight": weight or None})
            store(action, forward_config(groups))
        return actions

    def on_describe_rules(self, params: Record) -> Response:
        """Handles `DescribeRules`: as on AWS, a rule that is asked for by its ARN has to exist."""
        for arn in self.alb._parse_member_list(params, "RuleArns"):
            if arn not in self.alb._rules:
                return self.alb._error("RuleNotFound", f"One or more rules not found: {arn}")
        return self.describe_rules(params)

    def on_listener_actions(
        self, props: Record, lb_arn: str | None, prop: str = "DefaultActions"
    ) -> list[Record]:
        """Reads the actions of a listener or a rule in a template."""
        actions: list[Record] = self.listener_actions(props, lb_arn, prop)
        given = [action for action in props.get(prop) or [] if isinstance(action, dict)]
        for action, template in zip(actions, given, strict=True):
            config = template.get("ForwardConfig")
            groups = config.get("TargetGroups") if isinstance(config, dict) else None
            store(action, forward_config(groups or []))
        return actions

    def on_action_xml(self, a: Record) -> str:
        xml: str = self.action_xml(a)
        if str(a.get("Type")).lower() != "forward" or not weighted_groups(a):
            return xml
        return f"{xml.removesuffix('</member>')}{to_xml(a)}</member>"

    async def on_execute_actions(
        self,
        actions: list[Record],
        method: str,
        path: str,
        headers: Any,
        body: Any,
        query_params: Any,
        listener_port: int = 80,
        lb_arn: str = "",
        target_host: str | None = None,
        raw_query_string: str | None = None,
        raw_path: str | None = None,
    ) -> Response:
        """Chooses a target group for each forward action by weight."""
        chosen = []
        for action in actions:
            if str(action.get("Type")).lower() == "forward" and action.get("ForwardConfig"):
                group = choose_group(action)
                if group is None:
                    return NO_TARGETS
                chosen.append({**action, "TargetGroupArn": group})
            else:
                chosen.append(action)
        return await self.execute_actions(
            chosen,
            method,
            path,
            headers,
            body,
            query_params,
            listener_port,
            lb_arn,
            target_host,
            raw_query_string,
            raw_path,
        )
