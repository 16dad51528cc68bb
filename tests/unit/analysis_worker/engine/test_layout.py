"""The keys of `module_input` and their order follow from the wiring (seed system 3.2)."""

from analysis_module import spec, wiring
from analysis_worker.engine import layout
from analysis_worker.engine.layout import Key, Place, Source
from tests import builders

LOAD = wiring.DependencyWiring(module="load_prediction", topic="MODULE-OUTPUT-LOAD-PREDICTION")


def test_keys_come_field_by_field_in_catalogue_order_then_dependency_by_dependency() -> None:
    made = layout.layout_of(
        builders.a_wiring(
            builders.an_input("A", ["stationId", "power"]),
            builders.an_input("B", ["soc"]),
            dependencies=(LOAD,),
        )
    )
    assert list(made.keys) == [
        "stationId_window",
        "power_window",
        "power",
        "soc_window",
        "soc",
        "load_prediction_output_window",
        "load_prediction_output",
        "load_prediction_timestamp",
    ]


def test_station_id_is_never_a_topics_field() -> None:
    assert "stationId" not in layout.layout_of(builders.a_wiring()).keys


def test_a_field_of_several_topics_has_a_place_in_each_in_order() -> None:
    made = layout.layout_of(
        builders.a_wiring(builders.an_input("A", ["power", "gunId"]), builders.an_input("B", ["gunId"]))
    )
    assert made.keys["gunId"] == Key(Source.LATEST, (Place(0, 1), Place(1, 0)))
    assert made.keys["gunId_window"] == Key(Source.WINDOW, (Place(0, 1), Place(1, 0)))


def test_topics_are_the_inputs_then_the_dependencies_output_topics() -> None:
    made = layout.layout_of(
        builders.a_wiring(builders.an_input("B"), builders.an_input("A"), dependencies=(LOAD,))
    )
    assert made.topics == ("B", "A", "MODULE-OUTPUT-LOAD-PREDICTION")
    assert made.keys["load_prediction_output"] == Key(Source.DEPENDENCY_OUTPUT, dependency=0)


def test_global_inputs_are_known_by_their_index() -> None:
    made = layout.layout_of(
        builders.a_wiring(builders.an_input("A"), builders.an_input("B", scope=spec.Scope.GLOBAL))
    )
    assert layout.global_inputs(made) == (1,)
