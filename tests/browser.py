"""A real browser for tests: headless Chromium by its own driver, spoken to in plain HTTP."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

DRIVER = shutil.which("chromedriver")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MISSING = "no Chromium with its driver is installed (Debian: chromium and chromium-driver)"
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--hide-scrollbars", "--force-device-scale-factor=1"),
)


class Browser:
    """One page in headless Chromium; what it may load is what its address says.

    Keeps the messages of its console, among them whatever the page's own policy refused.
    """

    def __init__(self) -> None:
        assert DRIVER and CHROMIUM
        self._profile = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._session = f"http://127.0.0.1:{self._port()}/session"
        options = {
            "binary": CHROMIUM,
            "args": [*_FLAGS, f"--user-data-dir={self._profile.name}"],
        }
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        made = self._send("", {"capabilities": {"alwaysMatch": wanted}})
        self._session += f"/{made['sessionId']}"

    def _port(self) -> int:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "started successfully on port" in line:
                return int(line.rstrip().rstrip(".").rpartition(" ")[2])
        raise RuntimeError("chromedriver did not start")

    def _send(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            self._session + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"]) from None

    def _cdp(self, command: str, **parameters: Any) -> Any:
        return self._send("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def open(self, path: Path, fragment: str = "", width: int = 1000, dark: bool = False) -> None:
        """Show a file at a width, in the light or the dark scheme."""
        self._cdp(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._cdp("Emulation.setEmulatedMedia", features=[scheme])
        self._send("/url", {"url": "about:blank"})  # so that only a fragment's change loads anew
        self._send("/url", {"url": path.resolve().as_uri() + fragment})

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page and return what it returns."""
        return self._send("/execute/sync", {"script": script, "args": list(arguments)})

    def complaints(self) -> list[str]:
        """Console messages since the last call."""
        return [entry["message"] for entry in self._send("/se/log", {"type": "browser"})]

    def screenshot(self, path: Path, whole: bool = True) -> Path:
        """Save what the page looks like, all of its height or one screen."""
        shot = self._cdp("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))
        return path

    def close(self) -> None:
        """End the browser and its driver."""
        with suppress(Exception):
            urllib.request.urlopen(
                urllib.request.Request(self._session, method="DELETE"), timeout=20
            ).close()
        self._process.terminate()
        if self._process.stdout is not None:
            self._process.stdout.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        for _ in range(20):  # the browser may still write its last files
            try:
                self._profile.cleanup()
                break
            except OSError:
                time.sleep(0.1)
