"""Commands that make datasets of clips."""

from __future__ import annotations

from tests.support.command_line import refusals, run


def test_a_studio_becomes_a_dataset_with_recolorings(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, out, _ = run("studio videos --people 1 --actions 2 --frames 4 --size 64x48", capsys)
    assert "next: posegen prepare videos DATASET --pose truth --edges truth --mask truth" in out
    truth = "--pose truth --edges truth --mask truth"
    _, out, _ = run(f"prepare videos data {truth} --size 64x48 --workers 0", capsys)
    assert "preparing 2/2" in out and "next: posegen colorize data --all-kinds" in out
    code, out, _ = run("colorize data --scope frame --region upper --recolorings 2 --workers 0", capsys)
    assert code == 0 and "16 images of 2 clips" in out and "2 clips new" in out


test_bad_input_is_one_line_and_writes_nothing = refusals(
    ("prepare nowhere out", "nowhere"),
    ("colorize nowhere", "no dataset in .*nowhere"),
    ("colorize nowhere --recolorings 0", "recolorings must be at least 1, got 0"),
    ("data h36m extract nowhere out", "no folder of archives at nowhere"),
    ("data h36m process nowhere", "nothing is extracted in .*nowhere/extracted: posegen data h36m extract"),
    ("data market nowhere out", "no index.p in .*nowhere"),
    ("data h36m extract a b --subjects S1 --subjects S5", "got --subjects twice"),
    ("studio out --size 10x10 --people 1 --actions 1", "32"),
)
