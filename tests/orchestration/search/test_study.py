"""What a search decides, with an objective that costs nothing: no Ray is started."""

from __future__ import annotations

import math
import socket
import threading
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import cloudpickle
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from orchestration.search.settings import BEST, EPOCH, TuneSettings, find_constraints, find_objectives
from orchestration.search.space_binding import Search
from orchestration.search.study import StudyPruner, StudySearch, StudySettings, TrialCallbacks, open_study
from posegen.errors import CapacityError, ConfigError, SearchError
from posegen.stages import STAGES, VideoGenerator
from search_spaces.space import Space, Switched

NUM_EPOCHS = 9
SPACE = Space(
    summary="for tests",
    stage="video_generator",
    parameters={
        "video_generator.upper_latent_dim": CategoricalDistribution((2, 4, 8)),
        "video_generator.lambda_fm": FloatDistribution(0.1, 100.0, log=True),
        "video_generator.lambda_vgg": Switched(FloatDistribution(0.1, 100.0, log=True)),
    },
    settings={"video_generator.num_epochs": NUM_EPOCHS, "video_generator.vgg": "vgg16-stlpips"},
)
TWO = find_objectives(VideoGenerator, ("l1", "size"))
SEARCH = Search(SPACE, "tiny", "no_restoration", {})


def settings(folder: Path, **changes) -> StudySettings:
    plain = StudySettings(
        name="s",
        storage=f"sqlite:///{folder}/study.db",
        objectives=find_objectives(VideoGenerator, ("l1",)),
        sampler="tpe",
        pruning="asha",
        grace=1,
        reduction=3,
        seed=0,
        identity={"space": "for tests", "seed": changes.get("seed", 0)},
    )
    return replace(plain, **changes)


def error_after(epoch: int, point: dict) -> float:
    away = abs(math.log10(point["video_generator.lambda_fm"]) - 0.5)
    return away + 0.3 * (not point["video_generator.lambda_vgg.on"]) + 1 / epoch


class KilledError(Exception):
    """The driver is gone."""


def run(
    how: StudySettings,
    num_trials: int = 14,
    kill_at: tuple[int, int] | None = None,
    callbacks: TrialCallbacks | None = None,
) -> optuna.Study:
    """Do what Ray Tune does, one trial after another."""
    searcher = StudySearch(open_study(SEARCH, how), num_trials, callbacks)
    count = 0
    while isinstance(suggested := searcher.suggest(f"trial{count}"), dict):
        result = {}
        for epoch in range(1, NUM_EPOCHS + 1):
            if kill_at == (suggested["number"], epoch):
                raise KilledError
            result = {EPOCH: epoch, "val/l1": error_after(epoch, suggested["point"])}
            if searcher.should_prune(f"trial{count}", result):
                break
            searcher.on_trial_result(f"trial{count}", result)
        searcher.on_trial_complete(f"trial{count}", result)
        count += 1
    return searcher.opened.study


def outcomes(study: optuna.Study) -> list[tuple]:
    return [(trial.number, trial.state, trial.params, trial.value) for trial in study.trials]


@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes", "random", "grid"])
def test_a_killed_search_goes_on_as_if_it_had_not_been(tmp_path, sampler):
    folders = [tmp_path / name for name in ("whole", "killed")]
    for folder in folders:
        folder.mkdir()
    whole = outcomes(run(settings(folders[0], sampler=sampler)))
    killed = settings(folders[1], sampler=sampler)
    for kill_at in ((0, 2), (6, 1), (11, 1)):
        with pytest.raises(KilledError):
            run(killed, kill_at=kill_at)
    assert outcomes(run(killed)) == whole
    assert [number for number, *_ in whole] == list(range(14))


def test_the_preset_comes_first_and_most_are_stopped_early(tmp_path):
    trials = run(settings(tmp_path)).trials
    assert trials[0].params == SEARCH.starts[0]
    states = [trial.state for trial in trials]
    assert TrialState.PRUNED in states and TrialState.COMPLETE in states
    assert all(max(t.intermediate_values) in (1, 3, 9) for t in trials if t.state == TrialState.PRUNED)
    assert all(max(t.intermediate_values) == NUM_EPOCHS for t in trials if t.state == TrialState.COMPLETE)


def test_seeds_decide_the_points(tmp_path):
    points = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        points.append([t.params for t in run(settings(tmp_path / name, seed=seed, pruning="none"), 4).trials])
    assert points[0] == points[1] != points[2]


def test_grid_tries_every_value(tmp_path):
    trials = run(settings(tmp_path, sampler="grid", pruning="none"), 19).trials
    assert {t.params["video_generator.upper_latent_dim"] for t in trials} == {2, 4, 8}
    assert {round(t.params["video_generator.lambda_fm"], 6) for t in trials[1:]} == {
        0.1,
        round(math.sqrt(10), 6),
        100.0,
    }


