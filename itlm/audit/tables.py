"""Read a table from a file, and find out what its columns hold: numbers, categories, dates, text, missing values.

table = read("my.csv", "label")
model = pipeline(table.X, table.task)                of `itlm.audit.models`
share, found = inspected(model, table.X, table.y)
text = cleaned(table, share.kept[-1])                the file without the dropped rows, as bytes
"""

import csv
import re
from collections import Counter
from difflib import get_close_matches
from hashlib import file_digest
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..errors import Missing

__all__ = ["LEAST", "LEAST_OF_CLASS", "TASKS", "Table", "checked_classes", "cleaned", "read"]

PARQUET = (".parquet", ".pq")
TASKS = ("classification", "regression")
LEAST = 100  # samples: with fewer, the bound of the share says nothing
LEAST_OF_CLASS = 15  # samples of each class: half are kept at first, and both folds must have some of these
CLASSES = 20  # a target with at most so many distinct integers has classes
PER_CLASS = 10  # and at least so many samples a class, on average
NUMERIC = 0.95  # a column of text holds numbers if this share of its values are numbers, or all but marks such as ?
NAMES = 0.95  # a column whose share of distinct values exceeds this names the rows
WORDS, DISTINCT = 3.0, 0.1  # text has this many words a value, and more than this share of distinct values
DATES = ("ISO8601", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y")
COMMA = re.compile(r"(^|;)-?\d+,\d+(;|$)")  # a decimal comma
TIMES = ("", " %H:%M", " %H:%M:%S")


class Table(NamedTuple):
    """A table for a model; n samples are the rows with a target.

    Attributes
    ----------
    X : data frame, n rows
        The features: columns of numbers, bool, `datetime64`, `category` or text.
    y : array, shape (n,)
        The target, of text, bool, int or float.
    ids : array, shape (n,)
        The values of the id column; by default the rows' numbers in the file, from 0.
    rows : array of int, shape (n,)
        The rows' numbers in the file.
    task : {"classification", "regression"}
    notes : list of str
        What was left out and why, in sentences.
    path : Path
        The file, and ``digest``, its SHA-256.
    starts : array of int, or None
        The line at which each row of a CSV file begins, from 0, and one past the end; None for Parquet.
    """

    X: pd.DataFrame
    y: np.ndarray
    ids: np.ndarray
    rows: np.ndarray
    task: str
    notes: list[str]
    path: Path
    digest: str
    starts: np.ndarray | None


def read(path, target: str, id: str | None = None, task: str | None = None) -> Table:
    """Read a CSV or Parquet file, and find out what its columns are.

    A column of text holds numbers or dates if its values are such, text if it has many distinct values of several
    words, and else categories. Constant columns are left out, and columns of text that name the rows, since nearly all
    values are distinct. Rows without a target are left out. The first line of a CSV file names the columns, and the
    most frequent of comma, semicolon, tab and bar in this line separates them. With semicolons, numbers may have a
    decimal comma.

    Parameters
    ----------
    path : path
        The file: .csv, .tsv, .txt, .parquet or .pq; CSV in UTF-8.
    target, id : str
        Names of the columns with the labels or values, and with the rows' names.
    task : {"classification", "regression"}, optional
        By default classification for text, bool, and at most 20 distinct integers with at least 10 samples each on
        average; else regression.

    Raises
    ------
    ValueError
        If the file cannot be read as a table, lacks a column, or has too few rows, no usable column, a constant target,
        or classes of fewer than 15 samples.
    itlm.errors.Missing
        For Parquet without pyarrow.
    OSError
        If the file cannot be opened.
    """
    path = Path(path)
    frame, digest, starts = _frame(path, id)
    for option, name in (("--target", target), ("--id", id)):
        if name is not None and name not in frame:
            near = get_close_matches(name, frame.columns, 3, 0.3) or list(frame.columns[:5])
            raise ValueError(f"{option} {name!r} is no column of {path}: did you mean {' or '.join(map(repr, near))}?")
    if id == target:
        raise ValueError(f"--id and --target both name {target!r}: the target cannot name the rows")
    notes, rows = [], np.flatnonzero(frame[target].notna())
    if lacking := len(frame) - len(rows):
        notes.append(f"{_counted(lacking, 'row')} without a value of {target!r} left out.")
        frame = frame.iloc[rows]
    if len(rows) < LEAST:
        raise ValueError(f"{path} has {_counted(len(rows), 'row')} with a value of {target!r}: {LEAST} are needed")
    y, task = _outputs(frame[target], target, task, notes)
    ids = rows if id is None else _unique(frame[id], id)
    columns = {}
    for name in frame.columns.drop([target] if id is None else [target, id]):
        column, said = _typed(frame[name])
        if column is not None:
            columns[name] = column
        if said:
            notes.append(f"column {name!r}: {said}.")
    if not columns:
        raise ValueError(
            f"{path} has no column to learn {target!r} from: {' '.join(notes) or 'it has no other column.'}"
        )
    return Table(pd.DataFrame(columns), y, ids, rows, task, notes, path, digest, starts)


def _frame(path: Path, id) -> tuple[pd.DataFrame, str, np.ndarray | None]:
    """Return the file as pandas reads it, its SHA-256, and of CSV the line at which each record begins."""
    with open(path, "rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    if path.suffix.lower() in PARQUET:
        try:
            frame = pd.read_parquet(path)
        except ImportError as error:
            raise Missing(f"{path} needs pyarrow: pip install pyarrow, or save the table as CSV") from error
        except (ValueError, OSError) as error:
            raise ValueError(f"{path} is no Parquet file: {str(error).splitlines()[0]}") from error
        return frame.set_axis(frame.columns.map(str), axis=1), digest, None
    if path.suffix.lower() not in (".csv", ".tsv", ".txt"):
        raise ValueError(f"{path} is of unknown type {path.suffix!r}: give .csv, .tsv, .txt, .parquet, or a folder")
    form, starts = _records(path)
    kinds = {} if id is None else {id: str}  # 007 is not 7
    try:
        frame = pd.read_csv(path, dtype=kinds, index_col=False, low_memory=False, **form)
    except pd.errors.ParserError as error:
        raise ValueError(f"{path} cannot be read: {str(error).strip()}; look for a lone quotation mark") from error
    if len(frame) != len(starts) - 1:
        raise ValueError(f"{path} has {len(starts) - 1} rows, pandas reads {len(frame)}: look for lone quotation marks")
    return frame, digest, starts


def _records(path: Path) -> tuple[dict, np.ndarray]:
    """Return how a CSV file is to be parsed, and the line at which each record begins, and one past the end.

    All records must have as many fields as the header.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="\n") as file:
            first = next((line for line in file if line.strip()), "")
            delimiter = max(",;\t|", key=first.count)
            comma = delimiter == ";" and any(COMMA.search(line) for line in islice(file, 100))
            file.seek(0)
            header, starts, begin = None, [], 0
            for record in (reader := csv.reader(file, delimiter=delimiter)):
                if header is None and record:
                    header = _header(path, record)
                elif record and len(record) != len(header):
                    raise ValueError(
                        f"{path} has {_counted(len(record), 'field')} in line {begin + 1}, and {len(header)} columns: "
                        "correct the line, or quote the fields that hold a delimiter"
                    )
                elif record:
                    starts.append(begin)
                begin = reader.line_num
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8, it has the byte {error.object[error.start]:#x}: save it as UTF-8, for example by "
            "iconv -f latin1 -t utf-8"
        ) from error
    except csv.Error as error:
        raise ValueError(f"{path} cannot be read in line {begin + 1}: {error}") from error
    if header is None:
        raise ValueError(f"{path} is empty: its first line must name the columns")
    return {"sep": delimiter, "decimal": "," if comma else "."}, np.array([*starts, begin])


def _header(path, names) -> list[str]:
    if len(names) < 2:
        raise ValueError(f"{path} has one column, {names[0]!r}: separate columns by comma, semicolon, tab or bar")
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"{path} has several columns {repeated[0]!r}: rename all but one")
    return names


def cleaned(table: Table, kept) -> bytes:
    """Return the file's header and kept rows as CSV, ``kept`` being a bool mask of shape (n,).

    Of a CSV file, these are the lines as they stand.

    Raises
    ------
    ValueError
        If the file has changed since it was read.
    """
    path, rows, starts = table.path, table.rows[kept], table.starts
    with open(path, "rb") as file:
        if file_digest(file, "sha256").hexdigest() != table.digest:
            raise ValueError(f"{path} has changed since it was read: start again")
        if starts is None:
            return pd.read_parquet(path).iloc[rows].to_csv(index=False, lineterminator="\n").encode()
        is_kept = np.zeros(len(starts) - 1, bool)
        is_kept[rows] = True
        mine = np.repeat(np.r_[True, is_kept], np.diff(starts, prepend=0))  # of each line; the header's first
        file.seek(0)
        return b"".join(line for line, keep in zip(file, mine, strict=True) if keep)


def _outputs(column, name, task, notes) -> tuple[np.ndarray, str]:
    """Return the target as an array, and the task."""
    column = column.infer_objects()
    if not _is_text(column) and not pd.api.types.is_numeric_dtype(column):
        raise ValueError(f"--target {name!r} has values of type {column.dtype}: give labels or numbers")
    values = column.astype(str).to_numpy(str) if _is_text(column) else column.to_numpy()
    if values.dtype.kind == "f" and (values == np.round(values)).all() and np.abs(values).max() < 2**53:
        values = values.astype(int)  # pandas reads integers as floats if some are missing
    labels, counts = np.unique(values, return_counts=True)
    if len(labels) < 2:
        raise ValueError(f"--target {name!r} has the same value in all rows, {labels[0]}: there is nothing to learn")
    is_class = values.dtype.kind in "Ub" or (
        values.dtype.kind in "iu" and len(labels) <= min(CLASSES, len(values) / PER_CLASS)
    )
    if task is None:
        task = TASKS[0] if is_class else TASKS[1]
        other = "" if values.dtype.kind in "Ub" else f"; if that is wrong, give --task {TASKS[is_class]}"
        notes.append(f"target {name!r} has {len(labels):,} distinct values, so this is {task}{other}.")
    if task == TASKS[0]:
        checked_classes(labels, counts, f"--target {name!r}")
    elif values.dtype.kind in "Ub":
        raise ValueError(f"--task {task} needs numbers, and --target {name!r} has {str(labels[0])!r}: take {TASKS[0]}")
    elif not np.isfinite(values).all():
        raise ValueError(f"--target {name!r} has infinite values: correct or remove these rows")
    if task == TASKS[0]:
        return values if values.dtype.kind != "f" else values.astype(str), task
    return values.astype(float), task


def checked_classes(labels, counts, what: str) -> None:
    """Raise ValueError if a class has fewer samples than the folds need; ``what`` has the classes."""
    if (rare := counts < LEAST_OF_CLASS).any():
        some = ", ".join(f"{label} ({count})" for label, count in zip(labels[rare][:3], counts[rare][:3], strict=True))
        raise ValueError(
            f"{what} has {_counted(int(rare.sum()), 'class', 'classes')} of too few samples: {some}; each class needs "
            f"{LEAST_OF_CLASS}, so add samples, or remove or merge these classes"
        )


def _unique(column, name) -> np.ndarray:
    if column.isna().any():
        raise ValueError(f"--id {name!r} is empty in {_counted(int(column.isna().sum()), 'row')}: name each row")
    if len(repeated := column[column.duplicated()]):
        raise ValueError(
            f"--id {name!r} has {repeated.iloc[0]} several times ({_counted(repeated.nunique(), 'value')} repeated): "
            "take another column, or leave --id out to count rows"
        )
    return column.to_numpy()


def _typed(column: pd.Series) -> tuple[pd.Series | None, str]:
    """Return a column in the type of what it holds, or None, and what to say of it."""
    types = pd.api.types
    if not _is_text(column) and types.is_numeric_dtype(column):
        values = column.astype(float) if types.is_extension_array_dtype(column) else column
        if infinite := int(np.isinf(values).sum()):
            values = values.where(~np.isinf(values))
        said = f"{_counted(infinite, 'infinite value')} taken as missing" if infinite else ""
        return (values, said) if _varies(values) else (None, "left out, it is constant")
    if types.is_datetime64_any_dtype(column):
        column = column.dt.tz_convert(None) if column.dt.tz is not None else column
        return (column, "") if _varies(column) else (None, "left out, it is constant")
    text = column.map(str, na_action="ignore").astype(object)
    known = text.dropna()
    names = known.unique()
    if not _varies(text):
        return None, "left out, it is constant"
    numbers = pd.to_numeric(known, errors="coerce")
    is_number = np.isfinite(numbers)
    odd = known[~is_number].unique()
    if is_number.mean() >= NUMERIC or (is_number.any() and not any(re.search(r"\w", value) for value in odd)):
        said = f"{', '.join(map(repr, odd[:3]))} taken as missing" if len(odd) else ""
        return numbers.where(is_number).astype(float).reindex(text.index), said
    if (dates := _dates(known)) is not None:
        return dates.reindex(text.index), ""
    words = np.mean([len(name.split()) for name in names[:1000]])
    if words >= WORDS and len(names) > DISTINCT * len(known):
        return text.fillna(""), ""
    if len(names) > NAMES * len(known):
        return None, "left out, it names the rows"
    return text.astype(pd.CategoricalDtype(known.value_counts().index)), ""


def _varies(column) -> bool:
    """Tell whether a column has several values; a missing one counts."""
    return column.nunique(dropna=False) > 1


def _dates(known: pd.Series) -> pd.Series | None:
    """Return text as dates if all values are dates of one format."""
    first = known.iloc[:50]
    if not first.str.fullmatch(r"\s*\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T].*)?").all():
        return None
    for format in (a + b for a in DATES for b in (TIMES if a.startswith("%") else TIMES[:1])):
        for some in (first, known):
            dates = pd.to_datetime(some, format=format, errors="coerce", utc=True)
            if dates.isna().any():
                break
        else:
            return dates.dt.tz_convert(None)
    return None


def _is_text(column) -> bool:
    types = pd.api.types
    return types.is_string_dtype(column) or types.is_object_dtype(column) or isinstance(
        column.dtype, pd.CategoricalDtype
    )  # fmt: skip


def _counted(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
