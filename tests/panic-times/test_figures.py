#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests of scripts/panic-times itself, without a machine: the plan, the statistics, and that each lie and loss is counted."""

import collections
import copy
import json
import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "matrix")]

import figures  # noqa: E402
import panics  # noqa: E402
from classes import CLASSES  # noqa: E402

ID = "00000001"


def seen(names: list[str], load: bool = True) -> panics.Seen:
    """What is seen of a panic that goes as it should."""
    volumes, disks, areas = [], {}, {}
    for n, name in enumerate(names):
        disks[name] = {"disk": f"disk{n}", "lost": []}
        volumes.append({"name": f"disk{n}", "in_flight": 3 if load else 0,
                        "drain": {"drained": True, "in_flight": 0, "lost": 0, "us": 900 + n, "end": "done"},
                        "lane": {"way": CLASSES[name].way, "result": "ok", "why": None, "flush": "ok", "sequence": 7,
                                 "write_us": 500, "flush_us": 4000 * (n + 1)}})
        areas[name] = {"areas": [{"records": [
            {"panic": ID, "kind": "panic-lines", "state": "whole", "sequence": 7, "flushed": True},
            {"panic": ID, "kind": "kmsg", "state": "whole", "sequence": 8, "flushed": False}]}]}
    panic = {"id": ID, "complete": True, "lines": 4 + 3 * len(names), "volumes": volumes,
             "outcome": {"elapsed_ns": 20_000_000 + 1_000_000 * len(names)}}
    return panics.Seen(panics.Plan(5, names, load), True, "reset", disks, 60.0, {"panics": [panic]}, areas,
                       dict.fromkeys(names), {"looked": 2.0})


class Plans(unittest.TestCase):
    """What is done in which order."""

    def test_every_class_alone_and_all_together_idle_and_not(self):
        plans = [panics.plan(n) for n in range(4 * panics.PANICS_A_ROUND)]
        count = collections.Counter((tuple(p.names), p.load) for p in plans)
        wanted = [(name,) for name in CLASSES] + [tuple(CLASSES)]
        self.assertEqual(count, {(names, load): 2 for names in wanted for load in (True, False)})

    def test_boots_are_among_both_kinds_of_rounds(self):
        booted = [p for n in range(40 * panics.PANICS_A_ROUND) if panics.needs_boot(p := panics.plan(n))]
        self.assertEqual({p.load for p in booted}, {True, False})
        self.assertEqual({tuple(p.names) for p in booted}, {tuple(CLASSES)})


class Statistics(unittest.TestCase):
    """Quantiles and tables."""

    def test_quantiles_are_values_that_were_there(self):
        values = list(range(1, 201))
        self.assertEqual([figures.quantile(values, q) for q in (0.5, 0.99, 1)], [100, 198, 200])
        self.assertEqual(figures.quantile([7], 0.99), 7)
        self.assertEqual(figures.quantile([3, 1, 2], 0.5), 2)

    def test_spread(self):
        self.assertEqual(figures.spread([1000, 4000, None, 2000]), "1.0 / 2.0 / 4.0 / 4.0")
        self.assertEqual(figures.spread([None]), "-")

    def test_tables(self):
        names = list(CLASSES)
        lines = [figures.facts(seen(names)), figures.facts(seen(names, load=False)), figures.facts(seen(names[:1]))]
        handlers, classes, stages = (table(lines).split("\n") for table in (
            figures.handler_table, figures.class_table, figures.stage_table))
        self.assertIn("| 21.0 / 21.0 / 21.0 / 21.0 |", handlers[2])
        self.assertEqual([len(handlers), len(classes), len(stages)], [2 + 3, 2 + len(CLASSES), 2 + 2 * len(CLASSES)])
        most = f"{20 + len(CLASSES)}.0"
        first = [cell.strip() for cell in classes[2].split("|")][1:-1]
        self.assertEqual(first, [names[0], "3", "0", f"21.0 / {most} / {most} / {most}", "6 / 6 / 0", "3 / 3 / 0"])
        busy = [cell.strip() for cell in stages[3].split("|")][1:5]
        self.assertEqual(busy, [names[0], "writers", "2", "0.9 / 0.9 / 0.9 / 0.9"])
        # What had nothing in flight says nothing of the drain.
        self.assertIn("idle    | 1      | -", stages[2])
        n = 2 * len(CLASSES) + 1
        self.assertIn(f"each class in 2 or more; {n} records of {n} volumes claimed, 0 lost; 0 hangs", figures.last_line(lines))

    def test_a_line_survives_its_way_through_the_log(self):
        line = figures.facts(seen(list(CLASSES)))
        self.assertEqual(json.loads(json.dumps(line)), line)


