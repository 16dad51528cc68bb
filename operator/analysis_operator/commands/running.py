"""`analysis-operator run`: the operator itself, until told to stop."""

import argparse
import asyncio
import gc
import logging
import os
import pathlib
import sys

from analysis_module import errors
from analysis_operator import service, settings
from analysis_operator.cluster import api as apis
from analysis_operator.cluster.lease import LeaseLost
from analysis_operator.http import CannotListen

_POD_NAMESPACE = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_FORMAT = "[%(asctime)s] %(levelname)s %(name)s %(message)s"

EXAMPLES = """examples:
  analysis-operator run                                       every namespace, with the default settings
  analysis-operator run --settings /etc/analysis-operator/settings.yaml

exit codes: 0 stopped when told to; 1 it could not go on, or the Lease was lost; 2 a setting is wrong;
3 there is no way to the Kubernetes API
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "run",
        help="run the operator",
        description="Keep the workers of every AnalysisModule as their specs say, until SIGTERM or SIGINT.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--settings", type=pathlib.Path, metavar="FILE", help="a YAML file, as the chart's")
    parser.add_argument(
        "--kubeconfig", metavar="FILE", help="default: the pod's service account, else KUBECONFIG"
    )
    parser.add_argument("--context", help="a context of the kubeconfig")
    parser.add_argument("--lease-namespace", metavar="NAME", help="default: the pod's, else default")
    parser.add_argument("--host", default="0.0.0.0", help="address of the HTTP server (default %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="its port (default %(default)s)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run until told to stop; the exit code."""
    try:
        chosen = settings.load(arguments.settings)
    except (errors.InvalidSpec, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    logging.basicConfig(level=chosen.log_level, format=_FORMAT)
    logging.getLogger("kopf").setLevel(logging.WARNING)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # what it logs is told by conditions
    gc.freeze()  # what the imports have made stays: no use in looking through it again
    place = service.Place(
        kubeconfig=arguments.kubeconfig,
        context=arguments.context,
        lease_namespace=arguments.lease_namespace or _own_namespace(),
        host=arguments.host,
        port=arguments.port,
    )
    try:
        asyncio.run(service.run(chosen, place))
    except CannotListen as error:
        print(error, file=sys.stderr)
        return 2
    except apis.CannotConnect as error:
        print(error, file=sys.stderr)
        return 3
    except LeaseLost as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _own_namespace() -> str:
    if os.environ.get("POD_NAMESPACE"):
        return os.environ["POD_NAMESPACE"]
    try:
        return _POD_NAMESPACE.read_text(encoding="utf-8").strip() or "default"
    except OSError:
        return "default"
