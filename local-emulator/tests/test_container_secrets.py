"""Secrets of a container."""

import json
import unittest

from local_emulator.container_secrets import ContainerSecrets, Reference

from .emulator import fresh

# Neither the account nor the region of the emulator.
ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:clock/db"
PARAMETER = "arn:aws:ssm:eu-central-1:123456789012:parameter"


class Secrets(unittest.TestCase):
    def setUp(self) -> None:
        upstream = fresh().upstream
        upstream.secretsmanager.reset()
        upstream.ssm.reset()
        self.upstream = upstream
        self.secrets = ContainerSecrets(upstream)
        self.create("clock/db", json.dumps({"user": "app", "port": 5432}))

    def create(self, name: str, value: str) -> None:
        self.upstream.secretsmanager.create_secret_in_process(name, value)

    def put_parameter(self, name: str, value: str) -> None:
        parameter = {"Name": name, "Value": value, "Type": "SecureString"}
        self.assertEqual(self.upstream.ssm._put_parameter(parameter)[0], 200)

    def error(self, source: str) -> str:
        with self.assertRaises(self.upstream.ecs._SecretResolutionError) as raised:
            self.secrets.value(source)
        return str(raised.exception)

    def test_a_container_gets_all_of_them(self) -> None:
        self.put_parameter("/clock/token", "t0ken")
        definition = {
            "secrets": [
                {"name": "DATABASE", "valueFrom": ARN},
                {"name": "TOKEN", "valueFrom": f"{PARAMETER}/clock/token"},
            ]
        }
        # By the emulator's own function, which this one replaces.
        values = self.upstream.ecs._resolve_container_secrets(definition)
        self.assertEqual(values, {"DATABASE": '{"user": "app", "port": 5432}', "TOKEN": "t0ken"})
        self.assertEqual(self.upstream.ecs._resolve_container_secrets({}), {})

    def test_part_of_a_secret(self) -> None:
        for source in [f"{ARN}:user::", f"{ARN}-a1B2c3:user::", f"{ARN}:user:AWSCURRENT:"]:
            self.assertEqual(self.secrets.value(source), "app", source)
        self.assertEqual(self.secrets.value(f"{ARN}:port::"), "5432")

    def test_versions(self) -> None:
        self.upstream.secretsmanager.put_secret_value_in_process("clock/db", "new")
        self.assertEqual(self.secrets.value(ARN), "new")
        self.assertEqual(self.secrets.value(f"{ARN}:user:AWSPREVIOUS:"), "app")
        message = self.error(f"{ARN}:::00000000-0000-0000-0000-000000000000")
        self.assertIn("secret value for VersionId: 0000", message)
        self.assertIn("secret value for staging label: OTHER", self.error(f"{ARN}::OTHER:"))

    def test_a_name_that_ends_like_a_suffix(self) -> None:
        self.create("clock-secret", "value")
        arn = ARN.replace("clock/db", "clock-secret")
        self.assertEqual(self.secrets.value(arn), "value")

    def test_names_of_parameters(self) -> None:
        self.put_parameter("/clock/token", "1")
        self.put_parameter("plain", "2")
        for source, value in [
            ("/clock/token", "1"),
            (f"{PARAMETER}/clock/token", "1"),
            ("plain", "2"),
            (f"{PARAMETER}/plain", "2"),
        ]:
            self.assertEqual(self.secrets.value(source), value, source)

    def test_what_does_not_exist(self) -> None:
        retried = "service call has been retried 1 time(s): "
        other = ARN.replace("clock/db", "other")
        self.assertEqual(
            self.error(f"{other}:user::"),
            f"unable to retrieve secret from asm: {retried}failed to fetch secret {other} from "
            "secrets manager: ResourceNotFoundException: Secrets Manager can't find the specified "
            "secret.",
        )
        self.assertEqual(
            self.error(f"{PARAMETER}/other"),
            f"unable to retrieve secrets from ssm: {retried}invalid ssm parameters: /other",
        )
        self.create("text", "not an object")
        for source in [f"{ARN}:password::", ARN.replace("clock/db", "text:key::")]:
            message = self.error(source)
            self.assertIn("from Secrets Manager did not contain json key ", message)
            self.assertNotIn("not an object", message)

    def test_references(self) -> None:
        self.assertEqual(
            Reference.parse(f"{ARN}:key:stage:version"),
            Reference(ARN, "clock/db", "key", "stage", "version"),
        )
        for wrong in ["/clock/token", f"{ARN}:1:2:3:4", "arn:aws:secretsmanager"]:
            self.assertIsNone(Reference.parse(wrong), wrong)
        self.assertIn("unexpected ARN format", self.error(f"{ARN}:1:2:3:4"))
