"""Reads what is attached to an image with libraries of others, and validates it strictly.

Usage: validate.py REGISTRY/NAME DIGEST. Prints the types that were found, one a line.
With `-` and the type of a predicate, validates that predicate from standard input.
"""

import json
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import oras.client
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
from in_toto_attestation.v1 import resource_descriptor_pb2, statement_pb2
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement

SBOM = "application/vnd.cyclonedx+json"
STATEMENT = "application/vnd.in-toto+json"
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def main(repository: str, digest: str) -> None:
    client = oras.client.OrasClient(insecure=True)
    for entry in listed(client, repository, digest):
        target = f"{repository}@{entry['digest']}"
        manifest = client.get_manifest(target, allowed_media_type=[MANIFEST])
        expect(manifest["subject"]["digest"] == digest, "the subject is the image")
        expect(manifest["artifactType"] == entry["artifactType"], "one type")
        with tempfile.TemporaryDirectory() as folder:
            layer = manifest["layers"][0]
            path = Path(folder) / "content"
            client.download_blob(target, layer["digest"], str(path))
            content = path.read_text()
        if layer["mediaType"] == SBOM:
            error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(content)
            expect(error is None, f"a valid SBOM: {error}")
            print(SBOM)
        else:
            expect(layer["mediaType"] == STATEMENT, layer["mediaType"])
            kind = statement(content, digest)
            expect(
                entry["annotations"]["in-toto.io/predicate-type"] == kind, "annotated"
            )
            print(kind)


def listed(
    client: oras.client.OrasClient, repository: str, digest: str
) -> list[dict[str, Any]]:
    """Returns what refers to the image: by the registry's API, or by the tag in its place."""
    registry, _, name = repository.partition("/")
    answer = client.do_request(f"http://{registry}/v2/{name}/referrers/{digest}", "GET")
    if answer.status_code == 404:
        tag = digest.replace(":", "-")
        headers = {"Accept": INDEX}
        url = f"http://{registry}/v2/{name}/manifests/{tag}"
        answer = client.do_request(url, "GET", headers=headers)
    expect(answer.status_code == 200, f"a list: {answer.status_code} {answer.text}")
    index = answer.json()
    expect(index["mediaType"] == INDEX and index["schemaVersion"] == 2, "an index")
    return index["manifests"]


def statement(content: str, digest: str) -> str:
    """Validates an in-toto statement. Unknown fields are errors."""
    parsed = json_format.Parse(content, statement_pb2.Statement())
    whole = Statement.copy_from_pb(parsed)
    whole.validate()
    subject = parsed.subject[0]
    expect(f"sha256:{subject.digest['sha256']}" == digest, "about the image")
    predicate = json.dumps(json.loads(content)["predicate"])
    validate(parsed.predicate_type, predicate)
    return str(parsed.predicate_type)


def validate(kind: str, predicate: str) -> None:
    """Validates a predicate of this type."""
    if kind == "https://slsa.dev/provenance/v1":
        provenance = json_format.Parse(predicate, provenance_pb2.Provenance())
        definition = provenance.build_definition
        expect(bool(definition.build_type), "a build type")
        expect(len(definition.external_parameters) > 0, "parameters")
        expect(bool(provenance.run_details.builder.id), "a builder")
        described(definition.resolved_dependencies)
    elif kind == "https://in-toto.io/attestation/test-result/v0.1":
        result = json_format.Parse(predicate, test_result_pb2.TestResult())
        expect(result.result in ("PASSED", "WARNED"), result.result)
        expect(len(result.configuration) > 0, "a configuration")
        described(result.configuration)
    else:
        raise SystemExit(f"unknown predicate {kind}")


def described(resources: Iterable[resource_descriptor_pb2.ResourceDescriptor]) -> None:
    for resource in resources:
        ResourceDescriptor.copy_from_pb(resource).validate()


def expect(is_right: bool, what: str) -> None:
    if not is_right:
        raise SystemExit(f"not as expected: {what}")


if __name__ == "__main__":
    if sys.argv[1] == "-":
        validate(sys.argv[2], sys.stdin.read())
    else:
        main(*sys.argv[1:])
