"""Every command, given something of the right form that means nothing: one line and a status."""

import sys
from collections.abc import Iterator
from enum import EnumMeta
from pathlib import Path
from typing import Any, get_args
from uuid import UUID, uuid4

import pytest
import typer

from api.cli import root

pytestmark = pytest.mark.long

#: These serve, wait for a worker, or start a server of their own.
GO_ON = {("serve",), ("worker",), ("demo",), ("identity", "run"), ("identity", "evaluate")}


def commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command with the words that call it."""

    def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
        names = command.list_commands(None) if hasattr(command, "list_commands") else []
        for name in names:
            yield from walk(command.get_command(None, name), (*words, name))
        if not names and words not in GO_ON:
            yield words, command

    yield from walk(typer.main.get_command(root.app), ())


EVERY = list(commands())


def filled(command: Any, folder: Path) -> list[str]:
    """Return what a command demands, each of the right form."""
    forms: dict[Any, str] = {UUID: str(uuid4()), int: "1", float: "1", Path: str(folder / "a.json")}
    given = []
    for parameter in command.params:
        if parameter.required:
            kind = parameter.type_descriptor.annotation
            kind = (get_args(kind) or (kind,))[0]
            choices: list[Any] = list(kind) if isinstance(kind, EnumMeta) else []
            word = choices[0].value if choices else forms.get(kind, "x:y")
            is_option = parameter.opts[0].startswith("-")
            given += [parameter.opts[0], word] if is_option else [word]
    if any("--secret-file" in parameter.opts for parameter in command.params):
        given += ["--secret-file", forms[Path]]  # or it would ask for the secret
    return given


@pytest.mark.parametrize(("words", "command"), EVERY, ids=[" ".join(words) for words, _ in EVERY])
def test_a_command_about_nothing_that_is_there_ends_with_one_line_at_most(
    words: tuple[str, ...],
    command: Any,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    database_url: str,
) -> None:
    (tmp_path / "a.json").write_text("{}", encoding="utf-8")
    monkeypatch.setenv("PARCOURS_DATABASE_URL", database_url)
    monkeypatch.setenv("PARCOURS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(sys, "argv", ["parcours", *words, *filled(command, tmp_path)])
    with pytest.raises(SystemExit) as ended:
        root.main()
    out, err = capfd.readouterr()
    assert ended.value.code in (0, 1, 2), err
    assert "Traceback" not in out + err
