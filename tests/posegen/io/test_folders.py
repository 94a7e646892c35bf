"""A look at whether a folder can be written leaves nothing behind."""

from __future__ import annotations

from posegen.io.storage import StorageFolder


def test_a_folder_that_was_only_tried_is_not_left(tmp_path):
    StorageFolder(tmp_path / "new" / "data").require_writable()
    assert not (tmp_path / "new").exists() and tmp_path.exists()
    (tmp_path / "old").mkdir()
    StorageFolder(tmp_path / "old").require_writable()
    assert (tmp_path / "old").exists()
