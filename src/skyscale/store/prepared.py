"""Statements that are built once and run many times a second.

    _ONE = Prepared(select(groups.c.state).where(groups.c.group_id == bindparam("id_")))
    state, = await _ONE.first(connection, {"id_": group_id})

- Rows are plain tuples in the order of the selected columns, on every kind of connection.
- In a SQLite thread (`StraightConnection`, `Connection`) the text and the conversions of a statement are worked out
  once per database, and it goes to the driver as it is: SQLAlchemy's way to the driver and back costs several times
  what SQLite needs. Everywhere else it is an ordinary `execute`.
- What the driver raises is raised as SQLAlchemy would: callers see no difference.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.selectable import ReturnsRows
from sqlalchemy.types import TypeEngine

from skyscale.store.straight import StraightConnection

Values = Mapping[str, object]
Convert = Callable[[Any], Any]
NOTHING: Values = {}
MOST_PLACES = 1 << 16
"""Places for values, over all remembered texts of a statement: lists may have thousands of lengths."""


@dataclass(frozen=True, slots=True)
class _Slot:
    """Where one `?` gets its value from."""

    name: str
    item: int | None
    """Its place in a list of values (`IN`)."""
    is_required: bool
    constant: object
    """What it is when the caller says nothing, unless it is required."""
    convert: Convert | None


@dataclass(frozen=True, slots=True)
class _Text:
    """What the driver is given, for lists of certain lengths."""

    sql: str
    slots: tuple[_Slot, ...]

    def arguments(self, values: Values) -> list[object]:
        """One value per `?`."""
        found: list[object] = []
        for slot in self.slots:
            value: Any = values[slot.name] if slot.is_required else values.get(slot.name, slot.constant)
            if slot.item is not None:
                value = value[slot.item]
            found.append(value if slot.convert is None else slot.convert(value))
        return found


class _Plan:
    """A statement as one database takes it."""

    def __init__(self, statement: Executable, keys: Sequence[str] | None, dialect: Dialect) -> None:
        # A clause element compiles, an `Executable` alone does not: every statement of ours is both.
        compiled = cast(Any, statement).compile(dialect=dialect, column_keys=list(keys) if keys is not None else None)
        self._compiled: SQLCompiler = compiled
        self._dialect = dialect
        self._lists = tuple((name, bound.value) for name, bound in compiled.binds.items() if bound.expanding)
        self._texts: dict[tuple[int, ...], _Text] = {}
        self._num_places = 0
        columns = statement.exported_columns if isinstance(statement, ReturnsRows) else ()
        converters = [_reading(column.type, dialect) for column in columns]
        self._converters = converters if any(converters) else None

    def text(self, values: Values) -> _Text:
        """The text for lists of these lengths."""
        lengths = tuple([len(cast(Sequence[object], values.get(name, default))) for name, default in self._lists])
        text = self._texts.get(lengths)
        if text is None:
            text = self._expanded(values)
            if self._num_places + len(text.slots) > MOST_PLACES:
                self._texts.clear()
                self._num_places = 0
            self._texts[lengths] = text
            self._num_places += len(text.slots)
        return text

    def _expanded(self, values: Values) -> _Text:
        compiled = self._compiled
        state = compiled.construct_expanded_state(dict(values), escape_names=False)
        items = {
            each: (name, place)
            for name, _ in self._lists
            for place, each in enumerate(state.parameter_expansion.get(name, ()))
        }
        slots: list[_Slot] = []
        for each in state.positiontup or ():
            name, item = items.get(each, (each, None))
            bound = compiled.binds[name]
            slots.append(_Slot(name, item, bound.required, bound.value, _writing(bound.type, self._dialect)))
        return _Text(state.statement, tuple(slots))

    def read(self, rows: list[tuple[Any, ...]]) -> Sequence[tuple[Any, ...]]:
        """The driver's rows as Python values."""
        if self._converters is None:
            return rows
        return [tuple(map(_converted, self._converters, row)) for row in rows]


def _converted(convert: Convert | None, value: object) -> object:
    return value if convert is None else convert(value)


def _writing(type_: TypeEngine[Any], dialect: Dialect) -> Convert | None:
    return type_.dialect_impl(dialect).bind_processor(dialect)


def _reading(type_: TypeEngine[Any], dialect: Dialect) -> Convert | None:
    return type_.dialect_impl(dialect).result_processor(dialect, None)


class Prepared:
    """One statement. Its values are bound by name; a list of values is bound with `expanding=True`."""

    def __init__(self, statement: Executable, keys: Sequence[str] | None = None) -> None:
        """`keys` are the columns that an INSERT names."""
        self._statement = statement
        self._keys = keys
        self._plans: WeakKeyDictionary[Dialect, _Plan] = WeakKeyDictionary()

    async def all(self, connection: AsyncConnection, values: Values = NOTHING) -> Sequence[Sequence[Any]]:
        """Every row."""
        if isinstance(connection, StraightConnection):
            return self.all_now(connection.sync, values)
        return (await connection.execute(self._statement, values)).all()

    async def first(self, connection: AsyncConnection, values: Values = NOTHING) -> Sequence[Any] | None:
        """The first row, None when there is none."""
        rows = await self.all(connection, values)
        return rows[0] if rows else None

    async def change(self, connection: AsyncConnection, values: Values | list[Values] = NOTHING) -> int:
        """Write; how many rows that changed. A list is written in one go."""
        if isinstance(connection, StraightConnection):
            return self.change_now(connection.sync, values)
        return (await connection.execute(self._statement, cast(Any, values))).rowcount

    def all_now(self, connection: Connection, values: Values = NOTHING) -> Sequence[Sequence[Any]]:
        """As `all`, in a thread or a `run_sync` of the database's."""
        if connection.dialect.name != "sqlite":
            return connection.execute(self._statement, values).all()
        plan = self._plan(connection.dialect)
        text = plan.text(values)
        arguments = text.arguments(values)
        driver = cast(Any, connection.connection.driver_connection)
        try:
            return plan.read(driver.execute(text.sql, arguments).fetchall())
        except _errors(connection) as error:
            raise _told(connection, text, arguments, error) from error

    def change_now(self, connection: Connection, values: Values | list[Values] = NOTHING) -> int:
        """As `change`, in a thread or a `run_sync` of the database's."""
        if connection.dialect.name != "sqlite":
            return connection.execute(self._statement, cast(Any, values)).rowcount
        plan = self._plan(connection.dialect)
        driver = cast(Any, connection.connection.driver_connection)
        several = values if isinstance(values, list) else [values]
        text = plan.text(several[0])
        arguments = [text.arguments(each) for each in several]
        try:
            if isinstance(values, list):
                return driver.executemany(text.sql, arguments).rowcount
            return driver.execute(text.sql, arguments[0]).rowcount
        except _errors(connection) as error:
            raise _told(connection, text, arguments, error) from error

    def _plan(self, dialect: Dialect) -> _Plan:
        plan = self._plans.get(dialect)
        if plan is None:
            # Two threads may both get here; then one plan is made for nothing.
            plan = self._plans[dialect] = _Plan(self._statement, self._keys, dialect)
        return plan


def _errors(connection: Connection) -> type[Exception]:
    return cast(Any, connection.dialect).loaded_dbapi.Error


def _told(connection: Connection, text: _Text, arguments: list[Any], error: Exception) -> BaseException:
    kind = cast(Any, _errors(connection))
    return DBAPIError.instance(text.sql, arguments, error, kind, dialect=connection.dialect)
