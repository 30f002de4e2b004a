"""Deployments that are not rolling, without Docker: tasks run as soon as they are started."""

import time
import unittest
from collections.abc import Callable
from unittest import mock

from local_emulator import lifecycle, rollout, service_deployments, traffic
from local_emulator.forwarding import weighted_groups
from local_emulator.upstream import Record

from .emulator import CLUSTER, KEY, SERVICE, Emulator, fresh

TASKS = 2
PRODUCTION, TEST = "production", "test"
BLUE, GREEN = "blue", "green"
LIMIT_SECONDS = 30


def pause(*stages: str, minutes: int = 20160, action: str = "ROLLBACK") -> Record:
    timeout = {"timeoutInMinutes": minutes, "action": action}
    return {
        "targetType": "PAUSE",
        "lifecycleStages": list(stages),
        "timeoutConfiguration": timeout,
    }


def configuration(strategy: str, *hooks: Record, **more: object) -> Record:
    return {"strategy": strategy, "bakeTimeInMinutes": 0, "lifecycleHooks": list(hooks), **more}


def load_balancer(**changes: object) -> Record:
    advanced = {
        "alternateTargetGroupArn": GREEN,
        "productionListenerRule": PRODUCTION,
        "testListenerRule": TEST,
        "roleArn": "arn:aws:iam::000000000000:role/traffic",
    }
    return {
        "targetGroupArn": BLUE,
        "containerName": "app",
        "containerPort": 8080,
        "advancedConfiguration": {**advanced, **changes},
    }


