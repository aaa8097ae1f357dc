"""The container files, checked without a container engine."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = (ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8")
IGNORED = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
#: Instructions, with continued lines put together.
LINES = [
    line for line in DOCKERFILE.replace("\\\n", " ").splitlines() if re.match(r"[A-Z]+ ", line)
]
FINAL = LINES[max(n for n, line in enumerate(LINES) if line.startswith("FROM ")) :]


def copied() -> list[str]:
    """Return what the build copies out of the repository."""
    lines = [line.split()[1:-1] for line in LINES if line.startswith("COPY ")]
    return [part for parts in lines if not parts[0].startswith("--from") for part in parts]


def test_it_is_built_in_stages_and_the_last_has_no_build_tools() -> None:
    stages = [line for line in LINES if line.startswith("FROM ")]
    assert len(stages) == 2
    assert all(line.split()[1] == "python:3.11-slim" for line in stages)
    assert not any(re.search(r"\b(uv|pip|apt-get)\b", line) for line in FINAL)


def test_everything_that_is_copied_exists_and_is_let_through() -> None:
    assert copied()
    for name in copied():
        assert (ROOT / name).exists(), name
        assert f"!{name.removeprefix('./')}" in IGNORED, name
    assert IGNORED[1] == "*"


def test_every_package_of_the_wheel_is_copied() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r"^packages = \[(.*)\]$", project, re.MULTILINE)
    assert found
    assert set(re.findall(r'"(\w+)"', found[1])) <= set(copied())


def test_it_runs_as_somebody_who_is_not_root_and_owns_the_data() -> None:
    [user] = [line.split()[1] for line in FINAL if line.startswith("USER ")]
    assert user not in ("root", "0")
    assert any("useradd --system --uid 10001" in line for line in FINAL)
    assert f"install -d -o {user} -g {user} /data" in "".join(FINAL)
    after = FINAL[FINAL.index(f"USER {user}") :]
    assert any(line.startswith("CMD ") for line in after)
    assert not any(line.startswith("USER ") for line in after[1:])


def test_it_has_a_health_check_and_serves_to_the_outside() -> None:
    [check] = [line for line in FINAL if line.startswith("HEALTHCHECK ")]
    assert "/healthz" in check
    assert 'CMD ["parcours", "serve", "--host", "0.0.0.0"]' in FINAL


def test_versions_and_hashes_come_from_the_lock_file() -> None:
    assert "--require-hashes requirements.lock" in DOCKERFILE
    assert "--constraint requirements.lock" in DOCKERFILE


def test_no_image_floats_and_no_secret_is_written_down() -> None:
    images = re.findall(r"^FROM (\S+)|^\s+image: (\S+)", DOCKERFILE + COMPOSE, re.MULTILINE)
    for image in ("".join(pair) for pair in images):
        tag = image.partition(":")[2]
        assert tag, image
        assert tag != "latest"
    for line in (DOCKERFILE + COMPOSE).splitlines():
        if re.search(r"(PASSWORD|SECRET|TOKEN)\S*:? ", line) and not line.startswith("#"):
            assert "${" in line, line


@pytest.mark.parametrize("line", COMPOSE.splitlines())
def test_compose_is_indented_with_pairs_of_spaces(line: str) -> None:
    spaces = len(line) - len(line.lstrip(" "))
    assert spaces % 2 == 0
    assert "\t" not in line


def test_compose_waits_for_postgres_and_keeps_what_is_written() -> None:
    assert re.search(r"^    image: postgres:18$", COMPOSE, re.MULTILINE)
    assert "- postgres:/var/lib/postgresql\n" in COMPOSE
    assert "- data:/data\n" in COMPOSE
    assert "condition: service_healthy" in COMPOSE
    assert "context: ..\n" in COMPOSE
    assert "dockerfile: docker/Dockerfile\n" in COMPOSE
    volumes = COMPOSE.partition("\nvolumes:\n")[2].split()
    assert volumes == ["postgres:", "data:"]


def test_compose_names_only_settings_that_exist() -> None:
    settings = (ROOT / "app" / "settings.py").read_text(encoding="utf-8")
    for name in re.findall(r"PARCOURS_(\w+)", COMPOSE + DOCKERFILE):
        assert re.search(rf"^    {name.lower()}: ", settings, re.MULTILINE), name
