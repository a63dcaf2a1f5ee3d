"""A real browser for tests: Debian's Chromium, driven by Playwright."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Locator, Page, sync_playwright

# no sandbox: it does not work for root, and the pages are this project's own
ARGUMENTS: Final = ["--no-sandbox", "--disable-dev-shm-usage"]
# what a browser without a session is told first
EXPECTED_COMPLAINT: Final = "status of 401"


def find_chromium() -> str:
    """Find Debian's Chromium; without it the test is skipped, and fails in CI."""
    found = shutil.which("chromium")
    if found:
        return found
    reason = "chromium is missing: on Debian and Ubuntu run  apt-get install --no-install-recommends chromium"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def run_browser() -> Iterator[Browser]:
    """Run one browser."""
    path = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


class Board:
    """The dashboard in a window of its own, and everything that it asked for and complained about."""

    def __init__(self, browser: Browser, origin: str, **window: Any) -> None:  # noqa: ANN401 - as Playwright names them
        self.page: Page = browser.new_page(**{"viewport": {"width": 1280, "height": 900}, **window})
        self.asked: set[str] = set()
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.add(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda said: self._note(said.type, said.text))
        self.page.goto(origin)

    def log_in(self, token: str) -> None:
        """Log in and wait for the breakers, also those that nobody uses."""
        self.open(token)
        show_unused = self.page.locator("#unused-show")
        self.page.locator(".card").or_(show_unused).first.wait_for()
        if show_unused.is_visible():
            show_unused.click()
        self.page.locator(".card").first.wait_for()

    def open(self, token: str) -> None:
        """Log in."""
        self.page.get_by_label("Token").fill(token)
        self.page.get_by_role("button", name="Log in").click()

    def card(self, provider: str) -> Locator:
        """Find a provider's breaker."""
        return self.page.locator(f'[data-provider="{provider}"]')

    def wait_for_look(self, provider: str, look: str) -> None:
        """Wait until a provider's breaker looks so."""
        self.page.locator(f'[data-provider="{provider}"][data-look="{look}"]').wait_for()

    def order(self, provider: str, name: str) -> Locator:
        """Ask for an order to a provider; gives the dialog that asks back."""
        self.card(provider).locator(f'[data-order="{name}"]').click()
        return self.page.get_by_role("dialog")

    def find_faults(self) -> list[str]:
        """Have axe look for faults of any weight in the page as it is."""
        found: list[dict[str, Any]] = Axe().run(self.page).response["violations"]
        return [f"{fault['id']}: {node['html']}" for fault in found for node in fault["nodes"]]

    def _note(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"} and EXPECTED_COMPLAINT not in text:
            self.complaints.append(text)
