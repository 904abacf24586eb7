# SPDX-License-Identifier: GPL-2.0
# Paths, messages, stages and the chroot that every part of the kernel kit shares. Sourced by scripts/kit.
# shellcheck shell=bash
# shellcheck disable=SC2034 # used by the files that source this one

CACHE=${PERMFS_CACHE:-${HOME:?}/.cache/permfs}
case $CACHE in /*) ;; *) CACHE=$PWD/$CACHE ;; esac
ROOT=$CACHE/root
STAMPS=$CACHE/stamps
LOGS=$CACHE/log
KSRC=$CACHE/kernel/source
KDIR=$CACHE/kernel/build
DEBS=$CACHE/kernel/debs
IMAGES=$CACHE/images
FIRMWARE=$CACHE/firmware
SERIES=7.3
KIT_CC=x86_64-linux-gnu-gcc-14

die() {
	printf 'kit: error: %s\n' "$*" >&2
	exit 1
}

# say MESSAGE: one line of progress, with the seconds since the kit was started.
say() {
	printf '[kit %4ds] %s\n' "$SECONDS" "$*" >&2
}

# logged STAGE SENTENCE CMD...: runs CMD with its output in the stage's log, and shows that it is alive: on a terminal
# one line that is rewritten every second, elsewhere a line every 20 s. On failure the log's end and SENTENCE are the
# last words. To be called plainly, never before || or in a condition: there bash would not stop a function CMD at its
# first error.
logged() {
	local stage=$1 sentence=$2 log=$LOGS/$1.log pid rc=0 begin=$SECONDS shown=$SECONDS
	shift 2
	# In a process group of its own, so that an interrupted kit takes all of it along.
	set -m
	"$@" >>"$log" 2>&1 </dev/null &
	pid=$!
	set +m
	# shellcheck disable=SC2064 # this pid
	trap "kill -TERM -- -$pid 2>/dev/null; wait $pid || true; die 'interrupted; the next run goes on from here'" INT TERM HUP
	while kill -0 "$pid" 2>/dev/null; do
		if [ -t 2 ]; then
			printf '\r\033[K[kit %4ds] %s: %ds  %.60s' "$SECONDS" "$stage" $((SECONDS - begin)) \
				"$(tail -n 1 "$log" | tr -cd '[:print:]')" >&2
			sleep 1
		else
			[ $((SECONDS - shown)) -ge 20 ] && shown=$SECONDS && say "$stage: $((SECONDS - begin)) s"
			sleep 0.2
		fi
	done
	wait "$pid" || rc=$?
	trap - INT TERM HUP
	[ -t 2 ] && printf '\r\033[K' >&2
	[ "$rc" = 0 ] && return 0
	{
		echo "--- the end of $log:"
		tail -n 15 "$log"
		echo ---
	} >&2
	die "$sentence (log: $log)"
}

# stamp_is STAGE KEY: whether the stage was completed with the same inputs.
stamp_is() {
	[ -f "$STAMPS/$1" ] && [ "$(<"$STAMPS/$1")" = "$2" ]
}

# stage NAME KEY WHAT: runs stage_NAME unless it was completed with the same KEY. The stamp is written last, so an
# interrupted stage is done again from its own beginning and the ones before it are kept.
stage() {
	local name=$1 key=$2 what=$3 begin=$SECONDS
	stamp_is "$name" "$key" && return 0
	say "$name: $what"
	rm -f "$STAMPS/$name"
	: >"$LOGS/$name.log"
	"stage_$name"
	printf '%s' "$key" >"$STAMPS/$name.new"
	sync "$STAMPS/$name.new"
	mv "$STAMPS/$name.new" "$STAMPS/$name"
	say "$name: done in $((SECONDS - begin)) s"
}

# stamp NAME: the key with which the stage was completed; stages that build on it put this into their own key.
stamp() {
	cat "$STAMPS/$1" 2>/dev/null || echo none
}

# digest FILE...: one short hash over the files' contents.
digest() {
	cat "$@" | sha256sum | cut -c1-16
}

# The host's own way to the network, for the programs in the root: proxies and certificates.
host_net_env() {
	local v bundle=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
	for v in http_proxy https_proxy no_proxy all_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY; do
		[ -n "${!v:-}" ] && printf '%s=%s\n' "$v" "${!v}"
	done
	[ -r "$bundle" ] || return 0
	cmp -s "$bundle" "$CACHE/home/certs.crt" || cp "$bundle" "$CACHE/home/certs.crt" 2>/dev/null || return 0
	for v in SSL_CERT_FILE CARGO_HTTP_CAINFO GIT_SSL_CAINFO CURL_CA_BUNDLE; do
		printf '%s=%s\n' "$v" "$CACHE/home/certs.crt"
	done
}

# The caller's settings that mean the same inside the root.
caller_env() {
	local v
	for v in TERM CI SOURCE_DATE_EPOCH KBUILD_BUILD_TIMESTAMP RUST_BACKTRACE CARGO_TARGET_DIR CARGO_TERM_COLOR \
		CARGO_TERM_QUIET CARGO_BUILD_JOBS CARGO_NET_OFFLINE RUSTFLAGS RUSTDOCFLAGS; do
		[ -n "${!v:-}" ] && printf '%s=%s\n' "$v" "${!v}"
	done
	compgen -v PERMFS_ | while read -r v; do printf '%s=%s\n' "$v" "${!v}"; done
}

# cargo_home: a CARGO_HOME of the root's own (its cargo is older than the host's), with the host's registry settings.
cargo_home() {
	local from=${CARGO_HOME:-$HOME/.cargo} f
	mkdir -p "$CACHE/home/cargo"
	for f in config.toml config credentials.toml credentials; do
		[ -r "$from/$f" ] || continue
		cmp -s "$from/$f" "$CACHE/home/cargo/$f" || cp "$from/$f" "$CACHE/home/cargo/$f"
	done
}

# exec_in_root [--bind DIR]... CMD...: replaces this process by CMD in the root, in a mount namespace of its own that goes with it.
# The cache, the repository, the caller's folder and /tmp are there under the same paths as outside, so that paths
# in a build's output are right on both sides; --bind brings further folders.
exec_in_root() {
	local env=() line binds=("$CACHE" "$REPO" /tmp)
	while [ "${1:-}" = --bind ]; do
		binds+=("$2")
		shift 2
	done
	cargo_home
	while IFS= read -r line; do env+=("$line"); done < <(
		host_net_env
		caller_env
	)
	# A work tree made by `git worktree` keeps its data elsewhere; git in the root must find it.
	line=$(git -C "$REPO" rev-parse --path-format=absolute --git-common-dir 2>/dev/null) && binds+=("$line")
	case $PWD in / | /proc* | /sys* | /dev*) ;; *) binds+=("$PWD") ;; esac
	[ -n "${CARGO_TARGET_DIR:-}" ] && mkdir -p "$CARGO_TARGET_DIR" && binds+=("$CARGO_TARGET_DIR")
	# shellcheck disable=SC2016 # expanded by the inner shell
	exec unshare --mount --propagation private -- /bin/bash -c '
		set -e
		root=$1 n=$2; shift 2
		mount -t proc proc "$root/proc"
		mount --rbind /sys "$root/sys"
		mount --rbind /dev "$root/dev"
		for f in /etc/resolv.conf /etc/hosts; do
			[ -e "$f" ] && { [ -e "$root$f" ] || : >"$root$f"; mount --bind "$f" "$root$f"; }
		done
		while [ "$n" -gt 0 ]; do
			mkdir -p "$root$1"
			mountpoint -q "$root$1" || mount --bind "$1" "$root$1"
			shift; n=$((n - 1))
		done
		exec chroot "$root" "$@"' kit-run "$ROOT" "${#binds[@]}" "${binds[@]}" \
		/usr/bin/env -i -C "$PWD" HOME="$CACHE/home" CARGO_HOME="$CACHE/home/cargo" LC_ALL=C.UTF-8 \
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		DEBIAN_FRONTEND=noninteractive "${env[@]}" "$@"
}

in_root() {
	(exec_in_root "$@")
}
