"""The landmark editor: a page in the browser that edits points while the morph follows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from facemorph import console
from facemorph.apps.studio.hosting import check_packages, listen, serve, web_server
from facemorph.faces.choices import Detector
from facemorph.jobs.input_files import check_files_exist
from facemorph.jobs.options import Option, checked


@checked
def edit(
    a: str | Path,
    b: str | Path,
    output: Annotated[str | Path | None, Option(("-o", "--output"), "STEM", kind=Path)] = None,
    *,
    points_a: str | Path | None = None,
    points_b: str | Path | None = None,
    detector: Detector = "embedded",
    min_score: float | None = None,
    size: int = 512,
    port: int = 0,
    browser: bool = True,
) -> bool:
    """Serve the editor until Ctrl-C.

    Args:
        a: First photograph.
        b: Second photograph.
        output: Stem of the saved files: STEM.a.json, STEM.b.json, and .tem and .pts of both; A_B in
            the current folder when not given.
        points_a: Landmark file of the first photograph (of any kind, in its pixels);
            found by the detector when not given.
        points_b: Landmark file of the second.
        detector: What finds the landmarks.
        min_score: Lowest score of a face; the detector's own when not given.
        size: Longer side of the morph in pixels.
        port: TCP port on 127.0.0.1; 0 takes a free one.
        browser: Open the page in the browser.

    Returns:
        Whether all points are saved; others are in ``STEM.autosave.json`` and restored next time.

    Raises:
        MissingExtra: The packages of the extra ``ui`` are not installed.
        ConfigError: The port cannot be used.
        FacemorphError: As ``facemorph.apps.studio.editor_session.open_session``.
    """
    check_files_exist([a, b, points_a, points_b])
    check_packages("landmark editor")
    from facemorph.apps.studio.editor_server import EditorServer
    from facemorph.apps.studio.editor_session import open_session
    from facemorph.apps.studio.editor_wire import MAX_MESSAGE

    a, b = Path(a), Path(b)
    stem = Path(output) if output is not None else Path(f"{a.stem}_{b.stem}")
    files = [None if file is None else Path(file) for file in (points_a, points_b)]
    listening = listen(port)
    with listening:
        session = open_session(
            a,
            b,
            stem,
            points_a=files[0],
            points_b=files[1],
            detector=detector,
            min_score=min_score,
            size=size,
        )
        editor = EditorServer(session)
        serve(web_server(editor.app(), 4 * MAX_MESSAGE), listening, editor.path, "editor", browser)
    if session.unsaved:
        console.out.print(f"unsaved points: {session.autosave()}", markup=False)
    if session.saved_once:
        points = [str(path) for path in session.files() if path.suffix == ".json"]
        words = ["-o", f"{stem.name}.mp4", "--points-a", points[0], "--points-b", points[1]]
        placed = [] if session.is_named else ["--align", "none"]
        console.say_next("morph", str(a), str(b), *words, *placed)
    else:
        console.say_next("edit", str(a), str(b), "-o", str(stem))
    return not session.unsaved
