"""Freezes the emulator: Python, the packages that it needs, and their licences and SBOM.

Usage: python freeze.py PACKAGES FOLDER DOCUMENTS, where PACKAGES has what the list of requirements
names. Needs Debian or Ubuntu, whose packages bring the notices of Python's libraries.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib import metadata
from importlib.metadata import Distribution, distributions
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from cx_Freeze import Executable, setup
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

# What is imported by name at run time, as a whole.
PACKAGES = [
    "asyncio",
    "botocore",
    "docker",
    "encodings",
    "h2",
    "hypercorn",
    "ministack",
    "wsproto",
    "yaml",
]
# Licence of each library that comes with the frozen Python, and Debian's package with its notices.
LIBRARIES = {
    "libbz2": ("bzip2-1.0.6", "libbz2-1.0"),
    "libcrypto": ("Apache-2.0", "libssl3*"),
    "libffi": ("MIT", "libffi[0-9]*"),
    "liblzma": ("LicenseRef-public-domain", "liblzma5"),
    "libssl": ("Apache-2.0", "libssl3*"),
    "libuuid": ("BSD-3-Clause", "libuuid1"),
    "libz": ("Zlib", "zlib1g"),
}
# `readline` is under the GPL; the others are for building packages, or need a screen.
EXCLUDED = [
    "curses",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "pip",
    "pydoc_data",
    "readline",
    "setuptools",
    "test",
    "tkinter",
    "unittest",
]


def freeze(packages: str, folder: Path) -> None:
    """Fills the folder with a program `python` and the folder `lib`."""
    # cx_Freeze would take the certificates of this machine along.
    os.environ.pop("SSL_CERT_FILE", None)
    launcher = str(Path(__file__).with_name("python.py").resolve())
    # It leaves files in the current folder.
    os.chdir(folder.parent)
    setup(
        name="emulator",
        script_args=["--quiet", "build_exe"],
        executables=[Executable(launcher, target_name="python")],
        options={
            "build_exe": {
                "build_exe": str(folder),
                # Not what this program itself needs.
                "path": [
                    packages,
                    *(path for path in sys.path if "site-packages" not in path),
                ],
                "packages": PACKAGES,
                "excludes": EXCLUDED,
                # Paths of this machine in compiled code.
                "replace_paths": [("*", "")],
                # Nearly every system has it, but not with the C library.
                "bin_includes": ["libz.so.1"],
                # A warning for every module that another system would have.
                "silent_level": 3,
            }
        },
    )


def timeless(code: bytes) -> bytes:
    """Returns compiled code without the time of its source, of which there is none beside it."""
    return (
        code[:8] + bytes(4) + code[12:]
        if len(code) > 16 and code[4:8] == bytes(4)
        else code
    )


def reproducible(folder: Path) -> None:
    """Removes what depends on when and where all this was installed and frozen."""
    # Certificates and time zones of this machine: the emulator asks nobody, and knows one zone.
    shutil.rmtree(folder / "share", ignore_errors=True)
    for leftover in folder.parent.glob("*.egg-info"):
        shutil.rmtree(leftover)
    for file in folder.rglob("*.pyc"):
        file.write_bytes(timeless(file.read_bytes()))
    library = folder / "lib" / "library.zip"
    with (
        ZipFile(library) as old,
        ZipFile(library.with_name("new.zip"), "w", ZIP_DEFLATED) as new,
    ):
        for name in sorted(old.namelist()):
            # The time of the build, which nothing imports.
            if name != "BUILD_CONSTANTS.pyc":
                entry = ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                new.writestr(entry, timeless(old.read(name)), ZIP_DEFLATED)
    library.with_name("new.zip").replace(library)


def ask(python: Path, code: str) -> str:
    """Returns what the frozen Python prints."""
    return subprocess.run(
        [python, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def libraries(folder: Path) -> list[tuple[str, str, Path]]:
    """Returns file, licence and notices of each shared library that is brought along."""
    found = []
    for file in sorted((folder / "lib").glob("*.so*")):
        # Python's own modules are under its licence.
        if ".cpython-" in file.name:
            continue
        name = re.split(r"[-.]", file.name)[0]
        if name not in LIBRARIES:
            sys.exit(f"error: the licence of {file.name} is not known: see {__file__}")
        expression, package = LIBRARIES[name]
        notices = sorted(Path("/usr/share/doc").glob(f"{package}/copyright"))
        if not notices:
            sys.exit(
                f"error: /usr/share/doc/{package}/copyright is missing: install the package on Debian or Ubuntu"
            )
        found.append((file.name, expression, notices[0]))
    return found


def python_licence() -> Path:
    """Returns the file with Python's licence: its own, or that of Debian's package."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    own = Path(sysconfig.get_path("stdlib"), "LICENSE.txt")
    for file in (own, Path(f"/usr/share/doc/{version}/copyright")):
        if file.exists():
            return file
    sys.exit("error: the licence of Python is not there: install the package python3")


