"""Command `preset`: replace params.yaml by a preset, or check params.yaml."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from resgrid.terminal import console

if TYPE_CHECKING:
    from resgrid.config.whole import Config

# Of `run`, `sweep` and `search`.
PresetOption = Annotated[str | None, typer.Option(help="Replace params.yaml by this preset first.")]


def preset(
    name: Annotated[str | None, typer.Argument(help="A file of presets/, without .yaml.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Keep an edited params.yaml as a .bak file.")] = False,
) -> None:
    """Replace params.yaml by a preset, or check it.

    Your edits are never overwritten silently: the command lists them and stops, or asks if it runs in a terminal.

    \b
    Examples:
      resgrid preset                           check params.yaml
      resgrid preset cifar10-paper             the paper's recipe
      resgrid preset cifar10-paper --replace   keep my edits as a .bak file
    """
    use_preset(name, replace)


def use_preset(name: str | None, replace: bool = False) -> Config:
    """Replace params.yaml by a preset if one is named, check it, and print what it describes.

    Raises:
        ValueError: there is no such preset, params.yaml contains edits or mistakes.
    """
    from resgrid.config.whole import load_config
    from resgrid.presets import EditedParamsError, apply_preset

    if name is not None:
        try:
            apply_preset(name, replace)
        except EditedParamsError as refusal:
            if not (console.is_terminal and typer.confirm(f"{refusal}\nKeep the edits as a .bak file and continue?")):
                raise
            apply_preset(name, replace=True)
    config = load_config()
    cells, train = config.grid.cells, config.train
    console.print(
        f"{config.preset}: {config.data.name}, {len(config.grid.network)} networks × {len(config.grid.seed)} seeds = "
        f"{len(cells)} cells of {train.max_steps:,} steps of {train.batch_size} images"
    )
    return config
