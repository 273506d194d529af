"""A process that is asked for work by lines and answers by lines, and the CPU time that it takes."""

import subprocess
import time


class Process:
    """A process that answers every line on its standard input by a line."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        # The CPU clock of a process, as clock_getcpuclockid() makes its number.
        self.clock = ~self.process.pid << 3 | 2

    def ask(self, line):
        """Returns the answer, empty where the process has ended, and the CPU seconds of all its threads."""
        start = time.clock_gettime(self.clock)
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        return answer, (time.clock_gettime(self.clock) - start) if answer else None

    def close(self):
        """Waits until the process has ended; returns its exit status."""
        self.process.stdin.close()
        return self.process.wait()
