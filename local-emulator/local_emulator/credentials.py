"""The credentials that each start of the emulator gets."""

from __future__ import annotations

import base64
import binascii
import configparser
import hashlib
import hmac
from pathlib import Path

# The user name that Docker sends and Amazon ECR asks for.
REGISTRY_USER = "AWS"


class Credentials:
    """An access key, and what is derived from its secret."""

    def __init__(self, key_id: str, secret: str) -> None:
        self.key_id, self.secret = key_id, secret

    @classmethod
    def read(cls, path: str) -> Credentials:
        """Reads the default profile of a shared credentials file."""
        file = configparser.ConfigParser(interpolation=None)
        with Path(path).open(encoding="ascii") as text:
            file.read_file(text)
        default = file["default"]
        credentials = cls(default["aws_access_key_id"], default["aws_secret_access_key"])
        if len(credentials.key_id) < 16 or len(credentials.secret) < 32:
            raise ValueError(f"the credentials in `{path}` are too short")
        return credentials

    def proof(self, nonce: str) -> str:
        """Returns proof that this emulator knows the secret, without sending the secret."""
        return hashlib.sha256(f"health:{nonce}:{self.secret}".encode()).hexdigest()

    def registry_password(self) -> str:
        """Returns a second secret for Docker, which keeps it in a file."""
        return hmac.new(self.secret.encode(), b"registry", hashlib.sha256).hexdigest()

    def opens_registry(self, authorization: str) -> bool:
        """Returns whether an `Authorization` header logs in to the registry."""
        scheme, _, encoded = authorization.partition(" ")
        try:
            given = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            return False
        wanted = f"{REGISTRY_USER}:{self.registry_password()}".encode()
        return scheme.lower() == "basic" and hmac.compare_digest(given, wanted)

    def is_key_id(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.key_id.encode())
