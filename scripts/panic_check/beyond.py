# SPDX-License-Identifier: GPL-2.0
"""The walk through the kernel and its drivers, and what on it may wait for somebody."""

import fnmatch
import re

from .flow import JUMP
from .image import plain
from .refused import Refused
from .walk import THUNK

# What is found: by kind, functions that are called. They are not walked into. The first that fits counts.
KINDS = [
    ("", r"_raw_(?:spin|read|write)_(?:trylock\w*|unlock|unlock_irqrestore)|__rcu_read_(?:un)?lock|__srcu_read_(?:un)?lock|__fentry__|.*_trylock"
         r"|__x86_return_thunk|__x86_indirect_call_thunk.*|srso_\w*return_thunk|retbleed_return_thunk|call_depth_return_thunk"),
    ("irqs-on", r"_raw_(?:spin|read|write)_unlock_(?:irq|bh)|__local_bh_enable_ip"),
    ("lock", r"folio_batch_move_lru|_raw_(?:spin|read|write)_lock\w*|(?:native_|pv_)?queued_(?:spin|read|write)_lock\w*|.*lock_slowpath|__lock_\w+|lock_sock\w*"
             r"|raw_spin_rq_lock_nested|get_random_\w+|_get_random_bytes|__get_random_u32_below|.*_lock_irqsave|task_rq_lock|__task_rq_lock"),
    ("sleep", r"(?:mutex|ww_mutex|rt_mutex)_lock\w*|down(?:_\w+)?|percpu_down_\w+|schedule\w*|io_schedule\w*|__schedule|wait_\w+|__wait_\w+|out_of_line_wait\w*"
              r"|prepare_to_wait\w*|__folio_lock\w*|folio_mark_dirty\w*|folio_unmap_invalidate|folio_wait_\w+|unmap_mapping_\w+|msleep\w*|usleep\w*|fsleep|synchronize_\w+|(?:__)?flush_(?:delayed_)?work\w*|(?:__)?cancel_(?:delayed_)?work_sync|timer_delete_sync"
              r"|del_timer_sync|hrtimer_cancel|rcu_barrier\w*|__cond_resched\w*|__might_\w+|preempt_schedule\w*|dynamic_\w*resched\w*"),
    ("alloc", r"(?:__)?k[vm]?z?(?:m|re)?alloc\w*|__kmalloc\w*|__kvmalloc\w*|kmem_cache_alloc\w*|mempool_alloc\w*|mempool_init\w*|(?:__)?alloc_pages?\w*|(?:__)?folio_alloc\w*|get_zeroed_page\w*"
              r"|(?:__)?get_free_pages\w*|(?:__)?vmalloc\w*|krealloc\w*|kmemdup\w*|bio_alloc\w*|(?:__)?alloc_percpu\w*|pcpu_alloc\w*|dma_alloc\w*|dma_pool_alloc\w*|sg_alloc\w*|kasprintf|kvasprintf"),
    ("free", r"kfree\w*|kvfree\w*|kmem_cache_free\w*|mempool_free\w*|(?:__)?free_pages?\w*|vfree\w*|(?:__)?folio_put\w*|call_rcu\w*|free_percpu|dma_pool_free|dma_free\w*|sg_free\w*"
             r"|(?:__)?put_page\w*|free_unref_\w+|release_pages|slab_free\w*|___?slab_free\w*"),
    ("wake", r"eventfd_\w+|aio_complete|io_req_\w+|io_complete_rw\w*|(?:__)?io_uring_cmd_\w+|(?:__)?wake_up\w*|try_to_wake_up|complete(?:_all|_on_current_cpu)?|swake_up\w*|irq_work_queue\w*|folio_wake\w*|wake_\w+|rcuwait_wake_up|default_wake_function|send_sig\w*|kill_\w+"),
    ("work", r"fput\w*|__fput\w*|(?:__)?cancel_(?:delayed_)?work|try_to_grab_pending|(?:__)?queue_(?:delayed_)?work\w*|mod_delayed_work\w*|kblockd_\w+|schedule_work\w*|kthread_(?:mod|queue)\w*|task_work_add|rcu_note\w*"),
    ("timer", r"(?:mod|add|del)_timer\w*|timer_(?:reduce|delete|shutdown)\w*|hrtimer_(?:start|try|forward)\w*"),
    ("softirq", r"(?:__)?raise_softirq\w*|(?:__)?tasklet_\w+|invoke_softirq|do_softirq\w*"),
    ("ipi", r"(?:__)?smp_call_\w+|on_each_cpu\w*|stop_(?:one|machine)\w*|kick_\w+|resched_\w+|arch_(?:smp_)?send_\w+|native_smp_send\w*"),
]
KINDS = [(kind, re.compile(f"^(?:{pattern})$")) for kind, pattern in KINDS]
# Where a way leads into the depths of the kernel, nobody can read the list any more.
MOST = 1000
STATIC_CALL = re.compile(r"^__SCT__(\w+)$")


