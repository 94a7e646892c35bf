"""What judges behaviour, against the numbers of the published code."""

from __future__ import annotations

import torch

from posegen.networks.behavior_probes import ActionLSTM, PostureMLP, RealismGRU
from tests.support.reference import assert_statistics, count_parameters, fill_listed, load_json, sine


def test_networks_have_the_published_number_of_parameters(fixtures):
    expected = load_json(fixtures / "motion", "behavior_judges")["param_counts"]
    with torch.device("meta"):
        assert count_parameters(ActionLSTM()) == expected["classifier_action_lstm_51_15_dim512"] == 1_224_719
        assert count_parameters(RealismGRU()) == expected["realism_classifier_gru_51_1"] == 237_569
        assert count_parameters(PostureMLP()) == expected["eval_regressor_1024_51"] == 669_235


def test_actions_are_told_as_by_the_published_code(fixtures):
    published = load_json(fixtures / "motion", "behavior_judges")["classifier_action_lstm"]
    judge = ActionLSTM()
    pairs = zip(judge.parameters(), published["parameter_order"], strict=True)
    fill_listed((own, name, shape) for own, (name, shape) in pairs)
    judge.double()
    postures = sine((3, 50, 51), 0.013, 0.2)
    with torch.no_grad():
        _, (last, _) = judge.rnn(postures)
        assert_statistics(judge.features(last[0]), published["feat128"], 1e-6)
        assert_statistics(judge(postures), published["logits"], 1e-6)


def test_any_length_and_size():
    assert ActionLSTM(6, 3, hidden_dim=8)(torch.zeros(2, 7, 6)).shape == (2, 3)
    assert RealismGRU(6, hidden_dim=8)(torch.zeros(2, 7, 6)).shape == (2,)
    assert PostureMLP(4, 6)(torch.zeros(2, 4)).shape == (2, 6)
