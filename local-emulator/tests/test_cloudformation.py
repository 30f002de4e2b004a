"""Services of stacks: what a stack waits for, and when it fails."""

import json
import threading
import unittest

from local_emulator.cloudformation import of_first_metric
from local_emulator.upstream import Record, load

from .emulator import CLUSTER, KEY, SERVICE
from .test_rollout import BLUE, GREEN, PRODUCTION, TASKS, TEST, Case

STACK = "stack"


class Alarms(unittest.TestCase):
    def test_an_expression_becomes_its_first_metric(self) -> None:
        metric = {"Namespace": "AWS/ApplicationELB", "MetricName": "Healthy", "Dimensions": []}
        stat = {"Stat": "Minimum", "Period": 60, "Metric": metric}
        expression = {"Id": "tasks", "Expression": "a + b"}
        props = {"Threshold": 2, "Metrics": [expression, {"Id": "a", "MetricStat": stat}]}
        expected = {"Threshold": 2, **metric, "Statistic": "Minimum", "Period": 60}
        self.assertEqual(of_first_metric(props), expected)
        self.assertEqual(of_first_metric({"MetricName": "x"}), {"MetricName": "x"})


class Replacement(Case):
    def test_only_a_change_of_what_is_fixed_at_creation_replaces_a_service(self) -> None:
        service = "AWS::ECS::Service"
        for name, expected in (
            ("Cluster", "Always"),
            ("HealthCheckGracePeriodSeconds", "Never"),
            ("DeploymentConfiguration", "Never"),
        ):
            recreation = self.emulator.upstream.provisioners._property_recreation(service, name)
            self.assertEqual(recreation, expected, name)


class WaitConditions(Case):
    def test_one_that_waits_can_be_read_and_answered(self) -> None:
        upstream = self.emulator.upstream
        name = "ReleaseCommand"
        template = {
            "Resources": {
                name: {
                    "Type": "AWS::CloudFormation::WaitCondition",
                    "Metadata": {"Command": ["migrate"], "Cluster": {"Ref": "Cluster"}},
                    "CreationPolicy": {"ResourceSignal": {"Timeout": "PT1M"}},
                }
            }
        }
        stack: Record = {
            "StackId": "arn:stack",
            "StackName": STACK,
            "StackStatus": "UPDATE_IN_PROGRESS",
            "Parameters": [],
            "_resources": {"Cluster": {"PhysicalResourceId": "cluster-1"}},
            "_template": {},
            "_template_body": json.dumps(template),
        }
        upstream.cloudformation._stacks[STACK] = stack
        self.addCleanup(upstream.cloudformation._stacks.clear)
        failed = self.answered(name, stack, "FAILURE")
        self.assertIn("failed message", str(failed))
        self.assertNotIn(name, stack["_resources"])
        self.assertIsInstance(self.answered(name, stack, "SUCCESS"), tuple)

    def answered(self, name: str, stack: Record, status: str) -> object:
        """Creates the wait condition, reads its metadata meanwhile, and answers with a status."""
        upstream = self.emulator.upstream
        handler = upstream.handlers()["AWS::CloudFormation::WaitCondition"]["create"]
        signal = load("services.cloudformation.wait_conditions").signal_resource
        result: list[object] = []

        def wait() -> None:
            try:
                result.append(handler(name, {}, STACK))
            except RuntimeError as error:
                result.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        self.until(lambda: name in stack["_resources"], "a wait condition")
        metadata = upstream.handlers_of_stacks._resource_metadata_xml(stack, name)
        self.assertIn("cluster-1", metadata)
        self.until(lambda: signal("arn:stack", name, "deployer", status), "an answer")
        thread.join()
        return result[0]


