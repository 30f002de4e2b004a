"""Puts new pictures in the place of those that say something else.

    keep.py NEW OLD WORD...

Times, digests and addresses differ from run to run: what a picture says is compared without them.
No drawing may have one of the words, such as the name of a folder of this machine.
"""

import hashlib
import json
import re
import shutil
import sys
from pathlib import Path

MOST_BYTES = 200_000
VARIES = re.compile(r' (x|textLength)="[^"]*"|[0-9a-f]{8,}(-[0-9a-f]{4,})*|\d+(\.\d+)?')


def said(picture: Path) -> str:
    """Returns the last screen of a drawing, without what differs by chance; of a page, what it is made from."""
    if picture.suffix == ".png":
        return picture.with_name(f"{picture.stem.rsplit('-', 1)[0]}.source").read_text()
    text = picture.read_text()
    lines = dict(re.findall(r'<text id="(l\d+)"[^>]*>(.*)</text>', text))
    last = text.rstrip().rsplit("<g transform", 1)[1]
    screen = [lines[name] for name in re.findall(r'href="#(l\d+)"', last)]
    # Which of two that run at once ends first, and how often a service says something,
    # is chance as well.
    return "\n".join(sorted({re.sub(VARIES, "0", line) for line in screen}))


def main() -> None:
    new, old, *words = sys.argv[1:]
    folder = Path(old)
    sources = b"".join(
        path.read_bytes()
        for path in sorted(Path(__file__).parent.glob("*"))
        if path.is_file()
    )
    made_by = hashlib.sha256(sources).hexdigest()
    index = folder / "contents.json"
    before = json.loads(index.read_text()) if index.exists() else {}
    contents = {}
    for picture in sorted(
        path for path in Path(new).iterdir() if path.suffix in (".svg", ".png")
    ):
        if picture.stat().st_size > MOST_BYTES:
            sys.exit(f"error: {picture.name} has {picture.stat().st_size} bytes")
        text = picture.read_bytes().decode(errors="ignore")
        if found := [word for word in words if word.strip("/") and word in text]:
            sys.exit(f"error: {picture.name} names {found}")
        contents[picture.name] = hashlib.sha256(
            (made_by + said(picture)).encode()
        ).hexdigest()
        if (
            contents[picture.name] == before.get(picture.name)
            and (folder / picture.name).exists()
        ):
            print(f"kept {picture.name}")
        else:
            shutil.copyfile(picture, folder / picture.name)
            print(f"drew {picture.name}, {picture.stat().st_size} bytes")
    index.write_text(json.dumps(contents, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
