"""The files that `agent init` writes into the folder of a script, and what it keeps of earlier ones."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.options import cache_folder
from agent.cli.trust import agree, made_here
from agent.errors import AgentError, UsageError

if TYPE_CHECKING:
    from agent.task.host_commands.host_code import HostStep
    from agent.task.init.kept_edits import Merged
    from agent.task.init.script_report import InitOptions, ScriptReport
    from agent.task.task import Task
    from agent.task.toml_lines import Keys


@dataclass
class TaskWriter:
    """Writes the files of a task, with what the user has edited in an earlier task.toml."""

    folder: Path
    options: "InitOptions"
    force: bool
    written: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def composed(self, reading: "ScriptReport") -> "tuple[dict[str, str], Merged, str]":
        """Return the files, task.toml before and after the merge. Raises UsageError if the task would be refused."""
        from agent.task.init.kept_edits import WrittenBefore, with_edits
        from agent.task.init.task_toml import document, files_of

        plain = document(reading)
        before = WrittenBefore(cache_folder(), self.folder).read()
        merged = with_edits(reading, plain, before, _keys_set_by(self.options), force=self.force)
        return files_of(reading, merged.text), merged, plain

    def task(self, reading: "ScriptReport") -> "Task":
        """Return the task that `write` would write.

        Raises:
            UsageError: the task would be refused, or the user does not agree to what an earlier task.toml does on this
                machine.
        """
        from agent.task.init.task_toml import task_of

        files, _, plain = self.composed(reading)
        task = task_of(self.folder.resolve(), files)
        agree(task, self.folder, trusted=False, by_init=self._own_steps(files, plain))
        return task

    def _own_steps(self, files: dict[str, str], plain: str) -> "tuple[HostStep, ...]":
        """Return the steps outside of the sandbox that init has guessed; a stranger may have written what was kept."""
        from agent.task.host_commands.host_code import host_steps
        from agent.task.init.task_toml import task_of
        from agent.task.task import CONFIG_NAME

        try:
            return host_steps(task_of(self.folder.resolve(), {**files, CONFIG_NAME: plain}))
        except AgentError:  # only the edits make it a valid task
            return ()

    def write(self, reading: "ScriptReport", *, is_base: bool = True) -> None:
        """Write the files, and remember them as this user's own.

        Args:
            reading: of the folder.
            is_base: whether a later --force compares with this text; what only a run has shown is kept like an edit.
        """
        from agent.task.init.kept_edits import WrittenBefore
        from agent.task.init.task_toml import write

        files, merged, plain = self.composed(reading)
        write(self.folder, files, force=self.force)
        if is_base:
            WrittenBefore(cache_folder(), self.folder).save(plain)
        made_here(self._own_steps(files, plain))
        self.written = tuple(str(self.folder / name) for name in reversed(files))
        self.remarks = merged.remarks or self.remarks

    def refuse_existing(self) -> None:
        """Raise UsageError if a task.toml is there that may not be replaced."""
        from agent.task.task import CONFIG_NAME

        path = self.folder / CONFIG_NAME
        if not self.force and (path.exists() or path.is_symlink()):
            raise UsageError(f"{path} exists already, so nothing was written; --force replaces it")


def _keys_set_by(options: "InitOptions") -> "frozenset[Keys]":
    """Return the keys of task.toml that the options of this command set."""
    chosen: set[Keys] = set()
    if options.metric is not None:
        chosen |= {("metric", "name"), ("metric", "goal")}
        chosen |= {("score", key) for key in ("line", "file", "key", "pick")}
    if options.goal is not None:
        chosen.add(("metric", "goal"))
    if options.script is not None or options.arguments or options.block is not None:
        chosen |= {("task", "script"), ("task", "command")}
    if options.python is not None:
        chosen.add(("environment", "python"))
    return frozenset(chosen)
