"""What Docker is told of a task's container."""

import unittest
from unittest import mock

from local_emulator import containers
from local_emulator.docker_calls import forbidden_container
from local_emulator.numbers import CONTAINER, converted
from local_emulator.upstream import Record

from .emulator import fresh

TEMPLATE: Record = {
    "Name": "app",
    "Image": "image",
    "User": "65532:65532",
    "Essential": "true",
    "ReadonlyRootFilesystem": "true",
    "Environment": [{"Name": "PORT", "Value": "9090"}],
    "PortMappings": [{"ContainerPort": "9090"}],
    "MountPoints": [{"SourceVolume": "data", "ContainerPath": "/data"}],
    "Secrets": [{"Name": "TOKEN", "ValueFrom": "arn:aws:secretsmanager:x:y:secret:z"}],
    "LinuxParameters": {
        "Capabilities": {"Drop": ["ALL"]},
        "InitProcessEnabled": "true",
        "Tmpfs": [{"ContainerPath": "/run", "Size": "16", "MountOptions": ["noexec"]}],
    },
}
TASK: Record = {"cpu": "256", "memory": "512", "volumes": [{"Name": "data"}]}


class Definitions(unittest.TestCase):
    def normalized(self) -> Record:
        provisioners = fresh().upstream.provisioners
        (container,) = provisioners._normalize_container_defs([TEMPLATE])
        return dict(container)

    def test_of_a_template(self) -> None:
        container = self.normalized()
        self.assertIs(container["readonlyRootFilesystem"], True)
        self.assertIs(container["essential"], True)
        self.assertEqual(container["portMappings"], [{"containerPort": 9090}])
        self.assertEqual(container["environment"], [{"name": "PORT", "value": "9090"}])
        self.assertEqual(container["secrets"][0]["name"], "TOKEN")
        self.assertEqual(container["linuxParameters"]["tmpfs"][0]["size"], 16)

    def test_settings(self) -> None:
        settings = containers.settings(self.normalized(), TASK)
        self.assertEqual(
            settings,
            {
                "user": "65532:65532",
                "read_only": True,
                "cap_drop": ["ALL"],
                "init": True,
                "mem_limit": "512m",
                "memswap_limit": "512m",
                "nano_cpus": 250_000_000,
                "tmpfs": {"/data": "rw,mode=0755", "/run": "size=16m,noexec"},
            },
        )

    def test_nothing_is_invented(self) -> None:
        self.assertEqual(containers.settings({"name": "app"}, {}), {})

    def test_limits(self) -> None:
        self.assertEqual(containers.memory_of({"memory": 128}, {"memory": "512"}), 128)
        self.assertEqual(containers.memory_of({}, {"memory": "512"}), 512)
        self.assertEqual(containers.memory_of({"memory": 1}, {}), 6)
        # Docker refuses more processors than there are.
        with mock.patch("os.cpu_count", return_value=2):
            cpus = containers.settings({}, {"cpu": "4096"})["nano_cpus"]
        self.assertEqual(cpus, 2_000_000_000)

    def test_read_only_volumes_and_those_of_the_host(self) -> None:
        container = {
            "mountPoints": [
                {"sourceVolume": "data", "containerPath": "/data", "readOnly": True},
                {"sourceVolume": "host", "containerPath": "/host"},
            ]
        }
        task = {"volumes": [{"name": "data"}, {"name": "host", "host": {"sourcePath": "/"}}]}
        self.assertEqual(containers.mounts(container, task), {"/data": "ro,mode=0755"})

    def test_secrets_that_do_not_exist(self) -> None:
        ecs = fresh().upstream.ecs
        with self.assertRaises(ecs._SecretResolutionError):
            ecs._resolve_container_secrets(self.normalized())

    def test_entry_point_and_folder(self) -> None:
        container = {"entryPoint": ["/app"], "workingDirectory": "/srv"}
        settings = containers.settings(container, {})
        self.assertEqual(settings, {"entrypoint": ["/app"], "working_dir": "/srv"})


class Volumes(unittest.TestCase):
    def test_those_of_the_image_stay_with_docker(self) -> None:
        config: Record = {
            "Image": "image",
            "HostConfig": {"Tmpfs": {"/data": "rw,mode=0755", "/other": "rw,mode=0755"}},
        }
        containers.keep_image_volumes(config, lambda _image: {"/data": {}})
        self.assertEqual(config["HostConfig"]["Tmpfs"], {"/other": "rw,mode=0755"})

    def test_the_image_is_asked_only_where_there_are_folders(self) -> None:
        containers.keep_image_volumes({"HostConfig": {"Tmpfs": None}}, self.fail)

    def test_the_guard_lets_limits_through(self) -> None:
        host = {
            "NetworkMode": "default",
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "Memory": 1,
            "MemorySwap": 1,
            "NanoCpus": 1,
            "Tmpfs": {"/data": "rw"},
            "Init": True,
        }
        config = {"Labels": {"ministack": "ecs"}, "HostConfig": host}
        self.assertIsNone(forbidden_container(config))


class Numbers(unittest.TestCase):
    def test_what_is_text_stays_text(self) -> None:
        container = {"cpu": "128", "dockerLabels": {"cpu": "1"}, "name": "7"}
        expected = {"cpu": 128, "dockerLabels": {"cpu": "1"}, "name": "7"}
        self.assertEqual(converted(container, CONTAINER), expected)


if __name__ == "__main__":
    unittest.main()
