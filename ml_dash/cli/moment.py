"""`--at`: a sequence number or a time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click


class Moment(click.ParamType[Any]):
    """An integer is the number of an event, anything else a time in ISO 8601; without a zone it is local time."""

    name = "SEQ|TIME"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> int | datetime:
        if isinstance(value, (int, datetime)):
            return value
        if value.isdecimal():
            return int(value)
        try:
            return datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            self.fail(
                f"{value!r} is neither the number of an event nor a time such as 2026-03-01 or 2026-03-01T14:30:00",
                parameter,
                context,
            )


MOMENT = Moment()
