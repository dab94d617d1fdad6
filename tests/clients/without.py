"""Starts a program on a kernel that lacks something: what is named is not there for it, nor for what it starts.

`without.py landlock|seccomp|mounts PROGRAM ARGS...`. System calls of the feature give ENOSYS, as they do on a kernel that
never had it. On x86-64 and 64-bit ARM.
"""

import ctypes
import os
import struct
import sys

X86 = os.uname().machine == "x86_64"
CALLS = {
    "landlock": [444, 445, 446],
    "mounts": [442],
    # Both ways to install a filter; of prctl(2) only that one.
    "seccomp": [317 if X86 else 277],
}
PRCTL = 157 if X86 else 167
SET_NO_NEW_PRIVS, SET_SECCOMP = 38, 22
ALLOW, ENOSYS, EINVAL = 0x7FFF0000, 0x00050000 | 38, 0x00050000 | 22


def line(code, yes, no, value):
    return struct.pack("HBBI", code, yes, no, value)


def filter_without(feature):
    load, equal, answer = 0x20, 0x15, 0x06
    lines = [line(load, 0, 0, 0)]
    for call in CALLS[feature]:
        lines += [line(equal, 0, 1, call), line(answer, 0, 0, ENOSYS)]
    if feature == "seccomp":
        lines += [line(equal, 0, 3, PRCTL), line(load, 0, 0, 16), line(equal, 0, 1, SET_SECCOMP)]
        lines += [line(answer, 0, 0, EINVAL)]
    return lines + [line(answer, 0, 0, ALLOW)]


def main():
    lines = filter_without(sys.argv[1])
    code = ctypes.create_string_buffer(b"".join(lines))
    program = struct.pack("HxxxxxxP", len(lines), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in [(SET_NO_NEW_PRIVS, 1, 0, 0, 0), (SET_SECCOMP, 2, program, 0, 0)]:
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
    os.execvp(sys.argv[2], sys.argv[2:])


main()
