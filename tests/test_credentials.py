"""Credentials in URLs: found in all the usual forms, and absent from what is printed."""

from __future__ import annotations

import pytest

from resgrid.credentials import has_credentials, without_credentials


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:secret@host/x", "http://***@host/x"),
        ("https://token@host:8080/x?y=1", "https://***@host:8080/x?y=1"),
        ("postgresql+psycopg2://u:p%40ss@db/mlflow failed", "postgresql+psycopg2://***@db/mlflow failed"),
        ("http://u:p@ss@host/x", "http://***@host/x"),
        ("https://b.s3.amazonaws.com/x?X-Amz-Signature=ab&a=1", "https://b.s3.amazonaws.com/x?X-Amz-Signature=***&a=1"),
        ("(url: /x.tar?sig=ab%2F&sv=2 (Caused by …))", "(url: /x.tar?sig=***&sv=2 (Caused by …))"),
        ("https://h/x?access_token=ab, next", "https://h/x?access_token=*** next"),
        ("two: http://a:b@c/ and http://d:e@f/", "two: http://***@c/ and http://***@f/"),
    ],
)
def test_credentials_are_hidden(text: str, shown: str) -> None:
    assert without_credentials(text) == shown
    assert has_credentials(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://host/~me/mail@host.tar?page=2#key=1",
        "me@example.com",
        "http://[::1]:5000/x",
        "s3://bucket/key=value/x.tar",
        "data.sha256: 'a.tar': is not a file",
    ],
)
def test_other_texts_stay(text: str) -> None:
    assert without_credentials(text) == text
    assert not has_credentials(text)
