"""The registry of metrics: title, unit, direction and source of every figure that is printed, logged or compared.

A metric is named PHASE/NAME where it is logged: ``val/psnr``, ``test/ssim_masked``, ``behavior/transfer_accuracy``. The
registry is keyed by the base name, since a metric means the same in every phase; ``val/amplitude`` and the like are
entries of their own where it does not. `metric_info` also resolves qualified names, such as ``ssim_masked``,
``hit_upper``, ``transfer_accuracy``, ``asked_hit`` and ``posture_error_10``, and ``objective/lpips`` of a search.

Training losses are entries of the phase ``train``: they enter the objective weighted and compare within one
configuration only. Terms of an adversarial game have no direction: the generator's loss also falls when the
discriminator fails.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import NamedTuple

from posegen.errors import ConfigError
from posegen.evaluation.metric_info import Direction, MetricInfo
from posegen.person_classes import PersonClass
from posegen.stages import STAGES

_CIEDE2000 = "CIEDE2000: Sharma et al., 2005"
_GUO = "Guo et al., 2020, arXiv:2007.15240"
_BLATTMANN = "Blattmann et al., 2021, arXiv:2103.04677"
_NAEEM = "Naeem et al., 2020, arXiv:2002.09797, Equation 5; posegen.metrics.motion.coverage"
_PROTOCOL = "posegen.evaluation.motion_generation"
_OFF = "posegen.evaluation.validation"
_LOOK = "posegen.evaluation.frame_look"
_PROBES = f"{_BLATTMANN}, published code; posegen.evaluation.behavior_probes"
_FUTURES = f"{_BLATTMANN}, Section 4; posegen.metrics.behavior"
_LOSS = "posegen.losses"
_REFINER = "posegen.stages.Refiner.validate"

_LOSSES: dict[Direction, dict[str, str]] = {
    "down": {
        "ab": "colour loss",
        "action": "cross entropy of actions",
        "class": "colour class loss",
        "contrast": "contrast loss",
        "contact": "velocity loss of standing feet",
        "cross_entropy": "cross entropy of classes",
        "cycle": "code cycle loss",
        "denoising": "denoising loss",
        "dice": "Dice loss",
        "flow": "correspondence loss",
        "fm": "feature matching loss",
        "gradient": "gradient loss",
        "l1": "absolute error",
        "lab": "absolute error in CIELAB",
        "latent": "latent regression loss",
        "nll": "negative log-likelihood of codes",
        "nn": "nearest-neighbour loss",
        "opacity": "cross entropy of the opacity",
        "reconstruction": "reconstruction loss",
        "rotation": "rotation loss",
        "smoothness": "smoothness of the correction",
        "velocity": "velocity loss",
        "vertex": "vertex loss",
        "vgg": "perceptual loss",
    },
    "none": {
        "adversary": "posture adversary",
        "auxiliary": "posture adversary",
        "discriminator": "discriminator loss",
        "discriminator_random": "discriminator loss of random samples",
        "divergence": "KL divergence of codes, nats",
        "gamma": "weight of the KL divergence",
        "gan": "adversarial loss",
        "gan_random": "adversarial loss of random samples",
        "information": "information in codes, nats",
        "kl": "weighted KL divergence of codes",
        "posture": "posture decoder loss",
        "regressor": "posture regressor loss",
    },
}
"""Terms of the training objectives by whether lower values are better, or values have no direction."""

_GROUPS: dict[str, tuple[MetricInfo, ...]] = {
    "structure": (
        MetricInfo("ms_ssim", "MS-SSIM", "of 1", "up", digits=4, source="Wang et al., 2003; pytorch-msssim"),
        MetricInfo("ssim", "SSIM", "of 1", "up", digits=4, source="Wang et al., 2004; pytorch-msssim"),
        MetricInfo(
            "st_lpips", "ST-LPIPS", "distance", "down", digits=4, source="Ghildyal and Liu, 2022, arXiv:2207.13686"
        ),
        MetricInfo(
            "lpips", "LPIPS", "distance", "down", digits=4, source="Zhang et al., 2018, arXiv:1801.03924; lpips"
        ),
        MetricInfo(
            "perceptual", "VGG-19 distance", "", "down", source="Johnson et al., 2016; posegen.losses.perceptual"
        ),
        MetricInfo("psnr", "PSNR", "dB", "up", digits=2, source="posegen.metrics.image.psnr"),
        MetricInfo("l1", "mean absolute error", "", "down", source="torch.nn.functional.l1_loss"),
        MetricInfo(
            "l1_warped", "mean absolute error before restoration", source="posegen.stages.FeatureRestoration.evaluate"
        ),
        MetricInfo(
            "hole_l1", "mean absolute error in holes", "", "down", source="posegen.stages.FeatureRestoration.evaluate"
        ),
        MetricInfo(
            "hole_l1_warped",
            "mean absolute error in holes before restoration",
            source="posegen.stages.FeatureRestoration.evaluate",
        ),
    ),
    "appearance": (
        MetricInfo("own_color", "distance of clothes from their own colour", "ΔE2000", "down", digits=2, source=_LOOK),
        MetricInfo("whole_limbs", "limbs drawn as a whole", "%", "up", scale=100, digits=1, source=_LOOK),
        MetricInfo("ghosts", "wrong pixels beside the person", "% of it", "down", scale=100, digits=2, source=_LOOK),
    ),
    "time": (
        MetricInfo("flicker", "flicker", "of 1", "down", digits=4, source="Lai et al., 2018, warping error"),
        MetricInfo(
            "flicker_real", "flicker of the real clips", "of 1", digits=4, source="Lai et al., 2018, warping error"
        ),
        MetricInfo(
            "t_st_lpips", "tLPIPS by ST-LPIPS", "distance", "down", digits=4, source="Chu et al., 2020, TecoGAN"
        ),
        MetricInfo("t_lpips", "tLPIPS", "distance", "down", digits=4, source="Chu et al., 2020, TecoGAN"),
    ),
    "colour": (
        MetricInfo(
            "recolor",
            "colour reached with a swapped code",
            "of the way",
            "target",
            target=1,
            digits=4,
            source="posegen.metrics.color.share_of_way",
        ),
        MetricInfo("hit", "distance to the target colour", "ΔE2000", "down", digits=4, source=_CIEDE2000),
        MetricInfo(
            "texture", "texture kept", "correlation", "up", digits=4, source="posegen.metrics.color.texture_kept"
        ),
        MetricInfo("leakage", "change of what was not recoloured", "ΔE2000", "down", digits=4, source=_CIEDE2000),
        MetricInfo("background_delta_e", "change of the background", "ΔE2000", "down", digits=4, source=_CIEDE2000),
        MetricInfo(
            "code_sensitivity",
            "change of the picture per unit of the code",
            "of 1",
            "up",
            digits=4,
            source="posegen.metrics.latent.code_sensitivity",
        ),
        MetricInfo(
            "sensitivity",
            "change of the picture by swapped codes",
            "of 2",
            "up",
            source="posegen.stages.Stage.evaluate",
        ),
        MetricInfo(
            "collapsed", "codes without effect on the picture", "1 is yes", "down", source="measured while training"
        ),
        MetricInfo(
            "active_units", "dimensions of the code that vary", "", "up", source="Burda et al., 2016, Section 5.2"
        ),
        MetricInfo(
            "probe_r2", "linear probe from code to colour", "R²", "up", digits=3, source="Alain and Bengio, 2016"
        ),
        MetricInfo(
            "ab_error", "colour error", "units of (a, b)", "down", digits=2, source="posegen.stages.Colorizer.evaluate"
        ),
        MetricInfo(
            "hint_hit",
            "hinted pixels within 10 units of the hint",
            "%",
            "up",
            scale=100,
            digits=1,
            source="posegen.stages.Colorizer.evaluate",
        ),
    ),
    "refinement": (
        MetricInfo("near_l1", "absolute error at the person", "", "down", digits=2, scale=255, source=_REFINER),
        MetricInfo("near_l1_layers", "absolute error of the layers", "", "down", digits=2, scale=255, source=_REFINER),
        MetricInfo("epe", "endpoint error", "px", "down", digits=2, source=_REFINER),
        MetricInfo("epe_layers", "endpoint error of the layers", "px", "down", digits=2, source=_REFINER),
        MetricInfo("opacity_error", "error of the opacity", "of 1", "down", digits=4, source=_REFINER),
        MetricInfo("opacity_error_layers", "error of the layers' opacity", "of 1", "down", digits=4, source=_REFINER),
        MetricInfo("gain", "share of the layers' error taken away", "%", "up", digits=1, scale=100, source=_REFINER),
    ),
    "parsing": (
        *(
            MetricInfo(
                f"{kind.name.lower()}_iou",
                f"IoU of {kind.name.lower().replace('_', ' ')}",
                "of 1",
                "up",
                digits=3,
                source="posegen.metrics.parsing.class_ious",
            )
            for kind in PersonClass
        ),
        MetricInfo(
            "mean_iou", "mean IoU of all classes", "of 1", "up", digits=3, source="posegen.metrics.parsing.class_ious"
        ),
        MetricInfo(
            "garment_iou",
            "mean IoU of upper and lower garment",
            "of 1",
            "up",
            digits=3,
            source="posegen.metrics.parsing.class_ious",
        ),
        MetricInfo(
            "painted",
            "skin and hair taken for a garment",
            "%",
            "down",
            scale=100,
            digits=1,
            source="posegen.metrics.parsing.painted_share",
        ),
    ),
    "colour asked for": (),
    "motion": (
        MetricInfo("fid", "FID", "", "down", digits=3, source="Heusel et al., 2017; of motions: " + _GUO),
        MetricInfo("accuracy", "accuracy", "%", "up", scale=100, digits=2, source=_GUO),
        MetricInfo("diversity", "diversity", "", "target", digits=3, source=_GUO),
        MetricInfo("multimodality", "multimodality", "", "target", digits=3, source=_GUO),
        MetricInfo("coverage", "coverage", "%", "up", scale=100, digits=1, source=_NAEEM),
        MetricInfo("nearest", "nearest training motion", "mm", "target", scale=1000, digits=0, source=_PROTOCOL),
        MetricInfo("jerk", "jerk", "m/s³", "target", digits=0, source="posegen.metrics.motion.jerk"),
        MetricInfo("foot_skate", "foot skate", "cm/s", "target", scale=100, digits=1, source="posegen.motion.quality"),
        MetricInfo("jerk_error", "jerk, off real motions'", "%", "down", scale=100, digits=1, source=_OFF),
        MetricInfo("foot_skate_error", "foot skate, off real motions'", "%", "down", scale=100, digits=1, source=_OFF),
        MetricInfo("denoising_error", "denoising error", "", "down", digits=4, source="posegen.stages.MotionDiffusion"),
        MetricInfo(
            "amplitude", "amplitude", "cm", "target", scale=100, digits=1, source="posegen.metrics.motion.amplitude"
        ),
        MetricInfo(
            "val/amplitude",
            "amplitude in relation to real motions",
            "",
            "target",
            target=1,
            digits=3,
            source="posegen.stages.Actor.evaluate",
        ),
        MetricInfo(
            "joint_error", "joint error", "cm", "down", scale=100, digits=2, source="MPJPE: Ionescu et al., 2014"
        ),
        MetricInfo(
            "root_error",
            "error of the root's place",
            "cm",
            "down",
            scale=100,
            digits=2,
            source="posegen.stages.Actor.evaluate",
        ),
        MetricInfo(
            "cross_entropy", "cross entropy", "nats", "down", digits=4, source="torch.nn.functional.cross_entropy"
        ),
    ),
    "behaviour": (
        MetricInfo("behavior/accuracy", "action of the code", "%", "up", scale=100, digits=1, source=_PROBES),
        MetricInfo("target_accuracy", "action of the target", "%", "down", scale=100, digits=1, source=_PROBES),
        MetricInfo(
            "movement_accuracy", "action of the code, by movement", "%", "up", scale=100, digits=1, source=_PROBES
        ),
        MetricInfo(
            "target_movement_accuracy",
            "action of the target, by movement",
            "%",
            "down",
            scale=100,
            digits=1,
            source=_PROBES,
        ),
        MetricInfo(
            "first_step", "first step", "cm", "target", scale=100, digits=2, source="posegen.evaluation.behavior"
        ),
        MetricInfo("cross_displacement", "distance from the source's postures", "σ", digits=2, source=_FUTURES),
        MetricInfo(
            "cross_displacement_final", "distance from the source's last posture", "σ", digits=2, source=_FUTURES
        ),
        MetricInfo("consistency", "distance of the code read back", "", "down", digits=2, source=_FUTURES),
        MetricInfo(
            "consistency_std", "standard deviation of the distance of the code read back", digits=2, source=_FUTURES
        ),
        MetricInfo(
            "same_action", "distance of codes of one action", digits=2, source="posegen.metrics.behavior.code_distance"
        ),
        MetricInfo("realism", "P(real)", "", "target", target=0.5, digits=3, source=_PROBES),
        MetricInfo("realism_of_real", "P(real) of real motions", digits=3, source=_PROBES),
        MetricInfo(
            "realism_accuracy", "discriminator accuracy", "%", "target", target=0.5, scale=100, digits=1, source=_PROBES
        ),
        MetricInfo(
            "limb_drift", "limb drift", "%", "down", scale=100, digits=2, source="posegen.metrics.behavior.limb_drift"
        ),
        MetricInfo("asd", "ASD", "m", digits=2, source=_FUTURES),
        MetricInfo("fsd", "FSD", "m", digits=2, source=_FUTURES),
        MetricInfo("apd", "APD", "m", digits=2, source=_FUTURES),
        MetricInfo("ade", "ADE", "m", "down", digits=2, source=_FUTURES),
        MetricInfo("fde", "FDE", "m", "down", digits=2, source=_FUTURES),
    ),
    "code": (
        MetricInfo("posture_r2", "posture read from codes", "R²", "down", digits=2, source=_PROBES),
        MetricInfo("posture_error", "error of postures read from codes", "σ", "up", digits=2, source=_PROBES),
        MetricInfo(
            "val/posture_error",
            "squared error of postures read from codes",
            "σ²",
            "up",
            source=f"{_BLATTMANN}, Section 3.2",
        ),
        MetricInfo(
            "regressor", "error of joints read from codes", "of the frame", "up", source=f"{_BLATTMANN}, published code"
        ),
        MetricInfo(
            "nll", "negative log-likelihood of codes", "nats", "down", source="Dinh et al., 2017, arXiv:1605.08803"
        ),
        MetricInfo(
            "prior_nll",
            "negative log-likelihood of codes under N(0, I)",
            "nats",
            source="posegen.stages.BehaviorFlow.evaluate",
        ),
        MetricInfo("information", "information in codes", "nats", source=f"{_BLATTMANN}, Section 3.2"),
        MetricInfo(
            "information_share", "information in codes, share of what is allowed", source=f"{_BLATTMANN}, Section 3.2"
        ),
        MetricInfo(
            "kl", "KL divergence of codes from N(0, I)", "nats", source="Kingma and Welling, 2014, arXiv:1312.6114"
        ),
        MetricInfo(
            "divergence",
            "KL divergence of codes from N(0, I)",
            "nats",
            source="Kingma and Welling, 2014, arXiv:1312.6114",
        ),
    ),
    "cost": (
        MetricInfo(
            "model/parameters", "parameters of the generator", "million", "down", source="measured while training"
        ),
        MetricInfo("time/frame_seconds", "time for a frame", "s", "down", source="measured while training"),
        MetricInfo("time/epoch_seconds", "time for an epoch", "s", "down", digits=1, source="measured while training"),
        MetricInfo(
            "time/data_share",
            "time waiting for data",
            "%",
            "down",
            scale=100,
            digits=1,
            source="measured while training",
        ),
    ),
    "training loss": tuple(
        MetricInfo(f"train/{name}", f"{title} (training)", "", direction, source=_LOSS)
        for direction, losses in _LOSSES.items()
        for name, title in losses.items()
    ),
}

METRICS: dict[str, MetricInfo] = {
    info.name: replace(info, group=group) for group, metrics in _GROUPS.items() for info in metrics
}
"""Every metric, by its base name or by PHASE/NAME, in the order of tables. `register_metric` adds others."""


class _Qualifier(NamedTuple):
    """A prefix or suffix of names, such as ``_masked``, that says what a metric was measured on."""

    pattern: re.Pattern[str]
    """Group 1 is the name without it; group 2, if there is one, goes into the title."""
    title: str
    """Of the qualified metric, by the ``{title}`` of the other and group 2."""
    is_reference: bool = False
    """True if values are of the data or of chance, not of the evaluated run; they have no direction."""
    phase: str = ""
    """Phase whose entries apply instead of that of the name."""
    group: str = ""
    """Group instead of that of the other."""

    def apply(self, info: MetricInfo, match: re.Match[str]) -> MetricInfo:
        """The qualified metric."""
        title = self.title.format(*match.groups(), title=info.title)
        changed = replace(info, title=title, group=self.group or info.group)
        return replace(changed, direction="none", target=None) if self.is_reference else changed


def _prefix(name: str, **changes: str | bool) -> _Qualifier:
    return _Qualifier(re.compile(f"{name}_(.+)"), f"{name}: {{title}}", **changes)  # type: ignore[arg-type]


_QUALIFIERS = (
    _prefix("real", is_reference=True),
    _prefix("learned", is_reference=True),
    _prefix("chance", is_reference=True),
    *map(_prefix, ("reconstruction", "transfer", "late", "prior", "flow", "code")),
    _prefix("generated", phase="motion"),
    _Qualifier(re.compile("asked_(.+)"), "{title}, colour asked for", group="colour asked for"),
    _Qualifier(re.compile("self_(.+)"), "{title}, own shape"),
    _Qualifier(re.compile("box_(.+)"), "{title}, near the person"),
    _Qualifier(re.compile("(.+)_masked"), "{title}, masked"),
    _Qualifier(re.compile("(.+)_(upper|lower|other)"), "{title}, {1} garment"),
    _Qualifier(re.compile("(.+)_skin"), "{title}, skin"),
    _Qualifier(re.compile("(.+)_median"), "{title}, median"),
    _Qualifier(re.compile(r"(.+)_(\d+)"), "{title}, frame {1}"),
    _Qualifier(re.compile(r"(.+)\.(low|high)"), "{title}, {1} end of the 95 % interval"),
)


def metric_info(name: str) -> MetricInfo:
    """Look up how a metric is read, by its logged name or its base name.

    A name that is not registered, of a stage defined elsewhere for example, is its own title and has no direction.
    """
    return find_metric_info(name) or MetricInfo(name=name, title=name)


def find_metric_info(name: str) -> MetricInfo | None:
    """Look up a metric as `metric_info` does; None for a name that is not registered."""
    entry = _find_entry(name)
    among = name.split("/")[1:-1]  # test/METHOD/NAME is one method's value in a comparison of several
    return entry and replace(entry, name=name, title=": ".join([*among, entry.title]))


def table_position(name: str) -> tuple[int, int]:
    """Return the sort key of a metric in tables: by group, then in the registry's order; unregistered ones last."""
    entry = _find_entry(name)
    groups, names = list(_GROUPS), list(METRICS)
    group = groups.index(entry.group) if entry and entry.group in groups else len(groups)
    return group, names.index(entry.name) if entry and entry.name in names else len(names)


