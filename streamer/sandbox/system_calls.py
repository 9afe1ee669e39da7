"""The system calls that a program in the sandbox is refused, as a filter for seccomp.

Always holds: memory that no look at the processes would see cannot be made (memory files, System V and POSIX queues), nor
namespaces; keys of the kernel, other processes and sockets that no namespace holds back, such as those of a virtual
machine's host, are out of reach.

The numbers are those of the kernel's tables for x86-64 and arm64.
"""

import errno
import struct
from typing import NamedTuple

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # instructions of classic BPF
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000, 0x80000000  # what the kernel does; a refusal has its error in the low bits
NUMBER_AT, ARCHITECTURE_AT, FIRST_ARGUMENT_AT = 0, 4, 16  # offsets in what the filter is given
NEW_NAMESPACE = 0x7E020000  # flags of clone
OTHER_TABLE = 0x40000000  # numbers of the x32 calls, which the filter does not know
FAMILIES = (1, 2, 10, 16)  # of sockets: Unix, both of the internet, netlink; each of its own network namespace


class Machine(NamedTuple):
    """The numbers of one architecture."""

    audit: int
    clone: int
    socket: int
    refused: tuple[int, ...]


# fmt: off
SINCE_5 = (  # the same on both machines
    425, 426, 427,  # io_uring
    428, 429, 430, 431, 432, 433, 442,  # open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, mount_setattr
    438, 440, 447,  # pidfd_getfd, process_madvise, memfd_secret
)
MACHINES = {
    "x86_64": Machine(0xC000003E, 56, 41, (
        *SINCE_5,
        319, 29, 64, 68, 240,  # memfd_create, shmget, semget, msgget, mq_open
        248, 249, 250,  # add_key, request_key, keyctl
        101, 310, 311, 312,  # ptrace, process_vm_readv, process_vm_writev, kcmp
        272, 308, 155, 161, 165, 166,  # unshare, setns, pivot_root, chroot, mount, umount2
        298, 321, 323, 303, 304,  # perf_event_open, bpf, userfaultfd, name_to_handle_at, open_by_handle_at
        103, 163, 167, 168, 169, 175, 176, 179, 246, 313, 320,  # syslog, acct, swap, reboot, modules, quotas, kexec
    )),
    "aarch64": Machine(0xC00000B7, 220, 198, (
        *SINCE_5,
        279, 194, 190, 186, 180,
        217, 218, 219,
        117, 270, 271, 272,
        97, 268, 41, 51, 40, 39,
        241, 280, 282, 264, 265,
        116, 89, 224, 225, 142, 105, 106, 60, 104, 273, 294,
    )),
}
# fmt: on
CLONE3 = 435  # its flags lie in memory, where no filter can look; without it the C library calls clone


def make_filter(machine: Machine) -> bytes:
    """The filter of one architecture, in the form that seccomp is given."""
    refuse, no_call, no_family = REFUSE | errno.EPERM, REFUSE | errno.ENOSYS, REFUSE | errno.EAFNOSUPPORT
    program = [
        (LOAD, 0, 0, ARCHITECTURE_AT),
        (EQUAL, 1, 0, machine.audit),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER_AT),
        (AT_LEAST, 0, 1, OTHER_TABLE),
        (RETURN, 0, 0, KILL),
        (EQUAL, 0, 1, CLONE3),
        (RETURN, 0, 0, no_call),
    ]
    for number in machine.refused:
        program += [(EQUAL, 0, 1, number), (RETURN, 0, 0, refuse)]
    program += [
        (EQUAL, 0, 4, machine.clone),
        (LOAD, 0, 0, FIRST_ARGUMENT_AT),
        (ANY_BIT, 0, 1, NEW_NAMESPACE),
        (RETURN, 0, 0, refuse),
        (RETURN, 0, 0, ALLOW),
        (EQUAL, 0, 2 + len(FAMILIES), machine.socket),
        (LOAD, 0, 0, FIRST_ARGUMENT_AT),
        *((EQUAL, len(FAMILIES) - place, 0, family) for place, family in enumerate(FAMILIES)),
        (RETURN, 0, 0, no_family),
        (RETURN, 0, 0, ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *instruction) for instruction in program)
