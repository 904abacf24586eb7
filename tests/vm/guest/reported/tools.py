# SPDX-License-Identifier: GPL-2.0
"""What everyday tools do on a volume. Each is a shell command in a folder with a few files of every kind beside it, in $SRC."""

import os
import pathlib
import shutil
import subprocess

from cases import case, expect

SRC = pathlib.Path("/tmp/reported/src")
XATTRS, ACLS, FALLOCATE, FLAGS, FIEMAP = "extended attributes", "ACLs", "fallocate", "file attributes (chattr)", "FIEMAP"
AUTHOR = "export HOME=/tmp GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b"
# Tool that has to be there, what is done, and the feature it needs that PermFS does not have yet.
COMMANDS = (
    ("cp", "cp -a $SRC a && diff -r --no-dereference $SRC/d a/d", XATTRS),
    ("cp", "cp -r --preserve=all $SRC b", XATTRS),
    ("setfacl", "cp -a $SRC/f $SRC/g; setfacl -m u:1234:rw $SRC/g; setfattr -n user.x -v y $SRC/g; mv $SRC/g .", None),
    ("tar", "mkdir c && tar -C $SRC -cf - . | tar -C c -xf -", None),
    ("tar", "mkdir d && tar -C $SRC --xattrs --acls -cf - . | tar -C d --xattrs --acls -xf - 2>said; cat said; [ ! -s said ]", XATTRS),
    ("rsync", "rsync -a $SRC/ e/", None),
    ("rsync", "rsync -aAX $SRC/ f/", XATTRS),
    ("rsync", "rsync -a --preallocate $SRC/ g2/", None),
    ("git", f"{AUTHOR}; git init -q r && cd r && cp -r $SRC/d $SRC/f . && git add -A && git -c core.fsync=all commit -qm x && "
     "git gc -q && git fsck --strict && git status --porcelain | diff - /dev/null", None),
    ("setcap", "cp /bin/true t && setcap cap_net_raw+ep t && getcap t | grep -q cap_net_raw", XATTRS),
    ("setfacl", "touch acl && setfacl -m u:1234:rw acl && getfacl acl | grep -q 1234", ACLS),
    ("setfacl", "mkdir acl.d && setfacl -d -m g:1234:rwx acl.d && touch acl.d/x && getfacl acl.d/x | grep -q 1234", ACLS),
    ("setfattr", "touch xa && setfattr -n user.note -v 1 xa", XATTRS),
    ("fallocate", "fallocate -l 4M pre", FALLOCATE),
    ("fallocate", "dd if=/dev/zero of=zero bs=64k count=8 status=none && fallocate -d zero", FALLOCATE),
    ("fio", "fio --name=x --filename=fio --size=2m --rw=write --bs=64k --output=/dev/null", None),
    ("sqlite3", "echo 'pragma journal_mode=wal; create table t(a); insert into t values (1); select * from t;' | sqlite3 s.db", None),
    ("chattr", "touch ca && chattr +d ca", FLAGS),
    ("lsattr", "lsattr .", None),
    ("filefrag", "cp $SRC/f ff && filefrag ff", FIEMAP),
    ("flock", "f=$(mktemp -p .) && flock $f true && install -m 4755 -o 5 $f inst && [ $(stat -c %a inst) = 4755 ]", None),
    ("sort", "seq 20000 >n && sort -T . -R n | sort -n -T . | cmp - n && sed -i s/1/x/ n && truncate -s 10M n && split -n 4 n", None),
    ("perl", "perl -e 'open(F, \"+>\", undef) or die; print F 1'", None),
    ("gcc", "echo 'int main(void){return 0;}' >x.c && gcc x.c -o x && ./x", None),
)


def sources():
    if SRC.exists():
        return
    SRC.mkdir(parents=True)
    subprocess.run(("mount", "-t", "tmpfs", "tmpfs", SRC), check=True)
    (SRC / "d").mkdir()
    (SRC / "f").write_text("contents\n")
    os.symlink("f", SRC / "l")
    os.link(SRC / "f", SRC / "h")
    os.mkfifo(SRC / "p")
    shutil.copy("/bin/true", SRC / "d/prog")
    os.setxattr(SRC / "f", "user.origin", b"example")
    subprocess.run(("setfacl", "-m", "u:1234:rw", SRC / "f"), check=True)


def of_command(tool, command, lacks):
    @case(f"{tool}: {command if len(command) < 60 else command[:57] + '...'}", lacks)
    def works(volume):
        expect(shutil.which(tool), f"{tool} is not in the test machine")
        sources()
        told = subprocess.run(("bash", "-o", "pipefail", "-c", command), env={**os.environ, "SRC": str(SRC)}, capture_output=True, text=True)
        expect(told.returncode == 0, told.stdout + told.stderr)


for each in COMMANDS:
    of_command(*each)
