"""Django finds the admin pages of the engine here."""

from workflows.admin import cleanups, instances, journal, node_runs, nodes, runs

__all__ = ["cleanups", "instances", "journal", "node_runs", "nodes", "runs"]
