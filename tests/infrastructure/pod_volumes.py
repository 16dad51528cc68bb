"""A pod's volumes as directories, written as the kubelet writes them: whole, and swapped at once.

A directory holds `..data`, a symbolic link to the directory of the newest content, and for each file a
symbolic link through it; an update renames a new `..data` over the old
(https://kubernetes.io/docs/concepts/configuration/configmap/#mounted-configmaps-are-updated-automatically).
"""

import base64
import dataclasses
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.infrastructure import api_client

Files = dict[str, bytes]
"""Path relative to the volume -> content."""


class PodMustWait(RuntimeError):
    """A container cannot start yet: `reason` is what its status says, the text what the event says."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


@dataclasses.dataclass(frozen=True)
class PodFacts:
    """What the node knows of a pod beside its manifest."""

    manifest: api_client.Manifest
    address: str
    node: str

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return str(self.manifest["metadata"]["namespace"])

    @property
    def container(self) -> api_client.Manifest:
        """Its one container."""
        found: api_client.Manifest = self.manifest["spec"]["containers"][0]
        return found

    @property
    def mounts(self) -> Sequence[api_client.Manifest]:
        """The container's volumeMounts."""
        found: Sequence[api_client.Manifest] = self.container.get("volumeMounts", [])
        return found

    def field(self, path: str) -> str:
        """A `fieldRef`, such as "metadata.name" or "metadata.labels['app']"; "" for what is not there."""
        metadata = self.manifest["metadata"]
        spec = self.manifest["spec"]
        known = {
            "metadata.name": metadata["name"],
            "metadata.namespace": metadata["namespace"],
            "metadata.uid": metadata["uid"],
            "spec.nodeName": self.node,
            "spec.serviceAccountName": spec.get("serviceAccountName", ""),
            "status.podIP": self.address,
            "status.hostIP": "127.0.0.1",
        }
        entry = re.fullmatch(r"metadata\.(labels|annotations)\['([^']+)'\]", path)
        if entry:
            return str(metadata.get(entry[1], {}).get(entry[2], ""))
        if path not in known:
            raise PodMustWait("CreateContainerConfigError", f"fieldRef {path}: this node cannot tell it")
        return str(known[path])


class Volumes:
    """The volumes of one pod, below `directory`."""

    def __init__(self, api: api_client.ApiClient, directory: Path) -> None:
        self._api = api
        self._directory = directory

    def path(self, volume: str) -> Path:
        """Where a volume is on this machine."""
        return self._directory / volume

    def sync(self, pod: PodFacts) -> None:
        """Brings all of them up to what the API holds now; PodMustWait names one that cannot be made."""
        for volume in pod.manifest["spec"].get("volumes", []):
            place = self.path(volume["name"])
            place.mkdir(parents=True, exist_ok=True)
            if "emptyDir" in volume:
                continue
            try:
                mode, files = self._content(volume, pod)
            except LookupError as error:
                text = f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error.args[0]}'
                raise PodMustWait("ContainerCreating", text) from error
            write(place, files, mode=mode)

    def _content(self, volume: Mapping[str, Any], pod: PodFacts) -> tuple[int, Files]:
        """Mode and files of a volume; LookupError with the kubelet's words for what is missing."""
        for kind in ("configMap", "secret", "downwardAPI"):
            if kind in volume:
                return volume[kind].get("defaultMode", 0o644), self._part(kind, volume[kind], pod)
        if "projected" in volume:
            parts = (
                self._part(kind, source, pod)
                for each in volume["projected"]["sources"]
                for kind, source in each.items()
            )
            files = {path: content for part in parts for path, content in part.items()}
            return volume["projected"].get("defaultMode", 0o644), files
        raise LookupError(f"this node has no volumes of the kind {sorted(volume)}")

    def _part(self, kind: str, source: Mapping[str, Any], pod: PodFacts) -> Files:
        match kind:
            case "configMap" | "secret":
                # A secret's name has another key in a volume than in a projection.
                name = source.get("name") or source["secretName"]
                resource = api_client.CONFIG_MAPS if kind == "configMap" else api_client.SECRETS
                return chosen(read(self._api, resource, pod.namespace, name), kind, source)
            case "downwardAPI":
                return {
                    each["path"]: pod.field(each["fieldRef"]["fieldPath"]).encode()
                    for each in source["items"]
                }
            case "serviceAccountToken":
                return {source["path"]: self._token(source, pod).encode()}
        raise LookupError(f"this node has no projections of the kind {kind}")

    def _token(self, source: Mapping[str, Any], pod: PodFacts) -> str:
        account = pod.manifest["spec"].get("serviceAccountName", "default")
        spec = {"expirationSeconds": source.get("expirationSeconds", 3600)}
        if "audience" in source:
            spec["audiences"] = [source["audience"]]
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        path = api_client.SERVICE_ACCOUNTS.path(namespace=pod.namespace, name=account) + "/token"
        return str(self._api.request("POST", path, body=request)["status"]["token"])


def read(api: api_client.ApiClient, resource: api_client.Resource, namespace: str, name: str) -> Files | None:
    """The keys of a ConfigMap or Secret with their contents; None if there is no such object."""
    found = api.find(resource, name, namespace=namespace)
    if found is None:
        return None
    is_secret = resource == api_client.SECRETS
    plain = {} if is_secret else found.get("data", {})
    encoded = found.get("data", {}) if is_secret else found.get("binaryData", {})
    texts = {key: text.encode() for key, text in plain.items()}
    return texts | {key: base64.b64decode(text) for key, text in encoded.items()}


def chosen(files: Files | None, kind: str, source: Mapping[str, Any]) -> Files:
    """What a volume takes of an object: all keys, or its `items` under their paths.

    LookupError if the object or a key is missing, unless the source is optional.
    """
    optional = source.get("optional", False)
    name = source.get("name") or source["secretName"]
    if files is None:
        if optional:
            return {}
        raise LookupError(f'{kind.lower()} "{name}" not found')
    items = source.get("items")
    if items is None:
        return files
    missing = [each["key"] for each in items if each["key"] not in files]
    if missing and not optional:
        raise LookupError(f"references non-existent {kind.lower()} key: {missing[0]}")
    return {each["path"]: files[each["key"]] for each in items if each["key"] in files}


def write(directory: Path, files: Files, *, mode: int) -> None:
    """Makes these the files of the directory, all at one moment; does nothing if they are so already."""
    current = directory / "..data"
    old = current.resolve() if current.exists() else None
    if old is not None and dict(_files(old)) == files:
        return
    fresh = Path(tempfile.mkdtemp(prefix="..", dir=directory))
    fresh.chmod(0o755)
    for path, content in files.items():
        file = fresh / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(mode)
    coming = directory / "..data_tmp"
    coming.symlink_to(fresh.name)
    coming.rename(current)
    wanted = {Path(path).parts[0] for path in files}
    for name in wanted - {each.name for each in directory.iterdir()}:
        (directory / name).symlink_to(f"..data/{name}")
    for link in directory.iterdir():
        if not link.name.startswith("..") and link.name not in wanted:
            link.unlink()
    if old is not None:
        shutil.rmtree(old)


def _files(directory: Path) -> Iterator[tuple[str, bytes]]:
    for path in directory.rglob("*"):
        if path.is_file():
            yield str(path.relative_to(directory)), path.read_bytes()
