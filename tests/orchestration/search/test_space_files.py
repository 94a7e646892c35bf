"""Search spaces in files of one's own."""

from __future__ import annotations

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from orchestration.search.space_binding import load_space, space_name
from posegen.errors import SearchError
from search_spaces.space import Switched, When

YAML = """\
stage: video_generator
summary: codes and weights
parameters:
  video_generator.upper_latent_dim: [2, 4, 8]
  video_generator.num_blocks: {low: 1, high: 9}
  video_generator.lambda_fm: {low: 0.05, high: 100, log: true}
  video_generator.lambda_vgg: {low: 0.1, high: 100.0, switched: true}
  video_generator.lower_latent_dim: {choices: [2, 4], when: video_generator.upper_latent_dim, values: [2], otherwise: 8}
settings:
  video_generator.num_epochs: 4
starts:
  - {video_generator.upper_latent_dim: 8}
"""
PYTHON = """\
from optuna.distributions import IntDistribution

from search_spaces.space import Space

SPACE = Space(
    summary="blocks",
    stage="video_generator",
    parameters={"video_generator.num_blocks": IntDistribution(1, 9)},
)
"""


def write(folder, name, text):
    file = folder / name
    file.write_text(text)
    return str(file)


def test_yaml_is_a_space(tmp_path):
    file = write(tmp_path, "mine.yaml", YAML)
    space = load_space(file)
    assert space_name(file) == "mine" and space.stage == "video_generator" and space.summary == "codes and weights"
    upper, blocks, fm, vgg, lower = space.parameters.values()
    assert upper == CategoricalDistribution((2, 4, 8)) and blocks == IntDistribution(1, 9)
    assert fm == FloatDistribution(0.05, 100, log=True) and vgg == Switched(FloatDistribution(0.1, 100.0))
    assert lower == When("video_generator.upper_latent_dim", (2,), CategoricalDistribution((2, 4)), 8)
    assert space.settings == {"video_generator.num_epochs": 4}
    assert space.starts == ({"video_generator.upper_latent_dim": 8},)


def test_python_is_a_space(tmp_path):
    space = load_space(write(tmp_path, "mine.py", PYTHON))
    assert space.parameters == {"video_generator.num_blocks": IntDistribution(1, 9)}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", YAML.replace("low: 1,", "lo: 1,"), "a.yaml, line 5: video_generator.num_blocks: unknown key 'lo'"),
        ("a.yaml", YAML.replace("low: 1, high: 9", "low: 1"), "a.yaml, line 5: .*high is missing"),
        ("a.yaml", YAML.replace("low: 0.05", "low: 500"), "a.yaml, line 6: video_generator.lambda_fm"),
        ("a.yaml", YAML.replace("[2, 4, 8]", "[2, 4"), "a.yaml, line 5"),
        ("a.yaml", YAML.replace("stage: video", "stge: video"), "a.yaml, line 1: unknown key 'stge'"),
        ("a.yaml", YAML.replace("stage: video_generator", "stage: video"), "of the stage 'video', expected one of"),
        ("a.yaml", "parameters: {}\nstage: actor\n", "a.yaml has no parameters"),
        ("a.yaml", "- 1\n", "expected stage and parameters"),
        ("a.py", PYTHON.replace("IntDistribution(1, 9)", "IntDistribution(9, 1)"), "a.py, line 8: ValueError"),
        ("a.py", PYTHON.replace("SPACE =", "SPACE"), "a.py, line 5"),
        ("a.py", "X = 1\n", "a.py has no SPACE"),
    ],
)
def test_mistakes_are_shown_with_their_line(name, text, message, tmp_path):
    with pytest.raises(SearchError, match=message) as error:
        load_space(write(tmp_path, name, text))
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SearchError, match="there is no search space"):
        load_space(str(tmp_path / "mine.yaml"))
