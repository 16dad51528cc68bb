"""What the package exports, and that importing it touches nothing (W19)."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import d_a

_WATCHED_IMPORT = """
import logging, os, sys

def refuse_writing(event, arguments):
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        sys.stderr.write(f"opened for writing: {arguments}")
        os._exit(3)
    if event in ("os.mkdir", "os.remove", "os.rename"):
        sys.stderr.write(f"{event}: {arguments}")
        os._exit(4)

sys.addaudithook(refuse_writing)
root, level = logging.getLogger(), logging.getLogger().level
import d_a, d_a.config, d_a.dispatcher, d_a.service
assert root.handlers == [] and root.level == level
assert logging.getLogger("d_a").handlers == []
assert "kafka" not in sys.modules, "the synchronous client is for those who ask for it"
import d_a.kafka_client
assert root.handlers == [] and root.level == level
print("imported")
"""


def test_the_exports_are_those_of_the_contract_and_sorted() -> None:
    assert d_a.__all__ == [
        "AsyncDataAnalysisService",
        "DataAnalysisError",
        "DataAnalysisService",
        "DispatcherError",
        "KafkaConnectionError",
        "handle_error",
    ]
    assert all(hasattr(d_a, name) for name in d_a.__all__)


def test_importing_writes_no_file_and_touches_no_root_logger(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "ignore"}
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_WATCHED_IMPORT)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (finished.stdout, finished.stderr) == ("imported\n", "")
    assert list(tmp_path.iterdir()) == []
