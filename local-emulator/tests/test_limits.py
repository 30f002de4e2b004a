"""What tasks, Docker calls and CloudFormation may ask for."""

import subprocess
import sys
import unittest
from pathlib import Path

from local_emulator import docker_calls, fargate, sandbox
from local_emulator.upstream import Record

CONTAINER: Record = {
    "Image": "i",
    "Labels": {"ministack": "ecs"},
    "HostConfig": {"NetworkMode": "default", "Binds": None},
}
FOLDER = Path(__file__).parent.parent


class Tasks(unittest.TestCase):
    def test_what_fargate_runs(self) -> None:
        linux = {"Capabilities": {"Drop": ["ALL"], "Add": ["SYS_PTRACE"]}}
        container = {"LinuxParameters": linux, "Privileged": False}
        for task in [
            {
                "NetworkMode": "awsvpc",
                "Volumes": [{"Name": "v"}],
                "ContainerDefinitions": [container],
            },
            {
                "networkMode": "awsvpc",
                "pidMode": "task",
                "volumes": [{"name": "v", "host": {}}],
            },
        ]:
            self.assertIsNone(fargate.forbidden_in_task(task))

    def test_what_it_does_not(self) -> None:
        capabilities = {"Capabilities": {"Add": ["SYS_PTRACE", "ALL"]}}
        devices = {"devices": [{"hostPath": "/dev/mem"}]}
        docker_volume = {"name": "v", "dockerVolumeConfiguration": {"driver": "local"}}
        forbidden: list[Record] = [
            {"networkMode": None},
            {"NetworkMode": "host"},
            {"pidMode": "host"},
            {"IpcMode": "task"},
            {"Volumes": [{"Name": "v", "Host": {"SourcePath": "/"}}]},
            {"volumes": [docker_volume]},
            {"containerDefinitions": [{}, {"Privileged": "true"}]},
            {"containerDefinitions": [{"linuxParameters": devices}]},
            {"ContainerDefinitions": [{"LinuxParameters": capabilities}]},
            {"containerDefinitions": [{"dockerSecurityOptions": ["label:disable"]}]},
        ]
        for more in forbidden:
            task = {"networkMode": "awsvpc", **more}
            self.assertIsNotNone(fargate.forbidden_in_task(task), more)


class DockerCalls(unittest.TestCase):
    def test_what_a_task_needs(self) -> None:
        for method, path in [
            ("GET", "/v1.41/containers/json"),
            ("POST", "/v1.41/containers/a/start"),
            ("POST", "/v1.41/containers/a/stop"),
            ("DELETE", "/v1.41/containers/a"),
            ("POST", "/v1.41/images/create"),
            ("POST", "/images/localhost:4566/a/tag"),
        ]:
            self.assertIsNone(docker_calls.forbidden_call(method, path, {}), path)
        create = "/v1.41/containers/create"
        self.assertIsNone(docker_calls.forbidden_call("POST", create, CONTAINER))

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
            self.assertIsNotNone(docker_calls.forbidden_call(method, path, {}), path)

    def test_forbidden_settings_of_a_container(self) -> None:
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
            create = "/v1.41/containers/create"
            self.assertIsNotNone(docker_calls.forbidden_call("POST", create, container), key)
        forbidden: list[Record] = [
            {"Labels": None},
            {"Labels": {"ministack": "lambda"}},
            {"NetworkingConfig": {"EndpointsConfig": {"x": {}}}},
        ]
        for more in forbidden:
            self.assertIsNotNone(docker_calls.forbidden_container({**CONTAINER, **more}), more)

    def test_the_registry_of_this_emulator(self) -> None:
        self.assertTrue(docker_calls.is_at("localhost:4566/a@sha256:0", "4566"))
        for other in [
            "localhost:4567/a",
            "registry.example/localhost:4566/a",
            "localhost:45660/a",
            "a",
        ]:
            self.assertFalse(docker_calls.is_at(other, "4566"), other)


class Sandbox(unittest.TestCase):
    def test_resource_types(self) -> None:
        for kept in ["AWS::ECS::Service", "AWS::IAM::Role", "AWS::EC2::VPC"]:
            self.assertTrue(sandbox.is_allowed_resource(kept), kept)
        for other in [
            "AWS::Lambda::Function",
            "AWS::RDS::DBInstance",
            "Custom::ECS::Service",
            "AWS::CloudFormation::Stack",
            "AWS::ECS",
        ]:
            self.assertFalse(sandbox.is_allowed_resource(other), other)

    def test_no_program_is_started(self) -> None:
        for attempt in [
            "os.system('true')",
            "subprocess.run(['true'])",
            "os.execv('/bin/true', ['true'])",
            "os.fork()",
            "os.posix_spawn('/bin/true', ['true'], {})",
        ]:
            script = (
                "import os, subprocess, sys; from local_emulator import sandbox; "
                f"sys.addaudithook(sandbox.refuse_programs); {attempt}"
            )
            ended = subprocess.run(
                [sys.executable, "-B", "-c", script],
                capture_output=True,
                text=True,
                check=False,
                cwd=FOLDER,
            )
            self.assertIn("PermissionError: the emulator starts no programs", ended.stderr)

    def test_credential_helpers(self) -> None:
        self.assertTrue(sandbox.is_credential_helper("/usr/bin/docker-credential-pass"))
        self.assertFalse(sandbox.is_credential_helper("/usr/bin/docker-credential-pass/../sh"))


if __name__ == "__main__":
    unittest.main()
