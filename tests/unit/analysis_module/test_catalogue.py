"""What a spec comes to once the catalogue is laid under it."""

from typing import Any

import pytest

from analysis_module import catalogue, errors, spec, topics, wiring

INPUTS = {
    "load_prediction": "STATION-PARAM, STATION-REALTIME-DATA, ENVIRONMENT-CALENDAR, CAR-ORDER",
    "pv_prediction": "DEVICE-PV, ENVIRONMENT-WEATHER",
    "evaluation_model": "STATION-REALTIME-DATA, CAR-ORDER, CAR-PRICE, DEVICE-HOST-DCDC, DEVICE-HOST-ACDC, "
    "DEVICE-STORAGE",
    "SOH_model": "STATION-PARAM, STATION-REALTIME-DATA, ENVIRONMENT-CALENDAR, DEVICE-ERROR",
    "customer_mining": "CAR-ORDER",
    "operation_optimization": "STATION-PARAM, STATION-REALTIME-DATA, ENVIRONMENT-CALENDAR, DEVICE-METER, "
    "DEVICE-GUN, CAR-ORDER, CAR-PRICE, DEVICE-ERROR, DEVICE-HOST-DCDC, DEVICE-STORAGE",
    "electricity_price": "STATION-PARAM, STATION-REALTIME-DATA, ENVIRONMENT-CALENDAR, DEVICE-METER, "
    "CAR-ORDER, CAR-PRICE, DEVICE-STORAGE",
    "station_guidance": "CAR-ORDER",
    "thermal_management": "STATION-REALTIME-DATA, CAR-PRICE, DEVICE-HOST-DCDC, DEVICE-HOST-ACDC, "
    "DEVICE-STORAGE",
}
"""Input topics by default, without their SCHEDULE- prefix, in the order of 2.2 (seed system 3.1)."""

GUN = "SCHEDULE-DEVICE-GUN"
PARAM = "SCHEDULE-STATION-PARAM"
CALENDAR = "SCHEDULE-ENVIRONMENT-CALENDAR"


def _wired(*inputs: spec.Input, **others: object) -> wiring.Wiring:
    return catalogue.resolve(spec.ModuleSpec(module="mine", inputs=inputs, **others))  # type: ignore[arg-type]


def _field(asked: spec.Input, name: str) -> wiring.FieldWiring:
    (entry,) = _wired(asked).inputs
    return next(field for field in entry.fields if field.name == name)


@pytest.mark.parametrize("module", INPUTS)
def test_a_module_reads_its_topics_in_the_catalogues_order(module: str) -> None:
    resolved = catalogue.resolve(spec.ModuleSpec(module=module))
    topics = ", ".join(entry.topic.removeprefix("SCHEDULE-") for entry in resolved.inputs)
    assert topics == INPUTS[module]


def test_every_module_of_the_catalogue_is_wired_without_a_word_from_the_user() -> None:
    assert set(INPUTS) == set(catalogue.MODULES)


def test_a_default_wiring_says_all_that_is_read_and_written() -> None:
    resolved = catalogue.resolve(spec.ModuleSpec(module="operation_optimization"))
    assert resolved.dependencies == (
        wiring.DependencyWiring(module="load_prediction", topic="MODULE-OUTPUT-LOAD-PREDICTION"),
    )
    assert resolved.summary_keys == ("storage_power", "charge_power", "timestamp")
    assert resolved.output_topic == "MODULE-OUTPUT-OPERATION-OPTIMIZATION"
    assert resolved.group_id == "operation_optimization"
    assert resolved.dead_letter_topic == "operation_optimization-dead-letters"
    assert resolved.progress_topic == "operation_optimization-progress"
    assert resolved.strays_topic == "operation_optimization-strays"
    assert resolved.last_topic == "operation_optimization-last"


