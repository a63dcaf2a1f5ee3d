"""The proxy process as the harness sees it: a port for each link, and the mode of each."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Links:
    """The links of all processes under test, in one proxy process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.ports: Mapping[str, int] = self._read()

    def turn(self, link: str, mode: str) -> None:
        """Let a link pass, cut, stall, swallow or lose its connections from now on."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([link, mode]) + "\n")
        self._process.stdin.flush()
        self._read()

    def _read(self) -> Any:  # noqa: ANN401 - any JSON
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


@contextmanager
def run_links(targets: Mapping[str, tuple[Path, str]], log: Path) -> Iterator[Links]:
    """Run a proxy: for each link the socket that it leads to, and the address to listen at."""
    plan = json.dumps({name: [str(target), host] for name, (target, host) in targets.items()})
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "chaos.proxy", plan],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={"PYTHONPATH": str(Path(__file__).parents[1])},
        ) as process,
    ):
        try:
            yield Links(process)
        finally:
            process.kill()
