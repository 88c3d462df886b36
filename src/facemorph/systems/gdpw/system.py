"""GDPW: Geometry Driven Progressive Warping (Zhong, Amjadi and Zharkov, BMVC 2022), its training.

A photograph of a person is warped to the pose of a second mesh, level by level, from features of
both meshes' renders.

| what | where |
|---|---|
| generator, its warps and blocks | ``generator``, ``warping``, ``blocks`` |
| displacement, posed neural codes | ``guidance`` |
| discriminator of patches | ``discriminator`` |
| losses, by equation | ``losses`` |
| pairs of pictures with vertices | ``vertex_pairs``; the authors' clips: ``published_set`` |
| the authors' checkpoints | ``published_weights`` |

One step of the generator, then one of the discriminator on the same pictures, Adam for both.

Departures from the released code: the feature network is a file that its user names, not a download
at the start; checkpoints have the optimizers' moments, so that a run goes on bit for bit; rates are
not read from a text file while it runs. Those of the parts are told in their modules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from facemorph.engine.adversarial import AdversarialSystem, Part, Phase
from facemorph.engine.loss_networks import LEAST, chosen_distance
from facemorph.engine.system_data import data_of
from facemorph.errors import ConfigError
from facemorph.faces.files.image_output import save_image
from facemorph.metrics.feature_networks import Network
from facemorph.systems.gdpw.generator import GDPWGenerator, GDPWOutput
from facemorph.systems.gdpw.guidance import Guidance, MeshGuidance
from facemorph.systems.gdpw.losses import TOO_COARSE, GDPWLoss, published_perceptual
from facemorph.systems.gdpw.vertex_pairs import ClipPairs, PairedVertices, VertexPairBatch

SHOWN = 8
BETAS = (0.9, 0.999)


class GDPW(AdversarialSystem):
    """Trains GDPW as published.

    Args:
        generator: See `GDPWGenerator`.
        discriminator: See `GDPWDiscriminator`; None where no term of the loss needs it.
        loss: Makes the loss when it is given the distance of features; the published weights where
            None.
        perceptual: Network of the distance of features: ``vgg19`` as published; None where no term
            of the loss needs it.
        perceptual_file: File of its weights: for ``vgg19`` torchvision's ``vgg19-dcbb9e9d.pth``.
        learning_rate: Of Adam, for both networks.
        model: Morphable model of the vertices.
    """

    training_only = ("discriminator", "loss", "perceptual", "perceptual_file")

    def __init__(
        self,
        generator: GDPWGenerator,
        discriminator: nn.Module | None = None,
        loss: Callable[..., GDPWLoss] | None = None,
        perceptual: Network | None = "vgg19",
        perceptual_file: str | None = None,
        learning_rate: float = 2e-4,
        model: str = "makehuman",
    ) -> None:
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        self.loss = GDPWLoss if loss is None else loss
        self.perceptual, self.perceptual_file = perceptual, perceptual_file
        self.learning_rate, self.model_name = learning_rate, model
        # In lists: what follows from data and files is no part of the system's weights.
        self._losses: list[GDPWLoss] = []
        self._guides: list[MeshGuidance] = []

    # ------------------------------------------------------------
    # pictures
    def forward(self, source: Tensor, guidance: Guidance) -> GDPWOutput:
        """The sources ``(B, 3, H, W)`` in [0, 1] in the poses of their targets."""
        output: GDPWOutput = self.generator(source, guidance)
        return output

    def moved(self, batch: VertexPairBatch) -> GDPWOutput:
        """The sources of a batch in the poses of its targets.

        Raises:
            ConfigError: The system has not been set up.
        """
        if not self._guides:
            raise ConfigError("the system has not been set up", where="system")
        height, width = batch["source"].shape[2:]
        vertices = batch["source_vertices"], batch["target_vertices"]
        codes = self.generator.codes
        return self(batch["source"], self._guides[0](*vertices, (height, width), codes))

    def sample_grid(self) -> Tensor:
        """A sheet ``(3, H, W)`` of pairs: source, warped source, result and target."""
        return self._sheet(self._data().shown(SHOWN))

    @torch.no_grad()
    def _sheet(self, batch: VertexPairBatch) -> Tensor:
        on_device = {name: one.to(self.device) for name, one in batch.items()}  # type: ignore
        output = self.moved(on_device)  # type: ignore[arg-type]
        rows = (on_device["source"], output.warped, output.picture, on_device["target"])
        return torch.cat([torch.cat(list(one), 2) for one in rows], 1).clamp(0, 1).float().cpu()

    def infer(
        self,
        output: Path,
        *,
        pairs: str,
        size: int = 256,
        count: int = SHOWN,
        model: str | None = None,
    ) -> list[Path]:
        """Write a sheet of held-out pairs of a set: source, warped source, result and target.

        Args:
            output: Folder.
            pairs: Set of ``facemorph data pairs``.
            size: Side of the pictures in pixels.
            count: How many pairs.
            model: Morphable model, where the system's is a file in another place.

        Raises:
            DataError: The set has no such pair.
        """
        data = PairedVertices(pairs, size, model=model or self.model_name)
        data.setup()
        held = data.some_held_out(count)
        self._see(data, self.device)
        output.mkdir(parents=True, exist_ok=True)
        sheet = self._sheet(data.batch_of(held))
        return [save_image(sheet, output / "pairs.png", synthetic=True)]

    # ------------------------------------------------------------
    # training
    def setup(self, stage: str) -> None:
        """Make the loss, with a feature network that is no part of the checkpoint, and see that
        system and data fit.

        Raises:
            ConfigError: They do not, or the loss lacks a network.
            MissingExtra: The weights of the feature network are not there.
        """
        if stage != "fit":
            return
        data = self._data()
        if data.model != self.model_name:
            raise ConfigError(
                "system and data have different models",
                where="system.model",
                expected=data.model,
                found=self.model_name,
            )
        device = self.trainer.strategy.root_device
        self._see(data, device)
        distance = chosen_distance(self.perceptual, self.perceptual_file, published_perceptual)
        loss = self.loss(perceptual=distance).to(device)
        if self.discriminator is None and (loss.judges_result or loss.judges_warp):
            raise ConfigError("the loss needs a discriminator", where="system.discriminator")
        self._check_size(data.size, loss)
        self._losses = [loss]

    def _check_size(self, size: int, loss: GDPWLoss) -> None:
        """VGG19 sees pictures of all strides of the loss."""
        strides = [2 ** (loss.pyramid - 1) * bool(loss.weights["perceptual"])]
        if loss.weights["warp_perceptual"]:
            strides += [one for one in self.generator.strides[:-1] if one < TOO_COARSE]
        if self.perceptual == "vgg19" and size < LEAST * max(strides):
            raise ConfigError(
                "the pictures are too small for VGG19 at the loss's coarsest stride",
                where="data.size",
                expected=f"{LEAST * max(strides)} or more",
                found=size,
                remedy="Lower system.loss.pyramid, or give the generator fewer widths.",
            )

    def _see(self, data: PairedVertices | ClipPairs, device: torch.device) -> None:
        """Render the meshes of these data from now on."""
        codes, count = self.generator.codes, data.faces.num_vertices
        if codes is not None and len(codes) != count:
            raise ConfigError(
                "the codes are of another mesh than the data's",
                where="system.generator.num_vertices",
                expected=f"{count} of {data.faces.name}",
                found=len(codes),
            )
        self._guides = [MeshGuidance(data.faces.topology.faces).to(device)]

    def _data(self) -> PairedVertices | ClipPairs:
        kinds: tuple[type[PairedVertices | ClipPairs], ...] = (PairedVertices, ClipPairs)
        expected = "data=clip_pairs or data=paired_vertices"
        return data_of(self, kinds, "pairs of pictures with vertices", expected)

    def phases(self) -> Sequence[Phase]:
        """The generator's step, and the discriminator's on the same pictures."""
        found = [Phase("generator", "generator", self.generator_loss)]
        if self._losses[0].judges_result or self._losses[0].judges_warp:
            found.append(Phase("discriminator", "discriminator", self.discriminator_loss))
        return found

    def frozen_in(self, network: str) -> Sequence[str]:
        """The discriminator, while the generator moves."""
        both = network == "generator" and self.discriminator is not None
        return ("discriminator",) if both else ()

    def optimizers_of(self) -> dict[str, Optimizer]:
        """Adam for each network, of what it trains."""
        networks = {"generator": self.generator, "discriminator": self.discriminator}
        return {
            name: torch.optim.Adam(
                [one for one in network.parameters() if one.requires_grad],
                self.learning_rate,
                betas=BETAS,
            )
            for name, network in networks.items()
            if network is not None
        }

    def generator_loss(self, part: Part) -> Tensor:
        """All terms; the pictures are kept for the discriminator."""
        batch: VertexPairBatch = part.batch
        output = self.moved(batch)
        part.kept["output"] = _without_graph(output)
        terms = self._losses[0].generator(
            output,
            batch["source"],
            batch["target"],
            self.discriminator,  # type: ignore[arg-type]
        )
        for name, value in terms.items():
            self.log(f"train/{name}", value.detach(), prog_bar=name == "total")
        return terms["total"]

    def discriminator_loss(self, part: Part) -> Tensor:
        """Of real pictures and of those that the generator was just judged by."""
        terms = self._losses[0].discriminator(
            part.kept["output"],
            part.batch["target"],
            self.discriminator,  # type: ignore[arg-type]
        )
        return terms["total"]

    def validation_step(self, batch: VertexPairBatch, batch_idx: int) -> None:
        """Difference from the targets, in steps of 1/255."""
        difference = 255 * (self.moved(batch).picture - batch["target"]).abs().mean()
        count = len(batch["target"])
        self.log("val/difference", difference, prog_bar=True, batch_size=count, sync_dist=True)


def _without_graph(output: GDPWOutput) -> GDPWOutput:
    """The pictures of an output, for who only looks at them."""
    pictures = {
        name: getattr(output, name).detach() for name in ("picture", "colours", "alpha", "warped")
    }
    return output._replace(**pictures, flows={}, mesh_flows={})
