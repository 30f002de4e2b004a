"""Runs parliament on the deployer's policy and on every policy of identities in the templates.

What it finds and is meant so is told here, with the reason; anything else is an error. Needs parliament and PyYAML.
"""

import json
import sys
from pathlib import Path

import yaml
from parliament import analyze_policy_string

# What parliament says of an action, and why that is so.
MEANT = {
    ("UNKNOWN_ACTION", "cloudformation:DescribeEvents"): "newer than what parliament knows",
    ("UNKNOWN_ACTION", "ec2:DescribeVpcEncryptionControls"): "newer than what parliament knows",
    ("UNKNOWN_ACTION", "ecs:ContinueServiceDeployment"): "newer than what parliament knows",
    ("UNKNOWN_ACTION", "ecs:StopServiceDeployment"): "newer than what parliament knows",
    ("UNKNOWN_CONDITION_FOR_ACTION", "elasticloadbalancing:CreateAction"): "it looks among the actions of classic load balancers first",
    ("MISMATCHED_TYPE_BUT_USABLE", "StringEquals"): "how IAM's own examples compare a permissions boundary",
}
# Bounds grant nothing: they are met with policies that say on what.
BOUNDS = {"Boundary", "RoleBoundary"}
# What references stand for, of the form that parliament expects.
ARN = "arn:aws:{}:us-east-1:123456789012:{}"
NAMES = {
    "AWS::StackId": ARN.format("cloudformation", "stack/clock/1"),
    "AWS::Region": "us-east-1",
    "AWS::Partition": "aws",
    "AWS::AccountId": "123456789012",
    "AWS::StackName": "clock",
    "Region": "us-east-1",
    "Partition": "aws",
    "Account": "123456789012",
    "Boundary": "arn:aws:iam::123456789012:policy/bounds",
    "Stack": "clock",
    "stack": "clock",
    "StackName": "clock",
    "Cluster": "clock-Cluster-1",
}
ATTRIBUTES = {
    "Cluster.Arn": ARN.format("ecs", "cluster/clock-Cluster-1"),
    "Repository.Arn": ARN.format("ecr", "repository/clock-repository-1"),
    "LogGroup.Arn": ARN.format("logs", "log-group:clock-LogGroup-1:*"),
    "ExecutionRole.Arn": "arn:aws:iam::123456789012:role/clock-ExecutionRole-1",
}


def filled(text):
    for name, value in NAMES.items():
        text = text.replace("${" + name + "}", value)
    assert "${" not in text, f"no value is known for what is in {text}"
    return text


class Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms."""


def short_form(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        text = loader.construct_scalar(node)
        if suffix == "Ref":
            return NAMES.get(text, text)
        if suffix == "GetAtt":
            return ATTRIBUTES.get(text, text)
        return text
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True)


Loader.add_multi_constructor("!", short_form)


def documents(value, name):
    """Every policy of an identity in this part of a template, with where it is."""
    if isinstance(value, list):
        for item in value:
            yield from documents(item, name)
    elif isinstance(value, dict):
        document = value.get("PolicyDocument")
        # Those of resources have a principal, and are not what parliament reads.
        if document and not any("Principal" in one for one in document["Statement"]):
            yield name, document
        for key, item in value.items():
            if key != "PolicyDocument":
                yield from documents(item, name)


def policies():
    for path in sorted(Path("infra").glob("*.json")):
        yield str(path), json.loads(filled(path.read_text()))
    for path in sorted(Path("infra").glob("*.yaml")):
        template = yaml.load(path.read_text(), Loader)
        for name, resource in template["Resources"].items():
            if name not in BOUNDS:
                for _, document in documents(resource, name):
                    yield f"{path}: {name}", json.loads(filled(json.dumps(document)))


def is_meant(finding, document):
    if finding.issue == "RESOURCE_STAR":
        # Where it is limited by a condition, or is what has no resource at all.
        everywhere = [one for one in document["Statement"] if one["Resource"] == "*"]
        return all("Condition" in one or one["Action"] == "ecr:GetAuthorizationToken" for one in everywhere)
    told = str(finding.detail)
    return any(finding.issue == issue and what in told for issue, what in MEANT)


def main():
    looked_at = 0
    wrong = []
    for where, document in policies():
        looked_at += 1
        for finding in analyze_policy_string(json.dumps(document)).findings:
            if not is_meant(finding, document):
                wrong.append(f"{where}: {finding.issue}: {finding.title} {finding.detail}")
    print("\n".join(wrong) or f"{looked_at} policies, nothing found")
    sys.exit(1 if wrong or looked_at < 6 else 0)


main()
