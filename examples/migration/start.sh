#!/bin/sh
# The deployment guide's start script: data_analysis from its directory, with its venv, in the foreground.
#
#   /opt/data_analysis/start.sh                  runs sync_main.py
#   /opt/data_analysis/start.sh async_main.py    runs the other script
#
# Beside it stand venv/ (python3 -m venv venv && venv/bin/pip install '<the wheel>[worker]'), the start scripts
# and config.py. `exec` puts Python in the shell's place: SIGTERM and Ctrl-C reach it, and its exit code is this
# script's: 0 after an orderly stop, 1 when it cannot go on and is to be started again.
set -eu
cd "$(dirname "$0")"
set +u # the activate of Python 3.12 reads a variable that need not be set
. ./venv/bin/activate
set -u
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
export DATA_ANALYSIS_LOG="${DATA_ANALYSIS_LOG:-$PWD/data_analysis.log}"
exec python "${1:-sync_main.py}"
