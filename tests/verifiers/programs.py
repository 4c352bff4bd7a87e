"""Verifies cases with verify.py and with `sigpersist proof verify`: programs.py PROGRAM WORK."""

import contextlib
import io
import multiprocessing
import pathlib
import subprocess
import sys

from report import cases_of

PROGRAM, WORK = sys.argv[1], pathlib.Path(sys.argv[2])
SCRIPT = pathlib.Path(__file__).parent / "verify.py"
CODE = compile(SCRIPT.read_text(), SCRIPT, "exec")


def by_script(name):
    """Runs verify.py within this process, which saves the start of Python thousands of times."""
    folder = WORK / "cases" / name
    sys.argv = [str(SCRIPT), (folder / "key").read_text(), str(folder)]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(CODE, {"__name__": "__main__"})
    except SystemExit as refused:
        return f"{name} refused {refused}"
    # Python would print the error and exit with 1.
    except (ValueError, IndexError) as error:
        return f"{name} refused {error!r}"
    return f"{name} accepted"


def by_program(name):
    folder = WORK / "cases" / name
    arguments = [PROGRAM, "proof", "verify", folder, "--log-key", (folder / "key").read_text()]
    run = subprocess.run(arguments, capture_output=True, text=True)
    return f"{name} accepted" if run.returncode == 0 else f"{name} refused {run.stderr.splitlines()[0]}"


def main():
    with multiprocessing.Pool(2) as pool:
        for verifier, verify in (("verify.py", by_script), ("sigpersist", by_program)):
            verdicts = pool.map(verify, cases_of(verifier, WORK))
            (WORK / "verdicts" / verifier).write_text("".join(f"{line}\n" for line in verdicts))


main()
