"""Traffic of services whose strategy is not rolling: two target groups, and rules with weights.

Each revision of such a service has its tasks in one of two target groups. ECS moves traffic by
changing the weights in the production rule and in the test rule.
"""

from __future__ import annotations

from .forwarding import set_weights, weighted_groups
from .upstream import Record, Upstream

# Where a deployment's tasks are registered: group and port, by the service's own target group.
ASSIGNED = "_targets"
# The largest weight of a target group.
MOST = 999


def advanced(entry: Record) -> Record:
    """Returns the advanced configuration of an entry in a service's `loadBalancers`."""
    return entry.get("advancedConfiguration") or {}


def group_of(deployment: Record | None, entry: Record) -> str:
    """Returns the target group in which a deployment has its tasks."""
    primary = str(entry.get("targetGroupArn"))
    assigned = ((deployment or {}).get(ASSIGNED) or {}).get(primary)
    return str(assigned[0]) if assigned else primary


def registrations(service: Record, deployment: Record | None) -> list[tuple[str, int]]:
    """Returns the target groups and ports of a deployment's tasks.

    They are those of the time when the deployment was new: an update of the service changes them
    for new tasks only.
    """
    assigned = (deployment or {}).get(ASSIGNED)
    if assigned is not None:
        return list(assigned.values())
    return [
        (str(entry["targetGroupArn"]), port_of(entry))
        for entry in service.get("loadBalancers") or []
        if entry.get("targetGroupArn")
    ]


def port_of(entry: Record) -> int:
    return int(entry.get("containerPort", 80))


def other_group(entry: Record, group: str) -> str:
    primary, alternate = (
        str(entry["targetGroupArn"]),
        str(advanced(entry)["alternateTargetGroupArn"]),
    )
    return alternate if group == primary else primary


def shifted_entries(service: Record) -> list[Record]:
    """Returns the entries of `loadBalancers` whose traffic ECS shifts."""
    entries = service.get("loadBalancers") or []
    return [entry for entry in entries if advanced(entry).get("alternateTargetGroupArn")]


def differs(old: list[Record], new: list[Record]) -> bool:
    """Returns whether two values of `loadBalancers` differ in how traffic is shifted."""
    return list(map(advanced, old)) != list(map(advanced, new))


def assign(service: Record, deployment: Record, source: Record | None, *, rolling: bool) -> None:
    """Decides in which target groups a new deployment has its tasks.

    A rolling one has them where the source's are, any other one in the other groups.
    """
    deployment[ASSIGNED] = {}
    for entry in service.get("loadBalancers") or []:
        primary = entry.get("targetGroupArn")
        if not primary:
            continue
        group = str(primary)
        if advanced(entry).get("alternateTargetGroupArn"):
            group = group_of(source, entry)
            if source and not rolling:
                group = other_group(entry, group)
        deployment[ASSIGNED][str(primary)] = (group, port_of(entry))


def weights_for(percent: float) -> tuple[int, int]:
    """Returns the weights of the new and of the other target group."""
    if percent == int(percent):
        return int(percent), 100 - int(percent)
    tenths = round(percent * 10)
    return tenths, min(MOST, 1000 - tenths)


class Traffic:
    """The rules of the load balancer, as ECS changes them."""

    def __init__(self, upstream: Upstream) -> None:
        self.alb = upstream.alb

    def shift(self, service: Record, deployment: Record, rule_name: str, percent: float) -> None:
        """Gives a deployment this percentage of the traffic of its production or test rules."""
        new, other = weights_for(percent)
        for entry in shifted_entries(service):
            rule = self.alb._rules.get(advanced(entry).get(rule_name))
            group = group_of(deployment, entry)
            for action in rule["Actions"] if rule else []:
                if weighted_groups(action):
                    set_weights(action, {group: new, other_group(entry, group): other})

    def problem_of(self, load_balancers: list[Record]) -> str | None:
        """Returns why ECS could not shift the traffic of these load balancers."""
        for entry in load_balancers:
            given = advanced(entry)
            for name in ("alternateTargetGroupArn", "productionListenerRule", "roleArn"):
                if not given.get(name):
                    return f"advancedConfiguration needs {name}"
            attached: set[str] = set()
            for name in ("productionListenerRule", "testListenerRule"):
                rule = self.alb._rules.get(given.get(name)) if given.get(name) else None
                if given.get(name) and rule is None:
                    return f"there is no listener rule {given[name]}"
                for action in rule["Actions"] if rule else []:
                    attached |= {arn for arn, _ in weighted_groups(action)}
            for group in (str(entry.get("targetGroupArn")), str(given["alternateTargetGroupArn"])):
                if group not in self.alb._tgs:
                    return f"there is no target group {group}"
                if group not in attached:
                    return f"the target group {group} belongs to no rule of the service"
        return None
