"""Changes the program in thirty small ways, one at a time, and prints those that no test notices: `make mutants`.

Each mutant is a mistake that somebody could make, and that would make results wrong without an error. It is tried on
a copy of the repository, by the tests of the file that it changes and, where these pass, by those of its package; Ray
is not started. Exit code 1 if more than two survive.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPIED = ("posegen", "orchestration", "search_spaces", "tests", "pyproject.toml", "README.md", "cluster.yaml", "docs")
MOST_SURVIVORS = 2


@dataclass(frozen=True)
class Mutant:
    """One wrong change."""

    file: str
    old: str
    """Occurs once in the file."""
    new: str
    fault: str
    """What would be wrong."""

    def suites(self) -> list[Path]:
        """The tests to run, one set after the other: those of the file, and those of its package."""
        file = Path(self.file)
        package = Path("tests") / file.parent
        own = package / f"test_{file.name}"
        return [own, package] if (ROOT / own).exists() else [package]

    def apply(self, root: Path) -> None:
        """Change the file below a root. Raises ValueError where the text to change is not there once."""
        place = root / self.file
        text = place.read_text()
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file} has {text.count(self.old)} times {self.old!r}, expected once")
        place.write_text(text.replace(self.old, self.new))


MUTANTS = [
    # Training
    Mutant(
        "orchestration/runtime/worker.py",
        "SeedSequence([seed, epoch, step, rank])",
        "SeedSequence([seed, epoch, step])",
        "all workers sample the same noise",
    ),
    Mutant(
        "orchestration/training/loop.py",
        "epoch_step=0, losses={})",
        "epoch_step=0)",
        "losses before a checkpoint within an epoch are counted again in the next epoch",
    ),
    Mutant(
        "posegen/samples/epoch_plan.py",
        "slice(rank * share, (rank + 1) * share)",
        "slice(0, share)",
        "all workers learn from the same samples",
    ),
    Mutant(
        "posegen/samples/epoch_plan.py",
        "range(self.first_step, self.num_steps)",
        "range(self.num_steps)",
        "a resumed epoch begins anew",
    ),
    Mutant(
        "posegen/stages/optimization.py",
        "(total / dist.get_world_size())",
        "(total / 1)",
        "gradients grow with the number of workers",
    ),
    Mutant(
        "posegen/stages/color_encoder.py",
        "share = self.config.batch_size / (halves * len(mean))",
        "share = 1.0",
        "the divergence counts less with more workers",
    ),
    Mutant(
        "posegen/checkpoints/checkpoint.py",
        '{"state": slots.get(name, {}), "param_groups"',
        '{"state": {}, "param_groups"',
        "a resumed run forgets what its optimizers had learned",
    ),
    Mutant(
        "posegen/checkpoints/checkpoint.py",
        "return filesystem.get_file_info(path).size == _facts(folder).tensor_bytes",
        "return True",
        "a checkpoint that was cut off is resumed from",
    ),
    # Losses
    Mutant(
        "posegen/losses.py",
        "return squares.sum() / (mask.sum() * squares[0, 0].numel())",
        "return squares.mean()",
        "the loss of a motion depends on how long others in its batch are",
    ),
    Mutant(
        "posegen/losses.py",
        "-0.5 * (1 + logvar - mean.square() - logvar.exp()).sum()",
        "-0.5 * (1 + logvar - mean.square() - logvar.exp()).sum(1).mean()",
        "the divergence is a mean over the batch where the paper has a sum",
    ),
    Mutant(
        "posegen/stages/video_stage.py",
        "0.5 * (lsgan(last(fake_scores), real=False) + lsgan",
        "0.5 * (lsgan(last(fake_scores), real=True) + lsgan",
        "the discriminator learns that generated frames are real",
    ),
    Mutant(
        "posegen/stages/video_stage.py",
        'begun = (batch["lead"] >= max_lead - t)',
        'begun = (batch["lead"] > max_lead - t)',
        "the first frame that leads up to a pair is not generated",
    ),
    # Samples and features
    Mutant(
        "posegen/samples/frame_pairs.py",
        "rng.random(len(frames)) >= settings.",
        "rng.random(len(frames)) < settings.",
        "true feature maps are shown as often as estimated ones should be",
    ),
    Mutant(
        "posegen/features/warp.py",
        "limbs = np.where(seen, np.arange(len(_MIRRORED_LIMBS)), _MIRRORED_LIMBS)",
        "limbs = np.where(seen, np.arange(len(_MIRRORED_LIMBS)), np.arange(len(_MIRRORED_LIMBS)))",
        "a limb that the source hides is not taken from the other side",
    ),
    Mutant(
        "posegen/features/warp.py",
        "(left, top) - (crop.left, crop.top)",
        "(left, top)",
        "parts are warped from the corner of their picture",
    ),
    # Colour
    Mutant(
        "posegen/color/recoloring.py",
        'original = settings.scope == "clip" and recoloring == 0',
        "original = recoloring == 0",
        "stage I sees every frame unpainted as well",
    ),
    Mutant(
        "posegen/color/recoloring.py",
        'place = f"{settings.seed}/{clip_id}/{recoloring}"',
        'place = f"{settings.seed}/{recoloring}"',
        "all clips get the same colours",
    ),
    Mutant(
        "posegen/metrics/color.py",
        "np.array([found[0], *target_ab])",
        "np.array([50.0, *target_ab])",
        "a hit depends on how light the garment is",
    ),
    Mutant(
        "posegen/metrics/color.py",
        "person & (labels == NONE)",
        "person",
        "the recoloured garment itself counts as leakage to the skin",
    ),
    # Motion
    Mutant(
        "posegen/motion/editing.py",
        "return _moved(motion, found.to_canonical(motion.joints), found.turn.T), found",
        "return _moved(motion, found.to_canonical(motion.joints), found.turn), found",
        "rotations of canonical motions do not fit their joints",
    ),
    Mutant(
        "posegen/motion/pose_features.py",
        "return posed - posed[:, :1, :1]",
        "return posed - posed[:, :, :1]",
        "recognizers do not see where people go",
    ),
    # Evaluation
    Mutant(
        "posegen/evaluation/motion_generation.py",
        "sets[name] = (found, real)",
        "sets[name] = (found, again)",
        "FID compares with other motions than those that were generated for",
    ),
    Mutant(
        "posegen/evaluation/behavior.py",
        '"chance": encode_windows(network, windows.targets, windows.target_lengths)',
        '"chance": encode_windows(network, windows.same, windows.same_lengths)',
        "consistency by chance is that of windows of one action",
    ),
    Mutant(
        "posegen/evaluation/behavior_rollouts.py",
        "np.flatnonzero((labels != label) & (people != person))",
        "np.flatnonzero(labels != label)",
        "behaviour is transferred within one person though there are others",
    ),
    Mutant(
        "posegen/evaluation/metric_info.py",
        "return abs(value - self.target)",
        "return value - self.target",
        "the lowest value is called the best of a metric with a target",
    ),
    Mutant(
        "orchestration/evaluation/compare.py",
        '(entry.state == "pruned", info.distance_to_goal(entry.value))',
        "info.distance_to_goal(entry.value)",
        "trials that were stopped early are ranked among those that finished",
    ),
    # Search and tracking
    Mutant(
        "orchestration/search/run_cache.py",
        "config.stage.name, settings, data]",
        "config.stage.name, settings]",
        "a run of another dataset is reused",
    ),
    Mutant(
        "orchestration/search/study.py",
        "seed = (settings.seed * 1_000_003 + number)",
        "seed = (settings.seed * 1_000_003)",
        "all trials sample the same point",
    ),
    Mutant(
        "orchestration/tracking/mirror.py",
        "self.description.mlflow_run_id or self._run_of(self.description.key)",
        "self.description.mlflow_run_id",
        "a run whose process was killed is in MLflow twice",
    ),
    Mutant(
        "orchestration/tracking/mirror.py",
        "if step in self.state.pictured or step not in finished:",
        "if step in self.state.pictured:",
        "pictures of an epoch that was not finished are sent, and again when it is repeated",
    ),
]


def survives(mutant: Mutant) -> bool:
    """Return whether all tests pass with the mutant in place."""
    with tempfile.TemporaryDirectory(prefix="mutant") as name:
        root = Path(name)
        for part in COPIED:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, root / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, root / part)
        mutant.apply(root)
        options = ["-x", "-q", "-m", "not slow and not ray", "-p", "no:cacheprovider", "--durations=0"]
        environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
        for suite in mutant.suites():
            command = [sys.executable, "-m", "pytest", *options, str(suite)]
            tried = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
            if tried.returncode == 1:
                return False
            if tried.returncode not in (0, 5):  # 5: none of the tests can run without Ray
                raise RuntimeError(f"the tests of {mutant.file} cannot be run: {tried.stdout}{tried.stderr}")
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only mutants of files whose names have one of these words")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="mutants that are tried at a time")
    arguments = parser.parse_args()
    chosen = [m for m in MUTANTS if not arguments.words or any(word in m.file for word in arguments.words)]
    begin = time.monotonic()
    survivors: list[Mutant] = []
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for mutant, alive in zip(chosen, pool.map(survives, chosen), strict=True):
            print(f"{'SURVIVES' if alive else 'found   '}  {mutant.file}: {mutant.fault}", flush=True)
            survivors += [mutant] * alive
    print(f"{len(survivors)} of {len(chosen)} survive, {time.monotonic() - begin:.0f} s")
    return int(len(survivors) > MOST_SURVIVORS)


if __name__ == "__main__":
    sys.exit(main())
