"""State files: one tile in one .npz archive, readable without running anything in it.

The archive is a zip, not compressed, of one ``.npy`` member for each array and of
``state.json``, which holds everything else: the configuration, seed and counters, and
for each array its type, shape and SHA-256. ``numpy.load`` can look at the arrays.
Nothing is pickled, and classes are looked up by name among registered ones.

Sizes are compared with the length of the members before anything is read, so that
reading takes no more memory than the file is long. What is wrong with a file, whatever
it is, becomes a StateError that names file and reason.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import secrets
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from rpupy.errors import StateError

__all__ = ["blaming", "read", "write"]

FORMAT = "rpupy-tile"
FORMAT_VERSION = 1

_JSON_MEMBER = "state.json"
_MAGIC = b"\x93NUMPY\x01\x00"
#: Longest .npy header that is read; those that `write` makes are shorter than this.
_MAX_HEADER = 4096
#: Zip members bear a date; a fixed one gives the same bytes for the same state.
_DATE = (1980, 1, 1, 0, 0, 0)


def write(
    path: str | os.PathLike[str],
    content: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
) -> None:
    """Write a state file; afterwards it is there as a whole, or the old one still is.

    Parameters
    ----------
    path : path-like
        The file; nothing is appended to its name.
    content : mapping
        What JSON can hold.
    arrays : mapping of str to ndarray
        Numbers, by name.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    # A link stays one: what it points to is replaced.
    target = os.path.realpath(os.fsdecode(path))
    folder = os.path.dirname(target)
    temporary = os.path.join(folder, f".rpupy-{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            _write_archive(file, content, arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    # The new name survives a power failure only when the folder is on the disk, too.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_archive(
    file: io.BufferedWriter,
    content: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
) -> None:
    import rpupy

    little = {
        name: np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        for name, array in arrays.items()
    }
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "rpupy": rpupy.__version__,
        "arrays": {
            # ascontiguousarray makes a number a vector.
            name: {
                "dtype": little[name].dtype.str,
                "shape": list(array.shape),
                "sha256": hashlib.sha256(little[name].tobytes()).hexdigest(),
            }
            for name, array in arrays.items()
        },
    }
    text = json.dumps({**header, **content}, indent=1, allow_nan=False)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(_JSON_MEMBER, _DATE), text)
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", _DATE)
            member.file_size = array.nbytes + _MAX_HEADER
            with archive.open(member, "w") as stream:
                np.lib.format.write_array(
                    stream,
                    little[name].reshape(array.shape),
                    version=(1, 0),
                    allow_pickle=False,
                )


@contextlib.contextmanager
def blaming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what goes wrong inside into a StateError about that file."""
    try:
        yield
    # A damaged archive makes zipfile alone raise a dozen types of errors.
    except Exception as error:
        kind = "" if isinstance(error, StateError) else f"{type(error).__name__}: "
        raise StateError(
            f"{os.fsdecode(path)} cannot be loaded: {kind}{error}"
        ) from error


def read(
    path: str | os.PathLike[str],
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read a state file that `write` made.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    content : dict
        What JSON held. Nothing but the names and types of the format is checked.
    arrays : dict of str to ndarray
        Read-only arrays.

    Raises
    ------
    OSError
        If the file cannot be opened.
    StateError
        If it is damaged, no state file, or of a newer version.
    """
    with (
        open(path, "rb") as file,
        blaming(path),
        zipfile.ZipFile(file) as archive,
    ):
        members = _checked_members(archive, os.fstat(file.fileno()).st_size)
        if _JSON_MEMBER not in members:
            raise StateError(f"it has no member {_JSON_MEMBER}")
        content = json.loads(
            archive.read(members.pop(_JSON_MEMBER)).decode("utf-8"),
            parse_constant=_refuse_constant,
        )
        _check_format(content)
        described = content["arrays"]
        if not isinstance(described, dict):
            raise StateError("its list of arrays has the wrong form")
        if set(members) != {f"{name}.npy" for name in described}:
            raise StateError("its members are not the arrays that it lists")
        arrays = {
            name: _read_array(archive, members[f"{name}.npy"], name, entry)
            for name, entry in described.items()
        }
        return content, arrays


def _checked_members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """Return the members by name, if they are as `write` makes them."""
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = member.filename
        if name in members:
            raise StateError(f"it has two members {name}")
        if (
            member.compress_type != zipfile.ZIP_STORED
            or member.flag_bits & ~0x800  # 0x800: the name is UTF-8
            or member.file_size != member.compress_size
        ):
            raise StateError(f"its member {name} is compressed or encrypted")
        members[name] = member
    if sum(member.file_size for member in members.values()) > size:
        raise StateError("its members are longer than the file")
    return members


def _refuse_constant(name: str) -> Any:
    raise StateError(f"it holds {name} for a number")


def _check_format(content: Any) -> None:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise StateError(f"it is not of the format {FORMAT}")
    version = content.get("format_version")
    if type(version) is not int or version < 1:
        raise StateError(f"its format_version is {version!r}")
    if version > FORMAT_VERSION:
        raise StateError(
            f"it has format_version {version} and was written by rpupy"
            f" {content.get('rpupy')}; loading it needs that version or a later one"
        )
    if "arrays" not in content:
        raise StateError("it has no list of arrays")


def _read_array(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, entry: Any
) -> np.ndarray:
    """Read one array whose type, shape and digest are as the list says."""
    with archive.open(member) as stream:
        head = stream.read(len(_MAGIC) + 2)
        length = int.from_bytes(head[len(_MAGIC) :], "little")
        if not head.startswith(_MAGIC) or length > _MAX_HEADER:
            raise StateError(f"its array {name} is no .npy array of version 1.0")
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(
            io.BytesIO(head[len(_MAGIC) :] + stream.read(length)),
            max_header_size=_MAX_HEADER,
        )
        if dtype.kind not in "fiu" or fortran_order:
            raise StateError(f"its array {name} must be numbers in C order")
        if dtype.str != entry["dtype"] or list(shape) != entry["shape"]:
            raise StateError(f"its array {name} differs from the list in type or shape")
        # In Python integers, which no shape makes overflow.
        n_bytes = math.prod(shape) * dtype.itemsize
        if n_bytes != member.file_size - len(head) - length:
            raise StateError(f"its array {name} is shorter or longer than its shape")
        data = stream.read()
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise StateError(f"its array {name} is not the one that was saved")
    array = np.frombuffer(data, dtype=dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)
