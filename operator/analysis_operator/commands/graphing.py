"""`analysis-operator graph`: which module joins whose outputs, as text or as a Mermaid flowchart."""

import argparse
import pathlib

from analysis_module import errors, reading
from analysis_operator.commands import cluster_view, planning
from analysis_operator.decisions import dependencies, drawing
from analysis_operator.decisions.dependencies import Graph

EXAMPLES = """examples:
  analysis-operator graph                          of the cluster, as text
  analysis-operator graph -o mermaid > graph.mmd
  analysis-operator graph -f examples/modules      of manifests, without a cluster

exit codes: 0 every dependency is there; 1 one is missing, or there is a cycle; 2 a manifest is refused;
3 the cluster cannot be read
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "graph",
        help="draw which module joins whose outputs",
        description="Draw which module joins whose outputs, with what is missing and every cycle.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-f", "--file", type=pathlib.Path, help="manifests instead of a cluster; a file or folder"
    )
    parser.add_argument("-o", "--output", choices=("text", "mermaid"), default="text")
    cluster_view.add_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Draw; the exit code."""
    return cluster_view.told(lambda: _run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    if arguments.file is not None:
        graph = _of_files(arguments.file)
    else:
        async with cluster_view.opened(arguments) as view:
            await view.read(arguments.namespace, whole=False)
            graph = view.neighbourhood.graph()
    print(drawing.as_text(graph) if arguments.output == "text" else drawing.as_mermaid(graph))
    flawed = graph.cycles() or any(graph.missing(node) for node in graph.start_order())
    return 1 if flawed else 0


def _of_files(path: pathlib.Path) -> Graph:
    paths = sorted([*path.glob("*.yaml"), *path.glob("*.yml")]) if path.is_dir() else [path]
    if not paths:
        problem = errors.Problem(str(path), "holds no manifest", "give a folder with .yaml files")
        raise errors.InvalidSpec([problem])
    nodes = []
    for each in paths:
        for document in planning.read_documents(each):
            name, namespace, module_spec = reading.read_manifest(document)
            nodes.append(dependencies.node_of(namespace, name, module_spec))
    return Graph(nodes)
