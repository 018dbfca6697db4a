"""Why bubblewrap did not start a job on this machine, and what to do about it."""

import os
from pathlib import Path

_ABOUT_RIGHTS = ("permission", "permitted", "namespace", "setpriv")
_OTHERWISE = "Or use --sandbox docker."


def of_refused_launch(said: str, program: Path, *, root: bool, kernel: Path = Path("/proc/sys")) -> str:
    """Return a message for users. `said` is what the launch printed, `kernel` where the kernel's settings are."""
    told = f"bubblewrap did not start the job: {said or 'it said nothing'}."
    if "source path" in said or not any(word in said.lower() for word in _ABOUT_RIGHTS):
        return f"{told} Check the mounts and the working folder of the task."
    if root:
        return (
            f"{told} As root it needs the rights to mount and to become another user, which many containers lack: "
            f"run as an ordinary user, or the container with --privileged. {_OTHERWISE}"
        )
    if _setting(kernel / "kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            f"{told} AppArmor lets ordinary users make no namespaces here (Ubuntu 24.04 and later). "
            f"Allow it for this one program:\n\n{apparmor_command(program)}\n\n{_OTHERWISE}"
        )
    if _setting(kernel / "user/max_user_namespaces") == "0":
        return f"{told} User namespaces are switched off: sudo sysctl user.max_user_namespaces=15000. {_OTHERWISE}"
    if _setting(kernel / "kernel/unprivileged_userns_clone") == "0":
        return f"{told} User namespaces are root's alone: sudo sysctl kernel.unprivileged_userns_clone=1. {_OTHERWISE}"
    return f"{told} This machine, or the container around us, may forbid user namespaces. {_OTHERWISE}"


def apparmor_command(program: Path) -> str:
    """Return the shell command that installs an AppArmor profile for our own bubblewrap."""
    return f"""sudo tee /etc/apparmor.d/autocentaur-bwrap <<'END'
abi <abi/4.0>,
include <tunables/global>
profile autocentaur-bwrap {program} flags=(unconfined) {{
  userns,
}}
END
sudo apparmor_parser -r /etc/apparmor.d/autocentaur-bwrap"""


def _setting(file: Path) -> str:
    return file.read_text().strip() if os.access(file, os.R_OK) else ""
