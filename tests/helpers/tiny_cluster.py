"""`python tests/helpers/tiny_cluster.py run --launch ray ...`: tiny.py for a cluster, whose workers get its settings,
too.

Every attempt at a cell adds a line to the file $TINY_JOURNAL: `begin` or `end`, the cell's identity, the process.
"""

from __future__ import annotations

import os
from pathlib import Path

import tiny

from bench.runs.ray import driver, node
from bench.runs.ray.node import NodeOrder, NodeOutcome


def do_cell(order: NodeOrder) -> NodeOutcome:
    """The cell, with the tiny settings."""
    tiny.install()
    journal("begin", order)
    outcome = node.run_cell_on_node(order)
    journal("end", order)
    return outcome


def do_judges(order: NodeOrder) -> NodeOutcome:
    """The judges, with the tiny settings."""
    tiny.install()
    journal("judges", order)
    return node.train_judges_on_node(order)


def journal(event: str, order: NodeOrder) -> None:
    """One line; short appended lines of several processes do not mix."""
    with Path(os.environ["TINY_JOURNAL"]).open("a") as file:
        file.write(f"{event} {order.identity} {os.getpid()}\n")


if __name__ == "__main__":
    from bench.cli.commands import main

    tiny.install()
    driver.run_cell_on_node, driver.train_judges_on_node = do_cell, do_judges
    main()
