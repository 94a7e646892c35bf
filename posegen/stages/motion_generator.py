"""Common parts of stages that generate motions of named actions: lengths, codes, bodies and checks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from posegen.errors import ConfigError
from posegen.io.storage import StorageFolder
from posegen.motion.anatomy import REST
from posegen.motion.motion import Motion
from posegen.motion.pose_features import features_to_motion
from posegen.motion.rendering import render_strips
from posegen.samples import Batch, MotionCrops, Samples, Window
from posegen.stages.motion_stage import MotionStage
from posegen.stages.stage import Pictures
from posegen.weights.registry import WEIGHTS

_BATCH = 100  # motions that are decoded at once
_SHOWN = 3  # motions that a preview shows


class GivenFrames(NamedTuple):
    """Known frames of a motion before it is generated, as numbers of `flat_world`."""

    weights: Tensor
    """(F, 216) how much each number counts, 1 / metres that it may be off; 0 for what is free."""
    values: Tensor
    """(F, 216); what is free counts nothing."""

    def to(self, device: torch.device) -> GivenFrames:
        """Return the same on a device."""
        return GivenFrames(self.weights.to(device), self.values.to(device))


class MotionGenerator(MotionStage):
    """A stage that makes motions of an action, of any length, from codes (N, Z) of N(0, I).

    A subclass defines `code_dim`, `encode` and `decode`; its `open_samples` gives `MotionCrops`.
    """

    protocol = "motion"
    objectives: ClassVar = {
        "fid": "val/generated_fid",
        "accuracy": "val/generated_accuracy",
        "coverage": "val/generated_coverage",
        "jerk": "val/generated_jerk_error",
        "foot_skate": "val/generated_foot_skate_error",
    }
    validation_samples = 64

    @dataclass(frozen=True, kw_only=True)
    class Config(MotionStage.Config):
        """Settings of every generator of motions."""

        recognizer: str = ""
        """Action classifier that measures generated motions after every epoch: a run of the stage recognition, or
        gru-humanact12 or gru-ntu13; empty measures FID and accuracy not at all."""

        @property
        def window(self) -> Window:
            """Frames of a motion that are learned from. Raises PosegenError if there are none."""
            raise NotImplementedError

        def check_reports(self, metric: str) -> None:
            if metric.startswith("val/generated_") and not self.recognizer:
                others = [name for name, one in self.stage.objectives.items() if not one.startswith("val/generated_")]
                raise ConfigError(
                    f"{metric} needs an action classifier: --set {self.stage.name}.recognizer=RUN, a run of the stage "
                    f"recognition, or gru-humanact12; or choose --objectives {' or '.join(others)}"
                )

        def __post_init__(self) -> None:
            super().__post_init__()
            self.make_absolute("recognizer")

        def make_absolute(self, name: str) -> None:
            """Say where the file or run is that a field names: a worker has another working directory."""
            place = getattr(self, name)
            if place and place not in WEIGHTS:
                object.__setattr__(self, name, str(StorageFolder(place)))

    config: MotionGenerator.Config

    def __init__(self, config: Config):
        super().__init__(config)
        self.register_buffer("rest", torch.as_tensor(REST, dtype=torch.float32))  # (24, 3)

    @property
    @abstractmethod
    def code_dim(self) -> int:
        """Z, numbers of a code."""

    @abstractmethod
    def encode(self, batch: Batch) -> Tensor:
        """Return the codes (N, Z) of a batch of `open_samples`."""

    @abstractmethod
    def decode(self, actions: Tensor, lengths: Tensor, z: Tensor) -> Tensor:
        """Decode codes to motions.

        Args:
            actions: (N,) int64, places in `Config.actions`; or (N, A) weights that sum to 1, for what is between them.
            lengths: (N,) int64 frames of each.
            z: (N, Z).

        Returns:
            (N, T, 25, 6) with T the largest length, see `posegen.motion.pose_features`; zeros behind a motion's end.
        """

    @torch.no_grad()
    def finish_epoch(self, samples: Samples) -> None:
        """Keep the mean of the bodies that were learned from: it is what generated rotations pose."""
        assert isinstance(samples, MotionCrops)
        self.get_buffer("rest").copy_(torch.from_numpy(samples.mean_rest))

    def generate(
        self, actions: Sequence[str], lengths: Sequence[int], *, seed: int = 0, z: Tensor | None = None
    ) -> list[Motion]:
        """Return a motion of each action, of so many frames, on the mean body of the training data.

        Args:
            actions: Names of actions.
            lengths: Frames of each; longer than what was learned from works, and gets worse.
            seed: Decides the codes.
            z: (N, Z) codes instead.

        Raises:
            ConfigError: An action is unknown, a length less than 1, or there are not as many lengths or codes.
        """
        expected = (len(actions), self.code_dim)
        if len(lengths) != len(actions) or (z is not None and z.shape != expected):
            given = "" if z is None else f" and codes {tuple(z.shape)}"
            raise ConfigError(f"got {len(lengths)} lengths{given}, expected {len(actions)} and codes {expected}")
        labels = torch.tensor([self.label(action) for action in actions])
        if min(lengths, default=1) < 1:
            raise ConfigError(f"a motion must have at least 1 frame, got {min(lengths)}")
        if z is None:
            z = self.sample_codes(len(actions), torch.Generator().manual_seed(seed))
        counts = torch.tensor(lengths)
        motions: list[Motion] = []
        for start in range(0, len(actions), _BATCH):
            rows = slice(start, start + _BATCH)
            drawn = self.decode(labels[rows].to(self.device), counts[rows].to(self.device), z[rows].to(self.device))
            motions += [
                self.to_motion(features[:length], action)
                for features, length, action in zip(drawn, lengths[rows], actions[rows], strict=True)
            ]
        return motions

    def compose(
        self, actions: Sequence[str], frames: Sequence[int], *, given: GivenFrames | None = None, seed: int = 0
    ) -> Motion:
        """Return one motion of several actions in a row without a seam, and with frames that are given.

        Args:
            actions: Names of actions, in order.
            frames: Frames of each.
            given: What is known of the motion's frames.
            seed: Decides the codes.

        Raises:
            ConfigError: An action is unknown, a part has no frame, or the stage generates single actions alone.
        """
        raise ConfigError(
            f"a run of the stage {self.name!r} generates one action at a time and from nothing; "
            "runs of motion_diffusion take several, kept frames and a path"
        )

    def set_guidance(self, guidance: float) -> None:
        """Push what is generated towards its action so far, see `MotionDiffusion.Config.guidance`.

        Raises ConfigError where the stage was not trained for it.
        """
        raise ConfigError(f"a run of the stage {self.name!r} has no guidance; runs of motion_diffusion have")

    def check_parts(self, actions: Sequence[str], frames: Sequence[int]) -> list[int]:
        """Return the places of actions in a row. Raises ConfigError as `compose` says."""
        if not actions or len(actions) != len(frames):
            raise ConfigError(f"got {len(actions)} actions and {len(frames)} lengths, expected as many, at least one")
        if min(frames) < 1:
            raise ConfigError(f"an action must have at least 1 frame, got {min(frames)}")
        return [self.label(action) for action in actions]

    def generate_like(self, actions: Tensor, lengths: Tensor, generator: torch.Generator) -> Tensor:
        """Draw a random motion of each action (N,) and length (N,): (N, T, 25, 6), as `generate`, on the CPU."""
        z = self.sample_codes(len(actions), generator)
        return self.decode(actions.to(self.device), lengths.to(self.device), z.to(self.device)).cpu()

    def sample_codes(self, count: int, generator: torch.Generator) -> Tensor:
        """Codes (count, Z) of N(0, I), on the generator's device."""
        return torch.randn((count, self.code_dim), generator=generator, device=generator.device)

    def fixed_codes(self, count: int) -> Tensor:
        """Codes (count, Z) of N(0, I), the same each time."""
        return self.sample_codes(count, torch.Generator().manual_seed(self.config.seed)).to(self.device)

    @property
    def device(self) -> torch.device:
        """Device that holds the networks."""
        return self.get_buffer("rest").device

    def label(self, action: str) -> int:
        """Return the place of an action, written in any case. Raises ConfigError, with the nearest or all actions there
        are, for another one."""
        if action not in self.config.actions:
            names = [name.lower() for name in self.config.actions]
            if names.count(action.lower()) == 1:
                return names.index(action.lower())
            near = get_close_matches(action, self.config.actions)
            expected = f", expected one of {', '.join(self.config.actions)}"
            hint = f" (did you mean {' or '.join(near)}?)" if near else expected
            raise ConfigError(f"unknown action {action!r}{hint}")
        return self.config.actions.index(action)

    def to_motion(self, features: Tensor, action: str) -> Motion:
        """Return the motion of features (T, 25, 6), on the mean body of the training data; unlabelled without an
        action."""
        motion = features_to_motion(features.cpu().numpy(), self.get_buffer("rest").cpu().numpy(), self.config.fps)
        if not action:
            return motion
        label = self.label(action)
        return replace(motion, label=label, label_name=self.config.actions[label])

    @torch.no_grad()
    def preview(self, batch: Batch) -> Pictures:
        """Return every third frame of real motions, of the same through their codes, and of others of the same
        actions."""
        batch = {name: x[:_SHOWN] for name, x in batch.items()}
        action, length = batch["action"], batch["length"]
        drawn = {
            "real": batch["motion"],
            "through its code": self.reconstruct(batch),
            "generated": self.decode(action, length, self.fixed_codes(len(action))),
        }
        names = [self.config.actions[label] for label in action.tolist()]
        shown = [
            (self.to_motion(features[row, : length[row]], name), f"{name}, {kind}")
            for row, name in enumerate(names)
            for kind, features in drawn.items()
        ]
        return {"generated": render_strips([motion for motion, _ in shown], [caption for _, caption in shown])}

    @abstractmethod
    def reconstruct(self, batch: Batch) -> Tensor:
        """Return the motions (N, T, 25, 6) of a batch through what the stage keeps of them."""