def licence(distribution: Distribution) -> str:
    """Returns what the package says of its licence in one line."""
    fields = distribution.metadata
    for field in ("License-Expression", "License"):
        text = "".join(fields.get_all(field) or []).strip()
        if text and "\n" not in text and text != "UNKNOWN":
            return text
    classifiers = [
        text
        for text in fields.get_all("Classifier") or []
        if text.startswith("License ::")
    ]
    return classifiers[0].rpartition(" :: ")[2] if classifiers else "see its files"


def document(packages: str, folder: Path, documents: Path) -> None:
    """Writes licences and SBOM of what was frozen."""
    licences = documents / "licenses"
    licences.mkdir(parents=True)
    bom = Bom()
    bom.metadata.component = Component(
        type=ComponentType.APPLICATION, name="emulator", bom_ref="emulator"
    )
    lines = []
    for distribution in sorted(
        distributions(path=[packages]), key=lambda one: one.name.lower()
    ):
        name = distribution.name
        if name.lower() in ("pip", "setuptools"):
            continue
        text = licence(distribution)
        lines.append(f"{name}@{distribution.version}  {text}")
        purl = PackageURL("pypi", name=name.lower(), version=distribution.version)
        bom.components.add(component(name, distribution.version, purl, text))
        for file in distribution.files or []:
            if ".dist-info/" in str(file) and file.name.upper().startswith(
                ("LICEN", "COPYING", "NOTICE", "AUTHORS")
            ):
                target = licences / name / file.name
                target.parent.mkdir(exist_ok=True)
                shutil.copyfile(str(file.locate()), target)
    python = folder / "python"
    version = ask(python, "import platform; print(platform.python_version())")
    parts: list[tuple[str, str | None, str]] = [
        # The program, and its modules in C.
        ("python", version, "PSF-2.0"),
        # The modules in Python come from the one that runs this.
        ("python-standard-library", platform.python_version(), "PSF-2.0"),
        ("freeze-core", metadata.version("freeze-core"), "MIT"),
    ]
    shutil.copyfile(python_licence(), licences / "python.txt")
    shutil.move(folder / "frozen_application_license.txt", licences / "freeze-core.txt")
    openssl = ask(python, "import ssl; print(ssl.OPENSSL_VERSION)").split()[1]
    for library, text, notices in libraries(folder):
        name = re.split(r"[-.]", library)[0]
        # Their own versions are not those in their names.
        parts.append((name, openssl if text == "Apache-2.0" else None, text))
        shutil.copyfile(notices, licences / f"{name}.txt")
    for name, known, text in parts:
        lines.append(f"{name}@{known or 'unknown'}  {text}")
        purl = PackageURL("generic", name=name, version=known)
        bom.components.add(component(name, known, purl, text))
    (licences / "packages.txt").write_text("\n".join(lines) + "\n")
    bom.register_dependency(bom.metadata.component, bom.components)
    # The same packages give the same file.
    text = JsonV1Dot6(bom).output_as_string(indent=2)
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if error is not None:
        sys.exit(f"error: the SBOM is not valid: {error}")
    content = json.loads(text)
    content.pop("serialNumber", None)
    content["metadata"].pop("timestamp", None)
    (documents / "emulator.cdx.json").write_text(json.dumps(content, indent=2) + "\n")


def component(
    name: str, version: str | None, purl: PackageURL, text: str | None
) -> Component:
    return Component(
        type=ComponentType.LIBRARY,
        name=name,
        version=version,
        purl=purl,
        bom_ref=str(purl),
        licenses=[DisjunctiveLicense(name=text)] if text else [],
    )


def main() -> None:
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    packages, folder, documents = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    freeze(packages, folder)
    reproducible(folder)
    document(packages, folder, documents)


if __name__ == "__main__":
    main()
