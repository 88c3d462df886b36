"""A small system and its data, for the tests of everything around systems."""

from __future__ import annotations

import math
import os
import signal
import time
from pathlib import Path

import torch
from lightning.pytorch import LightningModule
from torch import nn
from torch.utils.data import DataLoader, Dataset

from facemorph.data.resumable import ResumableDataModule, SeededStepDataModule


class ToyNet(nn.Module):
    def __init__(self, width: int = 16, dropout: float = 0.0):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(4, width), nn.Tanh(), nn.Dropout(dropout), nn.Linear(width, 1)
        )
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        if self.training:
            self.calls += 1
        return self.layers(x)


class ToySystem(LightningModule):
    """Regression with one Adam; ``nan_from`` gives NaN from that step on, ``sleep`` slows down."""

    def __init__(
        self,
        net: nn.Module,
        lr: float = 1e-2,
        nan_from: int = -1,
        nan_for: int = 10**9,
        sleep: float = 0.0,
        kill_rank: int = -1,
        kill_at: int = 3,
    ):
        super().__init__()
        self.net, self.lr, self.nan_from, self.nan_for, self.sleep = (
            net,
            lr,
            nan_from,
            nan_for,
            sleep,
        )
        self.kill_rank, self.kill_at = kill_rank, kill_at
        self.steps = 0

    def training_step(self, batch, batch_idx):
        if self.kill_rank == self.global_rank and batch_idx == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.sleep)
        loss = (self.net(batch["x"]) - batch["y"]).square().mean()
        if self.nan_from <= self.steps < self.nan_from + self.nan_for and self.nan_from >= 0:
            loss = loss * math.nan
        self.steps += 1
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch, batch_idx):
        # validation draws numbers too, and must not disturb the training
        noise = torch.rand(3).mean()
        self.log("val/loss", (self.net(batch["x"]) - batch["y"]).square().mean() + 0 * noise)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)

    def infer(self, output: Path, points: int = 3) -> list[Path]:
        output.mkdir(parents=True, exist_ok=True)
        path = output / "values.txt"
        values = self.net(torch.linspace(-1, 1, points)[:, None].expand(-1, 4).to(self.device))
        path.write_text(" ".join(f"{v:.6f}" for v in values.flatten().tolist()))
        return [path]


class ToyGan(ToySystem):
    """Two Adams by hand and dropout: what is hardest to resume."""

    def __init__(self, net: nn.Module, critic: nn.Module, lr: float = 1e-2):
        super().__init__(net, lr)
        self.critic = critic
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        first, second = self.optimizers()
        loss = (self.net(batch["x"]) - batch["y"]).square().mean() - 0.1 * self.critic(
            batch["x"]
        ).mean()
        first.zero_grad()
        self.manual_backward(loss)
        first.step()
        noise = 0.1 * torch.randn(len(batch["x"]), 4, device=self.device)
        other = (self.critic(batch["x"] + noise) - self.net(batch["x"]).detach()).square().mean()
        second.zero_grad()
        self.manual_backward(other)
        second.step()
        self.log("train/loss", loss, prog_bar=True)

    def configure_optimizers(self):
        return torch.optim.Adam(self.net.parameters(), self.lr), torch.optim.Adam(
            self.critic.parameters(), self.lr
        )


class ToyClosedForm(ToySystem):
    """Solved at once, without a training loop."""

    requires_training = False

    def fit_closed_form(self, data):
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.fill_(0.25)


class ToyPoints(Dataset):
    def __init__(self, num_items: int):
        generator = torch.Generator().manual_seed(7)
        self.x = torch.rand(num_items, 4, generator=generator) * 2 - 1

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        x = self.x[index]
        return {"x": x, "y": x.sum(-1, keepdim=True).sin(), "index": index}


class ToyData(ResumableDataModule):
    def __init__(
        self, num_items: int = 44, batch_size: int = 8, num_workers: int = 0, seed: int = 0
    ):
        super().__init__()
        self.num_items, self.batch_size, self.num_workers, self.seed = (
            num_items,
            batch_size,
            num_workers,
            seed,
        )

    def train_dataloader(self):
        return self.training_loader(
            ToyPoints(self.num_items), self.batch_size, seed=self.seed, num_workers=self.num_workers
        )

    def val_dataloader(self):
        return DataLoader(ToyPoints(8), batch_size=4)


class ToySteps(SeededStepDataModule):
    def __init__(self, steps_per_epoch: int = 5, seed: int = 0, batch_size: int = 8):
        super().__init__(steps_per_epoch, seed)
        self.batch_size = batch_size

    def make_batch(self, generator, step):
        x = torch.rand(self.batch_size, 4, generator=generator) * 2 - 1
        return {"x": x, "y": x.sum(-1, keepdim=True).sin()}

    def val_dataloader(self):
        return DataLoader(ToyPoints(8), batch_size=4)