def objective_info(metric: str) -> MetricInfo:
    """Look up a metric that a stage names among its objectives: one that is not registered is to be lowered."""
    return find_metric_info(metric) or MetricInfo(name=metric, title=metric, direction="down")


def objective_metric(objective: str) -> str:
    """Return the metric that stages optimize under a short name, such as ``val/psnr`` for ``psnr``; empty for none."""
    metrics = (stage.objectives.get(objective) for stage in STAGES.values())
    return next(filter(None, metrics), "")


def register_metric(info: MetricInfo) -> None:
    """Add a metric of a stage that is defined elsewhere, by its base name or by PHASE/NAME.

    Raises ConfigError where the name has another meaning already.
    """
    if METRICS.setdefault(info.name, info) != info:
        raise ConfigError(f"the metric {info.name!r} is registered as {METRICS[info.name].title!r}: take another name")


def _find_entry(name: str) -> MetricInfo | None:
    """The registry's entry of a logged name, qualified but with the name that it is registered under."""
    phase, _, base = name.rpartition("/")
    phase = phase.partition("/")[0]
    if phase == "objective":
        metric = objective_metric(base)
        return (_find_entry(metric) or objective_info(metric)) if metric else None
    return _resolve(phase, base)


def _resolve(phase: str, base: str) -> MetricInfo | None:
    """The entry of a base name, or that of what its qualifiers leave of it."""
    own = METRICS.get(f"{phase}/{base}")
    if own is not None or phase == "train":
        return own
    if base in METRICS:
        return METRICS[base]
    for qualifier in _QUALIFIERS:
        match = qualifier.pattern.fullmatch(base)
        inner = _resolve(qualifier.phase or phase, match[1]) if match else None
        if match and inner:
            return qualifier.apply(inner, match)
    return None
