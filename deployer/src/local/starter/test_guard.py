"""The guard's rules, without the emulator. Usage: python3 -m unittest, in this folder."""

import base64
import subprocess
import sys
import unittest

import guard

CONTAINER = {"Image": "i", "Labels": {"ministack": "ecs"}, "HostConfig": {"NetworkMode": "default", "Binds": None}}


def host(*values: str) -> list[tuple[bytes, bytes]]:
    return [(b"host", value.encode()) for value in values]


class Who(unittest.TestCase):
    def test_one_valid_host(self) -> None:
        for given, expected in [("A.Example:80", "a.example"), ("[::1]:4566", "[::1]"), ("127.0.0.1", "127.0.0.1")]:
            self.assertEqual(guard.host_name(host(given)), expected)
        for wrong in [(), ("a", "a"), ("",), ("a b",), ("u@a",), ("a:b",), ("a:80:80",), ("a, b",), ("[::1",)]:
            with self.assertRaises(guard.Refused):
                guard.host_name(host(*wrong))

    def test_this_machine(self) -> None:
        for ours in ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"]:
            self.assertTrue(guard.is_this_machine(ours), ours)
        for other in ["evil.example", "evil.localhost", "localhost.", "0.0.0.0", "10.0.0.1", "[::]", "127.0.0.1.nip.io", "1"]:
            self.assertFalse(guard.is_this_machine(other), other)

    def test_load_balancers(self) -> None:
        self.assertTrue(guard.is_load_balancer("clock.alb.localhost"))
        self.assertTrue(guard.is_load_balancer("clock-1.us-east-1.elb.amazonaws.com"))
        for other in ["alb.localhost", "evil-alb.localhost", "elb.amazonaws.com", "x.elb.amazonaws.com.evil.example"]:
            self.assertFalse(guard.is_load_balancer(other), other)

    def test_pages(self) -> None:
        guard.require_no_web_page([(b"Accept", b"*/*"), (b"Sec-Fetch-Site", b"none"), (b"sec-fetch-site", b"same-origin")])
        for header in [(b"Origin", b"null"), (b"origin", b"http://127.0.0.1:4566"), (b"Sec-Fetch-Site", b"same-site"), (b"sec-fetch-site", b"")]:
            with self.assertRaises(guard.Refused):
                guard.require_no_web_page([header])

    def test_the_registry(self) -> None:
        credentials = guard.Credentials("LOCAL" * 4, "s" * 64)
        password = credentials.registry_password()
        self.assertNotIn(credentials.secret, (password, credentials.proof("")))
        self.assertNotEqual(password, credentials.proof("registry"))

        def basic(text: str) -> str:
            return "Basic " + base64.b64encode(text.encode()).decode()

        self.assertTrue(credentials.opens_registry(basic(f"AWS:{password}")))
        for wrong in ["", "Basic", "Basic !", basic("AWS:"), basic(f"aws:{password}"), basic(f"AWS:{credentials.secret}"), f"Bearer {password}"]:
            self.assertFalse(credentials.opens_registry(wrong), wrong)


class Task(unittest.TestCase):
    def test_what_fargate_runs(self) -> None:
        capabilities = {"LinuxParameters": {"Capabilities": {"Drop": ["ALL"], "Add": ["SYS_PTRACE"]}}, "Privileged": False}
        task = {"NetworkMode": "awsvpc", "Volumes": [{"Name": "v"}], "ContainerDefinitions": [capabilities]}
        self.assertIsNone(guard.forbidden_in_task(task))
        self.assertIsNone(guard.forbidden_in_task({"networkMode": "awsvpc", "pidMode": "task", "volumes": [{"name": "v", "host": {}}]}))

    def test_what_it_does_not(self) -> None:
        for more in [
            {"networkMode": None},
            {"NetworkMode": "host"},
            {"pidMode": "host"},
            {"IpcMode": "task"},
            {"Volumes": [{"Name": "v", "Host": {"SourcePath": "/"}}]},
            {"volumes": [{"name": "v", "dockerVolumeConfiguration": {"driver": "local"}}]},
            {"containerDefinitions": [{}, {"Privileged": "true"}]},
            {"containerDefinitions": [{"linuxParameters": {"devices": [{"hostPath": "/dev/mem"}]}}]},
            {"ContainerDefinitions": [{"LinuxParameters": {"Capabilities": {"Add": ["SYS_PTRACE", "ALL"]}}}]},
            {"containerDefinitions": [{"dockerSecurityOptions": ["label:disable"]}]},
        ]:
            self.assertIsNotNone(guard.forbidden_in_task({"networkMode": "awsvpc", **more}), more)


