"""Networks for tests."""

from __future__ import annotations

from torch import nn
from torch.nn import functional as F


class TwoLayers(nn.Module):
    """A stand-in for VGG19."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 5, 3, padding=1, stride=2)

    def forward(self, images):
        first = F.relu(self.first(images))
        return {"first": first, "second": F.relu(self.second(first))}


def as_trained(network):
    """A network whose batch statistics are as after training, in evaluation mode; zeros and ones
    would hide mistakes.
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.5, 2)
            module.num_batches_tracked.fill_(1000)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.3)
    return network.eval()
