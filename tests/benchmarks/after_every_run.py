"""A console that collects after every run of a page, as Streamlit does by default.

`python -m tests.benchmarks.after_every_run serve ...`: Streamlit's own code does it, by its own setting.
"""

from __future__ import annotations

from typing import Any

from streamlit import config

_SETTING = "runner.postScriptGC"


def main() -> None:
    """Start the real console with Streamlit's default in place of ours."""
    from console import __main__ as console

    get_option = config.get_option

    def with_default(key: str) -> Any:
        return True if key == _SETTING else get_option(key)

    config.get_option = with_default
    console.main()


if __name__ == "__main__":
    main()
