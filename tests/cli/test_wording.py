"""Values, names and errors as people read them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from ml_dash.cli.wording import cut_in_the_middle, error_words


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Mn", "Cf", "Me"]), max_size=60), st.integers(3, 40)
)
def test_a_name_that_is_cut_fits_and_keeps_its_beginning_and_its_end(text: str, width: int) -> None:
    cut = cut_in_the_middle(text, width)
    assert cell_len(cut) <= width
    if cut != text:
        head, _, tail = cut.partition("…")
        assert text.startswith(head)
        assert text.endswith(tail)


def test_names_that_differ_in_their_end_still_do() -> None:
    names = [f"group/31/loss-of-something-very-long.{field}" for field in ("value", "other")]
    assert len({cut_in_the_middle(name, 20) for name in names}) == 2


def test_an_error_is_said_with_what_there_is_of_it() -> None:
    assert error_words({"type": "ValueError", "message": "loss is nan"}) == "ValueError: loss is nan"
    assert error_words({"type": None, "message": "loss is nan"}) == "loss is nan"
    assert error_words({}) == ""
