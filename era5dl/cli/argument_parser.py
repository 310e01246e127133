"""The argparse parser of the command line, and how a command is added to it."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, NoReturn

from era5dl.cli.exit_codes import ExitCode
from era5dl.redaction import redact_secrets

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction["Parser"]


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Prints descriptions as they are, and the help of each flag beside it."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)


_SIGNED_FLAGS = ("--area", "--point", "--hours", "--levels")


class Parser(argparse.ArgumentParser):
    """Accepts values that begin with a minus sign after some flags, and suggests similar flags for unknown ones."""

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        """Like that of argparse, which would take "-10,170,-30,-170" after --area for a flag."""
        words = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(_join_signed_values(words), namespace)

    def error(self, message: str) -> NoReturn:
        if message.endswith("required: COMMAND"):  # `era5dl` alone: show which commands there are
            self.print_help(sys.stderr)
            self.exit(ExitCode.USAGE, f"\n{self.prog}: error: {message}\n")
        if message.startswith("unrecognized arguments:"):
            message += self._similar_flags(message.split())
        super().error(redact_secrets(message))  # argparse repeats the input, possibly a URL with a password

    def _similar_flags(self, words: list[str]) -> str:
        """Return a hint such as " (did you mean --years?)" for unknown flags among these words; "" if none is similar.

        This parser reports the unknown flags of all commands, so the flags of all of them are compared.
        """
        from difflib import get_close_matches

        flags: set[str] = set()
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                flags.update(*(parser._option_string_actions for parser in action.choices.values()))
        unknown = [word.partition("=")[0] for word in words if word.startswith("--")]
        similar = [match for word in unknown for match in get_close_matches(word, sorted(flags - {word}), 1, 0.75)]
        return f" (did you mean {', '.join(similar)}?)" if similar else ""


def _join_signed_values(words: list[str]) -> list[str]:
    """Return these words with values that begin with a minus sign joined to their flag: --area=-10,170,-30,-170."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] in _SIGNED_FLAGS and word[:1] == "-" and word[1:2] in (*"0123456789.",):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def add_command(
    commands: Commands, name: str, function: str, summary: str, description: str = ""
) -> argparse.ArgumentParser:
    """Add a command. function: "module:function" below era5dl.cli.commands."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=description or summary[0].upper() + summary[1:] + ".",
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=function)
    return parser
