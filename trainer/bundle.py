"""Builds agent.zip: this package as one file that Python runs.

The same sources and the same interpreter make the same bytes. Beside each source lies its bytecode for the interpreter that
builds, which saves that one the compilation at every start; any other Python finds the magic number wrong and reads the
source.
"""

from __future__ import annotations

import hashlib
import importlib.util
import marshal
import struct
import zipfile
from pathlib import Path

_PACKAGE = Path(__file__).parent
_LEFT_OUT = frozenset({"bundle.py", "bootstrap.py"})
_EPOCH = (1980, 1, 1, 0, 0, 0)
# PEP 552: a hash-based file that is not checked against its source.
_UNCHECKED_HASH = 0b01
# The last marshal version without references: those depend on the process's history, and the bytes would too.
_MARSHAL_VERSION = 2
_MAIN = """from trainer.__main__ import main

import os
import sys

code = main(sys.argv[1:])
sys.stdout.flush()
sys.stderr.flush()
os._exit(code)
"""


def build(path: Path) -> str:
    """Writes the bundle and returns the hexadecimal SHA-256 of its content."""
    partial = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, "__main__.py", _MAIN.encode())
        for source in sorted(_PACKAGE.rglob("*.py")):
            relative = source.relative_to(_PACKAGE.parent)
            if source.name in _LEFT_OUT and source.parent == _PACKAGE:
                continue
            content = source.read_bytes()
            _add(archive, relative.as_posix(), content)
            if "serving" not in relative.parts:
                _add(archive, relative.with_suffix(".pyc").as_posix(), _bytecode(content, relative.as_posix()))
    partial.replace(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _bytecode(source: bytes, name: str) -> bytes:
    code = compile(source, f"agent.zip/{name}", "exec", dont_inherit=True)
    header = importlib.util.MAGIC_NUMBER + struct.pack("<I", _UNCHECKED_HASH) + importlib.util.source_hash(source)
    return header + marshal.dumps(code, _MARSHAL_VERSION)


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.external_attr = 0o644 << 16
    archive.writestr(info, content)