class Engine(unittest.TestCase):
    def test_what_a_task_needs(self) -> None:
        for method, path in [
            ("GET", "/v1.41/containers/json"),
            ("POST", "/v1.41/containers/a/start"),
            ("POST", "/v1.41/containers/a/stop"),
            ("DELETE", "/v1.41/containers/a"),
            ("POST", "/v1.41/images/create"),
            ("POST", "/images/localhost:4566/a/tag"),
        ]:
            self.assertIsNone(guard.forbidden_call(method, path, {}), path)
        self.assertIsNone(guard.forbidden_call("POST", "/v1.41/containers/create", CONTAINER))

    def test_and_nothing_else(self) -> None:
        for method, path in [
            ("POST", "/v1.41/containers/a/exec"),
            ("POST", "/v1.41/containers/a/update"),
            ("POST", "/v1.41/exec/a/start"),
            ("PUT", "/v1.41/containers/a/archive"),
            ("POST", "/v1.41/build"),
            ("POST", "/v1.41/volumes/create"),
            ("POST", "/v1.41/networks/create"),
            ("POST", "/v1.41/plugins/pull"),
            ("POST", "/v1.41/swarm/init"),
            ("DELETE", "/v1.41/images/a"),
        ]:
            self.assertIsNotNone(guard.forbidden_call(method, path, {}), path)
        for key, value in [
            ("Privileged", True),
            ("Binds", ["/:/host"]),
            ("Mounts", [{"Type": "bind", "Source": "/"}]),
            ("VolumesFrom", ["other"]),
            ("NetworkMode", "host"),
            ("NetworkMode", "container:other"),
            ("PidMode", "host"),
            ("IpcMode", "host"),
            ("UTSMode", "host"),
            ("UsernsMode", "host"),
            ("CgroupnsMode", "host"),
            ("CapAdd", ["SYS_ADMIN"]),
            ("Devices", [{"PathOnHost": "/dev/sda"}]),
            ("DeviceCgroupRules", ["a *:* rwm"]),
            ("SecurityOpt", ["seccomp=unconfined"]),
            ("PortBindings", {"80/tcp": [{"HostPort": "80"}]}),
            ("PublishAllPorts", True),
            ("Runtime", "other"),
            ("Unheard", "of"),
        ]:
            container = {**CONTAINER, "HostConfig": {key: value}}
            self.assertIsNotNone(guard.forbidden_call("POST", "/v1.41/containers/create", container), key)
        for more in [{"Labels": None}, {"Labels": {"ministack": "lambda"}}, {"NetworkingConfig": {"EndpointsConfig": {"x": {}}}}]:
            self.assertIsNotNone(guard.forbidden_container({**CONTAINER, **more}), more)

    def test_the_registry_of_this_emulator(self) -> None:
        self.assertTrue(guard.is_at("localhost:4566/a@sha256:0", "4566"))
        for other in ["localhost:4567/a", "registry.example/localhost:4566/a", "localhost:45660/a", "a"]:
            self.assertFalse(guard.is_at(other, "4566"), other)


class Programs(unittest.TestCase):
    def test_resource_types(self) -> None:
        for kept in ["AWS::ECS::Service", "AWS::IAM::Role", "AWS::EC2::VPC"]:
            self.assertTrue(guard.is_made(kept), kept)
        for other in ["AWS::Lambda::Function", "AWS::RDS::DBInstance", "Custom::ECS::Service", "AWS::CloudFormation::Stack", "AWS::ECS"]:
            self.assertFalse(guard.is_made(other), other)

    def test_none_is_started(self) -> None:
        attempts = "os.system('true')", "subprocess.run(['true'])", "os.execv('/bin/true', ['true'])", "os.fork()"
        for attempt in (*attempts, "os.posix_spawn('/bin/true', ['true'], {})"):
            script = f"import guard, os, subprocess, sys; sys.addaudithook(guard.refuse_programs); {attempt}"
            ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
            self.assertIn("PermissionError: the emulator starts no programs", ended.stderr)
        self.assertTrue(guard.is_credential_helper("/usr/bin/docker-credential-pass"))
        self.assertFalse(guard.is_credential_helper("/usr/bin/docker-credential-pass/../sh"))


if __name__ == "__main__":
    unittest.main()
