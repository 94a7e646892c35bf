"""The steps of both stages as the published code of BicycleGAN and pix2pixHD takes them, one loss after the other.

Same networks, losses and optimizers as the stages; what differs is how often a network runs and what it is asked for.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from posegen.losses import feature_matching, kl_to_standard_normal, last, lsgan, perceptual
from posegen.networks.codebook import reparameterize
from posegen.samples import Batch
from posegen.stages import ColorEncoder, VideoGenerator
from posegen.stages.optimization import Losses, detached, sum_losses
from posegen.stages.stage import Stage


def plain_adam(stage: Stage) -> None:
    """Give a stage PyTorch's default Adam for each of its optimizers."""
    for name, optimizer in stage.optimizers.items():
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        stage.optimizers[name] = Adam(parameters, lr=stage.config.lr, betas=(0.5, 0.999))


def step_color_encoder(stage: ColorEncoder, batch: Batch) -> Losses:
    """The paper's step in the order of BicycleGAN's published code, which keeps the graph for the latent loss."""
    config, real = stage.config, batch["image"]
    generator, discriminator = stage.optimizers["generator"], stage.optimizers["discriminator"]
    mean, logvar = stage.encoder(real)
    z = reparameterize(mean, logvar, batch["noise"][:, 0])
    fake = stage.generator(batch["features"], z)
    latent = config.lambda_z * F.l1_loss(stage.encoder(fake)[0], z.detach())

    stage.discriminator.requires_grad_(False)
    generator.zero_grad(set_to_none=False)
    losses = {
        "gan": config.lambda_gan * lsgan(stage.discriminator(fake), real=True),
        "l1": config.lambda_l1 * _region_l1(stage, fake, batch),
        "kl": config.lambda_kl * kl_to_standard_normal(mean, logvar),
    }
    sum_losses(losses).backward(retain_graph=True)
    _backward_without(stage.encoder, latent)
    generator.step()

    stage.discriminator.requires_grad_(True)
    fake_loss = lsgan(stage.discriminator(fake.detach()), real=False)
    losses["discriminator"] = fake_loss + lsgan(stage.discriminator(real), real=True)
    _descend(discriminator, losses["discriminator"])
    return detached({**losses, "latent": latent})


def step_video_generator(stage: VideoGenerator, batch: Batch) -> Losses:
    """The two-frame step in the order of pix2pixHD's published code: the discriminator looks at the fake twice."""
    config, real, features = stage.config, batch["images"], batch["features"]
    fake = stage.roll_out(features, stage.codes(batch), batch["regions"], stage.start_of(batch))
    pool_scores = stage.discriminate(features, fake.detach())
    real_scores = stage.discriminate(features, real)
    fake_scores = stage.discriminate(features, fake)
    losses = {"gan": config.lambda_gan * lsgan(last(fake_scores), real=True)}
    losses["fm"] = config.lambda_fm * feature_matching(fake_scores, real_scores)
    if config.lambda_vgg:
        losses["vgg"] = config.lambda_vgg * perceptual(stage.vgg(fake.device), fake.flatten(0, 1), real.flatten(0, 1))
    if config.lambda_l1:
        weight = 1 + (config.region_weight - 1) * batch["regions"].amax(dim=2, keepdim=True)
        losses["l1"] = config.lambda_l1 * (weight * (fake - real).abs()).mean()
    if config.lambda_contrast:
        losses["contrast"] = config.lambda_contrast * F.l1_loss(fake[0::2] - fake[1::2], real[0::2] - real[1::2])
    judged = 0.5 * (lsgan(last(pool_scores), real=False) + lsgan(last(real_scores), real=True))
    _descend(stage.optimizers["generator"], sum_losses(losses))
    _descend(stage.optimizers["discriminator"], judged)
    return detached({**losses, "discriminator": judged})


def _region_l1(stage: ColorEncoder, fake: torch.Tensor, batch: Batch) -> torch.Tensor:
    return ((fake - batch["image"]).abs() * (1 + (stage.config.region_weight - 1) * batch["region"])).mean()


def _backward_without(network: nn.Module, loss: torch.Tensor) -> None:
    """Add the gradients of a loss to everything but one network."""
    network.requires_grad_(False)
    loss.backward()
    network.requires_grad_(True)


def _descend(optimizer: Optimizer, loss: torch.Tensor) -> None:
    optimizer.zero_grad(set_to_none=False)
    loss.backward()
    optimizer.step()
