#!/bin/sh
# Makes a virtual environment with everything that training, export, benchmarks and tests need.
#
#     sh tools/setup_venv.sh [FOLDER, default .venv]
#
# PYTHON=python3.12 names the interpreter; otherwise the first of 3.11 or later that works is taken.
# Torch comes first: without an NVIDIA GPU a CPU build is wanted, which is 200 MB where the default is several GB.
set -eu
cd "$(dirname "$0")/.."
venv=${1:-.venv}
torch=2.13.0
extras=cpu,openvino,ncnn,tensorrt-rtx,train,distributed,export,bench,web,mqtt,dev

say() { echo "setup: $*"; }
fail() { echo "setup: $*" >&2; exit 1; }

# Whether this interpreter starts, and is 3.11 or later.
fits() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        fits "$PYTHON" && echo "$PYTHON"
        return
    fi
    for candidate in python3 python3.13 python3.12 python3.11 python3.14 python; do
        if fits "$candidate"; then echo "$candidate"; return; fi
    done
}

make_venv() {
    python=$(find_python) || true
    if [ -z "$python" ]; then
        found=$("${PYTHON:-python3}" --version 2>&1) || found="none"
        fail "Python: got ${PYTHON:+$PYTHON: }$found, expected 3.11 or later; install one, or name it with PYTHON=python3.12"
    fi
    say "$venv with $("$python" --version)"
    "$python" -m venv "$venv" || fail "'$python -m venv' failed; on Debian and Ubuntu: apt-get install python3-venv"
}

torch_kind() { "$bin/python" -c 'import torch; print("cuda" if torch.version.cuda else "cpu")' 2>/dev/null || echo none; }

install_torch() {
    if [ "$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null 2>&1; then
        say "torch $torch, CPU build, from what pip is configured with"
        if "$bin/pip" install --quiet "torch==$torch+cpu" 2>/dev/null; then return; fi
        say "not to be had there"
    fi
    if [ "$(uname -s)" != Darwin ]; then
        say "torch $torch, the build for this machine, by uv"
        if "$bin/pip" install --quiet 'uv>=0.7.14' && "$bin/uv" pip install --quiet --python "$bin/python" \
            --torch-backend=auto "torch==$torch"; then return; fi
        say "not to be had there either; the default build follows, which may be several GB"
    fi
    "$bin/pip" install --quiet "torch==$torch" || fail "torch $torch did not install; see pip's lines above"
}

bin=$venv/bin
if [ -x "$bin/python" ] && ! fits "$bin/python"; then
    fail "$venv: got $("$bin/python" --version 2>&1 || echo 'a Python that does not start'), expected 3.11 or later; remove $venv and try again"
fi
[ -x "$bin/pip" ] || make_venv
[ "$(torch_kind)" != none ] || install_torch
before=$(torch_kind)
say "epee with its extras: $extras"
"$bin/pip" install --quiet --editable ".[$extras]"
after=$(torch_kind)
[ "$before" = "$after" ] || fail "torch: got a $after build, expected the $before build that was there; remove $venv and try again"
say "done: $("$bin/epee" --version), torch $("$bin/python" -c 'import torch; print(torch.__version__)')"
