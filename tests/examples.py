"""How much a test tries: a share in an ordinary run, all of it, and more of Hypothesis, in a campaign.

A campaign is what `HYPOTHESIS_PROFILE=campaign` says it is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypeVar

from hypothesis import settings

CAMPAIGN_FOLD = 20
IS_CAMPAIGN = os.environ.get("HYPOTHESIS_PROFILE") == "campaign"

_Case = TypeVar("_Case")


def examples(count: int, **more: Any) -> settings:
    """Settings for `count` examples of a search, twenty times as many in a campaign; `more` are as they are."""
    return settings(max_examples=count * CAMPAIGN_FOLD if IS_CAMPAIGN else count, **more)


def share(cases: Sequence[_Case], every: int) -> Sequence[_Case]:
    """Each `every`-th of the cases, the first among them; in a campaign all of them."""
    return cases if IS_CAMPAIGN else cases[::every]
