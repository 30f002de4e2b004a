"""Validates recorded requests to AWS against botocore's models of the services: a second opinion beside the SDK and the emulator.

A file has a request a line: `{"authorization": …, "target": …, "body": …}`. With --shape, only names, types and required members count:
tests of the transport send values that no service would take. Needs botocore.
"""

import json
import re
import sys
from collections import Counter
from urllib.parse import parse_qsl

from botocore.session import get_session

SESSION = get_session()
# The service by the name that signatures use.
SERVICES = {
    "cloudformation": "cloudformation",
    "ecr": "ecr",
    "ecs": "ecs",
    "elasticloadbalancing": "elbv2",
    "iam": "iam",
    "logs": "logs",
    "secretsmanager": "secretsmanager",
    "ssm": "ssm",
    "sts": "sts",
}
TYPES = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "long": int,
    "float": (int, float),
    "double": (int, float),
    "structure": dict,
    "map": dict,
    "list": list,
}


def nested(pairs):
    """The values of a query by the parts of their names: `A.member.1` is in `A`, `member`, `1`."""
    tree = {}
    for name, value in pairs:
        place = tree
        *outer, last = name.split(".")
        for part in outer:
            place = place.setdefault(part, {})
        place[last] = value
    return tree


def of_query(shape, value, where):
    """A value of the query protocol in the form of JSON, as the shape says."""
    kind = shape.type_name
    if kind == "structure":
        names = {member.serialization.get("name", name): name for name, member in shape.members.items()}
        unknown = set(value) - set(names)
        assert not unknown, f"{where} has no member {', '.join(sorted(unknown))}"
        return {names[key]: of_query(shape.members[names[key]], inner, f"{where}.{names[key]}") for key, inner in value.items()}
    if kind == "list":
        if value == "":
            return []
        if not shape.serialization.get("flattened"):
            value = value.get(shape.member.serialization.get("name", "member"), value)
        numbers = sorted(value, key=int)
        assert numbers == [str(number + 1) for number in range(len(numbers))], f"{where} is numbered {numbers}"
        return [of_query(shape.member, value[number], where) for number in numbers]
    if kind == "boolean":
        return {"true": True, "false": False}[value]
    if kind in ("integer", "long"):
        return int(value)
    return value


def violations(shape, value, where, everything):
    """What the model does not allow."""
    kind = shape.type_name
    expected = TYPES.get(kind)
    if expected and (not isinstance(value, expected) or (kind != "boolean" and isinstance(value, bool))):
        yield f"{where} is {type(value).__name__} instead of {kind}"
        return
    if kind == "structure":
        for name in shape.required_members:
            if name not in value:
                yield f"{where} lacks {name}"
        for name, inner in value.items():
            if name not in shape.members:
                yield f"{where} has no member {name}"
            else:
                yield from violations(shape.members[name], inner, f"{where}.{name}", everything)
    elif kind == "list":
        for inner in value:
            yield from violations(shape.member, inner, f"{where}[]", everything)
    elif kind == "map":
        for key, inner in value.items():
            yield from violations(shape.key, key, f"{where} key", everything)
            yield from violations(shape.value, inner, f"{where}.{key}", everything)
    if everything:
        yield from limits(shape, value, where)


def limits(shape, value, where):
    rules = shape.metadata
    size = value if isinstance(value, (int, float)) else len(value)
    if not isinstance(value, bool):
        if size < rules.get("min", size):
            yield f"{where} is {size}, at least {rules['min']} is allowed"
        if size > rules.get("max", size):
            yield f"{where} is {size}, at most {rules['max']} is allowed"
    if isinstance(value, str):
        if rules.get("enum") and value not in rules["enum"]:
            yield f"{where} is {value!r}, not one of {', '.join(rules['enum'])}"
        pattern = rules.get("pattern")
        if pattern and not re.fullmatch(pattern.replace("\\p{L}\\p{Z}\\p{N}", "\\w\\s"), value):
            yield f"{where} is {value!r}, which does not match {pattern}"


def check(request, everything):
    """The service and the operation of a request, and what is wrong with it."""
    scope = re.search(r"Credential=[^/]+/\d+/[^/]+/([a-z]+)/", request["authorization"] or "")
    assert scope and scope.group(1) in SERVICES, f"signed for {request['authorization']}"
    model = SESSION.get_service_model(SERVICES[scope.group(1)])
    if request["target"]:
        prefix, name = request["target"].rsplit(".", 1)
        wrong = [] if prefix == model.metadata["targetPrefix"] else [f"target {prefix}"]
        shape = model.operation_model(name).input_shape
        value = json.loads(request["body"] or "{}")
    else:
        tree = nested(parse_qsl(request["body"], keep_blank_values=True))
        name, version = tree.pop("Action"), tree.pop("Version")
        wrong = [] if version == model.metadata["apiVersion"] else [f"version {version}"]
        shape = model.operation_model(name).input_shape
        value = of_query(shape, tree, name) if shape else tree
    place = f"{model.service_name} {name}"
    if shape is None:
        return place, wrong + ([f"{name} takes no members"] if value else [])
    return place, wrong + list(violations(shape, value, name, everything))


def main():
    arguments = sys.argv[1:]
    everything = "--shape" not in arguments
    seen = Counter()
    wrong = set()
    for path in (argument for argument in arguments if argument != "--shape"):
        with open(path, encoding="utf-8") as file:
            for line in file:
                try:
                    place, found = check(json.loads(line), everything)
                except (AssertionError, KeyError, ValueError, AttributeError) as error:
                    place, found = "?", [f"{type(error).__name__}: {error}: {line[:300]}"]
                seen[place] += 1
                wrong.update(f"{place}: {one}" for one in found)
    print("\n".join(sorted(wrong)) or f"requests: {seen.total()} of {len(seen)} operations, nothing found")
    sys.exit(1 if wrong or not seen else 0)


main()
