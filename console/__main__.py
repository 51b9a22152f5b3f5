"""The command line: `millpond` and `python -m console`.

Modules that take long to import are imported by the command that needs them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from console.cli.backup_commands import add_backup_commands
from console.cli.help import translate_help
from console.cli.people_commands import add_people_commands
from services.core.errors import MillpondError
from services.core.i18n import _, use_terminal_language
from services.core.languages import ENGLISH

if TYPE_CHECKING:
    from services.core.settings import Settings

data_dir = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that holds all state [MILLPOND_DATA_DIR].",
)


def _print_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        click.echo(version("millpond"))
    except PackageNotFoundError:
        click.echo(_("not installed: running from its source folder"))
    context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show the version."
)
def cli() -> None:
    """Ask your documents. Every setting can also be given as MILLPOND_NAME in the environment."""


@cli.command()
@click.option("--host", help="Address to listen on [127.0.0.1].")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one [8501].")
@data_dir
@click.option("--tls-cert", help="Certificate in PEM, for HTTPS; read again when it changes.")
@click.option("--tls-key", help="Its private key in PEM [in the same file].")
@click.option("--insecure", is_flag=True, help="Allow listening beyond loopback without sign-in and TLS; for tests.")
@click.option("--supervise", is_flag=True, help="Start it again when it ends by a planned restart or a crash.")
def serve(*, insecure: bool, supervise: bool, **given: Any) -> None:
    """Start the console."""
    if supervise:
        from console.cli.supervisor import supervise as run_supervisor

        sys.exit(run_supervisor())
    from console.cli.serve import serve as run

    sys.exit(run(_settings(insecure=insecure or None, **given)))


@cli.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--collection", help="Name of the collection; it is created if there is none of that name.")
@data_dir
def ingest(paths: tuple[Path, ...], collection: str | None, data_dir: Path | None) -> None:
    """Ingest files, and folders with all that is in them. Exits with 1 if a file could not be ingested."""
    settings = _settings_for_work(data_dir)
    from console.cli.ingest import ingest as run

    sys.exit(run(settings, paths, collection))


@cli.command("import")
@click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--collection", help="Name of the collection for all of it [the name of each knowledge base].")
@data_dir
def import_knowledge(path: Path, collection: str | None, data_dir: Path | None) -> None:
    """Import knowledge bases of LangChain or Langchain-Chatchat: folders with index.faiss and index.pkl."""
    settings = _settings_for_work(data_dir)
    from console.cli.import_knowledge import import_knowledge as run

    sys.exit(run(settings, path, collection))


@cli.command()
@click.argument("question")
@click.option("--collection", "collections", multiple=True, help="Name of a collection to ask; repeatable; none: all.")
@data_dir
def ask(question: str, collections: tuple[str, ...], data_dir: Path | None) -> None:
    """Ask the documents and print the answer with its sources."""
    settings = _settings_for_work(data_dir)
    from console.cli.ask import ask as run

    sys.exit(run(settings, question, collections))


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print the whole status as JSON.")
@data_dir
def status(as_json: bool, data_dir: Path | None) -> None:
    """Show what the data folder holds and whether a console runs on it."""
    from console.cli.status import status as run

    sys.exit(run(_settings(data_dir=data_dir), as_json=as_json))


@cli.command("embedding-model")
@click.argument(
    "action", type=click.Choice(("status", "measure", "start", "pause", "resume", "cancel")), default="status"
)
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
@data_dir
def embedding_model(action: str, as_json: bool, data_dir: Path | None) -> None:
    """Show what a change of the documents' embedding model brings and costs, and how far it is; start or stop it."""
    settings = _settings(data_dir=data_dir) if action == "status" else _settings_for_work(data_dir)
    from console.cli.embedding import embedding_model as run

    sys.exit(run(settings, action, as_json=as_json))


@cli.group()
def models() -> None:
    """Sign models of your own, and verify their signatures."""


@models.command("sign")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--key", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Private key (PEM)."
)
def sign_model(path: Path, key: Path) -> None:
    """Sign a model: PATH is its folder, or a GGUF file. The signature is put beside it."""
    from console.cli.models import sign_model as run

    sys.exit(run(_settings(), path, key))


@models.command("verify")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--key", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Public key (PEM) [MILLPOND_MODEL_KEY]."
)
def verify_model(path: Path, key: Path | None) -> None:
    """Verify the signature of a model as the console does before it loads it. Exits with 1 if it is refused."""
    from console.cli.models import verify_model as run

    sys.exit(run(_settings(), path, key))


@cli.command()
@click.option("--to", "target", required=True, help="Address of the new database, as in MILLPOND_DATABASE_URL.")
@data_dir
def migrate(target: str, data_dir: Path | None) -> None:
    """Move everything to another database, while no console runs on the data folder. The old one stays as it is."""
    from console.cli.migrate import migrate as run

    moved = _settings(data_dir=data_dir, database_url=target)
    sys.exit(run(_settings(data_dir=data_dir), moved.effective_database_url))