def test_what_a_trial_says_of_itself_is_its_reason(tmp_path):
    how, ended = settings(tmp_path), []

    class Callbacks(TrialCallbacks):
        def end(self, trial):
            ended.append(trial)

    searcher = StudySearch(open_study(SEARCH, how), 4, Callbacks())
    searcher.suggest("a")
    searcher.on_trial_complete("a", {EPOCH: 2, "reason": "train/gan is not finite"})
    searcher.suggest("b")
    searcher.on_trial_complete("b", {EPOCH: NUM_EPOCHS, "val/l1": math.nan})
    searcher.suggest("c")
    searcher.on_trial_complete("c", error=True)
    searcher.suggest("d")
    searcher.on_trial_complete("d", {EPOCH: 3, "val/l1": 1.0})  # stopped when the time was over
    assert [trial.state.name for trial in searcher.opened.study.trials] == ["FAIL", "FAIL", "FAIL", "RUNNING"]
    reasons = [trial.user_attrs["reason"] for trial in ended]
    assert reasons == ["train/gan is not finite", "l1 is not finite: [nan]", "its process died again and again"]
    assert searcher.suggest("e") == "FINISHED"
    left = StudySearch(open_study(SEARCH, how), 4)
    assert left.suggest("f")["number"] == 3


def test_points_that_do_not_fit_are_never_started(tmp_path):
    class Callbacks(TrialCallbacks):
        def check(self, point):
            if point["video_generator.lambda_vgg.on"]:
                raise CapacityError("takes 900 GiB of memory, a trial has 8")

    study = run(settings(tmp_path, sampler="random"), 8, callbacks=Callbacks())
    unfit = [trial for trial in study.trials if trial.params["video_generator.lambda_vgg.on"]]
    assert unfit and all(trial.state == TrialState.PRUNED and not trial.intermediate_values for trial in unfit)
    assert {trial.user_attrs["reason"] for trial in unfit} == {"takes 900 GiB of memory, a trial has 8"}


def test_several_objectives_give_a_front(tmp_path):
    how = settings(tmp_path, objectives=TWO, pruning="none")
    searcher = StudySearch(open_study(SEARCH, how), 4)
    for number, values in enumerate(((3.0, 1.0), (1.0, 3.0), (3.0, 3.0), (2.0, 2.0))):
        searcher.suggest(str(number))
        result = {EPOCH: NUM_EPOCHS, "val/l1": values[0], "model/parameters": values[1]}
        searcher.on_trial_result(str(number), result)
        searcher.on_trial_complete(str(number), result)
    assert sorted(trial.number for trial in searcher.opened.study.best_trials) == [0, 1, 3]


def test_a_study_of_another_space_is_refused(tmp_path):
    open_study(SEARCH, settings(tmp_path))
    with pytest.raises(ValueError, match="search s exists with another seed: take another --name"):
        open_study(SEARCH, settings(tmp_path, seed=1))


