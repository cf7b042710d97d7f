"""Fetch a named set from the mirrors that torchvision knows, checked against the MD5 that it knows."""

import hashlib
import urllib.request
from pathlib import Path

from rooflight.core.files import write_file

TIMEOUT_SECONDS = 20  # of silence; a slow mirror that sends is waited for


def download(torchvision_class: str, folder: Path) -> None:
    """The four idx files of MNIST or Fashion-MNIST, into `folder`; each is whole or not there. Raises OSError."""
    from torchvision import datasets

    kind = getattr(datasets, torchvision_class)
    for name, md5 in kind.resources:
        content = _fetch([mirror + name for mirror in kind.mirrors], md5)
        folder.mkdir(parents=True, exist_ok=True)
        write_file(folder / name, content)


def _fetch(urls: list[str], md5: str) -> bytes:
    errors = []
    for url in urls:
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
                content: bytes = response.read()
        except OSError as error:
            errors.append(f"{url}: {getattr(error, 'reason', error)}")
            continue
        if hashlib.md5(content, usedforsecurity=False).hexdigest() == md5:
            return content
        errors.append(f"{url}: checksum differs")
    raise OSError("; ".join(errors))
