"""
Reading small text files of another host, with nothing there but sshd and a POSIX shell with grep.

One fixed program prints each line of each file behind the file's path and a colon. grep reads them
because it takes many files at once, in large blocks: the shell's own `read` takes single bytes, for
which the kernel's lists of CPUs (``cpulist``, ``thread_siblings_list``) are empty on Linux 6.18.
"""

import shlex
from collections.abc import Sequence
from glob import glob
from pathlib import Path

from lifecycle.errors import LifecycleError
from lifecycle.ssh import SshHost, run_program

_BEGIN, _END = "ovms-numa files begin", "ovms-numa files end"


def read_files(
    host: SshHost, patterns: Sequence[str], *, containing: Sequence[str] = ()
) -> dict[str, str]:
    """
    Read the files of *host* that match *patterns*, below its root directory.

    Args:
        host: where.
        patterns: as a POSIX shell expands them, without white space and quotes.
        containing: only lines that have one of these texts; all of them where there are none.

    Returns:
        The text of each file that can be read, by its path without a leading slash.

    Raises:
        LifecycleError: the host cannot be reached, or its answer is not whole.
    """
    step = "reading its files"
    output = run_program(host, program(patterns, containing=containing), step=step)
    try:
        return parse(output)
    except ValueError as error:
        raise LifecycleError(
            subject=host.where.docker,
            step=step,
            seen=str(error),
            remedy="see what `sh` is there and that the user's login prints no endless text, then "
            "run this again",
        ) from None


def read_here(
    root: Path, patterns: Sequence[str], *, containing: Sequence[str] = ()
) -> dict[str, str]:
    """Read the files of this machine below *root*, as `read_files` does those of another."""
    texts = {}
    for pattern in patterns:
        # Unlike Path.glob, it passes over a folder that is removed meanwhile.
        for path in glob(pattern, root_dir=root):  # noqa: PTH207
            try:
                lines = (root / path).read_text(errors="replace").splitlines(keepends=True)
            except OSError:
                continue  # it is none, may not be read, or is gone
            texts[path] = "".join(
                line for line in lines if not containing or any(one in line for one in containing)
            )
    return texts


def program(patterns: Sequence[str], *, containing: Sequence[str] = ()) -> str:
    """Write the program that prints the files below the root directory, for a POSIX shell."""
    # With a second file, grep writes the names. One grep a pattern: a command line has its limit.
    wanted = " ".join(f"-e {shlex.quote(text)}" for text in containing or ("",))
    greps = "\n".join(f"grep -F {wanted} /dev/null {pattern}" for pattern in patterns)
    return f"""\
LC_ALL=C
export LC_ALL
unset GREP_OPTIONS
command -v grep >/dev/null || {{ echo 'there is no grep' >&2; exit 127; }}
cd /
echo '{_BEGIN}'
{{
{greps}
}} 2>/dev/null
echo '{_END}'
"""


def parse(output: str) -> dict[str, str]:
    """
    Read the records that the program prints; what a login shell prints around them is left out.

    Raises:
        ValueError: they are not whole; says what was seen.
    """
    _, begin, rest = output.partition(f"{_BEGIN}\n")
    if not begin:
        raise ValueError("its shell did not run the program")
    records, end, _ = f"\n{rest}".partition(f"\n{_END}\n")
    if not end:
        raise ValueError("its answer ends in the middle")
    files: dict[str, str] = {}
    for line in records.split("\n")[1:]:
        path, colon, text = line.partition(":")
        if not colon:
            raise ValueError(f"its answer holds a line that is of no file: {line[:80]!r}")
        files[path] = f"{files.get(path, '')}{text}\n"
    return files
