"""The guide's log file, opened when a service starts and closed when the last one has stopped (W19)."""

import logging
import os
import threading

from analysis_worker.observability import logs
from d_a.configuration import Logging

log = logging.getLogger(__name__)

_lock = threading.Lock()
_users = 0


def open_log(settings: Logging) -> None:
    """Write to DATA_ANALYSIS_LOG, else the configuration's file, else data_analysis.log, and the console.

    Lines are text, or JSON if DATA_ANALYSIS_LOG_FORMAT, else the configuration, says so. The first service's
    settings hold while any runs. Raises LogError for an unknown level or form, and for a file asked for by
    name that cannot be opened; the default one is then done without.
    """
    global _users
    with _lock:
        _users += 1
        if _users > 1:
            return
        try:
            _configure(settings)
        except BaseException:
            _users -= 1
            raise


def _configure(settings: Logging) -> None:
    told = logs.from_environment(os.environ, logs.Chosen(settings.log_file, fmt=settings.log_format))
    size, backups = settings.max_bytes, settings.backup_count
    if told.file is not None:
        logs.configure(*told, max_bytes=size, backups=backups)
        return
    try:
        logs.configure(logs.DEFAULT_FILE, told.level, told.fmt, max_bytes=size, backups=backups)
    except logs.LogError as error:
        logs.configure(None, told.level, told.fmt)
        log.warning("lines go to the console only: %s", error)


def identify(*, module: str, shard: int) -> None:
    """Name module and shard in every JSON line, as long as one service alone writes them."""
    with _lock:
        alone = _users == 1
        logs.identify(module=module if alone else None, shard=shard if alone else None)


def close_log() -> None:
    """Leave the loggers as they were, if no other service writes."""
    global _users
    with _lock:
        _users -= 1
        if _users == 0:
            logs.release()
