"""``posegen weights VERB …``: pretrained weights on this machine."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table
from tyro.conf import Positional
from tyro.extras import SubcommandApp

from orchestration.cli.console import console, deferred
from posegen.errors import UsageError


def weights_app() -> SubcommandApp:
    """All verbs."""
    app = SubcommandApp()
    app.command(name="list")(deferred(list_weights))
    app.command(name="fetch")(deferred(fetch_weights))
    app.command(name="verify")(deferred(verify_weights))
    app.command(name="provide")(deferred(provide_weights))
    return app


def list_weights() -> None:
    """List the pretrained weights: what they are for, their licence and whether they are on this machine."""
    from posegen.weights.registry import listing

    table = Table("name", "what it is", "licence", "source", "here")
    for row in listing():
        table.add_row(row["name"], row["description"], row["licence"], row["source"], "yes" if row["cached"] else "no")
    console.print(table)


def fetch_weights(names: Positional[tuple[str, ...]] = ()) -> None:
    """Fetch weights and check them; afterwards they are used without a network.

    Args:
        names: Which; none fetches all that the defaults of `prepare` and `evaluate` use.
    """
    from posegen.weights.download import fetch
    from posegen.weights.registry import DEFAULTS

    fetch(names or DEFAULTS, progress=lambda text: console.print(text, markup=False))


def provide_weights(name: Positional[str], file: Positional[Path]) -> None:
    """Hand over a weight file that cannot be fetched from here.

    Args:
        name: Of the weight, see `posegen weights list`.
        file: As it was published.
    """
    from posegen.weights.download import provide

    console.print(f"{name}: {provide(name, file)}")


def verify_weights() -> None:
    """Check every weight on this machine against its sha256."""
    from posegen.weights.download import verify

    rows = verify()
    for name, state in rows:
        console.print(f"{name}: {state}")
    changed = [name for name, state in rows if state == "changed"]
    if changed:
        raise UsageError(f"{', '.join(changed)} changed on disk: fetch again with `posegen weights fetch`")
