"""Who may ask."""

import base64
import unittest

from local_emulator import access
from local_emulator.credentials import Credentials


def host(*values: str) -> access.Headers:
    return [(b"host", value.encode()) for value in values]


class Hosts(unittest.TestCase):
    def test_one_valid_host(self) -> None:
        for given, expected in [
            ("A.Example:80", "a.example"),
            ("[::1]:4566", "[::1]"),
            ("127.0.0.1", "127.0.0.1"),
        ]:
            self.assertEqual(access.host_name(host(given)), expected)
        for wrong in [
            (),
            ("a", "a"),
            ("",),
            ("a b",),
            ("u@a",),
            ("a:b",),
            ("a:80:80",),
            ("a, b",),
            ("[::1",),
        ]:
            with self.assertRaises(access.RefusedError):
                access.host_name(host(*wrong))

    def test_referrers(self) -> None:
        digest = "sha256:" + "0" * 64
        found = access.referrers_path(f"/v2/a/b/referrers/{digest}")
        self.assertEqual(found, ("a/b", digest))
        for other in ["/v2/", f"/v2/a/manifests/{digest}", f"/v2/a/referrers/{digest}/x"]:
            self.assertIsNone(access.referrers_path(other), other)

    def test_this_machine(self) -> None:
        for ours in ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"]:
            self.assertTrue(access.is_this_machine(ours), ours)
        for other in [
            "evil.example",
            "evil.localhost",
            "localhost.",
            "0.0.0.0",
            "10.0.0.1",
            "[::]",
            "127.0.0.1.nip.io",
            "1",
        ]:
            self.assertFalse(access.is_this_machine(other), other)

    def test_load_balancers(self) -> None:
        self.assertTrue(access.is_load_balancer("clock.alb.localhost"))
        self.assertTrue(access.is_load_balancer("clock-1.us-east-1.elb.amazonaws.com"))
        for other in [
            "alb.localhost",
            "evil-alb.localhost",
            "elb.amazonaws.com",
            "x.elb.amazonaws.com.evil.example",
        ]:
            self.assertFalse(access.is_load_balancer(other), other)

    def test_web_pages(self) -> None:
        access.require_no_web_page(
            [(b"Accept", b"*/*"), (b"Sec-Fetch-Site", b"none"), (b"sec-fetch-site", b"same-origin")]
        )
        for header in [
            (b"Origin", b"null"),
            (b"origin", b"http://127.0.0.1:4566"),
            (b"Sec-Fetch-Site", b"same-site"),
            (b"sec-fetch-site", b""),
        ]:
            with self.assertRaises(access.RefusedError):
                access.require_no_web_page([header])


class Registry(unittest.TestCase):
    def test_only_its_password_opens_it(self) -> None:
        credentials = Credentials("LOCAL" * 4, "s" * 64)
        password = credentials.registry_password()
        self.assertNotIn(credentials.secret, (password, credentials.proof("")))
        self.assertNotEqual(password, credentials.proof("registry"))

        def basic(text: str) -> str:
            return "Basic " + base64.b64encode(text.encode()).decode()

        self.assertTrue(credentials.opens_registry(basic(f"AWS:{password}")))
        for wrong in [
            "",
            "Basic",
            "Basic !",
            basic("AWS:"),
            basic(f"aws:{password}"),
            basic(f"AWS:{credentials.secret}"),
            f"Bearer {password}",
        ]:
            self.assertFalse(credentials.opens_registry(wrong), wrong)


if __name__ == "__main__":
    unittest.main()
