"""The command line: what there is to say to an installation. It may import anything; nobody imports it.

Commands live beside what they do (`training.commands`, `serving.commands`); here they are put
together, and errors become one message on stderr and an exit code: 1 for what went wrong, 2 for a
command that was not understood.
"""

from __future__ import annotations

import json
import sys

import typer

from features.errors import PropensityError
from serving.commands import app as serving
from training.commands import app as training

app = typer.Typer(
    name="propensity",
    help="From what is known about a lead to the probability that it buys within a horizon.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(serving)
app.add_typer(training)


@app.command()
def demo(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where to serve.")] = 8000,
    leads: Annotated[int, typer.Option(min=500, help="How many leads to simulate.")] = 20_000,
    serve: Annotated[bool, typer.Option(help="Stay and serve until stopped.")] = True,
) -> None:
    """Simulate a company, import it, train, and serve its queue. Safe to run again."""
    from demo_story import tell


def main() -> None:
    """Run the command line."""
    try:
        app()
    except PropensityError as error:
        _tell(error)
        sys.exit(1)
    except BrokenPipeError:
        # Whoever read our output has had enough, `head` for instance.
        sys.stderr.close()
        sys.exit(0)


def _tell(error: PropensityError) -> None:
    if "--json" in sys.argv:
        content = {
            "error": error.code,
            "message": error.message,
            "hint": error.hint,
            "problems": [problem.to_json() for problem in error.problems],
        }
        print(json.dumps(content))  # noqa: T201 - machines read stdout
    print(f"error: {error}", file=sys.stderr)  # noqa: T201 - people read stderr


if __name__ == "__main__":
    main()
