# SPDX-License-Identifier: MIT
"""docs/security-model.md tells the truth: every proof that it names ran, and passed."""

from __future__ import annotations

import pytest

from selftests import conftest
from selftests.harness import patches
from selftests.harness.document import SECURITY_MODEL, named_tests
from selftests.harness.lacks import LACKS
from selftests.harness.patches import proves

pytestmark = proves(*patches.BY_NAME)


@pytest.mark.irrevocable(1000)
def test_every_proof_that_the_security_model_names_has_passed(
    request: pytest.FixtureRequest,
) -> None:
    """Runs last, and looks back; a selection of tests proves nothing either way."""
    names = named_tests(SECURITY_MODEL.read_text(encoding="utf-8"))
    assert len(names) > 50
    outcomes: dict[str, set[str]] = {name: set() for name in names}
    for node, (outcome, _, _) in conftest.OUTCOMES.items():
        name = node.removeprefix("selftests/").partition("[")[0]
        outcomes.setdefault(name, set()).add(outcome)
    if request.config.option.keyword:
        names = [name for name in names if outcomes[name]]
    # What is known to lack in the guest cannot be proved in it.
    allowed = {"passed", "skipped"} if LACKS else {"passed"}
    wrong = {
        name: outcomes[name] for name in names if not outcomes[name] or outcomes[name] - allowed
    }
    assert wrong == {}
