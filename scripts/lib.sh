# What the scripts share; sourced, not run.
# shellcheck shell=bash

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=$repository/.tools
# Last, so that a program of the machine's own comes first.
PATH=$PATH:$tools/venv/bin

say() {
    printf '%s: %s\n' "${0##*/}" "$*"
}

die() {
    printf '%s: error: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# Prints the folder of PostgreSQL's server programs: the one named by RAPPORT_TEST_PG_BIN, else Debian's newest, else the PATH's.
postgresql_bin() {
    local folder
    if [[ -n ${RAPPORT_TEST_PG_BIN:-} ]]; then
        printf '%s\n' "$RAPPORT_TEST_PG_BIN"
        return
    fi
    while read -r folder; do
        if [[ -x $folder/initdb && -x $folder/postgres ]]; then
            printf '%s\n' "$folder"
            return
        fi
    done < <(printf '%s\n' /usr/lib/postgresql/*/bin | sort --version-sort --reverse)
    folder=$(command -v initdb) && dirname "$(readlink --canonicalize "$folder")"
}
