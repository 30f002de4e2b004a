"""Prints regions to lint the stack's template in: one for each set of schemas that its types of resources have somewhere.

Fails where a region lacks one of them: such a template is refused there, also where a condition leaves the resource out. All regions
that cfn-lint knows are looked at, and Fargate serves no other. Needs cfn-lint.
"""

import json
import re
import sys
from pathlib import Path

from cfnlint.helpers import REGIONS
from cfnlint.schema import ResourceNotFoundError
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER


def schema(region, kind):
    try:
        return json.dumps(PROVIDER_SCHEMA_MANAGER.get_resource_schema(region, kind).schema, sort_keys=True)
    except ResourceNotFoundError:
        return None


def main():
    text = Path("infra/service.yaml").read_text()
    kinds = sorted(set(re.findall(r"^    Type: (AWS::\S+)", text, re.MULTILINE)))
    groups = {}
    wrong = []
    for region in sorted(REGIONS, key=lambda region: (region != "us-east-1", region)):
        schemas = [schema(region, kind) for kind in kinds]
        wrong += [f"{region} has no {kind}" for kind, found in zip(kinds, schemas) if found is None]
        groups.setdefault(tuple(schemas), region)
    # Shows that a type that is missing somewhere is noticed.
    if all(schema(region, "AWS::Budgets::Budget") for region in REGIONS):
        wrong.append("a type that is not in every region was taken for one that is")
    if wrong or len(kinds) < 20 or len(REGIONS) < 40:
        sys.exit("\n".join(wrong) or f"{len(kinds)} types in {len(REGIONS)} regions: too few")
    print(f"{len(kinds)} types of resources, all in {len(REGIONS)} regions", file=sys.stderr)
    print(" ".join(groups.values()))


main()
