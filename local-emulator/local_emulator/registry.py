"""Amazon ECR: a deleted image is gone."""

from __future__ import annotations

from typing import Any

from .upstream import Upstream


class Registry:
    """Changes to the emulator's ECR."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream, self.ecr = upstream, upstream.ecr

    def install(self) -> None:
        self.resolve_manifest = self.upstream.replace(
            self.ecr, "_resolve_manifest", self.on_resolve_manifest
        )

    def on_resolve_manifest(self, name: str, ref: str) -> Any:
        """Finds a manifest only if the repository lists its image.

        The emulator keeps manifests of deleted repositories. A new repository of the same name
        would serve them, and with the wrong media type.
        """
        digest, blob, media_type = self.resolve_manifest(name, ref)
        if any(image.get("imageDigest") == digest for image in self.ecr._images.get(name, [])):
            return digest, blob, media_type
        return None, None, None
