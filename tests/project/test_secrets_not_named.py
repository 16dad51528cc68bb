"""Nothing in the tree names the machine it was made on, where its packages came from, or a secret."""

import re

from tests.project import tree

PUBLIC_HOSTS = {
    *("127.0.0.1", "localhost", "0.0.0.0", "host"),  # examples
    *("www.apache.org", "maven.apache.org", "www.w3.org"),  # the licence, names of XML
    *("keepachangelog.com", "semver.org", "json-schema.org", "example.com"),
    *("cdnjs.cloudflare.com", "www.textualize.io"),  # what rich writes into a picture
    *("kubernetes.io", "pkg.go.dev", "github.com"),  # where rules of Kubernetes come from
    *("prometheus.io", "prometheus-operator.dev"),  # and those of Prometheus
}
"""Hosts that an address in the tree may name; a registry is none of them."""

# Spelt so that this file does not name them itself.
MACHINE_PATH = re.compile(r"(?<![\w.~*-])/(?:wor[k]|roo[t]|hom[e]/[a-z]\w*|User[s]/\w+)(?=/|\b)(?![\w-])")
ADDRESS = re.compile(r"\b(?:https?|ftp|git|ssh)://(?:[^\s/@\"'<>]*@)?([A-Za-z0-9][A-Za-z0-9.-]*[A-Za-z0-9])")
PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}")


def texts() -> dict[str, str]:
    found = {}
    for path in tree.files():
        try:
            found[tree.shown(path)] = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
    return found


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in texts().items()
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]


def test_no_file_names_a_path_of_a_machine() -> None:
    assert lines_with(MACHINE_PATH) == []


def test_every_address_is_of_a_public_host_or_an_example() -> None:
    named = {
        (name, host)
        for name, text in texts().items()
        for host in ADDRESS.findall(text)
        if host not in PUBLIC_HOSTS
    }
    assert named == set()


def test_no_file_holds_a_private_key() -> None:
    assert [name for name, text in texts().items() if PRIVATE_KEY.search(text)] == []
