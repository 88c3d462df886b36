"""``facemorph bench monkey``: the studio under random hands: clicks, drags, keys, odd files,
reloads, lost connections and second windows, with a seed.
"""

from __future__ import annotations

import base64
import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import mean
from typing import Any

from facemorph.bench.pages.browser import wait_for, why_not
from facemorph.bench.pages.monkey_scripts import (
    CHOOSE,
    CONTROLS,
    DROP,
    KEPT,
    KEPT_AND_RELOADED,
    OPEN,
    PLACE,
    REACHABLE,
    STATE,
)
from facemorph.bench.pages.odd_files import odd_files
from facemorph.bench.pages.studio import (
    FITTED,
    OpenStudio,
    fake_webcam,
    memory_of,
    open_studio,
    write_clip,
)
from facemorph.bench.table import Row, missing, row

BARS: dict[str, tuple[str | None, str]] = {
    "actions": (None, ""),
    "tracebacks of the server": ("<= 0", ""),
    "errors of the page": ("<= 0", ""),
    "times the page did not answer within 30 s": ("<= 0", ""),
    "times a reload lost what was saved": ("<= 0", ""),
    "largest memory of the server": ("<= 2.5", "GiB"),
    "mean memory over the third quarter": (None, "GiB"),
    "growth over the last half": ("<= 5", "%"),
}
CASES = Path("../shared/cases")  # further odd files, where they are there
ACTIONS = 400
EVERY = 20  # actions between two looks at whether the page answers
ANSWER_SECONDS = 30
QUIET_SECONDS = 180.0  # until all photographs are looked at and all exports made
MOST_EXPORTS = 4  # each is a process of some seconds
MOST_PHOTOGRAPHS = 8
CLIP_FRAMES = 20
FAULTS = ("Traceback (most recent call last)", "Exception in ASGI", "The studio could not")
KEYS = (
    *("ArrowLeft", "ArrowRight", "ArrowUp", "Home", "End", "Tab", "Enter", "Escape", " "),
    *"123456789prsexo?",
    *("F1", "Control+z", "Control+y", "Control+Shift+z"),
)
PATHS = ("/nowhere", "~nobody/pictures", "/proc/self", "relative", "/" + "x" * 300, "/root", " ")

logger = logging.getLogger(__name__)


def run(folder: Path | None = None, actions: int = ACTIONS) -> list[Row]:
    """All rows of the suite.

    Args:
        folder: Not used; the suites share their options.
        actions: How many things are done.
    """
    reason = why_not()
    if reason is not None:
        return [missing(name, reason, bar) for name, (bar, _) in BARS.items()]
    found = let_loose(actions)
    for text in [*found.errors, *found.tracebacks, *found.lost][:40]:
        logger.warning("%s", text)
    half, quarter = len(found.memory) // 2, max(1, len(found.memory) // 4)
    third, last = mean(found.memory[half : half + quarter]), mean(found.memory[-quarter:])
    counts = [found.actions, len(found.tracebacks), len(found.errors), found.dead]
    values = [*map(float, (*counts, len(found.lost)))]
    # The middles of the two quarters are a quarter apart: twice their difference for a half.
    values += [max(found.memory), third, 200 * (last - third) / third]
    return [
        row(name, value, unit, bar)
        for (name, (bar, unit)), value in zip(BARS.items(), values, strict=True)
    ]


@dataclass
class Findings:
    """What came of it.

    Attributes:
        actions: That were done.
        errors: What the page threw.
        tracebacks: The lines of the server after each fault.
        dead: How often the page did not answer.
        lost: What a reload has lost.
        memory: Of the server at each look, in GiB.
    """

    actions: int = 0
    errors: list[str] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)
    dead: int = 0
    lost: list[str] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


def let_loose(actions: int, seed: int = 0) -> Findings:
    """Do random things with a new project."""
    with tempfile.TemporaryDirectory() as scratch:
        clip = write_clip(Path(scratch) / "clip.y4m", CLIP_FRAMES)
        with open_studio(Path(scratch) / "project", arguments=fake_webcam(clip)) as studio:
            monkey = Monkey(studio, seed)
            for number in range(actions):
                monkey.act()
                if number % EVERY == EVERY - 1:
                    monkey.look()
            monkey.look()
            monkey.rest()
            monkey.found.tracebacks = tracebacks_in(studio.server.lines)
            return monkey.found