@cli.group()
def secrets() -> None:
    """Secrets that Millpond keeps encrypted, while no console runs on the data folder."""


@secrets.command("list")
@data_dir
def list_secrets(data_dir: Path | None) -> None:
    """Show what is stored, of each secret its last four characters."""
    from console.cli.secrets import list_secrets as run

    sys.exit(run(_settings(data_dir=data_dir)))


@secrets.command("set")
@click.argument("name")
@data_dir
def set_secret(name: str, data_dir: Path | None) -> None:
    """Store a secret: NAME is a setting such as webhook_url; its value is read from standard input."""
    from console.cli.secrets import set_secret as run

    text = str(click.prompt(name, hide_input=True)) if sys.stdin.isatty() else sys.stdin.read()
    sys.exit(run(_settings(data_dir=data_dir), name, text))


@secrets.command("remove")
@click.argument("name")
@data_dir
def remove_secret(name: str, data_dir: Path | None) -> None:
    """Remove a stored secret."""
    from console.cli.secrets import remove_secret as run

    sys.exit(run(_settings(data_dir=data_dir), name))


@secrets.command("rotate")
@data_dir
def rotate_key(data_dir: Path | None) -> None:
    """Encrypt all secrets with a new key."""
    from console.cli.secrets import rotate_key as run

    sys.exit(run(_settings(data_dir=data_dir)))


@cli.group()
def audit() -> None:
    """The audit log: who did what."""


@audit.command()
@data_dir
@click.option(
    "--public-key",
    "public_keys",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Public key that was kept elsewhere; repeatable, after a change of keys [audit.pub beside the private one].",
)
def verify(data_dir: Path | None, public_keys: tuple[Path, ...]) -> None:
    """Verify that nobody has changed the audit log, also while a console runs. Exits with 1 if somebody has."""
    from console.cli.verify_audit import verify_audit

    sys.exit(verify_audit(_settings(data_dir=data_dir), public_keys))


def _settings_for_work(data_dir: Path | None) -> Settings:
    """Return the settings of a command that works in this process unless a console runs on the data folder.

    Raises:
        BadInputError: a setting has a value that is not allowed.
        UnavailableError: the work would be done here, and the system's limits leave too little memory for it.
    """
    from services.memory.refusal import require_memory
    from services.operations.data_lock import DataLock

    settings = _settings(data_dir=data_dir)
    if DataLock(settings.data_dir).holder() is None:
        require_memory(settings.data_dir)  # before more is imported, which takes memory, too
    return settings


def _settings(**given: Any) -> Settings:
    """Return the settings; options of the command line win.

    Raises:
        BadInputError: a setting has a value that is not allowed.
    """
    from pydantic import ValidationError

    from services.core.errors import BadInputError
    from services.core.setting_names import nearest_setting
    from services.core.settings import Settings

    config = os.environ.get("MILLPOND_CONFIG", "")
    try:
        if config:
            Path(config).read_bytes()  # a missing file would be ignored silently
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(step) for step in first["loc"])
        if first["type"] == "extra_forbidden":
            nearest = nearest_setting(name)
            hint = _("Did you mean {nearest}?") if nearest else _("Remove it from {file}.")
            raise BadInputError(
                _("There is no setting {name}.").format(name=name), hint.format(nearest=nearest, file=config)
            ) from error
        raise BadInputError(
            _("The setting {name} cannot be used: {reason}.").format(name=name, reason=first["msg"]),
            _("Look at --help, MILLPOND_{name} in the environment, and the file named by MILLPOND_CONFIG.").format(
                name=name.upper()
            ),
        ) from error
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise BadInputError(
            _("The settings in {file} cannot be read: {reason}.").format(file=config, reason=reason),
            _("MILLPOND_CONFIG must name a file in TOML."),
        ) from error


add_backup_commands(cli, data_dir, lambda folder, url=None: _settings(data_dir=folder, database_url=url))
add_people_commands(cli, data_dir, lambda folder: _settings(data_dir=folder))


def _end_for_lack_of_memory(error: Exception) -> NoReturn:
    """End with a sentence if the system refused memory; any other error goes on."""
    from services.memory.refusal import memory_refused

    refused = memory_refused(error)
    if refused is None:
        raise error
    click.echo(refused.message, err=True)
    click.echo(refused.hint, err=True)
    sys.exit(1)


def main() -> None:
    """Run the command line; turns expected failures into a message and an exit code."""
    use_terminal_language(ENGLISH)  # until the settings are read
    translate_help(cli)
    try:
        cli(prog_name="millpond")
    except MillpondError as error:
        click.echo(error.message, err=True)
        if error.hint:
            click.echo(error.hint, err=True)
        sys.exit(1)
    except BrokenPipeError:  # the reader of the output (head, less) has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (MemoryError, ImportError, OSError, RuntimeError) as error:
        _end_for_lack_of_memory(error)


if __name__ == "__main__":
    main()
