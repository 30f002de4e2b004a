"""A target's health, with real requests."""

import http.server
import socket
import threading
import unittest
from collections.abc import Iterator
from contextlib import contextmanager

from local_emulator import health
from local_emulator.health import Health, Target
from local_emulator.upstream import Record

GROUP: Record = {
    "TargetType": "ip",
    "Port": 8080,
    "HealthCheckPath": "/health",
    "HealthCheckTimeoutSeconds": 5,
    "HealthyThresholdCount": 2,
    "UnhealthyThresholdCount": 2,
}
BAD = health.mismatch(500)


@contextmanager
def serving(status: int) -> Iterator[int]:
    """Answers `/health` with this status, and anything else with 418; gives the port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health" else 418)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def states(*answers: Health) -> list[str]:
    """Returns the state after each answer."""
    target = Target(("group", "10.0.0.1", 80), "account", "region", None)
    result = []
    for answer in answers:
        target.record(answer, GROUP)
        result.append(target.health.state)
    return result


class Checks(unittest.TestCase):
    def test_status(self) -> None:
        with serving(200) as port:
            self.assertIs(health.check("127.0.0.1", port, GROUP), health.HEALTHY)
            other = {**GROUP, "HealthCheckPath": "/"}
            self.assertEqual(health.check("127.0.0.1", port, other), health.mismatch(418))
        with serving(204) as port:
            matcher = {**GROUP, "Matcher": {"HttpCode": "200-299"}}
            self.assertIs(health.check("127.0.0.1", port, matcher), health.HEALTHY)
            self.assertEqual(health.check("127.0.0.1", port, GROUP), health.mismatch(204))

    def test_no_answer(self) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
            # Bound but not listening: refused.
            self.assertIs(health.check("127.0.0.1", port, GROUP), health.FAILED)
            listener.listen()
            impatient = {**GROUP, "HealthCheckTimeoutSeconds": 0.1}
            self.assertIs(health.check("127.0.0.1", port, impatient), health.TIMED_OUT)

    def test_matchers(self) -> None:
        for matcher, code, expected in [
            ("200", 200, True),
            ("200", 204, False),
            ("200,204", 204, True),
            ("200-299, 404", 404, True),
            ("200-299", 300, False),
        ]:
            self.assertEqual(health.matches(matcher, code), expected, (matcher, code))

    def test_which_groups_are_checked(self) -> None:
        self.assertTrue(health.is_checked(GROUP))
        for other in [
            None,
            {**GROUP, "TargetType": "lambda"},
            {**GROUP, "HealthCheckProtocol": "HTTPS"},
            {**GROUP, "HealthCheckEnabled": False},
        ]:
            self.assertFalse(health.is_checked(other), other)


class States(unittest.TestCase):
    def test_a_new_target_is_healthy_after_one_success(self) -> None:
        self.assertEqual(states(health.HEALTHY), ["healthy"])
        self.assertEqual(states(BAD, health.HEALTHY), ["initial", "healthy"])

    def test_thresholds(self) -> None:
        good = health.HEALTHY
        self.assertEqual(states(BAD, BAD), ["initial", "unhealthy"])
        self.assertEqual(states(good, BAD, BAD), ["healthy", "healthy", "unhealthy"])
        self.assertEqual(states(good, BAD, good, BAD)[-1], "healthy")
        self.assertEqual(states(BAD, BAD, good, good)[-2:], ["unhealthy", "healthy"])

    def test_the_last_reason_is_told(self) -> None:
        target = Target(("group", "10.0.0.1", 80), "account", "region", None)
        for answer in (BAD, BAD, health.TIMED_OUT):
            target.record(answer, GROUP)
        self.assertIs(target.health, health.TIMED_OUT)


if __name__ == "__main__":
    unittest.main()
