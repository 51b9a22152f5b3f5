"""Programming languages by ending, file name and first line, and the words with which each begins its units.

A pattern finds the line on which a class, function, section or the like begins; the group `name` is what it is called.
"""

# ruff: noqa: E501 - a pattern is read more easily on one line

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePath


@dataclass(frozen=True, slots=True)
class Language:
    """A language: how its units begin; `nested`: a line that stands as far left as a unit's first line ends it."""

    name: str
    pattern: str
    nested: bool = True

    def begins_unit(self, line: str) -> str:
        """Return the name of the unit that begins on a line, "" for none."""
        if self.name == "Make" and line.startswith("\t"):
            return ""  # a command of a rule
        match = self.units.match(line.lstrip())
        return unit_name(match) if match else ""

    @property
    def units(self) -> re.Pattern[str]:
        """The pattern of a line without its indentation on which a unit begins; compiled when it is first used."""
        return _compiled(self.pattern)


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


_NO_CALL = r"(?!(?:if|for|while|switch|catch|return|else|do|foreach|using|lock|synchronized|with|when|until|unless|new|throw|await|yield|match|assert|sizeof|print)\b)"
_MODIFIERS = r"(?:(?:public|private|protected|internal|static|final|abstract|sealed|async|override|virtual|readonly|export|default|declare|open|inline|data|suspend|extern|partial|unsafe|const|native|synchronized|get|set|operator|infix|tailrec|lateinit|companion|required|convenience|mutating|fileprivate|indirect|implicit|lazy|case|pub(?:\([^)]*\))?)\s+)*"
_TYPES = r"(?:class|interface|enum|record|struct|union|trait|object|protocol|extension|namespace|module|package|annotation|contract|library|mixin|actor)"
_NAME = r"(?P<name>[\w$.:~]++)"


def _units(*patterns: str, ignore_case: bool = False) -> str:
    """Join patterns into one; the groups `name` are numbered, the first that matched counts."""
    numbered = [pattern.replace("(?P<name>", f"(?P<name{at}>") for at, pattern in enumerate(patterns)]
    return ("(?i)" if ignore_case else "") + "(?:" + "|".join(numbered) + ")"


