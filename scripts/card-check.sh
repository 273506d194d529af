#!/usr/bin/env bash
# Has MLCommons' own validator read what `tamis card` writes, of a CSV, a JSONL, an image folder and an idx dataset.
#
#   scripts/card-check.sh TAMIS
#
# TAMIS is the program. Needs python3 and a package index: mlcroissant goes into an environment that is removed at the end.
set -euo pipefail
if [ $# -ne 1 ]; then
    sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
tamis=$(realpath "$1")
root=$(realpath "$(dirname "$0")/..")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet 'mlcroissant==1.1.*' pillow
cd "$work"

mkdir -p csv jsonl images/cat images/dog idx
cp "$root"/tests/fixtures/planted/support/*.jsonl jsonl/
cp "$root"/tests/fixtures/images/*_jpeg30.jpg images/cat/
cp "$root"/tests/fixtures/images/*_gray.png images/dog/
python3 - <<'PYTHON'
import csv, json, random, struct

with open("jsonl/train.jsonl") as lines, open("csv/mails.csv", "w", newline="") as out:
    rows = csv.writer(out)
    rows.writerow(["id", "the text", "label", "split", "a column, \"quoted\""])
    for n, line in enumerate(lines):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        split = "test" if n % 4 == 0 else "train"
        rows.writerow([row.get("id"), row.get("text"), row.get("label"), split, n])
random.seed(1)
for name, n in [("train", 40), ("t10k", 10)]:
    with open(f"idx/{name}-images-idx3-ubyte", "wb") as out:
        out.write(struct.pack(">IIII", 0x803, n, 8, 8) + bytes(random.randrange(256) for _ in range(n * 64)))
    with open(f"idx/{name}-labels-idx1-ubyte", "wb") as out:
        out.write(struct.pack(">II", 0x801, n) + bytes(k % 10 for k in range(n)))
PYTHON

check() {
    local name=$1
    shift
    "$tamis" audit "$@" --out "$name-out" --quiet --exit-zero >"$name.txt"
    "$tamis" card "$name-out" --out "$name"
    # Twice: what is there is merged and stays valid.
    cp "$name/croissant.json" "$name.json"
    "$tamis" card "$name-out" --out "$name" 2>/dev/null
    cmp "$name.json" "$name/croissant.json"
    "$work/venv/bin/mlcroissant" validate --jsonld "$name/croissant.json" 2>"$name.log" || { cat "$name.log" >&2; exit 1; }
    if grep -n 'error' "$name.log" >&2; then exit 1; fi
    echo "$name: valid"
}
check csv csv/mails.csv --text 'the text'
check jsonl --train jsonl/train.jsonl --test jsonl/test.jsonl
check images images
check idx idx

# What is not valid is refused: the check above can fail.
sed 's/"sha256"/"sha0"/' csv/croissant.json >csv/broken.json
if "$work/venv/bin/mlcroissant" validate --jsonld csv/broken.json 2>/dev/null; then
    echo "a file without a hash passed as valid" >&2
    exit 1
fi

# The records can be read, too.
for name in csv images; do
    "$work/venv/bin/python" - "$name" <<'PYTHON'
import sys
import mlcroissant

records = list(mlcroissant.Dataset(f"{sys.argv[1]}/croissant.json").records("samples"))
assert records, "no record"
print(f"{sys.argv[1]}: {len(records)} records of {sorted(records[0])}")
PYTHON
done
