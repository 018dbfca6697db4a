"""The command `agent schema`: the JSON Schema of what a command prints with `--json`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.errors import UsageError
from agent.report.documents import commands as documents
from agent.report.documents import runs
from agent.report.documents.trials import VERSION
from agent.server.documents import Brief, BudgetLeft, NotesAndMessages, Receipt, ScriptDiff, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

app = typer.Typer()

DIALECT = "https://json-schema.org/draft/2020-12/schema"
NOTIFICATION = "notification"
"""Not a command: the name of what the commands of --on-end and --on-confirmed read."""
DOCUMENTS: "Mapping[str, tuple[type, ...]]" = {
    "run": (documents.RunDocument,),
    "resume": (documents.RunDocument,),
    "noise": (documents.RunDocument,),
    "compare": (documents.ComparisonDocument,),
    "runs": (runs.RunsDocument,),
    "rm": (runs.RemovedDocument,),
    "log": (documents.LogDocument, documents.CheckDocument),
    "show": (documents.ShownTrialDocument,),
    "best": (documents.BestDocument,),
    "diff": (ScriptDiff,),
    "prompt": (documents.PromptDocument,),
    "space": (documents.SpaceDocument,),
    "replay": (documents.ReplayDocument, documents.ReplaysDocument),
    "export": (documents.ExportedFolderDocument, documents.ExportedBranchDocument),
    "attribute": (documents.AttributionDocument,),
    "init": (documents.InitDocument,),
    "doctor": (documents.DoctorDocument,),
    "config": (documents.ConfigDocument,),
    "brief": (Brief,),
    "submit": (Receipt, Verdict),
    "wait": (Verdict,),
    "budget": (BudgetLeft,),
    "notes": (NotesAndMessages,),
    "say": (documents.MessageDocument,),
    "pause": (documents.StoppedDocument,),
    "stop": (documents.StoppedDocument,),
    "approve": (documents.DecisionDocument,),
    "refuse": (documents.DecisionDocument,),
    NOTIFICATION: (runs.NotificationDocument,),
}
"""The documents of each command that has `--json`; one of several, where its options decide."""


@app.command()
def schema(
    command: Annotated[
        str | None,
        typer.Argument(
            metavar="[COMMAND]", help="A command that has --json, or notification; all of them if none is given."
        ),
    ] = None,
) -> None:
    """Print the JSON Schema of a command's --json.

    Every document has a version. A new version is one that has lost a key, or in which a key means something else; keys
    may be added.
    """
    from agent.text import as_json

    if command is None:
        print(as_json({"version": VERSION, "schemas": {name: schema_of(name) for name in DOCUMENTS}}))
        return
    if command not in DOCUMENTS:
        raise UsageError(f"agent {command} prints no JSON document; there are those of {', '.join(DOCUMENTS)}")
    print(as_json({"$schema": DIALECT, **schema_of(command)}))


def schema_of(command: str) -> dict[str, Any]:
    """Return the JSON Schema of what a command prints with `--json`."""
    from pydantic import TypeAdapter  # takes 0.1 s, which the other commands of this file's folder avoid

    shapes: list[dict[str, Any]] = []
    definitions: dict[str, Any] = {}
    for document in DOCUMENTS[command]:
        shape = TypeAdapter(document).json_schema()
        definitions |= shape.pop("$defs", {})
        shape["properties"] = {"version": {"const": VERSION}, **shape["properties"]}
        shape["required"] = ["version", *shape.get("required", [])]
        shapes.append(shape)
    whole = shapes[0] if len(shapes) == 1 else {"anyOf": shapes}
    return {**whole, "$defs": definitions} if definitions else whole
