"""How columns become features: medians and categories of the training rows, and what is said and refused."""

import json
import re

import numpy as np
import pytest

import fastmlp
from fastmlp.table_encoder import MANY_CATEGORIES, Categories, Numbers, TableEncoder, learn_encoder
from fastmlp.tables import FEW, read_table


def make(folder, *columns, name="a.csv"):
    """Return a table; each column is its name and its texts."""
    lines = [";".join(map(str, row)) for row in zip(*columns, strict=True)]
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_table(folder / name)


def learn(table, rows=None):
    return learn_encoder(table, list(table.columns), np.arange(table.num_rows) if rows is None else np.array(rows))


def test_numbers_and_categories(tmp_path):
    table = make(
        tmp_path,
        ["age", 1, "?", 3, 8, "n/a"],
        ["city", "Oslo", "Rome", "", "Oslo", "Bonn"],
        ["ok", "True", "False", "True", "True", "False"],
        ["same", *5 * [7]],
        ["none", *5 * ["NA"]],
        ["size", "1", "2", "3+", "1", "2"],
    )
    encoder = learn(table)
    assert encoder.columns == (
        Numbers("age", 3.0),
        Categories("city", ("Bonn", "Oslo", "Rome", None)),
        Categories("ok", ("False", "True")),
        Numbers("same", 7.0),
        Categories("none", (None,)),
        Categories("size", ("1", "2", "3+")),
    )
    X, notes = encoder.encode(table)
    assert X.dtype == np.float64
    expected = [
        [1, 0, 1, 0, 0, 0, 1, 7, 1, 1, 0, 0],
        [3, 0, 0, 1, 0, 1, 0, 7, 1, 0, 1, 0],
        [3, 0, 0, 0, 1, 0, 1, 7, 1, 0, 0, 1],
        [8, 0, 1, 0, 0, 0, 1, 7, 1, 1, 0, 0],
        [3, 1, 0, 0, 0, 1, 0, 7, 1, 0, 1, 0],
    ]
    np.testing.assert_array_equal(X, expected)
    assert notes == [
        "missing numbers, taken as the training rows' median: 2 of 'age' (3)",
        "missing categories, taken as a category of its own: 1 of 'city', 5 of 'none'",
    ]


def test_only_the_training_rows_are_learned_from(tmp_path):
    table = make(tmp_path, ["x", 1, 2, 3, 100, ""], ["c", "a", "a", "b", "late", ""])
    encoder = learn(table, [0, 1, 2])
    assert encoder.columns == (Numbers("x", 2.0), Categories("c", ("a", "b")))
    X, notes = encoder.encode(table)
    np.testing.assert_array_equal(X, [[1, 1, 0], [2, 1, 0], [3, 0, 1], [100, 0, 0], [2, 0, 0]])
    assert notes == [
        "missing numbers, taken as the training rows' median: 1 of 'x' (2)",
        "missing categories, taken as none, since no training row lacks it: 1 of 'c'",
        "categories that no training row has, taken as none: 1 of 'c' such as 'late' (line 5)",
    ]


def test_a_column_without_a_number_in_the_training_rows(tmp_path):
    table = make(tmp_path, ["x", "", "", 5], ["z", 1, 1, 1])
    encoder = learn(table, [0, 1])
    np.testing.assert_array_equal(encoder.encode(table)[0], [[0, 1], [0, 1], [5, 1]])


def test_columns_are_found_by_name_and_others_are_ignored(tmp_path):
    encoder = learn(make(tmp_path, ["x", 1, 2], ["c", "a", "b"]))
    other = make(tmp_path, ["more", 0, 0], ["c", "b", "a"], ["x", 5, 6])
    np.testing.assert_array_equal(encoder.encode(other)[0], [[5, 0, 1], [6, 1, 0]])
    assert encoder.ignored(other) == ["more"]


def test_missing_columns_are_named(tmp_path):
    encoder = learn(make(tmp_path, ["x", 1, 2], ["c", "a", "b"], ["d", "a", "b"]))
    table = make(tmp_path, ["C", "a"], ["x", 1], name="b.csv")
    with pytest.raises(ValueError, match=r"b\.csv must have the .*, but lacks 'c', 'd'; its .* 'C', 'x'$"):
        encoder.encode(table)


@pytest.mark.parametrize(
    ("value", "message"),
    [("many", "line 3 must hold a number in 'x', as 1 of 2 rows do, got 'many'"), ("inf", "line 3 must hold a finite")],
)
def test_other_texts_than_numbers_are_refused_later(value, message, tmp_path):
    encoder = learn(make(tmp_path, ["x", 1, 2]))
    with pytest.raises(ValueError, match=rf"b\.csv {message}"):
        encoder.encode(make(tmp_path, ["x", 3, value], name="b.csv"))


