"""From statistics of the face's texels to a texture model of the whole head."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.synthetic.procedural_skin import skin_basis, skin_texture
from facemorph.geometry.synthetic.random_skin import CLOTHES, HAIR, IRIS, NAMES, Skin
from facemorph.geometry.textures.atlas import EYES, MOUTH, atlas_of
from facemorph.geometry.textures.delighting import FaceTexels
from facemorph.geometry.textures.texture_completion import push_pull
from facemorph.geometry.textures.texture_model import TextureModel, spread_over_head
from facemorph.geometry.textures.texture_statistics import TexelStatistics

SUPPORT = 0.35  # mean weight of all photographs from which a texel has statistics of its own
GAIN = (0.2, 1.5)  # of texels off the face: how dark and how bright against the face beside them


def head_model(
    model: MorphableModel, texels: FaceTexels, found: TexelStatistics, weight: Tensor
) -> TextureModel:
    """A texture model of the whole head.

    Ears, neck and scalp follow the face next to them, as the procedural skin's do; eyes and mouth
    are the procedural ones.

    Args:
        model: The face model.
        texels: Of its face.
        found: Statistics of them.
        weight: ``(N, P)`` how far the N photographs show each.
    """
    support = weight.mean(0)
    support = (support + support[texels.mirror]) / 2
    face = texels.maps((support > SUPPORT).to(found.mean))
    atlas, topology = atlas_of(model, texels.size), model.topology
    plain = atlas.at_texels(skin_basis(model)[0], topology.faces)
    gain = (plain / push_pull(plain, face).clamp(min=1e-3)).clamp(*GAIN)
    gain = torch.where(face > 0, 1.0, (gain + gain.flip(-1)) / 2)
    mean = spread_over_head(texels.maps(found.mean)[None], face, gain)[0]
    parts = atlas.part(topology, *EYES, *MOUTH)
    plain_person = skin_texture(model, _plain_person(), texels.size)
    used = atlas.mask.to(mean)
    mean = push_pull(torch.where(parts, plain_person, mean), used).clamp(0, 1)
    gain = torch.where(parts, 0.0, gain) * used
    basis = spread_over_head(texels.maps(found.basis), face, gain)
    return TextureModel(
        mean, basis, found.std, found.odd, face, gain, max(found.noise, 1e-3), model.name
    )


def _plain_person() -> Skin:
    """A person whose eyes and mouth are those of everybody."""
    return Skin(
        dict.fromkeys(NAMES, 0.0),
        np.asarray(IRIS[1]),
        np.asarray(HAIR[1]),
        np.asarray(CLOTHES[0]),
        hairline=-200.0,
        beard=0.0,
        freckles=0.0,
        moles=0,
        pupil=2.0,
        seed=0,
    )
