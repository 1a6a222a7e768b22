"""What becomes of a table's file: its columns, its labels, and the line that every refusal names."""

import gzip
import os
import re
import sys
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from fastmlp.tables import read_npz, read_table


def write(folder, content, name="a.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def columns(table):
    return {name: column.to_pylist() for name, column in table.columns.items()}


PLAIN = {"a": ["1", "3"], "b c": ["x", ""], "é": ["0.5", "2"]}


@pytest.mark.parametrize("delimiter", ",;\t|")
@pytest.mark.parametrize("line", ["\n", "\r\n", "\r"])
def test_the_separator_is_found(delimiter, line, tmp_path):
    rows = [["a", " b c ", "é"], ["1", "x ", "0.5"], ["3", "", " 2"], []]
    text = line.join(delimiter.join(row) for row in rows)
    assert columns(read_table(write(tmp_path, text))) == PLAIN


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a;b\n1,5;2,5\n3,5;4\n", {"a": ["1,5", "3,5"], "b": ["2,5", "4"]}),
        ('a,b\n"1;2;3",4\n"1;2;3",5\n', {"a": ["1;2;3", "1;2;3"], "b": ["4", "5"]}),
        ("a,b|c\n1,x|y\n", {"a": ["1"], "b|c": ["x|y"]}),
        ("a\n1\n2\n", {"a": ["1", "2"]}),
        ('a,b\n"x\ny","say ""no"""\n', {"a": ["x\ny"], "b": ['say "no"']}),
        ('a,b\n5" pipe,2\n', {"a": ['5" pipe'], "b": ["2"]}),
        ("\n \na,b\n\n1,2\n  \n3,4\n\n", {"a": ["1", "3"], "b": ["2", "4"]}),
        ('"a\nb",c\n1,2\n', {"a\nb": ["1"], "c": ["2"]}),
        ("0,1,2\n5,6,7\n", {"0": ["5"], "1": ["6"], "2": ["7"]}),
        ("a\tb\n1\t\n\t2\n", {"a": ["1", ""], "b": ["", "2"]}),
    ],
)
def test_texts(text, expected, tmp_path):
    assert columns(read_table(write(tmp_path, text))) == expected


def test_a_tsv_is_divided_by_tabs_alone(tmp_path):
    table = read_table(write(tmp_path, "a,b\tc\n1,2\t3\n", "a.TSV"))
    assert columns(table) == {"a,b": ["1,2"], "c": ["3"]}


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    assert columns(read_table(write(tmp_path, b"\xef\xbb\xbfa,b\n1,2\n"))) == {"a": ["1"], "b": ["2"]}


@pytest.mark.parametrize("name", ["a.csv.gz", "A.TSV.GZ"])
def test_gzip(name, tmp_path):
    content = gzip.compress(b"a\tb\n1\t2\n")
    assert columns(read_table(write(tmp_path, content, name))) == {"a": ["1"], "b": ["2"]}
    with pytest.raises(ValueError, match=r"must be a \.gz file, but it can't be read: "):
        read_table(write(tmp_path, content[:-3], name))
    with pytest.raises(ValueError, match=r"must be a \.gz file, but it can't be read: "):
        read_table(write(tmp_path, b"a,b\n", name))


def test_columns_without_a_name_are_left_out_and_told(tmp_path):
    table = read_table(write(tmp_path, ",a,\n0,1,\n1,2,\n"))
    assert columns(table) == {"a": ["1", "2"]}
    assert table.notes == ("column 1 has no name and is left out", "column 3 has no name and is left out")


def test_a_row_may_be_long(tmp_path):
    long = "x" * 3_000_000
    table = read_table(write(tmp_path, f"a,b\n1,2\n{long},3\n"))
    assert columns(table) == {"a": ["1", long], "b": ["2", "3"]}
    assert table.place(1).endswith(" row 2")  # Python's own reader, which counts lines, takes no such field


QUOTED = 'a,b\n1,"x\ny"\n\n2,"z\r\nw"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must begin with a line of column names, got nothing"),
        ("\n\n", "must begin with a line of column names, got nothing"),
        (",,\n1,2,3\n", "must begin with a line of column names, got nothing"),
        ("1.5,2\n3,4\n", r"must begin with a line of column names, got numbers: 1\.5, 2"),
        ("a,b,a\n1,2,3\n", "must give each column a name of its own, but 2 are 'a'"),
        ("a, a\n1,2\n", "must give each column a name of its own, but 2 are 'a'"),
        ("a,b\n", "must have at least one row below its header"),
        ("a,b", "must have at least one row below its header"),
        ("a,b\n\n\n", "must have at least one row below its header"),
        ("a,b\n1,2\n\n3\n", "line 4 must have 2 fields, got 1"),
        ("a,b\n1,2\n3,4,5\n", "line 3 must have 2 fields, got 3"),
        (QUOTED + "3\n", "line 7 must have 2 fields, got 1"),
        (QUOTED + '3,"x\ny\nz",5\n', "line 7 must have 2 fields, got 3"),
        ('a,b\n1,2\n3,"4\n5,6\n7,8\n', r"must be a \.csv file, but .* the quote that opens in line 3 never closes"),
    ],
)
def test_unfit_texts(text, message, tmp_path):
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))} {message}$"):
        read_table(path)


