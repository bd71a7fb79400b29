"""The `redoxa` command. Results go to stdout, progress and notes to stderr.

Exit codes: 0 done; 1 some of the work ended in error; 2 the input cannot be used; 130 interrupted, 143 by SIGTERM.
"""

from __future__ import annotations

import errno
import importlib.metadata
import json
import os
import shutil
import sys
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, CycloptsError, Parameter
from cyclopts.validators import Number

from redoxa.data.errors import InputError, RedoxaError
from redoxa.pipeline.commands import interrupt

if TYPE_CHECKING:
    pass

Store = Annotated[str, Parameter(name="--store", env_var="REDOXA_STORE", help="path or URL of the store")]
Json = Annotated[bool, Parameter(name="--json", negative="", help="print lines of JSON for machines")]

DEFAULT_STORE = "runs/redoxa.db"

app = App(
    name="redoxa",
    help="Discovery campaigns for battery electrode materials: generate, screen, queue, measure, learn.",
    version=lambda: importlib.metadata.version("redoxa"),
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,  # `main` says what an interruption leaves
)
app.register_install_completion_command(help="Let the shell complete commands and options with the tab key.")
# Named by text, so that `--help` loads none of them.
for _target, _name, _help in (
    (
        "serve:serve",
        "serve",
        "Run campaigns by their schedules on a Prefect server, until interrupted.",
    ),
    (
        "serve:deploy",
        "deploy",
        "Let workers of a Prefect work pool run campaigns by their schedules.",
    ),
    ("science:generate", "generate", "Sample crystals into a folder of CIF files."),
    ("science:screen", "screen", "Assess structure files as electrodes."),
    (
        "latent:latent_app",
        "latent",
        "Ask the latent space of vae: crystals between two, known neighbours, how odd crystals are.",
    ),
    ("evaluate:evaluate", "evaluate", "Judge generators or structure files side by side."),
    ("formulas:formulas", "formulas", "Judge models of formulas side by side."),
    (
        "self_train:self_train",
        "self-train",
        "Fine-tune orbits on its own crystals that screen well.",
    ),
    (
        "reinforce:reinforce",
        "reinforce",
        "Let a generator follow rewards of a campaign's screening.",
    ),
    ("science:train", "train", "Train a generator; goes on where it stopped."),
    (
        "reference:reference_app",
        "reference",
        "Reference energies and known materials: build, add, show.",
    ),
    (
        "results:status",
        "status",
        "Show the campaigns of a store: rounds, candidates, queue, measurements.",
    ),
    (
        "results:digest",
        "digest",
        "Say what happened in the last hours, what waits, and what went wrong.",
    ),
    ("results:report", "report", "Write a campaign's report again."),
    ("results:export", "export", "Write a campaign's results to a file."),
    ("results:diff", "diff", "Say what differs between two campaigns of a store, and why."),
    ("queue:queue_app", "queue", "Look at the laboratory queue; approve, hold, release, cancel."),
    ("lab:lab_app", "lab", "Say what the laboratory has; work the queue through it, or stop it."),
):
    app.command(f"redoxa.pipeline.commands.{_target}", name=_name, help=_help)