MANY = [f"name {i}" for i in range(FEW + 1)]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([*2 * ["2024-05-31"]], "'x' holds dates or times such as '2024-05-31' (line 2)"),
        (["", "12:30", "13:30"], "'x' holds dates or times such as '12:30' (line 3)"),
        (MANY, "'x' holds 21 different texts in 21 rows such as 'name 0' (line 2)"),
        (
            [f"{i % (MANY_CATEGORIES + 1)}!" for i in range(4 * MANY_CATEGORIES)],
            "'x' holds 1,001 different texts in 4,000 rows such as '0!' (line 2)",
        ),
    ],
)
def test_what_cannot_be_learned_from_is_refused_with_the_way_on(texts, message, tmp_path):
    table = make(tmp_path, ["x", *texts], ["fine", *range(len(texts))], ["it's", *texts])
    with pytest.raises(ValueError, match="must hold numbers and categories") as refusal:
        learn(table)
    first, _, last = str(refusal.value).partition(message)
    assert first == f"{table.path} must hold numbers and categories, but "
    assert last.startswith('; "it\'s" holds ')
    assert last.endswith(": leave out what can't be learned from with --drop 'x,it'\"'\"'s'")


@pytest.mark.parametrize("texts", [MANY[:FEW], 2 * MANY], ids=["few rows", "twice each"])
def test_what_is_just_fine(texts, tmp_path):
    (column,) = learn(make(tmp_path, ["x", *texts], ["y", *texts])).columns[:1]
    assert column == Categories("x", tuple(sorted(set(texts))))


@pytest.mark.parametrize(("odd", "refused"), [(1, True), (12, True), (30, False)])
def test_a_few_texts_among_many_numbers_are_refused_by_line(odd, refused, tmp_path):
    table = make(tmp_path, ["x", *range(25), *odd * ["oops"]])
    if refused:
        with pytest.raises(ValueError, match=rf"a\.csv line 27 must hold a number in 'x', as 25 of {25 + odd} rows do"):
            learn(table)
    else:
        assert learn(table).columns[0].values[-1] == "oops"


def test_infinite_numbers_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a\.csv line 3 must hold a finite number in 'x', got -inf"):
        learn(make(tmp_path, ["x", 1, "-inf"]))


# --- kept with the network


@pytest.fixture
def encoder():
    return TableEncoder((Numbers("größe", 2.5), Categories("c", ("a", "b", None))), "price")


def network(encoder):
    X = np.random.default_rng(0).normal(size=(20, 4))
    model = fastmlp.train(X, X[:, 0] > 0, hidden=2, num_epochs=1, backend="reference", verbose=False)
    model.table = encoder
    return model


def test_an_encoder_is_saved_with_its_network(encoder, tmp_path):
    assert TableEncoder.from_dict(json.loads(json.dumps(encoder.to_dict()))) == encoder
    network(encoder).save(tmp_path / "a.npz")
    assert fastmlp.MLP.load(tmp_path / "a.npz").table == encoder
    network(None).save(tmp_path / "a.npz")
    assert fastmlp.MLP.load(tmp_path / "a.npz").table is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda table: [], "its table has no columns or no label"),
        (lambda table: {}, "its table has no columns or no label"),
        (lambda table: table | {"label": 3}, "its table has no columns or no label"),
        (lambda table: table | {"columns": "age"}, "its table has no columns or no label"),
        (lambda table: table | {"columns": []}, "its table's columns are none, or two have one name"),
        (lambda table: table | {"columns": 2 * table["columns"]}, "its table's columns are none, or two have one name"),
        (lambda table: table | {"columns": table["columns"][:1]}, "its table's columns do not become 4 features"),
        (lambda table: table | {"columns": [3]}, "its table has a column without a name"),
        (lambda table: table | {"columns": [{"name": None, "median": 1.0}]}, "its table has a column without a name"),
        (lambda table: table | {"columns": [{"name": "a"}]}, "its table's categories of 'a' are no list of different"),
        *(
            (lambda table, median=median: table | {"columns": [{"name": "a", "median": median}]}, "its table's median")
            for median in (None, "1", True, np.nan, np.inf, [1.0])
        ),
        *(
            (lambda table, texts=texts: table | {"columns": [{"name": "a", "categories": texts}]}, "its table's categ")
            for texts in (None, "ab", [], [1, 2], ["a", "a"], [["a"]], {"a": 1})
        ),
    ],
)  # fmt: skip
def test_a_damaged_encoder_is_refused_in_one_sentence(change, reason, encoder, tmp_path, monkeypatch):
    content = change(encoder.to_dict())
    monkeypatch.setattr(TableEncoder, "to_dict", lambda self: content)
    network(encoder).save(tmp_path / "a.npz")
    pattern = rf"a\.npz must be a network saved by fastmlp, but it can't be read: {re.escape(reason)}.*$"
    with pytest.raises(ValueError, match=pattern):
        fastmlp.MLP.load(tmp_path / "a.npz")