class Lies(unittest.TestCase):
    """A panic that goes as it should passes; with one thing changed it does not."""

    def wrong(self, change, sentence: str):
        self.assertTrue(figures.held([figures.facts(seen(list(CLASSES)))]))
        one = copy.deepcopy(seen(list(CLASSES)))
        change(one)
        line = figures.facts(one)
        self.assertTrue(any(sentence in told for told in line["wrong"]), line["wrong"])
        self.assertFalse(figures.held([line]))
        self.assertIn(sentence, figures.report([line]))

    @staticmethod
    def record(one: panics.Seen) -> dict:
        return one.areas["nvme-reap"]["areas"][0]["records"][0]

    @staticmethod
    def told(one: panics.Seen) -> dict:
        return one.record["panics"][0]["volumes"][-1]

    def test_a_record_that_is_not_there(self):
        lost = "nvme-reap: LOST: record 7 is claimed"
        self.wrong(lambda s: self.record(s).update(state="torn"), lost)
        self.wrong(lambda s: self.record(s).update(sequence=6), lost)
        self.wrong(lambda s: self.record(s).update(panic="00000002"), lost)
        self.wrong(lambda s: self.record(s).update(kind="kmsg"), lost)
        self.wrong(lambda s: s.areas.update({"nvme-reap": None}), lost)
        line = figures.facts(self.changed(lambda s: self.record(s).update(state="torn")))
        self.assertEqual(figures.totals([line])["lost"], 1)

    @staticmethod
    def changed(change) -> panics.Seen:
        one = seen(list(CLASSES))
        change(one)
        return one

    def test_a_lane_that_is_another_or_refused_and_wrote(self):
        self.wrong(lambda s: self.told(s)["lane"].update(way="none:vectors"), "nvme-reap: the lane is none:vectors")
        self.wrong(lambda s: self.told(s)["lane"].update(result="refused", why="nmi"), "the lane refused (nmi)")
        self.wrong(lambda s: self.told(s).update(lane=None), "no line tells of drain or lane")
        self.wrong(lambda s: self.told(s)["drain"].update(in_flight=1), "drained=True")

    def test_a_record_that_is_not_claimed_is_said(self):
        line = figures.facts(self.changed(lambda s: self.told(s)["lane"].update(result="timeout", why="deadline")))
        self.assertIn("1 x nvme-reap: no record: timeout, deadline", figures.report([line]))
        self.assertIn(f"{len(CLASSES) - 1} records of {len(CLASSES)} volumes claimed, 0 lost", figures.last_line([line]))

    def test_a_report_that_is_not_whole(self):
        self.wrong(lambda s: s.record["panics"][0].update(complete=False), "not whole, or not the only one")
        self.wrong(lambda s: s.record["panics"].append(s.record["panics"][0]), "not whole, or not the only one")
        self.wrong(lambda s: setattr(s, "record", None), "not whole, or not the only one")
        self.wrong(lambda s: self.told(s).update(name="sda"), "volumes told")

    def test_lost_files_and_damage(self):
        self.wrong(lambda s: s.volumes["nvme-poll"].update(lost=["kept/100 has other contents"]),
                   "nvme-poll: after the panic before: kept/100")
        self.wrong(lambda s: s.fsck.update({"nvme-poll": "status 4"}), "nvme-poll: fsck.permfs: status 4")

    def test_a_last_look_that_did_not_come_to_its_end(self):
        one = seen(list(CLASSES))
        one.plan.panic, one.outcome = False, "end"
        self.assertEqual(figures.facts(one)["wrong"], [])
        one.outcome = "the last machine ended by timeout"
        self.assertEqual(figures.facts(one)["wrong"], [one.outcome])

    def test_a_hang(self):
        one = self.changed(lambda s: setattr(s, "outcome", "hang"))
        one.record = None
        line = figures.facts(one)
        self.assertEqual(figures.totals([line])["hangs"], 1)
        self.assertFalse(figures.held([line, figures.facts(seen(list(CLASSES)))]))

    def test_nothing_seen_is_no_success(self):
        self.assertFalse(figures.held([]))


if __name__ == "__main__":
    unittest.main()
