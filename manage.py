#!/usr/bin/env python
"""SecFlow's commands. `manage.py help` lists them."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command of the command line with the parts of a running `manage.py up`, unless others are given."""
    from secflow.settings import environment

    if sys.argv[1:2] and sys.argv[1] in ("up", "quickstart"):
        # They only start other processes, for a long time: without Django they need a third of the memory.
        from secflow.runtime import cli

        raise SystemExit(cli.main(sys.argv[1:]))
    environment.adopt_running_stand()
    if not environment.reads_only_code(sys.argv[1:]):
        environment.demand_parts()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "secflow.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
