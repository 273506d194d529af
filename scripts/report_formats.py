"""The checks of scripts/report-formats.sh: audits, renders, compares with schemas."""

import argparse
import gzip
import json
import re
import subprocess
import sys
import tempfile
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

import jsonschema
import xmlschema
import yaml

ROOT = Path(__file__).resolve().parent.parent
# "Workflow commands for GitHub Actions": ::LEVEL NAME=VALUE,..::MESSAGE with % CR LF, in values also : and , escaped.
ESCAPED = r"(?:[^%\r\n]|%25|%0D|%0A)*"
VALUE = r"(?:[^%\r\n:,]|%25|%0D|%0A|%3A|%2C)*"
COMMAND = re.compile(rf"::(error|warning|notice) [a-z]+={VALUE}(?:,[a-z]+={VALUE})*::{ESCAPED}")

misses = 0


def line(name, defects):
    """Prints one line of the result."""
    global misses
    misses += bool(defects)
    print(f"{'miss' if defects else 'pass'}  {name}" + "".join(f"\n      {it}" for it in list(defects)[:5]))


def schema_defects(schema, value):
    validator = jsonschema.validators.validator_for(schema)
    checked = validator(schema, format_checker=validator.FORMAT_CHECKER).iter_errors(value)
    return [f"{'/'.join(map(str, it.absolute_path))}: {it.message[:200]}" for it in checked]


def sarif_defects(schema, text):
    log = json.loads(text)
    defects = schema_defects(schema, log)
    results = log["runs"][0]["results"]
    if len(results) > 5000 or len(gzip.compress(text.encode())) > 10_000_000:
        defects.append(f"{len(results)} results")
    for result in results:
        n_locations = len(result["locations"]) + len(result.get("relatedLocations", []))
        if not 1 <= n_locations <= 100:
            defects.append(f"{n_locations} locations")
    return defects


def junit_defects(schema, text):
    # The schema does not have the place of a case, which GitLab and others read.
    root = ET.fromstring(text)
    for case in root.iter("testcase"):
        case.attrib.pop("file", None)
        case.attrib.pop("line", None)
    return [f"{it.path}: {it.reason}" for it in schema.iter_errors(root)]


def github_defects(text):
    defects = [it for it in text.splitlines() if not COMMAND.fullmatch(it)]
    for level in ["error", "warning", "notice"]:
        n = sum(it.startswith(f"::{level} ") for it in text.splitlines())
        if n > 10:
            defects.append(f"{n} of {level}")
    return defects


def outputs(args, name, folder, arguments):
    """Audits and holds every output against its schema."""

    def tamis(*words):
        run = subprocess.run([args.bin, *words], cwd=folder, capture_output=True, check=False)
        if run.returncode not in (0, 1):
            sys.exit(f"{words}: exit code {run.returncode}\n{run.stderr.decode()}")
        return run.stdout.decode()

    tamis("audit", "--quiet", *arguments)
    sarif = json.loads(Path(args.sarif).read_text())
    junit = xmlschema.XMLSchema(args.junit)
    shown = {it: tamis("report", "--format", it) for it in ["sarif", "junit", "github", "markdown"]}
    line(f"{name}: sarif", sarif_defects(sarif, shown["sarif"]))
    line(f"{name}: junit", junit_defects(junit, shown["junit"]))
    line(f"{name}: github", github_defects(shown["github"]))
    line(f"{name}: markdown", ["too long"] if len(shown["markdown"]) > 65_536 else [])


def hostile(folder):
    """Data whose names, keys and labels try to do harm."""
    rows = [
        {"id": "::error::x\n::add-mask::y", "label": "@team #1 `|", "text": "the same words in both of the rows"},
        {"id": "]]> \x00\ufffe\u202e<b>", "label": "[a](javascript:b)", "text": "the same words in both of the rows"},
        {"id": "%0A, a:b", "label": "<img src=x>", "text": "something else altogether stands in this row"},
    ]
    data = folder / "data"
    data.mkdir()
    (data / "a b,c:d%#&\n'é.jsonl").write_text("".join(json.dumps(it) + "\n" for it in rows))
    (folder / "base.jsonl").write_text('{"fingerprint": "0"}\n')
    config = (
        "baseline = 'base.jsonl'\n[checks.near-duplicate]\nmin_cosine = 0.97\n"
        "[[suppress]]\ncheck = 'exact-duplicate'\npath = 'data/**'\nreason = '](x) <b> @team'\nexpires = 9999-01-01\n"
    )
    (folder / "tamis.toml").write_text(config)
    return config


def main():
    parser = argparse.ArgumentParser()
    for name in ["bin", "sarif", "junit"]:
        parser.add_argument(f"--{name}", required=True)
    args = parser.parse_args()
    args.bin = str(Path(args.bin).resolve())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        outputs(args, "examples/definitions", folder, [str(ROOT / "examples/definitions")])
    config_schema = json.loads((ROOT / "docs/schema/config.v1.json").read_text())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        config = tomllib.loads(hostile(folder))
        outputs(args, "hostile", folder, ["data"])
        config = json.loads(json.dumps(config, default=str))
        line("tamis.toml that is used: schema", schema_defects(config_schema, config))
        wrong = {"checks": {"near-duplicate": {"min_cos": 1}}}
        line("tamis.toml that is refused: schema", [] if schema_defects(config_schema, wrong) else ["taken"])
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    steps = action["runs"]["steps"]
    line("action.yml", [it for it in steps if "run" in it and it.get("shell") != "bash"])
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    line(".pre-commit-hooks.yaml", [it for it in hooks if not {"id", "name", "entry", "language"} <= it.keys()])
    sys.exit(1 if misses else 0)


main()
