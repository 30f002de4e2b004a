"""Fails when the deployer's policies lack what CloudFormation does to make, read, change or remove a resource of the template.

The policy for deploying has to do for everything but reviewers; with the one for reviewers, for all of it. CloudFormation acts with the rights of whoever calls it. What the handler of each type of resource needs is published with the
type's schema, which cfn-lint brings. What the template does not use is told here, with the reason. Needs cfn-lint.
"""

import copy
import fnmatch
import json
import re
import sys
from pathlib import Path

from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

# What handlers need for properties that the template does not have.
NOT_USED = {
    "for tags, which the stack does not give and so does not remove": """
        application-autoscaling:UntagResource""",
    "for actions at a time, and for Lambda": """
        application-autoscaling:PutScheduledAction application-autoscaling:DeleteScheduledAction
        lambda:GetProvisionedConcurrencyConfig lambda:PutProvisionedConcurrencyConfig lambda:DeleteProvisionedConcurrencyConfig""",
    "for keys of one's own": """
        kms:DescribeKey kms:CreateGrant kms:RetireGrant logs:AssociateKmsKey logs:DisassociateKmsKey""",
    "for IPv6, tenancy, encryption controls and pools of addresses": """
        ec2:AssociateSubnetCidrBlock ec2:DisassociateSubnetCidrBlock ec2:CreateVpcEncryptionControl ec2:ModifyVpcTenancy
        ec2:DescribeIpamPools elasticloadbalancing:ModifyIpPools""",
    "for VPNs, service networks and endpoints of other regions": """
        ec2:AttachVpnGateway ec2:DetachVpnGateway vpce:AllowMultiRegion
        vpc-lattice:CreateServiceNetworkVpcEndpointAssociation vpc-lattice:DescribeServiceNetworkVpcEndpointAssociation""",
    "for policies of repositories, topics and logs": """
        ecr:SetRepositoryPolicy ecr:DeleteRepositoryPolicy sns:PutDataProtectionPolicy logs:PutDataProtectionPolicy
        logs:DeleteDataProtectionPolicy logs:PutResourcePolicy logs:DeleteResourcePolicy logs:PutIndexPolicy logs:DeleteIndexPolicy
        logs:PutBearerTokenAuthentication logs:PutLogGroupDeletionProtection logs:CreateLogDelivery s3:REST.PUT.OBJECT
        firehose:TagDeliveryStream""",
    "for settings of the account": "ecs:PutAccountSetting ecs:PutAccountSettingDefault",
    "for logins, reserved capacity, and targets that are named": """
        cognito-idp:DescribeUserPoolClient elasticloadbalancing:ModifyCapacityReservation
        elasticloadbalancing:RegisterTargets elasticloadbalancing:DeregisterTargets""",
    "for groups, inline policies, keys and names of users": """
        iam:AttachGroupPolicy iam:DetachGroupPolicy iam:AddUserToGroup iam:RemoveUserFromGroup iam:PutUserPolicy
        iam:DeleteUserPolicy iam:DeleteAccessKey iam:UpdateUser""",
    "out of bounds: whoever is bounded stays so": """
        iam:DeleteRolePermissionsBoundary iam:DeleteUserPermissionsBoundary""",
}

# Types that are there for reviewers only.
OF_REVIEWERS = {"AWS::IAM::ManagedPolicy", "AWS::IAM::User"}
# What the tasks' role does not have, and the reviewers' has.
OF_POLICIES = "iam:AttachRolePolicy iam:DetachRolePolicy"


def actions(policy):
    for statement in policy["Statement"]:
        listed = statement["Action"]
        yield from [listed] if isinstance(listed, str) else listed


def needed(kind):
    handlers = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema["handlers"]
    work = ["create", "read", "update", "delete"]
    return {one for name in work for one in handlers.get(name, {}).get("permissions", [])}


def lacking(policy, kinds):
    allowed = [action.lower() for action in actions(policy)]
    for kind in kinds:
        for action in sorted(needed(kind)):
            if not any(fnmatch.fnmatchcase(action.lower(), pattern) for pattern in allowed):
                yield kind, action


def main():
    text = Path("infra/service.yaml").read_text()
    kinds = sorted(set(re.findall(r"^    Type: (AWS::\S+)", text, re.MULTILINE)))
    policy = json.loads(Path("infra/deployer-policy.json").read_text())
    reviewers = json.loads(Path("infra/reviewers-policy.json").read_text())
    deploying = [kind for kind in kinds if kind not in OF_REVIEWERS]
    unused = {action for listed in [*NOT_USED.values(), OF_POLICIES] for action in listed.split()}
    lacks = set(lacking(policy, deploying))
    wrong = [f"{kind} needs {action}" for kind, action in sorted(lacks) if action not in unused]
    policy["Statement"] += reviewers["Statement"]
    not_used = {action for listed in NOT_USED.values() for action in listed.split()}
    lacks = set(lacking(policy, kinds))
    wrong += [f"{kind} needs {action}" for kind, action in sorted(lacks) if action not in not_used]
    named = {action for _, action in lacks}
    wrong += [f"{action} is allowed, or not needed any more" for action in sorted(not_used - named)]
    # Shows that something that is missing is noticed.
    less = copy.deepcopy(policy)
    for statement in less["Statement"]:
        if isinstance(statement["Action"], list):
            statement["Action"] = [one for one in statement["Action"] if one != "ecs:CreateService"]
    if ("AWS::ECS::Service", "ecs:CreateService") not in set(lacking(less, kinds)):
        wrong.append("a policy without ecs:CreateService was taken for a good one")
    print("\n".join(wrong) or f"rights for {len(kinds)} types of resources, nothing missing")
    sys.exit(1 if wrong or len(kinds) < 20 else 0)


main()