@pytest.mark.parametrize(("encoding", "byte"), [("latin-1", "0xfc"), ("cp1252", "0xfc")])
def test_other_encodings_are_refused_by_line(encoding, byte, tmp_path):
    path = write(tmp_path, "a,b\n1,2\nMünchen,3\n", encoding=encoding)
    with pytest.raises(ValueError, match=rf"a\.csv line 3 must be text in UTF-8, but holds the byte {byte}: save "):
        read_table(path)


@pytest.mark.parametrize("content", [b"\xff\xfea\x00,\x00b\x00", bytes(100), b"PK\x03\x04\xff\xff"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.parquet"])
def test_what_is_no_table(content, name, tmp_path):
    with pytest.raises(ValueError, match=rf"{name}"):
        read_table(write(tmp_path, content, name))


def test_files_that_cannot_be_opened(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / "nowhere.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(IsADirectoryError):
        read_table(tmp_path / "folder.csv")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path):
    path = write(tmp_path, "a\n1\n")
    path.chmod(0)
    with pytest.raises(PermissionError):
        read_table(path)


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_without_the_extra_one_sentence_tells_what_to_install(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    message = r"which isn't installed: pip install 'fastmlp\[tables\]' \(a \.npz file with X and y needs nothing\)$"
    with pytest.raises(ValueError, match=message):
        read_table(write(tmp_path, "a\n1\n", name))
    np.savez(tmp_path / "a.npz", X=np.ones((2, 2)), y=[0, 1])
    assert len(read_npz(tmp_path / "a.npz")) == 2


@pytest.mark.parametrize(("row", "line"), [(0, 2), (1, 5)])
def test_a_row_is_where_its_line_begins(row, line, tmp_path):
    assert read_table(write(tmp_path, QUOTED)).place(row).endswith(f"a.csv line {line}")


# --- numbers and texts


def numbers(folder, values, delimiter=",", name="x"):
    text = "\n".join([f"{name}{delimiter}z", *(f"{value}{delimiter}z" for value in values)])
    return read_table(write(folder, text + "\n")).numbers(name)


def test_numbers(tmp_path):
    texts = ["1", "-2", "+3", "4.", ".5", "1e3", "1E-3", " 7 ", "007"]
    values, odd = numbers(tmp_path, texts)
    assert values.tolist() == [1, -2, 3, 4, 0.5, 1000, 0.001, 7, 7]
    assert not odd.any()


@pytest.mark.parametrize("missing", ["", " ", "?", "-", ".", "NA", "n/a", "N/A", "nan", "NaN", "NULL", "None", "#N/A"])
def test_missing_numbers(missing, tmp_path):
    values, odd = numbers(tmp_path, ["1", missing, "3"])
    np.testing.assert_array_equal(values, [1, np.nan, 3])
    assert not odd.any()


@pytest.mark.parametrize("text", ["1_0", "١", "0x10", "1e", "e5", "1 2", "--1", "1.2.3", "$5", "5%", "one", "infinite"])
def test_what_is_no_number(text, tmp_path):
    values, odd = numbers(tmp_path, ["1", text, "3"])
    np.testing.assert_array_equal(values, [1, np.nan, 3])
    assert odd.tolist() == [False, True, False]


@pytest.mark.parametrize("text", ["inf", "-Infinity", "1e999", "INF"])
def test_infinite_numbers_are_refused_by_line(text, tmp_path):
    path = write(tmp_path, f"x,y\n1,0\n{text},1\n")
    table = read_table(path)
    with pytest.raises(ValueError, match=r"a\.csv line 3 must hold a finite number in 'x', got -?inf"):
        table.check_finite("x", table.numbers("x")[0])


def test_decimal_commas_where_commas_do_not_separate(tmp_path):
    values, odd = numbers(tmp_path, ["1,5", "-,5", "2", "1.234,5", "3,0e2"], ";")
    np.testing.assert_array_equal(values, [1.5, -0.5, 2, np.nan, 300])
    assert odd.tolist() == [False, False, False, True, False]


def test_texts_are_codes_and_missing_ones_have_none(tmp_path):
    codes, texts = read_table(write(tmp_path, "x,y\nb,1\n,2\na,3\nb,4\nNA,5\n")).texts("x")
    assert texts == ["a", "b"]
    assert codes.tolist() == [1, -1, 0, 1, -1]


@pytest.mark.parametrize(
    "date",
    [
        "2024-05-31", "2024/5/1", "2024-05-31 12:30:00", "2024-05-31T12:30:00Z", "31.5.2024", "5/31/24",
        "05/31/2024 10:00 AM", "31 May 2024", "May 31, 2024", "Sept 2024", "31-MAY-24", "Fri, 31 May 2024 10:00:00",
        "2024-05", "12:30", "12:30:15.5", "9:05 pm",
    ],
)  # fmt: skip
def test_dates(date, tmp_path):
    assert read_table(write(tmp_path, f'x;y\n{date};1\n;2\n"{date}";3\nlater;4\n')).holds_dates("x")


@pytest.mark.parametrize(
    "text",
    ["May", "marker 12", "1-2", "10.0.0.1", "A-12-31", "12-31", "2024", "+49-30-1234", "maya 2024", "1:2:3:4",
     "3750.0", "1999.95", "2024.05"],
)  # fmt: skip
def test_what_is_no_date(text, tmp_path):
    assert not read_table(write(tmp_path, f"x;y\n{text};1\n{text};2\n")).holds_dates("x")


def labels(folder, values):
    return read_table(write(folder, "\n".join(["y,z", *(f"{value},1" for value in values)]) + "\n")).labels("y")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["2", "1"], [2, 1]),
        (["1.0", "2"], [1.0, 2.0]),
        (["7", "007"], ["7", "007"]),
        (["None", "Some"], ["None", "Some"]),
        (["-", "+"], ["-", "+"]),
        (["none", "null"], ["none", "null"]),
        (["1", "2", "3+"], ["1", "2", "3+"]),
        (["True", "False"], ["True", "False"]),
    ],
)
def test_labels(values, expected, tmp_path):
    found = labels(tmp_path, values)
    assert found.tolist() == expected
    assert found.dtype.kind == np.array(expected).dtype.kind


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a", "", "b"], "line 3 must hold a label in 'y', got nothing"),
        (["1", "2", " "], "line 4 must hold a label in 'y', got nothing"),
        (["1.5", "NA", "?"], "line 3 must hold a label in 'y', got 'NA'"),
        (["1", "2", "?"], "line 4 must hold a label in 'y', got '\\?'"),
        (["1.5", "inf"], "line 3 must hold a finite number in 'y', got inf"),
        ([*range(30), "x"], "line 32 must hold a number in 'y', as 30 of 31 rows do, got 'x'"),
    ],
)
def test_unfit_labels(values, message, tmp_path):
    with pytest.raises(ValueError, match=rf"a\.csv {message}$"):
        labels(tmp_path, values)