def test_a_given_group_names_the_topics_of_the_group() -> None:
    asked = spec.ModuleSpec(module="load_prediction", kafka=spec.Kafka(group_id="data_analysis_prod"))
    resolved = catalogue.resolve(asked)
    assert resolved.group_id == "data_analysis_prod"
    assert resolved.progress_topic == "data_analysis_prod-progress"


def test_a_given_dead_letter_topic_is_used() -> None:
    asked = spec.ModuleSpec(module="load_prediction", errors=spec.Errors(dead_letter_topic="bad"))
    assert catalogue.resolve(asked).dead_letter_topic == "bad"


def test_only_the_calendar_does_not_trigger_by_default() -> None:
    resolved = catalogue.resolve(spec.ModuleSpec(module="load_prediction"))
    assert [entry.topic for entry in resolved.inputs if not entry.trigger] == [CALENDAR]


def test_the_users_trigger_wins_on_a_global_topic() -> None:
    (entry,) = _wired(spec.Input(topic=CALENDAR, trigger=True)).inputs
    assert entry.trigger


def test_given_inputs_are_exactly_the_inputs_in_their_order() -> None:
    resolved = catalogue.resolve(
        spec.ModuleSpec(module="load_prediction", inputs=(spec.Input(topic=GUN), spec.Input(topic=PARAM)))
    )
    assert [entry.topic for entry in resolved.inputs] == [GUN, PARAM]


def test_what_an_input_does_not_say_comes_from_the_catalogue() -> None:
    (entry,) = _wired(spec.Input(topic=GUN)).inputs
    assert [field.name for field in entry.fields] == ["hostId", "gunId", "gunStatus"]
    assert entry.window_size == 40_320
    assert entry.scope is spec.Scope.STATION


def test_what_an_input_says_lies_over_the_catalogue() -> None:
    asked = spec.Input(
        topic=GUN, fields=("gunStatus",), window_size=5, scope=spec.Scope.GLOBAL, padding=spec.Padding.MISSING
    )
    (entry,) = _wired(asked).inputs
    assert [field.name for field in entry.fields] == ["gunStatus"]
    assert entry.fields[0].aliases[0] == "status"
    assert (entry.window_size, entry.scope, entry.padding) == (5, spec.Scope.GLOBAL, spec.Padding.MISSING)
    assert not entry.trigger


def test_three_dots_stand_for_the_remaining_fields() -> None:
    (entry,) = _wired(spec.Input(topic=GUN, fields=("gunStatus", "...", "mood"))).inputs
    assert [field.name for field in entry.fields] == ["gunStatus", "hostId", "gunId", "mood"]


def test_a_topic_of_the_users_own_behaves_like_the_others() -> None:
    (entry,) = _wired(spec.Input(topic="REAL-STATION-DATA", fields=("power",), window_size=5)).inputs
    assert entry.fields == (wiring.FieldWiring("power"),)
    assert (entry.window_size, entry.trigger, entry.scope) == (5, True, spec.Scope.STATION)


def test_the_users_aliases_stand_before_the_catalogues() -> None:
    asked = spec.Input(topic=GUN, aliases={"gunStatus": ("state",)})
    assert _field(asked, "gunStatus").aliases == ("state", "status", "gun_status")


def test_the_users_arrays_and_dtypes_reach_their_fields() -> None:
    asked = spec.Input(topic=GUN, arrays=("gunId",), dtypes={"gunStatus": spec.Dtype.FLOAT32})
    assert _field(asked, "gunId").array
    assert _field(asked, "gunStatus").dtype == "float32"
    assert _field(asked, "hostId").dtype == "float64"


def test_a_field_named_by_an_alias_is_found_under_all_its_names() -> None:
    field = _field(spec.Input(topic=GUN, fields=("gunNo",)), "gunNo")
    assert field.aliases == ("gunId", "gun_id", "gun_no")


def test_a_declared_name_is_no_alias_of_another_field() -> None:
    asked = spec.Input(topic=GUN, fields=("gunId", "gunNo"))
    assert "gunNo" not in _field(asked, "gunId").aliases
    assert "gunId" not in _field(asked, "gunNo").aliases


