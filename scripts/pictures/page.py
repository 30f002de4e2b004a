"""Takes pictures of pages in Chromium, in the colours of day and night: as long as a visitor would look, and with its real clock.

page.py FOLDER NAME URL HEIGHT
"""

import base64
import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

WIDTH = 900
# Seconds until a page has what it shows.
LOOK = 3.0


def main() -> None:
    folder, name, url, height = sys.argv[1:]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    driver = subprocess.Popen(
        ["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True
    )
    address = ""
    for line in driver.stdout or ():
        if "successfully on port" in line:
            port = line.split()[-1].rstrip(".")
            address = f"http://127.0.0.1:{port}"
            break

    def call(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            address + path, data, {"Content-Type": "application/json"}, method=method
        )
        with opener.open(request, timeout=60) as answer:
            return json.load(answer)["value"]

    arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--no-first-run",
    ]
    options = {"browserName": "chrome", "goog:chromeOptions": {"args": arguments}}
    try:
        session = call("POST", "/session", {"capabilities": {"alwaysMatch": options}})
        path = f"/session/{session['sessionId']}"

        def emulate(command: str, parameters: dict[str, Any]) -> None:
            call(
                "POST",
                f"{path}/goog/cdp/execute",
                {"cmd": f"Emulation.{command}", "params": parameters},
            )

        emulate(
            "setDeviceMetricsOverride",
            {
                "width": WIDTH,
                "height": int(height),
                "deviceScaleFactor": 1,
                "mobile": False,
            },
        )
        for scheme in ("light", "dark"):
            emulate(
                "setEmulatedMedia",
                {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
            )
            call("POST", f"{path}/url", {"url": url})
            time.sleep(LOOK)
            picture = base64.b64decode(call("GET", f"{path}/screenshot"))
            Path(folder, f"{name}-{scheme}.png").write_bytes(picture)
        call("DELETE", path)
    finally:
        driver.terminate()
        driver.wait()


if __name__ == "__main__":
    main()
