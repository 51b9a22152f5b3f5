from services.core.errors import UnavailableError
from services.operations.health import Check, Health


def good() -> Check:
    return Check("good", ok=True, detail="fine")


def missing() -> Check:
    raise UnavailableError("The model file is not there.", "Install it.")


def broken() -> Check:
    raise ZeroDivisionError


def test_ready_when_every_part_is() -> None:
    """One check per part, in their order, and ready only when all are."""
    readiness = Health({"good": good, "also": lambda: Check("also", ok=True)}).ready()
    assert readiness.ok
    assert [check.name for check in readiness.checks] == ["good", "also"]
    assert readiness.as_dict()["status"] == "ready"


def test_expected_failure_is_reported_in_its_words() -> None:
    """A part that raises an expected failure is not ready, and the others are still asked."""
    readiness = Health({"model": missing, "good": good}).ready()
    assert not readiness.ok
    assert readiness.checks[0] == Check("model", ok=False, detail="The model file is not there.")
    assert readiness.checks[1].ok
    assert readiness.as_dict() == {
        "status": "not ready",
        "checks": {
            "model": {"ok": False, "detail": "The model file is not there.", "warning": False},
            "good": {"ok": True, "detail": "fine", "warning": False},
        },
    }


def test_defect_in_a_check_is_not_ready() -> None:
    """A check that breaks shows as not ready without its inner workings, and does not break the others."""
    readiness = Health({"broken": broken, "good": good}).ready()
    assert [check.ok for check in readiness.checks] == [False, True]
    assert "ZeroDivision" not in readiness.checks[0].detail


def test_living_needs_no_part() -> None:
    """Being alive asks no part."""
    assert Health({"broken": broken}).live().ok