def kind_of(name):
    for kind, pattern in KINDS:
        if pattern.match(name):
            return kind
    return None


class Walk:
    """`found`: {(kind, what, where): [path]}; where and what are functions' ids."""

    def __init__(self, kernel, rules):
        self.kernel, self.rules = kernel, rules
        self.parents = {}
        self.found = {}
        self.indirect = {}

    def run(self, called=()):
        """`called`: what the module calls by name; of what is found at once, the allow-list has the reasons."""
        level = []
        called = [c for c in called if c in self.kernel.exported and not kind_of(c) and not self.rules.is_cut(c)]
        for root in sorted({*self.rules.roots, *called}):
            for code in self.kernel.named(root):
                if code not in self.parents:
                    self.parents[code] = None
                    level.append(code)
        while level:
            level.sort()
            self.kernel.read(level)
            after = []
            for code in level:
                for callee in self.visit(code):
                    if callee not in self.parents:
                        self.parents[callee] = code
                        after.append(callee)
            level = after
            if len(self.parents) > MOST:
                raise Refused(f"more than {MOST} functions are reached, the last by {' <- '.join(self.path(level[0]))}: what is to be cut?")
        return self

    def path(self, code):
        names = []
        while code is not None:
            if not names or names[-1] != code.id:
                names.append(code.id)
            code = self.parents[code]
        return names

    def add(self, kind, what, code):
        self.found.setdefault((kind, what, code.id), self.path(code)[1:])

    def visit(self, code):
        callees, thunks = [], 0
        for insn in code.insns + [i for p in code.patches for i in p.insns]:
            if insn.op == "pause":
                self.add("spin", "pause", code)
            if insn.op == "sti":
                self.add("irqs-on", "sti", code)
            if not (insn.op.startswith("call") or JUMP.match(insn.op)):
                continue
            if insn.args.startswith("*"):
                thunks += 1
                continue
            for kind, goal in self.kernel.goals(code, insn):
                name = plain(goal.name) if kind == "code" else goal
                if kind == "code" and goal.id == code.id and goal is code:
                    continue
                if THUNK.match(name):
                    thunks += 1
                elif STATIC_CALL.match(name):
                    callees += self.through(code, name)
                else:
                    callees += self.call(code, goal if kind == "code" else None, name)
        if thunks:
            callees += self.through(code, None, thunks)
        return callees

    def call(self, code, goal, name):
        what = kind_of(name)
        ident = goal.id if goal is not None else name
        if self.rules.is_cut(ident) or what == "":
            return []
        if what is not None:
            self.add(what, ident, code)
            return []
        if goal is None:
            self.add("outside", name, code)
            return []
        return [goal]

    def through(self, code, static, count=1):
        """The functions that an indirect or a static call is said to go to."""
        site = static or code.id
        if static and self.rules.is_cut(static):
            return []
        if static and kind_of(static[len("__SCT__"):]) is not None:
            return self.call(code, None, static[len("__SCT__"):])
        targets = self.rules.targets(site)
        if targets is None:
            self.add("indirect", static or f"{count}-call(s)", code)
            return []
        if not static:
            # That it has grown by one is to be noticed.
            self.add("through", f"{count}-call(s)", code)
        return [c for t in targets for c in self.kernel.named(t) if not self.rules.is_cut(t)]


class Rules:
    """What a person has said: where to begin, where not to go on, where indirect calls go to, and why."""

    def __init__(self):
        self.roots, self.cuts, self.goes = {}, {}, {}
        self.used = set()

    def is_cut(self, name):
        for pattern in self.cuts:
            if fnmatch.fnmatchcase(name, pattern):
                self.used.add(("cut", pattern))
                return True
        return False

    def targets(self, site):
        for pattern, targets in self.goes.items():
            if fnmatch.fnmatchcase(site, pattern):
                self.used.add(("to", pattern))
                return targets
        return None
