"""
The image as it is published: started by testcontainers, reached through the ports that it maps.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from conformance.targets import REGION, Off, Place, fresh_identities, write_credentials
from conformance.targets.process import is_ready

IMAGE = "rs3gw:local"
REST_PORT, GRPC_PORT = 9000, 50051
START_SECONDS = 60.0
CREDENTIALS = "/run/conformance/credentials.toml"


class Container:
    """The target ``container``."""

    name = "container"

    def __init__(self, image: str = IMAGE) -> None:
        self._image = image
        self._container: Any = None
        self._root: Path | None = None

    def start(self) -> Place:
        try:
            from testcontainers.core.config import testcontainers_config
            from testcontainers.core.container import DockerContainer
        except ImportError as fault:
            raise Off(f"testcontainers is not installed: {fault}") from fault
        # stop() is always called: a second container that watches over the first would only be one more to pull.
        testcontainers_config.ryuk_disabled = True
        identities = fresh_identities()
        self._root = Path(tempfile.mkdtemp(prefix="rs3gw-conformance-"))
        file = self._root / "credentials.toml"
        write_credentials(file, identities)
        file.chmod(0o640)
        try:
            self._container = (
                DockerContainer(self._image)
                .with_exposed_ports(REST_PORT, GRPC_PORT)
                .with_env("RS3GW_BIND_ADDR", f"0.0.0.0:{REST_PORT}")
                .with_env("RS3GW_GRPC_ENABLED", "true")
                .with_env("RS3GW_GRPC_PORT", str(GRPC_PORT))
                .with_env("RS3GW_REGION", REGION)
                .with_env("RS3GW_CREDENTIALS_FILE", CREDENTIALS)
                .with_volume_mapping(file, CREDENTIALS)
                # The image's user is not ours: it reads the file as a member of our group, as nobody else can.
                .with_kwargs(group_add=[str(os.getgid())])
            )
            self._container.start()
            host = self._container.get_container_host_ip()
            rest, rpc = (self._container.get_exposed_port(port) for port in (REST_PORT, GRPC_PORT))
        except Exception as fault:
            # testcontainers and docker raise whatever they like where there is no daemon or no image.
            raise Off(f"{self._image} did not start: {fault}") from fault
        url = f"http://{host}:{rest}"
        until = time.monotonic() + START_SECONDS
        while not is_ready(url):
            if time.monotonic() > until or self._has_ended():
                raise Off(f"{self._image} was not ready within {START_SECONDS:.0f} s: {self._last_word()}")
            time.sleep(0.1)
        return Place(url=url, grpc=f"{host}:{rpc}", identities=identities, version=self._image)

    def _has_ended(self) -> bool:
        wrapped = self._container.get_wrapped_container()
        wrapped.reload()
        return bool(wrapped.status == "exited")

    def _last_word(self) -> str:
        said = b"".join(self._container.get_logs()).decode(errors="replace").strip().splitlines()
        return said[-1] if said else "it said nothing"

    def stop(self) -> None:
        if self._container is not None:
            self._container.stop()
            self._container = None
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)
            self._root = None
