"""Pictures a relay keeps under an address of its own, without a key. They are painted when they are
fetched; the latest ones are remembered."""

from __future__ import annotations

import threading
from collections import OrderedDict

import httpx

from shared.domain import IMAGE_TYPES
from shared.sandbox.painter import Picture, paint

MOST = 256


class Gallery:
    """The pictures of one provider, by name. Thread-safe."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._pictures: OrderedDict[str, tuple[Picture, str]] = OrderedDict()
        self._lock = threading.Lock()

    def hang(self, picture: Picture, said: str, request: httpx.Request) -> str:
        """Its address, at the origin that `request` came to. `said` is the format it is said to
        have."""
        name = f"{picture.key.hex()[:32]}.{said}"
        with self._lock:
            self._pictures[name] = picture, said
            while len(self._pictures) > MOST:
                self._pictures.popitem(last=False)
        netloc = request.url.netloc.decode("ascii")
        return f"{request.url.scheme}://{netloc}/{self._provider}/files/{name}"

    def get(self, name: str) -> httpx.Response:
        """The picture of that name."""
        with self._lock:
            found = self._pictures.get(name)
        if found is None:
            return httpx.Response(404, text="404 page not found\n")
        picture, said = found
        return httpx.Response(
            200, headers={"content-type": IMAGE_TYPES[said]}, content=paint(picture)
        )
