"""The commands of `ingestd`, as a user meets them."""

from __future__ import annotations

from collections.abc import Iterator

import click


def every(group: click.Command, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command and group of commands, the program itself (no word) first."""
    yield above
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            yield from every(named(group, name), (*above, name))


def named(group: click.Command, *words: str) -> click.Command:
    """The command of these words."""
    for word in words:
        assert isinstance(group, click.Group), f"{word}: {group.name} has no commands"
        found = group.get_command(click.Context(group), word)
        assert found is not None, f"there is no {word}"
        group = found
    return group
