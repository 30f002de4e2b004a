"""Stages of a deployment, from its configuration."""

import unittest

from local_emulator import lifecycle, numbers, traffic
from local_emulator.lifecycle import Step, problem_of
from local_emulator.upstream import Record

PAUSE: Record = {"targetType": "PAUSE", "lifecycleStages": ["POST_TEST_TRAFFIC_SHIFT"]}


def shares(**configuration: object) -> list[tuple[float, float]]:
    """Returns percentage and bake time of each shift of production traffic."""
    return [
        (step.production, step.bake_minutes)
        for step in lifecycle.production_shifts(configuration)
        if step.production is not None
    ]


def with_hook(**changes: object) -> Record:
    return {
        "strategy": "BLUE_GREEN",
        "bakeTimeInMinutes": 0,
        "lifecycleHooks": [{**PAUSE, **changes}],
    }


class Steps(unittest.TestCase):
    def test_blue_green(self) -> None:
        configuration = {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 3}
        steps = lifecycle.steps(configuration, reconcile=False)
        self.assertEqual(
            [step.stage for step in steps],
            [
                "PRE_SCALE_UP",
                "SCALE_UP",
                "POST_SCALE_UP",
                "TEST_TRAFFIC_SHIFT",
                "POST_TEST_TRAFFIC_SHIFT",
                "PRE_PRODUCTION_TRAFFIC_SHIFT",
                "PRODUCTION_TRAFFIC_SHIFT",
                "POST_PRODUCTION_TRAFFIC_SHIFT",
                "BAKE_TIME",
                "CLEAN_UP",
            ],
        )
        self.assertEqual(steps[-2], Step("BAKE_TIME", bake_minutes=3))
        first = lifecycle.steps(configuration, reconcile=True)[0]
        self.assertEqual(first.stage, "RECONCILE_SERVICE")

    def test_linear(self) -> None:
        self.assertEqual(
            shares(
                strategy="LINEAR",
                linearConfiguration={"stepPercent": 40, "stepBakeTimeInMinutes": 1},
            ),
            [(40, 1), (80, 1), (100, 0)],
        )
        default = shares(strategy="LINEAR")
        self.assertEqual((len(default), default[0], default[-1]), (10, (10, 6), (100, 0)))
        thirds = shares(strategy="LINEAR", linearConfiguration={"stepPercent": 33.3})
        self.assertEqual([share for share, _ in thirds], [33.3, 66.6, 99.9, 100])

    def test_each_step_has_a_stage_before_it(self) -> None:
        configuration = {"strategy": "LINEAR", "linearConfiguration": {"stepPercent": 50}}
        steps = [step.stage for step in lifecycle.steps(configuration, reconcile=False)]
        shift = ["PRE_PRODUCTION_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT"]
        self.assertEqual(steps[5:9], shift * 2)

    def test_canary(self) -> None:
        canary = {"canaryPercent": 2.5, "canaryBakeTimeInMinutes": 1}
        self.assertEqual(
            shares(strategy="CANARY", canaryConfiguration=canary), [(2.5, 1), (100, 0)]
        )
        self.assertEqual(shares(strategy="CANARY"), [(5, 10), (100, 0)])
        whole = {"canaryPercent": 100}
        self.assertEqual(shares(strategy="CANARY", canaryConfiguration=whole), [(100, 0)])


class Problems(unittest.TestCase):
    def test_none(self) -> None:
        configurations: list[Record] = [
            {},
            {"strategy": "ROLLING", "maximumPercent": 200},
            {"strategy": "LINEAR", "linearConfiguration": {"stepPercent": 3.0}},
            {"strategy": "CANARY", "canaryConfiguration": {"canaryPercent": 0.1}},
            with_hook(),
            with_hook(timeoutConfiguration={"timeoutInMinutes": 20160, "action": "CONTINUE"}),
        ]
        for configuration in configurations:
            self.assertIsNone(problem_of(configuration), configuration)

    def test_what_ecs_refuses(self) -> None:
        cases: list[tuple[Record, str]] = [
            ({"strategy": "RED_BLACK"}, "strategy is RED_BLACK"),
            ({"strategy": "BLUE_GREEN"}, "bakeTimeInMinutes is required"),
            ({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 1441}, "0 to 1440"),
            ({"strategy": "LINEAR", "linearConfiguration": {"stepPercent": 2}}, "3 to 100"),
            ({"strategy": "CANARY", "canaryConfiguration": {"canaryPercent": 0}}, "0.1 to 100"),
            ({"strategy": "CANARY", "linearConfiguration": {"stepPercent": 5}}, "not valid with"),
            (with_hook(targetType="AWS_LAMBDA"), "no lifecycle hooks but those of the type PAUSE"),
            (with_hook(lifecycleStages=[]), "needs lifecycleStages"),
            (with_hook(lifecycleStages=["SCALE_UP"]), "no lifecycle hooks at the stage SCALE_UP"),
            (with_hook(lifecycleStages=["TEST_TRAFFIC_SHIFT"]), "PAUSE hooks cannot be configured"),
            (with_hook(timeoutConfiguration={"timeoutInMinutes": 0}), "1 to 20160"),
            (with_hook(timeoutConfiguration={"action": "IGNORE"}), "the action IGNORE"),
        ]
        for configuration, words in cases:
            self.assertIn(words, problem_of(configuration) or "", configuration)


class Weights(unittest.TestCase):
    def test_percentages(self) -> None:
        for percent, expected in [
            (0, (0, 100)),
            (25, (25, 75)),
            (100, (100, 0)),
            (0.1, (1, 999)),
            (33.3, (333, 667)),
        ]:
            self.assertEqual(traffic.weights_for(percent), expected)


class Numbers(unittest.TestCase):
    def test_text_of_parameters(self) -> None:
        converted = numbers.converted(
            {
                "desiredCount": "3",
                "loadBalancers": [{"containerName": "8080", "containerPort": "8080"}],
                "deploymentConfiguration": {
                    "deploymentCircuitBreaker": {"enable": "true"},
                    "linearConfiguration": {"stepPercent": "12.5"},
                    "bakeTimeInMinutes": "soon",
                },
                "tags": [{"key": "team", "value": "7"}],
            }
        )
        self.assertEqual(
            converted,
            {
                "desiredCount": 3,
                "loadBalancers": [{"containerName": "8080", "containerPort": 8080}],
                "deploymentConfiguration": {
                    "deploymentCircuitBreaker": {"enable": True},
                    "linearConfiguration": {"stepPercent": 12.5},
                    "bakeTimeInMinutes": "soon",
                },
                "tags": [{"key": "team", "value": "7"}],
            },
        )


if __name__ == "__main__":
    unittest.main()
