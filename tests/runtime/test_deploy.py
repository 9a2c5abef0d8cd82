"""The unit and the container files: whole, sound, and about files that are really here."""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILES = sorted(DEPLOY.glob("*.Dockerfile"))
INSTRUCTIONS = {"FROM", "ARG", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "STOPSIGNAL", "ENTRYPOINT", "CMD"}


def instructions(path: Path) -> list[tuple[str, str]]:
    """Instruction and what follows, with continued lines joined and comments left out."""
    text = "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("#"))
    lines = [line for line in re.sub(r"\\\n", " ", text).splitlines() if line.strip()]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    unit = tmp_path / "epee@yard.service"
    text = (DEPLOY / "epee@.service").read_text()
    unit.write_text(text.replace("/opt/epee/bin/epee", sys.executable))  # the one thing that need not be here
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True,
                          timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_says_what_the_command_does() -> None:
    unit = (DEPLOY / "epee@.service").read_text()
    for line in ("Type=notify", "WatchdogSec=30", "Restart=always", "DynamicUser=yes", "ProtectSystem=strict",
                 "ExecReload=/bin/kill -HUP $MAINPID", "SuccessExitStatus=130"):
        assert line in unit.splitlines()
    (command,) = re.findall(r"^ExecStart=\S+ (.*)$", unit, re.M)
    from epee.runtime.cli import add_common
    from epee.runtime.running import RUN

    parser = argparse.ArgumentParser()
    RUN.arguments(parser)
    add_common(parser)
    assert parser.parse_args(command.split()[1:]).config == "/etc/epee/%i.toml"


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_container_files_are_sound(path: Path) -> None:
    steps = instructions(path)
    assert {word for word, _ in steps} <= INSTRUCTIONS
    images = [rest for word, rest in steps if word == "FROM"]
    bases = [rest.split("=", 1)[1] for word, rest in steps if word == "ARG"] or [i.split()[0] for i in images]
    assert all(re.fullmatch(r"[\w./-]+:(?!latest)[\w.-]+", base) for base in bases)
    copied = [rest.split()[:-1] for word, rest in steps if word == "COPY" and not rest.startswith("--from")]
    assert copied
    assert all((ROOT / name).exists() for names in copied for name in names)
    assert steps[-1] == ("CMD", '["doctor"]')
    assert ("ENTRYPOINT", '["epee"]') in steps
    users = [i for i, (word, rest) in enumerate(steps) if word == "USER" and rest != "root"]
    assert users
    assert not any(word in ("RUN", "COPY") for word, _ in steps[users[0]:])
    for word, rest in steps:
        if word == "RUN" and "apt-get install" in rest:
            assert "--no-install-recommends" in rest
            assert "rm -rf /var/lib/apt/lists/*" in rest
    extras = re.findall(r'"\.\[([\w,-]+)\]"', path.read_text())
    project = (ROOT / "pyproject.toml").read_text()
    assert extras
    assert all(re.search(rf"^{extra} = \[", project, re.M) for extra in extras[0].split(","))
    ignored = path.with_name(path.name + ".dockerignore").read_text().splitlines()
    assert {f"!{name}" for names in copied for name in names} <= set(ignored)


def test_a_linter_takes_the_container_files() -> None:
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("no hadolint here")
    done = subprocess.run([hadolint, *map(str, DOCKERFILES)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