def test_padding_of_the_module_holds_where_an_input_says_nothing() -> None:
    resolved = _wired(
        spec.Input(topic=GUN),
        spec.Input(topic=PARAM, padding=spec.Padding.LINEAR),
        padding=spec.Padding.FORWARD,
    )
    assert [entry.padding for entry in resolved.inputs] == [spec.Padding.FORWARD, spec.Padding.LINEAR]


def test_aligned_routing_spares_global_topics_and_those_of_many_stations() -> None:
    resolved = catalogue.resolve(
        spec.ModuleSpec(
            module="operation_optimization", partitioning=spec.Partitioning(routing=spec.Routing.ALIGNED)
        )
    )
    filtered = [entry.topic for entry in resolved.inputs if entry.routing is spec.Routing.FILTERED]
    assert filtered == [PARAM, "SCHEDULE-STATION-REALTIME-DATA", CALENDAR, "SCHEDULE-CAR-PRICE"]


def test_an_inputs_routing_wins_over_the_modules() -> None:
    resolved = _wired(
        spec.Input(topic=GUN, routing=spec.Routing.FILTERED),
        partitioning=spec.Partitioning(routing=spec.Routing.ALIGNED),
    )
    assert resolved.inputs[0].routing is spec.Routing.FILTERED


def test_a_via_topic_that_is_no_input_is_looked_up_beside_them() -> None:
    key = spec.StationKey(via=PARAM)
    assert _wired(spec.Input(topic=GUN, station_key=key)).lookup_topics == (PARAM,)
    both = _wired(spec.Input(topic=GUN, station_key=key), spec.Input(topic=PARAM))
    assert both.lookup_topics == ()


def test_given_dependencies_replace_the_catalogues() -> None:
    asked = spec.Dependency(module="pv_prediction", window_size=3, trigger=False)
    resolved = catalogue.resolve(spec.ModuleSpec(module="operation_optimization", dependencies=(asked,)))
    assert resolved.dependencies == (
        wiring.DependencyWiring(
            module="pv_prediction", topic="MODULE-OUTPUT-PV-PREDICTION", window_size=3, trigger=False
        ),
    )


def test_an_empty_list_of_dependencies_empties_them() -> None:
    asked = spec.ModuleSpec(module="operation_optimization", dependencies=())
    assert catalogue.resolve(asked).dependencies == ()


def test_a_module_may_read_only_the_outputs_of_others() -> None:
    asked = spec.Dependency(module="theirs", topic="THEIR-OUTPUT")
    resolved = catalogue.resolve(spec.ModuleSpec(module="mine", dependencies=(asked,)))
    assert resolved.inputs == ()
    assert resolved.dependencies[0].topic == "THEIR-OUTPUT"


def test_producer_and_dependants_spell_output_topics_in_one_style() -> None:
    asked = spec.ModuleSpec(
        module="thermal_management", output=spec.Output(topic_style=spec.TopicStyle.UNDERSCORE)
    )
    resolved = catalogue.resolve(asked)
    assert resolved.output_topic == "MODULE-OUTPUT-THERMAL_MANAGEMENT"
    assert resolved.dependencies[0].topic == "MODULE-OUTPUT-LOAD_PREDICTION"


def test_the_profile_v1_1_spells_output_topics_with_underscores_unless_told() -> None:
    old = spec.ModuleSpec(module="load_prediction", profile=spec.Profile.V1_1)
    assert catalogue.resolve(old).output_topic == "MODULE-OUTPUT-LOAD_PREDICTION"
    told = spec.ModuleSpec(
        module="load_prediction",
        profile=spec.Profile.V1_1,
        output=spec.Output(topic_style=spec.TopicStyle.HYPHEN),
    )
    assert catalogue.resolve(told).output_topic == "MODULE-OUTPUT-LOAD-PREDICTION"


