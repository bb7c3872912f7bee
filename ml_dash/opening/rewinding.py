"""`experiment.rewind`: from which steps on the past of a training does not count any more.

What that means for points is in `ml_dash/state/attempts.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from ..facts.events import RUN_REWOUND
from ..facts.value_forms import describe
from ..facts.values import from_plain, to_plain
from ..state.attempts import STEP_FIELDS
from .nearest import nearest

if TYPE_CHECKING:
    from ..journal.writer import Writer


def record_rewind(writer: Writer, numbers: Sequence[Any], steps: Mapping[str, Any]) -> None:
    """Raises ConfigurationError for what is no field of steps or no number, and for numbers of nothing."""
    if numbers:
        given = describe(numbers[0])
        raise ConfigurationError(
            f"rewind({given:.100}): of what? A step says nothing of an epoch. Expected one or more of "
            f"{', '.join(STEP_FIELDS)}, for example rewind(step={given:.100})"
        )
    if not steps:
        raise ConfigurationError(
            f"rewind() says to no step. Expected one or more of {', '.join(STEP_FIELDS)}, for example rewind(step=10)"
        )
    writer.record(
        RUN_REWOUND, {"session": writer.session, "steps": {name: _checked(name, steps[name]) for name in steps}}
    )


def _checked(name: str, step: Any) -> int | float:
    if name not in STEP_FIELDS:
        raise ConfigurationError(
            f"rewind({name}=…): a training cannot be rewound by {name!r}.{nearest(name, frozenset(STEP_FIELDS))} "
            f"Expected one or more of {', '.join(STEP_FIELDS)}"
        )
    # A number of NumPy or torch is recorded, and compared with what was logged, as its plain form.
    plain = from_plain(*to_plain(step))
    # NaN is the only number that differs from itself.
    if not isinstance(plain, int | float) or isinstance(plain, bool) or plain != plain:
        raise ConfigurationError(f"rewind({name}={describe(step):.100}): expected a number, the step of a checkpoint")
    return plain
