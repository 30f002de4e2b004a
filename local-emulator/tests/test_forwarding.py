"""Weights of forward actions: in the API, in templates, and for requests."""

import asyncio
import collections
import unittest
from unittest import mock

from local_emulator import forwarding
from local_emulator.upstream import Record

from .emulator import fresh

TWO: Record = {
    "Type": "forward",
    "ForwardConfig": {
        "TargetGroups": [
            {"TargetGroupArn": "blue", "Weight": 3},
            {"TargetGroupArn": "green", "Weight": 1},
        ]
    },
}


class Actions(unittest.TestCase):
    def test_of_the_api(self) -> None:
        alb = fresh().upstream.alb
        group = "Actions.member.1.ForwardConfig.TargetGroups.member"
        params = {
            "Actions.member.1.Type": ["forward"],
            f"{group}.1.TargetGroupArn": ["blue"],
            f"{group}.1.Weight": ["0"],
            f"{group}.2.TargetGroupArn": ["green"],
        }
        (action,) = alb._parse_actions(params, "Actions")
        self.assertEqual(forwarding.weighted_groups(action), [("blue", 0), ("green", 1)])
        xml = alb._action_xml(action)
        self.assertIn("<TargetGroupArn>blue</TargetGroupArn><Weight>0</Weight>", xml)
        self.assertTrue(xml.endswith("</ForwardConfig></member>"), xml)
        self.assertNotIn("TargetGroupArn", action)

    def test_of_a_template(self) -> None:
        provisioners = fresh().upstream.provisioners
        groups = [
            {"TargetGroupArn": "blue", "Weight": "1"},
            {"TargetGroupArn": "green", "Weight": 0},
        ]
        one = {"Type": "forward", "TargetGroupArn": "blue"}
        two = {"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}
        first, second = provisioners._elbv2_listener_actions(
            {"Actions": [one, two]}, None, "Actions"
        )
        self.assertEqual(forwarding.weighted_groups(first), [("blue", 1)])
        self.assertEqual(forwarding.weighted_groups(second), [("blue", 1), ("green", 0)])

    def test_weights_are_set_and_groups_added(self) -> None:
        action = {"Type": "forward", "TargetGroupArn": "blue"}
        forwarding.set_weights(action, {"green": 100, "blue": 0})
        self.assertEqual(forwarding.weighted_groups(action), [("blue", 0), ("green", 100)])


class Rules(unittest.TestCase):
    def test_one_that_is_gone_is_an_error(self) -> None:
        alb = fresh().upstream.alb
        alb._rules["one"] = {"RuleArn": "one", "Priority": "1", "Actions": [TWO]}
        status, _, body = alb._describe_rules({"RuleArns.member.1": ["one"]})
        self.assertEqual(status, 200)
        self.assertIn(b"<TargetGroupArn>green</TargetGroupArn><Weight>1</Weight>", body)
        status, _, body = alb._describe_rules({"RuleArns.member.1": ["two"]})
        self.assertEqual(status, 400)
        self.assertIn(b"<Code>RuleNotFound</Code>", body)


class Requests(unittest.TestCase):
    def test_are_counted_until_they_are_answered(self) -> None:
        emulator = fresh()
        unanswered = emulator.scheduler.load_balancer.unanswered
        alb = emulator.upstream.alb
        alb._tgs["blue"] = {"TargetGroupArn": "blue", "TargetType": "ip"}
        alb._targets["blue"] = [{"Id": "127.0.0.1", "Port": 9}]
        seen = []

        async def answer(*_: object) -> tuple[int, Record, bytes]:
            seen.append(unanswered["blue"])
            return 200, {}, b""

        with mock.patch.object(alb, "_proxy_http_target", answer):
            asyncio.run(alb._forward_to_tg("blue", "GET", "/", {}, b"", {}))
        self.assertEqual(seen, [1])
        self.assertEqual(unanswered["blue"], 0)

    def forwarded(self, action: Record, count: int) -> collections.Counter[str]:
        """Returns how many requests each group got."""
        alb = fresh().upstream.alb
        seen: collections.Counter[str] = collections.Counter()

        async def forward(group: str, *_arguments: object) -> tuple[int, Record, bytes]:
            seen[group] += 1
            return 200, {}, b""

        async def send() -> None:
            for _ in range(count):
                status, _, _ = await alb._execute_actions([action], "GET", "/", {}, b"", {})
                seen[str(status)] += 1

        with mock.patch.object(alb, "_forward_to_tg", forward):
            asyncio.run(send())
        return seen

    def test_follow_the_weights(self) -> None:
        seen = self.forwarded(TWO, 2000)
        self.assertEqual(seen["blue"] + seen["green"], 2000)
        # Six standard deviations: by chance wrong once in a billion runs.
        self.assertLess(abs(seen["green"] - 500), 117)

    def test_a_group_without_weight_gets_none(self) -> None:
        groups = [
            {"TargetGroupArn": "blue", "Weight": 0},
            {"TargetGroupArn": "green", "Weight": 1},
        ]
        seen = self.forwarded({"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}, 50)
        self.assertEqual(seen, {"green": 50, "200": 50})

    def test_no_weight_at_all(self) -> None:
        groups = [{"TargetGroupArn": "blue", "Weight": 0}]
        seen = self.forwarded({"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}, 3)
        self.assertEqual(seen, {"503": 3})

    def test_one_group(self) -> None:
        seen = self.forwarded({"Type": "forward", "TargetGroupArn": "blue"}, 3)
        self.assertEqual(seen, {"blue": 3, "200": 3})


if __name__ == "__main__":
    unittest.main()
