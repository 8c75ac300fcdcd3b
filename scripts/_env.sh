# shellcheck shell=bash
# Sourced by the other scripts: finds a Python and keeps the virtual environments beside it.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Versions to look for, newest first; keep in step with the classifiers in pyproject.toml.
SUPPORTED="3.13 3.12 3.11"

# Says why a script cannot run here at all, and ends: with 77, which is 1 with CI=true.
cannot() {
    echo "scripts/${0##*/} cannot run here: $1" >&2
    [ "${CI:-}" = true ] && exit 1
    exit 77
}

apt_get() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o APT::Sandbox::User=root "$@" </dev/null
}

# Prints "VERSION EXECUTABLE" if the interpreter runs, is recent enough and can make environments.
probe() {
    "$1" -c '
import sys, venv, ensurepip
if sys.version_info < (3, 11):
    sys.exit(1)
print(f"{sys.version_info.major}.{sys.version_info.minor}", sys.executable)
' 2>/dev/null </dev/null
}

# Prints every file that may be a Python: on PATH, and in pyenv, whose shims work only if activated.
candidates() {
    local directory version directories
    IFS=: read -r -a directories <<<"$PATH"
    for directory in "${directories[@]}"; do
        for version in "" $SUPPORTED; do
            printf '%s\n' "$directory/python${version:-3}"
        done
    done
    for directory in "${directories[@]%/shims}" "${PYENV_ROOT:-$HOME/.pyenv}"; do
        printf '%s\n' "$directory"/versions/*/bin/python3
    done
}

# Prints "VERSION EXECUTABLE" of one interpreter for each supported version there is, oldest first.
pythons() {
    local file found seen=" "
    while read -r file; do
        [ -x "$file" ] || continue
        found=$(probe "$file") || continue
        case " $SUPPORTED " in *" ${found%% *} "*) ;; *) continue ;; esac
        case "$seen" in *" ${found%% *} "*) continue ;; esac
        seen="$seen${found%% *} "
        printf '%s\n' "$found"
    done < <(candidates | awk '!known[$0]++') | sort -t. -k2n
}

# Prints "VERSION EXECUTABLE" of the interpreter to use: $PYTHON, else python3, else the newest.
python_of_choice() {
    local wanted=${PYTHON:-python3} found
    if found=$(probe "$wanted"); then
        printf '%s\n' "$found"
        return
    fi
    case "$wanted" in
        python3) found=$(pythons | tail -n 1) ;;
        python3.*) found=$(pythons | grep "^${wanted#python} ") ;;
    esac
    if [ -z "$found" ]; then
        echo "$wanted: no Python >= 3.11 with venv and ensurepip found; set PYTHON" >&2
        return 1
    fi
    printf '%s\n' "$found"
}

# Usage: use_venv run|dev. Sets VENV to an environment with the project installed (editable, with
# the virtual fleet; dev adds what tests and checks need), made or updated only when out of date.
use_venv() {
    local chosen python wanted
    chosen=$(python_of_choice) || return
    python=${chosen#* }
    VENV=$ROOT/.venv${PYTHON:+-${chosen%% *}}
    if [ "$(cat "$VENV/.stamp-python" 2>/dev/null)" != "$chosen" ]; then
        echo "making ${VENV##*/} with $python" >&2
        "$python" -m venv --clear "$VENV" || return
        "$VENV/bin/python" -m pip install -qq --upgrade "pip>=25.1" || return
        printf '%s\n' "$chosen" >"$VENV/.stamp-python"
    fi
    wanted=$(cksum <"$ROOT/pyproject.toml")
    [ "$(cat "$VENV/.stamp-dev" 2>/dev/null)" = "$wanted" ] && return
    [ "$1" = run ] && [ "$(cat "$VENV/.stamp-run" 2>/dev/null)" = "$wanted" ] && return
    echo "installing into ${VENV##*/}" >&2
    if [ "$1" = dev ]; then
        set -- dev --group "$ROOT/pyproject.toml:dev"
    fi
    "$VENV/bin/python" -m pip install -qq --disable-pip-version-check \
        --editable "$ROOT[virtual]" "${@:2}" || return
    printf '%s\n' "$wanted" >"$VENV/.stamp-$1"
}
