"""No prefix, whatever the text, leaves its root or is stored under another name."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from ml_dash.errors import PrefixError
from ml_dash.prefix import parse_prefix

PARTS = "a . .. _journal é \0 \\ / //".split()


@given(st.text(min_size=1, max_size=40) | st.lists(st.sampled_from(PARTS), min_size=1).map("/".join))
def test_no_prefix_leaves_its_root(text: str) -> None:
    try:
        prefix = parse_prefix(text)
    except PrefixError:
        return
    root = "/root/of/everything"
    path = os.path.normpath(os.path.join(root, *prefix.segments))
    assert path == f"{root}/{text}"
    assert path.startswith(root + "/")
