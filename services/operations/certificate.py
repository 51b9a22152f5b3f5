"""The certificate of this server: how long it is valid, and what is said about that in time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from services.core.i18n import _, joined, plural
from services.operations.health import Check

CERTIFICATE = "certificate"  # the name of the check
DAY = 86_400.0
# Warned of once at each: time to renew it, and time to hurry.
WARN_DAYS = (14, 3, 0)


@dataclass(frozen=True, slots=True)
class CertificateInfo:
    """What is known of a certificate: the names it is for, and when it ends (seconds since 1970; 0: not known)."""

    names: tuple[str, ...] = ()
    ends: float = 0.0

    def stage(self, now: float) -> int:
        """Return how far its end is: 0 far away or not known, then 1 for each of `WARN_DAYS` that is passed."""
        if not self.ends:
            return 0
        return sum(self.ends - now <= days * DAY for days in WARN_DAYS)

    def words(self, now: float) -> str:
        """Return until when it is valid, in words."""
        if not self.ends:
            return _("in use")
        date = datetime.fromtimestamp(self.ends, UTC).strftime("%Y-%m-%d %H:%M UTC")
        if self.ends <= now:
            return _("ended on {date}: browsers and clients refuse it").format(date=date)
        days = int((self.ends - now) / DAY)
        if not self.stage(now):
            return _("valid until {date}").format(date=date)
        if not days:
            return _("ends within a day, on {date}").format(date=date)
        return plural("ends in {count} day, on {date}", "ends in {count} days, on {date}", days, date=date)

    def check(self, now: float, problem: str) -> Check:
        """Return the health check; `problem`: why files that have changed are not used, "" if they are."""
        words = self.words(now)
        return Check(
            CERTIFICATE,
            ok=True,
            detail=joined((words + _("."), problem)) if problem else words,
            warning=bool(problem or self.stage(now)),
        )
