"""Precision is had where there is arithmetic for it, and refused where it would be emulated."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from posegen.errors import ConfigError
from posegen.networks import device
from posegen.networks.device import autocast, fit_to_device, require_precision
from tests.posegen.stages import test_color_encoder, test_video_generator

CPU = torch.device("cpu")


@pytest.fixture
def processor(tmp_path, monkeypatch):
    def pretend(flags: str) -> None:
        info = tmp_path / "cpuinfo"
        info.write_text(f"processor\t: 0\nflags\t\t: fpu {flags} sse\nbugs\t: none\n")
        monkeypatch.setattr(device, "_CPU_INFO", info)
        device._cpu_has_bf16.cache_clear()

    yield pretend
    device._cpu_has_bf16.cache_clear()


@pytest.mark.parametrize("flags", ["avx512f avx512_bf16", "amx_bf16 amx_tile"])
def test_bf16_is_had_where_the_processor_has_it(processor, flags):
    processor(flags)
    require_precision("bf16", CPU)


def test_bf16_is_refused_where_it_would_be_emulated(processor, tmp_path, monkeypatch):
    processor("avx2 avx512f avx512_vnni")
    require_precision("fp32", CPU)
    with pytest.raises(ConfigError, match=r"no bf16 arithmetic \(AVX512-BF16 or AMX\).*set precision to fp32$"):
        require_precision("bf16", CPU)
    monkeypatch.setattr(device, "_CPU_INFO", tmp_path / "nowhere")
    device._cpu_has_bf16.cache_clear()
    with pytest.raises(ConfigError, match="no bf16"):
        require_precision("bf16", CPU)


def test_a_gpu_without_bf16_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    with pytest.raises(ConfigError, match="Tesla T4 has no bf16 arithmetic: set precision to fp32"):
        require_precision("bf16", torch.device("cuda"))


def test_a_cpu_keeps_its_layout():
    network = nn.Conv2d(3, 8, 3)
    before = network.weight.stride(), torch.get_float32_matmul_precision()
    fit_to_device(network, CPU)
    assert (network.weight.stride(), torch.get_float32_matmul_precision()) == before


@pytest.mark.parametrize("module", [test_video_generator, test_color_encoder], ids=["video", "color"])
def test_steps_of_both_methods_take_bf16(module):
    """Slow where a processor lacks it, but right: losses near those of fp32, and weights of 32 bits that moved."""
    options = {"lambda_vgg": 0.0} if module is test_video_generator else {}
    exact, stage = module.make_stage(**options), module.make_stage(**options)
    expected = exact.step(module.make_batch())
    with autocast("bf16", CPU):
        losses = stage.step(module.make_batch())
    for name, loss in expected.items():
        torch.testing.assert_close(losses[name].float(), loss, rtol=0.05, atol=0.02, msg=name)
    fresh = dict(module.make_stage(**options).named_parameters())
    optimized = {id(p) for optimizer in stage.optimizers.values() for p in optimizer.param_groups[0]["params"]}
    moved = [name for name, p in stage.named_parameters() if id(p) in optimized and not torch.equal(p, fresh[name])]
    assert len(moved) > 0.9 * len(optimized)
    assert {p.dtype for p in stage.parameters()} == {torch.float32}


def test_bf16_is_in_the_passes_and_not_outside(monkeypatch):
    seen = []
    with autocast("bf16", CPU):
        seen.append((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)
    with autocast("fp32", CPU):
        seen.append((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)
    assert seen == [torch.bfloat16, torch.float32]
