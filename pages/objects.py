"""Objects: types and containers that grow, and what holds them."""

from __future__ import annotations

from console.ui.objects.instances import instances_view
from console.ui.objects.owners import owners_view
from console.ui.objects.repeat import repeat_view
from console.ui.objects.toolbar import ObjectsView, objects_toolbar, objects_view
from console.ui.objects.types import containers_view, types_view
from console.ui.runtime_access import ready_services

inspector = ready_services().memory.objects
view = objects_view()
if view is ObjectsView.REPEAT:
    repeat_view(inspector)
elif view is ObjectsView.OWNERS:
    owners_view(inspector)
else:
    shown = objects_toolbar(inspector)
    if shown is not None and view is ObjectsView.TYPES:
        types_view(inspector, shown)
    elif shown is not None:
        containers_view(inspector, shown)
    instances_view(inspector)
