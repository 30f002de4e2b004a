"""Services: tasks that fail at the same moment, and numbers that are text."""

import threading
import unittest
from unittest import mock

from local_emulator.upstream import Record

from .emulator import BREAKER, CLUSTER, KEY, SERVICE, Emulator, fresh

# How long one thread waits for the other at most, where the two may not run at the same time.
WAIT_SECONDS = 0.5
TASKS = 2


def create(emulator: Emulator, definition: str) -> None:
    emulator.ecs(
        "CreateService",
        cluster=CLUSTER,
        serviceName=SERVICE,
        taskDefinition=definition,
        desiredCount=TASKS,
        deploymentConfiguration={"deploymentCircuitBreaker": BREAKER},
    )


class Failures(unittest.TestCase):
    def test_the_old_version_survives_a_failure_while_the_service_is_reconciled(self) -> None:
        emulator = fresh()
        ecs, responses = emulator.upstream.ecs, emulator.upstream.responses
        old, new = emulator.register("old"), emulator.register("new")
        create(emulator, old)
        self.assertEqual(len(emulator.running(old)), TASKS)
        # With Docker, a new version's tasks need a second to be called stable.
        with mock.patch.object(ecs, "_complete_service_deployment"):
            emulator.ecs("UpdateService", cluster=CLUSTER, service=SERVICE, taskDefinition=new)
            self.assertEqual(len(emulator.running(new)), TASKS)
            self.assertEqual(len(emulator.running(old)), TASKS)

            scope = (responses.get_account_id(), responses.get_region())
            failing = emulator.running(new)[0]

            def fail() -> None:
                with responses.request_scope(*scope):
                    ecs._mark_task_stopped(
                        failing["taskArn"], failing, "", "EssentialContainerExited", exit_code=1
                    )

            other = threading.Thread(target=fail)
            deployment_for_task = ecs._deployment_for_task

            def slowly(service: Record, task: Record) -> Record | None:
                if threading.current_thread() is threading.main_thread() and not other.ident:
                    other.start()
                    other.join(WAIT_SECONDS)
                deployment: Record | None = deployment_for_task(service, task)
                return deployment

            with mock.patch.object(ecs, "_deployment_for_task", slowly):
                ecs._reconcile_service_tasks(CLUSTER, KEY)
                other.join()
        states = {deployment["rolloutState"] for deployment in emulator.service()["deployments"]}
        self.assertIn("FAILED", states)
        self.assertEqual(len(emulator.running(old)), TASKS)
        self.assertEqual(len(emulator.tasks(old)), TASKS, "tasks were stopped and replaced")


class Rollouts(unittest.TestCase):
    def test_the_newest_is_under_way_while_an_older_one_has_not_noticed(self) -> None:
        scheduler = fresh().scheduler
        older, newer, ended = (mock.Mock(spec=["is_active"]) for _ in range(3))
        ended.is_active.return_value = False
        scheduler.rollouts[scheduler.scope(KEY)] = [older, newer, ended]
        self.addCleanup(scheduler.rollouts.clear)
        self.assertIs(scheduler.active_rollout(KEY), newer)
        newer.is_active.return_value = False
        self.assertIs(scheduler.active_rollout(KEY), older)
        older.is_active.return_value = False
        self.assertIsNone(scheduler.active_rollout(KEY))


class Numbers(unittest.TestCase):
    def test_text_of_a_parameter_is_a_number(self) -> None:
        emulator = fresh()
        create(emulator, emulator.register("old"))
        emulator.ecs(
            "UpdateService",
            cluster=CLUSTER,
            service=SERVICE,
            desiredCount="3",
            healthCheckGracePeriodSeconds="20",
        )
        service = emulator.service()
        self.assertEqual((service["desiredCount"], service["runningCount"]), (3, 3))
        self.assertEqual(service["healthCheckGracePeriodSeconds"], 20)


class ServiceDeployments(unittest.TestCase):
    def test_listed_and_described(self) -> None:
        emulator = fresh()
        create(emulator, emulator.register("old"))
        listed = emulator.ecs("ListServiceDeployments", cluster=CLUSTER, service=SERVICE)
        (brief,) = listed["serviceDeployments"]
        self.assertEqual(brief["status"], "SUCCESSFUL")
        arn = brief["serviceDeploymentArn"]
        described = emulator.ecs(
            "DescribeServiceDeployments", serviceDeploymentArns=[arn, "arn:unknown"]
        )
        (deployment,) = described["serviceDeployments"]
        self.assertEqual(deployment["serviceDeploymentArn"], arn)
        self.assertEqual(deployment["deploymentCircuitBreaker"]["threshold"], 1)
        self.assertEqual(described["failures"], [{"arn": "arn:unknown", "reason": "MISSING"}])
        none = emulator.ecs(
            "ListServiceDeployments", cluster=CLUSTER, service=SERVICE, status=["PENDING"]
        )
        self.assertEqual(none["serviceDeployments"], [])


if __name__ == "__main__":
    unittest.main()
