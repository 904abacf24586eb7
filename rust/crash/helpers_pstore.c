// SPDX-License-Identifier: GPL-2.0
/* Wrappers (see bindings_helper.h) for what a backend of pstore (pstore.rs) needs. */
#include "bindings_helper.h"
#include <linux/slab.h>

struct crash_held_inodes {
	size_t count;
	struct inode *inodes[];
};

/* Holds as many of the inodes in memory as there is room for; returns how many more there are. */
static size_t hold_inodes(struct super_block *sb, struct crash_held_inodes *held, size_t room)
{
	struct inode *inode;
	size_t more = 0;

	spin_lock(&sb->s_inode_list_lock);
	list_for_each_entry(inode, &sb->s_inodes, i_sb_list) {
		if (held->count == room)
			more++;
		else if (igrab(inode))
			held->inodes[held->count++] = inode;
	}
	spin_unlock(&sb->s_inode_list_lock);
	return more;
}

/* Keeps all inodes of a super block in memory, which itself is kept by the caller. Never fails. */
struct crash_held_inodes *crash_helper_hold_inodes(struct super_block *sb)
{
	struct crash_held_inodes *held;
	size_t more, room = 64;

	for (;;) {
		held = kvmalloc(struct_size(held, inodes, room), GFP_KERNEL | __GFP_NOFAIL);
		held->count = 0;
		more = hold_inodes(sb, held, room);
		if (!more)
			return held;
		crash_helper_release_inodes(held);
		room += more;
	}
}

void crash_helper_release_inodes(struct crash_held_inodes *held)
{
	while (held->count)
		iput(held->inodes[--held->count]);
	kvfree(held);
}
