"""What a rule about a route, a page or a message of a page says: who may."""

from __future__ import annotations

from dataclasses import dataclass

from services.core.actor import PERMISSIONS, Actor, Permission, Role


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may: those with `permission`, or everybody who has signed in where it is None.

    Attributes:
        permission: what is needed.
        visitors: while there are no accounts, visitors whose role is `user` may as well, also before the data folder is
            open: figures about the process, with nothing about people.
        everybody: nothing is needed, not even signing in.
        nobody: closed.
    """

    permission: Permission | None = None
    visitors: bool = False
    everybody: bool = False
    nobody: bool = False

    def allows(self, role: Role) -> bool:
        """Return whether somebody with that role, who has signed in, may."""
        return not self.nobody and (self.permission is None or self.permission in PERMISSIONS[role])

    def allows_actor(self, actor: Actor) -> bool:
        """Return whether this actor may."""
        if self.nobody:
            return False
        return self.permission is None or actor.may(self.permission) or (self.visitors and is_visitor(actor))


EVERYBODY = Rule(everybody=True)
SIGNED_IN = Rule()
NOBODY = Rule(nobody=True)


def is_visitor(actor: Actor) -> bool:
    """Return whether this is somebody without an account: where accounts exist, nobody without one gets here."""
    return actor.person_id is None