def main() -> None:
    """Run the command; a user's mistake gives one clear message and exit code 2, never a traceback."""
    os.environ.setdefault("SPGLIB_WARNING", "OFF")  # its library writes to stderr what its answer says as well
    try:
        code = app(sys.argv[1:], exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        _fail(f"{error}\nSee `redoxa --help`.", 2)
    except RedoxaError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail(interrupt.words(), interrupt.code())
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except MemoryError:
        _fail("not enough memory. Ask for less at once, or fewer --workers; what was finished is kept", 1)
    except OSError as error:
        _fail(*_machine_fault(error))
    # Worker processes and Prefect's ephemeral server may still be winding down their threads.
    sys.stdout.flush()
    raise SystemExit(code if isinstance(code, int) else 0)


def _machine_fault(error: OSError) -> tuple[str, int]:
    """What the machine refused, where and what to do; the exit code says whether another path would help."""
    what = (error.strerror or str(error)).rstrip(".")
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        where = error.filename or _full_disk()
        return f"{where}: {what}. Free some space and run again; what was finished is kept", 1
    if error.filename is None:
        return f"{what}. Run again when the machine allows it; what was finished is kept", 1
    return f"{error.filename}: {what}. Name a path that can be used, with --out or --store for example", 2


def _full_disk() -> str:
    """Which disk is full, of those that a command may have been writing to."""
    named = (Path(text).absolute() for text in sys.argv[1:])
    places = {next(x for x in (path, *path.parents) if x.is_dir()) for path in (*named, Path.cwd(), Path(gettempdir()))}
    free, place = min((shutil.disk_usage(place).free, place) for place in places)
    return f"the disk of {place}" if free < 1_000_000 else "what is written to"


def _fail(message: str, code: int) -> None:
    """Say it and end."""
    interrupt.complain(message, code)
    raise SystemExit(code)


@app.command
def init(path: Path = Path("campaign.yaml"), *, force: bool = False, as_json: Json = False) -> None:
    """Write a commented example campaign.

    Args:
        path: file to write.
        force: replace it if it exists.
    """
    from redoxa.pipeline.commands.console import emit, say

    if path.exists() and not force:
        raise InputError(f"{path}: exists already. Give another name, or --force to replace it.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text((Path(__file__).parents[1] / "templates" / "campaign.yaml").read_text(encoding="utf-8"))
    if as_json:
        emit("file", file=path)
    else:
        say(f"{path} written. Edit it, then: redoxa run {path}")


@app.command
def validate(*files: Path, as_json: Json = False) -> int:
    """Check campaign files, each of them; nothing is run.

    Args:
        files: campaign files.
    """
    from redoxa.pipeline.campaign.spec_file import read_spec
    from redoxa.pipeline.commands.console import emit, note, say
    from redoxa.pipeline.yaml_file import name_after

    if not files:
        raise InputError("name at least one campaign file")
    good = True
    for file in files:
        try:
            spec = read_spec(file)
        except InputError as error:
            good = False
            if as_json:
                emit("validation", file=file, good=False, problems=[x for x in str(error).splitlines() if x[:1] != " "])
            sys.stderr.write(f"redoxa: {error}\n")
            continue
        called = f"'{spec.name}'" + (", after its file" if spec.name == name_after(file) != file.stem else "")
        if as_json:
            emit("validation", file=file, good=True, campaign=spec.name, campaign_id=spec.id)
        else:
            say(f"{file}: good. Campaign {called}, id {spec.id}, {len(spec.allowed_symbols)} elements")
    if good and len(files) == 1 and not as_json:
        note(f"next: redoxa run {files[0]}")
    return 0 if good else 2


@app.command
def run(
    campaign: str,
    *,
    rounds: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    store: Store = DEFAULT_STORE,
    prefect: bool = True,
    as_json: Json = False,
) -> int:
    """Run a campaign, or go on where it stopped.

    Args:
        campaign: campaign file; or the name or id of a campaign that is in the store, to go on with it.
        rounds: complete at most so many more rounds; by default all that the campaign is to have.
        prefect: run the stages as Prefect tasks; --no-prefect runs the plain functions.
    """
    from redoxa.pipeline.commands.console import emit, note, say, watching
    from redoxa.pipeline.commands.summary import kept, print_summary
    from redoxa.pipeline.tasks.campaign import Campaign

    asked = Campaign.find(campaign, store)
    interrupt.keeps(lambda: kept(store, asked.spec))
    with watching(quiet=as_json) as watcher:
        done = asked.run(rounds, prefect=prefect, on_progress=watcher.on_progress, note=watcher.note)
    if as_json:
        emit("campaign", **done.to_json())
    elif not done.did_something:
        say(f"Nothing to do for '{asked.name}': {done.ended}. Report: {done.report}")
    else:
        print_summary(store, done)
        note(f"Report: {Path(done.report).resolve().as_uri()}")
    return 1 if done.counts["verdict_error"] else 0


@app.command(name="list")
def list_kinds(what: str, *, as_json: Json = False) -> None:
    """List what a campaign file can name.

    Args:
        what: generators, properties or drivers.
    """
    from redoxa.pipeline.campaign.lookup import kinds
    from redoxa.pipeline.commands.console import emit, table

    rows = kinds(what, abilities=as_json)
    if as_json:
        for row in rows:
            emit("kind", **row)
    else:
        columns = ["name", "unit", "summary", "label"] if what == "properties" else ["name", "default", "summary"]
        table(what, rows, columns)


@app.command
def schema() -> None:
    """Print the JSON schema of campaign files, for editors."""
    from redoxa.pipeline.campaign.spec import CampaignSpec
    from redoxa.pipeline.commands.console import say

    say(json.dumps(CampaignSpec.model_json_schema(), indent=1))


@app.command
def doctor(*, store: Store = DEFAULT_STORE, as_json: Json = False) -> int:
    """Check this machine and installation: versions, shipped files, potential, store, cores."""
    from redoxa.pipeline.commands.console import emit, table
    from redoxa.pipeline.commands.doctor import checks

    rows = checks(store)
    if as_json:
        for row in rows:
            emit("check", **row)
    else:
        table("redoxa doctor", rows, ["check", "ok", "found", "advice"])
    return 0 if all(row["ok"] for row in rows) else 1
