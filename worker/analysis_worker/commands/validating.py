"""`analysis-worker validate`: is it right, and what does it come to?"""

import argparse
import importlib
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from analysis_module import errors, spec, wiring
from analysis_worker.callbacks import loading
from analysis_worker.commands import documents, spans, together

EXAMPLES = """examples:
  analysis-worker validate -f module.yaml
  analysis-worker validate -f examples/modules         every manifest of a folder, and how they fit together
  analysis-worker validate -f config.py                a configuration of the old system, 1.1 or 2.0 (YAML)
  analysis-worker validate -f module.yaml --load-callback

exit codes: 0 all is right; 2 something is wrong, and all of it was told
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "validate",
        help="check manifests and show what they come to",
        description="Check manifests, each and together: every problem, where it is and how to mend it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-f",
        "--file",
        dest="files",
        type=pathlib.Path,
        action="append",
        required=True,
        help="a manifest, a folder of manifests, or a configuration of the old system; may be repeated",
    )
    parser.add_argument(
        "--load-callback", action="store_true", help="load the callbacks too, which runs their files"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="tell only what is wrong")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check all files; the exit code."""
    declared: list[together.Declared] = []
    told = 0
    for path in _files(arguments.files):
        try:
            found = _declared(path)
            declared += found
            for each in found if arguments.load_callback else ():
                loading.load(each.module_spec.callback)
        except ValueError as error:  # InvalidSpec, CallbackError, and the old configuration's own error
            told += _tell(path, error)
    for problem in together.problems(declared):
        print(problem, file=sys.stderr)
        told += 1
    if not arguments.quiet:
        for each in declared:
            _show(each)
        if len(declared) > 1:
            for sentence in together.unserved(declared):
                print(f"note: {sentence}: none of these files is it")
    if told:
        print(f"{told} problem{'s' if told > 1 else ''}", file=sys.stderr)
        return 2
    return 0


def _files(paths: Sequence[pathlib.Path]) -> Iterator[pathlib.Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(file for file in path.iterdir() if file.suffix in (".yaml", ".yml", ".json"))
        else:
            yield path


def _declared(path: pathlib.Path) -> list[together.Declared]:
    """The modules that a file declares; raises InvalidSpec, or the old configuration's ValueError."""
    if path.suffix == ".py" or _is_old_configuration(path):
        return [
            together.Declared.of(f"{path} ({name})", module_spec)
            for name, module_spec in _old_specs(path).items()
        ]
    module_spec = documents.module_spec_of(documents.read_bytes(path), str(path))
    return [together.Declared.of(str(path), module_spec)]


def _is_old_configuration(path: pathlib.Path) -> bool:
    """Whether a YAML file is the 2.0 form: it has that form's keys and is no resource."""
    document = documents.parsed(documents.read_bytes(path), str(path))
    old = {"module_name", "topic_detail", "module_dependencies", "module_output", "offset_commit"}
    return isinstance(document, dict) and "kind" not in document and bool(old & document.keys())


def _old_specs(path: pathlib.Path) -> dict[str, spec.ModuleSpec]:
    # d_a stands on this package, so that this one asks for it only by name.
    sources: Any = importlib.import_module("d_a.sources")
    configuration: Any = importlib.import_module("d_a.configuration").read(sources.reader_of(path)())
    for warning in configuration.warnings:
        print(f"{path}: {warning}")
    specs: dict[str, spec.ModuleSpec] = dict(configuration.specs)
    return specs if configuration.module_name is None else {"": specs[configuration.module_name]}


def _tell(path: pathlib.Path, error: ValueError) -> int:
    """Print the problems of a file, and count them."""
    problems: Sequence[errors.Problem] = getattr(error, "problems", ())
    for problem in map(str, problems or (error,)):
        print(problem if problem.startswith(str(path)) else f"{path}: {problem}", file=sys.stderr)
    omitted: int = getattr(error, "omitted", 0)
    if omitted:
        print(f"{path}: ... and {omitted} more", file=sys.stderr)
    return max(1, len(problems)) + omitted


def _show(each: together.Declared) -> None:
    """What one module comes to."""
    import rich.console
    import rich.table

    resolved = each.wiring
    table = rich.table.Table(title=f"{each.where}: {resolved.module}", title_justify="left")
    for name in ("topic", "fields", "window", "span", "calls"):
        table.add_column(name, justify="right" if name in ("fields", "window", "span") else "left")
    for source in resolved.inputs:
        table.add_row(*_input_row(source))
    for dependency in resolved.dependencies:
        row = (dependency.topic, "", str(dependency.window_size), "", _calls(dependency.trigger))
        table.add_row(*row)
    console = rich.console.Console(width=None if sys.stdout.isatty() else 120, soft_wrap=False)
    console.print(table)
    console.print(f"outputs to {resolved.output_topic or 'nowhere'}, group {resolved.group_id}", style="dim")
    console.print(f"dead letters to {resolved.dead_letter_topic}", style="dim")


def _input_row(source: wiring.InputWiring) -> tuple[str, ...]:
    seconds = spans.span_seconds(source)
    via = f", via {source.station_key.via}" if source.station_key.via else ""
    return (
        source.topic,
        str(len(source.fields)),
        f"{source.window_size:,}",
        "" if seconds is None else spans.worded(seconds),
        f"{_calls(source.trigger)}{', Global' if source.scope is spec.Scope.GLOBAL else ''}{via}",
    )


def _calls(trigger: bool) -> str:
    return "on each record" if trigger else "no"