def tracebacks_in(lines: list[str], after: int = 40) -> list[str]:
    """What a server has said of each of its faults."""
    starts = [number for number, line in enumerate(lines) if any(one in line for one in FAULTS)]
    apart = [
        start for index, start in enumerate(starts) if index == 0 or start - starts[index - 1] > 3
    ]
    return ["".join(lines[start : start + after]) for start in apart]


class Monkey:
    """Random hands on a page.

    Args:
        studio: With its page open.
        seed: Of what is done.
    """

    def __init__(self, studio: OpenStudio, seed: int) -> None:
        from playwright.sync_api import Error

        self.studio, self.found = studio, Findings()
        self.random = Random(seed)  # noqa: S311 - nothing secret
        self.page: Any = studio.page
        self.page.set_default_timeout(ANSWER_SECONDS * 1000)
        self.files = odd_files(CASES)
        self.exports, self._error = MOST_EXPORTS, Error
        self._other: Any = None
        self._watch(self.page)
        self._actions: dict[Callable[[], None], int] = {
            self.click: 30,
            self.drag: 24,
            self.press: 10,
            self.tab: 6,
            self.select: 8,
            self.drop: 4,
            self.upload: 4,
            self.open_path: 2,
            self.back_and_forth: 5,
            self.cut: 2,
            self.reload: 2,
            self.second_window: 1,
        }

    def act(self) -> None:
        """One action; an element that is gone meanwhile is no fault."""
        action = self.random.choices(list(self._actions), list(self._actions.values()))[0]
        logger.debug("%d %s", self.found.actions, action.__name__)
        try:
            action()
        except self._error as error:
            logger.debug("%s", error)
        self.found.actions += 1

    def look(self) -> None:
        """See that the page answers; one that does not is loaded anew."""
        try:
            self.page.keyboard.press("Escape")
            wait_for(self.page, OPEN, ANSWER_SECONDS)
            alive = self.page.evaluate(STATE, ANSWER_SECONDS) is not None
        except (self._error, TimeoutError):
            alive = False
        if not alive:
            self.found.dead += 1
            logger.warning("after %d actions the page does not answer", self.found.actions)
            self.page.reload()
        self.found.memory.append(memory_of(self.studio.server.process))

    def rest(self) -> None:
        """Wait until the server has done all that it was asked for."""
        begun = time.perf_counter()
        while time.perf_counter() - begun < QUIET_SECONDS:
            state = self.page.evaluate(STATE, ANSWER_SECONDS)
            if state is not None and all(
                one["state"] not in ("waiting", "running")
                for one in [*state["photographs"], *state["works"]]
            ):
                break
            time.sleep(0.5)

    # ------------------------------------------------------------
    # what hands do
    def click(self) -> None:
        """Click on something."""
        chosen = self._control(lambda kind: True)
        if chosen is None:
            return
        index, kind, label, in_menu = chosen
        photographs = self.page.evaluate("() => window.studio?.photographs?.length ?? 0")
        if label.startswith("Remove") and photographs <= 2:
            return
        if in_menu:
            if not self.exports:
                return
            self.exports -= 1
        if kind.startswith("SELECT"):
            self.page.evaluate(CHOOSE, [REACHABLE, index, self.random.random()])
            return
        place = self._place(index)
        if place is not None:
            more = self.random.random() < 0.3
            if more:
                self.page.keyboard.down("Control")
            self.page.mouse.click(*place, click_count=self.random.choice((1, 1, 1, 2)))
            if more:
                self.page.keyboard.up("Control")
        if kind in ("INPUT:search", "INPUT:number", "INPUT:text"):
            self.page.keyboard.type(self.random.choice(("jaw", "0.4", "-9e9", "", "é'\"<b>")))
            self.page.keyboard.press("Enter")

    def drag(self) -> None:
        """Drag a slider, a head or a point."""
        chosen = self._control(
            lambda kind: kind in ("INPUT:range", "CANVAS:") or kind.startswith("IFRAME")
        )
        place = None if chosen is None else self._place(chosen[0])
        if place is None:
            return
        self.page.mouse.move(*place)
        self.page.mouse.down()
        for _ in range(self.random.randint(1, 8)):
            step = self.random.uniform(-80, 80), self.random.uniform(-20, 20)
            self.page.mouse.move(place[0] + step[0], place[1] + step[1], steps=3)
        self.page.mouse.up()

    def press(self) -> None:
        """Press a key."""
        self.page.keyboard.press(self.random.choice(KEYS))

    def tab(self) -> None:
        """Go to another view, twice at once now and then."""
        for _ in range(self.random.choice((1, 1, 2, 3))):
            self.page.evaluate(
                """share => { const tabs = document.querySelectorAll('[role=tab]');
                tabs[Math.floor(share * tabs.length)]?.click(); }""",
                self.random.random(),
            )

    def select(self) -> None:
        """Choose photographs."""
        chosen = self._control(lambda kind: True, ".thumb")
        if chosen is not None:
            place = self._place(chosen[0], ".thumb")
            if place is not None:
                self.page.keyboard.down("Control")
                self.page.mouse.click(*place)
                self.page.keyboard.up("Control")

    def drop(self) -> None:
        """Drop files on the page."""
        chosen = self._some_files()
        self.page.evaluate(
            DROP, [[name, base64.b64encode(content).decode()] for name, content in chosen]
        )

    def upload(self) -> None:
        """Add files by the button."""
        self.page.set_input_files(
            "#files",
            [
                {"name": name, "mimeType": "application/octet-stream", "buffer": content}
                for name, content in self._some_files()
            ],
        )

    def open_path(self) -> None:
        """Open a folder of the machine that is none, mostly."""
        cases = [str(path.resolve()) for path in sorted(CASES.glob("*/DIR"))]
        field = self.page.locator("#library input[type=text]")
        field.fill(self.random.choice((*PATHS, *cases)))
        field.press("Enter")

    def back_and_forth(self) -> None:
        """Undo and redo."""
        for _ in range(self.random.randint(1, 12)):
            self.page.keyboard.press(self.random.choice(("Control+z", "Control+z", "Control+y")))

    def cut(self) -> None:
        """Cut the connection."""
        self.page.evaluate("() => window.studio.link.socket.close()")

    def reload(self) -> None:
        """Load the page anew; what was saved must be there."""
        if self.random.random() < 0.4:  # in the middle of everything
            self.page.reload()
            return
        self._close_other()
        try:
            wait_for(self.page, KEPT, ANSWER_SECONDS)
            with self.page.expect_navigation():
                before = self.page.evaluate(KEPT_AND_RELOADED, ANSWER_SECONDS)
                if before is None:
                    self.page.reload()
            wait_for(self.page, OPEN, ANSWER_SECONDS)
            after = self.page.evaluate("() => ({views: window.studio.kept})")
            names = self.page.evaluate("() => window.studio.photographs.map(one => one.id)")
        except TimeoutError:
            return  # the next look says so
        if before is None:
            return
        if before["views"] != after["views"]:
            self.found.lost.append(
                f"kept {before['views']}, after a reload {after['views']}"[:2000]
            )
        gone = {one["id"] for one in before["photographs"]} - set(names)
        if gone:
            self.found.lost.append(f"photographs {sorted(gone)}")

    def second_window(self) -> None:
        """Open another window, or close it."""
        if self._other is not None:
            self._close_other()
            return
        self._other = self.page.context.browser.new_page()
        self._watch(self._other)
        self._other.goto(self.studio.server.url)
        wait_for(self._other, FITTED, QUIET_SECONDS)

    # ------------------------------------------------------------
    def _watch(self, page: Any) -> None:
        page.on("pageerror", lambda error: self._failed(f"{error.name}: {error.stack or error}"))
        page.on("crash", lambda _: self._failed("the page has crashed"))
        page.on("dialog", lambda dialog: dialog.dismiss())

    def _failed(self, text: str) -> None:
        self.found.errors.append(f"after {self.found.actions} actions: {text}"[:1500])

    def _close_other(self) -> None:
        if self._other is not None:
            self._other.close()
            self._other = None

    def _control(
        self, wanted: Callable[[str], bool], selector: str = REACHABLE
    ) -> tuple[int, str, str, bool] | None:
        controls = [one for one in self.page.evaluate(CONTROLS, selector) if wanted(one[1])]
        many = self.page.evaluate("() => window.studio?.photographs?.length ?? 0")
        removing = [one for one in controls if one[2].startswith("Remove")]
        if removing and many > MOST_PHOTOGRAPHS and self.random.random() < 0.5:
            controls = removing
        return None if not controls else tuple(self.random.choice(controls))

    def _place(self, index: int, selector: str = REACHABLE) -> tuple[float, float] | None:
        box = self.page.evaluate(PLACE, [selector, index])
        if box is None or box[2] <= 0 or box[3] <= 0:
            return None
        x, y, width, height = box
        return x + width * self.random.uniform(0.1, 0.9), y + height * self.random.uniform(0.2, 0.8)

    def _some_files(self) -> list[tuple[str, bytes]]:
        return self.random.sample(self.files, self.random.choice((1, 1, 2, 4)))