def test_a_storage_that_does_not_work_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"the study's storage sqlite:///.*/nowhere/study.db does not work: "):
        open_study(SEARCH, settings(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"objectives": ()}, "got no objectives, expected one or more"),
        ({"objectives": TWO}, "--pruning none"),
        ({"objectives": TWO, "pruning": "none", "sampler": "cmaes"}, "cmaes has one objective"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(tmp_path, changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        settings(tmp_path, **changes)


@pytest.mark.parametrize(
    "stage", [stage for stage in STAGES.values() if stage.__module__.startswith("posegen.")], ids=lambda one: one.name
)
def test_every_stage_has_an_objective_that_is_raised_or_lowered(stage):
    objectives = find_objectives(stage, tuple(stage.objectives))
    assert objectives and find_objectives(stage) == objectives[:1]
    assert all(one.mode in ("min", "max") and one.metric == stage.objectives[one.name] for one in objectives)


def test_directions_of_objectives_come_from_the_registry():
    modes = {one.name: one.mode for one in find_objectives(VideoGenerator, tuple(VideoGenerator.objectives))}
    assert modes == {"lpips": "min", "color": "min", "psnr": "max", "l1": "min", "size": "min", "time": "min"}
    posture = find_objectives(STAGES["behavior"], ("posture_error",))
    assert (posture[0].metric, posture[0].mode) == ("val/posture_error", "max")


def test_an_unknown_objective_is_answered_with_the_stages_list(monkeypatch):
    with pytest.raises(SearchError, match="'beauty' is no objective of video_generator, expected one of lpips, color"):
        find_objectives(VideoGenerator, ("l1", "beauty"))
    monkeypatch.setattr(VideoGenerator, "objectives", {})
    with pytest.raises(SearchError, match="video_generator has no objectives"):
        find_objectives(VideoGenerator)
    monkeypatch.setattr(VideoGenerator, "objectives", {"charm": "val/charm"})
    assert find_objectives(VideoGenerator)[0].mode == "min"  # a metric of somebody else
    monkeypatch.setattr(VideoGenerator, "objectives", {"spread": "motion/diversity"})
    with pytest.raises(ConfigError, match="motion/diversity is neither to be raised nor lowered"):
        find_objectives(VideoGenerator)


@pytest.mark.parametrize(("field", "value"), [("trials", 0), ("reduction", 1), ("workers", -1), ("name", "a/b")])
def test_tune_settings_are_checked(field, value):
    with pytest.raises(ValueError, match=field):
        TuneSettings(**{field: value})


def test_the_address_of_a_study_is_not_in_what_ray_tune_writes_down(tmp_path):
    """Tune pickles its searcher and its scheduler into a file beside the runs."""
    (tmp_path / "hunter2").mkdir()
    searcher = StudySearch(open_study(SEARCH, settings(tmp_path / "hunter2")), num_trials=1)
    assert b"hunter2" not in cloudpickle.dumps([searcher, StudyPruner(searcher)])


def test_a_password_is_in_no_message(tmp_path):
    with pytest.raises(SearchError) as caught:
        open_study(SEARCH, replace(settings(tmp_path), storage="mysql+nothing://ann:hunter2@db.example/studies"))
    assert "mysql+nothing://db.example/studies" in str(caught.value) and "hunter2" not in str(caught.value)


# ---- Constraints, metrics of the registry, and storages


@pytest.mark.parametrize(
    ("text", "value", "kept"),
    [
        ("val/l1<=0.5", 0.4, True),
        ("val/l1<=0.5", 0.6, False),
        ("val/ssim >= 0.8", 0.9, True),
        ("val/ssim>=.8", 0.7, False),
    ],
)
def test_constraints_have_a_bound(text, value, kept):
    [constraint] = find_constraints(VideoGenerator, [text])
    assert (constraint.violation(value) <= 0) == kept


@pytest.mark.parametrize("text", ["l1", "l1<0.5", "l1<=much", "<=3", "l1==2"])
def test_what_is_no_constraint_is_refused(text):
    with pytest.raises(SearchError, match="expected METRIC<=NUMBER or METRIC>=NUMBER"):
        find_constraints(VideoGenerator, [text])
    with pytest.raises(SearchError, match="'hops' is no objective of video_generator"):
        find_constraints(VideoGenerator, ["hops<=3"])


def test_any_metric_with_a_direction_is_an_objective():
    [objective] = find_objectives(VideoGenerator, ("val/ms_ssim",))
    assert objective.metric == "val/ms_ssim" and objective.mode == "max"
    with pytest.raises(SearchError, match="or a metric such as val/ssim"):
        find_objectives(VideoGenerator, ("val/hops",))


def test_the_best_trials_keep_the_constraints(tmp_path):
    [bound] = find_constraints(VideoGenerator, ["size<=4"])
    how = settings(tmp_path, pruning="none", constraints=(bound,))
    searcher = StudySearch(open_study(SEARCH, how), 12)
    for number in range(12):
        suggested = searcher.suggest(f"trial{number}")
        size = suggested["point"]["video_generator.upper_latent_dim"]
        result = {EPOCH: NUM_EPOCHS, "val/l1": 1 / size, bound.metric: float(size)}
        searcher.on_trial_complete(f"trial{number}", result)
    study = searcher.opened.study
    sizes = [trial.params["video_generator.upper_latent_dim"] for trial in study.trials]
    assert max(sizes) > 4  # which would be best without the constraint
    assert study.best_trial.params["video_generator.upper_latent_dim"] == 4
    for trial in study.trials:
        too_large = trial.params["video_generator.upper_latent_dim"] > 4
        assert trial.user_attrs["broken"] == (["size<=4"] if too_large else [])


def test_a_constraint_that_nothing_reports_fails_the_trial(tmp_path):
    how = settings(tmp_path, constraints=find_constraints(VideoGenerator, ["val/ssim>=0.5"]))
    study = run(how, 1)
    assert study.trials[0].state == TrialState.FAIL
    assert "nothing for the constraint 'val/ssim>=0.5'" in study.trials[0].user_attrs["reason"]


def test_the_best_epoch_counts(tmp_path):
    searcher = StudySearch(open_study(SEARCH, settings(tmp_path, pruning="none")), 1)
    searcher.suggest("trial")
    searcher.on_trial_complete("trial", {EPOCH: NUM_EPOCHS, "val/l1": 0.9, f"{BEST}val/l1": 0.2})
    assert searcher.opened.study.trials[0].value == 0.2


def test_a_journal_on_a_disk_keeps_a_study(tmp_path):
    how = settings(tmp_path, storage=f"journal://{tmp_path}/study.journal")
    run(how, 3)
    assert len(run(how, 5).trials) >= 5 and (tmp_path / "study.journal").is_file()


def test_a_proxy_keeps_a_study(tmp_path):
    backend = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/behind.db")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve = partial(optuna.storages.run_grpc_proxy_server, backend, host="127.0.0.1", port=port)
    threading.Thread(target=serve, daemon=True).start()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            break
        time.sleep(0.1)
    run(settings(tmp_path, storage=f"grpc://127.0.0.1:{port}"), 3)
    assert len(optuna.load_study(study_name="s", storage=backend).trials) >= 3


@pytest.mark.parametrize("storage", ["grpc://nowhere", "grpc://127.0.0.1:1", "journal:///nowhere/at/all.log"])
def test_storages_that_do_not_work_are_one_line(storage, tmp_path):
    with pytest.raises(SearchError) as error:
        open_study(SEARCH, settings(tmp_path, storage=storage))
    assert storage in str(error.value) and "\n" not in str(error.value)
