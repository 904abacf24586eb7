// SPDX-License-Identifier: GPL-2.0
/* Wrappers (see bindings_helper.h) for slab caches and for what a task's allocations may do. */
#include "bindings_helper.h"

struct kmem_cache *vfs_helper_kmem_cache_create(const char *name, unsigned int size,
						unsigned int align,
						void (*ctor)(void *))
{
	return kmem_cache_create(name, size, align, SLAB_RECLAIM_ACCOUNT | SLAB_ACCOUNT, ctor);
}

unsigned int vfs_helper_memalloc_nofs_save(void)
{
	return memalloc_nofs_save();
}

void vfs_helper_memalloc_nofs_restore(unsigned int flags)
{
	memalloc_nofs_restore(flags);
}

unsigned int vfs_helper_memalloc_noio_save(void)
{
	return memalloc_noio_save();
}

void vfs_helper_memalloc_noio_restore(unsigned int flags)
{
	memalloc_noio_restore(flags);
}
