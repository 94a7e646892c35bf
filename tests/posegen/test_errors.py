"""Messages are one line without secrets."""

from __future__ import annotations

import pickle

import pytest

from posegen.errors import PosegenError, TrackingError, counted, first_line, hide_credentials, in_one_line, suggestion


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://ann:hunter2@host/studies", "postgresql://host/studies"),
        ("mysql+pymysql://ann:p@ss/w@10.0.0.1:3306/x is away", "mysql+pymysql://10.0.0.1:3306/x is away"),
        ("https://ann@mlflow.example, s3://key:secret@bucket/a", "https://mlflow.example, s3://bucket/a"),
        ("postgresql://host/x?user=a&password=hunter2&sslmode=on", "postgresql://host/x?user=a&password=…&sslmode=on"),
        ("http://127.0.0.1:5000/#/runs, mail to ann@host", "http://127.0.0.1:5000/#/runs, mail to ann@host"),
    ],
)
def test_addresses_are_shown_without_user_and_password(text, shown):
    assert hide_credentials(text) == shown


def test_a_misspelt_word_gets_the_nearest_known_one():
    assert suggestion("wvae", ("walk", "wave")) == " (did you mean wave?)"
    assert suggestion("dance", ("walk", "wave")) == ""


def test_every_error_hides_them_and_survives_pickling():
    error = TrackingError("MLflow at https://ann:hunter2@host is away")
    assert str(error) == "MLflow at https://host is away" == str(pickle.loads(pickle.dumps(error)))
    other = OSError("could not connect to\npostgresql://ann:hunter2@host")
    assert "hunter2" not in first_line(other) + in_one_line(other) + str(PosegenError(other))


@pytest.mark.parametrize(
    ("number", "noun", "words"),
    [
        (1, "clip", "1 clip"),
        (0, "frame", "0 frames"),
        (1203, "held-out motion", "1,203 held-out motions"),
        (1, "more person", "1 more person"),
        (2, "more person", "2 more people"),
        (3, "entry", "3 entries"),
        (0.5, "GPU", "0.5 GPUs"),
        (1.0, "GPU", "1 GPU"),
    ],
)
def test_counts_are_in_words(number, noun, words):
    assert counted(number, noun) == words