_PYTHON = _units(rf"(?:async\s+)?(?:def|class|cdef|cpdef)\s+{_NAME}")
_SCRIPT = _units(
    rf"{_MODIFIERS}{_TYPES}\s+{_NAME}(?!\s*;)",
    rf"{_MODIFIERS}type\s+{_NAME}\s*(?:<[^=]*>)?\s*=",
    rf"{_MODIFIERS}function\s*\*?\s*{_NAME}",
    rf"{_MODIFIERS}(?:const|let|var)\s+{_NAME}\s*(?::[^=]+)?=\s*(?:async\s*)?(?:function\b|\([^)]*\)\s*(?::[^=]+)?=>|\w+\s*=>|class\b)",
    rf"{_MODIFIERS}\*?\s*{_NO_CALL}(?P<name>[#\w$]+)\s*(?:<[^>]*>)?\([^;]*\)\s*(?::\s*[^;={{]+)?\{{\s*$",
)
_JAVA = _units(
    rf"{_MODIFIERS}@?{_TYPES}\s+{_NAME}(?!\s*;)",
    rf"{_MODIFIERS}(?:fun|func|function|def|fn|init|deinit|subscript|constructor|modifier|event|void)\s*(?:<[^>]*>\s*)?{_NAME}?\s*[(<\[{{:=]",
    rf"{_MODIFIERS}{_NO_CALL}(?:<[^>]+>\s*)?[\w$<>\[\],.?&*]+(?:\s+[\w$<>\[\],.?&*]+)*?[\s*&]+{_NO_CALL}(?P<name>[\w$]+)\s*\([^;=]*(?:\{{|\)|,|\()\s*(?:\{{|throws\b[^;]*|where\b[^;]*)?\s*$",
    rf"{_MODIFIERS}(?P<name>[A-Z]\w*)\s*\([^;=]*\)\s*(?::[^;]*)?\{{\s*$",
)
_C = _units(
    rf"(?:typedef\s+)?(?:template\s*<[^>]*>\s*)?(?:class|struct|union|namespace|enum(?:\s+class)?)\s+(?:[A-Z_]+\s+)?{_NAME}(?=[^;]*$)",
    rf"@(?:implementation|interface|protocol)\s+{_NAME}",
    r"[-+]\s*\([^)]*\)\s*(?P<name>\w+)",
    r"function\b.*?(?P<name>\w+)\s*(?:\(|$)",
    rf"{_NO_CALL}(?!typedef|case|goto|delete|#)[A-Za-z_][\w:<>,*&\[\] \t]*?[\s*&]{_NO_CALL}(?P<name>(?:\w+::)*(?:~?\w+|operator\s*\S+))\s*\([^;=]*(?:\)|,|\(|\{{)?\s*(?:const|noexcept|override|\s)*(?:->\s*[\w:<>]+)?\s*\{{?\s*$",
)
_GO = _units(r"func\s+\(\s*\w*\s*\*?(?P<name>\w+(?:\[[^\]]*\])?\)\s+\w+)", rf"(?:func|type)\s+{_NAME}")
_RUST = _units(
    rf"{_MODIFIERS}(?:(?:async|unsafe|const|extern(?:\s+\"\w+\")?)\s+)*(?:fn|struct|enum|trait|mod|union|type|macro_rules!)\s+{_NAME}",
    r"(?:unsafe\s+)?impl\b(?:\s*<[^>]*>)?\s*(?P<name>[^{]+?)\s*(?:where\b.*)?\{?\s*$",
)
_RUBY = _units(r"(?:def|class|module)\s+(?P<name>[\w.:?!=<>\[\]+*/-]+)")
_SHELL = _units(r"function\s+(?P<name>[\w:.-]+)", r"(?P<name>[\w:.-]+)\s*\(\)\s*\{?\s*$")
_POWERSHELL = _units(r"(?:function|filter|class|enum|configuration|workflow)\s+(?P<name>[\w:-]+)", ignore_case=True)
_SQL = _units(
    r"create\s+(?:or\s+(?:replace|alter)\s+)?(?:(?:temp|temporary|unique|materialized|global|definer\S*)\s+)*(?:table|view|function|procedure|trigger|index|type|schema|package(?:\s+body)?|sequence|database|policy|role)\s+(?:if\s+not\s+exists\s+)?(?P<name>[\w.\"`\[\]$]+)",
    r"(?:alter\s+table|insert\s+into)\s+(?P<name>[\w.\"`\[\]$]+)",
    ignore_case=True,
)
_R = _units(
    r"(?P<name>[\w.]+)\s*(?:<-|=)\s*function\b", r"set(?:Class|Method|Generic|RefClass)\(\s*[\"'](?P<name>[\w.]+)"
)
_LUA = _units(r"(?:local\s+)?function\s+(?P<name>[\w.:]+)", r"(?:local\s+)?(?P<name>[\w.]+)\s*=\s*function\b")
_PERL = _units(r"(?:sub|package)\s+(?P<name>[\w:]+)", r"=head\d\s+(?P<name>.+)")
_CSS = _units(
    r"(?P<name>@(?:media|supports|keyframes|font-face|page|layer|container|mixin)[^{]*?)\s*\{",
    r"(?P<name>[^\s{}@/;][^{};]{0,120}?)\s*\{",
)
_INI = _units(r"\[+\s*(?P<name>[^\]\n]+?)\s*\]+\s*(?:[#;].*)?$")
_YAML = _units(r"(?:-\s+)?(?P<name>[\w.\"'/ -]{1,80}?)\s*:\s*(?:&\w+|!\S+|#.*)?$")
_DOCKER = _units(r"(?P<name>FROM\s.+)", ignore_case=True)
_MAKE = _units(r"(?P<name>[\w./%$(){}-]+(?:[ ]+[\w./%$(){}-]+)*)\s*::?(?!=)")
_HCL = _units(
    r"(?P<name>(?:resource|module|variable|output|data|provider|locals|terraform|job|group|task|source|build)(?:\s+\"[^\"]*\")*)\s*\{",
    r"(?P<name>[\w-]+(?:\s+\"[^\"]*\")+)\s*\{",
)
_PROTO = _units(
    rf"(?:message|service|enum|rpc|type|interface|input|union|scalar|directive|fragment|query|mutation|subscription|extend\s+\w+)\s+{_NAME}"
)
_HASKELL = _units(rf"(?:module|data|newtype|class|instance|type)\s+(?:[^=]*=>\s*)?{_NAME}", r"(?P<name>\w[\w']*)\s*::")
_ELIXIR = _units(r"(?:defmodule|defprotocol|defimpl|defp?|defmacrop?|describe|test)\s+(?P<name>[\w.?!]+|\"[^\"]*\")")
_ERLANG = _units(r"-(?:module|record)\(\s*(?P<name>\w+)", r"(?P<name>[a-z]\w*)\([^)]*\)\s*(?:when\b.*)?->")
_LISP = _units(r"\((?:def\w*|define(?:-\w+)?|ns)\s+\(?(?P<name>[^\s()]+)")
_JULIA = _units(r"(?:mutable\s+)?(?:function|macro|struct|module|abstract\s+type)\s+(?P<name>[\w.!]+)")
_BASIC = _units(
    r"(?:(?:public|private|friend|shared|static|protected|overrides|overridable|partial)\s+)*(?:sub|function|class|module|structure|interface|enum|namespace|property(?:\s+(?:get|let|set))?)\s+(?P<name>\w+)",
    ignore_case=True,
)
_FORTRAN = _units(
    r"(?!end\b)(?:[\w()*=]+\s+)*?(?:subroutine|function|module|program|interface)\s+(?P<name>\w+)", ignore_case=True
)
_PASCAL = _units(
    r"(?:class\s+)?(?:procedure|function|constructor|destructor|unit|program|library)\s+(?P<name>[\w.]+)",
    r"(?P<name>\w+)\s*=\s*(?:packed\s+)?(?:class|record|interface|object)\b",
    ignore_case=True,
)
_COBOL = _units(
    r"(?:\d{6})?\s*(?P<name>[\w-]+\s+(?:division|section))\b",
    r"(?:\d{6})?\s*(?P<name>program-id\.\s*[\w-]+)",
    ignore_case=True,
)
_ASSEMBLER = _units(r"(?P<name>[A-Za-z_.$][\w.$]*):(?!=)")
_OCAML = _units(
    r"(?:let(?:\s+rec)?|and|module(?:\s+type)?|type|class|member(?:\s+\w+\.)?|exception|val)\s+(?:inline\s+|private\s+|mutable\s+)*(?P<name>[\w.']+)"
)
_ZIG = _units(
    r"(?:pub\s+)?(?:export\s+|inline\s+)?fn\s+(?P<name>\w+)",
    r"(?:pub\s+)?const\s+(?P<name>\w+)\s*=\s*(?:packed\s+|extern\s+)?(?:struct|enum|union)\b",
)
_NIM = _units(
    r"(?:proc|func|method|template|macro|iterator|converter)\s+(?P<name>\w+)",
    r"(?P<name>\w+)\*?\s*=\s*(?:ref\s+)?object\b",
)

