"""Chromium without a window, driven over its debugging pipe: what a page looks like, and what it complains of."""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
PROGRAM = next((found for name in NAMES if (found := shutil.which(name))), None)
_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage")


@dataclass
class Tab:
    """One page. ``complaints``: errors and warnings of its console; ``loads``: the addresses that it asked for."""

    reader: Any
    writer: Any
    complaints: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    session: str = ""
    _number: int = 0
    _loaded: bool = False

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        self.writer.write(json.dumps(message | ({"sessionId": self.session} if self.session else {})).encode() + b"\0")
        self.writer.flush()
        while (answer := self._next()).get("id") != self._number:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def show(self, page: Path, width: int, scheme: str) -> None:
        """Load a file at so many pixels of width, with a light or a dark scheme; waits until it has loaded."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self._loaded = False
        self.complaints.clear()
        self.loads.clear()
        self.call("Page.navigate", url=page.resolve().as_uri())
        while not self._loaded:
            self._next()

    def value(self, expression: str) -> Any:
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def picture(self, file: Path) -> None:
        """The whole page as a PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))

    def _next(self) -> dict[str, Any]:
        text = bytearray()
        while (byte := self.reader.read(1)) != b"\0":
            assert byte, "Chromium has gone"
            text += byte
        message = json.loads(text)
        self._take(message.get("method", ""), message.get("params", {}))
        return message

    def _take(self, event: str, content: dict[str, Any]) -> None:
        if event == "Page.loadEventFired":
            self._loaded = True
        elif event == "Log.entryAdded":
            self.complaints.append(content["entry"]["text"])
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(str(content["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled":
            self.complaints.append(str(content["args"]))
        elif event == "Network.requestWillBeSent":
            self.loads.append(content["request"]["url"])


@contextmanager
def open_tab(profile: Path) -> Iterator[Tab]:
    """A browser with one page, ended with the block. ``profile``: a new directory for what it writes."""
    assert PROGRAM is not None
    to_read, to_write = os.pipe(), os.pipe()  # the browser's commands, its answers

    # Chromium reads commands from 3 and writes answers to 4: the shell puts them there.
    command = [PROGRAM, *_FLAGS, "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]
    script = f'exec 3<&{to_read[0]} 4>&{to_write[1]}; exec "$@"'
    process = subprocess.Popen(
        ["bash", "-c", script, "browser", *command],
        pass_fds=(to_read[0], to_write[1]),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_read[0])
    os.close(to_write[1])
    with os.fdopen(to_write[0], "rb") as reader, os.fdopen(to_read[1], "wb") as writer:
        tab = Tab(reader, writer)
        try:
            targets = tab.call("Target.getTargets")["targetInfos"]
            page = next(target["targetId"] for target in targets if target["type"] == "page")
            tab.session = tab.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
            for area in ("Page", "Runtime", "Log", "Network"):
                tab.call(f"{area}.enable")
            yield tab
        finally:
            process.terminate()
            process.wait(timeout=20)
