"""A person's shape from one picture in the posture of another (Blattmann et al., 2021, arXiv:2103.04677)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adam

from posegen.datasets.clips import ClipDataset
from posegen.datasets.dataset import Dataset, Split
from posegen.errors import ConfigError, DatasetError
from posegen.features.part_crops import Torso
from posegen.features.spatial_augmentation import Augmentation, box_of_pose
from posegen.features.vunet_figure import FIGURES, Figure
from posegen.io.images import titled_grid
from posegen.losses import mean_kl_to_standard_normal, normalized_l1, perceptual
from posegen.metrics.image import SSIM_MIN_SIZE, psnr, ssim
from posegen.networks.shape_posture import PostureRegressor, ShapePostureNetwork
from posegen.networks.vgg import PretrainedVGG
from posegen.samples import Batch, Samples, ShapePairs, ShapePairSettings, View, appearance_of, posture_of, to_image
from posegen.stages.optimization import Losses, detached, sum_losses
from posegen.stages.pose_transfer_stage import PoseTransferStage
from posegen.stages.stage import Metrics, Pictures

_LARGEST_ADVERSARY = 4.0
_ACTIVATIONS = 5  # of the perceptual network, each of weight 1
_USUAL_SIZE = (256, 256)  # of what is built before any data is known
_DRAWN_SHAPES = 3  # random ones for each posture of a preview
_STEPS = 6  # of a preview, from one shape to another


class ShapePosture(PoseTransferStage):
    """Learns to render the person of one picture in the pose of another, from clips (a VAE of shape and pose).

    A code says what a person looks like, a stick figure how the person stands.

    The reconstruction is compared by pixels and by a frozen VGG (Esser et al., 2018, arXiv:1804.04694). The code is
    held to `information_max` nats by a weight of the KL divergence that rises while there are more and falls while
    there are fewer. A regressor learns to read the posture from the code, and the code learns that it cannot; in the
    published code no gradient of it reached the encoder.
    """

    name = "shape_posture"
    objectives: ClassVar = {"ssim": "val/ssim", "perceptual": "val/perceptual", "psnr": "val/psnr"}

    @dataclass(frozen=True, kw_only=True)
    class Config(PoseTransferStage.Config):
        """Settings of the shape-and-posture network."""

        num_epochs: int = 150
        """Epochs of `epoch_size` pairs."""
        epoch_size: int = 12000
        """Pairs in an epoch, 1000 steps of the published code; 0 takes as many as there are usable frames."""
        batch_size: int = 12
        """Pairs in a step, over all workers together."""
        lr: float = 5e-4
        """Initial learning rate of the network, which falls linearly to 0 over the run; the regressor's stays 1e-3."""
        spatial_size: tuple[int, int] = (0, 0)
        """Height and width of the frames; by default the dataset's."""
        inplane_normalize: bool = False
        """Show the person as ten part crops, each turned upright, and not as the whole frame with its background."""
        torso_crop: Torso = "corners"
        """The torso among the part crops: its four corners, or upright and up to the neck."""
        crop_person: bool = False
        """Show not the whole frame but what is near the person, as large as a frame."""
        figure: Figure = "openpose18"
        """The joints of posture figures: OpenPose's 18, or Human3.6M's 17, derived from OpenPose's."""
        augmentation: Augmentation = "none"
        """Random augmentation of the person's frames in training: rotation, shift and scale (affine), or rotation by up
        to 90 degrees (rotation). Part crops are not augmented."""
        bottleneck_factor: int = 2
        """The coarsest maps of a frame whose shorter side is a power of 2 are 2 to this power on that side."""
        box_factor: int = 2
        """Part crops are 2 to this power times smaller than frames."""
        width: int = 32
        """Channels of the full resolution, doubled at each scale."""
        max_width: int = 128
        """Most channels of a scale, and those of the code."""
        self_share: float = 0.2
        """Share of the training pairs that are the same frame twice; published are these alone."""
        equal_people: bool = False
        """Learn from every person as often as from any other, however many frames there are of each."""
        lambda_l1: float = 1.0
        """Weight of the plain difference of pixels, in ImageNet's deviations."""
        lambda_vgg: float = 1.0
        """Weight of the sum of five perceptual terms, relu1_2 to relu5_2."""
        vgg: Literal["vgg19", "vgg16-hed", "vgg16-stlpips"] = "vgg19"
        """Network of the perceptual terms; vgg19 is the published one, the others come from PyPI."""
        information_max: float = 1000.0
        """Nats that the code may hold, mean of its two scales."""
        gamma_step: float = 1e-5
        """Change of the KL divergence's weight per step, for each nat above or below the target."""
        noise_steps: int = 0
        """Steps over which the codes' noise grows from none to all: few steps are enough if the code is of use before
        it is blurred. The published code has all of it from the first one."""
        lambda_regressor: float = 4.0
        """Weight of what keeps the posture out of the code, from 0 for none to 4."""
        regressor_start: int = 1000
        """Steps before the code is taught by the regressor, which learns from the first one."""
        regressor_cap: float = 1.2
        """Error of the regressor, a length in image sizes over all joints, above which the code need not hide more."""
        regressor_steps: int = 5
        """Updates of the regressor in a step: by the batch's own appearances, and then by others."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if min(self.spatial_size) < 1 and self.spatial_size != (0, 0):
                raise ConfigError(f"spatial_size must be a height and a width in pixels, got {self.spatial_size}")
            for field in ("bottleneck_factor", "box_factor", "noise_steps", "regressor_start"):
                if getattr(self, field) < 0:
                    raise ConfigError(f"{field} must be 0 or more, got {getattr(self, field)}")
            for field in ("width", "max_width", "regressor_steps"):
                if getattr(self, field) < 1:
                    raise ConfigError(f"{field} must be at least 1, got {getattr(self, field)}")
            if self.crop_person and self.inplane_normalize:
                raise ConfigError("crop_person shows frames, and inplane_normalize part crops: set one of them")
            if not 0 <= self.self_share <= 1:
                raise ConfigError(f"self_share must be in [0, 1], got {self.self_share}")
            if not 0 <= self.lambda_regressor <= _LARGEST_ADVERSARY:
                raise ConfigError(
                    f"lambda_regressor must be from 0 to {_LARGEST_ADVERSARY:g}, got {self.lambda_regressor}"
                )

        @property
        def frame_size(self) -> tuple[int, int]:
            """Height and width of the frames."""
            return self.spatial_size if self.spatial_size != (0, 0) else _USUAL_SIZE

        @property
        def num_scales(self) -> int:
            """Resolutions of the posture's path: 7 at 256 pixels and a bottleneck of 2² pixels."""
            return 1 + round(math.log2(min(self.frame_size))) - self.bottleneck_factor

        @property
        def view(self) -> View:
            """Presentation of a person's frames to the network."""
            height, width = (side // 2**self.box_factor for side in self.frame_size)
            window = (height, width) if self.inplane_normalize else None
            return View(window, self.torso_crop, self.crop_person, self.augmentation)

    accumulates = False  # the regressor steps several times
    config: ShapePosture.Config

    def __init__(self, config: Config):
        super().__init__(config)
        self.network = ShapePostureNetwork(
            30 if config.inplane_normalize else 3,
            config.num_scales,
            config.num_scales - (config.box_factor if config.inplane_normalize else 0),
            config.width,
            config.max_width,
        )
        self.gamma = nn.Parameter(torch.zeros(()))  # weight of the KL divergence
        self.num_steps: Tensor
        self.register_buffer("num_steps", torch.zeros((), dtype=torch.int64))
        self.optimizers = {
            "network": Adam(self.network.parameters(), lr=config.lr, betas=(0.5, 0.9), fused=True),
            "gamma": SGD([self.gamma], lr=config.gamma_step),
        }
        if config.lambda_regressor:
            sizes = self.network.latent_sizes(config.frame_size)
            self.regressor = PostureRegressor(sizes, self.network.latent_dim, len(FIGURES[config.figure].joints))
            self.optimizers["regressor"] = Adam(self.regressor.parameters(), lr=1e-3, fused=True)
        self.vgg = PretrainedVGG(config.vgg, convolution=2)

    @classmethod
    def adapt(cls, config: PoseTransferStage.Config, dataset: Dataset) -> PoseTransferStage.Config:
        assert isinstance(config, cls.Config) and isinstance(dataset, ClipDataset)
        if config.spatial_size not in ((0, 0), dataset.frame_size):
            (height, width), (wanted_height, wanted_width) = dataset.frame_size, config.spatial_size
            raise DatasetError(
                f"{dataset.folder} has frames of {height}×{width} (height × width), expected "
                f"{wanted_height}×{wanted_width}: prepare it at this size, or set spatial_size"
            )
        return replace(config, spatial_size=dataset.frame_size)

    @classmethod
    def open_samples(cls, config: PoseTransferStage.Config, dataset: Dataset, split: Split) -> Samples:
        """Pairs of two frames; those for measuring are never the same frame on purpose."""
        assert isinstance(config, cls.Config) and isinstance(dataset, ClipDataset)
        trains = split == "train"
        settings = ShapePairSettings(
            self_share=config.self_share if trains else 0.0,
            equal_people=config.equal_people,
            num_others=config.regressor_steps - 1 if config.lambda_regressor and trains else 0,
            epoch_size=config.epoch_size,
            seed=config.seed,
        )
        return ShapePairs(dataset, split, settings, view=config.view, figure=config.figure, augment=trains)

    def check_size(self, size: tuple[int, int]) -> None:
        self.network.check_size(size)
        if size != self.config.frame_size:
            height, width = self.config.frame_size
            raise ConfigError(
                f"the network is for frames of {height}×{width}, got {size[0]}×{size[1]}: set spatial_size"
            )

    def leave_untrained(self) -> None:
        self.vgg.leave_untrained()

    def start_epoch(self, epoch: int) -> None:
        """Set the network's learning rate; the steps of the regressor and of the KL divergence's weight stay."""
        for group in self.optimizers["network"].param_groups:
            group["lr"] = self.config.lr * self.lr_factor(epoch)

    def lr_factor(self, epoch: int) -> float:
        return 1.0 - epoch / self.config.num_epochs

    def step(self, batch: Batch) -> Losses:
        """Return the losses as they enter the objective; and unweighted, ``divergence`` in nats and the regressor's
        error."""
        config = self.config
        code = self.network.encode(batch["source_appearance"], noise=self._noise())
        fake = self.network.decode(code.z, batch["posture"])  # (N, 3, H, W)
        divergence = _divergence(code.mean, code.logstd)
        losses = {"kl": self.gamma.detach() * divergence, **self._reconstruction(fake, batch["target"])}
        measured = {"divergence": divergence, "gamma": self.gamma.clone()}
        if config.lambda_regressor:
            self._teach_regressor(batch, [mean.detach() for mean in code.mean])
            measured["regressor"] = self._posture_error(code.mean, batch["source_joints"])
            hidden = measured["regressor"].clamp(max=config.regressor_cap)
            losses["adversary"] = -config.lambda_regressor * self._has_started() * hidden
        self.update("network", sum_losses(losses))
        self._adapt_gamma(divergence.detach())
        self.num_steps += 1
        return detached({**losses, **measured})

    def _adapt_gamma(self, divergence: Tensor) -> None:
        """Raise the weight of the divergence by what is too many nats, or lower it by what is too few.

        As fast at most up as down, where the published code has no limit: after one step of a hundred thousand nats
        the code would be held at none for a hundred times as many steps.
        """
        allowed = self.config.information_max
        self.update("gamma", self.gamma * (allowed - divergence).clamp(min=-allowed))
        with torch.no_grad():
            self.gamma.clamp_(min=0)

    def _reconstruction(self, fake: Tensor, real: Tensor) -> Losses:
        """The terms that compare images (N, 3, H, W)."""
        losses = {"l1": self.config.lambda_l1 * normalized_l1(fake, real)}
        if self.config.lambda_vgg:
            losses["vgg"] = self.config.lambda_vgg * self._perceptual(fake, real)
        return losses

    def _perceptual(self, fake: Tensor, real: Tensor) -> Tensor:
        """The sum of five perceptual terms."""
        return perceptual(self.vgg(fake.device).rescaled, fake, real, [1.0] * _ACTIVATIONS)

    def _enlarge(self, crop: Tensor) -> Tensor:
        """A crop (1, 3, h, w) in [0, 1] as large as a frame, (1, 3, H, W) in [-1, 1]."""
        return 2 * F.interpolate(crop, self.config.frame_size, mode="bilinear", align_corners=False) - 1

    def _teach_regressor(self, batch: Batch, own: list[Tensor]) -> None:
        """Take its steps: by the codes of the batch, 2 × (N, D, ·, ·), and then by those of other appearances."""
        self.update("regressor", self._posture_error(own, batch["source_joints"]))
        if "others" not in batch:
            return
        with torch.no_grad():
            codes = self.network.encode(batch["others"].flatten(0, 1)).mean  # 2 × (N R, D, ·, ·)
        others = [code.unflatten(0, batch["others"].shape[:2]) for code in codes]  # 2 × (N, R, D, ·, ·)
        for k in range(batch["others"].shape[1]):
            self.update("regressor", self._posture_error([z[:, k] for z in others], batch["other_joints"][:, k]))

    def _posture_error(self, z: Iterable[Tensor], joints: Tensor) -> Tensor:
        """Error of the regressor: the length of its miss over all joints (N, K, 3) that are seen, mean of the batch."""
        height, width = self.config.frame_size
        places = joints[..., :2] / joints.new_tensor([width, height])  # (N, K, 2)
        misses = (self.regressor(list(z)) - places) * (joints[..., 2:] > 0)  # (N, K, 2)
        return (misses.square().sum(dim=(1, 2)) + 1e-12).sqrt().mean()

    def _noise(self) -> Tensor:
        """Share of the codes' noise at the current step, in [0, 1]."""
        return ((self.num_steps + 1) / (self.config.noise_steps + 1)).clamp(max=1)

    def _has_started(self) -> Tensor:
        """1 once the code is taught by the regressor, 0 before."""
        return (self.num_steps >= self.config.regressor_start).float()

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        """SSIM, PSNR and the perceptual loss, of frames from another frame's shape, and ``self_…`` from their own.

        ``box_ssim`` and ``box_perceptual`` are of what is near the person, the latter enlarged to a frame. And
        ``divergence``, nats that the codes hold, and ``regressor``, the error of reading a posture from them.
        """
        metrics: Metrics = {}
        real = batch["target"]
        for prefix, seen in (("", "source"), ("self_", "target")):
            fake = self.network(batch[f"{seen}_appearance"], batch["posture"])
            unit = ((fake.clamp(-1, 1) + 1) / 2, (real + 1) / 2)
            metrics[f"{prefix}ssim"] = ssim(*unit).mean().item()
            metrics[f"{prefix}psnr"] = psnr(*unit).mean().item()
            boxes = [_near_person(image, batch["target_pose"]) for image in unit]
            metrics[f"{prefix}box_ssim"] = float(np.mean([ssim(*both).item() for both in zip(*boxes, strict=True)]))
            if self.config.lambda_vgg:
                metrics[f"{prefix}perceptual"] = self._perceptual(fake, real).item()
                large = (torch.cat([self._enlarge(crop) for crop in crops]) for crops in boxes)
                metrics[f"{prefix}box_perceptual"] = self._perceptual(*large).item()
        code = self.network.encode(batch["source_appearance"])
        metrics["divergence"] = _divergence(code.mean, code.logstd).item()
        if self.config.lambda_regressor:
            metrics["regressor"] = self._posture_error(code.mean, batch["source_joints"]).item()
        return metrics

    @torch.no_grad()
    def preview(self, batch: Batch) -> Pictures:
        """Appearance, posture, generated and real; postures with random shapes; and interpolation between two people.

        The first column of ``sampled`` has the postures. In ``interpolated`` the first sample's shape goes over to the
        last one's, in the posture of the first.
        """
        appearance, posture = batch["source_appearance"], batch["posture"]
        fake = self.network(appearance, posture)
        generator = torch.Generator().manual_seed(self.config.seed)
        sampled = [posture, *(self.sample(posture, generator) for _ in range(_DRAWN_SHAPES))]
        rows_of = {
            "generated": {"source": batch["source"], "posture": posture, "generated": fake, "target": batch["target"]},
            "sampled": {
                f"posture {i}, random shapes": row for i, row in enumerate(zip(*sampled, strict=True), start=1)
            },
            "interpolated": {
                "shape of the first to that of the last person": self.interpolate(
                    appearance[0], appearance[-1], posture[0], _STEPS
                )
            },
        }
        return {
            name: titled_grid([[to_image(image) for image in row] for row in rows.values()], list(rows))
            for name, rows in rows_of.items()
        }

    @torch.no_grad()
    def sample(self, posture: Tensor, generator: torch.Generator) -> Tensor:
        """Draw random people in the postures of stick figures.

        Args:
            posture: (N, 3, H, W) in [-1, 1].
            generator: Draws their shapes from N(0, I), on the device that it is of.

        Returns:
            (N, 3, H, W) in [-1, 1].
        """
        sizes = self.network.latent_sizes(posture.shape[-2:])
        shapes = [(len(posture), self.network.latent_dim, *size) for size in sizes]
        z = [torch.randn(shape, generator=generator, device=generator.device).to(posture) for shape in shapes]
        return self.network.decode(z, posture).clamp(-1, 1)

    @torch.no_grad()
    def interpolate(self, first: Tensor, second: Tensor, posture: Tensor, count: int) -> Tensor:
        """Draw people whose shapes lie on the line from one's to another's.

        Args:
            first: (3 or 30, ·, ·), who is shown first, see `posegen.samples.appearance_of`.
            second: Who is shown last.
            posture: (3, H, W) in [-1, 1], that of all.
            count: Pictures, at least 2.

        Returns:
            (count, 3, H, W) in [-1, 1].
        """
        shares = torch.linspace(0, 1, count).to(posture)[:, None, None, None]
        ends = self.network.encode(torch.stack([first, second])).mean  # 2 × (2, D, ·, ·)
        z = [torch.lerp(end[:1], end[1:], shares) for end in ends]
        return self.network.decode(z, posture.expand(count, -1, -1, -1)).clamp(-1, 1)

    @torch.no_grad()
    def render(self, image: np.ndarray, keypoints: np.ndarray, poses: Iterable[np.ndarray]) -> Iterator[Tensor]:
        height, width = image.shape[:2]
        appearance = torch.from_numpy(appearance_of(image, keypoints, self.config.view)[0])
        z = self.network.encode(appearance[None].to(self.gamma.device)).z  # read once for all poses
        for pose in poses:
            posture = torch.from_numpy(posture_of(pose, (height, width), self.config.figure))[None]  # (1, 3, H, W)
            yield self.network.decode(z, posture.to(self.gamma.device))[0].clamp(-1, 1)


def _near_person(images: Tensor, poses: Tensor) -> list[Tensor]:
    """Crop images (N, 3, H, W) to the surroundings of the person, (1, 3, h, w) each; an image whose crop would be too
    small stays whole."""
    height, width = images.shape[-2:]
    crops = []
    for image, pose in zip(images, poses.cpu().numpy(), strict=True):
        box = box_of_pose(pose, (height, width))
        crop = image[None, :, max(box.top, 0) : max(box.bottom, 0), max(box.left, 0) : max(box.right, 0)]
        crops.append(crop if min(crop.shape[-2:]) >= SSIM_MIN_SIZE else image[None])
    return crops


def _divergence(mean: Iterable[Tensor], logstd: Iterable[Tensor]) -> Tensor:
    """KL divergence of the codes from N(0, I) in nats: of a sample's whole map, mean of the batch and of the scales."""
    scales = [mean_kl_to_standard_normal(m, 2 * s) for m, s in zip(mean, logstd, strict=True)]
    return torch.stack(scales).mean()


_H36M = ShapePosture.Config(spatial_size=(256, 256), self_share=1.0, equal_people=True, figure="h36m17")
_DEEPFASHION = replace(_H36M, inplane_normalize=True, equal_people=False, figure="openpose18", augmentation="affine")
# A few hundred steps must do, on frames a quarter of the paper's size: plain differences lead. They are a hundredth of
# the published sum of terms, and the weight of the divergence, which rises first, would outweigh them for most of the
# run; codes that are noisy or dear from the start are never of use, and postures are rendered as their training person.
_TINY = ShapePosture.Config(
    num_epochs=7,
    epoch_size=256,
    batch_size=4,
    lr=1e-3,
    width=16,
    max_width=64,
    lambda_vgg=0.0,
    gamma_step=1e-8,
    noise_steps=250,
    lambda_regressor=0.1,
    regressor_start=200,
    regressor_steps=2,
)
ShapePosture.presets = {
    "posegen": ShapePosture.Config(),
    "h36m": _H36M,
    "deepfashion": _DEEPFASHION,
    "market": replace(
        _DEEPFASHION, spatial_size=(128, 128), bottleneck_factor=1, box_factor=1, augmentation="rotation"
    ),
    "small": replace(_TINY, num_epochs=10, epoch_size=1024, noise_steps=1500),  # for several people in several rooms
    "tiny": _TINY,
}
