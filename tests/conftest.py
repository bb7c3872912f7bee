"""What every test stands on: nothing of the machine that runs it, and how hard Hypothesis searches."""

from __future__ import annotations

import os
import traceback
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, settings

from .examples import CAMPAIGN_FOLD

if TYPE_CHECKING:
    from ml_dash import Experiment

# At import, before any test module imports ml_dash: the settings of whoever runs the tests must decide no
# verdict, and no test, nor a process that it starts, may reach a real keychain.
for _name in [name for name in os.environ if name.startswith("ML_DASH_")]:
    del os.environ[_name]
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"
# Some thousand processes are started, and each would compile all of ml_dash anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# No deadline and no complaint about slow data: a busy machine is not a defect.
settings.register_profile(
    "explore", max_examples=60, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
# The same commit gets the same verdict; looking for new counterexamples is the work of the other two.
settings.register_profile("ci", parent=settings.get_profile("explore"), derandomize=True)
# For bugs that are seeded: that one is caught matters, and not by how little.
settings.register_profile("seeded", parent=settings.get_profile("ci"), phases=(Phase.explicit, Phase.generate))
settings.register_profile("campaign", parent=settings.get_profile("explore"), max_examples=100 * CAMPAIGN_FOLD)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "explore"))


@pytest.fixture(scope="session", autouse=True)
def folders_of_the_person_are_out_of_reach(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Configuration, credentials, journals without a root, stores and caches go to folders of this test run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path_factory.mktemp("configuration")))
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Generator[None, object, object]:
    """What a test has forked ends with the test: it never goes on as a second pytest, whatever it raises."""
    process = os.getpid()
    try:
        return (yield)
    finally:
        if os.getpid() != process:
            traceback.print_exc()
            os._exit(70)


@pytest.fixture
def experiment(tmp_path: Path) -> Iterator[Experiment]:
    """`alice/ml/run`, open, below `tmp_path`."""
    from ml_dash import Experiment

    with Experiment("alice/ml/run", dash_root=tmp_path).run as experiment:
        yield experiment
