"""How many examples a search of Hypothesis tries: as many as it says, and twenty times as many in a campaign."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import settings

CAMPAIGN_FOLD = 20


def examples(count: int, **more: Any) -> settings:
    """Settings for `count` examples, multiplied where the profile is that of a campaign; `more` are as they are."""
    fold = CAMPAIGN_FOLD if os.environ.get("HYPOTHESIS_PROFILE") == "campaign" else 1
    return settings(max_examples=count * fold, **more)
