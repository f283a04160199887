"""Python whose published tests need the program in their own process (they patch its modules): run as one program in the sandbox.

Weaker than HumanEval's way, where the tests run in another process. A mark drawn for the run has to be printed after the
tests, so a program that ends early fails; one that looks for the mark in its own frames could forge it.
"""

from __future__ import annotations

import secrets
from dataclasses import replace

from codeact.sandbox import DEFAULT_LIMITS, Backend, Outcome, run_program

LIMITS = replace(DEFAULT_LIMITS, cpu_seconds=60.0)


# A result of unittest. A test may skip itself; a program that raises SkipTest would have its tests skipped, and pass.
RESULT = '''
def codeact_result(base):
    import sys, traceback, unittest
    unittest.case._ShouldStop = ()  # what ends a test as if it had passed: raised by nobody, caught nowhere
    skips = unittest.TestCase.skipTest.__code__.co_filename
    class Result(base):
        def addSkip(self, case, reason):
            files = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(sys.exc_info()[2])]
            if files and ("<solution>" in files or files[-1] not in (skips, "<tests>")):
                self.addError(case, sys.exc_info())
            else:
                super().addSkip(case, reason)
    return Result
'''
# Whatever the tests have made of print and sys.stdout.
SAY = 'import posix as codeact_posix\ncodeact_posix.write(1, b"\\n{mark}\\n")\n'


def judge(source: str, backend: Backend) -> Outcome:
    """Run a program with its tests; "passed" only where it came to its end, where a mark is printed.

    The mark stands in the last line alone: an answer that has the text "{mark}" in it learns nothing.
    """
    mark = secrets.token_hex(16)
    outcome = run_program(f"{source}\n{SAY.replace('{mark}', mark)}", limits=LIMITS, backend=backend)
    if outcome.status != "passed":
        return outcome
    return outcome if mark in outcome.stdout.split("\n") else Outcome("failed", "it ended before the tests did", stdout=outcome.stdout)
