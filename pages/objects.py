"""Objects: which types grow, and what holds them."""

from __future__ import annotations

from console.components.objects_bar import View, objects_bar, view_choice
from console.components.objects_containers import containers_view
from console.components.objects_instances import instances_view
from console.components.objects_owners import owners_view
from console.components.objects_repeats import repeats_view
from console.components.objects_types import types_view
from console.resources import runtime

inspector = runtime().memory.objects
view = view_choice()
if view is View.REPEAT:
    repeats_view(inspector)
elif view is View.OWNERS:
    owners_view(inspector)
else:
    shown = objects_bar(inspector)
    if shown is not None and view is View.TYPES:
        types_view(inspector, shown)
    elif shown is not None:
        containers_view(inspector, shown)
    instances_view(inspector)
