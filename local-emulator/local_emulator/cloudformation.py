"""ECS resources of CloudFormation: properties the emulator ignores, and stacks that wait."""

from __future__ import annotations

import time
from typing import Any

from . import lifecycle
from .numbers import converted
from .rollout import POLL_SECONDS, Rollout
from .service_scheduler import ServiceScheduler
from .upstream import Record, Upstream

SERVICE = "AWS::ECS::Service"
WAIT_CONDITION = "AWS::CloudFormation::WaitCondition"
IN_PROGRESS = "CREATE_IN_PROGRESS"
# Properties whose change replaces the resource (`createOnlyProperties` of CloudFormation's resource
# schemas). Of types that are neither here nor in the emulator's own table, it calls every change a
# possible replacement, and so those of everything that refers to them.
REPLACED_BY = {
    "AWS::CloudWatch::Alarm": ("AlarmName",),
    "AWS::ECS::Service": ("Cluster", "Role", "SchedulingStrategy", "ServiceName"),
    "AWS::ElasticLoadBalancingV2::Listener": ("LoadBalancerArn",),
    "AWS::ElasticLoadBalancingV2::ListenerRule": ("ListenerArn",),
}
# What CloudFormation fills in where a template leaves it out.
DEFAULT_BAKE_MINUTES = 15
# What a rollback restores of a service beside its task definition, which ECS itself restores.
RESTORED = ("deploymentConfiguration", "loadBalancers", "healthCheckGracePeriodSeconds")
# The longest that CloudFormation lets a deployment be paused and bake.
LONGEST_MINUTES = 33 * 60


def of_first_metric(props: Record) -> Record:
    """Returns an alarm's properties with a metric in place of an expression over several."""
    queries = [query for query in props.get("Metrics") or [] if query.get("MetricStat")]
    if not queries:
        return props
    measured = queries[0]["MetricStat"]
    metric = measured["Metric"]
    plain = {key: value for key, value in props.items() if key != "Metrics"}
    plain.update({key: metric[key] for key in ("Namespace", "MetricName", "Dimensions")})
    plain.update({"Statistic": measured["Stat"], "Period": measured["Period"]})
    return plain