_BY_SUFFIX: dict[str, Language] = {}
for _name, _pattern, _nested, _suffixes in (
    ("Python", _PYTHON, True, ".py .pyi .pyw .pyx .pxd"),
    ("JavaScript", _SCRIPT, True, ".js .mjs .cjs .jsx .vue .svelte .astro"),
    ("TypeScript", _SCRIPT, True, ".ts .tsx .mts .cts"),
    ("Java", _JAVA, True, ".java"),
    ("Kotlin", _JAVA, True, ".kt .kts"),
    ("Scala", _JAVA, True, ".scala .sc"),
    ("Groovy", _JAVA, True, ".groovy .gradle"),
    ("C#", _JAVA, True, ".cs .csx"),
    ("Swift", _JAVA, True, ".swift"),
    ("Dart", _JAVA, True, ".dart"),
    ("PHP", _JAVA, True, ".php .phtml"),
    ("Solidity", _JAVA, True, ".sol"),
    ("C", _C, True, ".c .h .m"),
    ("C++", _C, True, ".cpp .cc .cxx .hpp .hh .hxx .ino .cu .cuh .mm .ipp"),
    ("Go", _GO, True, ".go"),
    ("Rust", _RUST, True, ".rs"),
    ("Ruby", _RUBY, True, ".rb .rake .gemspec"),
    ("Shell", _SHELL, True, ".sh .bash .zsh .ksh .fish"),
    ("PowerShell", _POWERSHELL, True, ".ps1 .psm1 .psd1"),
    ("Batch", _units(r":(?P<name>[\w.-]+)\s*$"), False, ".bat .cmd"),
    ("SQL", _SQL, False, ".sql .ddl .plsql .pgsql"),
    ("R", _R, True, ".r"),
    ("Lua", _LUA, True, ".lua"),
    ("Perl", _PERL, True, ".pl .pm .t"),
    ("CSS", _CSS, False, ".css .scss .less .sass"),
    ("TOML", _INI, False, ".toml"),
    ("INI", _INI, False, ".ini .cfg .conf .properties .env .editorconfig .service .desktop"),
    ("YAML", _YAML, False, ".yaml .yml"),
    ("Dockerfile", _DOCKER, False, ".dockerfile"),
    ("Make", _MAKE, False, ".mk .mak"),
    ("CMake", _units(r"(?:function|macro)\s*\(\s*(?P<name>\w+)", ignore_case=True), False, ".cmake"),
    ("HCL", _HCL, True, ".tf .tfvars .hcl .nomad"),
    ("Protocol Buffers", _PROTO, True, ".proto .graphql .gql .thrift"),
    ("Haskell", _HASKELL, False, ".hs .elm .purs"),
    ("Elixir", _ELIXIR, True, ".ex .exs"),
    ("Erlang", _ERLANG, False, ".erl .hrl"),
    ("Lisp", _LISP, True, ".lisp .lsp .el .clj .cljs .cljc .edn .scm .rkt"),
    ("Julia", _JULIA, True, ".jl"),
    ("Visual Basic", _BASIC, True, ".vb .vbs .bas .cls .frm"),
    ("Fortran", _FORTRAN, True, ".f .f90 .f95 .f03 .for"),
    ("Pascal", _PASCAL, False, ".pas .pp .dpr .lpr"),
    ("COBOL", _COBOL, False, ".cob .cbl .cpy"),
    ("Assembler", _ASSEMBLER, False, ".asm .s"),
    ("OCaml", _OCAML, True, ".ml .mli .fs .fsx .fsi"),
    ("Zig", _ZIG, True, ".zig"),
    ("Nim", _NIM, True, ".nim"),
    ("JSON with comments", _units(r"\"(?P<name>[^\"]+)\"\s*:\s*\{"), True, ".jsonc .json5"),
):
    for _suffix in _suffixes.split():
        _BY_SUFFIX[_suffix] = Language(_name, _pattern, _nested)