def test_a_given_output_topic_is_used_and_none_if_outputs_are_off() -> None:
    named = spec.ModuleSpec(module="load_prediction", output=spec.Output(topic="OUT"))
    assert catalogue.resolve(named).output_topic == "OUT"
    off = spec.ModuleSpec(module="load_prediction", output=spec.Output(enabled=False))
    assert catalogue.resolve(off).output_topic is None


def test_resolving_raises_all_problems_at_once() -> None:
    asked = spec.ModuleSpec(
        module="mine",
        inputs=(spec.Input(topic="A"), spec.Input(topic=GUN, arrays=("gunID",))),
        dependencies=(spec.Dependency(module="theirs"),),
    )
    with pytest.raises(errors.InvalidSpec) as caught:
        catalogue.resolve(asked)
    assert {problem.path for problem in caught.value.problems} == {
        "spec.inputs[0].fields",
        "spec.inputs[0].windowSize",
        "spec.inputs[1].arrays[0]",
        "spec.dependencies[0].module",
    }


@pytest.mark.parametrize(
    ("name", "forms"),
    [
        ("gunId", ("gun_id",)),
        ("historyCurveGunAvg", ("history_curve_gun_avg",)),
        ("startSOC", ("start_SOC", "start_soc")),
        ("currentSOC", ("current_SOC", "current_soc")),
        ("storageSOH", ("storage_SOH", "storage_soh")),
        ("storageTempMax", ("storage_temp_max",)),
        ("FeeNo", ("fee_no",)),
        ("mileage", ()),
    ],
)
def test_snake_case_forms_keep_acronyms_and_also_lower_them(name: str, forms: tuple[str, ...]) -> None:
    assert catalogue.snake_case(name) == forms


def test_a_field_is_accepted_under_its_aliases_then_under_the_snake_case_forms() -> None:
    fields = {field.name: field for field in catalogue.fields_of("SCHEDULE-CAR-ORDER")}
    assert fields["startSOC"].aliases == ("beginSOC", "start_SOC", "start_soc", "begin_SOC", "begin_soc")
    assert fields["stationId"].aliases == ("station_id",)


@pytest.mark.parametrize("profile", spec.Profile)
@pytest.mark.parametrize("topic", catalogue.TOPICS)
def test_no_name_stands_for_two_fields_of_a_topic(topic: str, profile: spec.Profile) -> None:
    names = [name for field in catalogue.fields_of(topic, profile) for name in (field.name, *field.aliases)]
    assert len(names) == len(set(names))


def test_the_profile_v1_1_declares_the_first_aliases() -> None:
    fields = catalogue.fields_of("SCHEDULE-STATION-REALTIME-DATA", spec.Profile.V1_1)
    assert [field.name for field in fields] == [
        "stationId",
        "gunNo",
        "outputPowerPerGunAvg",
        "outputPowerPerGunMax",
        "outputPowerPerStationAvg",
        "outputPowerPerStationMax",
    ]
    assert fields[1].aliases == ("gunId", "gun_no", "gun_id")


@pytest.mark.parametrize("topic", catalogue.TOPICS)
def test_both_profiles_take_the_same_records(topic: str) -> None:
    def accepted(profile: spec.Profile) -> set[frozenset[str]]:
        fields = catalogue.fields_of(topic, profile)
        return {frozenset((field.name, *field.aliases)) for field in fields} - {frozenset({"mileage"})}

    assert accepted(spec.Profile.STANDARD) == accepted(spec.Profile.V1_1)


def test_the_profile_v1_1_has_no_mileage() -> None:
    order = "SCHEDULE-CAR-ORDER"
    standard = {field.name for field in catalogue.fields_of(order)}
    old = {field.name for field in catalogue.fields_of(order, spec.Profile.V1_1)}
    assert "mileage" in standard
    assert "mileage" not in old
    assert "outputPower" in standard & old


