"""Which programs leave nothing behind in an interpreter, so that runs of one may share a process.

Judged by the names that the bytecode uses. It need not hold against a program that means to get round it: what such a
program could leave behind is for its own next run, and outputs are compared elsewhere. It must hold for honest ones,
whose runs have to come out as each would alone. When in doubt, a program leaves something.
"""

import opcode
import sys
from types import CodeType

_HARMLESS = (
    "abc array bisect cmath collections copy dataclasses enum fractions functools heapq itertools math operator re "
    "statistics string sys typing"
)
"""Modules whose use changes nothing that a later run could see."""
_REACHING = (
    "attrgetter breakpoint close compile delattr detach eval exec getattr globals locals methodcaller open random "
    "reconfigure register samples setattr vars"
)
"""What reaches other modules (`statistics` draws its samples from `random`), files or our streams' own state."""
_OF_SYS = frozenset(name for name in dir(sys) if name.startswith("set") or (name[0] == "_" and name[:2] != "__")) | {
    "activate_stack_trampoline", "addaudithook", "argv", "breakpointhook", "call_tracing", "displayhook", "excepthook",
    "meta_path", "modules", "path_hooks", "path_importer_cache", "unraisablehook", "warnoptions",
}  # fmt: skip
_DEFINED = (
    "abs add and annotations bool call contains doc enter eq exit float floordiv ge getitem gt hash iadd index init "
    "int isub iter le len lt main matmul mod module mul name ne neg next or pos pow qualname radd repr reversed rmul "
    "rsub setitem slots str sub truediv xor"
)
"""Names that with two underscores on both sides a program may well define or read."""
_MODULES = frozenset(_HARMLESS.split())
_TELLING = frozenset(_REACHING.split()) | _OF_SYS
_METHODS = frozenset(f"__{name}__" for name in _DEFINED.split())
_CHANGES = frozenset(opcode.opmap[name] for name in ("STORE_ATTR", "DELETE_ATTR"))
"""`self.x = 1` is as bad as `math.pi = 3` here."""
_IMPORT, _EXTENDED = opcode.opmap["IMPORT_NAME"], opcode.opmap["EXTENDED_ARG"]
_IS_KNOWN = sys.version_info < (3, 15)
"""Later versions number the names of imports in another way."""


def leaves_nothing(program: CodeType) -> bool:
    """Whether a later run of the program in the same process, with new globals, would notice an earlier one."""
    pending = [program]
    while pending:
        code = pending.pop()
        operations = code.co_code[::2]
        if not _TELLING.isdisjoint(code.co_names) or not _CHANGES.isdisjoint(operations):
            return False
        if any(name[:2] == "__" and name not in _METHODS for name in code.co_names):
            return False
        if _IMPORT in operations and not (_IS_KNOWN and all(map(_is_harmless, _imported(code)))):
            return False
        pending += [each for each in code.co_consts if type(each) is CodeType]
    return True


def _is_harmless(module: str) -> bool:
    return module.partition(".")[0] in _MODULES


def _imported(code: CodeType) -> list[str]:
    """Names of the modules that its own instructions import."""
    found: list[str] = []
    argument = 0
    for operation, low in zip(code.co_code[::2], code.co_code[1::2], strict=True):
        argument = argument << 8 | low
        if operation == _IMPORT:
            found.append(code.co_names[argument])
        if operation != _EXTENDED:
            argument = 0
    return found
