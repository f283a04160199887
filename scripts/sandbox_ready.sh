#!/bin/sh
# Install bubblewrap, the strongest sandbox, where that is possible without asking; say which backend the tests will use.
# A sandbox that can start here and does not hold fails the tests (tests/conftest.py), however busy the machine is.
if ! command -v bwrap >/dev/null 2>&1 && command -v apt-get >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ]; then as=""; elif sudo -n true 2>/dev/null; then as="sudo -n"; else as="no"; fi
    if [ "$as" != no ]; then
        echo "installing bubblewrap (apt package: bubblewrap) ..."
        { $as apt-get update -qq && $as apt-get install -y -qq --no-install-recommends bubblewrap; } >/dev/null 2>&1
    fi
fi
if ! command -v bwrap >/dev/null 2>&1; then
    echo "bubblewrap is not installed: only the fall-back sandbox (Landlock + seccomp) is tested"
elif ! bwrap --unshare-all --ro-bind / / true 2>/dev/null; then
    echo "bubblewrap cannot start here (no user namespaces): only the fall-back sandbox (Landlock + seccomp) is tested"
else
    echo "both sandboxes are tested: bubblewrap, and the fall-back (Landlock + seccomp) where the kernel has it"
fi
exit 0