CODE_SUFFIXES = tuple(_BY_SUFFIX)
_BY_NAME = {
    "dockerfile": ".dockerfile",
    "containerfile": ".dockerfile",
    "makefile": ".mk",
    "gnumakefile": ".mk",
    "cmakelists.txt": ".cmake",
    "jenkinsfile": ".groovy",
    "vagrantfile": ".rb",
    "rakefile": ".rb",
    "gemfile": ".rb",
    "podfile": ".rb",
    "brewfile": ".rb",
    ".bashrc": ".sh",
    ".profile": ".sh",
    ".gitconfig": ".ini",
    ".env": ".env",
    ".editorconfig": ".editorconfig",
}
_INTERPRETERS = (
    ("python", ".py"),
    ("node", ".js"),
    ("deno", ".ts"),
    ("ruby", ".rb"),
    ("perl", ".pl"),
    ("php", ".php"),
    ("lua", ".lua"),
    ("rscript", ".r"),
    ("pwsh", ".ps1"),
    ("sh", ".sh"),
    ("make", ".mk"),
)


def language_of(name: str, first_line: str) -> Language | None:
    """Return the language of a file by its name, or by the interpreter that its first line calls; None for no code."""
    path = PurePath(name.replace("\\", "/").lower())
    suffix = path.suffix if path.suffix in _BY_SUFFIX else _BY_NAME.get(path.name, _BY_NAME.get(path.stem, ""))
    if not suffix and first_line.startswith("#!") and path.suffix in {"", ".txt", ".cgi"}:
        suffix = next((ending for word, ending in _INTERPRETERS if word in first_line.lower()), "")
    return _BY_SUFFIX.get(suffix)


def unit_name(match: re.Match[str]) -> str:
    """Return the name of the unit that begins on a line."""
    name = next((name for name in match.groups() if name), "")
    return " ".join(name.split()).replace(") ", ".").rstrip(":.")
