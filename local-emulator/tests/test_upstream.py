"""The emulator that is installed is the one that this addition changes."""

import re
import unittest
from pathlib import Path
from unittest import mock

from local_emulator import upstream
from local_emulator.upstream import EXPECTED, UnexpectedEmulatorError, Upstream

PACKAGE = Path(upstream.__file__).parent


class Fits(unittest.TestCase):
    def test_the_installed_version(self) -> None:
        self.assertEqual(Upstream().differences(), [])

    def test_everything_used_is_expected(self) -> None:
        for short, module in [
            ("app", "app"),
            ("alb", "services.alb"),
            ("ecr", "services.ecr"),
            ("ecs", "services.ecs"),
            ("responses", "core.responses"),
            ("concurrency", "core.concurrency"),
            ("sigv4", "core.sigv4"),
        ]:
            expected = set(re.findall(r"^ +(\w+)", EXPECTED[module], re.MULTILINE))
            for file in PACKAGE.glob("*.py"):
                text = file.read_text(encoding="utf-8")
                used = set(re.findall(rf"\b(?:self|upstream)\.{short}\.(\w+)", text))
                used |= set(re.findall(rf"\b{short}, \"(\w+)\"", text))
                self.assertEqual(used - expected, set(), file.name)


class NotSupported(unittest.TestCase):
    def refusal(self) -> str:
        with self.assertRaises(UnexpectedEmulatorError) as caught:
            Upstream()
        return str(caught.exception)

    def test_another_version(self) -> None:
        with mock.patch("importlib.metadata.version", return_value="9.9.9"):
            refusal = self.refusal()
        self.assertIn("does not support version 9.9.9: the version is another", refusal)

    def test_a_function_with_other_parameters(self) -> None:
        with mock.patch("ministack.services.ecs._stop_task", lambda task, reason: (task, reason)):
            refusal = self.refusal()
        self.assertIn("services.ecs._stop_task takes (task, reason) instead of (data)", refusal)

    def test_a_function_that_is_missing(self) -> None:
        ecs = Upstream().ecs
        with mock.patch.object(ecs, "_task_ip"):
            del ecs._task_ip
            refusal = self.refusal()
        self.assertIn("services.ecs._task_ip is missing", refusal)

    def test_a_handler_that_is_missing(self) -> None:
        handlers = Upstream().handlers()
        with mock.patch.dict(handlers):
            del handlers["AWS::ECS::Service"]
            refusal = self.refusal()
        self.assertIn("create of AWS::ECS::Service is missing", refusal)


if __name__ == "__main__":
    unittest.main()
