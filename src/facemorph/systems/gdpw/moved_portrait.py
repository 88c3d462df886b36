"""A cut photograph that a trained small generator moves, frame after frame.

What depends on the photograph alone is computed once: the head, its plate, the features of the
encoder. A frame then takes the head's maps and flow, the decoder, and one warp of the photograph in
its own size.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from facemorph.data.face_set import scaled
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.portraits.head_flow import HeadFlow, MovedHead
from facemorph.geometry.portraits.portrait_motion import HeadView
from facemorph.geometry.portraits.shut_lids import ShutLids
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.ops.frames import Frame
from facemorph.ops.shapes import check_shape
from facemorph.systems.gdpw.small_generator import SmallGenerator


class MovedPortrait:
    """A photograph of a head that follows parameters.

    Args:
        generator: A trained one; its weights are not changed.
        model: The model of the parameters.
        image: ``(3, H, H)`` in [0, 1], cut as the pairs of its training are.
        parameters: Of the head in it, one row, in its pixels.

    Raises:
        DataError: The picture is not square, or the parameters are those of another model.
    """

    def __init__(
        self,
        generator: SmallGenerator,
        model: MorphableModel,
        image: Tensor,
        parameters: FaceParameters,
    ) -> None:
        check_shape(image, "3 S S", "image")
        self.generator, self.model, self.image = generator, model, image
        self.parameters, self.frame = parameters, Frame.of(image)
        side = generator.resolution
        self.source = image[None]
        if image.shape[-1] != side:
            self.source = functional.interpolate(
                image[None], (side, side), mode="bilinear", antialias=True
            )
        self.lids = ShutLids(model, side)
        self.head = MovedHead(model, self._view(parameters), side)
        with torch.no_grad():
            self.features = generator.encode(self.source, self.head.maps)

    def __call__(self, parameters: FaceParameters) -> Tensor:
        """The photograph ``(3, H, H)`` in [0, 1] with the head of other parameters.

        Args:
            parameters: One row, in pixels of the photograph.
        """
        picture = self.drawn(self.head_of(parameters))
        eyes = self.lids.seen(self._small(parameters), self._small(self.parameters))
        return picture if eyes is None else self.lids(picture, eyes)

    def head_of(self, parameters: FaceParameters) -> HeadFlow:
        """Where the head of other parameters is: what the network is told."""
        return self.head(self._view(parameters), self.frame.width)

    @torch.no_grad()
    def drawn(self, head: HeadFlow) -> Tensor:
        """The photograph ``(3, H, H)`` in [0, 1] with a head of `head_of`."""
        made = self.generator.decode(self.features, self.source, head, self.image[None])
        return made.picture[0].clamp(0, 1)

    def _small(self, parameters: FaceParameters) -> FaceParameters:
        """The head in the pixels that the network sees."""
        return scaled(parameters, self.generator.resolution / self.frame.width)

    def _view(self, parameters: FaceParameters) -> HeadView:
        small, side = self._small(parameters), self.generator.resolution
        return HeadView(vertices_of(self.model, small), camera_of(small, Frame(side, side)))