class Case(unittest.TestCase):
    """A service that runs its first revision in the blue group, and what to do with it."""

    def setUp(self) -> None:
        for name, value in [("MINUTE_SECONDS", 0.5)]:
            patch = mock.patch.object(lifecycle, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        for name, seconds in [("POLL_SECONDS", 0.01), ("DRAIN_SECONDS", LIMIT_SECONDS)]:
            patch = mock.patch.object(rollout, name, seconds)
            patch.start()
            self.addCleanup(patch.stop)
        self.emulator: Emulator = fresh()
        alb = self.emulator.upstream.alb
        for group in (BLUE, GREEN):
            alb._tgs[group] = {"TargetGroupArn": group, "TargetType": "instance"}
        for rule, blue in [(PRODUCTION, 1), (TEST, 0)]:
            groups = [
                {"TargetGroupArn": BLUE, "Weight": blue},
                {"TargetGroupArn": GREEN, "Weight": 1 - blue},
            ]
            action = {"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}
            alb._rules[rule] = {"RuleArn": rule, "Actions": [action]}
        self.first, self.second = self.emulator.register("one"), self.emulator.register("two")

    def create(self, configured: Record, **more: object) -> None:
        self.emulator.ecs(
            "CreateService",
            cluster=CLUSTER,
            serviceName=SERVICE,
            taskDefinition=self.first,
            desiredCount=TASKS,
            loadBalancers=[load_balancer()],
            deploymentConfiguration=configured,
            **more,
        )

    def update(self, **changes: object) -> None:
        self.emulator.ecs("UpdateService", cluster=CLUSTER, service=SERVICE, **changes)

    def start(self, configured: Record) -> None:
        """Creates the service, waits until it runs, and starts to deploy the second revision."""
        self.create({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0})
        self.wait_for(status="SUCCESSFUL")
        self.update(taskDefinition=self.second, deploymentConfiguration=configured)

    def newest(self) -> Record:
        """Describes the newest deployment that is not rolling."""
        scheduler = self.emulator.scheduler
        last = scheduler.rollouts[scheduler.scope(KEY)][-1]
        arn = service_deployments.deployment_arn(last.service, last.deployment)
        described = self.emulator.ecs("DescribeServiceDeployments", serviceDeploymentArns=[arn])
        (deployment,) = described["serviceDeployments"]
        return dict(deployment)

    def until(self, is_so: Callable[[], object], what: str) -> None:
        end = time.monotonic() + LIMIT_SECONDS
        while not is_so():
            self.assertLess(time.monotonic(), end, what)
            time.sleep(0.01)

    def wait_for(self, **expected: str) -> Record:
        """Waits until the newest service deployment has these fields, and returns it."""
        self.until(lambda: expected.items() <= self.newest().items(), str(expected))
        return self.newest()

    def wait_for_hook(self, stage: str) -> str:
        """Waits for a pause at a stage, and returns the hook."""

        def waiting() -> list[str]:
            newest = self.newest()
            return [
                hook["hookId"]
                for hook in newest.get("lifecycleHookDetails", [])
                if hook["status"] == "AWAITING_ACTION" and newest["lifecycleStage"] == stage
            ]

        self.until(waiting, f"a hook at {stage}")
        return waiting()[0]

    def answer(self, hook: str, action: str) -> tuple[int, str]:
        ecs = self.emulator.upstream.ecs
        data = {
            "serviceDeploymentArn": self.newest()["serviceDeploymentArn"],
            "hookId": hook,
            "action": action,
        }
        status, _, body = ecs._ACTION_MAP["ContinueServiceDeployment"](data)
        return status, body.decode()

    def stop(self) -> tuple[int, str]:
        ecs = self.emulator.upstream.ecs
        data = {"serviceDeploymentArn": self.newest()["serviceDeploymentArn"]}
        status, _, body = ecs._ACTION_MAP["StopServiceDeployment"](data)
        return status, body.decode()

    def weights(self, rule: str) -> dict[str, int]:
        (action,) = self.emulator.upstream.alb._rules[rule]["Actions"]
        return dict(weighted_groups(action))

    def assert_runs(self, first: int, second: int) -> None:
        """Waits until so many tasks of each revision run: they may still be stopped at the end."""

        def running() -> list[int]:
            revisions = (self.first, self.second)
            return [len(self.emulator.running(revision)) for revision in revisions]

        self.until(lambda: running() == [first, second], f"{first} and {second} tasks")


class Deployments(Case):
    def test_the_first_one(self) -> None:
        self.create(configuration("BLUE_GREEN", pause("POST_TEST_TRAFFIC_SHIFT")))
        hook = self.wait_for_hook("POST_TEST_TRAFFIC_SHIFT")
        self.assertEqual(self.weights(TEST), {BLUE: 100, GREEN: 0})
        self.assert_runs(TASKS, 0)
        self.assertEqual(self.answer(hook, "CONTINUE")[0], 200)
        self.wait_for(status="SUCCESSFUL")
        self.assertEqual(self.weights(PRODUCTION), {BLUE: 100, GREEN: 0})

    def test_blue_green_with_a_gate(self) -> None:
        self.start(configuration("BLUE_GREEN", pause("POST_TEST_TRAFFIC_SHIFT")))
        hook = self.wait_for_hook("POST_TEST_TRAFFIC_SHIFT")
        self.assert_runs(TASKS, TASKS)
        self.assertEqual(self.weights(TEST), {BLUE: 0, GREEN: 100})
        self.assertEqual(self.weights(PRODUCTION), {BLUE: 100, GREEN: 0})
        newest = self.newest()
        (details,) = newest["lifecycleHookDetails"]
        self.assertEqual((details["targetType"], details["timeoutAction"]), ("PAUSE", "ROLLBACK"))
        target = newest["targetServiceRevision"]
        self.assertEqual(target["requestedTestTrafficWeight"], 100)
        self.assertEqual(target["requestedProductionTrafficWeight"], 0)
        (source,) = newest["sourceServiceRevisions"]
        self.assertEqual(source["requestedProductionTrafficWeight"], 100)
        self.assertEqual(self.answer(hook, "CONTINUE")[0], 200)
        done = self.wait_for(status="SUCCESSFUL")
        self.assertEqual(done["lifecycleHookDetails"][0]["status"], "SUCCEEDED")
        self.assertEqual(self.weights(PRODUCTION), {BLUE: 0, GREEN: 100})
        self.assert_runs(0, TASKS)
        self.assertEqual(self.answer(hook, "CONTINUE")[0], 400)

    def test_the_old_tasks_answer_before_they_stop(self) -> None:
        unanswered = self.emulator.scheduler.load_balancer.unanswered
        unanswered[BLUE] = 1
        self.addCleanup(unanswered.clear)
        self.start(configuration("BLUE_GREEN"))
        self.wait_for(lifecycleStage="CLEAN_UP")
        time.sleep(0.1)
        self.assertEqual(self.newest()["status"], "IN_PROGRESS")
        self.assert_runs(TASKS, TASKS)
        unanswered[BLUE] = 0
        self.wait_for(status="SUCCESSFUL")
        self.assert_runs(0, TASKS)

    def test_the_next_one_uses_the_other_group(self) -> None:
        self.start(configuration("BLUE_GREEN"))
        self.wait_for(status="SUCCESSFUL")
        self.update(taskDefinition=self.first)
        self.wait_for(status="SUCCESSFUL")
        self.assertEqual(self.weights(PRODUCTION), {BLUE: 100, GREEN: 0})
        self.assert_runs(TASKS, 0)

    def test_linear_pauses_before_each_step(self) -> None:
        linear = {"stepPercent": 40, "stepBakeTimeInMinutes": 0}
        hook = pause("PRE_PRODUCTION_TRAFFIC_SHIFT")
        self.start(configuration("LINEAR", hook, linearConfiguration=linear))
        seen, hooks = [], set()
        for _ in range(3):
            waiting = self.wait_for_hook("PRE_PRODUCTION_TRAFFIC_SHIFT")
            seen.append(self.weights(PRODUCTION)[GREEN])
            hooks.add(waiting)
            self.answer(waiting, "CONTINUE")
        self.wait_for(status="SUCCESSFUL")
        self.assertEqual((seen, len(hooks)), ([0, 40, 80], 3))

    def test_canary_bakes(self) -> None:
        canary = {"canaryPercent": 5, "canaryBakeTimeInMinutes": 1}
        self.start(configuration("CANARY", canaryConfiguration=canary))
        self.until(lambda: self.weights(PRODUCTION) == {BLUE: 95, GREEN: 5}, "five percent")
        self.assertEqual(self.newest()["lifecycleStage"], "PRODUCTION_TRAFFIC_SHIFT")
        self.wait_for(status="SUCCESSFUL")

    def test_tasks_start_after_a_pause_before_them(self) -> None:
        self.start(configuration("BLUE_GREEN", pause("PRE_SCALE_UP")))
        hook = self.wait_for_hook("PRE_SCALE_UP")
        self.assert_runs(TASKS, 0)
        self.answer(hook, "CONTINUE")
        self.wait_for(status="SUCCESSFUL")

    def test_from_rolling(self) -> None:
        self.emulator.ecs(
            "CreateService",
            cluster=CLUSTER,
            serviceName=SERVICE,
            taskDefinition=self.first,
            desiredCount=TASKS,
            loadBalancers=[{"targetGroupArn": BLUE, "containerName": "app", "containerPort": 8080}],
        )
        self.update(
            loadBalancers=[load_balancer()],
            deploymentConfiguration=configuration("BLUE_GREEN", pause("POST_TEST_TRAFFIC_SHIFT")),
        )
        hook = self.wait_for_hook("POST_TEST_TRAFFIC_SHIFT")
        self.assertEqual(self.weights(TEST), {BLUE: 0, GREEN: 100})
        self.answer(hook, "CONTINUE")
        self.wait_for(status="SUCCESSFUL")

    def test_to_rolling_without_target_groups_to_shift(self) -> None:
        self.start(configuration("BLUE_GREEN"))
        self.wait_for(status="SUCCESSFUL")
        entry = {"targetGroupArn": BLUE, "containerName": "app", "containerPort": 8080}
        self.update(
            taskDefinition=self.first,
            loadBalancers=[entry],
            deploymentConfiguration={"strategy": "ROLLING"},
        )
        self.until(lambda: not self.emulator.running(self.second), "the old tasks are stopped")
        (deployment,) = self.emulator.service()["deployments"]
        self.assertEqual(traffic.group_of(deployment, entry), BLUE)

    def test_to_rolling_stays_in_the_group_that_serves(self) -> None:
        self.start(configuration("BLUE_GREEN"))
        self.wait_for(status="SUCCESSFUL")
        self.update(taskDefinition=self.first, deploymentConfiguration={"strategy": "ROLLING"})
        self.until(lambda: not self.emulator.running(self.second), "the old tasks are stopped")
        (deployment,) = self.emulator.service()["deployments"]
        self.assertEqual(traffic.group_of(deployment, load_balancer()), GREEN)
        self.assertEqual(self.weights(PRODUCTION), {BLUE: 0, GREEN: 100})

    def test_a_change_of_the_strategy_alone_deploys_nothing(self) -> None:
        self.create(configuration("BLUE_GREEN"))
        self.wait_for(status="SUCCESSFUL")
        before = self.newest()
        self.update(deploymentConfiguration=configuration("LINEAR"))
        self.assertEqual(self.newest(), before)

    def test_revisions(self) -> None:
        self.start(configuration("BLUE_GREEN", pause("POST_SCALE_UP")))
        self.wait_for_hook("POST_SCALE_UP")
        newest = self.newest()
        arns = [
            newest["targetServiceRevision"]["arn"],
            newest["sourceServiceRevisions"][0]["arn"],
            "arn:none",
        ]
        described = self.emulator.ecs("DescribeServiceRevisions", serviceRevisionArns=arns)
        self.assertEqual(described["failures"], [{"arn": "arn:none", "reason": "MISSING"}])
        found = {
            revision["taskDefinition"]: revision["resolvedConfiguration"]["loadBalancers"]
            for revision in described["serviceRevisions"]
        }
        self.assertEqual(found[self.first][0]["targetGroupArn"], BLUE)
        self.assertEqual(found[self.second][0]["targetGroupArn"], GREEN)

    def test_the_old_revision_keeps_its_tasks(self) -> None:
        self.start(configuration("BLUE_GREEN", pause("POST_TEST_TRAFFIC_SHIFT")))
        self.wait_for_hook("POST_TEST_TRAFFIC_SHIFT")
        task = self.emulator.running(self.first)[0]
        self.emulator.ecs("StopTask", cluster=CLUSTER, task=task["taskArn"])
        self.until(lambda: len(self.emulator.running(self.first)) == TASKS, "another task")
        self.assert_runs(TASKS, TASKS)


class Ports(Case):
    """Each deployment has its own port: tasks of the old one do not change theirs."""

    def test_of_a_rolling_deployment(self) -> None:
        ecs, alb = self.emulator.upstream.ecs, self.emulator.upstream.alb
        addresses = iter(f"10.0.0.{number}" for number in range(1, 100))
        known: dict[str, str] = {}

        def address(task: Record) -> str:
            return known.setdefault(task["taskArn"], next(addresses))

        entry = {"targetGroupArn": BLUE, "containerName": "app", "containerPort": 8080}
        with mock.patch.object(ecs, "_task_ip", address):
            self.emulator.ecs(
                "CreateService",
                cluster=CLUSTER,
                serviceName=SERVICE,
                taskDefinition=self.first,
                desiredCount=TASKS,
                loadBalancers=[entry],
            )
            with mock.patch.object(ecs, "_complete_service_deployment"):
                self.update(
                    taskDefinition=self.second, loadBalancers=[{**entry, "containerPort": 9090}]
                )
            ports = sorted(target["Port"] for target in alb._targets[BLUE])
            self.assertEqual(ports, [8080, 8080, 9090, 9090])
            ecs._complete_service_deployment(CLUSTER, KEY)
            self.assertEqual({target["Port"] for target in alb._targets[BLUE]}, {9090})
            self.emulator.ecs("DeleteService", cluster=CLUSTER, service=SERVICE, force=True)
            self.assertEqual(alb._targets[BLUE], [])


class Rollbacks(Case):
    def assert_rolled_back(self, reason: str) -> Record:
        newest = self.wait_for(status="ROLLBACK_SUCCESSFUL")
        self.assertIn(reason, newest["statusReason"])
        self.assertIn("serviceRevisionArn", newest["rollback"])
        self.assertEqual(self.weights(PRODUCTION), {BLUE: 100, GREEN: 0})
        self.assertEqual(self.weights(TEST), {BLUE: 100, GREEN: 0})
        self.assert_runs(TASKS, 0)
        service = self.emulator.service()
        self.assertEqual(service["taskDefinition"], self.first)
        return newest

    def test_by_the_answer(self) -> None:
        self.start(configuration("BLUE_GREEN", pause("POST_TEST_TRAFFIC_SHIFT")))
        self.answer(self.wait_for_hook("POST_TEST_TRAFFIC_SHIFT"), "ROLLBACK")
        newest = self.assert_rolled_back("answered with ROLLBACK")
        self.assertEqual(newest["lifecycleHookDetails"][0]["status"], "FAILED")

    def test_when_nobody_answers(self) -> None:
        self.start(configuration("BLUE_GREEN", pause("POST_TEST_TRAFFIC_SHIFT", minutes=1)))
        newest = self.assert_rolled_back("timed out")
        self.assertEqual(newest["lifecycleHookDetails"][0]["status"], "TIMED_OUT")

    def test_nobody_answers_and_the_deployment_continues(self) -> None:
        hook = pause("POST_TEST_TRAFFIC_SHIFT", minutes=1, action="CONTINUE")
        self.start(configuration("BLUE_GREEN", hook))
        newest = self.wait_for(status="SUCCESSFUL")
        self.assertEqual(newest["lifecycleHookDetails"][0]["status"], "TIMED_OUT")

    def test_while_it_bakes(self) -> None:
        self.start(configuration("BLUE_GREEN") | {"bakeTimeInMinutes": 1440})
        self.wait_for(lifecycleStage="BAKE_TIME")
        self.assertEqual(self.weights(PRODUCTION), {BLUE: 0, GREEN: 100})
        old = [task["taskArn"] for task in self.emulator.running(self.first)]
        self.assertEqual(self.stop()[0], 200)
        self.assert_rolled_back("was stopped")
        self.assertEqual([task["taskArn"] for task in self.emulator.running(self.first)], old)
        self.assertIn("ConflictException", self.stop()[1])

    def test_tasks_that_fail(self) -> None:
        breaker = {
            "enable": True,
            "rollback": True,
            "thresholdConfiguration": {"type": "COUNT", "value": 1},
        }
        configured = configuration(
            "BLUE_GREEN", pause("POST_TEST_TRAFFIC_SHIFT"), deploymentCircuitBreaker=breaker
        )
        self.start(configured)
        self.wait_for_hook("POST_TEST_TRAFFIC_SHIFT")
        task = self.emulator.running(self.second)[0]
        self.emulator.upstream.ecs._mark_task_stopped(
            task["taskArn"], task, "", "EssentialContainerExited", exit_code=1
        )
        self.assert_rolled_back("circuit breaker")

    def test_of_the_first_one(self) -> None:
        self.create(configuration("BLUE_GREEN", pause("POST_TEST_TRAFFIC_SHIFT")))
        self.answer(self.wait_for_hook("POST_TEST_TRAFFIC_SHIFT"), "ROLLBACK")
        newest = self.wait_for(status="ROLLBACK_FAILED")
        self.assertIn("nothing to go back to", newest["statusReason"])
        self.assert_runs(0, 0)

    def test_a_newer_deployment_supersedes_it(self) -> None:
        third = self.emulator.register("three")
        self.start(configuration("BLUE_GREEN") | {"bakeTimeInMinutes": 1440})
        self.wait_for(lifecycleStage="BAKE_TIME")
        superseded = self.newest()["serviceDeploymentArn"]
        hook = pause("RECONCILE_SERVICE")
        self.update(taskDefinition=third, deploymentConfiguration=configuration("BLUE_GREEN", hook))
        waiting = self.wait_for_hook("RECONCILE_SERVICE")
        self.assertEqual(self.weights(PRODUCTION), {BLUE: 100, GREEN: 0})
        self.assert_runs(TASKS, 0)
        self.answer(waiting, "CONTINUE")
        self.wait_for(status="SUCCESSFUL")
        described = self.emulator.ecs(
            "DescribeServiceDeployments", serviceDeploymentArns=[superseded]
        )
        self.assertEqual(described["serviceDeployments"][0]["status"], "STOPPED")
        self.assertEqual(len(self.emulator.running(third)), TASKS)

    def test_of_a_rolling_deployment(self) -> None:
        self.create({"strategy": "ROLLING"})
        ecs = self.emulator.upstream.ecs
        with mock.patch.object(ecs, "_complete_service_deployment"):
            self.update(taskDefinition=self.second)
        self.assert_runs(TASKS, TASKS)
        listed = self.emulator.ecs("ListServiceDeployments", cluster=CLUSTER, service=SERVICE)
        arn = next(
            known["serviceDeploymentArn"]
            for known in listed["serviceDeployments"]
            if known["status"] == "IN_PROGRESS"
        )
        status, _, body = ecs._ACTION_MAP["StopServiceDeployment"]({"serviceDeploymentArn": arn})
        self.assertEqual(status, 200, body)
        self.until(lambda: not self.emulator.running(self.second), "no new task")
        described = self.emulator.ecs("DescribeServiceDeployments", serviceDeploymentArns=[arn])
        (deployment,) = described["serviceDeployments"]
        self.assertEqual(deployment["status"], "ROLLBACK_SUCCESSFUL")
        self.assert_runs(TASKS, 0)


class Refusals(Case):
    def refusal(self, action: str, **data: object) -> str:
        handler = self.emulator.upstream.ecs._ACTION_MAP[action]
        status, _, body = handler(data)
        self.assertEqual(status, 400, body)
        return str(body.decode())

    def test_unknown_deployments(self) -> None:
        for action in ("ContinueServiceDeployment", "StopServiceDeployment"):
            refusal = self.refusal(action, serviceDeploymentArn="arn:none", hookId="h")
            self.assertIn("ServiceDeploymentNotFoundException", refusal)

    def test_unknown_hooks_and_actions(self) -> None:
        self.start(configuration("BLUE_GREEN", pause("POST_SCALE_UP")))
        hook = self.wait_for_hook("POST_SCALE_UP")
        self.assertIn("InvalidParameterException", self.answer("ecs-pause-none", "CONTINUE")[1])
        self.assertIn("there is no action LATER", self.answer(hook, "LATER")[1])
        self.assertEqual(self.newest()["status"], "IN_PROGRESS")

    def test_load_balancers_that_cannot_shift(self) -> None:
        cases: list[tuple[Record, str]] = [
            ({"alternateTargetGroupArn": ""}, "needs alternateTargetGroupArn"),
            ({"productionListenerRule": None}, "needs productionListenerRule"),
            ({"roleArn": None}, "needs roleArn"),
            ({"testListenerRule": "none"}, "no listener rule none"),
            ({"alternateTargetGroupArn": "none"}, "no target group none"),
        ]
        for changes, words in cases:
            refusal = self.refusal(
                "CreateService",
                cluster=CLUSTER,
                serviceName=SERVICE,
                taskDefinition=self.first,
                loadBalancers=[load_balancer(**changes)],
                deploymentConfiguration=configuration("BLUE_GREEN"),
            )
            self.assertIn(words, refusal)

    def test_deletion_forgets_deployments(self) -> None:
        self.create(configuration("BLUE_GREEN", pause("POST_SCALE_UP")))
        self.wait_for_hook("POST_SCALE_UP")
        active = self.emulator.scheduler.active_rollout(KEY)
        assert active is not None
        self.emulator.ecs("DeleteService", cluster=CLUSTER, service=SERVICE, force=True)
        self.assertTrue(active.ended.wait(LIMIT_SECONDS))
        self.assertEqual(active.status, "STOPPED")


if __name__ == "__main__":
    unittest.main()
