"""Look-ups by name and the names that layers get."""

from __future__ import annotations

import pytest

from quernel import naming


def test_unknown_names_get_the_nearest_and_the_list():
    with pytest.raises(
        ValueError, match=r"unknown loss 'mean_squarederror': did you mean 'mean_squared_error'\?"
    ):
        naming.resolve("loss", "mean_squarederror", {"mean_squared_error": 1, "mean_absolute_error": 2})


def test_a_name_far_from_all_gets_the_list_alone():
    with pytest.raises(ValueError, match=r"unknown loss 'zzz': Known: a, b"):
        naming.resolve("loss", "zzz", {"b": 1, "a": 2})


def test_case_does_not_hide_the_nearest_name():
    assert naming.suggest("RELU", ["relu", "tanh"]).startswith("did you mean 'relu'?")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("Conv2D", "conv2d"),
        ("BatchNormalization", "batch_normalization"),
        ("LSTM", "lstm"),
        ("MaxPool2D", "max_pool2d"),
        ("GlobalAveragePool2D", "global_average_pool2d"),
        ("L1L2", "l1l2"),
        ("MyBlock", "my_block"),
    ],
)
def test_snake_case_is_that_of_keras(given, wanted):
    assert naming.snake_case(given) == wanted


def test_names_are_numbered_from_the_second_on():
    names = [naming.unique_name("a_prefix_of_this_test") for _ in range(3)]
    assert names == ["a_prefix_of_this_test", "a_prefix_of_this_test_1", "a_prefix_of_this_test_2"]


class Thing:
    def __init__(self, size=1, inner=None):
        self.size, self.inner = size, inner

    def __call__(self):
        return self.size

    def get_config(self):
        return naming.config_of(self)


TABLE = naming.table_of(Thing)


@pytest.mark.parametrize("spec", ["thing", "Thing", Thing, Thing()])
def test_an_object_may_be_given_in_every_usual_way(spec):
    assert isinstance(naming.get_object("thing", spec, TABLE), Thing)


def test_any_callable_is_taken_as_it_is():
    def own():
        return 3

    assert naming.get_object("thing", own, TABLE) is own


def test_an_object_survives_serialisation():
    stored = naming.serialize(Thing(3, Thing(4)))
    assert stored == {"class_name": "Thing", "config": {"size": 3, "inner": {
        "class_name": "Thing", "config": {"size": 4, "inner": None}}}}  # fmt: skip
    assert naming.get_object("thing", stored, TABLE).size == 3


@pytest.mark.parametrize("spec", [3, 2.5, ["thing"], None])
def test_what_cannot_be_called_is_refused(spec):
    with pytest.raises(TypeError, match="expected the thing as a name, an object or a callable"):
        naming.get_object("thing", spec, TABLE)
