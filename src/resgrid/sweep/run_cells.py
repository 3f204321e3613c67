"""Runs a sweep's cells on Ray Tune: one trial per cell."""

from __future__ import annotations

from typing import Any, cast

import ray
from ray import tune

from resgrid.config.sweep import SweepConfig
from resgrid.sweep import cell_runner
from resgrid.sweep.ray_cluster import Callbacks, Message, TuneEvents, run_on_tune


def run_cells(cells: list[str], settings: Message, config: SweepConfig, server: Any, callbacks: Callbacks) -> None:
    """Run the cells, in their order as far as the resources allow, until all have ended.

    Args:
        settings: made by `jobs.settings_of_all`.
        server: the file server, which has the cells' jobs.
    """
    run_cell, settings_in_ray = cell_runner.run_cell, ray.put(settings)

    def run_one_cell(trial: Message) -> None:
        name, given = trial["cell"], cast("Message", ray.get(settings_in_ray))
        job = {"cell": name, "saved_as": name, "state": given["state"], "settings": given}
        run_cell(job | {"stages": ray.get(server.jobs.remote(name))}, server, tune.report)

    space = {"cell": tune.grid_search(cells)}
    run_on_tune(run_one_cell, config, settings, TuneEvents(callbacks), param_space=space)
