#!/usr/bin/env python3
"""The online isolation forest in plain Python, as its paper describes it (Leveni et al., ICML 2024): nodes, boxes,
recursion. A yardstick of speed, not the authors' program, and without numpy.

    online_forest_plain.py SET.csv.gz [ROWS]      learns and scores row by row; prints points per second of CPU time
"""
import csv
import gzip
import math
import random
import sys
import time
from collections import deque

TREES, WINDOW, LEAF = 32, 2048, 32


def expected_depth(count):
    return math.log(count / LEAF) / math.log(4) if count > LEAF else 0.0


class Node:
    def __init__(self, low, high, count, depth):
        self.low, self.high, self.count, self.depth = low, high, count, depth
        self.feature, self.split, self.left, self.right = None, 0.0, None, None

    def child(self, x):
        return self.left if x[self.feature] < self.split else self.right


def box_of(points, features):
    if not points:
        return [math.inf] * features, [-math.inf] * features
    return [min(c) for c in zip(*points)], [max(c) for c in zip(*points)]


def grow(points, low, high, depth, limit):
    node = Node(low, high, len(points), depth)
    if len(points) >= LEAF * 2 ** depth and depth < limit:
        node.feature = random.randrange(len(low))
        values = [p[node.feature] for p in points]
        node.split = random.uniform(min(values), max(values))
        for side in ("left", "right"):
            part = [p for p in points if (p[node.feature] < node.split) == (side == "left")]
            setattr(node, side, grow(part, *box_of(part, len(low)), depth + 1, limit))
    return node


def redraw(node, limit):
    points = [[random.uniform(a, b) for a, b in zip(node.low, node.high)] for _ in range(node.count)]
    return grow(points, node.low, node.high, node.depth, limit)


def learn(node, x, limit):
    node.count += 1
    node.low = [min(a, b) for a, b in zip(node.low, x)]
    node.high = [max(a, b) for a, b in zip(node.high, x)]
    if node.feature is None:
        return redraw(node, limit) if node.count >= LEAF * 2 ** node.depth and node.depth < limit else node
    if x[node.feature] < node.split:
        node.left = learn(node.left, x, limit)
    else:
        node.right = learn(node.right, x, limit)
    return node


def forget(node, x):
    node.count -= 1
    if node.feature is None:
        return
    if node.count < LEAF * 2 ** node.depth:
        node.feature = node.left = node.right = None
        return
    forget(node.child(x), x)
    node.low = [min(a, b) for a, b in zip(node.left.low, node.right.low)]
    node.high = [max(a, b) for a, b in zip(node.left.high, node.right.high)]


def path_length(node, x):
    while node.feature is not None:
        node = node.child(x)
    return node.depth + expected_depth(node.count)


def main():
    rows_max = int(sys.argv[2]) if len(sys.argv) > 2 else 5000
    with gzip.open(sys.argv[1], "rt") as file:
        lines = csv.reader(file)
        next(lines)
        rows = [[float(v) for v in line[:-1]] for _, line in zip(range(rows_max), lines)]
    features = len(rows[0])
    forest = [Node([math.inf] * features, [-math.inf] * features, 0, 0) for _ in range(TREES)]
    held = deque()
    total = 0.0
    start = time.process_time()
    for x in rows:
        if held:
            norm = expected_depth(len(held)) or 1.0
            total += 2 ** (-sum(path_length(tree, x) for tree in forest) / TREES / norm)
        held.append(x)
        limit = expected_depth(min(len(held), WINDOW))
        forest = [learn(tree, x, limit) for tree in forest]
        if len(held) > WINDOW:
            oldest = held.popleft()
            for tree in forest:
                forget(tree, oldest)
    seconds = time.process_time() - start
    print(f"{len(rows)} rows, {len(rows) / seconds:.0f} points/s, mean score {total / len(rows):.3f}")


main()
