"""The file formats of models: safetensors, PyTorch checkpoints, .npy. Standard library alone."""

import array
import ast
import collections
import io
import json
import math
import pickle
import struct
import sys

CHECKPOINT_MAGIC = 0x1950A86A20F9469CFC6C  # torch/serialization.py


class Failure(Exception):
    """A check that did not hold; its text is printed and the exit status is 1."""


def read_safetensors(content):
    """Returns {name: (dtype, shape, data)} of a safetensors file; data are views into it."""
    (header_size,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + header_size])
    data = memoryview(content)[8 + header_size :]
    return {
        name: (entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])])
        for name, entry in header.items()
        if name != "__metadata__"
    }


def write_safetensors(tensors, metadata):
    """Returns a safetensors file with tensors and header keys in the order of their names."""
    header = {"__metadata__": metadata}
    offset = 0
    for name in sorted(tensors):
        dtype, shape, data = tensors[name]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    encoded = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)  # The format asks that the data start at a multiple of 8.
    parts = [struct.pack("<Q", len(encoded)), encoded]
    parts += [tensors[name][2] for name in sorted(tensors)]
    return b"".join(parts)


def read_checkpoint(content):
    """Returns {name: (shape, f32 bytes)} of the f32 tensors of a PyTorch checkpoint of before release 1.6.

    Such a file is a row of pickles: a magic number, a protocol version, facts of the machine, the tensors (storage,
    offset, shape, strides) and the keys of the storages; then each storage's length and numbers.
    """
    stream = io.BytesIO(content)
    if CheckpointUnpickler(stream).load() != CHECKPOINT_MAGIC:
        raise Failure("expected a PyTorch checkpoint in the format of before release 1.6, got another beginning")
    for _ in ("protocol version", "facts of the machine"):
        CheckpointUnpickler(stream).load()
    tensors = CheckpointUnpickler(stream).load()
    sizes = {storage[0]: storage[1] for storage, *_ in tensors.values()}
    storages = {}
    for key in CheckpointUnpickler(stream).load():
        (length,) = struct.unpack("<q", stream.read(8))
        storages[key] = stream.read(length * sizes[key])
    weights = {}
    for name, ((key, size), offset, shape, strides) in tensors.items():
        if size != 4:  # The counters of batches are the only tensors that are not f32.
            continue
        count = math.prod(shape)
        dense = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
        if any(extent != 1 and a != b for extent, a, b in zip(shape, strides, dense)):
            raise Failure(f"tensor {name}: expected row-major numbers, got strides {strides} for shape {shape}")
        weights[name] = (list(shape), storages[key][offset * 4 : (offset + count) * 4])
    return weights


class CheckpointUnpickler(pickle.Unpickler):
    """Reads the tensors of a checkpoint; any global but those that a checkpoint needs is refused."""

    STORAGES = {"FloatStorage": 4, "LongStorage": 8}

    def find_class(self, module, name):
        """Returns what stands for a global of the pickle."""
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: (storage, offset, shape, strides)
        if module == "torch" and name in self.STORAGES:
            return name
        raise Failure(f"the checkpoint asks for {module}.{name}, which is refused")

    def persistent_load(self, pid):
        """Returns the key and the bytes per number of a storage."""
        kind, storage, key = pid[:3]
        if kind != "storage":
            raise Failure(f"the checkpoint refers to a {kind}, expected a storage")
        return key, self.STORAGES[storage]


def read_npy(content):
    """Returns the rows of a .npy file, which must be little-endian f32, C order, 2-D."""
    if content[:6] != b"\x93NUMPY":
        raise Failure("expected a .npy file, got another beginning")
    # Version 1 gives the header's length in 2 bytes, later ones in 4.
    length, start = ("<H", 10) if content[6] == 1 else ("<I", 12)
    (header_size,) = struct.unpack_from(length, content, 8)
    header = ast.literal_eval(content[start : start + header_size].decode("latin-1").strip())
    shape = header["shape"]
    if header["descr"] != "<f4" or header["fortran_order"] or len(shape) != 2:
        raise Failure(f".npy: expected '<f4', C order, 2-D, got {header}")
    values = f32_array(content[start + header_size :])
    n_rows, dim = shape
    if len(values) != n_rows * dim:
        raise Failure(f".npy: expected {n_rows * dim} numbers, got {len(values)}")
    return [values[row * dim : (row + 1) * dim] for row in range(n_rows)]


def f32_array(data):
    """Returns little-endian f32 bytes as an array in the machine's order."""
    values = array.array("f")
    values.frombytes(data)
    if sys.byteorder == "big":
        values.byteswap()
    return values