class Stacks(Case):
    def setUp(self) -> None:
        super().setUp()
        self.stacks = self.emulator.upstream.cloudformation._stacks
        self.stacks[STACK] = {"StackStatus": "UPDATE_IN_PROGRESS"}
        self.addCleanup(self.stacks.clear)
        self.result: list[object] = []

    def properties(self, definition: str, **more: object) -> Record:
        hook = {
            "TargetType": "PAUSE",
            "LifecycleStages": ["POST_TEST_TRAFFIC_SHIFT"],
            "TimeoutConfiguration": {"TimeoutInMinutes": "100", "Action": "ROLLBACK"},
        }
        return {
            "Cluster": CLUSTER,
            "ServiceName": SERVICE,
            "TaskDefinition": definition,
            "DesiredCount": str(TASKS),
            "HealthCheckGracePeriodSeconds": "20",
            "LoadBalancers": [
                {
                    "TargetGroupArn": BLUE,
                    "ContainerName": "app",
                    "ContainerPort": "8080",
                    "AdvancedConfiguration": {
                        "AlternateTargetGroupArn": GREEN,
                        "ProductionListenerRule": PRODUCTION,
                        "TestListenerRule": TEST,
                        "RoleArn": "role",
                    },
                }
            ],
            "DeploymentConfiguration": {
                "Strategy": "BLUE_GREEN",
                "BakeTimeInMinutes": "0",
                "LifecycleHooks": [hook],
                **more,
            },
        }

    def in_stack(self, operation: str, *arguments: object) -> threading.Thread:
        """Lets a stack create or update the service, in the background."""
        handlers = self.emulator.upstream.handlers()["AWS::ECS::Service"]

        def run() -> None:
            try:
                self.result.append(handlers[operation](*arguments, STACK))
            except ValueError as error:
                self.result.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def create_in_stack(self, action: str) -> None:
        thread = self.in_stack("create", "Service", self.properties(self.first))
        self.until(lambda: KEY in self.emulator.upstream.ecs._services, "a service")
        self.answer(self.wait_for_hook("POST_TEST_TRAFFIC_SHIFT"), action)
        thread.join()

    def test_a_new_service(self) -> None:
        self.create_in_stack("CONTINUE")
        self.assertIsInstance(self.result[-1], tuple)
        service = self.emulator.service()
        self.assertEqual(service["healthCheckGracePeriodSeconds"], 20)
        self.assertEqual(service["desiredCount"], TASKS)

    def test_a_new_service_that_is_rolled_back_is_removed(self) -> None:
        self.create_in_stack("ROLLBACK")
        self.assertIn("NotStabilized", str(self.result[-1]))
        self.assertEqual(self.emulator.service()["status"], "INACTIVE")
        self.assert_runs(0, 0)

    def test_an_update(self) -> None:
        self.create_in_stack("CONTINUE")
        old, new = self.properties(self.first), self.properties(self.second)
        for action in ("ROLLBACK", "CONTINUE"):
            thread = self.in_stack("update", f"arn:service/{KEY}", old, new)
            self.answer(self.wait_for_hook("POST_TEST_TRAFFIC_SHIFT"), action)
            thread.join()
        failed, succeeded = self.result[-2:]
        self.assertIn("answered with ROLLBACK", str(failed))
        self.assertIsInstance(succeeded, tuple)
        self.assert_runs(0, TASKS)

    def test_a_cancelled_update(self) -> None:
        self.create_in_stack("CONTINUE")
        old, new = self.properties(self.first), self.properties(self.second)
        thread = self.in_stack("update", f"arn:service/{KEY}", old, new)
        self.wait_for_hook("POST_TEST_TRAFFIC_SHIFT")
        self.stacks[STACK]["_cancel_requested"] = True
        thread.join()
        self.assertEqual(str(self.result[-1]), "Resource update cancelled")
        # The stack goes back: another deployment, which supersedes the first and has its own hook.
        self.stacks[STACK]["StackStatus"] = "UPDATE_ROLLBACK_IN_PROGRESS"
        thread = self.in_stack("update", f"arn:service/{KEY}", new, old)
        rollouts = self.emulator.scheduler.rollouts[self.emulator.scheduler.scope(KEY)]
        self.until(lambda: len(rollouts) == 3, "another deployment")
        self.answer(self.wait_for_hook("POST_TEST_TRAFFIC_SHIFT"), "CONTINUE")
        thread.join()
        self.assertIsInstance(self.result[-1], tuple)
        self.assert_runs(TASKS, 0)

    def test_what_cloudformation_fills_in_and_refuses(self) -> None:
        configuration = self.emulator.upstream.provisioners._ecs_deployment_configuration
        filled = configuration({"DeploymentConfiguration": {"Strategy": "BLUE_GREEN"}})
        self.assertEqual(filled["bakeTimeInMinutes"], 15)
        with self.assertRaisesRegex(ValueError, "2080 minutes together"):
            configuration(self.properties(self.first, BakeTimeInMinutes=1980))
        rolling = {"DeploymentConfiguration": {"MaximumPercent": "200"}}
        self.assertEqual(configuration(rolling), {"maximumPercent": 200})


if __name__ == "__main__":
    unittest.main()
