from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from console.ui.session_state import Key
from services.app.container import Services
from services.core.actor import AccessLevel, Actor, Role
from services.core.usage import UsageCounts
from services.identity.store.people import PeopleStore
from services.identity.types import GranteeKind, SignInWay
from tests.pages.conftest import ENTRY_POINT, open_page

PASSWORD = "violet tractor under seven moons"


@pytest.fixture
def admin(services: Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[Actor]:
    """An administrator who has signed in, in whose tab the pages run; afterwards nobody is there again."""
    identity = services.identity
    ada = identity.accounts.add(identity.local_actor(), "ada", password=PASSWORD)
    signed_in = identity.open_session(ada.id, way=SignInWay.PASSWORD, address="192.0.2.7", device="")
    with monkeypatch.context() as patch:
        patch.setattr("console.ui.current_actor.tab_session", lambda: signed_in.actor.session_id)
        yield signed_in.actor
    for group in identity.groups.all(identity.local_actor()):
        identity.groups.delete(identity.local_actor(), group.id)
    for person in identity.accounts.all(identity.local_actor()):
        PeopleStore(services.database).delete(person.id)  # the last administrator, too
    identity.directory.load()


def texts(app: AppTest) -> str:
    """Return what a page says in words."""
    found = [*app.markdown, *app.caption, *app.title, *app.subheader, *app.info, *app.error, *app.warning, *app.toast]
    said = [str(element.proto) for element in found]
    return "\n".join(said).replace("\\", "").replace("\u2060", "")


def kept(app: AppTest) -> str:
    """Return all that the tab's session state holds, in words."""
    return repr(vars(app.session_state._state))


def enter(app: AppTest, label: str, value: str) -> None:
    """Fill the field of that label."""
    [field] = [each for each in app.text_input if each.label == label]
    field.set_value(value)


def test_without_accounts_the_first_one_is_offered_with_what_it_changes(app: AppTest, services: Services) -> None:
    """Somebody would lock everybody out without knowing that a password is asked for from then on."""
    open_page(app, "people")
    assert not app.exception
    assert "Nobody passes without signing in" in texts(app)
    enter(app, "Name", "ada")
    enter(app, "New password", PASSWORD)
    enter(app, "New password once more", PASSWORD + "!")
    app.button(key=Key.PERSON_ADD).click().run()
    assert "The two passwords differ" in texts(app)
    assert services.identity.open_mode


def test_people_are_listed_with_what_they_use(app: AppTest, services: Services, admin: Actor) -> None:
    """An administrator could not see who is there, who asks much, and who has no second factor."""
    uma = services.identity.accounts.add(admin, "uma", Role.USER, password=PASSWORD, display_name="Uma *A*")
    millers = services.identity.groups.add(admin, "millers")
    services.identity.groups.add_member(admin, millers.id, uma.id)
    asks = Actor("uma", Role.USER, person_id=uma.id)
    services.identity.usage.count(asks, UsageCounts(questions=2, tokens=900))
    services.identity.usage.write()
    services.identity.usage.count(asks, UsageCounts(documents=1, bytes=5000))
    open_page(app, "people")
    assert not app.exception
    table = app.dataframe[0].value.set_index("name")
    assert list(table.index) == ["ada", "uma"]
    row = table.loc["uma"]
    assert (row["shown"], row["groups"], row["state"], row["sessions"]) == ("Uma *A*", "millers", "enabled", 0)
    assert (row["questions"], row["tokens"], row["documents"], row["bytes"]) == (2, 900, 1, 5000)
    app.text_input(key=Key.PEOPLE_SEARCH).set_value("UMA").run()
    assert list(app.dataframe[0].value["name"]) == ["uma"]
    app.text_input(key=Key.PEOPLE_SEARCH).set_value("nobody").run()
    assert "No matching people" in texts(app)


def test_a_person_is_made_changed_and_deleted(app: AppTest, services: Services, admin: Actor) -> None:
    """The buttons would do something else than they say, or delete without asking."""
    open_page(app, "people")
    app.button(key=Key.PERSON_ADD).click().run()
    enter(app, "Name", "uma")
    enter(app, "New password", PASSWORD)
    enter(app, "New password once more", PASSWORD)
    app.button(key="person-save").click().run()
    assert not app.exception
    uma = services.identity.accounts.named(admin, "uma")
    assert uma.role is Role.USER
    assert PASSWORD not in kept(app)
    services.identity.open_session(uma.id, way=SignInWay.PASSWORD, address="192.0.2.9", device="")
    made = services.identity.tokens.create(admin, uma.id, "script", ["read"])
    open_page(app, "people", person=str(uma.id))
    assert "192.0.2.9" in texts(app)
    assert "script" in texts(app)
    app.button(key=f"token-revoke-{made.info.id}").click().run()
    app.button(key=Key.CONFIRM).click().run()
    assert services.identity.tokens.of_person(admin, uma.id)[0].revoked_at is not None
    [end] = [each for each in app.button if str(each.key).startswith("session-end-")]
    end.click().run()
    assert services.identity.sessions.of_person(admin, uma.id) == []
    app.button(key="person-disable").click().run()
    assert services.identity.accounts.get(admin, uma.id).disabled_at is None
    app.button(key=Key.CONFIRM).click().run()
    assert services.identity.accounts.get(admin, uma.id).disabled_at is not None
    app.button(key="person-delete").click().run()
    assert "Nobody else can read the conversations" in texts(app)
    app.button(key=Key.CONFIRM).click().run()
    assert not app.exception
    assert [person.name for person in services.identity.accounts.all(admin)] == ["ada"]
    assert "was deleted" in texts(app)


def test_the_last_administrator_is_not_lost(app: AppTest, services: Services, admin: Actor) -> None:
    """Nobody could manage people any more: the reason is said, and nothing changes."""
    assert admin.person_id is not None
    open_page(app, "people", person=str(admin.person_id))
    assert app.button(key="person-delete").disabled
    [role] = [each for each in app.selectbox if str(each.key).startswith(Key.PERSON_ROLE)]
    role.set_value(Role.USER).run()
    assert "is the last administrator" in texts(app)
    assert services.identity.accounts.get(admin, admin.person_id).role is Role.ADMIN
    open_page(app, "people", person="99999")
    assert "There is no such person" in texts(app)


def test_groups_and_rights(app: AppTest, services: Services, admin: Actor) -> None:
    """A group would have other members than shown, or a collection other rights."""
    uma = services.identity.accounts.add(admin, "uma", Role.USER, password=PASSWORD)
    open_page(app, "people", view="groups")
    assert "No groups yet" in texts(app)
    app.button(key=Key.GROUP_ADD).click().run()
    app.text_input(key="name-field").set_value("millers")
    app.button(key="name-save").click().run()
    [millers] = services.identity.groups.all(admin)
    [members] = app.multiselect
    members.set_value([uma.id]).run()
    assert not app.exception
    assert services.identity.groups.members(admin, millers.id) == [(uma.id, "uma")]
    secret = services.library.create_collection(admin, "secret")
    services.identity.sharing.set(
        admin,
        secret.id,
        services.identity.sharing.find_grantee(admin, secret.id, GranteeKind.GROUP, "millers"),
        AccessLevel.READ,
    )
    app = AppTest.from_file(str(ENTRY_POINT), default_timeout=120)
    open_page(app, "people", view="grants")
    assert not app.exception
    table = app.dataframe[0].value.set_index("collection")
    assert table.loc["secret", str(-millers.id)] == "read"
    app.selectbox(key=Key.GRANTS_COLLECTION).set_value(secret.id).run()
    app.button(key="grants-share").click().run()
    [level] = [each for each in app.selectbox if str(each.key).startswith(f"grant-{secret.id}-{-millers.id}-")]
    level.set_value(AccessLevel.WRITE).run()
    assert not app.exception
    grants = {grant.name: grant.level for grant in services.identity.sharing.grants(admin, secret.id)}
    assert grants["millers"] is AccessLevel.WRITE


def test_my_account(app: AppTest, services: Services, admin: Actor) -> None:
    """One's own sessions, tokens and name; a token is seen once and is nowhere afterwards."""
    assert admin.person_id is not None
    services.identity.open_session(admin.person_id, way=SignInWay.PASSWORD, address="198.51.100.4", device="")
    open_page(app, "account")
    assert not app.exception
    assert "this session" in texts(app)
    assert "198.51.100.4" in texts(app)
    app.button(key="own-sessions-end").click().run()
    app.button(key=Key.CONFIRM).click().run()
    assert len(services.identity.sessions.of_person(admin, admin.person_id)) == 1
    app.text_input(key="account-display-name").set_value("Ada L.")
    app.button(key="account-name-save").click().run()
    assert services.identity.accounts.get(admin, admin.person_id).display_name == "Ada L."
    app.button(key=Key.TOKEN_ADD).click().run()
    app.text_input(key="token-name").set_value("notebook")
    app.button(key="token-save").click().run()
    assert not app.exception
    token = next(code.value for code in app.code if code.value.startswith("mp_"))
    assert services.identity.by_api_token(token, "192.0.2.1").person_id == admin.person_id
    app.button(key="token-copied").click().run()
    assert token not in kept(app)
    assert token[-4:] in texts(app)
    [info] = services.identity.tokens.of_person(admin, admin.person_id)
    assert info.expires is not None
    assert info.expires > time.time() + 89 * 86_400


def test_a_wrong_password_changes_nothing(app: AppTest, services: Services, admin: Actor) -> None:
    """A tab that was left open would be enough to take an account over."""
    open_page(app, "account")
    enter(app, "Current password", "not this one at all")
    enter(app, "New password", "purple kettle beneath nine bridges")
    enter(app, "New password once more", "purple kettle beneath nine bridges")
    app.button(key="account-password-save").click().run()
    assert "This is not your current password" in texts(app)
    enter(app, "Current password", PASSWORD)
    app.button(key="account-password-save").click().run()
    assert not app.exception
    assert "was changed" in texts(app)
    assert "purple kettle" not in kept(app)
    services.identity.sign_in("ada", "purple kettle beneath nine bridges", address="192.0.2.3", device="")
    assert admin.person_id is not None
