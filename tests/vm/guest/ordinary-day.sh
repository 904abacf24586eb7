#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: ordinary-day.sh work DIR SOURCE | verify DIR
# What people do on a filesystem: unpack sources, keep them in git, build a crate, run a database. `verify`, after a remount,
# checks that all of it is still there and whole.
set -euo pipefail
export GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@example.org GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@example.org

step() {
	echo "== $1 (after $SECONDS s)"
}

work() {
	local dir=$1 source=$2
	cd "$dir"
	step "unpack fs/ and rust/"
	mkdir tree
	tar -C "$source" -cf - fs rust | tar -C tree -xf -
	(cd "$source" && find fs rust -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) >expected.sum
	(cd tree && sha256sum --quiet -c ../expected.sum)
	echo "$(wc -l <expected.sum) files are the same"
	step "git"
	git -C tree init -q -b main
	git -C tree add -A
	git -C tree commit -q -m "sources"
	git -C tree fsck --strict
	[ -z "$(git -C tree status --porcelain)" ]
	git -C tree rev-parse HEAD >head
	step "cargo build"
	mkdir -p crate/src
	printf '[package]\nname = "small"\nversion = "0.1.0"\nedition = "2021"\n' >crate/Cargo.toml
	printf 'fn main() {\n    println!("{}", (1..=10u64).product::<u64>());\n}\n' >crate/src/main.rs
	(cd crate && cargo build --offline -q)
	[ "$(crate/target/debug/small)" = 3628800 ]
	step "sqlite: 10000 transactions"
	{
		echo 'PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;'
		echo 'CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);'
		for ((i = 0; i < 10000; i++)); do
			echo "BEGIN; INSERT INTO t (v) VALUES ('value $i'); COMMIT;"
		done
	} | sqlite3 db >/dev/null
	[ "$(sqlite3 db 'SELECT count(*) FROM t')" = 10000 ]
	[ "$(sqlite3 db 'PRAGMA integrity_check')" = ok ]
	step "sqlite: rollback journal, synchronous"
	{
		echo 'PRAGMA journal_mode=DELETE; PRAGMA synchronous=FULL;'
		for ((i = 0; i < 200; i++)); do
			echo "BEGIN; UPDATE t SET v = 'changed $i' WHERE id = $((i * 37 + 1)); COMMIT;"
		done
	} | sqlite3 db >/dev/null
	step done
}

verify() {
	cd "$1"
	(cd tree && sha256sum --quiet -c ../expected.sum)
	git -C tree fsck --strict
	[ "$(git -C tree rev-parse HEAD)" = "$(cat head)" ]
	[ -z "$(git -C tree status --porcelain)" ]
	[ "$(crate/target/debug/small)" = 3628800 ]
	[ "$(sqlite3 db 'PRAGMA integrity_check')" = ok ]
	[ "$(sqlite3 db 'SELECT count(*) FROM t')" = 10000 ]
	[ "$(sqlite3 db "SELECT count(*) FROM t WHERE v LIKE 'changed%'")" = 200 ]
	step done
	echo "an ordinary day is whole after the remount"
}

"$@"
