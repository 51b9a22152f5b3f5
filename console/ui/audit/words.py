"""Actions, targets and outcomes of the audit log as people read them."""

from __future__ import annotations

from console.ui.shared.formatting import shorten
from services.core.auditing import Action, AuditOutcome, TargetKind, Way
from services.core.i18n import _

_NAME = 32  # characters of a name that are shown


def action_label(action: str) -> str:
    """Return the label of an action; its own name where this version does not know it."""
    return {
        Action.SIGN_IN: _("Signed in"),
        Action.SIGN_IN_FAILED: _("Sign-in failed"),
        Action.SIGN_OUT: _("Signed out"),
        Action.SESSION_ENDED: _("Session ended"),
        Action.TOKEN_CREATED: _("API token created"),
        Action.TOKEN_REVOKED: _("API token revoked"),
        Action.PASSWORD_CHANGED: _("Password changed"),
        Action.SECOND_FACTOR_CHANGED: _("Second factor changed"),
        Action.PERSON_CREATED: _("Person created"),
        Action.PERSON_CHANGED: _("Person changed"),
        Action.PERSON_DELETED: _("Person deleted"),
        Action.GROUP_CHANGED: _("Group changed"),
        Action.GRANT_CHANGED: _("Rights changed"),
        Action.PERMISSION_REFUSED: _("Permission refused"),
        Action.DOCUMENT_UPLOADED: _("Document uploaded"),
        Action.DOCUMENT_IMPORTED: _("Document imported"),
        Action.DOCUMENT_CHANGED: _("Document changed"),
        Action.DOCUMENT_DELETED: _("Document deleted"),
        Action.COLLECTION_CREATED: _("Collection created"),
        Action.COLLECTION_CHANGED: _("Collection changed"),
        Action.COLLECTION_DELETED: _("Collection deleted"),
        Action.QUOTES_ERASED: _("Quotes erased"),
        Action.CONVERSATION_DELETED: _("Conversation deleted"),
        Action.SETTINGS_CHANGED: _("Settings changed"),
        Action.MODEL_CHANGE: _("Change of the embedding model"),
        Action.COLLECTOR_CHANGED: _("Garbage collector changed"),
        Action.COLLECTOR_RUN: _("Garbage collector run"),
        Action.MEMORY_RELEASED: _("Memory released"),
        Action.BUDGET_CHANGED: _("Budget changed"),
        Action.BUDGET_ACTION: _("Budget action"),
        Action.TRACING_CHANGED: _("Tracing changed"),
        Action.EXPERIMENT_CHANGED: _("Experiment changed"),
        Action.REQUEST_CANCELLED: _("Request cancelled"),
        Action.RESTART_REQUESTED: _("Restart requested"),
        Action.NODE_DRAINED: _("Node drained"),
        Action.NODE_RESUMED: _("Node resumed"),
        Action.NODE_TAKEN_OVER: _("Node taken over"),
        Action.NODE_FORGOTTEN: _("Node forgotten"),
        Action.ALERT_TESTED: _("Alert tested"),
        Action.BACKUP_STARTED: _("Backup started"),
        Action.BACKUP_VERIFIED: _("Backup verified"),
        Action.EXPORT: _("Export"),
        Action.OBJECTS_LOOKED_AT: _("Objects looked at"),
        Action.ALLOCATIONS_LOOKED_AT: _("Allocations looked at"),
        Action.SNAPSHOT_CHANGED: _("Snapshot changed"),
        Action.SNAPSHOT_DELETED: _("Snapshot deleted"),
        Action.NAMES_ERASED: _("Names erased"),
        Action.RECORDS_REMOVED: _("Old records removed"),
        Action.RECORDS_LOST: _("Records lost"),
    }.get(Action(action), action)


def outcome_label(outcome: str) -> str:
    """Return the label of an outcome."""
    return {
        AuditOutcome.DONE: _("done"),
        AuditOutcome.REFUSED: _("refused"),
        AuditOutcome.FAILED: _("failed"),
    }.get(AuditOutcome(outcome), outcome)


def way_label(way: str, token: str) -> str:
    """Return by which door somebody came."""
    label = {
        Way.PAGE: _("page"),
        Way.API: _("API"),
        Way.TOKEN: _("API token"),
        Way.NODE: _("another node"),
        Way.CLI: _("command line"),
        Way.SERVICE: _("the service"),
    }.get(Way(way), way)
    return f"{label} {token}" if token else label


def target_label(kind: str, target_id: str, name: str | None) -> str:
    """Return what something was done to."""
    label = {
        TargetKind.DOCUMENT: _("document"),
        TargetKind.COLLECTION: _("collection"),
        TargetKind.CONVERSATION: _("conversation"),
        TargetKind.PERSON: _("person"),
        TargetKind.GROUP: _("group"),
        TargetKind.SESSION: _("session"),
        TargetKind.TOKEN: _("API token"),
        TargetKind.SETTING: _("setting"),
        TargetKind.COLLECTOR: _("garbage collector"),
        TargetKind.MEMORY: _("memory"),
        TargetKind.BUDGET: _("budget"),
        TargetKind.TRACING: _("tracing"),
        TargetKind.SNAPSHOT: _("snapshot"),
        TargetKind.EXPERIMENT: _("experiment"),
        TargetKind.OBJECTS: _("objects"),
        TargetKind.REQUEST: _("request"),
        TargetKind.PROCESS: _("process"),
        TargetKind.NODE: _("node"),
        TargetKind.WEBHOOK: _("webhook"),
        TargetKind.AUDIT: _("audit log"),
    }.get(TargetKind(kind), kind)
    place = f"{label} {target_id}".strip()
    return f"{shorten(name, _NAME)} ({place})" if name else place