# --- Parquet


def write_parquet(folder, **arrays):
    path = folder / "a.parquet"
    parquet.write_table(pa.table(arrays), path)
    return path


def test_parquet(tmp_path):
    path = write_parquet(
        tmp_path,
        i=pa.array([1, None, 3]),
        f=pa.array([1.5, np.nan, None]),
        b=pa.array([True, None, False]),
        s=pa.array([" x ", None, "y"], pa.large_string()),
        c=pa.array(["u", "v", "u"]).dictionary_encode(),
        d=pa.array(list(map(Decimal, (1, 2, 3)))),
        e=pa.array([None, None, None]),
    )
    table = read_table(path)
    for name, expected in {"i": [1, np.nan, 3], "f": [1.5, np.nan, np.nan], "d": [1, 2, 3]}.items():
        np.testing.assert_array_equal(table.numbers(name)[0], expected)
    for name, codes, texts in [
        ("b", [1, -1, 0], ["False", "True"]),
        ("s", [0, -1, 1], ["x", "y"]),
        ("c", [0, 1, 0], ["u", "v"]),
        ("e", [-1, -1, -1], []),
        ("i", [0, -1, 1], ["1", "3"]),
    ]:
        found = table.texts(name)
        assert (found[0].tolist(), found[1]) == (codes, texts), name
    assert table.place(1) == f"{path} row 2"


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([3, 1], pa.uint8()), [3, 1]),
        (pa.array([0.5, 1]), [0.5, 1.0]),
        (pa.array([True, False]), ["True", "False"]),
        (pa.array(["b", "a"]).dictionary_encode(), ["b", "a"]),
    ],
)
def test_labels_of_parquet(array, expected, tmp_path):
    assert read_table(write_parquet(tmp_path, y=array)).labels("y").tolist() == expected


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (pa.array([1, None]), r"a\.parquet row 2 must hold a label in 'y', got nothing"),
        (pa.array(["x", None]), r"a\.parquet row 2 must hold a label in 'y', got nothing"),
        (pa.array([0.5, np.inf]), r"a\.parquet row 2 must hold a finite number in 'y', got inf"),
        (pa.array([1, 2]).cast(pa.timestamp("s")), r"'y' of .* holds dates"),
        (pa.array([[1], [2]]), r"'y' of .* has the type list"),
    ],
)
def test_unfit_labels_of_parquet(array, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read_table(write_parquet(tmp_path, y=array)).labels("y")


def test_a_data_frames_index_is_left_out_and_told(tmp_path):
    table = read_table(write_parquet(tmp_path, a=[1, 2], __index_level_0__=[7, 3]))
    assert list(table.columns) == ["a"]
    assert table.notes == ("the data frame's index '__index_level_0__' is left out",)