class CloudFormation:
    """Changes to the handlers of ECS resources."""

    def __init__(self, upstream: Upstream, scheduler: ServiceScheduler) -> None:
        self.upstream, self.ecs, self.scheduler = upstream, upstream.ecs, scheduler

    def install(self) -> None:
        replace, replace_handler = self.upstream.replace, self.upstream.replace_handler
        self.create = replace_handler(SERVICE, "create", self.on_create)
        self.update = replace_handler(SERVICE, "update", self.on_update)
        self.create_wait = replace_handler(WAIT_CONDITION, "create", self.on_create_wait)
        self.dependencies = replace(self.upstream.engine, "_extract_deps", self.on_dependencies)
        self.metadata = replace(
            self.upstream.handlers_of_stacks, "_resource_metadata_xml", self.on_metadata
        )
        for resource_type, names in REPLACED_BY.items():
            self.upstream.provisioners._REPLACING_PROPERTIES.setdefault(resource_type, names)
        self.on_worker = replace(
            self.upstream.stacks, "_runs_on_worker_thread", self.on_runs_on_worker_thread
        )
        self.configuration = replace(
            self.upstream.provisioners, "_ecs_deployment_configuration", self.on_configuration
        )
        self.alarm = replace(self.upstream.provisioners, "_cw_metric_alarm_record", self.on_alarm)

    def on_runs_on_worker_thread(self, resource_type: str) -> bool:
        """Keeps a stack that waits for a service from blocking the whole emulator."""
        return resource_type == SERVICE or self.on_worker(resource_type)

    def on_create_wait(self, logical_id: str, props: Record, stack_name: str) -> Any:
        """Makes a wait condition known to its stack while it waits, as on AWS."""
        resources = self.upstream.cloudformation._stacks[stack_name]["_resources"]
        resources[logical_id] = {
            "LogicalResourceId": logical_id,
            "PhysicalResourceId": "",
            "ResourceType": WAIT_CONDITION,
            "ResourceStatus": IN_PROGRESS,
            "Timestamp": self.ecs._iso(),
        }
        try:
            return self.create_wait(logical_id, props, stack_name)
        except Exception:
            # Otherwise the rollback would leave it.
            del resources[logical_id]
            raise

    def on_dependencies(self, resource_def: Record, all_resource_names: set[str]) -> set[str]:
        """Lets a resource depend on what its metadata refers to, as on AWS."""
        of_metadata = {"Properties": resource_def.get("Metadata") or {}}
        found: set[str] = set()
        for one in (resource_def, of_metadata):
            found |= self.dependencies(one, all_resource_names)
        return found

    def on_metadata(self, stack: Record, logical_id: str) -> str:
        """Resolves the metadata of a resource that waits in the template of the running update."""
        resource = stack["_resources"].get(logical_id) or {}
        if resource.get("ResourceStatus") == IN_PROGRESS:
            definition = self.upstream.provisioners._cfn_wait_condition_definition(
                stack["StackName"], logical_id
            )
            parameters = {
                one["ParameterKey"]: {"Value": one["ParameterValue"], "NoEcho": one["NoEcho"]}
                for one in stack["Parameters"]
            }
            template = {"Resources": {logical_id: definition}}
            stack = {**stack, "_template": template, "_resolved_params": parameters}
        metadata: str = self.metadata(stack, logical_id)
        return metadata

    def on_alarm(self, name: str, props: Record) -> Any:
        """Makes an alarm on an expression one on its first metric: none is raised here anyway."""
        return self.alarm(name, of_first_metric(props))

    def on_configuration(self, props: Record) -> Record | None:
        """Returns the deployment configuration of a service in a template, for the API."""
        configuration: Record | None = converted(self.configuration(props))
        if configuration is None or lifecycle.is_rolling(configuration):
            return configuration
        configuration.setdefault("bakeTimeInMinutes", DEFAULT_BAKE_MINUTES)
        minutes = configuration["bakeTimeInMinutes"] + sum(
            (hook.get("timeoutConfiguration") or {}).get(
                "timeoutInMinutes", lifecycle.DEFAULT_TIMEOUT_MINUTES
            )
            for hook in configuration.get("lifecycleHooks") or []
        )
        if minutes > LONGEST_MINUTES:
            raise ValueError(
                f"bake time and time-outs of hooks are {minutes} minutes together,"
                f" and CloudFormation allows {LONGEST_MINUTES}"
            )
        return configuration

    def on_create(self, logical_id: str, props: Record, stack_name: str) -> Any:
        """Creates a service with its grace period, which the emulator forgets."""
        identifier, attributes = self.create(logical_id, props, stack_name)
        key = identifier.partition(":service/")[2]
        service = self.ecs._services.get(key)
        if service is not None:
            grace = int(props.get("HealthCheckGracePeriodSeconds") or 0)
            service["healthCheckGracePeriodSeconds"] = grace
        self.tell_identifier(stack_name, logical_id, identifier)
        try:
            self.wait(key, stack_name)
        except ValueError:
            # A resource that was not created is not known to the stack, which would leave it.
            cluster, _, name = key.partition("/")
            self.ecs._delete_service({"cluster": cluster, "service": name, "force": True})
            raise
        return identifier, attributes

    def tell_identifier(self, stack_name: str, logical_id: str, identifier: str) -> None:
        """Adds the event with which CloudFormation tells what is created, before that is stable."""
        stack = self.upstream.cloudformation._stacks.get(stack_name)
        if stack is not None and "StackId" in stack:
            self.upstream.stacks._add_event(
                stack["StackId"],
                stack_name,
                logical_id,
                SERVICE,
                "CREATE_IN_PROGRESS",
                "Resource creation Initiated",
                identifier,
            )

    def on_update(
        self, physical_id: str, old_props: Record, new_props: Record, stack_name: str
    ) -> Any:
        key = physical_id.partition(":service/")[2]
        service = self.ecs._services.get(key) or {}
        before = {name: service.get(name) for name in RESTORED}
        result = self.update(physical_id, old_props, new_props, stack_name)
        try:
            self.wait(key, stack_name)
        except ValueError:
            # As CloudFormation's rollback does, which the emulator leaves out for what failed.
            service.update(before)
            raise
        if old_props.get("LoadBalancers") != new_props.get("LoadBalancers"):
            self.wait_for_rolling(key)
        return result

    def wait_for_rolling(self, key: str) -> None:
        """Waits for a rolling deployment that changes target groups.

        After the update, the stack deletes rules and target groups that it does not have any more,
        and the old tasks may be in one of them.
        """
        service = self.ecs._services.get(key) or {}
        deployment = self.ecs._primary_deployment(service) or {}
        while deployment.get("rolloutState") == "IN_PROGRESS" and service["status"] == "ACTIVE":
            time.sleep(POLL_SECONDS)
        if deployment.get("rolloutState") == "FAILED":
            raise not_stabilized(deployment.get("rolloutStateReason", ""))

    def is_cancelled(self, stack_name: str) -> bool:
        """Returns whether `CancelUpdateStack` was called for an update that is under way."""
        stack = self.upstream.cloudformation._stacks.get(stack_name) or {}
        updating = stack.get("StackStatus") == "UPDATE_IN_PROGRESS"
        return updating and bool(stack.get("_cancel_requested"))

    def wait(self, key: str, stack_name: str) -> None:
        """Waits for a deployment that is not rolling, as stacks on AWS wait for any.

        The emulator calls a service complete before a task of it runs, and so it stays for rolling
        deployments.
        """
        rollout: Rollout | None = self.scheduler.active_rollout(key)
        if rollout is None:
            return
        while not rollout.ended.wait(POLL_SECONDS):
            if self.is_cancelled(stack_name):
                raise ValueError("Resource update cancelled")
        if rollout.status != "SUCCESSFUL":
            raise not_stabilized(rollout.status_reason)


def not_stabilized(reason: str) -> ValueError:
    """Returns the error of a resource whose deployment did not succeed."""
    operation = f"Error occurred during operation 'ECS Deployment': {reason}"
    return ValueError(
        f'Resource handler returned message: "{operation}" (HandlerErrorCode: NotStabilized)'
    )
