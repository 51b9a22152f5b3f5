from __future__ import annotations

import pytest

from services.core.actor import Actor, Role
from services.core.errors import ForbiddenError
from services.core.usage import UsageCounts
from tests.identity.house import House

DAY = 86_400


def asker(house: House, name: str) -> Actor:
    person = house.add(name)
    return Actor(name, Role.USER, person_id=person.id)


def test_usage_is_added_up_by_person_and_survives_a_restart(house: House) -> None:
    """A person's questions would be somebody else's, counted twice, or gone with the process."""
    house.add("ada", Role.ADMIN)
    uma, bob = asker(house, "uma"), asker(house, "bob")
    usage = house.identity.usage
    usage.count(uma, UsageCounts(questions=1, tokens=400))
    usage.count(bob, UsageCounts(documents=1, bytes=9))
    usage.write()
    usage.count(uma, UsageCounts(questions=2))
    for _attempt in range(2):
        found = usage.of_people(house.local)
        assert found[uma.person_id or 0] == UsageCounts(questions=3, tokens=400)
        assert found[bob.person_id or 0] == UsageCounts(documents=1, bytes=9)
        usage.write()
    again = house.open().usage.of_people(house.local)
    assert again[uma.person_id or 0] == UsageCounts(questions=3, tokens=400)


def test_usage_is_of_the_last_month_and_goes_with_the_person(house: House) -> None:
    """An old month would count for ever, or a deleted person be found in the table."""
    ada = house.add("ada", Role.ADMIN)
    uma = asker(house, "uma")
    usage = house.identity.usage
    usage.count(uma, UsageCounts(questions=5))
    usage.write()
    house.now += 30 * DAY
    assert usage.of_people(house.local).get(uma.person_id or 0) is None
    usage.count(uma, UsageCounts(questions=1))
    usage.write()
    usage.count(uma, UsageCounts(questions=1))
    house.identity.accounts.delete(house.local, uma.person_id or 0)
    usage.write()
    with house.database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM usage").scalar() == 0
    usage.count(Actor("ada", Role.ADMIN, person_id=ada.id), UsageCounts(questions=1))
    house.now += 401 * DAY
    usage.count(Actor("ada", Role.ADMIN, person_id=ada.id), UsageCounts(questions=1))
    usage.write()
    with house.database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM usage").scalar() == 1


def test_others_do_not_see_it_and_metrics_have_no_names(house: House) -> None:
    """How much somebody asks is nobody's business but theirs who manage people."""
    house.add("ada", Role.ADMIN)
    uma = asker(house, "uma")
    house.identity.usage.count(uma, UsageCounts(questions=1))
    with pytest.raises(ForbiddenError):
        house.identity.usage.of_people(uma)
    by_role = house.identity.usage.by_role()
    assert by_role[Role.USER] == UsageCounts(questions=1)
    assert set(by_role) == set(Role)
