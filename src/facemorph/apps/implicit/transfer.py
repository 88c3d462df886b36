"""``facemorph transfer``: a face of ImFace with the expression of another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from facemorph.apps.implicit.face_meshes import (
    KINDS,
    FaceCodes,
    FaceMaker,
    MeshRow,
    ModelReport,
    check_choices,
    load_imface,
    read_codes,
    write_face,
)
from facemorph.apps.implicit.imface_pictures import SIDE, picture
from facemorph.apps.morphing.morph_pictures import contact_sheet
from facemorph.errors import ConfigError
from facemorph.faces.files.image_output import save_image
from facemorph.jobs.outputs import check_writable
from facemorph.jobs.records import REPORT, header, write_json
from facemorph.ops.threads import one_thread
from facemorph.systems.imface.code_statistics import expression_table

PICTURE, CELL = "transfer.png", 280


@dataclass(frozen=True)
class TransferOptions:
    """How an expression is carried over, and faces are written.

    Args:
        neutral: Codes of the giver's neutral face, or ``mean`` for the training's mean neutral
            expression. With it, what the expression changes in the giver is added to the receiver's
            own expression, which should be neutral; without, the receiver gets the giver's code.
        topology: As of ``FaceMaker``.
        resolution: Cells along each side of the ball.
        kind: ``ply``, ``obj`` or ``glb``.
        colours: Colour the vertices by their place on the template.

    Raises:
        ConfigError: A value is none of the possible ones.
    """

    neutral: str | Path | None = None
    topology: str = "free"
    resolution: int = 128
    kind: str = "ply"
    colours: bool = False

    def __post_init__(self) -> None:
        """See that each is possible."""
        check_choices([("kind", self.kind, KINDS)])


class TransferReport(ModelReport):
    """The content of ``report.json``: a row for each face."""

    expressions: list[str]
    identity: str
    rows: list[MeshRow]


def transfer(
    expressions: Sequence[str | Path],
    identity: str | Path,
    checkpoint: str | Path,
    output: str | Path,
    options: TransferOptions | None = None,
) -> TransferReport:
    """The face of one person with expressions of another.

    A code of ImFace's expressions belongs to one person and one expression, so that it holds
    something of the person too. With the giver's neutral code that falls away; the receiver's
    neutral code has to be known then too.

    Args:
        expressions: ``NAME_codes.npz`` of the giver, for each expression; best fitted with
            ``--same-person``.
        identity: ``NAME_codes.npz`` of the receiver.
        checkpoint: What ``load_system`` takes.
        output: Folder of ``RECEIVER_as_GIVER`` meshes in millimetres, their ``_correspondence.npz``
            and ``_codes.npz``; ``transfer.png`` and ``report.json``.
        options: How.

    Returns:
        The content of ``report.json``.

    Raises:
        FacemorphError: An option, the checkpoint, codes or the folder are at fault.
    """
    how, folder = options or TransferOptions(), Path(output)
    givers, receiver_name = [_name(one) for one in expressions], _name(identity)
    if not givers or len(set(givers)) < len(givers):
        raise ConfigError(
            "each expression needs a file with a name of its own",
            where="expression",
            found=", ".join(givers) or "none",
        )
    check_writable(folder / REPORT)
    with one_thread():
        system = load_imface(checkpoint)
        codes, receiver = (
            [read_codes(one, system) for one in expressions],
            read_codes(identity, system),
        )
        neutral = None
        if how.neutral == "mean":
            neutral = FaceCodes(system.mean_codes()[0], expression_table(system)[0].mean(0))
        elif how.neutral is not None:
            neutral = read_codes(how.neutral, system)
        make = FaceMaker(system, how.topology, how.resolution)
        rows: list[MeshRow] = []
        cells: list[list[tuple[str, Tensor]]] = [
            [("", torch.ones(3, SIDE, SIDE))],
            [(receiver_name, picture(make(receiver).mesh))],
        ]
        for name, one in zip(givers, codes, strict=True):
            made = transferred(one, receiver, neutral)
            face = make(made)
            rows.append(
                write_face(face, made, f"{receiver_name}_as_{name}", folder, how.kind, how.colours)
            )
            cells[0].append((name, picture(make(one).mesh)))
            cells[1].append(
                (
                    f"{receiver_name} as {name}",
                    picture(face.mesh, face.colours if how.colours else None),
                )
            )
    save_image(contact_sheet(cells, CELL), folder / PICTURE, synthetic=True)
    report: TransferReport = {
        **header({**vars(how), "neutral": how.neutral and str(how.neutral)}),
        "checkpoint": str(checkpoint),
        "expressions": [str(one) for one in expressions],
        "identity": str(identity),
        "rows": rows,
    }
    write_json(folder / REPORT, report)
    return report


def transferred(
    giver: FaceCodes, receiver: FaceCodes, neutral: FaceCodes | None = None
) -> FaceCodes:
    """Codes of the receiver with the giver's expression; codes that are missing count as 0, the
    neutral face.

    Details stay the receiver's: wrinkles of the giver's skin would be another person's.

    Args:
        giver: With the expression.
        receiver: With the identity.
        neutral: The giver's neutral face, or None.
    """
    if neutral is None:
        return FaceCodes(receiver.identity, giver.expression, receiver.detail)
    none = torch.zeros_like(receiver.identity)
    shown, rest, own = (
        none if one.expression is None else one.expression for one in (giver, neutral, receiver)
    )
    return FaceCodes(receiver.identity, own + shown - rest, receiver.detail)


def _name(path: str | Path) -> str:
    return Path(path).stem.removesuffix("_codes")
