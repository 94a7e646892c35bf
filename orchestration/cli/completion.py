"""``posegen completion``: scripts with which shells complete commands and options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from orchestration.cli.parsing import Group

Shell = Literal["bash", "zsh", "fish"]

_BASH = """\
declare -gA _posegen_words=(
{table})
_posegen() {{
    local path=posegen word i
    for ((i = 1; i < COMP_CWORD; i++)); do
        word="${{COMP_WORDS[i]}}"
        [[ -n "${{_posegen_words["$path $word"]}}" ]] || break
        path="$path $word"
    done
    word="${{COMP_WORDS[COMP_CWORD]}}"
    COMPREPLY=($(compgen -W "${{_posegen_words["$path"]}}" -- "$word"))
    [[ ${{#COMPREPLY[@]}} -gt 0 ]] || COMPREPLY=($(compgen -f -- "$word"))
}}
complete -o filenames -F _posegen posegen
"""
_ZSH = "autoload -U +X compinit bashcompinit && compinit && bashcompinit\n" + _BASH.replace(
    "declare -gA", "typeset -gA"
)
_FISH = """\
function __posegen_words
    set -l path posegen
    for word in (commandline -opc)[2..-1]
        contains -- "$path $word" $__posegen_paths; or break
        set path "$path $word"
    end
    switch "$path"
{cases}    end
end
set -g __posegen_paths {paths}
complete -c posegen -a '(__posegen_words)'
"""


def completion_script(app: Group, shell: Shell) -> str:
    """Return a script that a shell reads at its start, such as ``source <(posegen completion bash)``.

    Args:
        app: All commands.
        shell: The shell.
    """
    words = dict(_words(app, "posegen"))
    if shell == "fish":
        cases = "".join(f"        case '{path}'\n            printf '%s\\n' {found}\n" for path, found in words.items())
        return _FISH.format(cases=cases, paths=" ".join(f"'{path}'" for path in words))
    return (_BASH if shell == "bash" else _ZSH).format(table=_table(words))


def _table(words: Mapping[str, str]) -> str:
    return "".join(f'    ["{path}"]="{found}"\n' for path, found in words.items())


def _words(group: Group, path: str) -> Iterator[tuple[str, str]]:
    """The words that may follow each command, by the words before them."""
    yield path, " ".join([*group.commands, "--help"])
    for name, command in group.commands.items():
        if isinstance(command, Group):
            yield from _words(command, f"{path} {name}")
        else:
            options = {option for kind in command.vocabulary["kinds"].values() for option in kind["options"]}
            presets = {command.option} if len(command.functions) > 1 else set()
            yield f"{path} {name}", " ".join([*sorted((options | presets) - {"--help"}), "--help"])
