"""What `/metrics` tells of the state of each part: read at the scrape from what the parts know anyway.

Nothing is measured here. The rooms do not know each other; this is, beside `services.runtime`, where they meet.
"""

from services.wiring.gauges.install import install

__all__ = ["install"]
