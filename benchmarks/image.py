"""The Dockerfile line by line, without an engine: `python -m benchmarks.image ROOT WORK BUNDLE`.

ROOT is a Debian root with Python 3.11 as `python`, as the base image has it:

    debootstrap --variant=minbase \\
        --include=ca-certificates,python3,python3-venv,python-is-python3 bookworm ROOT

Every stage is a copy of it under WORK; COPY copies, RUN runs in it (chroot), as root. Then the
image's own command serves BUNDLE as the image's own user, on a file system that is read-only but
for the volume and /tmp, until the image's own health check passes. Of the machine only the settings
of its network are taken into the stages. Not shown by this: the layers, and the published base
image.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

CONTEXT = Path(__file__).parents[1]
NETWORK_FILES = ("etc/resolv.conf", "etc/hosts", "etc/pip.conf")
NETWORK_VARIABLES = re.compile(
    r"(?i)^(https?_proxy|no_proxy|pip_(cert|index_url|trusted_host)|ssl_.*)$"
)
PATIENCE_SECONDS = 120


@dataclass
class Stage:
    """A stage under construction, and what its image would say of itself."""

    root: Path
    env: dict[str, str] = field(
        default_factory=lambda: {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
    )
    folder: str = "/"
    user: str = "0:0"
    volume: str = ""
    health: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)


def main(root: Path, work: Path, bundle: Path) -> None:
    """Build, serve, and ask the health check."""
    stages: dict[str, Stage] = {}
    stage = Stage(root)
    work.mkdir(parents=True)
    for word, rest in instructions((CONTEXT / "Dockerfile").read_text(encoding="utf-8")):
        print(f"{word} {rest[:100]}", flush=True)
        if word == "FROM":
            name = rest.split()[-1] if " AS " in rest else "image"
            stage = stages[name] = Stage(work / name)
            subprocess.run(["cp", "-a", "--reflink=auto", str(root), str(stage.root)], check=True)
            take_network(stage.root)
        else:
            obey(stage, stages, word, rest)
    megabytes = subprocess.run(
        ["du", "-sm", str(stage.root / "opt")], check=True, capture_output=True, text=True
    ).stdout.split()[0]
    print(f"/opt: {megabytes} MB")
    serve(stage, bundle)


def instructions(text: str) -> list[tuple[str, str]]:
    """Instructions of a Dockerfile with their arguments, in order."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    whole = re.sub(r"\\\n", " ", lines)
    return [
        (word, rest.strip())
        for word, _, rest in (x.partition(" ") for x in whole.splitlines() if x)
    ]


def take_network(root: Path) -> None:
    """Give a root the machine's own way to its package indices."""
    for name in NETWORK_FILES:
        if Path("/", name).is_file():
            shutil.copy(Path("/", name), root / name)
    for name, value in os.environ.items():
        if NETWORK_VARIABLES.match(name) and value.startswith("/") and Path(value).is_file():
            (root / value.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(value, root / value.lstrip("/"))


def obey(stage: Stage, stages: dict[str, Stage], word: str, rest: str) -> None:
    """Do one instruction."""
    if word == "ENV":
        for pair in shlex.split(rest):
            name, _, value = pair.partition("=")
            stage.env[name] = value.replace("$PATH", stage.env["PATH"])
    elif word == "WORKDIR":
        stage.folder = rest
        (stage.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
    elif word == "COPY":
        copy(stage, stages, shlex.split(rest))
    elif word == "RUN":
        subprocess.run(within(stage, ["sh", "-c", rest]), check=True, env=network() | stage.env)
    elif word == "USER":
        stage.user = rest
    elif word == "VOLUME":
        (stage.volume,) = json.loads(rest)
    elif word == "HEALTHCHECK":
        stage.health = json.loads(rest.partition("CMD")[2])
    elif word in ("ENTRYPOINT", "CMD"):
        stage.command += json.loads(rest)
    elif word != "EXPOSE":
        raise SystemExit(f"{word}: not known here")


def copy(stage: Stage, stages: dict[str, Stage], words: list[str]) -> None:
    source = CONTEXT
    if words[0].startswith("--from="):
        source = stages[words.pop(0).removeprefix("--from=")].root
    *names, target = words
    place = stage.root / Path(stage.folder, target).as_posix().lstrip("/")
    for name in names:
        found = source / name.lstrip("/")
        if found.is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(found, place, symlinks=True, dirs_exist_ok=True, ignore=ignore)
        else:
            shutil.copy(found, place)


def network() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if NETWORK_VARIABLES.match(name)}


def within(stage: Stage, command: list[str]) -> list[str]:
    inside = f"cd {shlex.quote(stage.folder)} && exec {shlex.join(command)}"
    return ["chroot", f"--userspec={stage.user}", str(stage.root), "sh", "-c", inside]


def serve(stage: Stage, bundle: Path) -> None:
    """Serve as the image would, until its health check passes or patience ends."""
    volume = stage.root / stage.volume.lstrip("/")
    shutil.copytree(bundle, volume / "bundle", dirs_exist_ok=True)
    env = stage.env | {"NPL_MODEL": f"{stage.volume}/bundle", "NPL_HOST": "127.0.0.1"}
    # A mount space of its own: the root read-only, the volume and /tmp not.
    read_only = (
        f"mount --bind {stage.root} {stage.root} && mount --bind {volume} {volume}"
        f" && mount -t tmpfs tmpfs {stage.root}/tmp && mount -o remount,bind,ro {stage.root}"
        f" && exec {shlex.join(within(stage, stage.command))}"
    )
    running = subprocess.Popen(["unshare", "--mount", "sh", "-c", read_only], env=env)
    try:
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until and running.poll() is None:
            asked = within(stage, stage.health)
            if not subprocess.run(asked, check=False, env=env, capture_output=True).returncode:
                print("healthy")
                subprocess.run(["ps", "-o", "uid,rss,args", "-p", str(running.pid)], check=False)
                return
            time.sleep(1)
        raise SystemExit("never healthy")
    finally:
        running.terminate()
        running.wait()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
