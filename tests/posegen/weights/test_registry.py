"""The table of weights."""

from __future__ import annotations

from posegen.weights.registry import WEIGHTS


def test_table_is_consistent():
    files: dict[str, object] = {}
    for name, weight in WEIGHTS.items():
        assert weight.name == name and weight.licence and weight.description
        assert files.setdefault(weight.file, weight.source) == weight.source  # one file, one source
        assert weight.sha256 is None or len(weight.sha256) == len(bytes.fromhex(weight.sha256)) * 2 == 64
        assert weight.file.endswith(".safetensors") == (weight.convert is not None)
    expected = {"blazepose-detector", "blazepose-landmark", "selfie", "hed", "vgg16-hed", "st_lpips", "vgg16-stlpips"}
    assert expected | {"vgg19", "lpips-alexnet"} <= WEIGHTS.keys()