def test_arrays_by_nature_are_arrays_in_both_profiles() -> None:
    def arrays(profile: spec.Profile) -> list[bool]:
        return [field.array for field in catalogue.fields_of("SCHEDULE-DEVICE-HOST-DCDC", profile)]

    assert arrays(spec.Profile.STANDARD) == arrays(spec.Profile.V1_1) == [False, True, True]


def test_a_topic_outside_the_catalogue_has_no_fields_there() -> None:
    assert catalogue.fields_of("REAL-STATION-DATA") == ()


def test_dependants_are_those_that_list_the_module() -> None:
    expected = ("operation_optimization", "station_guidance", "thermal_management")
    assert catalogue.dependants_of("load_prediction") == expected
    assert catalogue.dependants_of("customer_mining") == ()


def test_the_catalogues_modules_have_no_cycle() -> None:
    graph = {name: module.dependencies for name, module in catalogue.MODULES.items()}
    assert catalogue.dependency_cycle(graph) is None


@pytest.mark.parametrize(
    ("graph", "cycle"),
    [
        ({"a": ["a"]}, ("a", "a")),
        ({"a": ["b"], "b": ["a"]}, ("a", "b", "a")),
        ({"x": ["a"], "a": ["b", "c"], "b": [], "c": ["d"], "d": ["a"]}, ("a", "c", "d", "a")),
        ({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}, None),
        ({"a": ["unknown"]}, None),
        ({}, None),
    ],
)
def test_a_cycle_is_named_in_full(graph: dict[str, list[str]], cycle: tuple[str, ...] | None) -> None:
    assert catalogue.dependency_cycle(graph) == cycle


def test_a_long_chain_of_modules_is_followed_to_its_end() -> None:
    graph = {str(number): [str(number + 1)] for number in range(50_000)}
    assert catalogue.dependency_cycle(graph) is None
    graph["50000"] = ["49999"]
    assert catalogue.dependency_cycle(graph) == ("49999", "50000", "49999")


# -- slow topics


def kept(**asked: Any) -> bool:
    """Whether a module keeps the newest records of an input."""
    return catalogue.resolve(spec.ModuleSpec(module="any", inputs=(spec.Input(**asked),))).inputs[0].keep_last


def test_the_catalogues_slow_topics_are_kept_unless_the_user_says_otherwise() -> None:
    slow = {topic.name for topic in topics.ALL if kept(topic=topic.name)}
    assert slow == {"SCHEDULE-STATION-PARAM", "SCHEDULE-ENVIRONMENT-CALENDAR", "SCHEDULE-CAR-PRICE"}
    assert not kept(topic="SCHEDULE-CAR-PRICE", keep_last=False)


def test_any_other_topic_is_kept_if_the_user_says_so() -> None:
    assert kept(topic="SCHEDULE-DEVICE-ERROR", keep_last=True)
    own = {"topic": "T", "fields": ("a",), "window_size": 2}
    assert (kept(**own), kept(**own, keep_last=True)) == (False, True)


def test_a_slow_topic_with_a_window_too_long_to_be_kept_is_not_kept_unless_asked() -> None:
    assert kept(topic="SCHEDULE-CAR-PRICE", window_size=1_000)
    assert not kept(topic="SCHEDULE-CAR-PRICE", window_size=1_001)


def test_a_slow_topic_that_is_read_for_its_device_ids_alone_is_kept_too() -> None:
    via = (
        spec.Input(topic="SCHEDULE-DEVICE-GUN", station_key=spec.StationKey(via="SCHEDULE-STATION-PARAM")),
    )
    resolved = catalogue.resolve(spec.ModuleSpec(module="any", inputs=via))
    assert resolved.kept_lookups == resolved.lookup_topics == ("SCHEDULE-STATION-PARAM",)
    assert resolved.keeps
    elsewhere = (spec.Input(topic="SCHEDULE-DEVICE-GUN", station_key=spec.StationKey(via="T")),)
    assert not catalogue.resolve(spec.ModuleSpec(module="any", inputs=elsewhere)).keeps
