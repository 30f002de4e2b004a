"""Amazon ECR: a deleted image is gone, and what refers to an image is listed."""

from __future__ import annotations

import json
from typing import Any

from .access import referrers_path
from .upstream import Record, Upstream

INDEX = "application/vnd.oci.image.index.v1+json"
# Stands before the digest of an image in place of a manifest's reference.
REFERRERS = "referrers:"


class Registry:
    """Changes to the emulator's ECR."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream, self.ecr = upstream, upstream.ecr

    def install(self) -> None:
        replace = self.upstream.replace
        self.resolve_manifest = replace(self.ecr, "_resolve_manifest", self.on_resolve_manifest)
        self.parse_path = replace(self.ecr, "_parse_v2_path", self.on_parse_path)
        self.is_path = replace(self.upstream.app, "_is_ecr_registry_path", self.on_is_path)

    def on_resolve_manifest(self, name: str, ref: str) -> Any:
        """Finds a manifest only if the repository lists its image.

        The emulator keeps manifests of deleted repositories. A new repository of the same name
        would serve them, and with the wrong media type.
        """
        if ref.startswith(REFERRERS):
            index = referrers(self.ecr._images.get(name, []), ref.removeprefix(REFERRERS))
            return ref.removeprefix(REFERRERS), json.dumps(index).encode(), INDEX
        digest, blob, media_type = self.resolve_manifest(name, ref)
        if any(image.get("imageDigest") == digest for image in self.ecr._images.get(name, [])):
            return digest, blob, media_type
        return None, None, None

    def on_is_path(self, path: str) -> bool:
        return referrers_path(path) is not None or self.is_path(path)

    def on_parse_path(self, path: str) -> Any:
        """Reads the list of referrers as a manifest of its own."""
        found = referrers_path(path)
        return ("manifest", found[0], REFERRERS + found[1]) if found else self.parse_path(path)


def referrers(images: list[Record], subject: str) -> Record:
    """Lists the manifests whose subject is an image, as ECR does.

    The OCI distribution specification describes it under "Listing Referrers".
    """
    manifests = []
    for image in images:
        text = image.get("imageManifest", "{}")
        manifest = json.loads(text)
        if (manifest.get("subject") or {}).get("digest") != subject:
            continue
        entry = {
            "mediaType": manifest.get("mediaType"),
            "digest": image["imageDigest"],
            "size": len(text.encode()),
            "artifactType": manifest.get("artifactType") or manifest["config"]["mediaType"],
        }
        if manifest.get("annotations"):
            entry["annotations"] = manifest["annotations"]
        manifests.append(entry)
    return {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
