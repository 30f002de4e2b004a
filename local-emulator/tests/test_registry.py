"""What the registry lists of an image."""

import json
import unittest

from local_emulator.registry import INDEX, REFERRERS, referrers
from local_emulator.upstream import Record

from .emulator import installed

IMAGE = "sha256:" + "1" * 64
OTHER = "sha256:" + "2" * 64


def artifact(digit: str, subject: str | None, **fields: object) -> Record:
    manifest: Record = {"mediaType": "m", "config": {"mediaType": "c"}, **fields}
    if subject:
        manifest["subject"] = {"digest": subject}
    return {"imageDigest": f"sha256:{digit * 64}", "imageManifest": json.dumps(manifest)}


class Referrers(unittest.TestCase):
    def test_only_what_refers_to_the_image_is_listed(self) -> None:
        images = [
            artifact("1", None),
            artifact("3", IMAGE, artifactType="t", annotations={"a": "b"}),
            artifact("4", OTHER),
            artifact("5", IMAGE),
        ]
        index = referrers(images, IMAGE)
        self.assertEqual(index["mediaType"], INDEX)
        first, second = index["manifests"]
        self.assertEqual((first["artifactType"], first["annotations"]), ("t", {"a": "b"}))
        self.assertEqual(first["size"], len(images[1]["imageManifest"]))
        # Without a type of its own, the configuration's counts.
        self.assertEqual((second["artifactType"], second.get("annotations")), ("c", None))
        self.assertEqual(referrers(images, "sha256:" + "9" * 64)["manifests"], [])

    def test_the_path_is_one_of_the_registry(self) -> None:
        upstream = installed().upstream
        path = f"/v2/team/app/referrers/{IMAGE}"
        self.assertTrue(upstream.app._is_ecr_registry_path(path))
        expected = ("manifest", "team/app", REFERRERS + IMAGE)
        self.assertEqual(upstream.ecr._parse_v2_path(path), expected)
        blob = upstream.ecr._parse_v2_path(f"/v2/team/app/blobs/{IMAGE}")
        self.assertEqual(blob, ("blob", "team/app", IMAGE))
