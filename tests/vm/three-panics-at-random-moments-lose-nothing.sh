#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Three panics in the middle of writing: after each, every acknowledged file is whole and the volume is clean.
# limit: 1800
. "$(dirname "$0")/lib.sh"

SOAK_WORK=$DIR/soak "$REPO/scripts/soak" 3
