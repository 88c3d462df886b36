"""GIF's idea for one core: a person's code in closed form, reconstruction first, an adversary late.

After Ghosh et al., GIF: Generative Interpretable Faces (3DV 2020). A picture is made of renders of
a 3-D morphable model and of a style; geometry, pose, expression and light are the model's
parameters, and the style decides on the rest.

| what | where |
|---|---|
| conditions rendered from parameters | ``facemorph.geometry.rendering.conditions`` |
| generator, injection of the conditions | ``facemorph.systems.gif.small_generator`` |
| codes of people | ``facemorph.systems.gif.person_codes`` |
| losses and phases | ``facemorph.engine.conditioned_generator`` |

Departures from the paper: GIF draws a fixed random style for each training picture and leaves it to
the adversary to give it a meaning, which takes days on many GPUs. Here a style is the code that a
linear model reads from a person's photographs, so that reconstruction can teach the generator, any
photograph has a code at once, and nothing of a training person is kept but a mean and a covariance.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from facemorph.data.condition_set import ConditionedBatch, ConditionedFaces, checked_data
from facemorph.engine.adversarial import Part
from facemorph.engine.augmentation import JointAugmentation
from facemorph.engine.conditioned_generator import ConditionedGenerator
from facemorph.engine.growth import grow
from facemorph.engine.stall_watch import StallWatch
from facemorph.engine.system_data import check_ranges
from facemorph.errors import ConfigError
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.rendering.conditions import ConditionRenderer
from facemorph.geometry.synthetic.procedural_skin import skin_basis
from facemorph.storage.checkpoint import load_system
from facemorph.systems.gif.person_codes import PersonEncoder, codes_of_people
from facemorph.systems.gif.skin_gains import gain_cost, gain_reach, with_gains, within
from facemorph.systems.gif.small_generator import SmallGenerator

GAIN_RATE = 2.5  # how much faster than styles gains are found


class SmallGIF(ConditionedGenerator):
    """Trains a small generator of faces under the control of a 3-D model.

    Args:
        generator: See `SmallGenerator`.
        encoder: Tells codes of photographs; fitted to the training set at the start.
        discriminator: Judges pictures beside their conditions; None trains by reconstruction alone.
        augmentation: Of what the discriminator sees.
        learning_rate: Of the generator.
        discriminator_rate: Of the discriminator.
        noise: Standard deviation of what is added to the codes, in theirs.
        outside: Weight of a pixel off the head, against one on it.
        reconstruction_weight: Of the reconstruction.
        adversarial_weight: Of the adversary's opinion.
        feature_weight: Of the agreement of a patch discriminator's features.
        adversarial_from: Share of the budget after which the adversary takes part.
        r1_weight: Gamma of the gradient penalty.
        r1_interval: Batches from one penalty to the next.
        start: Checkpoint of a generator of fewer scales, to begin with its weights and codes.
        model: Morphable model of the training set.
        micro_batches: As of `AdversarialSystem`.
        seed: Likewise.
        watch: Likewise.
        compile: Likewise.

    Raises:
        ConfigError: Codes and generator do not fit together, or a number is out of range.
    """

    training_only = ("discriminator", "start")  # left out of releases

    def __init__(
        self,
        generator: SmallGenerator,
        encoder: PersonEncoder,
        discriminator: nn.Module | None = None,
        augmentation: JointAugmentation | None = None,
        learning_rate: float = 2e-3,
        discriminator_rate: float = 1e-3,
        noise: float = 0.15,
        outside: float = 0.5,
        reconstruction_weight: float = 10.0,
        adversarial_weight: float = 0.5,
        feature_weight: float = 0.0,
        adversarial_from: float = 0.6,
        r1_weight: float = 1.0,
        r1_interval: int = 16,
        start: str | None = None,
        model: str = "makehuman",
        micro_batches: int = 1,
        seed: int = 0,
        watch: StallWatch | None = None,
        compile: bool = False,
    ) -> None:
        super().__init__(
            generator,
            discriminator,
            augmentation,
            learning_rate,
            discriminator_rate,
            outside,
            reconstruction_weight,
            adversarial_weight,
            feature_weight,
            adversarial_from,
            r1_weight,
            r1_interval,
            model,
            micro_batches,
            seed,
            watch,
            compile,
        )
        if encoder.code != generator.code:
            raise ConfigError(
                "the generator takes codes of another length than the encoder gives",
                where="system.generator.code",
                expected=encoder.code,
                found=generator.code,
            )
        check_ranges(("noise", noise, 0, 10))
        self.encoder, self.start, self.noise = encoder, start, noise
        self._codes: Tensor | None = None

    # ------------------------------------------------------------
    # pictures
    def held_out_codes(self, data: ConditionedFaces, split: str, places: Tensor) -> Tensor:
        """Codes of all pictures of each person."""
        faces = data.conditioned[split].rows
        return codes_of_people(self.encoder, data, (split,))[faces.person[faces.rows[places]]]

    def code_of_several(self, images: Tensor, conditions: Tensor, lights: Tensor) -> Tensor:
        """The code of all texels that the pictures show; surroundings are the first's."""
        colour, weight = self.encoder.texture(images, conditions, lights)
        rest = self.encoder.rest(images[:1], conditions[:1])
        found: Tensor = self.encoder.encode((colour.sum(0)[None], weight.sum(0)[None]), rest)
        return found

    def renderer(self, model: MorphableModel, size: int) -> ConditionRenderer:
        """What renders skin, normals, mask and texture coordinates."""
        return ConditionRenderer(model, size=size, skin=skin_basis(model))

    def addition_shape(self) -> tuple[int, ...]:
        """A style for each layer and gains of the skin, see `parts_of`, one after the other."""
        network = self.generator
        return (network.num_styles * network.style + 3 * network.resolution**2,)

    def parts_of(self, added: Tensor) -> tuple[Tensor, Tensor]:
        """Styles ``(B, L, style)`` and gains of the skin ``(B, 3, T, T)`` of additions ``(B, A)``,
        which share their memory.
        """
        network, side = self.generator, self.generator.resolution
        split = network.num_styles * network.style
        styles = added[:, :split].view(-1, network.num_styles, network.style)
        return styles, added[:, split:].view(-1, 3, side, side)

    def whole_addition(self, added: Tensor) -> Tensor:
        """Older files have styles alone."""
        if tuple(added.shape[1:]) != (self.generator.num_styles, self.generator.style):
            return added
        found = added.new_zeros(len(added), *self.addition_shape())
        self.parts_of(found)[0].copy_(added)
        return found

    def held(self, conditions: Tensor) -> Callable[[Tensor], Tensor]:
        """Styles as they are; gains where the skin is in sight, so far as they may go."""
        reach = gain_reach(conditions, self.generator.resolution)

        def addition(free: Tensor) -> Tensor:
            styles, gains = self.parts_of(free)
            return torch.cat([styles.flatten(1), within(GAIN_RATE * gains, reach).flatten(1)], 1)

        return addition

    def addition_cost(self, added: Tensor) -> Tensor:
        """Sum of squares of a layer's style, in the mean over layers, and what gains cost."""
        styles, gains = self.parts_of(added)
        return styles.square().sum() / self.generator.num_styles + gain_cost(gains)

    def with_addition(self, codes: Tensor, added: Tensor, conditions: Tensor) -> Tensor:
        """Pictures of codes, with something added to the style of each layer, and another skin."""
        more, gains = self.parts_of(added)
        styles = self.generator.mapping(codes)[:, None] + more
        return self.generator.synthesize(styles, with_gains(conditions, gains))

    # ------------------------------------------------------------
    # training
    def setup(self, stage: str) -> None:
        """Tell the codes of the set's people, and fit the encoder where it is new."""
        if stage != "fit":
            return
        self.compiled.check(self.trainer.strategy.root_device)
        data = checked_data(self.trainer.datamodule, self.model_name)  # type: ignore[attr-defined]
        self.encoder.to("cpu")
        if self.start is not None and not self.people.known:
            grow(self, load_system(self.start), self.start)
        self._codes = codes_of_people(self.encoder, data)
        self.show_later(data)
        if not self.people.known:
            training = data.parts["training"].rows
            self.people.fit(self._codes[data.parts["training"].person[training]], data, training)

    def codes_of(self, batch: ConditionedBatch) -> Tensor:
        """Codes ``(B, C)`` of a batch's people."""
        if self._codes is None:
            raise ConfigError("the system has not been set up", where="system.encoder")
        return self._codes[batch["person"].cpu()].to(batch["image"])

    def draw_codes(self, part: Part) -> Tensor:
        """Codes of a part's people, a little beside them."""
        codes = self.codes_of(part.batch)
        return codes + self.noise * part.noise.normal("codes", codes.shape[1])
